//! Who holds which role where.
//!
//! A link in domain `*` holds in every domain, as Casbin's role manager sees it with the domain matching function set
//! before load. Its role manager stops silently ten levels down and loses inherited denies, so longer chains are refused.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use crate::principal::{ROLE, Subject, USER};
use crate::problem::{PolicyErrors, Problem};
use crate::rules::{FILE, Link, Rules};

/// Links from a person to the last role at most. Casbin loses links from the tenth on; eight leaves a margin.
pub(crate) const CHAIN_MAX: usize = 8;

/// The role graph.
#[derive(Debug, Default)]
pub(crate) struct Roles {
    /// Domain, then member, then the roles given directly.
    links: HashMap<String, HashMap<String, Vec<String>>>,
}

impl Roles {
    pub(crate) fn new(links: &[Link]) -> Self {
        let mut roles = Roles::default();
        for link in links {
            let members = roles.links.entry(link.domain.clone()).or_default();
            members.entry(link.member.clone()).or_default().push(link.role.clone());
        }
        roles
    }

    /// `subject` and every role it holds in `domain`, nearest first.
    pub(crate) fn held(&self, subject: &Subject, domain: &str) -> Vec<String> {
        self.held_without_passing(subject, domain, |_| false)
    }

    /// As [`Roles::held`], but roles behind a role for which `stop` is true are not reached through it. The stopping
    /// role itself is among the result.
    pub(crate) fn held_without_passing(
        &self,
        subject: &Subject,
        domain: &str,
        stop: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let mut found = vec![subject.name.clone()];
        let mut known: HashSet<String> = found.iter().cloned().collect();
        let mut queue = VecDeque::from([subject.name.clone()]);
        while let Some(member) = queue.pop_front() {
            if stop(&member) {
                continue;
            }
            for role in self.given(&member, domain).chain(subject.brings(&member, domain)) {
                if known.insert(role.clone()) {
                    found.push(role.clone());
                    queue.push_back(role.clone());
                }
            }
        }
        found
    }

    /// Every domain that a link names, `*` included.
    pub(crate) fn domains(&self) -> impl Iterator<Item = &str> {
        self.links.keys().map(String::as_str)
    }

    fn given<'a>(&'a self, member: &'a str, domain: &'a str) -> impl Iterator<Item = &'a String> {
        let here = if domain == "*" { None } else { self.links.get(domain) };
        let everywhere = self.links.get("*");
        here.into_iter()
            .chain(everywhere)
            .filter_map(move |members| members.get(member))
            .flatten()
    }

    /// Length of the longest chain of links from `subject`, or `None` if it runs in a circle.
    fn longest(
        &self,
        subject: &str,
        domain: &str,
        path: &mut Vec<String>,
        done: &mut HashMap<String, usize>,
    ) -> Option<usize> {
        if let Some(length) = done.get(subject) {
            return Some(*length);
        }
        if path.iter().any(|p| p == subject) || path.len() > CHAIN_MAX {
            return if path.iter().any(|p| p == subject) {
                None
            } else {
                Some(1)
            };
        }
        path.push(subject.to_owned());
        let mut length = 0;
        for role in self.given(subject, domain) {
            length = length.max(1 + self.longest(role, domain, path, done)?);
        }
        path.pop();
        done.insert(subject.to_owned(), length);
        Some(length)
    }
}

/// Refuses circles and chains that are too long; warns of roles nobody holds or that have nothing.
pub(crate) fn check(rules: &Rules, roles: &Roles, problems: &mut PolicyErrors) {
    let domains: BTreeSet<&str> = roles.domains().collect();
    let mut told = HashSet::new();
    for domain in domains {
        for link in rules.links.iter().filter(|l| l.domain == domain || l.domain == "*") {
            // Each start on its own: a length cut short by the bound must not be remembered for another start.
            match roles.longest(&link.member, domain, &mut Vec::new(), &mut HashMap::new()) {
                None if told.insert(link.line) => problems.push(Problem::error(
                    FILE,
                    link.line,
                    format!("{} gets {} in a circle in domain {domain}", link.member, link.role),
                    "remove one of the g lines of the circle",
                )),
                Some(length) if length > CHAIN_MAX && told.insert(link.line) => problems.push(Problem::error(
                    FILE,
                    link.line,
                    format!(
                        "{} is at the start of a chain of more than {CHAIN_MAX} roles in domain {domain}",
                        link.member
                    ),
                    "give the far roles directly; beyond this depth inherited denies could be lost",
                )),
                _ => {}
            }
        }
    }
    let given: HashSet<&str> = rules.links.iter().map(|l| l.role.as_str()).collect();
    let reached: HashSet<&str> = roles_of_people(rules);
    let mut warned = HashSet::new();
    let used = rules.grants.iter().map(|g| (g.line, g.subject.as_str())).chain(
        rules
            .filters
            .iter()
            .chain(&rules.masks)
            .map(|a| (a.line, a.subject.as_str())),
    );
    for (line, subject) in used {
        if subject.starts_with(ROLE) && !reached.contains(subject) && warned.insert(subject) {
            let what = if given.contains(subject) {
                format!("{subject} is given only to roles that nobody holds")
            } else {
                format!("{subject} is held by nobody")
            };
            problems.push(Problem::warning(FILE, line, what, "add a g line, or correct the name"));
        }
    }
}

fn roles_of_people(rules: &Rules) -> HashSet<&str> {
    let mut given: HashMap<&str, Vec<&str>> = HashMap::new();
    for link in &rules.links {
        given.entry(&link.member).or_default().push(&link.role);
    }
    let mut reached: HashSet<&str> = HashSet::new();
    let mut queue: Vec<&str> = given.keys().copied().filter(|m| m.starts_with(USER)).collect();
    while let Some(member) = queue.pop() {
        for role in given.get(member).into_iter().flatten() {
            if reached.insert(role) {
                queue.push(role);
            }
        }
    }
    reached
}
