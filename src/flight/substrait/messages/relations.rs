//! Relations: what a query does with rows.

use prost::{Message, Oneof};

use super::{AdvancedExtension, Expression, FunctionArgument, FunctionOption, Literal, Opaque, StructType};

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct Rel {
    #[prost(
        oneof = "RelKind",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24"
    )]
    pub(in crate::flight::substrait) kind: Option<RelKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::flight::substrait) enum RelKind {
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
pub(in crate::flight::substrait) struct RelCommon {
    #[prost(message, optional, tag = "2")]
    pub(in crate::flight::substrait) emit: Option<Emit>,
    #[prost(message, optional, tag = "4")]
    pub(in crate::flight::substrait) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct Emit {
    #[prost(int32, repeated, tag = "1")]
    pub(in crate::flight::substrait) output_mapping: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct ReadRel {
    #[prost(message, optional, tag = "1")]
    pub(in crate::flight::substrait) common: Option<RelCommon>,
    #[prost(message, optional, tag = "2")]
    pub(in crate::flight::substrait) base_schema: Option<NamedStruct>,
    /// Must hold; `best_effort_filter` (11) is only a hint and is not read.
    #[prost(message, optional, boxed, tag = "3")]
    pub(in crate::flight::substrait) filter: Option<Box<Expression>>,
    #[prost(message, optional, tag = "4")]
    pub(in crate::flight::substrait) projection: Option<MaskExpression>,
    #[prost(message, optional, tag = "10")]
    pub(in crate::flight::substrait) advanced_extension: Option<AdvancedExtension>,
    #[prost(oneof = "ReadKind", tags = "5, 6, 7, 8, 9")]
    pub(in crate::flight::substrait) kind: Option<ReadKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::flight::substrait) enum ReadKind {
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
pub(in crate::flight::substrait) struct NamedTable {
    #[prost(string, repeated, tag = "1")]
    pub(in crate::flight::substrait) names: Vec<String>,
    #[prost(message, optional, tag = "10")]
    pub(in crate::flight::substrait) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct VirtualTable {
    /// Of older plans.
    #[prost(message, repeated, tag = "1")]
    pub(in crate::flight::substrait) values: Vec<Literals>,
    #[prost(message, repeated, tag = "2")]
    pub(in crate::flight::substrait) expressions: Vec<Expressions>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct Literals {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::flight::substrait) values: Vec<Literal>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct Expressions {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::flight::substrait) values: Vec<Expression>,
}

/// Names depth first, those within structs included.
#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct NamedStruct {
    #[prost(string, repeated, tag = "1")]
    pub(in crate::flight::substrait) names: Vec<String>,
    #[prost(message, optional, tag = "2")]
    pub(in crate::flight::substrait) types: Option<StructType>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct MaskExpression {
    #[prost(message, optional, tag = "1")]
    pub(in crate::flight::substrait) select: Option<StructSelect>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct StructSelect {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::flight::substrait) items: Vec<StructItem>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct StructItem {
    #[prost(int32, tag = "1")]
    pub(in crate::flight::substrait) field: i32,
    #[prost(message, optional, tag = "2")]
    pub(in crate::flight::substrait) child: Option<Opaque>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct FilterRel {
    #[prost(message, optional, tag = "1")]
    pub(in crate::flight::substrait) common: Option<RelCommon>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) input: Option<Box<Rel>>,
    #[prost(message, optional, boxed, tag = "3")]
    pub(in crate::flight::substrait) condition: Option<Box<Expression>>,
    #[prost(message, optional, tag = "10")]
    pub(in crate::flight::substrait) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct FetchRel {
    #[prost(message, optional, tag = "1")]
    pub(in crate::flight::substrait) common: Option<RelCommon>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) input: Option<Box<Rel>>,
    /// Of older plans, as is `count`, where −1 is all.
    #[prost(int64, optional, tag = "3")]
    pub(in crate::flight::substrait) offset: Option<i64>,
    #[prost(int64, optional, tag = "4")]
    pub(in crate::flight::substrait) count: Option<i64>,
    #[prost(message, optional, boxed, tag = "5")]
    pub(in crate::flight::substrait) offset_expr: Option<Box<Expression>>,
    #[prost(message, optional, boxed, tag = "6")]
    pub(in crate::flight::substrait) count_expr: Option<Box<Expression>>,
    #[prost(message, optional, tag = "10")]
    pub(in crate::flight::substrait) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct AggregateRel {
    #[prost(message, optional, tag = "1")]
    pub(in crate::flight::substrait) common: Option<RelCommon>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) input: Option<Box<Rel>>,
    #[prost(message, repeated, tag = "3")]
    pub(in crate::flight::substrait) groupings: Vec<Grouping>,
    #[prost(message, repeated, tag = "4")]
    pub(in crate::flight::substrait) measures: Vec<Measure>,
    #[prost(message, repeated, tag = "5")]
    pub(in crate::flight::substrait) grouping_expressions: Vec<Expression>,
    #[prost(message, optional, tag = "10")]
    pub(in crate::flight::substrait) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct Grouping {
    /// Of older plans.
    #[prost(message, repeated, tag = "1")]
    pub(in crate::flight::substrait) expressions: Vec<Expression>,
    #[prost(uint32, repeated, tag = "2")]
    pub(in crate::flight::substrait) references: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct Measure {
    #[prost(message, optional, tag = "1")]
    pub(in crate::flight::substrait) measure: Option<AggregateFunction>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) filter: Option<Box<Expression>>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct AggregateFunction {
    #[prost(uint32, tag = "1")]
    pub(in crate::flight::substrait) function: u32,
    /// Of older plans.
    #[prost(message, repeated, tag = "2")]
    pub(in crate::flight::substrait) args: Vec<Expression>,
    #[prost(message, repeated, tag = "3")]
    pub(in crate::flight::substrait) sorts: Vec<SortField>,
    #[prost(int32, tag = "4")]
    pub(in crate::flight::substrait) phase: i32,
    #[prost(int32, tag = "6")]
    pub(in crate::flight::substrait) invocation: i32,
    #[prost(message, repeated, tag = "7")]
    pub(in crate::flight::substrait) arguments: Vec<FunctionArgument>,
    #[prost(message, repeated, tag = "8")]
    pub(in crate::flight::substrait) options: Vec<FunctionOption>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct SortRel {
    #[prost(message, optional, tag = "1")]
    pub(in crate::flight::substrait) common: Option<RelCommon>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) input: Option<Box<Rel>>,
    #[prost(message, repeated, tag = "3")]
    pub(in crate::flight::substrait) sorts: Vec<SortField>,
    #[prost(message, optional, tag = "10")]
    pub(in crate::flight::substrait) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct SortField {
    #[prost(message, optional, boxed, tag = "1")]
    pub(in crate::flight::substrait) expr: Option<Box<Expression>>,
    /// None where a function compares.
    #[prost(int32, optional, tag = "2")]
    pub(in crate::flight::substrait) direction: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct JoinRel {
    #[prost(message, optional, tag = "1")]
    pub(in crate::flight::substrait) common: Option<RelCommon>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) left: Option<Box<Rel>>,
    #[prost(message, optional, boxed, tag = "3")]
    pub(in crate::flight::substrait) right: Option<Box<Rel>>,
    #[prost(message, optional, boxed, tag = "4")]
    pub(in crate::flight::substrait) expression: Option<Box<Expression>>,
    #[prost(message, optional, boxed, tag = "5")]
    pub(in crate::flight::substrait) post_join_filter: Option<Box<Expression>>,
    #[prost(int32, tag = "6")]
    pub(in crate::flight::substrait) kind: i32,
    #[prost(message, optional, tag = "10")]
    pub(in crate::flight::substrait) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct CrossRel {
    #[prost(message, optional, tag = "1")]
    pub(in crate::flight::substrait) common: Option<RelCommon>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) left: Option<Box<Rel>>,
    #[prost(message, optional, boxed, tag = "3")]
    pub(in crate::flight::substrait) right: Option<Box<Rel>>,
    #[prost(message, optional, tag = "10")]
    pub(in crate::flight::substrait) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct ProjectRel {
    #[prost(message, optional, tag = "1")]
    pub(in crate::flight::substrait) common: Option<RelCommon>,
    #[prost(message, optional, boxed, tag = "2")]
    pub(in crate::flight::substrait) input: Option<Box<Rel>>,
    #[prost(message, repeated, tag = "3")]
    pub(in crate::flight::substrait) expressions: Vec<Expression>,
    #[prost(message, optional, tag = "10")]
    pub(in crate::flight::substrait) advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::flight::substrait) struct SetRel {
    #[prost(message, optional, tag = "1")]
    pub(in crate::flight::substrait) common: Option<RelCommon>,
    #[prost(message, repeated, tag = "2")]
    pub(in crate::flight::substrait) inputs: Vec<Rel>,
    #[prost(int32, tag = "3")]
    pub(in crate::flight::substrait) op: i32,
    #[prost(message, optional, tag = "10")]
    pub(in crate::flight::substrait) advanced_extension: Option<AdvancedExtension>,
}
