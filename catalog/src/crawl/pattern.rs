//! What the names of files of one kind have in common: `plate_2026-03-14.csv` and `plate_2026-03-15.csv` are plates.
//!
//! A whole date or time in a name tells when a file was written, never what it holds. A counter (`run_7`, `batch_012`) may be
//! either, so it is left out only where several files show that they count: see [`super::layout`].

use chrono::NaiveDate;

/// A file's name, without its endings, seen as a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// It has a date, a time or a unique number.
    pub(crate) is_dated: bool,
    /// Without those.
    pub(crate) undated: String,
    /// Without counters, too.
    pub(crate) bare: String,
}

impl Pattern {
    pub(crate) fn of(stem: &str) -> Self {
        let words: Vec<&str> = stem
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        let mut undated = Vec::new();
        let mut rest = words.as_slice();
        while let [word, after @ ..] = rest {
            let used = moment(rest).max(unique_id(rest));
            if used > 0 {
                rest = rest.get(used..).unwrap_or_default();
            } else {
                undated.push(*word);
                rest = after;
            }
        }
        let bare: Vec<&str> = undated
            .iter()
            .map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()))
            .filter(|word| !word.is_empty())
            .collect();
        Self {
            is_dated: undated.len() < words.len(),
            undated: undated.join("_"),
            bare: bare.join("_"),
        }
    }

    /// The same for all files of one kind.
    pub(crate) fn key(&self) -> String {
        self.bare.to_lowercase()
    }
}

/// How many words, from the first on, are a date with or without a time of day.
fn moment(words: &[&str]) -> usize {
    let Some(first) = words.first() else { return 0 };
    // 20260314, 20260314T153000, 20260314153000.
    let (day, time) = match first.split_once(['T', 't']) {
        Some((day, time)) => (day, Some(time.trim_end_matches(['Z', 'z']))),
        None => (*first, None),
    };
    if digits(day) && is_day(day.get(..8).unwrap_or_default()) {
        let behind = day.get(8..).unwrap_or_default();
        return match (behind, time) {
            ("", None) => 1 + clock(words.get(1..).unwrap_or_default()),
            ("", Some(time)) if is_clock(time) => 1,
            (behind, None) if is_clock(behind) => 1,
            _ => 0,
        };
    }
    // 2026-03-14, 14-03-2026, and with a T before the hours in the last.
    let [a, b, c, ..] = words else { return 0 };
    let (c, hour) = match c.split_once(['T', 't']) {
        Some((day, hour)) => (day, Some(hour)),
        None => (*c, None),
    };
    if ![*a, *b, c].into_iter().all(digits) {
        return 0;
    }
    let year_first = a.len() == 4 && is_day(&format!("{a}{b:0>2}{c:0>2}"));
    let year_last = c.len() == 4 && (is_day(&format!("{c}{b:0>2}{a:0>2}")) || is_day(&format!("{c}{a:0>2}{b:0>2}")));
    if !(year_first || year_last) {
        return 0;
    }
    let after = words.get(3..).unwrap_or_default();
    match hour {
        None => 3 + clock(after),
        Some(hour) if is_clock(hour) => 3,
        Some(hour) if digits(hour) && hour.len() == 2 => 3 + after.iter().take(2).filter(|word| is_sixty(word)).count(),
        Some(_) => 0,
    }
}

/// How many words, from the first on, are a time of day.
fn clock(words: &[&str]) -> usize {
    match words {
        [time, ..] if is_clock(time) => 1,
        [hour, minute, rest @ ..] if is_hour(hour) && is_sixty(minute) => match rest {
            [second, ..] if is_sixty(second) => 3,
            _ => 2,
        },
        _ => 0,
    }
}

/// A UUID has five words.
fn unique_id(words: &[&str]) -> usize {
    let lengths = [8, 4, 4, 4, 12];
    let hex = |word: &&str| word.bytes().all(|b| b.is_ascii_hexdigit());
    let fits = words.len() >= lengths.len() && words.iter().zip(lengths).all(|(word, n)| word.len() == n && hex(word));
    if fits { lengths.len() } else { 0 }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_day(text: &str) -> bool {
    let part = |range| text.get(range).and_then(|part: &str| part.parse::<u32>().ok());
    if text.len() != 8 || !digits(text) {
        return false;
    }
    let (Some(year), Some(month), Some(day)) = (part(0..4), part(4..6), part(6..8)) else {
        return false;
    };
    let year = i32::try_from(year).unwrap_or_default();
    (1900..=2099).contains(&year) && NaiveDate::from_ymd_opt(year, month, day).is_some()
}

/// `1530` or `153000`.
fn is_clock(text: &str) -> bool {
    let whole = matches!(text.len(), 4 | 6) && digits(text);
    whole
        && text.get(..2).is_some_and(is_hour)
        && text.get(2..4).is_some_and(is_sixty)
        && (text.len() == 4 || text.get(4..).is_some_and(is_sixty))
}

fn is_hour(text: &str) -> bool {
    text.len() == 2 && digits(text) && text < "24"
}

fn is_sixty(text: &str) -> bool {
    text.len() == 2 && digits(text) && text < "60"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_counters_are_told_from_names() {
        for (stem, undated, bare) in [
            ("plate_2026-03-14", "plate", "plate"),
            ("2026-03-14 plate 7", "plate_7", "plate"),
            ("Export 14.03.2026 15-30", "Export", "Export"),
            ("export_20260314T153000Z", "export", "export"),
            ("export_20260314_1530", "export", "export"),
            ("export_20260314153000", "export", "export"),
            ("export-2026-03-14T15-30-00", "export", "export"),
            ("run_007", "run_007", "run"),
            ("run7", "run7", "run"),
            ("2026-03-14", "", ""),
            ("0001", "0001", ""),
            ("a_0b8f2c1e-93a1-4c55-8d2e-1b2c3d4e5f60", "a", "a"),
            // No dates: a year, a plate's size, a number that is no day.
            ("dreher_doyle_2018", "dreher_doyle_2018", "dreher_doyle"),
            ("plate_384", "plate_384", "plate"),
            ("lot_20261399", "lot_20261399", "lot"),
        ] {
            let found = Pattern::of(stem);
            assert_eq!((found.undated.as_str(), found.bare.as_str()), (undated, bare), "{stem}");
        }
    }
}
