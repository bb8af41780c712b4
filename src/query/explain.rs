//! `EXPLAIN POLICY [FOR login | FOR ALL] ON table [WHERE condition]`: why somebody sees what he sees; and
//! `EXPLAIN POLICY CHANGES …`: what an edit of the policies would change, told to administrators of the lake.
//!
//! Without FOR anybody may ask about himself, and learns what he could have found out by himself: which columns there
//! are and which of them are masked. Rules, row filters, hidden columns and other people are told to those who hold the
//! admin action on the table and see all of it; to everybody else a table that they do not see is not there.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use chrono::Utc;
use datafusion::common::DFSchema;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::sql::sqlparser::ast::{Expr as Ast, ExprWithAlias};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use futures::TryStreamExt;
use labhouse_catalog::TableName;
use labhouse_policies::{
    Access, Action, Explanation, Fact, Principal, RuleRef, TableAccess, TableObject, Verdict, bind_distinct,
};

use super::statement::{CATALOG, lake_name, syntax, word};
use super::write::require;
use super::{QueryError, Running, errors, narrow};
use crate::engine::Engine;
use crate::policy_tools::{When, conditions_of, counting_plan, counts, judge, picking_plan};
use crate::session::{Governed, table_path};
use crate::system::SYSTEM;

mod changes;

/// `EXPLAIN POLICY …`
#[derive(Debug)]
pub(crate) enum ExplainPolicy {
    Table(About),
    Changes(changes::Draft),
}

/// What is asked about a table.
#[derive(Debug)]
pub(crate) struct About {
    whose: Whose,
    table: TableName,
    condition: Option<Box<Ast>>,
}

/// Whose view of the table.
#[derive(Debug, PartialEq, Eq)]
enum Whose {
    Own,
    Of(String),
    /// Of everybody that the users file or the policies know: who may see it.
    All,
}

/// People that one answer tells of.
const PEOPLE_MAX: usize = 1_000;
/// Counts made in one pass over the table.
const COUNTS_AT_ONCE: usize = 64;

/// What one row of the answer says.
struct Told {
    subject: String,
    verdict: &'static str,
    object: String,
    by: Option<String>,
    rule: Option<RuleRef>,
    why: String,
}

impl ExplainPolicy {
    /// Reads what follows `EXPLAIN`; none when that is no `POLICY FOR` or `POLICY ON`.
    pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<Self>, QueryError> {
        if !word(parser, "policy") {
            return Ok(None);
        }
        if let Some(draft) = changes::Draft::parse(parser)? {
            return Ok(Some(Self::Changes(draft)));
        }
        let whose = match parser.parse_keyword(Keyword::FOR) {
            true if parser.parse_keyword(Keyword::ALL) => Whose::All,
            true => Whose::Of(login(parser)?),
            false => Whose::Own,
        };
        if !parser.parse_keyword(Keyword::ON) {
            let who = match whose {
                // A table named policy can be described.
                Whose::Own => return Ok(None),
                Whose::Of(who) => who,
                Whose::All => "ALL".to_owned(),
            };
            return Err(QueryError::Syntax(format!(
                "EXPLAIN POLICY FOR {who} names no table: write EXPLAIN POLICY FOR {who} ON {CATALOG}.<schema>.<table>"
            )));
        }
        let table = lake_name(&parser.parse_object_name(false).map_err(syntax)?)?;
        let condition = match parser.parse_keyword(Keyword::WHERE) {
            true => Some(Box::new(parser.parse_expr().map_err(syntax)?)),
            false => None,
        };
        if condition.is_some() && whose == Whose::All {
            return Err(QueryError::Unsupported(
                "EXPLAIN POLICY FOR ALL tells who sees the table; with WHERE name one person: FOR login".into(),
            ));
        }
        Ok(Some(Self::Table(About {
            whose,
            table,
            condition,
        })))
    }
}

/// A login as a plain word, or quoted when it has a dot, a dash or an @ in it.
fn login(parser: &mut Parser<'_>) -> Result<String, QueryError> {
    match parser.next_token().token {
        Token::SingleQuotedString(text) => Ok(text),
        Token::Word(word) if word.quote_style.is_some() => Ok(word.value),
        Token::Word(word) => Ok(word.value.to_lowercase()),
        other => Err(QueryError::Syntax(format!(
            "EXPLAIN POLICY FOR takes a login, in quotes if it is no plain word; `{other}` stands there"
        ))),
    }
}

/// The columns of the answer.
pub(super) fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    narrow::result_schema(&Schema::new(vec![
        text("subject"),
        text("verdict"),
        text("object"),
        text("rule"),
        text("file"),
        Field::new("line", DataType::Int64, true),
        text("text"),
        text("why"),
    ]))
}

impl Engine {
    pub(super) async fn explain_policy(
        &self,
        governed: &Arc<Governed>,
        state: Arc<SessionState>,
        statement: ExplainPolicy,
    ) -> Result<Running, QueryError> {
        let About {
            whose,
            table,
            condition,
        } = match statement {
            ExplainPolicy::Table(about) => about,
            ExplainPolicy::Changes(draft) => return self.explain_changes(governed, &state, draft).await,
        };
        let missing = || QueryError::no_table(&table);
        let access = governed.access(&table.schema, &table.table);
        let access = access.map_err(errors::from_datafusion)?.ok_or_else(missing)?;
        let object = governed.object(&table.schema, &table.table).ok_or_else(missing)?;
        let own = match &whose {
            Whose::Own => true,
            Whose::Of(who) => *who == governed.who().name,
            Whose::All => false,
        };
        let allowed = require(
            governed,
            &object.department,
            &table_path(&table),
            &object.tags,
            Action::Admin,
        );
        let steward = match allowed {
            Ok(()) => access.is_unrestricted(),
            Err(_) if own && condition.is_none() => false,
            Err(refused) => return Err(refused),
        };
        if !steward {
            if own && condition.is_none() {
                return answer(told(&governed.who().name, told_to_anybody(&access)));
            }
            return Err(QueryError::Denied(format!(
                "EXPLAIN POLICY tells of every column and row of {CATALOG}.{table}, and your own view of it is not whole: ask somebody who sees all of it"
            )));
        }
        let who = match whose {
            Whose::Of(name) => self.explained_person(governed, name)?,
            Whose::Own => governed.who().clone(),
            Whose::All => return self.explain_all(governed, &state, &table, &object).await,
        };
        let policies = &governed.world().policies;
        let explanation = policies.explain(&who, &object, governed.system(), Action::Select);
        let mut facts = vec![explanation.table_fact()];
        if table.schema != SYSTEM {
            let rows = self.rows_shown(governed, &state, &table, &explanation).await?;
            facts.push(rows);
        }
        facts.extend(explanation.column_facts());
        facts.extend(explanation.filter_facts());
        if let Some(condition) = condition {
            let rows = self.rows_judged(governed, &state, &table, &explanation, *condition);
            facts.extend(rows.await?);
        }
        answer(told(&who.name, facts))
    }

    /// Who sees the table: of each person whether he does, how many of its rows, and what of its columns is kept from him.
    async fn explain_all(
        &self,
        governed: &Governed,
        state: &Arc<SessionState>,
        table: &TableName,
        object: &TableObject,
    ) -> Result<Running, QueryError> {
        let policies = &governed.world().policies;
        let mut names: BTreeSet<String> = self.auth.names().into_iter().collect();
        names.extend(policies.people());
        if names.len() > PEOPLE_MAX {
            return Err(QueryError::Exhausted(format!(
                "{} people are known, and one answer tells of {PEOPLE_MAX} at most; ask for one: EXPLAIN POLICY FOR login ON …",
                names.len()
            )));
        }
        let mut people = Vec::with_capacity(names.len());
        for name in names {
            let who = self.explained_person(governed, name)?;
            people.push(policies.explain(&who, object, governed.system(), Action::Select));
        }
        let mut all = Vec::new();
        for people in people.chunks(COUNTS_AT_ONCE) {
            let counted = match table.schema == SYSTEM {
                true => Vec::new(),
                false => self.rows_counted(governed, state, table, people).await?,
            };
            for (at, explanation) in people.iter().enumerate() {
                let on_table = explanation.table_fact();
                let is_open = matches!(explanation.access, TableAccess::Open(_));
                all.extend(told(&explanation.principal, vec![on_table]));
                if !is_open {
                    continue;
                }
                let rows = counted.first().zip(counted.get(at + 1));
                let rows = rows.map(|(all, shown)| rows_fact(table, *all, *shown));
                let kept = explanation.column_facts().filter(|fact| fact.verdict != Verdict::Shown);
                all.extend(told(&explanation.principal, rows.into_iter().chain(kept).collect()));
            }
        }
        answer(all)
    }

    fn explained_person(&self, governed: &Governed, name: String) -> Result<Principal, QueryError> {
        if let Some(who) = self.auth.named(&name) {
            return Ok(who);
        }
        match governed.world().policies.people().contains(&name) {
            true => Ok(Principal::new(name)),
            false => Err(QueryError::NotFound(format!(
                "nobody is called {name}: neither the users file nor policy.csv has that login"
            ))),
        }
    }

    async fn rows_shown(
        &self,
        governed: &Governed,
        state: &Arc<SessionState>,
        table: &TableName,
        explanation: &Explanation,
    ) -> Result<Fact, QueryError> {
        let counted = self.rows_counted(governed, state, table, std::slice::from_ref(explanation));
        let counted = counted.await?;
        let [all, shown] = counted.as_slice() else {
            return Err(QueryError::internal("two counts were asked for"));
        };
        Ok(rows_fact(table, *all, *shown))
    }

    /// How many rows there are, then how many each of `people` sees: in one pass.
    async fn rows_counted(
        &self,
        governed: &Governed,
        state: &Arc<SessionState>,
        table: &TableName,
        people: &[Explanation],
    ) -> Result<Vec<u64>, QueryError> {
        let now = Utc::now();
        let conditions = people.iter().map(|one| conditions_of(&one.access, now).map(When::is));
        let conditions: Vec<When> = conditions.collect::<Result<_, _>>().map_err(errors::from_datafusion)?;
        let provider = whole(governed, table)?;
        let plan = counting_plan(provider, &conditions).map_err(errors::from_datafusion)?;
        counts(&self.read_plan(governed, state, plan).await?)
    }

    async fn rows_judged(
        &self,
        governed: &Governed,
        state: &Arc<SessionState>,
        table: &TableName,
        explanation: &Explanation,
        mut condition: Ast,
    ) -> Result<Vec<Fact>, QueryError> {
        if table.schema == SYSTEM {
            return Err(QueryError::Unsupported(
                "the rows of system tables are not judged one by one; leave WHERE out".into(),
            ));
        }
        let provider = whole(governed, table)?;
        let columns = DFSchema::try_from(provider.schema().as_ref().clone()).map_err(errors::from_datafusion)?;
        bind_distinct(&mut condition);
        let condition = ExprWithAlias {
            expr: condition,
            alias: None,
        };
        let condition = state
            .create_logical_expr_from_sql_expr(condition, &columns)
            .map_err(errors::from_datafusion)?;
        let by: BTreeSet<String> = condition
            .column_refs()
            .iter()
            .map(|column| column.name.clone())
            .collect();
        let plan = picking_plan(provider, condition).map_err(errors::from_datafusion)?;
        let rows = self.read_plan(governed, state, plan).await?;
        let picked = judge(explanation, &rows, &by, governed.system()).map_err(errors::from_datafusion)?;
        Ok(picked.into_iter().flat_map(|picked| picked.facts).collect())
    }

    /// Plans with the planner's deadline and runs where statements run.
    async fn read_plan(
        &self,
        governed: &Governed,
        state: &Arc<SessionState>,
        plan: LogicalPlan,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let planning = Arc::clone(state);
        let physical = self
            .planning(governed, move || async move {
                planning
                    .create_physical_plan(&plan)
                    .await
                    .map_err(errors::from_datafusion)
            })
            .await?;
        let stream = self
            .runner
            .start(physical, state.task_ctx(), None)
            .map_err(errors::from_datafusion)?;
        stream.try_collect().await.map_err(errors::from_datafusion)
    }
}

/// The asker's own table, of which he sees everything.
fn whole(governed: &Governed, table: &TableName) -> Result<Arc<dyn datafusion::catalog::TableProvider>, QueryError> {
    let found = governed
        .table(&table.schema, &table.table)
        .map_err(errors::from_datafusion)?;
    found.ok_or_else(|| QueryError::internal(format!("{table} went away while it was explained")))
}

/// What a person can find out by himself: that the table and its columns are there, and which are masked.
fn told_to_anybody(access: &Access) -> Vec<Fact> {
    let fact = |object, verdict, why: &str| Fact {
        object,
        verdict,
        by: None,
        rules: Vec::new(),
        why: why.to_owned(),
    };
    let table = access.table.to_string();
    let columns = access.columns.iter().filter_map(|at| access.schema.fields().get(*at));
    let columns = columns.map(|field| {
        let object = format!("{table}.{}", field.name());
        // A column without some of its fields has a shape too, and those fields are nobody's business.
        let masked = access.masks.contains_key(field.name());
        match masked
            && access
                .types
                .get(field.name())
                .is_none_or(|shown| shown == field.data_type())
        {
            true => fact(
                object,
                Verdict::Masked,
                "the policies show you other values than are stored",
            ),
            false => fact(object, Verdict::Shown, "the policies show it to you"),
        }
    });
    let columns: Vec<Fact> = columns.collect();
    let about = "the policies show it to you; whether it has rows or columns that they do not show is not told";
    std::iter::once(fact(table, Verdict::Shown, about))
        .chain(columns)
        .collect()
}

fn rows_fact(table: &TableName, all: u64, shown: u64) -> Fact {
    Fact {
        object: format!("{CATALOG}.{table}"),
        verdict: match shown {
            0 => Verdict::Hidden,
            some if some == all => Verdict::Shown,
            _ => Verdict::Filtered,
        },
        by: None,
        rules: Vec::new(),
        why: format!("{shown} of {all} rows"),
    }
}

/// Facts about one person: a row for each line that decided, or one without a line.
fn told(subject: &str, facts: Vec<Fact>) -> Vec<Told> {
    facts
        .into_iter()
        .flat_map(|fact| {
            let rules: Vec<Option<RuleRef>> = match fact.rules.as_slice() {
                [] => vec![None],
                rules => rules.iter().cloned().map(Some).collect(),
            };
            rules.into_iter().map(move |rule| Told {
                subject: subject.to_owned(),
                verdict: fact.verdict.as_str(),
                object: fact.object.clone(),
                by: fact.by.clone(),
                rule,
                why: fact.why.clone(),
            })
        })
        .collect()
}

fn answer(told: Vec<Told>) -> Result<Running, QueryError> {
    let text =
        |of: &dyn Fn(&Told) -> Option<String>| -> ArrayRef { Arc::new(told.iter().map(of).collect::<StringArray>()) };
    let line = told
        .iter()
        .map(|told| i64::try_from(told.rule.as_ref()?.line).ok())
        .collect::<Int64Array>();
    let columns: Vec<ArrayRef> = vec![
        text(&|told| Some(told.subject.clone())),
        text(&|told| Some(told.verdict.to_owned())),
        text(&|told| Some(told.object.clone())),
        text(&|told| told.by.clone()),
        text(&|told| told.rule.as_ref().map(|rule| rule.file.to_owned())),
        Arc::new(line),
        text(&|told| told.rule.as_ref().map(|rule| rule.text.clone())),
        text(&|told| Some(told.why.clone())),
    ];
    let schema = schema();
    let batch =
        RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|error| errors::from_datafusion(error.into()))?;
    let stream = MemoryStream::try_new(vec![batch], Arc::clone(&schema), None).map_err(errors::from_datafusion)?;
    Ok(Running::within(schema, Box::pin(stream)))
}

#[cfg(test)]
mod tests;
