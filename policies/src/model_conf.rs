//! `model.conf`: the Casbin model. Only the shipped shape is accepted, word for word apart from spaces.
//!
//! Another effect would turn deny-override around (and a malformed one panics inside Casbin at the first decision, not at
//! load), another matcher could call `eval` or forget the department. What an administrator decides is in `policy.csv`.

use crate::problem::{PolicyErrors, Problem};

/// The file's name in the policy directory.
pub(crate) const FILE: &str = "model.conf";

/// Sections, keys and values that the model must have, in Casbin's own words.
pub(crate) const SHAPE: [(&str, &[(&str, &str)]); 5] = [
    ("request_definition", &[("r", "sub, dom, obj, tags, act")]),
    (
        "policy_definition",
        &[
            ("p", "sub, dom, obj, act, eft"),
            ("p2", "sub, dom, obj, mode, filter"),
            ("p3", "sub, dom, obj, mask"),
        ],
    ),
    ("role_definition", &[("g", "_, _, _")]),
    (
        "policy_effect",
        &[("e", "some(where (p.eft == allow)) && !some(where (p.eft == deny))")],
    ),
    (
        "matchers",
        &[(
            "m",
            "actMatch(r.act, p.act) && (p.dom == r.dom || p.dom == \"*\") && objMatch(r.obj, r.tags, p.obj) && g(r.sub, p.sub, r.dom)",
        )],
    ),
];

const REMEDY: &str = "copy policies/default/model.conf; what people may do belongs in policy.csv";

/// Checks `model.conf` against [`SHAPE`]; every difference is an error with its line.
pub(crate) fn check(text: &str, problems: &mut PolicyErrors) {
    if text.starts_with('\u{feff}') {
        problems.push(Problem::error(
            FILE,
            1,
            "the file starts with a byte order mark",
            "save it as plain UTF-8",
        ));
        return;
    }
    let mut section = String::new();
    let mut seen: Vec<(String, String)> = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') || line.starts_with(';') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name.trim().to_owned();
            if !SHAPE.iter().any(|(known, _)| *known == section) {
                problems.push(Problem::error(
                    FILE,
                    number,
                    format!("unknown section [{section}]"),
                    REMEDY,
                ));
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=').map(|(k, v)| (k.trim(), v.trim())) else {
            problems.push(Problem::error(
                FILE,
                number,
                format!("`{line}` is not KEY = VALUE"),
                REMEDY,
            ));
            continue;
        };
        let expected = SHAPE
            .iter()
            .find(|(known, _)| *known == section)
            .and_then(|(_, keys)| keys.iter().find(|(k, _)| *k == key));
        match expected {
            None => problems.push(Problem::error(
                FILE,
                number,
                format!("`{key}` is not known in [{section}]"),
                REMEDY,
            )),
            Some((_, wanted)) if squeeze(wanted) != squeeze(value) => problems.push(Problem::error(
                FILE,
                number,
                format!("`{key} = {value}` is not the model labhouse enforces, which is `{key} = {wanted}`"),
                REMEDY,
            )),
            Some(_) => {}
        }
        let place = (section.clone(), key.to_owned());
        if seen.contains(&place) {
            problems.push(Problem::error(
                FILE,
                number,
                format!("`{key}` is defined twice in [{section}]"),
                "keep one",
            ));
        }
        seen.push(place);
    }
    for (section, keys) in SHAPE {
        for (key, _) in keys {
            if !seen.iter().any(|(s, k)| s == section && k == key) {
                problems.push(Problem::error(FILE, 0, format!("[{section}] {key} is missing"), REMEDY));
            }
        }
    }
}

fn squeeze(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}
