//! The catalog as one principal sees it.
//!
//! A name resolves to a governed table or to nothing; hidden and absent are the same nothing. Decisions are made
//! when a name is asked for and remembered for the statement.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use arrow::datatypes::Schema;
use datafusion::catalog::TableProvider;
use datafusion::common::ResolvedTableReference;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use labhouse_catalog::{Catalog, CatalogSnapshot, LakeTable, TableName};
use labhouse_policies::{Access, Action, Decision, Principal, TableAccess, TableObject, Tags, govern};
use parking_lot::Mutex;

use super::World;
use super::library::Library;
use crate::audit::{Account, Notes};
use crate::auth::marks;
use crate::query::statement::CATALOG;
use crate::query::tags::TAG;
use crate::query::{Place, QueryError};
use crate::system::{SYSTEM, SystemTables};

const DEPARTMENT: &str = "labhouse.department";

/// The tables that are read at an older version, by schema and name, and the version.
pub(super) type Travelled = BTreeMap<(String, String), (Arc<LakeTable>, u64)>;

/// Rows that stand for all of a table's, each with a word that no other rows of the same version have.
pub(crate) type Stand = BTreeMap<TableName, (String, Arc<dyn TableProvider>)>;

/// One principal's view of the world, for one statement.
pub(crate) struct Governed {
    pub(super) who: Principal,
    pub(super) world: World,
    pub(super) system: Arc<SessionState>,
    /// What every user's session starts from: the engine's functions, no catalog.
    pub(super) engine: Arc<SessionState>,
    pub(super) system_tables: SystemTables,
    /// The view that a library's queries have: there are no libraries in it.
    pub(super) is_of_library: bool,
    pub(super) resolved: Mutex<BTreeMap<(String, String), Resolved>>,
    /// Today's table and the version that is read, by the name that stands for that version.
    pub(super) travelled: Mutex<Travelled>,
    /// What the statement asked for by name, for its account.
    pub(super) notes: Arc<Notes>,
    /// Tables that functions of the statement read, and models that answer in it: its plan does not show them.
    pub(super) given: Arc<Mutex<Given>>,
    /// What was worked out about models.
    pub(super) known: Mutex<super::models::Known>,
    account: OnceLock<Arc<Account>>,
    /// The statement's place among those that run. Not held from here: plans, which are kept for a while, hold their view.
    place: OnceLock<Weak<Place>>,
    /// Where changes of rows go, if not into the lake: they are of a transaction.
    staged: Option<Arc<Catalog>>,
}

/// Schema and name of tables and models.
#[derive(Default)]
pub(super) struct Given {
    pub(super) tables: BTreeSet<(String, String)>,
    pub(super) models: BTreeSet<TableName>,
    /// What table functions over models and tables gave. They hold their view, so they are not held from it.
    pub(super) made: Vec<(&'static str, Weak<dyn TableProvider>)>,
}

/// A table of the lake as one statement sees it.
pub(crate) struct Seen {
    pub(crate) of: Arc<LakeTable>,
    pub(crate) access: Access,
    pub(crate) provider: Arc<dyn TableProvider>,
}

/// What a name leads to.
#[derive(Clone)]
pub(super) enum Resolved {
    Open(Box<Access>, Arc<dyn TableProvider>),
    Hidden(Decision),
    Absent,
}

impl Governed {
    pub(super) fn new(
        who: Principal,
        world: World,
        system: Arc<SessionState>,
        engine: Arc<SessionState>,
        system_tables: SystemTables,
    ) -> Self {
        Self {
            who,
            world,
            system,
            engine,
            system_tables,
            is_of_library: false,
            resolved: Mutex::default(),
            travelled: Mutex::default(),
            notes: Arc::default(),
            given: Arc::default(),
            known: Mutex::default(),
            account: OnceLock::new(),
            place: OnceLock::new(),
            staged: None,
        }
    }

    /// Everything done through this view is accounted for there.
    pub(crate) fn account_to(&self, account: &Arc<Account>) {
        let _ = self.account.set(Arc::clone(account));
    }

    /// As `other`: this view does a part of its statement, as somebody else.
    pub(crate) fn account_like(&self, other: &Self) {
        if let Some(account) = other.account.get() {
            self.account_to(account);
        }
        if let Some(place) = other.place.get() {
            let _ = self.place.set(Weak::clone(place));
        }
    }

    /// The statement has this place.
    pub(crate) fn keep_place(&self, place: &Arc<Place>) {
        let _ = self.place.set(Arc::downgrade(place));
    }

    /// The place of the statement, for work that may outlast it; none for work of the server itself.
    pub(crate) fn place(&self) -> Option<Arc<Place>> {
        self.place.get().and_then(Weak::upgrade)
    }

    /// The number of the statement, as `system.queries` has it.
    pub(crate) fn statement(&self) -> Option<uuid::Uuid> {
        self.account.get().map(|account| account.id())
    }

    /// What the statement asked for.
    pub(crate) fn notes(&self) -> &Arc<Notes> {
        &self.notes
    }

    /// All grants for a change were found: its account must be durable before anything changes.
    pub(crate) async fn decided(&self) -> Result<(), QueryError> {
        self.may_change()?;
        match self.account.get() {
            Some(account) => account.decided(self.notes.facts()).await,
            None => Err(QueryError::internal("a change that nobody accounts for")),
        }
    }

    /// Refuses a login that is for reading only, whatever its person may do otherwise.
    pub(crate) fn may_change(&self) -> Result<(), QueryError> {
        if marks::reads_only(&self.who) {
            return Err(QueryError::Denied(
                "this login is by a token that is for reading only; log in with the password or another token".into(),
            ));
        }
        Ok(())
    }

    /// Refuses a login that the users file does not know: what the server does later for an owner, it does as whom that
    /// file then says, and that could be somebody else.
    pub(crate) fn may_own(&self) -> Result<(), QueryError> {
        if marks::is_of_provider(&self.who) {
            return Err(QueryError::Denied(
                "a login of the OIDC provider cannot own what runs later without it; let a user of the users file (`labhouse user add`) make it".into(),
            ));
        }
        Ok(())
    }

    /// The version that a change made; one that is only staged has none yet.
    pub(crate) fn wrote(&self, version: u64) {
        if self.is_staged() {
            return;
        }
        if let Some(account) = self.account.get() {
            account.wrote(version);
        }
    }

    pub(crate) fn who(&self) -> &Principal {
        &self.who
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// The session that plans below the barrier.
    pub(crate) fn system(&self) -> &Arc<SessionState> {
        &self.system
    }

    /// The governed table of that name; none when it is hidden or absent.
    pub(crate) fn table(&self, schema: &str, table: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        Ok(match self.ask(schema, table)? {
            Resolved::Open(_, provider) => Some(provider),
            Resolved::Hidden(_) | Resolved::Absent => None,
        })
    }

    /// What the principal may see of a table; none when it is hidden or absent.
    pub(crate) fn access(&self, schema: &str, table: &str) -> Result<Option<Access>, DataFusionError> {
        Ok(match self.ask(schema, table)? {
            Resolved::Open(access, _) => Some(*access),
            Resolved::Hidden(_) | Resolved::Absent => None,
        })
    }

    /// A table of the lake as it is today, as the principal sees it now; none for anything else, nor for a library, whose
    /// rows change with its sources. Nothing is noted.
    pub(crate) fn seen(&self, schema: &str, table: &str) -> Option<Seen> {
        let of = Arc::clone(self.world.catalog.table(schema, table)?);
        if Library::of(&of).is_some() {
            return None;
        }
        match self.resolve(schema, table).ok()? {
            Resolved::Open(access, provider) => Some(Seen {
                of,
                access: *access,
                provider,
            }),
            Resolved::Hidden(_) | Resolved::Absent => None,
        }
    }

    /// Which columns of a visible table the principal may fill by `action`; what refused it otherwise.
    pub(crate) fn writable(&self, table: &LakeTable, action: Action) -> Result<Access, Decision> {
        let object = self.world.object(table);
        match self.world.policies.table(&self.who, &object, &self.system, action) {
            TableAccess::Hidden(decision) => Err(decision),
            TableAccess::Open(access) => Ok(access),
        }
    }

    /// The same view, in which a table is there once more, under the name `hidden`: read from `inner`, which has the address of
    /// each row as its last column.
    pub(crate) fn with_addresses(
        &self,
        table: &Arc<LakeTable>,
        hidden: &str,
        access: &Access,
        inner: Arc<dyn TableProvider>,
        address: &str,
    ) -> Result<Arc<Self>, DataFusionError> {
        let access = access.clone().with_address(labhouse_catalog::address_field(address));
        let provider = govern(inner, &access, Arc::clone(&self.system))?;
        let key = (table.name().schema.clone(), hidden.to_owned());
        let view = self.over(self.world.clone());
        self.hand_travelled(&view);
        let read = (Arc::clone(table), table.version());
        view.travelled.lock().insert(key.clone(), read);
        let resolved = Resolved::Open(Box::new(access), provider);
        view.resolved.lock().insert(key, resolved);
        Ok(Arc::new(view))
    }

    /// Older versions that the statement names stay found in another view of it.
    fn hand_travelled(&self, view: &Self) {
        let travelled = self.travelled.lock().clone();
        let resolved = self.resolved.lock();
        let found = travelled
            .keys()
            .filter_map(|key| Some((key.clone(), resolved.get(key)?.clone())));
        view.resolved.lock().extend(found);
        *view.travelled.lock() = travelled;
    }

    /// The same view, but of these tables only these rows are read.
    pub(crate) fn with_rows(&self, rows: Stand) -> Result<Arc<Self>, DataFusionError> {
        let view = self.over(self.world.clone());
        for (name, (part, inner)) in rows {
            let Some(mut access) = self.access(&name.schema, &name.table)? else {
                return Err(QueryError::no_table(&name).into_datafusion());
            };
            // What is learnt of these rows is not true of the table.
            access.fingerprint.push_str(&format!(" {part}"));
            let provider = govern(inner, &access, Arc::clone(&self.system))?;
            let resolved = Resolved::Open(Box::new(access), provider);
            view.resolved.lock().insert((name.schema, name.table), resolved);
        }
        Ok(Arc::new(view))
    }

    /// The table of the lake that a scan of this name reads, as it is today, and the version that is read.
    pub(crate) fn read(&self, schema: &str, table: &str) -> Option<(Arc<LakeTable>, u64)> {
        let key = (schema.to_owned(), table.to_owned());
        if let Some(found) = self.travelled.lock().get(&key) {
            return Some(found.clone());
        }
        let found = self.world.catalog.table(schema, table)?;
        Some((Arc::clone(found), found.version()))
    }

    /// What is read of a table is of this version, for the statement's account.
    pub(crate) fn reads_version(&self, table: &Arc<LakeTable>, version: u64) {
        let TableName { schema, table: name } = table.name().clone();
        self.travelled
            .lock()
            .insert((schema, name), (Arc::clone(table), version));
    }

    /// A function of the statement reads this table.
    pub(crate) fn give(&self, schema: &str, table: &str) {
        let mut given = self.given.lock();
        given.tables.insert((schema.to_owned(), table.to_owned()));
    }

    /// The tables of the lake that functions of the statement read, with the versions that are read.
    pub(crate) fn given_tables(&self) -> Vec<(Arc<LakeTable>, u64)> {
        let given = self.given.lock();
        let read = given.tables.iter();
        read.filter_map(|(schema, table)| self.read(schema, table)).collect()
    }

    /// The models that answer in the statement, as policies see their tags.
    pub(crate) fn given_models(&self) -> Vec<TableObject> {
        let given = self.given.lock();
        let models = given.models.iter().filter_map(|name| self.world.models.get(name));
        models
            .map(|model| TableObject {
                reference: reference(&model.name().schema, &model.name().table),
                department: model.department().to_owned(),
                tags: self.model_tags(&model).as_ref().clone(),
                column_tags: BTreeMap::default(),
                schema: Arc::new(Schema::empty()),
            })
            .collect()
    }

    /// The same view within a transaction: on its catalog, and changes of rows go where it stages them. Older versions that the
    /// statement names stay found.
    pub(crate) fn within(&self, catalog: Arc<CatalogSnapshot>, staged: Arc<Catalog>) -> Arc<Self> {
        let world = World {
            catalog,
            ..self.world.clone()
        };
        let view = Self {
            staged: Some(staged),
            ..self.over(world)
        };
        self.hand_travelled(&view);
        Arc::new(view)
    }

    /// Whether changes of rows are of a transaction.
    pub(crate) fn is_staged(&self) -> bool {
        self.staged.is_some()
    }

    /// Where changes of rows go: into this lake, or where a transaction stages them.
    pub(crate) fn target<'a>(&'a self, lake: &'a Arc<Catalog>) -> &'a Arc<Catalog> {
        self.staged.as_ref().unwrap_or(lake)
    }

    /// The same principal under the same policies, on a newer catalog.
    pub(crate) fn on(&self, catalog: Arc<CatalogSnapshot>) -> Arc<Self> {
        Arc::new(self.over(World {
            catalog,
            ..self.world.clone()
        }))
    }

    pub(super) fn over(&self, world: World) -> Self {
        Self {
            notes: Arc::clone(&self.notes),
            given: Arc::clone(&self.given),
            account: self.account.clone(),
            place: self.place.clone(),
            is_of_library: self.is_of_library,
            staged: self.staged.clone(),
            ..Self::new(
                self.who.clone(),
                world,
                Arc::clone(&self.system),
                Arc::clone(&self.engine),
                self.system_tables.clone(),
            )
        }
    }

    /// Names of the tables that the principal may see, sorted, system tables included.
    pub(crate) fn visible(&self) -> Vec<(String, String)> {
        let seen = |(schema, table): &(String, String)| matches!(self.resolve(schema, table), Ok(Resolved::Open(..)));
        self.world.tables().filter(seen).collect()
    }

    /// Whether the principal may do something to an object of a department.
    pub(crate) fn decide(&self, department: &str, object: &str, tags: &Tags, action: Action) -> Arc<Decision> {
        self.world.policies.decide(&self.who, department, object, tags, action)
    }

    /// Resolves a name that the statement asks for, and notes it.
    fn ask(&self, schema: &str, table: &str) -> Result<Resolved, DataFusionError> {
        let resolved = self.resolve(schema, table)?;
        match &resolved {
            Resolved::Open(access, _) => match self.read(schema, table) {
                Some((found, version)) => self.notes.resolved(schema, &found.name().table, Some(version), access),
                None => self.notes.resolved(schema, table, None, access),
            },
            Resolved::Hidden(decision) => self.notes.hidden(schema, table, decision),
            Resolved::Absent => {}
        }
        if let (Resolved::Open(..), Some(library)) = (&resolved, self.library(schema, table)) {
            // Whoever reads a library reads its sources.
            for source in &library.sources {
                self.ask(&source.schema, &source.table)?;
                self.give(&source.schema, &source.table);
            }
        }
        Ok(resolved)
    }

    pub(super) fn resolve(&self, schema: &str, table: &str) -> Result<Resolved, DataFusionError> {
        let key = (schema.to_owned(), table.to_owned());
        if let Some(known) = self.resolved.lock().get(&key) {
            return Ok(known.clone());
        }
        let resolved = self.resolve_new(schema, table)?;
        self.resolved.lock().insert(key, resolved.clone());
        Ok(resolved)
    }

    /// A table as policies see it, whether or not the principal does: for deciding and for explaining, never for reading.
    pub(crate) fn object(&self, schema: &str, table: &str) -> Option<TableObject> {
        if schema == SYSTEM {
            let inner = self.system_tables.table(table, &self.who)?;
            return Some(system_object(table, &inner));
        }
        self.world
            .catalog
            .table(schema, table)
            .map(|found| self.world.object(found))
    }

    fn inner(&self, schema: &str, table: &str) -> Option<Arc<dyn TableProvider>> {
        if schema == SYSTEM {
            return self.system_tables.table(table, &self.who);
        }
        self.world
            .catalog
            .table(schema, table)
            .map(|found| match Library::of(found) {
                Some(library) => self.combined(found, library),
                None => found.provider(),
            })
    }

    fn resolve_new(&self, schema: &str, table: &str) -> Result<Resolved, DataFusionError> {
        if !marks::reaches(&self.who, schema) {
            return Ok(Resolved::Absent);
        }
        let sources = match self.library(schema, table) {
            Some(library) => self.combinable(&library)?,
            None => Some(String::new()),
        };
        let (Some(sources), Some(object), Some(inner)) =
            (sources, self.object(schema, table), self.inner(schema, table))
        else {
            return Ok(Resolved::Absent);
        };
        match self
            .world
            .policies
            .table(&self.who, &object, &self.system, Action::Select)
        {
            TableAccess::Hidden(decision) => Ok(Resolved::Hidden(decision)),
            TableAccess::Open(mut access) => {
                access.fingerprint.push_str(&sources);
                let governed = govern(inner, &access, Arc::clone(&self.system))?;
                Ok(Resolved::Open(Box::new(access), governed))
            }
        }
    }
}

/// What policies need to know of a table, with its own tags alone; see [`World::object`] for what they decide on.
pub(crate) fn table_object(table: &LakeTable) -> TableObject {
    let name = table.name();
    let schema = table.schema();
    let column_tags = schema
        .fields()
        .iter()
        .map(|field| (field.name().clone(), tags(field.metadata().iter())))
        .filter(|(_, tags)| !tags.is_empty())
        .collect();
    TableObject {
        reference: reference(&name.schema, &name.table),
        department: table.properties().get(DEPARTMENT).unwrap_or(&name.schema).clone(),
        tags: tags(table.properties().iter()),
        column_tags,
        schema,
    }
}

/// The same of a table that is not there yet: a table of its schema, without tags and columns.
pub(crate) fn new_object(name: &TableName) -> TableObject {
    TableObject {
        reference: reference(&name.schema, &name.table),
        department: name.schema.clone(),
        tags: Tags::default(),
        column_tags: BTreeMap::default(),
        schema: Arc::new(Schema::empty()),
    }
}

/// The object path of a table.
pub(crate) fn table_path(name: &TableName) -> String {
    format!("{CATALOG}/{}/{}", name.schema, name.table)
}

/// The object path of a model.
pub(crate) fn model_object(name: &TableName) -> String {
    format!("model/{CATALOG}/{}/{}", name.schema, name.table)
}

fn system_object(table: &str, inner: &Arc<dyn TableProvider>) -> TableObject {
    TableObject {
        reference: reference(SYSTEM, table),
        department: SYSTEM.to_owned(),
        tags: Tags::default(),
        column_tags: BTreeMap::default(),
        schema: inner.schema(),
    }
}

fn reference(schema: &str, table: &str) -> ResolvedTableReference {
    ResolvedTableReference {
        catalog: CATALOG.into(),
        schema: schema.into(),
        table: table.into(),
    }
}

fn tags<'a>(properties: impl Iterator<Item = (&'a String, &'a String)>) -> Tags {
    properties
        .filter_map(|(key, value)| Some((key.strip_prefix(TAG)?.to_owned(), value.clone())))
        .collect()
}

impl fmt::Debug for Governed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Governed")
            .field("who", &self.who.name)
            .finish_non_exhaustive()
    }
}
