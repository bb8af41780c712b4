//! The promises of labhouse-policies, through its public doors: files in, decisions and governed tables out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests may fail loudly, and build the sessions that the server builds in src/session"
)]

mod access;
mod attacks;
mod barrier;
mod decisions;
mod entries;
mod expiry;
mod explain;
mod fixture;
#[path = "../fuzz/mod.rs"]
mod fuzz;
mod fuzzing;
mod garbled;
mod golden;
mod interference;
mod keeps;
mod lake;
mod loader;
mod nested;
mod order;
mod residue;
mod store;
mod totality;
mod wire;
