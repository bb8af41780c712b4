//! Whether somebody may do something, by the questions that the server asks before it does it.

use std::sync::Arc;

use labhouse_catalog::TableName;
use labhouse_policies::{Action, Decision, Explanation, Reason, RuleRef, TableAccess, TableObject, Tags};

use crate::session::{Governed, table_path};

/// A yes or no with the lines that made it.
pub(super) struct Right {
    pub(super) allowed: bool,
    pub(super) rules: Vec<RuleRef>,
    pub(super) why: String,
}

/// Actions that are asked of tables, `select` and `use` left out: those are told as what somebody sees.
pub(super) const ON_TABLES: [Action; 8] = [
    Action::Insert,
    Action::Update,
    Action::Delete,
    Action::Drop,
    Action::Alter,
    Action::Maintain,
    Action::Alert,
    Action::Admin,
];

/// The right to an action on a table that is there. `seen` is what the same person sees of it.
pub(super) fn on_table(view: &Governed, name: &TableName, action: Action, seen: &Explanation) -> Right {
    let Some(object) = view.object(&name.schema, &name.table) else {
        return to_create(view, name, action);
    };
    let decided = |action| view.decide(&object.department, &table_path(name), &object.tags, action);
    match action {
        Action::Select => explained(seen),
        // These are given by column as well; without the table's own grant no column helps.
        Action::Insert | Action::Update => {
            let policies = &view.world().policies;
            explained(&policies.explain(view.who(), &object, view.system(), action))
        }
        // A table that one does not see is not there to be changed.
        Action::Delete
        | Action::Drop
        | Action::Alter
        | Action::Maintain
        | Action::Execute
        | Action::Train
        | Action::Alert
        | Action::Admin => match &seen.access {
            TableAccess::Open(_) => decided(action).into(),
            TableAccess::Hidden(_) => {
                let fact = seen.table_fact();
                Right {
                    allowed: false,
                    rules: fact.rules,
                    why: format!("the table is hidden: {}", fact.why),
                }
            }
        },
        Action::Use | Action::Create => decided(action).into(),
    }
}

/// The same, where only the answer counts and many are asked: what is not granted on the table costs next to nothing.
pub(super) fn may_on_table(view: &Governed, object: &TableObject, name: &TableName, seen: &Explanation) -> Vec<Action> {
    let granted = |action: &Action| {
        let path = table_path(name);
        view.decide(&object.department, &path, &object.tags, *action).allowed
    };
    let actions = ON_TABLES.into_iter().filter(granted);
    actions
        .filter(|action| on_table(view, name, *action, seen).allowed)
        .collect()
}

/// The right to make something under a name that is free.
pub(super) fn to_create(view: &Governed, name: &TableName, action: Action) -> Right {
    let path = table_path(name);
    view.decide(&name.schema, &path, &Tags::new(), action).into()
}

fn explained(explanation: &Explanation) -> Right {
    let fact = explanation.table_fact();
    Right {
        allowed: matches!(explanation.access, TableAccess::Open(_)),
        rules: fact.rules,
        why: fact.why,
    }
}

impl From<Arc<Decision>> for Right {
    fn from(decision: Arc<Decision>) -> Self {
        let why = match &decision.reason {
            Reason::Allowed => "granted".to_owned(),
            Reason::Denied => "denied, and a denial always wins".to_owned(),
            Reason::NothingMatched => "nothing grants it".to_owned(),
            Reason::NoColumn => "none of the columns is granted".to_owned(),
            Reason::Broken(why) => why.clone(),
        };
        Right {
            allowed: decision.allowed,
            rules: decision.determined_by.clone(),
            why,
        }
    }
}
