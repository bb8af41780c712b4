//! Encryption on the wire, for every door that has it: certificates that are read again when their files change, and
//! client certificates when an authority for them is named.
//!
//! A change acts on new connections; what cannot be used is told in the log and the last good certificates stay.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::config;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long a client may take to agree on keys.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Why the certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be used for TLS: {reason}")]
pub(crate) struct TlsError {
    path: String,
    reason: String,
}

/// The certificates of this server.
pub(crate) struct Tls {
    files: config::Tls,
    /// Whether a client without a certificate is turned away.
    strict: bool,
    current: ArcSwap<ServerConfig>,
    seen: Mutex<Stamps>,
}

/// Length and time of change of each file.
type Stamps = Vec<Option<(u64, SystemTime)>>;

impl Tls {
    /// None when the config names no certificate.
    pub(crate) fn open(files: &config::Tls) -> Result<Option<Arc<Self>>, TlsError> {
        if files.cert.is_empty() {
            return Ok(None);
        }
        Self::of(files.clone(), false).map(Some)
    }

    /// Of a node's door: whoever calls must show a certificate. None when the nodes of the config talk in plain text.
    pub(crate) fn of_nodes(cluster: &config::Cluster) -> Result<Option<Arc<Self>>, TlsError> {
        if !cluster.is_encrypted() {
            return Ok(None);
        }
        let files = config::Tls {
            cert: cluster.cert.clone(),
            key: cluster.key.clone(),
            client_ca: cluster.ca.clone(),
            ..config::Tls::default()
        };
        Self::of(files, true).map(Some)
    }

    fn of(files: config::Tls, strict: bool) -> Result<Arc<Self>, TlsError> {
        let seen = Mutex::new(stamps(&files));
        let current = ArcSwap::from_pointee(read(&files, strict)?);
        Ok(Arc::new(Self {
            files,
            strict,
            current,
            seen,
        }))
    }

    /// Agrees on keys with a client that speaks `protocol`.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        protocol: &'static [u8],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = ServerConfig::clone(&self.current.load());
        config.alpn_protocols = vec![protocol.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await?
    }

    /// Takes over changed files; true when there were some.
    fn reload(&self) -> bool {
        let now = stamps(&self.files);
        {
            let mut seen = self.seen.lock();
            if *seen == now {
                return false;
            }
            *seen = now;
        }
        match read(&self.files, self.strict) {
            Ok(config) => {
                self.current.store(Arc::new(config));
                tracing::info!(
                    cert = self.files.cert,
                    "new certificates are in use for new connections"
                );
            }
            Err(error) => {
                tracing::error!(%error, "the changed certificates are not taken over; the last good ones stay")
            }
        }
        true
    }
}

/// Follows the files until shutdown.
pub(crate) async fn follow(tls: Arc<Tls>, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
        let looking = Arc::clone(&tls);
        if let Err(error) = tokio::task::spawn_blocking(move || looking.reload()).await {
            tracing::error!(%error, "the certificates were not looked at");
        }
    }
}

fn read(files: &config::Tls, strict: bool) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong(&files.key, error))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&files.cert, error))?;
    let builder = if files.client_ca.is_empty() {
        builder.with_no_client_auth()
    } else {
        builder.with_client_cert_verifier(verifier(&files.client_ca, provider, strict)?)
    };
    builder
        .with_single_cert(chain, key)
        .map_err(|error| wrong(&files.cert, error))
}

/// Certificates are asked for and, when shown, must be good; a client without one logs in by other means, or not at all.
fn verifier(
    authorities: &str,
    provider: Arc<CryptoProvider>,
    strict: bool,
) -> Result<Arc<dyn tokio_rustls::rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authorities)? {
        roots.add(certificate).map_err(|error| wrong(authorities, error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if strict {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    builder.build().map_err(|error| wrong(authorities, error))
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| wrong(path, error))?;
    if found.is_empty() {
        return Err(wrong(path, "it holds no certificate in PEM form"));
    }
    Ok(found)
}

fn wrong(path: &str, reason: impl std::fmt::Display) -> TlsError {
    TlsError {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn stamps(files: &config::Tls) -> Stamps {
    let stamp = |path: &String| {
        let found = std::fs::metadata(Path::new(path)).ok()?;
        Some((found.len(), found.modified().ok()?))
    };
    [&files.cert, &files.key, &files.client_ca].map(stamp).into()
}
