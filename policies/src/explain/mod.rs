//! Why a principal sees what he sees: told from the notes that the decision itself took.
//!
//! Nothing is decided here. [`PolicySet::explain`] asks the very function that [`PolicySet::table`] asks, which writes down
//! its steps, and turns them into sentences with file and line. Only the nearest grant, the one that would have helped, is
//! looked for afterwards; it is advice and decides nothing.

mod columns;
mod facts;
mod listing;
mod nearest;
mod notes;
mod rows;

use arrow::datatypes::SchemaRef;
use datafusion::common::ResolvedTableReference;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::Expr;

use crate::access::{self, TableAccess, TableObject};
use crate::action::Action;
use crate::decision::{Decision, Reason, RuleRef};
use crate::filters;
use crate::object::Tags;
use crate::principal::Principal;
use crate::rules::Mode;
use crate::set::PolicySet;

pub use facts::{Fact, Verdict};
pub use listing::RuleLine;
pub use nearest::Nearest;
pub(crate) use notes::{Note, Notes};
pub use rows::RowVerdict;

/// How one table looks to one principal, and why.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The login.
    pub principal: String,
    /// The table.
    pub table: ResolvedTableReference,
    /// Its full schema, hidden columns included.
    pub schema: SchemaRef,
    /// The department that owns it.
    pub department: String,
    /// The roles held in that department, nearest first.
    pub roles: Vec<String>,
    /// What [`PolicySet::table`] answers, made by the same call.
    pub access: TableAccess,
    /// What closed the table, when it is hidden.
    pub closed: Option<Closed>,
    /// Every column of the table, in its order; empty where the table was closed before its columns were asked for.
    pub columns: Vec<ColumnWhy>,
    /// The row filters that apply, restrictive ones first; empty when all rows are shown.
    pub filters: Vec<FilterWhy>,
    /// The grant because of which permissive filters do not apply.
    pub unfiltered: Option<RuleRef>,
}

/// What closed a table.
#[derive(Debug, Clone)]
pub struct Closed {
    /// What was asked for: the table, its schema or its catalog.
    pub object: String,
    /// The action that was not allowed on it.
    pub action: Action,
    /// The answer.
    pub decision: Decision,
    /// The grant that would have helped, if the policy has one.
    pub nearest: Option<Nearest>,
}

/// Why a column, or a field inside one, is shown, masked or hidden.
#[derive(Debug, Clone)]
pub struct ColumnWhy {
    /// The column.
    pub name: String,
    /// Its fate.
    pub verdict: ColumnVerdict,
    /// The lines that decided: grants of a shown column, denials of a hidden one, the `p3` line of a masked one.
    pub rules: Vec<RuleRef>,
    /// What `rules` do not say.
    pub why: String,
    /// The grant that would have shown a hidden column, if the policy has one.
    pub nearest: Option<Nearest>,
    /// The fields inside it, where rules are about them: each with its path from the column on, as `column/field/field`,
    /// and none below one that is seen or hidden as a whole.
    pub fields: Vec<ColumnWhy>,
}

/// The fate of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnVerdict {
    /// Shown as it is.
    Shown,
    /// Shown through the mask of that name.
    Masked(String),
    /// Shown without some of its fields, or with some of them masked.
    Partly,
    /// Not there.
    Hidden,
}

/// A row filter that applies.
#[derive(Debug, Clone)]
pub struct FilterWhy {
    /// Its name in `filters.toml`.
    pub name: String,
    /// Restrictive filters must all be true, of the permissive ones one.
    pub restrictive: bool,
    /// The `p2` line that attached it.
    pub attached: RuleRef,
    /// Its entry in `filters.toml`; the text is its SQL as written.
    pub entry: RuleRef,
    /// Its SQL with the principal's attributes in the places of `$user.NAME`; an attribute he lacks is NULL.
    pub sql: String,
    condition: Expr,
}

impl PolicySet {
    /// Explains what `principal` sees of a table; the answer's `access` is that of [`PolicySet::table`] for the same question.
    pub fn explain(
        &self,
        principal: &Principal,
        table: &TableObject,
        state: &SessionState,
        action: Action,
    ) -> Explanation {
        let mut notes = Notes::on();
        let access = match access::table(self, principal, table, state, action, &mut notes) {
            Ok(access) => TableAccess::Open(access),
            Err(decision) => TableAccess::Hidden(decision),
        };
        let subject = principal.subject();
        let held = self.engine.held(&subject, &table.department);
        let mut explanation = Explanation {
            principal: principal.name.clone(),
            table: table.reference.clone(),
            schema: SchemaRef::clone(&table.schema),
            department: table.department.clone(),
            roles: held.iter().filter(|role| **role != subject.name).cloned().collect(),
            access,
            closed: None,
            columns: Vec::new(),
            filters: Vec::new(),
            unfiltered: None,
        };
        let mut last = None;
        for note in notes.taken() {
            match note {
                Note::Asked { .. } => last = Some(note),
                Note::Column {
                    at,
                    open,
                    decisions,
                    inside,
                } => {
                    let column = columns::explained(self, principal, table, at, open, &decisions, inside.as_ref());
                    explanation.columns.extend(column);
                }
                Note::Filter {
                    name,
                    mode,
                    attached,
                    condition,
                } => {
                    let filter = self.filter(principal, name, mode, attached, condition);
                    explanation.filters.extend(filter);
                }
                Note::Unfiltered { grant } => explanation.unfiltered = Some(grant),
                Note::Mask { column, name, attached } => {
                    if let Some(masked) = explanation.columns.iter_mut().find(|c| c.name == column) {
                        let how = self.mask_in_words(&name);
                        if masked.verdict == ColumnVerdict::Partly {
                            masked.why = format!("{}; what is left is masked by {name}: {how}", masked.why);
                            masked.rules.push(attached);
                        } else {
                            masked.why = how;
                            masked.verdict = ColumnVerdict::Masked(name);
                            masked.rules = vec![attached];
                        }
                    }
                }
            }
        }
        if let TableAccess::Hidden(decision) = &explanation.access {
            explanation.closed = self.what_closed(principal, table, decision, last);
            // Only a table that nothing else closed is closed by its columns; otherwise their fates never came true.
            if decision.reason != Reason::NoColumn {
                explanation.columns.clear();
            }
            explanation.filters.clear();
            explanation.unfiltered = None;
        }
        explanation
    }

    fn what_closed(
        &self,
        who: &Principal,
        table: &TableObject,
        decision: &Decision,
        last: Option<Note>,
    ) -> Option<Closed> {
        let Some(Note::Asked {
            object,
            action,
            decision: asked,
        }) = last
        else {
            return None;
        };
        // A broken filter or a table without a column was allowed when it was last asked for.
        let path: Vec<&str> = object.iter().map(String::as_str).collect();
        let tags = if path.len() > 2 {
            table.tags.clone()
        } else {
            Tags::new()
        };
        let nearest = match (&decision.reason, asked.allowed) {
            (Reason::NothingMatched, false) => nearest::nearest(self, who, &table.department, &path, &tags, action),
            _ => None,
        };
        Some(Closed {
            object: object.join("/"),
            action,
            decision: decision.clone(),
            nearest,
        })
    }

    fn filter(
        &self,
        who: &Principal,
        name: String,
        mode: Option<Mode>,
        attached: RuleRef,
        condition: Expr,
    ) -> Option<FilterWhy> {
        let entry = self.entries.filters.get(&name)?;
        Some(FilterWhy {
            sql: entry.template.shown(self.bindings(Some(who))),
            entry: RuleRef {
                file: filters::FILE,
                line: entry.line,
                text: entry.template.expr.to_string(),
            },
            name,
            restrictive: mode == Some(Mode::Restrictive),
            attached,
            condition,
        })
    }

    pub(super) fn mask_in_words(&self, name: &str) -> String {
        match self.entries.masks.get(name) {
            Some(entry) => format!("{} ({}:{})", entry.how.in_words(), filters::FILE, entry.line),
            None => String::new(),
        }
    }
}
