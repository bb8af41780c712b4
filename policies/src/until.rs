//! The end of a rule that holds for a time: `valid_until=2027-01-31` or `valid_until=2027-01-31T12:00:00Z`.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};

/// The word before the time.
pub(crate) const VALID_UNTIL: &str = "valid_until";

/// When a rule stops to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Until {
    /// The first moment at which it does not hold any more.
    pub over_at: DateTime<Utc>,
    /// As written.
    pub text: String,
}

impl Until {
    /// Reads what stands behind a rule. A date is meant to its end, in UTC. The error is what is wrong and what to do.
    pub(crate) fn parse(field: &str) -> Result<Self, (String, String)> {
        let remedy = || {
            format!(
                "write {VALID_UNTIL}=2027-01-31 (to the end of that day, UTC) or {VALID_UNTIL}=2027-01-31T12:00:00Z"
            )
        };
        let written = field
            .strip_prefix(VALID_UNTIL)
            .and_then(|rest| rest.trim_start_matches([' ', '\t']).strip_prefix('='))
            .map(|rest| rest.trim_matches([' ', '\t']))
            .ok_or_else(|| (format!("`{field}` is no {VALID_UNTIL}=TIME"), remedy()))?;
        let day_after = |date: NaiveDate| Some(date.checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN).and_utc());
        let over_at = match written.parse::<NaiveDate>() {
            Ok(date) => day_after(date),
            Err(_) => DateTime::parse_from_rfc3339(written).ok().map(|at| at.to_utc()),
        };
        let over_at = over_at.ok_or_else(|| (format!("`{written}` is no date and no time with a zone"), remedy()))?;
        Ok(Self {
            over_at,
            text: format!("{VALID_UNTIL}={written}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_meant_to_its_end() {
        let until = |text: &str| Until::parse(text).unwrap().over_at.to_rfc3339();
        assert_eq!(until("valid_until=2027-01-31"), "2027-02-01T00:00:00+00:00");
        assert_eq!(until("valid_until = 2027-12-31"), "2028-01-01T00:00:00+00:00");
        assert_eq!(
            until("valid_until=2027-01-31T12:00:00+02:00"),
            "2027-01-31T10:00:00+00:00"
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "valid_until",
            "valid_until=",
            "valid_until=soon",
            "valid_until=2027-02-30",
            "valid_until=31.01.2027",
            "valid_until=2027-01-31 12:00",
            "valid_until=2027-01-31T12:00:00",
            "valid_untill=2027-01-31",
            "valid_until=262142-12-31",
        ] {
            assert!(Until::parse(bad).is_err(), "{bad}");
        }
    }
}
