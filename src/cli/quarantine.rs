//! `labhouse quarantine`: the same as the statements `RELEASE QUARANTINE` and `IGNORE QUARANTINE`, for whoever may write the
//! lake's own files.

use std::io::Write;
use std::sync::Arc;

use clap::Subcommand;
use labhouse_catalog::{Catalog, Crawler, FileStatus, Lake};

use super::{ConfigFile, Failure};
use crate::config::Config;
use crate::engine::crawl_options;

/// Who left a file alone, when it was said on the command line.
const COMMAND_LINE: &str = "the command line";

#[derive(Debug, Subcommand)]
pub(super) enum QuarantineCommand {
    /// Each file with its reason and its first bytes
    List {
        #[command(flatten)]
        config: ConfigFile,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Let files be read again by the next sweep
    Release {
        /// Paths below landing/
        #[arg(required = true)]
        paths: Vec<String>,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Leave files alone until they change or are released
    Ignore {
        /// Paths below landing/
        #[arg(required = true)]
        paths: Vec<String>,
        #[command(flatten)]
        config: ConfigFile,
    },
}

pub(super) async fn run(command: QuarantineCommand) -> Result<(), Failure> {
    match command {
        QuarantineCommand::List { config, json } => list(&crawler(&config).await?, json).await,
        QuarantineCommand::Release { paths, config } => {
            let crawler = crawler(&config).await?;
            for path in &paths {
                crawler.release(path).await?;
                writeln!(std::io::stdout(), "{path}: the next sweep reads it again")?;
            }
            Ok(())
        }
        QuarantineCommand::Ignore { paths, config } => {
            let crawler = crawler(&config).await?;
            for path in &paths {
                crawler.ignore(path, COMMAND_LINE).await?;
                writeln!(std::io::stdout(), "{path}: left alone until it changes or is released")?;
            }
            Ok(())
        }
    }
}

async fn crawler(file: &ConfigFile) -> Result<Crawler, Failure> {
    let config = Config::read(&file.config)?;
    let lake = Lake::open(&config.lake.url, &config.lake.options).await?;
    let catalog: Arc<Catalog> = Catalog::load(lake).await?;
    Ok(Crawler::new(catalog, crawl_options(&config)))
}

async fn list(crawler: &Crawler, json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let files = crawler.files().await?;
    for file in files.iter().filter(|file| file.status == FileStatus::Quarantined) {
        if json {
            writeln!(out, "{}", serde_json::to_string(file)?)?;
            continue;
        }
        writeln!(out, "{}\t{}", file.path, file.reason.as_deref().unwrap_or_default())?;
        if let Some(sample) = &file.sample {
            writeln!(out, "\t{}", sample.escape_debug())?;
        }
    }
    Ok(())
}
