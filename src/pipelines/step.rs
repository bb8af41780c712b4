//! A view's external step: a program or an address of the administrator's list, which takes the query's rows as an Arrow stream
//! and gives the view's. For what SQL cannot do: images, sequences, spectra.
//!
//! A program runs without a shell, with an empty environment, in the root folder. It ends with its deadline, and when it ends all that
//! it started ends, too (`supervisor`); an address is asked without following it elsewhere. Whoever makes the view needs the grant `execute` on
//! `step/<name>`, which no grant on functions gives: a step is a program of the server's machine. Nobody can tell what of its input an output holds, so every tag of the sources is on all of it, and every
//! column comes from every column.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use labhouse_catalog::TableName;
use labhouse_policies::{Action, TableObject, Tags};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, redirect};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::supervisor::{self, Running};
use crate::config::Step;
use crate::engine::Engine;
use crate::query::lineage::Lineage;
use crate::query::write::{Source, require};
use crate::query::{QueryError, narrow, tags};
use crate::session::Governed;

const STREAM: &str = "application/vnd.apache.arrow.stream";
/// Bytes of a program's complaints that are kept for the log.
const COMPLAINT_BYTES_MAX: u64 = 16 << 10;

impl Engine {
    /// An error unless the principal may send rows through the step, and there is one.
    pub(super) fn may_go_through(
        &self,
        governed: &Governed,
        view: &TableName,
        step: &str,
    ) -> Result<&Step, QueryError> {
        // Who may not is told so whether or not there is such a step.
        require(
            governed,
            &view.schema,
            &format!("step/{step}"),
            &Tags::default(),
            Action::Execute,
        )?;
        self.config.pipelines.steps.get(step).ok_or_else(|| {
            QueryError::NotFound(format!(
                "external step '{step}' not found; the administrator names them in [pipelines.steps] of the config"
            ))
        })
    }

    /// The rows that the step makes of the query's.
    pub(super) async fn through(
        &self,
        governed: &Governed,
        view: &TableName,
        name: &str,
        source: Source,
    ) -> Result<Source, QueryError> {
        let step = self.may_go_through(governed, view, name)?;
        let input = encode(&source.schema, &source.batches)?;
        // Rows leave the server: that is accounted for before.
        governed.decided().await?;
        let deadline = Duration::from_secs(step.timeout_s);
        let run = async {
            match step.url.is_empty() {
                true => command(name, step, input).await,
                false => call(name, step, input, deadline).await,
            }
        };
        let output = tokio::time::timeout(deadline, run).await.map_err(|_elapsed| {
            QueryError::Deadline(format!(
                "the external step {name} took longer than {} s (pipelines.steps.{name}.timeout_s)",
                step.timeout_s
            ))
        })??;
        let (schema, batches) = decode(name, output, self.config.limits.write_rows)?;
        Ok(outcome(source, schema, batches))
    }
}

/// What came out, with all that went in as its origin and all tags on the whole.
fn outcome(source: Source, schema: SchemaRef, batches: Vec<RecordBatch>) -> Source {
    let fields = source.schema.fields().iter();
    let tagged = fields.map(|field| (field.name().clone(), tags::of_field(field)));
    let object = TableObject {
        reference: datafusion::common::ResolvedTableReference {
            catalog: "".into(),
            schema: "".into(),
            table: "".into(),
        },
        department: String::new(),
        tags: source.tags,
        column_tags: tagged.filter(|(_, tags)| !tags.is_empty()).collect(),
        schema: Arc::clone(&source.schema),
    };
    let (_, whole) = tags::inherit(&Schema::empty(), &[object], &[]);
    let of_functions = match source.lineage.of_functions.is_empty() {
        true => BTreeSet::new(),
        false => schema.fields().iter().map(|field| field.name().clone()).collect(),
    };
    let all: BTreeSet<String> = source.lineage.columns.into_values().flatten().collect();
    let columns = schema.fields().iter();
    Source {
        lineage: Lineage {
            sources: source.lineage.sources,
            columns: columns.map(|field| (field.name().clone(), all.clone())).collect(),
            of_functions,
            ..Lineage::default()
        },
        versions: source.versions,
        memory: source.memory,
        tags: whole,
        schema,
        batches,
    }
}

fn encode(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>, QueryError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema).map_err(QueryError::internal)?;
    for batch in batches {
        writer.write(batch).map_err(QueryError::internal)?;
    }
    writer.into_inner().map_err(QueryError::internal)
}

/// What an Arrow stream ends with: a message of no length.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

fn decode(name: &str, bytes: Vec<u8>, rows_max: usize) -> Result<(SchemaRef, Vec<RecordBatch>), QueryError> {
    let wrong = |error| QueryError::Invalid(format!("the external step {name} gave no Arrow stream: {error}"));
    let mut reader = StreamReader::try_new(Cursor::new(bytes.as_slice()), None).map_err(wrong)?;
    // A program's words on columns are not the lab's: none of them becomes a tag.
    let plain = reader.schema();
    let plain = plain.fields().iter().map(|field| {
        let field = field.as_ref().clone();
        field.with_metadata(std::collections::HashMap::new())
    });
    let schema = narrow::narrow_schema(&Schema::new(plain.collect::<Vec<_>>()));
    let (mut batches, mut rows) = (Vec::new(), 0_usize);
    for batch in reader.by_ref() {
        let batch = batch.map_err(wrong)?;
        rows = rows.saturating_add(batch.num_rows());
        if rows > rows_max {
            return Err(QueryError::Exhausted(format!(
                "the external step {name} gave more than {rows_max} rows (limits.write_rows)"
            )));
        }
        batches.push(narrow::narrow_batch(&batch, &schema).map_err(wrong)?);
    }
    // The reader takes the end of the bytes for the end of the rows, too.
    let read = usize::try_from(reader.get_ref().position()).ok();
    if !read
        .and_then(|read| bytes.get(..read))
        .is_some_and(|read| read.ends_with(&END))
    {
        return Err(QueryError::Invalid(format!(
            "the external step {name} stopped amid its rows: its Arrow stream has no end mark; close the stream's writer before the program ends"
        )));
    }
    Ok((schema, batches))
}

async fn command(name: &str, step: &Step, input: Vec<u8>) -> Result<Vec<u8>, QueryError> {
    let failed = |what: &str, error: std::io::Error| {
        tracing::error!(step = name, %error, "{what}");
        QueryError::Unavailable(format!("the external step {name} cannot be run; see the server's log"))
    };
    let (program, arguments) = step
        .command
        .split_first()
        .ok_or_else(|| QueryError::internal("a step without a command"))?;
    let mut child = supervisor::command(program, arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| failed("its program does not start", error))?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let mut running = Running::of(child);
    let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(QueryError::internal("a program without its pipes"));
    };
    let send = async move {
        // A program that needs not all of its input may close it.
        let _ = stdin.write_all(&input).await;
        drop(stdin);
    };
    let most = (step.output_mib as u64) << 20;
    let complain = async move {
        let mut stderr = stderr;
        let kept = bytes(&mut stderr, COMPLAINT_BYTES_MAX).await.unwrap_or_default();
        // A program that complains at length is not stopped by nobody reading it.
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        kept
    };
    let ((), output, complaint) = tokio::join!(send, bytes(stdout, most), complain);
    let output = output.map_err(|error| failed("its output cannot be read", error))?;
    if output.len() as u64 > most {
        return Err(too_much(name, step));
    }
    let status = running
        .wait()
        .await
        .map_err(|error| failed("its end is not known", error))?;
    if !status.success() {
        let complaint = String::from_utf8_lossy(&complaint).into_owned();
        if let Some(reason) = supervisor::not_started(status, &complaint) {
            return Err(failed("its program does not start", std::io::Error::other(reason)));
        }
        tracing::error!(step = name, %status, complaint, "an external step failed");
        return Err(QueryError::Invalid(format!(
            "the external step {name} failed ({status}); the server's log has what it wrote to standard error"
        )));
    }
    Ok(output)
}

/// What comes until the end, or one byte more than `most`, which tells that there is more.
async fn bytes(from: impl AsyncRead + Unpin, most: u64) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    from.take(most.saturating_add(1)).read_to_end(&mut kept).await?;
    Ok(kept)
}

async fn call(name: &str, step: &Step, input: Vec<u8>, deadline: Duration) -> Result<Vec<u8>, QueryError> {
    let failed = |error: reqwest::Error| {
        // The address may be a secret.
        let error = error.without_url();
        tracing::error!(step = name, %error, "an external step does not answer");
        QueryError::Unavailable(format!(
            "the external step {name} does not answer; see the server's log"
        ))
    };
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(deadline)
        .user_agent(concat!("labhouse/", env!("CARGO_PKG_VERSION")));
    if step.url.starts_with("http:") {
        builder = builder.no_proxy();
    }
    let client = builder.build().map_err(failed)?;
    let request = client.post(&step.url).header(CONTENT_TYPE, STREAM).body(input);
    let mut answer = request.send().await.map_err(failed)?;
    let status = answer.status();
    if status != reqwest::StatusCode::OK {
        return Err(QueryError::Invalid(format!(
            "the external step {name} answered {status}"
        )));
    }
    let most = step.output_mib << 20;
    let mut output = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        output.extend(chunk);
        if output.len() > most {
            return Err(too_much(name, step));
        }
    }
    Ok(output)
}

fn too_much(name: &str, step: &Step) -> QueryError {
    QueryError::Exhausted(format!(
        "the external step {name} gave more than {} MiB (pipelines.steps.{name}.output_mib)",
        step.output_mib
    ))
}
