//! Expressions of a wanted family over the columns in scope.

use super::{Family, Maker, Scope};

impl Maker<'_> {
    /// An expression; one that can fail on a value only where the statement may.
    pub(super) fn expr(&mut self, family: Family, scope: &Scope, depth: usize) -> String {
        if depth == 0 {
            return self.leaf(family, scope);
        }
        let d = depth - 1;
        if self.rng.chance(12) {
            return match self.rng.below(4) {
                0 => format!(
                    "CASE WHEN {} THEN {} ELSE {} END",
                    self.expr(Family::Bool, scope, d),
                    self.expr(family, scope, d),
                    self.expr(family, scope, d)
                ),
                1 => format!(
                    "CASE WHEN {} THEN {} END",
                    self.expr(Family::Bool, scope, d),
                    self.expr(family, scope, d)
                ),
                2 => format!(
                    "coalesce({}, {})",
                    self.expr(family, scope, d),
                    self.expr(family, scope, d)
                ),
                _ if family.sortable() => {
                    format!(
                        "nullif({}, {})",
                        self.expr(family, scope, d),
                        self.expr(family, scope, d)
                    )
                }
                _ => self.leaf(family, scope),
            };
        }
        if self.fallible
            && self.rng.chance(35)
            && let Some(risky) = self.risky(family, scope)
        {
            return risky;
        }
        match family {
            Family::Bool => self.condition(scope, d),
            Family::Int => self.int(scope, d),
            Family::Float => self.float(scope, d),
            Family::Decimal => match self.rng.below(4) {
                0 => format!("({} + {})", self.leaf(family, scope), self.leaf(family, scope)),
                1 => format!("abs({})", self.leaf(family, scope)),
                2 => format!("round({}, 1)", self.leaf(family, scope)),
                _ => self.leaf(family, scope),
            },
            Family::Text => self.text(scope, d),
            Family::Date => match self.rng.below(4) {
                0 => format!("CAST({} AS DATE)", self.leaf(Family::Moment, scope)),
                1 => format!("CAST(date_trunc('month', {}) AS DATE)", self.leaf(family, scope)),
                2 => format!("greatest({}, {})", self.leaf(family, scope), self.leaf(family, scope)),
                _ => self.leaf(family, scope),
            },
            Family::Moment => match self.rng.below(4) {
                0 => format!(
                    "date_trunc('{}', {})",
                    self.rng.pick(&["month", "hour", "year"]),
                    self.leaf(family, scope)
                ),
                1 => format!("date_bin(INTERVAL '1 day', {})", self.leaf(family, scope)),
                _ => self.leaf(family, scope),
            },
            Family::List if self.rng.chance(30) => format!("array_append({}, NULL)", self.leaf(family, scope)),
            Family::Bytes | Family::List | Family::Struct => self.leaf(family, scope),
        }
    }

    pub(super) fn leaf(&mut self, family: Family, scope: &Scope) -> String {
        let fitting: Vec<&String> = scope
            .columns
            .iter()
            .filter(|c| c.family == family)
            .map(|c| &c.sql)
            .collect();
        match fitting.is_empty() || self.rng.chance(22) {
            true => self.literal(family),
            false => (*self.rng.pick(&fitting)).clone(),
        }
    }

    /// A column if there is one: conditions on literals alone say little.
    fn column(&mut self, family: Family, scope: &Scope) -> String {
        let fitting: Vec<&String> = scope
            .columns
            .iter()
            .filter(|c| c.family == family)
            .map(|c| &c.sql)
            .collect();
        match fitting.is_empty() {
            true => self.literal(family),
            false => (*self.rng.pick(&fitting)).clone(),
        }
    }

    fn int(&mut self, scope: &Scope, d: usize) -> String {
        match self.rng.below(14) {
            0 => format!(
                "({} + {})",
                self.expr(Family::Int, scope, d),
                self.expr(Family::Int, scope, d)
            ),
            1 => format!(
                "({} - {})",
                self.expr(Family::Int, scope, d),
                self.leaf(Family::Int, scope)
            ),
            2 => format!("({} * {})", self.expr(Family::Int, scope, d), self.rng.between(-2, 3)),
            3 => format!("length({})", self.expr(Family::Text, scope, d)),
            4 => format!("CAST({} AS BIGINT)", self.expr(Family::Bool, scope, d)),
            5 => format!(
                "strpos({}, {})",
                self.leaf(Family::Text, scope),
                self.leaf(Family::Text, scope)
            ),
            6 => format!("CAST(date_part('day', {}) AS BIGINT)", self.leaf(Family::Date, scope)),
            7 => format!("ascii({})", self.leaf(Family::Text, scope)),
            8 => format!("try_cast({} AS BIGINT)", self.expr(Family::Text, scope, d)),
            9 => format!("array_length({})", self.leaf(Family::List, scope)),
            10 => {
                let structs: Vec<&String> = scope
                    .columns
                    .iter()
                    .filter(|c| c.family == Family::Struct)
                    .map(|c| &c.sql)
                    .collect();
                match structs.is_empty() {
                    true => self.leaf(Family::Int, scope),
                    false => format!("{}['a']", self.rng.pick(&structs)),
                }
            }
            11 => self.scalar_subquery(Family::Int, scope),
            12 => format!("octet_length({})", self.leaf(Family::Text, scope)),
            _ => self.leaf(Family::Int, scope),
        }
    }

    fn float(&mut self, scope: &Scope, d: usize) -> String {
        match self.rng.below(8) {
            0 => format!(
                "({} + {})",
                self.leaf(Family::Float, scope),
                self.leaf(Family::Float, scope)
            ),
            1 => format!("CAST({} AS DOUBLE)", self.expr(Family::Int, scope, d)),
            2 => format!("sqrt(abs({}))", self.leaf(Family::Float, scope)),
            3 => format!(
                "({} / {})",
                self.leaf(Family::Float, scope),
                self.leaf(Family::Float, scope)
            ),
            4 => format!("floor({})", self.leaf(Family::Float, scope)),
            5 => format!("try_cast({} AS DOUBLE)", self.leaf(Family::Text, scope)),
            6 => format!("CAST({} AS DOUBLE)", self.leaf(Family::Decimal, scope)),
            _ => self.leaf(Family::Float, scope),
        }
    }

    fn text(&mut self, scope: &Scope, d: usize) -> String {
        match self.rng.below(14) {
            0 => format!("upper({})", self.expr(Family::Text, scope, d)),
            1 => format!("reverse({})", self.leaf(Family::Text, scope)),
            2 => format!(
                "({} || {})",
                self.leaf(Family::Text, scope),
                self.leaf(Family::Text, scope)
            ),
            3 => format!(
                "substr({}, {}, {})",
                self.expr(Family::Text, scope, d),
                self.rng.between(1, 3),
                self.rng.below(4)
            ),
            4 => format!("CAST({} AS VARCHAR)", self.expr(Family::Int, scope, d)),
            5 => format!("replace({}, 'a', '<')", self.leaf(Family::Text, scope)),
            6 => format!("encode(sha256({}), 'hex')", self.leaf(Family::Text, scope)),
            7 => format!(
                "concat({}, '/', {})",
                self.leaf(Family::Text, scope),
                self.leaf(Family::Date, scope)
            ),
            8 => format!("left({}, {})", self.leaf(Family::Text, scope), self.rng.below(3)),
            9 => format!("regexp_replace({}, '[0-9]+', '#')", self.leaf(Family::Text, scope)),
            10 => format!("CAST({} AS VARCHAR)", self.leaf(Family::Decimal, scope)),
            11 => self.scalar_subquery(Family::Text, scope),
            12 => format!("lower({})", self.expr(Family::Text, scope, d)),
            _ => self.leaf(Family::Text, scope),
        }
    }

    /// What fails on some values; of columns, because a literal would fail at once.
    fn risky(&mut self, family: Family, scope: &Scope) -> Option<String> {
        let has = |family: Family| scope.columns.iter().any(|c| c.family == family);
        let from = match family {
            Family::Int => *self
                .rng
                .pick(&[Family::Int, Family::Int, Family::Text, Family::Float, Family::Decimal]),
            Family::Float | Family::Moment => Family::Text,
            Family::Decimal => *self.rng.pick(&[Family::Int, Family::Text, Family::Decimal]),
            Family::Text => *self.rng.pick(&[Family::Int, Family::Bytes]),
            Family::Date | Family::Bool => *self.rng.pick(&[Family::Int, Family::Int, Family::Text]),
            Family::Bytes | Family::List | Family::Struct => return None,
        };
        if !has(from) {
            return None;
        }
        let column = self.column(from, scope);
        Some(match (family, from) {
            (Family::Int, Family::Int) => match self.rng.below(5) {
                0 => format!("(1000 / ({column} - {}))", self.literal(from)),
                1 => format!("(7 % ({column} - {}))", self.literal(from)),
                2 => format!("CAST({column} AS TINYINT)"),
                3 => format!("factorial({column})"),
                _ => format!("CAST(1 / nullif({column}, {}) AS BIGINT)", self.literal(from)),
            },
            (Family::Int, Family::Text) => match self.rng.below(3) {
                0 => format!("arrow_cast({column}, 'Int64')"),
                1 => format!("CAST(substr({column}, 1, 2) AS INT)"),
                _ => format!("CAST({column} AS BIGINT)"),
            },
            (Family::Int, _) => format!("CAST({column} AS INT)"),
            (Family::Float, _) => format!("CAST({column} AS DOUBLE)"),
            (Family::Decimal, Family::Int) => format!("CAST({column} AS DECIMAL(4, 2))"),
            (Family::Decimal, Family::Text) => format!("CAST({column} AS DECIMAL(9, 2))"),
            (Family::Decimal, _) => format!("CAST({column} / ({column} - {}) AS DECIMAL(18, 2))", self.literal(from)),
            (Family::Text, Family::Int) => match self.rng.below(3) {
                0 => format!("chr({column})"),
                1 => format!("substr({}, 1, {column})", self.column(Family::Text, scope)),
                _ => format!("split_part({}, '-', {column})", self.column(Family::Text, scope)),
            },
            (Family::Text, _) => format!("arrow_cast({column}, 'Utf8')"),
            (Family::Date, Family::Int) => match self.rng.below(2) {
                0 => format!("make_date({column}, 1, 1)"),
                _ => format!("make_date(2024, {column}, 1)"),
            },
            (Family::Date, _) => format!("CAST({column} AS DATE)"),
            (Family::Moment, _) => format!("to_timestamp({column})"),
            (Family::Bool, Family::Int) => format!("(1 / ({column} - {}) <> 99)", self.literal(from)),
            (Family::Bool, _) => format!("CAST({column} AS BOOLEAN)"),
            (Family::Bytes | Family::List | Family::Struct, _) => return None,
        })
    }

    /// A plain family, mostly one that the scope has columns of.
    pub(super) fn family(&mut self, scope: &Scope) -> Family {
        let plain: Vec<Family> = scope
            .columns
            .iter()
            .map(|c| c.family)
            .filter(|family| Family::PLAIN.contains(family))
            .collect();
        match plain.is_empty() || self.rng.chance(10) {
            true => *self.rng.pick(&Family::PLAIN),
            false => *self.rng.pick(&plain),
        }
    }

    /// A condition.
    pub(super) fn condition(&mut self, scope: &Scope, d: usize) -> String {
        let compare = |maker: &mut Self, family: Family| {
            let op = *maker.rng.pick(&[
                "=",
                "<>",
                "<",
                "<=",
                ">",
                ">=",
                "IS DISTINCT FROM",
                "IS NOT DISTINCT FROM",
            ]);
            let left = match maker.rng.chance(60) {
                true => maker.column(family, scope),
                false => maker.expr(family, scope, d),
            };
            format!("({left} {op} {})", maker.expr(family, scope, d))
        };
        match self.rng.below(20) {
            0..=4 => {
                let family = self.family(scope);
                compare(self, family)
            }
            5 | 6 => format!(
                "({} AND {})",
                self.expr(Family::Bool, scope, d),
                self.expr(Family::Bool, scope, d)
            ),
            7 | 8 => format!(
                "({} OR {})",
                self.expr(Family::Bool, scope, d),
                self.expr(Family::Bool, scope, d)
            ),
            9 => format!("(NOT {})", self.expr(Family::Bool, scope, d)),
            10 => {
                let family = self.family(scope);
                format!(
                    "({} IS {}NULL)",
                    self.expr(family, scope, d),
                    self.rng.pick(&["", "NOT "])
                )
            }
            11 => {
                let family = self.family(scope);
                let list: Vec<String> = (0..=self.rng.below(3)).map(|_| self.literal(family)).collect();
                format!(
                    "({} {}IN ({}))",
                    self.column(family, scope),
                    self.rng.pick(&["", "NOT "]),
                    list.join(", ")
                )
            }
            12 => {
                let family = self.family(scope);
                format!(
                    "({} BETWEEN {} AND {})",
                    self.column(family, scope),
                    self.literal(family),
                    self.literal(family)
                )
            }
            13 => {
                let pattern = *self
                    .rng
                    .pick(&["%a%", "a%", "%e", "_", "h%v%", "%", "1_", "***%", "x\\%%"]);
                let like = *self.rng.pick(&["LIKE", "NOT LIKE", "ILIKE"]);
                format!("({} {like} '{pattern}')", self.expr(Family::Text, scope, d))
            }
            14 => {
                let pattern = *self.rng.pick(&["^a", "[0-9]+", "hv", "(a|b)$", ""]);
                let op = *self.rng.pick(&["~", "!~", "~*"]);
                format!("({} {op} '{pattern}')", self.leaf(Family::Text, scope))
            }
            15 => format!(
                "({} IS {}TRUE)",
                self.expr(Family::Bool, scope, d),
                self.rng.pick(&["", "NOT "])
            ),
            16 => self.in_subquery(scope),
            17 => self.exists(scope),
            18 if self.rng.chance(60) => {
                let (ear, family) = *self.rng.pick(&[("f_leak", Family::Text), ("f_leak_n", Family::Int)]);
                format!("{ear}({})", self.leaf(family, scope))
            }
            18 => format!(
                "starts_with({}, {})",
                self.leaf(Family::Text, scope),
                self.literal(Family::Text)
            ),
            _ => self.column(Family::Bool, scope),
        }
    }
}
