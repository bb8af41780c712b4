//! Events as rows of the table, and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Builder, ListBuilder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;

use super::event::{Cell, Event};

/// The table's columns.
pub(crate) fn schema() -> SchemaRef {
    let fields = Event::default()
        .cells()
        .into_iter()
        .map(|(name, cell)| Field::new(name, data_type(cell), true))
        .chain([Field::new("hash", DataType::Utf8, true)])
        .collect::<Vec<_>>();
    Arc::new(Schema::new(fields))
}

fn data_type(cell: Cell<'_>) -> DataType {
    match cell {
        Cell::Text(_) => DataType::Utf8,
        Cell::Number(_) => DataType::Int64,
        Cell::Time(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Cell::List(_) => DataType::List(item()),
    }
}

/// The field of list elements as Delta calls it.
fn item() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Utf8, true))
}

/// Events as a batch of [`schema`].
pub(crate) fn batch<'a>(events: impl Iterator<Item = &'a Event> + Clone) -> Result<RecordBatch, ArrowError> {
    let schema = schema();
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        let cells = events.clone().map(|event| match event.cells().get(at) {
            Some((_, cell)) => *cell,
            None => Cell::Text(Some(&event.hash)),
        });
        column(cells, field)
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<_, _>>()?)
}

fn column<'a>(cells: impl Iterator<Item = Cell<'a>>, field: &Field) -> Result<ArrayRef, ArrowError> {
    let (mut texts, mut numbers) = (StringBuilder::new(), Int64Builder::new());
    let mut times = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(item());
    for cell in cells {
        match cell {
            Cell::Text(text) => texts.append_option(text),
            Cell::Number(number) => numbers.append_option(number),
            Cell::Time(time) => times.append_value(time),
            Cell::List(list) => lists.append_value(list.iter().map(Some)),
        }
    }
    match field.data_type() {
        DataType::Utf8 => Ok(Arc::new(texts.finish())),
        DataType::Int64 => Ok(Arc::new(numbers.finish())),
        DataType::Timestamp(_, _) => Ok(Arc::new(times.finish())),
        DataType::List(_) => Ok(Arc::new(lists.finish())),
        other => Err(ArrowError::SchemaError(format!(
            "the trail has no column of type {other}"
        ))),
    }
}

/// The events of a batch, whatever the order and text types of its columns.
///
/// # Errors
/// A column that is missing or of another kind.
pub(crate) fn events(batch: &RecordBatch) -> Result<Vec<Event>, ArrowError> {
    for field in schema().fields() {
        let name = field.name();
        batch
            .column_by_name(name)
            .ok_or_else(|| ArrowError::SchemaError(format!("the column {name} is missing")))?;
    }
    fields(batch)
}

/// The events of a batch of some columns, with what these say of them.
///
/// # Errors
/// A column of another kind.
pub(crate) fn fields(batch: &RecordBatch) -> Result<Vec<Event>, ArrowError> {
    let mut rows = vec![Event::default(); batch.num_rows()];
    for field in schema().fields() {
        let name = field.name();
        let Some(column) = batch.column_by_name(name) else {
            continue;
        };
        let column = cast(column, field.data_type())?;
        for (at, event) in rows.iter_mut().enumerate() {
            set(event, name, &column, at)?;
        }
    }
    Ok(rows)
}

fn set(event: &mut Event, name: &str, column: &ArrayRef, at: usize) -> Result<(), ArrowError> {
    let text = || {
        let texts = column.as_string_opt::<i32>().filter(|texts| texts.is_valid(at));
        texts.map(|texts| texts.value(at).to_owned())
    };
    let number = || {
        let numbers = column
            .as_primitive_opt::<Int64Type>()
            .filter(|numbers| numbers.is_valid(at));
        numbers.map(|numbers| numbers.value(at))
    };
    let list = || {
        let lists = column.as_list_opt::<i32>().filter(|lists| lists.is_valid(at));
        let values = lists.map(|lists| lists.value(at));
        let texts = values.as_ref().and_then(|values| values.as_string_opt::<i32>());
        texts.map_or_else(Vec::new, |texts| {
            texts.iter().map(|text| text.unwrap_or_default().to_owned()).collect()
        })
    };
    match name {
        "chain" => event.chain = text().unwrap_or_default(),
        "seq" => event.seq = number().unwrap_or_default(),
        "at" => {
            let times = column.as_primitive_opt::<TimestampMicrosecondType>();
            event.at = times
                .filter(|times| times.is_valid(at))
                .map_or(0, |times| times.value(at));
        }
        "event" => event.event = text().unwrap_or_default(),
        "query_id" => event.query_id = text(),
        "principal" => event.principal = text(),
        "roles" => event.roles = list(),
        "door" => event.door = text(),
        "peer" => event.peer = text(),
        "agent" => event.agent = text(),
        "action" => event.action = text(),
        "statement_hash" => event.statement_hash = text(),
        "statement_bytes" => event.statement_bytes = number(),
        "statement" => event.statement = text(),
        "tables" => event.tables = list(),
        "columns" => event.columns = list(),
        "targets" => event.targets = list(),
        "models" => event.models = list(),
        "refused" => event.refused = list(),
        "lines" => event.lines = list(),
        "filters" => event.filters = list(),
        "masks" => event.masks = list(),
        "verdict" => event.verdict = text(),
        "reason" => event.reason = text(),
        "rows" => event.rows = number(),
        "bytes" => event.bytes = number(),
        "duration_us" => event.duration_us = number(),
        "policy_generation" => event.policy_generation = number(),
        "policy_fingerprint" => event.policy_fingerprint = text(),
        "catalog_generation" => event.catalog_generation = number(),
        "detail" => event.detail = text(),
        "prev" => event.prev = text().unwrap_or_default(),
        "hash" => event.hash = text().unwrap_or_default(),
        other => return Err(ArrowError::SchemaError(format!("the trail has no column {other}"))),
    }
    Ok(())
}

/// An event as the person it is about may see it: nothing of the policy, of hidden objects or of other people. A table's
/// version grows with rows he may not see, and a hash over what is left out here could be tried out, so both go.
pub(crate) fn own(event: &Event) -> Event {
    // What is hidden and what is not there are refused alike.
    let verdict = event.verdict.as_deref().map(|verdict| match verdict {
        "denied" => "refused",
        other => other,
    });
    Event {
        at: event.at,
        event: event.event.clone(),
        query_id: event.query_id.clone(),
        principal: event.principal.clone(),
        door: event.door.clone(),
        peer: event.peer.clone(),
        agent: event.agent.clone(),
        action: event.action.clone(),
        statement_hash: event.statement_hash.clone(),
        statement_bytes: event.statement_bytes,
        statement: event.statement.clone(),
        tables: event.tables.iter().map(|table| without_version(table)).collect(),
        columns: event.columns.clone(),
        targets: event.targets.iter().map(|table| without_version(table)).collect(),
        models: event.models.iter().map(|model| without_version(model)).collect(),
        verdict: verdict.map(str::to_owned),
        reason: event.reason.clone(),
        rows: event.rows,
        bytes: event.bytes,
        duration_us: event.duration_us,
        ..Event::default()
    }
}

fn without_version(table: &str) -> String {
    table.split('@').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{GENESIS, Kind};

    #[test]
    fn events_survive_the_table_with_their_hash() {
        let mut full: Event = serde_json::from_value(serde_json::json!({
            "at": 5, "event": "statement", "query_id": "q", "principal": "ana", "roles": ["a", "b"], "door": "flight",
            "peer": "p", "agent": "x", "action": "read", "statement_hash": "h", "statement_bytes": 3, "statement": "s",
            "tables": ["t@1"], "columns": ["c"], "targets": ["w"], "models": ["m"], "refused": ["r"], "lines": ["l"],
            "filters": ["f"], "masks": ["m"], "verdict": "denied", "reason": "x", "rows": 1, "bytes": 2,
            "duration_us": 3, "policy_generation": 4, "policy_fingerprint": "f", "catalog_generation": 6, "detail": "d"
        }))
        .unwrap();
        full.seal("c", 1, GENESIS, None);
        let mut empty = Event::now(Kind::Gap);
        empty.seal("c", 2, &full.hash, None);
        let back = events(&batch([&full, &empty].into_iter()).unwrap()).unwrap();
        assert_eq!(back, [full.clone(), empty]);
        assert_eq!(back[0].sealed_by(None), full.hash);
        let own = own(&full);
        assert_eq!((own.verdict.as_deref(), own.tables[0].as_str()), (Some("refused"), "t"));
        for hidden in [&own.refused, &own.lines, &own.filters, &own.masks, &own.roles] {
            assert!(hidden.is_empty());
        }
        assert!(own.hash.is_empty() && own.seq == 0 && own.policy_generation.is_none());
    }
}
