//! Expressions, and the functions and subqueries in them.

use prost::{Message, Oneof};

use super::{Expressions, Literal, Opaque, Rel, SortField, Type};

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct Expression {
    #[prost(
        oneof = "ExpressionKind",
        tags = "1, 2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17"
    )]
    pub(in crate::flight::substrait) kind: Option<ExpressionKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::flight::substrait) enum ExpressionKind {
    #[prost(message, tag = "1")]
    Literal(Box<Literal>),
    #[prost(message, tag = "2")]
    Selection(Box<FieldReference>),
    #[prost(message, tag = "3")]
    Scalar(Box<ScalarFunction>),
    #[prost(message, tag = "5")]
    Window(Box<WindowFunction>),
    #[prost(message, tag = "6")]
    IfThen(Box<IfThen>),
    #[prost(message, tag = "7")]
    Switch(Box<SwitchExpression>),
    #[prost(message, tag = "8")]
    OneOf(Box<SingularOrList>),
    #[prost(message, tag = "9")]
    MultiOrList(Opaque),
    #[prost(message, tag = "11")]
    Cast(Box<Cast>),
    #[prost(message, tag = "12")]
    Subquery(Box<Subquery>),
    #[prost(message, tag = "13")]
    Nested(Box<Nested>),
    #[prost(message, tag = "14")]
    Parameter(Box<DynamicParameter>),
    #[prost(message, tag = "15")]
    Lambda(Opaque),
    #[prost(message, tag = "16")]
    LambdaInvocation(Opaque),
    #[prost(message, tag = "17")]
    Context(ContextVariable),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct FieldReference {
    #[prost(message, optional, boxed, tag = "1")]
    pub(in crate::flight::substrait) direct: Option<Box<ReferenceSegment>>,
    #[prost(oneof = "RootKind", tags = "3, 4, 5, 6")]
    pub(in crate::flight::substrait) root: Option<RootKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::flight::substrait) enum RootKind {
    #[prost(message, tag = "3")]
    Expression(Opaque),
    #[prost(message, tag = "4")]
    Root(Opaque),
    #[prost(message, tag = "5")]
    Outer(OuterReference),
    #[prost(message, tag = "6")]
    LambdaParameter(Opaque),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct OuterReference {
    #[prost(uint32, optional, tag = "1")]
    pub(in crate::flight::substrait) steps_out: Option<u32>,
    /// By the relation's anchor, in newer plans.
    #[prost(uint32, optional, tag = "2")]
    pub(in crate::flight::substrait) relation: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct ReferenceSegment {
    #[prost(oneof = "SegmentKind", tags = "1, 2, 3")]
    pub(in crate::flight::substrait) kind: Option<SegmentKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::flight::substrait) enum SegmentKind {
    #[prost(message, tag = "1")]
    MapKey(Opaque),
    #[prost(message, tag = "2")]
    StructField(Box<StructField>),
    #[prost(message, tag = "3")]
    ListElement(Opaque),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct StructField {
    #[prost(int32, tag = "1")]
    pub(in crate::flight::substrait) field: i32,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) child: Option<Box<ReferenceSegment>>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct ScalarFunction {
    #[prost(uint32, tag = "1")]
    pub(in crate::flight::substrait) function: u32,
    /// Of older plans.
    #[prost(message, repeated, tag = "2")]
    pub(in crate::flight::substrait) args: Vec<Expression>,
    #[prost(message, repeated, tag = "4")]
    pub(in crate::flight::substrait) arguments: Vec<FunctionArgument>,
    #[prost(message, repeated, tag = "5")]
    pub(in crate::flight::substrait) options: Vec<FunctionOption>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct FunctionArgument {
    #[prost(oneof = "ArgumentKind", tags = "1, 2, 3")]
    pub(in crate::flight::substrait) kind: Option<ArgumentKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::flight::substrait) enum ArgumentKind {
    #[prost(string, tag = "1")]
    Enum(String),
    #[prost(message, tag = "2")]
    Type(Opaque),
    #[prost(message, tag = "3")]
    Value(Box<Expression>),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct FunctionOption {
    #[prost(string, tag = "1")]
    pub(in crate::flight::substrait) name: String,
    #[prost(string, repeated, tag = "2")]
    pub(in crate::flight::substrait) preference: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct WindowFunction {
    #[prost(uint32, tag = "1")]
    pub(in crate::flight::substrait) function: u32,
    #[prost(message, repeated, tag = "2")]
    pub(in crate::flight::substrait) partitions: Vec<Expression>,
    #[prost(message, repeated, tag = "3")]
    pub(in crate::flight::substrait) sorts: Vec<SortField>,
    #[prost(message, optional, boxed, tag = "4")]
    pub(in crate::flight::substrait) upper_bound: Option<Box<Bound>>,
    #[prost(message, optional, boxed, tag = "5")]
    pub(in crate::flight::substrait) lower_bound: Option<Box<Bound>>,
    #[prost(int32, tag = "6")]
    pub(in crate::flight::substrait) phase: i32,
    /// Of older plans.
    #[prost(message, repeated, tag = "8")]
    pub(in crate::flight::substrait) args: Vec<Expression>,
    #[prost(message, repeated, tag = "9")]
    pub(in crate::flight::substrait) arguments: Vec<FunctionArgument>,
    #[prost(int32, tag = "10")]
    pub(in crate::flight::substrait) invocation: i32,
    #[prost(message, repeated, tag = "11")]
    pub(in crate::flight::substrait) options: Vec<FunctionOption>,
    #[prost(int32, tag = "12")]
    pub(in crate::flight::substrait) bounds_type: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct Bound {
    #[prost(oneof = "BoundKind", tags = "1, 2, 3, 4")]
    pub(in crate::flight::substrait) kind: Option<BoundKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::flight::substrait) enum BoundKind {
    #[prost(message, tag = "1")]
    Preceding(Distance),
    #[prost(message, tag = "2")]
    Following(Distance),
    #[prost(message, tag = "3")]
    CurrentRow(Opaque),
    #[prost(message, tag = "4")]
    Unbounded(Opaque),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct Distance {
    #[prost(int64, tag = "1")]
    pub(in crate::flight::substrait) offset: i64,
    #[prost(message, optional, tag = "2")]
    pub(in crate::flight::substrait) expression: Option<Opaque>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct IfThen {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::flight::substrait) ifs: Vec<IfClause>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) otherwise: Option<Box<Expression>>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct IfClause {
    #[prost(message, optional, boxed, tag = "1")]
    pub(in crate::flight::substrait) condition: Option<Box<Expression>>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) then: Option<Box<Expression>>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct SwitchExpression {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::flight::substrait) ifs: Vec<IfValue>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) otherwise: Option<Box<Expression>>,
    #[prost(message, optional, boxed, tag = "3")]
    pub(in crate::flight::substrait) subject: Option<Box<Expression>>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct IfValue {
    #[prost(message, optional, tag = "1")]
    pub(in crate::flight::substrait) value: Option<Literal>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) then: Option<Box<Expression>>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct SingularOrList {
    #[prost(message, optional, boxed, tag = "1")]
    pub(in crate::flight::substrait) value: Option<Box<Expression>>,
    #[prost(message, repeated, tag = "2")]
    pub(in crate::flight::substrait) options: Vec<Expression>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct Cast {
    #[prost(message, optional, tag = "1")]
    pub(in crate::flight::substrait) target: Option<Type>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) input: Option<Box<Expression>>,
    #[prost(int32, tag = "3")]
    pub(in crate::flight::substrait) failure_behavior: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct Subquery {
    #[prost(oneof = "SubqueryKind", tags = "1, 2, 3, 4")]
    pub(in crate::flight::substrait) kind: Option<SubqueryKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::flight::substrait) enum SubqueryKind {
    #[prost(message, tag = "1")]
    Scalar(ScalarSubquery),
    #[prost(message, tag = "2")]
    In(InPredicate),
    #[prost(message, tag = "3")]
    Set(SetPredicate),
    #[prost(message, tag = "4")]
    Comparison(SetComparison),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct ScalarSubquery {
    #[prost(message, optional, boxed, tag = "1")]
    pub(in crate::flight::substrait) input: Option<Box<Rel>>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct InPredicate {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::flight::substrait) needles: Vec<Expression>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) haystack: Option<Box<Rel>>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct SetPredicate {
    #[prost(int32, tag = "1")]
    pub(in crate::flight::substrait) op: i32,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) tuples: Option<Box<Rel>>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct SetComparison {
    #[prost(int32, tag = "1")]
    pub(in crate::flight::substrait) reduction: i32,
    #[prost(int32, tag = "2")]
    pub(in crate::flight::substrait) comparison: i32,
    #[prost(message, optional, boxed, tag = "3")]
    pub(in crate::flight::substrait) left: Option<Box<Expression>>,
    #[prost(message, optional, boxed, tag = "4")]
    pub(in crate::flight::substrait) right: Option<Box<Rel>>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct Nested {
    #[prost(oneof = "NestedKind", tags = "3, 4, 5")]
    pub(in crate::flight::substrait) kind: Option<NestedKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::flight::substrait) enum NestedKind {
    #[prost(message, tag = "3")]
    Struct(Opaque),
    #[prost(message, tag = "4")]
    List(Expressions),
    #[prost(message, tag = "5")]
    Map(Opaque),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct DynamicParameter {
    #[prost(message, optional, tag = "1")]
    pub(in crate::flight::substrait) kind: Option<Type>,
    #[prost(uint32, tag = "2")]
    pub(in crate::flight::substrait) reference: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct ContextVariable {
    #[prost(oneof = "ContextKind", tags = "1, 2, 3")]
    pub(in crate::flight::substrait) kind: Option<ContextKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::flight::substrait) enum ContextKind {
    #[prost(message, tag = "1")]
    Timestamp(Opaque),
    #[prost(message, tag = "2")]
    Timezone(Opaque),
    #[prost(message, tag = "3")]
    Date(Opaque),
}
