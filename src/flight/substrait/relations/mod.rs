//! Relations of a plan, each written as a query over the one below.

mod steps;

use std::collections::HashSet;

use super::messages::{AdvancedExtension, NamedTable, ReadKind, ReadRel, Rel, RelCommon, RelKind, VirtualTable};
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
    pub(super) fn titled(&mut self, relation: Relation, titles: &[String]) -> Made<String> {
        // A title may be the name of a column that it is sorted by and that is not given.
        let is_title = |name: &str| {
            titles
                .iter()
                .any(|title| name == title.as_str() || name == quoted(title))
        };
        let is_mistaken = |key: &Key| {
            let is_given = relation.fields.iter().any(|field| field.text == key.text);
            !is_given && key.text.split_once('.').is_some_and(|(_, name)| is_title(name))
        };
        let relation = match relation.order.iter().any(is_mistaken) {
            true => self.over(relation)?,
            false => relation,
        };
        let mut columns = Vec::with_capacity(titles.len());
        for (field, title) in relation.fields.iter().zip(titles) {
            self.spend(field.text.len() + title.len())?;
            columns.push(format!("{} AS {}", field.text, quoted(title)));
        }
        match columns.is_empty() {
            true => Err(unsupported("a result without columns")),
            false => self.ended(&columns, &relation),
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
        // What is worked out once is given twice by its name. What is grouped without keys is one row, whatever is left of it.
        let loses_all = relation.stage == Stage::Grouped
            && !positions
                .iter()
                .any(|at| at_position(&relation.fields, *at).is_ok_and(|field| !field.is_name));
        let relation = match loses_all || positions.iter().any(is_made_twice) {
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

pub(super) fn at_position<T>(fields: &[T], at: i32) -> Made<&T> {
    let found = usize::try_from(at).ok().and_then(|at| fields.get(at));
    found.ok_or_else(|| {
        invalid(&format!(
            "it refers to column {at} of a relation that has {}",
            fields.len()
        ))
    })
}
