//! `labhouse demo`: a small real lab, built through the front door.
//!
//! The files land as instruments would write them and the crawler does the rest; the joined table and the model are
//! made by statements that `ada`, the demo's administrator, sends down the same road as anybody. A lab that was built
//! to its end carries a mark; one that was interrupted is built on from where it stands.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use labhouse_catalog::{FileStatus, Put};
use labhouse_policies::Principal;

use crate::audit::Client;
use crate::config::Config;
use crate::engine::Engine;
use crate::query::QueryError;
use crate::server::Server;
use crate::{auth, demo};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Logins of the demo; the password of each is `<name>-demo`.
const LOGINS: [(&str, &str); 5] = [
    ("ada", "lake admin: everything"),
    ("sam", "scientist: chemistry"),
    ("ana", "analyst: some rows, some columns, one mask"),
    ("dee", "data scientist: trains models"),
    ("guest", "nothing"),
];
/// The joined table.
const REACTIONS: &str = "lab.chemistry.reactions";
/// What is left of each reagent, and for how long.
const STOCK: &str = "lab.chemistry.stock_outlook";
const MARK: &str = "_labhouse/demo.json";
/// Sweeps until every file has settled; each waits at most the settle time.
const SWEEPS_MAX: usize = 20;

/// Options of `labhouse demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoOptions {
    /// The folder of the lab; it is the lake itself
    #[arg(long, default_value = "./labhouse-demo")]
    dir: PathBuf,
    /// Address of the Flight door, ADDRESS:PORT; port 0 takes any free one
    #[arg(long)]
    flight: Option<String>,
    /// Address of the HTTP door
    #[arg(long)]
    http: Option<String>,
    /// Address of the PostgreSQL door, which is off without it
    #[arg(long)]
    postgres: Option<String>,
}

/// Builds the lab if need be, and serves it.
pub(crate) async fn run(options: DemoOptions) -> Result<(), Failure> {
    let dir = crate::cli::absolute(&options.dir);
    let fresh = !dir.join(MARK).exists();
    let started = Instant::now();
    if fresh {
        say(&format!("building a demo lab in {}", dir.display()));
        lay_out(&dir)?;
    }
    let config_file = dir.join("labhouse.toml");
    let mut config = Config::read(&config_file)?;
    config.listen.flight = options.flight.unwrap_or(config.listen.flight);
    config.listen.http = options.http.unwrap_or(config.listen.http);
    config.listen.postgres = options.postgres.unwrap_or(config.listen.postgres);
    // What the command line gave is checked like what the file gives.
    let is_private = |address: Option<SocketAddr>| address.is_some_and(|address| address.ip().is_loopback());
    if !is_private(config.flight_address())
        || !(config.listen.http.is_empty() || is_private(config.http_address()))
        || !(config.listen.postgres.is_empty() || is_private(config.postgres_address()))
    {
        return Err("the demo's passwords are public, so it listens on loopback only: use 127.0.0.1:PORT".into());
    }
    let engine = Engine::open(config).await?;
    let mut server = Server::bind(Arc::clone(&engine)).await?;
    if fresh {
        build(&engine, &dir).await?;
        say(&format!("built in {:.0} s", started.elapsed().as_secs_f64()));
    }
    server.announce()?;
    welcome(&server, &dir);
    Ok(server.serve().await?)
}

/// Config, policies and users; files that are there already are left alone.
fn lay_out(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir.join("policies"))?;
    for (name, text) in labhouse_policies::default_files() {
        write_new(&dir.join("policies").join(name), text)?;
    }
    let secret = crate::auth::hex(&rand::random::<[u8; 32]>());
    write_new(&dir.join("policies").join("secret"), &secret)?;
    let users = dir.join("users.toml");
    if !users.exists() {
        for (name, _) in LOGINS {
            auth::add(&users, name, &format!("{name}-demo"), Default::default(), true)?;
        }
    }
    write_new(
        &dir.join("labhouse.toml"),
        "# The demo lab. Every key is explained in examples/labhouse.toml of the labhouse repository.\n[lake]\nurl = \".\"\n\n[listen]\nflight = \"127.0.0.1:50051\"\nhttp = \"127.0.0.1:8080\"\n\n[policies]\ndir = \"policies\"\n\n[auth]\nusers = \"users.toml\"\n\n# No mail server here: mails are files.\n[alerts.channels.outbox]\nkind = \"file\"\ndir = \"_labhouse/outbox\"\n",
    )
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    Ok(std::fs::write(path, text)?)
}

/// Lands the files, crawls them, joins them, trains on them.
async fn build(engine: &Arc<Engine>, dir: &Path) -> Result<(), Failure> {
    let landing = dir.join("landing");
    say("four months of experiments land in landing/");
    tokio::task::spawn_blocking(move || demo::write(&landing, &mut |step| say(&format!("  {step}")))).await??;

    say("the crawler reads them");
    let settle = Duration::from_millis(engine.config.crawl.settle_ms);
    for attempt in 1.. {
        let report = engine.crawler.sweep().await?;
        if let Some(file) = report.files.iter().find(|file| file.status == FileStatus::Quarantined) {
            let reason = file.reason.as_deref().unwrap_or("no reason given");
            return Err(format!("{} was not understood: {reason}", file.path).into());
        }
        let waiting = report
            .files
            .iter()
            .filter(|file| file.status == FileStatus::Waiting)
            .count();
        if waiting == 0 {
            let rows: u64 = report.files.iter().map(|file| file.rows).sum();
            say(&format!("  {} files, {rows} rows", report.files.len()));
            break;
        }
        if attempt == SWEEPS_MAX {
            return Err(format!(
                "{waiting} files still change; stop whatever writes to {}",
                dir.display()
            )
            .into());
        }
        tokio::time::sleep(settle).await;
    }
    engine.catalog.refresh().await?;

    let ada = engine
        .auth
        .named("ada")
        .ok_or("the users file has no ada; remove the folder and build it anew")?;
    let is_landed = |table: &str| table != REACTIONS && table != STOCK;
    tag(engine, &ada, is_landed).await?;
    tell(engine, &ada, is_landed).await?;
    say("readings, layouts and protocols are joined to lab.chemistry.reactions");
    update(
        engine,
        &ada,
        &format!(
            "CREATE OR REPLACE MATERIALIZED VIEW {REACTIONS} REFRESH ON CHANGE AS {}",
            demo::REACTIONS_SQL
        ),
    )
    .await?;
    tag(engine, &ada, |table| table == REACTIONS).await?;
    tell(engine, &ada, |table| table == REACTIONS).await?;
    let stock = format!(
        "CREATE OR REPLACE MATERIALIZED VIEW {STOCK} REFRESH ON CHANGE AS {}",
        demo::STOCK_SQL
    );
    update(engine, &ada, &stock).await?;
    tell(engine, &ada, |table| table == STOCK).await?;
    say("rules watch yields, plans and stock; their mails are files in _labhouse/outbox");
    for (author, sql) in demo::ALERTS {
        let author = engine
            .auth
            .named(author)
            .ok_or_else(|| format!("the users file has no {author}"))?;
        update(engine, &author, sql).await?;
    }
    crate::alerts::settle(engine).await?;
    say("a model learns what drives the yield (20 s at most)");
    let rows = update(engine, &ada, demo::MODEL_SQL).await?;
    say(&format!("  trained on {rows} reactions"));
    engine
        .catalog
        .lake()
        .put(MARK, Bytes::from_static(b"{\"built\":true}\n"), Put::Overwrite)
        .await?;
    Ok(())
}

/// Sets the demo's tags, one statement a table.
async fn tag(engine: &Arc<Engine>, who: &Principal, which: impl Fn(&str) -> bool) -> Result<(), QueryError> {
    let mut tags: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (table, key, value) in demo::TAGS.iter().filter(|(table, ..)| which(table)) {
        tags.entry(table).or_default().push(format!("{key} = '{value}'"));
    }
    for (table, pairs) in tags {
        update(
            engine,
            who,
            &format!("ALTER TABLE {table} SET TAGS ({})", pairs.join(", ")),
        )
        .await?;
    }
    Ok(())
}

/// Says what tables and columns are.
async fn tell(engine: &Arc<Engine>, who: &Principal, which: impl Fn(&str) -> bool) -> Result<(), QueryError> {
    for (table, column, words) in demo::WORDS.iter().filter(|(table, ..)| which(table)) {
        let what = match column {
            Some(column) => format!("COLUMN {table}.{column}"),
            None => format!("TABLE {table}"),
        };
        let words = words.replace('\'', "''");
        update(engine, who, &format!("COMMENT ON {what} IS '{words}'")).await?;
    }
    Ok(())
}

async fn update(engine: &Arc<Engine>, who: &Principal, sql: &str) -> Result<i64, QueryError> {
    engine.update(who, &Client::server(), sql, Vec::new()).await
}

fn welcome(server: &Server, dir: &Path) {
    let uri = &server.flight_url;
    say("");
    say(&format!("  Flight SQL  {uri}"));
    match &server.http_url {
        Some(url) => say(&format!("  the page    {url}  (open it in a browser and sign in)")),
        None => say("  the page    off"),
    }
    if let Some(url) = &server.postgres_url {
        say(&format!("  PostgreSQL  {url}"));
    }
    say(&format!(
        "  the lab     {}  (drop files into landing/<schema>/<table>/)",
        dir.display()
    ));
    say("");
    say("  logins, password <name>-demo:");
    for (name, sees) in LOGINS {
        say(&format!("    {name:<6} {sees}"));
    }
    say("");
    say("  try:");
    for query in demo::queries() {
        say(&format!(
            "    LABHOUSE_PASSWORD=sam-demo labhouse sql --uri {uri} --user sam \"{query}\""
        ));
    }
}

/// Standard error is for people; standard output has the ready line alone.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
