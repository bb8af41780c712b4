//! The candidates: what is tried, in which order, and what each is expected to cost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::boost::{self, BoostModel, Growth};
use crate::feature::Feature;
use crate::frame::Frame;
use crate::linear::{self, ELASTIC_WIDTH_MAX, LEAST_SQUARES_WORK_MAX, LinearModel, Solver};

/// One setting of one learner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    pub(crate) learner: Learner,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Learner {
    Mean,
    Linear { rich: bool, solver: Solver },
    Boost(Growth),
}

/// A fitted candidate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Fitted {
    Mean(f64),
    Linear(LinearModel),
    Boost(BoostModel),
}

/// All candidates, the cheap and telling ones first, since the time budget cuts from the end.
pub(crate) const CANDIDATES: &[Candidate] = &[
    Candidate {
        name: "mean",
        learner: Learner::Mean,
    },
    linear("ridge", false, Solver::Ridge(1.0)),
    boost("boosted trees, quick", 80, 4, 0.15, 1.0, 1.0, 2.0),
    linear("least squares", false, Solver::LeastSquares),
    boost("boosted trees", 300, 6, 0.08, 0.8, 0.7, 3.0),
    linear("ridge with interactions", true, Solver::Ridge(1.0)),
    boost("boosted trees, deep", 700, 8, 0.05, 0.8, 0.5, 3.0),
    linear("ridge with interactions, strong", true, Solver::Ridge(5.0)),
    linear("elastic net, weak", false, Solver::ElasticNet(0.001)),
    linear("elastic net", false, Solver::ElasticNet(0.01)),
    linear("elastic net, strong", false, Solver::ElasticNet(0.1)),
    linear("ridge, strong", false, Solver::Ridge(10.0)),
];

const fn linear(name: &'static str, rich: bool, solver: Solver) -> Candidate {
    Candidate {
        name,
        learner: Learner::Linear { rich, solver },
    }
}

const fn boost(
    name: &'static str,
    trees: usize,
    depth: usize,
    learning_rate: f32,
    row_share: f32,
    column_share: f64,
    leaf_rows_min: f32,
) -> Candidate {
    let growth = Growth {
        trees,
        depth,
        learning_rate,
        row_share,
        column_share,
        leaf_rows_min,
        one_hot: true,
    };
    Candidate {
        name,
        learner: Learner::Boost(growth),
    }
}

impl Candidate {
    /// Fits on all rows of `frame`. A panic of the libraries below becomes an error here.
    pub(crate) fn fit(&self, features: &[Feature], frame: &Frame, target: &[f64], seed: u64) -> Result<Fitted, String> {
        let fit = || match self.learner {
            Learner::Mean => Ok(Fitted::Mean(target.iter().sum::<f64>() / target.len().max(1) as f64)),
            Learner::Linear { rich, solver } => {
                LinearModel::fit(features, frame, target, rich, solver, seed).map(Fitted::Linear)
            }
            Learner::Boost(growth) => BoostModel::fit(features, frame, target, growth, seed).map(Fitted::Boost),
        };
        catch_unwind(AssertUnwindSafe(fit)).unwrap_or_else(|_| Err("the learner gave up on this data".to_owned()))
    }

    /// Multiplications of one fit, roughly; `Err` with the reason if this candidate does not suit the data.
    pub(crate) fn work(&self, features: &[Feature], frame: &Frame, target: &[f64]) -> Result<f64, String> {
        let rows = frame.rows as f64;
        match self.learner {
            Learner::Mean => Ok(rows),
            Learner::Boost(growth) => {
                let columns = boost::width(features, frame.rows, growth)? as f64 * growth.column_share;
                // A node costs its histogram's bins too, which counts when rows are few.
                let nodes = (rows / f64::from(growth.leaf_rows_min)).min(2_f64.powi(growth.depth as i32));
                Ok(growth.trees as f64 * (rows * columns * growth.depth as f64 + nodes * columns * 64.0))
            }
            Learner::Linear { rich, solver } => {
                let (width, pairs) = linear::measure(features, frame, target, rich)?;
                let cube = (width as f64).powi(3);
                match solver {
                    Solver::Ridge(_) if rich && width < 3 => Err("there are no interactions to add".to_owned()),
                    Solver::Ridge(_) => Ok(pairs + 2.0 * cube),
                    Solver::LeastSquares => {
                        let work = (rows + width as f64) * (width as f64).powi(2);
                        if work <= LEAST_SQUARES_WORK_MAX {
                            Ok(2.0 * work)
                        } else {
                            Err(format!("{width} columns are too many"))
                        }
                    }
                    Solver::ElasticNet(_) if width > ELASTIC_WIDTH_MAX => Err(format!("{width} columns are too many")),
                    Solver::ElasticNet(_) => Ok(200.0 * rows * width as f64 + 6.0 * cube),
                }
            }
        }
    }
}

impl Fitted {
    pub(crate) fn predict(&self, frame: &Frame) -> Vec<f64> {
        match self {
            Self::Mean(mean) => vec![*mean; frame.rows],
            Self::Linear(model) => model.predict(frame),
            Self::Boost(model) => model.predict(frame),
        }
    }

    /// False if a stored model refers to what it does not have.
    pub(crate) fn is_sound(&self, features: usize) -> bool {
        match self {
            Self::Mean(mean) => mean.is_finite(),
            Self::Linear(model) => model.is_sound(features),
            Self::Boost(model) => model.is_sound(features),
        }
    }
}

/// Seconds per multiplication, learned as fits finish; the families differ.
#[derive(Debug)]
pub(crate) struct Pace {
    linear: f64,
    boost: f64,
}

impl Pace {
    /// Optimised code on a machine of 2025; the first fits correct it.
    pub(crate) const fn new() -> Self {
        Self {
            linear: 1e-9,
            boost: 2e-9,
        }
    }

    pub(crate) fn expect(&self, learner: Learner, work: f64) -> Duration {
        let pace = match learner {
            Learner::Mean => return Duration::ZERO,
            Learner::Linear { .. } => self.linear,
            Learner::Boost(_) => self.boost,
        };
        Duration::try_from_secs_f64(pace * work).unwrap_or(Duration::MAX)
    }

    pub(crate) fn learn(&mut self, learner: Learner, work: f64, took: Duration) {
        /// A fit this small says more about overhead than about pace.
        const WORK_MIN: f64 = 1e5;
        let pace = took.as_secs_f64() / work.max(1.0);
        match learner {
            Learner::Linear { .. } if work > WORK_MIN => self.linear = pace,
            Learner::Boost(_) if work > WORK_MIN => self.boost = pace,
            _ => {}
        }
    }
}
