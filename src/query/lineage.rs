//! Which columns of which tables the values of a statement's columns come from.
//!
//! A column comes from what its expression names, through projections, aliases, joins, groups and unions, down to the
//! scans. Conditions choose rows and are no origin of values. Where a plan's node is not known here, everything that is
//! read below it counts: too much is told rather than too little.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::Exists;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};
use labhouse_catalog::{LakeTable, TableName};
use serde::{Deserialize, Serialize};

use super::scans;
use crate::pg_catalog::PG_CATALOG;
use crate::session::Governed;
use crate::system::SYSTEM;

/// Schemas of tables that are the server's own and have no tags.
const OF_SERVER: [&str; 3] = [SYSTEM, "information_schema", PG_CATALOG];
/// The property in which a table keeps what its rows were made of.
pub(crate) const PROPERTY: &str = labhouse_catalog::LINEAGE;
/// Columns whose list is longer than this are not kept: a table's properties travel with each of its snapshots.
const BYTES_MAX: usize = 256 << 10;

/// What the rows of a table, view or model were made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lineage {
    /// `schema.table` and the version that was read.
    pub(crate) sources: BTreeMap<String, u64>,
    /// For each column the `schema.table.column` that its values come from.
    #[serde(default)]
    pub(crate) columns: BTreeMap<String, BTreeSet<String>>,
    /// Columns whose values come from a function of tables as well, such as `forecast`: from which of their columns, nobody knows.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) of_functions: BTreeSet<String>,
    /// What statements brought to rows that were there.
    #[serde(default, skip_serializing_if = "Added::is_empty")]
    pub(crate) added: Added,
}

/// Where rows that were added, and values that were changed, come from. Each step is noted when it is taken first, with the
/// version of then: a table's properties change with it, at which others who write to it must begin anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Added {
    /// `schema.table` and the version that was read first.
    pub(crate) sources: BTreeMap<String, u64>,
    #[serde(default)]
    pub(crate) columns: BTreeMap<String, BTreeSet<String>>,
}

impl Added {
    fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Takes another's steps along; whether one of them is new.
    pub(crate) fn take(&mut self, other: &Self) -> bool {
        let mut is_new = false;
        for (source, version) in &other.sources {
            is_new |= !self.sources.contains_key(source);
            self.sources.entry(source.clone()).or_insert(*version);
        }
        for (column, origins) in &other.columns {
            let known = self.columns.entry(column.clone()).or_default();
            for origin in origins {
                is_new |= known.insert(origin.clone());
            }
        }
        is_new
    }

    /// The property of a table whose rows change so; none when it says all of this already, or has no room for more.
    pub(crate) fn noted_of(&self, table: &LakeTable) -> BTreeMap<String, String> {
        let mut lineage = Lineage::of(table).unwrap_or_default();
        match lineage.added.take(self) {
            true => lineage.property().into_iter().collect(),
            false => BTreeMap::new(),
        }
    }
}

/// What the values of one column come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Roots {
    /// `schema.table.column`
    pub(crate) columns: BTreeSet<String>,
    /// Something else besides, of which nobody knows what it holds.
    pub(crate) others: bool,
}

impl Lineage {
    /// Of rows that were read from these tables and have these columns, each with what its values come from.
    pub(crate) fn new<'a>(
        read: &[(Arc<LakeTable>, u64)],
        columns: impl Iterator<Item = (&'a String, &'a Roots)> + Clone,
    ) -> Self {
        let of_others = columns.clone().filter(|(_, roots)| roots.others);
        Self {
            sources: read
                .iter()
                .map(|(table, version)| (table.name().to_string(), *version))
                .collect(),
            of_functions: of_others.map(|(name, _)| name.clone()).collect(),
            columns: columns
                .map(|(name, roots)| (name.clone(), roots.columns.clone()))
                .collect(),
            added: Added::default(),
        }
    }

    /// As what was added to a table, without the table itself: an update leaves some of it as it is.
    pub(crate) fn added_to(self, table: &TableName) -> Added {
        let name = table.to_string();
        let mut added = Added {
            sources: self.sources,
            columns: self.columns,
        };
        added.sources.remove(&name);
        let is_own = |origin: &String| origin.rsplit_once('.').is_some_and(|(of, _)| of == name);
        for origins in added.columns.values_mut() {
            origins.retain(|origin| !is_own(origin));
        }
        added.columns.retain(|_, origins| !origins.is_empty());
        added
    }

    /// What statements made the table's rows of; none for a table that files or other tools fill.
    pub(crate) fn of(table: &LakeTable) -> Option<Self> {
        let text = table.properties().get(PROPERTY).filter(|text| !text.is_empty())?;
        serde_json::from_str(text).ok()
    }

    /// As a property of the table.
    pub(crate) fn property(&self) -> Option<(String, String)> {
        let mut text = serde_json::to_string(self).ok()?;
        if text.len() > BYTES_MAX {
            let sources = self.sources.clone();
            text = serde_json::to_string(&Self {
                sources,
                ..Self::default()
            })
            .ok()?;
        }
        (text.len() <= BYTES_MAX).then(|| (PROPERTY.to_owned(), text))
    }

    /// What a column's values come from; of one that was not kept, that could be anything.
    pub(crate) fn roots(&self, column: &str) -> Roots {
        match self.columns.get(column) {
            Some(columns) => Roots {
                columns: columns.clone(),
                others: self.of_functions.contains(column),
            },
            None => Roots {
                columns: BTreeSet::new(),
                others: true,
            },
        }
    }
}

/// A column of a table: schema, table, column.
pub(crate) type Origin = (String, String, String);
type Origins = BTreeSet<Origin>;

/// Origins of columns by the names that tables have today, one at an older version included; `read` are the tables that the statement
/// reads. A column of a statement around its own may be of any of them that has one of that name.
pub(crate) fn roots(governed: &Governed, read: &[(Arc<LakeTable>, u64)], origins: &[Origins]) -> Vec<Roots> {
    let reads_by_function = !governed.given_tables().is_empty();
    let of = |origins: &Origins| {
        let mut roots = Roots::default();
        for (schema, table, column) in origins {
            match (schema.as_str(), table.as_str()) {
                ("", "") => {
                    let tables = read.iter().map(|(table, _)| table);
                    let having = tables.filter(|table| table.schema().column_with_name(column).is_some());
                    roots
                        .columns
                        .extend(having.map(|table| format!("{}.{column}", table.name())));
                }
                ("", _) => roots.others |= reads_by_function,
                _ => match governed.read(schema, table) {
                    Some((read, _)) => {
                        roots.columns.insert(format!("{}.{column}", read.name()));
                    }
                    None if OF_SERVER.contains(&schema.as_str()) => {
                        roots.columns.insert(format!("{schema}.{table}.{column}"));
                    }
                    // Of which table nobody here can say: it may hold what any of them does.
                    None => roots.others = true,
                },
            }
        }
        roots
    };
    origins.iter().map(of).collect()
}

/// The origins of each column of the plan's result, in their order.
pub(crate) fn origins(plan: &LogicalPlan) -> Result<Vec<Origins>, DataFusionError> {
    let found = match plan {
        LogicalPlan::TableScan(scan) => {
            let of = |schema: &str, table: &str, column: &str| {
                Origins::from([(schema.to_owned(), table.to_owned(), column.to_owned())])
            };
            let fields = scan.projected_schema.fields().iter();
            let origins = fields.map(|field| match scans::of(scan) {
                scans::Of::Table(schema, table) => of(schema, table, field.name()),
                scans::Of::Function(name) => of("", name, field.name()),
                // What it has made comes from what is read in it, and all of that counts.
                scans::Of::Recursion => Origins::new(),
            });
            origins.collect()
        }
        LogicalPlan::Projection(node) => of_all(&node.expr, &node.input)?,
        LogicalPlan::SubqueryAlias(node) => origins(&node.input)?,
        LogicalPlan::Filter(node) => origins(&node.input)?,
        LogicalPlan::Sort(node) => origins(&node.input)?,
        LogicalPlan::Limit(node) => origins(&node.input)?,
        LogicalPlan::Repartition(node) => origins(&node.input)?,
        LogicalPlan::Distinct(Distinct::All(input)) => origins(input)?,
        LogicalPlan::Join(node) => {
            let (left, right) = (origins(&node.left)?, origins(&node.right)?);
            // Semi and anti joins give one side.
            match node.schema.fields().len() {
                both if both == left.len() + right.len() => [left, right].concat(),
                one if one == left.len() => left,
                one if one == right.len() => right,
                _ => Vec::new(),
            }
        }
        LogicalPlan::Aggregate(node) => {
            let all = [node.group_expr.clone(), node.aggr_expr.clone()].concat();
            of_all(&all, &node.input)?
        }
        LogicalPlan::Window(node) => [origins(&node.input)?, of_all(&node.window_expr, &node.input)?].concat(),
        LogicalPlan::Union(node) => {
            let mut together: Vec<Origins> = vec![Origins::new(); node.schema.fields().len()];
            for input in &node.inputs {
                for (place, found) in together.iter_mut().zip(origins(input)?) {
                    place.extend(found);
                }
            }
            together
        }
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
            vec![Origins::new(); plan.schema().fields().len()]
        }
        _ => Vec::new(),
    };
    if found.len() == plan.schema().fields().len() {
        return Ok(found);
    }
    Ok(vec![everything(plan)?; plan.schema().fields().len()])
}

fn of_all(exprs: &[Expr], input: &LogicalPlan) -> Result<Vec<Origins>, DataFusionError> {
    let below = origins(input)?;
    exprs.iter().map(|expr| of(expr, input.schema(), &below)).collect()
}

fn of(expr: &Expr, schema: &DFSchema, below: &[Origins]) -> Result<Origins, DataFusionError> {
    let mut found = Origins::new();
    let mut named: Vec<Column> = Vec::new();
    expr.apply(|node| {
        match node {
            Expr::Column(column) | Expr::OuterReferenceColumn(_, column) => named.push(column.clone()),
            Expr::ScalarSubquery(query) => {
                found.extend(origins(&query.subquery)?.into_iter().flatten());
                named.extend(outer(&query.outer_ref_columns));
            }
            // Whether something is among them tells of it, too.
            Expr::InSubquery(query) => {
                found.extend(origins(&query.subquery.subquery)?.into_iter().flatten());
                named.extend(outer(&query.subquery.outer_ref_columns));
            }
            Expr::SetComparison(query) => {
                found.extend(origins(&query.subquery.subquery)?.into_iter().flatten());
                named.extend(outer(&query.subquery.outer_ref_columns));
            }
            Expr::Exists(Exists { subquery, .. }) => found.extend(everything(&subquery.subquery)?),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    for column in named {
        match schema.maybe_index_of_column(&column).and_then(|at| below.get(at)) {
            Some(origin) => found.extend(origin.iter().cloned()),
            // Of a statement around this one: nobody here knows from which of its tables.
            None => found.extend([(String::new(), String::new(), column.name)]),
        }
    }
    Ok(found)
}

fn outer(columns: &[Expr]) -> impl Iterator<Item = Column> {
    columns.iter().filter_map(|column| match column {
        Expr::OuterReferenceColumn(_, column) => Some(column.clone()),
        _ => None,
    })
}

/// All columns that are read below.
fn everything(plan: &LogicalPlan) -> Result<Origins, DataFusionError> {
    let mut found = Origins::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(_) = node {
            found.extend(origins(node)?.into_iter().flatten());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
