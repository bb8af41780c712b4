//! The lake of labhouse: landed files, Delta tables, and the road between them.
//!
//! # The model
//! A [`Lake`] is one folder or one bucket prefix. Raw files lie in `landing/`, Delta tables in `tables/<schema>/<table>/`, the
//! server's own records in `_labhouse/`. A [`Catalog`] holds a [`CatalogSnapshot`]: every [`LakeTable`] at one version, immutable,
//! swapped atomically. A statement takes one snapshot and never looks again, so it sees one state of the lab. Snapshots are kept
//! and moved forward by the commits that are new; no query replays a log.
//!
//! # The road of a file
//! [`Crawler::sweep`] lists `landing/`, compares it with the ledgers, and reads what is new or changed. A file's path names its
//! table, its content says how to read it; a `_labhouse.toml` beside it may say otherwise, and is then part of what the loaded
//! file is known by. Its rows, the removal of its old rows, the table's new columns and the ledger's entry
//! are *one* Delta commit, made as exactly the version after the snapshot it was planned on. So a crash, a replay or a second
//! server can only find the work done or not done. What cannot be loaded goes to quarantine with a reason, and the rest goes on.
//!
//! # The road of a scan
//! A table that is a plain list of Parquet files is scanned as one, straight from the snapshot's file list and statistics; deletion
//! vectors and column mapping are left to delta-rs. Filters are always applied once more above the scan.
//!
//! # The road of an upload
//! What an agent sends in parts is kept under `_labhouse/uploads` until it is whole and its digest is right; then it lies in `landing/`
//! at one moment ([`uploads`]), and the road of a file begins.
//!
//! # Search
//! A [`search::SearchIndex`] ranks documents by keywords, typing errors forgiven. It knows what it is given and nothing else.
//!
//! # Deliberately absent
//! Users, policies and sessions: this crate cannot name a principal, and never decides who sees what. An external catalog or
//! database: any server on the same lake works. The AWS SDK and lock tables: a commit is a conditional PUT, and [`Lake::probe`]
//! refuses a store that does not honour it. Retries inside a commit: whoever loses a race plans anew from what won.
#![forbid(unsafe_code)]

mod added;
mod alter;
mod append;
mod arrange;
mod bring_back;
mod catalog;
mod commits;
mod crawl;
mod delta;
mod encodings;
mod error;
mod file_stats;
mod formats;
mod journal;
mod lake;
mod letters;
mod name;
mod parquet_file;
mod parts;
mod rewrite;
mod scan;
pub mod search;
mod stage;
mod sure;
mod table;
mod travel;
mod upkeep;
pub mod uploads;

pub use added::{Added, added_since};
pub use alter::{OnlyIf, grow, replace, set_properties};
pub use append::{Noted, append, append_noting, create};
pub use arrange::{ARRANGE_COLUMNS_MAX, Run, arrange, arranged_by, is_parted_by, only_grew, unarranged_bytes};
pub use bring_back::bring_back;
pub use catalog::{Catalog, CatalogSnapshot};
pub use commits::{Commit, commits, may_bring_rows, of_today};
pub use crawl::{
    CrawlOptions, Crawler, FileOutcome, FileRecord, FileStatus, Gone, KIND_KEY, PROPOSED_PREFIX, Queue, Received,
    SweepReport, Watch, landing_table,
};
pub use delta::LINEAGE;
pub use error::LakeError;
pub use journal::{Appended, Journal};
pub use lake::{Lake, Put, TABLES, object_store_url};
pub use name::TableName;
pub use parts::part;
pub use rewrite::{ROW_ADDRESS, RowChange, TakenOut, address_field, addressed, take_out};
pub use scan::{Asked, ColumnCache, kept};
pub use stage::{Ended, Stage};
pub use table::LakeTable;
pub use travel::{When, at, beyond, committed_at};
pub use upkeep::{
    CHECKPOINT_COMMITS, Optimized, RETAIN_HOURS_MIN, checkpoint, describe, drop_table, optimize, removable, restore,
    vacuum,
};
