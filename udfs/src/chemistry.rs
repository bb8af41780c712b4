//! What a molecule is, as SQL functions: `smiles_alogp(text)` and its like, and `smiles_similarity(a, b)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::chem::Chem;
use crate::frame::each_text;
use crate::smiles::{self, Descriptors};

/// One function per descriptor, named `smiles_` and ChEMBL's name, each from a SMILES text to a Float64 that is NULL for what is no
/// molecule; and `smiles_similarity`, the share of common surroundings of two molecules, 0 to 1.
pub fn smiles_functions() -> Vec<ScalarUDF> {
    let descriptors = (0..Descriptors::NAMES.len()).map(|number| {
        let name = Descriptors::NAMES.get(number).copied().unwrap_or_default();
        Chemistry::new(format!("smiles_{name}"), Some(number))
    });
    let similarity = Chemistry::new("smiles_similarity".to_owned(), None);
    descriptors.chain([similarity]).map(ScalarUDF::new_from_impl).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Chemistry {
    name: String,
    /// The descriptor's number; `None` for the likeness of two molecules.
    descriptor: Option<usize>,
    signature: Signature,
}

impl Chemistry {
    fn new(name: String, descriptor: Option<usize>) -> Self {
        let arguments = if descriptor.is_some() { 1 } else { 2 };
        Self {
            name,
            descriptor,
            signature: Signature::string(arguments, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Chemistry {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let values: Float64Array = match (self.descriptor, arrays.as_slice()) {
            (Some(number), [texts]) => {
                // A column of few molecules is parsed once each as long as they follow each other.
                let mut before: Option<(String, Option<f64>)> = None;
                let mut values = Vec::with_capacity(texts.len());
                each_text(texts, |text| {
                    let value = text.and_then(|text| match &before {
                        Some((known, value)) if known == text => *value,
                        _ => {
                            let value = smiles::describe(text).and_then(|found| found.values().get(number).copied());
                            before = Some((text.to_owned(), value));
                            value
                        }
                    });
                    values.push(value);
                })?;
                values.into_iter().collect()
            }
            (None, [left, right]) => {
                let (left, right) = (molecules(left)?, molecules(right)?);
                let pairs = left.iter().zip(&right);
                pairs.map(|(a, b)| Some(a.as_ref()?.likeness(b.as_ref()?))).collect()
            }
            _ => Float64Array::new_null(args.number_rows),
        };
        Ok(ColumnarValue::Array(Arc::new(values)))
    }
}

fn molecules(texts: &ArrayRef) -> Result<Vec<Option<Chem>>> {
    let mut found = Vec::with_capacity(texts.len());
    each_text(texts, |text| found.push(text.and_then(Chem::of)))?;
    Ok(found)
}
