//! The clock of `CRON '0 8 * * 1-5'`: five fields, in UTC.
//!
//! Minute, hour, day of the month, month, day of the week (0 or 7 is Sunday), each `*`, a number, a range, a list or a step
//! such as `*/15`. As in Vixie's cron a time must fit both day fields, unless both are restricted: then either will do.

use std::fmt;

use chrono::{DateTime, Datelike, Days, NaiveTime, TimeDelta, Timelike, Utc};
use serde::{Deserialize, Serialize};

/// Days that are looked through for the next time: a 29 February comes within eight years.
const DAYS_MAX: u64 = 366 * 8;

/// Times of repetition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    either_day: bool,
}

/// The fields with their least and greatest value.
const FIELDS: [(&str, u32, u32); 5] = [
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),
];

impl Cron {
    /// Reads the five fields; says what is wrong with them otherwise.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts.as_slice() else {
            return Err(format!(
                "'{text}' is no time of repetition: write minute, hour, day, month and weekday, for example '0 8 * * 1-5'"
            ));
        };
        let [minutes_of, hours_of, days_of, months_of, weekdays_of] = FIELDS;
        let mut weekdays = field(weekday, weekdays_of)?;
        if weekdays & (1 << 7) != 0 {
            weekdays = (weekdays | 1) & !(1 << 7);
        }
        let cron = Self {
            text: parts.join(" "),
            minutes: field(minute, minutes_of)?,
            hours: field(hour, hours_of)?,
            days: field(day, days_of)?,
            months: field(month, months_of)?,
            weekdays,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        match cron.after(DateTime::<Utc>::UNIX_EPOCH) {
            Some(_) => Ok(cron),
            None => Err(format!("'{text}' is a day that never comes")),
        }
    }

    /// The first time after `now`.
    pub(crate) fn after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let first = now
            .with_second(0)?
            .with_nanosecond(0)?
            .checked_add_signed(TimeDelta::minutes(1))?;
        (0..DAYS_MAX).find_map(|days| {
            let date = first.date_naive().checked_add_days(Days::new(days))?;
            if !self.has_day(date) {
                return None;
            }
            let from = if days == 0 { first.time() } else { NaiveTime::MIN };
            let mut minutes = from.hour() * 60 + from.minute()..24 * 60;
            let fits = |minute: &u32| has(self.hours, minute / 60) && has(self.minutes, minute % 60);
            let minute = minutes.find(fits)?;
            Some(date.and_hms_opt(minute / 60, minute % 60, 0)?.and_utc())
        })
    }

    fn has_day(&self, date: chrono::NaiveDate) -> bool {
        let by_month = has(self.days, date.day());
        let by_week = has(self.weekdays, date.weekday().num_days_from_sunday());
        let fits = match self.either_day {
            true => by_month || by_week,
            false => by_month && by_week,
        };
        fits && has(self.months, date.month())
    }
}

fn has(set: u64, number: u32) -> bool {
    set & (1 << number) != 0
}

/// The numbers of one field as bits.
fn field(text: &str, (name, least, most): (&str, u32, u32)) -> Result<u64, String> {
    let wrong =
        || format!("'{text}' is no {name}: numbers from {least} to {most}, ranges, lists and steps such as */15");
    let number = |text: &str| {
        text.parse::<u32>()
            .ok()
            .filter(|n| (least..=most).contains(n))
            .ok_or_else(wrong)
    };
    let mut set = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (
                range,
                step.parse::<u32>().ok().filter(|step| *step > 0).ok_or_else(wrong)?,
            ),
            None => (part, 1),
        };
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (least, most),
            (_, Some((from, to))) => (number(from)?, number(to)?),
            (one, None) => (number(one)?, if part.contains('/') { most } else { number(one)? }),
        };
        if from > to {
            return Err(wrong());
        }
        let mut at = from;
        while at <= to {
            set |= 1 << at;
            at += step;
        }
    }
    Ok(set)
}

impl TryFrom<String> for Cron {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.text
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cron: &str, after: &str) -> String {
        let after = DateTime::parse_from_rfc3339(after).unwrap().to_utc();
        Cron::parse(cron).unwrap().after(after).unwrap().to_rfc3339()
    }

    #[test]
    fn the_next_time_is_found() {
        for (cron, after, expected) in [
            ("* * * * *", "2026-03-02T09:30:10Z", "2026-03-02T09:31:00+00:00"),
            ("0 8 * * 1-5", "2026-03-06T08:00:00Z", "2026-03-09T08:00:00+00:00"),
            ("*/15 * * * *", "2026-03-02T09:46:00Z", "2026-03-02T10:00:00+00:00"),
            ("30 6 1 * *", "2026-12-01T06:30:00Z", "2027-01-01T06:30:00+00:00"),
            ("0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00+00:00"),
            // Both day fields restricted: the 13th or a Friday.
            ("0 12 13 * 5", "2026-03-07T00:00:00Z", "2026-03-13T12:00:00+00:00"),
            ("0 12 14 * 7", "2026-03-14T12:00:00Z", "2026-03-15T12:00:00+00:00"),
            ("5,10-20/5 0 * * *", "2026-03-14T00:10:00Z", "2026-03-14T00:15:00+00:00"),
            ("50/5 0 * * *", "2026-03-14T00:52:00Z", "2026-03-14T00:55:00+00:00"),
        ] {
            assert_eq!(next(cron, after), expected, "{cron}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "0 0 31 2 *",
            "* * * * * *",
            "-1 * * * *",
            "1- * * * *",
        ] {
            assert!(Cron::parse(bad).is_err(), "{bad}");
        }
    }
}
