//! The PostgreSQL door's SCRAM, message by message and with libpq: who proves a password comes in, and nobody learns a name.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::process::Command;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use crate::lab::{self, BINARY, Server};
use crate::logins::user;
use crate::postgres::who_am_i;
use crate::postgres_raw::{Raw, Said, message, startup};

const CLIENT_FIRST: &str = "n=,r=fyko+d2lbbFgONRv9qkxdawL";

/// What passwords and salts give.
type Made = HashMap<(String, String), [u8; 32]>;

/// Of a password, as a client makes it from the server's challenge; remembered, since it is slow by design.
fn salted(password: &str, challenge: &str) -> [u8; 32] {
    static MADE: Mutex<Option<Made>> = Mutex::new(None);
    let mut parts = challenge.split(',').skip(1);
    let salt = parts.next().unwrap().strip_prefix("s=").unwrap().to_owned();
    let iterations: NonZeroU32 = parts.next().unwrap().strip_prefix("i=").unwrap().parse().unwrap();
    let mut made = MADE.lock().unwrap();
    let made = made.get_or_insert_default();
    *made
        .entry((password.to_owned(), salt))
        .or_insert_with_key(|(password, salt)| {
            let (mut out, salt) = ([0; 32], STANDARD.decode(salt).unwrap());
            pbkdf2::derive(
                pbkdf2::PBKDF2_HMAC_SHA256,
                iterations,
                &salt,
                password.as_bytes(),
                &mut out,
            );
            out
        })
}

fn hmac_of(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
        .as_ref()
        .to_vec()
}

/// Chooses the mechanism and gives the server's challenge.
fn begin(raw: &mut Raw) -> String {
    let first = format!("n,,{CLIENT_FIRST}");
    let length = u32::try_from(first.len()).unwrap().to_be_bytes();
    raw.send(&message(
        b'p',
        &[b"SCRAM-SHA-256\0", length.as_slice(), first.as_bytes()].concat(),
    ));
    let (kind, body) = raw.one().unwrap();
    assert_eq!(
        (kind, &body[..4]),
        (b'R', [0, 0, 0, 11].as_slice()),
        "{}",
        String::from_utf8_lossy(&body)
    );
    String::from_utf8(body[4..].to_vec()).unwrap()
}

/// A client's last message, and what the server must sign in turn.
fn last(password: &str, challenge: &str) -> (String, String) {
    let nonce = challenge.split(',').next().unwrap();
    let said = format!("c=biws,{nonce}");
    let all = format!("{CLIENT_FIRST},{challenge},{said}");
    let salted = salted(password, challenge);
    let key = hmac_of(&salted, b"Client Key");
    let signature = hmac_of(digest::digest(&digest::SHA256, &key).as_ref(), all.as_bytes());
    let proof: Vec<u8> = key.iter().zip(signature).map(|(key, mask)| key ^ mask).collect();
    let server = hmac_of(&hmac_of(&salted, b"Server Key"), all.as_bytes());
    (
        format!("{said},p={}", STANDARD.encode(proof)),
        format!("v={}", STANDARD.encode(server)),
    )
}

/// The exchange behind the server's question for it, up to the server's proof; an error comes as any other.
pub(crate) fn exchange(raw: &mut Raw, password: &str) -> Result<(), Said> {
    let challenge = begin(raw);
    let (last, signed) = last(password, &challenge);
    raw.send(&message(b'p', last.as_bytes()));
    match raw.one() {
        Some((b'R', body)) => {
            assert_eq!(
                body,
                [&[0, 0, 0, 12], signed.as_bytes()].concat(),
                "the server proves itself"
            );
            Ok(())
        }
        Some(other) => Err(Said(vec![other])),
        None => Err(Said(Vec::new())),
    }
}

/// A connection that has said who it is, and what it is asked for.
fn asked(lab: &Server, user: &str) -> (Raw, Vec<u8>) {
    let mut raw = Raw::connect(lab);
    raw.send(&startup(user));
    let (kind, body) = raw.one().unwrap();
    assert_eq!(kind, b'R');
    (raw, body)
}

const PROOF: &[u8] = b"\0\0\0\x0aSCRAM-SHA-256\0\0";
const PASSWORD: &[u8] = b"\0\0\0\x03";

/// What is said to a client whose last message is `edit` of the right one.
fn said(lab: &Server, user: &str, password: &str, edit: impl FnOnce(String) -> String) -> (String, String) {
    let (mut raw, question) = asked(lab, user);
    assert_eq!(question, PROOF);
    let challenge = begin(&mut raw);
    raw.send(&message(b'p', edit(last(password, &challenge).0).as_bytes()));
    let said = raw.until_ready();
    (said.state().unwrap_or_default(), said.error().unwrap_or_default())
}

#[test]
fn a_proof_opens_for_its_exchange_and_no_other() {
    let lab = lab::shared();
    assert_eq!(said(&lab, "sam", "sam-demo", |last| last), Default::default());
    let wrong = said(&lab, "sam", "sam-demo ", |last| last);
    assert_eq!(wrong.0, "28P01");
    // A bit of the proof, the nonce of another exchange, channel binding that was not said before.
    let (mut raw, _) = asked(&lab, "sam");
    let kept = last("sam-demo", &begin(&mut raw)).0;
    drop(raw);
    let flipped = |last: String| {
        let (said, proof) = last.rsplit_once(",p=").unwrap();
        let mut proof = STANDARD.decode(proof).unwrap();
        proof[0] ^= 1;
        format!("{said},p={}", STANDARD.encode(proof))
    };
    assert_eq!(said(&lab, "sam", "sam-demo", flipped), wrong);
    assert_eq!(said(&lab, "sam", "sam-demo", |_| kept), wrong);
    assert_eq!(
        said(&lab, "sam", "sam-demo", |last| last.replace("c=biws", "c=eSws")),
        wrong
    );
    // What is no exchange.
    for edit in ["", "p=", "c=biws,r=x,p=AA=="] {
        assert_eq!(said(&lab, "sam", "sam-demo", |_| edit.to_owned()).0, "08P01", "{edit}");
    }
    for first in [
        "SCRAM-SHA-1\0\0\0\0\x09n,,n=,r=a",
        "SCRAM-SHA-256\0\0\0\0\x04p=x,",
        "SCRAM-SHA-256\0\u{7f}",
        "sam-demo\0",
    ] {
        let (mut raw, _) = asked(&lab, "sam");
        raw.send(&message(b'p', first.as_bytes()));
        assert_eq!(raw.until_ready().state().as_deref(), Some("08P01"), "{first}");
    }
    assert!(!lab.log().contains("panicked"), "{}", lab.log());
}

#[test]
fn names_that_are_not_there_answer_like_those_that_are() {
    let lab = lab::own();
    let salt = |user: &str| {
        let (mut raw, question) = asked(&lab, user);
        (question == PROOF).then(|| begin(&mut raw).split_once(",s=").unwrap().1.to_owned())
    };
    let (sam, nobody) = (salt("sam").unwrap(), salt("nobody").unwrap());
    assert_eq!(
        (salt("sam").unwrap(), salt("nobody").unwrap()),
        (sam.clone(), nobody.clone())
    );
    assert!(sam != nobody && sam.len() == nobody.len());
    let wrong = said(&lab, "sam", "guess", |last| last);
    assert_eq!(said(&lab, "nobody", "guess", |last| last), wrong);
    // Who comes has the salt that his name had before.
    add(&lab, "nobody", "a new one", &[]);
    assert_eq!(salt("nobody").unwrap(), nobody);
    assert!(Raw::try_login(&lab, "nobody", "a new one").is_ok());
    assert!(Raw::try_login(&lab, "nobody", "guess").is_err());
    // A login without a verifier is asked for the password itself, and so are some names that are not there.
    add(&lab, "nobody", "another one", &["--without-scram"]);
    assert_eq!(asked(&lab, "nobody").1, PASSWORD);
    assert!(Raw::try_login(&lab, "nobody", "another one").is_ok());
    assert!(Raw::try_login(&lab, "nobody", "a new one").is_err());
    let is_proving = |n: usize| asked(&lab, &format!("no{n}")).1 == PROOF;
    assert!((0..64).any(is_proving) && !(0..64).all(is_proving));
    // Failures lock the login here as at the other doors, and a name that is not there alike.
    add(&lab, "nobody", "another one", &[]);
    for user in ["dee", "no-such-user"] {
        for _ in 0..20 {
            assert_eq!(said(&lab, user, "guess", |last| last), wrong);
        }
    }
    assert_eq!(
        said(&lab, "dee", "dee-demo", |last| last),
        wrong,
        "also the right password"
    );
    assert_eq!(said(&lab, "ana", "ana-demo", |last| last), Default::default());
}

/// Adds a user, or gives one another password; acts before the next login.
fn add(lab: &Server, name: &str, password: &str, flags: &[&str]) {
    let output = Command::new(BINARY)
        .args(["user", "add", name, "--config"])
        .arg(lab.dir.join("labhouse.toml"))
        .args(flags)
        .env("LABHOUSE_PASSWORD", password)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn libpq_proves_passwords_and_tokens_and_sends_neither() {
    let lab = lab::own();
    let proving = "sslmode=disable require_auth=scram-sha-256";
    assert_eq!(
        who_am_i(&lab, "sam", &format!("{proving} password=sam-demo")).unwrap(),
        "sam False"
    );
    let refused = who_am_i(&lab, "sam", &format!("{proving} password=sam-dem0")).unwrap_err();
    assert!(refused.contains("login refused"), "{refused}");
    let token = user(&lab, &["token", "sam", "--label", "tool"]);
    assert_eq!(
        who_am_i(&lab, "sam", &format!("{proving} password={token}")).unwrap(),
        "sam False"
    );
    assert!(
        who_am_i(&lab, "ana", &format!("{proving} password={token}")).is_err(),
        "another's"
    );
    user(&lab, &["token", "sam", "--label", "tool", "--revoke"]);
    assert!(
        who_am_i(&lab, "sam", &format!("{proving} password={token}")).is_err(),
        "revoked"
    );
    // The password itself goes out only on the client's own word.
    let sending = "sslmode=disable require_auth=password password=sam-demo";
    let kept = who_am_i(&lab, "sam", sending).unwrap_err();
    assert!(kept.contains("requirement"), "{kept}");
    let said = format!("{sending} options='-c labhouse.login=password'");
    assert_eq!(who_am_i(&lab, "sam", &said).unwrap(), "sam False");
    // psql, too.
    let url = lab.postgres.as_ref().unwrap();
    let psql = |password: &str| {
        let place = url.replace("postgresql://", "postgresql://sam@");
        let mut command = Command::new("psql");
        let command = command.args(["-X", "-At", "-c", "SELECT current_user", &place]);
        command.env("PGPASSWORD", password).output().unwrap()
    };
    let (right, wrong) = (psql("sam-demo"), psql("sam-dem0"));
    assert_eq!(String::from_utf8_lossy(&right.stdout).trim(), "sam");
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && told.contains("login refused"), "{told}");
}
