//! A model as a SQL function.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::frame::{check_count, is_readable};
use crate::model::Model;
use crate::sight::Sight;

/// The function `name(feature1, …)`: its arguments are the model's features, by position in the model's order or by name in any order
/// (`name(catalyst => x, temperature => t)`). It takes any number, text, boolean or time for any feature, NULL and unknown categories
/// included, and returns a number, or the most probable class as text; NULL only where an imported model has no answer.
pub fn predict_udf(name: &str, model: Arc<Model>) -> ScalarUDF {
    predict_udf_to(name, model, Arc::default())
}

/// The same for somebody who may not be told all names: features that he cannot name take their value by position.
pub fn predict_udf_to(name: &str, model: Arc<Model>, sight: Arc<Sight>) -> ScalarUDF {
    let names = model.features().iter().zip(1..).map(|(feature, place)| {
        if sight.names(&feature.name) {
            feature.name.clone()
        } else {
            format!("value {place}")
        }
    });
    let names: Vec<String> = names.collect();
    let signature = Signature::new(TypeSignature::UserDefined, Volatility::Immutable);
    // Names are refused only when two are the same, which training refuses first; without names positions still work.
    let signature = signature.clone().with_parameter_names(names).unwrap_or(signature);
    ScalarUDF::new_from_impl(PredictUdf {
        name: name.to_owned(),
        model,
        sight,
        signature,
    })
}

/// The model that a function asks and what of it may be told, if it is a function of [`predict_udf_to`].
pub fn predicted_by(function: &ScalarUDF) -> Option<(&Arc<Model>, &Arc<Sight>)> {
    let function = function.inner().as_ref() as &dyn Any;
    let function = function.downcast_ref::<PredictUdf>()?;
    Some((&function.model, &function.sight))
}

#[derive(Debug)]
struct PredictUdf {
    name: String,
    model: Arc<Model>,
    sight: Arc<Sight>,
    signature: Signature,
}

/// Two functions are one if they have one name, one sight and one model, by content.
impl PartialEq for PredictUdf {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.sight == other.sight && self.model.digest() == other.model.digest()
    }
}

impl Eq for PredictUdf {}

impl Hash for PredictUdf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.model.digest().hash(state);
    }
}

impl ScalarUDFImpl for PredictUdf {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.model.answer_type())
    }

    /// Leaves every type as it is: the model reads them all, and a cast here would lose dictionaries and text.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if let Err(error) = check_count(self.model.features(), types.len()) {
            return plan_err!("{}: {}", self.name, self.sight.error(&self.model, error));
        }
        for (feature, found) in self.model.features().iter().zip(types) {
            if !is_readable(found) {
                let feature = self.sight.name(&feature.name);
                return plan_err!("{}: feature '{feature}' cannot be of type {found}", self.name);
            }
        }
        Ok(types.to_vec())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args.args.iter().map(column).collect::<Result<Vec<ArrayRef>>>()?;
        let predicted = self
            .model
            .answer(&columns, rows)
            // By its words: an error that begins on another node has no type here.
            .map_err(|error| DataFusionError::Execution(self.sight.error(&self.model, error).to_string()))?;
        if constant && !predicted.is_empty() {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&predicted, 0)?));
        }
        Ok(ColumnarValue::Array(predicted))
    }
}

/// A constant stays one row long: the model reads it once.
fn column(argument: &ColumnarValue) -> Result<ArrayRef> {
    match argument {
        ColumnarValue::Array(array) => Ok(Arc::clone(array)),
        ColumnarValue::Scalar(scalar) => scalar.to_array(),
    }
}
