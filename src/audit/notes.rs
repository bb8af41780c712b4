//! What one statement resolved and what decided, noted while it is planned.
//!
//! Only what the planner asked for by name is noted; lists of tables, as `SHOW TABLES` makes them while it runs, are not.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};
use labhouse_policies::{Access, Action, Decision, RuleRef};
use parking_lot::Mutex;

use super::event::Event;
use super::redact;
use crate::pg_catalog::PG_CATALOG;
use crate::query::scans;
use crate::query::statement::CATALOG;

/// Columns noted of a statement; a wider one says so by its last entry.
const COLUMNS_MAX: usize = 2_000;

/// The notes of one statement, shared by all views it takes of the catalog.
#[derive(Default)]
pub(crate) struct Notes(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    /// While a plan runs nothing is noted.
    paused: bool,
    facts: Facts,
    /// By table, the columns that are closed to the principal.
    closed: BTreeMap<String, Vec<String>>,
}

/// What an event says of a statement's objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    tables: BTreeSet<String>,
    columns: BTreeSet<String>,
    models: BTreeSet<String>,
    refused: BTreeSet<String>,
    lines: BTreeSet<String>,
    filters: BTreeSet<String>,
    masks: BTreeSet<String>,
    detail: Option<String>,
    /// The plan is known to read nothing: no table and no function, only what the statement itself says.
    reads_nothing: bool,
}

impl Notes {
    /// A table was resolved; `version` is that of its rows.
    pub(crate) fn resolved(&self, schema: &str, table: &str, version: Option<u64>, access: &Access) {
        let mut noted = self.0.lock();
        if noted.paused {
            return;
        }
        let name = format!("{CATALOG}.{schema}.{table}");
        let fields = access.schema.fields().iter().enumerate();
        let closed = fields.filter(|(at, _)| !access.columns.contains(at));
        let closed = closed.map(|(_, field)| field.name().clone()).collect();
        noted.closed.insert(name.clone(), closed);
        noted.facts.tables.insert(match version {
            Some(version) => format!("{name}@{version}"),
            None => name,
        });
        noted.facts.rules(&access.determined_by);
    }

    /// A table that is there was asked for and is hidden.
    pub(crate) fn hidden(&self, schema: &str, table: &str, decision: &Decision) {
        let mut noted = self.0.lock();
        if !noted.paused {
            noted.facts.refused.insert(format!("{CATALOG}.{schema}.{table}"));
            noted.facts.rules(&decision.determined_by);
        }
    }

    /// A grant was asked for.
    pub(crate) fn decided(&self, action: Action, object: &str, decision: &Decision) {
        let mut noted = self.0.lock();
        if !decision.allowed {
            noted.facts.refused.insert(format!("{} {object}", action.as_str()));
        }
        noted.facts.rules(&decision.determined_by);
    }

    /// A model answers in the statement.
    pub(crate) fn model(&self, name: &str, version: u64) {
        self.0.lock().facts.models.insert(format!("{CATALOG}.{name}@{version}"));
    }

    /// What else is to be told; never a value of a row.
    pub(crate) fn detail(&self, detail: &serde_json::Value) {
        self.0.lock().facts.detail = Some(detail.to_string());
    }

    /// Notes the columns that an optimised plan reads.
    ///
    /// # Errors
    /// The plan cannot be walked.
    pub(crate) fn reads(&self, plan: &LogicalPlan) -> Result<(), DataFusionError> {
        let mut noted = self.0.lock();
        let mut reads = false;
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                noted.facts.scan(scan);
            }
            reads |= !says_all(node);
            Ok(TreeNodeRecursion::Continue)
        })?;
        // Nearly every statement reads something: its plan is not walked once more.
        if !reads {
            Self::functions(plan, |_| reads = true)?;
        }
        noted.facts.reads_nothing = !reads;
        Ok(())
    }

    /// Runs `named` on the name of every function in a plan.
    ///
    /// # Errors
    /// The plan cannot be walked.
    pub(crate) fn functions(plan: &LogicalPlan, mut named: impl FnMut(&str)) -> Result<(), DataFusionError> {
        plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expression| {
                expression.apply(|part| {
                    if let Expr::ScalarFunction(function) = part {
                        named(function.name());
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        Ok(())
    }

    /// From here on a plan runs: what it lists is not what the statement asked for.
    pub(crate) fn pause(&self, paused: bool) {
        self.0.lock().paused = paused;
    }

    /// All that was noted.
    pub(crate) fn facts(&self) -> Facts {
        self.0.lock().facts.clone()
    }

    /// All that was noted of a statement that failed, with the closed columns it names.
    pub(super) fn facts_of_refused(&self, sql: &str) -> Facts {
        let noted = self.0.lock();
        let mut facts = noted.facts.clone();
        if noted.closed.values().any(|columns| !columns.is_empty()) {
            let words: BTreeSet<String> = redact::words(sql).into_iter().collect();
            for (table, columns) in &noted.closed {
                let asked = columns.iter().filter(|column| words.contains(*column));
                facts.refused.extend(asked.map(|column| format!("{table}/{column}")));
            }
        }
        facts
    }
}

/// Whether what a node gives is made of the statement alone and of what lies under the node.
fn says_all(node: &LogicalPlan) -> bool {
    matches!(
        node,
        LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::Projection(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Limit(_)
    )
}

impl Facts {
    /// Whether a policy closed anything to the statement.
    pub(super) fn is_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Whether the answer holds nothing but what was asked with (`SELECT 1`, as pools of connections ask all day): no table, no model,
    /// no function, and no rule decided anything.
    pub(super) fn tell_nothing(&self) -> bool {
        let named = [&self.tables, &self.columns, &self.models, &self.refused, &self.lines];
        self.reads_nothing && named.into_iter().all(BTreeSet::is_empty)
    }

    /// The same of a statement that is answered with an earlier one's rows.
    pub(crate) fn answered_again(mut self) -> Self {
        let why = || serde_json::json!({"answered": "again"}).to_string();
        self.detail.get_or_insert_with(why);
        self
    }

    pub(super) fn tell(self, event: &mut Event) {
        let list = |set: BTreeSet<String>| set.into_iter().collect();
        event.tables = list(self.tables);
        event.columns = list(self.columns);
        event.models = list(self.models);
        event.refused = list(self.refused);
        event.lines = list(self.lines);
        event.filters = list(self.filters);
        event.masks = list(self.masks);
        event.detail = self.detail;
    }

    /// Notes rules as file and line, and the names of the filters and masks among them.
    fn rules(&mut self, rules: &[RuleRef]) {
        for rule in rules {
            self.lines.insert(format!("{}:{}", rule.file, rule.line));
            let fields: Vec<&str> = rule.text.split(',').map(str::trim).collect();
            match fields.as_slice() {
                ["p2", _, _, _, _, name, ..] => self.filters.insert((*name).to_owned()),
                ["p3", _, _, _, name, ..] => self.masks.insert((*name).to_owned()),
                _ => false,
            };
        }
    }

    fn scan(&mut self, scan: &TableScan) {
        let scans::Of::Table(schema, table) = scans::of(scan) else {
            return;
        };
        // An older version is read under a name of its own, `table@version`.
        let table = table.split('@').next().unwrap_or_default();
        let name = format!("{CATALOG}.{schema}.{table}");
        // The engine's own tables are not resolved by us.
        if [INFORMATION, PG_CATALOG].contains(&schema) {
            self.tables.insert(name.clone());
        }
        let shown = scan.projected_schema.fields().iter().map(|field| field.name().clone());
        let asked = scan.filters.iter().flat_map(|filter| {
            let columns = filter.column_refs().into_iter();
            columns.map(|column| column.name.clone()).collect::<Vec<_>>()
        });
        for column in shown
            .chain(asked)
            .filter(|column| !column.starts_with(labhouse_catalog::ROW_ADDRESS))
        {
            if self.columns.len() >= COLUMNS_MAX {
                self.columns.insert("~ and more".to_owned());
                return;
            }
            self.columns.insert(format!("{name}/{column}"));
        }
    }
}

const INFORMATION: &str = "information_schema";

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    #[test]
    fn rules_are_told_by_line_and_filters_and_masks_by_name() {
        let rule = |line, text: &str| RuleRef {
            file: "policy.csv",
            line,
            text: text.to_owned(),
        };
        let mut facts = Facts::default();
        facts.rules(&[
            rule(3, "p, role:a, chemistry, lab/**, select, allow"),
            rule(7, "p2, role:a,  chemistry, lab/chemistry/t, permissive, released_only"),
            rule(8, "p3, role:a, chemistry, lab/chemistry/*/x,      scaffold_hash"),
        ]);
        let mut event = Event::default();
        facts.tell(&mut event);
        assert_eq!(event.lines, ["policy.csv:3", "policy.csv:7", "policy.csv:8"]);
        assert_eq!(
            (event.filters, event.masks),
            (vec!["released_only".to_owned()], vec!["scaffold_hash".to_owned()])
        );
    }

    #[tokio::test]
    #[expect(
        clippy::disallowed_methods,
        reason = "plans are looked at here, and nothing is governed"
    )]
    async fn only_what_reads_nothing_there_is_need_not_wait() {
        let session = SessionContext::new();
        session.sql("CREATE TABLE t AS VALUES (1), (2)").await.unwrap();
        for (sql, nothing) in [
            ("SELECT 1", true),
            ("SELECT 'a' AS b, 1 + 2 LIMIT 1", true),
            ("VALUES (1), (2)", true),
            ("SELECT * FROM (SELECT 1 AS a) AS b", true),
            ("SELECT column1 FROM t", false),
            ("SELECT (SELECT max(column1) FROM t)", false),
            ("SELECT 1 WHERE EXISTS (SELECT 1 FROM t)", false),
            ("SELECT random()", false),
            ("EXPLAIN SELECT 1", false),
        ] {
            let notes = Notes::default();
            let plan = session.state().create_logical_plan(sql).await.unwrap();
            notes.reads(&plan).unwrap();
            assert_eq!(notes.facts().tell_nothing(), nothing, "{sql}");
            notes.model("chemistry.m", 1);
            assert!(!notes.facts().tell_nothing(), "{sql}");
        }
    }
}
