//! `lab.system.lineage`: what was made of what, file by file and column by column.
//!
//! An administrator sees all of it. Anybody else sees what lies between things he sees: tables and columns by his grants,
//! files and versions of tables that he sees whole (a version counts changes of hidden rows, too), models that he may ask. So it
//! may be granted to anybody. What was asked of tables is in the audit trail, query by query with the versions that were read.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::ArrayRef;
use labhouse_catalog::TableName;
use labhouse_policies::Principal;

use super::SYSTEM;
use super::rows::{number, text};
use crate::auth::marks;
use crate::engine::Engine;
use crate::models::ModelRecord;
use crate::pipelines::View;
use crate::query::QueryError;
use crate::query::lineage::Lineage;
use crate::query::write::lake_error;
use crate::session::Governed;

const FILE: &str = "file";
const TABLE: &str = "table";
const VIEW: &str = "view";
const MODEL: &str = "model";

/// What of an end is told in a column.
type Part = fn(&End) -> Option<String>;

/// One step from a source to what was made of it.
#[derive(Debug, Clone)]
struct Step {
    from: End,
    to: End,
    /// The version of the source that was read.
    version: Option<u64>,
    /// The commit of the target that took it up: of a file into its table, of sources into a view.
    target_version: Option<u64>,
    /// It came to rows that were there, which need not be rows that somebody sees.
    is_added: bool,
}

/// A file, table, view or model, or a column of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    kind: &'static str,
    name: String,
    column: Option<String>,
}

impl End {
    fn whole(kind: &'static str, name: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            column: None,
        }
    }

    fn column(&self, column: &str) -> Self {
        Self {
            column: Some(column.to_owned()),
            ..self.clone()
        }
    }
}

pub(super) async fn rows(engine: &Engine, who: &Principal) -> Result<Vec<ArrayRef>, QueryError> {
    let world = engine.world();
    let is_admin = world.policies.is_admin(who) && marks::reaches(who, SYSTEM);
    let kind = |name: &str| {
        let table = split(name).and_then(|name| world.catalog.table(&name.schema, &name.table));
        match table.is_some_and(|table| View::of(table).is_some()) {
            true => VIEW,
            false => TABLE,
        }
    };
    let mut steps = Vec::new();
    for file in engine.crawler.files().await.map_err(lake_error)? {
        for (at, table) in file.tables.iter().enumerate() {
            steps.push(Step {
                from: End::whole(FILE, &file.path),
                to: End::whole(TABLE, table),
                version: None,
                is_added: false,
                target_version: file.versions.get(at).copied(),
            });
        }
    }
    for table in world.catalog.all() {
        if let Some(lineage) = Lineage::of(table) {
            let name = table.name().to_string();
            let made = Some(table.version()).filter(|_| kind(&name) == VIEW);
            add(&mut steps, &End::whole(kind(&name), &name), made, &lineage, kind);
        }
    }
    for model in world.models.all() {
        let ModelRecord {
            data: sources, columns, ..
        } = model.record().clone();
        let lineage = Lineage {
            sources,
            columns,
            ..Lineage::default()
        };
        let name = model.name().to_string();
        add(&mut steps, &End::whole(MODEL, &name), None, &lineage, kind);
    }
    if !is_admin {
        let mut seen = Sight {
            governed: &engine.govern(who, world.clone()),
            known: BTreeMap::new(),
        };
        let all = std::mem::take(&mut steps);
        let mut by_column: BTreeSet<(String, String)> = BTreeSet::new();
        let (whole, columns): (Vec<Step>, Vec<Step>) = all.into_iter().partition(|step| step.to.column.is_none());
        for mut step in columns.into_iter().chain(whole) {
            let ends = (step.from.name.clone(), step.to.name.clone());
            // What only hidden rows or columns rest on is not told.
            let is_told = match (step.to.kind, &step.to.column) {
                (TABLE | VIEW, _) if seen.is_whole(&step.to.name)? => true,
                (TABLE | VIEW, None) => step.from.kind == FILE || by_column.contains(&ends),
                _ => !step.is_added,
            };
            if is_told && seen.sees(&step.from, &step.to)? && seen.sees(&step.to, &step.to)? {
                if step.to.column.is_some() {
                    by_column.insert(ends);
                }
                if !seen.is_whole(&step.from.name)? {
                    step.version = None;
                }
                if step.to.kind == VIEW && !seen.is_whole(&step.to.name)? {
                    step.target_version = None;
                }
                steps.push(step);
            }
        }
    }
    let word = |end: fn(&Step) -> &End, part: Part| {
        text(steps.iter().map(|step| part(end(step))).collect::<Vec<_>>().into_iter())
    };
    let (kind, name): (Part, Part) = (|end| Some(end.kind.to_owned()), |end| Some(end.name.clone()));
    Ok(vec![
        word(|step| &step.from, kind),
        word(|step| &step.from, name),
        word(|step| &step.from, |end| end.column.clone()),
        number(steps.iter().map(|step| step.version)),
        word(|step| &step.to, kind),
        word(|step| &step.to, name),
        word(|step| &step.to, |end| end.column.clone()),
        number(steps.iter().map(|step| step.target_version)),
    ])
}

/// The steps to one thing: from each table it reads, and to each of its columns.
fn add(
    steps: &mut Vec<Step>,
    to: &End,
    target_version: Option<u64>,
    lineage: &Lineage,
    kind: impl Fn(&str) -> &'static str,
) {
    let added = (&lineage.added.sources, &lineage.added.columns, true);
    for (sources, columns, is_added) in [(&lineage.sources, &lineage.columns, false), added] {
        for (source, version) in sources {
            steps.push(Step {
                from: End::whole(kind(source), source),
                to: to.clone(),
                version: Some(*version),
                target_version,
                is_added,
            });
        }
        for (column, origins) in columns {
            for origin in origins {
                let Some((table, from)) = origin.rsplit_once('.') else {
                    continue;
                };
                steps.push(Step {
                    from: End::whole(kind(table), table).column(from),
                    to: to.column(column),
                    version: sources.get(table).copied(),
                    target_version,
                    is_added,
                });
            }
        }
    }
}

fn split(name: &str) -> Option<TableName> {
    let (schema, table) = name.split_once('.')?;
    Some(TableName {
        schema: schema.to_owned(),
        table: table.to_owned(),
    })
}

/// What somebody sees, asked once for each table.
struct Sight<'a> {
    governed: &'a Governed,
    /// The columns, and whether the table is seen whole; none for a table that is not seen.
    known: BTreeMap<String, Option<(Vec<String>, bool)>>,
}

impl Sight<'_> {
    /// `to` is the table that a file's rows are in.
    fn sees(&mut self, end: &End, to: &End) -> Result<bool, QueryError> {
        match end.kind {
            FILE => self.is_whole(&to.name),
            MODEL => Ok(self.model(&end.name)),
            _ => Ok(match (self.table(&end.name)?, &end.column) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some((columns, _)), Some(column)) => columns.contains(column),
            }),
        }
    }

    fn table(&mut self, name: &str) -> Result<Option<&(Vec<String>, bool)>, QueryError> {
        if !self.known.contains_key(name) {
            let access = match split(name) {
                Some(split) => self
                    .governed
                    .access(&split.schema, &split.table)
                    .map_err(crate::query::errors::from_datafusion)?,
                None => None,
            };
            let seen = access.map(|access| {
                let columns = access.columns.iter().filter_map(|at| access.schema.fields().get(*at));
                let columns = columns.map(|field| field.name().clone()).collect();
                (columns, access.is_unrestricted())
            });
            self.known.insert(name.to_owned(), seen);
        }
        Ok(self.known.get(name).and_then(Option::as_ref))
    }

    fn is_whole(&mut self, name: &str) -> Result<bool, QueryError> {
        Ok(self.table(name)?.is_some_and(|(_, whole)| *whole))
    }

    fn model(&self, name: &str) -> bool {
        let Some(name) = split(name) else { return false };
        let Some(model) = self.governed.world().models.get(&name) else {
            return false;
        };
        marks::reaches(self.governed.who(), &name.schema) && self.governed.ask_model(&model).allowed
    }
}
