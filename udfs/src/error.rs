//! What can go wrong in training and in prediction. Each text says what, where and what to do.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// Why no model came out.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("kind '{0}' is not known: use 'auto', 'regression' or 'classification'")]
    UnknownKind(String),
    #[error("goal '{0}' is not known: use 'max' or 'min'")]
    UnknownGoal(String),
    #[error(
        "'{0}' is predicted as a class, and goal = 'min' is for a number: leave goal away, and name the class that is wanted with 'class=…' when asking for recommendations"
    )]
    GoalOfClasses(String),
    #[error("target column '{target}' is not in the training query; its columns are: {columns}")]
    NoTarget { target: String, columns: String },
    #[error(
        "target column '{target}' is of type {found}, which is not a number: leave kind away or write kind = 'classification', or cast it, for example CAST({target} AS DOUBLE) AS {target}"
    )]
    TargetNotNumber { target: String, found: DataType },
    #[error(
        "target column '{target}' is of type {found}, which holds neither numbers nor classes: choose another column"
    )]
    TargetUnreadable { target: String, found: DataType },
    #[error(
        "'{target}' has {have} classes, at most {most} can be told apart: predict a number, or join rare classes into one"
    )]
    TooManyClasses { target: String, have: usize, most: usize },
    #[error(
        "'{target}' has {have} classes in {rows} rows, so most of them occur once and nothing tells what they have in common: predict a number, or choose a column whose values come again"
    )]
    UniqueClasses { target: String, have: usize, rows: usize },
    #[error("all {rows} rows have {target} = '{class}': with one class only there is nothing to learn")]
    OneClass { target: String, class: String, rows: usize },
    #[error("group_by column '{group_by}' is not in the training query; its columns are: {columns}")]
    NoGroupColumn { group_by: String, columns: String },
    #[error("group_by column '{0}' is the target itself: group by another column")]
    GroupIsTarget(String),
    #[error(
        "group_by column '{0}' has one value only, so no group can be held out: leave group_by away or choose another column"
    )]
    OneGroup(String),
    #[error("column '{0}' occurs twice in the training query: give each column its own name with AS")]
    DuplicateColumn(String),
    #[error("the batches of the training query do not have one schema: '{first}' and then '{other}'")]
    MixedSchemas { first: String, other: String },
    #[error(
        "the training query gave {have} rows with a value in '{target}' ({dropped} rows had none); at least {need} are needed"
    )]
    TooFewRows {
        target: String,
        have: usize,
        dropped: usize,
        need: usize,
    },
    #[error("all {rows} rows have {target} = {value}: there is nothing to learn")]
    ConstantTarget { target: String, value: f64, rows: usize },
    #[error("the values of '{target}' reach {largest:e}, too large to square: scale the target")]
    TargetTooLarge { target: String, largest: f64 },
    #[error("no column can serve as a feature: {reasons}")]
    NoFeatures { reasons: String },
    #[error("the training query has {have} usable columns; at most {most} can be features: select fewer")]
    TooManyFeatures { have: usize, most: usize },
    #[error("time_budget_s must be above zero")]
    NoTime,
    #[error("training was cancelled")]
    Cancelled,
    #[error("candidate '{candidate}' could not be fitted on all rows: {reason}")]
    Fit { candidate: String, reason: String },
    #[error("a thread of the training ended before its work was done: train again, and report it if it ends again")]
    Lost,
    #[error("column '{column}' could not be read for training")]
    Column {
        column: String,
        #[source]
        source: ArrowError,
    },
    #[error("the trained model could not be written")]
    Write(#[source] serde_json::Error),
}

/// Why there is no prediction.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    #[error("the model's {expected} features are ({features}), but {got} values were given: {problem}")]
    WrongCount {
        expected: usize,
        got: usize,
        features: String,
        problem: String,
    },
    #[error(
        "feature '{feature}' is of type {found}, which a model cannot read: pass a number, text, boolean, date or timestamp"
    )]
    Unreadable { feature: String, found: DataType },
    #[error("feature '{feature}' has {got} rows where {expected} were expected")]
    Length {
        feature: String,
        expected: usize,
        got: usize,
    },
    #[error("the candidates have no column for the model's features: {}. Their columns are: {columns}", missing.join(", "))]
    MissingFeatures { missing: Vec<String>, columns: String },
    #[error("the batch of candidates has the schema ({found}), expected ({expected})")]
    CandidateSchema { expected: String, found: String },
    #[error("{asked} recommendations were asked for: between 1 and {most} can be given")]
    BadCount { asked: usize, most: usize },
    #[error("'{class}' is no class of this model; its classes are: {classes}")]
    NoClass { class: String, classes: String },
    #[error("this model predicts a number: it has no classes and no probabilities of them")]
    NoClasses,
    #[error(
        "this model has no intervals: it predicts a class (ask predict_proba for the probability of one), or it was imported and brought no held-out rows"
    )]
    NoIntervals,
    #[error(
        "interval: {most:.3} is the highest coverage that the held-out rows of this model can speak for (those of one group count as one), {asked} was asked for: ask for less, or train on more rows or groups"
    )]
    Coverage { asked: f64, most: f64 },
    #[error(
        "this model predicts a class, so its candidates have no order until one class is wanted: write 'class=…' with one of {classes}"
    )]
    NoWish { classes: String },
    #[error("strategy '{0}' is not known: use 'exploit', 'bayes' or 'thompson'")]
    NoStrategy(String),
    #[error(
        "the strategies 'bayes' and 'thompson' need a model of a number, trained here, with at most 64 columns that are not prose, and they warn of nothing: use 'exploit'"
    )]
    NoSurrogate,
    #[error("a plate's wells need the column {missing}; the table's columns are: {columns}")]
    NoPlate { missing: String, columns: String },
    #[error("{0}")]
    BadPlate(String),
    #[error("known experiments for a plate's controls need {lacks}; the table's columns are: {columns}")]
    NoControls { lacks: String, columns: String },
    #[error("{0}")]
    Series(String),
    #[error("there are more than {most} wells: choose some plates")]
    TooManyWells { most: usize },
    #[error("feature '{feature}' is not in the model; its features are: {features}")]
    NoFeature { feature: String, features: String },
    #[error(
        "this model was imported and brought no training rows, so there is nothing to compare a prediction or a table with: explanations, importances, dependences and drift are of models trained here"
    )]
    NoTraining,
    #[error(
        "what the model makes of '{0}' would show values of rows that you do not see: ask explain_prediction about rows of your own"
    )]
    NotWhole(String),
    #[error(
        "{0} numbers could be the measured one: name it, for example plate_effects('lab.<schema>.<table>', '{1}'); they are {2}"
    )]
    ManyValues(usize, String, String),
    #[error("the coverage must be above 0 and below 1, for example 0.9; it was {0}")]
    BadCoverage(f64),
    #[error("this model file has format {found}; this program reads format {supported}: train the model again")]
    Format { found: u32, supported: u32 },
    #[error("the model file is damaged: {0}; train the model again")]
    Damaged(String),
    #[error("a column of the model's input could not be converted")]
    Arrow(#[from] ArrowError),
}

/// Why a file does not become a model.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("the file has {bytes} bytes, at most {most} are read")]
    TooLarge { bytes: usize, most: usize },
    #[error("the file is no ONNX model: export it again, for example with skl2onnx, onnxmltools or torch.onnx")]
    NotOnnx,
    #[error("the ONNX model uses operators that are not read here: {missing}; read are {known}")]
    Operators { missing: String, known: String },
    #[error("the ONNX model cannot be read: {node}: {reason}")]
    Node { node: String, reason: String },
    #[error("the ONNX model cannot be read: {0}")]
    Shape(String),
    #[error("the ONNX model has {need} columns of input, and {have} features were named")]
    Names { have: usize, need: usize },
    #[error(
        "the ONNX model does not say how many columns its input '{0}' has: name them with OPTIONS (features = 'a, b, …')"
    )]
    Open(String),
    #[error("a feature has no name: give each one with OPTIONS (features = 'a, b, …')")]
    Nameless,
    #[error("two features are called '{0}': name them with OPTIONS (features = 'a, b, …')")]
    Twice(String),
    #[error("the imported model could not be written")]
    Write(#[source] serde_json::Error),
}
