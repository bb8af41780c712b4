//! Whether a view's new rows follow from its sources' new rows alone: decided on the plan, before anything is read.
//!
//! Let the sources have grown, S to S + d. A projection, a filter and UNION ALL give of S + d what they give of S and what they
//! give of d, one below the other. A join does, too, as long as one side of it grew, and not the side that an outer, semi or
//! anti join looks up. Of an inner join whose sides both grew, (S + d) ⋈ (T + e), new are d ⋈ (T + e) and S ⋈ e: so many terms as
//! there are factors that grew. Groups of sums, counts, minima and maxima of S + d are those of S merged with those of d. Of
//! everything else this is not known here, and the view is made anew, for the reason that is told.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use datafusion::common::JoinType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, Join, LogicalPlan, TableScan};

use crate::query::scans;

/// Tables of one join that grew: each is one more run of the query, and all rows are read as quickly by then.
const FACTORS_MAX: usize = 6;

/// How new rows are made, and come together with the old ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// Whether sources that did not grow are looked up: they are read whole then, else left out.
    pub(super) has_joins: bool,
    /// What is multiplied: the tables of one factor are read together. With one factor its new rows are all there is to read.
    pub(super) factors: Vec<Factor>,
    pub(super) kind: Kind,
}

/// `schema.table` of sources that grew, and whose new rows give new rows without each other.
pub(super) type Factor = BTreeSet<String>;

/// How the old rows and the new ones come together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// The new ones are put to the old ones.
    Rows,
    /// Groups of the same key are merged, column by column.
    Groups(Vec<Merge>),
}

/// What becomes of a column of two rows of the same group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merge {
    /// A part of the key.
    Key,
    Sum,
    Min,
    Max,
}

/// Why a view is made anew, in words that follow "because".
pub(super) type Why = String;

/// What a part of a plan does when its sources grow.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// It grows with each of these factors; there is one at least.
    Grows(Vec<Factor>),
    Stays,
}

struct Walk<'a> {
    /// `schema.table` of the sources that grew.
    grown: &'a BTreeSet<String>,
    has_joins: bool,
}

/// How the rows of a plan, not optimised yet, follow those of `grown`.
///
/// # Errors
/// In the inner result why they do not.
pub(super) fn shape(plan: &LogicalPlan, grown: &BTreeSet<String>) -> Result<Result<Shape, Why>, DataFusionError> {
    let mut has_joins = false;
    plan.apply_with_subqueries(|node| {
        has_joins |= matches!(node, LogicalPlan::Join(_));
        Ok(TreeNodeRecursion::Continue)
    })?;
    let walk = Walk { grown, has_joins };
    match unsorted(plan) {
        LogicalPlan::Projection(node) => match node.input.as_ref() {
            LogicalPlan::Aggregate(groups) => walk.groups(Some(&node.expr), groups),
            _ => walk.rows(plan),
        },
        LogicalPlan::Aggregate(groups) => walk.groups(None, groups),
        _ => walk.rows(plan),
    }
}

/// The name by which a view knows the table of a scan.
pub(super) fn source(scan: &TableScan) -> String {
    match scans::of(scan) {
        scans::Of::Table(schema, table) => format!("{schema}.{table}"),
        // No table is called so.
        scans::Of::Function(_) | scans::Of::Recursion => format!(".{}", scan.table_name.table()),
    }
}

/// The order of a table's rows is nobody's promise.
fn unsorted(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => unsorted(&sort.input),
        other => other,
    }
}

impl Walk<'_> {
    fn rows(&self, plan: &LogicalPlan) -> Result<Result<Shape, Why>, DataFusionError> {
        Ok(self.part(plan)?.map(|part| self.shape(part, Kind::Rows)))
    }

    fn shape(&self, part: Part, kind: Kind) -> Shape {
        Shape {
            has_joins: self.has_joins,
            factors: match part {
                Part::Grows(factors) => factors,
                Part::Stays => Vec::new(),
            },
            kind,
        }
    }

    /// What a part of the plan does; an error in words where more than its new rows would change.
    fn part(&self, plan: &LogicalPlan) -> Result<Result<Part, Why>, DataFusionError> {
        Ok(match plan {
            LogicalPlan::TableScan(scan) => {
                let source = source(scan);
                Ok(match self.grown.contains(&source) {
                    true => Part::Grows(vec![Factor::from([source])]),
                    false => Part::Stays,
                })
            }
            LogicalPlan::Projection(node) => match plain(&node.expr)? {
                Ok(()) => self.part(&node.input)?,
                Err(why) => Err(why),
            },
            LogicalPlan::Filter(node) => match plain([&node.predicate])? {
                Ok(()) => self.part(&node.input)?,
                Err(why) => Err(why),
            },
            LogicalPlan::SubqueryAlias(node) => self.part(&node.input)?,
            LogicalPlan::Sort(node) if node.fetch.is_none() => self.part(&node.input)?,
            LogicalPlan::Union(node) => {
                let mut parts = Vec::with_capacity(node.inputs.len());
                for input in &node.inputs {
                    match self.part(input)? {
                        Ok(part) => parts.push(part),
                        Err(why) => return Ok(Err(why)),
                    }
                }
                self.union(parts)
            }
            LogicalPlan::Join(node) => self.join(node)?,
            LogicalPlan::Aggregate(_) => Err("it groups within the query, not at its end".into()),
            LogicalPlan::Distinct(Distinct::All(_)) => {
                Err("DISTINCT looks at all rows; write GROUP BY over all columns".into())
            }
            LogicalPlan::Distinct(Distinct::On(_)) => Err("DISTINCT ON chooses among all rows".into()),
            LogicalPlan::Window(_) => Err("a window function looks at other rows".into()),
            LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => Err("LIMIT chooses among all rows".into()),
            LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => Err("it has rows of no table".into()),
            LogicalPlan::Unnest(_) => Err("UNNEST is not followed".into()),
            LogicalPlan::Subquery(_) => Err(SUBQUERY.into()),
            LogicalPlan::RecursiveQuery(_) => Err("a recursive query looks at its own rows".into()),
            LogicalPlan::Repartition(_)
            | LogicalPlan::Statement(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::Extension(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::DescribeTable(_) => Err("its plan has a step that is not followed".into()),
        })
    }

    fn join(&self, node: &Join) -> Result<Result<Part, Why>, DataFusionError> {
        let conditions = node.on.iter().flat_map(|(left, right)| [left, right]);
        if let Err(why) = plain(conditions.chain(&node.filter))? {
            return Ok(Err(why));
        }
        let (left, right) = match (self.part(&node.left)?, self.part(&node.right)?) {
            (Ok(left), Ok(right)) => (left, right),
            (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
        };
        let looked_up = || Err("the side of an outer, semi or anti join that is looked up grew".into());
        Ok(match (left, right) {
            (Part::Stays, Part::Stays) => Ok(Part::Stays),
            (Part::Grows(left), Part::Grows(right)) => match node.join_type {
                JoinType::Inner => multiplied(left, right),
                JoinType::Left
                | JoinType::Right
                | JoinType::Full
                | JoinType::LeftSemi
                | JoinType::RightSemi
                | JoinType::LeftAnti
                | JoinType::RightAnti
                | JoinType::LeftMark
                | JoinType::RightMark => looked_up(),
            },
            (left @ Part::Grows(_), Part::Stays) => match node.join_type {
                JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
                    Ok(left)
                }
                JoinType::Right | JoinType::Full | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                    looked_up()
                }
            },
            (Part::Stays, right @ Part::Grows(_)) => match node.join_type {
                JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                    Ok(right)
                }
                JoinType::Left | JoinType::Full | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
                    looked_up()
                }
            },
        })
    }

    /// Parts below each other. Each term of a product leaves the others' new rows out, or reads them whole: a part that has not all
    /// of the factors would give rows in each term.
    fn union(&self, parts: Vec<Part>) -> Result<Part, Why> {
        let all = parts.len();
        let grown: Vec<Vec<Factor>> = parts
            .into_iter()
            .filter_map(|part| match part {
                Part::Grows(factors) => Some(factors),
                Part::Stays => None,
            })
            .collect();
        let Some(first) = grown.first() else {
            return Ok(Part::Stays);
        };
        if self.has_joins && grown.len() < all {
            return Err("a UNION of a query with joins grew in some of its parts only".into());
        }
        if grown.iter().all(|factors| factors.len() == 1) {
            return Ok(Part::Grows(vec![grown.into_iter().flatten().flatten().collect()]));
        }
        match grown.iter().all(|factors| factors == first) {
            true => Ok(Part::Grows(first.clone())),
            false => Err("both sides of a join grew within a UNION of unlike parts".into()),
        }
    }

    /// Groups at the end of the query; `columns` are what the query gives of them.
    fn groups(&self, columns: Option<&[Expr]>, groups: &Aggregate) -> Result<Result<Shape, Why>, DataFusionError> {
        let part = match self.part(&groups.input)? {
            Ok(part) => part,
            Err(why) => return Ok(Err(why)),
        };
        if groups.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_))) {
            return Ok(Err("GROUPING SETS, ROLLUP and CUBE are not merged".into()));
        }
        if let Err(why) = plain(groups.group_expr.iter().chain(&groups.aggr_expr))? {
            return Ok(Err(why));
        }
        let keys = groups.group_expr.len();
        let mut merges = Vec::with_capacity(groups.schema.fields().len());
        for (at, field) in groups.schema.fields().iter().enumerate() {
            let merge = match at.checked_sub(keys).map(|at| groups.aggr_expr.get(at)) {
                None if is_float(field.data_type()) => Err("it groups by a floating point number".into()),
                None => Ok(Merge::Key),
                Some(Some(aggregate)) => merge(aggregate, field.data_type()),
                Some(None) => Err("its groups have a column that is not followed".into()),
            };
            merges.push(merge);
        }
        let given: Vec<usize> = match columns {
            None => (0..merges.len()).collect(),
            Some(columns) => {
                let mut given = Vec::with_capacity(columns.len());
                for column in columns {
                    let Expr::Column(column) = bare(column) else {
                        return Ok(Err(
                            "it computes with its groups; keep the sums, and compute when reading".into(),
                        ));
                    };
                    match groups.schema.maybe_index_of_column(column) {
                        Some(at) => given.push(at),
                        None => return Ok(Err("its groups have a column that is not followed".into())),
                    }
                }
                given
            }
        };
        let told: BTreeSet<usize> = given.iter().copied().collect();
        if (0..keys).any(|key| !told.contains(&key)) {
            return Ok(Err("a column of its GROUP BY is not in the view".into()));
        }
        let merges: Result<Vec<Merge>, Why> = given.into_iter().filter_map(|at| merges.get(at).cloned()).collect();
        Ok(merges.map(|columns| self.shape(part, Kind::Groups(columns))))
    }
}

/// The factors of both sides of a join. A table that is read on both has not two states at once.
fn multiplied(mut left: Vec<Factor>, right: Vec<Factor>) -> Result<Part, Why> {
    let both = right
        .iter()
        .flatten()
        .find(|table| left.iter().any(|factor| factor.contains(*table)));
    if let Some(table) = both {
        return Err(format!("{table}, which grew, is joined with itself"));
    }
    left.extend(right);
    match left.len() > FACTORS_MAX {
        true => Err(format!("more than {FACTORS_MAX} tables that are joined grew")),
        false => Ok(Part::Grows(left)),
    }
}

const SUBQUERY: &str = "a subquery looks at all rows";

/// An error in words where an expression looks beyond its row.
fn plain<'a>(expressions: impl IntoIterator<Item = &'a Expr>) -> Result<Result<(), Why>, DataFusionError> {
    let mut looks_beyond = false;
    for expression in expressions {
        expression.apply(|part| {
            looks_beyond |= matches!(
                part,
                Expr::ScalarSubquery(_)
                    | Expr::InSubquery(_)
                    | Expr::Exists(_)
                    | Expr::SetComparison(_)
                    | Expr::OuterReferenceColumn(..)
            );
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(if looks_beyond { Err(SUBQUERY.into()) } else { Ok(()) })
}

fn bare(expression: &Expr) -> &Expr {
    match expression {
        Expr::Alias(alias) => bare(&alias.expr),
        other => other,
    }
}

/// How two values of an aggregate become that of both groups together.
fn merge(aggregate: &Expr, data_type: &DataType) -> Result<Merge, Why> {
    let Expr::AggregateFunction(call) = bare(aggregate) else {
        return Err("its groups have a column that is not followed".into());
    };
    let name = call.func.name();
    if call.params.distinct || !call.params.order_by.is_empty() || call.params.null_treatment.is_some() {
        return Err(format!("{name} with DISTINCT or an order looks at all rows"));
    }
    match name {
        "count" => Ok(Merge::Sum),
        "sum" if is_float(data_type) => Err(
            "a sum of floating point numbers depends on their order; sum decimals: sum(CAST(x AS DECIMAL(18, 6)))"
                .into(),
        ),
        "sum" => Ok(Merge::Sum),
        "min" => Ok(Merge::Min),
        "max" => Ok(Merge::Max),
        "avg" => Err("avg cannot be merged; keep sum and count, and divide when reading".into()),
        other => Err(format!("{other} cannot be merged from parts")),
    }
}

fn is_float(data_type: &DataType) -> bool {
    data_type.is_floating()
}
