//! The candidates: what is tried, in which order, and what each is expected to cost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bayes::NaiveBayes;
use crate::encode::Faces;
use crate::feature::{Feature, FeatureKind};
use crate::forest::Forest;
use crate::frame::Frame;
use crate::grow::{Growth, Loss};
use crate::kernel::Kernel;
use crate::linear::{self, ELASTIC_WIDTH_MAX, LEAST_SQUARES_WORK_MAX, LinearModel, Solver};
use crate::network::{self, Network, Size};
use crate::svm::Machine;
use crate::task::Task;

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
    Trees { growth: Growth, faces: Faces },
    Process,
    Bayes,
    Network(Size),
    Machine,
}

/// A fitted candidate's answer to one output.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Fitted {
    Mean(f64),
    Linear(LinearModel),
    Trees(Forest),
    Process(Kernel),
    Bayes(NaiveBayes),
    Network(Network),
    Machine(Machine),
}

/// Candidates for a number, the cheap and telling ones first, since the time budget cuts from the end.
const REGRESSION: &[Candidate] = &[
    Candidate {
        name: "mean",
        learner: Learner::Mean,
    },
    linear("ridge", false, Solver::Ridge(1.0)),
    trees("boosted trees, quick", QUICK, Faces::All),
    linear("least squares", false, Solver::LeastSquares),
    trees("boosted trees", MIDDLE, Faces::All),
    Candidate {
        name: "gaussian process",
        learner: Learner::Process,
    },
    trees("boosted trees, structures", MIDDLE, Faces::Structure),
    Candidate {
        name: "neural network",
        learner: Learner::Network(network::WHOLE),
    },
    trees("boosted trees, pairs", MIDDLE, Faces::Pairs),
    trees("boosted trees, large", LARGE, Faces::All),
    linear("ridge with interactions", true, Solver::Ridge(1.0)),
    trees("boosted trees, cautious", CAUTIOUS, Faces::All),
    trees("boosted trees, structures, large", LARGE, Faces::Structure),
    linear("ridge with interactions, strong", true, Solver::Ridge(5.0)),
    linear("partial least squares", false, Solver::PartialLeastSquares(6)),
    linear("partial least squares, few", false, Solver::PartialLeastSquares(2)),
    trees("random forest", FOREST, Faces::All),
    linear("elastic net, weak", false, Solver::ElasticNet(0.001)),
    linear("elastic net", false, Solver::ElasticNet(0.01)),
    linear("elastic net, strong", false, Solver::ElasticNet(0.1)),
    linear("ridge, strong", false, Solver::Ridge(10.0)),
    SUPPORT,
    SMALL_NETWORK,
];

/// Candidates for classes.
const CLASSES: &[Candidate] = &[
    Candidate {
        name: "class shares",
        learner: Learner::Mean,
    },
    linear("logistic regression", false, Solver::Logistic(1.0)),
    trees("boosted trees, quick", QUICK, Faces::All),
    Candidate {
        name: "naive Bayes",
        learner: Learner::Bayes,
    },
    trees("boosted trees, cautious", CAUTIOUS, Faces::All),
    trees("boosted trees", MIDDLE, Faces::All),
    trees("boosted trees, structures", MIDDLE, Faces::Structure),
    trees("boosted trees, pairs", MIDDLE, Faces::Pairs),
    linear("logistic regression with interactions", true, Solver::Logistic(2.0)),
    linear("logistic regression, strong", false, Solver::Logistic(10.0)),
    Candidate {
        name: "neural network",
        learner: Learner::Network(network::WHOLE),
    },
    trees("random forest", FOREST, Faces::All),
    trees("decision tree", ONE_TREE, Faces::All),
    SUPPORT,
    SMALL_NETWORK,
];

const SUPPORT: Candidate = Candidate {
    name: "support vectors",
    learner: Learner::Machine,
};

/// What is left of the time, where the whole network would have taken more.
const SMALL_NETWORK: Candidate = Candidate {
    name: "neural network, small",
    learner: Learner::Network(network::SMALL),
};

const QUICK: Growth = growth(100, 16, 0.15, 1.0, 1.0, 3, 1.0);
const MIDDLE: Growth = growth(400, 31, 0.08, 0.8, 0.6, 3, 1.0);
const LARGE: Growth = growth(1_000, 64, 0.06, 0.8, 0.5, 1, 1.0);
const CAUTIOUS: Growth = growth(300, 8, 0.06, 0.7, 0.5, 5, 5.0);
const FOREST: Growth = Growth {
    boosted: false,
    ..growth(300, 64, 1.0 / 300.0, 0.63, 0.4, 2, 0.1)
};

const ONE_TREE: Growth = Growth {
    boosted: false,
    ..growth(1, 32, 1.0, 1.0, 1.0, 5, 0.1)
};

const fn growth(
    trees: usize,
    leaves: usize,
    learning_rate: f64,
    row_share: f64,
    view_share: f64,
    leaf_rows_min: u32,
    ridge: f64,
) -> Growth {
    Growth {
        trees,
        leaves,
        learning_rate,
        row_share,
        view_share,
        leaf_rows_min,
        ridge,
        boosted: true,
    }
}

const fn linear(name: &'static str, rich: bool, solver: Solver) -> Candidate {
    Candidate {
        name,
        learner: Learner::Linear { rich, solver },
    }
}

const fn trees(name: &'static str, growth: Growth, faces: Faces) -> Candidate {
    Candidate {
        name,
        learner: Learner::Trees { growth, faces },
    }
}

impl Candidate {
    pub(crate) fn all(task: &Task) -> &'static [Self] {
        match task {
            Task::Regression => REGRESSION,
            Task::Classes(_) => CLASSES,
        }
    }

    /// Fits one output on all rows of `frame`. A panic of the libraries below becomes an error here.
    pub(crate) fn fit(
        &self,
        features: &[Feature],
        frame: &Frame,
        target: &[f64],
        loss: Loss,
        seed: u64,
    ) -> Result<Fitted, String> {
        let fit = || match self.learner {
            Learner::Mean => Ok(Fitted::Mean(target.iter().sum::<f64>() / target.len().max(1) as f64)),
            Learner::Linear { rich, solver } => {
                LinearModel::fit(features, frame, target, rich, solver, seed).map(Fitted::Linear)
            }
            Learner::Trees { growth, faces } => {
                // Trees that do not mend each other's errors give the shares of the class in their leaves (Breiman, 2001).
                let loss = if growth.boosted { loss } else { Loss::Squared };
                Forest::fit(features, frame, target, loss, faces, growth, seed).map(Fitted::Trees)
            }
            Learner::Process => Kernel::fit(frame, target, seed).map(Fitted::Process),
            Learner::Bayes => Ok(Fitted::Bayes(NaiveBayes::fit(features, frame, target))),
            Learner::Network(size) => Network::fit(features, frame, target, loss, size, seed).map(Fitted::Network),
            Learner::Machine => Machine::fit(features, frame, target, loss, seed).map(Fitted::Machine),
        };
        catch_unwind(AssertUnwindSafe(fit)).unwrap_or_else(|_| Err("the learner gave up on this data".to_owned()))
    }

    /// Multiplications of one fit of one output, roughly; `Err` with the reason if this candidate does not suit the data.
    pub(crate) fn work(&self, features: &[Feature], frame: &Frame, target: &[f64]) -> Result<f64, String> {
        let rows = frame.rows as f64;
        match self.learner {
            Learner::Mean => Ok(rows),
            Learner::Bayes => Ok(rows * features.len() as f64),
            Learner::Process => Kernel::work(frame.rows, features.len()),
            Learner::Network(size) => Network::work(features, frame, size),
            Learner::Machine => Machine::work(frame.rows, features.len()),
            Learner::Trees { growth, faces } => {
                let smiles = features.iter().any(|feature| feature.kind == FeatureKind::Smiles);
                if faces == Faces::Structure && !smiles {
                    return Err("there are no molecules".to_owned());
                }
                Forest::work(features, frame, target, faces, growth)
            }
            Learner::Linear { rich, solver } => {
                let (width, pairs) = linear::measure(features, frame, target, rich)?;
                let cube = (width as f64).powi(3);
                match solver {
                    Solver::Ridge(_) | Solver::Logistic(_) if rich && width < 3 => {
                        Err("there are no interactions to add".to_owned())
                    }
                    Solver::Ridge(_) => Ok(pairs + 2.0 * cube),
                    Solver::PartialLeastSquares(_) => Ok(pairs + 8.0 * (width as f64).powi(2)),
                    // Each of about eight steps solves a ridge.
                    Solver::Logistic(_) => Ok(8.0 * (pairs + 2.0 * cube)),
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
    pub(crate) fn predict(&self, features: &[Feature], frame: &Frame) -> Vec<f64> {
        match self {
            Self::Mean(mean) => vec![*mean; frame.rows],
            Self::Linear(model) => model.predict(frame),
            Self::Trees(model) => model.predict(features, frame),
            Self::Process(model) => model.predict(frame),
            Self::Bayes(model) => model.predict(frame),
            Self::Network(model) => model.predict(frame),
            Self::Machine(model) => model.predict(frame),
        }
    }

    /// False if a stored model refers to what it does not have.
    pub(crate) fn is_sound(&self, features: usize) -> bool {
        match self {
            Self::Mean(mean) => mean.is_finite(),
            Self::Linear(model) => model.is_sound(features),
            Self::Trees(model) => model.is_sound(features),
            Self::Process(model) => model.is_sound(features),
            Self::Bayes(model) => model.is_sound(features),
            Self::Network(model) => model.is_sound(features),
            Self::Machine(model) => model.is_sound(features),
        }
    }
}

/// Seconds per multiplication, learned as fits finish; the families differ.
#[derive(Debug)]
pub(crate) struct Pace {
    linear: f64,
    trees: f64,
    process: f64,
    network: f64,
    machine: f64,
}

impl Pace {
    /// Optimised code on a machine of 2025; the first fits correct it.
    pub(crate) const fn new() -> Self {
        Self {
            linear: 1e-9,
            trees: 1e-9,
            process: 5e-10,
            network: 2e-10,
            machine: 1e-9,
        }
    }

    pub(crate) fn expect(&self, learner: Learner, work: f64) -> Duration {
        let pace = match learner {
            Learner::Mean | Learner::Bayes => return Duration::ZERO,
            Learner::Linear { .. } => self.linear,
            Learner::Trees { .. } => self.trees,
            Learner::Process => self.process,
            Learner::Network(_) => self.network,
            Learner::Machine => self.machine,
        };
        Duration::try_from_secs_f64(pace * work).unwrap_or(Duration::MAX)
    }

    pub(crate) fn learn(&mut self, learner: Learner, work: f64, took: Duration) {
        /// A fit this small says more about overhead than about pace.
        const WORK_MIN: f64 = 1e6;
        let pace = took.as_secs_f64() / work.max(1.0);
        match learner {
            Learner::Linear { .. } if work > WORK_MIN => self.linear = pace,
            Learner::Trees { .. } if work > WORK_MIN => self.trees = pace,
            Learner::Process if work > WORK_MIN => self.process = pace,
            Learner::Network(_) if work > WORK_MIN => self.network = pace,
            Learner::Machine if work > WORK_MIN => self.machine = pace,
            _ => {}
        }
    }
}
