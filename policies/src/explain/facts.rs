//! An explanation in flat sentences: the same for the command line, JSON and `EXPLAIN POLICY`.

use super::{Closed, ColumnVerdict, ColumnWhy, Explanation, FilterWhy, Nearest, RowVerdict};
use crate::access::TableAccess;
use crate::action::Action;
use crate::decision::{Reason, RuleRef};
use crate::principal::Principal;

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is there, as it is.
    Shown,
    /// It is there, with other values.
    Masked,
    /// Some of what is inside it is hidden or masked.
    Partly,
    /// It is not there.
    Hidden,
    /// A row filter keeps rows of it back.
    Filtered,
}

impl Verdict {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Shown => "shown",
            Verdict::Masked => "masked",
            Verdict::Partly => "partly",
            Verdict::Hidden => "hidden",
            Verdict::Filtered => "filtered",
        }
    }
}

/// One statement of an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The table, column or row it is about.
    pub object: String,
    /// What became of it.
    pub verdict: Verdict,
    /// The row filter or mask by name, where one decided.
    pub by: Option<String>,
    /// The lines that decided, in file order; empty where nothing matched.
    pub rules: Vec<RuleRef>,
    /// The reason, in words for an administrator.
    pub why: String,
}

impl Explanation {
    /// The table itself, first what closed or opened it.
    pub fn table_fact(&self) -> Fact {
        let (verdict, rules, why) = match &self.access {
            TableAccess::Open(access) => {
                // The rules of columns, filters and masks are told with these.
                let told: Vec<&RuleRef> = self
                    .columns
                    .iter()
                    .flat_map(|column| std::iter::once(column).chain(&column.fields))
                    .filter(|column| column.verdict != ColumnVerdict::Shown)
                    .flat_map(|column| &column.rules)
                    .chain(self.filters.iter().map(|filter| &filter.attached))
                    .collect();
                let rules = access.determined_by.iter().filter(|rule| !told.contains(rule));
                (Verdict::Shown, rules.cloned().collect(), "granted".to_owned())
            }
            TableAccess::Hidden(decision) => {
                let why = match &self.closed {
                    Some(closed) => self.closed_in_words(closed),
                    None => String::new(),
                };
                (Verdict::Hidden, decision.determined_by.clone(), why)
            }
        };
        Fact {
            object: self.table.to_string(),
            verdict,
            by: None,
            rules,
            why,
        }
    }

    /// One fact a column, in the table's order, and one for each field inside that has a fate of its own.
    pub fn column_facts(&self) -> impl Iterator<Item = Fact> {
        let all = self.columns.iter();
        let all = all.flat_map(|column| std::iter::once(column).chain(&column.fields));
        all.map(|column| self.column_fact(column))
    }

    /// Which row filters apply, or why none does.
    pub fn filter_facts(&self) -> Vec<Fact> {
        let mut facts: Vec<Fact> = self.filters.iter().map(|filter| self.filter_fact(filter)).collect();
        if let Some(grant) = &self.unfiltered {
            facts.push(Fact {
                object: self.table.to_string(),
                verdict: Verdict::Shown,
                by: None,
                rules: vec![grant.clone()],
                why: "permissive row filters do not apply: a role that grants the table has none".to_owned(),
            });
        }
        facts
    }

    /// The fate of one judged row; `row` names it.
    pub fn row_facts(&self, row: &str, verdict: &RowVerdict) -> Vec<Fact> {
        let fact = |verdict, by, rules, why| Fact {
            object: row.to_owned(),
            verdict,
            by,
            rules,
            why,
        };
        if let TableAccess::Hidden(_) = &self.access {
            let table = self.table_fact();
            let why = format!("the table is hidden: {}", table.why);
            return vec![fact(Verdict::Hidden, None, table.rules, why)];
        }
        if verdict.shown {
            let why = match self.filters.is_empty() {
                true => "no row filter applies",
                false => "the row filters let it through",
            };
            return vec![fact(Verdict::Shown, None, Vec::new(), why.to_owned())];
        }
        let said = self.filters.iter().zip(&verdict.says);
        let guilty = said.filter(|(_, says)| **says != Some(true));
        guilty
            .map(|(filter, says)| {
                let word = match says {
                    Some(_) => "false",
                    None => "NULL",
                };
                let why = format!("{} is {word} on it ({}): {}", filter.name, filter.kind(), filter.sql);
                let rules = vec![filter.entry.clone(), filter.attached.clone()];
                fact(Verdict::Hidden, Some(filter.name.clone()), rules, why)
            })
            .collect()
    }

    fn column_fact(&self, column: &ColumnWhy) -> Fact {
        let (verdict, by) = match &column.verdict {
            ColumnVerdict::Shown => (Verdict::Shown, None),
            ColumnVerdict::Masked(mask) => (Verdict::Masked, Some(mask.clone())),
            ColumnVerdict::Partly => (Verdict::Partly, None),
            ColumnVerdict::Hidden => (Verdict::Hidden, None),
        };
        Fact {
            object: format!("{}.{}", self.table, column.name),
            verdict,
            by,
            rules: column.rules.clone(),
            why: column.why.clone(),
        }
    }

    fn filter_fact(&self, filter: &FilterWhy) -> Fact {
        Fact {
            object: self.table.to_string(),
            verdict: Verdict::Filtered,
            by: Some(filter.name.clone()),
            rules: vec![filter.entry.clone(), filter.attached.clone()],
            why: format!("only rows where {} ({})", filter.sql, filter.kind()),
        }
    }

    fn closed_in_words(&self, closed: &Closed) -> String {
        match &closed.decision.reason {
            Reason::Allowed => "granted".to_owned(),
            Reason::Denied => format!(
                "{} of {} is denied, and a denial always wins",
                closed.action, closed.object
            ),
            Reason::NothingMatched => {
                let path: Vec<&str> = closed.object.split('/').collect();
                let who = Principal::new(&self.principal);
                nothing_grants(&who, &self.department, closed.action, &path, closed.nearest.as_ref())
            }
            Reason::NoColumn => "the table is granted, but none of its columns is".to_owned(),
            Reason::Broken(why) => why.clone(),
        }
    }
}

impl FilterWhy {
    fn kind(&self) -> &'static str {
        match self.restrictive {
            true => "restrictive: it must be true",
            false => "permissive: one of these must be true",
        }
    }
}

/// Nothing matched: what was asked, and what would have helped.
pub(super) fn nothing_grants(
    who: &Principal,
    department: &str,
    action: Action,
    path: &[&str],
    nearest: Option<&Nearest>,
) -> String {
    let object = path.join("/");
    let help = match nearest {
        Some(nearest) => nearest.to_string(),
        None => {
            let below = if path.len() > 2 { "/**" } else { "" };
            let object = path.get(..path.len().min(3)).unwrap_or_default().join("/");
            format!("a line `p, role:NAME, {department}, {object}{below}, {action}, allow` would")
        }
    };
    format!("nothing grants {} {action} of {object}; {help}", who.name)
}
