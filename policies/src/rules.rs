//! `policy.csv`: roles, grants, and the attachment of row filters and masks.
//!
//! Casbin's own reader drops or splits a line it does not understand, and an effect it does not know (`Deny`) allows.
//! So nothing reaches Casbin that did not pass here: five kinds of line, the exact number of fields, exact words, plain
//! ASCII, no quotes, no comment behind a rule. Everything else is an error with its line and a remedy.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::action::Actions;
use crate::object::ObjectPattern;
use crate::principal::{ROLE, USER};
use crate::problem::{PolicyErrors, Problem};
use crate::until::{Until, VALID_UNTIL};

/// The file's name in the policy directory.
pub(crate) const FILE: &str = "policy.csv";
/// Bytes of `policy.csv` at most: 100,000 rules of 300 bytes. A larger file is a mistake, or an attack on the loader.
pub(crate) const POLICY_BYTES_MAX: usize = 32 << 20;

/// Whether a grant gives or takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

/// How a row filter joins the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Permissive,
    Restrictive,
}

/// `p`: a grant or a denial.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub line: usize,
    pub subject: String,
    pub domain: String,
    pub object: ObjectPattern,
    pub actions: Actions,
    pub effect: Effect,
    /// The fields as written, for Casbin and for explanations.
    pub fields: [String; 5],
    pub until: Option<Until>,
}

/// `g`: a person or role holds a role in a domain.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub line: usize,
    pub member: String,
    pub role: String,
    pub domain: String,
    pub until: Option<Until>,
}

/// `p2` (row filter, with a mode) or `p3` (mask, without).
#[derive(Debug, Clone)]
pub(crate) struct Attachment {
    pub line: usize,
    pub subject: String,
    pub domain: String,
    pub object: ObjectPattern,
    pub mode: Option<Mode>,
    pub name: String,
    pub text: String,
}

/// Everything `policy.csv` says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub grants: Vec<Grant>,
    pub links: Vec<Link>,
    pub filters: Vec<Attachment>,
    pub masks: Vec<Attachment>,
    /// Grants and denials whose time is over: they decide nothing and explain why something is closed.
    pub expired: Vec<Grant>,
}

impl Rules {
    /// Takes out the lines whose time is over and says so; gives the moment at which the next one is.
    pub(crate) fn expire(&mut self, now: DateTime<Utc>, problems: &mut PolicyErrors) -> Option<DateTime<Utc>> {
        let mut next: Option<DateTime<Utc>> = None;
        let mut holds = |line: usize, until: &Option<Until>| match until {
            Some(until) if until.over_at <= now => {
                let what = format!("the line held until {} and does nothing any more", until.over_at);
                problems.push(Problem::warning(FILE, line, what, "remove it, or give it a later time"));
                false
            }
            Some(until) => {
                next = Some(next.map_or(until.over_at, |next| next.min(until.over_at)));
                true
            }
            None => true,
        };
        let grants = std::mem::take(&mut self.grants).into_iter();
        (self.grants, self.expired) = grants.partition(|grant| holds(grant.line, &grant.until));
        self.links.retain(|link| holds(link.line, &link.until));
        next
    }
}

/// Reads `policy.csv`. Lines with problems are reported and left out; the caller refuses the whole set if any is fatal.
pub(crate) fn parse(text: &str, problems: &mut PolicyErrors) -> Rules {
    let mut rules = Rules::default();
    if text.len() > POLICY_BYTES_MAX {
        let what = format!("the file has {} bytes, more than {POLICY_BYTES_MAX}", text.len());
        problems.push(Problem::error(
            FILE,
            0,
            what,
            "use patterns (lab/chemistry/**) and tags instead of one line a column",
        ));
        return rules;
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (number, raw) in text.split('\n').enumerate().map(|(i, line)| (i + 1, line)) {
        let line = raw.strip_suffix('\r').unwrap_or(raw).trim_matches([' ', '\t']);
        if line.starts_with('\u{feff}') {
            let what = "the line starts with a byte order mark, which hides what it says";
            problems.push(Problem::error(
                FILE,
                number,
                what,
                "save the file as plain UTF-8 without BOM",
            ));
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match read(number, line, &mut rules) {
            Ok(canonical) => {
                if let Some(first) = seen.insert(canonical, number) {
                    let what = format!("the line repeats line {first}");
                    problems.push(Problem::warning(FILE, number, what, "remove one of them"));
                }
            }
            Err((what, remedy)) => problems.push(Problem::error(FILE, number, what, remedy)),
        }
    }
    rules
}

type Refusal = (String, String);

fn refuse<T>(what: impl Into<String>, remedy: impl Into<String>) -> Result<T, Refusal> {
    Err((what.into(), remedy.into()))
}

fn read(line: usize, text: &str, rules: &mut Rules) -> Result<String, Refusal> {
    if let Some(odd) = text
        .chars()
        .find(|c| !c.is_ascii() || (c.is_ascii_control() && *c != '\t'))
    {
        return refuse(
            format!("the character {odd:?} is not plain ASCII"),
            "write names in ASCII; for other names use * in their place",
        );
    }
    if text.contains('"') {
        return refuse(
            "quotes are not understood here",
            "remove them; SQL text belongs in filters.toml",
        );
    }
    if text.contains('#') {
        return refuse("a comment stands behind a rule", "put the comment on its own line");
    }
    let mut fields: Vec<&str> = text.split(',').map(|f| f.trim_matches([' ', '\t'])).collect();
    if let Some(at) = fields.iter().position(|f| f.is_empty()) {
        return refuse(format!("field {} is empty", at + 1), "fill it in, or use * for all");
    }
    let canonical = fields.join(", ");
    let until = match (fields.first(), fields.last()) {
        (Some(kind), Some(last)) if last.starts_with(VALID_UNTIL) => {
            if !["p", "g"].contains(kind) {
                return refuse(
                    format!("`{kind}` does not take {VALID_UNTIL}: data would open by itself when its time is over"),
                    "remove the filter or mask by hand when its time has come, or limit the p line of another role",
                );
            }
            let until = Until::parse(last)?;
            fields.pop();
            Some(until)
        }
        _ => None,
    };
    match fields.as_slice() {
        ["p", sub, dom, obj, act, eft] => {
            let object = object(obj)?;
            let actions = Actions::parse(act).map_err(|e| (e.to_string(), "use one of those words".to_owned()))?;
            let effect = match *eft {
                "allow" => Effect::Allow,
                "deny" => Effect::Deny,
                other => {
                    return refuse(
                        format!("`{other}` is no effect"),
                        "write allow or deny, in small letters",
                    );
                }
            };
            check_reach(&object, obj, actions)?;
            rules.grants.push(Grant {
                line,
                subject: subject(sub)?,
                domain: domain(dom)?,
                object,
                actions,
                effect,
                fields: [*sub, *dom, *obj, *act, *eft].map(str::to_owned),
                until,
            });
        }
        ["g", member, role, dom] => {
            if !role.starts_with(ROLE) {
                return refuse(format!("`{role}` is not a role"), format!("write {ROLE}NAME"));
            }
            let (member, role) = (subject(member)?, subject(role)?);
            if member == role {
                return refuse(format!("{role} is given to itself"), "remove the line");
            }
            rules.links.push(Link {
                line,
                member,
                role,
                domain: domain(dom)?,
                until,
            });
        }
        ["p2", sub, dom, obj, mode, name] => {
            let mode = match *mode {
                "permissive" => Mode::Permissive,
                "restrictive" => Mode::Restrictive,
                other => return refuse(format!("`{other}` is no mode"), "write permissive or restrictive"),
            };
            rules
                .filters
                .push(attachment(line, &canonical, sub, dom, obj, Some(mode), name)?);
        }
        ["p3", sub, dom, obj, name] => rules
            .masks
            .push(attachment(line, &canonical, sub, dom, obj, None, name)?),
        [kind @ ("p" | "g" | "p2" | "p3"), rest @ ..] => {
            let wanted = match *kind {
                "p" => "p, subject, domain, object, action, effect[, valid_until=TIME]",
                "g" => "g, member, role, domain[, valid_until=TIME]",
                "p2" => "p2, subject, domain, object, mode, filter",
                _ => "p3, subject, domain, object, mask",
            };
            return refuse(
                format!("`{kind}` has {} fields behind it", rest.len()),
                format!("write `{wanted}`"),
            );
        }
        [kind, ..] => {
            return refuse(
                format!("`{kind}` is no kind of line"),
                "use p (grant), g (role), p2 (row filter) or p3 (mask)",
            );
        }
        [] => return refuse("the line is empty", "remove it"),
    }
    Ok(canonical)
}

fn attachment(
    line: usize,
    text: &str,
    sub: &str,
    dom: &str,
    obj: &str,
    mode: Option<Mode>,
    name: &str,
) -> Result<Attachment, Refusal> {
    let object = object(obj)?;
    let (depth, level) = match mode {
        Some(_) => (3, "a table: lab/SCHEMA/TABLE"),
        None => (
            4,
            "a column: lab/SCHEMA/TABLE/COLUMN, or a field inside one: …/COLUMN/FIELD",
        ),
    };
    if object
        .depth()
        .is_some_and(|d| d < depth || (d > depth && mode.is_some()))
    {
        return refuse(
            format!("`{obj}` does not name {level}"),
            format!("name {level}, with stars if you like, or end it in /**"),
        );
    }
    Ok(Attachment {
        line,
        subject: if sub == "*" { sub.to_owned() } else { subject(sub)? },
        domain: domain(dom)?,
        object,
        mode,
        name: name.to_owned(),
        text: text.to_owned(),
    })
}

/// A rule that cannot match anything it seems to be about is worse than none: `deny select lab/chemistry` reads like
/// a locked schema and locks nothing.
fn check_reach(object: &ObjectPattern, text: &str, actions: Actions) -> Result<(), Refusal> {
    use crate::action::Action::{Admin, Alert, Alter, Create, Drop, Execute, Train, Use};
    let root = object.root().unwrap_or_default();
    let schema_or_above = object.depth().is_some_and(|d| d <= 2) && !matches!(root, "fn" | "model" | "step" | "system");
    let above_tables = [Use, Create, Drop, Alter, Execute, Train, Alert, Admin]
        .iter()
        .any(|a| actions.contains(*a));
    if schema_or_above && !above_tables {
        return refuse(
            format!(
                "`{text}` names a catalog or schema, but the action is for tables and columns: it would match nothing"
            ),
            format!("write {text}/** for everything below"),
        );
    }
    Ok(())
}

fn object(text: &str) -> Result<ObjectPattern, Refusal> {
    ObjectPattern::parse(text).map_err(|what| {
        (
            what,
            "see the head of policies/default/policy.csv for objects and patterns".to_owned(),
        )
    })
}

fn subject(text: &str) -> Result<String, Refusal> {
    if text == "*" {
        return refuse(
            "`*` may only be the subject of p2 and p3",
            "give the right to a role, and the role to people with g lines",
        );
    }
    let name = text.strip_prefix(USER).or_else(|| text.strip_prefix(ROLE));
    match name {
        None => refuse(
            format!("`{text}` has no type"),
            format!("write {USER}{text} or {ROLE}{text}"),
        ),
        Some(name) if name.is_empty() || name.contains([':', '*', ' ', '\t', '/', '|']) => refuse(
            format!("`{text}` is not a name"),
            "use letters, digits and _ - . @ in names",
        ),
        Some(_) => Ok(text.to_owned()),
    }
}

fn domain(text: &str) -> Result<String, Refusal> {
    let plain = text == "*" || text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if plain {
        Ok(text.to_owned())
    } else {
        refuse(format!("`{text}` is no department"), "write its name, or * for all")
    }
}
