//! The query road: every door leads here, and only here.
//!
//! admit (size, place) → snapshots of policies, catalog and models → parse → plan over governed tables → run →
//! narrow to wire types → log. `describe` walks the same road and stops before running, which is why what it
//! announces is what the stream carries.

mod admit;
mod change;
mod changed;
pub(crate) mod column;
mod ended;
pub(crate) mod errors;
mod explain;
mod ignored;
pub(crate) mod ingest;
mod landing;
mod library;
pub(crate) mod lineage;
mod listing;
mod literal;
mod log;
mod meaning;
pub(crate) mod narrow;
mod open;
mod parts;
mod plan;
mod planning;
mod plans;
pub(crate) mod printed;
mod quarantine;
mod results;
mod run;
pub(crate) mod scans;
mod shown;
pub(crate) mod statement;
mod stream;
pub(crate) mod tags;
mod tokens;
mod transaction;
pub(crate) mod travel;
mod tree;
mod twice;
mod unfolded;
mod upkeep;
mod using;
pub(crate) mod view;
pub(crate) mod write;

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::execution::SessionState;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as EngineStatement;
use labhouse_policies::Principal;
use uuid::Uuid;

pub(crate) use admit::{Admission, Place};
pub(crate) use changed::NAME as CHANGES;
pub(crate) use errors::QueryError;
pub(crate) use listing::{VisibleTable, Words};
pub(crate) use log::QueryLog;
pub(crate) use open::{PARAMETERS_MAX, visit};
pub(crate) use parts::{Divisible, Part};
pub(crate) use planning::Announced;
pub(crate) use plans::Plans;
pub(crate) use results::{Results, rests_on_its_row, rests_on_rows};
pub(crate) use run::Runner;
pub(crate) use transaction::{Definitions, IDLE_MAX, Transaction, Transactions};

use crate::audit::{Account, Client, Facts, Wait};
use crate::engine::Engine;
use crate::session::{Governed, World};
use plan::{Outlook, bind, logical, physical, plan_as_far, unbound, written_parameters};
use plans::{Asked, Planned};
use results::{Collecting, Kept};
use statement::Statement;
use stream::{Guard, Left};

/// What a statement would give.
pub(crate) struct Description {
    /// The wire schema, equal to the stream's.
    pub(crate) schema: SchemaRef,
    /// Fields `$1`, `$2`, …; of type Null where the statement does not say.
    pub(crate) parameters: SchemaRef,
    pub(crate) writes: bool,
    pub(crate) announced: Announced,
    /// What it reads row by row, if it can be fetched in parts.
    pub(crate) divisible: Option<Divisible>,
}

/// A running statement: dropping the stream cancels it.
pub(crate) struct Running {
    /// Its row in `system.queries`; none for what the server runs within a statement.
    pub(crate) id: Option<Uuid>,
    pub(crate) schema: SchemaRef,
    pub(crate) stream: SendableRecordBatchStream,
    /// Whether it is the count of a statement that writes, and no rows that were asked for.
    is_count: bool,
}

impl Running {
    /// What the server runs within a statement.
    fn within(schema: SchemaRef, stream: SendableRecordBatchStream) -> Self {
        Self {
            id: None,
            schema,
            stream,
            is_count: false,
        }
    }
}

/// A statement that was started, before anything of it is delivered.
struct Started {
    running: Running,
    accounted: Wait,
    /// Takes the rows along, to answer with them again.
    collecting: Option<Collecting>,
}

impl Started {
    /// Of what is not kept.
    fn once(running: Running, accounted: Wait) -> Self {
        Self {
            running,
            accounted,
            collecting: None,
        }
    }
}

/// Who asks what, and where it is accounted for.
struct Question<'a> {
    governed: &'a Arc<Governed>,
    account: &'a Arc<Account>,
    client: &'a Client,
    sql: &'a str,
    announced: Option<Announced>,
}

impl Question<'_> {
    /// The columns of its result, if they are those that were announced.
    fn as_announced(&self, columns: &Schema) -> Result<SchemaRef, QueryError> {
        let schema = narrow::result_schema(columns);
        self.announced.map_or(Ok(()), |announced| announced.with(&schema))?;
        Ok(schema)
    }
}

impl Engine {
    /// Plans a statement for `who` and runs nothing.
    pub(crate) async fn describe(
        &self,
        who: &Principal,
        client: &Client,
        sql: &str,
        parameters: &[ScalarValue],
    ) -> Result<Description, QueryError> {
        let admitted = self.admit_announcement(who, client, sql).await;
        let (world, goes_on) = self.world_of(client);
        let governed = self.govern(who, world.clone());
        let account = self.audit.account(who, client, sql, &world);
        let described = match admitted.and_then(|place| goes_on.map(|()| place)) {
            Ok(place) => {
                governed.keep_place(&place);
                self.outline(&governed, &account, world, sql, parameters).await
            }
            Err(error) => Err(error),
        };
        match described {
            Ok(description) => Ok(description),
            Err(error) => Err(account.description_refused(governed.notes(), error).await),
        }
    }

    async fn outline(
        &self,
        governed: &Arc<Governed>,
        account: &Arc<Account>,
        world: World,
        sql: &str,
        parameters: &[ScalarValue],
    ) -> Result<Description, QueryError> {
        let who = governed.who();
        let now = world.clone();
        let gives = move |schema: SchemaRef, parameters, writes| Description {
            announced: Announced::new(&now, &schema),
            schema,
            parameters,
            writes,
            divisible: None,
        };
        let reads = |columns: &Schema, parameters| gives(narrow::result_schema(columns), parameters, false);
        if let Some((columns, parameters, divisible)) = self.plans.announced(who, sql, parameters, &world) {
            // The plan that is kept has an account already.
            account.forget();
            return Ok(Description {
                divisible,
                ..reads(&columns, parameters)
            });
        }
        if let Some(kept) = self.results.find(governed, sql, parameters) {
            account.described(Facts::clone(&kept.facts));
            return Ok(reads(&kept.schema, Arc::clone(&kept.parameters)));
        }
        let state = Arc::new(self.sessions.open(governed).map_err(errors::from_datafusion)?);
        let statement = self.parse(governed, &state, sql).await?;
        account.called(statement.verb(), statement.target());
        if statement.writes() {
            // Nothing but the type of a count is told.
            account.forget();
            let (state, fills) = self.fills(governed, state, statement);
            let parameters = self
                .planning(
                    governed,
                    move || async move { Ok(written_parameters(&state, fills).await) },
                )
                .await?;
            return Ok(gives(write::count_schema(), parameters, true));
        }
        let statement = match statement {
            Statement::Read(statement) => statement,
            Statement::ExplainPolicy(_) => return Ok(reads(&explain::schema(), Arc::new(Schema::empty()))),
            Statement::CreateModel(_)
            | Statement::DropModel { .. }
            | Statement::SetModelVersion { .. }
            | Statement::SetModelFunction { .. }
            | Statement::CreateTableAs { .. }
            | Statement::Insert { .. }
            | Statement::Change(_)
            | Statement::Upkeep(_)
            | Statement::View(_)
            | Statement::Library(_)
            | Statement::Alert(_)
            | Statement::Quarantine(_)
            | Statement::CancelQuery(_)
            | Statement::SetTags { .. } => return Err(QueryError::internal("a statement that writes came to be read")),
        };
        let (values, view) = (parameters.to_vec(), Arc::clone(governed));
        match self
            .planning(governed, move || async move {
                plan_as_far(view, state, *statement, values).await
            })
            .await?
        {
            Outlook::Open { columns, parameters } => {
                account.described(governed.notes().facts());
                Ok(reads(&columns, parameters))
            }
            Outlook::Planned(planned) => {
                let description = Description {
                    divisible: planned.divisible.clone(),
                    ..reads(&planned.physical.schema(), Arc::clone(&planned.parameters))
                };
                let asked = Asked {
                    who: who.clone(),
                    sql: sql.to_owned(),
                    values: parameters.to_vec(),
                    world,
                };
                let accounted = account.decided(Facts::clone(&planned.facts));
                self.plans.keep(asked, planned, (Arc::clone(account), accounted));
                Ok(description)
            }
        }
    }

    /// Accounts for a question that its door refused before there was a statement; gives what to answer. `told` stands for it.
    pub(crate) async fn refuse(&self, who: &Principal, client: &Client, told: &str, error: QueryError) -> QueryError {
        let admitted = self.admit_announcement(who, client, told).await;
        let (world, _) = self.world_of(client);
        let governed = self.govern(who, world.clone());
        let account = self.audit.account(who, client, told, &world);
        let error = admitted.err().unwrap_or(error);
        account.description_refused(governed.notes(), error).await
    }

    /// Runs a statement for `who`; one that writes gives its count as one row.
    pub(crate) async fn run(
        self: &Arc<Self>,
        who: &Principal,
        client: &Client,
        sql: &str,
        parameters: Vec<ScalarValue>,
        announced: Option<Announced>,
    ) -> Result<Running, QueryError> {
        let admitted = self.admit(who, client, sql).await;
        let (world, goes_on) = self.world_of(client);
        let admitted = admitted.and_then(|place| goes_on.map(|()| place));
        // A plan or a result that is kept is of all parts.
        let is_whole = client.part.is_none();
        let kept = match &admitted {
            Ok(_) if is_whole => self.plans.take(who, sql, &parameters, &world),
            Ok(_) | Err(_) => None,
        };
        let (kept, account) = match kept {
            Some((planned, (account, accounted))) => (Some((planned, accounted)), account),
            None => (None, self.audit.account(who, client, sql, &world)),
        };
        let (policy, catalog) = (world.policies.generation(), world.catalog.generation);
        let entry = self.log.start(account.id(), &who.name, client, sql, policy, catalog);
        let mut governed = self.govern(who, world);
        governed.account_to(&account);
        let mut fallen = ended::login_fallen(Arc::downgrade(self), who.clone(), client);
        let started = async {
            let place = admitted?;
            governed.keep_place(&place);
            announced.map_or(Ok(()), |announced| announced.under(governed.world()))?;
            if let Some(part) = &client.part {
                governed = self.only(&governed, part).await?;
            }
            let asked = Question {
                governed: &governed,
                account: &account,
                client,
                sql,
                announced,
            };
            if let Some((planned, accounted)) = kept {
                return Ok((place, self.execute(&asked, &parameters, &planned, accounted)?));
            }
            if let Some(kept) = self.results.find(&governed, sql, &parameters).filter(|_| is_whole) {
                return Ok((place, self.again(&asked, &kept)?));
            }
            Ok((place, self.start(&asked, parameters).await?))
        };
        let cancelled = entry.cancelled();
        let started = tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(ended::cancelled()),
            () = &mut fallen => Err(ended::fallen()),
            started = started => started,
        };
        match started {
            Ok((place, started)) => {
                let id = Some(account.id());
                let limits = &self.config.limits;
                // What the server asks for itself goes to nobody whole.
                let left = match client.is_server() {
                    true => Left::all(),
                    false => Left::new(limits),
                };
                let limits = (Duration::from_secs(limits.statement_s), left);
                let (schema, is_count) = (Arc::clone(&started.running.schema), started.running.is_count);
                let stream = Guard::new(started, entry, account, place, limits, fallen);
                Ok(Running {
                    id,
                    schema,
                    stream: Box::pin(stream),
                    is_count,
                })
            }
            Err(error) => {
                let error = account.refused(governed.notes(), error).await;
                entry.finish(Some(&error));
                Err(error)
            }
        }
    }

    /// Runs a statement that writes; gives the rows it changed. One that reads is run to its end and changes an unknown number,
    /// −1.
    pub(crate) async fn update(
        self: &Arc<Self>,
        who: &Principal,
        client: &Client,
        sql: &str,
        parameters: Vec<ScalarValue>,
    ) -> Result<i64, QueryError> {
        let running = self.run(who, client, sql, parameters, None).await?;
        write::read_count(running).await
    }

    async fn start(
        self: &Arc<Self>,
        asked: &Question<'_>,
        parameters: Vec<ScalarValue>,
    ) -> Result<Started, QueryError> {
        let Question {
            governed, account, sql, ..
        } = *asked;
        let state = Arc::new(self.sessions.open(governed).map_err(errors::from_datafusion)?);
        let statement = self.parse(governed, &state, sql).await?;
        account.called(statement.verb(), statement.target());
        if asked.client.reads_only && (statement.writes() || matches!(statement, Statement::CancelQuery(_))) {
            return Err(QueryError::Denied(
                "the question says that it reads only (read_only), and this statement does more: it was not run".into(),
            ));
        }
        if let Statement::CancelQuery(id) = statement {
            let count = self.cancel(governed, id)?;
            let accounted = account.decided(governed.notes().facts());
            return Ok(Started::once(write::count_stream(count), accounted));
        }
        if statement.writes() {
            // Before any work is done for it; `Governed::decided` says the same to whatever comes another way.
            governed.may_change()?;
        }
        match statement {
            Statement::Read(statement) => self.read(asked, state, *statement, parameters).await,
            Statement::ExplainPolicy(statement) => {
                let running = self.explain_policy(governed, state, statement).await?;
                Ok(Started::once(running, account.decided(governed.notes().facts())))
            }
            other => {
                let count = self.change_or_define(asked, state, other, parameters).await?;
                // One that had nothing to change is decided here.
                let accounted = account.decided(governed.notes().facts());
                Ok(Started::once(write::count_stream(count), accounted))
            }
        }
    }

    /// Runs a statement that writes, in its transaction if it is in one.
    async fn change_or_define(
        self: &Arc<Self>,
        asked: &Question<'_>,
        state: Arc<SessionState>,
        statement: Statement,
        parameters: Vec<ScalarValue>,
    ) -> Result<i64, QueryError> {
        let Question {
            governed, client, sql, ..
        } = *asked;
        let Some(transaction) = &client.transaction else {
            return self.write(governed, state, statement, parameters, sql).await;
        };
        let Some(name) = transaction::rows_of(&statement).cloned() else {
            let governed = self.define_within(transaction, governed, client).await?;
            let state = Arc::new(self.sessions.open(&governed).map_err(errors::from_datafusion)?);
            return self.write(&governed, state, statement, parameters, sql).await;
        };
        let change = |view: Arc<Governed>| async move {
            let state = Arc::new(self.sessions.open(&view).map_err(errors::from_datafusion)?);
            self.write(&view, state, statement, parameters, sql).await
        };
        self.change_within(transaction, governed, &name, change).await
    }

    /// Reads a statement, and older versions of tables that it names.
    async fn parse(&self, governed: &Governed, state: &SessionState, sql: &str) -> Result<Statement, QueryError> {
        let given = sql;
        let (sql, stops) = travel::rewrite(sql)?;
        changed::refuse_inner_names(given, &stops)?;
        let times = governed.travel(&self.catalog, &stops).await?;
        let sql = changed::with_times(sql, &times);
        let statement = Statement::parse(&sql, state)?;
        if matches!(
            statement,
            Statement::View(_) | Statement::Library(_) | Statement::Alert(_)
        ) && !stops.is_empty()
        {
            return Err(QueryError::Invalid(
                "a view, a virtual library, an alert or a report follows its sources, so it cannot read an older version of one; make a table of it".into(),
            ));
        }
        Ok(statement)
    }

    /// Plans and starts a read.
    async fn read(
        &self,
        asked: &Question<'_>,
        state: Arc<SessionState>,
        statement: EngineStatement,
        parameters: Vec<ScalarValue>,
    ) -> Result<Started, QueryError> {
        let (values, view) = (parameters.clone(), Arc::clone(asked.governed));
        let outlook = self
            .planning(asked.governed, move || async move {
                plan_as_far(view, state, statement, values).await
            })
            .await?;
        match outlook {
            Outlook::Planned(planned) => {
                asked.as_announced(&planned.physical.schema())?;
                // It becomes durable while the plan runs already.
                let accounted = asked.account.decided(Facts::clone(&planned.facts));
                self.execute(asked, &parameters, &planned, accounted)
            }
            Outlook::Open { parameters: wanted, .. } => Err(unbound(&wanted, parameters.len())),
        }
    }

    fn execute(
        &self,
        asked: &Question<'_>,
        values: &[ScalarValue],
        planned: &Planned,
        accounted: Wait,
    ) -> Result<Started, QueryError> {
        let schema = asked.as_announced(&planned.physical.schema())?;
        let stream = self
            .runner
            .start(
                Arc::clone(&planned.physical),
                planned.state.task_ctx(),
                Some(asked.account.id()),
            )
            .map_err(errors::from_datafusion)?;
        // A part is not what the text alone says.
        let collecting = match asked.client.part {
            None => self
                .results
                .collect(asked.governed, asked.sql, values, planned, &schema),
            Some(_) => None,
        };
        Ok(Started {
            collecting,
            running: Running::within(schema, stream),
            accounted,
        })
    }

    /// Answers with a result that is kept.
    fn again(&self, asked: &Question<'_>, kept: &Kept) -> Result<Started, QueryError> {
        let schema = asked.as_announced(&kept.schema)?;
        let accounted = asked.account.decided(Facts::clone(&kept.facts).answered_again());
        let batches = futures::stream::iter(kept.batches.clone().into_iter().map(Ok));
        let stream = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), batches));
        Ok(Started::once(Running::within(schema, stream), accounted))
    }
}
