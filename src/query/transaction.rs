//! Transactions: as far as Delta carries them, and no further.
//!
//! A Delta commit is of one table. So the changes of one table by several statements can be one commit or none, seen by
//! their own transaction before, and by nobody else; changes of two tables cannot, and the second is refused. A statement
//! sees the tables as they are when it begins (read committed), except the changed one, which is what it was at the first
//! change, with the changes. Whoever commits takes nothing from anybody: appends follow what others have appended, other
//! changes commit only when nobody has changed the table since the first of them.
//!
//! Rights are asked for by each statement as ever, and by the commit, which is refused when policies or the table's tags
//! and columns are not what the changes were allowed under. A statement that makes or drops a table, trains a model and the
//! like commits by itself: it commits what was changed before it (as `SQL_DATA_DEFINITION_CAUSES_TRANSACTION_COMMIT` tells),
//! or is refused where clients expect to roll it back.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use labhouse_catalog::{CatalogSnapshot, Ended, LakeTable, Stage, TableName};
use labhouse_policies::Principal;
use parking_lot::Mutex;
use uuid::Uuid;

use super::statement::{CATALOG, Statement};
use super::write::lake_error;
use super::{QueryError, errors};
use crate::audit::Client;
use crate::engine::Engine;
use crate::session::{Governed, World};

/// Transactions that may be open: a pool of connections each of which has begun one, many times over.
const OPEN_MAX: usize = 10_000;
/// Savepoints of one transaction.
const SAVEPOINTS_MAX: usize = 100;
/// How long changes wait for the next statement before they are rolled back.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(600);
/// How long a transaction that changed nothing is remembered without a statement: as long as the login lasts.
const UNUSED_MAX: Duration = Duration::from_secs(24 * 3600);

/// What a statement does to the transaction that it runs in, if it is not a change of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Definitions {
    /// It commits what was changed before.
    Commit,
    /// It is not run.
    Refused,
}

/// The transactions that are open.
#[derive(Default)]
pub(crate) struct Transactions(Mutex<HashMap<String, Arc<Transaction>>>);

/// One transaction of one principal.
pub(crate) struct Transaction {
    id: String,
    who: String,
    definitions: Definitions,
    /// The login that began it, where one login is one connection.
    login: Option<String>,
    inner: Mutex<Inner>,
    /// One change at a time, and none beside a commit.
    turn: tokio::sync::Mutex<()>,
}

struct Inner {
    state: State,
    savepoints: Vec<Savepoint>,
    used: Instant,
    /// The catalog with the staged table in place of its own.
    seen: Option<Seen>,
}

enum State {
    Open,
    Changing(Changing),
    /// Its changes are gone; the text says why.
    RolledBack(&'static str),
}

#[derive(Clone)]
struct Changing {
    stage: Arc<Stage>,
    /// The policies that allowed the changes.
    policies: u64,
}

struct Savepoint {
    id: String,
    /// The staged table as it was; none before the first change.
    then: Option<Arc<LakeTable>>,
}

struct Seen {
    all: Arc<CatalogSnapshot>,
    staged: Arc<LakeTable>,
    made: Arc<CatalogSnapshot>,
}

const OTHER_POLICIES: &str = "the policies changed since its first change";
const OTHER_TABLE: &str = "the table's columns, tags or other properties changed since its first change";
const OVERTAKEN: &str = "somebody else has changed the table since its first change";
const IDLE: &str = "no statement came for 10 minutes after its last change";

impl Transactions {
    /// Begins a transaction.
    ///
    /// # Errors
    /// Too many are open.
    pub(crate) fn begin(
        &self,
        who: &Principal,
        login: Option<String>,
        definitions: Definitions,
    ) -> Result<Arc<Transaction>, QueryError> {
        let mut open = self.0.lock();
        if open.len() >= OPEN_MAX {
            open.retain(|_, transaction| !transaction.is_forgotten());
        }
        if open.len() >= OPEN_MAX {
            return Err(QueryError::Exhausted(format!(
                "{OPEN_MAX} transactions are open; end one, or send the statement without a transaction"
            )));
        }
        let now = Instant::now();
        let transaction = Arc::new(Transaction {
            id: Uuid::new_v4().simple().to_string(),
            who: who.name.clone(),
            definitions,
            login,
            inner: Mutex::new(Inner {
                state: State::Open,
                savepoints: Vec::new(),
                used: now,
                seen: None,
            }),
            turn: tokio::sync::Mutex::default(),
        });
        open.insert(transaction.id.clone(), Arc::clone(&transaction));
        Ok(transaction)
    }

    /// The open transaction of that name.
    pub(crate) fn find(&self, who: &Principal, id: &str) -> Option<Arc<Transaction>> {
        let open = self.0.lock();
        let found = open.get(id).filter(|found| found.who == who.name);
        found.filter(|found| !found.is_forgotten()).cloned()
    }

    /// The transaction that a login has open, if it has just one.
    pub(crate) fn only_one_of(&self, who: &Principal, login: &str) -> Option<Arc<Transaction>> {
        match self.all_of(who, login).as_slice() {
            [one] => Some(Arc::clone(one)),
            _ => None,
        }
    }

    /// The transactions that a login has open.
    pub(crate) fn all_of(&self, who: &Principal, login: &str) -> Vec<Arc<Transaction>> {
        let open = self.0.lock();
        let is_of = |one: &&Arc<Transaction>| one.who == who.name && one.login.as_deref() == Some(login);
        open.values().filter(is_of).cloned().collect()
    }

    fn forget(&self, transaction: &Transaction) {
        self.0.lock().remove(&transaction.id);
    }
}

impl Transaction {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    fn is_forgotten(&self) -> bool {
        let inner = self.inner.lock();
        matches!(inner.state, State::Open) && inner.used.elapsed() > UNUSED_MAX
    }

    /// The world as a statement of the transaction sees it.
    pub(super) fn sees(&self, world: World) -> (World, Result<(), QueryError>) {
        let mut inner = self.inner.lock();
        inner.used = Instant::now();
        let changing = match &inner.state {
            State::Open => return (world, Ok(())),
            State::RolledBack(why) => return (world, Err(rolled_back(why))),
            State::Changing(changing) => changing.clone(),
        };
        if let Err(why) = changing.stands(&world) {
            return (world, Err(cannot_go_on(why)));
        }
        let staged = changing.stage.now();
        let made = match &inner.seen {
            Some(seen) if Arc::ptr_eq(&seen.all, &world.catalog) && Arc::ptr_eq(&seen.staged, &staged) => {
                Arc::clone(&seen.made)
            }
            _ => Arc::new(world.catalog.with(Arc::clone(&staged))),
        };
        inner.seen = Some(Seen {
            all: Arc::clone(&world.catalog),
            staged,
            made: Arc::clone(&made),
        });
        let world = World { catalog: made, ..world };
        (world, Ok(()))
    }

    /// Sets a savepoint; gives its name.
    ///
    /// # Errors
    /// The transaction was rolled back, or has too many.
    pub(crate) async fn save(&self) -> Result<String, QueryError> {
        let _turn = self.turn.lock().await;
        let mut inner = self.inner.lock();
        inner.used = Instant::now();
        let then = match &inner.state {
            State::Open => None,
            State::Changing(changing) => Some(changing.stage.now()),
            State::RolledBack(why) => return Err(rolled_back(why)),
        };
        if inner.savepoints.len() >= SAVEPOINTS_MAX {
            return Err(QueryError::Exhausted(format!(
                "a transaction has {SAVEPOINTS_MAX} savepoints at most; release some"
            )));
        }
        let id = Uuid::new_v4().simple().to_string();
        inner.savepoints.push(Savepoint { id: id.clone(), then });
        Ok(id)
    }

    /// Forgets a savepoint and those set after it; what was changed since stays.
    ///
    /// # Errors
    /// There is no such savepoint.
    pub(crate) async fn release(&self, savepoint: &str) -> Result<(), QueryError> {
        let _turn = self.turn.lock().await;
        let mut inner = self.inner.lock();
        inner.used = Instant::now();
        let at = inner.place(savepoint)?;
        inner.savepoints.truncate(at);
        Ok(())
    }

    /// Takes back what was changed since a savepoint, which stays; those set after it are forgotten.
    ///
    /// # Errors
    /// There is no such savepoint.
    pub(crate) async fn roll_back_to(&self, savepoint: &str) -> Result<(), QueryError> {
        let _turn = self.turn.lock().await;
        let (changing, then) = {
            let mut inner = self.inner.lock();
            inner.used = Instant::now();
            let at = inner.place(savepoint)?;
            let then = inner.savepoints.get(at).and_then(|found| found.then.clone());
            inner.savepoints.truncate(at + 1);
            let State::Changing(changing) = &inner.state else {
                return Ok(());
            };
            let changing = changing.clone();
            if then.is_none() {
                inner.state = State::Open;
            }
            (changing, then)
        };
        match then {
            Some(then) => changing.stage.back_to(&then).await,
            None => changing.stage.give_up().await,
        }
        .map_err(lake_error)
    }

    fn changing(&self) -> Result<Option<Changing>, QueryError> {
        match &self.inner.lock().state {
            State::Open => Ok(None),
            State::Changing(changing) => Ok(Some(changing.clone())),
            State::RolledBack(why) => Err(rolled_back(why)),
        }
    }

    /// Its changes are given up; it takes no statement before its end.
    async fn fail(&self, why: &'static str) {
        let before = std::mem::replace(&mut self.inner.lock().state, State::RolledBack(why));
        if let State::Changing(changing) = before {
            give_up(&changing.stage).await;
        }
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transaction({})", self.who)
    }
}

impl Inner {
    fn place(&self, savepoint: &str) -> Result<usize, QueryError> {
        if let State::RolledBack(why) = &self.state {
            return Err(rolled_back(why));
        }
        let at = self.savepoints.iter().position(|known| known.id == savepoint);
        at.ok_or_else(|| {
            QueryError::NotFound(
                "there is no such savepoint: it was released, or the transaction was rolled back to one before it or committed".into(),
            )
        })
    }
}

impl Changing {
    /// Whether what allowed the changes still stands.
    fn stands(&self, world: &World) -> Result<(), &'static str> {
        if world.policies.generation() != self.policies {
            return Err(OTHER_POLICIES);
        }
        let name = self.stage.base().name();
        match world.catalog.table(&name.schema, &name.table) {
            Some(now) if self.stage.is_of(now) => Ok(()),
            Some(_) | None => Err(OTHER_TABLE),
        }
    }
}

impl Engine {
    /// Runs a change of one table's rows within a transaction. `work` gets the view that it is made through.
    pub(super) async fn change_within<T, F>(
        self: &Arc<Self>,
        transaction: &Arc<Transaction>,
        governed: &Arc<Governed>,
        name: &TableName,
        work: impl FnOnce(Arc<Governed>) -> F,
    ) -> Result<T, QueryError>
    where
        F: Future<Output = Result<T, QueryError>>,
    {
        let _turn = transaction.turn.lock().await;
        let is_seen = governed
            .access(&name.schema, &name.table)
            .map_err(errors::from_datafusion)?
            .is_some();
        if !is_seen {
            return Err(QueryError::no_table(name));
        }
        let changing = match transaction.changing()? {
            Some(changing) if changing.stage.base().name() == name => changing,
            Some(changing) => {
                return Err(QueryError::InTransaction(format!(
                    "a transaction changes one table, since Delta commits each table by itself, and this one has changed {CATALOG}.{}; commit or roll back before you change {CATALOG}.{name}",
                    changing.stage.base().name()
                )));
            }
            None => self.stage(transaction, governed, name).await?,
        };
        let (world, stands) = transaction.sees(self.world());
        stands?;
        let view = governed.within(world.catalog, Arc::clone(changing.stage.catalog()));
        let done = work(view).await;
        if changing.stage.is_empty()
            && transaction
                .inner
                .lock()
                .savepoints
                .iter()
                .all(|point| point.then.is_none())
        {
            transaction.inner.lock().state = State::Open;
        }
        done
    }

    /// Begins to stage changes of a table, and sees to it that they do not wait for ever.
    async fn stage(
        self: &Arc<Self>,
        transaction: &Arc<Transaction>,
        governed: &Governed,
        name: &TableName,
    ) -> Result<Changing, QueryError> {
        let catalog = self.catalog.snapshot();
        let base = catalog
            .table(&name.schema, &name.table)
            .ok_or_else(|| QueryError::no_table(name))?;
        let stage = Stage::begin(self.catalog.lake(), base).await.map_err(lake_error)?;
        let changing = Changing {
            stage: Arc::new(stage),
            policies: governed.world().policies.generation(),
        };
        transaction.inner.lock().state = State::Changing(changing.clone());
        tokio::spawn(idle(Arc::downgrade(transaction), Arc::downgrade(&changing.stage)));
        Ok(changing)
    }

    /// Before a statement that commits by itself: what was changed before it is committed, or it is refused.
    pub(super) async fn define_within(
        self: &Arc<Self>,
        transaction: &Arc<Transaction>,
        governed: &Arc<Governed>,
        client: &Client,
    ) -> Result<Arc<Governed>, QueryError> {
        if transaction.definitions == Definitions::Refused {
            return Err(QueryError::InTransaction(
                "this statement commits by itself, and ROLLBACK could not undo it: only INSERT, UPDATE, DELETE and MERGE run in a transaction; COMMIT first, or switch the client to autocommit".into(),
            ));
        }
        let _turn = transaction.turn.lock().await;
        self.commit_changes(governed.who(), client, transaction).await?;
        Ok(governed.on(self.catalog.snapshot()))
    }

    /// Ends a transaction: its changes are there for all.
    ///
    /// # Errors
    /// It was rolled back, or cannot be committed: then it takes nothing but its rollback.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        who: &Principal,
        client: &Client,
        transaction: &Arc<Transaction>,
    ) -> Result<(), QueryError> {
        let _turn = transaction.turn.lock().await;
        self.commit_changes(who, client, transaction).await?;
        self.transactions.forget(transaction);
        Ok(())
    }

    /// Ends a transaction: its changes never were.
    pub(crate) async fn roll_back(&self, transaction: &Transaction) {
        let _turn = transaction.turn.lock().await;
        transaction.fail("it was rolled back").await;
        self.transactions.forget(transaction);
    }

    async fn commit_changes(
        self: &Arc<Self>,
        who: &Principal,
        client: &Client,
        transaction: &Transaction,
    ) -> Result<(), QueryError> {
        let Some(changing) = transaction.changing()? else {
            return Ok(());
        };
        let world = self.world();
        let account = self.audit.account(who, client, "COMMIT", &world);
        account.called("commit", Some(format!("{CATALOG}.{}", changing.stage.base().name())));
        let (policy, catalog) = (world.policies.generation(), world.catalog.generation);
        let entry = self
            .log
            .start(account.id(), &who.name, client, "COMMIT", policy, catalog);
        let stands = changing.stands(&world);
        let governed = self.govern(who, world);
        governed.account_to(&account);
        let mut is_known = true;
        let committed = async {
            stands.map_err(cannot_go_on)?;
            governed.decided().await?;
            let ended = changing.stage.commit(&self.catalog).await;
            is_known = ended.is_ok();
            match ended.map_err(lake_error)? {
                Ended::Committed(table) => {
                    governed.wrote(table.version());
                    Ok(())
                }
                Ended::Nothing => Ok(()),
                Ended::Overtaken => Err(cannot_go_on(OVERTAKEN)),
            }
        };
        let outcome = match committed.await {
            Ok(()) => Ok(()),
            Err(error) => Err(account.refused(governed.notes(), error).await),
        };
        account.ended(outcome.as_ref().err());
        entry.finish(outcome.as_ref().err());
        {
            let mut inner = transaction.inner.lock();
            inner.savepoints.clear();
            inner.seen = None;
            inner.state = match &outcome {
                Ok(()) => State::Open,
                Err(_) => State::RolledBack("its commit failed"),
            };
        }
        // When the store did not say what became of the commit, its files may be the table's.
        if outcome.is_err() && is_known {
            give_up(&changing.stage).await;
        }
        outcome
    }
}

/// The table whose rows a statement changes; none for one that does something else and commits by itself.
pub(super) fn rows_of(statement: &Statement) -> Option<&TableName> {
    match statement {
        Statement::Insert { name, .. } => Some(name),
        Statement::Change(change) => Some(&change.target),
        Statement::Read(_)
        | Statement::ExplainPolicy(_)
        | Statement::CreateModel(_)
        | Statement::DropModel { .. }
        | Statement::SetModelVersion { .. }
        | Statement::SetModelFunction { .. }
        | Statement::CreateTableAs { .. }
        | Statement::Upkeep(_)
        | Statement::View(_)
        | Statement::Library(_)
        | Statement::Alert(_)
        | Statement::Quarantine(_)
        | Statement::CancelQuery(_)
        | Statement::SetTags { .. } => None,
    }
}

/// Rolls changes back for which no statement comes any more.
async fn idle(transaction: Weak<Transaction>, stage: Weak<Stage>) {
    let mut wait = IDLE_MAX;
    loop {
        tokio::time::sleep(wait).await;
        let (Some(transaction), Some(stage)) = (transaction.upgrade(), stage.upgrade()) else {
            return;
        };
        let _turn = transaction.turn.lock().await;
        let used = match transaction.changing() {
            Ok(Some(changing)) if Arc::ptr_eq(&changing.stage, &stage) => transaction.inner.lock().used,
            _ => return,
        };
        let quiet = used.elapsed();
        if quiet >= IDLE_MAX {
            return transaction.fail(IDLE).await;
        }
        wait = IDLE_MAX.saturating_sub(quiet);
    }
}

/// What was written for changes that do not happen is nobody's; left behind it is removed with other such files.
async fn give_up(stage: &Stage) {
    if let Err(error) = stage.give_up().await {
        tracing::warn!(%error, "files of a transaction that was rolled back stay behind");
    }
}

fn rolled_back(why: &str) -> QueryError {
    QueryError::InTransaction(format!(
        "the transaction was rolled back ({why}); end it with a rollback and begin another"
    ))
}

fn cannot_go_on(why: &str) -> QueryError {
    QueryError::Conflict(format!(
        "the transaction cannot be committed: {why}; roll back and run it again"
    ))
}
