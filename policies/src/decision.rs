//! Grants and denials, compiled. Deny wins; nothing matched is a no.
//!
//! Casbin scans every rule for every question (2.6 ms at a thousand rules), so rules are found here by subject and the
//! roles of a person are looked up once. What is decided is the same: see [`crate::oracle`].

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::action::Action;
use crate::index::PatternIndex;
use crate::inside::COLUMN_DEPTH;
use crate::object::Tags;
use crate::principal::Subject;
use crate::roles::Roles;
use crate::rules::{self, Attachment, Effect, Grant, Rules};

/// Role sets remembered per policy set: about as many people × departments as a large institute has.
const ROLE_SETS_MAX: usize = 4_096;

/// A line of a policy file that decided something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleRef {
    /// File name inside the policy directory.
    pub file: &'static str,
    /// Line, from 1.
    pub line: usize,
    /// The rule as written.
    pub text: String,
}

/// Why a [`Decision`] is what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A rule allows it and none denies it.
    Allowed,
    /// A rule denies it; see `determined_by`.
    Denied,
    /// No rule is about it, and what is not allowed is refused.
    NothingMatched,
    /// The table is open, but none of its columns is.
    NoColumn,
    /// A row filter or mask that must apply cannot be used on this table, so the table is closed. The text is for the
    /// administrator: it names the entry, the fault and the remedy.
    Broken(String),
}

/// A yes or no with the rules that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub allowed: bool,
    /// The rules that decided: the denials if there are any, else the grants. Empty when nothing matched.
    pub determined_by: Vec<RuleRef>,
    /// Why.
    pub reason: Reason,
}

impl Decision {
    pub(crate) fn no(reason: Reason, determined_by: Vec<RuleRef>) -> Self {
        Decision {
            allowed: false,
            determined_by,
            reason,
        }
    }
}

/// The grants and denials that match one question.
#[derive(Debug, Default)]
pub(crate) struct Weighed<'a> {
    pub allows: Vec<&'a Grant>,
    pub denies: Vec<&'a Grant>,
}

impl Weighed<'_> {
    pub(crate) fn allowed(&self) -> bool {
        self.denies.is_empty() && !self.allows.is_empty()
    }

    pub(crate) fn decision(&self) -> Decision {
        let (allowed, rules, reason) = match (self.denies.as_slice(), self.allows.as_slice()) {
            ([], []) => (false, &self.allows, Reason::NothingMatched),
            ([], _) => (true, &self.allows, Reason::Allowed),
            _ => (false, &self.denies, Reason::Denied),
        };
        Decision {
            allowed,
            determined_by: rules.iter().map(|g| g.reference()).collect(),
            reason,
        }
    }
}

impl Grant {
    pub(crate) fn reference(&self) -> RuleRef {
        RuleRef {
            file: rules::FILE,
            line: self.line,
            text: match &self.until {
                None => format!("p, {}", self.fields.join(", ")),
                Some(until) => format!("p, {}, {}", self.fields.join(", "), until.text),
            },
        }
    }
}

impl Attachment {
    pub(crate) fn reference(&self) -> RuleRef {
        RuleRef {
            file: rules::FILE,
            line: self.line,
            text: self.text.clone(),
        }
    }
}

/// Rules by subject and domain, and who holds what.
pub(crate) struct Engine {
    pub rules: Rules,
    pub roles: Roles,
    /// Subject, then domain, then its patterns.
    by_subject: HashMap<String, HashMap<String, PatternIndex>>,
    held: Mutex<HeldRoles>,
    /// Whether a rule is about a field inside a column, so that columns cannot be judged as a whole.
    pub inside_columns: bool,
}

/// Subject and domain to the roles held.
type HeldRoles = HashMap<(Subject, String), Arc<Vec<String>>>;

/// A person's question about an action in a department, before an object is named.
pub(crate) struct Question<'a> {
    engine: &'a Engine,
    held: Arc<Vec<String>>,
    domain: &'a str,
    action: Action,
}

impl Engine {
    pub(crate) fn new(rules: Rules, roles: Roles) -> Self {
        let mut by_subject: HashMap<String, HashMap<String, PatternIndex>> = HashMap::new();
        for (at, grant) in (0..).zip(&rules.grants) {
            let domains = by_subject.entry(grant.subject.clone()).or_default();
            domains
                .entry(grant.domain.clone())
                .or_default()
                .insert(&grant.object, at);
        }
        let objects = rules.grants.iter().map(|grant| &grant.object);
        let objects = objects.chain(rules.masks.iter().map(|mask| &mask.object));
        Engine {
            inside_columns: objects.into_iter().any(|object| object.levels() > COLUMN_DEPTH),
            rules,
            roles,
            by_subject,
            held: Mutex::new(HashMap::new()),
        }
    }

    /// `subject` and every role it holds in `domain`.
    pub(crate) fn held(&self, subject: &Subject, domain: &str) -> Arc<Vec<String>> {
        let key = (subject.clone(), domain.to_owned());
        if let Some(held) = self.held.lock().get(&key) {
            return Arc::clone(held);
        }
        let held = Arc::new(self.roles.held(subject, domain));
        let mut known = self.held.lock();
        if known.len() >= ROLE_SETS_MAX {
            known.clear();
        }
        known.insert(key, Arc::clone(&held));
        held
    }

    /// Whether any grant but an administrator's on everything opens an object of a department to somebody.
    pub(crate) fn opens(&self, domain: &str, object: &[&str], tags: &Tags) -> bool {
        let opening = |grant: &Grant| {
            grant.effect == Effect::Allow
                && !grant.object.is_everything()
                && grant.actions.contains(Action::Select)
                && grant.object.surely_matches(object, tags)
        };
        self.by_subject
            .keys()
            .any(|subject| self.about(subject, domain, object, tags).any(opening))
    }

    /// What is asked of the rules that could apply to a person in a department for an action.
    pub(crate) fn question<'a>(&'a self, subject: &Subject, domain: &'a str, action: Action) -> Question<'a> {
        Question {
            engine: self,
            held: self.held(subject, domain),
            domain,
            action,
        }
    }

    /// The grants of one subject that are about an object, in any reading of its tags.
    fn about(&self, subject: &str, domain: &str, object: &[&str], tags: &Tags) -> impl Iterator<Item = &Grant> {
        let mut found = Vec::new();
        if let Some(domains) = self.by_subject.get(subject) {
            let everywhere = domains.get("*").filter(|_| domain != "*");
            for index in domains.get(domain).into_iter().chain(everywhere) {
                index.find(object, tags, &mut found);
            }
        }
        found
            .into_iter()
            .filter_map(|at| self.rules.grants.get(usize::try_from(at).ok()?))
    }
}

impl<'a> Question<'a> {
    /// The grants and denials that match an object, in file order. An object without a name, or with an empty part of one,
    /// matches nothing.
    pub(crate) fn weigh(&self, object: &[&str], tags: &Tags) -> Weighed<'a> {
        let mut weighed = Weighed::default();
        if object.is_empty() || object.iter().any(|part| part.is_empty()) {
            return weighed;
        }
        let engine = self.engine;
        let mut about: Vec<&Grant> = self
            .held
            .iter()
            .flat_map(|role| engine.about(role, self.domain, object, tags))
            .filter(|grant| grant.actions.contains(self.action))
            .collect();
        about.sort_unstable_by_key(|grant| grant.line);
        about.dedup_by_key(|grant| grant.line);
        for grant in about {
            match grant.effect {
                Effect::Allow if grant.object.surely_matches(object, tags) => weighed.allows.push(grant),
                Effect::Deny => weighed.denies.push(grant),
                Effect::Allow => {}
            }
        }
        weighed
    }

    /// The grants and denials of everything, whatever the object.
    pub(crate) fn of_everything(&self) -> Weighed<'a> {
        // `**` is about any object; what else is about this one is left out.
        let mut weighed = self.weigh(&["*"], &Tags::new());
        weighed.allows.retain(|grant| grant.object.is_everything());
        weighed.denies.retain(|grant| grant.object.is_everything());
        weighed
    }
}

/// Whether a rule's domain covers a department.
pub(crate) fn in_domain(rule: &str, department: &str) -> bool {
    rule == "*" || rule == department
}
