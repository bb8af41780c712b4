//! The grant that would have helped: one thing about it is missing, and the thing is said.

use std::fmt;

use crate::action::Action;
use crate::decision::{RuleRef, in_domain};
use crate::object::Tags;
use crate::principal::{Principal, ROLE, Subject};
use crate::rules::{Effect, Grant};
use crate::set::PolicySet;

/// A grant that would allow what was refused, if one thing were otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearest {
    /// The grant.
    pub rule: RuleRef,
    /// What would have to be otherwise, as the end of a sentence that begins with the grant.
    pub missing: String,
}

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} would, {}", self.rule.file, self.rule.line, self.missing)
    }
}

/// The smallest step first: a time prolonged, an action added to a line, a line widened, a tag set, a role given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Missing {
    Time,
    Action,
    Department,
    Tag,
    Role,
}

pub(super) fn nearest(
    set: &PolicySet,
    who: &Principal,
    department: &str,
    object: &[&str],
    tags: &Tags,
    action: Action,
) -> Option<Nearest> {
    let held = set.engine.held(&who.subject(), department);
    let missing = |grant: &Grant, is_over: bool| -> Option<Missing> {
        if grant.effect != Effect::Allow {
            return None;
        }
        let lacks = [
            (!grant.actions.contains(action), Missing::Action),
            (!in_domain(&grant.domain, department), Missing::Department),
            (!grant.object.surely_matches(object, tags), Missing::Tag),
            (!held.contains(&grant.subject), Missing::Role),
            (is_over, Missing::Time),
        ];
        let mut lacking = lacks.into_iter().filter(|(lacks, _)| *lacks).map(|(_, what)| what);
        let (only, None) = (lacking.next()?, lacking.next()) else {
            return None;
        };
        match only {
            // A path that matches something else is about something else; a tag can be set.
            Missing::Tag => grant.object.is_tags().then_some(only),
            // Nobody becomes another person, and a role may bring a denial with its grant.
            Missing::Role => {
                let brought = set.engine.question(&Subject::plain(&grant.subject), department, action);
                let helps = grant.subject.starts_with(ROLE) && brought.weigh(object, tags).allowed();
                helps.then_some(only)
            }
            Missing::Action | Missing::Department | Missing::Time => Some(only),
        }
    };
    let rules = &set.engine.rules;
    let all = rules.grants.iter().map(|grant| (grant, false));
    let all = all.chain(rules.expired.iter().map(|grant| (grant, true)));
    let found = all.filter_map(|(grant, is_over)| Some((missing(grant, is_over)?, grant)));
    // Of several the narrower one: `**` is the administrators' and the last to hand out.
    let (what, grant) = found.min_by_key(|(what, grant)| (*what, grant.object.is_everything(), grant.line))?;
    let [_, domain, pattern, actions, _] = &grant.fields;
    Some(Nearest {
        rule: grant.reference(),
        missing: match what {
            Missing::Time => "if its time were not over".to_owned(),
            Missing::Action => format!("if it gave {action}; it gives {actions}"),
            Missing::Department => format!("if it were for department {department}; it is for {domain}"),
            Missing::Tag => format!("if the object had {pattern}"),
            Missing::Role => format!("if {} held {} in {department}", who.name, grant.subject),
        },
    })
}
