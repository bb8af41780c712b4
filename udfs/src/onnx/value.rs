//! What flows through an ONNX graph: numbers or texts with a shape.
#![expect(
    clippy::indexing_slicing,
    reason = "places are computed from shapes, and a value is only made with as many elements as its shape says"
)]

use super::proto::TensorProto;

/// Elements of one value: 128 MB.
pub(super) const ELEMENTS_MAX: usize = 1 << 24;

/// How numbers are held in the file, which decides how results are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Single,
    Double,
    Whole,
    Text,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    pub(super) shape: Vec<usize>,
    pub(super) held: Held,
    /// Empty for texts.
    pub(super) numbers: Vec<f64>,
    pub(super) texts: Vec<String>,
}

impl Held {
    /// From ONNX's number of an element type.
    pub(super) fn of(element: i32) -> Result<Self, String> {
        Ok(match element {
            1 => Self::Single,
            11 => Self::Double,
            6 | 7 | 9 => Self::Whole,
            8 => Self::Text,
            other => {
                return Err(format!(
                    "elements of type {other} (only float, double, int32, int64, bool and string are read)"
                ));
            }
        })
    }
}

impl Value {
    pub(super) fn new(shape: Vec<usize>, held: Held, numbers: Vec<f64>) -> Result<Self, String> {
        let value = Self {
            shape,
            held,
            numbers,
            texts: Vec::new(),
        };
        value.checked()
    }

    pub(super) fn of_texts(shape: Vec<usize>, texts: Vec<String>) -> Result<Self, String> {
        let value = Self {
            shape,
            held: Held::Text,
            numbers: Vec::new(),
            texts,
        };
        value.checked()
    }

    /// A matrix of numbers, a row a row.
    pub(super) fn matrix(rows: usize, held: Held, numbers: Vec<f64>) -> Result<Self, String> {
        let columns = numbers.len() / rows.max(1);
        Self::new(vec![rows, columns], held, numbers)
    }

    fn checked(mut self) -> Result<Self, String> {
        let count = count(&self.shape)?;
        let have = if self.held == Held::Text {
            self.texts.len()
        } else {
            self.numbers.len()
        };
        if count != have {
            return Err(format!("{have} elements in the shape {:?}", self.shape));
        }
        match self.held {
            Held::Single => self.numbers.iter_mut().for_each(|n| *n = f64::from(*n as f32)),
            Held::Whole => self.numbers.iter_mut().for_each(|n| *n = n.trunc()),
            Held::Double | Held::Text => {}
        }
        Ok(self)
    }

    pub(super) fn read(tensor: &TensorProto) -> Result<Self, String> {
        if tensor.data_location != 0 {
            return Err(format!(
                "the numbers of '{}' lie in another file: save the model as one file",
                tensor.name
            ));
        }
        let shape = tensor
            .dims
            .iter()
            .map(|dim| usize::try_from(*dim).map_err(|_| format!("'{}' has a dimension of {dim}", tensor.name)))
            .collect::<Result<Vec<usize>, String>>()?;
        let held = Held::of(tensor.data_type)?;
        if held == Held::Text {
            let texts = tensor.string_data.iter();
            let texts = texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect();
            return Self::of_texts(shape, texts);
        }
        let raw = tensor.raw_data.as_slice();
        let numbers: Vec<f64> = match tensor.data_type {
            1 if raw.is_empty() => tensor.float_data.iter().map(|n| f64::from(*n)).collect(),
            1 => raw
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| f64::from(f32::from_le_bytes(*b)))
                .collect(),
            11 if raw.is_empty() => tensor.double_data.clone(),
            11 => raw.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            7 if raw.is_empty() => tensor.int64_data.iter().map(|n| *n as f64).collect(),
            7 => raw
                .as_chunks::<8>()
                .0
                .iter()
                .map(|b| i64::from_le_bytes(*b) as f64)
                .collect(),
            9 if !raw.is_empty() => raw.iter().map(|b| f64::from(*b)).collect(),
            _ if raw.is_empty() => tensor.int32_data.iter().map(|n| f64::from(*n)).collect(),
            _ => raw
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| f64::from(i32::from_le_bytes(*b)))
                .collect(),
        };
        Self::new(shape, held, numbers)
    }

    pub(super) fn needs_numbers(&self) -> Result<&[f64], String> {
        match self.held {
            Held::Text => Err("it has texts where numbers are needed".to_owned()),
            Held::Single | Held::Double | Held::Whole => Ok(&self.numbers),
        }
    }

    /// Rows and columns; a list is one column unless `flat` makes it one row.
    pub(super) fn sides(&self) -> Result<(usize, usize), String> {
        match self.shape.as_slice() {
            [] => Ok((1, 1)),
            [rows] => Ok((*rows, 1)),
            [rows, columns] => Ok((*rows, *columns)),
            more => Err(format!("a matrix is needed and the shape is {more:?}")),
        }
    }

    pub(super) fn reshaped(&self, shape: Vec<usize>) -> Result<Self, String> {
        let value = Self { shape, ..self.clone() };
        value.checked()
    }

    /// With its axes in this order, or in the opposite one if none is told.
    pub(super) fn transposed(&self, order: &[i64]) -> Result<Self, String> {
        let rank = self.shape.len();
        let order: Vec<usize> = match order {
            [] => (0..rank).rev().collect(),
            told => told.iter().map(|axis| self.axis(*axis)).collect::<Result<_, _>>()?,
        };
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..rank) {
            return Err(format!(
                "{order:?} is no order of the axes of the shape {:?}",
                self.shape
            ));
        }
        let own = steps(&self.shape, &self.shape);
        let shape: Vec<usize> = order.iter().map(|axis| self.shape[*axis]).collect();
        let strides: Vec<usize> = order.iter().map(|axis| own[*axis]).collect();
        let mut place = vec![0_usize; rank];
        let mut from = Vec::with_capacity(count(&shape)?);
        for _ in 0..count(&shape)? {
            from.push(place.iter().zip(&strides).map(|(p, s)| p * s).sum::<usize>());
            for (axis, size) in shape.iter().enumerate().rev() {
                place[axis] += 1;
                if place[axis] < *size {
                    break;
                }
                place[axis] = 0;
            }
        }
        if self.held == Held::Text {
            return Self::of_texts(shape, from.into_iter().map(|at| self.texts[at].clone()).collect());
        }
        let numbers = from.into_iter().map(|at| self.numbers[at]).collect();
        Self::new(shape, self.held, numbers)
    }

    /// Each number by itself.
    pub(super) fn map(&self, of: impl Fn(f64) -> f64) -> Result<Self, String> {
        let numbers = self.needs_numbers()?.iter().map(|n| of(*n)).collect();
        Self::new(self.shape.clone(), self.held, numbers)
    }

    /// Two values number by number, the smaller one repeated along dimensions of one.
    pub(super) fn with(&self, other: &Self, held: Held, of: impl Fn(f64, f64) -> f64) -> Result<Self, String> {
        let (a, b) = (self.needs_numbers()?, other.needs_numbers()?);
        let shape = common(&self.shape, &other.shape)?;
        if self.shape == shape && other.shape == shape {
            let numbers = a.iter().zip(b).map(|(a, b)| of(*a, *b)).collect();
            return Self::new(shape, held, numbers);
        }
        let (a_steps, b_steps) = (steps(&self.shape, &shape), steps(&other.shape, &shape));
        let mut numbers = Vec::with_capacity(count(&shape)?);
        let mut place = vec![0_usize; shape.len()];
        for _ in 0..count(&shape)? {
            let at = |steps: &[usize]| place.iter().zip(steps).map(|(p, s)| p * s).sum::<usize>();
            numbers.push(of(a[at(&a_steps)], b[at(&b_steps)]));
            for (axis, size) in shape.iter().enumerate().rev() {
                place[axis] += 1;
                if place[axis] < *size {
                    break;
                }
                place[axis] = 0;
            }
        }
        Self::new(shape, held, numbers)
    }

    /// An axis, which may be counted from the end.
    pub(super) fn axis(&self, axis: i64) -> Result<usize, String> {
        let rank = self.shape.len() as i64;
        let place = if axis < 0 { axis + rank } else { axis };
        usize::try_from(place)
            .ok()
            .filter(|place| *place < self.shape.len())
            .ok_or_else(|| format!("there is no axis {axis} in the shape {:?}", self.shape))
    }

    /// The elements at `places` of an axis.
    pub(super) fn picked(&self, axis: usize, places: &[usize]) -> Result<Self, String> {
        let size = self.shape[axis];
        if let Some(far) = places.iter().find(|place| **place >= size) {
            return Err(format!("there is no place {far} among {size}"));
        }
        let inner: usize = self.shape[axis + 1..].iter().product();
        let outer: usize = self.shape[..axis].iter().product();
        let mut shape = self.shape.clone();
        shape[axis] = places.len();
        count(&shape)?;
        let from = (0..outer).flat_map(|o| places.iter().map(move |p| (o * size + p) * inner));
        if self.held == Held::Text {
            let texts = from.flat_map(|at| self.texts[at..at + inner].iter().cloned()).collect();
            return Self::of_texts(shape, texts);
        }
        let numbers = from
            .flat_map(|at| self.numbers[at..at + inner].iter().copied())
            .collect();
        Self::new(shape, self.held, numbers)
    }
}

/// How many elements a shape has.
pub(super) fn count(shape: &[usize]) -> Result<usize, String> {
    shape
        .iter()
        .try_fold(1_usize, |all, size| all.checked_mul(*size))
        .filter(|all| *all <= ELEMENTS_MAX)
        .ok_or_else(|| format!("the shape {shape:?} has more than {ELEMENTS_MAX} elements"))
}

fn common(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(place) => shape[place],
        None => 1,
    };
    (0..rank)
        .map(|axis| match (size(a, axis), size(b, axis)) {
            (a, b) if a == b || b == 1 => Ok(a),
            (1, b) => Ok(b),
            _ => Err(format!("the shapes {a:?} and {b:?} do not fit")),
        })
        .collect()
}

/// How far apart neighbours along each axis of `whole` lie in a value of `shape`; 0 where it is repeated.
fn steps(shape: &[usize], whole: &[usize]) -> Vec<usize> {
    let mut steps = vec![0; whole.len()];
    let mut step = 1;
    for (place, size) in shape.iter().enumerate().rev() {
        let axis = place + whole.len() - shape.len();
        if *size > 1 {
            steps[axis] = step;
        }
        step *= size;
    }
    steps
}
