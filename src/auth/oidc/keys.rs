//! Signed tokens and the keys that verify them. The algorithm is the key's, from a list of three; what a token says of
//! its own keys (`jwk`, `jku`, `x5u`) is not read, and one that demands anything (`crit`) is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

use super::Refusal;

/// Keys of a provider that are looked at: providers publish two or three.
const KEYS_MAX: usize = 64;
const KEY_ID_BYTES_MAX: usize = 256;

/// The pinned algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
    EdDsa,
}

/// A token whose signature is not checked yet: nothing but its header may be believed.
pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
    enc: Option<serde_json::Value>,
}

impl<'a> Token<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, Refusal> {
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed("it has no parts"))?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed("it has two parts"))?;
        if payload.contains('.') {
            return Err(Refusal::Malformed("it has more than three parts"));
        }
        let decode = |part: &str| {
            let decoded = URL_SAFE_NO_PAD.decode(part);
            decoded.map_err(|_| Refusal::Malformed("a part is no base64url"))
        };
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_| Refusal::Malformed("its header cannot be read"))?;
        if header.crit.is_some() || header.enc.is_some() {
            return Err(Refusal::Malformed("it demands what is not known here"));
        }
        let algorithm = match header.alg.as_str() {
            "RS256" => Algorithm::Rs256,
            "ES256" => Algorithm::Es256,
            "EdDSA" => Algorithm::EdDsa,
            _ => return Err(Refusal::Algorithm),
        };
        if header.kid.as_ref().is_some_and(|id| id.len() > KEY_ID_BYTES_MAX) {
            return Err(Refusal::Malformed("its key's name is too long"));
        }
        Ok(Self {
            algorithm,
            key_id: header.kid,
            signed,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// The claims, if `key` signed them.
    pub(super) fn verified(&self, key: &Key) -> Result<&[u8], Refusal> {
        if key.algorithm() != self.algorithm {
            return Err(Refusal::UnknownKey);
        }
        let (message, signature) = (self.signed.as_bytes(), self.signature.as_slice());
        let verified = match &key.material {
            Material::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            Material::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature),
            Material::Ed25519(point) => UnparsedPublicKey::new(&ED25519, point).verify(message, signature),
        };
        verified.map_err(|_| Refusal::Signature)?;
        Ok(&self.payload)
    }
}

/// A public key of the provider.
#[derive(Debug, Clone)]
pub(super) struct Key {
    id: Option<String>,
    material: Material,
}

#[derive(Debug, Clone)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Uncompressed.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Published {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Rsa { .. } => Algorithm::Rs256,
            Material::P256(_) => Algorithm::Es256,
            Material::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// A published key that can verify signatures; none for other kinds.
    fn read(published: serde_json::Value) -> Option<Self> {
        let key: Published = serde_json::from_value(published).ok()?;
        if key.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let bytes = |part: &Option<String>| URL_SAFE_NO_PAD.decode(part.as_deref()?.trim_end_matches('=')).ok();
        let (material, algorithm) = match (key.kty.as_str(), key.crv.as_deref()) {
            ("RSA", None) => (
                Material::Rsa {
                    n: bytes(&key.n)?,
                    e: bytes(&key.e)?,
                },
                "RS256",
            ),
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(&key.x)?, bytes(&key.y)?);
                if (x.len(), y.len()) != (32, 32) {
                    return None;
                }
                (Material::P256([&[4], x.as_slice(), y.as_slice()].concat()), "ES256")
            }
            ("OKP", Some("Ed25519")) => (Material::Ed25519(bytes(&key.x)?), "EdDSA"),
            _ => return None,
        };
        if key.alg.is_some_and(|stated| stated != algorithm) {
            return None;
        }
        Some(Self { id: key.kid, material })
    }
}

/// The usable keys of a published set.
pub(super) fn read_keys(text: &[u8]) -> Result<Vec<Key>, Refusal> {
    let set: KeySet = serde_json::from_slice(text)
        .map_err(|error| Refusal::Provider(format!("its key set cannot be read: {error}")))?;
    Ok(set.keys.into_iter().take(KEYS_MAX).filter_map(Key::read).collect())
}

/// The key that a token means: the one it names, or the only one of its algorithm when it names none.
pub(super) fn find<'a>(keys: &'a [Key], token: &Token<'_>) -> Option<&'a Key> {
    let mut fitting = keys.iter().filter(|key| key.algorithm() == token.algorithm);
    match &token.key_id {
        Some(id) => fitting.find(|key| key.id.as_ref() == Some(id)),
        None => fitting.next().filter(|_| fitting.next().is_none()),
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    use super::*;

    fn word(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    struct Signer(EcdsaKeyPair);

    impl Signer {
        fn new() -> Self {
            let random = SystemRandom::new();
            let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
            Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap())
        }

        fn published(&self, id: &str) -> serde_json::Value {
            let point = self.0.public_key().as_ref();
            serde_json::json!({
                "kty": "EC", "crv": "P-256", "kid": id,
                "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
            })
        }

        fn token(&self, header: &str, claims: &str) -> String {
            let signed = format!("{}.{}", word(header), word(claims));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn set(keys: &[serde_json::Value]) -> Vec<Key> {
        read_keys(serde_json::json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_signature_opens_under_its_key_and_no_other() {
        let (ours, other) = (Signer::new(), Signer::new());
        let keys = set(&[ours.published("a"), other.published("b")]);
        let text = ours.token(r#"{"alg":"ES256","kid":"a"}"#, "{}");
        let token = Token::read(&text).unwrap();
        assert_eq!(token.verified(find(&keys, &token).unwrap()).unwrap(), b"{}");
        // Another's key of the same name, a changed claim, a cut signature.
        let foreign = set(&[other.published("a")]);
        assert!(token.verified(find(&foreign, &token).unwrap()).is_err());
        let parts: Vec<&str> = text.split('.').collect();
        let forged = format!("{}.{}.{}", parts[0], word(r#"{"sub":"ada"}"#), parts[2]);
        let forged = Token::read(&forged).unwrap();
        assert!(forged.verified(find(&keys, &forged).unwrap()).is_err());
        // Whole bytes of it, so that it can be read.
        let cut = &text[..text.len() - 6];
        let cut = Token::read(cut).unwrap();
        assert!(cut.verified(find(&keys, &cut).unwrap()).is_err());
    }

    #[test]
    fn an_algorithm_is_pinned_and_belongs_to_the_key() {
        let signer = Signer::new();
        let keys = set(&[signer.published("a")]);
        for alg in ["none", "None", "HS256", "HS512", "RS512", "ES384", "PS256", ""] {
            let text = signer.token(&format!(r#"{{"alg":"{alg}","kid":"a"}}"#), "{}");
            assert!(matches!(Token::read(&text), Err(Refusal::Algorithm)), "{alg}");
        }
        // The public key taken as the secret of an HMAC has no algorithm to be used with; and an EC key signs no RS256.
        let text = signer.token(r#"{"alg":"RS256","kid":"a"}"#, "{}");
        assert!(find(&keys, &Token::read(&text).unwrap()).is_none());
        for header in [
            r#"{"alg":"ES256","kid":"../a"}"#,
            r#"{"alg":"ES256","kid":"b","jwk":{"kty":"EC"}}"#,
        ] {
            let text = signer.token(header, "{}");
            assert!(find(&keys, &Token::read(&text).unwrap()).is_none(), "{header}");
        }
        let text = signer.token(r#"{"alg":"ES256","kid":"a","crit":["exp"]}"#, "{}");
        assert!(Token::read(&text).is_err());
    }

    #[test]
    fn noise_is_no_token() {
        for noise in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "e30.e30.", "!!.e30.e30"] {
            assert!(Token::read(noise).is_err(), "{noise}");
        }
    }

    #[test]
    fn a_nameless_token_needs_a_single_key_and_ed25519_is_known() {
        let (one, two) = (Signer::new(), Signer::new());
        let text = one.token(r#"{"alg":"ES256"}"#, "{}");
        let token = Token::read(&text).unwrap();
        assert!(find(&set(&[one.published("a")]), &token).is_some());
        assert!(find(&set(&[one.published("a"), two.published("b")]), &token).is_none());

        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let keys = set(&[serde_json::json!({"kty": "OKP", "crv": "Ed25519", "kid": "e", "x": x})]);
        let signed = format!("{}.{}", word(r#"{"alg":"EdDSA","kid":"e"}"#), word("{}"));
        let text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes())));
        let token = Token::read(&text).unwrap();
        assert!(token.verified(find(&keys, &token).unwrap()).is_ok());
    }

    #[test]
    fn keys_for_other_purposes_are_not_keys() {
        let mut encrypting = Signer::new().published("a");
        encrypting["use"] = "enc".into();
        let mut other = Signer::new().published("b");
        other["alg"] = "ES384".into();
        let secret = serde_json::json!({"kty": "oct", "k": "AAAA", "kid": "c"});
        assert!(set(&[encrypting, other, secret]).is_empty());
    }
}
