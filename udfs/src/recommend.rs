//! The next experiments: the best candidates of a stream, in memory for k rows only.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
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
use crate::sight::Sight;

/// Most rows one list can have: more than a plate of 1,536 wells takes. Each costs some hundred predictions for its reason.
pub const RECOMMENDATIONS_MAX: usize = 2_000;
/// The share of true values that `lower` and `upper` are made to enclose.
pub const COVERAGE: f64 = 0.9;
/// Of a batch of candidates at least so many with the best means, and so many others, are doubted…
const DOUBTED: usize = 256;
/// …and as many as these multiplications allow: about a second's half for each batch.
const DOUBT_WORK: usize = 400_000_000;
/// What a candidate is ordered by: whether it was doubted, and then a value. Those whose doubt is not known come last, in the order of their means.
type Worth = (bool, f64);
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

/// Collects the k candidates with the best (or worst) prediction: the highest, of a model whose goal is the least the lowest. Of equal ones the
/// earlier wins.
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
    kept: RecordBatch,
    /// Of the kept rows, best first: predictions, or expected improvements.
    scores: Vec<Worth>,
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
        let kept = RecordBatch::new_empty(Arc::clone(&candidates));
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
            kept,
            scores: Vec::new(),
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
        let room = match self.strategy {
            Strategy::Exploit => self.k,
            Strategy::Bayes | Strategy::Thompson => acquire::pool(self.k),
        };
        let fresh = if self.strategy.doubts() {
            self.doubted(&batch)?
        } else {
            let values = self.values(&self.frame(&batch)?);
            values.into_iter().map(|value| (true, value)).collect()
        };

        // Of the new rows, only those that could enter: the best k, and none that the last kept row beats.
        let bar = if self.scores.len() < room {
            None
        } else {
            self.scores.last().copied()
        };
        let value = |row: &usize| fresh.get(*row).copied().unwrap_or((false, f64::NAN));
        let mut entering: Vec<usize> = (0..fresh.len())
            .filter(|row| value(row).1 > f64::NEG_INFINITY)
            .filter(|row| bar.is_none_or(|bar| self.better(value(row), bar).is_lt()))
            .collect();
        if !self.strategy.doubts() && !entering.is_empty() {
            let is_run = self.are_run(&batch)?;
            entering.retain(|row| is_run.get(*row) == Some(&false));
        }
        entering.sort_by(|a, b| self.better(value(a), value(b)));
        entering.truncate(room);
        if entering.is_empty() {
            return Ok(());
        }
        let rows: UInt32Array = entering.iter().map(|row| *row as u32).collect();
        let pool = concat_batches(&self.candidates, [&self.kept, &take_record_batch(&batch, &rows)?])?;
        let values: Vec<Worth> = self.scores.iter().copied().chain(entering.iter().map(value)).collect();
        let mut order: Vec<(usize, Worth)> = values.into_iter().enumerate().collect();
        order.sort_by(|a, b| self.better(a.1, b.1));
        order.truncate(room);
        let rows: UInt32Array = order.iter().map(|(row, _)| *row as u32).collect();
        self.kept = compact(&take_record_batch(&pool, &rows)?)?;
        self.scores = order.into_iter().map(|(_, value)| value).collect();
        Ok(())
    }

    /// The list, rank 1 first, in the schema of [`recommend_schema`].
    pub fn finish(mut self) -> Result<RecordBatch, PredictError> {
        if self.strategy.doubts() {
            self.pick_batch()?;
        }
        let frame = self.frame(&self.kept)?;
        let mean = self.values(&frame);
        let effects = self.model.explain_by(&frame, &|frame| self.values(frame));
        let reasons = effects
            .iter()
            .enumerate()
            .map(|(row, e)| Some(reason(self.model.features(), &frame, row, e, &self.sight)));
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
        columns.extend(self.kept.columns().iter().cloned());
        Ok(RecordBatch::try_new(recommend_schema(&self.candidates), columns)?)
    }

    /// What candidates are kept by: the improvement that each would bring on its own. What was run brings none.
    fn doubted(&mut self, batch: &RecordBatch) -> Result<Vec<Worth>, PredictError> {
        let is_run = self.are_run(batch)?;
        let open: Vec<usize> = (0..batch.num_rows())
            .filter(|row| is_run.get(*row) == Some(&false))
            .collect();
        let mut scores = vec![(false, f64::NEG_INFINITY); batch.num_rows()];
        if open.is_empty() {
            return Ok(scores);
        }
        let frame = self.named(batch)?.take(&open);
        let stored = self.model.stored();
        if self.factors.is_empty() {
            let factors: Option<Vec<Triangle>> = stored.surrogate.iter().map(|kernel| kernel.factor(&frame)).collect();
            self.factors = factors.ok_or(PredictError::NoSurrogate)?;
        }
        let Some(first) = stored.surrogate.first() else {
            return Err(PredictError::NoSurrogate);
        };
        // Doubt costs much more than a mean, so only rows that a mean puts in front are doubted, and some others, which what they hold decides. The rest
        // waits behind them, in case there is room.
        let mean = first.predict(&frame);
        let held = content::of_columns(&self.inputs(batch), batch.num_rows())?;
        let held: Vec<u64> = open.iter().map(|row| held.get(*row).copied().unwrap_or(0)).collect();
        let (value, drawn) = (
            |row: &usize| mean.get(*row).copied().unwrap_or(0.0),
            |row: &usize| held.get(*row).copied(),
        );
        let mut order: Vec<usize> = (0..frame.rows).collect();
        order.sort_by(|a, b| value(b).total_cmp(&value(a)).then(drawn(a).cmp(&drawn(b))));
        let known: usize = self.factors.iter().map(|factor| factor.len() * factor.len()).sum();
        let doubted = DOUBTED.max(DOUBT_WORK / known.max(1) / 2);
        let mut others = order.split_off(order.len().min(doubted));
        others.sort_by_key(drawn);
        let waiting = others.split_off(others.len().min(doubted));
        order.extend(others);
        let improvement = acquire::improvement(&stored.surrogate, &self.factors, &frame.take(&order), stored.best());
        let doubted = order.iter().zip(improvement).map(|(row, value)| (*row, (true, value)));
        let waiting = waiting.iter().map(|row| (*row, (false, value(row))));
        for (row, worth) in doubted.chain(waiting) {
            if let Some(slot) = open.get(row).and_then(|row| scores.get_mut(*row)) {
                *slot = worth;
            }
        }
        Ok(scores)
    }

    fn are_run(&self, batch: &RecordBatch) -> Result<Vec<bool>, PredictError> {
        self.runs.hold(&self.model, &self.inputs(batch), batch.num_rows())
    }

    /// What the list is ordered by: the number predicted, or the probability of the wanted class.
    fn values(&self, frame: &Frame) -> Vec<f64> {
        match self.class {
            Some(class) => self.model.probability_frame(class, frame),
            None => self.model.predict_frame(frame),
        }
    }

    /// Of the kept rows the batch, in the order of picking.
    fn pick_batch(&mut self) -> Result<(), PredictError> {
        // Two conditions that were never tried are as new as each other, but they are two.
        let frame = self.named(&self.kept)?;
        let stored = self.model.stored();
        let picked = match self.strategy {
            Strategy::Thompson => acquire::sampled(&stored.surrogate, &self.factors, &frame, self.k),
            Strategy::Bayes | Strategy::Exploit => {
                acquire::batch(&stored.surrogate, &self.factors, &frame, stored.best(), self.k)
            }
        };
        let rows: UInt32Array = picked.iter().map(|row| *row as u32).collect();
        self.kept = take_record_batch(&self.kept, &rows)?;
        Ok(())
    }

    /// `Less` if `a` comes before `b`. Sorting is stable, so of equals the earlier stays in front.
    fn better(&self, a: Worth, b: Worth) -> std::cmp::Ordering {
        // More improvement is better, whatever is wanted of the target.
        let lowest = self.lowest && !self.strategy.doubts();
        let by_value = if lowest {
            a.1.total_cmp(&b.1)
        } else {
            b.1.total_cmp(&a.1)
        };
        b.0.cmp(&a.0).then(by_value)
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

/// Views and dictionaries keep the buffers of the batches they came from alive, and those hold rows that were let go.
fn compact(batch: &RecordBatch) -> Result<RecordBatch, PredictError> {
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()) as ArrayRef,
        _ => Arc::clone(column),
    });
    Ok(RecordBatch::try_new(batch.schema(), columns.collect())?)
}
