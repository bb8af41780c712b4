//! A lake opened for reading, without doors.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Weak};

use datafusion::execution::SessionState;
use labhouse_catalog::{Catalog, CatalogSnapshot, Lake, TableName};
use labhouse_policies::{PolicyFiles, PolicySet, Principal, TableObject, default_files};

use super::Trouble;
use crate::auth;
use crate::config::Config;
use crate::models::{ModelSnapshot, ModelStore};
use crate::query::statement::{CATALOG, lake_name_from_text};
use crate::session::{Governed, Sessions, World};
use crate::system::{SYSTEM, SystemTables};

/// Who runs the tools: whoever can read the lake's files may see all of them.
const ADMINISTRATOR: &str = "administrator";
/// The policy under which the tools read the lake.
const EVERYTHING: &str = "g, user:administrator, role:administrator, *\np, role:administrator, *, **, *, allow\n";

/// Tables, models and people as they are now.
pub(crate) struct Lab {
    sessions: Sessions,
    catalog: Arc<CatalogSnapshot>,
    models: Arc<ModelSnapshot>,
    people: BTreeMap<String, Principal>,
    everything: Arc<PolicySet>,
}

impl Lab {
    /// Opens the lake, the models and the users file of a config; nothing is written anywhere.
    pub(crate) async fn open(config: &Config) -> Result<Self, Trouble> {
        let lake = Lake::open(&config.lake.url, &config.lake.options).await?;
        let catalog = Catalog::load(Arc::clone(&lake)).await?.snapshot();
        let models = ModelStore::open(Arc::clone(&lake)).await?.snapshot();
        let model = default_files().iter().find(|(name, _)| *name == "model.conf");
        let files = PolicyFiles {
            model: model.map(|(_, text)| (*text).to_owned()).unwrap_or_default(),
            policy: EVERYTHING.to_owned(),
            ..PolicyFiles::default()
        };
        Ok(Self {
            sessions: Sessions::new(&config.limits, &lake)?,
            catalog,
            models,
            people: auth::principals(&config.auth.users)?,
            everything: Arc::new(PolicySet::from_files(&files, 0)?),
        })
    }

    /// The policies in a directory. `must_act` refuses a set that a server would refuse for the tables that are there.
    pub(crate) fn policies(&self, dir: &Path, must_act: bool) -> Result<Arc<PolicySet>, Trouble> {
        let told =
            |problem: &dyn std::fmt::Display| format!("the policies in {} are not valid:\n{problem}", dir.display());
        let set = PolicySet::load(dir, 1).map_err(|problem| told(&problem))?;
        if must_act {
            let objects: Vec<TableObject> = self
                .catalog
                .all()
                .map(|table| crate::session::table_object(table))
                .collect();
            let problems = set.verify(self.sessions.system(), &objects);
            if problems.is_fatal() {
                return Err(told(&problems).into());
            }
        }
        Ok(Arc::new(set))
    }

    /// What somebody sees under some policies.
    pub(crate) fn view(&self, who: &Principal, policies: &Arc<PolicySet>) -> Arc<Governed> {
        let world = World {
            policies: Arc::clone(policies),
            catalog: Arc::clone(&self.catalog),
            models: Arc::clone(&self.models),
            met: Arc::default(),
        };
        // Without a server there is nothing in the system tables; what policies say of them can still be asked.
        self.sessions.govern(who, world, SystemTables(Weak::new()))
    }

    /// The view of an administrator who sees everything.
    pub(crate) fn administrator(&self) -> Arc<Governed> {
        self.view(&Principal::new(ADMINISTRATOR), &self.everything)
    }

    /// A session over a view, as the server opens one for a statement.
    pub(crate) fn session(&self, view: &Arc<Governed>) -> Result<Arc<SessionState>, Trouble> {
        Ok(Arc::new(self.sessions.open(view)?))
    }

    /// Whether a table has rows that can be read without a server.
    pub(crate) fn has_rows(name: &TableName) -> bool {
        name.schema != SYSTEM
    }

    /// Every table, system tables last.
    pub(crate) fn tables(&self, view: &Governed) -> Vec<TableName> {
        let names = view.world().tables();
        names.map(|(schema, table)| TableName { schema, table }).collect()
    }

    /// A table given by name; there must be one.
    pub(crate) fn table(&self, view: &Governed, text: &str) -> Result<TableName, Trouble> {
        let name = lake_name_from_text(text)?;
        match view.object(&name.schema, &name.table) {
            Some(_) => Ok(name),
            None => Err(format!(
                "there is no table {CATALOG}.{name} in the lake; `labhouse policy explain --as USER` lists all tables"
            )
            .into()),
        }
    }

    /// The person of that name: from the users file with attributes, or named by the policies alone, then without.
    pub(crate) fn person(&self, name: &str, policies: &PolicySet) -> Result<Principal, Trouble> {
        if let Some(who) = self.people.get(name) {
            return Ok(who.clone());
        }
        if policies.people().iter().any(|known| known == name) {
            return Ok(Principal::new(name));
        }
        let known: Vec<&str> = self.people.keys().take(KNOWN_SHOWN_MAX).map(String::as_str).collect();
        Err(format!(
            "nobody is called {name}: neither the users file nor policy.csv has that login; there are {}",
            known.join(", ")
        )
        .into())
    }

    /// Everybody in the users file or in one of the sets, by name.
    pub(crate) fn everybody(&self, sets: &[&PolicySet]) -> Vec<Principal> {
        let mut all = self.people.clone();
        for name in sets.iter().flat_map(|set| set.people()) {
            all.entry(name.clone()).or_insert_with(|| Principal::new(name));
        }
        all.into_values().collect()
    }
}

/// Logins that an error names: enough for a small lab, not a screen full.
const KNOWN_SHOWN_MAX: usize = 20;
