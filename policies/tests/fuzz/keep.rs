//! Where raw rows are kept: in memory and in Parquet files here; a suite that knows more stores brings its own [`Keeper`].

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tempfile::TempDir;

use super::rng::Rng;
use super::table::Table;

pub(crate) type Kept<'a> = Pin<Box<dyn Future<Output = Arc<dyn TableProvider>> + 'a>>;

/// Keeps the raw tables of one world.
pub(crate) trait Keeper {
    /// The session that plans below the barrier.
    fn session(&self) -> &SessionContext;

    /// Keeps rows; how they are cut and laid out is up to `rng`.
    fn keep<'a>(&'a self, table: &'a Table, rows: RecordBatch, rng: Rng) -> Kept<'a>;
}

/// Kinds of keepers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    Parquet,
    ParquetPushdown,
    /// Of the suite that knows Delta.
    Delta,
}

/// Makes the keeper of one world; both worlds of a lab get the same settings.
pub(crate) type Keepers<'a> = dyn Fn(Store, SessionConfig) -> Box<dyn Keeper> + 'a;

/// The keepers that need no lake.
pub(crate) fn local(store: Store, mut config: SessionConfig) -> Box<dyn Keeper> {
    let pushdown = store == Store::ParquetPushdown;
    config.options_mut().execution.parquet.pushdown_filters = pushdown;
    config.options_mut().execution.parquet.reorder_filters = pushdown;
    // The engine takes a column whose bounds are equal for constant, and Parquet's bounds do not count NaN. The lake's own
    // scan marks such bounds as inexact; a plain listing of files cannot, so here it goes without statistics.
    config.options_mut().execution.collect_statistics = false;
    let context = SessionContext::new_with_config(config);
    match store {
        Store::Memory => Box::new(InMemory(context)),
        Store::Parquet | Store::ParquetPushdown => Box::new(InFiles(context, TempDir::new().unwrap())),
        Store::Delta => panic!("this suite knows no Delta"),
    }
}

struct InMemory(SessionContext);

impl Keeper for InMemory {
    fn session(&self) -> &SessionContext {
        &self.0
    }

    fn keep<'a>(&'a self, _: &'a Table, rows: RecordBatch, mut rng: Rng) -> Kept<'a> {
        Box::pin(async move {
            let mut partitions = vec![Vec::new(); 1 + rng.below(3)];
            for piece in pieces(&rows, &mut rng, 6) {
                let at = rng.below(partitions.len());
                partitions[at].push(piece);
            }
            Arc::new(MemTable::try_new(rows.schema(), partitions).unwrap()) as Arc<dyn TableProvider>
        })
    }
}

struct InFiles(SessionContext, TempDir);

impl Keeper for InFiles {
    fn session(&self) -> &SessionContext {
        &self.0
    }

    fn keep<'a>(&'a self, table: &'a Table, rows: RecordBatch, mut rng: Rng) -> Kept<'a> {
        Box::pin(async move {
            let folder = self.1.path().join(&table.name);
            std::fs::create_dir(&folder).unwrap();
            for (at, piece) in pieces(&rows, &mut rng, 3).into_iter().enumerate() {
                let properties = WriterProperties::builder()
                    .set_max_row_group_row_count(Some(1 + rng.below(20)))
                    .set_dictionary_enabled(rng.chance(50))
                    .set_statistics_enabled(*rng.pick(&[EnabledStatistics::Page, EnabledStatistics::Chunk]))
                    .build();
                let file = std::fs::File::create(folder.join(format!("{at}.parquet"))).unwrap();
                let mut writer = ArrowWriter::try_new(file, piece.schema(), Some(properties)).unwrap();
                writer.write(&piece).unwrap();
                writer.close().unwrap();
            }
            self.0
                .register_parquet(&table.name, folder.to_str().unwrap(), ParquetReadOptions::default())
                .await
                .unwrap();
            self.0.table_provider(&table.name).await.unwrap()
        })
    }
}

/// The rows in their order, cut at random places; at least one piece, which may be empty.
pub(crate) fn pieces(rows: &RecordBatch, rng: &mut Rng, most: usize) -> Vec<RecordBatch> {
    let mut cuts: Vec<usize> = (0..rng.below(most)).map(|_| rng.below(rows.num_rows() + 1)).collect();
    cuts.push(rows.num_rows());
    cuts.sort_unstable();
    let mut from = 0;
    let mut pieces = Vec::new();
    for to in cuts {
        if to > from || pieces.is_empty() {
            pieces.push(rows.slice(from, to - from));
            from = to;
        }
    }
    pieces
}
