//! labhouse: a governed lakehouse for laboratories in one binary.
//!
//! # The model
//! A *lake* is a folder or a bucket. Raw files land in it, a crawler understands them and commits them to Delta tables
//! exactly once. *Principals* log in; *policies*, plain files that an administrator writes, decide which tables,
//! columns and rows each of them sees. *Models* are trained in SQL on what their author may see and answer as
//! functions. Everything is asked over Arrow Flight SQL.
//!
//! # The road
//! There is one road to data, and each of its stations is a module:
//!
//! ```text
//! flight, http,
//! postgres ────── auth ── query ── session ──┬─ labhouse-policies   decisions, row filters, masks, the barrier
//!   doors         who     admit,   one per   ├─ labhouse-catalog    lake, Delta snapshots, crawler, commits
//!                 calls   plan,    statement └─ labhouse-udfs       training, prediction, recommendation
//!                         narrow
//! ```
//!
//! A statement is admitted (size, place), meets immutable snapshots of policies, catalog and models, is parsed,
//! planned over governed tables, run, narrowed to wire types and logged; `audit` keeps who asked what and what decided,
//! and nothing of the lake is delivered before that is durable. `describe` walks the same road and stops
//! before running, so what is announced is what comes.
//!
//! A large statement is shared with other processes where there are some (`cluster`): planned, checked and decided here, run
//! there in parts. Models are trained there on the rows that the server sends, and landed files are looked for there if the
//! config says so.
//!
//! A commit to a watched table asks the rules on it, as their owners; what changes is told to their recipients, each in what he may
//! see (`alerts`).
//!
//! A file lands; an event or the timed sweep finds it; it is read by content, and one Delta commit carries its rows
//! and the ledger's word that it was loaded.
//!
//! # What is deliberately absent
//! * A second way to data: no door plans for itself, no session is built outside `session`, no table enters a session
//!   ungoverned. `clippy.toml` makes this a lint.
//! * State outside the lake: no database. A second server on the same lake works.
//! * Server-side cursors of Flight: tickets and handles are sealed and carry what they need. (PostgreSQL's protocol has
//!   them, so that door keeps some for each connection.)
//! * `COPY`, external tables, `SET`: nothing a user sends names a file, an address or a setting.
//! * Anonymous calls: even metadata is asked by somebody.

mod alerts;
mod audit;
mod auth;
mod care;
mod cli;
mod client;
mod cluster;
mod config;
mod connections;
mod crawl;
mod demo;
mod demo_lab;
mod engine;
mod expiring;
mod flight;
mod http;
mod metrics;
mod models;
mod pg_catalog;
mod pipelines;
mod policy_tools;
mod postgres;
mod query;
mod replace;
mod search;
mod server;
mod session;
mod sync;
mod system;
mod telemetry;
mod ticket;
mod tls;

/// Runs the command line; the exit code is 0 when what was asked is done.
pub fn main() -> std::process::ExitCode {
    cli::main()
}
