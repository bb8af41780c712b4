//! Checks across the files of a policy: names, entries and the secret must fit together.

use std::collections::HashSet;

use crate::filters::{self, Entries};
use crate::object::Tags;
use crate::problem::{PolicyErrors, Problem};
use crate::rules::{self, Rules};
use crate::secret;

/// Every attached name must be an entry, every entry should be attached.
pub(crate) fn names(rules: &Rules, entries: &Entries, problems: &mut PolicyErrors) {
    let attached = [
        (
            "filter",
            &rules.filters,
            entries
                .filters
                .iter()
                .map(|(n, e)| (n, e.line, &e.table))
                .collect::<Vec<_>>(),
        ),
        (
            "mask",
            &rules.masks,
            entries
                .masks
                .iter()
                .map(|(n, e)| (n, e.line, &e.column))
                .collect::<Vec<_>>(),
        ),
    ];
    for (kind, attachments, entries) in attached {
        for a in attachments {
            let Some((_, _, object)) = entries.iter().find(|(name, _, _)| **name == a.name) else {
                let what = format!("there is no [{kind}.{}] in {}", a.name, filters::FILE);
                problems.push(Problem::error(
                    rules::FILE,
                    a.line,
                    what,
                    "add the entry, or correct the name",
                ));
                continue;
            };
            if let Some(path) = a.object.exact()
                && !object.matches(&path, &Tags::new())
                && !object.is_tags()
            {
                let what = format!("{kind} {} is for another object than {}", a.name, path.join("/"));
                problems.push(Problem::error(
                    rules::FILE,
                    a.line,
                    what,
                    format!("make the two the same, here or in {}", filters::FILE),
                ));
            }
        }
        let used: HashSet<&str> = attachments.iter().map(|a| a.name.as_str()).collect();
        for (name, line, _) in entries.iter().filter(|(name, _, _)| !used.contains(name.as_str())) {
            let what = format!("the {kind} {name} is attached to nothing");
            problems.push(Problem::warning(
                filters::FILE,
                *line,
                what,
                format!("attach it in {} or remove it", rules::FILE),
            ));
        }
    }
}

pub(crate) fn secret(given: bool, usable: bool, entries: &Entries, problems: &mut PolicyErrors) {
    if given && !usable {
        let what = format!("the secret has fewer than {} characters", secret::SECRET_CHARS_MIN);
        problems.push(Problem::error(secret::FILE, 0, what, secret::REMEDY));
    }
    if given {
        return;
    }
    let masks = entries
        .masks
        .iter()
        .filter(|(_, e)| e.how.uses_secret())
        .map(|(name, e)| (name, e.line));
    let filters = entries
        .filters
        .iter()
        .filter(|(_, e)| e.template.uses_secret)
        .map(|(name, e)| (name, e.line));
    for (name, line) in masks.chain(filters) {
        problems.push(Problem::error(
            filters::FILE,
            line,
            format!("{name} needs a secret and there is none"),
            secret::REMEDY,
        ));
    }
}
