//! Dates and times as text. ISO 8601 is plain; the order of day and month is settled by the whole column, never by one
//! cell.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

use crate::formats::months;

/// How a column writes its dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// `2026-03-04`, `2026/03/04` or `2026.03.04`.
    YearFirst,
    /// `4.3.2026`, `04/03/2026`, `4/3/26`.
    DayFirst,
    /// `03/04/2026`, `3/4/26`.
    MonthFirst,
    /// `4-Mar-2026`, `4-Mar-26`, `4 March 2026`, `Mar 4, 2026`; in other languages `4. März 2026`, `4 de marzo de 2026`.
    MonthName,
}

/// A date, maybe with a time, maybe with a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) date_time: NaiveDateTime,
    pub(super) has_time: bool,
    /// Seconds east of UTC, when the text says so.
    pub(super) offset_s: Option<i32>,
}

impl Moment {
    /// Microseconds since 1970, in UTC when the text has a zone, else as the clock on the wall showed. Digits beyond
    /// the microsecond are cut.
    pub(super) fn micros(self) -> i64 {
        let shift = TimeDelta::seconds(i64::from(self.offset_s.unwrap_or(0)));
        self.date_time
            .checked_sub_signed(shift)
            .unwrap_or(self.date_time)
            .and_utc()
            .timestamp_micros()
    }

    /// Days since 1970.
    pub(super) fn days(self) -> i32 {
        let days = self
            .date_time
            .date()
            .signed_duration_since(NaiveDate::default())
            .num_days();
        i32::try_from(days).unwrap_or(i32::MAX)
    }
}

/// Whether the text is a date or date and time in any order known here.
pub(crate) fn is_moment(cell: &str) -> bool {
    [Order::YearFirst, Order::DayFirst, Order::MonthFirst, Order::MonthName]
        .into_iter()
        .any(|order| parse(cell, order).is_some())
}

/// Whether the text begins as a date with slashes and a year of two digits does that may have its year first: `26/03/14`.
pub(super) fn may_be_short_year_first(cell: &str) -> bool {
    let short = || {
        let (year, rest) = digits(cell, 2, 2)?;
        let (month, rest) = digits(rest.strip_prefix('/')?, 1, 2)?;
        let (day, _) = digits(rest.strip_prefix('/')?, 1, 2)?;
        ymd(of_century(year), month, day)
    };
    short().is_some()
}

/// Whether the text begins as `14.03.26`: a day to some, the number of a version to others.
pub(super) fn is_short_dotted(cell: &str) -> bool {
    let date = cell.as_bytes().split(|byte| [b' ', b'T'].contains(byte)).next();
    date.is_some_and(|date| {
        date.len() == 8
            && date.iter().enumerate().all(|(at, byte)| {
                if at % 3 == 2 {
                    *byte == b'.'
                } else {
                    byte.is_ascii_digit()
                }
            })
    })
}

/// Parses a trimmed cell in the given order. A year of two digits is one from 1970 to 2069, behind a month's name, slashes,
/// or the points of `14.03.26`; a bare time is no moment.
pub(super) fn parse(cell: &str, order: Order) -> Option<Moment> {
    // The shortest is `1/1/26`; the longest has a month's name, nine digits of a second and a zone.
    if !(6..=48).contains(&cell.len()) || (order != Order::MonthName && !cell.is_ascii()) {
        return None;
    }
    let (date, rest) = date(cell, order)?;
    if rest.is_empty() {
        return Some(Moment {
            date_time: date.and_time(NaiveTime::MIN),
            has_time: false,
            offset_s: None,
        });
    }
    let rest = rest.strip_prefix('T').or_else(|| rest.strip_prefix(' '))?.trim_start();
    let (time, rest) = time(rest)?;
    let offset_s = match rest.trim_start() {
        "" => None,
        zone => Some(offset(zone)?),
    };
    Some(Moment {
        date_time: date.and_time(time),
        has_time: true,
        offset_s,
    })
}

fn date(cell: &str, order: Order) -> Option<(NaiveDate, &str)> {
    match order {
        Order::YearFirst => {
            let (year, rest) = digits(cell, 4, 4)?;
            let separator = rest
                .chars()
                .next()
                .filter(|character| matches!(character, '-' | '/' | '.'))?;
            let (month, rest) = digits(rest.get(1..)?, 1, 2)?;
            let (day, rest) = digits(rest.strip_prefix(separator)?, 1, 2)?;
            Some((ymd(year, month, day)?, rest))
        }
        Order::DayFirst | Order::MonthFirst => {
            let (first, rest) = digits(cell, 1, 2)?;
            let separator = rest
                .chars()
                .next()
                .filter(|character| matches!(character, '.' | '/' | '-'))?;
            let (second, rest) = digits(rest.get(1..)?, 1, 2)?;
            let may_be_short = separator == '/' || is_short_dotted(cell);
            let (year, rest) = year(rest.strip_prefix(separator)?, may_be_short)?;
            let (day, month) = if order == Order::DayFirst {
                (first, second)
            } else {
                (second, first)
            };
            Some((ymd(year, month, day)?, rest))
        }
        Order::MonthName if cell.starts_with(char::is_alphabetic) => {
            let length = cell.find(|character: char| !character.is_alphabetic())?;
            let month = months::of(cell.get(..length)?)?;
            let rest = cell.get(length..)?;
            let (day, rest) = digits(rest.strip_prefix('.').unwrap_or(rest).strip_prefix(' ')?, 1, 2)?;
            let (year, rest) = year(rest.strip_prefix(',').unwrap_or(rest).strip_prefix(' ')?, false)?;
            Some((ymd(year, month, day)?, rest))
        }
        Order::MonthName => {
            let (day, rest) = digits(cell, 1, 2)?;
            // `1er mars` and `4. März`; `4.Mär.26` has points for its separators.
            let rest = rest.strip_prefix("er").unwrap_or(rest);
            let pointed = rest.strip_prefix('.');
            let rest = pointed.unwrap_or(rest);
            let next = rest.chars().next()?;
            let (separator, rest) = match next {
                '-' | ' ' | '/' => (next, rest.get(1..)?),
                _ if pointed.is_some() => ('.', rest),
                _ => return None,
            };
            let rest = without_of(rest, separator);
            let length = rest.find(|character: char| !character.is_alphabetic())?;
            let month = months::of(rest.get(..length)?)?;
            let rest = rest.get(length..)?;
            let rest = rest.strip_prefix('.').filter(|_| separator != '.').unwrap_or(rest);
            let rest = rest.strip_prefix(separator)?;
            let rest = without_of(rest, separator);
            let (year, rest) = year(rest, separator != ' ')?;
            Some((ymd(year, month, day)?, rest))
        }
    }
}

/// `marzo de 2026` without its `de`.
fn without_of(text: &str, separator: char) -> &str {
    text.strip_prefix("de ").filter(|_| separator == ' ').unwrap_or(text)
}

/// The year in front of the text: four digits, or two where such are usual.
fn year(text: &str, may_be_short: bool) -> Option<(u32, &str)> {
    digits(text, 4, 4).or_else(|| {
        let (year, rest) = digits(text, 2, 2).filter(|_| may_be_short)?;
        Some((of_century(year), rest))
    })
}

/// Years of two digits as POSIX reads them, with the whole of the seventies in the last century.
fn of_century(year: u32) -> u32 {
    if year < 70 { 2000 + year } else { 1900 + year }
}

fn ymd(year: u32, month: u32, day: u32) -> Option<NaiveDate> {
    // Years before 1000 are typing errors; zero is what broken clocks write.
    let year = i32::try_from(year).ok().filter(|year| *year >= 1000)?;
    NaiveDate::from_ymd_opt(year, month, day)
}

fn time(text: &str) -> Option<(NaiveTime, &str)> {
    let (mut hour, rest) = digits(text, 1, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2, 2)?;
    let (second, nanos, rest) = match rest.strip_prefix(':') {
        None => (0, 0, rest),
        Some(rest) => {
            let (second, rest) = digits(rest, 2, 2)?;
            match rest.strip_prefix(['.', ',']) {
                None => (second, 0, rest),
                Some(rest) => {
                    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
                    let fraction = rest.get(..length)?;
                    if length == 0 || length > 9 {
                        return None;
                    }
                    let nanos: u32 = format!("{fraction:0<9}").parse().ok()?;
                    (second, nanos, rest.get(length..)?)
                }
            }
        }
    };
    let mut rest = rest;
    let half = rest.trim_start().get(..2).map(str::to_ascii_uppercase);
    if let Some(half @ ("AM" | "PM")) = half.as_deref() {
        if !(1..=12).contains(&hour) {
            return None;
        }
        hour = hour % 12 + if half == "PM" { 12 } else { 0 };
        rest = rest.trim_start().get(2..)?;
    }
    Some((NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?, rest))
}

/// `Z`, `UTC`, `+02`, `+0200`, `+02:00` as seconds east. Zone names like EDT are ambiguous and refused.
fn offset(zone: &str) -> Option<i32> {
    if matches!(zone, "Z" | "z" | "UTC" | "GMT") {
        return Some(0);
    }
    let (sign, rest) = match zone.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, zone.strip_prefix('-')?),
    };
    let (hours, rest) = digits(rest, 2, 2)?;
    let minutes = match rest.strip_prefix(':').unwrap_or(rest) {
        "" if !rest.starts_with(':') => 0,
        text => match digits(text, 2, 2)? {
            (minutes, "") => minutes,
            _ => return None,
        },
    };
    // The widest real offset is +14:00.
    if hours > 14 || minutes > 59 {
        return None;
    }
    i32::try_from(hours * 3600 + minutes * 60)
        .ok()
        .map(|seconds| sign * seconds)
}

/// Between `min` and `max` leading digits as a number, and what follows; a longer run of digits is `None`.
fn digits(text: &str, min: usize, max: usize) -> Option<(u32, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    if length < min || length > max {
        return None;
    }
    Some((text.get(..length)?.parse().ok()?, text.get(length..)?))
}
