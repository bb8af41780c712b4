//! Random statements. A statement's answer never depends on the order of rows: a LIMIT stands behind a sort by every column,
//! or inside a count; windows and ordered aggregates sort by keys that no two rows share.

mod expr;
mod from;
mod query;

use super::rng::Rng;
use super::value::{Kind, MARK, Value};

/// What an expression is, as far as the grammar cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Bool,
    Int,
    Float,
    Decimal,
    Text,
    Date,
    Moment,
    Bytes,
    List,
    Struct,
}

impl Family {
    pub(crate) const PLAIN: [Family; 7] = [
        Family::Bool,
        Family::Int,
        Family::Float,
        Family::Decimal,
        Family::Text,
        Family::Date,
        Family::Moment,
    ];

    fn sortable(self) -> bool {
        !matches!(self, Family::List | Family::Struct)
    }
}

impl From<&Kind> for Family {
    fn from(kind: &Kind) -> Self {
        match kind {
            Kind::Bool => Family::Bool,
            Kind::Int32 | Kind::Int64 => Family::Int,
            Kind::Float32 | Kind::Float64 => Family::Float,
            Kind::Decimal(_, _) => Family::Decimal,
            Kind::Text(_) => Family::Text,
            Kind::Bytes => Family::Bytes,
            Kind::Date => Family::Date,
            Kind::Moment { .. } => Family::Moment,
            Kind::List(_) => Family::List,
            Kind::Struct(_) => Family::Struct,
        }
    }
}

/// A table as the person sees it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub name: String,
    pub columns: Vec<(String, Kind)>,
    /// Whether `id` is shown as it is, so that rows have a key.
    pub keyed: bool,
}

/// A statement, and what may be compared of its answer.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub sql: String,
    /// Columns whose values depend on the order of additions: floating point sums.
    pub loose: Vec<bool>,
    /// Rows come in a decided order.
    pub ordered: bool,
    /// Whether anything in it can fail on a value.
    pub fallible: bool,
}

/// Literals to ask for: values that rows hold, that only hidden rows hold, and that none holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Literals(Vec<(Family, String)>);

impl Literals {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let mut literals = Vec::new();
        for kind in [
            Kind::Bool,
            Kind::Int64,
            Kind::Float64,
            Kind::Decimal(18, 2),
            Kind::Text(super::value::TextAs::View),
            Kind::Date,
            Kind::Moment { zoned: false },
            Kind::Bytes,
        ] {
            for at in 0..14 {
                let value = kind.value(rng, at % 2 == 0);
                if value == Value::Null || value.holds_mark() {
                    continue;
                }
                let text = value.sql(&kind);
                let text = if let Value::Moment(_) = value {
                    format!("TIMESTAMP {text}")
                } else {
                    text
                };
                assert!(!text.contains(MARK));
                literals.push((Family::from(&kind), text));
            }
        }
        for (family, text) in [
            (Family::Int, "0"),
            (Family::Int, "9223372036854775807"),
            (Family::Float, "0.5e0"),
            (Family::Float, "CAST('NaN' AS DOUBLE)"),
            (Family::Decimal, "CAST('0.00' AS DECIMAL(18, 2))"),
            (Family::Text, "''"),
            (Family::Date, "DATE '2024-01-05'"),
            (Family::Moment, "TIMESTAMP '2024-01-05T00:00:00'"),
            (Family::Bytes, "X'61'"),
            (Family::Bool, "true"),
        ] {
            literals.push((family, text.to_owned()));
        }
        Literals(literals)
    }

    fn of(&self, family: Family, rng: &mut Rng) -> String {
        let fitting: Vec<&String> = self
            .0
            .iter()
            .filter(|(f, _)| *f == family)
            .map(|(_, text)| text)
            .collect();
        match family {
            Family::List => "make_array(1, 2)".to_owned(),
            Family::Struct => "NULL".to_owned(),
            _ if rng.chance(3) => "NULL".to_owned(),
            _ => (*rng.pick(&fitting)).clone(),
        }
    }
}

/// A column in scope.
#[derive(Debug, Clone)]
struct Col {
    sql: String,
    family: Family,
}

/// What a FROM clause offers.
#[derive(Debug, Clone, Default)]
struct Scope {
    columns: Vec<Col>,
    /// Expressions that together differ in each row.
    keys: Option<Vec<String>>,
}

/// One statement in the making.
pub(crate) struct Maker<'a> {
    rng: &'a mut Rng,
    tables: &'a [Seen],
    literals: &'a Literals,
    fallible: bool,
    names: usize,
    /// Scans that may still be added.
    scans: usize,
    /// Common table expressions so far: name and columns.
    common: Vec<(String, Vec<Col>)>,
}

/// Scans of one statement at most: planning time grows with them.
const SCANS_MAX: usize = 4;

impl<'a> Maker<'a> {
    /// The next statement.
    pub(crate) fn statement(rng: &'a mut Rng, tables: &'a [Seen], literals: &'a Literals) -> Statement {
        let fallible = rng.chance(40);
        let scans = 1 + rng.below(SCANS_MAX);
        let mut maker = Maker {
            rng,
            tables,
            literals,
            fallible,
            names: 0,
            scans,
            common: Vec::new(),
        };
        maker.top()
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("x{}", self.names)
    }

    fn literal(&mut self, family: Family) -> String {
        self.literals.of(family, self.rng)
    }
}
