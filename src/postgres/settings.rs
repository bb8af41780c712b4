//! What tools set and ask to be shown. Nothing that is set changes what a statement gives, but for `search_path`; so a
//! value that would have to change something is refused, or told to be without effect.

use std::collections::BTreeMap;

use super::errors::{Refusal, user};
use super::rewrite::VERSION;
use crate::pg_catalog::SETTINGS;

/// Settings that one connection keeps: there are not so many names.
const KEPT_MAX: usize = 64;
/// Bytes of a value.
const VALUE_BYTES_MAX: usize = 1_000;

/// Those that a client is told at once, and again when they change.
const TOLD: [&str; 11] = [
    "application_name",
    "client_encoding",
    "DateStyle",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "search_path",
    "server_encoding",
    "server_version",
    "standard_conforming_strings",
    "TimeZone",
];

/// The settings of one connection.
#[derive(Debug, Default)]
pub(super) struct Settings(BTreeMap<String, String>);

/// What came of a `SET`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Name and value, when the client must be told.
    Quietly(Option<(&'static str, String)>),
    WithoutEffect,
}

impl Settings {
    /// A setting's value; none for one there is not.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        if let Some(value) = self.0.get(&name.to_lowercase()) {
            return Some(value.clone());
        }
        if name.eq_ignore_ascii_case("server_version") {
            return Some(VERSION.trim_start_matches("PostgreSQL ").to_owned());
        }
        fixed(name).map(|(_, value)| value.to_owned())
    }

    /// Keeps a value to show; `DEFAULT` forgets it.
    ///
    /// # Errors
    /// The value would change the bytes of answers, and is not what they are.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) -> Result<Kept, Refusal> {
        let key = name.to_lowercase();
        let Some(value) = value else {
            self.0.remove(&key);
            return Ok(Kept::Quietly(self.told(name)));
        };
        check(name, value)?;
        if self.0.len() >= KEPT_MAX && !self.0.contains_key(&key) {
            return Ok(Kept::WithoutEffect);
        }
        self.0.insert(key, value.to_owned());
        Ok(match has_effect(name, value) {
            true => Kept::Quietly(self.told(name)),
            false => Kept::WithoutEffect,
        })
    }

    pub(super) fn reset(&mut self) {
        self.0.clear();
    }

    /// The schema in which a bare name is looked for.
    pub(super) fn schema(&self) -> Option<String> {
        let path = self.0.get("search_path")?;
        let names = path.split(',').map(|name| name.trim().trim_matches(['"', '\'']));
        let mut names = names.filter(|name| !["", "$user", "public", "pg_catalog"].contains(name));
        names.next().map(str::to_owned)
    }

    /// What a client is told when it has logged in.
    pub(super) fn all_told(&self) -> impl Iterator<Item = (&'static str, String)> {
        TOLD.into_iter().filter_map(|name| Some((name, self.get(name)?)))
    }

    fn told(&self, name: &str) -> Option<(&'static str, String)> {
        let name = TOLD.into_iter().find(|told| told.eq_ignore_ascii_case(name))?;
        Some((name, self.get(name)?))
    }
}

/// Refuses a value that would change the form of answers.
pub(super) fn check(name: &str, value: &str) -> Result<(), Refusal> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(user(
            "22023",
            format!("a value of {name} may have {VALUE_BYTES_MAX} bytes"),
        ));
    }
    let plain = value.trim_matches(['"', '\'']).to_lowercase();
    if name.eq_ignore_ascii_case("client_encoding")
        && !["utf8", "utf-8", "unicode", "default"].contains(&plain.as_str())
    {
        return Err(user("22023", "texts are UTF-8 here: set client_encoding to UTF8"));
    }
    Ok(())
}

/// The settings that the first message brings, as names or behind `-c` in `options`.
pub(super) fn of_startup(names: &[(String, String)]) -> Vec<(String, String)> {
    let own = ["user", "database", "options", "replication"];
    let mut all: Vec<(String, String)> = names
        .iter()
        .filter(|(name, _)| !own.contains(&name.as_str()) && !super::wire::is_option(name))
        .cloned()
        .collect();
    let options = names.iter().filter(|(name, _)| name == "options");
    for (_, options) in options {
        let words = options
            .split_whitespace()
            .map(|word| word.trim_start_matches("-c").trim_start_matches("--"));
        let pairs = words.filter_map(|word| word.split_once('='));
        all.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    all
}

/// A setting that every connection has.
pub(super) fn fixed(name: &str) -> Option<(&'static str, &'static str)> {
    SETTINGS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
}

/// Whether a value is as if it had been followed.
fn has_effect(name: &str, value: &str) -> bool {
    let value = value.trim_matches(['"', '\'']).to_lowercase();
    match name.to_lowercase().as_str() {
        "timezone" => ["utc", "gmt", "etc/utc", "default", "z", "0"].contains(&value.as_str()),
        "datestyle" => value.starts_with("iso"),
        "intervalstyle" => value == "postgres",
        "bytea_output" => value == "hex",
        "standard_conforming_strings" => ["on", "true", "1"].contains(&value.as_str()),
        // Given up by nobody who sets them: what they promise is not done here.
        "statement_timeout"
        | "lock_timeout"
        | "idle_in_transaction_session_timeout"
        | "role"
        | "row_security"
        | "session_authorization" => ["0", "default", "none", "on"].contains(&value.as_str()),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_shown_and_what_cannot_be_followed_is_told() {
        let mut settings = Settings::default();
        assert_eq!(settings.get("standard_conforming_strings").unwrap(), "on");
        assert_eq!(settings.get("no_such_setting"), None);
        let kept = settings.set("application_name", Some("psql")).unwrap();
        assert_eq!(kept, Kept::Quietly(Some(("application_name", "psql".into()))));
        assert_eq!(settings.get("Application_Name").unwrap(), "psql");
        assert_eq!(
            settings.set("TimeZone", Some("Europe/Berlin")).unwrap(),
            Kept::WithoutEffect
        );
        assert_eq!(
            settings.set("statement_timeout", Some("5s")).unwrap(),
            Kept::WithoutEffect
        );
        assert_eq!(
            settings.set("statement_timeout", Some("0")).unwrap(),
            Kept::Quietly(None)
        );
        assert!(settings.set("client_encoding", Some("LATIN1")).is_err());
        assert!(settings.set("x", Some(&"x".repeat(2_000))).is_err());
        settings.set("application_name", None).unwrap();
        assert_eq!(settings.get("application_name").unwrap(), "");
    }

    #[test]
    fn the_search_path_names_a_schema() {
        let mut settings = Settings::default();
        assert_eq!(settings.schema(), None);
        settings
            .set("search_path", Some("\"$user\", public, chemistry"))
            .unwrap();
        assert_eq!(settings.schema().unwrap(), "chemistry");
        let names = [("options".to_owned(), "-c search_path=assay --geqo=off".to_owned())];
        let read = of_startup(&names);
        assert_eq!(read[0], ("search_path".to_owned(), "assay".to_owned()));
        assert_eq!(read[1].0, "geqo");
    }
}
