//! One sweep of the lake whose url is the first argument. The test of exactly-once starts this and kills it at random moments.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use labhouse_catalog::{Catalog, CrawlOptions, Crawler, Lake, LakeError};

#[tokio::main]
async fn main() -> ExitCode {
    let Some(url) = std::env::args().nth(1) else {
        return ExitCode::from(2);
    };
    match sweep(&url).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

async fn sweep(url: &str) -> Result<(), LakeError> {
    let lake = Lake::open(url, &BTreeMap::new()).await?;
    let catalog = Catalog::load(lake).await?;
    // Small batches make many commits, and so many moments to be killed between two of them.
    let options = CrawlOptions {
        settle: Duration::ZERO,
        batch_files_max: 10,
        ..CrawlOptions::default()
    };
    Crawler::new(catalog, options).sweep().await.map(|_| ())
}
