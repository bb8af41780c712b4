//! The SQL types of the wire, for tools that ask what a column may be (ODBC's SQLGetTypeInfo, JDBC's getTypeInfo).
//!
//! Only types that results can have after narrowing are listed; nested ones have no number in the XDBC list.

use std::sync::OnceLock;

use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};
use tonic::Status;

use super::status;

/// The answer to GetXdbcTypeInfo, made once.
pub(super) fn data() -> Result<&'static XdbcTypeInfoData, Status> {
    static DATA: OnceLock<Option<XdbcTypeInfoData>> = OnceLock::new();
    let built = DATA.get_or_init(|| {
        let mut builder = XdbcTypeInfoDataBuilder::new();
        for row in rows() {
            builder.append(row);
        }
        builder.build().ok()
    });
    built
        .as_ref()
        .ok_or_else(|| status::internal("the XDBC types could not be built"))
}

fn rows() -> Vec<XdbcTypeInfo> {
    use XdbcDataType as X;
    use XdbcDatetimeSubcode as Sub;
    vec![
        XdbcTypeInfo {
            searchable: Searchable::Basic,
            ..plain("BOOLEAN", X::XdbcBit, 1)
        },
        integer("TINYINT", X::XdbcTinyint, 8, false),
        integer("TINYINT UNSIGNED", X::XdbcTinyint, 8, true),
        integer("SMALLINT", X::XdbcSmallint, 16, false),
        integer("SMALLINT UNSIGNED", X::XdbcSmallint, 16, true),
        integer("INTEGER", X::XdbcInteger, 32, false),
        integer("INTEGER UNSIGNED", X::XdbcInteger, 32, true),
        integer("BIGINT", X::XdbcBigint, 64, false),
        integer("BIGINT UNSIGNED", X::XdbcBigint, 64, true),
        number("REAL", X::XdbcReal, 24, 2),
        number("DOUBLE", X::XdbcDouble, 53, 2),
        XdbcTypeInfo {
            create_params: Some(vec!["precision".into(), "scale".into()]),
            minimum_scale: Some(0),
            maximum_scale: Some(38),
            ..number("DECIMAL", X::XdbcDecimal, 38, 10)
        },
        XdbcTypeInfo {
            case_sensitive: true,
            create_params: Some(vec!["length".into()]),
            ..quoted("VARCHAR", X::XdbcVarchar, i32::MAX, "'")
        },
        quoted("BYTEA", X::XdbcVarbinary, i32::MAX, "X'"),
        datetime("DATE", X::XdbcDate, 10, "DATE '", Sub::XdbcSubcodeYear),
        datetime("TIME", X::XdbcTime, 18, "TIME '", Sub::XdbcSubcodeTime),
        datetime(
            "TIMESTAMP",
            X::XdbcTimestamp,
            29,
            "TIMESTAMP '",
            Sub::XdbcSubcodeTimestamp,
        ),
        datetime(
            "TIMESTAMP WITH TIME ZONE",
            X::XdbcTimestamp,
            35,
            "TIMESTAMP '",
            Sub::XdbcSubcodeTimestampWithTimezone,
        ),
        quoted("INTERVAL", X::XdbcInterval, 64, "INTERVAL '"),
    ]
}

fn plain(name: &str, data_type: XdbcDataType, size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.into(),
        data_type,
        sql_data_type: data_type,
        column_size: Some(size),
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        local_type_name: Some(name.into()),
        ..XdbcTypeInfo::default()
    }
}

fn number(name: &str, data_type: XdbcDataType, size: i32, radix: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        searchable: Searchable::Basic,
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        num_prec_radix: Some(radix),
        ..plain(name, data_type, size)
    }
}

fn integer(name: &str, data_type: XdbcDataType, bits: i32, unsigned: bool) -> XdbcTypeInfo {
    XdbcTypeInfo {
        unsigned_attribute: Some(unsigned),
        fixed_prec_scale: true,
        minimum_scale: Some(0),
        maximum_scale: Some(0),
        ..number(name, data_type, bits, 2)
    }
}

fn quoted(name: &str, data_type: XdbcDataType, size: i32, prefix: &str) -> XdbcTypeInfo {
    XdbcTypeInfo {
        literal_prefix: Some(prefix.into()),
        literal_suffix: Some("'".into()),
        ..plain(name, data_type, size)
    }
}

fn datetime(name: &str, data_type: XdbcDataType, size: i32, prefix: &str, code: XdbcDatetimeSubcode) -> XdbcTypeInfo {
    XdbcTypeInfo {
        sql_data_type: XdbcDataType::XdbcDatetime,
        datetime_subcode: Some(code),
        ..quoted(name, data_type, size, prefix)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Int32Type, TimeUnit};

    use super::*;
    use crate::query::column::type_name;

    #[test]
    fn every_plain_wire_type_has_a_row() {
        let all = data().unwrap().record_batch(None).unwrap();
        let names: Vec<_> = all.column(0).as_string::<i32>().iter().flatten().collect();
        for data_type in [
            DataType::Boolean,
            DataType::Int64,
            DataType::UInt8,
            DataType::Float64,
            DataType::Decimal128(10, 2),
            DataType::Utf8,
            DataType::Binary,
            DataType::Date32,
            DataType::Time64(TimeUnit::Nanosecond),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ] {
            assert!(names.contains(&type_name(&data_type)), "{data_type}");
        }
    }

    #[test]
    fn one_type_is_filtered_and_an_unknown_one_is_empty() {
        let of = |number: i32| data().unwrap().record_batch(Some(number)).unwrap();
        let varchar = of(XdbcDataType::XdbcVarchar as i32);
        assert_eq!(varchar.num_rows(), 1);
        assert_eq!(varchar.column(1).as_primitive::<Int32Type>().value(0), 12);
        assert_eq!(of(12_345).num_rows(), 0);
    }
}
