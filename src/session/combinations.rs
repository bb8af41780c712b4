//! All combinations of the rows of a few plans, batch after batch.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{cast, concat_batches, filter_record_batch, take};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use futures::{StreamExt, TryStreamExt};

/// Combinations of one library: a hundred plates of 1,536 wells a day would take two years.
pub(crate) const COMBINATIONS_MAX: u64 = 100_000_000;

/// A plan whose rows are combined with those of others.
#[derive(Clone)]
pub(super) struct Part {
    plan: Arc<dyn ExecutionPlan>,
    /// The plan's columns, by place, that make the part.
    places: Vec<usize>,
    /// The part's columns as the whole has them.
    schema: SchemaRef,
}

impl Part {
    /// The columns of these names, in the types that `whole` has them in.
    pub(super) fn new(
        plan: Arc<dyn ExecutionPlan>,
        columns: &[String],
        whole: &Schema,
    ) -> Result<Self, DataFusionError> {
        let given = plan.schema();
        let (mut places, mut fields) = (Vec::new(), Vec::new());
        for name in columns {
            places.push(given.index_of(name)?);
            let data_type = whole.field_with_name(name)?.data_type().clone();
            fields.push(Field::new(name, data_type, true));
        }
        Ok(Self {
            plan,
            places,
            schema: Arc::new(Schema::new(fields)),
        })
    }

    /// All rows, in one batch.
    async fn rows(
        &self,
        context: &Arc<TaskContext>,
        memory: &MemoryReservation,
    ) -> Result<RecordBatch, DataFusionError> {
        let mut stream = execute_stream(Arc::clone(&self.plan), Arc::clone(context))?;
        let (mut batches, mut rows) = (Vec::new(), 0_u64);
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let given = self.places.iter().filter_map(|place| batch.columns().get(*place));
            let columns = given.zip(self.schema.fields());
            let columns: Result<Vec<ArrayRef>, _> =
                columns.map(|(column, field)| cast(column, field.data_type())).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let own = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns?, &options)?;
            rows += own.num_rows() as u64;
            if rows > COMBINATIONS_MAX {
                return Err(too_many());
            }
            memory.try_grow(own.get_array_memory_size())?;
            batches.push(own);
        }
        Ok(concat_batches(&self.schema, &batches)?)
    }
}

fn too_many() -> DataFusionError {
    DataFusionError::ResourcesExhausted(format!(
        "a virtual library has at most {COMBINATIONS_MAX} combinations: make its parts smaller"
    ))
}

/// Gives the combinations when the plan runs.
pub(super) struct Combinations {
    schema: SchemaRef,
    parts: Vec<Part>,
    excluding: Option<Part>,
}

impl Combinations {
    pub(super) fn new(schema: SchemaRef, parts: Vec<Part>, excluding: Option<Part>) -> Self {
        Self {
            schema,
            parts,
            excluding,
        }
    }
}

impl fmt::Debug for Combinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Combinations(parts={})", self.parts.len())
    }
}

impl PartitionStream for Combinations {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let (parts, excluding) = (self.parts.clone(), self.excluding.clone());
        let begun = async move {
            let consumer = MemoryConsumer::new("virtual library");
            let memory = consumer.register(context.memory_pool());
            let mut rows = Vec::with_capacity(parts.len());
            for part in &parts {
                rows.push(part.rows(&context, &memory).await?);
            }
            let excluded = match &excluding {
                Some(part) => Some(Excluded::new(&part.rows(&context, &memory).await?, &schema, &memory)?),
                None => None,
            };
            let size = context.session_config().batch_size().max(1) as u64;
            Ok::<_, DataFusionError>(futures::stream::iter(Counter::new(
                schema, rows, excluded, size, memory,
            )?))
        };
        let stream = futures::stream::once(begun).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

/// Counts through the combinations as through a number whose digits are the parts' rows, the last one fastest.
struct Counter {
    schema: SchemaRef,
    parts: Vec<RecordBatch>,
    /// Of each column of the schema its part and its place there.
    columns: Vec<(usize, usize)>,
    /// How many combinations the parts behind one have.
    strides: Vec<u64>,
    excluded: Option<Excluded>,
    next: u64,
    total: u64,
    size: u64,
    /// Held as long as the parts are.
    _memory: MemoryReservation,
}

impl Counter {
    fn new(
        schema: SchemaRef,
        parts: Vec<RecordBatch>,
        excluded: Option<Excluded>,
        size: u64,
        memory: MemoryReservation,
    ) -> Result<Self, DataFusionError> {
        let mut strides = vec![1; parts.len()];
        let mut total = 1_u64;
        for (stride, part) in strides.iter_mut().zip(&parts).rev() {
            *stride = total;
            total = total.saturating_mul(part.num_rows() as u64);
        }
        if total > COMBINATIONS_MAX {
            return Err(too_many());
        }
        let place = |name: &String| {
            let of = |(number, part): (usize, &RecordBatch)| Some((number, part.schema().index_of(name).ok()?));
            parts.iter().enumerate().find_map(of)
        };
        let columns = schema.fields().iter().map(|field| {
            place(field.name())
                .ok_or_else(|| DataFusionError::Plan(format!("no part of the library gives {}", field.name())))
        });
        Ok(Self {
            columns: columns.collect::<Result<_, _>>()?,
            schema,
            parts,
            strides,
            excluded,
            next: 0,
            total,
            size,
            _memory: memory,
        })
    }

    fn batch(&self, from: u64, to: u64) -> Result<RecordBatch, DataFusionError> {
        let digits = |(part, stride): (&RecordBatch, &u64)| -> UInt32Array {
            let rows = (part.num_rows() as u64).max(1);
            (from..to)
                .map(|number| (number / stride % rows) as u32)
                .collect::<Vec<_>>()
                .into()
        };
        let digits: Vec<UInt32Array> = self.parts.iter().zip(&self.strides).map(digits).collect();
        let column = |(part, place): &(usize, usize)| -> Result<ArrayRef, DataFusionError> {
            match (
                self.parts.get(*part).and_then(|rows| rows.columns().get(*place)),
                digits.get(*part),
            ) {
                (Some(values), Some(digits)) => Ok(take(values, digits, None)?),
                _ => Err(DataFusionError::Internal("a part of a library went away".into())),
            }
        };
        let columns = self.columns.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some((to - from) as usize));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        match &self.excluded {
            Some(excluded) => excluded.without(&batch),
            None => Ok(batch),
        }
    }
}

impl Iterator for Counter {
    type Item = Result<RecordBatch, DataFusionError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.total {
            return None;
        }
        let from = self.next;
        self.next = (from + self.size).min(self.total);
        Some(self.batch(from, self.next))
    }
}

/// Combinations that are left out. NULL is like NULL here.
struct Excluded {
    /// Places in the whole of the columns that count.
    places: Vec<usize>,
    converter: RowConverter,
    rows: HashSet<Box<[u8]>>,
}

impl Excluded {
    fn new(rows: &RecordBatch, whole: &Schema, memory: &MemoryReservation) -> Result<Self, DataFusionError> {
        let schema = rows.schema();
        let fields = schema.fields().iter();
        let places = fields
            .clone()
            .map(|field| whole.index_of(field.name()))
            .collect::<Result<_, _>>()?;
        let converter = RowConverter::new(fields.map(|field| SortField::new(field.data_type().clone())).collect())?;
        let converted = converter.convert_columns(rows.columns())?;
        memory.try_grow(converted.size())?;
        Ok(Self {
            places,
            rows: converted.iter().map(|row| row.as_ref().into()).collect(),
            converter,
        })
    }

    fn without(&self, batch: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
        let columns = self
            .places
            .iter()
            .filter_map(|place| batch.columns().get(*place))
            .cloned();
        let rows = self.converter.convert_columns(&columns.collect::<Vec<_>>())?;
        let stays: BooleanArray = rows.iter().map(|row| Some(!self.rows.contains(row.as_ref()))).collect();
        Ok(filter_record_batch(batch, &stays)?)
    }
}
