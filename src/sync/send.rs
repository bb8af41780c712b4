//! Files on their way: to a server, in parts that are taken up again where the line broke, or straight into a lake.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use labhouse_catalog::Lake;
use labhouse_catalog::uploads::{self, PART_BYTES_MAX, Upload, UploadError};
use percent_encoding::percent_decode_str;
use reqwest::{Certificate, Client, RequestBuilder, StatusCode, redirect};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

use super::folder::File;
use super::{SyncError, SyncOptions};
use crate::auth::hex;
use crate::config::alerts::is_safe;

/// The folder of a lake that files land in.
const LANDING: &str = "/landing/";
/// How long one part may take on a slow line: 4 MiB at 300 kbit/s.
const PART_TIME_MAX: Duration = Duration::from_secs(120);
/// Tries of one call, with pauses of 1, 2, 4, 8 seconds between them.
const TRIES_MAX: u32 = 5;
/// How often a file may begin anew because server and agent are not of one mind.
const TURNS_MAX: usize = 3;

/// Why a file did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("it changed while it was sent")]
    Moving,
    #[error("the server does not answer: {0}")]
    Unreachable(String),
    #[error("{0}")]
    Login(String),
    #[error("{0}")]
    Refused(String),
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
}

/// A file that arrived.
pub(super) struct Sent {
    pub(super) sha256: String,
    /// The lake had it already.
    pub(super) was_there: bool,
}

pub(super) struct Sender {
    to: To,
    /// In front of each path, with a slash at its end.
    prefix: String,
}

enum To {
    Server {
        client: Client,
        url: Url,
        user: Option<String>,
        password: String,
    },
    Lake(Arc<Lake>),
}

/// What a server says of a file.
#[derive(Deserialize)]
struct Answer {
    received: u64,
    landed: bool,
}

/// What a refusal says.
#[derive(Deserialize)]
struct Refused {
    error: Problem,
}

#[derive(Deserialize)]
struct Problem {
    message: String,
}

impl Sender {
    pub(super) async fn open(options: &SyncOptions) -> Result<Self, SyncError> {
        let refuse = |reason: &str| SyncError::To {
            to: options.to.clone(),
            reason: reason.to_owned(),
        };
        let url = Url::parse(&options.to).map_err(|error| refuse(&error.to_string()))?;
        let (to, folder) = match url.scheme() {
            "http" | "https" => {
                if !is_safe(&url) {
                    return Err(refuse("beyond this machine files and tokens travel by https only"));
                }
                let to = To::Server {
                    client: client(options, &url)?,
                    user: options.user.clone().or_else(|| std::env::var("LABHOUSE_USER").ok()),
                    password: password(options)?,
                    url: url.clone(),
                };
                (to, decoded(&url))
            }
            "file" | "s3" => {
                let text = options.to.as_str();
                let (lake, folder) = text.split_once(LANDING).ok_or_else(|| {
                    refuse("write …/landing/SCHEMA/TABLE, so that the lake and the folder in it are known")
                })?;
                // The lake's own settings of its store are the server's; the environment names endpoint and keys.
                (
                    To::Lake(Lake::open(lake, &Default::default()).await?),
                    folder.to_owned(),
                )
            }
            _ => return Err(refuse("write http://, https://, file:// or s3://")),
        };
        if let To::Server {
            user: None, password, ..
        } = &to
            && !password.starts_with("labhouse_")
        {
            return Err(SyncError::NoUser);
        }
        let folder = folder.trim_matches('/');
        if folder.is_empty() {
            return Err(refuse("name the schema's folder at least: …/SCHEMA or …/SCHEMA/TABLE"));
        }
        Ok(Self {
            to,
            prefix: format!("{folder}/"),
        })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Brings one file to `path`, relative to the landing folder.
    pub(super) async fn send(&mut self, file: &File, path: &str) -> Result<Sent, SendError> {
        let place = file.place.clone();
        let (bytes, sha256) = blocking(move || digest(&place)).await?;
        let same = still(file);
        if bytes != file.bytes || !same {
            return Err(SendError::Moving);
        }
        let was_there = match &self.to {
            To::Lake(lake) => {
                let upload = Upload::new("", path, bytes, &sha256);
                let upload = upload.map_err(|error| SendError::Refused(error.to_string()))?;
                bring(lake, &upload, file).await?
            }
            To::Server { .. } => self.push(file, path, &sha256).await?,
        };
        if !still(file) {
            return Err(SendError::Moving);
        }
        Ok(Sent { sha256, was_there })
    }

    /// Sends what the server has not; true when it had all of it.
    async fn push(&self, file: &File, path: &str, sha256: &str) -> Result<bool, SendError> {
        let whole = [("bytes", file.bytes.to_string()), ("sha256", sha256.to_owned())];
        for turn in 0..TURNS_MAX {
            let look = || self.call(path, |client, url| client.get(url).query(&whole));
            let Some(mut has) = answered(&self.ask(look).await?, turn)? else {
                continue;
            };
            if has.landed {
                return Ok(turn == 0);
            }
            loop {
                let (place, at) = (file.place.clone(), has.received);
                let part = blocking(move || part(&place, at)).await?;
                if part.is_empty() && at < file.bytes {
                    return Err(SendError::Moving);
                }
                let put = || {
                    self.call(path, |client, url| {
                        let call = client.put(url).query(&whole).query(&[("at", at)]);
                        call.body(part.clone())
                    })
                };
                match answered(&self.ask(put).await?, turn)? {
                    Some(answer) if answer.landed => return Ok(false),
                    Some(answer) if answer.received > at => has = answer,
                    // The server has less or other parts than it said: it is asked again.
                    _ => break,
                }
            }
        }
        Err(SendError::Refused(
            "the server lost parts of it again and again; its log may say why".to_owned(),
        ))
    }

    fn call(&self, path: &str, make: impl Fn(&Client, Url) -> RequestBuilder) -> Option<RequestBuilder> {
        let To::Server {
            client,
            url,
            user,
            password,
        } = &self.to
        else {
            return None;
        };
        let mut url = url.clone();
        url.set_query(None);
        url.path_segments_mut()
            .ok()?
            .clear()
            .extend(["api", "landing"].into_iter().chain(path.split('/')));
        let request = make(client, url);
        Some(match user {
            Some(user) => request.basic_auth(user, Some(password)),
            None => request.bearer_auth(password),
        })
    }

    /// Asks until there is an answer that another try would not change.
    async fn ask(&self, make: impl Fn() -> Option<RequestBuilder>) -> Result<(StatusCode, Bytes), SendError> {
        let mut said = String::new();
        for attempt in 0..TRIES_MAX {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_secs(1 << (attempt - 1))).await;
            }
            let request = make().ok_or_else(|| SendError::Refused("its path cannot be a URL's".to_owned()))?;
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(error) => {
                    said = chain(&error);
                    continue;
                }
            };
            let status = answer.status();
            let body = match answer.bytes().await {
                Ok(body) => body,
                Err(error) => {
                    said = chain(&error);
                    continue;
                }
            };
            let later = status.is_server_error()
                || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
            if !later {
                return Ok((status, body));
            }
            said = message(&body, status);
        }
        Err(SendError::Unreachable(said))
    }
}

/// Whether `path` can lead to a table; the reason when not.
pub(super) fn check(path: &str) -> Result<(), String> {
    match Upload::new("", path, 0, &"0".repeat(64)) {
        Ok(_) => Ok(()),
        Err(UploadError::Path { reason, .. }) => Err(reason),
        Err(error) => Err(error.to_string()),
    }
}

/// What the server has; none when it is to be asked again.
fn answered((status, body): &(StatusCode, Bytes), turn: usize) -> Result<Option<Answer>, SendError> {
    match *status {
        status if status.is_success() => serde_json::from_slice(body).map(Some).map_err(|_| {
            SendError::Refused("what answers there is no labhouse server; --to names its HTTP address".to_owned())
        }),
        StatusCode::CONFLICT if turn + 1 < TURNS_MAX => Ok(None),
        StatusCode::UNAUTHORIZED => Err(SendError::Login(message(body, *status))),
        status => Err(SendError::Refused(message(body, status))),
    }
}

fn message(body: &[u8], status: StatusCode) -> String {
    serde_json::from_slice::<Refused>(body)
        .map_or_else(|_| format!("the server answered {status}"), |told| told.error.message)
}

/// An error with its causes: reqwest's own text leaves them out.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Straight into a lake; true when it was there.
async fn bring(lake: &Lake, upload: &Upload, file: &File) -> Result<bool, SendError> {
    let failed = |error: UploadError| match error {
        UploadError::Damaged { .. } => SendError::Moving,
        error => SendError::Refused(error.to_string()),
    };
    let there = uploads::received(lake, upload).await.map_err(failed)?;
    if !there.is_landed {
        let brought = uploads::bring(lake, upload, &file.place, there.replaces).await;
        brought.map_err(failed)?;
    }
    Ok(there.is_landed)
}

fn client(options: &SyncOptions, url: &Url) -> Result<Client, SyncError> {
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .timeout(PART_TIME_MAX)
        .user_agent(concat!("labhouse-sync/", env!("CARGO_PKG_VERSION")));
    if url.scheme() == "http" {
        builder = builder.no_proxy();
    }
    if let Some(path) = &options.tls_ca {
        let pem = read(path)?;
        builder = builder.add_root_certificate(Certificate::from_pem(&pem)?);
    }
    Ok(builder.build()?)
}

fn password(options: &SyncOptions) -> Result<String, SyncError> {
    let text = match &options.password_file {
        Some(path) => String::from_utf8_lossy(&read(path)?).into_owned(),
        None => std::env::var("LABHOUSE_PASSWORD").map_err(|_| SyncError::NoPassword)?,
    };
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn read(path: &Path) -> Result<Vec<u8>, SyncError> {
    std::fs::read(path).map_err(|source| SyncError::File {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

/// The path of a URL as it was meant.
fn decoded(url: &Url) -> String {
    percent_decode_str(url.path()).decode_utf8_lossy().into_owned()
}

/// Length and SHA-256.
fn digest(place: &Path) -> std::io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let bytes = std::io::copy(&mut std::fs::File::open(place)?, &mut hash)?;
    Ok((bytes, hex(&hash.finalize())))
}

fn part(place: &Path, at: u64) -> std::io::Result<Bytes> {
    let mut file = std::fs::File::open(place)?;
    file.seek(SeekFrom::Start(at))?;
    let mut part = Vec::new();
    file.take(PART_BYTES_MAX as u64).read_to_end(&mut part)?;
    Ok(part.into())
}

/// Whether the file is as it was found.
fn still(file: &File) -> bool {
    std::fs::metadata(&file.place)
        .is_ok_and(|now| now.len() == file.bytes && now.modified().is_ok_and(|at| at == file.modified))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, SendError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(std::io::Error::other)??)
}
