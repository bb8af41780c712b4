//! Several changes of one table that become one commit, or none.
//!
//! Each change is made as any other, by the same code, and commits to a copy of the table's log that lies in memory
//! ([`overlay`]); its data files lie in the table's folder, where no reader looks for what no commit names. At the end the
//! actions of all these commits, without what they took back themselves, are one commit of the real table. Appends alone
//! follow a table that others have grown meanwhile; whatever takes rows away does not, since it was worked out on the
//! version that the changes began with.

mod overlay;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use deltalake_core::kernel::{Action, Add, Remove};
use deltalake_core::protocol::{DeltaOperation, SaveMode};

use crate::append::ATTEMPTS_MAX;
use crate::catalog::Catalog;
use crate::delta::{Change, LINEAGE, commit};
use crate::error::LakeError;
use crate::lake::Lake;
use crate::name::TableName;
use crate::parquet_file;
use crate::table::LakeTable;
use object_store::memory::InMemory;
use overlay::Overlay;

/// A table with changes that nobody else sees yet.
pub struct Stage {
    base: Arc<LakeTable>,
    catalog: Arc<Catalog>,
    /// What was committed to the copy of its log.
    own: Arc<InMemory>,
}

/// What became of staged changes.
#[derive(Debug)]
pub enum Ended {
    Committed(Arc<LakeTable>),
    /// They left the table as it was.
    Nothing,
    /// Somebody else changed the table in a way that they cannot follow: nothing was committed.
    Overtaken,
}

impl Stage {
    /// Begins on this version of a table.
    ///
    /// # Errors
    /// The table's log cannot be read.
    pub async fn begin(lake: &Lake, base: &Arc<LakeTable>) -> Result<Self, LakeError> {
        let log = lake.in_root(&format!("{}/_delta_log", base.name().location()));
        let own = Arc::new(InMemory::new());
        let layered = lake.behind(|below| Overlay::new(below, Arc::clone(&own), log, base.version()));
        let copy = Arc::new(base.on(&layered).await?);
        Ok(Self {
            base: Arc::clone(base),
            catalog: Catalog::of_one(layered, copy),
            own,
        })
    }

    /// Where changes of this table are made in place of the lake's own catalog. It has no other table.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The version that the changes began with.
    pub fn base(&self) -> &Arc<LakeTable> {
        &self.base
    }

    /// The table as the changes left it.
    pub fn now(&self) -> Arc<LakeTable> {
        let name = self.base.name();
        let snapshot = self.catalog.snapshot();
        let now = snapshot.table(&name.schema, &name.table);
        now.map_or_else(|| Arc::clone(&self.base), Arc::clone)
    }

    /// Whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.now().version() == self.base.version()
    }

    /// Whether the table is still the one that the changes began with, by its columns, tags and other properties.
    pub fn is_of(&self, table: &LakeTable) -> bool {
        let same_id = matches!((self.base.id(), table.id()), (Ok(base), Ok(now)) if base == now);
        let told = |table: &LakeTable| {
            let mut properties = table.properties().clone();
            properties.remove(LINEAGE);
            properties
        };
        same_id && self.base.schema() == table.schema() && told(&self.base) == told(table)
    }

    /// Takes changes back that came after the table was as `then` says.
    ///
    /// # Errors
    /// The changes cannot be read.
    pub async fn back_to(&self, then: &Arc<LakeTable>) -> Result<(), LakeError> {
        let written = self.cut(then.version()).await?;
        self.catalog.set_back(Arc::clone(then)).await;
        self.discard(&written).await;
        Ok(())
    }

    /// Commits all changes as one version of the real table.
    ///
    /// # Errors
    /// The store does not answer; whether the changes are there is then not known.
    pub async fn commit(&self, catalog: &Catalog) -> Result<Ended, LakeError> {
        let commits = overlay::commits(&self.own).await.map_err(self.of_log())?;
        let net = net(self.name(), &self.actions(&commits)?);
        self.discard(&net.unused).await;
        if net.adds.is_empty() && net.removes.is_empty() {
            return Ok(Ended::Nothing);
        }
        let only_grows = net.removes.is_empty();
        let now = self.now();
        let lineage = now.properties().get_key_value(LINEAGE);
        let lineage = lineage.filter(|(key, value)| self.base.properties().get(*key) != Some(*value));
        let lineage: BTreeMap<_, _> = lineage
            .map(|(key, value)| (key.clone(), value.clone()))
            .into_iter()
            .collect();
        let mut base = Arc::clone(&self.base);
        for _ in 0..ATTEMPTS_MAX {
            let change = Change {
                adds: net.adds.clone(),
                removes: net.removes.clone(),
                operation: Some(net.operation()),
                // Of a table that others have changed since, what they noted stays.
                properties: match Arc::ptr_eq(&base, &self.base) {
                    true => lineage.clone(),
                    false => BTreeMap::new(),
                },
                ..Change::default()
            };
            if let Some(table) = commit(catalog.lake(), self.name(), Some(&base), change).await? {
                let table = Arc::new(table);
                catalog.publish(Arc::clone(&table)).await;
                return Ok(Ended::Committed(table));
            }
            match catalog.latest(self.name()).await? {
                Some(latest) if only_grows && self.is_of(&latest) => base = latest,
                Some(_) | None => break,
            }
        }
        self.discard(&net.adds).await;
        Ok(Ended::Overtaken)
    }

    /// Removes what was written for changes that do not happen.
    ///
    /// # Errors
    /// The changes cannot be read.
    pub async fn give_up(&self) -> Result<(), LakeError> {
        let written = self.cut(self.base.version()).await?;
        self.discard(&written).await;
        Ok(())
    }

    /// Takes away the commits after a version; gives the files that they wrote.
    async fn cut(&self, last: u64) -> Result<Vec<Add>, LakeError> {
        let cut = overlay::cut(&self.own, last).await.map_err(self.of_log())?;
        Ok(net(self.name(), &self.actions(&cut)?).written)
    }

    fn of_log(&self) -> impl FnOnce(object_store::Error) -> LakeError {
        LakeError::store("reading staged changes of", self.name().location())
    }

    fn name(&self) -> &TableName {
        self.base.name()
    }

    async fn discard(&self, files: &[Add]) {
        parquet_file::discard(self.catalog.lake(), self.name(), files).await;
    }

    /// The actions of commits, in their order.
    fn actions(&self, commits: &BTreeMap<u64, bytes::Bytes>) -> Result<Vec<Action>, LakeError> {
        let unreadable = |reason: String| LakeError::Refused {
            table: self.name().clone(),
            reason: format!("its staged changes cannot be read: {reason}"),
        };
        let mut actions = Vec::new();
        for bytes in commits.values() {
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            for line in lines {
                actions.push(serde_json::from_slice(line).map_err(|error| unreadable(error.to_string()))?);
            }
        }
        Ok(actions)
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stage({:?} since version {})", self.now(), self.base.version())
    }
}

/// What a row of commits does in all.
#[derive(Default)]
struct Net {
    adds: Vec<Add>,
    removes: Vec<Remove>,
    /// All files written for it.
    written: Vec<Add>,
    /// Those of them that it took back itself.
    unused: Vec<Add>,
}

impl Net {
    fn operation(&self) -> DeltaOperation {
        let mode = SaveMode::Append;
        match self.removes.is_empty() {
            true => DeltaOperation::Write {
                mode,
                partition_by: None,
                predicate: None,
            },
            // Several statements: what they say stays out of the history, as with one.
            false => DeltaOperation::Merge {
                predicate: None,
                merge_predicate: None,
                matched_predicates: Vec::new(),
                not_matched_predicates: Vec::new(),
                not_matched_by_source_predicates: Vec::new(),
            },
        }
    }
}

fn net(name: &TableName, actions: &[Action]) -> Net {
    let mut net = Net::default();
    for action in actions {
        match action {
            Action::Add(add) => {
                net.adds.push(add.clone());
                net.written.push(add.clone());
            }
            Action::Remove(remove) => match net.adds.iter().position(|add| add.path == remove.path) {
                Some(at) => {
                    let add = net.adds.remove(at);
                    net.unused.push(add);
                }
                None => net.removes.push(remove.clone()),
            },
            // Who committed when and how, and the properties: told anew by the one commit.
            Action::CommitInfo(_) | Action::Metadata(_) => {}
            Action::Cdc(_) | Action::Txn(_) | Action::Protocol(_) | Action::DomainMetadata(_) => {
                tracing::error!(table = %name, "a staged change holds an action that changes of rows do not make");
            }
        }
    }
    net
}
