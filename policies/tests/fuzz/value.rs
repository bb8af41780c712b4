//! Values that a lake can hold, apart from Arrow: the oracle computes with these, so that it shares no code with what it judges.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, ListArray, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, TimeUnit};

use super::rng::Rng;

/// The type of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Bool,
    Int32,
    Int64,
    Float32,
    Float64,
    Decimal(u8, i8),
    Text(TextAs),
    Bytes,
    Date,
    Moment { zoned: bool },
    List(Box<Kind>),
    Struct(Vec<(&'static str, Kind)>),
}

/// How Arrow holds a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum TextAs {
    View,
    Plain,
    Large,
    Dictionary,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Decimal(i128),
    Text(String),
    Bytes(Vec<u8>),
    Date(i32),
    /// Microseconds.
    Moment(i64),
    List(Vec<Value>),
    Struct(Vec<Value>),
}

/// What only hidden values contain, and no statement.
pub(crate) const MARK: &str = "q-never-to-be-seen";

const TEXTS: [&str; 14] = [
    "",
    "a",
    "ab",
    "b",
    "12",
    "-7",
    "3.5",
    "x%_",
    "O'Hara",
    "2024-02-29",
    "µ-långe",
    "released",
    "a permitted text of more than twelve bytes",
    "A permitted text of more than twelve bytes",
];
/// Texts that only hidden rows hold, and that statements ask for.
const HIDDEN_TEXTS: [&str; 5] = ["hv-1", "hv-2", "99", "hv-a hidden text of more than twelve bytes", "zz"];
const FLOATS: [f64; 10] = [0.0, -0.0, 1.5, -2.5, f64::NAN, 100.25, 1e15, -1e-3, f64::INFINITY, 7.0];
const HIDDEN_FLOATS: [f64; 4] = [42.5, -42.5, 1e300, f64::NEG_INFINITY];
const DAY: i32 = 19_700;
const MICROS: i64 = 86_400_000_000;

impl Kind {
    /// A column's type; `delta` leaves out what Delta does not keep apart.
    pub(crate) fn random(rng: &mut Rng, delta: bool) -> Kind {
        let text = |rng: &mut Rng| match delta {
            true => Kind::Text(TextAs::Plain),
            false => Kind::Text(*rng.pick(&[
                TextAs::View,
                TextAs::View,
                TextAs::Plain,
                TextAs::Large,
                TextAs::Dictionary,
            ])),
        };
        match rng.below(20) {
            0 | 1 => Kind::Bool,
            2 => Kind::Int32,
            3..=5 => Kind::Int64,
            6 => Kind::Float32,
            7 | 8 => Kind::Float64,
            9 | 10 => Kind::Decimal(*rng.pick(&[9, 18, 38]), 2),
            11..=14 => text(rng),
            15 => Kind::Date,
            16 => Kind::Moment {
                zoned: delta || rng.chance(50),
            },
            17 => Kind::Bytes,
            18 => Kind::List(Box::new(match rng.chance(50) {
                true => Kind::Int64,
                false => Kind::Text(if delta { TextAs::Plain } else { TextAs::View }),
            })),
            _ => Kind::Struct(vec![
                ("a", Kind::Int64),
                ("b", Kind::Text(if delta { TextAs::Plain } else { TextAs::View })),
            ]),
        }
    }

    pub(crate) fn arrow(&self) -> DataType {
        match self {
            Kind::Bool => DataType::Boolean,
            Kind::Int32 => DataType::Int32,
            Kind::Int64 => DataType::Int64,
            Kind::Float32 => DataType::Float32,
            Kind::Float64 => DataType::Float64,
            Kind::Decimal(p, s) => DataType::Decimal128(*p, *s),
            Kind::Text(TextAs::View) => DataType::Utf8View,
            Kind::Text(TextAs::Plain) => DataType::Utf8,
            Kind::Text(TextAs::Large) => DataType::LargeUtf8,
            Kind::Text(TextAs::Dictionary) => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Kind::Bytes => DataType::BinaryView,
            Kind::Date => DataType::Date32,
            Kind::Moment { zoned } => DataType::Timestamp(TimeUnit::Microsecond, zoned.then(|| "UTC".into())),
            Kind::List(item) => DataType::List(Arc::new(Field::new("item", item.arrow(), true))),
            Kind::Struct(fields) => DataType::Struct(
                fields
                    .iter()
                    .map(|(name, kind)| Field::new(*name, kind.arrow(), true))
                    .collect(),
            ),
        }
    }

    /// A value as visible rows hold it, or as only hidden rows do.
    pub(crate) fn value(&self, rng: &mut Rng, hidden: bool) -> Value {
        if rng.chance(12) {
            return Value::Null;
        }
        let odd = hidden && rng.chance(60);
        match self {
            Kind::Bool => Value::Bool(rng.chance(50)),
            Kind::Int32 | Kind::Int64 if odd => Value::Int(rng.between(100, 106)),
            Kind::Int32 | Kind::Int64 => Value::Int(match rng.below(24) {
                0 => i64::from(i32::MAX),
                1 => i64::from(i32::MIN),
                _ => rng.between(-4, 12),
            }),
            Kind::Float32 | Kind::Float64 => {
                let float = *rng.pick(if odd { &HIDDEN_FLOATS[..] } else { &FLOATS[..] });
                Value::Float(if *self == Kind::Float32 {
                    f64::from(float as f32)
                } else {
                    float
                })
            }
            Kind::Decimal(_, _) => Value::Decimal(i128::from(if odd {
                rng.between(50_000, 50_006)
            } else {
                rng.between(-3, 6) * 50
            })),
            Kind::Text(_) => Value::Text(match (odd, rng.chance(50)) {
                (true, true) => format!("z{MARK}-{}", rng.below(1_000)),
                (true, false) => (*rng.pick(&HIDDEN_TEXTS)).to_owned(),
                (false, _) => (*rng.pick(&TEXTS)).to_owned(),
            }),
            Kind::Bytes => Value::Bytes(if odd {
                format!("z{MARK}").into_bytes()
            } else {
                rng.pick(&TEXTS).as_bytes().to_vec()
            }),
            Kind::Date => Value::Date(DAY + rng.between(0, 90) as i32 + if odd { 4_000 } else { 0 }),
            Kind::Moment { .. } => Value::Moment(
                (i64::from(DAY) + rng.between(0, 40) + if odd { 4_000 } else { 0 }) * MICROS
                    + rng.between(0, 2) * 3_723_000_001,
            ),
            Kind::List(item) => Value::List((0..rng.below(4)).map(|_| item.value(rng, hidden)).collect()),
            Kind::Struct(fields) => Value::Struct(fields.iter().map(|(_, kind)| kind.value(rng, hidden)).collect()),
        }
    }

    /// Whether values have an order that a filter may use.
    pub(crate) fn is_plain(&self) -> bool {
        !matches!(self, Kind::Bytes | Kind::List(_) | Kind::Struct(_))
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Kind::Text(_))
    }
}

impl Value {
    /// The order of the engine: NaN above all, −0.0 equal to 0.0. `None` for NULL and for things without an order.
    pub(crate) fn compare(&self, other: &Value) -> Option<Ordering> {
        Some(match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) | (Value::Moment(a), Value::Moment(b)) => a.cmp(b),
            // Adding 0.0 makes 0.0 of −0.0, and nothing of anything else.
            (Value::Float(a), Value::Float(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
            (Value::Decimal(a), Value::Decimal(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            (Value::Date(a), Value::Date(b)) => a.cmp(b),
            _ => return None,
        })
    }

    pub(crate) fn holds_mark(&self) -> bool {
        match self {
            // In any case: a mask may write it in capitals, and an error may say it small again.
            Value::Text(text) => text.to_lowercase().contains(MARK),
            Value::Bytes(bytes) => bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes()),
            Value::List(items) | Value::Struct(items) => items.iter().any(Value::holds_mark),
            _ => false,
        }
    }

    /// The value in SQL, of the very type of the column.
    pub(crate) fn sql(&self, kind: &Kind) -> String {
        match (self, kind) {
            (Value::Null, _) => "NULL".to_owned(),
            (Value::Bool(b), _) => b.to_string(),
            (Value::Int(n), _) if *n < 0 => format!("({n})"),
            (Value::Int(n), _) => n.to_string(),
            (Value::Float(f), _) => format!("CAST('{f:?}' AS DOUBLE)"),
            (Value::Decimal(d), Kind::Decimal(p, s)) => {
                format!("CAST('{}' AS DECIMAL({p}, {s}))", decimal_text(*d, *s))
            }
            (Value::Decimal(d), _) => decimal_text(*d, 2),
            (Value::Text(text), _) => format!("'{}'", text.replace('\'', "''")),
            (Value::Bytes(bytes), _) => {
                format!("X'{}'", bytes.iter().map(|b| format!("{b:02X}")).collect::<String>())
            }
            (Value::Date(days), _) => format!("DATE '{}'", date_text(*days)),
            (Value::Moment(micros), _) => format!("'{}'", moment_text(*micros)),
            (Value::List(items), Kind::List(kind)) => {
                format!(
                    "make_array({})",
                    items.iter().map(|v| v.sql(kind)).collect::<Vec<_>>().join(", ")
                )
            }
            (Value::Struct(_) | Value::List(_), _) => "NULL".to_owned(),
        }
    }
}

pub(crate) fn decimal_text(value: i128, scale: i8) -> String {
    let unit = 10_i128.pow(u32::try_from(scale).unwrap());
    let sign = if value < 0 { "-" } else { "" };
    format!(
        "{sign}{}.{:0width$}",
        value.abs() / unit,
        value.abs() % unit,
        width = scale as usize
    )
}

pub(crate) fn date_text(days: i32) -> String {
    (chrono::DateTime::UNIX_EPOCH + chrono::Duration::days(i64::from(days)))
        .format("%Y-%m-%d")
        .to_string()
}

pub(crate) fn moment_text(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros)
        .unwrap()
        .format("%Y-%m-%dT%H:%M:%S%.6f")
        .to_string()
}

/// The values as an Arrow array of the kind's type.
pub(crate) fn array(kind: &Kind, values: &[&Value]) -> ArrayRef {
    fn each<T, C: FromIterator<Option<T>>>(values: &[&Value], take: impl Fn(&Value) -> Option<T>) -> C {
        values.iter().map(|v| take(v)).collect()
    }
    let int = |v: &Value| match v {
        Value::Int(n) => Some(*n),
        _ => None,
    };
    let float = |v: &Value| match v {
        Value::Float(f) => Some(*f),
        _ => None,
    };
    let built: ArrayRef = match kind {
        Kind::Bool => Arc::new(each::<_, BooleanArray>(values, |v| match v {
            Value::Bool(b) => Some(*b),
            _ => None,
        })),
        Kind::Int32 => Arc::new(each::<_, Int32Array>(values, |v| {
            int(v).map(|n| i32::try_from(n).unwrap())
        })),
        Kind::Int64 => Arc::new(each::<_, Int64Array>(values, int)),
        Kind::Float32 => Arc::new(each::<_, Float32Array>(values, |v| float(v).map(|f| f as f32))),
        Kind::Float64 => Arc::new(each::<_, Float64Array>(values, float)),
        Kind::Decimal(p, s) => Arc::new(
            each::<_, Decimal128Array>(values, |v| match v {
                Value::Decimal(d) => Some(*d),
                _ => None,
            })
            .with_precision_and_scale(*p, *s)
            .unwrap(),
        ),
        Kind::Text(_) => Arc::new(each::<_, StringArray>(values, |v| match v {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })),
        Kind::Bytes => Arc::new(each::<_, BinaryViewArray>(values, |v| match v {
            Value::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        })),
        Kind::Date => Arc::new(each::<_, Date32Array>(values, |v| match v {
            Value::Date(days) => Some(*days),
            _ => None,
        })),
        Kind::Moment { zoned } => Arc::new(
            each::<_, TimestampMicrosecondArray>(values, |v| match v {
                Value::Moment(micros) => Some(*micros),
                _ => None,
            })
            .with_timezone_opt(zoned.then_some("UTC")),
        ),
        Kind::List(item) => {
            let lists: Vec<Option<&Vec<Value>>> = values
                .iter()
                .map(|v| match v {
                    Value::List(items) => Some(items),
                    _ => None,
                })
                .collect();
            let items: Vec<&Value> = lists.iter().flatten().flat_map(|items| items.iter()).collect();
            let nulls: NullBuffer = lists.iter().map(Option::is_some).collect();
            let lengths = lists.iter().map(|items| items.map_or(0, Vec::len));
            Arc::new(ListArray::new(
                Arc::new(Field::new("item", item.arrow(), true)),
                OffsetBuffer::from_lengths(lengths),
                array(item, &items),
                Some(nulls),
            ))
        }
        Kind::Struct(fields) => {
            let nulls: NullBuffer = values.iter().map(|v| matches!(v, Value::Struct(_))).collect();
            let children = fields.iter().enumerate().map(|(at, (name, kind))| {
                let column: Vec<&Value> = values
                    .iter()
                    .map(|v| match v {
                        Value::Struct(fields) => &fields[at],
                        _ => &Value::Null,
                    })
                    .collect();
                (Arc::new(Field::new(*name, kind.arrow(), true)), array(kind, &column))
            });
            let (fields, columns): (Vec<_>, Vec<_>) = children.unzip();
            Arc::new(StructArray::new(fields.into(), columns, Some(nulls)))
        }
    };
    arrow::compute::cast(&built, &kind.arrow()).unwrap()
}
