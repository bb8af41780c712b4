//! A whole policy, read and checked at once and never changed.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use datafusion::execution::session_state::SessionState;
use sha2::{Digest, Sha256};

use crate::access::{self, TableAccess, TableObject};
use crate::action::Action;
use crate::check;
use crate::compile::Bindings;
use crate::decision::{Decision, Engine, Reason};
use crate::explain::Notes;
use crate::filters::{self, Entries};
use crate::model_conf;
use crate::object::Tags;
use crate::oracle::{Oracle, OracleError};
use crate::principal::Principal;
use crate::problem::{PolicyErrors, Problem};
use crate::remember::Remembered;
use crate::roles::{self, Roles};
use crate::rules::{self, Rules};
use crate::secret::{self, Secret};
use crate::verify;

/// Questions the compiled engine and Casbin are both asked at load, at most.
const SELF_CHECKS_MAX: usize = 400;
/// Casbin needs 2.6 ms for a question at a thousand rules and 250 ms at a hundred thousand: after this time few are enough.
const SELF_CHECKS_TIME_MAX: Duration = Duration::from_secs(1);
/// Questions that are asked however long they take.
const SELF_CHECKS_MIN: usize = 4;

/// The texts of a policy directory.
#[derive(Clone, Default)]
pub struct PolicyFiles {
    /// `model.conf`.
    pub model: String,
    /// `policy.csv`.
    pub policy: String,
    /// `filters.toml`.
    pub filters: String,
    /// The file `secret` or the variable LABHOUSE_POLICY_SECRET, if there is one.
    pub secret: Option<String>,
}

/// A policy in force: who may do what to which object, which rows, which values. Immutable.
pub struct PolicySet {
    generation: u64,
    fingerprint: String,
    files: PolicyFiles,
    /// When the next line's time is over and this set must not be used any more.
    valid_until: Option<DateTime<Utc>>,
    pub(crate) engine: Engine,
    pub(crate) entries: Entries,
    oracle: Arc<Oracle>,
    secret: Option<Secret>,
    warnings: PolicyErrors,
    remembered: Remembered,
}

impl std::fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicySet")
            .field("generation", &self.generation)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

impl PolicyFiles {
    /// Reads `model.conf`, `policy.csv`, `filters.toml` and the secret from `dir`.
    ///
    /// # Errors
    /// A file that is missing or not UTF-8, with its name and what to do.
    pub fn read(dir: &Path) -> Result<Self, PolicyErrors> {
        let mut problems = PolicyErrors::new();
        let mut read = |file: &str| match std::fs::read(dir.join(file)) {
            Ok(bytes) => String::from_utf8(bytes).unwrap_or_else(|e| {
                let line = e
                    .as_bytes()
                    .get(..e.utf8_error().valid_up_to())
                    .map_or(0, |b| b.iter().filter(|c| **c == b'\n').count() + 1);
                problems.push(Problem::error(
                    file,
                    line,
                    "the file is not UTF-8",
                    "save it as UTF-8 without BOM",
                ));
                String::new()
            }),
            Err(e) => {
                let what = format!("{} cannot be read: {e}", dir.join(file).display());
                problems.push(Problem::error(
                    file,
                    0,
                    what,
                    "copy the file from policies/default, or correct [policies] dir in the config",
                ));
                String::new()
            }
        };
        let (model, policy, filters) = (read(model_conf::FILE), read(rules::FILE), read(filters::FILE));
        let secret = secret::read(dir, &mut problems);
        if problems.is_fatal() {
            Err(problems)
        } else {
            Ok(Self {
                model,
                policy,
                filters,
                secret,
            })
        }
    }

    /// SHA-256 over all texts, in hex: equal if and only if the policy is the same.
    pub fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        for text in [
            Some(&self.model),
            Some(&self.policy),
            Some(&self.filters),
            self.secret.as_ref(),
        ] {
            let text = text.map_or("", String::as_str);
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        }
        hex(&digest.finalize())
    }
}

impl PolicySet {
    /// Reads and checks the policy in `dir`.
    ///
    /// # Errors
    /// Every problem found, each with file, line, what is wrong and what to do. Nothing is loaded in part.
    pub fn load(dir: &Path, generation: u64) -> Result<Self, PolicyErrors> {
        Self::from_files(&PolicyFiles::read(dir)?, generation)
    }

    /// Checks a policy given as texts.
    ///
    /// # Errors
    /// As [`PolicySet::load`].
    pub fn from_files(files: &PolicyFiles, generation: u64) -> Result<Self, PolicyErrors> {
        Self::at(files, generation, Utc::now())
    }

    /// The policy as it is at a moment: without the lines whose time is over.
    ///
    /// # Errors
    /// As [`PolicySet::load`].
    pub fn at(files: &PolicyFiles, generation: u64, now: DateTime<Utc>) -> Result<Self, PolicyErrors> {
        let mut problems = PolicyErrors::new();
        model_conf::check(&files.model, &mut problems);
        let mut rules = rules::parse(&files.policy, &mut problems);
        let valid_until = rules.expire(now, &mut problems);
        let entries = filters::parse(&files.filters, &mut problems);
        let secret = files.secret.as_deref().and_then(Secret::new);
        let roles = Roles::new(&rules.links);
        roles::check(&rules, &roles, &mut problems);
        check::names(&rules, &entries, &mut problems);
        check::secret(files.secret.is_some(), secret.is_some(), &entries, &mut problems);
        if problems.is_fatal() {
            return Err(problems);
        }
        let oracle =
            Oracle::new(&rules).map_err(|e| Problem::error(rules::FILE, 0, e.to_string(), "correct the rules"))?;
        let set = PolicySet {
            generation,
            fingerprint: files.fingerprint(),
            files: files.clone(),
            valid_until,
            engine: Engine::new(rules, roles),
            entries,
            oracle: Arc::new(oracle),
            secret,
            warnings: problems,
            remembered: Remembered::default(),
        };
        set.agrees_with_casbin()?;
        Ok(set)
    }

    /// The texts it was read from, by file: `policy.csv` and `filters.toml`. The secret is shown nowhere.
    pub fn texts(&self) -> [(&'static str, &str); 2] {
        [(rules::FILE, &self.files.policy), (filters::FILE, &self.files.filters)]
    }

    /// The policy that an edit would make: with other texts in the place of `policy.csv` and `filters.toml`, where given. It is
    /// nowhere in force.
    ///
    /// # Errors
    /// As [`PolicySet::load`].
    pub fn edited(&self, policy: Option<&str>, filters: Option<&str>) -> Result<Self, PolicyErrors> {
        let mut files = self.files.clone();
        for (file, text) in [(&mut files.policy, policy), (&mut files.filters, filters)] {
            if let Some(text) = text {
                *file = text.to_owned();
            }
        }
        Self::from_files(&files, self.generation)
    }

    /// Type-checks every row filter and mask against the tables it is attached to, as far as they are in `tables`. `state`
    /// must be the server's own session, whose functions nobody else can replace.
    pub fn verify(&self, state: &SessionState, tables: &[TableObject]) -> PolicyErrors {
        verify::verify(self, state, tables)
    }

    /// Decides one question. `department` owns the object; `object` is its path (`lab/chemistry/reactions/yield_pct`,
    /// `fn/predict_yield`, `model/lab/chemistry/yield_model`); `tags` are the object's own, inherited ones included.
    /// Whether a *table* can be read also depends on its catalog, schema and columns: use [`PolicySet::table`].
    pub fn decide(
        &self,
        principal: &Principal,
        department: &str,
        object: &str,
        tags: &Tags,
        action: Action,
    ) -> Arc<Decision> {
        let name = principal.key();
        if let Some(known) = self.remembered.get(&name, department, object, tags, action) {
            return known;
        }
        let parts: Vec<&str> = object.split('/').collect();
        let asked = self.engine.question(&principal.subject(), department, action);
        let decision = Arc::new(asked.weigh(&parts, tags).decision());
        self.remembered.keep(&name, department, object, tags, action, &decision);
        decision
    }

    /// What `principal` sees of a table: nothing, or some columns, rows and masks. A row filter or mask that cannot be
    /// compiled against the table closes it.
    ///
    /// For an action other than [`Action::Select`] the table must be open to that action and readable; the columns are
    /// those open to both, the rows those it may read. `state` is the server's own session, never a user's.
    pub fn table(
        &self,
        principal: &Principal,
        table: &TableObject,
        state: &SessionState,
        action: Action,
    ) -> TableAccess {
        match access::table(self, principal, table, state, action, &mut Notes::off()) {
            Ok(access) => TableAccess::Open(access),
            Err(decision) => {
                if let Reason::Broken(why) = &decision.reason {
                    tracing::error!(table = %table.reference, principal = %principal.name, why, "table closed: its policy cannot be applied");
                }
                TableAccess::Hidden(decision)
            }
        }
    }

    /// Every role the principal holds, with the domain it holds it in; sorted.
    pub fn roles_of(&self, principal: &Principal) -> Vec<(String, String)> {
        let subject = principal.subject();
        let mut found: Vec<(String, String)> = Vec::new();
        let domains: BTreeSet<&str> = self.engine.roles.domains().chain(subject.domains()).collect();
        for domain in domains {
            let held = self.engine.held(&subject, domain);
            found.extend(
                held.iter()
                    .filter(|r| **r != subject.name)
                    .map(|role| (role.clone(), domain.to_owned())),
            );
        }
        found.sort();
        // A role held everywhere is told once.
        let everywhere: HashSet<String> = found.iter().filter(|(_, d)| d == "*").map(|(r, _)| r.clone()).collect();
        found.retain(|(role, domain)| domain == "*" || !everywhere.contains(role));
        found
    }

    /// Whether the principal is allowed every action on everything in every department.
    pub fn is_admin(&self, principal: &Principal) -> bool {
        let weighed = self
            .engine
            .question(&principal.subject(), "*", Action::Admin)
            .of_everything();
        let complete = |grant: &&rules::Grant| grant.actions.is_all();
        weighed.allows.iter().any(complete) && !weighed.denies.iter().any(complete)
    }

    /// Whether a rule opens this table, or a column of it, to anybody but those who may see everything.
    pub fn is_granted(&self, table: &TableObject) -> bool {
        let [catalog, schema, name] = [
            &table.reference.catalog,
            &table.reference.schema,
            &table.reference.table,
        ];
        let path = [catalog.as_ref(), schema.as_ref(), name.as_ref()];
        let column = |name: &String| {
            let tags: Tags = table
                .tags
                .clone()
                .into_iter()
                .chain(table.column_tags.get(name).cloned().unwrap_or_default())
                .collect();
            self.engine.opens(
                &table.department,
                &[catalog.as_ref(), schema.as_ref(), table.reference.table.as_ref(), name],
                &tags,
            )
        };
        self.engine.opens(&table.department, &path, &table.tags)
            || table.schema.fields().iter().any(|field| column(field.name()))
    }

    /// Counts policy changes since the server started.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// SHA-256 of the policy's texts, in hex.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// When the next line of it runs out of time, if one does.
    pub fn valid_until(&self) -> Option<DateTime<Utc>> {
        self.valid_until
    }

    /// The same policy as the next generation, as it is at a later moment.
    ///
    /// # Errors
    /// As [`PolicySet::load`].
    pub(crate) fn renewed(&self, now: DateTime<Utc>) -> Result<Self, PolicyErrors> {
        Self::at(&self.files, self.generation + 1, now)
    }

    /// The next generation in which nobody may do anything. It cannot fail.
    pub(crate) fn closed(&self) -> Self {
        Self {
            generation: self.generation + 1,
            fingerprint: self.fingerprint.clone(),
            files: self.files.clone(),
            valid_until: None,
            engine: Engine::new(Rules::default(), Roles::default()),
            entries: Entries::default(),
            oracle: Arc::clone(&self.oracle),
            secret: None,
            warnings: PolicyErrors::new(),
            remembered: Remembered::default(),
        }
    }

    /// Whether a line of it has run out of time.
    pub(crate) fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.valid_until.is_some_and(|until| until <= now)
    }

    /// What is odd but not wrong.
    pub fn warnings(&self) -> &PolicyErrors {
        &self.warnings
    }

    /// Asks Casbin's own enforcer the question of [`PolicySet::decide`]. Slow; for tests and for doubters. Roles
    /// that a login brings are not in the policy, and unknown to it.
    ///
    /// # Errors
    /// Casbin's.
    pub fn ask_casbin(
        &self,
        principal: &Principal,
        department: &str,
        object: &str,
        tags: &Tags,
        action: Action,
    ) -> Result<bool, OracleError> {
        self.oracle
            .ask(&principal.subject().name, department, object, tags, action)
    }

    pub(crate) fn bindings<'a>(&'a self, principal: Option<&'a Principal>) -> Bindings<'a> {
        Bindings {
            principal,
            secret: self.secret.as_ref().map(Secret::expose),
        }
    }

    /// Asks the compiled engine and Casbin about the exact objects of the policy and refuses the set if they differ.
    fn agrees_with_casbin(&self) -> Result<(), PolicyErrors> {
        let people: Vec<Principal> = {
            let mut names: Vec<&str> = self
                .engine
                .rules
                .links
                .iter()
                .filter_map(|l| l.member.strip_prefix("user:"))
                .collect();
            names.sort_unstable();
            names.dedup();
            names.into_iter().map(Principal::new).collect()
        };
        let none = Tags::new();
        let questions = self
            .engine
            .rules
            .grants
            .iter()
            .filter(|g| g.object.exact().is_some())
            .flat_map(|g| people.iter().map(move |who| (g, who)));
        let started = Instant::now();
        for (asked, (grant, who)) in questions.take(SELF_CHECKS_MAX).enumerate() {
            if asked >= SELF_CHECKS_MIN && started.elapsed() > SELF_CHECKS_TIME_MAX {
                break;
            }
            let [_, domain, object, _, _] = &grant.fields;
            for action in [Action::Select, Action::Execute]
                .into_iter()
                .filter(|a| grant.actions.contains(*a))
            {
                let ours = self.decide(who, domain, object, &none, action).allowed;
                let theirs = self.ask_casbin(who, domain, object, &none, action);
                if !matches!(&theirs, Ok(answer) if *answer == ours) {
                    let what = format!(
                        "labhouse and Casbin disagree whether {} may {action} {object}: {ours} and {theirs:?}",
                        who.name
                    );
                    return Err(
                        Problem::error(rules::FILE, grant.line, what, "please report it with this file").into(),
                    );
                }
            }
        }
        Ok(())
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
