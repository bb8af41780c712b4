//! The whole binary, through its public doors: one process per server, real clients, real stores.
//!
//! The demo lab is built once per build of the binary and shared by the tests that only read it; a test that changes
//! something gets a copy of its own. Python clients live in `tests/python` and run in a venv that the fixture makes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test that cannot go on should say so at once"
)]

mod addresses;
mod agent;
mod alerts;
mod arranging;
mod attacks;
mod audit;
mod bare_names;
mod bucket;
mod changes;
mod chembl;
mod clients;
mod cluster;
mod columns;
mod command_line;
mod crawling;
mod demo;
mod endpoints;
mod events;
mod explain_policy;
mod flight;
mod flight_protocol;
mod flight_schemas;
mod flight_state;
mod flight_values;
#[path = "../../policies/tests/fuzz/mod.rs"]
#[allow(dead_code, reason = "the suite of the policies crate uses the rest")]
mod fuzz;
mod fuzzing;
mod garbled;
mod golden;
mod history;
mod http_end;
mod ignored;
mod jdbc;
mod lab;
mod landing;
mod libraries;
mod lifecycle;
mod lineage;
mod logins;
mod meaning;
mod model_options;
mod model_rights;
mod models;
mod operations;
mod order;
mod page_api;
mod page_browser;
mod page_client;
mod page_signin;
mod pipelines;
mod policies;
mod policy_tools;
mod postgres;
mod postgres_raw;
mod profiles;
mod provider_roles;
mod python;
mod raw;
mod results;
mod s3;
mod scram;
mod search;
mod streaming;
mod substrait;
mod telemetry;
mod transactions;
mod upkeep;
mod using;
mod writes;
