//! Data cubes of Allotrope's simple models: spectra and chromatograms as a list for each dimension and each measure.

use crate::formats::json::Json;

/// Points of one cube; more is no spectrum.
const POINTS_MAX: usize = 1 << 22;

type Members = [(String, Json)];

/// Whether the object is a cube whose points can be told.
pub(super) fn is_cube(members: &Members) -> bool {
    Cube::of(members).is_some()
}

/// A point is a value for each dimension and measure, by what it is, each with its unit beside it.
pub(super) fn points(members: &Members) -> Option<Vec<Vec<(String, Json)>>> {
    let cube = Cube::of(members)?;
    let mut points = Vec::with_capacity(cube.points);
    for at in 0..cube.points {
        let mut point = Vec::with_capacity(2 * cube.columns.len());
        for (column, values) in &cube.columns {
            let (Some(value), Column { name, unit }) = (values.at(at), column) else {
                continue;
            };
            point.push((name.clone(), value.clone()));
            point.extend(
                unit.iter()
                    .map(|unit| (format!("{name} unit"), Json::Text(unit.clone()))),
            );
        }
        points.push(point);
    }
    Some(points)
}

struct Column {
    name: String,
    unit: Option<String>,
}

/// Where the values of a column lie.
enum Values<'j> {
    /// Every point has its own.
    Each(&'j [Json]),
    /// A dimension of two: each value for so many points in a row, over and over.
    Spread { values: &'j [Json], every: usize },
    /// A list for each value of the first dimension.
    Rows { rows: &'j [Json], width: usize },
}

impl<'j> Values<'j> {
    fn at(&self, at: usize) -> Option<&'j Json> {
        match self {
            Self::Each(values) => values.get(at),
            Self::Spread { values, every } => values.get((at / every) % values.len().max(1)),
            Self::Rows { rows, width } => match rows.get(at / width)? {
                Json::List(row) => row.get(at % width),
                _ => None,
            },
        }
    }
}

struct Cube<'j> {
    columns: Vec<(Column, Values<'j>)>,
    points: usize,
}

impl<'j> Cube<'j> {
    fn of(members: &'j Members) -> Option<Self> {
        let structure = object(member(members, "cube-structure")?)?;
        let data = object(member(members, "data")?)?;
        let dimensions = lists(member(data, "dimensions")?)?;
        let measures = lists(member(data, "measures")?)?;
        let told = |key: &str, count: usize| {
            let columns = columns(member(structure, key)?)?;
            (columns.len() == count).then_some(columns)
        };
        let dimension_columns = told("dimensions", dimensions.len())?;
        let measure_columns = told("measures", measures.len())?;
        let (dimension_values, points): (Vec<Values<'j>>, usize) = match dimensions.as_slice() {
            [only] => (vec![Values::Each(only)], only.len()),
            [first, second] => {
                let is_each = first.len() == second.len() && measures.iter().all(|values| values.len() == first.len());
                let is_nested = measures
                    .iter()
                    .any(|values| values.iter().any(|value| matches!(value, Json::List(_))));
                if is_each && !is_nested {
                    (vec![Values::Each(first), Values::Each(second)], first.len())
                } else {
                    let every = second.len().max(1);
                    let spread = vec![
                        Values::Spread { values: first, every },
                        Values::Spread {
                            values: second,
                            every: 1,
                        },
                    ];
                    (spread, first.len().checked_mul(second.len())?)
                }
            }
            _ => return None,
        };
        let measure = |values: &'j [Json]| {
            let width = points.checked_div(values.len()).unwrap_or(0);
            let of_width = |value: &Json| matches!(value, Json::List(row) if row.len() == width);
            if values.len() == points && values.iter().all(Json::is_scalar) {
                Some(Values::Each(values))
            } else if width > 0 && values.len() * width == points && values.iter().all(of_width) {
                Some(Values::Rows { rows: values, width })
            } else {
                None
            }
        };
        let measure_values: Vec<Values<'j>> = measures.iter().map(|values| measure(values)).collect::<Option<_>>()?;
        let columns = dimension_columns.into_iter().chain(measure_columns);
        let columns: Vec<(Column, Values<'j>)> = columns
            .zip(dimension_values.into_iter().chain(measure_values))
            .collect();
        (points > 0 && points <= POINTS_MAX).then_some(Self { columns, points })
    }
}

fn member<'j>(members: &'j Members, wanted: &str) -> Option<&'j Json> {
    members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
}

fn object(value: &Json) -> Option<&Members> {
    match value {
        Json::Object(members) => Some(members),
        _ => None,
    }
}

fn lists(value: &Json) -> Option<Vec<&[Json]>> {
    let Json::List(items) = value else { return None };
    items.iter().map(list).collect()
}

fn list(value: &Json) -> Option<&[Json]> {
    match value {
        Json::List(items) => Some(items),
        _ => None,
    }
}

fn columns(value: &Json) -> Option<Vec<Column>> {
    let Json::List(items) = value else { return None };
    let text = |members: &Members, key: &str| match member(members, key) {
        Some(Json::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let column = |(at, item): (usize, &Json)| {
        let members = object(item)?;
        Some(Column {
            name: text(members, "concept").unwrap_or_else(|| format!("dimension {}", at + 1)),
            unit: text(members, "unit"),
        })
    };
    items.iter().enumerate().map(column).collect()
}
