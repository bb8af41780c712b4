//! What is noticed on the way to a decision.
//!
//! `access` decides and, when somebody wants to know why, writes down each step as it takes it. An explanation is made of
//! these notes and of nothing else, so it cannot tell of another decision than the one that was made.

use datafusion::logical_expr::Expr;

use crate::action::Action;
use crate::decision::{Decision, RuleRef};
use crate::inside::Look;
use crate::rules::Mode;

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Note {
    /// A catalog, schema or table was asked for.
    Asked {
        object: Vec<String>,
        action: Action,
        decision: Decision,
    },
    /// A column was weighed: once for each reading of its tags and each action; or looked into, when it has fields inside
    /// that rules are about.
    Column {
        at: usize,
        open: bool,
        decisions: Vec<(Action, Decision)>,
        inside: Option<Look>,
    },
    /// A row filter applies.
    Filter {
        name: String,
        mode: Option<Mode>,
        attached: RuleRef,
        condition: Expr,
    },
    /// Permissive filters are there, but this grant shows all rows without them.
    Unfiltered { grant: RuleRef },
    /// A mask applies to a column.
    Mask {
        column: String,
        name: String,
        attached: RuleRef,
    },
}

/// The steps of one decision, or nothing where nobody asked for them.
#[derive(Debug, Default)]
pub(crate) struct Notes(Option<Vec<Note>>);

impl Notes {
    /// Nothing is written down: for the road that every statement takes.
    pub(crate) fn off() -> Self {
        Notes(None)
    }

    pub(crate) fn on() -> Self {
        Notes(Some(Vec::new()))
    }

    pub(crate) fn add(&mut self, note: impl FnOnce() -> Note) {
        if let Some(notes) = &mut self.0 {
            notes.push(note());
        }
    }

    pub(crate) fn taken(self) -> Vec<Note> {
        self.0.unwrap_or_default()
    }
}
