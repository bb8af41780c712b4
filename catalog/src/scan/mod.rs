//! Reading tables: a plain Parquet scan planned from the snapshot's own file list, and delta-rs's scan for the rest.
//!
//! delta-rs's provider costs 1.36 times a plain scan of the same files. A table without deletion vectors, column mapping or
//! files outside its folder *is* a list of Parquet files with statistics, so it is planned as one.

mod asked;
mod columns;
mod decoding;
mod files;
mod inexact;
mod kept;
mod provider;
mod stats;

pub use asked::Asked;
pub use columns::ColumnCache;
pub(crate) use files::needs_delta_reader;
pub(crate) use inexact::Inexact;
pub use kept::kept;
pub(crate) use provider::ParquetScan;
