//! Fields inside columns: granted, denied and masked one by one.
//!
//! An object may go on below its column: `lab/chemistry/protocols/conditions/temperature`. Lists are passed through, so the
//! path of a field does not tell whether there is one `conditions` or many. A field is seen when a rule of its own path, of a
//! field around it or of the column allows it, and none of these denies it. What remains of the column is a [`Shape`], put on
//! as the last step below the barrier, as a function that no statement can call.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use datafusion::common::{exec_datafusion_err, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;

/// Levels of fields at most; deeper ones share the fate of the last.
const DEPTH_MAX: usize = 16;

/// What is seen of a column, or of a field in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// All of it, as it is.
    Whole,
    /// Another value of the same type, made from the value.
    Masked(Arc<dyn PhysicalExpr>),
    /// Some fields of a struct, or of each struct of a list: their positions, ascending, and their shapes.
    Fields(Vec<(usize, Shape)>),
}

/// What the rules say of one path by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Allowed,
    Denied,
    Silent,
}

/// Asked of a path: the word of the rules, and the mask attached to it.
pub(crate) trait Rulings {
    /// Why a mask cannot be used.
    type Error;

    fn word(&self, path: &[&str]) -> Word;

    /// # Errors
    /// The mask is there and cannot be put on a value of this type.
    fn mask(&self, path: &[&str], field: &FieldRef) -> std::result::Result<Option<Arc<dyn PhysicalExpr>>, Self::Error>;
}

/// The shape of what lies at `path`; none when nothing of it is seen. `opened` is whether a rule around it allows it.
///
/// # Errors
/// As [`Rulings::mask`].
pub(crate) fn shape<R: Rulings>(
    rulings: &R,
    path: &mut Vec<&str>,
    opened: bool,
    data_type: &DataType,
) -> std::result::Result<Option<Shape>, R::Error> {
    let opened = match rulings.word(path) {
        Word::Denied => return Ok(None),
        Word::Allowed => true,
        Word::Silent => opened,
    };
    let fields = match fields(data_type) {
        Some(fields) if !fields.is_empty() && path.len() < DEPTH_MAX => fields,
        _ => return Ok(opened.then_some(Shape::Whole)),
    };
    let fields = fields.clone();
    let mut seen = Vec::with_capacity(fields.len());
    for (at, field) in fields.iter().enumerate() {
        let inner = below(rulings, path, opened, field)?;
        seen.extend(inner.map(|shape| (at, shape)));
    }
    let whole = seen.len() == fields.len() && seen.iter().all(|(_, shape)| *shape == Shape::Whole);
    Ok(match (whole, seen.is_empty()) {
        (true, _) => Some(Shape::Whole),
        (false, true) => None,
        (false, false) => Some(Shape::Fields(seen)),
    })
}

fn below<R: Rulings>(
    rulings: &R,
    path: &[&str],
    opened: bool,
    field: &FieldRef,
) -> std::result::Result<Option<Shape>, R::Error> {
    let mut path: Vec<&str> = path.iter().copied().chain([field.name().as_str()]).collect();
    let Some(inner) = shape(rulings, &mut path, opened, field.data_type())? else {
        return Ok(None);
    };
    match rulings.mask(&path, field)? {
        // A mask is put on the whole value, and a part of it is hidden: neither alone would be right.
        Some(_) if inner != Shape::Whole => Ok(None),
        Some(mask) => Ok(Some(Shape::Masked(mask))),
        None => Ok(Some(inner)),
    }
}

/// Whether a path of fields leads anywhere in a column of this type.
pub(crate) fn leads_somewhere(data_type: &DataType, path: &[&str]) -> bool {
    match path {
        [] => true,
        [name, rest @ ..] => fields(data_type)
            .and_then(|fields| fields.iter().find(|field| field.name() == name))
            .is_some_and(|field| leads_somewhere(field.data_type(), rest)),
    }
}

/// The fields of a struct, or of the structs in a list of any depth. Other types are one value.
pub(crate) fn fields(data_type: &DataType) -> Option<&Fields> {
    match data_type {
        DataType::Struct(fields) => Some(fields),
        DataType::List(item) => fields(item.data_type()),
        _ => None,
    }
}

impl Shape {
    /// The type that is left.
    pub(crate) fn data_type(&self, raw: &DataType) -> DataType {
        match (self, raw) {
            (Shape::Fields(_), DataType::List(item)) => {
                let inner = self.data_type(item.data_type());
                DataType::List(Arc::new(Field::new(item.name(), inner, item.is_nullable())))
            }
            (Shape::Fields(kept), DataType::Struct(fields)) => {
                let kept = kept.iter().filter_map(|(at, shape)| {
                    let field = fields.get(*at)?;
                    let nullable = field.is_nullable() || matches!(shape, Shape::Masked(_));
                    Some(Field::new(field.name(), shape.data_type(field.data_type()), nullable))
                });
                DataType::Struct(kept.collect())
            }
            (Shape::Whole | Shape::Masked(_) | Shape::Fields(_), other) => other.clone(),
        }
    }

    /// The column as an expression over `raw`.
    pub(crate) fn over(self, raw: Expr) -> Expr {
        self.function().call(vec![raw])
    }

    /// The shape as a function of the raw column.
    pub(crate) fn function(self) -> ScalarUDF {
        ScalarUDF::new_from_impl(ShapeFunction {
            shape: self,
            signature: Signature::any(1, Volatility::Immutable),
        })
    }

    fn apply(&self, raw: &ArrayRef) -> Result<ArrayRef> {
        match (self, raw.data_type()) {
            (Shape::Whole, _) => Ok(Arc::clone(raw)),
            (Shape::Masked(mask), data_type) => {
                let field = Field::new(VALUE, data_type.clone(), true);
                let rows = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::clone(raw)])?;
                mask.evaluate(&rows)?.into_array(raw.len())
            }
            (Shape::Fields(_), DataType::List(_)) => {
                let list = raw.as_list::<i32>();
                let values = self.apply(list.values())?;
                let DataType::List(item) = self.data_type(raw.data_type()) else {
                    return exec_err!("a list became something else");
                };
                let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
                Ok(Arc::new(ListArray::try_new(item, offsets, values, nulls)?))
            }
            (Shape::Fields(kept), DataType::Struct(_)) => {
                let DataType::Struct(fields) = self.data_type(raw.data_type()) else {
                    return exec_err!("a struct became something else");
                };
                let whole = raw.as_struct();
                let columns = kept.iter().map(|(at, shape)| {
                    let column = whole.columns().get(*at);
                    shape.apply(column.ok_or_else(|| exec_datafusion_err!("a struct has lost a field"))?)
                });
                let columns = columns.collect::<Result<Vec<_>>>()?;
                Ok(Arc::new(StructArray::try_new(fields, columns, whole.nulls().cloned())?))
            }
            (Shape::Fields(_), other) => exec_err!("{other} has no fields"),
        }
    }
}

/// The name of the one column that the expression of a nested mask is evaluated on; it is found by its place.
const VALUE: &str = "value";
/// What plans call a shape.
pub(crate) const NAME: &str = "labhouse_shape";

/// The shape, if an expression's function is one.
pub(crate) fn shape_of(function: &dyn ScalarUDFImpl) -> Option<&Shape> {
    let function = (function as &dyn Any).downcast_ref::<ShapeFunction>()?;
    Some(&function.shape)
}

struct ShapeFunction {
    shape: Shape,
    signature: Signature,
}

impl fmt::Debug for ShapeFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShapeFunction").field("shape", &self.shape).finish()
    }
}

impl PartialEq for ShapeFunction {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape
    }
}

impl Eq for ShapeFunction {}

impl std::hash::Hash for ShapeFunction {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.shape.hash(state);
    }
}

impl ScalarUDFImpl for ShapeFunction {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [raw] => Ok(self.shape.data_type(raw)),
            _ => exec_err!("a shape has one argument"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        match arrays.as_slice() {
            [raw] => Ok(ColumnarValue::Array(self.shape.apply(raw)?)),
            _ => exec_err!("a shape has one argument"),
        }
    }
}
