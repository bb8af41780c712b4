//! Results kept: whoever asks the same again, while nothing it rests on has changed, gets the same rows without a run.
//!
//! A dashboard asks the same few statements each time somebody opens or refreshes it. A kept result is given only to
//! the same principal with the same attributes, text and values, under the very same policies; and each table it read
//! must still be the same snapshot, and be shown in the same way by a decision made anew (a grant may end while its
//! policy stands). What a model or a function of tables said rests on all that was looked up for it, be it there or not, and
//! on the very same models, which must answer him still. The account of a statement answered so says what it read like any other, and that it was not run.
//!
//! # What is never kept
//! Results that rest on anything else than tables and models of the lake as they are today: system tables, lists of tables,
//! older versions, libraries, searches; what is not the same at every moment (`now()`, `random()`); plans that explain;
//! what failed or was cut short; and what is too large. Of a table that the principal sees in part, nothing where what he
//! sees of a row hangs on anything but this row, and nothing at all with `limits.result_cache_filtered = false`: how long
//! an answer takes tells him otherwise that the table changed, be it in rows hidden from him.
//!
//! Constants (`SELECT 1`, as pools of connections ask all day) have a small shelf of their own, so they push out nothing
//! else.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Weak};

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, Volatility, WindowFunctionDefinition};
use datafusion::scalar::ScalarValue;
use labhouse_policies::{Access, PolicySet, Principal};
use parking_lot::Mutex;

use super::plans::Planned;
use super::statement::{CATALOG, PUBLIC};
use crate::audit::Facts;
use crate::config::Limits;
use crate::models::{LoadedModel, scalar};
use crate::session::{Found, Governed};

/// Results kept at most; each is looked for by its text.
const KEPT_MAX: usize = 512;
/// One result may take this part of the room.
const SHARE: usize = 16;
/// Constants kept at most, and bytes of each.
const CONSTANTS_MAX: usize = 64;
const CONSTANT_BYTES_MAX: usize = 4 << 10;

/// What a plan rests on; a constant rests on nothing.
#[derive(Default)]
pub(super) struct Reads {
    tables: Vec<Read>,
    calls: Vec<Call>,
    /// Functions of tables are called, or models answer.
    asks: bool,
}

/// A name that was looked up.
struct Read {
    schema: String,
    table: String,
    found: Found,
    /// Whether the principal sees all of it, or nothing.
    is_whole: bool,
}

/// A model that answers, and a function that may have asked it.
struct Call {
    function: String,
    model: Weak<LoadedModel>,
}

impl Reads {
    fn is_constant(&self) -> bool {
        self.tables.is_empty() && !self.asks
    }

    /// Schema and name of the one table that it rests on, if the principal sees all of that.
    pub(super) fn only_table(&self) -> Option<(&str, &str)> {
        match self.tables.as_slice() {
            [read] if !self.asks && read.is_whole => match read.found {
                Found::Table(..) => Some((&read.schema, &read.table)),
                Found::Nothing => None,
            },
            _ => None,
        }
    }

    fn see_all(&self) -> bool {
        self.tables.iter().all(|read| read.is_whole)
    }

    fn stand(&self, governed: &Governed) -> bool {
        let answers = |call: &Call| {
            let model = call.model.upgrade();
            model.is_some_and(|model| governed.would_answer(&call.function, &model))
        };
        let same = |read: &Read| governed.found(&read.schema, &read.table).as_ref() == Some(&read.found);
        self.tables.iter().all(same) && self.calls.iter().all(answers)
    }
}

/// A result with all that it rests on.
pub(super) struct Kept {
    who: Principal,
    sql: String,
    values: Vec<ScalarValue>,
    policies: Weak<PolicySet>,
    reads: Arc<Reads>,
    /// What the first run was decided on.
    pub(super) facts: Arc<Facts>,
    /// The statement's parameters, bound ones included.
    pub(super) parameters: SchemaRef,
    /// In wire types, like the batches.
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
    bytes: usize,
}

/// The results that are kept; the one that was not asked for longest makes room.
pub(crate) struct Results {
    kept: Mutex<VecDeque<Arc<Kept>>>,
    constants: Mutex<VecDeque<Arc<Kept>>>,
    bytes_max: usize,
    /// Whether results of tables that are seen in part are kept.
    filtered: bool,
}

impl Results {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            kept: Mutex::default(),
            constants: Mutex::default(),
            bytes_max: limits.result_cache_mib.saturating_mul(1 << 20),
            filtered: limits.result_cache_filtered,
        }
    }

    /// The kept result for this question, if everything it rests on still stands.
    pub(super) fn find(&self, governed: &Governed, sql: &str, values: &[ScalarValue]) -> Option<Arc<Kept>> {
        let asks = |kept: &&Arc<Kept>| kept.sql == sql && kept.who == *governed.who() && kept.values == values;
        let shelves = [&self.constants, &self.kept];
        let found = shelves
            .into_iter()
            .find_map(|shelf| Some((shelf, shelf.lock().iter().find(asks).cloned()?)));
        let (shelf, found) = found?;
        let stands = found.stands(governed);
        let mut kept = shelf.lock();
        if let Some(at) = kept.iter().position(|other| Arc::ptr_eq(other, &found)) {
            let newest = kept.remove(at).filter(|_| stands);
            kept.extend(newest);
        }
        stands.then_some(found)
    }

    /// Begins to keep what a plan gives; nothing if it must not be kept.
    pub(super) fn collect(
        self: &Arc<Self>,
        governed: &Governed,
        sql: &str,
        values: &[ScalarValue],
        planned: &Planned,
        schema: &SchemaRef,
    ) -> Option<Collecting> {
        let may = |reads: &&Arc<Reads>| self.bytes_max > 0 && (self.filtered || reads.see_all());
        let reads = planned.reads.as_ref().filter(may)?;
        Some(Collecting {
            results: Arc::clone(self),
            kept: Kept {
                who: governed.who().clone(),
                sql: sql.to_owned(),
                values: values.to_vec(),
                policies: Arc::downgrade(&governed.world().policies),
                reads: Arc::clone(reads),
                facts: Arc::clone(&planned.facts),
                parameters: Arc::clone(&planned.parameters),
                schema: Arc::clone(schema),
                batches: Vec::new(),
                bytes: sql.len(),
            },
        })
    }

    /// Bytes that a result may take.
    fn room(&self, reads: &Reads) -> usize {
        match reads.is_constant() {
            true => CONSTANT_BYTES_MAX,
            false => self.bytes_max / SHARE,
        }
    }

    fn keep(&self, new: Kept) {
        let (shelf, most) = match new.reads.is_constant() {
            true => (&self.constants, CONSTANTS_MAX),
            false => (&self.kept, KEPT_MAX),
        };
        let mut kept = shelf.lock();
        kept.retain(|old| !(old.sql == new.sql && old.who == new.who && old.values == new.values));
        kept.push_back(Arc::new(new));
        let mut bytes: usize = kept.iter().map(|kept| kept.bytes).sum();
        while bytes > self.bytes_max || kept.len() > most {
            let Some(oldest) = kept.pop_front() else { break };
            bytes -= oldest.bytes;
        }
    }
}

impl Kept {
    fn stands(&self, governed: &Governed) -> bool {
        std::ptr::eq(self.policies.as_ptr(), Arc::as_ptr(&governed.world().policies)) && self.reads.stand(governed)
    }
}

/// A result on its way out, copied as it goes.
pub(super) struct Collecting {
    results: Arc<Results>,
    kept: Kept,
}

impl Collecting {
    /// Takes a batch along; gives itself back while all of it fits.
    pub(super) fn with(mut self, batch: &RecordBatch) -> Option<Self> {
        // A slice would hold on to all it was cut from.
        let rows = u32::try_from(batch.num_rows()).ok()?;
        let own = take_record_batch(batch, &UInt32Array::from_iter_values(0..rows)).ok()?;
        self.kept.bytes += own.get_array_memory_size();
        self.kept.batches.push(own);
        (self.kept.bytes <= self.results.room(&self.kept.reads)).then_some(self)
    }

    /// The last row went out: the result is whole.
    pub(super) fn keep(self) {
        self.results.keep(self.kept);
    }
}

/// What a planned statement rests on, by its plan before it was optimised; none if its result may not be kept.
///
/// # Errors
/// The plan cannot be walked.
pub(super) fn reads(governed: &Governed, plan: &LogicalPlan) -> Result<Option<Arc<Reads>>, DataFusionError> {
    let mut reads = Reads::default();
    let mut functions = BTreeSet::new();
    let mut is_fixed = true;
    plan.apply_with_subqueries(|node| {
        is_fixed &= match node {
            LogicalPlan::TableScan(scan) => match scanned(governed, scan) {
                Some(Scanned::Table(read)) => {
                    reads.tables.push(read);
                    true
                }
                Some(Scanned::Function(name)) => {
                    functions.insert(name.to_owned());
                    reads.asks = true;
                    true
                }
                None => false,
            },
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Repartition(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Unnest(_) => true,
            LogicalPlan::Statement(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::Extension(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::DescribeTable(_)
            | LogicalPlan::RecursiveQuery(_) => false,
        };
        node.apply_expressions(|expression| {
            is_fixed &= fixed(expression, governed, &mut functions)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    reads.asks |= !functions.is_empty();
    if is_fixed && reads.asks {
        is_fixed = asked(governed, &functions, &mut reads);
    }
    Ok(is_fixed.then(|| Arc::new(reads)))
}

/// Adds what functions and models rest on: all that was looked up, for whatever reason, and who answered. False if one of it
/// cannot be found again.
fn asked(governed: &Governed, functions: &BTreeSet<String>, reads: &mut Reads) -> bool {
    for (schema, table) in governed.looked_up() {
        match looked_up(governed, &schema, &table) {
            Some(read) => reads.tables.push(read),
            None => return false,
        }
    }
    let models = &governed.world().models;
    for model in governed.answering() {
        let asking = functions.iter().filter(|function| {
            let own = models.by_function(function);
            own.is_none_or(|own| Arc::ptr_eq(own, &model)) && governed.would_answer(function, &model)
        });
        let before = reads.calls.len();
        reads.calls.extend(asking.map(|function| Call {
            function: function.clone(),
            model: Arc::downgrade(&model),
        }));
        if reads.calls.len() == before {
            // It answers, and nobody can say through what.
            return false;
        }
    }
    true
}

/// Whether a plan, not optimised yet, gives the same while the tables that it reads have the same rows, each of them a table of
/// the lake that the principal sees whole.
///
/// # Errors
/// The plan cannot be walked.
pub(crate) fn rests_on_rows(governed: &Governed, plan: &LogicalPlan) -> Result<bool, DataFusionError> {
    Ok(reads(governed, plan)?.is_some_and(|reads| !reads.is_constant() && !reads.asks && reads.see_all()))
}

/// What a scan reads.
enum Scanned {
    Table(Read),
    /// What a function of tables or models gave; its name.
    Function(&'static str),
}

/// A scan as this statement resolved it; none for what is not the same while the tables of the lake are.
fn scanned(governed: &Governed, scan: &TableScan) -> Option<Scanned> {
    let provider = source_as_provider(&scan.source).ok()?;
    if let Some(function) = governed.made_by(&provider) {
        return Some(Scanned::Function(function));
    }
    let name = scan.table_name.clone().resolve(CATALOG, PUBLIC);
    let seen = governed.seen(&name.schema, &name.table)?;
    let read = looked_up(governed, &name.schema, &name.table)?;
    Arc::ptr_eq(&provider, &seen.provider).then_some(Scanned::Table(read))
}

/// A name and what it leads to; none where the principal does not see the same of a table while its rows are the same.
fn looked_up(governed: &Governed, schema: &str, table: &str) -> Option<Read> {
    let found = governed.found(schema, table)?;
    let access = governed.seen(schema, table).map(|seen| seen.access);
    let is_whole = access.as_ref().is_none_or(Access::is_unrestricted);
    let is_steady = is_whole || access.as_ref().is_some_and(rests_on_its_row);
    is_steady.then(|| Read {
        schema: schema.to_owned(),
        table: table.to_owned(),
        found,
        is_whole,
    })
}

/// Whether what is shown of a row is made of that row alone: of no other rows, no other table and no clock.
pub(crate) fn rests_on_its_row(access: &Access) -> bool {
    let mut expressions = access.row_filter.iter().chain(access.masks.values());
    expressions.all(|expression| {
        let mut own = true;
        let walked = expression.apply(|part| {
            own &= match part {
                Expr::ScalarFunction(call) => is_immutable(call.func.signature().volatility),
                Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::HigherOrderFunction(_)
                | Expr::ScalarVariable(..)
                | Expr::Placeholder(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::ScalarSubquery(_)
                | Expr::OuterReferenceColumn(..) => false,
                other => !other.is_volatile_node(),
            };
            Ok(TreeNodeRecursion::Continue)
        });
        own && walked.is_ok()
    })
}

/// Whether an expression gives the same for the same rows at any time, and calls nothing but what everybody may call, and
/// models, whose functions are told.
fn fixed(expression: &Expr, governed: &Governed, functions: &mut BTreeSet<String>) -> Result<bool, DataFusionError> {
    let (engine, models) = (governed.system(), &governed.world().models);
    let mut fixed = true;
    expression.apply(|part| {
        fixed &= match part {
            Expr::ScalarFunction(call) => {
                let name = call.func.name();
                let own = engine.scalar_functions().get(name);
                let is_of_engine = own.is_some_and(|own| own == &call.func);
                if !is_of_engine && (scalar::NAMES.contains(&name) || models.by_function(name).is_some()) {
                    functions.insert(name.to_owned());
                    true
                } else {
                    is_of_engine && is_immutable(call.func.signature().volatility)
                }
            }
            Expr::AggregateFunction(call) => is_immutable(call.func.signature().volatility),
            Expr::WindowFunction(call) => match &call.fun {
                WindowFunctionDefinition::AggregateUDF(function) => is_immutable(function.signature().volatility),
                WindowFunctionDefinition::WindowUDF(function) => is_immutable(function.signature().volatility),
            },
            Expr::HigherOrderFunction(_) | Expr::ScalarVariable(..) | Expr::Placeholder(_) => false,
            other => !other.is_volatile_node(),
        };
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(fixed)
}

fn is_immutable(volatility: Volatility) -> bool {
    volatility == Volatility::Immutable
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Schema;

    fn results() -> Results {
        Results::new(&Limits {
            result_cache_mib: 1,
            ..Limits::default()
        })
    }

    fn read() -> Read {
        Read {
            schema: "chemistry".into(),
            table: "reactions".into(),
            found: Found::Nothing,
            is_whole: true,
        }
    }

    fn kept(sql: &str, bytes: usize, reads: Vec<Read>) -> Kept {
        let empty = Arc::new(Schema::empty());
        Kept {
            who: Principal::new("ana"),
            sql: sql.to_owned(),
            values: Vec::new(),
            policies: Weak::new(),
            reads: Arc::new(Reads {
                tables: reads,
                ..Reads::default()
            }),
            facts: Arc::default(),
            parameters: Arc::clone(&empty),
            schema: empty,
            batches: Vec::new(),
            bytes,
        }
    }

    fn held(results: &Results) -> Vec<String> {
        results.kept.lock().iter().map(|kept| kept.sql.clone()).collect()
    }

    #[test]
    fn the_oldest_makes_room_and_a_question_is_kept_once() {
        let results = results();
        let keep = |sql: &str, bytes| results.keep(kept(sql, bytes, vec![read()]));
        let half = results.bytes_max / 2;
        for (sql, bytes) in [("a", half), ("b", 1), ("a", half), ("c", half)] {
            keep(sql, bytes);
        }
        assert_eq!(held(&results), ["a", "c"]);
        keep("d", results.bytes_max);
        assert_eq!(held(&results), ["d"]);
        for at in 0..KEPT_MAX + 3 {
            keep(&at.to_string(), 0);
        }
        assert_eq!(held(&results).len(), KEPT_MAX);
        keep("too large", results.bytes_max + 1);
        assert!(held(&results).is_empty());
    }

    #[test]
    fn constants_push_out_constants_only() {
        let results = results();
        results.keep(kept("of a table", 1, vec![read()]));
        for at in 0..KEPT_MAX {
            results.keep(kept(&format!("SELECT {at}"), 8, Vec::new()));
        }
        assert_eq!(held(&results), ["of a table"]);
        assert_eq!(results.constants.lock().len(), CONSTANTS_MAX);
    }
}
