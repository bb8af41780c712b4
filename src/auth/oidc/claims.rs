//! What a verified token says, and whether it says it to us and now.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use labhouse_policies::{Attribute, Principal};
use serde_json::{Map, Value};

use super::super::{marks, users};
use super::Refusal;
use crate::config::Oidc;

/// How far the provider's clock and ours may be apart, in seconds.
const LEEWAY_S: i64 = 60;

/// A token's word on who it is.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) principal: Principal,
    pub(super) end: DateTime<Utc>,
}

impl Claims {
    pub(super) fn read(payload: &[u8], config: &Oidc, now: DateTime<Utc>) -> Result<Self, Refusal> {
        let claims: Map<String, Value> =
            serde_json::from_slice(payload).map_err(|_| Refusal::Malformed("its claims cannot be read"))?;
        if claims.get("iss").and_then(Value::as_str) != Some(config.issuer.as_str()) {
            return Err(Refusal::Claim("iss"));
        }
        let is_ours = match claims.get("aud") {
            Some(Value::String(audience)) => *audience == config.audience,
            Some(Value::Array(all)) => all.iter().any(|audience| audience == config.audience.as_str()),
            _ => false,
        };
        if !is_ours {
            return Err(Refusal::Claim("aud"));
        }
        let now = now.timestamp();
        let moment = |name: &'static str| match claims.get(name) {
            None => Ok(None),
            Some(value) => seconds(value).map(Some).ok_or(Refusal::Claim(name)),
        };
        let end = moment("exp")?.ok_or(Refusal::Claim("exp"))?.saturating_add(LEEWAY_S);
        if end <= now {
            return Err(Refusal::Claim("exp"));
        }
        for name in ["nbf", "iat"] {
            if moment(name)?.is_some_and(|start| start > now.saturating_add(LEEWAY_S)) {
                return Err(Refusal::Claim(name));
            }
        }
        let end = DateTime::from_timestamp(end, 0).ok_or(Refusal::Claim("exp"))?;
        Ok(Self {
            principal: principal(&claims, config)?,
            end,
        })
    }
}

fn principal(claims: &Map<String, Value>, config: &Oidc) -> Result<Principal, Refusal> {
    let name = claims
        .get(&config.login_claim)
        .and_then(Value::as_str)
        .ok_or(Refusal::Claim("that names the login (auth.oidc.login_claim)"))?;
    if config.login_claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(Refusal::Claim("email_verified"));
    }
    // Not changed to fit: two names of the provider must not become one of ours.
    if users::check_name(name).is_err() {
        return Err(Refusal::Claim("that names the login: it can be no login here"));
    }
    let mut who = Principal::new(name);
    for (attribute, claim) in &config.attributes {
        if marks::is_reserved(attribute) {
            continue;
        }
        if let Some(value) = claims.get(claim).and_then(attribute_of) {
            who = who.with(attribute, value);
        }
    }
    Ok(marks::holding(who, roles(claims, config)))
}

/// The roles that the config lists for what the claim says; whatever else it says gives nothing.
fn roles(claims: &Map<String, Value>, config: &Oidc) -> Vec<String> {
    let said = match at(claims, &config.roles_claim).and_then(attribute_of) {
        Some(Attribute::Text(one)) => vec![one],
        Some(Attribute::List(all)) => all,
        Some(Attribute::Boolean(_) | Attribute::Integer(_)) | None => Vec::new(),
    };
    let listed: BTreeSet<&String> = said.iter().filter_map(|value| config.roles.get(value)).collect();
    listed.into_iter().cloned().collect()
}

/// The claim of that name, or else the one that a path with dots leads to; names may hold dots themselves.
fn at<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    at(claims.get(first)?.as_object()?, rest)
}

fn attribute_of(value: &Value) -> Option<Attribute> {
    match value {
        Value::Bool(truth) => Some(Attribute::Boolean(*truth)),
        Value::Number(number) => number.as_i64().map(Attribute::Integer),
        Value::String(text) => Some(Attribute::Text(text.clone())),
        // All of them are texts or none is taken: half a list would grant or hide by accident.
        Value::Array(all) => {
            let texts: Option<Vec<String>> = all.iter().map(|one| one.as_str().map(str::to_owned)).collect();
            texts.map(Attribute::List)
        }
        Value::Null | Value::Object(_) => None,
    }
}

/// Whole seconds; providers may write fractions.
fn seconds(value: &Value) -> Option<i64> {
    let fraction = || value.as_f64().filter(|seconds| seconds.abs() < 1e15);
    value.as_i64().or_else(|| fraction().map(|seconds| seconds as i64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn config() -> Oidc {
        Oidc {
            issuer: "https://id.lab".into(),
            audience: "labhouse".into(),
            login_claim: "preferred_username".into(),
            attributes: [
                ("dept".to_owned(), "department".to_owned()),
                ("login:read_only".to_owned(), "x".to_owned()),
            ]
            .into(),
            roles_claim: "realm_access.roles".into(),
            roles: [
                ("chemists".to_owned(), "role:lab_scientist, chemistry".to_owned()),
                ("scientists".to_owned(), "role:lab_scientist, chemistry".to_owned()),
                ("readers".to_owned(), "role:reader, *".to_owned()),
            ]
            .into(),
        }
    }

    fn good() -> Value {
        json!({
            "iss": "https://id.lab", "aud": ["other", "labhouse"], "exp": NOW + 10, "iat": NOW - 10,
            "preferred_username": "ola", "department": ["chem", "bio"], "x": true, "role": "lake_admin",
        })
    }

    fn read(claims: &Value) -> Result<Claims, Refusal> {
        let now = DateTime::from_timestamp(NOW, 0).unwrap();
        Claims::read(claims.to_string().as_bytes(), &config(), now)
    }

    #[test]
    fn named_claims_become_attributes_and_nothing_else_does() {
        let claims = read(&good()).unwrap();
        let expected = Principal::new("ola").with("dept", Attribute::List(vec!["chem".into(), "bio".into()]));
        assert_eq!(claims.principal, expected);
        assert_eq!(claims.end.timestamp(), NOW + 10 + LEEWAY_S);
    }

    #[test]
    fn a_claim_gives_the_roles_that_are_listed_and_no_other() {
        let held = |value: Value| {
            let mut claims = good();
            claims["realm_access"] = json!({ "roles": value });
            read(&claims).unwrap().principal.attributes.get("login:roles").cloned()
        };
        let list = |roles: &[&str]| Some(Attribute::List(roles.iter().map(|&role| role.to_owned()).collect()));
        let chemist = "role:lab_scientist, chemistry";
        assert_eq!(held(json!("chemists")), list(&[chemist]));
        assert_eq!(held(json!(["chemists", "lake_admin", "scientists"])), list(&[chemist]));
        assert_eq!(held(json!(["readers", "chemists"])), list(&[chemist, "role:reader, *"]));
        for nothing in [
            json!(null),
            json!(true),
            json!([]),
            json!(["role:lab_scientist, chemistry"]),
            json!(["chemists", 7]),
            json!("chemists,readers"),
            json!({ "chemists": true }),
        ] {
            assert_eq!(held(nothing.clone()), None, "{nothing}");
        }
        // Claims of another name do not count, nor a claim where the path ends early.
        let mut claims = good();
        claims["roles"] = json!(["chemists"]);
        claims["realm_access"] = json!("chemists");
        assert_eq!(read(&claims).unwrap().principal.attributes.get("login:roles"), None);
        claims["realm_access.roles"] = json!(["chemists"]);
        assert!(read(&claims).unwrap().principal.attributes.contains_key("login:roles"));
    }

    #[test]
    fn what_is_not_for_us_or_not_now_is_refused() {
        for (claim, value) in [
            ("iss", json!("https://id.lab/")),
            ("iss", json!(null)),
            ("aud", json!("other")),
            ("aud", json!([])),
            ("aud", json!(null)),
            ("exp", json!(NOW - LEEWAY_S)),
            ("exp", json!("tomorrow")),
            ("exp", json!(null)),
            ("nbf", json!(NOW + LEEWAY_S + 1)),
            ("iat", json!(NOW + LEEWAY_S + 1)),
            ("preferred_username", json!("role:lake_admin")),
            ("preferred_username", json!("Ola")),
            ("preferred_username", json!("")),
            ("preferred_username", json!(7)),
        ] {
            let mut claims = good();
            claims[claim] = value.clone();
            assert!(read(&claims).is_err(), "{claim} = {value}");
        }
        let mut late = good();
        late["exp"] = json!(NOW - LEEWAY_S + 1);
        late["nbf"] = json!(NOW + LEEWAY_S);
        assert!(read(&late).is_ok(), "clocks may differ a little");
    }

    #[test]
    fn a_mail_address_counts_only_when_the_provider_verified_it() {
        let mail = Oidc {
            login_claim: "email".into(),
            ..config()
        };
        let mut claims = good();
        claims["email"] = json!("ola@id.lab");
        let now = DateTime::from_timestamp(NOW, 0).unwrap();
        let read = |claims: &Value| Claims::read(claims.to_string().as_bytes(), &mail, now);
        assert!(read(&claims).is_err());
        claims["email_verified"] = json!(true);
        assert_eq!(read(&claims).unwrap().principal.name, "ola@id.lab");
    }
}
