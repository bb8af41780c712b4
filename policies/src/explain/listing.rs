//! The rules in force, line by line, for administrators.

use crate::decision::RuleRef;
use crate::filters::{self, MaskHow};
use crate::mask::Mask;
use crate::principal::USER;
use crate::rules::{self, Effect};
use crate::set::PolicySet;

/// One line of `policy.csv` or one entry of `filters.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleLine {
    /// `grant`, `deny`, `role`, `row filter`, `mask`, or the definition of one of the latter two.
    pub kind: &'static str,
    /// Whom it is about; none for definitions.
    pub subject: Option<String>,
    /// The department it holds in, `*` for all; none for definitions.
    pub department: Option<String>,
    /// File, line and text.
    pub rule: RuleRef,
}

impl PolicySet {
    /// Every rule in force, in the order of files and lines.
    pub fn rules(&self) -> Vec<RuleLine> {
        let line = |kind, subject: &str, department: &str, rule| RuleLine {
            kind,
            subject: Some(subject.to_owned()),
            department: Some(department.to_owned()),
            rule,
        };
        let rules = &self.engine.rules;
        let grants = rules.grants.iter().map(|grant| {
            let kind = match grant.effect {
                Effect::Allow => "grant",
                Effect::Deny => "deny",
            };
            line(kind, &grant.subject, &grant.domain, grant.reference())
        });
        let links = rules.links.iter().map(|link| {
            let until = link.until.as_ref().map(|until| format!(", {}", until.text));
            let until = until.unwrap_or_default();
            let rule = RuleRef {
                file: rules::FILE,
                line: link.line,
                text: format!("g, {}, {}, {}{until}", link.member, link.role, link.domain),
            };
            line("role", &link.member, &link.domain, rule)
        });
        let attached = |kind, all: &[rules::Attachment]| -> Vec<RuleLine> {
            all.iter()
                .map(|one| line(kind, &one.subject, &one.domain, one.reference()))
                .collect()
        };
        let mut lines: Vec<RuleLine> = grants.chain(links).collect();
        lines.extend(attached("row filter", &rules.filters));
        lines.extend(attached("mask", &rules.masks));
        lines.sort_by_key(|line| line.rule.line);

        let definition = |kind, line, text| RuleLine {
            kind,
            subject: None,
            department: None,
            rule: RuleRef {
                file: filters::FILE,
                line,
                text,
            },
        };
        let filters = self.entries.filters.iter().map(|(name, entry)| {
            let text = format!("{name}: {}", entry.template.expr);
            definition("row filter definition", entry.line, text)
        });
        let masks = self.entries.masks.iter().map(|(name, entry)| {
            let text = format!("{name}: {}", entry.how.in_words());
            definition("mask definition", entry.line, text)
        });
        let mut definitions: Vec<RuleLine> = filters.chain(masks).collect();
        definitions.sort_by_key(|line| line.rule.line);
        lines.extend(definitions);
        lines
    }

    /// The logins that `policy.csv` names, sorted.
    pub fn people(&self) -> Vec<String> {
        let rules = &self.engine.rules;
        let members = rules.links.iter().map(|link| link.member.as_str());
        let granted = rules.grants.iter().map(|grant| grant.subject.as_str());
        let attached = rules.filters.iter().chain(&rules.masks).map(|one| one.subject.as_str());
        let mut people: Vec<String> = members
            .chain(granted)
            .chain(attached)
            .filter_map(|subject| subject.strip_prefix(USER))
            .map(str::to_owned)
            .collect();
        people.sort_unstable();
        people.dedup();
        people
    }
}

impl MaskHow {
    /// What the mask does, as its entry says it.
    pub(super) fn in_words(&self) -> String {
        match self {
            MaskHow::Null => "always NULL".to_owned(),
            MaskHow::Constant(value) => format!("always {value}"),
            MaskHow::Sql(template) => template.expr.to_string(),
            MaskHow::Kind(Mask::Hash(_)) => "a keyed hash".to_owned(),
            MaskHow::Kind(Mask::Partial(keep)) => format!("the first {keep} characters"),
            MaskHow::Kind(Mask::Truncate(unit)) => format!("cut down to the {unit:?}").to_lowercase(),
            MaskHow::Kind(Mask::Bucket(width)) => format!("cut down to multiples of {width}"),
        }
    }
}
