//! Non-interference by random labs and statements: a slice with a fixed seed in every run, a long run by command:
//!
//! ```sh
//! LABHOUSE_FUZZ_SEED=7 LABHOUSE_FUZZ_STATEMENTS=100000 \
//!   cargo nextest run --workspace --run-ignored only --no-capture -E 'test(a_long_run_finds_no_difference)'
//! ```

use std::time::{Duration, Instant};

use crate::fuzz::keep::{Store, local};
use crate::fuzz::lab::Wall;
use crate::fuzz::{Campaign, run};

const STORES: [Store; 3] = [Store::Memory, Store::Parquet, Store::ParquetPushdown];
/// Statements of the slice, and the time after which it stops short: a slow machine proves less, and does not fail.
const SLICE: usize = 400;
const SLICE_PATIENCE: Duration = Duration::from_secs(20);

fn block<T>(work: impl Future<Output = T>) -> T {
    // One thread: what is found once is found again.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

fn slice(wall: Wall) -> Campaign<'static> {
    Campaign {
        seed: 20_261_126,
        statements: SLICE,
        patience: SLICE_PATIENCE,
        per_lab: 25,
        stores: &STORES,
        wall,
        keepers: &local,
        loud: false,
    }
}

#[test]
fn random_statements_show_nothing_of_what_is_hidden() {
    let (counts, difference) = block(run(&slice(Wall::Barrier)));
    println!("{counts:?}");
    if let Some(difference) = difference {
        panic!("{difference}");
    }
    assert!(counts.statements > 0, "{counts:?}");
    assert!(
        counts.with_rows * 5 >= counts.statements,
        "most statements say something: {counts:?}"
    );
}

#[test]
fn the_fuzzer_sees_through_a_plain_view() {
    // It ends with the first difference, so it may look for as long as it takes.
    let campaign = Campaign {
        patience: Duration::MAX,
        ..slice(Wall::View)
    };
    let (counts, difference) = block(run(&campaign));
    let found =
        difference.unwrap_or_else(|| panic!("a fuzzer that finds nothing behind a view proves nothing: {counts:?}"));
    println!("after {} statements: {found}", counts.statements);
}

#[test]
#[ignore = "as long as asked for; run it by the command above"]
fn a_long_run_finds_no_difference() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().expect(name));
    let seed = number("LABHOUSE_FUZZ_SEED", 1);
    let began = Instant::now();
    let (counts, difference) = block(run(&Campaign {
        seed,
        statements: usize::try_from(number("LABHOUSE_FUZZ_STATEMENTS", 100_000)).unwrap(),
        patience: Duration::from_secs(number("LABHOUSE_FUZZ_SECONDS", 7 * 86_400)),
        per_lab: 60,
        stores: &STORES,
        wall: Wall::Barrier,
        keepers: &local,
        loud: true,
    }));
    let rate = counts.statements as f64 / began.elapsed().as_secs_f64();
    println!(
        "seed {seed}: {} statements, {rate:.1} a second, {counts:?}",
        counts.statements
    );
    if let Some(difference) = difference {
        panic!("{difference}");
    }
}
