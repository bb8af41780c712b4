//! What training, prediction and recommendation promise, through the crate's public doors.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may fail loudly, and builds its own session to ask the function by SQL"
)]

mod asking;
mod campaign;
mod classes;
mod data;
mod hidden;
mod intervals;
mod molecules;
mod onnx;
mod order;
mod plates;
mod recommending;
mod remembering;
mod series;
mod tables;
mod telling;
mod training;
mod wanted;
mod yields;
