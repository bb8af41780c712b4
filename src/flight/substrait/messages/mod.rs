//! The messages of a Substrait plan, as far as they are read here: numbers of fields and nothing else of the format.
//!
//! Declared by hand, because the crates that generate them need a compiler of protobuf to build, and because plans of many
//! versions come in: fields that newer versions of the format have dropped stand beside those that took their place, and
//! neither is overlooked. What is not declared cannot be told from what is absent, so everything that changes an answer is
//! declared, and of kinds of relations, expressions, types and literals that are not, nothing is left: they are refused.
//!
//! Reading stops at 100 messages inside each other (prost's limit), which bounds everything that walks through a plan.

mod expressions;
mod relations;
mod values;

use prost::{Message, Oneof};

pub(super) use expressions::{
    ArgumentKind, Bound, BoundKind, Cast, ContextKind, ContextVariable, Distance, DynamicParameter, Expression,
    ExpressionKind, FieldReference, FunctionArgument, FunctionOption, IfThen, Nested, NestedKind, ReferenceSegment,
    RootKind, ScalarFunction, SegmentKind, SetComparison, StructField, Subquery, SubqueryKind, SwitchExpression,
    WindowFunction,
};
#[cfg(test)]
pub(super) use relations::Emit;
use relations::Literals;
pub(super) use relations::{
    AggregateFunction, AggregateRel, CrossRel, Expressions, FetchRel, FilterRel, Grouping, JoinRel, Measure,
    NamedStruct, NamedTable, ProjectRel, ReadKind, ReadRel, Rel, RelCommon, RelKind, SetRel, SortField, SortRel,
    VirtualTable,
};
pub(super) use values::{
    DecimalType, DecimalValue, IntervalDay, IntervalYear, ListType, Literal, LiteralKind, Precise, StructType, Type,
    TypeKind,
};

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
