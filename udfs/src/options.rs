//! What the caller says about a training: the target, the kind, the time, and the hand that can stop it.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// The kind of answer a model gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Kind {
    /// Decided by the target: text and booleans are classes, whole numbers that are all 0 or 1 too, every other number is predicted as such.
    #[default]
    Auto,
    /// A number is predicted.
    Regression,
    /// One of two classes or more.
    Classification,
}

impl FromStr for Kind {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "regression" => Ok(Self::Regression),
            "classification" | "binary" | "multiclass" => Ok(Self::Classification),
            _ => Err(TrainError::UnknownKind(text.to_owned())),
        }
    }
}

/// Which values of the target are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Large ones: yield, activity.
    #[default]
    Max,
    /// Small ones: impurity, cost, IC50.
    Min,
}

impl FromStr for Goal {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "max" => Ok(Self::Max),
            "min" => Ok(Self::Min),
            _ => Err(TrainError::UnknownGoal(text.to_owned())),
        }
    }
}

impl Goal {
    /// 1 where more is better, −1 where less is.
    pub(crate) const fn sign(self) -> f64 {
        match self {
            Self::Max => 1.0,
            Self::Min => -1.0,
        }
    }

    pub(crate) fn is_max(&self) -> bool {
        *self == Self::Max
    }
}

/// What to train and how long it may take. It travels: a training may run on another machine of the same program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainOptions {
    /// The column to predict; rows where it is NULL, empty, NaN or infinite are dropped and counted.
    pub target: String,
    pub kind: Kind,
    /// What recommendations look for, of a number.
    pub goal: Goal,
    /// No candidate is begun that is not expected to finish within it. The mean is always tried, and so is a linear model that needs at
    /// most five seconds: a tiny budget can be overrun by those. What novelty costs is measured for a quarter of it more, or for five seconds.
    pub time_budget: Duration,
    /// The same seed, rows and finished candidates give the same model, byte for byte: see [`crate::Model::replay`].
    pub seed: u64,
    /// Rows of one value of this column (a plate, a day, a scaffold) are never split between a fold's two sides. The column itself
    /// is no feature. `scaffold(column)` groups by the ring systems of a column of molecules, which stays a feature; `none` asks for random folds. Without
    /// it a column named `plate_id`, `campaign`, `batch`, `run` or like them is the group if it has at least five values; the card says so.
    pub group_by: Option<String>,
    /// Candidates are tried side by side on so many threads, the caller's among them. They change what finishes within the budget, and nothing
    /// else.
    pub threads: usize,
    /// What an earlier training had the time for: just that is done again, and no clock is looked at.
    pub replay: Option<Replay>,
}

/// What a training had the time for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// Candidates that the time left out.
    pub(crate) late: Vec<String>,
    /// Columns of levels that it left for what was unseen; none if it left all.
    pub(crate) unseen_in_time: Option<usize>,
    /// Columns whose novelty it left to measure; none if it left all.
    pub(crate) novel_in_time: Option<usize>,
}

impl TrainOptions {
    /// Automatic kind, 60 seconds, seed 0, no groups, one thread.
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            kind: Kind::Auto,
            goal: Goal::Max,
            time_budget: Duration::from_secs(60),
            seed: 0,
            group_by: None,
            threads: 1,
            replay: None,
        }
    }
}

/// A training's stop button: clones share it. Training looks at it between fits, and in the long ones, too.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
