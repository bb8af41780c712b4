//! The catalog through its public doors, on a local folder and on a real S3 server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test that meets the unexpected should stop loudly; sessions here are the tests' own"
)]

mod arrange;
mod blocks;
mod cases;
mod clashes;
mod decimals;
mod golden;
mod grouping;
mod journal;
mod kill;
mod large;
mod local;
mod molecules;
mod once;
mod plate_folders;
mod readers;
mod renames;
mod s3;
mod scan;
mod stage;
mod support;
mod told;
mod venv;
