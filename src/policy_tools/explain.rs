//! `labhouse policy explain`: what somebody sees, and which line decided.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use chrono::Utc;
use datafusion::common::DFSchema;
use labhouse_catalog::TableName;
use labhouse_policies::{Action, ColumnVerdict, Explanation, Fact, PolicySet, Principal, TableAccess, Verdict};
use serde_json::{Value, json};

use super::counting::{Reader, When, conditions_of};
use super::picking::{PICKED_MAX, Picked, judge, picking_plan};
use super::telling::{fact_json, rules_json, write_fact, write_rules};
use super::{Lab, Trouble, condition_of};
use crate::session::Governed;

/// What is asked.
pub(crate) struct Question {
    pub(crate) principal: String,
    /// One table; without it all of them, in short.
    pub(crate) table: Option<String>,
    pub(crate) column: Option<String>,
    /// A condition that picks rows of the table.
    pub(crate) row: Option<String>,
    /// One JSON object a table instead of lines for people.
    pub(crate) json: bool,
}

/// One table's answer.
struct Answer {
    explanation: Explanation,
    /// Rows shown and rows there are; none for system tables, which have no rows without a server.
    rows: Option<(u64, u64)>,
    picked: Option<Vec<Picked>>,
}

/// Answers on `out`.
pub(crate) async fn run(
    lab: &Lab,
    policies: &Arc<PolicySet>,
    question: Question,
    out: &mut dyn Write,
) -> Result<(), Trouble> {
    let who = lab.person(&question.principal, policies)?;
    let view = lab.view(&who, policies);
    let everything = lab.administrator();
    let reader = Reader {
        state: lab.session(&everything)?,
        view: everything,
    };
    let Some(table) = &question.table else {
        return overview(lab, &view, &reader, &who, question.json, out).await;
    };
    let name = lab.table(&view, table)?;
    let mut answer = answer(&view, &reader, &name).await?;
    if let Some(condition) = &question.row {
        answer.picked = Some(pick(&view, &reader, &name, &answer.explanation, condition).await?);
    }
    let column = question.column.as_deref();
    check_column(&view, &name, column)?;
    if question.json {
        writeln!(out, "{}", answer.json(column))?;
        return Ok(());
    }
    answer.write_whole(out, column, question.row.as_deref())
}

async fn overview(
    lab: &Lab,
    view: &Governed,
    reader: &Reader,
    who: &Principal,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Trouble> {
    for name in lab.tables(view) {
        let answer = answer(view, reader, &name).await?;
        if json {
            writeln!(out, "{}", answer.json(None))?;
        } else {
            answer.write_short(out)?;
        }
    }
    for (object, decision) in view.executables() {
        if json {
            let executes = json!({
                "principal": who.name, "object": object, "execute": decision.allowed,
                "rules": rules_json(&decision.determined_by),
            });
            writeln!(out, "{executes}")?;
        } else if decision.allowed {
            writeln!(out, "{} may execute {object}", who.name)?;
            write_rules(out, &decision.determined_by)?;
        }
    }
    Ok(())
}

async fn answer(view: &Governed, reader: &Reader, name: &TableName) -> Result<Answer, Trouble> {
    let object = view
        .object(&name.schema, &name.table)
        .ok_or_else(|| format!("there is no table lab.{name}"))?;
    let explanation = view
        .world()
        .policies
        .explain(view.who(), &object, view.system(), Action::Select);
    let rows = if Lab::has_rows(name) {
        let condition = conditions_of(&explanation.access, Utc::now())?;
        match reader.count(name, &[When::is(condition)]).await?.as_slice() {
            [all, shown] => Some((*shown, *all)),
            _ => None,
        }
    } else {
        None
    };
    Ok(Answer {
        explanation,
        rows,
        picked: None,
    })
}

async fn pick(
    view: &Governed,
    reader: &Reader,
    name: &TableName,
    explanation: &Explanation,
    condition: &str,
) -> Result<Vec<Picked>, Trouble> {
    if !Lab::has_rows(name) {
        return Err(format!("lab.{name} has no rows without a running server: ask it with EXPLAIN POLICY").into());
    }
    let table = reader.provider(name)?;
    let schema = DFSchema::try_from(table.schema().as_ref().clone())?;
    let condition = condition_of(&reader.state, condition, &schema)
        .map_err(|error| format!("--row {condition:?}: {}", error.strip_backtrace()))?;
    let by: BTreeSet<String> = condition
        .column_refs()
        .iter()
        .map(|column| column.name.clone())
        .collect();
    let rows = reader.run(&picking_plan(table, condition)?).await?;
    Ok(judge(explanation, &rows, &by, view.system())?)
}

fn check_column(view: &Governed, name: &TableName, column: Option<&str>) -> Result<(), Trouble> {
    let (Some(column), Some(object)) = (column, view.object(&name.schema, &name.table)) else {
        return Ok(());
    };
    if object.schema.field_with_name(column).is_ok() {
        return Ok(());
    }
    let names: Vec<&str> = object
        .schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    Err(format!("lab.{name} has no column {column}; it has {}", names.join(", ")).into())
}

impl Answer {
    fn columns(&self, only: Option<&str>) -> Vec<Fact> {
        let wanted = only.map(|column| format!("{}.{column}", self.explanation.table));
        // A column with the fields inside it.
        let asked = |object: &str| {
            wanted.as_ref().is_none_or(|wanted| {
                let rest = object.strip_prefix(wanted.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let all = self.explanation.column_facts();
        all.filter(|fact| asked(&fact.object)).collect()
    }

    fn write_short(&self, out: &mut dyn Write) -> Result<(), Trouble> {
        let fact = self.explanation.table_fact();
        let principal = &self.explanation.principal;
        if fact.verdict == Verdict::Hidden {
            writeln!(out, "{principal} does not see {}: {}", fact.object, fact.why)?;
            write_rules(out, &fact.rules)?;
            return Ok(());
        }
        writeln!(out, "{principal} sees {}: {}", fact.object, self.extent())?;
        write_rules(out, &fact.rules)?;
        let columns = self.explanation.column_facts();
        for fact in columns.filter(|fact| fact.verdict != Verdict::Shown) {
            write_fact(out, &fact)?;
        }
        for fact in self.explanation.filter_facts() {
            write_fact(out, &fact)?;
        }
        Ok(())
    }

    fn write_whole(&self, out: &mut dyn Write, column: Option<&str>, row: Option<&str>) -> Result<(), Trouble> {
        let fact = self.explanation.table_fact();
        let Explanation {
            principal,
            department,
            roles,
            ..
        } = &self.explanation;
        let roles = if roles.is_empty() {
            "none".to_owned()
        } else {
            roles.join(", ")
        };
        let seen = match fact.verdict {
            Verdict::Hidden => format!("does not see {}: {}", fact.object, fact.why),
            Verdict::Shown | Verdict::Masked | Verdict::Partly | Verdict::Filtered => {
                format!("sees {}: {}", fact.object, self.extent())
            }
        };
        writeln!(out, "{principal} (roles in {department}: {roles}) {seen}")?;
        write_rules(out, &fact.rules)?;
        for fact in self.columns(column) {
            write_fact(out, &fact)?;
        }
        if column.is_none() || row.is_some() {
            for fact in self.explanation.filter_facts() {
                write_fact(out, &fact)?;
            }
        }
        let Some(picked) = &self.picked else {
            return Ok(());
        };
        let row = row.unwrap_or_default();
        match picked.len() {
            0 => writeln!(out, "no row of {} fulfils {row}", fact.object)?,
            PICKED_MAX.. => writeln!(out, "the first {PICKED_MAX} rows where {row}:")?,
            1 => writeln!(out, "the one row where {row}:")?,
            some => writeln!(out, "the {some} rows where {row}:")?,
        }
        for fact in picked.iter().flat_map(|picked| &picked.facts) {
            write_fact(out, fact)?;
        }
        Ok(())
    }

    /// `28 of 30 columns, 1 masked, 12288 of 36864 rows`
    fn extent(&self) -> String {
        let columns = &self.explanation.columns;
        let masked = columns
            .iter()
            .filter(|column| matches!(column.verdict, ColumnVerdict::Masked(_)))
            .count();
        let shown = match &self.explanation.access {
            TableAccess::Open(access) => access.columns.len(),
            TableAccess::Hidden(_) => 0,
        };
        let partly = columns
            .iter()
            .filter(|column| column.verdict == ColumnVerdict::Partly)
            .count();
        let mut extent = format!("{shown} of {} columns", columns.len());
        if partly > 0 {
            extent.push_str(&format!(", {partly} in part"));
        }
        if masked > 0 {
            extent.push_str(&format!(", {masked} masked"));
        }
        if let Some((shown, all)) = self.rows {
            extent.push_str(&format!(", {shown} of {all} rows"));
        }
        extent
    }

    fn json(&self, column: Option<&str>) -> Value {
        let fact = self.explanation.table_fact();
        let columns: Vec<Value> = self.columns(column).iter().map(fact_json).collect();
        let filters: Vec<Value> = self.explanation.filter_facts().iter().map(fact_json).collect();
        let picked = self.picked.as_ref().map(|picked| {
            let row = |picked: &Picked| {
                let facts: Vec<Value> = picked.facts.iter().map(fact_json).collect();
                json!({"row": picked.row, "shown": picked.shown, "facts": facts})
            };
            picked.iter().map(row).collect::<Vec<Value>>()
        });
        json!({
            "principal": self.explanation.principal,
            "department": self.explanation.department,
            "roles": self.explanation.roles,
            "table": fact.object,
            "verdict": fact.verdict.as_str(),
            "why": fact.why,
            "rules": rules_json(&fact.rules),
            "rows": self.rows.map(|(shown, all)| json!({"shown": shown, "of": all})),
            "columns": columns,
            "filters": filters,
            "picked": picked,
        })
    }
}
