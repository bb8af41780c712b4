//! The clock of `CRON '0 8 * * 1-5'`: five fields, in UTC.
//!
//! Minute, hour, day of the month, month, day of the week (0 or 7 is Sunday), each `*`, a number, a range, a list or a step
//! such as `*/15`; months and days of the week also by their first three letters, as in `mon-fri`. As in Vixie's cron a time must
//! fit both day fields, unless both are restricted: then either will do.

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

/// One of the five fields.
#[derive(Clone, Copy)]
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Words for its numbers, from the least on.
    words: &'static [&'static str],
}

const fn plain(name: &'static str, least: u32, most: u32) -> Field {
    Field {
        name,
        least,
        most,
        words: &[],
    }
}

const FIELDS: [Field; 5] = [
    plain("minute", 0, 59),
    plain("hour", 0, 23),
    plain("day of the month", 1, 31),
    Field {
        words: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
        ..plain("month", 1, 12)
    },
    Field {
        words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
        ..plain("day of the week", 0, 7)
    },
];

/// How exactly a text is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// As somebody wrote it just now: what can only be a mistake is refused.
    Strict,
    /// As it was kept: steps longer than their field, and numbers with a plus, were taken once.
    Kept,
}

impl Cron {
    /// Reads the five fields; says what is wrong with them otherwise.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::read(text, Reading::Strict)
    }

    fn read(text: &str, reading: Reading) -> Result<Self, String> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts.as_slice() else {
            return Err(format!(
                "'{text}' is no time of repetition: write minute, hour, day, month and weekday, for example '0 8 * * 1-5'"
            ));
        };
        let [minutes_of, hours_of, days_of, months_of, weekdays_of] = FIELDS;
        let field = |text: &str, of: Field| of.read(text, reading);
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

impl Field {
    /// The numbers of one field as bits.
    fn read(self, text: &str, reading: Reading) -> Result<u64, String> {
        let mut set = 0;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, Some(self.step(step, text, reading)?)),
                None => (part, None),
            };
            let number = |written: &str| self.number(written, reading).ok_or_else(|| self.wrong(text));
            let (from, to) = match (range, range.split_once('-')) {
                ("*", _) => (self.least, self.most),
                (_, Some((from, to))) => (number(from)?, number(to)?),
                // As cron has it: a number with a step goes on to the end.
                (one, None) if step.is_some() => (number(one)?, self.most),
                (one, None) => (number(one)?, number(one)?),
            };
            if from > to {
                return Err(self.wrong(text));
            }
            let step = usize::try_from(step.unwrap_or(1)).unwrap_or(usize::MAX);
            (from..=to).step_by(step).for_each(|at| set |= 1 << at);
        }
        Ok(set)
    }

    fn number(self, written: &str, reading: Reading) -> Option<u32> {
        let digits = match reading {
            Reading::Kept => written.strip_prefix('+').unwrap_or(written),
            Reading::Strict => written,
        };
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = match is_number {
            true => digits.parse().ok(),
            false => {
                let word = self.words.iter().position(|word| word.eq_ignore_ascii_case(written));
                word.and_then(|at| Some(self.least + u32::try_from(at).ok()?))
            }
        };
        number.filter(|number| (self.least..=self.most).contains(number))
    }

    /// How far it is from one to the next; never none.
    fn step(self, written: &str, text: &str, reading: Reading) -> Result<u32, String> {
        let longest = self.most - self.least;
        match (written.parse::<u32>(), reading) {
            (Ok(step), Reading::Kept) if step > 0 => Ok(step),
            (Ok(step), Reading::Strict) if (1..=longest).contains(&step) && !written.starts_with('+') => Ok(step),
            (Ok(step), Reading::Strict) if step > longest => Err(format!(
                "the step of '{text}' is longer than the field of the {}: at most {longest}",
                self.name
            )),
            _ => Err(self.wrong(text)),
        }
    }

    fn wrong(self, text: &str) -> String {
        let Self {
            name,
            least,
            most,
            words,
        } = self;
        let words = match (words.first(), words.last()) {
            (Some(first), Some(last)) => format!(" or {first} to {last}"),
            _ => String::new(),
        };
        format!(
            "'{text}' is no {name}: numbers from {least} to {most}{words}, ranges from small to large, lists and steps such as */15"
        )
    }
}

impl TryFrom<String> for Cron {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::read(&text, Reading::Kept)
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
            // The longest step gives the first and the last; a step of a single number goes on to the end of the field.
            ("*/59 0 * * *", "2026-03-14T00:00:00Z", "2026-03-14T00:59:00+00:00"),
            ("5/59 * * * *", "2026-03-14T00:05:00Z", "2026-03-14T01:05:00+00:00"),
            // Sunday is 0 and 7, and the end of a range.
            ("0 12 * * 5-7", "2026-03-14T12:00:00Z", "2026-03-15T12:00:00+00:00"),
            ("0 12 * * 0", "2026-03-14T12:00:00Z", "2026-03-15T12:00:00+00:00"),
            ("0 12 * * sat-7", "2026-03-13T13:00:00Z", "2026-03-14T12:00:00+00:00"),
            ("0 8 * * Mon-FRI", "2026-03-06T08:00:00Z", "2026-03-09T08:00:00+00:00"),
            ("0 8 1 jan,Jul *", "2026-03-06T08:00:00Z", "2026-07-01T08:00:00+00:00"),
            // The 31st of months that have none is skipped; a Monday will do.
            ("0 0 31 2,3 *", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00+00:00"),
            ("0 0 31 2 1", "2026-02-01T00:00:00Z", "2026-02-02T00:00:00+00:00"),
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
            "0 0 30 feb *",
            "0 0 31 4,6,9,11 *",
            "* * * * * *",
            "-1 * * * *",
            "1- * * * *",
            "+5 * * * *",
            "*/+5 * * * *",
            "5/4294967295 * * * *",
            "*/60 * * * *",
            "* */24 * * *",
            "* * */31 * *",
            "* * * */12 *",
            "* * * * */8",
            "1/0 * * * *",
            "1,,2 * * * *",
            "1-2-3 * * * *",
            "*/5/2 * * * *",
            "/5 * * * *",
            "5/ * * * *",
            "*-5 * * * *",
            "mon * * * *",
            "* * * monday *",
            "* * * * jan",
            "* * * * sat-mon",
            "99999999999 * * * *",
        ] {
            assert!(Cron::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_kept_before_steps_had_an_end_is_still_read() {
        for (kept, same) in [("5/4294967295 * * * *", "5 * * * *"), ("*/90 +3 * * *", "0 3 * * *")] {
            let read: Cron = serde_json::from_value(serde_json::json!(kept)).unwrap();
            assert_eq!(
                read.after(DateTime::UNIX_EPOCH),
                Cron::parse(same).unwrap().after(DateTime::UNIX_EPOCH)
            );
            assert_eq!(read.to_string(), kept);
        }
        assert!(serde_json::from_value::<Cron>(serde_json::json!("*/0 * * * *")).is_err());
    }
}
