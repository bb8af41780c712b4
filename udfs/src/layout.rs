//! A batch on a plate: which experiment goes into which well, with controls between them, at random from a seed.
//!
//! Controls are the same few experiments in several wells: their spread is the plate's noise, their drift along rows, columns and edge is what
//! the plate adds ([`crate::PlateEffects`]), and their level says whether this plate can be compared with the ones before. So they are
//! spread: the wells, row after row, are cut into as many stretches as there are controls, and one well of each stretch, drawn at random, holds
//! one. The experiments themselves fall into the wells left by a random permutation, so that no row, column or edge favours the
//! best ones.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::error::PredictError;
use crate::recommend::recommend_schema;
use crate::sample;

/// Rows and columns of the largest plate: 1,536 wells.
pub const PLATE_ROWS_MAX: usize = 32;
pub const PLATE_COLUMNS_MAX: usize = 48;
/// Without being told, a plate has a control for so many wells.
const WELLS_PER_CONTROL: usize = 12;
/// On fewer wells every one is for a new experiment.
const WELLS_WITH_CONTROLS_MIN: usize = 4;
/// The columns before those of the list.
const PLATE_COLUMNS: [&str; 6] = ["well", "row", "column", "role", "control", "measured"];
/// What the list of recommendations puts before the candidate's columns.
const LIST_COLUMNS: usize = 6;

/// A plate to be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    rows: usize,
    columns: usize,
    controls: Option<usize>,
    seed: u64,
    edge: bool,
}

/// An experiment that is repeated on the plate.
#[derive(Debug, Clone)]
pub struct Control {
    /// What it is: `best known`, `median known`, …
    pub name: &'static str,
    /// What was measured of it before.
    pub measured: Option<f64>,
    /// One row in the schema of [`recommend_schema`].
    pub row: RecordBatch,
}

/// What lies in a well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// A line of the list.
    Sample(usize),
    /// One of the controls.
    Control(usize),
}

impl Layout {
    /// A plate of so many rows and columns, all of its wells in use, seed 0, a control for every twelve wells.
    ///
    /// # Errors
    /// [`PredictError::BadPlate`] for a plate that there is not.
    pub fn new(rows: usize, columns: usize) -> Result<Self, PredictError> {
        if !(1..=PLATE_ROWS_MAX).contains(&rows) || !(1..=PLATE_COLUMNS_MAX).contains(&columns) {
            return Err(PredictError::BadPlate(format!(
                "a plate has 1 to {PLATE_ROWS_MAX} rows and 1 to {PLATE_COLUMNS_MAX} columns, for example 8 and 12, 16 and 24, 32 and 48; it was {rows} and {columns}"
            )));
        }
        Ok(Self {
            rows,
            columns,
            controls: None,
            seed: 0,
            edge: true,
        })
    }

    /// The same with another seed: the same seed and list give the same plate.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The same with the outer wells left empty, as where they dry.
    ///
    /// # Errors
    /// [`PredictError::BadPlate`] where nothing is left.
    pub fn without_edge(self) -> Result<Self, PredictError> {
        let inner = Self { edge: false, ..self };
        if inner.wells().is_empty() {
            return Err(PredictError::BadPlate(format!(
                "a plate of {} rows and {} columns has no wells inside its edge",
                self.rows, self.columns
            )));
        }
        inner.fits()
    }

    /// The same with so many controls, none included.
    ///
    /// # Errors
    /// [`PredictError::BadPlate`] where no well is left for a new experiment.
    pub fn with_controls(self, controls: usize) -> Result<Self, PredictError> {
        Self {
            controls: Some(controls),
            ..self
        }
        .fits()
    }

    fn fits(self) -> Result<Self, PredictError> {
        let (wells, controls) = (self.wells().len(), self.controls());
        if controls >= wells {
            return Err(PredictError::BadPlate(format!(
                "{controls} controls leave no well of {wells} for a new experiment"
            )));
        }
        Ok(self)
    }

    /// Wells that hold a control.
    pub fn controls(&self) -> usize {
        let wells = self.wells().len();
        self.controls.unwrap_or_else(|| {
            if wells < WELLS_WITH_CONTROLS_MIN {
                return 0;
            }
            // Two kinds, as often one as the other.
            wells.div_ceil(WELLS_PER_CONTROL).next_multiple_of(2)
        })
    }

    /// New experiments that it takes.
    pub fn samples(&self) -> usize {
        self.wells().len().saturating_sub(self.controls())
    }

    /// The schema of [`Layout::fill`] for candidates of this schema: well Utf8 (`A01`), row Utf8 (`A`), column Int64, role Utf8 (`sample` or
    /// `control`), control Utf8 (which one; NULL for a sample), measured Float64 (what the control gave before, if that is known), then the
    /// columns of [`recommend_schema`], where rank is NULL for a control. A column of one of the first six names becomes
    /// `candidate_<name>`.
    pub fn schema(candidates: &Schema) -> SchemaRef {
        let own = PLATE_COLUMNS.iter().map(|name| {
            let data_type = match *name {
                "column" => DataType::Int64,
                "measured" => DataType::Float64,
                _ => DataType::Utf8,
            };
            Arc::new(Field::new(*name, data_type, matches!(*name, "control" | "measured")))
        });
        let list = recommend_schema(candidates);
        let theirs = list.fields().iter().enumerate().map(|(at, field)| {
            if at == 0 {
                Arc::new(field.as_ref().clone().with_nullable(true))
            } else if at >= LIST_COLUMNS && PLATE_COLUMNS.contains(&field.name().as_str()) {
                Arc::new(field.as_ref().clone().with_name(format!("candidate_{}", field.name())))
            } else if at >= LIST_COLUMNS {
                // A control may lack what candidates have.
                Arc::new(field.as_ref().clone().with_nullable(true))
            } else {
                Arc::clone(field)
            }
        });
        Arc::new(Schema::new(own.chain(theirs).collect::<Vec<_>>()))
    }

    /// The plate, well after well, row by row. `samples` is a list of recommendations, best first, of which it takes [`Layout::samples`]; a
    /// shorter list leaves wells empty, which are not in the result. Without `controls` the best and the middle one of the list are
    /// repeated. `candidates` is the schema that the list was made for.
    ///
    /// # Errors
    /// Rows of another schema.
    pub fn fill(
        &self,
        candidates: &Schema,
        samples: &RecordBatch,
        controls: Vec<Control>,
    ) -> Result<RecordBatch, PredictError> {
        let samples = samples.slice(0, samples.num_rows().min(self.samples()));
        let own = if controls.is_empty() {
            of_list(&samples)
        } else {
            controls
        };
        let contents = self.contents(samples.num_rows(), own.len());
        let rows: Vec<&RecordBatch> = std::iter::once(&samples).chain(own.iter().map(|c| &c.row)).collect();
        let list = concat_batches(
            &nullable(&samples.schema()),
            rows.into_iter().map(with_nulls).collect::<Result<Vec<_>, _>>()?.iter(),
        )?;
        let line = |content: &Content| match content {
            Content::Sample(at) => *at,
            Content::Control(kind) => samples.num_rows() + kind,
        };
        let control = |content: &Content| match content {
            Content::Sample(_) => None,
            Content::Control(kind) => own.get(*kind),
        };
        let wells = contents.iter();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(
                wells
                    .clone()
                    .map(|((r, c), _)| Some(well_name(*r, *c)))
                    .collect::<StringArray>(),
            ),
            Arc::new(
                wells
                    .clone()
                    .map(|((r, _), _)| Some(row_name(*r)))
                    .collect::<StringArray>(),
            ),
            Arc::new(
                wells
                    .clone()
                    .map(|((_, c), _)| Some(*c as i64 + 1))
                    .collect::<Int64Array>(),
            ),
            Arc::new(
                wells
                    .clone()
                    .map(|(_, content)| Some(control(content).map_or("sample", |_| "control")))
                    .collect::<StringArray>(),
            ),
            Arc::new(
                wells
                    .clone()
                    .map(|(_, c)| control(c).map(|c| c.name))
                    .collect::<StringArray>(),
            ),
            Arc::new(
                wells
                    .clone()
                    .map(|(_, c)| control(c)?.measured)
                    .collect::<Float64Array>(),
            ),
        ];
        let lines: UInt32Array = wells.clone().map(|(_, content)| Some(line(content) as u32)).collect();
        for (at, column) in list.columns().iter().enumerate() {
            let taken = take(column, &lines, None)?;
            columns.push(if at == 0 {
                let ranks = taken.as_primitive::<Int64Type>();
                let ranks = wells.clone().zip(ranks.iter());
                Arc::new(
                    ranks
                        .map(|((_, content), rank)| control(content).map_or(rank, |_| None))
                        .collect::<Int64Array>(),
                )
            } else {
                taken
            });
        }
        Ok(RecordBatch::try_new(Self::schema(candidates), columns)?)
    }

    /// The wells in use, row by row.
    fn wells(&self) -> Vec<(usize, usize)> {
        let inside = |at: usize, count: usize| self.edge || (at > 0 && at + 1 < count);
        (0..self.rows)
            .filter(|row| inside(*row, self.rows))
            .flat_map(|row| (0..self.columns).map(move |column| (row, column)))
            .filter(|(_, column)| inside(*column, self.columns))
            .collect()
    }

    /// Which well holds what, row by row. With fewer samples than wells the controls still spread over the whole plate.
    fn contents(&self, samples: usize, kinds: usize) -> Vec<((usize, usize), Content)> {
        let wells = self.wells();
        let mut rng = StdRng::seed_from_u64(self.seed);
        let controls = if kinds == 0 { 0 } else { self.controls() };
        let mut held: Vec<Option<Content>> = vec![None; wells.len()];
        let mut order: Vec<usize> = Vec::new();
        for stretch in 0..controls {
            if order.is_empty() {
                order = (0..kinds).collect();
                order.shuffle(&mut rng);
            }
            let (from, to) = (stretch * wells.len() / controls, (stretch + 1) * wells.len() / controls);
            let at = rng.random_range(from..to.max(from + 1));
            if let (Some(well), Some(kind)) = (held.get_mut(at), order.pop()) {
                *well = Some(Content::Control(kind));
            }
        }
        let free: Vec<usize> = (0..wells.len())
            .filter(|at| held.get(*at).is_some_and(Option::is_none))
            .collect();
        for (sample, place) in sample::permutation(free.len(), self.seed ^ 0x9E37_79B9)
            .into_iter()
            .enumerate()
        {
            if sample >= samples {
                break;
            }
            if let Some(well) = free.get(place).and_then(|at| held.get_mut(*at)) {
                *well = Some(Content::Sample(sample));
            }
        }
        wells
            .into_iter()
            .zip(held)
            .filter_map(|(well, content)| Some((well, content?)))
            .collect()
    }
}

/// Without known experiments the plate's own noise is all that controls can tell.
fn of_list(list: &RecordBatch) -> Vec<Control> {
    let rows = list.num_rows();
    if rows == 0 {
        return Vec::new();
    }
    let control = |name, at| Control {
        name,
        measured: None,
        row: list.slice(at, 1),
    };
    vec![
        control("best of the batch", 0),
        control("median of the batch", rows / 2),
    ]
}

fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn with_nulls(rows: &RecordBatch) -> Result<RecordBatch, PredictError> {
    Ok(RecordBatch::try_new(nullable(&rows.schema()), rows.columns().to_vec())?)
}

/// `A01`, `AF48`.
fn well_name(row: usize, column: usize) -> String {
    format!("{}{:02}", row_name(row), column + 1)
}

/// `A` to `Z`, then `AA`.
fn row_name(row: usize) -> String {
    let letter = |at: usize| char::from(b'A' + (at % 26) as u8);
    match row / 26 {
        0 => letter(row).to_string(),
        more => format!("{}{}", letter(more - 1), letter(row)),
    }
}
