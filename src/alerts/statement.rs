//! `CREATE`, `ALTER` and `DROP` of alerts and reports.
//!
//! Who watches a table must see it and hold the grant `alert` on it, be it read by name or through a function, and on the place
//! where the alert or report itself lies, whatever it reads; what is made runs as its author for ever after, under the policies
//! of each moment. Only he and a lake admin change it, and to others it is not there.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use chrono::Utc;
use datafusion::execution::SessionState;
use datafusion::sql::sqlparser::ast::{Expr, Query, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use labhouse_catalog::{LakeError, TableName};

use super::definition::{Definition, Rule, Schedule, Watch, What};
use super::grants::{self, is_admin, may_watch, watched};
use super::rule::{self, Question};
use super::state::seconds;
use super::store::Stored;
use super::{AlertEvent, Record};
use crate::engine::Engine;
use crate::query::QueryError;
use crate::query::printed::printed;
use crate::query::statement::AlertStatement;
use crate::query::statement::alert::{AlertChange, AlertName, Clauses, Condition, NewAlert, NewReport, compared};
use crate::query::write::lake_error;
use crate::session::Governed;
use crate::system::SYSTEM;

impl Engine {
    /// Does what a statement asks of an alert or a report.
    pub(crate) async fn alert(
        &self,
        governed: &Arc<Governed>,
        state: Arc<SessionState>,
        statement: AlertStatement,
    ) -> Result<i64, QueryError> {
        match statement {
            AlertStatement::Create(new) => {
                governed.may_own()?;
                self.create_alert(governed, state, *new).await
            }
            AlertStatement::CreateReport(new) => {
                governed.may_own()?;
                self.create_report(governed, state, *new).await
            }
            AlertStatement::Alter { name, change } => self.alter_alert(governed, &name, change).await,
            AlertStatement::Drop { name, if_exists } => self.drop_alert(governed, &name, if_exists).await,
        }
    }

    async fn create_alert(
        &self,
        governed: &Arc<Governed>,
        state: Arc<SessionState>,
        new: NewAlert,
    ) -> Result<i64, QueryError> {
        let name = full_name(&new.name, &new.table.schema)?;
        may_watch(governed, &new.relations)?;
        let rule = rule_of(&state, new.condition);
        let when = new.clauses.when.clone().unwrap_or(Schedule::OnChange);
        if new.table.schema == SYSTEM && when == Schedule::OnChange {
            return Err(QueryError::Invalid(
                "the server's own tables have no commits to follow: add EVERY 1 MINUTE or CRON '…'".into(),
            ));
        }
        let watch = Watch {
            table: new.table.to_string(),
            rule,
            filter: new.clauses.filter.as_ref().map(ToString::to_string),
            within: new.clauses.within.clone(),
            labels: new.clauses.labels.clone(),
            for_s: new.clauses.for_s.unwrap_or(0),
        };
        if matches!(watch.rule, Rule::NoNewRows { .. }) && !(watch.labels.is_empty() && watch.for_s == 0) {
            return Err(QueryError::Invalid(
                "a rule about missing rows is of the whole table: leave BY and the second FOR away".into(),
            ));
        }
        // Asked once as its author, so that what cannot be asked is refused now and not by night.
        let (Question::Labels(sql) | Question::History(sql) | Question::Count(sql)) = rule::question(&watch);
        let read = self.source(governed, state, parsed(&sql)?, Vec::new()).await?.versions;
        let sources = watched(governed, new.relations, &read)?;
        if new.if_not_exists && !new.or_replace && self.has_own(governed, &name) {
            return Ok(0);
        }
        let what = What::Alert(Box::new(watch));
        let definition = self.definition(governed, &name, what, when, new.clauses, &sources)?;
        self.make_alert(governed, &name, definition, new.or_replace, new.if_not_exists)
            .await
    }

    async fn create_report(
        &self,
        governed: &Arc<Governed>,
        state: Arc<SessionState>,
        new: NewReport,
    ) -> Result<i64, QueryError> {
        let schema = new.relations.first().map(|table| table.schema.clone());
        let schema = new.name.schema.clone().or(schema).ok_or_else(|| {
            QueryError::Invalid(format!(
                "name the report with its schema, for example chemistry.{}",
                new.name.name
            ))
        })?;
        let name = full_name(&new.name, &schema)?;
        may_watch(governed, &new.relations)?;
        grants::may_lie(governed, &name)?;
        let sql = printed(new.query.as_ref());
        let read = self.source(governed, state, new.query, Vec::new()).await?.versions;
        let sources = watched(governed, new.relations, &read)?;
        if new.if_not_exists && !new.or_replace && self.has_own(governed, &name) {
            return Ok(0);
        }
        let when = new.clauses.when.clone().unwrap_or(Schedule::OnChange);
        let definition = self.definition(governed, &name, What::Report { sql }, when, new.clauses, &sources)?;
        self.make_alert(governed, &name, definition, new.or_replace, new.if_not_exists)
            .await
    }

    /// Whether there is something of that name already that the principal may change: whom it tells is asked of nobody anew.
    fn has_own(&self, governed: &Governed, name: &TableName) -> bool {
        let there = self.alerts.get(name);
        there.is_some_and(|stored| may_change(governed, &stored.record))
    }

    fn definition(
        &self,
        governed: &Governed,
        name: &TableName,
        what: What,
        when: Schedule,
        clauses: Clauses,
        sources: &BTreeSet<TableName>,
    ) -> Result<Definition, QueryError> {
        let notify = grants::targets(self, governed, name, sources, clauses.notify)?;
        Ok(Definition {
            owner: governed.who().name.clone(),
            created_at: Utc::now(),
            what,
            when,
            notify: notify.into_iter().collect(),
            message: clauses.message,
            sources: sources.iter().map(ToString::to_string).collect(),
            enabled: true,
            silent_until: None,
        })
    }

    async fn make_alert(
        &self,
        governed: &Governed,
        name: &TableName,
        definition: Definition,
        or_replace: bool,
        if_not_exists: bool,
    ) -> Result<i64, QueryError> {
        let kind = definition.kind();
        let may_replace = |record: &Record| may_change(governed, record);
        let decide = |existing: Option<&Record>| match existing.filter(|record| !record.dropped) {
            None => Ok(true),
            Some(record) if or_replace && may_replace(record) => Ok(true),
            Some(record) if if_not_exists && may_replace(record) => Ok(false),
            Some(record) if may_replace(record) => Err(QueryError::Exists(format!(
                "the {} {name} is there already; write CREATE OR REPLACE {}",
                record.definition.kind(),
                kind.to_uppercase()
            ))),
            Some(_) => Err(QueryError::Conflict(format!(
                "the name {name} is taken; choose another"
            ))),
        };
        let existing = self.alerts.get(name);
        if !decide(existing.as_ref().map(|stored| &stored.record))? {
            return Ok(0);
        }
        let most = self.config.alerts.definitions_max;
        if existing.is_none() && self.alerts.all().len() >= most {
            return Err(QueryError::Exhausted(format!(
                "there are {most} alerts and reports already (alerts.definitions_max); drop some"
            )));
        }
        let targets: Vec<String> = definition
            .targets(&self.channels)
            .iter()
            .map(|t| format!("{} by {}", t.recipient, t.channel))
            .collect();
        governed
            .notes()
            .detail(&serde_json::json!({"notify": targets, "when": definition.when.to_string()}));
        governed.decided().await?;
        let record = Record::new(definition);
        let (_, made) = self
            .alerts
            .update(name, |current| {
                if !decide(current)? {
                    return Ok(None);
                }
                let mut next = record.clone();
                let known = current.filter(|current| !current.dropped);
                if let Some(current) = known {
                    // A rule that stays what it was keeps what is known of it, and who was told: nobody is told anew.
                    let same = next.definition.watches_like(&current.definition);
                    // Whose it is, and whether it is silent or off, is not of the rule: that stays.
                    if self.auth.named(&current.definition.owner).is_some() {
                        next.definition.owner.clone_from(&current.definition.owner);
                    }
                    next.definition.enabled = current.definition.enabled;
                    next.definition.silent_until = current.definition.silent_until;
                    // What was on its way arrives.
                    let people = next.definition.recipients(&self.channels);
                    let concerns = |event: &&AlertEvent| {
                        let of = event.recipient.as_ref();
                        of.is_none_or(|of| people.contains(of) || *of == next.definition.owner)
                    };
                    next.events = current.events.iter().filter(concerns).cloned().collect();
                    next.deliveries = current.deliveries.clone();
                    if same && next.definition.owner == current.definition.owner {
                        next.state = current.state.of_people(&people, &next.definition.owner);
                    }
                }
                next.push(AlertEvent::new(Utc::now(), "created"));
                Ok::<_, Refusal>(Some(next))
            })
            .await?;
        tracing::info!(alert = %name, kind, owner = governed.who().name, made, "made");
        Ok(0)
    }

    async fn alter_alert(&self, governed: &Governed, name: &AlertName, change: AlertChange) -> Result<i64, QueryError> {
        let (name, found) = self.own_alert(governed, name)?;
        governed.decided().await?;
        let id = found.record.id.clone();
        let altered = self.alerts.update(&name, |current| {
            let Some(mut next) = current.filter(|current| current.id == id && !current.dropped).cloned() else {
                return Ok::<_, Refusal>(None);
            };
            let now = Utc::now();
            let definition = &mut next.definition;
            match change {
                AlertChange::SilenceUntil(until) => definition.silent_until = Some(until),
                AlertChange::SilenceForS(period) => definition.silent_until = now.checked_add_signed(seconds(period)),
                AlertChange::SilenceOff => definition.silent_until = None,
                AlertChange::Enable => definition.enabled = true,
                AlertChange::Disable => definition.enabled = false,
            }
            if change == AlertChange::Enable {
                // Reports of the time between are not made up for.
                next.state.slot = next.state.slot.map(|slot| slot.max(now));
            }
            let mut event = AlertEvent::new(now, "altered");
            event.detail = Some(match change {
                AlertChange::SilenceUntil(_) | AlertChange::SilenceForS(_) => match next.definition.silent_until {
                    Some(until) => format!("silent until {}", until.to_rfc3339()),
                    None => "silent".to_owned(),
                },
                AlertChange::SilenceOff => "silent no more".to_owned(),
                AlertChange::Enable => "enabled".to_owned(),
                AlertChange::Disable => "disabled".to_owned(),
            });
            next.push(event);
            Ok(Some(next))
        });
        altered.await?;
        Ok(0)
    }

    async fn drop_alert(&self, governed: &Governed, name: &AlertName, if_exists: bool) -> Result<i64, QueryError> {
        let (name, found) = match self.own_alert(governed, name) {
            Err(QueryError::NotFound(_)) if if_exists => return Ok(0),
            found => found?,
        };
        governed.decided().await?;
        let id = found.record.id.clone();
        let dropped = self.alerts.update(&name, |current| {
            let Some(current) = current.filter(|current| current.id == id && !current.dropped) else {
                return Ok::<_, Refusal>(None);
            };
            let mut next = Record::new(current.definition.clone());
            next.dropped = true;
            Ok(Some(next))
        });
        dropped.await?;
        Ok(0)
    }

    /// The alert of that name that the principal may change; what is another's is not there.
    fn own_alert(&self, governed: &Governed, name: &AlertName) -> Result<(TableName, Arc<Stored>), QueryError> {
        let admin = is_admin(governed);
        let fits = |found: &TableName, stored: &Stored| {
            let definition = &stored.record.definition;
            found.table == name.name
                && name.schema.as_ref().is_none_or(|schema| *schema == found.schema)
                && definition.kind() == name.kind
                && (admin || definition.owner == governed.who().name)
        };
        let mut found: Vec<_> = self
            .alerts
            .all()
            .into_iter()
            .filter(|(found, stored)| fits(found, stored))
            .collect();
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(_), false) => Err(QueryError::Invalid(format!(
                "there is more than one {} {name}: name its schema, too",
                name.kind
            ))),
            (None, _) => Err(QueryError::NotFound(format!("{} '{name}' not found", name.kind))),
        }
    }
}

fn may_change(governed: &Governed, record: &Record) -> bool {
    record.definition.owner == governed.who().name || is_admin(governed)
}

/// An alert lies in the schema of its table.
fn full_name(name: &AlertName, schema: &str) -> Result<TableName, QueryError> {
    match &name.schema {
        Some(given) if given != schema => Err(QueryError::Invalid(format!(
            "an alert lies in the schema of its table: {schema}.{}",
            name.name
        ))),
        Some(_) | None => Ok(TableName {
            schema: schema.to_owned(),
            table: name.name.clone(),
        }),
    }
}

/// The rule that a condition is; one over aggregates is another than one over rows.
fn rule_of(state: &SessionState, condition: Condition) -> Rule {
    match condition {
        Condition::Holds(expr) if has_aggregate(state, &expr) => Rule::Aggregate {
            value: compared(&expr).map(printed),
            condition: printed(&expr),
        },
        Condition::Holds(expr) => Rule::Rows {
            condition: printed(&expr),
        },
        Condition::Moves {
            value,
            direction,
            by,
            percent,
            series,
        } => Rule::Moves {
            value: printed(&value),
            direction,
            by,
            percent,
            series,
        },
        Condition::Deviates { value, beyond, series } => Rule::Deviates {
            value: printed(&value),
            beyond,
            series,
        },
        Condition::NoNewRows { for_s } => Rule::NoNewRows { for_s },
    }
}

/// Whether an expression aggregates the rows of the table itself; what subqueries do is their own.
fn has_aggregate(state: &SessionState, expr: &Expr) -> bool {
    struct Seeker<'a> {
        functions: &'a BTreeSet<&'a str>,
        queries: usize,
    }
    impl Visitor for Seeker<'_> {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.queries += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.queries -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function)
                    if self.queries == 0
                        && function.over.is_none()
                        && self
                            .functions
                            .contains(function.name.to_string().to_lowercase().as_str()) =>
                {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    let functions = state.aggregate_functions().keys().map(String::as_str).collect();
    let mut seeker = Seeker {
        functions: &functions,
        queries: 0,
    };
    expr.visit(&mut seeker).is_break()
}

fn parsed(sql: &str) -> Result<Box<Query>, QueryError> {
    let mut parser = Parser::new(&GenericDialect {})
        .try_with_sql(sql)
        .map_err(QueryError::internal)?;
    parser
        .parse_query()
        .map_err(|error| QueryError::Invalid(format!("the rule cannot be asked as SQL: {error}")))
}

/// What ends a change of a record: the lake, or what the record says.
struct Refusal(QueryError);

impl From<LakeError> for Refusal {
    fn from(error: LakeError) -> Self {
        Self(lake_error(error))
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        Self(error)
    }
}

impl From<Refusal> for QueryError {
    fn from(refusal: Refusal) -> Self {
        refusal.0
    }
}
