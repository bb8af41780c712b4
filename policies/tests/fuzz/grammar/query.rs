//! Queries: what is read, how it is joined, and what is made of it.

use super::from::col;
use super::{Col, Family, Maker, Scope, Statement};

/// A query's text and what it gives: a family for each column, named `y1`, `y2`, …
pub(super) struct Made {
    pub(super) sql: String,
    families: Vec<Family>,
    loose: Vec<bool>,
}

impl Maker<'_> {
    pub(super) fn top(&mut self) -> Statement {
        let statement = |maker: &Self, sql: String, loose: Vec<bool>, ordered: bool| Statement {
            sql,
            loose,
            ordered,
            fallible: maker.fallible,
        };
        // Which rows a bare LIMIT gives is open, how many is not; and whether it meets a failing row is open too.
        if !self.fallible && self.rng.chance(5) {
            let inner = self.select(1);
            let (limit, offset) = (self.rng.below(12), self.rng.below(4));
            let sql = format!(
                "SELECT count(*) AS y1 FROM ({} LIMIT {limit} OFFSET {offset}) z",
                inner.sql
            );
            return statement(self, sql, vec![false], true);
        }
        if self.rng.chance(2) {
            let table = self.rng.pick(self.tables);
            if table.keyed {
                let sql = format!(
                    "WITH RECURSIVE r AS (SELECT 0 AS i UNION ALL SELECT r.i + 1 FROM r JOIN {} q ON q.id = r.i WHERE r.i < 6) SELECT count(*) AS y1 FROM r",
                    table.name
                );
                return statement(self, sql, vec![false], true);
            }
        }
        let mut head = String::new();
        while self.rng.chance(15) && self.common.len() < 2 {
            let made = self.query(1);
            let name = self.name();
            head.push_str(if head.is_empty() { "WITH " } else { ", " });
            head.push_str(&format!("{name} AS ({})", made.sql));
            self.common.push((name, columns(&made)));
        }
        let made = self.query(2);
        let mut sql = format!("{head} {}", made.sql).trim().to_owned();
        let sortable = made.families.iter().all(|f| f.sortable()) && made.loose.iter().all(|loose| !loose);
        let mut ordered = false;
        if sortable && self.rng.chance(55) {
            let by: Vec<String> = (1..=made.families.len())
                .map(|at| {
                    format!(
                        "{at}{}",
                        self.rng.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"])
                    )
                })
                .collect();
            sql.push_str(&format!(" ORDER BY {}", by.join(", ")));
            ordered = true;
            if self.rng.chance(50) {
                sql.push_str(&format!(" LIMIT {}", self.rng.below(9)));
                if self.rng.chance(30) {
                    sql.push_str(&format!(" OFFSET {}", self.rng.below(5)));
                }
            }
        }
        statement(self, sql, made.loose, ordered)
    }

    /// A select, or two of the same columns put together.
    pub(super) fn query(&mut self, depth: usize) -> Made {
        if depth > 0 && self.scans > 1 && self.rng.chance(15) {
            let families: Vec<Family> = (0..=self.rng.below(2))
                .map(|_| *self.rng.pick(&Family::PLAIN))
                .collect();
            let op = *self.rng.pick(&["UNION ALL", "UNION", "INTERSECT", "EXCEPT"]);
            let (left, right) = (
                self.plain(depth - 1, Some(&families)),
                self.plain(depth - 1, Some(&families)),
            );
            return Made {
                sql: format!("{} {op} {}", left.sql, right.sql),
                families,
                loose: left.loose,
            };
        }
        self.select(depth)
    }

    fn select(&mut self, depth: usize) -> Made {
        match self.rng.below(10) {
            0..=4 => self.plain(depth, None),
            5..=7 => self.aggregate(depth),
            _ => self.windowed(depth),
        }
    }

    fn plain(&mut self, depth: usize, wanted: Option<&[Family]>) -> Made {
        let (from, scope) = self.from(depth);
        let families: Vec<Family> = match wanted {
            Some(families) => families.to_vec(),
            None => (0..=self.rng.below(4)).map(|_| self.family_in(&scope)).collect(),
        };
        let items: Vec<String> = families.iter().map(|f| self.expr(*f, &scope, 2)).collect();
        let distinct = if families.iter().all(|f| f.sortable()) && self.rng.chance(15) {
            "DISTINCT "
        } else {
            ""
        };
        let sql = format!("SELECT {distinct}{} FROM {from}{}", named(&items), self.filter(&scope));
        Made {
            sql,
            loose: vec![false; families.len()],
            families,
        }
    }

    fn aggregate(&mut self, depth: usize) -> Made {
        let (from, scope) = self.from(depth);
        let filter = self.filter(&scope);
        let mut families = Vec::new();
        let mut items = Vec::new();
        for _ in 0..self.rng.below(3) {
            let family = self.family(&scope);
            families.push(family);
            items.push(self.expr(family, &scope, 1));
        }
        let groups = families.len();
        let mut loose = vec![false; groups];
        for _ in 0..=self.rng.below(3) {
            let (item, family, vague) = self.aggregate_call(&scope);
            let item = if self.rng.chance(15) && !item.starts_with("CAST") {
                format!("{item} FILTER (WHERE {})", self.condition(&scope, 1))
            } else {
                item
            };
            items.push(item);
            families.push(family);
            loose.push(vague);
        }
        let mut sql = format!("SELECT {} FROM {from}{filter}", named(&items));
        if groups > 0 {
            let keys = items[..groups].join(", ");
            // With constants among the keys the engine takes grouping sets for sorted by them, and sorts wrongly.
            let columns = items[..groups]
                .iter()
                .all(|item| scope.columns.iter().any(|c| c.sql == *item));
            sql.push_str(
                &match self.rng.below(if columns { 5 } else { 10 }) + if columns { 0 } else { 2 } {
                    0 => format!(" GROUP BY ROLLUP ({keys})"),
                    1 => format!(" GROUP BY CUBE ({keys})"),
                    _ => format!(" GROUP BY {keys}"),
                },
            );
        }
        if self.rng.chance(25) {
            let having = match self.rng.below(3) {
                0 => format!("count(*) > {}", self.rng.below(4)),
                1 => format!("max({}) IS NOT NULL", self.leaf(Family::Int, &scope)),
                _ if self.fallible => format!("1 / (count(*) - {}) <> 99", self.rng.below(5)),
                _ => format!(
                    "min({}) < {}",
                    self.leaf(Family::Text, &scope),
                    self.literal(Family::Text)
                ),
            };
            sql.push_str(&format!(" HAVING {having}"));
        }
        Made { sql, families, loose }
    }

    /// A call, what it gives, and whether its value depends on the order of additions.
    fn aggregate_call(&mut self, scope: &Scope) -> (String, Family, bool) {
        if let Some(keys) = scope.keys.as_ref().filter(|_| self.rng.chance(20)) {
            let by = keys.join(", ");
            return match self.rng.below(4) {
                0 => (
                    format!("string_agg({}, '|' ORDER BY {by})", self.leaf(Family::Text, scope)),
                    Family::Text,
                    false,
                ),
                1 => (
                    format!("first_value({} ORDER BY {by})", self.leaf(Family::Int, scope)),
                    Family::Int,
                    false,
                ),
                2 => (
                    format!("last_value({} ORDER BY {by})", self.leaf(Family::Text, scope)),
                    Family::Text,
                    false,
                ),
                _ => (
                    format!("array_agg({} ORDER BY {by})", self.leaf(Family::Int, scope)),
                    Family::List,
                    false,
                ),
            };
        }
        let plain = match self.family(scope) {
            Family::Bool | Family::Float => Family::Int,
            other => other,
        };
        match self.rng.below(14) {
            0 | 1 => ("count(*)".to_owned(), Family::Int, false),
            2 => (format!("count({})", self.expr(plain, scope, 1)), Family::Int, false),
            3 => (
                format!("count(DISTINCT {})", self.expr(plain, scope, 1)),
                Family::Int,
                false,
            ),
            4 | 5 => (format!("min({})", self.expr(plain, scope, 1)), plain, false),
            6 | 7 => (format!("max({})", self.expr(plain, scope, 1)), plain, false),
            8 => (format!("sum({})", self.expr(Family::Int, scope, 1)), Family::Int, false),
            9 => (
                format!("sum({})", self.leaf(Family::Decimal, scope)),
                Family::Decimal,
                false,
            ),
            10 => (
                format!("bool_or({})", self.expr(Family::Bool, scope, 1)),
                Family::Bool,
                false,
            ),
            11 => (
                format!("bit_xor({})", self.leaf(Family::Int, scope)),
                Family::Int,
                false,
            ),
            12 => (
                format!(
                    "CAST(approx_distinct({}) AS BIGINT)",
                    self.leaf(plain_hash(plain), scope)
                ),
                Family::Int,
                false,
            ),
            _ => {
                let call = *self.rng.pick(&["sum", "avg", "stddev", "max"]);
                (
                    format!("{call}({})", self.leaf(Family::Float, scope)),
                    Family::Float,
                    true,
                )
            }
        }
    }

    fn windowed(&mut self, depth: usize) -> Made {
        let (from, scope) = self.from(depth);
        let mut families = vec![self.family_in(&scope)];
        let mut items = vec![self.expr(families[0], &scope, 1)];
        for _ in 0..=self.rng.below(2) {
            let partition = match self.rng.chance(50) {
                true => {
                    let family = self.family(&scope);
                    format!("PARTITION BY {}", self.leaf(family, &scope))
                }
                false => String::new(),
            };
            let (item, family) = match &scope.keys {
                Some(keys) => {
                    let by = keys.join(", ");
                    let over = format!("OVER ({partition} ORDER BY {by})");
                    let framed = format!("OVER ({partition} ORDER BY {by} ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)");
                    let value = self.rng.pick(&[Family::Int, Family::Text, Family::Date]);
                    match self.rng.below(7) {
                        0 => (format!("row_number() {over}"), Family::Int),
                        1 => (format!("lag({}) {over}", self.leaf(*value, &scope)), *value),
                        2 => (format!("lead({}, 2) {over}", self.leaf(*value, &scope)), *value),
                        3 => (format!("first_value({}) {over}", self.leaf(*value, &scope)), *value),
                        4 => (format!("sum({}) {framed}", self.leaf(Family::Int, &scope)), Family::Int),
                        5 => (format!("ntile(3) {over}"), Family::Int),
                        _ => (
                            format!("max({}) {framed}", self.leaf(Family::Text, &scope)),
                            Family::Text,
                        ),
                    }
                }
                None => {
                    let by = format!("ORDER BY {}", self.leaf(Family::Int, &scope));
                    match self.rng.below(4) {
                        0 => (format!("rank() OVER ({partition} {by})"), Family::Int),
                        1 => (format!("dense_rank() OVER ({partition} {by})"), Family::Int),
                        2 => (format!("count(*) OVER ({partition} {by})"), Family::Int),
                        _ => (
                            format!("max({}) OVER ({partition})", self.leaf(Family::Text, &scope)),
                            Family::Text,
                        ),
                    }
                }
            };
            items.push(item);
            families.push(family);
        }
        Made {
            sql: format!("SELECT {} FROM {from}{}", named(&items), self.filter(&scope)),
            loose: vec![false; families.len()],
            families,
        }
    }

    fn filter(&mut self, scope: &Scope) -> String {
        match self.rng.chance(65) {
            true => format!(" WHERE {}", self.expr(Family::Bool, scope, 3)),
            false => String::new(),
        }
    }

    fn family_in(&mut self, scope: &Scope) -> Family {
        match scope.columns.is_empty() {
            true => Family::Int,
            false => self.rng.pick(&scope.columns).family,
        }
    }
}

fn plain_hash(family: Family) -> Family {
    match family {
        Family::Decimal | Family::Moment => Family::Text,
        other => other,
    }
}

fn named(items: &[String]) -> String {
    let items: Vec<String> = items
        .iter()
        .enumerate()
        .map(|(at, item)| format!("{item} AS y{}", at + 1))
        .collect();
    items.join(", ")
}

pub(super) fn columns(made: &Made) -> Vec<Col> {
    made.families
        .iter()
        .enumerate()
        // What a floating point sum gives may not be asked about again.
        .filter(|(at, _)| !made.loose[*at])
        .map(|(at, family)| col(&format!("y{}", at + 1), *family))
        .collect()
}
