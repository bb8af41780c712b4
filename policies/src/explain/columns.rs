//! Why a column is shown or hidden, and the fields inside it.

use arrow::datatypes::DataType;

use super::facts::nothing_grants;
use super::nearest::nearest;
use super::{ColumnVerdict, ColumnWhy, Explanation};
use crate::access::TableObject;
use crate::action::Action;
use crate::decision::{Decision, Reason, RuleRef};
use crate::inside::{Look, Step};
use crate::nested::{Shape, Word, fields};
use crate::principal::Principal;
use crate::set::PolicySet;

const DENIED: &str = "denied, and a denial always wins";
const GRANTED: &str = "granted";

/// A column whose notes are taken; masks are told later.
pub(super) fn explained(
    set: &PolicySet,
    who: &Principal,
    table: &TableObject,
    at: usize,
    open: bool,
    decisions: &[(Action, Decision)],
    inside: Option<&Look>,
) -> Option<ColumnWhy> {
    let field = table.schema.fields().get(at)?;
    let mut why = weighed(set, who, table, field.name(), open, decisions);
    let Some(look) = inside else { return Some(why) };
    let refused = decisions.iter().any(|(_, decision)| !decision.allowed);
    if !refused {
        let looked = Inside {
            set,
            steps: &look.steps,
        };
        let mut path = vec![field.name().clone()];
        let mut below = Vec::new();
        looked.walk(&mut path, look.shape.as_ref(), field.data_type(), &mut below);
        match below.as_slice() {
            // Seen or hidden as a whole: what is said of the only path is said of the column.
            [only] if only.name == *field.name() => {
                let unsaid = only.verdict == ColumnVerdict::Hidden && only.rules.is_empty();
                if !unsaid {
                    why = only.clone();
                }
            }
            _ => why.fields = below,
        }
    }
    if open && matches!(look.shape, Some(Shape::Fields(_) | Shape::Masked(_))) {
        why.verdict = ColumnVerdict::Partly;
        why.why = "granted, but for some of its fields".to_owned();
    }
    Some(why)
}

fn weighed(
    set: &PolicySet,
    who: &Principal,
    table: &TableObject,
    name: &str,
    open: bool,
    decisions: &[(Action, Decision)],
) -> ColumnWhy {
    let why = |verdict, rules, why: &str| ColumnWhy {
        name: name.to_owned(),
        verdict,
        rules,
        why: why.to_owned(),
        nearest: None,
        fields: Vec::new(),
    };
    let of = |reason: Reason| {
        let those = decisions.iter().filter(move |(_, decision)| decision.reason == reason);
        let rules = those.flat_map(|(_, decision)| decision.determined_by.iter().cloned());
        let mut rules: Vec<RuleRef> = rules.collect();
        rules.sort();
        rules.dedup();
        rules
    };
    if open {
        return why(ColumnVerdict::Shown, of(Reason::Allowed), GRANTED);
    }
    let denied = of(Reason::Denied);
    if !denied.is_empty() {
        return why(ColumnVerdict::Hidden, denied, DENIED);
    }
    let [catalog, schema, table_name] = table.path();
    let path = [catalog, schema, table_name, name];
    // A column that is looked into has no word on `select` of its own.
    let refused = decisions.iter().find(|(_, decision)| !decision.allowed);
    let wanted = refused.map_or(Action::Select, |(action, _)| *action);
    let half = decisions
        .iter()
        .any(|(action, decision)| *action == wanted && decision.allowed);
    if half {
        let torn = "granted by some of its tags, but its table's tags say otherwise, and both must allow it";
        return why(ColumnVerdict::Hidden, Vec::new(), torn);
    }
    if decisions.is_empty() && crate::access::readings(&table.tags, table.column_tags.get(name)).is_empty() {
        let many = "too many of its tags contradict its table's to be weighed; give table and column the same tags";
        return why(ColumnVerdict::Hidden, Vec::new(), many);
    }
    let mut tags = table.tags.clone();
    tags.extend(table.column_tags.get(name).cloned().unwrap_or_default());
    let nearest = nearest(set, who, &table.department, &path, &tags, wanted);
    let told = nothing_grants(who, &table.department, wanted, &path, nearest.as_ref());
    ColumnWhy {
        nearest,
        ..why(ColumnVerdict::Hidden, Vec::new(), &told)
    }
}

/// The steps of one look into a column.
struct Inside<'a> {
    set: &'a PolicySet,
    steps: &'a [Step],
}

impl Inside<'_> {
    /// One entry for each path that is seen or hidden as a whole.
    fn walk(&self, path: &mut Vec<String>, shape: Option<&Shape>, data_type: &DataType, out: &mut Vec<ColumnWhy>) {
        let entry = |verdict, rules, why: &str| ColumnWhy {
            name: path.join("/"),
            verdict,
            rules,
            why: why.to_owned(),
            nearest: None,
            fields: Vec::new(),
        };
        match shape {
            Some(Shape::Whole) => out.push(entry(ColumnVerdict::Shown, self.spoken(path, Word::Allowed), GRANTED)),
            Some(Shape::Masked(_)) => {
                let step = self.steps.iter().find(|step| step.path == *path && step.mask.is_some());
                let name = step.and_then(|step| step.mask.clone()).unwrap_or_default();
                let rules = step.map(|step| step.rules.clone()).unwrap_or_default();
                let how = self.set.mask_in_words(&name);
                out.push(entry(ColumnVerdict::Masked(name), rules, &how));
            }
            Some(Shape::Fields(kept)) => {
                for (at, field) in fields(data_type).into_iter().flatten().enumerate() {
                    let inner = kept.iter().find(|(kept, _)| *kept == at).map(|(_, shape)| shape);
                    path.push(field.name().clone());
                    self.walk(path, inner, field.data_type(), out);
                    path.pop();
                }
            }
            None => {
                let denied = self.spoken(path, Word::Denied);
                let masked = self.steps.iter().find(|step| step.path == *path && step.mask.is_some());
                out.push(match (denied.as_slice(), masked) {
                    ([], Some(step)) => {
                        let both =
                            "a mask is put on all of it and a part of it is hidden: neither alone would be right";
                        entry(ColumnVerdict::Hidden, step.rules.clone(), both)
                    }
                    ([], None) => entry(ColumnVerdict::Hidden, Vec::new(), "nothing grants it or anything in it"),
                    _ => entry(ColumnVerdict::Hidden, denied, DENIED),
                });
            }
        }
    }

    /// The rules that said so of the path, else of the nearest path around it.
    fn spoken(&self, path: &[String], word: Word) -> Vec<RuleRef> {
        let of = |path: &[String]| {
            let mut steps = self.steps.iter();
            steps.find(|step| step.path == path && step.word == word && step.mask.is_none())
        };
        let around = (1..=path.len()).rev().filter_map(|depth| path.get(..depth));
        let step = around.into_iter().find_map(of);
        step.map(|step| step.rules.clone()).unwrap_or_default()
    }
}

impl Explanation {
    /// What became of a column, or of a field inside one (`column/field`); none if the table has no such thing.
    pub fn verdict(&self, column: &str) -> Option<&ColumnVerdict> {
        let mut path = column.split('/');
        let first = path.next()?;
        let inner: Vec<&str> = path.collect();
        let field = self.schema.field_with_name(first).ok()?;
        if !crate::nested::leads_somewhere(field.data_type(), &inner) {
            return None;
        }
        let Some(why) = self.columns.iter().find(|why| why.name == first) else {
            return Some(&ColumnVerdict::Hidden);
        };
        // The nearest path around it that was told; a field around others is seen in part.
        let told = why.fields.iter().find(|why| is_around(&why.name, column));
        let below = || why.fields.iter().filter(|why| is_around(column, &why.name));
        Some(match told {
            Some(told) => &told.verdict,
            None if inner.is_empty() || below().next().is_none() => &why.verdict,
            None if below().all(|why| why.verdict == ColumnVerdict::Hidden) => &ColumnVerdict::Hidden,
            None => &ColumnVerdict::Partly,
        })
    }
}

/// Whether a path is another or leads to it.
fn is_around(outer: &str, inner: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
