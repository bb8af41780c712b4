//! Joins in the order that costs least: the same rows in any order, what can fail in its place, and nothing told of what is
//! hidden. The rule is the server's (`src/session/order`); here it meets tables that say of themselves what a test wants.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use labhouse_policies::govern;

use crate::fixture::{FILTERS, Kept, Lab, POLICY, batch, load};
use crate::fuzz::counted::Counted;
use crate::fuzz::order;
use crate::fuzz::rng::Rng;

/// A session whose joins are ordered as in the server.
fn session() -> SessionContext {
    let state = SessionStateBuilder::new()
        .with_config(SessionConfig::new().with_target_partitions(2))
        .with_default_features()
        .with_optimizer_rules(order::rules())
        .build();
    SessionContext::new_with_state(state)
}

/// So many rows, of which nothing else is known.
fn rows(rows: usize, columns: usize) -> Statistics {
    Statistics {
        num_rows: Precision::Inexact(rows),
        total_byte_size: Precision::Absent,
        column_statistics: vec![ColumnStatistics::new_unknown(); columns],
    }
}

/// The same, and the first column goes from 1 to so many.
fn keyed(count: usize, columns: usize) -> Statistics {
    let mut statistics = rows(count, columns);
    statistics.column_statistics[0].min_value = Precision::Inexact(ScalarValue::Int64(Some(1)));
    statistics.column_statistics[0].max_value = Precision::Inexact(ScalarValue::Int64(Some(count as i64)));
    statistics
}

fn register(context: &SessionContext, name: &str, batch: &RecordBatch, statistics: Option<Statistics>) {
    let inner = Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch.clone()]]).unwrap());
    context
        .register_table(name, Counted::telling(inner, statistics))
        .unwrap();
}

/// The optimised plan, one node a line.
async fn plan(context: &SessionContext, sql: &str) -> String {
    let frame = context.sql(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let plan = frame.into_optimized_plan().unwrap_or_else(|e| panic!("{sql}: {e}"));
    plan.display_indent().to_string()
}

/// The tables of a plan in the order in which they are joined.
fn tables(plan: &str) -> Vec<String> {
    let scans = plan.lines().filter_map(|line| line.trim().strip_prefix("TableScan: "));
    scans
        .map(|scan| scan.split([' ', ',']).next().unwrap_or_default().to_owned())
        .collect()
}

/// Names and rows, sorted; or the error.
async fn answer(context: &SessionContext, sql: &str) -> Result<(Vec<String>, Vec<String>), String> {
    let frame = context.sql(sql).await.map_err(|e| e.to_string())?;
    let names = frame.schema().columns().iter().map(ToString::to_string).collect();
    let batches = frame.collect().await.map_err(|e| e.to_string())?;
    let mut rows = Vec::new();
    for batch in &batches {
        let options = FormatOptions::new().with_null("NULL");
        let columns = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c, &options).unwrap());
        let columns: Vec<_> = columns.collect();
        for row in 0..batch.num_rows() {
            let cells = columns.iter().map(|column| column.value(row).to_string());
            rows.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    rows.sort();
    Ok((names, rows))
}

fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// `big` with many rows, `middle`, and `small`, each with a key `id` of its own and the keys of the next.
fn three(context: &SessionContext, known: bool) {
    let of = |columns: Vec<(&str, ArrayRef)>| RecordBatch::try_from_iter(columns).unwrap();
    let big = of(vec![
        ("id", numbers(&[1, 2, 3, 4, 5, 6])),
        ("middle_id", numbers(&[1, 1, 2, 2, 3, 9])),
        ("v", numbers(&[0, 1, 2, 3, 4, 5])),
    ]);
    let middle = of(vec![
        ("id", numbers(&[1, 2, 3])),
        ("small_id", numbers(&[1, 2, 2])),
        ("v", numbers(&[0, 10, 20])),
    ]);
    let small = of(vec![("id", numbers(&[1, 2])), ("v", numbers(&[0, 7]))]);
    for (name, batch, count) in [
        ("big", big, 1_000_000),
        ("middle", middle, 10_000),
        ("small", small, 10),
    ] {
        let columns = batch.num_columns();
        register(context, name, &batch, known.then(|| keyed(count, columns)));
    }
}

const WRITTEN: &str =
    "SELECT * FROM big JOIN middle ON big.middle_id = middle.id JOIN small ON middle.small_id = small.id";

#[tokio::test]
async fn the_small_ones_come_first_and_unknown_sizes_leave_what_was_written() {
    let context = session();
    three(&context, true);
    assert_eq!(tables(&plan(&context, WRITTEN).await), ["small", "middle", "big"]);
    let unknown = session();
    three(&unknown, false);
    assert_eq!(tables(&plan(&unknown, WRITTEN).await), ["big", "middle", "small"]);
    assert_eq!(answer(&context, WRITTEN).await, answer(&unknown, WRITTEN).await);
    // One that is not known is enough.
    context.deregister_table("small").unwrap();
    let small = RecordBatch::try_from_iter([("id", numbers(&[1, 2])), ("v", numbers(&[0, 7]))]).unwrap();
    register(&context, "small", &small, None);
    assert_eq!(tables(&plan(&context, WRITTEN).await), ["big", "middle", "small"]);
}

#[tokio::test]
async fn what_is_told_to_the_reader_shows_the_order() {
    let context = session();
    three(&context, true);
    let (_, lines) = answer(&context, &format!("EXPLAIN {WRITTEN}")).await.unwrap();
    let logical = lines.iter().find(|line| line.starts_with("logical_plan")).unwrap();
    assert_eq!(tables(logical), ["small", "middle", "big"]);
}

#[tokio::test]
async fn an_order_is_found_once() {
    let context = session();
    three(&context, true);
    let state = context.state();
    for sql in [
        WRITTEN,
        "SELECT b.v, s.v FROM big b, small s, middle m WHERE b.middle_id = m.id AND m.small_id = s.id AND s.v > 1",
        "SELECT count(*) FROM big JOIN (SELECT m.id AS i, s.v FROM middle m, small s WHERE m.small_id = s.id) AS d ON d.i = big.middle_id",
    ] {
        let once = context.sql(sql).await.unwrap().into_optimized_plan().unwrap();
        let twice = state.optimize(&once).unwrap();
        assert_eq!(
            once.display_indent().to_string(),
            twice.display_indent().to_string(),
            "{sql}"
        );
    }
}

#[tokio::test]
async fn columns_keep_their_order_and_names() {
    let (known, unknown) = (session(), session());
    three(&known, true);
    three(&unknown, false);
    for sql in [
        WRITTEN,
        "SELECT * FROM big JOIN middle USING (id) JOIN small USING (id)",
        "SELECT * FROM big NATURAL JOIN middle NATURAL JOIN small",
        "SELECT d.*, s.* FROM (SELECT b.id AS x, m.small_id, m.v FROM big b JOIN middle m ON b.middle_id = m.id) AS d JOIN small s ON s.id = d.small_id",
        "SELECT a.*, b.*, c.* FROM big a JOIN big b ON a.id = b.middle_id JOIN small c ON c.id = b.id",
        "SELECT * FROM big, middle, small WHERE big.middle_id = middle.id AND small.id = middle.small_id AND big.v + middle.v > 1",
        "SELECT * FROM big CROSS JOIN small CROSS JOIN middle",
        "SELECT * FROM big JOIN middle ON big.v < middle.v JOIN small ON big.middle_id = small.id",
        "SELECT * FROM big JOIN middle ON big.middle_id = middle.id AND big.id = middle.small_id JOIN small ON small.id = big.id AND small.v < 7",
    ] {
        let found = answer(&known, sql).await;
        assert!(found.is_ok(), "{sql}: {found:?}");
        assert_eq!(found, answer(&unknown, sql).await, "{sql}");
    }
}

#[tokio::test]
async fn no_two_tables_are_crossed_where_an_edge_is() {
    let context = session();
    three(&context, true);
    // A chain whose ends are small: the ends must wait for what is between them.
    let sql = "SELECT count(*) FROM small s1 JOIN big ON s1.id = big.id JOIN small s2 ON s2.id = big.middle_id";
    let plan = plan(&context, sql).await;
    assert!(!plan.contains("Cross Join"), "{plan}");
    // By way of a third: a = b and b = c, so a = c.
    let sql = "SELECT count(*) FROM small s1 JOIN big ON s1.id = big.id JOIN small s2 ON s2.id = big.id";
    let plan = self::plan(&context, sql).await;
    assert!(!plan.contains("Cross Join"), "{plan}");
}

#[tokio::test]
async fn what_can_fail_keeps_its_place() {
    let (known, unknown) = (session(), session());
    three(&known, true);
    three(&unknown, false);
    // middle.v is 0 for one row, which the first join leaves out: joined to `small` first, it would divide by zero.
    let guarded = "SELECT count(*) FROM big JOIN middle ON big.id = middle.id AND big.id > 1 JOIN small ON 10 / middle.v = small.id - 1";
    for sql in [
        guarded,
        "SELECT count(*) FROM big JOIN middle ON big.middle_id = middle.id JOIN small ON CAST(concat(small.v, 'x') AS INT) = big.id",
        "SELECT count(*) FROM big JOIN middle ON big.middle_id = middle.id JOIN small ON small.id = middle.small_id AND 1 / (big.v - small.v) > 0",
        "SELECT count(*) FROM big JOIN middle ON big.middle_id = middle.id JOIN small ON small.id = middle.small_id AND random() + big.v > small.v",
        // Whether its constants are any is found out when it runs.
        "SELECT count(*) FROM big JOIN middle ON big.middle_id = middle.id JOIN small ON small.id = middle.small_id AND date_part('nonsense', arrow_cast(big.v, 'Timestamp(Second, None)')) > small.v",
    ] {
        let (found, wanted) = (plan(&known, sql).await, plan(&unknown, sql).await);
        let last = |plan: &str| tables(plan).last().cloned();
        assert_eq!(last(&found), last(&wanted), "{sql}\n{found}\n{wanted}");
        assert_eq!(
            answer(&known, sql).await.is_ok(),
            answer(&unknown, sql).await.is_ok(),
            "{sql}"
        );
    }
    // And its no: the same with a condition that cannot fail.
    let free = "SELECT count(*) FROM big JOIN middle ON big.middle_id = middle.id JOIN small ON small.id = middle.small_id AND big.v > small.v";
    assert_eq!(tables(&plan(&known, free).await), ["small", "middle", "big"]);
}

#[tokio::test]
async fn other_joins_stay_where_they_are_and_are_ordered_inside() {
    let (known, unknown) = (session(), session());
    three(&known, true);
    three(&unknown, false);
    for kind in ["LEFT", "RIGHT", "FULL", "LEFT SEMI", "LEFT ANTI"] {
        let sql = format!("SELECT big.id FROM big {kind} JOIN middle ON big.middle_id = middle.id ORDER BY 1");
        let sql = match kind {
            "LEFT SEMI" | "LEFT ANTI" => sql,
            _ => format!(
                "SELECT big.id, small.id FROM big {kind} JOIN middle ON big.middle_id = middle.id {kind} JOIN small ON small.id = middle.small_id"
            ),
        };
        assert_eq!(
            tables(&plan(&known, &sql).await),
            tables(&plan(&unknown, &sql).await),
            "{sql}"
        );
        assert_eq!(answer(&known, &sql).await, answer(&unknown, &sql).await, "{sql}");
    }
    let inside = format!("SELECT * FROM big b LEFT JOIN ({WRITTEN}) AS d(a, b, c, d, e, f, g, h) ON d.a = b.id");
    let found = plan(&known, &inside).await;
    assert_eq!(tables(&found), ["big", "small", "middle", "big"], "{found}");
    assert_eq!(answer(&known, &inside).await, answer(&unknown, &inside).await);
}

#[tokio::test]
async fn null_equals_null_where_it_was_said_and_nowhere_else() {
    let (known, unknown) = (session(), session());
    let with_null = |values: &[Option<i64>]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    for (context, known) in [(&known, true), (&unknown, false)] {
        for (name, count, ids) in [
            ("x", 1_000_000, [Some(1), None]),
            ("y", 10_000, [None, Some(1)]),
            ("z", 10, [Some(1), None]),
        ] {
            let batch = RecordBatch::try_from_iter([("k", with_null(&ids)), ("j", numbers(&[1, 1]))]).unwrap();
            register(context, name, &batch, known.then(|| rows(count, 2)));
        }
    }
    for (sql, count) in [
        (
            "SELECT * FROM x JOIN y ON (x.k IS NOT DISTINCT FROM y.k) JOIN z ON y.j = z.j",
            4,
        ),
        (
            "SELECT * FROM x JOIN y ON x.k = y.k JOIN z ON (y.k IS NOT DISTINCT FROM z.k)",
            1,
        ),
        (
            "SELECT * FROM x JOIN y ON (x.k IS NOT DISTINCT FROM y.k) JOIN z ON (y.k IS NOT DISTINCT FROM z.k)",
            2,
        ),
        (
            "SELECT * FROM x, y, z WHERE (x.k IS NOT DISTINCT FROM y.k) AND y.j = z.j",
            4,
        ),
        (
            "SELECT * FROM x, y, z WHERE (x.k IS NOT DISTINCT FROM y.k) AND y.k = z.k",
            1,
        ),
        (
            "SELECT * FROM x JOIN y ON x.j = y.j AND (x.k IS NOT DISTINCT FROM y.k) JOIN z ON z.j = y.j",
            4,
        ),
        ("SELECT * FROM x JOIN y ON x.k = y.k JOIN z ON y.k = z.k", 1),
    ] {
        for context in [&known, &unknown] {
            let (_, found) = answer(context, sql).await.unwrap();
            assert_eq!(found.len(), count, "{sql}\n{found:?}\n{}", plan(context, sql).await);
        }
    }
}

/// `few` asks for one group of `many`: only that is made, and not where it could fail or where most are asked for.
#[tokio::test]
async fn a_set_with_a_key_twice_is_asked_and_not_joined() {
    let (known, unknown) = (session(), session());
    three(&known, true);
    three(&unknown, false);
    for groups in ["m.small_id, random()", "m.small_id, m.v", "m.small_id, 1", "m.small_id"] {
        let sql = format!(
            "SELECT big.id FROM big JOIN middle ON big.middle_id = middle.id WHERE big.middle_id IN (SELECT m.small_id FROM middle m GROUP BY {groups})"
        );
        let (_, rows) = answer(&known, &sql).await.unwrap();
        assert_eq!(rows, ["1", "2", "3", "4"], "{sql}\n{}", plan(&known, &sql).await);
        assert_eq!(answer(&known, &sql).await, answer(&unknown, &sql).await, "{sql}");
    }
}

#[tokio::test]
async fn sizes_beyond_all_bounds_lose_no_table() {
    let context = session();
    let one = RecordBatch::try_from_iter([("id", numbers(&[1])), ("v", numbers(&[3]))]).unwrap();
    register(&context, "huge", &one, Some(rows(usize::MAX, 2)));
    register(&context, "few", &one, Some(rows(2, 2)));
    let pairs: String = (1..=20).map(|at| format!(" LEFT JOIN huge h{at} ON true")).collect();
    let sql = format!("SELECT few.v, h0.v, h20.v FROM few JOIN (huge h0{pairs}) ON few.id = h0.id");
    assert_eq!(answer(&context, &sql).await.unwrap().1, ["3|3|3"]);
}

#[tokio::test]
async fn groups_that_nobody_asks_for_are_not_made() {
    let (known, unknown) = (session(), session());
    for (context, known) in [(&known, true), (&unknown, false)] {
        let few = RecordBatch::try_from_iter([("id", numbers(&[1, 2])), ("v", numbers(&[3, 1]))]).unwrap();
        let many = RecordBatch::try_from_iter([("id", numbers(&[1, 1, 2, 3])), ("v", numbers(&[1, 5, 9, 0]))]).unwrap();
        register(context, "few", &few, known.then(|| keyed(100, 2)));
        register(context, "many", &many, known.then(|| keyed(100_000, 2)));
    }
    for (asked, narrowed, rows) in [
        ("few.v <= (SELECT avg(m.v) FROM many m WHERE m.id = few.id)", true, 2),
        (
            "few.v <= (SELECT avg(m.v) FROM many m WHERE m.id = few.id AND m.v > 0 HAVING count(*) > 1)",
            true,
            1,
        ),
        (
            "few.v <= (SELECT max(m.v) FROM many m JOIN many o ON m.id = o.id WHERE m.id = few.id)",
            true,
            2,
        ),
        (
            "10 / few.v > 0 AND few.v <= (SELECT max(m.v) FROM many m WHERE m.id = few.id)",
            false,
            2,
        ),
        (
            "random() >= 0 AND few.v <= (SELECT max(m.v) FROM many m WHERE m.id = few.id)",
            false,
            2,
        ),
    ] {
        let sql = format!("SELECT few.id FROM few WHERE {asked}");
        let found = plan(&known, &sql).await;
        assert_eq!(found.contains("__keys"), narrowed, "{sql}\n{found}");
        let (_, given) = answer(&known, &sql).await.unwrap();
        assert_eq!(given.len(), rows, "{sql}");
        assert_eq!(answer(&known, &sql).await, answer(&unknown, &sql).await, "{sql}");
    }
    let most = "SELECT count(*) FROM many f WHERE f.v <= (SELECT max(m.v) FROM many m WHERE m.id = f.id)";
    assert!(!plan(&known, most).await.contains("__keys"));
}

/// Random tables, with NULL and equal values in plenty.
fn random_tables(rng: &mut Rng) -> Vec<RecordBatch> {
    let tables = 2 + rng.below(5);
    let table = |rng: &mut Rng| {
        let rows = if rng.chance(5) { 0 } else { 3 + rng.below(5) };
        let mut whole = |most: i64| -> ArrayRef {
            let value = |_| (!rng.chance(15)).then(|| rng.between(0, most));
            Arc::new((0..rows).map(value).collect::<Int64Array>())
        };
        let (a, b, c) = (whole(3), whole(2), whole(4));
        let floats = [0.0, -0.0, f64::NAN, 1.0, 2.0];
        let f: ArrayRef = Arc::new(
            (0..rows)
                .map(|_| (!rng.chance(10)).then(|| *rng.pick(&floats)))
                .collect::<Float64Array>(),
        );
        let words = ["a", "b", "ab", ""];
        let t: ArrayRef = Arc::new(
            (0..rows)
                .map(|_| (!rng.chance(10)).then(|| *rng.pick(&words)))
                .collect::<StringArray>(),
        );
        RecordBatch::try_from_iter_with_nullable([
            ("a", a, true),
            ("b", b, true),
            ("c", c, true),
            ("f", f, true),
            ("t", t, true),
        ])
        .unwrap()
    };
    (0..tables).map(|_| table(rng)).collect()
}

/// A random statement that joins them all.
fn random_statement(rng: &mut Rng, tables: usize) -> String {
    let column = |rng: &mut Rng, at: usize| format!("r{at}.{}", rng.pick(&["a", "b", "c"]));
    let condition = |rng: &mut Rng, at: usize| {
        let other = rng.below(at);
        let (l, r) = (column(rng, at), column(rng, other));
        match rng.below(16) {
            0 => format!("{l} < {r}"),
            1 => format!("{l} + 1 = {r}"),
            2 => format!("({l} IS NOT DISTINCT FROM {r})"),
            3 => format!("r{at}.f = r{other}.f"),
            4 => format!("r{at}.t = r{other}.t"),
            5 => format!("({l} = {r} OR r{at}.a = 1)"),
            6 => format!("{l} + {r} = {}", column(rng, rng.clone().below(at))),
            7 => format!("({l} = {r} AND {l} = {})", column(rng, other)),
            8 => format!("CAST({l} AS INT) = {r}"),
            _ => format!("{l} = {r}"),
        }
    };
    let mut from = source(rng, 0);
    let mut wheres = Vec::new();
    for at in 1..tables {
        let mut on = vec![condition(rng, at)];
        if rng.chance(25) {
            on.push(condition(rng, at));
        }
        let table = source(rng, at);
        match rng.below(10) {
            0 => from = format!("{from} LEFT JOIN {table} ON {}", on.join(" AND ")),
            1 => from = format!("{from} FULL JOIN {table} ON {}", on.remove(0)),
            2 => from = format!("{from} CROSS JOIN {table}"),
            3 | 4 => {
                from = format!("{from} CROSS JOIN {table}");
                wheres.append(&mut on);
            }
            _ => from = format!("{from} JOIN {table} ON {}", on.join(" AND ")),
        }
    }
    if rng.chance(40) {
        let at = rng.below(tables);
        let value = rng.between(0, 6);
        wheres.push(format!(
            "{} {} {value}",
            column(rng, at),
            rng.pick(&["=", "<", ">=", "<>"])
        ));
    }
    if rng.chance(40) {
        let (at, other) = (rng.below(tables), rng.below(tables));
        let key = rng.pick(&["a", "a", "b"]);
        wheres.push(format!(
            "r{at}.c <= (SELECT max(g.c) FROM t{other} g JOIN t0 h ON g.b = h.b WHERE g.{key} = r{at}.{key} AND h.c > 0)"
        ));
    }
    if rng.chance(20) {
        let at = rng.below(tables);
        wheres.push(format!("EXISTS (SELECT 1 FROM t0 e WHERE e.b = r{at}.b)"));
    }
    let chosen = match rng.below(3) {
        0 => "*".to_owned(),
        1 => (0..tables)
            .rev()
            .map(|at| column(rng, at))
            .collect::<Vec<_>>()
            .join(", "),
        _ => format!("count(*), sum({}), min(r0.t)", column(rng, tables - 1)),
    };
    let wheres = if wheres.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", wheres.join(" AND "))
    };
    format!("SELECT {chosen} FROM {from}{wheres}")
}

/// A table under the name `r<at>`, at times as a derived one.
fn source(rng: &mut Rng, at: usize) -> String {
    match rng.below(6) {
        0 => format!("(SELECT b AS a, a AS b, c, f, t FROM t{at}) AS r{at}"),
        1 => format!("(SELECT x.a, y.b, x.c, y.f, x.t FROM t{at} x JOIN t0 y ON x.a = y.a) AS r{at}"),
        2 => format!("(SELECT a, max(b) AS b, min(c) AS c, max(f) AS f, max(t) AS t FROM t{at} GROUP BY a) AS r{at}"),
        _ => format!("t{at} AS r{at}"),
    }
}

/// Whatever sizes the tables give themselves, the rows are those of the written order.
#[tokio::test]
async fn random_joins_give_the_same_rows_in_any_order() {
    let (mut moved, mut filled, mut narrowed) = (0, 0, 0);
    const LABS: u64 = 60;
    for seed in 0..LABS {
        let mut rng = Rng::new(seed);
        let tables = random_tables(&mut rng);
        let unknown = session();
        for (at, table) in tables.iter().enumerate() {
            register(&unknown, &format!("t{at}"), table, None);
        }
        for _ in 0..3 {
            let sql = random_statement(&mut rng, tables.len());
            let known = session();
            for (at, table) in tables.iter().enumerate() {
                let count = *rng.pick(&[1, 10, 1_000, 100_000]);
                let statistics = match rng.chance(80) {
                    true => keyed(count, table.num_columns()),
                    false => rows(count, table.num_columns()),
                };
                register(&known, &format!("t{at}"), table, Some(statistics));
            }
            let wanted = answer(&unknown, &sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            let found = answer(&known, &sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            let (plan, as_written) = (plan(&known, &sql).await, plan(&unknown, &sql).await);
            assert_eq!(found, wanted, "seed {seed}: {sql}\n{plan}\n{as_written}");
            moved += usize::from(plan != as_written);
            narrowed += usize::from(plan.contains("__keys"));
            filled += usize::from(!found.1.is_empty() && found.1[0] != "0|NULL|NULL");
        }
    }
    assert!(moved > LABS as usize, "{moved} of the statements were ordered anew");
    assert!(
        narrowed > 0,
        "{narrowed} of the statements had groups that nobody asks for"
    );
    assert!(filled > LABS as usize / 2, "{filled} of the statements gave rows");
}

/// Counts and bounds, as a table that is seen whole would tell them.
fn truth(rows: &RecordBatch) -> Statistics {
    let mut statistics = self::rows(rows.num_rows(), rows.num_columns());
    for (column, told) in rows.columns().iter().zip(&mut statistics.column_statistics) {
        told.null_count = Precision::Exact(column.null_count());
        if let Some(numbers) = column.as_any().downcast_ref::<Int64Array>() {
            let (min, max) = (arrow::compute::min(numbers), arrow::compute::max(numbers));
            told.min_value = Precision::Exact(ScalarValue::Int64(min));
            told.max_value = Precision::Exact(ScalarValue::Int64(max));
        }
    }
    statistics
}

/// Two worlds that differ only in what is hidden from ana: what her planner is told, and how her joins are ordered.
#[tokio::test]
async fn hidden_rows_do_not_move_a_join() {
    let policies = load(POLICY, FILTERS).unwrap();
    let mut seen = Vec::new();
    for hidden in [0, 1] {
        // In the second world there are a hundred times more hidden rows.
        let batch = batch(hidden);
        let lab = Lab::new(Kept::Memory, &batch).await;
        let mut statistics = truth(&batch);
        if hidden == 1 {
            statistics.num_rows = Precision::Exact(batch.num_rows() * 100);
        }
        let told = Counted::telling(Arc::clone(&lab.raw), Some(statistics));
        let access = lab.access(&policies, "ana");
        let governed = govern(told as _, &access, Arc::clone(&lab.system)).unwrap();
        let context = session();
        context.register_table("t", Arc::clone(&governed)).unwrap();
        let other = RecordBatch::try_from_iter([("id", numbers(&[1, 2])), ("v", numbers(&[0, 7]))]).unwrap();
        register(&context, "o", &other, Some(keyed(20_000, 2)));
        register(&context, "p", &other, Some(keyed(500, 2)));
        let sql = "SELECT count(*) FROM t JOIN o ON t.id = o.id JOIN p ON p.id = o.v";
        seen.push((governed.statistics(), plan(&context, sql).await));
    }
    assert_eq!(seen[0], seen[1]);
}

/// What a table of which every row is shown tells: its rows, and bounds of what is shown as it is.
#[tokio::test]
async fn a_masked_or_hidden_column_has_no_bounds() {
    let policy = POLICY.replace(
        "p2, role:analyst, chemistry, lab/chemistry/t, permissive, own_rows\n",
        "",
    );
    let policy = policy.replace("lab/chemistry/t/m, hash_m", "lab/chemistry/t/n, hash_n");
    let filters = FILTERS
        .replace("hash_m", "hash_n")
        .replace("lab/chemistry/t/m", "lab/chemistry/t/n")
        .replace("\"hash\"", "\"null\"");
    let policies = load(&policy, &filters).unwrap();
    let batch = batch(0);
    let lab = Lab::new(Kept::Memory, &batch).await;
    let told = Counted::telling(Arc::clone(&lab.raw), Some(truth(&batch)));
    let access = lab.access(&policies, "ana");
    assert!(access.row_filter.is_none() && access.masks.contains_key("n"));
    let governed = govern(told, &access, Arc::clone(&lab.system)).unwrap();
    let statistics = governed.statistics().unwrap();
    assert_eq!(statistics.num_rows, Precision::Inexact(batch.num_rows()));
    let schema = governed.schema();
    assert!(schema.index_of("h").is_err());
    for (field, told) in schema.fields().iter().zip(&statistics.column_statistics) {
        let bounds = told.max_value.get_value().is_some();
        assert_eq!(bounds, field.name() == "id", "{}: {told:?}", field.name());
        assert_eq!(
            told.null_count.get_value().is_some(),
            field.name() != "n",
            "{}",
            field.name()
        );
        assert!(
            !told.max_value.is_exact().unwrap_or(false),
            "nothing may be answered from an estimate"
        );
    }
}
