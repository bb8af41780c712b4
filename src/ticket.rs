//! Sealed words: what a door hands out and must get back unchanged, from the same person, in time.
//!
//! Tickets, statement handles and session tokens are AES-256-GCM boxes. Purpose and principal are authenticated
//! data, so a ticket of one person is noise in another's hand, and a handle cannot pass for a ticket. The key is
//! made at start and never leaves the process: a restart ends all of them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aes_gcm::aead::{Aead, AeadCore, KeyInit, OsRng, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use labhouse_policies::Principal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const NONCE_BYTES: usize = 12;

/// Seals and opens, with one key for the life of the process.
pub(crate) struct Sealer {
    cipher: Aes256Gcm,
}

/// Why a sealed word was not accepted. The text tells a stranger nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TicketError {
    #[error(
        "this ticket, handle or token is not valid here: it was altered, is another person's, or is from before a restart; ask for a new one"
    )]
    Foreign,
    #[error("this ticket, handle or token has expired; ask for a new one")]
    Expired,
}

#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    expires_unix_s: u64,
    value: T,
}

impl Sealer {
    pub(crate) fn new() -> Self {
        Self {
            cipher: Aes256Gcm::new(&Aes256Gcm::generate_key(OsRng)),
        }
    }

    /// Seals a value for one purpose and one principal.
    pub(crate) fn seal<T: Serialize>(
        &self,
        purpose: &'static str,
        who: &Principal,
        lifetime: Duration,
        value: &T,
    ) -> Vec<u8> {
        self.seal_for(purpose, &who.name, lifetime, value)
    }

    /// Opens what `seal` gave for the same purpose and principal.
    pub(crate) fn open<T: DeserializeOwned>(
        &self,
        purpose: &'static str,
        who: &Principal,
        bytes: &[u8],
    ) -> Result<T, TicketError> {
        self.open_for(purpose, &who.name, bytes)
    }

    /// As `seal`, for words that are opened before the principal is known (`name` empty).
    pub(crate) fn seal_for<T: Serialize>(
        &self,
        purpose: &'static str,
        name: &str,
        lifetime: Duration,
        value: &T,
    ) -> Vec<u8> {
        let expires_unix_s = unix_seconds().saturating_add(lifetime.as_secs());
        // Both steps cannot fail for these types; an empty box opens nowhere, so failing stays closed.
        let plain = serde_json::to_vec(&Sealed { expires_unix_s, value }).unwrap_or_default();
        let nonce = Aes256Gcm::generate_nonce(&mut OsRng);
        let bound = authenticated(purpose, name);
        let Ok(cipher_text) = self.cipher.encrypt(
            &nonce,
            Payload {
                msg: &plain,
                aad: &bound,
            },
        ) else {
            return Vec::new();
        };
        let mut sealed = nonce.to_vec();
        sealed.extend(cipher_text);
        sealed
    }

    /// As `open`, for words sealed with `seal_for`.
    pub(crate) fn open_for<T: DeserializeOwned>(
        &self,
        purpose: &'static str,
        name: &str,
        bytes: &[u8],
    ) -> Result<T, TicketError> {
        let (nonce, cipher_text) = bytes.split_at_checked(NONCE_BYTES).ok_or(TicketError::Foreign)?;
        let bound = authenticated(purpose, name);
        let plain = self
            .cipher
            .decrypt(
                Nonce::from_slice(nonce),
                Payload {
                    msg: cipher_text,
                    aad: &bound,
                },
            )
            .map_err(|_| TicketError::Foreign)?;
        let sealed: Sealed<T> = serde_json::from_slice(&plain).map_err(|_| TicketError::Foreign)?;
        if sealed.expires_unix_s < unix_seconds() {
            return Err(TicketError::Expired);
        }
        Ok(sealed.value)
    }
}

/// Purpose and name, unambiguously joined: a purpose holds no zero byte.
fn authenticated(purpose: &str, name: &str) -> Vec<u8> {
    [purpose.as_bytes(), b"\0", name.as_bytes()].concat()
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn who(name: &str) -> Principal {
        Principal {
            name: name.to_owned(),
            attributes: Default::default(),
        }
    }

    #[test]
    fn opens_for_its_owner_and_purpose_only() {
        let sealer = Sealer::new();
        let sealed = sealer.seal("ticket", &who("ana"), MINUTE, &"SELECT 1");
        assert_eq!(
            sealer.open::<String>("ticket", &who("ana"), &sealed).unwrap(),
            "SELECT 1"
        );
        assert!(sealer.open::<String>("ticket", &who("sam"), &sealed).is_err());
        assert!(sealer.open::<String>("handle", &who("ana"), &sealed).is_err());
        assert!(Sealer::new().open::<String>("ticket", &who("ana"), &sealed).is_err());
    }

    #[test]
    fn no_bit_may_change_and_no_byte_may_miss() {
        let sealer = Sealer::new();
        let sealed = sealer.seal("ticket", &who("ana"), MINUTE, &"SELECT 1");
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert!(
                sealer.open::<String>("ticket", &who("ana"), &forged).is_err(),
                "bit at {at}"
            );
            assert!(
                sealer.open::<String>("ticket", &who("ana"), &sealed[..at]).is_err(),
                "cut at {at}"
            );
        }
    }

    proptest::proptest! {
        /// Spliced, cut, doubled, joined with another ticket: what is not the very bytes that were sealed opens nowhere.
        #[test]
        fn nothing_opens_but_what_was_sealed(
            noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
            from in 0..200_usize,
            to in 0..200_usize,
            cut in 0..200_usize,
        ) {
            let sealer = Sealer::new();
            let (a, b) = (
                sealer.seal("ticket", &who("ana"), MINUTE, &"SELECT 1"),
                sealer.seal("ticket", &who("ada"), MINUTE, &"SELECT secret FROM t"),
            );
            let (from, to, cut) = (from.min(a.len()), to.min(b.len()), cut.min(a.len()));
            for forged in [
                noise.clone(),
                [&a[..from], &noise, &a[from..]].concat(),
                [&a[..from], &b[to..]].concat(),
                [&b[..to], &a[from..]].concat(),
                a[cut..].to_vec(),
                [a.as_slice(), &a].concat(),
                [&a[..NONCE_BYTES], &b[NONCE_BYTES..]].concat(),
            ] {
                if forged == a {
                    continue;
                }
                for purpose in ["ticket", "handle", ""] {
                    proptest::prop_assert!(sealer.open::<String>(purpose, &who("ana"), &forged).is_err());
                }
            }
        }
    }
}
