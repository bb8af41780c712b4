//! `kill -9` at random moments of a crawl: no row is lost, none comes twice.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::support::{Lab, eager, local_lake};

const FILES: i64 = 200;
const ROWS: i64 = 5;
const KILLS_MIN: usize = 50;
/// One file in so many is moved about and never changed: one that is changed and moved unseen is another file.
const EACH: usize = 8;
const MOVING: usize = FILES as usize / EACH;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_a_crawl_loads_each_row_once() {
    let (folder, lake) = local_lake().await;
    let lab = Lab::on(&lake, eager()).await;
    // Where each file is now.
    let mut paths = Vec::new();
    let mut before = std::collections::HashMap::new();
    for n in 0..FILES {
        // Two tables, and one file in ten of a wider schema, so that commits of all kinds are interrupted.
        let wide = n % 10 == 0;
        let mut text = if wide {
            "n,v,extra\n".to_owned()
        } else {
            "n,v\n".to_owned()
        };
        for row in 0..ROWS {
            text.push_str(&if wide {
                format!("{n},{row},x{row}\n")
            } else {
                format!("{n},{row}\n")
            });
        }
        let path = format!("chem/t{}/{n:03}.csv", n % 2);
        lab.land(&path, text).await;
        paths.push(path);
    }
    let url = url::Url::from_directory_path(folder.path()).unwrap().to_string();
    let mut kills = 0;
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    // How long a run needs is learnt on the way, so that kills fall all over it.
    let mut longest = Duration::from_millis(400);
    while kills < KILLS_MIN {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let share = f64::from(u32::try_from(random >> 33).unwrap()) / f64::from(1u32 << 31);
        if kills % 2 == 0 {
            // Files change all the time, so that replacing is interrupted as often as loading.
            for n in 0..4 {
                change(
                    &lab,
                    &paths,
                    (i64::try_from(kills).unwrap() * 37 + n * 51) % FILES,
                    kills,
                )
                .await;
            }
        } else {
            // And some move, within their table and to the other one.
            for n in 0..4 {
                let place = (kills * 41 + n * 53) % MOVING * EACH;
                let path = &mut paths[place];
                // Now and then back to where it was.
                let to = match before.remove(&place).filter(|_| n == 0) {
                    Some(old) => old,
                    None => format!("chem/t{}/{:03}_{kills}.csv", (n + kills / 2) % 2, kills * 4 + n),
                };
                before.insert(place, path.clone());
                let (from, place) = (&*path, |path: &str| folder.path().join("landing").join(path));
                std::fs::rename(place(from), place(&to)).unwrap();
                *path = to;
            }
        }
        let started = Instant::now();
        let mut child = start(&url);
        if ends_within(&mut child, longest.mul_f64(share)) {
            // It finished all files: change some, so that the next run has replacing to do.
            longest = longest
                .min(started.elapsed() + Duration::from_millis(50))
                .max(Duration::from_millis(60));
            for n in 0..FILES / 4 {
                change(&lab, &paths, n * 4 + i64::try_from(kills % 4).unwrap(), kills).await;
            }
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(start(&url).wait().unwrap().success(), "the last one is left to finish");

    lab.sweep().await;
    for table in ["chem.t0", "chem.t1"] {
        let bad = format!(
            "select _source_file, count(*), count(distinct _source_row) from {table} group by 1 \
             having count(*) <> {ROWS} or count(distinct _source_row) <> {ROWS}"
        );
        assert_eq!(lab.ask(&bad).await, Vec::<Vec<String>>::new());
    }
    // By what they hold, wherever they are.
    let both = "select n from chem.t0 union all select n from chem.t1";
    let bad = format!("select n, count(*) from ({both}) group by n having count(*) <> {ROWS}");
    assert_eq!(lab.ask(&bad).await, Vec::<Vec<String>>::new());
    let all = lab
        .number("select (select count(*) from chem.t0) + (select count(*) from chem.t1)")
        .await;
    assert_eq!(all, FILES * ROWS);
    eprintln!(
        "{kills} kills, {} commits",
        lab.version("chem", "t0") + lab.version("chem", "t1") + 2
    );
}

/// Other values in the same number of rows, so that rows of an old content show up as too many.
async fn change(lab: &Lab, paths: &[String], n: i64, kills: usize) {
    let path = &paths[usize::try_from(n).unwrap()];
    if n % EACH as i64 == 0 {
        return;
    }
    let text: String = (0..ROWS)
        .map(|row| format!("{n},{}\n", row + 100 * (kills as i64 + 1)))
        .collect();
    lab.land(path, format!("n,v\n{text}")).await;
}

fn ends_within(child: &mut Child, time: Duration) -> bool {
    let until = Instant::now() + time;
    while Instant::now() < until {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.try_wait().unwrap().is_some()
}

fn start(url: &str) -> Child {
    Command::new(example()).arg(url).spawn().unwrap()
}

/// Cargo builds the examples beside the tests: …/debug/examples next to …/debug/deps.
fn example() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let path = here.parent().unwrap().parent().unwrap().join("examples/crawl_once");
    assert!(
        path.exists(),
        "{} is missing: build it with `cargo build -p labhouse-catalog --examples`",
        path.display()
    );
    path
}
