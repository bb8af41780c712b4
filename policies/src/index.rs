//! Finds the rules that match an object without looking at the others.
//!
//! The patterns of one subject in one department form a tree by path level: names are looked up, stars and partial names
//! followed beside them, and `**` collected on the way down. Tag patterns are found by their first key and its values. What
//! is found is what [`ObjectPattern::matches`] finds by asking every rule; the property tests compare the two.

use std::collections::HashMap;

use crate::object::{ObjectPattern, Tags, glob};

/// Positions of rules, whatever list they stand in.
type Found = Vec<u32>;

/// Patterns of many rules.
#[derive(Debug, Default)]
pub(crate) struct PatternIndex {
    nodes: Vec<Node>,
    by_tag: HashMap<(String, String), Vec<(u32, ObjectPattern)>>,
}

#[derive(Debug, Default)]
struct Node {
    named: HashMap<String, usize>,
    /// The child of a lone `*`.
    any: Option<usize>,
    /// Children of names with stars in them: asked one by one.
    partial: HashMap<String, usize>,
    /// Patterns that end here.
    here: Found,
    /// Patterns that end here in `**`.
    below: Found,
}

impl PatternIndex {
    pub(crate) fn insert(&mut self, pattern: &ObjectPattern, rule: u32) {
        match pattern {
            ObjectPattern::Path { parts, and_below } => {
                if self.nodes.is_empty() {
                    self.nodes.push(Node::default());
                }
                let mut at = 0;
                for part in parts {
                    at = self.child(at, part);
                }
                if let Some(node) = self.nodes.get_mut(at) {
                    let list = if *and_below { &mut node.below } else { &mut node.here };
                    list.push(rule);
                }
            }
            ObjectPattern::Tags(wanted) => {
                let first = wanted.first();
                for (key, value) in first
                    .iter()
                    .flat_map(|(key, values)| values.iter().map(move |v| (key, v)))
                {
                    let rules = self.by_tag.entry((key.clone(), value.clone())).or_default();
                    rules.push((rule, pattern.clone()));
                }
            }
        }
    }

    /// Adds the rules whose pattern matches the object in one reading of its tags at least, each once at least.
    pub(crate) fn find(&self, object: &[&str], tags: &Tags, found: &mut Found) {
        let mut level = if self.nodes.is_empty() { Vec::new() } else { vec![0] };
        for part in object {
            let mut next = Vec::new();
            for node in level.iter().filter_map(|at| self.nodes.get(*at)) {
                found.extend(&node.below);
                next.extend(node.named.get(*part));
                next.extend(node.any);
                next.extend(
                    node.partial
                        .iter()
                        .filter(|(name, _)| glob(name, part))
                        .map(|(_, child)| child),
                );
            }
            level = next;
        }
        for node in level.iter().filter_map(|at| self.nodes.get(*at)) {
            found.extend(node.below.iter().chain(&node.here));
        }
        if self.by_tag.is_empty() {
            return;
        }
        for (key, values) in tags {
            for value in values.split('|') {
                let rules = self.by_tag.get(&(key.clone(), value.to_owned()));
                let matching = rules.into_iter().flatten().filter(|(_, p)| p.matches(object, tags));
                found.extend(matching.map(|(rule, _)| rule));
            }
        }
    }

    fn child(&mut self, at: usize, part: &str) -> usize {
        let next = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        let child = match part {
            "*" => *node.any.get_or_insert(next),
            name if name.contains('*') => *node.partial.entry(name.to_owned()).or_insert(next),
            name => *node.named.entry(name.to_owned()).or_insert(next),
        };
        if child == next {
            self.nodes.push(Node::default());
        }
        child
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part() -> impl Strategy<Value = String> {
        prop_oneof![Just("*".to_owned()), "[ab]{1,2}", "[ab]\\*", "\\*[ab]", "[ab]\\*[ab]"]
    }

    fn pattern() -> impl Strategy<Value = String> {
        let path = (prop::collection::vec(part(), 0..4), any::<bool>()).prop_map(|(mut parts, below)| {
            if below || parts.is_empty() {
                parts.push("**".to_owned());
            }
            parts.join("/")
        });
        let tag = prop::collection::btree_map("[kl]", prop::collection::vec("[vw]", 1..3), 1..3).prop_map(|terms| {
            let terms: Vec<String> = terms.iter().map(|(k, v)| format!("{k}={}", v.join("|"))).collect();
            format!("tag:{}", terms.join(" & "))
        });
        prop_oneof![4 => path, 1 => tag]
    }

    proptest! {
        #[test]
        fn finds_what_asking_every_pattern_finds(
            patterns in prop::collection::vec(pattern(), 0..30),
            object in prop::collection::vec("[ab]{1,3}", 1..5),
            tags in prop::collection::btree_map("[kl]", prop_oneof![Just("v"), Just("w"), Just("v|w"), Just("|w")], 0..3),
        ) {
            let tags: Tags = tags.into_iter().map(|(k, v)| (k, v.to_owned())).collect();
            let object: Vec<&str> = object.iter().map(String::as_str).collect();
            let patterns: Vec<ObjectPattern> = patterns.iter().map(|p| ObjectPattern::parse(p).unwrap()).collect();
            let mut index = PatternIndex::default();
            for (rule, pattern) in (0..).zip(&patterns) {
                index.insert(pattern, rule);
            }
            let mut found = Vec::new();
            index.find(&object, &tags, &mut found);
            found.sort_unstable();
            found.dedup();
            let asked: Vec<u32> = (0..).zip(&patterns).filter(|(_, p)| p.matches(&object, &tags)).map(|(at, _)| at).collect();
            prop_assert_eq!(found, asked);
        }
    }
}
