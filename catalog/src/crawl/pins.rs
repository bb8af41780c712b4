//! `_labhouse.toml` in a landing folder: what an administrator says of the files in it and below it. The nearest one
//! alone decides. Whatever is not said is found out from the file.
//!
//! ```toml
//! table = "plate_readings"        # the table of these files, instead of the one their path names
//! skip = ["*.log", "draft_*"]     # names of files that are left alone; * is any text, ? any character
//! group = "folder"                # which files are one table: see [`Group`]
//! folders = ["project", "site"]   # names of the folders below <schema>/<table>/ as columns; "none": no columns of folders
//!
//! [read]                          # delimited text and sheets
//! delimiter = ";"                 # one character, "tab" or "space" (runs of spaces)
//! encoding = "windows-1252"       # a label of the WHATWG's encoding standard
//! skip_lines = 3                  # lines, or rows of a sheet, that are not looked at
//! skip_footer = 1                 # the same at the end, blank ones not counted
//! comment = "#"                   # what a line that is not looked at begins with
//! quote = "'"                     # what cells are quoted with
//! sheet = "Results"               # the only sheet of a workbook that is read
//! header_row = 12                 # the line or row of the header, from 1; 0: there is none
//! decimal = ","                   # or "."
//! date_order = "dmy"              # or "mdy", "ymd"
//!
//! [types]                         # of columns, by their names in the table
//! lot = "text"                    # text, number, integer, boolean, date or timestamp
//! ```
//!
//! What is said here is part of what a loaded file is known by: when it changes, the files it is about are read again and
//! their rows replaced. A folder whose settings cannot be read waits; its loaded rows stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::LakeError;
use crate::formats::{DateOrder, Decimal, Pinned, PinnedType};
use crate::lake::Lake;
use crate::name::{TableName, clean_column};

use super::folders::FolderRule;
use super::landing::{self, Content, Listing};
use super::quarantine::hex;

/// The name of such a file.
pub(crate) const FILE: &str = "_labhouse.toml";
/// Settings are some lines.
const BYTES_MAX: u64 = 64 << 10;
/// Digits of the digest that marks a loaded file.
const MARK_DIGITS: usize = 12;

/// Which files below a folder are one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Group {
    /// Those of one table's folder whose columns are alike; the others make tables beside it. Where settings say the table,
    /// [`Group::Folder`] is meant unless they say otherwise.
    #[default]
    Columns,
    /// All of one table's folder, whatever their columns.
    Folder,
    /// Those whose names differ in dates and numbers alone.
    Name,
    /// Each by itself.
    File,
}

/// The settings of one folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    /// Where they stand, below `landing/`.
    pub(crate) path: String,
    table: Option<String>,
    skip: Vec<String>,
    pub(crate) group: Group,
    pub(crate) folders: FolderRule,
    pub(crate) reading: Pinned,
    /// Tells the settings that matter for a loaded file from any others; empty when there are none.
    pub(crate) mark: String,
}

/// All settings by folder, or why they cannot be used.
pub(crate) type Pins = BTreeMap<String, Result<Arc<Pin>, String>>;

/// The settings read so far, each with the stamp of its file.
pub(crate) type Seen = BTreeMap<String, (String, Result<Arc<Pin>, String>)>;

/// The settings of the nearest folder above a file.
pub(crate) fn of<'p>(pins: &'p Pins, path: &str) -> Option<&'p Result<Arc<Pin>, String>> {
    let mut folder = path;
    while let Some((above, _)) = folder.rsplit_once('/') {
        if let Some(found) = pins.get(above) {
            return Some(found);
        }
        folder = above;
    }
    pins.get("")
}

/// Reads the settings that the listing shows; those that did not change are taken from before.
///
/// # Errors
/// The lake cannot be read.
pub(crate) async fn read(
    lake: &Lake,
    listing: &Listing,
    seen: &Mutex<Seen>,
    settle_before: Option<DateTime<Utc>>,
) -> Result<Pins, LakeError> {
    let before = std::mem::take(&mut *seen.lock());
    let mut now = Seen::new();
    let mut pins = Pins::new();
    let is_settings = |path: &str| path == FILE || path.strip_suffix(FILE).is_some_and(|folder| folder.ends_with('/'));
    for file in listing.files.iter().filter(|file| is_settings(&file.path)) {
        let folder = file.path.strip_suffix(FILE).unwrap_or_default().trim_end_matches('/');
        let pin = match before.get(&file.path).filter(|(stamp, _)| *stamp == file.stamp) {
            Some((_, pin)) => pin.clone(),
            None if settle_before.is_some_and(|time| file.modified > time) => {
                // Half a file of settings may be a whole one of others.
                pins.insert(
                    folder.to_owned(),
                    Err(format!("{} was written to a moment ago", file.path)),
                );
                continue;
            }
            None if file.bytes > BYTES_MAX => Err(format!("{} is larger than {BYTES_MAX} bytes", file.path)),
            None => match landing::read(lake, file).await? {
                Content::Stable(bytes) => Pin::parse(&file.path, &bytes).map(Arc::new),
                Content::Moving => {
                    pins.insert(
                        folder.to_owned(),
                        Err(format!("{} changed while it was read", file.path)),
                    );
                    continue;
                }
            },
        };
        now.insert(file.path.clone(), (file.stamp.clone(), pin.clone()));
        pins.insert(folder.to_owned(), pin);
    }
    *seen.lock() = now;
    Ok(pins)
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    table: Option<String>,
    skip: Vec<String>,
    group: Option<Group>,
    folders: Option<toml::Value>,
    read: Reading,
    types: BTreeMap<String, PinnedType>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Reading {
    delimiter: Option<String>,
    encoding: Option<String>,
    skip_lines: u64,
    skip_footer: u64,
    comment: Option<char>,
    quote: Option<char>,
    sheet: Option<String>,
    header_row: Option<u64>,
    decimal: Option<Decimal>,
    date_order: Option<DateOrder>,
}

impl Pin {
    /// # Errors
    /// In words, with the file and where in it.
    pub(crate) fn parse(path: &str, bytes: &[u8]) -> Result<Self, String> {
        let refuse = |why: String| format!("{path}: {}", why.trim_end());
        let text = std::str::from_utf8(bytes).map_err(|error| refuse(format!("it is not UTF-8 ({error})")))?;
        let settings: Settings =
            toml::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| refuse(error.to_string()))?;
        let reading = settings.reading().map_err(refuse)?;
        let folders = folder_rule(settings.folders.as_ref()).map_err(refuse)?;
        // Whoever says the table means all of these files.
        let implied = if settings.table.is_some() {
            Group::Folder
        } else {
            Group::Columns
        };
        let group = settings.group.unwrap_or(implied);
        let table = match settings.table {
            Some(table) if TableName::clean(&table) != table => {
                let clean = TableName::clean(&table);
                return Err(refuse(format!("table = {table:?} is no table's name: write {clean:?}")));
            }
            table => table,
        };
        let plain = settings.group.is_none() && folders == FolderRule::default();
        let mark = if table.is_none() && reading == Pinned::default() && plain {
            String::new()
        } else {
            let said = if plain {
                serde_json::to_string(&(&table, &reading))
            } else {
                serde_json::to_string(&(&table, &reading, group, &folders))
            };
            let said = said.map_err(|error| refuse(error.to_string()))?;
            hex(&Sha256::digest(said.as_bytes()))
                .chars()
                .take(MARK_DIGITS)
                .collect()
        };
        Ok(Self {
            path: path.to_owned(),
            table,
            skip: settings.skip,
            group,
            folders,
            reading,
            mark,
        })
    }

    /// The table of a file that its path alone would put into `named`.
    pub(crate) fn table(&self, named: &TableName) -> TableName {
        TableName {
            schema: named.schema.clone(),
            table: self.table.clone().unwrap_or_else(|| named.table.clone()),
        }
    }

    /// Whether the table is said here.
    pub(crate) fn names_table(&self) -> bool {
        self.table.is_some()
    }

    /// The pattern that says to leave a file of this name alone.
    pub(crate) fn skips(&self, name: &str) -> Option<&str> {
        self.skip
            .iter()
            .map(String::as_str)
            .find(|pattern| matches(pattern, name))
    }
}

/// `folders = "none"`, or a list of names.
fn folder_rule(said: Option<&toml::Value>) -> Result<FolderRule, String> {
    let wanted = "it is \"none\" or a list of names for the folders below <schema>/<table>/, such as [\"project\", \"operator\"]";
    match said {
        None => Ok(FolderRule::Form),
        Some(toml::Value::String(word)) if word == "none" => Ok(FolderRule::None),
        Some(toml::Value::Array(names)) => {
            let mut rule = Vec::with_capacity(names.len());
            for name in names {
                let name = name.as_str().ok_or_else(|| format!("folders = {name}: {wanted}"))?;
                if clean_column(name) != name {
                    return Err(format!(
                        "folders: {name:?} is no column's name: write {:?}",
                        clean_column(name)
                    ));
                }
                if !name.is_empty() && rule.iter().any(|known| known == name) {
                    return Err(format!("folders: {name:?} is there twice"));
                }
                rule.push(name.to_owned());
            }
            Ok(FolderRule::Named(rule))
        }
        Some(other) => Err(format!("folders = {other}: {wanted}")),
    }
}

impl Settings {
    fn reading(&self) -> Result<Pinned, String> {
        let read = &self.read;
        let delimiter = match read.delimiter.as_deref() {
            None => None,
            Some("tab") => Some('\t'),
            Some("space") => Some(' '),
            Some(text) => {
                let mut characters = text.chars();
                match (characters.next(), characters.next()) {
                    (Some(one), None) if !one.is_alphanumeric() && !matches!(one, '"' | '\n' | '\r') => Some(one),
                    _ => {
                        return Err(format!(
                            "read.delimiter = {text:?}: it is one character that is no letter, digit or quote, or \"tab\" or \"space\""
                        ));
                    }
                }
            }
        };
        if let Some(label) = &read.encoding
            && encoding_rs::Encoding::for_label(label.as_bytes()).is_none()
        {
            return Err(format!(
                "read.encoding = {label:?} is no known encoding, such as \"utf-8\" or \"windows-1252\""
            ));
        }
        if let Some(row) = read.header_row.filter(|row| *row > 0 && *row <= read.skip_lines) {
            return Err(format!(
                "read.header_row = {row} lies within the {} lines of read.skip_lines",
                read.skip_lines
            ));
        }
        for (key, sign) in [("comment", read.comment), ("quote", read.quote)] {
            if let Some(sign) = sign.filter(|sign| sign.is_alphanumeric() || sign.is_whitespace()) {
                return Err(format!(
                    "read.{key} = {sign:?}: it is one character that is no letter, digit or space"
                ));
            }
        }
        if let Some(quote) = read.quote.filter(|quote| delimiter == Some(*quote)) {
            return Err(format!("read.quote = {quote:?} is the delimiter too"));
        }
        let unclean = self.types.keys().find(|name| clean_column(name) != **name);
        if let Some(name) = unclean {
            return Err(format!(
                "types.{name:?}: in the table the column is called {:?}",
                clean_column(name)
            ));
        }
        Ok(Pinned {
            in_table: BTreeMap::new(),
            delimiter,
            skip_lines: read.skip_lines,
            skip_footer: read.skip_footer,
            comment: read.comment,
            quote: read.quote,
            sheet: read.sheet.clone(),
            header_row: read.header_row,
            decimal: read.decimal,
            date_order: read.date_order,
            encoding: read.encoding.clone(),
            types: self.types.clone(),
        })
    }
}

/// `*` is any text, `?` any one character, all else itself, without regard to case.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let (mut at, mut in_name) = (0, 0);
    // Where the last star stands, and how much of the name it takes so far.
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || Some(wanted) == name.get(in_name) => {
                at += 1;
                in_name += 1;
            }
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    at = place + 1;
                    in_name = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|character| *character == '*'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, yes) in [
            ("*.log", "a.LOG", true),
            ("*.log", "a.log.csv", false),
            ("draft_*", "draft_1.csv", true),
            ("run?.csv", "run7.csv", true),
            ("run?.csv", "run17.csv", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "ab a", false),
            ("", "a", false),
            ("*", "anything", true),
        ] {
            assert_eq!(matches(pattern, name), yes, "{pattern} {name}");
        }
    }

    #[test]
    fn settings_are_read_or_refused_with_the_place() {
        let pin = Pin::parse(
            "a/_labhouse.toml",
            b"table = \"runs\"\nskip = [\"*.log\"]\n[read]\ndelimiter = \"tab\"\nheader_row = 3\ndecimal = \",\"\ndate_order = \"dmy\"\n[types]\nlot = \"text\"\n",
        )
        .unwrap();
        assert_eq!(pin.table(&TableName::new("a", "b")), TableName::new("a", "runs"));
        assert_eq!((pin.reading.delimiter, pin.reading.header_row), (Some('\t'), Some(3)));
        assert_eq!(pin.mark.len(), MARK_DIGITS);
        let grouped = Pin::parse("a/_labhouse.toml", b"group = \"folder\"\nfolders = \"none\"").unwrap();
        assert_eq!((grouped.group, grouped.folders), (Group::Folder, FolderRule::None));
        assert_eq!(grouped.mark.len(), MARK_DIGITS);
        let table = |text: &str| Pin::parse("a/_labhouse.toml", text.as_bytes()).unwrap().group;
        assert_eq!(table("table = \"x\""), Group::Folder);
        assert_eq!(table("table = \"x\"\ngroup = \"columns\""), Group::Columns);
        // Leaving files alone changes nothing of those that are loaded.
        assert_eq!(Pin::parse("_labhouse.toml", b"skip = [\"*.log\"]").unwrap().mark, "");
        for (text, says) in [
            ("tabel = \"x\"", "unknown field `tabel`"),
            ("[read]\ndelimiter = \";;\"", "one character"),
            ("[read]\ndecimal = \";\"", "line 2"),
            ("[read]\ndate_order = \"ddmmyy\"", "unknown variant"),
            ("[read]\nencoding = \"klingon\"", "no known encoding"),
            ("[read]\nskip_lines = 5\nheader_row = 4", "lies within"),
            ("[read]\ncomment = \"//\"", "expected a character"),
            ("[read]\nquote = \"a\"", "no letter"),
            ("[read]\nquote = \"|\"\ndelimiter = \"|\"", "the delimiter too"),
            ("[types]\nlot = \"varchar\"", "unknown variant `varchar`"),
            ("[types]\n\"Lot No\" = \"text\"", "\"lot_no\""),
            ("table = \"My Runs\"", "\"my_runs\""),
            ("group = \"size\"", "unknown variant `size`"),
            ("folders = \"all\"", "\"none\" or a list"),
            ("folders = [\"Plate ID\"]", "\"plate_id\""),
            ("folders = [\"a\", \"\", \"\", \"a\"]", "twice"),
            ("table =", "line 1"),
        ] {
            let error = Pin::parse("a/_labhouse.toml", text.as_bytes()).unwrap_err();
            assert!(
                error.contains(says) && error.starts_with("a/_labhouse.toml: "),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn the_example_is_what_it_says() {
        let text = include_bytes!("../../../examples/_labhouse.toml");
        let pin = Pin::parse("a/_labhouse.toml", text).unwrap();
        assert_eq!(pin.skips("draft_7.csv"), Some("draft_*"));
        assert_eq!(pin.group, Group::Columns);
        let folders = FolderRule::Named(vec!["project".to_owned(), String::new(), "operator".to_owned()]);
        assert_eq!(pin.folders, folders);
        assert_eq!(pin.reading.decimal, Some(Decimal::Comma));
        assert_eq!(pin.reading.date_order, Some(DateOrder::Dmy));
        assert_eq!(pin.reading.types.len(), 2);
    }

    #[test]
    fn the_nearest_folder_decides() {
        let pin = |path: &str| Pin::parse(path, b"").map(Arc::new);
        let pins = Pins::from([
            (String::new(), pin("_labhouse.toml")),
            ("a".to_owned(), pin("a/_labhouse.toml")),
            ("a/b/c".to_owned(), pin("a/b/c/_labhouse.toml")),
        ]);
        let path = |file: &str| of(&pins, file).unwrap().as_ref().unwrap().path.clone();
        assert_eq!(path("a/b/c/x.csv"), "a/b/c/_labhouse.toml");
        assert_eq!(path("a/b/x.csv"), "a/_labhouse.toml");
        assert_eq!(path("b/x.csv"), "_labhouse.toml");
    }
}
