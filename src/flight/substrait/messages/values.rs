//! Literals and types.

use prost::{Message, Oneof};

use super::{Literals, Opaque};

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct Literal {
    #[prost(uint32, tag = "51")]
    pub(in crate::flight::substrait) variation: u32,
    #[prost(
        oneof = "LiteralKind",
        tags = "1, 2, 3, 5, 7, 10, 11, 12, 13, 14, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37"
    )]
    pub(in crate::flight::substrait) kind: Option<LiteralKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::flight::substrait) enum LiteralKind {
    #[prost(bool, tag = "1")]
    Boolean(bool),
    #[prost(int32, tag = "2")]
    I8(i32),
    #[prost(int32, tag = "3")]
    I16(i32),
    #[prost(int32, tag = "5")]
    I32(i32),
    #[prost(int64, tag = "7")]
    I64(i64),
    #[prost(float, tag = "10")]
    Fp32(f32),
    #[prost(double, tag = "11")]
    Fp64(f64),
    #[prost(string, tag = "12")]
    String(String),
    #[prost(bytes, tag = "13")]
    Binary(Vec<u8>),
    /// Microseconds, of older plans; so are `Time` and `TimestampTz`.
    #[prost(int64, tag = "14")]
    Timestamp(i64),
    #[prost(int32, tag = "16")]
    Date(i32),
    #[prost(int64, tag = "17")]
    Time(i64),
    #[prost(message, tag = "19")]
    IntervalYear(IntervalYear),
    #[prost(message, tag = "20")]
    IntervalDay(IntervalDay),
    #[prost(string, tag = "21")]
    FixedChar(String),
    #[prost(message, tag = "22")]
    VarChar(VarChar),
    #[prost(bytes, tag = "23")]
    FixedBinary(Vec<u8>),
    #[prost(message, tag = "24")]
    Decimal(DecimalValue),
    #[prost(message, tag = "25")]
    Struct(Opaque),
    #[prost(message, tag = "26")]
    Map(Opaque),
    #[prost(int64, tag = "27")]
    TimestampTz(i64),
    #[prost(bytes, tag = "28")]
    Uuid(Vec<u8>),
    #[prost(message, tag = "29")]
    Null(Type),
    #[prost(message, tag = "30")]
    List(Literals),
    #[prost(message, tag = "31")]
    EmptyList(Box<ListType>),
    #[prost(message, tag = "32")]
    EmptyMap(Opaque),
    #[prost(message, tag = "33")]
    UserDefined(Opaque),
    #[prost(message, tag = "34")]
    PrecisionTimestamp(Precise),
    #[prost(message, tag = "35")]
    PrecisionTimestampTz(Precise),
    #[prost(message, tag = "36")]
    IntervalCompound(IntervalCompound),
    #[prost(message, tag = "37")]
    PrecisionTime(Precise),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct IntervalYear {
    #[prost(int32, tag = "1")]
    pub(in crate::flight::substrait) years: i32,
    #[prost(int32, tag = "2")]
    pub(in crate::flight::substrait) months: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct IntervalDay {
    #[prost(int32, tag = "1")]
    pub(in crate::flight::substrait) days: i32,
    #[prost(int32, tag = "2")]
    pub(in crate::flight::substrait) seconds: i32,
    /// Of older plans.
    #[prost(int32, tag = "3")]
    pub(in crate::flight::substrait) microseconds: i32,
    #[prost(int32, tag = "4")]
    pub(in crate::flight::substrait) precision: i32,
    #[prost(int64, tag = "5")]
    pub(in crate::flight::substrait) subseconds: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct IntervalCompound {
    #[prost(message, optional, tag = "1")]
    pub(in crate::flight::substrait) years: Option<IntervalYear>,
    #[prost(message, optional, tag = "2")]
    pub(in crate::flight::substrait) days: Option<IntervalDay>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct VarChar {
    #[prost(string, tag = "1")]
    pub(in crate::flight::substrait) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct DecimalValue {
    /// 16 bytes, the lowest first.
    #[prost(bytes = "vec", tag = "1")]
    pub(in crate::flight::substrait) value: Vec<u8>,
    #[prost(int32, tag = "2")]
    pub(in crate::flight::substrait) precision: i32,
    #[prost(int32, tag = "3")]
    pub(in crate::flight::substrait) scale: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct Precise {
    #[prost(int32, tag = "1")]
    pub(in crate::flight::substrait) precision: i32,
    #[prost(int64, tag = "2")]
    pub(in crate::flight::substrait) value: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct Type {
    #[prost(
        oneof = "TypeKind",
        tags = "1, 2, 3, 5, 7, 10, 11, 12, 13, 14, 16, 17, 19, 20, 21, 22, 23, 24, 25, 27, 28, 29, 30, 32, 33, 34, 35, 36"
    )]
    pub(in crate::flight::substrait) kind: Option<TypeKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::flight::substrait) enum TypeKind {
    #[prost(message, tag = "1")]
    Bool(Opaque),
    #[prost(message, tag = "2")]
    I8(PlainType),
    #[prost(message, tag = "3")]
    I16(PlainType),
    #[prost(message, tag = "5")]
    I32(PlainType),
    #[prost(message, tag = "7")]
    I64(PlainType),
    #[prost(message, tag = "10")]
    Fp32(Opaque),
    #[prost(message, tag = "11")]
    Fp64(Opaque),
    #[prost(message, tag = "12")]
    String(Opaque),
    #[prost(message, tag = "13")]
    Binary(Opaque),
    #[prost(message, tag = "14")]
    Timestamp(Opaque),
    #[prost(message, tag = "16")]
    Date(Opaque),
    #[prost(message, tag = "17")]
    Time(Opaque),
    #[prost(message, tag = "19")]
    IntervalYear(Opaque),
    #[prost(message, tag = "20")]
    IntervalDay(Opaque),
    #[prost(message, tag = "21")]
    FixedChar(Opaque),
    #[prost(message, tag = "22")]
    VarChar(Opaque),
    #[prost(message, tag = "23")]
    FixedBinary(Opaque),
    #[prost(message, tag = "24")]
    Decimal(DecimalType),
    #[prost(message, tag = "25")]
    Struct(StructType),
    #[prost(message, tag = "27")]
    List(Box<ListType>),
    #[prost(message, tag = "28")]
    Map(Box<MapType>),
    #[prost(message, tag = "29")]
    TimestampTz(Opaque),
    #[prost(message, tag = "30")]
    UserDefined(UserDefinedType),
    #[prost(message, tag = "32")]
    Uuid(Opaque),
    #[prost(message, tag = "33")]
    PrecisionTimestamp(PreciseType),
    #[prost(message, tag = "34")]
    PrecisionTimestampTz(PreciseType),
    #[prost(message, tag = "35")]
    IntervalCompound(Opaque),
    #[prost(message, tag = "36")]
    PrecisionTime(PreciseType),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct PlainType {
    #[prost(uint32, tag = "1")]
    pub(in crate::flight::substrait) variation: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct PreciseType {
    #[prost(int32, tag = "1")]
    pub(in crate::flight::substrait) precision: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct DecimalType {
    #[prost(int32, tag = "1")]
    pub(in crate::flight::substrait) scale: i32,
    #[prost(int32, tag = "2")]
    pub(in crate::flight::substrait) precision: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct StructType {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::flight::substrait) types: Vec<Type>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct ListType {
    #[prost(message, optional, boxed, tag = "1")]
    pub(in crate::flight::substrait) element: Option<Box<Type>>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct MapType {
    #[prost(message, optional, boxed, tag = "1")]
    pub(in crate::flight::substrait) key: Option<Box<Type>>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) value: Option<Box<Type>>,
    #[prost(uint32, tag = "3")]
    pub(in crate::flight::substrait) variation: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct UserDefinedType {
    #[prost(uint32, tag = "1")]
    pub(in crate::flight::substrait) reference: u32,
}
