//! Non-interference over Delta tables that the lake wrote: the fuzzer of the policies crate, with stores that only a crate
//! above both can bring. The long run is the same command as there, with the name of the test below.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::prelude::{SessionConfig, SessionContext};
use labhouse_catalog::{Catalog, Lake, TableName, append, create};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::fuzz::keep::{Keeper, Kept, Store, local, pieces};
use crate::fuzz::lab::Wall;
use crate::fuzz::rng::Rng;
use crate::fuzz::table::Table;
use crate::fuzz::{Campaign, run};

/// Statements of the slice, and the time after which it stops short.
const SLICE: usize = 150;
const SLICE_PATIENCE: Duration = Duration::from_secs(15);

/// A lake of its own for each world.
struct InLake {
    context: SessionContext,
    folder: TempDir,
    catalog: OnceCell<Arc<Catalog>>,
}

impl Keeper for InLake {
    fn session(&self) -> &SessionContext {
        &self.context
    }

    fn keep<'a>(&'a self, table: &'a Table, rows: RecordBatch, mut rng: Rng) -> Kept<'a> {
        Box::pin(async move {
            let opened = self.catalog.get_or_init(|| async {
                let url = url::Url::from_directory_path(self.folder.path()).unwrap();
                let lake = Lake::open(url.as_str(), &BTreeMap::new()).await.unwrap();
                lake.register(&self.context.runtime_env());
                Catalog::load(lake).await.unwrap()
            });
            let catalog = opened.await;
            let name = TableName::parse(&format!("{}.{}", table.schema, table.name)).unwrap();
            let mut written = create(catalog, &name, &rows.schema(), Vec::new()).await.unwrap();
            for piece in pieces(&rows, &mut rng, 3) {
                written = append(catalog, &name, vec![piece]).await.unwrap();
            }
            written.provider() as Arc<dyn TableProvider>
        })
    }
}

fn keepers(store: Store, config: SessionConfig) -> Box<dyn Keeper> {
    if store != Store::Delta {
        return local(store, config);
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the fuzzer plans as src/session does, without a server"
    )]
    let context = SessionContext::new_with_config(config);
    Box::new(InLake {
        context,
        folder: TempDir::new().unwrap(),
        catalog: OnceCell::new(),
    })
}

fn campaign(seed: u64, statements: usize, patience: Duration, per_lab: usize, loud: bool) -> Campaign<'static> {
    Campaign {
        seed,
        statements,
        patience,
        per_lab,
        stores: &[Store::Delta],
        wall: Wall::Barrier,
        keepers: &keepers,
        loud,
    }
}

#[tokio::test]
async fn random_statements_over_delta_show_nothing_of_what_is_hidden() {
    let (counts, difference) = run(&campaign(20_261_126, SLICE, SLICE_PATIENCE, 25, false)).await;
    println!("{counts:?}");
    if let Some(difference) = difference {
        panic!("{difference}");
    }
    assert!(counts.statements > 0, "{counts:?}");
}

#[tokio::test]
#[ignore = "as long as asked for; see the head of policies/tests/suite/fuzzing.rs"]
async fn a_long_run_over_delta_finds_no_difference() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().expect(name));
    let seed = number("LABHOUSE_FUZZ_SEED", 1);
    let began = Instant::now();
    let statements = usize::try_from(number("LABHOUSE_FUZZ_STATEMENTS", 100_000)).unwrap();
    let patience = Duration::from_secs(number("LABHOUSE_FUZZ_SECONDS", 7 * 86_400));
    let (counts, difference) = run(&campaign(seed, statements, patience, 60, true)).await;
    let rate = counts.statements as f64 / began.elapsed().as_secs_f64();
    println!(
        "seed {seed}: {} statements, {rate:.1} a second, {counts:?}",
        counts.statements
    );
    if let Some(difference) = difference {
        panic!("{difference}");
    }
}
