//! Folders that say something of the files in them: `year=2026/month=03/`, `2026/03/14/`, `2026-03-14/`. What they say becomes
//! columns of the rows.
//!
//! They are plain columns of the Delta table and no partition columns of it, for four reasons. A lab's folders are many and
//! small: a Delta partition for each day or plate is a data file for each in every commit, which no compaction may merge. Every
//! data file has its least and greatest value of every column, so `WHERE year = 2026` leaves files out all the same. A column's
//! type can still widen when a later folder shows that it must (`run=7`, then `run=8b`), which a partition column cannot. And
//! tables that are there go on as they are: rows loaded before are given their values out of `_source_file`.

use chrono::NaiveDate;

use crate::formats::month;

use crate::name::clean_column;

/// The key in a column's metadata that says which folder name its values are from.
pub(crate) const FOLDER_KEY: &str = "labhouse.folder";
/// How a folder says "no value", after Hive.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";
/// Columns of folders called by what they are, in front of a name that a file may have itself.
const DATE: &str = "folder_date";
pub(super) const YEAR: &str = "folder_year";
pub(super) const MONTH: &str = "folder_month";
/// The column of folders that are called by a name, where only that tells their files apart: see [`super::kinds`].
pub(crate) const NAME: &str = "folder_name";

/// Which folders are read so.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) enum FolderRule {
    /// Those that say it by their form.
    #[default]
    Form,
    None,
    /// The folders below `<schema>/<table>/`, in their order, by these names; an empty name leaves one out.
    Named(Vec<String>),
}

/// What one folder says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) column: String,
    /// The name as the folder has it, or the form of the date.
    pub(super) key: String,
    pub(crate) text: Option<String>,
}

impl Said {
    fn new(column: &str, key: &str, text: impl Into<String>) -> Self {
        Self {
            column: column.to_owned(),
            key: key.to_owned(),
            text: Some(text.into()),
        }
    }

    /// The name of a folder that says nothing by its form.
    pub(super) fn named(name: &str) -> Self {
        Self::new(NAME, "name", name)
    }
}

/// The folders of a path: what they say, and those that say nothing, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Split<'p> {
    pub(crate) said: Vec<Said>,
    pub(crate) plain: Vec<&'p str>,
}

impl Split<'_> {
    /// The folders below the table's that say nothing by their form, as one name.
    pub(crate) fn below(&self) -> Option<String> {
        let below = self.plain.get(1..).unwrap_or_default();
        (!below.is_empty()).then(|| below.join("/"))
    }
}

/// Takes the folders below the schema's apart.
pub(crate) fn split<'p>(folders: &[&'p str], rule: &FolderRule) -> Split<'p> {
    let mut split = Split::default();
    match rule {
        FolderRule::None => split.plain = folders.to_vec(),
        FolderRule::Named(names) => {
            split.plain = folders.to_vec();
            for (name, folder) in names.iter().zip(folders.iter().skip(1)) {
                if !name.is_empty() {
                    split.said.push(Said::new(name, name, *folder));
                }
            }
        }
        FolderRule::Form => {
            let mut rest = folders;
            while let [folder, after @ ..] = rest {
                if let Some(said) = hive(folder) {
                    split.said.push(said);
                    rest = after;
                } else if let Some((said, used)) = date(rest) {
                    split.said.extend(said);
                    rest = rest.get(used..).unwrap_or_default();
                } else {
                    split.plain.push(folder);
                    rest = after;
                }
            }
        }
    }
    let dated = split.said.iter().any(|said| said.column == DATE);
    let mut kept: Vec<Said> = Vec::new();
    // The last one of a name is the nearest to the file; a whole date says what its year and month would.
    for said in split.said.into_iter().rev() {
        let known = kept.iter().any(|other| other.column == said.column);
        let told_better = dated && [YEAR, MONTH].contains(&said.column.as_str());
        if !(known || told_better) {
            kept.push(said);
        }
    }
    kept.reverse();
    split.said = kept;
    split
}

/// What the folders of a landed file say by their form.
pub(super) fn of_path(path: &str) -> Vec<Said> {
    let parts: Vec<&str> = path.split('/').collect();
    let folders = parts.get(1..parts.len().saturating_sub(1)).unwrap_or_default();
    split(folders, &FolderRule::Form).said
}

/// What the folders of a landed file say for a column.
pub(super) fn said_of(path: &str, column: &str) -> Option<Said> {
    if column == NAME {
        let parts: Vec<&str> = path.split('/').collect();
        let folders = parts.get(1..parts.len().saturating_sub(1)).unwrap_or_default();
        return split(folders, &FolderRule::Form).below().map(|name| Said::named(&name));
    }
    of_path(path).into_iter().find(|said| said.column == column)
}

/// Whether the folders of one of these landed files say something for the column.
pub(crate) fn any_says<'p>(mut paths: impl Iterator<Item = &'p str>, column: &str) -> bool {
    paths.any(|path| said_of(path, column).is_some())
}

fn hive(folder: &str) -> Option<Said> {
    let (key, value) = folder.split_once('=')?;
    let column = clean_column(key);
    if column.is_empty() {
        return None;
    }
    let text = decoded(value);
    Some(Said {
        column,
        key: key.to_owned(),
        text: (!text.is_empty() && text != HIVE_NULL).then_some(text),
    })
}

/// `%20` and its like as the characters they stand for.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [byte, after @ ..] = rest {
        let escaped = match (byte, after) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high * 16 + low);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| value.to_owned())
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The date that begins with the first of these folders, and how many of them it takes.
fn date(folders: &[&str]) -> Option<(Vec<Said>, usize)> {
    let first = *folders.first()?;
    if !first.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Some(text) = whole_date(first) {
        return Some((vec![Said::new(DATE, "date", text)], 1));
    }
    let parts: Vec<&str> = first.split(['-', '_', '.']).collect();
    if let [year, month] = parts.as_slice()
        && let (Some(year), Some(month)) = (year_of(year), month_of(month))
    {
        return Some((year_and_month(year, month), 1));
    }
    let year = year_of(first)?;
    let Some(month) = folders.get(1).and_then(|folder| month_of(folder)) else {
        return Some((vec![Said::new(YEAR, "year", year.to_string())], 1));
    };
    let day = folders.get(2).and_then(|folder| two_digits(folder));
    match day.and_then(|day| NaiveDate::from_ymd_opt(year, month, day)) {
        Some(date) => Some((vec![Said::new(DATE, "year/month/day", date.to_string())], 3)),
        None => Some((year_and_month(year, month), 2)),
    }
}

fn year_and_month(year: i32, month: u32) -> Vec<Said> {
    vec![
        Said::new(YEAR, "year", year.to_string()),
        Said::new(MONTH, "month", month.to_string()),
    ]
}

/// A folder that is a whole date: as ISO where the year comes first, else with `-` between its parts.
fn whole_date(folder: &str) -> Option<String> {
    if folder.len() == 8 && folder.bytes().all(|b| b.is_ascii_digit()) {
        let year = year_of(folder.get(..4)?)?;
        let month = folder.get(4..6)?.parse().ok()?;
        let day = folder.get(6..)?.parse().ok()?;
        return NaiveDate::from_ymd_opt(year, month, day).map(|date| date.to_string());
    }
    let parts: Vec<&str> = folder.split(['-', '_', '.']).collect();
    let [a, b, c] = parts.as_slice() else { return None };
    if let Some(year) = year_of(a) {
        return NaiveDate::from_ymd_opt(year, two_digits(b)?, two_digits(c)?).map(|date| date.to_string());
    }
    let year = year_of(c)?;
    let (a, b) = (two_digits(a)?, two_digits(b)?);
    if folder.contains('.') {
        // With dots between, the day comes first, as in the columns of files.
        return NaiveDate::from_ymd_opt(year, b, a).map(|date| date.to_string());
    }
    let either = NaiveDate::from_ymd_opt(year, b, a).or_else(|| NaiveDate::from_ymd_opt(year, a, b));
    either.map(|_| format!("{a:02}-{b:02}-{year}"))
}

pub(super) fn year_of(text: &str) -> Option<i32> {
    let is_year = text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|year| is_year && (1900..=2099).contains(year))
}

pub(super) fn two_digits(text: &str) -> Option<u32> {
    let is_short = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if is_short { text.parse().ok() } else { None }
}

fn month_of(text: &str) -> Option<u32> {
    let named = || month(text);
    two_digits(text).or_else(named).filter(|month| (1..=12).contains(month))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str) -> Vec<(String, String)> {
        of_path(path)
            .into_iter()
            .map(|said| (said.column, said.text.unwrap_or_else(|| "null".to_owned())))
            .collect()
    }

    #[test]
    fn folders_are_read_by_their_form() {
        for (path, wanted) in [
            ("s/t/year=2026/month=03/a.csv", vec![("year", "2026"), ("month", "03")]),
            ("s/t/Plate ID=a%2Fb/a.csv", vec![("plate_id", "a/b")]),
            ("s/t/site=__HIVE_DEFAULT_PARTITION__/a.csv", vec![("site", "null")]),
            ("s/t/2026/03/14/a.csv", vec![(DATE, "2026-03-14")]),
            ("s/t/2026/Mar/14/a.csv", vec![(DATE, "2026-03-14")]),
            ("s/t/2026-03-14/a.csv", vec![(DATE, "2026-03-14")]),
            ("s/t/20260314/x/a.csv", vec![(DATE, "2026-03-14")]),
            ("s/t/14.03.2026/a.csv", vec![(DATE, "2026-03-14")]),
            ("s/t/14_03_2026/a.csv", vec![(DATE, "14-03-2026")]),
            ("s/t/2026/2026-03/2026-03-14/a.csv", vec![(DATE, "2026-03-14")]),
            ("s/t/2026/03/a.csv", vec![(YEAR, "2026"), (MONTH, "3")]),
            ("s/t/2026/a.csv", vec![(YEAR, "2026")]),
            // What is no date, or no such date, says nothing.
            ("s/t/2026-13-40/a.csv", vec![]),
            ("s/t/0384/a.csv", vec![]),
            ("s/t/12/a.csv", vec![]),
            ("s/t/=x/a.csv", vec![]),
            ("s/t/a=1.csv", vec![]),
        ] {
            let wanted: Vec<(String, String)> = wanted.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
            assert_eq!(said(path), wanted, "{path}");
        }
        let name = |path: &str| said_of(path, NAME).and_then(|said| said.text);
        assert_eq!(name("s/t/2026-03-14/P001/raw/a.csv").as_deref(), Some("P001/raw"));
        assert_eq!((name("s/t/2026/a.csv"), name("s/a.csv")), (None, None));
        let folders = ["runs", "2026", "03", "deep", "lot=7"];
        assert_eq!(split(&folders, &FolderRule::Form).plain, ["runs", "deep"]);
        assert_eq!(split(&folders, &FolderRule::None).plain.len(), 5);
        let named = FolderRule::Named(vec!["project".to_owned(), String::new(), "operator".to_owned()]);
        let named: Vec<String> = split(&["runs", "p1", "x", "ana"], &named)
            .said
            .into_iter()
            .map(|said| format!("{}={}", said.column, said.text.unwrap_or_default()))
            .collect();
        assert_eq!(named, ["project=p1", "operator=ana"]);
    }
}
