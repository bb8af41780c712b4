//! Whether somebody may do something, by the questions that the server asks before it does it.

use labhouse_catalog::TableName;
use labhouse_policies::{Action, Decision, Reason, RuleRef, TableAccess, Tags};

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

/// The right to an action on a table, which need not exist to be created.
pub(super) fn on_table(view: &Governed, name: &TableName, action: Action) -> Right {
    let path = table_path(name);
    let Some(object) = view.object(&name.schema, &name.table) else {
        return view.decide(&name.schema, &path, &Tags::new(), action).into();
    };
    let asked = |action| {
        view.world()
            .policies
            .explain(view.who(), &object, view.system(), action)
    };
    let decided = || view.decide(&object.department, &path, &object.tags, action).into();
    match action {
        // These are given by column as well.
        Action::Select | Action::Insert | Action::Update => {
            let explanation = asked(action);
            let fact = explanation.table_fact();
            Right {
                allowed: matches!(explanation.access, TableAccess::Open(_)),
                rules: fact.rules,
                why: fact.why,
            }
        }
        // A table that one does not see is not there to be changed.
        Action::Delete
        | Action::Drop
        | Action::Alter
        | Action::Maintain
        | Action::Execute
        | Action::Train
        | Action::Alert
        | Action::Admin => {
            let seen = asked(Action::Select);
            match &seen.access {
                TableAccess::Open(_) => decided(),
                TableAccess::Hidden(_) => {
                    let fact = seen.table_fact();
                    Right {
                        allowed: false,
                        rules: fact.rules,
                        why: format!("the table is hidden: {}", fact.why),
                    }
                }
            }
        }
        Action::Use | Action::Create => decided(),
    }
}

impl From<Decision> for Right {
    fn from(decision: Decision) -> Self {
        let why = match &decision.reason {
            Reason::Allowed => "granted".to_owned(),
            Reason::Denied => "denied, and a denial always wins".to_owned(),
            Reason::NothingMatched => "nothing grants it".to_owned(),
            Reason::NoColumn => "none of the columns is granted".to_owned(),
            Reason::Broken(why) => why.clone(),
        };
        Right {
            allowed: decision.allowed,
            rules: decision.determined_by,
            why,
        }
    }
}
