//! Who of the users file may prove the password by SCRAM, and whether a proof is good.
//!
//! A client does not say whether it has a password or a token, so one salt serves all that a login has. Without a verifier for
//! each of them, and for a name that is not there, the answer is such that nobody learns which names there are.

use chrono::Utc;
use labhouse_policies::Principal;

use super::{User, Users, hex, hex_digest};
use crate::auth::scram::{Challenge, Proof, Verifier, hmac_of};

impl Users {
    /// Keeps a verifier of the password that `user` has now, or none.
    pub(super) fn remember(&mut self, name: &str, password: &str, keeps_verifier: bool) {
        let key = self
            .salt_key
            .get_or_insert_with(|| hex(&rand::random::<[u8; 32]>()))
            .clone();
        let Some(user) = self.users.get_mut(name) else { return };
        let verifier = keeps_verifier
            .then(|| Verifier::of(password, &Challenge::of(key.as_bytes(), name)))
            .flatten();
        user.scram = verifier.map(|verifier| super::Scram {
            of: hex_digest(&user.password),
            verifier,
        });
    }

    /// What `name` is to prove the password with; none: the password itself is asked for.
    pub(in crate::auth) fn challenge(&self, name: &str) -> Option<Challenge> {
        // Counted for every name: an unknown login must not answer slower than a known one.
        let proving = self.users.values().filter(|user| user.verifiers().is_some()).count();
        if let Some(user) = self.users.get(name) {
            return Some(user.verifiers()?.first()?.0.challenge().clone());
        }
        let key = self.salt_key.as_ref()?.as_bytes();
        // Among users of both kinds a name that is not there is of either kind, and always of the same.
        let [coin, ..] = hmac_of(key, &[b"coin", name.as_bytes()]);
        let is_proving = proving == self.users.len() || (proving > 0 && coin % 2 == 0);
        is_proving.then(|| Challenge::of(key, name))
    }

    /// Whom a proof logs in, and the server's own proof.
    pub(in crate::auth) fn proven(&self, name: &str, proof: &Proof) -> Option<(Principal, String)> {
        let Some(user) = self.users.get(name) else {
            // Checked and thrown away: an unknown login must not answer faster than a known one.
            let challenge = Challenge::of(name.as_bytes(), name);
            return Verifier::of_nobody(challenge).proven(proof).and(None);
        };
        let held = user.verifiers()?;
        let (answer, token) = held
            .iter()
            .find_map(|(verifier, token)| Some((verifier.proven(proof)?, *token)))?;
        let who = match token {
            Some(digest) => self.digest(digest).filter(|who| who.name == name),
            None => self.by_password(name),
        };
        who.map(|who| (who, answer))
    }
}

impl User {
    /// A verifier of the password, then of each token by its digest; none when one is missing or of another salt.
    fn verifiers(&self) -> Option<Vec<(&Verifier, Option<&str>)>> {
        // A hash that was changed by another hand has no verifier here: the old password must not go on opening.
        let kept = self
            .scram
            .as_ref()
            .filter(|kept| kept.of == hex_digest(&self.password))?;
        let now = Utc::now();
        let valid = self
            .tokens
            .values()
            .filter(|token| token.valid_until.is_none_or(|until| now < until));
        let mut held = vec![(&kept.verifier, None)];
        for token in valid {
            let verifier = token.scram.as_ref()?;
            if verifier.challenge() != kept.verifier.challenge() {
                return None;
            }
            held.push((verifier, Some(token.sha256.as_str())));
        }
        Some(held)
    }

    /// A verifier of a token, if the password has one.
    pub(super) fn verifier_of(&self, token: &str) -> Option<Verifier> {
        Verifier::of(token, self.scram.as_ref()?.verifier.challenge())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::super::{TokenScope, add, issue_token, revoke_token};
    use super::*;

    fn salt(path: &Path, name: &str) -> Option<Challenge> {
        Users::read(path).unwrap().challenge(name)
    }

    #[test]
    fn names_that_are_not_there_are_asked_like_those_that_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        add(&path, "ana", "long enough", BTreeMap::new(), true).unwrap();
        let (ana, eve) = (salt(&path, "ana"), salt(&path, "eve"));
        assert!(ana.is_some() && eve.is_some() && ana != eve);
        assert!(salt(&path, "eve") == eve);
        // One who comes has the salt that his name always had, and keeps it with another password.
        for password in ["long enough", "another one"] {
            add(&path, "eve", password, BTreeMap::new(), true).unwrap();
            assert!(salt(&path, "eve") == eve);
        }
        // With one who keeps no verifier, some names that are not there are asked for the password.
        add(&path, "dan", "long enough", BTreeMap::new(), false).unwrap();
        assert!(salt(&path, "dan").is_none() && salt(&path, "ana") == ana);
        let kinds: Vec<bool> = (0..64).map(|n| salt(&path, &format!("no{n}")).is_some()).collect();
        assert!(kinds.contains(&true) && kinds.contains(&false));
        assert_eq!(
            kinds,
            (0..64)
                .map(|n| salt(&path, &format!("no{n}")).is_some())
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_file_from_before_and_a_hash_of_another_hand_have_no_verifier() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        add(&path, "ana", "long enough", BTreeMap::new(), true).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let old: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("[users.ana]") || line.starts_with("password"))
            .collect();
        std::fs::write(&path, old.join("\n")).unwrap();
        assert!(salt(&path, "ana").is_none() && salt(&path, "eve").is_none());
        assert!(Users::read(&path).unwrap().password("ana", "long enough").is_some());
        std::fs::write(&path, text.replacen("password = \"", "password = \"!", 1)).unwrap();
        assert!(salt(&path, "ana").is_none());
        std::fs::write(&path, text.replace("SCRAM-SHA-256$", "SCRAM-SHA-1$")).unwrap();
        assert!(Users::read(&path).is_err());
    }

    #[test]
    fn a_token_from_before_makes_its_owner_send_the_password() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        add(&path, "ana", "long enough", BTreeMap::new(), false).unwrap();
        issue_token(&path, "ana", "old", TokenScope::default()).unwrap();
        add(&path, "ana", "long enough", BTreeMap::new(), true).unwrap();
        assert!(salt(&path, "ana").is_none());
        revoke_token(&path, "ana", "old").unwrap();
        issue_token(&path, "ana", "new", TokenScope::default()).unwrap();
        assert!(salt(&path, "ana").is_some());
    }
}
