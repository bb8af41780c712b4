//! PostgreSQL's names and numbers for the types of the wire.

use arrow::datatypes::{DataType, Field};

/// One of PostgreSQL's types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PgType {
    pub(crate) oid: u32,
    /// As `pg_type` has it.
    pub(crate) name: &'static str,
    /// As SQL writes it.
    pub(crate) sql: &'static str,
    /// Bytes of a value; −1 = it depends.
    pub(crate) length: i16,
    /// The type of arrays of it; 0 = none here.
    pub(crate) array: u32,
    category: &'static str,
}

const fn pg(
    oid: u32,
    name: &'static str,
    sql: &'static str,
    length: i16,
    array: u32,
    category: &'static str,
) -> PgType {
    PgType {
        oid,
        name,
        sql,
        length,
        array,
        category,
    }
}

pub(crate) const BOOL: PgType = pg(16, "bool", "boolean", 1, 1000, "B");
pub(crate) const BYTEA: PgType = pg(17, "bytea", "bytea", -1, 1001, "U");
pub(crate) const CHAR: PgType = pg(18, "char", "\"char\"", 1, 1002, "Z");
pub(crate) const NAME: PgType = pg(19, "name", "name", 64, 1003, "S");
pub(crate) const INT8: PgType = pg(20, "int8", "bigint", 8, 1016, "N");
pub(crate) const INT2: PgType = pg(21, "int2", "smallint", 2, 1005, "N");
pub(crate) const INT4: PgType = pg(23, "int4", "integer", 4, 1007, "N");
pub(crate) const TEXT: PgType = pg(25, "text", "text", -1, 1009, "S");
pub(crate) const OID: PgType = pg(26, "oid", "oid", 4, 1028, "N");
pub(crate) const FLOAT4: PgType = pg(700, "float4", "real", 4, 1021, "N");
pub(crate) const FLOAT8: PgType = pg(701, "float8", "double precision", 8, 1022, "N");
pub(crate) const BPCHAR: PgType = pg(1042, "bpchar", "character", -1, 1014, "S");
pub(crate) const VARCHAR: PgType = pg(1043, "varchar", "character varying", -1, 1015, "S");
pub(crate) const DATE: PgType = pg(1082, "date", "date", 4, 1182, "D");
pub(crate) const TIME: PgType = pg(1083, "time", "time without time zone", 8, 1183, "D");
pub(crate) const TIMESTAMP: PgType = pg(1114, "timestamp", "timestamp without time zone", 8, 1115, "D");
pub(crate) const TIMESTAMPTZ: PgType = pg(1184, "timestamptz", "timestamp with time zone", 8, 1185, "D");
pub(crate) const JSON: PgType = pg(114, "json", "json", -1, 199, "U");
pub(crate) const INTERVAL: PgType = pg(1186, "interval", "interval", 16, 1187, "T");
pub(crate) const NUMERIC: PgType = pg(1700, "numeric", "numeric", -1, 1231, "N");

/// The types there are; arrays of them are added where they are listed.
pub(crate) const ALL: [PgType; 20] = [
    BOOL,
    BYTEA,
    CHAR,
    NAME,
    INT8,
    INT2,
    INT4,
    TEXT,
    OID,
    FLOAT4,
    FLOAT8,
    BPCHAR,
    VARCHAR,
    DATE,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    NUMERIC,
    JSON,
    INTERVAL,
];

/// Other names for them in SQL.
const ALIASES: [(&str, PgType); 11] = [
    ("int", INT4),
    ("tinyint", INT2),
    ("double", FLOAT8),
    ("float", FLOAT8),
    ("decimal", NUMERIC),
    ("dec", NUMERIC),
    ("string", TEXT),
    ("char", BPCHAR),
    ("timestamp with time zone", TIMESTAMPTZ),
    ("datetime", TIMESTAMP),
    ("time", TIME),
];

/// The number of a type by the name that SQL gives it: `bigint`, `numeric(10,2)`, `text[]`.
pub(crate) fn oid_by_name(written: &str) -> Option<u32> {
    let lower = written.to_lowercase();
    let (name, is_list) = match lower.strip_suffix("[]") {
        Some(item) => (item, true),
        None => (lower.as_str(), false),
    };
    let name = name.split('(').next().unwrap_or_default().trim();
    let aliases = ALIASES
        .into_iter()
        .find(|(alias, _)| *alias == name)
        .map(|(_, known)| known);
    let found = aliases.or_else(|| ALL.into_iter().find(|known| known.name == name || known.sql == name))?;
    Some(if is_list { found.array } else { found.oid })
}

impl PgType {
    pub(crate) fn category(&self) -> &'static str {
        self.category
    }

    pub(crate) fn by_oid(oid: u32) -> Option<Self> {
        ALL.into_iter().find(|known| known.oid == oid)
    }
}

/// The type a column is told as: of its values, and whether the column holds lists of them. Structs, and lists of anything
/// but plain values, are told as JSON.
pub(crate) fn of(data_type: &DataType) -> (PgType, bool) {
    match data_type {
        DataType::List(item) | DataType::FixedSizeList(item, _) => match plain(item.data_type()) {
            Some(item) => (item, true),
            None => (JSON, false),
        },
        DataType::Null => (TEXT, false),
        other => (plain(other).unwrap_or(JSON), false),
    }
}

/// Metadata of a column that is told as another type than its values have: the number of that type.
pub(crate) const TOLD_AS: &str = "pg_type";

/// The type of a column, and whether it holds lists of it.
pub(crate) fn of_field(field: &Field) -> (PgType, bool) {
    let told = field
        .metadata()
        .get(TOLD_AS)
        .and_then(|number| number.parse::<u32>().ok());
    let found = told.and_then(|number| {
        let known = ALL
            .into_iter()
            .find(|known| [known.oid, known.array].contains(&number))?;
        Some((known, known.array == number))
    });
    found.unwrap_or_else(|| of(field.data_type()))
}

/// The number of a column's type.
pub(crate) fn oid(data_type: &DataType) -> u32 {
    let (value, is_list) = of(data_type);
    if is_list { value.array } else { value.oid }
}

/// Precision and scale in PostgreSQL's form; −1 = none.
pub(crate) fn modifier(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal128(precision, scale) => (i32::from(*precision) << 16 | i32::from(*scale) & 0x7ff) + 4,
        _ => -1,
    }
}

fn plain(data_type: &DataType) -> Option<PgType> {
    Some(match data_type {
        DataType::Boolean => BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => INT2,
        DataType::Int32 | DataType::UInt16 => INT4,
        DataType::Int64 | DataType::UInt32 => INT8,
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => NUMERIC,
        DataType::Float16 | DataType::Float32 => FLOAT4,
        DataType::Float64 => FLOAT8,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => TEXT,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => BYTEA,
        DataType::Date32 | DataType::Date64 => DATE,
        DataType::Time32(_) | DataType::Time64(_) => TIME,
        DataType::Timestamp(_, None) => TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        DataType::Null
        | DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeList(..)
        | DataType::Struct(_)
        | DataType::Map(..)
        | DataType::Union(..)
        | DataType::Dictionary(..)
        | DataType::RunEndEncoded(..) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_plain_values_are_arrays_and_the_rest_is_json() {
        let list = DataType::new_list(DataType::Int64, true);
        assert_eq!(oid(&list), 1016);
        assert_eq!(oid(&DataType::new_list(list, true)), JSON.oid);
        assert_eq!(oid(&DataType::Struct(Default::default())), JSON.oid);
        assert_eq!(oid(&DataType::Null), TEXT.oid);
        assert_eq!(oid(&DataType::UInt64), NUMERIC.oid);
    }

    #[test]
    fn types_are_found_by_their_names() {
        for (name, oid) in [
            ("BIGINT", 20),
            ("int4", 23),
            ("NUMERIC(10,2)", 1700),
            ("TEXT[]", 1009),
            ("DOUBLE PRECISION", 701),
            ("TIMESTAMP", 1114),
        ] {
            assert_eq!(oid_by_name(name), Some(oid), "{name}");
        }
        assert_eq!(oid_by_name("geometry"), None);
    }

    #[test]
    fn numbers_are_told_once() {
        let mut oids: Vec<u32> = ALL.iter().flat_map(|known| [known.oid, known.array]).collect();
        oids.sort_unstable();
        oids.dedup();
        assert_eq!(oids.len(), 2 * ALL.len());
    }

    #[test]
    fn precision_and_scale_are_packed_as_postgres_does() {
        assert_eq!(modifier(&DataType::Decimal128(10, 2)), (10 << 16 | 2) + 4);
        assert_eq!(modifier(&DataType::Int64), -1);
    }
}
