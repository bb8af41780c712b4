//! The messages of a Substrait plan, as far as they are read here: numbers of fields and nothing else of the format.
//!
//! Declared by hand, because the crates that generate them need a compiler of protobuf to build, and because plans of many
//! versions come in: fields that newer versions of the format have dropped stand beside those that took their place, and
//! neither is overlooked. What is not declared cannot be told from what is absent, so everything that changes an answer is
//! declared, and of kinds of relations, expressions, types and literals that are not, nothing is left: they are refused.
//!
//! Reading stops at 100 messages inside each other (prost's limit), which bounds everything that walks through a plan.

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Plan {
    #[prost(message, optional, tag = "6")]
    pub(super) version: Option<Version>,
    #[prost(message, repeated, tag = "2")]
    pub(super) extensions: Vec<Declaration>,
    #[prost(message, repeated, tag = "3")]
    pub(super) relations: Vec<PlanRel>,
    #[prost(message, optional, tag = "4")]
    pub(super) advanced_extensions: Option<AdvancedExtension>,
    #[prost(message, repeated, tag = "7")]
    pub(super) parameter_bindings: Vec<ParameterBinding>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Version {
    #[prost(uint32, tag = "1")]
    pub(super) major_number: u32,
    #[prost(uint32, tag = "2")]
    pub(super) minor_number: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Declaration {
    #[prost(oneof = "Declared", tags = "1, 2, 3")]
    pub(super) declared: Option<Declared>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Declared {
    #[prost(message, tag = "1")]
    Type(Named),
    #[prost(message, tag = "2")]
    Variation(Named),
    #[prost(message, tag = "3")]
    Function(Named),
}

/// A name that the plan refers to by a number.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Named {
    /// Where the name is from, by URI in older plans; the largest number where it is from nowhere.
    #[prost(uint32, tag = "1")]
    pub(super) uri: u32,
    #[prost(uint32, tag = "4")]
    pub(super) urn: u32,
    #[prost(uint32, tag = "2")]
    pub(super) anchor: u32,
    #[prost(string, tag = "3")]
    pub(super) name: String,
}

/// Something extra: what only hints is not read, what changes the meaning is refused.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AdvancedExtension {
    #[prost(message, optional, tag = "2")]
    pub(super) enhancement: Option<Opaque>,
}

/// A message of which only its presence matters.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Opaque {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ParameterBinding {
    #[prost(uint32, tag = "1")]
    pub(super) anchor: u32,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<Literal>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PlanRel {
    #[prost(oneof = "PlanRelKind", tags = "1, 2")]
    pub(super) kind: Option<PlanRelKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum PlanRelKind {
    #[prost(message, tag = "1")]
    Rel(Box<Rel>),
    #[prost(message, tag = "2")]
    Root(Box<RelRoot>),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RelRoot {
    #[prost(message, optional, boxed, tag = "1")]
    pub(super) input: Option<Box<Rel>>,
    #[prost(string, repeated, tag = "2")]
    pub(super) names: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Rel {
    #[prost(
        oneof = "RelKind",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24"
    )]
    pub(super) kind: Option<RelKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum RelKind {
    #[prost(message, tag = "1")]
    Read(Box<ReadRel>),
    #[prost(message, tag = "2")]
    Filter(Box<FilterRel>),
    #[prost(message, tag = "3")]
    Fetch(Box<FetchRel>),
    #[prost(message, tag = "4")]
    Aggregate(Box<AggregateRel>),
    #[prost(message, tag = "5")]
    Sort(Box<SortRel>),
    #[prost(message, tag = "6")]
    Join(Box<JoinRel>),
    #[prost(message, tag = "7")]
    Project(Box<ProjectRel>),
    #[prost(message, tag = "8")]
    Set(Box<SetRel>),
    #[prost(message, tag = "9")]
    ExtensionSingle(Opaque),
    #[prost(message, tag = "10")]
    ExtensionMulti(Opaque),
    #[prost(message, tag = "11")]
    ExtensionLeaf(Opaque),
    #[prost(message, tag = "12")]
    Cross(Box<CrossRel>),
    #[prost(message, tag = "13")]
    HashJoin(Opaque),
    #[prost(message, tag = "14")]
    MergeJoin(Opaque),
    #[prost(message, tag = "15")]
    Exchange(Opaque),
    #[prost(message, tag = "16")]
    Expand(Opaque),
    #[prost(message, tag = "17")]
    Window(Opaque),
    #[prost(message, tag = "18")]
    NestedLoopJoin(Opaque),
    #[prost(message, tag = "19")]
    Write(Opaque),
    #[prost(message, tag = "20")]
    Ddl(Opaque),
    #[prost(message, tag = "21")]
    Reference(Opaque),
    #[prost(message, tag = "22")]
    Update(Opaque),
    #[prost(message, tag = "23")]
    TopN(Opaque),
    #[prost(message, tag = "24")]
    LateralJoin(Opaque),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RelCommon {
    #[prost(message, optional, tag = "2")]
    pub(super) emit: Option<Emit>,
    #[prost(message, optional, tag = "4")]
    pub(super) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Emit {
    #[prost(int32, repeated, tag = "1")]
    pub(super) output_mapping: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadRel {
    #[prost(message, optional, tag = "1")]
    pub(super) common: Option<RelCommon>,
    #[prost(message, optional, tag = "2")]
    pub(super) base_schema: Option<NamedStruct>,
    /// Must hold; `best_effort_filter` (11) is only a hint and is not read.
    #[prost(message, optional, boxed, tag = "3")]
    pub(super) filter: Option<Box<Expression>>,
    #[prost(message, optional, tag = "4")]
    pub(super) projection: Option<MaskExpression>,
    #[prost(message, optional, tag = "10")]
    pub(super) advanced_extension: Option<AdvancedExtension>,
    #[prost(oneof = "ReadKind", tags = "5, 6, 7, 8, 9")]
    pub(super) kind: Option<ReadKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum ReadKind {
    #[prost(message, tag = "5")]
    Virtual(VirtualTable),
    #[prost(message, tag = "6")]
    LocalFiles(Opaque),
    #[prost(message, tag = "7")]
    Named(NamedTable),
    #[prost(message, tag = "8")]
    Extension(Opaque),
    #[prost(message, tag = "9")]
    Iceberg(Opaque),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NamedTable {
    #[prost(string, repeated, tag = "1")]
    pub(super) names: Vec<String>,
    #[prost(message, optional, tag = "10")]
    pub(super) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct VirtualTable {
    /// Of older plans.
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<Literals>,
    #[prost(message, repeated, tag = "2")]
    pub(super) expressions: Vec<Expressions>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Literals {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<Literal>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Expressions {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<Expression>,
}

/// Names depth first, those within structs included.
#[derive(Clone, PartialEq, Message)]
pub(super) struct NamedStruct {
    #[prost(string, repeated, tag = "1")]
    pub(super) names: Vec<String>,
    #[prost(message, optional, tag = "2")]
    pub(super) types: Option<StructType>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MaskExpression {
    #[prost(message, optional, tag = "1")]
    pub(super) select: Option<StructSelect>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StructSelect {
    #[prost(message, repeated, tag = "1")]
    pub(super) items: Vec<StructItem>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StructItem {
    #[prost(int32, tag = "1")]
    pub(super) field: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) child: Option<Opaque>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FilterRel {
    #[prost(message, optional, tag = "1")]
    pub(super) common: Option<RelCommon>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) input: Option<Box<Rel>>,
    #[prost(message, optional, boxed, tag = "3")]
    pub(super) condition: Option<Box<Expression>>,
    #[prost(message, optional, tag = "10")]
    pub(super) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FetchRel {
    #[prost(message, optional, tag = "1")]
    pub(super) common: Option<RelCommon>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) input: Option<Box<Rel>>,
    /// Of older plans, as is `count`, where −1 is all.
    #[prost(int64, optional, tag = "3")]
    pub(super) offset: Option<i64>,
    #[prost(int64, optional, tag = "4")]
    pub(super) count: Option<i64>,
    #[prost(message, optional, boxed, tag = "5")]
    pub(super) offset_expr: Option<Box<Expression>>,
    #[prost(message, optional, boxed, tag = "6")]
    pub(super) count_expr: Option<Box<Expression>>,
    #[prost(message, optional, tag = "10")]
    pub(super) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AggregateRel {
    #[prost(message, optional, tag = "1")]
    pub(super) common: Option<RelCommon>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) input: Option<Box<Rel>>,
    #[prost(message, repeated, tag = "3")]
    pub(super) groupings: Vec<Grouping>,
    #[prost(message, repeated, tag = "4")]
    pub(super) measures: Vec<Measure>,
    #[prost(message, repeated, tag = "5")]
    pub(super) grouping_expressions: Vec<Expression>,
    #[prost(message, optional, tag = "10")]
    pub(super) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Grouping {
    /// Of older plans.
    #[prost(message, repeated, tag = "1")]
    pub(super) expressions: Vec<Expression>,
    #[prost(uint32, repeated, tag = "2")]
    pub(super) references: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Measure {
    #[prost(message, optional, tag = "1")]
    pub(super) measure: Option<AggregateFunction>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) filter: Option<Box<Expression>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AggregateFunction {
    #[prost(uint32, tag = "1")]
    pub(super) function: u32,
    /// Of older plans.
    #[prost(message, repeated, tag = "2")]
    pub(super) args: Vec<Expression>,
    #[prost(message, repeated, tag = "3")]
    pub(super) sorts: Vec<SortField>,
    #[prost(int32, tag = "4")]
    pub(super) phase: i32,
    #[prost(int32, tag = "6")]
    pub(super) invocation: i32,
    #[prost(message, repeated, tag = "7")]
    pub(super) arguments: Vec<FunctionArgument>,
    #[prost(message, repeated, tag = "8")]
    pub(super) options: Vec<FunctionOption>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SortRel {
    #[prost(message, optional, tag = "1")]
    pub(super) common: Option<RelCommon>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) input: Option<Box<Rel>>,
    #[prost(message, repeated, tag = "3")]
    pub(super) sorts: Vec<SortField>,
    #[prost(message, optional, tag = "10")]
    pub(super) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SortField {
    #[prost(message, optional, boxed, tag = "1")]
    pub(super) expr: Option<Box<Expression>>,
    /// None where a function compares.
    #[prost(int32, optional, tag = "2")]
    pub(super) direction: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct JoinRel {
    #[prost(message, optional, tag = "1")]
    pub(super) common: Option<RelCommon>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) left: Option<Box<Rel>>,
    #[prost(message, optional, boxed, tag = "3")]
    pub(super) right: Option<Box<Rel>>,
    #[prost(message, optional, boxed, tag = "4")]
    pub(super) expression: Option<Box<Expression>>,
    #[prost(message, optional, boxed, tag = "5")]
    pub(super) post_join_filter: Option<Box<Expression>>,
    #[prost(int32, tag = "6")]
    pub(super) kind: i32,
    #[prost(message, optional, tag = "10")]
    pub(super) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CrossRel {
    #[prost(message, optional, tag = "1")]
    pub(super) common: Option<RelCommon>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) left: Option<Box<Rel>>,
    #[prost(message, optional, boxed, tag = "3")]
    pub(super) right: Option<Box<Rel>>,
    #[prost(message, optional, tag = "10")]
    pub(super) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProjectRel {
    #[prost(message, optional, tag = "1")]
    pub(super) common: Option<RelCommon>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) input: Option<Box<Rel>>,
    #[prost(message, repeated, tag = "3")]
    pub(super) expressions: Vec<Expression>,
    #[prost(message, optional, tag = "10")]
    pub(super) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetRel {
    #[prost(message, optional, tag = "1")]
    pub(super) common: Option<RelCommon>,
    #[prost(message, repeated, tag = "2")]
    pub(super) inputs: Vec<Rel>,
    #[prost(int32, tag = "3")]
    pub(super) op: i32,
    #[prost(message, optional, tag = "10")]
    pub(super) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Expression {
    #[prost(
        oneof = "ExpressionKind",
        tags = "1, 2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17"
    )]
    pub(super) kind: Option<ExpressionKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum ExpressionKind {
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
pub(super) struct FieldReference {
    #[prost(message, optional, boxed, tag = "1")]
    pub(super) direct: Option<Box<ReferenceSegment>>,
    #[prost(oneof = "RootKind", tags = "3, 4, 5, 6")]
    pub(super) root: Option<RootKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum RootKind {
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
pub(super) struct OuterReference {
    #[prost(uint32, optional, tag = "1")]
    pub(super) steps_out: Option<u32>,
    /// By the relation's anchor, in newer plans.
    #[prost(uint32, optional, tag = "2")]
    pub(super) relation: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReferenceSegment {
    #[prost(oneof = "SegmentKind", tags = "1, 2, 3")]
    pub(super) kind: Option<SegmentKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum SegmentKind {
    #[prost(message, tag = "1")]
    MapKey(Opaque),
    #[prost(message, tag = "2")]
    StructField(Box<StructField>),
    #[prost(message, tag = "3")]
    ListElement(Opaque),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StructField {
    #[prost(int32, tag = "1")]
    pub(super) field: i32,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) child: Option<Box<ReferenceSegment>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScalarFunction {
    #[prost(uint32, tag = "1")]
    pub(super) function: u32,
    /// Of older plans.
    #[prost(message, repeated, tag = "2")]
    pub(super) args: Vec<Expression>,
    #[prost(message, repeated, tag = "4")]
    pub(super) arguments: Vec<FunctionArgument>,
    #[prost(message, repeated, tag = "5")]
    pub(super) options: Vec<FunctionOption>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FunctionArgument {
    #[prost(oneof = "ArgumentKind", tags = "1, 2, 3")]
    pub(super) kind: Option<ArgumentKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum ArgumentKind {
    #[prost(string, tag = "1")]
    Enum(String),
    #[prost(message, tag = "2")]
    Type(Opaque),
    #[prost(message, tag = "3")]
    Value(Box<Expression>),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FunctionOption {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) preference: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WindowFunction {
    #[prost(uint32, tag = "1")]
    pub(super) function: u32,
    #[prost(message, repeated, tag = "2")]
    pub(super) partitions: Vec<Expression>,
    #[prost(message, repeated, tag = "3")]
    pub(super) sorts: Vec<SortField>,
    #[prost(message, optional, boxed, tag = "4")]
    pub(super) upper_bound: Option<Box<Bound>>,
    #[prost(message, optional, boxed, tag = "5")]
    pub(super) lower_bound: Option<Box<Bound>>,
    #[prost(int32, tag = "6")]
    pub(super) phase: i32,
    /// Of older plans.
    #[prost(message, repeated, tag = "8")]
    pub(super) args: Vec<Expression>,
    #[prost(message, repeated, tag = "9")]
    pub(super) arguments: Vec<FunctionArgument>,
    #[prost(int32, tag = "10")]
    pub(super) invocation: i32,
    #[prost(message, repeated, tag = "11")]
    pub(super) options: Vec<FunctionOption>,
    #[prost(int32, tag = "12")]
    pub(super) bounds_type: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Bound {
    #[prost(oneof = "BoundKind", tags = "1, 2, 3, 4")]
    pub(super) kind: Option<BoundKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum BoundKind {
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
pub(super) struct Distance {
    #[prost(int64, tag = "1")]
    pub(super) offset: i64,
    #[prost(message, optional, tag = "2")]
    pub(super) expression: Option<Opaque>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct IfThen {
    #[prost(message, repeated, tag = "1")]
    pub(super) ifs: Vec<IfClause>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) otherwise: Option<Box<Expression>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct IfClause {
    #[prost(message, optional, boxed, tag = "1")]
    pub(super) condition: Option<Box<Expression>>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) then: Option<Box<Expression>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SwitchExpression {
    #[prost(message, repeated, tag = "1")]
    pub(super) ifs: Vec<IfValue>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) otherwise: Option<Box<Expression>>,
    #[prost(message, optional, boxed, tag = "3")]
    pub(super) subject: Option<Box<Expression>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct IfValue {
    #[prost(message, optional, tag = "1")]
    pub(super) value: Option<Literal>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) then: Option<Box<Expression>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SingularOrList {
    #[prost(message, optional, boxed, tag = "1")]
    pub(super) value: Option<Box<Expression>>,
    #[prost(message, repeated, tag = "2")]
    pub(super) options: Vec<Expression>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Cast {
    #[prost(message, optional, tag = "1")]
    pub(super) target: Option<Type>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) input: Option<Box<Expression>>,
    #[prost(int32, tag = "3")]
    pub(super) failure_behavior: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Subquery {
    #[prost(oneof = "SubqueryKind", tags = "1, 2, 3, 4")]
    pub(super) kind: Option<SubqueryKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum SubqueryKind {
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
pub(super) struct ScalarSubquery {
    #[prost(message, optional, boxed, tag = "1")]
    pub(super) input: Option<Box<Rel>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InPredicate {
    #[prost(message, repeated, tag = "1")]
    pub(super) needles: Vec<Expression>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) haystack: Option<Box<Rel>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetPredicate {
    #[prost(int32, tag = "1")]
    pub(super) op: i32,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) tuples: Option<Box<Rel>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetComparison {
    #[prost(int32, tag = "1")]
    pub(super) reduction: i32,
    #[prost(int32, tag = "2")]
    pub(super) comparison: i32,
    #[prost(message, optional, boxed, tag = "3")]
    pub(super) left: Option<Box<Expression>>,
    #[prost(message, optional, boxed, tag = "4")]
    pub(super) right: Option<Box<Rel>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Nested {
    #[prost(oneof = "NestedKind", tags = "3, 4, 5")]
    pub(super) kind: Option<NestedKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum NestedKind {
    #[prost(message, tag = "3")]
    Struct(Opaque),
    #[prost(message, tag = "4")]
    List(Expressions),
    #[prost(message, tag = "5")]
    Map(Opaque),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DynamicParameter {
    #[prost(message, optional, tag = "1")]
    pub(super) kind: Option<Type>,
    #[prost(uint32, tag = "2")]
    pub(super) reference: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContextVariable {
    #[prost(oneof = "ContextKind", tags = "1, 2, 3")]
    pub(super) kind: Option<ContextKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum ContextKind {
    #[prost(message, tag = "1")]
    Timestamp(Opaque),
    #[prost(message, tag = "2")]
    Timezone(Opaque),
    #[prost(message, tag = "3")]
    Date(Opaque),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Literal {
    #[prost(uint32, tag = "51")]
    pub(super) variation: u32,
    #[prost(
        oneof = "LiteralKind",
        tags = "1, 2, 3, 5, 7, 10, 11, 12, 13, 14, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37"
    )]
    pub(super) kind: Option<LiteralKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum LiteralKind {
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
pub(super) struct IntervalYear {
    #[prost(int32, tag = "1")]
    pub(super) years: i32,
    #[prost(int32, tag = "2")]
    pub(super) months: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct IntervalDay {
    #[prost(int32, tag = "1")]
    pub(super) days: i32,
    #[prost(int32, tag = "2")]
    pub(super) seconds: i32,
    /// Of older plans.
    #[prost(int32, tag = "3")]
    pub(super) microseconds: i32,
    #[prost(int32, tag = "4")]
    pub(super) precision: i32,
    #[prost(int64, tag = "5")]
    pub(super) subseconds: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct IntervalCompound {
    #[prost(message, optional, tag = "1")]
    pub(super) years: Option<IntervalYear>,
    #[prost(message, optional, tag = "2")]
    pub(super) days: Option<IntervalDay>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct VarChar {
    #[prost(string, tag = "1")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DecimalValue {
    /// 16 bytes, the lowest first.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) value: Vec<u8>,
    #[prost(int32, tag = "2")]
    pub(super) precision: i32,
    #[prost(int32, tag = "3")]
    pub(super) scale: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Precise {
    #[prost(int32, tag = "1")]
    pub(super) precision: i32,
    #[prost(int64, tag = "2")]
    pub(super) value: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Type {
    #[prost(
        oneof = "TypeKind",
        tags = "1, 2, 3, 5, 7, 10, 11, 12, 13, 14, 16, 17, 19, 20, 21, 22, 23, 24, 25, 27, 28, 29, 30, 32, 33, 34, 35, 36"
    )]
    pub(super) kind: Option<TypeKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum TypeKind {
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
pub(super) struct PlainType {
    #[prost(uint32, tag = "1")]
    pub(super) variation: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PreciseType {
    #[prost(int32, tag = "1")]
    pub(super) precision: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DecimalType {
    #[prost(int32, tag = "1")]
    pub(super) scale: i32,
    #[prost(int32, tag = "2")]
    pub(super) precision: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StructType {
    #[prost(message, repeated, tag = "1")]
    pub(super) types: Vec<Type>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListType {
    #[prost(message, optional, boxed, tag = "1")]
    pub(super) element: Option<Box<Type>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MapType {
    #[prost(message, optional, boxed, tag = "1")]
    pub(super) key: Option<Box<Type>>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(super) value: Option<Box<Type>>,
    #[prost(uint32, tag = "3")]
    pub(super) variation: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UserDefinedType {
    #[prost(uint32, tag = "1")]
    pub(super) reference: u32,
}
