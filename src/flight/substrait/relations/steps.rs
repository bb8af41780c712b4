//! What is done with the rows of a relation.

use std::collections::HashSet;

use super::super::messages::{
    AggregateRel, CrossRel, Expression, ExpressionKind, FetchRel, FilterRel, Grouping, JoinRel, Measure, ProjectRel,
    Rel, RootKind, SegmentKind, SetRel, SortField, SortRel,
};
use super::super::types::Shape;
use super::super::{Made, Writer, invalid, unsupported};
use super::{Field, Key, Relation, Stage, at_position, item, plain};

/// Kinds of joins in the format, and which sides' columns they give.
const INNER: i32 = 1;
const OUTER: i32 = 2;
const LEFT: i32 = 3;
const RIGHT: i32 = 4;
const LEFT_SEMI: i32 = 5;
const LEFT_ANTI: i32 = 6;
const RIGHT_SEMI: i32 = 8;
const RIGHT_ANTI: i32 = 9;

impl<'a> Writer<'a> {
    pub(super) fn filter(&mut self, filter: &'a FilterRel) -> Made<Relation> {
        plain(filter.advanced_extension.as_ref())?;
        let input = self.input(filter.input.as_deref())?;
        let Some(condition) = &filter.condition else {
            return Err(invalid("a filter has no condition"));
        };
        let filtered = self.filtered(input, condition)?;
        self.emitted(filtered, filter.common.as_ref())
    }

    pub(super) fn filtered(&mut self, input: Relation, condition: &'a Expression) -> Made<Relation> {
        let mut relation = self.open(input, Stage::Filtered)?;
        let condition = self.expression(condition, &relation.fields)?;
        let word = match relation.stage {
            Stage::Filtered => "AND",
            _ => "WHERE",
        };
        relation.tail = format!("{} {word} {condition}", relation.tail);
        relation.stage = Stage::Filtered;
        Ok(relation)
    }

    pub(super) fn project(&mut self, project: &'a ProjectRel) -> Made<Relation> {
        plain(project.advanced_extension.as_ref())?;
        let input = self.input(project.input.as_deref())?;
        let fields: Option<Vec<i32>> = project.expressions.iter().map(position).collect();
        let Some(fields) = fields else {
            let all = self.with(input, project.expressions.iter())?;
            return self.emitted(all, project.common.as_ref());
        };
        // Columns that are there, in another order: nothing is worked out.
        let common = project.common.as_ref();
        plain(common.and_then(|common| common.advanced_extension.as_ref()))?;
        let all: Vec<i32> = (0..).take(input.fields.len()).chain(fields).collect();
        match common.and_then(|common| common.emit.as_ref()) {
            Some(emit) => {
                let given = emit.output_mapping.iter().map(|at| at_position(&all, *at).copied());
                self.chosen(input, &given.collect::<Made<Vec<_>>>()?)
            }
            None => self.chosen(input, &all),
        }
    }

    /// A relation with these expressions behind its columns.
    pub(super) fn with(
        &mut self,
        input: Relation,
        expressions: impl Iterator<Item = &'a Expression>,
    ) -> Made<Relation> {
        let mut relation = self.open(input, Stage::Filtered)?;
        let mut all = self.copied(&relation.fields)?;
        for expression in expressions {
            all.push(self.column(expression, &relation.fields)?);
        }
        relation.fields = all;
        Ok(relation)
    }

    pub(super) fn fetch(&mut self, fetch: &'a FetchRel) -> Made<Relation> {
        plain(fetch.advanced_extension.as_ref())?;
        let mut relation = self.input(fetch.input.as_deref())?;
        if !relation.limit.is_empty() {
            relation = self.over(relation)?;
        }
        let count = match (&fetch.count_expr, fetch.count) {
            (Some(count), _) => self.rows(count)?,
            // All of them.
            (None, Some(-1)) => None,
            // To plans of before it was optional, nothing written is zero.
            (None, None) if self.is_old => {
                return Err(unsupported("a fetch without a count, in a plan of this version"));
            }
            (None, None) => None,
            (None, Some(count)) => Some(positive(count)?),
        };
        let offset = match (&fetch.offset_expr, fetch.offset) {
            (Some(offset), _) => self.rows(offset)?,
            (None, Some(offset)) => Some(positive(offset)?),
            (None, None) => None,
        };
        for (word, rows) in [("LIMIT", count), ("OFFSET", offset)] {
            if let Some(rows) = rows {
                relation.limit.push_str(&format!(" {word} {rows}"));
            }
        }
        self.emitted(relation, fetch.common.as_ref())
    }

    pub(super) fn sort(&mut self, sort: &'a SortRel) -> Made<Relation> {
        plain(sort.advanced_extension.as_ref())?;
        let input = self.input(sort.input.as_deref())?;
        let mut relation = self.open(input, Stage::Filtered)?;
        relation.order = self.order(&sort.sorts, &relation.fields)?;
        self.emitted(relation, sort.common.as_ref())
    }

    pub(in crate::flight::substrait) fn order(&mut self, sorts: &'a [SortField], fields: &[Field]) -> Made<Vec<Key>> {
        let mut order = Vec::with_capacity(sorts.len());
        for sort in sorts {
            let direction = match sort.direction {
                Some(1) => "ASC NULLS FIRST",
                Some(2) => "ASC NULLS LAST",
                Some(3) => "DESC NULLS FIRST",
                Some(4) => "DESC NULLS LAST",
                _ => return Err(unsupported("an order other than up or down")),
            };
            let text = self.needed(sort.expr.as_deref(), fields)?;
            order.push(Key { text, direction });
        }
        Ok(order)
    }

    pub(super) fn aggregate(&mut self, aggregate: &'a AggregateRel) -> Made<Relation> {
        plain(aggregate.advanced_extension.as_ref())?;
        let keys = keys(aggregate)?;
        if keys.is_empty() && aggregate.measures.is_empty() {
            return Err(invalid("an aggregate has neither keys nor measures"));
        }
        let input = self.input(aggregate.input.as_deref())?;
        // Keys are columns: a literal behind GROUP BY would be the number of one.
        let before = input.fields.len();
        let keyed = self.with(input, keys.into_iter())?;
        let mut relation = self.open(keyed, Stage::Filtered)?;
        let (fields, keys) = relation.fields.split_at_checked(before).unwrap_or_default();
        let mut outputs = keys.to_vec();
        for measure in &aggregate.measures {
            outputs.push(Field::made(self.measure(measure, fields)?));
        }
        if !keys.is_empty() {
            let keys: Vec<&str> = keys.iter().map(|key| key.text.as_str()).collect();
            relation.tail = format!("{} GROUP BY {}", relation.tail, keys.join(", "));
        }
        let grouped = Relation::new(relation.tail, outputs, Stage::Grouped);
        self.emitted(grouped, aggregate.common.as_ref())
    }

    pub(super) fn measure(&mut self, measure: &'a Measure, fields: &[Field]) -> Made<String> {
        let Some(function) = &measure.measure else {
            return Err(invalid("a measure has no function"));
        };
        let text = self.aggregate_function(function, fields)?;
        Ok(match &measure.filter {
            Some(filter) => format!("{text} FILTER (WHERE {})", self.expression(filter, fields)?),
            None => text,
        })
    }

    pub(super) fn join(&mut self, join: &'a JoinRel) -> Made<Relation> {
        plain(join.advanced_extension.as_ref())?;
        let words = match join.kind {
            INNER => "JOIN",
            OUTER => "FULL JOIN",
            LEFT => "LEFT JOIN",
            RIGHT => "RIGHT JOIN",
            LEFT_SEMI => "LEFT SEMI JOIN",
            LEFT_ANTI => "LEFT ANTI JOIN",
            RIGHT_SEMI => "RIGHT SEMI JOIN",
            RIGHT_ANTI => "RIGHT ANTI JOIN",
            _ => return Err(unsupported("single or mark joins")),
        };
        let (left, right) = self.sides(join.left.as_deref(), join.right.as_deref())?;
        let both = [self.copied(&left.fields)?, self.copied(&right.fields)?].concat();
        let (left_tail, right_tail) = (&left.tail, item(&right));
        let tail = match (&join.expression, join.kind) {
            (None, INNER) => format!("{left_tail} CROSS JOIN {right_tail}"),
            (None, _) => format!("{left_tail} {words} {right_tail} ON true"),
            (Some(on), _) => format!("{left_tail} {words} {right_tail} ON {}", self.expression(on, &both)?),
        };
        let given = match join.kind {
            LEFT_SEMI | LEFT_ANTI => left.fields,
            RIGHT_SEMI | RIGHT_ANTI => right.fields,
            _ => both,
        };
        let joined = Relation::new(tail, given, Stage::Joined);
        let joined = match &join.post_join_filter {
            Some(filter) => self.filtered(joined, filter)?,
            None => joined,
        };
        self.emitted(joined, join.common.as_ref())
    }

    pub(super) fn cross(&mut self, cross: &'a CrossRel) -> Made<Relation> {
        plain(cross.advanced_extension.as_ref())?;
        let (left, right) = self.sides(cross.left.as_deref(), cross.right.as_deref())?;
        let tail = format!("{} CROSS JOIN {}", left.tail, item(&right));
        let both: Vec<Field> = left.fields.into_iter().chain(right.fields).collect();
        self.emitted(Relation::new(tail, both, Stage::Joined), cross.common.as_ref())
    }

    /// Both sides of a join: what more can be joined to, and one table or query.
    pub(super) fn sides(&mut self, left: Option<&'a Rel>, right: Option<&'a Rel>) -> Made<(Relation, Relation)> {
        let left = self.input(left)?;
        let left = self.open(left, Stage::Joined)?;
        let right = self.input(right)?;
        let right = self.open(right, Stage::Table)?;
        Ok((left, right))
    }

    pub(super) fn set(&mut self, set: &'a SetRel) -> Made<Relation> {
        plain(set.advanced_extension.as_ref())?;
        let count = set.inputs.len();
        let words = match set.op {
            1 => "EXCEPT",
            // In any of the others, which is in the other one when there is one.
            3 if count == 2 => "INTERSECT",
            4 => "INTERSECT",
            5 => "UNION",
            6 => "UNION ALL",
            // The engine does not count how often a row is there.
            _ => return Err(unsupported("this operation on sets")),
        };
        let mut shapes: Option<Vec<Shape>> = None;
        let mut parts = Vec::with_capacity(count);
        for input in &set.inputs {
            let relation = self.relation(input)?;
            // Some of the rows are a query of their own.
            let relation = match relation.limit.is_empty() {
                true => relation,
                false => self.over(relation)?,
            };
            parts.push(self.sealed(&relation)?);
            let given = relation.fields.into_iter().map(|field| field.shape);
            let given: Vec<Shape> = given.collect();
            let shapes = shapes.get_or_insert_with(|| given.clone());
            if shapes.len() != given.len() {
                return Err(invalid(
                    "inputs of an operation on sets have different numbers of columns",
                ));
            }
        }
        let Some(shapes) = shapes.filter(|_| count >= 2) else {
            return Err(invalid("an operation on sets has fewer than two inputs"));
        };
        let relation = self.of_query(&parts.join(&format!(" {words} ")), shapes.into_iter());
        self.emitted(relation, set.common.as_ref())
    }
}

/// The keys of an aggregate with one set of them.
fn keys(aggregate: &AggregateRel) -> Made<Vec<&Expression>> {
    let grouping = match aggregate.groupings.as_slice() {
        [] if aggregate.grouping_expressions.is_empty() => return Ok(Vec::new()),
        [] => return Err(invalid("an aggregate has keys and does not say that it groups by them")),
        [grouping] => grouping,
        _ => return Err(unsupported("more than one set of keys (GROUPING SETS, ROLLUP, CUBE)")),
    };
    let Grouping {
        expressions,
        references,
    } = grouping;
    if aggregate.grouping_expressions.is_empty() {
        return Ok(expressions.iter().collect());
    }
    let mut seen = HashSet::new();
    let of = |reference: &u32| {
        if !seen.insert(*reference) {
            return Err(unsupported("a key that is named twice"));
        }
        let found = usize::try_from(*reference).ok();
        let found = found.and_then(|at| aggregate.grouping_expressions.get(at));
        found.ok_or_else(|| invalid("a key of an aggregate is not there"))
    };
    references.iter().map(of).collect()
}

fn positive(rows: i64) -> Made<String> {
    match rows {
        0.. => Ok(rows.to_string()),
        _ => Err(invalid("a number of rows is negative")),
    }
}

/// The column that an expression is, if it is nothing but one of the relation below.
fn position(expression: &Expression) -> Option<i32> {
    let Some(ExpressionKind::Selection(reference)) = &expression.kind else {
        return None;
    };
    let segment = match &reference.root {
        None | Some(RootKind::Root(_)) => reference.direct.as_ref()?,
        Some(_) => return None,
    };
    match &segment.kind {
        Some(SegmentKind::StructField(field)) if field.child.is_none() => Some(field.field),
        _ => None,
    }
}
