//! What a query reads: tables, queries in brackets, values, and joins of them.

use super::query::columns;
use super::{Col, Family, Kind, Maker, Scope, Seen};

impl Maker<'_> {
    pub(super) fn from(&mut self, depth: usize) -> (String, Scope) {
        if self.scans > 1 && self.rng.chance(40) {
            return self.join(depth);
        }
        self.item(depth)
    }

    fn item(&mut self, depth: usize) -> (String, Scope) {
        let alias = self.name();
        if !self.common.is_empty() && self.rng.chance(40) {
            let (name, columns) = self.rng.pick(&self.common).clone();
            return (format!("{name} AS {alias}"), within(&alias, &columns, None));
        }
        if depth > 0 && self.rng.chance(20) {
            let made = self.query(depth - 1);
            return (
                format!("({}) AS {alias}", made.sql),
                within(&alias, &columns(&made), None),
            );
        }
        match self.rng.below(25) {
            0 => (
                format!("generate_series(-1, {}) AS {alias}(y1)", self.rng.below(6)),
                within(&alias, &[col("y1", Family::Int)], Some(vec![format!("{alias}.y1")])),
            ),
            1 => {
                let rows: Vec<String> = (0..=self.rng.below(3))
                    .map(|_| format!("({}, {})", self.literal(Family::Int), self.literal(Family::Text)))
                    .collect();
                (
                    format!("(VALUES (1, 'a'), {}) AS {alias}(y1, y2)", rows.join(", ")),
                    within(&alias, &[col("y1", Family::Int), col("y2", Family::Text)], None),
                )
            }
            _ => {
                self.scans = self.scans.saturating_sub(1);
                let table = self.rng.pick(self.tables);
                let columns = seen(table);
                let list = table
                    .columns
                    .iter()
                    .find(|(_, kind)| Family::from(kind) == Family::List);
                match list.filter(|_| self.rng.chance(20)) {
                    Some((list, Kind::List(of))) => {
                        let mut with = columns.clone();
                        with.push(col("u", Family::from(of.as_ref())));
                        (
                            format!("(SELECT *, unnest({list}) AS u FROM {}) AS {alias}", table.name),
                            within(&alias, &with, None),
                        )
                    }
                    _ => (
                        format!("{} AS {alias}", table.name),
                        within(&alias, &columns, table.keyed.then(|| vec![format!("{alias}.id")])),
                    ),
                }
            }
        }
    }

    fn join(&mut self, depth: usize) -> (String, Scope) {
        let (left, a) = self.item(depth);
        let (right, b) = if self.scans > 1 && self.rng.chance(25) {
            let (inner, scope) = self.join(depth);
            (format!("({inner})"), scope)
        } else {
            self.item(depth)
        };
        let both = Scope {
            columns: a.columns.iter().chain(&b.columns).cloned().collect(),
            keys: a.keys.clone().zip(b.keys.clone()).map(|(a, b)| [a, b].concat()),
        };
        let kind = *self.rng.pick(&[
            "JOIN",
            "JOIN",
            "JOIN",
            "LEFT JOIN",
            "LEFT JOIN",
            "RIGHT JOIN",
            "FULL JOIN",
            "LEFT SEMI JOIN",
            "LEFT ANTI JOIN",
            "CROSS JOIN",
        ]);
        if kind == "CROSS JOIN" {
            return (format!("{left} CROSS JOIN {right}"), both);
        }
        let mut on = self.pair(&a, &b);
        if self.rng.chance(25) {
            // Subqueries do not stand in every kind of join condition.
            let scans = std::mem::take(&mut self.scans);
            on = format!("{on} AND {}", self.condition(&both, 1));
            self.scans = scans;
        }
        let scope = if kind.contains("SEMI") || kind.contains("ANTI") {
            a
        } else {
            both
        };
        (format!("{left} {kind} {right} ON {on}"), scope)
    }

    /// An equality of a column on each side, or another comparison.
    fn pair(&mut self, a: &Scope, b: &Scope) -> String {
        // Not floating point: whether the two zeros and NaN meet in a join is the engine's, by plan and by file.
        let families: Vec<Family> = Family::PLAIN
            .into_iter()
            .filter(|f| *f != Family::Float)
            .filter(|f| [a, b].iter().all(|scope| scope.columns.iter().any(|c| c.family == *f)))
            .collect();
        if families.is_empty() {
            return "true".to_owned();
        }
        let family = *self.rng.pick(&families);
        let column = |maker: &mut Self, scope: &Scope| {
            let fitting: Vec<&Col> = scope.columns.iter().filter(|c| c.family == family).collect();
            maker.rng.pick(&fitting).sql.clone()
        };
        let op = *self.rng.pick(&["=", "=", "=", "=", "<", "IS NOT DISTINCT FROM"]);
        // In brackets: `IS DISTINCT FROM x AND y` takes the AND for its own.
        format!("({} {op} {})", column(self, a), column(self, b))
    }

    pub(super) fn scalar_subquery(&mut self, family: Family, outer: &Scope) -> String {
        if self.scans < 2 {
            return self.leaf(family, outer);
        }
        self.scans -= 1;
        let (from, scope) = self.bare();
        let call = match family {
            Family::Int if self.rng.chance(50) => "count(*)".to_owned(),
            _ => format!("{}({})", self.rng.pick(&["min", "max"]), self.leaf(family, &scope)),
        };
        let condition = match self.rng.chance(50) {
            true => self.pair(&scope, outer),
            false => self.simple(&scope),
        };
        format!("(SELECT {call} FROM {from} WHERE {condition})")
    }

    pub(super) fn in_subquery(&mut self, outer: &Scope) -> String {
        if self.scans < 2 {
            return self.leaf(Family::Bool, outer);
        }
        self.scans -= 1;
        let (from, scope) = self.bare();
        let family = *self.rng.pick(&[Family::Int, Family::Text, Family::Date]);
        let not = *self.rng.pick(&["", "NOT "]);
        format!(
            "({} {not}IN (SELECT {} FROM {from} WHERE {}))",
            self.leaf(family, outer),
            self.leaf(family, &scope),
            self.simple(&scope)
        )
    }

    pub(super) fn exists(&mut self, outer: &Scope) -> String {
        if self.scans < 2 {
            return self.leaf(Family::Bool, outer);
        }
        self.scans -= 1;
        let (from, scope) = self.bare();
        let not = *self.rng.pick(&["", "NOT "]);
        let pair = match self.rng.chance(75) {
            true => self.pair(&scope, outer),
            false => "true".to_owned(),
        };
        format!(
            "({not}EXISTS (SELECT 1 FROM {from} WHERE {pair} AND {}))",
            self.simple(&scope)
        )
    }

    fn bare(&mut self) -> (String, Scope) {
        let alias = self.name();
        let table = self.rng.pick(self.tables);
        (format!("{} AS {alias}", table.name), within(&alias, &seen(table), None))
    }

    /// A condition without further scans.
    fn simple(&mut self, scope: &Scope) -> String {
        let scans = std::mem::take(&mut self.scans);
        let condition = self.condition(scope, 1);
        self.scans = scans;
        condition
    }
}

fn seen(table: &Seen) -> Vec<Col> {
    table
        .columns
        .iter()
        .map(|(name, kind)| col(name, Family::from(kind)))
        .collect()
}

pub(super) fn col(name: &str, family: Family) -> Col {
    Col {
        sql: name.to_owned(),
        family,
    }
}

fn within(alias: &str, columns: &[Col], keys: Option<Vec<String>>) -> Scope {
    Scope {
        columns: columns
            .iter()
            .map(|c| Col {
                sql: format!("{alias}.{}", c.sql),
                family: c.family,
            })
            .collect(),
        keys,
    }
}
