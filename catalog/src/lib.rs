//! The lake of labhouse.
#![forbid(unsafe_code)]

mod alter;
mod append;
mod catalog;
mod crawl;
mod delta;
mod error;
mod file_stats;
mod formats;
mod lake;
mod name;
mod parquet_file;
mod scan;
mod table;

pub use alter::{replace, set_properties};
pub use append::{append, create};
pub use catalog::{Catalog, CatalogSnapshot};
pub use crawl::{CrawlOptions, Crawler, FileOutcome, FileRecord, FileStatus, Gone, SweepReport, Watch};
pub use error::LakeError;
pub use lake::{Lake, Put, object_store_url};
pub use name::TableName;
pub use table::LakeTable;
