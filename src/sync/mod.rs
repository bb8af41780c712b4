//! `labhouse sync`: the agent on an instrument's PC. What lies in a folder is brought to a lake, each file once, whole, and
//! again when it changed.
//!
//! ```text
//! folder (what is ready) ─ journal (what was sent before) ─ send (in parts, from where the line broke) ─ lake
//! ```
//! Nothing in the folder is changed but the agent's own journal, one line a file that arrived. Losing it costs time
//! only: the lake is asked for each file's digest before a byte is sent. A file that is written to while it is sent does not
//! arrive; it is sent again when it rests.

mod folder;
mod journal;
mod send;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use folder::{Found, Rest, look};
use journal::Journal;
use send::{SendError, Sender};

/// Brings the files of a folder to a lake.
#[derive(Debug, clap::Args)]
pub(crate) struct SyncOptions {
    /// The folder; files in folders below it keep their paths
    dir: PathBuf,
    /// Where to: http(s)://HOST:PORT/SCHEMA/TABLE of a server, or …/landing/SCHEMA/TABLE of a lake (file:// or s3://)
    #[arg(long)]
    to: String,
    /// Login at the server, also from LABHOUSE_USER; not needed with a token
    #[arg(long)]
    user: Option<String>,
    /// File whose first line is the token or password; else LABHOUSE_PASSWORD
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// With https: PEM file of the authority that the server's certificate must come from, instead of the system's
    #[arg(long)]
    tls_ca: Option<PathBuf>,
    /// Go on: look again every so many seconds, until a signal
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: Option<u64>,
    /// A file that changed less than this ago is left for the next look, in milliseconds
    #[arg(long, default_value_t = 2_000)]
    settle_ms: u64,
    /// The agent's journal, default: DIR/.labhouse-sync.jsonl
    #[arg(long)]
    journal: Option<PathBuf>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Why the agent cannot work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    #[error("`{to}` is no place for files: {reason}")]
    To { to: String, reason: String },
    #[error("{path} cannot be {action}: {source}")]
    File {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the folder {path} cannot be looked into: {source}")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("no token: put it into LABHOUSE_PASSWORD or a file named with --password-file")]
    NoPassword,
    #[error("nobody is named: a password needs --user or LABHOUSE_USER, a token does not")]
    NoUser,
    #[error("the lake cannot be opened: {0}")]
    Lake(#[from] labhouse_catalog::LakeError),
    #[error("the certificates cannot be used: {0}")]
    Client(#[from] reqwest::Error),
    #[error("what happened cannot be told: {0}")]
    Output(std::io::Error),
    #[error("signals cannot be heard: {0}")]
    Signals(std::io::Error),
}

/// What one look did.
#[derive(Debug, Default)]
struct Tally {
    failed: bool,
    /// A file waits whose time says nothing, since its clock is ahead.
    is_ahead: bool,
}

/// Runs the agent; its code is 0 when everything that was ready has arrived.
///
/// # Errors
/// See [`SyncError`]; a file that is not taken is a line and a code instead, and the others go on.
pub(crate) async fn run(options: SyncOptions) -> Result<ExitCode, SyncError> {
    let place = options.journal.clone();
    let place = place.unwrap_or_else(|| options.dir.join(".labhouse-sync.jsonl"));
    let mut journal = Journal::open(&place, &options.to)?;
    let mut sender = Sender::open(&options).await?;
    let (mut rest, long) = (Rest::default(), Duration::from_millis(options.settle_ms));
    let Some(every) = options.every else {
        let mut tally = pass(&options, &mut journal, &mut sender, &mut rest).await?;
        if tally.is_ahead {
            tokio::time::sleep(long).await;
            tally = pass(&options, &mut journal, &mut sender, &mut rest).await?;
        }
        return Ok(if tally.failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        });
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(SyncError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(SyncError::Signals)?;
    let going_on = async {
        let mut is_away = false;
        loop {
            // A share that went away took the open journal with it.
            let opened = match is_away {
                true => Journal::open(&place, &options.to).map(|opened| journal = opened),
                false => Ok(()),
            };
            let done = match opened {
                Ok(()) => pass(&options, &mut journal, &mut sender, &mut rest).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(_) => is_away = false,
                // It comes back: that it is away is told once.
                Err(error @ (SyncError::Folder { .. } | SyncError::File { .. })) => {
                    if !is_away {
                        tell(&options, "away", "", 0, &error.to_string())?;
                    }
                    is_away = true;
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(Duration::from_secs(every)).await;
        }
    };
    // What was cut off goes on at the next start.
    tokio::select! {
        failed = going_on => failed,
        _ = terminate.recv() => Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => Ok(ExitCode::SUCCESS),
    }
}

/// Looks once and sends what is ready and new.
async fn pass(
    options: &SyncOptions,
    journal: &mut Journal,
    sender: &mut Sender,
    rest: &mut Rest,
) -> Result<Tally, SyncError> {
    let mut tally = Tally::default();
    for found in look(&options.dir)? {
        let file = match found {
            Found::File(file) => file,
            Found::Odd { path, reason } => {
                tally.failed = true;
                tell(options, "refused", &path, 0, &reason)?;
                continue;
            }
        };
        if journal.knows(&file) {
            continue;
        }
        let path = format!("{}{}", sender.prefix(), file.path);
        if let Err(reason) = send::check(&path) {
            // Told once, and not a failure: hidden and temporary files are nobody's data.
            if journal.skips(&file) {
                tell(options, "skipped", &file.path, file.bytes, &reason)?;
            }
            continue;
        }
        if !rest.has(&file, Duration::from_millis(options.settle_ms)) {
            tally.is_ahead |= rest.watches(&file);
            if options.every.is_none() {
                tally.failed = true;
                tell(options, "waiting", &file.path, file.bytes, "it is still being written")?;
            }
            continue;
        }
        match sender.send(&file, &path).await {
            Ok(sent) => {
                if let Err(error) = journal.arrived(&file, &sent.sha256) {
                    // Known as long as the agent runs; the next one asks the lake.
                    tally.failed = true;
                    tell(options, "unnoted", &file.path, file.bytes, &error.to_string())?;
                }
                let word = if sent.was_there { "there" } else { "sent" };
                tell(options, word, &file.path, file.bytes, "")?;
            }
            Err(SendError::Moving) => {
                tally.failed |= options.every.is_none();
                tell(
                    options,
                    "waiting",
                    &file.path,
                    file.bytes,
                    "it changed while it was sent",
                )?;
            }
            Err(error) => {
                tally.failed = true;
                tell(options, "failed", &file.path, file.bytes, &error.to_string())?;
                if matches!(error, SendError::Unreachable(_) | SendError::Login(_)) {
                    // The other files would fare no better.
                    break;
                }
            }
        }
    }
    Ok(tally)
}

/// One line a file on standard output.
fn tell(options: &SyncOptions, word: &str, path: &str, bytes: u64, reason: &str) -> Result<(), SyncError> {
    let mut out = std::io::stdout().lock();
    let line = match options.json {
        true => serde_json::json!({"status": word, "path": path, "bytes": bytes, "reason": reason}).to_string(),
        false => format!("{word:<8} {bytes:>12} bytes  {path}  {reason}")
            .trim_end()
            .to_owned(),
    };
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(SyncError::Output)
}
