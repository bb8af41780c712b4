//! What a statement may answer when it cannot be run.
//!
//! Each variant is one thing a client can act on; the Flight door maps them to gRPC codes one to one. The map from
//! the engine's errors has no catch-all arm: a new kind of error in a new DataFusion does not compile until somebody
//! has decided what a user may hear of it.

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use labhouse_catalog::TableName;
use uuid::Uuid;

use super::statement::CATALOG;

/// A statement's refusal or failure; the text is for the person who sent it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("{0}")]
    Syntax(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Exhausted(String),
    #[error("{0}")]
    Deadline(String),
    #[error("{0}")]
    Cancelled(String),
    #[error("{0}")]
    Unsupported(String),
    #[error("{0}")]
    Conflict(String),
    /// What is to be made is there.
    #[error("{0}")]
    Exists(String),
    /// What is asked for does not go with the transaction that it is asked for in.
    #[error("{0}")]
    InTransaction(String),
    #[error("{0}")]
    Unavailable(String),
    #[error("the server could not finish this statement; its log has the cause under {id}")]
    Internal { id: Uuid },
}

impl QueryError {
    /// Logs a cause that is nobody's business and gives the number to find it by.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        let id = Uuid::new_v4();
        tracing::error!(%id, %cause, "internal error");
        Self::Internal { id }
    }

    /// A table that is not there, or not for this person: the two sound the same.
    pub(crate) fn no_table(name: &TableName) -> Self {
        Self::NotFound(missing(&format!("table '{CATALOG}.{name}' not found")))
    }

    /// Its kind in one word, without anything the statement or the data says.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "syntax",
            Self::Invalid(_) => "invalid",
            Self::NotFound(_) => "not_found",
            Self::Denied(_) => "denied",
            Self::Exhausted(_) => "exhausted",
            Self::Deadline(_) => "deadline",
            Self::Cancelled(_) => "cancelled",
            Self::Unsupported(_) => "unsupported",
            Self::Conflict(_) => "conflict",
            Self::Exists(_) => "exists",
            Self::InTransaction(_) => "in_transaction",
            Self::Unavailable(_) => "unavailable",
            Self::Internal { .. } => "internal",
        }
    }

    /// The same kind of error with its words changed.
    pub(crate) fn reworded(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Syntax(text) => Self::Syntax(change(text)),
            Self::Invalid(text) => Self::Invalid(change(text)),
            Self::NotFound(text) => Self::NotFound(change(text)),
            Self::Denied(text) => Self::Denied(change(text)),
            Self::Exhausted(text) => Self::Exhausted(change(text)),
            Self::Deadline(text) => Self::Deadline(change(text)),
            Self::Cancelled(text) => Self::Cancelled(change(text)),
            Self::Unsupported(text) => Self::Unsupported(change(text)),
            Self::Conflict(text) => Self::Conflict(change(text)),
            Self::Exists(text) => Self::Exists(change(text)),
            Self::InTransaction(text) => Self::InTransaction(change(text)),
            Self::Unavailable(text) => Self::Unavailable(change(text)),
            Self::Internal { id } => Self::Internal { id },
        }
    }

    /// Carries this error through an engine stream that may begin on another node, as its kind and its words.
    pub(crate) fn into_portable(self) -> DataFusionError {
        let words = DataFusionError::Execution(self.to_string());
        DataFusionError::Context(format!("{PORTABLE}{}", self.word()), Box::new(words))
    }

    /// Carries this error through an engine stream; `from_datafusion` takes it out again.
    pub(crate) fn into_datafusion(self) -> DataFusionError {
        DataFusionError::External(Box::new(self))
    }
}

/// What a user hears of an engine's error.
pub(crate) fn from_datafusion(error: DataFusionError) -> QueryError {
    translate(&error)
}

fn translate(error: &DataFusionError) -> QueryError {
    match error {
        DataFusionError::SQL(parser, _) => QueryError::Syntax(format!("the statement cannot be read: {parser}")),
        DataFusionError::Plan(text) => plan(text),
        DataFusionError::SchemaError(error, _) => schema(error),
        DataFusionError::NotImplemented(text) => QueryError::Unsupported(text.clone()),
        DataFusionError::Configuration(text) | DataFusionError::Substrait(text) => QueryError::Invalid(text.clone()),
        DataFusionError::Execution(text) => QueryError::Invalid(text.clone()),
        DataFusionError::ArrowError(error, _) => arrow(error),
        DataFusionError::ResourcesExhausted(text) => QueryError::Exhausted(format!(
            "the statement needs more memory than limits.memory_mib leaves it: select fewer columns or rows, or aggregate earlier ({})",
            text.lines().next().unwrap_or_default()
        )),
        DataFusionError::ObjectStore(cause) => {
            tracing::error!(%cause, "object store");
            QueryError::Unavailable("the lake's storage did not answer; try again, and tell the administrator".into())
        }
        DataFusionError::ParquetError(cause) => QueryError::internal(cause),
        DataFusionError::IoError(cause) => io(&cause.to_string()),
        DataFusionError::Internal(cause) => internal(cause),
        DataFusionError::Ffi(cause) => QueryError::internal(cause),
        DataFusionError::ExecutionJoin(cause) => panicked(&cause.to_string()),
        DataFusionError::External(cause) => external(cause.as_ref()),
        DataFusionError::Context(kind, inner) => portable(kind, inner).unwrap_or_else(|| translate(inner)),
        DataFusionError::Diagnostic(_, inner) => translate(inner),
        DataFusionError::Shared(inner) => translate(inner),
        DataFusionError::Collection(all) => all
            .first()
            .map_or_else(|| QueryError::internal("an empty collection of errors"), translate),
    }
}

/// Begins the context that names the kind of an error of ours.
const PORTABLE: &str = "labhouse error ";

/// An error of ours that came from another node.
fn portable(kind: &str, words: &DataFusionError) -> Option<QueryError> {
    let (kind, DataFusionError::Execution(words)) = (kind.strip_prefix(PORTABLE)?, words) else {
        return None;
    };
    let words = words.clone();
    match kind {
        "exhausted" => Some(QueryError::Exhausted(words)),
        "invalid" => Some(QueryError::Invalid(words)),
        _ => None,
    }
}

/// Names that do not resolve are "not found", whatever else the planner complains of is the statement's fault.
fn plan(text: &str) -> QueryError {
    let first = text.lines().next().unwrap_or_default().to_owned();
    if first.starts_with("table '") && first.ends_with("not found") {
        return QueryError::NotFound(missing(&first));
    }
    // What the engine calls so are calls with arguments that a function does not take.
    QueryError::Invalid(text.replace("Internal error: ", "").replace(BUG, ""))
}

/// What the engine adds to errors that it holds for its own.
const BUG: &str = "\nThis issue was likely caused by a bug in DataFusion's code. Please help us to resolve this by filing a bug report in our issue tracker: https://github.com/apache/datafusion/issues";

/// A rule of the engine that left a plan otherwise than it was: what was asked cannot be planned, which is no failure of the
/// server.
fn internal(cause: &str) -> QueryError {
    if cause.contains("Failed due to a difference in schemas") {
        tracing::warn!(%cause, "a plan that cannot be finished");
        return QueryError::Unsupported(
            "the statement cannot be planned as it is written: write ANY, ALL, EXISTS and IN of a query in WHERE, or join the query".into(),
        );
    }
    QueryError::internal(cause)
}

/// A value that has more than 2 GiB ends in a panic of the engine, and is the statement's fault.
fn panicked(cause: &str) -> QueryError {
    match cause.contains("offset overflow") {
        true => QueryError::Exhausted(
            "a value or a batch of values grew beyond 2 GiB: aggregate less into one value".into(),
        ),
        false => QueryError::internal(cause),
    }
}

fn missing(what: &str) -> String {
    format!("{what}; SHOW TABLES lists what you may read")
}

fn schema(error: &SchemaError) -> QueryError {
    match error {
        SchemaError::FieldNotFound { .. } => QueryError::NotFound(error.to_string()),
        SchemaError::AmbiguousReference { .. }
        | SchemaError::DuplicateQualifiedField { .. }
        | SchemaError::DuplicateUnqualifiedField { .. } => QueryError::Invalid(error.to_string()),
    }
}

fn arrow(error: &ArrowError) -> QueryError {
    match error {
        ArrowError::NotYetImplemented(text) => QueryError::Unsupported(text.clone()),
        ArrowError::ExternalError(cause) => external(cause.as_ref()),
        ArrowError::CastError(text)
        | ArrowError::ParseError(text)
        | ArrowError::ComputeError(text)
        | ArrowError::InvalidArgumentError(text)
        | ArrowError::ArithmeticOverflow(text) => QueryError::Invalid(text.clone()),
        ArrowError::DivideByZero => QueryError::Invalid("division by zero".into()),
        ArrowError::OffsetOverflowError(_)
        | ArrowError::DictionaryKeyOverflowError
        | ArrowError::RunEndIndexOverflowError
        | ArrowError::MemoryError(_) => {
            QueryError::Exhausted(format!("a value or a batch of values grew too large: {error}"))
        }
        ArrowError::IoError(cause, _) => io(cause),
        ArrowError::SchemaError(_)
        | ArrowError::CsvError(_)
        | ArrowError::JsonError(_)
        | ArrowError::AvroError(_)
        | ArrowError::IpcError(_)
        | ArrowError::ParquetError(_)
        | ArrowError::CDataInterface(_) => QueryError::internal(error),
    }
}

/// A statement that has filled its disk says so in the text of an I/O error only.
fn io(cause: &str) -> QueryError {
    if cause.contains("disk space during the spilling process") {
        return QueryError::Exhausted(
            "the statement needs more memory than limits.memory_mib and more disk than limits.spill_mib leave it: select fewer columns or rows, or aggregate earlier".into(),
        );
    }
    QueryError::internal(cause)
}

/// Our own errors travel through the engine as external ones.
fn external(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> QueryError {
    if let Some(own) = cause.downcast_ref::<QueryError>() {
        return own.clone();
    }
    if let Some(inner) = cause.downcast_ref::<DataFusionError>() {
        return translate(inner);
    }
    if let Some(inner) = cause.downcast_ref::<ArrowError>() {
        return arrow(inner);
    }
    if let Some(refused) = cause.downcast_ref::<labhouse_udfs::PredictError>() {
        return QueryError::Invalid(refused.to_string());
    }
    // Its type is another crate's, its text says what is wrong with the pattern.
    let text = cause.to_string();
    if text.contains("regex parse error") || text.contains("Compiled regex exceeds size limit") {
        return QueryError::Invalid(text);
    }
    QueryError::internal(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_errors_survive_the_engine_and_wrappers() {
        let inner = QueryError::Deadline("late".into()).into_datafusion();
        let wrapped = DataFusionError::Shared(std::sync::Arc::new(inner.context("somewhere")));
        assert!(matches!(from_datafusion(wrapped), QueryError::Deadline(_)));
    }

    #[test]
    fn an_error_that_came_from_another_node_keeps_its_kind_and_words() {
        let error = QueryError::Exhausted("too much".into()).into_portable();
        let far = DataFusionError::Shared(std::sync::Arc::new(error.context("a node")));
        assert!(matches!(from_datafusion(far), QueryError::Exhausted(text) if text == "too much"));
        let other = DataFusionError::Execution("labhouse error exhausted".into()).context("labhouse error nothing");
        assert!(matches!(from_datafusion(other), QueryError::Invalid(_)));
    }

    #[test]
    fn storage_and_internal_causes_are_not_told() {
        for error in [
            DataFusionError::Internal("s3://secret/key".into()),
            DataFusionError::IoError(std::io::Error::other("/etc/secret")),
        ] {
            assert!(!from_datafusion(error).to_string().contains("secret"));
        }
    }
}
