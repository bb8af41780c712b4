//! SCRAM-SHA-256 (RFC 5802, RFC 7677): a login that proves its password and never sends it.
//!
//! The server keeps a verifier: it checks proofs and proves the server, and nobody logs in with it. Whoever steals one can try
//! words on it, as on any hash.
//!
//! Channel binding (`SCRAM-SHA-256-PLUS`) is not offered.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use serde::{Deserialize, Serialize};

/// The only mechanism.
pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";
/// Rounds of the hash for each guess, and for each login on the client's machine: as many as pgjdbc, node-postgres and
/// rust-postgres accept, and 24 times PostgreSQL's own. A guess costs less than one at the Argon2id hash all the same, so a
/// login can be kept without a verifier.
const ITERATIONS: NonZeroU32 = match NonZeroU32::new(100_000) {
    Some(count) => count,
    None => NonZeroU32::MIN,
};
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 18;

type Key = [u8; digest::SHA256_OUTPUT_LEN];

/// What the server keeps of a password: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, as PostgreSQL writes it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Verifier {
    challenge: Challenge,
    stored: Key,
    server: Key,
}

/// What a client needs to make its proof.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    iterations: NonZeroU32,
    salt: Vec<u8>,
}

impl Challenge {
    /// That of a login, whether there is one or not: the same for as long as the key stays.
    pub(super) fn of(key: &[u8], name: &str) -> Self {
        let mut salt = hmac_of(key, &[b"salt", name.as_bytes()]).to_vec();
        salt.truncate(SALT_BYTES);
        Self {
            iterations: ITERATIONS,
            salt,
        }
    }
}

impl Verifier {
    /// Of a password of printable ASCII. For others there is none: clients would have to agree on their form (SASLprep).
    pub(super) fn of(password: &str, challenge: &Challenge) -> Option<Self> {
        if !password.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return None;
        }
        let mut salted = Key::default();
        let (iterations, salt) = (challenge.iterations, &challenge.salt);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            salt,
            password.as_bytes(),
            &mut salted,
        );
        Some(Self {
            challenge: challenge.clone(),
            stored: sha256(&hmac_of(&salted, &[b"Client Key"])),
            server: hmac_of(&salted, &[b"Server Key"]),
        })
    }

    /// One that no proof fits, for the login that is not there.
    pub(super) fn of_nobody(challenge: Challenge) -> Self {
        Self {
            challenge,
            stored: rand::random(),
            server: rand::random(),
        }
    }

    pub(super) fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// The server's own proof when the client's fits.
    pub(super) fn proven(&self, proof: &Proof) -> Option<String> {
        let message = proof.message.as_bytes();
        let signature = hmac_of(&self.stored, &[message]);
        let mut key = proof.proof;
        for (byte, mask) in key.iter_mut().zip(signature) {
            *byte ^= mask;
        }
        let differs = sha256(&key)
            .iter()
            .zip(self.stored)
            .fold(0, |all, (a, b)| all | (a ^ b));
        (differs == 0).then(|| format!("v={}", STANDARD.encode(hmac_of(&self.server, &[message]))))
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Challenge { iterations, salt } = &self.challenge;
        let [salt, stored, server] = [salt.as_slice(), &self.stored, &self.server].map(|part| STANDARD.encode(part));
        write!(out, "{MECHANISM}${iterations}:{salt}${stored}:{server}")
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // To be compared, not to be shown: what tells two apart, and no key.
        let digest = sha256(self.to_string().as_bytes());
        write!(out, "Verifier({})", STANDARD.encode(digest))
    }
}

impl FromStr for Verifier {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a SCRAM verifier reads SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>";
        let read = || {
            let (head, keys) = text.strip_prefix(MECHANISM)?.strip_prefix('$')?.split_once('$')?;
            let ((iterations, salt), (stored, server)) = (head.split_once(':')?, keys.split_once(':')?);
            let key = |text| Key::try_from(STANDARD.decode(text).ok()?).ok();
            Some(Self {
                challenge: Challenge {
                    iterations: iterations.parse().ok()?,
                    salt: STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?,
                },
                stored: key(stored)?,
                server: key(server)?,
            })
        };
        read().ok_or(WRONG)
    }
}

impl TryFrom<String> for Verifier {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Verifier> for String {
    fn from(verifier: Verifier) -> Self {
        verifier.to_string()
    }
}

/// Why an exchange ends without a login.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScramError {
    #[error("the SCRAM exchange cannot be read: {0}")]
    Malformed(&'static str),
    /// It is another exchange's, or not the answer to what was said.
    #[error("the SCRAM exchange is not the one that was begun")]
    Foreign,
}

/// An exchange up to the server's challenge.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The client's words on channel binding.
    header: &'static str,
    client_first: String,
    server_first: String,
    nonce: String,
}

/// What a client shows, and all that was said before.
#[derive(Debug)]
pub(crate) struct Proof {
    message: String,
    proof: Key,
}

impl Exchange {
    /// Answers a client's first message with a challenge. The name in it is not read: the connection has said it.
    pub(crate) fn begin(challenge: &Challenge, message: &[u8]) -> Result<Self, ScramError> {
        let message = std::str::from_utf8(message).map_err(|_| ScramError::Malformed("it is no UTF-8"))?;
        let (header, client_first) = if let Some(rest) = message.strip_prefix("n,,") {
            ("n,,", rest)
        } else if let Some(rest) = message.strip_prefix("y,,") {
            ("y,,", rest)
        } else if message.starts_with("p=") {
            return Err(ScramError::Malformed("channel binding is not offered"));
        } else {
            return Err(ScramError::Malformed("it begins neither with `n,,` nor with `y,,`"));
        };
        let mut attributes = client_first.split(',');
        let is_named = attributes.next().is_some_and(|name| name.starts_with("n="));
        let nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r="));
        let nonce =
            nonce.filter(|nonce| is_named && !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic()));
        let nonce = nonce.ok_or(ScramError::Malformed("its first message holds no name and nonce"))?;
        let nonce = format!("{nonce}{}", STANDARD.encode(rand::random::<[u8; NONCE_BYTES]>()));
        let (salt, iterations) = (STANDARD.encode(&challenge.salt), challenge.iterations);
        Ok(Self {
            header,
            client_first: client_first.to_owned(),
            server_first: format!("r={nonce},s={salt},i={iterations}"),
            nonce,
        })
    }

    /// The server's first message.
    pub(crate) fn challenge(&self) -> &str {
        &self.server_first
    }

    /// Reads the client's last message.
    pub(crate) fn proof(&self, message: &[u8]) -> Result<Proof, ScramError> {
        const WRONG: ScramError = ScramError::Malformed("its last message holds no nonce and proof");
        let message = std::str::from_utf8(message).map_err(|_| WRONG)?;
        let (said, proof) = message.rsplit_once(",p=").ok_or(WRONG)?;
        let mut attributes = said.split(',');
        let header = attributes
            .next()
            .and_then(|header| header.strip_prefix("c="))
            .ok_or(WRONG)?;
        let nonce = attributes
            .next()
            .and_then(|nonce| nonce.strip_prefix("r="))
            .ok_or(WRONG)?;
        let proof = STANDARD.decode(proof).ok().and_then(|proof| Key::try_from(proof).ok());
        let proof = proof.ok_or(WRONG)?;
        if nonce != self.nonce || header != STANDARD.encode(self.header) {
            return Err(ScramError::Foreign);
        }
        Ok(Proof {
            message: format!("{},{},{said}", self.client_first, self.server_first),
            proof,
        })
    }
}

/// Of the parts one after the other.
pub(super) fn hmac_of(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut out = Key::default();
    out.copy_from_slice(context.sign().as_ref());
    out
}

fn sha256(bytes: &[u8]) -> Key {
    let mut out = Key::default();
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange that RFC 7677 shows.
    fn shown() -> (Verifier, Exchange) {
        let challenge = Challenge {
            iterations: NonZeroU32::new(4096).unwrap(),
            salt: STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(),
        };
        let exchange = Exchange {
            header: "n,,",
            client_first: "n=user,r=rOprNGfwEbeRWgbNEkqO".into(),
            server_first: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
                .into(),
            nonce: "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".into(),
        };
        (Verifier::of("pencil", &challenge).unwrap(), exchange)
    }

    const FINAL: &str =
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    #[test]
    fn the_exchange_of_the_standard_opens_and_one_changed_in_any_part_does_not() {
        let (verifier, exchange) = shown();
        let proof = exchange.proof(FINAL.as_bytes()).unwrap();
        let answer = verifier.proven(&proof);
        assert_eq!(
            answer.as_deref(),
            Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        );
        assert_eq!(verifier.to_string().parse::<Verifier>().unwrap(), verifier);
        let other = exchange.proof(FINAL.replace("p=dHzb", "p=eHzb").as_bytes()).unwrap();
        assert_eq!(verifier.proven(&other), None);
        let wrong = Verifier::of("pencils", verifier.challenge()).unwrap();
        assert_eq!(wrong.proven(&proof), None);
        assert_eq!(Verifier::of_nobody(verifier.challenge().clone()).proven(&proof), None);
        for (from, to) in [("k0,p", "k1,p"), ("c=biws", "c=eSws")] {
            let error = exchange.proof(FINAL.replace(from, to).as_bytes());
            assert_eq!(error.unwrap_err(), ScramError::Foreign, "{to}");
        }
    }

    #[test]
    fn what_is_no_exchange_is_refused_and_every_nonce_is_new() {
        let (verifier, exchange) = shown();
        let begin = |message: &str| Exchange::begin(verifier.challenge(), message.as_bytes());
        for message in [
            "",
            "n",
            "n,,",
            "n,,n=",
            "n,,n=a,r=",
            "n,,m=x,n=a,r=b",
            "n,a=ada,n=a,r=b",
            "p=tls-unique,,n=a,r=b",
            "n,,n=a,r=b\u{e9}",
        ] {
            assert!(matches!(begin(message), Err(ScramError::Malformed(_))), "{message}");
        }
        for message in ["", "c=biws", "c=biws,r=x", "r=x,p=AA==", &FINAL[..FINAL.len() - 4]] {
            let error = exchange.proof(message.as_bytes()).unwrap_err();
            assert!(matches!(error, ScramError::Malformed(_)), "{message}");
        }
        let [one, two] = [begin("y,,n=,r=abc").unwrap(), begin("y,,n=,r=abc").unwrap()];
        assert!(one.nonce.starts_with("abc") && one.nonce != two.nonce);
        for text in ["", "SCRAM-SHA-256$", "SCRAM-SHA-256$0:AA==$AA==:AA==", "md5abc"] {
            assert!(text.parse::<Verifier>().is_err(), "{text}");
        }
    }

    #[test]
    fn salts_are_each_logins_own_and_stay() {
        let of = |key: &[u8], name| Challenge::of(key, name).salt;
        assert_eq!(of(b"k", "ana"), of(b"k", "ana"));
        assert!(of(b"k", "ana") != of(b"k", "eve") && of(b"k", "ana") != of(b"l", "ana"));
        assert!(Verifier::of("gr\u{fc}n und lang", &Challenge::of(b"k", "ana")).is_none());
    }
}
