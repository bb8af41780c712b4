//! The login that a client certificate names.
//!
//! TLS has verified the certificate against `tls.client_ca` before anything here reads it, so this takes just the two
//! places that can hold a name: the subject's common name and the alternative names. DER is read by length, never guessed.

use crate::config::CertificateLogin;

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Kinds of alternative names.
const MAIL: u8 = 0x81;
const DNS: u8 = 0x82;

/// 2.5.4.3 and 2.5.29.17
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];

/// The login; none when the certificate has no such name, or several: which one would count is not for us to choose.
pub(super) fn login(certificate: &[u8], from: CertificateLogin) -> Option<String> {
    let mut names = match from {
        CertificateLogin::CommonName => common_names(certificate)?,
        CertificateLogin::Mail => alternative_names(certificate, MAIL)?,
        CertificateLogin::Dns => alternative_names(certificate, DNS)?,
    };
    let name = names.pop()?;
    names.is_empty().then_some(name)
}

/// Whether a DNS name is among the alternative names.
pub(super) fn has_dns_name(certificate: &[u8], name: &str) -> bool {
    alternative_names(certificate, DNS).is_some_and(|names| names.iter().any(|one| one.eq_ignore_ascii_case(name)))
}

fn common_names(certificate: &[u8]) -> Option<Vec<String>> {
    let (subject, _) = subject_and_rest(certificate)?;
    let mut names = Vec::new();
    for relative in Values(subject) {
        let (SET, inside) = relative? else { return None };
        for pair in Values(inside) {
            let (SEQUENCE, pair) = pair? else { return None };
            let ((OBJECT_ID, id), rest) = read(pair)? else {
                return None;
            };
            if id != COMMON_NAME {
                continue;
            }
            let ((UTF8 | PRINTABLE, name), _) = read(rest)? else {
                return None;
            };
            names.push(std::str::from_utf8(name).ok()?.to_owned());
        }
    }
    Some(names)
}

fn alternative_names(certificate: &[u8], kind: u8) -> Option<Vec<String>> {
    let (_, rest) = subject_and_rest(certificate)?;
    let mut names = Vec::new();
    for part in Values(rest) {
        let (EXTENSIONS, extensions) = part? else { continue };
        let ((SEQUENCE, extensions), _) = read(extensions)? else {
            return None;
        };
        for extension in Values(extensions) {
            let (SEQUENCE, extension) = extension? else { return None };
            let mut parts = Values(extension);
            if parts.next()?? != (OBJECT_ID, ALTERNATIVE_NAMES.as_slice()) {
                continue;
            }
            // A flag "critical" may stand before the value.
            let value = parts
                .filter_map(|part| part.filter(|(tag, _)| *tag == OCTETS))
                .next()?
                .1;
            let ((SEQUENCE, all), _) = read(value)? else {
                return None;
            };
            for name in Values(all) {
                let (tag, name) = name?;
                if tag == kind {
                    names.push(std::str::from_utf8(name).ok()?.to_owned());
                }
            }
        }
    }
    Some(names)
}

/// The subject's content and what follows it in the signed part.
fn subject_and_rest(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let ((SEQUENCE, certificate), _) = read(certificate)? else {
        return None;
    };
    let ((SEQUENCE, mut signed), _) = read(certificate)? else {
        return None;
    };
    if let ((VERSION, _), rest) = read(signed)? {
        signed = rest;
    }
    // Serial number, algorithm, issuer, validity.
    for expected in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE] {
        let ((tag, _), rest) = read(signed)?;
        if tag != expected {
            return None;
        }
        signed = rest;
    }
    let ((SEQUENCE, subject), rest) = read(signed)? else {
        return None;
    };
    Some((subject, rest))
}

type Value<'a> = (u8, &'a [u8]);

/// The first value, as tag and content, and what follows it.
fn read(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (
                digits.iter().fold(0_usize, |sum, digit| sum << 8 | usize::from(*digit)),
                rest,
            )
        }
        // Without a length, or one that no certificate needs.
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some(((*tag, content), rest))
}

/// The values of a content, one after the other; `None` among them is a content that cannot be read.
struct Values<'a>(&'a [u8]);

impl<'a> Iterator for Values<'a> {
    type Item = Option<Value<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        match read(self.0) {
            Some((value, rest)) => {
                self.0 = rest;
                Some(Some(value))
            }
            None => {
                self.0 = &[];
                Some(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use base64::Engine as _;

    use super::*;

    /// A certificate made by OpenSSL.
    fn made(subject: &str, names: &str) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "1",
            ])
            .args(["-subj", subject, "-addext", names, "-keyout"])
            .arg(dir.path().join("key"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        base64::engine::general_purpose::STANDARD.decode(body).unwrap()
    }

    #[test]
    fn the_name_is_found_where_the_config_says_and_nowhere_else() {
        let der = made("/O=Lab/CN=sam", "subjectAltName=email:ana@lab.org,DNS:ada.lab");
        let of = |from| login(&der, from);
        assert_eq!(of(CertificateLogin::CommonName).as_deref(), Some("sam"));
        assert_eq!(of(CertificateLogin::Mail).as_deref(), Some("ana@lab.org"));
        assert_eq!(of(CertificateLogin::Dns).as_deref(), Some("ada.lab"));
    }

    #[test]
    fn no_name_and_two_names_are_no_login() {
        let der = made("/CN=sam/CN=ada", "subjectAltName=DNS:a,DNS:b");
        assert_eq!(login(&der, CertificateLogin::CommonName), None);
        assert_eq!(login(&der, CertificateLogin::Dns), None);
        assert_eq!(login(&der, CertificateLogin::Mail), None);
    }

    #[test]
    fn a_node_may_have_several_names_and_has_those_only() {
        let der = made("/CN=labhouse-node", "subjectAltName=DNS:a.lab,DNS:labhouse-node");
        assert!(has_dns_name(&der, "labhouse-node"));
        assert!(!has_dns_name(&der, "b.lab"));
        // The common name is not among them, and neither is an address of another kind.
        let other = made("/CN=labhouse-node", "subjectAltName=email:labhouse-node");
        assert!(!has_dns_name(&other, "labhouse-node"));
    }

    #[test]
    fn a_damaged_certificate_is_no_login_and_no_panic() {
        let der = made("/CN=sam", "subjectAltName=email:ana@lab.org");
        for end in 0..der.len() {
            let cut = &der[..end];
            assert_eq!(login(cut, CertificateLogin::CommonName), None, "{end}");
        }
        for at in 0..der.len() {
            let mut bent = der.clone();
            bent[at] ^= 0x55;
            for from in [CertificateLogin::CommonName, CertificateLogin::Mail] {
                let _ = login(&bent, from);
            }
        }
    }
}
