//! Masks twice: as `filters.toml` has them, and computed by hand.

use chrono::{DateTime, Datelike, Timelike};
use sha2::{Digest, Sha256};

use super::condition::{Attributes, Condition};
use super::rng::Rng;
use super::table::Table;
use super::value::{Kind, TextAs, Value, date_text, decimal_text};

/// The secret of the policies under test.
pub(crate) const SECRET: &str = "a-secret-of-more-than-16-characters";

#[derive(Debug, Clone)]
pub(crate) enum Mask {
    Null,
    Constant(Value),
    Hash,
    Partial(usize),
    Truncate(&'static str),
    Bucket(f64),
    /// `CASE WHEN … THEN column END`
    When(Condition),
    /// `concat(left(column, n), '~')`
    Left(usize),
    Upper,
}

impl Mask {
    /// A mask that fits the column.
    pub(crate) fn random(rng: &mut Rng, table: &Table, column: usize) -> Mask {
        let kind = &table.columns[column].kind;
        if rng.chance(25) {
            return Mask::Null;
        }
        // Masks that make texts fit plain texts only; on a dictionary they close the table, with the reason.
        if *kind == Kind::Text(TextAs::Dictionary) {
            return Mask::Constant(Value::Text("masked".to_owned()));
        }
        if rng.chance(15) {
            return Mask::When(Condition::random(rng, table, 1));
        }
        match kind {
            Kind::Text(_) => match rng.below(6) {
                0 => Mask::Constant(Value::Text("masked".to_owned())),
                1 => Mask::Partial(rng.below(4)),
                2 => Mask::Left(rng.below(3)),
                3 => Mask::Upper,
                _ => Mask::Hash,
            },
            Kind::Int32 | Kind::Int64 if rng.chance(70) => Mask::Bucket(*rng.pick(&[3.0, 10.0, 2.5])),
            Kind::Float32 | Kind::Float64 if rng.chance(70) => Mask::Bucket(*rng.pick(&[10.0, 0.5])),
            Kind::Int32 | Kind::Int64 => Mask::Constant(Value::Int(7)),
            Kind::Float32 | Kind::Float64 => Mask::Constant(Value::Float(1.5)),
            Kind::Bool => Mask::Constant(Value::Bool(true)),
            Kind::Decimal(_, _) => Mask::Constant(Value::Decimal(150)),
            Kind::Date | Kind::Moment { .. } if rng.chance(80) => {
                Mask::Truncate(rng.pick::<&str>(&["year", "quarter", "month", "day"]))
            }
            Kind::Date => Mask::Constant(Value::Date(0)),
            Kind::Moment { .. } | Kind::Bytes | Kind::List(_) | Kind::Struct(_) => Mask::Null,
        }
    }

    /// The lines below `[mask.…] column = …`.
    pub(crate) fn toml(&self, table: &Table, column: usize) -> String {
        let name = &table.columns[column].name;
        match self {
            Mask::Null => "kind = \"null\"".to_owned(),
            Mask::Constant(value) => format!(
                "kind = \"constant\"\nvalue = {}",
                match value {
                    Value::Text(text) => format!("\"{text}\""),
                    Value::Date(days) => format!("\"{}\"", date_text(*days)),
                    Value::Decimal(d) => format!("\"{}\"", decimal_text(*d, 2)),
                    Value::Float(f) => format!("{f:?}"),
                    Value::Int(n) => n.to_string(),
                    Value::Bool(b) => b.to_string(),
                    other => panic!("no constant of {other:?}"),
                }
            ),
            Mask::Hash => "kind = \"hash\"".to_owned(),
            Mask::Partial(keep) => format!("kind = \"partial\"\nkeep = {keep}"),
            Mask::Truncate(unit) => format!("kind = \"date_trunc\"\nunit = \"{unit}\""),
            Mask::Bucket(width) if width.fract() == 0.0 => format!("kind = \"bucket\"\nwidth = {}", *width as i64),
            Mask::Bucket(width) => format!("kind = \"bucket\"\nwidth = {width:?}"),
            Mask::When(condition) => {
                let sql = format!("CASE WHEN {} THEN {name} END", condition.sql(table));
                format!("sql = {}", toml_text(&sql))
            }
            Mask::Left(keep) => format!("sql = \"concat(left({name}, {keep}), '~')\""),
            Mask::Upper => format!("sql = \"upper({name})\""),
        }
    }

    /// What the person sees in place of the value.
    pub(crate) fn apply(&self, row: &[Value], column: usize, kind: &Kind, who: &Attributes) -> Value {
        let raw = &row[column];
        match (self, raw) {
            (Mask::Null, _) => Value::Null,
            (Mask::Constant(value), _) => value.clone(),
            (Mask::When(condition), raw) => match condition.holds(row, who) {
                Some(true) => raw.clone(),
                _ => Value::Null,
            },
            (Mask::Left(_), Value::Null) => Value::Text("~".to_owned()),
            (_, Value::Null) => Value::Null,
            (Mask::Hash, Value::Text(text)) => Value::Text(hmac(text)),
            (Mask::Partial(keep), Value::Text(text)) => {
                let shown: String = text.chars().take(*keep).collect();
                let whole = text.chars().count() <= *keep;
                Value::Text(if whole { "***".to_owned() } else { format!("{shown}***") })
            }
            (Mask::Left(keep), Value::Text(text)) => {
                Value::Text(format!("{}~", text.chars().take(*keep).collect::<String>()))
            }
            (Mask::Upper, Value::Text(text)) => Value::Text(text.to_uppercase()),
            (Mask::Bucket(width), Value::Int(n)) => bucket(*n, *width, kind),
            (Mask::Bucket(width), Value::Float(f)) => {
                let cut = (f / width).floor() * width;
                Value::Float(if *kind == Kind::Float32 {
                    f64::from(cut as f32)
                } else {
                    cut
                })
            }
            (Mask::Truncate(unit), Value::Date(days)) => {
                Value::Date(i32::try_from(truncate(unit, i64::from(*days) * 86_400_000_000) / 86_400_000_000).unwrap())
            }
            (Mask::Truncate(unit), Value::Moment(micros)) => Value::Moment(truncate(unit, *micros)),
            (mask, value) => panic!("{mask:?} does not fit {value:?}"),
        }
    }
}

fn bucket(n: i64, width: f64, kind: &Kind) -> Value {
    let cut = match width.fract() == 0.0 {
        true => n.div_euclid(width as i64) * width as i64,
        false => ((n as f64 / width).floor() * width) as i64,
    };
    match *kind == Kind::Int32 && i32::try_from(cut).is_err() {
        true => Value::Null,
        false => Value::Int(cut),
    }
}

fn truncate(unit: &str, micros: i64) -> i64 {
    let at = DateTime::from_timestamp_micros(micros).unwrap().naive_utc();
    let day = at.date();
    let cut = match unit {
        "year" => day.with_ordinal(1).unwrap(),
        "quarter" => day.with_day(1).unwrap().with_month(day.month0() / 3 * 3 + 1).unwrap(),
        "month" => day.with_day(1).unwrap(),
        _ => day,
    };
    let cut = cut.and_hms_opt(0, 0, 0).unwrap();
    assert!(cut.hour() == 0 && cut <= at);
    cut.and_utc().timestamp_micros()
}

/// HMAC-SHA256 as RFC 2104 writes it down.
fn hmac(text: &str) -> String {
    let mut key = [0_u8; 64];
    key[..SECRET.len()].copy_from_slice(SECRET.as_bytes());
    let pad = |with: u8| key.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    let outer = Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text as TOML holds it.
pub(crate) fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
