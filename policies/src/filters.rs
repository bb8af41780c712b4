//! `filters.toml`: the SQL of row filters and the kinds of masks, by name.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::mask::{Mask, Unit};
use crate::object::ObjectPattern;
use crate::problem::{PolicyErrors, Problem};
use crate::template::Template;

/// The file's name in the policy directory.
pub(crate) const FILE: &str = "filters.toml";
/// Bytes of `filters.toml` at most: room for a thousand entries.
pub(crate) const FILTERS_BYTES_MAX: usize = 1 << 20;

/// A row filter.
#[derive(Debug, Clone)]
pub(crate) struct FilterEntry {
    pub line: usize,
    pub table: ObjectPattern,
    pub template: Template,
}

/// A column mask.
#[derive(Debug, Clone)]
pub(crate) struct MaskEntry {
    pub line: usize,
    pub column: ObjectPattern,
    pub how: MaskHow,
}

/// How a mask makes its value.
#[derive(Debug, Clone)]
pub(crate) enum MaskHow {
    /// A short kind, made without SQL.
    Kind(Mask),
    /// Always NULL.
    Null,
    /// Always this value, cast to the column's type.
    Constant(toml::Value),
    /// SQL over the raw row.
    Sql(Box<Template>),
}

impl MaskHow {
    pub(crate) fn uses_secret(&self) -> bool {
        match self {
            MaskHow::Kind(mask) => matches!(mask, Mask::Hash(_)),
            MaskHow::Sql(template) => template.uses_secret,
            MaskHow::Null | MaskHow::Constant(_) => false,
        }
    }
}

/// Everything `filters.toml` says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entries {
    pub filters: BTreeMap<String, FilterEntry>,
    pub masks: BTreeMap<String, MaskEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    filter: BTreeMap<String, RawFilter>,
    #[serde(default)]
    mask: BTreeMap<String, RawMask>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFilter {
    table: String,
    sql: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMask {
    column: String,
    sql: Option<String>,
    kind: Option<String>,
    value: Option<toml::Value>,
    keep: Option<u32>,
    unit: Option<String>,
    width: Option<toml::Value>,
}

/// Reads `filters.toml`.
pub(crate) fn parse(text: &str, problems: &mut PolicyErrors) -> Entries {
    let mut entries = Entries::default();
    if text.len() > FILTERS_BYTES_MAX {
        let what = format!("the file has {} bytes, more than {FILTERS_BYTES_MAX}", text.len());
        problems.push(Problem::error(
            FILE,
            0,
            what,
            "use one entry for many tables: patterns are allowed in p2 and p3",
        ));
        return entries;
    }
    let raw: RawFile = match toml::from_str(text) {
        Ok(raw) => raw,
        Err(e) => {
            let line = e.span().map_or(0, |span| {
                text.get(..span.start).map_or(0, |head| head.matches('\n').count() + 1)
            });
            problems.push(Problem::error(
                FILE,
                line,
                e.message().to_owned(),
                "keys are: [filter.NAME] table, sql; [mask.NAME] column and sql or kind",
            ));
            return entries;
        }
    };
    for (name, filter) in raw.filter {
        let line = line_of(text, "filter", &name);
        let found = pattern(&filter.table, 3..=3, "table = \"lab/SCHEMA/TABLE\"").and_then(|table| {
            let template = Template::parse(&filter.sql)
                .map_err(|what| (what, "write one SQL condition over the table's columns".to_owned()))?;
            Ok(FilterEntry { line, table, template })
        });
        match found {
            Ok(entry) => drop(entries.filters.insert(name, entry)),
            Err((what, remedy)) => problems.push(Problem::error(FILE, line, format!("filter {name}: {what}"), remedy)),
        }
    }
    for (name, mask) in raw.mask {
        let line = line_of(text, "mask", &name);
        let found = pattern(&mask.column, 4..=usize::MAX, "column = \"lab/SCHEMA/TABLE/COLUMN\"")
            .and_then(|column| how(&mask).map(|how| MaskEntry { line, column, how }));
        match found {
            Ok(entry) => drop(entries.masks.insert(name, entry)),
            Err((what, remedy)) => problems.push(Problem::error(FILE, line, format!("mask {name}: {what}"), remedy)),
        }
    }
    entries
}

type Refusal = (String, String);

fn pattern(text: &str, depth: RangeInclusive<usize>, example: &str) -> Result<ObjectPattern, Refusal> {
    let remedy = || format!("write {example}; stars are allowed");
    let pattern = ObjectPattern::parse(text).map_err(|what| (what, remedy()))?;
    if pattern.depth().is_some_and(|d| !depth.contains(&d)) {
        return Err((format!("`{text}` has the wrong number of parts"), remedy()));
    }
    Ok(pattern)
}

fn how(raw: &RawMask) -> Result<MaskHow, Refusal> {
    let given = [
        ("value", raw.value.is_some()),
        ("keep", raw.keep.is_some()),
        ("unit", raw.unit.is_some()),
        ("width", raw.width.is_some()),
    ];
    let (wanted, how) = match (&raw.sql, raw.kind.as_deref()) {
        (Some(sql), None) => {
            let template = Template::parse(sql)
                .map_err(|what| (what, "write one SQL expression over the table's columns".to_owned()))?;
            (None, MaskHow::Sql(Box::new(template)))
        }
        (None, Some("null")) => (None, MaskHow::Null),
        (None, Some("hash")) => (None, MaskHow::Kind(Mask::Hash(Vec::new()))),
        (None, Some("constant")) => (
            Some("value"),
            MaskHow::Constant(needed(raw.value.clone(), "value = …")?),
        ),
        (None, Some("partial")) => (
            Some("keep"),
            MaskHow::Kind(Mask::Partial(needed(raw.keep, "keep = 3")?)),
        ),
        (None, Some("date_trunc")) => {
            let unit = needed(raw.unit.as_deref(), "unit = \"month\"")?;
            let unit: Unit = unit
                .parse()
                .map_err(|()| (format!("unit `{unit}` is not known"), Unit::WORDS.to_owned()))?;
            (Some("unit"), MaskHow::Kind(Mask::Truncate(unit)))
        }
        (None, Some("bucket")) => (
            Some("width"),
            MaskHow::Kind(bucket(&needed(raw.width.clone(), "width = 10")?)?),
        ),
        (None, Some(kind)) => {
            return Err((
                format!("kind `{kind}` is not known"),
                "use null, constant, hash, partial, date_trunc, bucket, or sql = \"…\"".to_owned(),
            ));
        }
        (Some(_), Some(_)) => return Err(("it has both sql and kind".to_owned(), "keep one of them".to_owned())),
        (None, None) => {
            return Err((
                "it has neither sql nor kind".to_owned(),
                "add kind = \"hash\", or sql = \"…\"".to_owned(),
            ));
        }
    };
    match given.iter().find(|(key, there)| *there && Some(*key) != wanted) {
        Some((key, _)) => Err((format!("`{key}` means nothing for this kind"), format!("remove {key}"))),
        None => Ok(how),
    }
}

fn needed<T>(value: Option<T>, example: &str) -> Result<T, Refusal> {
    value.ok_or_else(|| ("a setting of this kind is missing".to_owned(), format!("add {example}")))
}

fn bucket(width: &toml::Value) -> Result<Mask, Refusal> {
    match width {
        toml::Value::Integer(width) if *width > 0 => Ok(Mask::Bucket(*width as f64)),
        toml::Value::Float(width) if width.is_finite() && *width > 0.0 => Ok(Mask::Bucket(*width)),
        other => Err((
            format!("width = {other} is not a number above zero"),
            "write width = 10".to_owned(),
        )),
    }
}

/// Line of `[section.name]`; 0 when it is written in another way.
fn line_of(text: &str, section: &str, name: &str) -> usize {
    let wanted = [format!("[{section}.{name}]"), format!("[{section}.\"{name}\"]")];
    text.lines()
        .position(|line| wanted.iter().any(|w| line.trim_start().starts_with(w)))
        .map_or(0, |at| at + 1)
}
