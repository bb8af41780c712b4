//! `labhouse policy …`: the administrator's tools for policy files, offline.
//!
//! Exit codes are those of `diff`: 0 when there is nothing to complain of, 1 when there is (`test`: an assertion does not
//! hold; `diff`: somebody sees or may something else; `check`: the files are not valid), 2 when the tool could not do its
//! work.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use labhouse_catalog::{Catalog, Lake};
use labhouse_policies::PolicyStore;

use super::{ConfigFile, Failure};
use crate::config::Config;
use crate::policy_tools::{self, Lab, Trouble, explain};
use crate::session::{Sessions, table_object};

/// What a tool says that could not do its work.
const TROUBLE: u8 = 2;

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Check the policy files against the lake's tables
    Check(ConfigFile),
    /// What a user sees, and which line decided: all tables in short, or one in full
    Explain {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        policies: PolicyDir,
        /// The login whose view is explained
        #[arg(long = "as", value_name = "USER")]
        user: String,
        /// One table: lab.SCHEMA.TABLE
        #[arg(long)]
        table: Option<String>,
        /// One column of the table
        #[arg(long, requires = "table")]
        column: Option<String>,
        /// A SQL condition over the whole table that picks rows: is each of them shown, and if not, why not
        #[arg(long, requires = "table", value_name = "CONDITION")]
        row: Option<String>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Check the sentences of a file, such as `ana sees 1200 rows of lab.chemistry.reactions`; 1 if one does not hold
    Test {
        /// The file of assertions
        file: PathBuf,
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        policies: PolicyDir,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// What each principal would gain and lose, rows counted on the data of now; 1 if anybody does
    Diff {
        /// The policy directory before
        old: PathBuf,
        /// The policy directory after
        new: PathBuf,
        #[command(flatten)]
        config: ConfigFile,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct PolicyDir {
    /// Another policy directory than the config's, for trying an edit
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
}

pub(super) async fn run(command: PolicyCommand) -> Result<ExitCode, Failure> {
    match command {
        PolicyCommand::Check(file) => check(&Config::read(&file.config)?).await,
        PolicyCommand::Explain {
            config,
            policies,
            user,
            table,
            column,
            row,
            json,
        } => {
            let question = explain::Question {
                principal: user,
                table,
                column,
                row,
                json,
            };
            told(Box::pin(explained(&config, policies, question)).await)
        }
        PolicyCommand::Test {
            file,
            config,
            policies,
            json,
        } => told(Box::pin(tested(&config, policies, file, json)).await),
        PolicyCommand::Diff { old, new, config, json } => told(Box::pin(compared(&config, old, new, json)).await),
    }
}

/// `true` is a good answer, `false` a bad one, and an error none.
fn told(outcome: Result<bool, Trouble>) -> Result<ExitCode, Failure> {
    match outcome {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(trouble) => {
            writeln!(std::io::stderr(), "labhouse: {trouble}")?;
            Ok(ExitCode::from(TROUBLE))
        }
    }
}

async fn explained(config: &ConfigFile, dir: PolicyDir, question: explain::Question) -> Result<bool, Trouble> {
    let config = Config::read(&config.config)?;
    let lab = Lab::open(&config).await?;
    // A set that no server would take is explained too: that is when one wants to know.
    let policies = lab.policies(&dir.policies.unwrap_or(config.policies.dir), false)?;
    let mut out = BufWriter::new(std::io::stdout());
    explain::run(&lab, &policies, question, &mut out).await?;
    out.flush()?;
    Ok(true)
}

async fn tested(config: &ConfigFile, dir: PolicyDir, file: PathBuf, json: bool) -> Result<bool, Trouble> {
    let config = Config::read(&config.config)?;
    let lab = Lab::open(&config).await?;
    let policies = lab.policies(&dir.policies.unwrap_or(config.policies.dir), true)?;
    let mut out = BufWriter::new(std::io::stdout());
    let holds = policy_tools::assertions::run(&lab, &policies, &file, json, &mut out).await?;
    out.flush()?;
    Ok(holds)
}

async fn compared(config: &ConfigFile, old: PathBuf, new: PathBuf, json: bool) -> Result<bool, Trouble> {
    let config = Config::read(&config.config)?;
    let lab = Lab::open(&config).await?;
    // The old set may have been overtaken by the tables; the new one must be fit to act.
    let (old, new) = (lab.policies(&old, false)?, lab.policies(&new, true)?);
    let mut out = BufWriter::new(std::io::stdout());
    let differs = policy_tools::diff::run(&lab, &old, &new, json, &mut out).await?;
    out.flush()?;
    Ok(!differs)
}

async fn check(config: &Config) -> Result<ExitCode, Failure> {
    let set = PolicyStore::open(&config.policies.dir)?.current();
    let lake = Lake::open(&config.lake.url, &config.lake.options).await?;
    let catalog = Catalog::load(Arc::clone(&lake)).await?.snapshot();
    let sessions = Sessions::new(&config.limits, &lake)?;
    let objects: Vec<_> = catalog.all().map(|table| table_object(table)).collect();
    let problems = set.verify(sessions.system(), &objects);
    if problems.is_fatal() {
        return Err(problems.into());
    }
    let mut out = std::io::stdout().lock();
    for warning in set.warnings().iter().chain(problems.iter()) {
        writeln!(out, "{warning}")?;
    }
    writeln!(
        out,
        "ok: {} checked against {} tables",
        config.policies.dir.display(),
        objects.len()
    )?;
    Ok(ExitCode::SUCCESS)
}
