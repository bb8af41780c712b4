//! The command line: one subcommand a task, errors as sentences on standard error, results on standard output.

mod policy;
mod quarantine;

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use labhouse_catalog::{Catalog, Crawler, FileOutcome, FileStatus, Lake};
use labhouse_policies::Attribute;

use crate::audit::{self, command::AuditCommand};
use crate::auth::TokenScope;
use crate::client::{self, SqlOptions};
use crate::config::Config;
use crate::engine::{Engine, crawl_options};
use crate::server::Server;
use crate::sync::SyncOptions;
use crate::{auth, demo_lab, pipelines};

/// Planning recurses over expressions; admission bounds their depth, this bounds what a bounded depth may take.
pub(crate) const STACK_BYTES: usize = 16 << 20;
/// How long a thread for blocking work waits for more. Such threads take turns, so a few calls a second would keep as many alive
/// as a burst once needed, each with memory that it freed or that others freed for it.
pub(crate) const IDLE: Duration = Duration::from_millis(250);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A governed lakehouse for laboratories in one binary.
#[derive(Debug, Parser)]
#[command(name = "labhouse", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build a small real lab in a folder (once), then serve it
    Demo(demo_lab::DemoOptions),
    /// Serve a lake
    Serve(ConfigFile),
    /// Look for landed files once; a line per file says what became of it and why
    Crawl {
        #[command(flatten)]
        config: ConfigFile,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Files that could not be loaded: list them, let them be read again, or leave them alone
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// The administrator's tools for policy files
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// The audit trail
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Local users
    #[command(subcommand)]
    User(UserCommand),
    /// Run a statement on a server and print the result
    Sql(SqlOptions),
    /// Upload new files of a folder to a lake, from an instrument's PC
    Sync(SyncOptions),
    /// Run parts of large statements for servers that name this node in [cluster] of their config
    Worker(ConfigFile),
}

#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The config file
    #[arg(long, default_value = "labhouse.toml")]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a user or change a password; the password comes from LABHOUSE_PASSWORD or standard input
    Add {
        name: String,
        #[command(flatten)]
        config: ConfigFile,
        /// An attribute for policies, NAME=VALUE; several values: NAME=A,B
        #[arg(long = "attribute", value_name = "NAME=VALUE")]
        attributes: Vec<String>,
        /// Keep the Argon2id hash alone, at which a thief of the users file guesses slowest; the PostgreSQL door then asks for the
        /// password itself and not for a proof of it (SCRAM)
        #[arg(long)]
        without_scram: bool,
    },
    /// List users and their tokens: label, scope, end
    List(ConfigFile),
    /// Remove a user
    Remove {
        name: String,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Make a personal token, which is printed this once, or revoke one
    Token {
        name: String,
        /// What the token is for; a new one of the same label replaces the old
        #[arg(long, default_value = "default")]
        label: String,
        /// Days until it expires; without it the token lives until it is revoked, replaced or the user removed
        #[arg(long, value_parser = clap::value_parser!(u32).range(0..=36_500))]
        days: Option<u32>,
        /// The token may change nothing
        #[arg(long)]
        read_only: bool,
        /// A schema the token is limited to, then for reading only; may be given several times
        #[arg(long = "schema", value_name = "SCHEMA")]
        schemas: Vec<String>,
        /// A folder below landing/ that the token may put files into (`labhouse sync`), and then nothing else; may be given
        /// several times
        #[arg(long = "land", value_name = "SCHEMA/TABLE", conflicts_with_all = ["read_only", "schemas"])]
        lands: Vec<String>,
        /// Take the token of this label out instead: what runs under it ends
        #[arg(long, conflicts_with_all = ["days", "read_only", "schemas", "lands"])]
        revoke: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    // Not a command for people: the server runs its steps so.
    if let Some(asked) = pipelines::asked(std::env::args_os()) {
        return pipelines::supervise(&asked);
    }
    let cli = Cli::parse();
    log(&cli.command);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .thread_keep_alive(IDLE)
        .build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(cli.command));
            // Whatever still runs was cut off by a second signal or has no listener any more.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            // Standard error is the place for it; when even that is gone there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "labhouse: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Demo(options) => demo_lab::run(options).await?,
        Command::Serve(file) => serve(Config::read(&file.config)?).await?,
        Command::Crawl { config, json } => return crawl(&Config::read(&config.config)?, json).await,
        Command::Quarantine(command) => quarantine::run(command).await?,
        Command::Policy(command) => return policy::run(command).await,
        Command::Audit(command) => return audit::command::run(command).await,
        Command::User(command) => user(command)?,
        Command::Sql(options) => client::run(options).await?,
        Command::Sync(options) => return Ok(crate::sync::run(options).await?),
        Command::Worker(file) => crate::cluster::work(Config::read(&file.config)?).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens a lake and serves it until a signal.
pub(crate) async fn serve(config: Config) -> Result<(), Failure> {
    let mut server = Server::bind(Engine::open(config).await?).await?;
    server.announce()?;
    Ok(server.serve().await?)
}

async fn crawl(config: &Config, json: bool) -> Result<ExitCode, Failure> {
    let lake = Lake::open(&config.lake.url, &config.lake.options).await?;
    lake.probe().await?;
    let catalog = Catalog::load(lake).await?;
    // Files that are as they were are told as they are found: a lake may have a million of them.
    let mut told = Ok(());
    let unchanged = |file: FileOutcome| {
        if told.is_ok() {
            told = tell_file(&file, json);
        }
    };
    let report = Crawler::new(catalog, crawl_options(config))
        .sweep_telling(unchanged)
        .await?;
    told?;
    report.files.iter().try_for_each(|file| tell_file(file, json))?;
    let is_left = |file: &FileOutcome| file.status == FileStatus::Quarantined || file.blocked;
    let failed = report.files.iter().any(is_left);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// One line on standard output.
fn tell_file(file: &FileOutcome, json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(file)?)?;
        return Ok(());
    }
    let status = crate::system::status(file.status);
    let reason = file.reason.as_deref().unwrap_or(&file.taken_for);
    let sure = match (file.confidence, &file.doubts) {
        (Some(confidence), Some(doubts)) => format!("  (confidence {confidence:.2}: {doubts})"),
        _ => String::new(),
    };
    writeln!(
        out,
        "{status:<12} {:>9} rows  {} -> {}  {reason}{sure}",
        file.rows,
        file.path,
        file.tables.join(", ")
    )?;
    Ok(())
}

fn user(command: UserCommand) -> Result<(), Failure> {
    let users = |file: &ConfigFile| Ok::<_, Failure>(Config::read(&file.config)?.auth.users);
    let mut out = std::io::stdout().lock();
    match command {
        UserCommand::Add {
            name,
            config,
            attributes,
            without_scram,
        } => {
            let (users, attributes) = (users(&config)?, parse_attributes(&attributes)?);
            auth::add(&users, &name, &password()?, attributes, !without_scram)?;
            writeln!(
                out,
                "{name} may log in; what {name} sees is decided by the policy files"
            )?;
        }
        UserCommand::List(config) => {
            for (name, tokens) in auth::list(&users(&config)?)? {
                writeln!(out, "{name}\t{}", tokens.join(", "))?;
            }
        }
        UserCommand::Remove { name, config } => {
            auth::remove(&users(&config)?, &name)?;
            writeln!(out, "{name} is removed; running servers refuse the login from now on")?;
        }
        UserCommand::Token {
            name,
            label,
            days,
            read_only,
            schemas,
            lands,
            revoke,
            config,
        } => {
            let users = users(&config)?;
            if revoke {
                auth::revoke_token(&users, &name, &label)?;
                writeln!(out, "the token {label} of {name} is revoked")?;
            } else {
                let scope = TokenScope {
                    days,
                    read_only,
                    schemas,
                    lands,
                };
                writeln!(out, "{}", auth::issue_token(&users, &name, &label, scope)?)?;
            }
        }
    }
    Ok(())
}

/// From the environment or one line of standard input: never from the command line, where every process sees it.
fn password() -> Result<String, Failure> {
    if let Ok(password) = std::env::var("LABHOUSE_PASSWORD") {
        return Ok(password);
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        write!(
            std::io::stderr(),
            "Password (it will be shown; LABHOUSE_PASSWORD avoids that): "
        )?;
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err("no password: set LABHOUSE_PASSWORD or give one line on standard input".into());
    }
    Ok(password.to_owned())
}

fn parse_attributes(given: &[String]) -> Result<BTreeMap<String, Attribute>, Failure> {
    given
        .iter()
        .map(|pair| {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("--attribute {pair}: write NAME=VALUE"))?;
            let attribute = if value.contains(',') {
                Attribute::List(value.split(',').map(|part| part.trim().to_owned()).collect())
            } else if let Ok(number) = value.parse() {
                Attribute::Integer(number)
            } else if let Ok(truth) = value.parse() {
                Attribute::Boolean(truth)
            } else {
                Attribute::Text(value.to_owned())
            };
            Ok((name.to_owned(), attribute))
        })
        .collect()
}

/// Logs go to standard error; LABHOUSE_LOG sets what, for example `debug` or `labhouse_catalog=debug`, and
/// LABHOUSE_LOG_FORMAT=json makes each line an object.
fn log(command: &Command) {
    let default = match command {
        Command::Serve(_) | Command::Worker(_) => {
            "info,datafusion=warn,deltalake_core=warn,delta_kernel=warn,buoyant_kernel=warn"
        }
        Command::Demo(_) | Command::Crawl { .. } | Command::Quarantine(_) => "warn",
        Command::Policy(_) | Command::Audit(_) | Command::User(_) | Command::Sql(_) | Command::Sync(_) => "error",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("LABHOUSE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match std::env::var("LABHOUSE_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("json")) {
        true => logs.json().flatten_event(true).init(),
        false => logs.init(),
    }
}

/// An absolute form of a path for messages and files.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
