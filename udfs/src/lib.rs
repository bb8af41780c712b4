//! Training, prediction and recommendation on Arrow.
//!
//! # The model
//!
//! A [`Model`] answers one question: which value of the target goes with these features? It is made by [`train`] from the batches of a
//! query and then never changes. It carries everything it needs: the features with their known categories, the fitted learners, the
//! leaderboard of what was tried, the importances, the held-out residuals its intervals come from, and a card for people. Its bytes are JSON
//! with a format version, the same for the same input, so their digest names the model.
//!
//! # The road
//!
//! ```text
//! batches -> table    features, target, groups; what was left out and why        table, column, task
//!         -> frame    numbers with NaN for NULL, levels, molecules               frame, chem, smiles
//!         -> folds    five, seeded, groups kept whole                            sample, trial
//!         -> trials   linear family (linfa), trees, Gaussian process, network    candidate, design, grow, kernel, network
//!         -> choice   the best on held-out rows, or a weighted mean of few; and  ensemble, score
//!                     another one for levels that training did not see           novelty
//!         -> model    fitted again on all rows, with its reports and intervals   model, report, calibration, domain
//! ```
//!
//! Prediction goes frame → members → weighted sum, and has two doors: [`predict_udf`], a SQL function of the features, and [`Recommender`],
//! which keeps the best k of a stream of candidates, or a batch worth running, and says what pulls each one up or down ([`Model::explain`]).
//!
//! Every score is of rows that the scored model did not see, over the folds together. A column is encoded within the fold, so the
//! target of a held-out row never reaches a training row through a category's mean. With `group_by` whole groups are held out: the
//! honest number for a new plate or scaffold. [`Model::interval`] is conformal on the same held-out residuals, and wider where a row holds
//! what training did not see.
//!
//! What was answered is remembered as long as it fits, since a lab's rows are combinations of few entries ([`Model::predict`] says so).
//! Trees and processes read columns as few different entries, so that a molecule is described once and a million enumerated reactions cost
//! a few memory reads a tree each.
//!
//! NULL in a number is its own fact: the linear family gets the mean and an indicator column, the trees learn a side for it. NULL in a
//! category is a level of its own. A category that training did not see is answered as the average one.
//!
//! # What is deliberately absent
//!
//! * **I/O.** Nothing is read or written at call time or at training time: bytes and batches come in, bytes and batches go out.
//! * **The clock in a prediction.** Training looks at the time to keep its budget, and at nothing else; a model holds no date. Which
//!   candidates finish may depend on the machine, what they say does not; a model knows which did, and a [`Replay`] repeats just those.
//! * **Users, SQL text, stores.** Who may train on what, and who may call what, is decided before anything arrives here.
//! * **Threads of our own.** Training uses as many as it is told, prediction the caller's, so that the server decides what training may take
//!   from queries.
//! * **Panics.** Learners are called behind `catch_unwind`, stored models are checked before their first use.

mod acquire;
mod again;
mod anomaly;
mod axis;
mod bayes;
mod block;
mod calibration;
mod candidate;
mod chem;
mod chemistry;
mod cholesky;
mod coded;
mod column;
mod content;
mod dense;
mod design;
mod domain;
mod drift;
mod encode;
mod ensemble;
mod error;
mod explain;
mod feature;
mod forecast;
mod forest;
mod frame;
mod group;
mod grow;
mod interval;
mod kernel;
mod known;
mod layout;
mod likeness;
mod linear;
mod lookup;
mod mean_code;
mod memo;
mod model;
mod network;
mod novelty;
mod onnx;
mod options;
mod order;
mod parallel;
mod perceptron;
mod plate;
mod recommend;
mod report;
mod runs;
mod sample;
mod score;
mod shap;
mod shelf;
mod sight;
mod smiles;
mod stop;
mod stored;
mod svm;
mod table;
mod task;
mod train;
mod trial;
mod tune;
mod udf;
mod walk;

pub use anomaly::{AnomalyScore, robust_z};
pub use chemistry::smiles_functions;
pub use drift::Drift;
pub use error::{ImportError, PredictError, TrainError};
pub use explain::Effect;
pub use feature::{Feature, FeatureKind};
pub use forecast::{Forecast, ForecastOptions, HORIZON_MAX, Period, Together};
pub use interval::interval_fields;
pub use known::KnownExperiments;
pub use layout::{Control, Layout, PLATE_COLUMNS_MAX, PLATE_ROWS_MAX};
pub use model::{Model, Timing};
pub use onnx::ONNX_BYTES_MAX;
pub use options::{Cancel, Goal, Kind, Replay, TrainOptions};
pub use plate::PlateEffects;
pub use recommend::{COVERAGE, RECOMMENDATIONS_MAX, Recommender, Strategy, recommend_schema};
pub use runs::{Runs, SeenRuns};
pub use sight::Sight;
pub use smiles::{Descriptors, describe};
pub use table::training_bytes;
pub use train::train;
pub use udf::{predict_udf, predict_udf_to, predicted_by};
