//! JSON values of a known shape to Arrow arrays.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, NullArray, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields as ArrowFields, TimeUnit};
use arrow::error::ArrowError;

use crate::formats::header;
use crate::formats::json::Json;
use crate::formats::json_shape::{Fields, JsonShape, TextShape};
use crate::formats::moment::{self, Moment, Order};

/// The Arrow fields of a struct or table; names unique, none empty, all nullable.
pub(super) fn arrow_fields(fields: &Fields) -> ArrowFields {
    let names = header::names(fields.iter().map(|(name, _)| name));
    names
        .into_iter()
        .zip(fields.iter())
        .map(|(name, (_, shape))| Field::new(name, data_type(shape), true))
        .collect()
}

/// One array a field, from one optional object a row.
///
/// # Errors
/// Arrow's own, which would be a defect here.
pub(super) fn columns(fields: &Fields, rows: &[Option<&Json>]) -> Result<Vec<ArrayRef>, ArrowError> {
    let mut cells: Vec<Vec<Option<&Json>>> = vec![vec![None; rows.len()]; fields.len()];
    for (at, row) in rows.iter().enumerate() {
        let Some(Json::Object(members)) = row else {
            continue;
        };
        for (name, value) in members {
            let cell = fields
                .position(name)
                .and_then(|column| cells.get_mut(column))
                .and_then(|cells| cells.get_mut(at));
            if let Some(cell) = cell {
                *cell = Some(value);
            }
        }
    }
    fields
        .iter()
        .zip(&cells)
        .map(|((_, shape), cells)| array(shape, cells))
        .collect()
}

fn data_type(shape: &JsonShape) -> DataType {
    match shape {
        JsonShape::Null => DataType::Null,
        JsonShape::Bool => DataType::Boolean,
        JsonShape::Int { .. } => DataType::Int64,
        JsonShape::Float => DataType::Float64,
        JsonShape::Text(TextShape::Date) => DataType::Date32,
        JsonShape::Text(TextShape::Timestamp { zoned }) => {
            DataType::Timestamp(TimeUnit::Microsecond, zoned.then(|| "UTC".into()))
        }
        JsonShape::Text(TextShape::Plain) | JsonShape::Mixed => DataType::Utf8,
        JsonShape::List(item) => DataType::List(Arc::new(Field::new_list_field(data_type(item), true))),
        JsonShape::Struct(fields) => DataType::Struct(arrow_fields(fields)),
    }
}

fn array(shape: &JsonShape, cells: &[Option<&Json>]) -> Result<ArrayRef, ArrowError> {
    let values = || cells.iter().copied();
    let moments = || {
        values().map(|cell| match cell {
            Some(Json::Text(text)) => moment::parse(text, Order::YearFirst),
            _ => None,
        })
    };
    Ok(match shape {
        JsonShape::Null => Arc::new(NullArray::new(cells.len())),
        JsonShape::Bool => Arc::new(BooleanArray::from_iter(values().map(|cell| match cell {
            Some(Json::Bool(value)) => Some(*value),
            _ => None,
        }))),
        JsonShape::Int { .. } => Arc::new(Int64Array::from_iter(values().map(|cell| match cell {
            Some(Json::Int(value)) => Some(*value),
            _ => None,
        }))),
        JsonShape::Float => Arc::new(Float64Array::from_iter(values().map(|cell| match cell {
            Some(Json::Float(value)) => Some(*value),
            Some(Json::Int(value)) => Some(*value as f64),
            _ => None,
        }))),
        JsonShape::Text(TextShape::Date) => Arc::new(Date32Array::from_iter(moments().map(|m| m.map(Moment::days)))),
        JsonShape::Text(TextShape::Timestamp { .. }) => {
            let array = TimestampMicrosecondArray::from_iter(moments().map(|m| m.map(Moment::micros)));
            Arc::new(array.with_data_type(data_type(shape)))
        }
        JsonShape::Text(TextShape::Plain) | JsonShape::Mixed => Arc::new(StringArray::from_iter(
            values().map(|cell| cell.and_then(Json::to_cell)),
        )),
        JsonShape::List(item) => list(item, cells)?,
        JsonShape::Struct(fields) => {
            let nulls = NullBuffer::from_iter(values().map(|cell| cell.is_some_and(Json::is_object)));
            Arc::new(StructArray::try_new(
                arrow_fields(fields),
                columns(fields, cells)?,
                Some(nulls),
            )?)
        }
    })
}

fn list(item: &JsonShape, cells: &[Option<&Json>]) -> Result<ArrayRef, ArrowError> {
    let mut lengths = Vec::with_capacity(cells.len());
    let mut items: Vec<Option<&Json>> = Vec::new();
    for cell in cells {
        match cell {
            Some(Json::List(values)) => {
                items.extend(values.iter().map(Some));
                lengths.push(values.len());
            }
            _ => lengths.push(0),
        }
    }
    let nulls = NullBuffer::from_iter(cells.iter().map(|cell| matches!(cell, Some(Json::List(_)))));
    let field = Arc::new(Field::new_list_field(data_type(item), true));
    let array = ListArray::try_new(
        field,
        OffsetBuffer::from_lengths(lengths),
        array(item, &items)?,
        Some(nulls),
    )?;
    Ok(Arc::new(array))
}
