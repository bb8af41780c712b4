//! What a login may not do although its person may: marks that the door puts on a `Principal`.
//!
//! A mark is an attribute whose name holds a colon. No user of the users file and no claim can bring one: their names are
//! checked. So two logins of one person with different marks are different principals to every cache.

use chrono::{DateTime, Utc};
use labhouse_policies::{Attribute, Principal, ROLES_BROUGHT};

/// The digest of the personal token that logged in.
const TOKEN: &str = "login:token";
/// The digest of the stored hash of the password that logged in.
const PASSWORD: &str = "login:password";
const READ_ONLY: &str = "login:read_only";
/// The schemas a token is limited to.
const SCHEMAS: &str = "login:schemas";
/// The folders below `landing/` that a token may put files into, and then it may do nothing else.
const LANDS: &str = "login:lands";
/// When the login ends, in seconds since 1970.
const UNTIL: &str = "login:until";

/// Whether an attribute's name is kept for marks.
pub(super) fn is_reserved(name: &str) -> bool {
    name.contains(':')
}

pub(super) fn by_token(
    who: Principal,
    digest: &str,
    read_only: bool,
    schemas: &[String],
    lands: &[String],
) -> Principal {
    let who = who.with(TOKEN, Attribute::Text(digest.to_owned()));
    if !lands.is_empty() {
        return who
            .with(LANDS, Attribute::List(lands.to_vec()))
            .with(SCHEMAS, Attribute::List(Vec::new()))
            .with(READ_ONLY, Attribute::Boolean(true));
    }
    let who = match schemas {
        [] => who,
        some => who.with(SCHEMAS, Attribute::List(some.to_vec())),
    };
    // A token for some schemas only is for reading: what it writes could name others.
    if read_only || !schemas.is_empty() {
        who.with(READ_ONLY, Attribute::Boolean(true))
    } else {
        who
    }
}

pub(super) fn by_password(who: Principal, stored: &str) -> Principal {
    who.with(PASSWORD, Attribute::Text(stored.to_owned()))
}

pub(super) fn until(who: Principal, end: DateTime<Utc>) -> Principal {
    who.with(UNTIL, Attribute::Integer(end.timestamp()))
}

/// The roles that a provider's token brings, each as `role:NAME, DOMAIN`.
pub(super) fn holding(who: Principal, roles: Vec<String>) -> Principal {
    match roles.is_empty() {
        true => who,
        false => who.with(ROLES_BROUGHT, Attribute::List(roles)),
    }
}

/// The digest of the token a principal logged in with.
pub(super) fn token(who: &Principal) -> Option<&str> {
    match who.attributes.get(TOKEN) {
        Some(Attribute::Text(digest)) => Some(digest),
        _ => None,
    }
}

/// The digest of the stored hash of the password a principal logged in with.
pub(super) fn password(who: &Principal) -> Option<&str> {
    match who.attributes.get(PASSWORD) {
        Some(Attribute::Text(stored)) => Some(stored),
        _ => None,
    }
}

/// Whether the login is known to an OIDC provider and not to the users file.
pub(crate) fn is_of_provider(who: &Principal) -> bool {
    end(who).is_some()
}

/// When the login ends; none when somebody else's word does not bound it.
pub(super) fn end(who: &Principal) -> Option<i64> {
    match who.attributes.get(UNTIL) {
        Some(Attribute::Integer(end)) => Some(*end),
        _ => None,
    }
}

/// Whether this login may change nothing.
pub(crate) fn reads_only(who: &Principal) -> bool {
    who.attributes.contains_key(READ_ONLY)
}

/// Whether this login reaches into a schema; what the person may see there is the policies' matter.
pub(crate) fn reaches(who: &Principal, schema: &str) -> bool {
    match who.attributes.get(SCHEMAS) {
        None => true,
        Some(Attribute::List(schemas)) => schemas.iter().any(|named| named == schema),
        Some(_) => false,
    }
}

/// Whether this login may put a file at `path`, relative to `landing/`; what the person may put there is the policies' matter.
pub(crate) fn lands(who: &Principal, path: &str) -> bool {
    match who.attributes.get(LANDS) {
        None => !reads_only(who),
        Some(Attribute::List(folders)) => folders.iter().any(|folder| {
            let rest = path.strip_prefix(folder.as_str());
            rest.is_some_and(|rest| rest.starts_with('/'))
        }),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_for_schemas_reads_them_and_nothing_else() {
        let plain = Principal::new("ana");
        assert!(!reads_only(&plain) && reaches(&plain, "assay"));
        let limited = by_token(plain.clone(), "d", false, &["chemistry".to_owned()], &[]);
        assert!(reads_only(&limited) && reaches(&limited, "chemistry") && !reaches(&limited, "assay"));
        let reading = by_token(plain.clone(), "d", true, &[], &[]);
        assert!(reads_only(&reading) && reaches(&reading, "assay"));
        assert_ne!(limited, reading);
        assert!(!reads_only(&by_token(plain.clone(), "d", false, &[], &[])));
        assert!(is_of_provider(&until(plain.clone(), Utc::now())) && !is_of_provider(&plain));
    }

    #[test]
    fn a_token_for_a_folder_lands_there_and_does_nothing_else() {
        let plain = Principal::new("reader3");
        assert!(lands(&plain, "chemistry/plates/a.csv"));
        assert!(!lands(
            &by_token(plain.clone(), "d", true, &[], &[]),
            "chemistry/plates/a.csv"
        ));
        let token = by_token(plain, "d", false, &[], &["chemistry/plates".to_owned()]);
        assert!(lands(&token, "chemistry/plates/a.csv") && lands(&token, "chemistry/plates/2026/a.csv"));
        for elsewhere in [
            "chemistry/plates_2/a.csv",
            "chemistry/plates",
            "chemistry/a.csv",
            "assay/chemistry/plates/a.csv",
        ] {
            assert!(!lands(&token, elsewhere), "{elsewhere}");
        }
        assert!(reads_only(&token) && !reaches(&token, "chemistry") && !reaches(&token, "system"));
    }
}
