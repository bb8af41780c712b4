//! Names of governed things and the patterns that rules match them with.
//!
//! An object is a path: `lab`, `lab/chemistry`, `lab/chemistry/reactions`, `lab/chemistry/reactions/yield_pct`,
//! `fn/predict_yield`, `step/segment`, `model/lab/chemistry/yield_model`. A pattern is a path in which a part `*` stands for exactly one
//! level, a part with stars inside (`plate_*`) for one name, and a last part `**` for the thing itself and everything below;
//! or it is `tag:KEY=VALUE|VALUE & KEY=VALUE`, where every key must be there with one of its values.

use std::collections::BTreeMap;

/// Tags of an object, key to value.
pub type Tags = BTreeMap<String, String>;

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ObjectPattern {
    Path { parts: Vec<String>, and_below: bool },
    Tags(Vec<(String, Vec<String>)>),
}

impl ObjectPattern {
    /// Reads a pattern. The error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("tag:") {
            return parse_tags(rest).map(ObjectPattern::Tags);
        }
        let mut parts: Vec<String> = text.split('/').map(str::to_owned).collect();
        let and_below = parts.last().is_some_and(|part| part == "**");
        if and_below {
            parts.pop();
        }
        for part in &parts {
            if part.is_empty() {
                return Err(format!("`{text}` has an empty part"));
            }
            if part.contains("**") {
                return Err(format!(
                    "`{text}` has `**` in the middle; it may only be the whole last part"
                ));
            }
            if let Some(odd) = part
                .chars()
                .find(|c| !(c.is_ascii_alphanumeric() || "_-.*$ ".contains(*c)))
            {
                return Err(format!("`{text}` has the character `{odd}`, which no pattern may have"));
            }
        }
        Ok(ObjectPattern::Path { parts, and_below })
    }

    /// Whether the pattern matches the object with these path parts and tags, in one of the tags' alternatives at least. Linear in the length of the names
    /// times the number of stars in a part: no pattern can make it explode.
    pub(crate) fn matches(&self, object: &[&str], tags: &Tags) -> bool {
        match self {
            ObjectPattern::Path { parts, and_below } => {
                let enough = if *and_below {
                    object.len() >= parts.len()
                } else {
                    object.len() == parts.len()
                };
                enough && !object.is_empty() && parts.iter().zip(object).all(|(p, o)| glob(p, o))
            }
            ObjectPattern::Tags(wanted) => wanted.iter().all(|(key, values)| {
                tags.get(key)
                    .is_some_and(|have| have.split('|').any(|one| values.iter().any(|value| value == one)))
            }),
        }
    }

    /// As [`Self::matches`], for what opens something: a tag that came from several sources holds the value of each,
    /// joined by `|` (an empty one for a source without the tag), and every one of them must match.
    pub(crate) fn surely_matches(&self, object: &[&str], tags: &Tags) -> bool {
        match self {
            ObjectPattern::Path { .. } => self.matches(object, tags),
            ObjectPattern::Tags(wanted) => wanted.iter().all(|(key, values)| {
                tags.get(key)
                    .is_some_and(|have| have.split('|').all(|one| values.iter().any(|value| value == one)))
            }),
        }
    }

    /// Whether the pattern is about this very path, no stars.
    pub(crate) fn exact(&self) -> Option<Vec<&str>> {
        match self {
            ObjectPattern::Path {
                parts,
                and_below: false,
            } if parts.iter().all(|p| !p.contains('*')) => Some(parts.iter().map(String::as_str).collect()),
            _ => None,
        }
    }

    /// How many levels a path pattern without `**` has.
    pub(crate) fn depth(&self) -> Option<usize> {
        match self {
            ObjectPattern::Path {
                parts,
                and_below: false,
            } => Some(parts.len()),
            _ => None,
        }
    }

    /// How many levels a path pattern names before its `**`, if it has one.
    pub(crate) fn levels(&self) -> usize {
        match self {
            ObjectPattern::Path { parts, .. } => parts.len(),
            ObjectPattern::Tags(_) => 0,
        }
    }

    /// Whether this is `**`: everything.
    pub(crate) fn is_everything(&self) -> bool {
        matches!(self, ObjectPattern::Path { parts, and_below: true } if parts.is_empty())
    }

    pub(crate) fn is_tags(&self) -> bool {
        matches!(self, ObjectPattern::Tags(_))
    }

    /// The first part, where it is a plain name.
    pub(crate) fn root(&self) -> Option<&str> {
        match self {
            ObjectPattern::Path { parts, .. } => parts.first().map(String::as_str).filter(|p| !p.contains('*')),
            ObjectPattern::Tags(_) => None,
        }
    }
}

fn parse_tags(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let word = |w: &str| {
        let w = w.trim();
        let plain = !w.is_empty() && w.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:".contains(c));
        if plain {
            Ok(w.to_owned())
        } else {
            Err(format!("`{w}` is not a tag's key or value (letters, digits, _ - . :)"))
        }
    };
    let mut wanted: Vec<(String, Vec<String>)> = Vec::new();
    for term in text.split('&') {
        let (key, values) = term
            .split_once('=')
            .ok_or_else(|| format!("`{}` is not KEY=VALUE", term.trim()))?;
        let key = word(key)?;
        let values = values.split('|').map(word).collect::<Result<Vec<_>, _>>()?;
        if wanted.iter().any(|(k, _)| *k == key) {
            return Err(format!("the tag `{key}` is named twice; write its values as {key}=a|b"));
        }
        wanted.push((key, values));
    }
    Ok(wanted)
}

/// Whether `name` fits `pattern`, in which `*` stands for any run of characters. Greedy with one point of return, so
/// at most `pattern.len() * name.len()` steps.
pub(crate) fn glob(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(pattern: &str, object: &str) -> bool {
        let parts: Vec<&str> = object.split('/').collect();
        ObjectPattern::parse(pattern).unwrap().matches(&parts, &Tags::new())
    }

    #[test]
    fn one_star_is_one_level() {
        assert!(hit("lab/*/public", "lab/chem/public"));
        assert!(!hit("lab/*/public", "lab/chem/secret"));
        assert!(!hit("lab/*", "lab/chem/public"));
        assert!(!hit("lab/*", "lab"));
        assert!(hit("lab/chem/plate_*", "lab/chem/plate_readings"));
        assert!(!hit("lab/chem/plate_*", "lab/chem/plates"));
        assert!(hit("lab/*_x_*y", "lab/a_x_bcy") && !hit("lab/*_x_*y", "lab/a_x_bc"));
    }

    #[test]
    fn two_stars_are_itself_and_all_below() {
        for object in ["lab/chem", "lab/chem/r", "lab/chem/r/c"] {
            assert!(hit("lab/chem/**", object) && hit("**", object));
        }
        assert!(!hit("lab/chem/**", "lab/chemistry") && !hit("lab/chem/**", "lab"));
    }

    #[test]
    fn tags_are_and_of_or() {
        let p = ObjectPattern::parse("tag:sensitivity=public & kind=assay|screen").unwrap();
        let tags = |s: &str, k: &str| Tags::from([("sensitivity".into(), s.into()), ("kind".into(), k.into())]);
        assert!(p.matches(&["x"], &tags("public", "screen")));
        assert!(!p.matches(&["x"], &tags("public", "notes")));
        assert!(!p.matches(&["x"], &tags("secret", "assay")));
        assert!(!p.matches(&["x"], &Tags::new()));
    }

    #[test]
    fn odd_patterns_are_refused() {
        for bad in [
            "",
            "/lab",
            "lab//x",
            "lab/**/x",
            "lab/a**",
            "lab/µ",
            "lab/a?b",
            "lab/[a]",
            "tag:",
            "tag:a",
            "tag:a=",
            "tag:a=1&a=2",
            "tag:a=ü",
        ] {
            assert!(ObjectPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
