//! The next experiments: the best candidates of a stream, whatever its order, in memory for a bounded number of rows.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::acquire;
use crate::cholesky::Triangle;
use crate::content;
use crate::error::PredictError;
use crate::explain::reason;
use crate::frame::{Frame, is_readable};
use crate::interval::{Intervals, Novelty};
use crate::model::Model;
use crate::options::Goal;
use crate::runs::Runs;
use crate::shelf::{Key, Shelf};
use crate::sight::Sight;

/// Most rows one list can have: more than a plate of 1,536 wells takes. Each costs some hundred predictions for its reason.
pub const RECOMMENDATIONS_MAX: usize = 2_000;
/// The share of true values that `lower` and `upper` are made to enclose.
pub const COVERAGE: f64 = 0.9;
/// Doubt costs much more than a mean. So of all candidates at least so many with the best means, and so many others, which what they hold decides,
/// are kept to be doubted…
const DOUBTED_MIN: usize = 2_000;
/// …more where these multiplications allow it, which take some seconds…
const DOUBT_WORK: usize = 4_000_000_000;
/// …and no more than these, since all are kept in memory…
const DOUBTED_MAX: usize = 20_000;
/// …of which so many are doubted at once: each needs a number for every row that each process knows.
const DOUBTED_AT_ONCE: usize = 512;
/// The reason of a prediction by an imported model.
const NO_REASON: &str = "an imported model: without its training rows no reason is known";
/// The columns put before the candidate's own.
const OWN_COLUMNS: [&str; 6] = ["rank", "prediction", "lower", "upper", "novel", "reason"];

/// The schema of the list: rank Int64, prediction, lower, upper Float64 (target's unit; the ends NULL where the model has no interval), novel Utf8
/// (which values training did not see, NULL for none, `unknown` where nobody knows or may say), reason Utf8, then the candidates' columns. A candidate column of one of these six names becomes `candidate_<name>`.
pub fn recommend_schema(candidates: &Schema) -> SchemaRef {
    let own = OWN_COLUMNS.iter().map(|name| {
        let data_type = match *name {
            "rank" => DataType::Int64,
            "reason" | "novel" => DataType::Utf8,
            _ => DataType::Float64,
        };
        Arc::new(Field::new(*name, data_type, ["lower", "upper", "novel"].contains(name)))
    });
    let theirs = candidates.fields().iter().map(|field| {
        if OWN_COLUMNS.contains(&field.name().as_str()) {
            Arc::new(field.as_ref().clone().with_name(format!("candidate_{}", field.name())))
        } else {
            Arc::clone(field)
        }
    });
    Arc::new(Schema::new(own.chain(theirs).collect::<Vec<_>>()))
}

/// How the next experiments are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// The best predictions.
    #[default]
    Exploit,
    /// A batch by expected improvement: good, or unsure enough to be good, and unlike each other.
    Bayes,
    /// A batch by Thompson sampling: each pick is the best in one world that the rows leave possible.
    Thompson,
}

impl Strategy {
    /// Whether it asks the processes that know how much they do not know.
    fn doubts(self) -> bool {
        match self {
            Self::Exploit => false,
            Self::Bayes | Self::Thompson => true,
        }
    }
}

/// The second of two classes is the wanted one without a word if they are told in one of these pairs.
const YES: [(&str, &str); 6] = [
    ("false", "true"),
    ("0", "1"),
    ("0.0", "1.0"),
    ("no", "yes"),
    ("f", "t"),
    ("n", "y"),
];

impl FromStr for Strategy {
    type Err = PredictError;

    fn from_str(text: &str) -> Result<Self, PredictError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "exploit" => Ok(Self::Exploit),
            "bayes" | "bayesian" => Ok(Self::Bayes),
            "thompson" => Ok(Self::Thompson),
            _ => Err(PredictError::NoStrategy(text.to_owned())),
        }
    }
}

/// Collects the k candidates with the best (or worst) prediction: the highest, of a model whose goal is the least the lowest. What equal ones
/// hold in all their columns decides between them, never when they came; of rows whose features are equal, which are one experiment, there is one.
#[derive(Debug)]
pub struct Recommender {
    model: Arc<Model>,
    candidates: SchemaRef,
    /// The candidates' column of each feature.
    columns: Vec<usize>,
    k: usize,
    /// Asks for what to avoid.
    warns: bool,
    /// Whether the lowest predictions come first.
    lowest: bool,
    strategy: Strategy,
    /// The class whose probability counts; none for a number.
    class: Option<usize>,
    /// What was run is left out.
    runs: Runs,
    sight: Arc<Sight>,
    /// The best so far, by their predictions or means.
    front: Shelf,
    /// Of those to be doubted some others, whatever their means.
    drawn: Shelf,
    /// What is known of the surrogate's training rows, made when first needed.
    factors: Vec<Triangle>,
}

impl Recommender {
    /// `warns` makes a warning list instead: the k worst candidates, worst first.
    ///
    /// # Errors
    /// [`PredictError::MissingFeatures`] names features without a column of that name; unreadable types, a k outside
    /// 1..=[`RECOMMENDATIONS_MAX`] and a model of classes other than false and true are refused.
    pub fn new(model: Arc<Model>, candidates: SchemaRef, k: usize, warns: bool) -> Result<Self, PredictError> {
        Self::wanting(model, candidates, k, warns, None)
    }

    /// The same by the probability of the class that is wanted.
    ///
    /// # Errors
    /// As [`Recommender::new`]; [`PredictError::NoClass`] and [`PredictError::NoClasses`] for a class that there is not.
    pub fn wanting(
        model: Arc<Model>,
        candidates: SchemaRef,
        k: usize,
        warns: bool,
        class: Option<&str>,
    ) -> Result<Self, PredictError> {
        if k == 0 || k > RECOMMENDATIONS_MAX {
            return Err(PredictError::BadCount {
                asked: k,
                most: RECOMMENDATIONS_MAX,
            });
        }
        let class = wanted(&model, class)?;
        let (mut columns, mut missing) = (Vec::new(), Vec::new());
        for feature in model.features() {
            match candidates.index_of(&feature.name) {
                Ok(index) if is_readable(candidates.field(index).data_type()) => columns.push(index),
                Ok(index) => {
                    let found = candidates.field(index).data_type().clone();
                    return Err(PredictError::Unreadable {
                        feature: feature.name.clone(),
                        found,
                    });
                }
                Err(_) => missing.push(feature.name.clone()),
            }
        }
        if !missing.is_empty() {
            let columns = candidates
                .fields()
                .iter()
                .map(|f| f.name().as_str())
                .collect::<Vec<_>>()
                .join(", ");
            return Err(PredictError::MissingFeatures { missing, columns });
        }
        let shelf = || Shelf::new(Arc::clone(&candidates));
        let (front, drawn) = (shelf(), shelf());
        let wants_less = class.is_none() && model.stored().goal == Goal::Min;
        Ok(Self {
            model,
            candidates,
            columns,
            k,
            warns,
            lowest: warns != wants_less,
            strategy: Strategy::Exploit,
            class,
            runs: Runs::None,
            sight: Arc::default(),
            front,
            drawn,
            factors: Vec::new(),
        })
    }

    /// Leaves out candidates all of whose features are those of a training row.
    #[must_use]
    pub fn only_new(self) -> Self {
        self.without(Runs::All)
    }

    /// Leaves out candidates all of whose features are those of one of these rows.
    #[must_use]
    pub fn without(self, runs: Runs) -> Self {
        Self { runs, ..self }
    }

    /// Leaves out of reasons and novelties what somebody may not be told.
    #[must_use]
    pub fn to(self, sight: Arc<Sight>) -> Self {
        Self { sight, ..self }
    }

    /// # Errors
    /// [`PredictError::NoSurrogate`] if the model cannot tell how unsure it is: it predicts a class, or has too many columns; or if it is to warn.
    pub fn by(self, strategy: Strategy) -> Result<Self, PredictError> {
        if strategy.doubts() && (self.warns || self.model.stored().surrogate.is_empty()) {
            return Err(PredictError::NoSurrogate);
        }
        Ok(Self { strategy, ..self })
    }

    /// Takes a batch of candidates in and forgets what is not among the best k.
    ///
    /// # Errors
    /// [`PredictError::CandidateSchema`] if the batch is not of the schema given at the start.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), PredictError> {
        let types = |schema: &Schema| {
            schema
                .fields()
                .iter()
                .map(|f| f.data_type().clone())
                .collect::<Vec<_>>()
        };
        if types(&batch.schema()) != types(&self.candidates) {
            let (expected, found) = (self.candidates.to_string(), batch.schema().to_string());
            return Err(PredictError::CandidateSchema { expected, found });
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.candidates), batch.columns().to_vec())?;
        self.shelve(&batch)
    }

    /// The list, rank 1 first, in the schema of [`recommend_schema`].
    pub fn finish(self) -> Result<RecordBatch, PredictError> {
        let kept = match self.strategy {
            Strategy::Exploit => self.front.rows().clone(),
            Strategy::Bayes | Strategy::Thompson if self.front.keys().is_empty() => self.front.rows().clone(),
            Strategy::Bayes | Strategy::Thompson => self.pick_batch()?,
        };
        let frame = self.frame(&kept)?;
        let mean = self.values(&frame);
        let effects = self.model.explain_by(&frame, &|frame| self.values(frame));
        let reasons = effects
            .iter()
            .enumerate()
            .map(|(row, e)| match self.model.knows_its_training() {
                Ok(()) => Some(reason(self.model.features(), &frame, row, e, &self.sight)),
                Err(_) => Some(NO_REASON.to_owned()),
            });
        // A probability has no interval of its own, nor has what too few rows were held out for; what is new in a row is known all the same.
        let without = |mean: Vec<f64>| Intervals {
            half: vec![f64::INFINITY; mean.len()],
            novel: self
                .model
                .novelty(&frame, &self.sight)
                .into_iter()
                .map(|row| row.1)
                .collect(),
            mean,
        };
        let intervals = self.model.interval_frame(&frame, COVERAGE, &self.sight);
        let intervals = intervals.unwrap_or_else(|_| without(mean));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new((1..=intervals.mean.len() as i64).map(Some).collect::<Int64Array>()),
            Arc::new(intervals.mean.iter().copied().map(Some).collect::<Float64Array>()),
            intervals.end(-1.0),
            intervals.end(1.0),
            Arc::new(intervals.novel.iter().map(Novelty::told).collect::<StringArray>()),
            Arc::new(reasons.collect::<StringArray>()),
        ];
        columns.extend(kept.columns().iter().cloned());
        Ok(RecordBatch::try_new(recommend_schema(&self.candidates), columns)?)
    }

    /// Shelves what may be among the best: by the predicted value, or for doubt by the mean, and some others by what they hold.
    fn shelve(&mut self, batch: &RecordBatch) -> Result<(), PredictError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let doubts = self.strategy.doubts();
        let (worth, room) = if doubts {
            let frame = self.named(batch)?;
            let room = self.doubted(&frame)?;
            let kernel = self.model.stored().surrogate.first().ok_or(PredictError::NoSurrogate)?;
            // The last bits of a mean are no reason to prefer one.
            let worth = |mean: &f64| 0.0 - f64::from_bits(mean.to_bits() & !0xF_FFFF);
            (kernel.predict(&frame).iter().map(worth).collect(), room)
        } else {
            let values = self.values(&self.frame(batch)?);
            let sign = if self.lowest { 1.0 } else { -1.0 };
            let worth: Vec<f64> = values.iter().map(|value| sign * value + 0.0).collect();
            (worth, self.k)
        };
        let drawn = if doubts {
            self.model.experiments(&self.inputs(batch), batch.num_rows())?
        } else {
            Vec::new()
        };
        let may_enter = |row: &usize| {
            let (worth, drawn) = (worth.get(*row), drawn.get(*row));
            worth.is_some_and(|worth| self.front.may_take(*worth, room))
                || drawn.is_some_and(|number| self.drawn.may_take(*number as f64, room))
        };
        let entering: Vec<usize> = (0..batch.num_rows()).filter(may_enter).collect();
        if entering.is_empty() {
            return Ok(());
        }
        let places: UInt32Array = entering.iter().map(|row| *row as u32).collect();
        let few = take_record_batch(batch, &places)?;
        let inputs = self.inputs(&few);
        let is_run = self.runs.hold(&self.model, &inputs, few.num_rows())?;
        let held = content::of_columns(few.columns(), few.num_rows())?;
        let numbers = self.model.experiments(&inputs, few.num_rows())?;
        let key = |place: usize, worth: f64| {
            let is_open = is_run.get(place) == Some(&false) && worth.is_finite();
            is_open.then_some(Key {
                worth,
                row: *held.get(place)?,
                experiment: *numbers.get(place)?,
            })
        };
        let by_worth = |(place, row): (usize, &usize)| key(place, *worth.get(*row)?);
        let front: Vec<Option<Key>> = entering.iter().enumerate().map(by_worth).collect();
        self.front.take(&few, &front, room)?;
        if doubts {
            let by_content = |place: usize| key(place, *numbers.get(place)? as f64);
            let drawn: Vec<Option<Key>> = (0..few.num_rows()).map(by_content).collect();
            self.drawn.take(&few, &drawn, room)?;
        }
        Ok(())
    }

    /// How many of the best means, and how many others, are doubted; makes ready what doubt needs.
    fn doubted(&mut self, frame: &Frame) -> Result<usize, PredictError> {
        if self.factors.is_empty() {
            let surrogate = &self.model.stored().surrogate;
            let factors: Option<Vec<Triangle>> = surrogate.iter().map(|kernel| kernel.factor(frame)).collect();
            self.factors = factors.ok_or(PredictError::NoSurrogate)?;
        }
        let known: usize = self.factors.iter().map(|factor| factor.len() * factor.len()).sum();
        let each = (DOUBT_WORK / known.max(1) / 2).clamp(DOUBTED_MIN, DOUBTED_MAX);
        Ok(each.max(acquire::pool(self.k)))
    }

    /// Of the shelved candidates the batch, in the order of picking. Each is first worth the improvement that it would bring on its own.
    fn pick_batch(&self) -> Result<RecordBatch, PredictError> {
        let stored = self.model.stored();
        let room = acquire::pool(self.k);
        let (rows, keys) = self.front.with(&self.drawn)?;
        let mut best = Shelf::new(Arc::clone(&self.candidates));
        for from in (0..keys.len()).step_by(DOUBTED_AT_ONCE) {
            let rows = rows.slice(from, DOUBTED_AT_ONCE.min(keys.len() - from));
            let frame = self.named(&rows)?;
            let gain = acquire::improvement(&stored.surrogate, &self.factors, &frame, stored.best());
            let gained = keys.iter().skip(from).zip(gain);
            let gained: Vec<Option<Key>> = gained
                .map(|(key, gain)| {
                    Some(Key {
                        worth: 0.0 - gain,
                        ..*key
                    })
                })
                .collect();
            best.take(&rows, &gained, room)?;
        }
        // Two conditions that were never tried are as new as each other, but they are two.
        let frame = self.named(best.rows())?;
        let picked = match self.strategy {
            Strategy::Thompson => acquire::sampled(&stored.surrogate, &self.factors, &frame, self.k),
            Strategy::Bayes | Strategy::Exploit => {
                acquire::batch(&stored.surrogate, &self.factors, &frame, stored.best(), self.k)
            }
        };
        let rows: UInt32Array = picked.iter().map(|row| *row as u32).collect();
        Ok(take_record_batch(best.rows(), &rows)?)
    }

    /// What the list is ordered by: the number predicted, or the probability of the wanted class.
    fn values(&self, frame: &Frame) -> Vec<f64> {
        match self.class {
            Some(class) => self.model.probability_frame(class, frame),
            None => self.model.predict_frame(frame),
        }
    }

    fn frame(&self, batch: &RecordBatch) -> Result<Frame, PredictError> {
        Frame::read(self.model.features(), &self.inputs(batch), batch.num_rows())
    }

    /// As the processes that choose experiments read it.
    fn named(&self, batch: &RecordBatch) -> Result<Frame, PredictError> {
        Frame::read_named(self.model.features(), &self.inputs(batch), batch.num_rows())
    }

    /// The columns of the model's features.
    fn inputs(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        let columns = self.columns.iter().filter_map(|index| batch.columns().get(*index));
        columns.cloned().collect()
    }
}

/// The class whose probability orders candidates; none for a number.
fn wanted(model: &Model, class: Option<&str>) -> Result<Option<usize>, PredictError> {
    if let Some(class) = class {
        return model.class(class).map(Some);
    }
    let is_yes = |no: &str, yes: &str| {
        let same = |(a, b): &(&str, &str)| a.eq_ignore_ascii_case(no) && b.eq_ignore_ascii_case(yes);
        YES.iter().any(same)
    };
    match model.classes() {
        [] => Ok(None),
        [no, yes] if is_yes(no, yes) => Ok(Some(1)),
        classes => Err(PredictError::NoWish {
            classes: classes.join(", "),
        }),
    }
}
