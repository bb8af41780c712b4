//! Row filters twice: as the SQL that goes into `filters.toml`, and as a three-valued evaluation that shares nothing with it.

use std::cmp::Ordering;

use super::rng::Rng;
use super::table::{Column, Table};
use super::value::{Kind, Value, moment_text};

/// An attribute of the person who asks.
pub(crate) const SITE: &str = "site";
/// A list of them.
pub(crate) const PROJECTS: &str = "projects";
/// One that nobody has.
pub(crate) const ABSENT: &str = "clearance";

/// What the person brings along.
#[derive(Debug, Clone)]
pub(crate) struct Attributes {
    pub site: String,
    pub projects: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Compare(usize, Op, Value),
    Columns(usize, Op, usize),
    IsNull(usize, bool),
    In(usize, Vec<Value>, bool),
    Between(usize, Value, Value, bool),
    /// LIKE with the text in front, behind or anywhere.
    Like(usize, String, Place),
    /// `try_cast(text AS BIGINT) op n`
    Number(usize, Op, i64),
    Site(usize, Op),
    InProjects(usize, bool),
    /// A comparison with an attribute that the person lacks: NULL.
    Lacking(usize),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Case(Box<Condition>, Box<Condition>, Box<Condition>),
    Constant(bool),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Distinct,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Start,
    End,
    Anywhere,
}

impl Op {
    pub(crate) const ALL: [Op; 7] = [Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge, Op::Distinct];

    pub(crate) fn sql(self) -> &'static str {
        match self {
            Op::Eq => "=",
            Op::Ne => "<>",
            Op::Lt => "<",
            Op::Le => "<=",
            Op::Gt => ">",
            Op::Ge => ">=",
            Op::Distinct => "IS DISTINCT FROM",
        }
    }

    fn holds(self, a: &Value, b: &Value) -> Option<bool> {
        if self == Op::Distinct {
            return Some(match (a == &Value::Null, b == &Value::Null) {
                (true, true) => false,
                (false, false) => a.compare(b) != Some(Ordering::Equal),
                _ => true,
            });
        }
        let order = a.compare(b)?;
        Some(match self {
            Op::Eq => order.is_eq(),
            Op::Ne => order.is_ne(),
            Op::Lt => order.is_lt(),
            Op::Le => order.is_le(),
            Op::Gt => order.is_gt(),
            Op::Ge | Op::Distinct => order.is_ge(),
        })
    }
}

impl Condition {
    /// A condition over the table's columns.
    pub(crate) fn random(rng: &mut Rng, table: &Table, depth: usize) -> Condition {
        let next = |rng: &mut Rng| Box::new(Condition::random(rng, table, depth - 1));
        if depth > 0 {
            match rng.below(8) {
                0 | 1 => return Condition::And(next(rng), next(rng)),
                2 | 3 => return Condition::Or(next(rng), next(rng)),
                4 => return Condition::Not(next(rng)),
                5 => return Condition::Case(next(rng), next(rng), next(rng)),
                _ => {}
            }
        }
        let plain: Vec<usize> = (0..table.columns.len())
            .filter(|at| table.columns[*at].kind.is_plain())
            .collect();
        let at = *rng.pick(&plain);
        let Column { kind, .. } = &table.columns[at];
        let value = |rng: &mut Rng| loop {
            let hidden = rng.chance(40);
            match kind.value(rng, hidden) {
                Value::Null => {}
                value => return value,
            }
        };
        let same: Vec<usize> = plain
            .iter()
            .copied()
            .filter(|other| table.columns[*other].kind == *kind)
            .collect();
        match rng.below(12) {
            0 => Condition::IsNull(at, rng.chance(50)),
            1 => {
                let mut list: Vec<Value> = (0..=rng.below(4)).map(|_| value(rng)).collect();
                // A list of several floats is looked up by bits, one of a single float is compared: they differ in −0.0.
                list.retain(|value| !matches!(value, Value::Float(float) if *float == 0.0));
                match list.is_empty() {
                    true => Condition::IsNull(at, false),
                    false => Condition::In(at, list, rng.chance(30)),
                }
            }
            2 => {
                let (mut low, mut high) = (value(rng), value(rng));
                if low.compare(&high) == Some(Ordering::Greater) {
                    std::mem::swap(&mut low, &mut high);
                }
                Condition::Between(at, low, high, rng.chance(30))
            }
            3 => Condition::Columns(at, *rng.pick(&Op::ALL), *rng.pick(&same)),
            4 if rng.chance(20) => Condition::Constant(rng.chance(80)),
            5..=8 if kind.is_text() => match rng.below(6) {
                0 => Condition::Like(
                    at,
                    (*rng.pick(&["a", "1", "hv", "permitted", "µ", "z", "'"])).to_owned(),
                    *rng.pick(&[Place::Start, Place::End, Place::Anywhere]),
                ),
                1 => Condition::Number(at, *rng.pick(&Op::ALL), rng.between(-8, 100)),
                2 => Condition::Site(at, *rng.pick(&Op::ALL)),
                3 => Condition::InProjects(at, rng.chance(30)),
                4 => Condition::Lacking(at),
                _ => Condition::Compare(at, *rng.pick(&Op::ALL), value(rng)),
            },
            _ => Condition::Compare(at, *rng.pick(&Op::ALL), value(rng)),
        }
    }

    /// True, false or unknown, for one row.
    pub(crate) fn holds(&self, row: &[Value], who: &Attributes) -> Option<bool> {
        let text = |at: &usize| match &row[*at] {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        };
        match self {
            Condition::Compare(at, op, value) => op.holds(&row[*at], value),
            Condition::Columns(a, op, b) => op.holds(&row[*a], &row[*b]),
            Condition::IsNull(at, wanted) => Some((row[*at] == Value::Null) == *wanted),
            Condition::In(at, list, negated) => is_in(&row[*at], list.iter(), *negated),
            Condition::Between(at, low, high, negated) => {
                Some((Op::Ge.holds(&row[*at], low)? && Op::Le.holds(&row[*at], high)?) != *negated)
            }
            Condition::Like(at, piece, place) => Some(match place {
                Place::Start => text(at)?.starts_with(piece.as_str()),
                Place::End => text(at)?.ends_with(piece.as_str()),
                Place::Anywhere => text(at)?.contains(piece.as_str()),
            }),
            Condition::Number(at, op, n) => {
                let number = text(at)
                    .and_then(|text| text.parse::<i64>().ok())
                    .map_or(Value::Null, Value::Int);
                op.holds(&number, &Value::Int(*n))
            }
            Condition::Site(at, op) => op.holds(&row[*at], &Value::Text(who.site.clone())),
            Condition::InProjects(at, negated) => {
                if who.projects.is_empty() {
                    return Some(*negated);
                }
                let list: Vec<Value> = who.projects.iter().cloned().map(Value::Text).collect();
                is_in(&row[*at], list.iter(), *negated)
            }
            Condition::Lacking(_) => None,
            Condition::Not(inner) => inner.holds(row, who).map(|held| !held),
            Condition::And(a, b) => match (a.holds(row, who), b.holds(row, who)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Condition::Or(a, b) => match (a.holds(row, who), b.holds(row, who)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Condition::Case(when, then, otherwise) => match when.holds(row, who) {
                Some(true) => then.holds(row, who),
                _ => otherwise.holds(row, who),
            },
            Condition::Constant(value) => Some(*value),
        }
    }

    /// The condition as an administrator writes it.
    pub(crate) fn sql(&self, table: &Table) -> String {
        let name = |at: &usize| table.columns[*at].name.clone();
        let literal = |at: &usize, value: &Value| literal(value, &table.columns[*at].kind);
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        match self {
            Condition::Compare(at, op, value) => format!("{} {} {}", name(at), op.sql(), literal(at, value)),
            Condition::Columns(a, op, b) => format!("{} {} {}", name(a), op.sql(), name(b)),
            Condition::IsNull(at, wanted) => format!("{} IS {}NULL", name(at), if *wanted { "" } else { "NOT " }),
            Condition::In(at, list, negated) => {
                let list: Vec<String> = list.iter().map(|value| literal(at, value)).collect();
                format!("{} {}IN ({})", name(at), not(negated), list.join(", "))
            }
            Condition::Between(at, low, high, negated) => {
                format!(
                    "{} {}BETWEEN {} AND {}",
                    name(at),
                    not(negated),
                    literal(at, low),
                    literal(at, high)
                )
            }
            Condition::Like(at, piece, place) => {
                let piece = piece.replace('\'', "''");
                let pattern = match place {
                    Place::Start => format!("{piece}%"),
                    Place::End => format!("%{piece}"),
                    Place::Anywhere => format!("%{piece}%"),
                };
                format!("{} LIKE '{pattern}'", name(at))
            }
            Condition::Number(at, op, n) => format!("try_cast({} AS BIGINT) {} {n}", name(at), op.sql()),
            Condition::Site(at, op) => format!("{} {} $user.{SITE}", name(at), op.sql()),
            Condition::InProjects(at, negated) => format!("{} {}IN ($user.{PROJECTS})", name(at), not(negated)),
            Condition::Lacking(at) => format!("{} = $user.{ABSENT}", name(at)),
            Condition::Not(inner) => format!("NOT ({})", inner.sql(table)),
            Condition::And(a, b) => format!("({}) AND ({})", a.sql(table), b.sql(table)),
            Condition::Or(a, b) => format!("({}) OR ({})", a.sql(table), b.sql(table)),
            Condition::Case(when, then, otherwise) => format!(
                "CASE WHEN {} THEN {} ELSE {} END",
                when.sql(table),
                then.sql(table),
                otherwise.sql(table)
            ),
            Condition::Constant(value) => value.to_string(),
        }
    }
}

/// A literal that a filter may hold: of the column's own type, or one that the planner turns into it without failing.
pub(crate) fn literal(value: &Value, kind: &Kind) -> String {
    match (value, kind) {
        (Value::Moment(micros), Kind::Moment { zoned }) => {
            let zone = if *zoned { "Some(\"UTC\")" } else { "None" };
            format!(
                "arrow_cast('{}', 'Timestamp(Microsecond, {zone})')",
                moment_text(*micros)
            )
        }
        _ => value.sql(kind),
    }
}

fn is_in<'a>(value: &Value, list: impl Iterator<Item = &'a Value>, negated: bool) -> Option<bool> {
    if *value == Value::Null {
        return None;
    }
    // The generator puts no NULL into a list.
    Some({ list }.any(|item| value.compare(item) == Some(Ordering::Equal)) != negated)
}
