//! The row filters and masks that policy files attach to one table, for one principal.

use std::collections::BTreeMap;

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, lit};

use crate::access::{TableObject, readings};
use crate::action::Action;
use crate::compile;
use crate::decision::{Decision, Reason, RuleRef, in_domain};
use crate::explain::{Note, Notes};
use crate::filters;
use crate::inside::is_inside;
use crate::principal::{Principal, Subject};
use crate::rules::{Attachment, Mode};
use crate::set::PolicySet;

pub(crate) fn row_filter(
    set: &PolicySet,
    who: &Principal,
    table: &TableObject,
    state: &SessionState,
    path: &[&str; 3],
    decided: &mut Vec<RuleRef>,
    notes: &mut Notes,
) -> Result<Option<Expr>, Decision> {
    let subject = who.subject();
    let department = table.department.as_str();
    let held = set.engine.held(&subject, department);
    let here: Vec<&Attachment> = set
        .engine
        .rules
        .filters
        .iter()
        .filter(|f| in_domain(&f.domain, department) && f.object.matches(path, &table.tags))
        .collect();
    let applies = |f: &&&Attachment| f.subject == "*" || held.contains(&f.subject);
    let compiled = |f: &Attachment| -> Result<Expr, Decision> {
        let broken = |why: String| {
            let why = format!(
                "filter {} ({}:{}) on {}: {why}",
                f.name,
                crate::rules::FILE,
                f.line,
                table.reference
            );
            Decision::no(Reason::Broken(why), vec![f.reference()])
        };
        let entry = set
            .entries
            .filters
            .get(&f.name)
            .ok_or_else(|| broken(format!("not in {}", filters::FILE)))?;
        if !entry.table.matches(path, &table.tags) {
            return Err(broken(
                "its `table` does not cover this table; widen it, or attach the filter elsewhere".to_owned(),
            ));
        }
        compile::row_filter(&entry.template, &table.schema, state, set.bindings(Some(who)))
            .map_err(|e| broken(format!("{}; {}", e.what, e.remedy)))
    };

    let mut condition: Option<Expr> = None;
    for filter in here
        .iter()
        .filter(applies)
        .filter(|f| f.mode == Some(Mode::Restrictive))
    {
        let next = compiled(filter)?;
        filtered_by(notes, filter, &next);
        condition = Some(condition.map_or(next.clone(), |so_far| so_far.and(next)));
        decided.push(filter.reference());
    }
    let permissive: Vec<&&Attachment> = here
        .iter()
        .filter(applies)
        .filter(|f| f.mode == Some(Mode::Permissive))
        .collect();
    if permissive.is_empty() {
        return Ok(condition);
    }
    let filtered = |role: &str| permissive.iter().any(|f| f.subject == "*" || f.subject == role);
    let grants = set.engine.question(&subject, department, Action::Select);
    let granting = grants.weigh(path, &table.tags).allows;
    let free = set.engine.roles.held_without_passing(&subject, department, filtered);
    if let Some(grant) = granting
        .iter()
        .find(|g| free.contains(&g.subject) && !filtered(&g.subject))
    {
        notes.add(|| Note::Unfiltered {
            grant: grant.reference(),
        });
        decided.push(grant.reference());
        return Ok(condition);
    }
    let mut any: Option<Expr> = None;
    for filter in permissive {
        let next = compiled(filter)?;
        filtered_by(notes, filter, &next);
        any = Some(any.map_or(next.clone(), |so_far| so_far.or(next)));
        decided.push(filter.reference());
    }
    let any = any.unwrap_or_else(|| lit(false));
    Ok(Some(condition.map_or(any.clone(), |all| all.and(any))))
}

fn filtered_by(notes: &mut Notes, filter: &Attachment, condition: &Expr) {
    notes.add(|| Note::Filter {
        name: filter.name.clone(),
        mode: filter.mode,
        attached: filter.reference(),
        condition: condition.clone(),
    });
}

/// Whether one of the row filters and masks that were put on, by the rules that decided, holds the policy secret.
pub(crate) fn keyed(set: &PolicySet, decided: &[RuleRef]) -> bool {
    let rules = &set.engine.rules;
    let on = |attached: &Attachment| decided.contains(&attached.reference());
    let filter = |f: &&Attachment| set.entries.filters.get(&f.name).is_some_and(|e| e.template.uses_secret);
    let mask = |m: &&Attachment| set.entries.masks.get(&m.name).is_some_and(|e| e.how.uses_secret());
    rules.filters.iter().filter(filter).any(on) || rules.masks.iter().filter(mask).any(on)
}

/// The masks of the roles that the principal holds in the department.
pub(crate) fn held_masks<'a>(set: &'a PolicySet, subject: &Subject, department: &str) -> Vec<&'a Attachment> {
    let held = set.engine.held(subject, department);
    let masks = set.engine.rules.masks.iter();
    masks
        .filter(|m| in_domain(&m.domain, department) && (m.subject == "*" || held.contains(&m.subject)))
        .collect()
}

#[expect(clippy::too_many_arguments, reason = "the parts of one access")]
pub(crate) fn masks(
    set: &PolicySet,
    who: &Principal,
    table: &TableObject,
    state: &SessionState,
    columns: &[usize],
    here: &[&Attachment],
    decided: &mut Vec<RuleRef>,
    notes: &mut Notes,
) -> Result<BTreeMap<String, Expr>, Decision> {
    let mut masks = BTreeMap::new();
    let [catalog, schema, name] = table.path();
    for field in columns.iter().filter_map(|at| table.schema.fields().get(*at)) {
        let object = [catalog, schema, name, field.name().as_str()];
        let readings = readings(&table.tags, table.column_tags.get(field.name()));
        let Some(mask) = here
            .iter()
            .filter(|m| !is_inside(m))
            .find(|m| readings.iter().any(|tags| m.object.matches(&object, tags)))
        else {
            continue;
        };
        let broken = |why: String| {
            let why = format!(
                "mask {} ({}:{}) on {}.{}: {why}",
                mask.name,
                crate::rules::FILE,
                mask.line,
                table.reference,
                field.name()
            );
            Decision::no(Reason::Broken(why), vec![mask.reference()])
        };
        let entry = set
            .entries
            .masks
            .get(&mask.name)
            .ok_or_else(|| broken(format!("not in {}", filters::FILE)))?;
        if !readings.iter().any(|tags| entry.column.matches(&object, tags)) {
            return Err(broken(
                "its `column` does not cover this column; widen it, or attach the mask elsewhere".to_owned(),
            ));
        }
        let expr = compile::mask(&entry.how, field.name(), &table.schema, state, set.bindings(Some(who)))
            .map_err(|e| broken(format!("{}; {}", e.what, e.remedy)))?;
        notes.add(|| Note::Mask {
            column: field.name().clone(),
            name: mask.name.clone(),
            attached: mask.reference(),
        });
        masks.insert(field.name().clone(), expr);
        decided.push(mask.reference());
    }
    Ok(masks)
}
