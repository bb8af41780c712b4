//! Whether one sentence holds.

use std::sync::Arc;

use chrono::Utc;
use datafusion::common::DFSchema;
use labhouse_catalog::TableName;
use labhouse_policies::{Action, ColumnVerdict, Explanation, PolicySet, RuleRef, TableAccess};

use super::{Assertion, Claim, Count, Look, Object};
use crate::policy_tools::counting::{Reader, When, conditions_of};
use crate::policy_tools::rights::{Right, on_table, to_create};
use crate::policy_tools::{Lab, Trouble, condition_of};
use crate::query::statement::CATALOG;
use crate::session::{Governed, model_object};

/// Names that a failed `sees nothing` tells.
const NAMED_MAX: usize = 5;

/// The outcome of one sentence.
pub(super) struct Checked {
    pub(super) holds: bool,
    pub(super) expected: String,
    pub(super) actual: String,
    /// The lines that made it so.
    pub(super) rules: Vec<RuleRef>,
}

impl Checked {
    /// The sentence is about something that is not there, or it could not be asked.
    pub(super) fn not_asked(trouble: &(dyn std::error::Error + 'static)) -> Self {
        Self {
            holds: false,
            expected: "a sentence about people and objects that exist".to_owned(),
            actual: trouble.to_string(),
            rules: Vec::new(),
        }
    }
}

/// Checks one sentence. `reader` sees everything.
pub(super) async fn check(
    lab: &Lab,
    policies: &Arc<PolicySet>,
    reader: &Reader,
    assertion: &Assertion,
) -> Result<Checked, Trouble> {
    let who = lab.person(&assertion.who, policies)?;
    let view = lab.view(&who, policies);
    match &assertion.claim {
        Claim::Nothing => Ok(nothing(&view)),
        Claim::Table { table, seen } => {
            let explanation = explained(lab, &view, table)?;
            let fact = explanation.table_fact();
            let found = matches!(explanation.access, TableAccess::Open(_));
            let words = |seen| {
                if seen {
                    "the table is seen"
                } else {
                    "the table is hidden"
                }
            };
            Ok(Checked {
                holds: found == *seen,
                expected: words(*seen).to_owned(),
                actual: format!("{}: {}", words(found), fact.why),
                rules: fact.rules,
            })
        }
        Claim::Columns { table, columns, look } => columns_look(&explained(lab, &view, table)?, columns, look),
        Claim::Rows {
            table,
            count,
            condition,
        } => {
            let explanation = explained(lab, &view, table)?;
            let rows = Counted::new(lab, &view, reader, table, &explanation, condition.as_deref(), *count).await?;
            Ok(rows.checked(*count, &explanation))
        }
        Claim::May {
            action,
            object,
            allowed,
        } => {
            let right = right(lab, &view, *action, object)?;
            let words = |may: bool| format!("{} {} {action}", who.name, if may { "may" } else { "may not" });
            Ok(Checked {
                holds: right.allowed == *allowed,
                expected: words(*allowed),
                actual: format!("{}: {}", words(right.allowed), right.why),
                rules: right.rules,
            })
        }
    }
}

fn explained(lab: &Lab, view: &Governed, name: &TableName) -> Result<Explanation, Trouble> {
    lab.table(view, &format!("{CATALOG}.{name}"))?;
    let object = view
        .object(&name.schema, &name.table)
        .ok_or_else(|| format!("there is no table {CATALOG}.{name}"))?;
    let policies = &view.world().policies;
    Ok(policies.explain(view.who(), &object, view.system(), Action::Select))
}

fn nothing(view: &Governed) -> Checked {
    let tables = view.visible().into_iter();
    let tables = tables.map(|(schema, table)| format!("{CATALOG}.{schema}.{table}"));
    let executables = view.executables().into_iter();
    let executables = executables
        .filter(|(_, decision)| decision.allowed)
        .map(|(object, _)| object);
    let seen: Vec<String> = tables.chain(executables).collect();
    let named: Vec<&str> = seen.iter().take(NAMED_MAX).map(String::as_str).collect();
    Checked {
        holds: seen.is_empty(),
        expected: "no table, function or model".to_owned(),
        actual: match seen.len() {
            0 => "no table, function or model".to_owned(),
            some if some > NAMED_MAX => format!("{} and {} more", named.join(", "), some - NAMED_MAX),
            _ => named.join(", "),
        },
        rules: Vec::new(),
    }
}

fn columns_look(explanation: &Explanation, columns: &[String], look: &Look) -> Result<Checked, Trouble> {
    let table = &explanation.table;
    let fields = explanation.schema.fields();
    if let Some(unknown) = columns.iter().find(|column| explanation.verdict(column).is_none()) {
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        return Err(format!("{table} has no column {unknown}; it has {}", names.join(", ")).into());
    }
    let verdict = |column: &str| explanation.verdict(column).unwrap_or(&ColumnVerdict::Hidden);
    let in_words = |column: &str| match verdict(column) {
        ColumnVerdict::Shown => format!("{column} in clear"),
        ColumnVerdict::Masked(mask) => format!("{column} masked by {mask}"),
        ColumnVerdict::Partly => format!("{column} in part"),
        ColumnVerdict::Hidden => format!("{column} hidden"),
    };
    let fits = |column: &str| match (look, verdict(column)) {
        (Look::Shown | Look::Only, ColumnVerdict::Shown | ColumnVerdict::Masked(_) | ColumnVerdict::Partly) => true,
        (Look::Shown | Look::Only, ColumnVerdict::Hidden) => false,
        (Look::Hidden, found) => *found == ColumnVerdict::Hidden,
        (Look::Clear, found) => *found == ColumnVerdict::Shown,
        (Look::Masked(None), found) => matches!(found, ColumnVerdict::Masked(_)),
        (Look::Masked(Some(mask)), found) => *found == ColumnVerdict::Masked(mask.clone()),
    };
    let others = fields
        .iter()
        .map(|field| field.name())
        .filter(|name| *look == Look::Only && !columns.contains(name) && *verdict(name) != ColumnVerdict::Hidden);
    let others: Vec<&String> = others.collect();
    let wrong: Vec<&String> = columns.iter().filter(|column| !fits(column)).chain(others).collect();
    let told = if wrong.is_empty() {
        columns.iter().collect()
    } else {
        wrong.clone()
    };
    let listed = columns.join(", ");
    let mut rules: Vec<RuleRef> = explanation
        .columns
        .iter()
        .flat_map(|column| std::iter::once(column).chain(&column.fields))
        .filter(|why| wrong.contains(&&why.name))
        .flat_map(|why| why.rules.iter().cloned())
        .collect();
    rules.sort();
    rules.dedup();
    let mut actual = told
        .iter()
        .map(|column| in_words(column))
        .collect::<Vec<_>>()
        .join(", ");
    if let TableAccess::Hidden(_) = explanation.access {
        let fact = explanation.table_fact();
        actual = format!("the table is hidden: {}", fact.why);
        rules = fact.rules;
    }
    Ok(Checked {
        holds: wrong.is_empty(),
        expected: match look {
            Look::Shown => format!("{listed} shown"),
            Look::Only => format!("{listed} and no other column"),
            Look::Hidden => format!("{listed} hidden"),
            Look::Masked(None) => format!("{listed} masked"),
            Look::Masked(Some(mask)) => format!("{listed} masked by {mask}"),
            Look::Clear => format!("{listed} in clear"),
        },
        actual,
        rules,
    })
}

/// Rows that were counted.
struct Counted {
    shown: u64,
    /// Of how many; counted only where it matters.
    all: Option<u64>,
}

impl Counted {
    async fn new(
        lab: &Lab,
        view: &Arc<Governed>,
        reader: &Reader,
        name: &TableName,
        explanation: &Explanation,
        condition: Option<&str>,
        count: Count,
    ) -> Result<Self, Trouble> {
        if !Lab::has_rows(name) {
            return Err(format!("{CATALOG}.{name} has no rows without a running server").into());
        }
        let condition = match condition {
            None if count != Count::All => {
                // No condition on hidden things: asked on the road that the person's own statements take.
                let shown = match &explanation.access {
                    TableAccess::Hidden(_) => 0,
                    TableAccess::Open(_) => {
                        let own = Reader {
                            view: Arc::clone(view),
                            state: lab.session(view)?,
                        };
                        own.count(name, &[]).await?.first().copied().unwrap_or_default()
                    }
                };
                return Ok(Self { shown, all: None });
            }
            None => None,
            Some(sql) => {
                let schema = DFSchema::try_from(explanation.schema.as_ref().clone())?;
                let parsed = condition_of(&reader.state, sql, &schema);
                Some(parsed.map_err(|error| format!("where {sql}: {}", error.strip_backtrace()))?)
            }
        };
        let filter = conditions_of(&explanation.access, Utc::now())?;
        let all = When {
            is: condition.into_iter().collect(),
            is_not: Vec::new(),
        };
        let mut shown = all.clone();
        shown.is.push(filter);
        match reader.count(name, &[shown, all]).await?.as_slice() {
            [_, shown, all] => Ok(Self {
                shown: *shown,
                all: Some(*all),
            }),
            _ => Err("the rows were not counted".into()),
        }
    }

    fn checked(&self, count: Count, explanation: &Explanation) -> Checked {
        let hidden = matches!(explanation.access, TableAccess::Hidden(_));
        let holds = match count {
            Count::Exactly(number) => self.shown == number,
            Count::AtLeast(number) => self.shown >= number,
            Count::AtMost(number) => self.shown <= number,
            Count::All => !hidden && self.all == Some(self.shown),
        };
        let fact = explanation.table_fact();
        let filters: Vec<RuleRef> = explanation
            .filter_facts()
            .into_iter()
            .flat_map(|fact| fact.rules)
            .collect();
        let all = self.all.map(|all| format!(" of {all}")).unwrap_or_default();
        let mut actual = format!("{}{all} rows", self.shown);
        if hidden {
            actual.push_str(&format!("; the table is hidden: {}", fact.why));
        }
        Checked {
            holds,
            expected: match count {
                Count::Exactly(number) => format!("{number} rows"),
                Count::AtLeast(number) => format!("at least {number} rows"),
                Count::AtMost(number) => format!("at most {number} rows"),
                Count::All => "all rows".to_owned(),
            },
            actual,
            rules: if hidden || filters.is_empty() {
                fact.rules
            } else {
                filters
            },
        }
    }
}

fn right(lab: &Lab, view: &Governed, action: Action, object: &Object) -> Result<Right, Trouble> {
    let executable = |object: &str| {
        let all = view.executables();
        let found = all.into_iter().find(|(name, _)| name == object);
        found.map(|(_, decision)| decision)
    };
    match object {
        Object::Table(name) => {
            // What is created need not be there; all else must be.
            if action == Action::Create && view.object(&name.schema, &name.table).is_none() {
                return Ok(to_create(view, name, action));
            }
            let seen = explained(lab, view, name)?;
            Ok(on_table(view, name, action, &seen))
        }
        Object::Model(name) => {
            let model = view.world().models.get(name);
            let model = model.ok_or_else(|| format!("there is no model {CATALOG}.{name}"))?;
            Ok(view
                .decide(
                    model.department(),
                    &model_object(name),
                    &view.model_tags(&model),
                    action,
                )
                .into())
        }
        Object::Function { name, model } => {
            let object = match model {
                Some(model) => format!("fn/{name} of {CATALOG}.{model}"),
                None => format!("fn/{name}"),
            };
            if action == Action::Execute
                && let Some(decision) = executable(&object)
            {
                return Ok(decision.into());
            }
            if let (Action::Train, Some(model)) = (action, view.world().models.by_function(name)) {
                let object = format!("fn/{name}");
                return Ok(view
                    .decide(model.department(), &object, &view.model_tags(model), action)
                    .into());
            }
            let known: Vec<String> = view.executables().into_iter().map(|(name, _)| name).collect();
            let known: Vec<&str> = known
                .iter()
                .map(String::as_str)
                .filter(|name| name.starts_with("fn/"))
                .collect();
            Err(format!(
                "there is no function {object} that a grant is about; there are {}",
                known.join("; ")
            )
            .into())
        }
    }
}
