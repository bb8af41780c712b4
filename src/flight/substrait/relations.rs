//! Relations of a plan, each written as a query over the one below.

use std::collections::HashSet;

use super::messages::{
    AdvancedExtension, AggregateRel, CrossRel, Expression, ExpressionKind, FetchRel, FilterRel, Grouping, JoinRel,
    Measure, NamedTable, ProjectRel, ReadKind, ReadRel, Rel, RelCommon, RelKind, RootKind, SegmentKind, SetRel,
    SortField, SortRel, VirtualTable,
};
use super::types::{self, Shape};
use super::{Made, Writer, invalid, quoted, unsupported};
use crate::query::QueryError;

/// A query that is being written: what stands behind its columns, which a relation above may still add to.
pub(super) struct Relation {
    tail: String,
    pub(super) fields: Vec<Field>,
    stage: Stage,
    /// What it is sorted by. It stays so through whatever keeps the order of its rows.
    order: Vec<Key>,
    /// `LIMIT` and `OFFSET`, with which a query ends.
    limit: String,
}

/// What rows are sorted by, and which way.
#[derive(Debug, Clone)]
pub(super) struct Key {
    text: String,
    direction: &'static str,
}

/// How far a query is written. What comes above goes behind what is there as long as it belongs there, else around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// `FROM` one table or query.
    Table,
    /// `FROM` with joins.
    Joined,
    /// … `WHERE`
    Filtered,
    /// … `GROUP BY`
    Grouped,
}

/// A column in sight: how it is written, and what it holds.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) text: String,
    /// It is a name and costs nothing to write again.
    pub(super) is_name: bool,
    pub(super) shape: Shape,
}

impl Field {
    fn named(text: String, shape: Shape) -> Self {
        let is_name = true;
        Self { text, is_name, shape }
    }

    /// What is worked out, of which nothing more is known.
    pub(super) fn made(text: String) -> Self {
        let (is_name, shape) = (false, Shape::default());
        Self { text, is_name, shape }
    }
}

impl Relation {
    fn new(tail: String, fields: Vec<Field>, stage: Stage) -> Self {
        Self {
            tail,
            fields,
            stage,
            order: Vec::new(),
            limit: String::new(),
        }
    }

    fn has_names_only(&self) -> bool {
        self.fields.iter().all(|field| field.is_name)
    }
}

/// Kinds of joins in the format, and which sides' columns they give.
const INNER: i32 = 1;
const OUTER: i32 = 2;
const LEFT: i32 = 3;
const RIGHT: i32 = 4;
const LEFT_SEMI: i32 = 5;
const LEFT_ANTI: i32 = 6;
const RIGHT_SEMI: i32 = 8;
const RIGHT_ANTI: i32 = 9;

/// Parts of a name: catalog, schema, table.
const PARTS_MAX: usize = 3;

/// Refuses what changes the meaning in a way that only its author knows.
pub(super) fn plain(extension: Option<&AdvancedExtension>) -> Made<()> {
    match extension.and_then(|extension| extension.enhancement.as_ref()) {
        Some(_) => Err(unsupported("an enhancement of their own")),
        None => Ok(()),
    }
}

fn no_files() -> QueryError {
    QueryError::Denied(
        "a Substrait plan names tables of the lake and no files: drop files into landing/<schema>/<table>/ and they become a table".into(),
    )
}

fn no_writes() -> QueryError {
    QueryError::Unsupported("a Substrait plan only reads here: send what writes as SQL".into())
}

impl<'a> Writer<'a> {
    pub(super) fn relation(&mut self, relation: &'a Rel) -> Made<Relation> {
        match &relation.kind {
            Some(RelKind::Read(read)) => self.read(read),
            Some(RelKind::Filter(filter)) => self.filter(filter),
            Some(RelKind::Fetch(fetch)) => self.fetch(fetch),
            Some(RelKind::Aggregate(aggregate)) => self.aggregate(aggregate),
            Some(RelKind::Sort(sort)) => self.sort(sort),
            Some(RelKind::Join(join)) => self.join(join),
            Some(RelKind::Project(project)) => self.project(project),
            Some(RelKind::Set(set)) => self.set(set),
            Some(RelKind::Cross(cross)) => self.cross(cross),
            Some(RelKind::Write(_) | RelKind::Ddl(_) | RelKind::Update(_)) => Err(no_writes()),
            Some(RelKind::ExtensionSingle(_) | RelKind::ExtensionMulti(_) | RelKind::ExtensionLeaf(_)) => {
                Err(unsupported("relations of their own (extensions)"))
            }
            Some(RelKind::HashJoin(_) | RelKind::MergeJoin(_) | RelKind::NestedLoopJoin(_)) => {
                Err(unsupported("physical joins"))
            }
            Some(RelKind::LateralJoin(_)) => Err(unsupported("lateral joins")),
            Some(RelKind::Exchange(_)) => Err(unsupported("exchanges")),
            Some(RelKind::Expand(_)) => Err(unsupported("an Expand")),
            Some(RelKind::Window(_)) => Err(unsupported("a relation of window functions")),
            Some(RelKind::Reference(_)) => Err(unsupported("references to other relations")),
            Some(RelKind::TopN(_)) => Err(unsupported("a TopN")),
            None => Err(unsupported("a relation of a kind that this server does not know")),
        }
    }

    pub(super) fn input(&mut self, relation: Option<&'a Rel>) -> Made<Relation> {
        match relation {
            Some(relation) => self.relation(relation),
            None => Err(invalid("a relation has no input")),
        }
    }

    /// The whole query, its columns called `c0`, `c1`, …
    pub(super) fn sealed(&mut self, relation: &Relation) -> Made<String> {
        let mut columns = Vec::with_capacity(relation.fields.len());
        for (at, field) in relation.fields.iter().enumerate() {
            self.spend(field.text.len())?;
            columns.push(format!("{} AS c{at}", field.text));
        }
        // Which rows there are may depend on their order, and nothing else above a query does.
        match relation.limit.is_empty() {
            true => Ok(selected(&columns, &relation.tail)),
            false => self.ended(&columns, relation),
        }
    }

    /// The query with its columns under these names, in its order.
    pub(super) fn titled(&mut self, relation: &Relation, titles: &[String]) -> Made<String> {
        let mut columns = Vec::with_capacity(titles.len());
        for (field, title) in relation.fields.iter().zip(titles) {
            self.spend(field.text.len() + title.len())?;
            columns.push(format!("{} AS {}", field.text, quoted(title)));
        }
        match columns.is_empty() {
            true => Err(unsupported("a result without columns")),
            false => self.ended(&columns, relation),
        }
    }

    /// The query with its order and its limit.
    fn ended(&mut self, columns: &[String], relation: &Relation) -> Made<String> {
        let order = ordered(&relation.order);
        self.spend(order.len())?;
        let Relation { tail, limit, .. } = relation;
        Ok(format!("{}{order}{limit}", selected(columns, tail)))
    }

    /// A query over another one, in the same order.
    fn over(&mut self, relation: Relation) -> Made<Relation> {
        let Relation { order, fields, .. } = &relation;
        let (keys, width) = (order.clone(), fields.len());
        let shapes: Vec<Shape> = fields.iter().map(|field| field.shape.clone()).collect();
        // What it is sorted by comes along as columns that nothing else sees.
        let mut inner = relation;
        inner
            .fields
            .extend(keys.iter().map(|key| Field::made(key.text.clone())));
        let sql = self.sealed(&inner)?;
        let mut outer = self.of_query(&sql, shapes.into_iter());
        let name = format!("r{}", self.relations);
        outer.order = keys
            .into_iter()
            .zip(width..)
            .map(|(Key { direction, .. }, at)| Key {
                text: format!("{name}.c{at}"),
                direction,
            })
            .collect();
        Ok(outer)
    }

    fn of_query(&mut self, sql: &str, shapes: impl Iterator<Item = Shape>) -> Relation {
        let name = self.name();
        let fields = shapes
            .enumerate()
            .map(|(at, shape)| Field::named(format!("{name}.c{at}"), shape));
        Relation::new(format!("FROM ({sql}) AS {name}"), fields.collect(), Stage::Table)
    }

    /// A relation to which what comes at `stage` can be added, over its columns.
    fn open(&mut self, relation: Relation, stage: Stage) -> Made<Relation> {
        match relation.stage <= stage && relation.has_names_only() && relation.limit.is_empty() {
            true => Ok(relation),
            false => self.over(relation),
        }
    }

    fn name(&mut self) -> String {
        self.relations += 1;
        format!("r{}", self.relations)
    }

    /// Columns once more, which is counted as if they were written.
    pub(super) fn copied(&mut self, fields: &[Field]) -> Made<Vec<Field>> {
        let bytes = fields.iter().map(|field| field.text.len()).sum();
        self.spend(bytes)?;
        Ok(fields.to_vec())
    }

    /// What a relation gives of its columns, if it says so.
    fn emitted(&mut self, relation: Relation, common: Option<&RelCommon>) -> Made<Relation> {
        plain(common.and_then(|common| common.advanced_extension.as_ref()))?;
        match common.and_then(|common| common.emit.as_ref()) {
            Some(emit) => self.chosen(relation, &emit.output_mapping),
            None => Ok(relation),
        }
    }

    fn chosen(&mut self, relation: Relation, positions: &[i32]) -> Made<Relation> {
        let mut made = HashSet::new();
        let is_made_twice = |at: &i32| match at_position(&relation.fields, *at) {
            Ok(field) => !field.is_name && !made.insert(*at),
            Err(_) => false,
        };
        // What is worked out once is given twice by its name.
        let relation = match positions.iter().any(is_made_twice) {
            true => self.over(relation)?,
            false => relation,
        };
        let mut chosen = Vec::with_capacity(positions.len());
        for at in positions {
            let field = at_position(&relation.fields, *at)?;
            self.spend(field.text.len())?;
            chosen.push(field.clone());
        }
        Ok(Relation {
            fields: chosen,
            ..relation
        })
    }

    fn read(&mut self, read: &'a ReadRel) -> Made<Relation> {
        plain(read.advanced_extension.as_ref())?;
        let relation = match &read.kind {
            Some(ReadKind::Named(table)) => self.table(table, read)?,
            Some(ReadKind::Virtual(table)) => self.values(table, read)?,
            Some(ReadKind::LocalFiles(_) | ReadKind::Iceberg(_)) => return Err(no_files()),
            Some(ReadKind::Extension(_)) => return Err(unsupported("tables of their own (extensions)")),
            None => return Err(unsupported("a read of a kind that this server does not know")),
        };
        let relation = match &read.filter {
            Some(filter) => self.filtered(relation, filter)?,
            None => relation,
        };
        let relation = match read.projection.as_ref().and_then(|mask| mask.select.as_ref()) {
            Some(select) if select.items.iter().any(|item| item.child.is_some()) => {
                return Err(unsupported("a projection within a column"));
            }
            Some(select) => {
                let positions: Vec<i32> = select.items.iter().map(|item| item.field).collect();
                self.chosen(relation, &positions)?
            }
            None => relation,
        };
        self.emitted(relation, read.common.as_ref())
    }

    fn table(&mut self, table: &NamedTable, read: &ReadRel) -> Made<Relation> {
        plain(table.advanced_extension.as_ref())?;
        let parts = table.names.as_slice();
        if parts.is_empty() || parts.len() > PARTS_MAX || parts.iter().any(String::is_empty) {
            return Err(invalid("the name of a table has one to three parts"));
        }
        let path: Vec<String> = parts.iter().map(|part| quoted(part)).collect();
        let path = path.join(".");
        self.spend(path.len())?;
        let name = self.name();
        let columns = types::columns(read.base_schema.as_ref())?.into_iter();
        let fields = columns.map(|(column, shape)| Field::named(format!("{name}.{}", quoted(&column)), shape));
        Ok(Relation::new(
            format!("FROM {path} AS {name}"),
            fields.collect(),
            Stage::Table,
        ))
    }

    fn values(&mut self, table: &'a VirtualTable, read: &'a ReadRel) -> Made<Relation> {
        let columns = types::columns(read.base_schema.as_ref())?;
        let mut rows = Vec::with_capacity(table.values.len() + table.expressions.len());
        for row in &table.values {
            let row = row.values.iter().map(|value| self.literal(value));
            rows.push(row.collect::<Made<Vec<_>>>()?);
        }
        for row in &table.expressions {
            let row = row.values.iter().map(|value| self.expression(value, &[]));
            rows.push(row.collect::<Made<Vec<_>>>()?);
        }
        if rows.iter().any(|row| row.len() != columns.len()) {
            return Err(invalid("a row of values has another number of columns than its schema"));
        }
        let is_none = rows.is_empty();
        if is_none {
            let types = read.base_schema.as_ref().and_then(|schema| schema.types.as_ref());
            let nulls = types.into_iter().flat_map(|types| &types.types);
            let nulls = nulls.map(|kind| self.cast("NULL", kind, false));
            rows.push(nulls.collect::<Made<Vec<_>>>()?);
        }
        let name = self.name();
        let (mut names, mut fields) = (Vec::with_capacity(columns.len()), Vec::with_capacity(columns.len()));
        for (at, (_, shape)) in columns.into_iter().enumerate() {
            names.push(format!("c{at}"));
            fields.push(Field::named(format!("{name}.c{at}"), shape));
        }
        if names.is_empty() {
            names.push("c".to_owned());
            rows.iter_mut().for_each(|row| row.push("1".to_owned()));
        }
        let rows: Vec<String> = rows.iter().map(|row| format!("({})", row.join(", "))).collect();
        let tail = format!("FROM (VALUES {}) AS {name}({})", rows.join(", "), names.join(", "));
        Ok(match is_none {
            true => Relation::new(format!("{tail} WHERE false"), fields, Stage::Filtered),
            false => Relation::new(tail, fields, Stage::Table),
        })
    }

    fn filter(&mut self, filter: &'a FilterRel) -> Made<Relation> {
        plain(filter.advanced_extension.as_ref())?;
        let input = self.input(filter.input.as_deref())?;
        let Some(condition) = &filter.condition else {
            return Err(invalid("a filter has no condition"));
        };
        let filtered = self.filtered(input, condition)?;
        self.emitted(filtered, filter.common.as_ref())
    }

    fn filtered(&mut self, input: Relation, condition: &'a Expression) -> Made<Relation> {
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

    fn project(&mut self, project: &'a ProjectRel) -> Made<Relation> {
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
    fn with(&mut self, input: Relation, expressions: impl Iterator<Item = &'a Expression>) -> Made<Relation> {
        let mut relation = self.open(input, Stage::Filtered)?;
        let mut all = self.copied(&relation.fields)?;
        for expression in expressions {
            all.push(self.column(expression, &relation.fields)?);
        }
        relation.fields = all;
        Ok(relation)
    }

    fn fetch(&mut self, fetch: &'a FetchRel) -> Made<Relation> {
        plain(fetch.advanced_extension.as_ref())?;
        let mut relation = self.input(fetch.input.as_deref())?;
        if !relation.limit.is_empty() {
            relation = self.over(relation)?;
        }
        let count = match (&fetch.count_expr, fetch.count) {
            (Some(count), _) => self.rows(count)?,
            // All of them.
            (None, Some(-1) | None) => None,
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

    fn sort(&mut self, sort: &'a SortRel) -> Made<Relation> {
        plain(sort.advanced_extension.as_ref())?;
        let input = self.input(sort.input.as_deref())?;
        let mut relation = self.open(input, Stage::Filtered)?;
        relation.order = self.order(&sort.sorts, &relation.fields)?;
        self.emitted(relation, sort.common.as_ref())
    }

    pub(super) fn order(&mut self, sorts: &'a [SortField], fields: &[Field]) -> Made<Vec<Key>> {
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

    fn aggregate(&mut self, aggregate: &'a AggregateRel) -> Made<Relation> {
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

    fn measure(&mut self, measure: &'a Measure, fields: &[Field]) -> Made<String> {
        let Some(function) = &measure.measure else {
            return Err(invalid("a measure has no function"));
        };
        let text = self.aggregate_function(function, fields)?;
        Ok(match &measure.filter {
            Some(filter) => format!("{text} FILTER (WHERE {})", self.expression(filter, fields)?),
            None => text,
        })
    }

    fn join(&mut self, join: &'a JoinRel) -> Made<Relation> {
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

    fn cross(&mut self, cross: &'a CrossRel) -> Made<Relation> {
        plain(cross.advanced_extension.as_ref())?;
        let (left, right) = self.sides(cross.left.as_deref(), cross.right.as_deref())?;
        let tail = format!("{} CROSS JOIN {}", left.tail, item(&right));
        let both: Vec<Field> = left.fields.into_iter().chain(right.fields).collect();
        self.emitted(Relation::new(tail, both, Stage::Joined), cross.common.as_ref())
    }

    /// Both sides of a join: what more can be joined to, and one table or query.
    fn sides(&mut self, left: Option<&'a Rel>, right: Option<&'a Rel>) -> Made<(Relation, Relation)> {
        let left = self.input(left)?;
        let left = self.open(left, Stage::Joined)?;
        let right = self.input(right)?;
        let right = self.open(right, Stage::Table)?;
        Ok((left, right))
    }

    fn set(&mut self, set: &'a SetRel) -> Made<Relation> {
        plain(set.advanced_extension.as_ref())?;
        let count = set.inputs.len();
        let words = match set.op {
            1 => "EXCEPT",
            7 => "EXCEPT ALL",
            // In any of the others, which is in the other one when there is one.
            3 if count == 2 => "INTERSECT",
            4 => "INTERSECT",
            8 => "INTERSECT ALL",
            5 => "UNION",
            6 => "UNION ALL",
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

/// `SELECT …`; a query without columns has rows all the same.
fn selected(columns: &[String], tail: &str) -> String {
    match columns.is_empty() {
        true => format!("SELECT 1 AS c {tail}"),
        false => format!("SELECT {} {tail}", columns.join(", ")),
    }
}

/// ` ORDER BY …`, or nothing.
pub(super) fn ordered(order: &[Key]) -> String {
    let keys: Vec<String> = order
        .iter()
        .map(|Key { text, direction }| format!("{text} {direction}"))
        .collect();
    match keys.is_empty() {
        true => String::new(),
        false => format!(" ORDER BY {}", keys.join(", ")),
    }
}

/// A relation behind a word that joins.
fn item(relation: &Relation) -> &str {
    relation.tail.strip_prefix("FROM ").unwrap_or(&relation.tail)
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

pub(super) fn at_position<T>(fields: &[T], at: i32) -> Made<&T> {
    let found = usize::try_from(at).ok().and_then(|at| fields.get(at));
    found.ok_or_else(|| {
        invalid(&format!(
            "it refers to column {at} of a relation that has {}",
            fields.len()
        ))
    })
}
