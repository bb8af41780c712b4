//! Types and literals of a plan, written in SQL.

use std::slice::Iter;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use chrono::{Days, NaiveDate};

use super::messages::{
    DecimalType, DecimalValue, IntervalDay, IntervalYear, ListType, Literal, LiteralKind, NamedStruct, Precise, Type,
    TypeKind,
};
use super::{Made, Writer, invalid, quoted, unsupported};
use crate::query::QueryError;

/// The variation by which the engine's own plans mean unsigned whole numbers.
const UNSIGNED: u32 = 1;
/// The variation of maps that are dictionaries.
const DICTIONARY: u32 = 1;
/// The names of types of the engine that the format has not.
const NULL_TYPE: &str = "null";
const HALF_TYPE: &str = "fp16";

/// What is known of a column besides its place: the fields within, and how many names they take.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    /// Shared: a column may be named again and again.
    pub(super) fields: Arc<[(String, Shape)]>,
    /// Names below this column, in lists and maps, too.
    pub(super) names: usize,
}

/// The columns that a base schema names.
pub(super) fn columns(schema: Option<&NamedStruct>) -> Made<Vec<(String, Shape)>> {
    let Some(schema) = schema else {
        return Err(invalid("a read has no base schema"));
    };
    let types = schema.types.as_ref().map(|types| types.types.as_slice());
    let mut names = schema.names.iter();
    let columns = types
        .unwrap_or_default()
        .iter()
        .map(|kind| field(&mut names, kind))
        .collect::<Made<Vec<_>>>()?;
    match names.next() {
        None => Ok(columns),
        Some(_) => Err(invalid("a base schema has more names than types")),
    }
}

fn field(names: &mut Iter<'_, String>, kind: &Type) -> Made<(String, Shape)> {
    let Some(name) = names.next() else {
        return Err(invalid("a base schema has fewer names than types"));
    };
    Ok((name.clone(), shape(names, kind)?))
}

fn shape(names: &mut Iter<'_, String>, kind: &Type) -> Made<Shape> {
    let before = names.len();
    let mut fields = Vec::new();
    match &kind.kind {
        Some(TypeKind::Struct(inner)) => {
            for kind in &inner.types {
                fields.push(field(names, kind)?);
            }
        }
        Some(TypeKind::List(list)) => {
            if let Some(element) = &list.element {
                shape(names, element)?;
            }
        }
        Some(TypeKind::Map(map)) => {
            for part in [&map.key, &map.value].into_iter().flatten() {
                shape(names, part)?;
            }
        }
        _ => {}
    }
    Ok(Shape {
        fields: fields.into(),
        names: before - names.len(),
    })
}

impl Writer<'_> {
    /// `CAST(what AS …)`; without a target, for the type of NULL alone, `what` itself.
    pub(super) fn cast(&self, what: &str, target: &Type, or_null: bool) -> Made<String> {
        Ok(match self.data_type(target)? {
            DataType::Null => what.to_owned(),
            data_type => cast(what, &data_type, or_null),
        })
    }

    fn data_type(&self, kind: &Type) -> Made<DataType> {
        let Some(kind) = &kind.kind else {
            return Err(unsupported("a type that this server does not know"));
        };
        Ok(match kind {
            TypeKind::Bool(_) => DataType::Boolean,
            TypeKind::I8(plain) => integer(plain.variation, DataType::Int8, DataType::UInt8)?,
            TypeKind::I16(plain) => integer(plain.variation, DataType::Int16, DataType::UInt16)?,
            TypeKind::I32(plain) => integer(plain.variation, DataType::Int32, DataType::UInt32)?,
            TypeKind::I64(plain) => integer(plain.variation, DataType::Int64, DataType::UInt64)?,
            TypeKind::Fp32(_) => DataType::Float32,
            TypeKind::Fp64(_) => DataType::Float64,
            TypeKind::String(_) | TypeKind::FixedChar(_) | TypeKind::VarChar(_) => DataType::Utf8,
            TypeKind::Binary(_) | TypeKind::FixedBinary(_) => DataType::Binary,
            TypeKind::Date(_) => DataType::Date32,
            TypeKind::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
            TypeKind::TimestampTz(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            TypeKind::PrecisionTimestamp(precise) => DataType::Timestamp(unit(precise.precision)?, None),
            TypeKind::PrecisionTimestampTz(precise) => {
                DataType::Timestamp(unit(precise.precision)?, Some("UTC".into()))
            }
            TypeKind::Time(_) => DataType::Time64(TimeUnit::Microsecond),
            TypeKind::PrecisionTime(precise) => time(unit(precise.precision)?),
            TypeKind::IntervalYear(_) | TypeKind::IntervalDay(_) | TypeKind::IntervalCompound(_) => {
                DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano)
            }
            TypeKind::Decimal(decimal) => decimal_type(decimal)?,
            TypeKind::List(list) => self.list_type(list)?,
            TypeKind::Map(map) if map.variation == DICTIONARY => match &map.value {
                Some(value) => self.data_type(value)?,
                None => return Err(invalid("a map type has no type of its values")),
            },
            TypeKind::UserDefined(own) => match self.types.get(&own.reference).copied() {
                Some(NULL_TYPE) => DataType::Null,
                Some(HALF_TYPE) => DataType::Float16,
                _ => return Err(unsupported("a user-defined type")),
            },
            TypeKind::Struct(_) => return Err(unsupported("a conversion to a struct")),
            TypeKind::Map(_) => return Err(unsupported("a conversion to a map")),
            TypeKind::Uuid(_) => return Err(unsupported("the type UUID")),
        })
    }

    fn list_type(&self, list: &ListType) -> Made<DataType> {
        match &list.element {
            Some(element) => Ok(DataType::new_list(self.data_type(element)?, true)),
            None => Err(invalid("a list type has no type of its elements")),
        }
    }

    pub(super) fn literal(&mut self, literal: &Literal) -> Made<String> {
        let text = self.literal_text(literal)?;
        self.spend(text.len())?;
        Ok(text)
    }

    fn literal_text(&mut self, literal: &Literal) -> Made<String> {
        let Some(kind) = &literal.kind else {
            return Err(unsupported("a literal of a kind that this server does not know"));
        };
        let whole = |value: i64, signed, unsigned, bits: u32| {
            let data_type = integer(literal.variation, signed, unsigned)?;
            Ok::<_, QueryError>(match literal.variation {
                UNSIGNED => number(value.cast_unsigned() & (u64::MAX >> (64 - bits)), &data_type),
                _ => number(value, &data_type),
            })
        };
        Ok(match kind {
            LiteralKind::Boolean(truth) => truth.to_string(),
            LiteralKind::I8(value) => whole((*value).into(), DataType::Int8, DataType::UInt8, 8)?,
            LiteralKind::I16(value) => whole((*value).into(), DataType::Int16, DataType::UInt16, 16)?,
            LiteralKind::I32(value) => whole((*value).into(), DataType::Int32, DataType::UInt32, 32)?,
            LiteralKind::I64(value) => whole(*value, DataType::Int64, DataType::UInt64, 64)?,
            LiteralKind::Fp32(value) => number(format!("{value:?}"), &DataType::Float32),
            LiteralKind::Fp64(value) => number(format!("{value:?}"), &DataType::Float64),
            LiteralKind::String(text) | LiteralKind::FixedChar(text) => self::text(text),
            LiteralKind::VarChar(text) => self::text(&text.value),
            LiteralKind::Binary(bytes) | LiteralKind::FixedBinary(bytes) => hexadecimal(bytes),
            LiteralKind::Date(days) => date(*days)?,
            LiteralKind::Timestamp(value) => moment(6, *value, None)?,
            LiteralKind::TimestampTz(value) => moment(6, *value, Some("UTC"))?,
            LiteralKind::PrecisionTimestamp(Precise { precision, value }) => moment(*precision, *value, None)?,
            LiteralKind::PrecisionTimestampTz(Precise { precision, value }) => moment(*precision, *value, Some("UTC"))?,
            LiteralKind::Time(value) => counted(*value, &time(TimeUnit::Microsecond)),
            LiteralKind::PrecisionTime(Precise { precision, value }) => counted(*value, &time(unit(*precision)?)),
            LiteralKind::IntervalYear(years) => interval(Some(years), None)?,
            LiteralKind::IntervalDay(days) => interval(None, Some(days))?,
            LiteralKind::IntervalCompound(both) => interval(both.years.as_ref(), both.days.as_ref())?,
            LiteralKind::Decimal(decimal) => self::decimal(decimal)?,
            LiteralKind::Null(kind) => self.cast("NULL", kind, false)?,
            LiteralKind::List(list) => {
                let values = list.values.iter().map(|value| self.literal(value));
                call("make_array", &values.collect::<Made<Vec<_>>>()?)
            }
            LiteralKind::EmptyList(list) => cast("make_array()", &self.list_type(list)?, false),
            LiteralKind::Struct(_) => return Err(unsupported("a literal struct")),
            LiteralKind::Map(_) | LiteralKind::EmptyMap(_) => return Err(unsupported("a literal map")),
            LiteralKind::Uuid(_) => return Err(unsupported("a literal UUID")),
            LiteralKind::UserDefined(_) => return Err(unsupported("a literal of a user-defined type")),
        })
    }
}

/// A call of a function by its name, whatever else that word may mean in SQL.
pub(super) fn call(name: &str, arguments: &[String]) -> String {
    format!("{}({})", quoted(name), arguments.join(", "))
}

/// Text in quotes; nothing in it ends them.
pub(super) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn cast(what: &str, target: &DataType, or_null: bool) -> String {
    let word = match target {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INT",
        DataType::Int64 => "BIGINT",
        DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8 => "VARCHAR",
        DataType::Date32 => "DATE",
        other => {
            let function = if or_null { "arrow_try_cast" } else { "arrow_cast" };
            return call(function, &[what.to_owned(), text(&other.to_string())]);
        }
    };
    match or_null {
        true => format!("TRY_CAST({what} AS {word})"),
        false => format!("CAST({what} AS {word})"),
    }
}

fn integer(variation: u32, signed: DataType, unsigned: DataType) -> Made<DataType> {
    match variation {
        0 => Ok(signed),
        UNSIGNED => Ok(unsigned),
        _ => Err(unsupported("a variation of a type")),
    }
}

/// A number from its digits in quotes: neither its sign nor its size is read by anything but the conversion.
fn number(value: impl ToString, data_type: &DataType) -> String {
    cast(&text(&value.to_string()), data_type, false)
}

/// Units counted from where a type begins to count.
fn counted(value: i64, data_type: &DataType) -> String {
    let count = match data_type {
        DataType::Time32(_) => number(value, &DataType::Int32),
        _ => number(value, &DataType::Int64),
    };
    cast(&count, data_type, false)
}

fn moment(precision: i32, value: i64, zone: Option<&str>) -> Made<String> {
    let data_type = DataType::Timestamp(unit(precision)?, zone.map(Into::into));
    Ok(counted(value, &data_type))
}

fn unit(precision: i32) -> Made<TimeUnit> {
    match precision {
        0 => Ok(TimeUnit::Second),
        3 => Ok(TimeUnit::Millisecond),
        6 => Ok(TimeUnit::Microsecond),
        9 => Ok(TimeUnit::Nanosecond),
        _ => Err(unsupported("a precision of time other than 0, 3, 6 and 9")),
    }
}

fn time(unit: TimeUnit) -> DataType {
    match unit {
        TimeUnit::Second | TimeUnit::Millisecond => DataType::Time32(unit),
        TimeUnit::Microsecond | TimeUnit::Nanosecond => DataType::Time64(unit),
    }
}

fn date(days: i32) -> Made<String> {
    let span = Days::new(u64::from(days.unsigned_abs()));
    let epoch = NaiveDate::default();
    let date = match days < 0 {
        true => epoch.checked_sub_days(span),
        false => epoch.checked_add_days(span),
    };
    match date {
        Some(date) => Ok(cast(&text(&date.to_string()), &DataType::Date32, false)),
        None => Err(invalid("a literal date is out of range")),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("X'{digits}'")
}

fn interval(years: Option<&IntervalYear>, days: Option<&IntervalDay>) -> Made<String> {
    let too_long = || invalid("a literal interval is out of range");
    let months = match years {
        Some(years) => years
            .years
            .checked_mul(12)
            .and_then(|months| months.checked_add(years.months)),
        None => Some(0),
    };
    let months = months.ok_or_else(too_long)?;
    let (whole, nanoseconds) = match days {
        Some(days) => (days.days, nanoseconds(days).ok_or_else(too_long)?),
        None => (0, 0),
    };
    Ok(format!(
        "(INTERVAL '{months} MONTHS {whole} DAYS {nanoseconds} NANOSECONDS')"
    ))
}

fn nanoseconds(days: &IntervalDay) -> Option<i64> {
    let digits = u32::try_from(days.precision).ok().filter(|digits| *digits <= 9)?;
    let fraction = days.subseconds.checked_mul(10_i64.pow(9 - digits))?;
    let older = i64::from(days.microseconds) * 1_000;
    let seconds = i64::from(days.seconds) * 1_000_000_000;
    seconds.checked_add(fraction)?.checked_add(older)
}

fn decimal_type(decimal: &DecimalType) -> Made<DataType> {
    let scale = i8::try_from(decimal.scale)
        .ok()
        .filter(|scale| (0..=38).contains(scale));
    let precision = u8::try_from(decimal.precision).ok();
    match (precision, scale) {
        (Some(precision @ 1..=38), Some(scale)) => Ok(DataType::Decimal128(precision, scale)),
        _ => Err(unsupported("a decimal of more than 38 digits")),
    }
}

fn decimal(decimal: &DecimalValue) -> Made<String> {
    let data_type = decimal_type(&DecimalType {
        scale: decimal.scale,
        precision: decimal.precision,
    })?;
    let Ok(bytes) = <[u8; 16]>::try_from(decimal.value.as_slice()) else {
        return Err(invalid("a literal decimal has not 16 bytes"));
    };
    let value = i128::from_le_bytes(bytes);
    let scale = usize::try_from(decimal.scale).unwrap_or_default();
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    Ok(number(format!("{sign}{whole}{point}{fraction}"), &data_type))
}
