//! Any model as a scalar function: `predict('lab.s.m', …)`, `predict_proba('lab.s.m', 'class', …)`, `predict_interval('lab.s.m', …)`.
//!
//! The model's name is a text literal, so that what a statement asks is known when it is planned; the features follow in the model's order
//! and may be columns. A model that the caller may not ask and one that does not exist answer alike.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use labhouse_udfs::{COVERAGE, interval_fields};

use super::LoadedModel;
use crate::query::QueryError;
use crate::query::statement::lake_name_from_text;
use crate::session::Governed;

/// The scalar functions' names.
pub(crate) const NAMES: [&str; 3] = ["predict", "predict_proba", "predict_interval"];

/// The scalar functions of one statement.
pub(crate) fn functions(governed: &Arc<Governed>) -> Vec<Arc<ScalarUDF>> {
    let function = |name| {
        Arc::new(ScalarUDF::new_from_impl(Ask {
            name,
            governed: Arc::clone(governed),
            signature: Signature::user_defined(Volatility::Stable),
        }))
    };
    NAMES.into_iter().map(function).collect()
}

struct Ask {
    name: &'static str,
    governed: Arc<Governed>,
    signature: Signature,
}

/// What a call's leading literals say.
struct Asked {
    model: Arc<LoadedModel>,
    class: Option<String>,
    coverage: f64,
    /// How many arguments stand before the features, and how many after.
    before: usize,
    after: usize,
}

impl Ask {
    /// Reads the literals among the arguments; `None` stands for a column.
    fn read(&self, arguments: &[Option<&ScalarValue>]) -> Result<Asked, QueryError> {
        let text = |place: usize| {
            arguments
                .get(place)
                .copied()
                .flatten()
                .and_then(|value| value.try_as_str().flatten())
        };
        let Some(name) = text(0) else {
            return Err(QueryError::Invalid(format!(
                "{}: the first argument is the model's name, a text literal",
                self.name
            )));
        };
        let name = lake_name_from_text(name)?;
        let model = self
            .governed
            .model(&name, self.name)
            .ok_or_else(|| QueryError::NotFound(format!("model 'lab.{name}' not found")))?;
        let features = model.model().features().len();
        let mut asked = Asked {
            model,
            class: None,
            coverage: COVERAGE,
            before: 1,
            after: 0,
        };
        if self.name == "predict_proba" {
            asked.class = text(1).map(str::to_owned);
            asked.before = 2;
            if asked.class.is_none() {
                return Err(QueryError::Invalid(
                    "predict_proba: the second argument is the class, a text literal".into(),
                ));
            }
        }
        if self.name == "predict_interval" && arguments.len() == asked.before + features + 1 {
            asked.after = 1;
            let last = arguments.last().copied().flatten();
            let number = last.and_then(|value| value.cast_to(&DataType::Float64).ok());
            let Some(ScalarValue::Float64(Some(coverage))) = number else {
                return Err(QueryError::Invalid(
                    "predict_interval: the coverage after the features is a number literal such as 0.9".into(),
                ));
            };
            asked.coverage = coverage;
        }
        Ok(asked)
    }

    fn answer(&self, args: &ScalarFunctionArgs) -> Result<ArrayRef, QueryError> {
        let literals: Vec<Option<&ScalarValue>> = args
            .args
            .iter()
            .map(|argument| match argument {
                ColumnarValue::Scalar(value) => Some(value),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        let asked = self.read(&literals)?;
        let given = args
            .args
            .get(asked.before..args.args.len() - asked.after)
            .unwrap_or_default();
        let columns = given
            .iter()
            .map(|argument| match argument {
                ColumnarValue::Array(array) => Ok(Arc::clone(array)),
                ColumnarValue::Scalar(value) => value.to_array(),
            })
            .collect::<Result<Vec<ArrayRef>, DataFusionError>>()
            .map_err(crate::query::errors::from_datafusion)?;
        let (model, rows) = (self.governed.asked(&asked.model), args.number_rows);
        let sight = self.governed.sight(&asked.model);
        let answer = match (self.name, &asked.class) {
            ("predict_interval", _) => model
                .interval_to(&columns, rows, asked.coverage, &sight)
                .map(|found| Arc::new(found) as ArrayRef),
            (_, Some(class)) => model
                .probability(class, &columns, rows)
                .map(|found| Arc::new(found) as ArrayRef),
            (_, None) => model.answer(&columns, rows),
        };
        answer.map_err(|error| QueryError::Invalid(format!("{}: {}", self.name, sight.error(&model, error))))
    }
}

impl ScalarUDFImpl for Ask {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType, DataFusionError> {
        Err(QueryError::Invalid(format!("{}: the model's name must be a text literal", self.name)).into_datafusion())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef, DataFusionError> {
        let asked = self.read(args.scalar_arguments).map_err(QueryError::into_datafusion)?;
        let data_type = match self.name {
            "predict_interval" => DataType::Struct(interval_fields()),
            "predict_proba" => DataType::Float64,
            _ => asked.model.model().answer_type(),
        };
        Ok(Arc::new(Field::new(self.name, data_type, true)))
    }

    /// Leaves every type as it is: the model reads them all.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        Ok(types.to_vec())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        self.answer(&args)
            .map(ColumnarValue::Array)
            .map_err(QueryError::into_datafusion)
    }
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Two functions are one if they have one name and read one statement's snapshots.
impl PartialEq for Ask {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.governed, &other.governed)
    }
}

impl Eq for Ask {}

impl Hash for Ask {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        Arc::as_ptr(&self.governed).hash(state);
    }
}
