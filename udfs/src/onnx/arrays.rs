//! What operators on arrays of any shape do: put together, multiply, sum up, pick.
#![expect(
    clippy::indexing_slicing,
    reason = "places are computed from the shapes of checked values"
)]

use super::value::{Held, Value, count};

pub(super) fn wider(a: Held, b: Held) -> Held {
    match (a, b) {
        (Held::Double, _) | (_, Held::Double) => Held::Double,
        (Held::Whole, Held::Whole) => Held::Whole,
        _ => Held::Single,
    }
}

pub(super) fn cast(x: &Value, held: Held) -> Result<Value, String> {
    match (x.held, held) {
        (Held::Text, Held::Text) => Ok(x.clone()),
        (Held::Text, _) => {
            let numbers = x.texts.iter().map(|text| text.trim().parse().unwrap_or(f64::NAN));
            Value::new(x.shape.clone(), held, numbers.collect())
        }
        (_, Held::Text) => Value::of_texts(x.shape.clone(), x.numbers.iter().map(f64::to_string).collect()),
        _ => Value::new(x.shape.clone(), held, x.numbers.clone()),
    }
}

pub(super) fn concat(values: &[&Value], axis: i64) -> Result<Value, String> {
    let first = values.first().ok_or("it has no inputs")?;
    let axis = first.axis(axis)?;
    let sides = |value: &Value| (value.shape[..axis].to_vec(), value.shape[axis + 1..].to_vec());
    let fits = |value: &&&Value| value.shape.len() == first.shape.len() && sides(value) == sides(first);
    if let Some(other) = values.iter().find(|value| !fits(value)) {
        return Err(format!("the shapes {:?} and {:?} do not fit", first.shape, other.shape));
    }
    let outer: usize = first.shape[..axis].iter().product();
    let mut shape = first.shape.clone();
    shape[axis] = values.iter().map(|value| value.shape[axis]).sum();
    count(&shape)?;
    if values.iter().any(|value| value.held == Held::Text) {
        let mut texts = Vec::new();
        for place in 0..outer {
            for value in values {
                let length = value.texts.len() / outer.max(1);
                texts.extend_from_slice(&value.texts[place * length..][..length]);
            }
        }
        return Value::of_texts(shape, texts);
    }
    let held = values
        .iter()
        .map(|value| value.held)
        .reduce(wider)
        .unwrap_or(Held::Single);
    let mut numbers = Vec::new();
    for place in 0..outer {
        for value in values {
            let length = value.numbers.len() / outer.max(1);
            numbers.extend_from_slice(&value.numbers[place * length..][..length]);
        }
    }
    Value::new(shape, held, numbers)
}

pub(super) fn product(a: &Value, b: &Value, alpha: f64, turned: [bool; 2]) -> Result<Value, String> {
    let (a_sides, b_sides) = (a.sides()?, b.sides()?);
    let (rows, inner) = if turned[0] { (a_sides.1, a_sides.0) } else { a_sides };
    let (b_inner, columns) = if turned[1] { (b_sides.1, b_sides.0) } else { b_sides };
    if inner != b_inner {
        return Err(format!("the shapes {:?} and {:?} do not fit", a.shape, b.shape));
    }
    count(&[rows, columns])?;
    let (left, right) = (a.needs_numbers()?, b.needs_numbers()?);
    let mut numbers = vec![0.0; rows * columns];
    for row in 0..rows {
        let line = &mut numbers[row * columns..][..columns];
        for k in 0..inner {
            let times = alpha
                * if turned[0] {
                    left[k * rows + row]
                } else {
                    left[row * inner + k]
                };
            if times == 0.0 {
                continue;
            }
            if turned[1] {
                for (column, sum) in line.iter_mut().enumerate() {
                    *sum += times * right[column * inner + k];
                }
            } else {
                for (sum, value) in line.iter_mut().zip(&right[k * columns..][..columns]) {
                    *sum += times * value;
                }
            }
        }
    }
    Value::new(vec![rows, columns], wider(a.held, b.held), numbers)
}

/// The shape that `Reshape` asks for: 0 keeps a side, −1 is what is left.
pub(super) fn wanted(x: &Value, told: &[f64]) -> Result<Vec<usize>, String> {
    let all = count(&x.shape)?;
    let mut shape = Vec::with_capacity(told.len());
    let mut open = None;
    for (place, side) in told.iter().enumerate() {
        shape.push(match *side as i64 {
            0 => x.shape.get(place).copied().unwrap_or(0),
            -1 => {
                open = Some(place);
                1
            }
            side => usize::try_from(side).map_err(|_| format!("a side of {side}"))?,
        });
    }
    if let Some(place) = open {
        shape[place] = all / count(&shape)?.max(1);
    }
    Ok(shape)
}

/// Axes from an attribute or an input, as places.
pub(super) fn places(x: &Value, axes: &[i64], told: Option<&Value>) -> Result<Vec<usize>, String> {
    let axes: Vec<i64> = match told {
        Some(value) => value.needs_numbers()?.iter().map(|n| *n as i64).collect(),
        None => axes.to_vec(),
    };
    axes.iter().map(|axis| x.axis(*axis)).collect()
}

pub(super) fn indices(told: &[f64], size: usize) -> Result<Vec<usize>, String> {
    let place = |n: &f64| {
        let n = *n as i64;
        let n = if n < 0 { n + size as i64 } else { n };
        usize::try_from(n).map_err(|_| format!("there is no place {n}"))
    };
    told.iter().map(place).collect()
}

pub(super) fn sum(x: &Value, axes: &[usize], mean: bool, keep: bool) -> Result<Value, String> {
    let mut all = x.clone();
    let axes: Vec<usize> = if axes.is_empty() {
        (0..x.shape.len()).collect()
    } else {
        axes.to_vec()
    };
    for axis in &axes {
        let size = all.shape[*axis];
        let inner: usize = all.shape[axis + 1..].iter().product();
        let outer: usize = all.shape[..*axis].iter().product();
        let numbers = all.needs_numbers()?;
        let of = |o: usize, i: usize| {
            (0..size)
                .map(|place| numbers[(o * size + place) * inner + i])
                .sum::<f64>()
        };
        let share = if mean { 1.0 / size.max(1) as f64 } else { 1.0 };
        let sums = (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i)));
        let sums = sums.map(|(o, i)| of(o, i) * share).collect();
        let mut shape = all.shape.clone();
        shape[*axis] = 1;
        all = Value::new(shape, all.held, sums)?;
    }
    if keep {
        return Ok(all);
    }
    let kept = all.shape.iter().enumerate().filter(|(axis, _)| !axes.contains(axis));
    all.reshaped(kept.map(|(_, size)| *size).collect())
}

pub(super) fn greatest(x: &Value, axis: i64, keep: bool) -> Result<Value, String> {
    let axis = x.axis(axis)?;
    let (rows, columns) = x.sides()?;
    if axis != 1 {
        return Err("only the greatest of each row can be found".to_owned());
    }
    let numbers = x.needs_numbers()?;
    let best = |row: usize| {
        let line = &numbers[row * columns..][..columns];
        let mut best = 0;
        for (place, value) in line.iter().enumerate() {
            if *value > line[best] {
                best = place;
            }
        }
        best as f64
    };
    let shape = if keep { vec![rows, 1] } else { vec![rows] };
    Value::new(shape, Held::Whole, (0..rows).map(best).collect())
}
