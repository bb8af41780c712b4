//! `EXPLAIN POLICY CHANGES POLICY '…' FILTERS '…'`: who gains and loses what by an edit, before it acts.
//!
//! The texts take the place of `policy.csv` and `filters.toml`; what is left out stays as it is in force. Nothing of it acts.

use std::sync::Arc;

use chrono::Utc;
use datafusion::execution::SessionState;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use labhouse_catalog::TableName;

use super::{COUNTS_AT_ONCE, PEOPLE_MAX, Told, answer, whole};
use crate::auth::marks;
use crate::engine::Engine;
use crate::policy_tools::diff::{Changes, Compared, Sides};
use crate::policy_tools::{When, counting_plan, counts};
use crate::query::statement::word;
use crate::query::{QueryError, Running, errors};
use crate::session::{Governed, World, table_object};
use crate::system::SYSTEM;

/// An edit of the policies.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    policy: Option<String>,
    filters: Option<String>,
}

impl Draft {
    /// What follows `EXPLAIN POLICY`; none when that is not `CHANGES`.
    pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<Self>, QueryError> {
        if !word(parser, "changes") {
            return Ok(None);
        }
        let mut draft = Self::default();
        loop {
            let text = if word(parser, "policy") {
                &mut draft.policy
            } else if word(parser, "filters") {
                &mut draft.filters
            } else {
                break;
            };
            match parser.next_token().token {
                Token::SingleQuotedString(given) if text.is_none() => *text = Some(given),
                _ => return Err(unclear()),
            }
        }
        match draft == Self::default() {
            true => Err(unclear()),
            false => Ok(Some(draft)),
        }
    }
}

fn unclear() -> QueryError {
    QueryError::Syntax(
        "EXPLAIN POLICY CHANGES takes POLICY 'the text of policy.csv', FILTERS 'the text of filters.toml', or both"
            .into(),
    )
}

impl Engine {
    /// What changes for whom: a row a person and table or function.
    pub(super) async fn explain_changes(
        &self,
        governed: &Arc<Governed>,
        state: &Arc<SessionState>,
        draft: Draft,
    ) -> Result<Running, QueryError> {
        let World {
            policies,
            catalog,
            models,
            met,
        } = governed.world().clone();
        if !(policies.is_admin(governed.who()) && marks::reaches(governed.who(), SYSTEM)) {
            return Err(QueryError::Denied(
                "EXPLAIN POLICY CHANGES tells of everybody and of all tables: it is for administrators of the lake"
                    .into(),
            ));
        }
        let refused =
            |problem: &dyn std::fmt::Display| QueryError::Invalid(format!("the edit would not act:\n{problem}"));
        let edited = policies.edited(draft.policy.as_deref(), draft.filters.as_deref());
        let edited = edited.map_err(|problems| refused(&problems))?;
        let objects: Vec<_> = catalog.all().map(|table| table_object(table)).collect();
        let problems = edited.verify(governed.system(), &objects);
        if problems.is_fatal() {
            return Err(refused(&problems));
        }
        let edited = Arc::new(edited);
        let mut names = self.auth.names();
        names.extend(policies.people().iter().map(ToString::to_string));
        names.extend(edited.people().iter().map(ToString::to_string));
        names.sort();
        names.dedup();
        if names.len() > PEOPLE_MAX {
            return Err(QueryError::Exhausted(format!(
                "{} people are known, and one answer tells of {PEOPLE_MAX} at most; labhouse policy diff has no such limit",
                names.len()
            )));
        }
        let world = |policies| World {
            policies,
            catalog: Arc::clone(&catalog),
            models: Arc::clone(&models),
            met: Arc::clone(&met),
        };
        let sides = |name: String| {
            let who = self
                .auth
                .named(&name)
                .unwrap_or_else(|| labhouse_policies::Principal::new(name));
            Sides {
                old: self.govern(&who, world(Arc::clone(&policies))),
                new: self.govern(&who, world(Arc::clone(&edited))),
                who,
            }
        };
        let sides: Vec<Sides> = names.into_iter().map(sides).collect();
        let mut all: Vec<Changes> = sides.iter().map(Changes::of).collect();
        let now = Utc::now();
        for (schema, table) in governed.world().tables() {
            let name = TableName { schema, table };
            let access = governed
                .access(&name.schema, &name.table)
                .map_err(errors::from_datafusion)?;
            // A token may reach less than its holder: it is told of no more than it reaches.
            if !access.is_some_and(|access| access.is_unrestricted()) {
                continue;
            }
            let compared = Compared::of(&name, &sides, now).map_err(errors::from_datafusion)?;
            let counted = self.counted(governed, state, &name, &compared.wanted).await?;
            compared.tell(&name, &sides, &counted, &mut all);
        }
        let told = all.iter().flat_map(|changes| {
            changes.facts().into_iter().map(|(object, verdict, why)| Told {
                subject: changes.principal.clone(),
                verdict,
                object,
                by: None,
                rule: None,
                why,
            })
        });
        answer(told.collect())
    }

    /// How many rows there are, then how many are as each of `wanted` says; nothing when nothing is wanted.
    async fn counted(
        &self,
        governed: &Governed,
        state: &Arc<SessionState>,
        name: &TableName,
        wanted: &[When],
    ) -> Result<Vec<u64>, QueryError> {
        let mut all = Vec::new();
        for part in wanted.chunks(COUNTS_AT_ONCE) {
            let plan = counting_plan(whole(governed, name)?, part).map_err(errors::from_datafusion)?;
            let found = counts(&self.read_plan(governed, state, plan).await?)?;
            all.extend(found.into_iter().skip(usize::from(!all.is_empty())));
        }
        Ok(all)
    }
}
