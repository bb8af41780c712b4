//! `labhouse audit`: the auditor's tool, offline.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use labhouse_catalog::Lake;

use super::{anchor, journal, keys, verify};
use crate::config::Config;

/// Problems that are printed; one is enough to know, and a rewritten trail has one for every event.
const PROBLEMS_MAX: usize = 20;

/// What can be done with the trail.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Find events of the audit trail that were altered, removed, reordered or cut off
    Verify {
        /// The config file
        #[arg(long, default_value = "labhouse.toml")]
        config: PathBuf,
        /// A file of anchors to compare with, in place of the config's
        #[arg(long)]
        anchor: Option<PathBuf>,
    },
}

/// Runs a command; the exit code is 1 when the trail is not whole.
pub(crate) async fn run(command: AuditCommand) -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    let AuditCommand::Verify { config, anchor } = command;
    let config = Config::read(&config)?;
    let lake = Lake::open(&config.lake.url, &config.lake.options).await?;
    let file = anchor.or_else(|| config.audit.anchor_file());
    let anchors = match &file {
        Some(file) => anchor::in_file(file)?,
        None => Vec::new(),
    };
    let place = file.map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    let known = anchors.len();
    let keys = keys(&config)?;
    let report = verify::verify(&lake, &journal(&lake)?, &keys, anchors, &place).await?;
    let mut out = std::io::stdout().lock();
    for problem in report.problems.iter().take(PROBLEMS_MAX) {
        match problem.chain.as_str() {
            "" => writeln!(out, "bad: {}", problem.what)?,
            chain => writeln!(out, "bad: chain {chain} event {}: {}", problem.seq, problem.what)?,
        }
    }
    if report.problems.len() > PROBLEMS_MAX {
        writeln!(out, "and {} more", report.problems.len() - PROBLEMS_MAX)?;
    }
    for remark in &report.remarks {
        writeln!(out, "note: {remark}")?;
    }
    if !report.problems.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    writeln!(
        out,
        "ok: {} events in {} chains, {known} anchors of {place}, key {}",
        report.events,
        report.chains,
        keys.chain_name()
    )?;
    Ok(ExitCode::SUCCESS)
}
