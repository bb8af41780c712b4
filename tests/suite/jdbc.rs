//! The Arrow Flight SQL JDBC driver's own sequence of calls, message by message, as its source (18.3.0 and 19.0.0) sends
//! them. The driver itself is in no registry that tests may use.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Int64Type, Schema, UInt32Type};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    Any, CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys,
    CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, DoPutPreparedStatementResult, DoPutUpdateResult,
    ProstMessageExt,
};
use arrow_flight::{Action, HandshakeRequest, IpcMessage, PutResult};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{TryStreamExt, stream};
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::lab::{self, Server};
use crate::raw::{IsUpdate, connect, descriptor, number_of_rows};

/// The codes that `DatabaseMetaData` reads, by the Java class each is cast to; 18.3 throws when one is missing, both
/// when the class is another.
const STRINGS: [u32; 8] = [0, 1, 504, 513, 514, 529, 530, 531];
const BOOLEANS: [u32; 23] = [
    3, 515, 516, 518, 519, 520, 521, 523, 524, 527, 532, 536, 537, 539, 556, 563, 565, 566, 572, 573, 574, 575, 576,
];
const LISTS: [u32; 5] = [508, 509, 510, 511, 512];
const MAPS: [u32; 1] = [517];
const INTEGERS: [u32; 11] = [522, 525, 526, 528, 533, 534, 535, 538, 540, 564, 567];
const LONGS: [u32; 21] = [
    541, 542, 543, 544, 545, 546, 547, 548, 549, 550, 551, 552, 553, 554, 555, 557, 558, 559, 560, 561, 562,
];

/// A connection of the driver: its token of the handshake, and the cookies it keeps.
struct Driver {
    client: FlightServiceClient<Channel>,
    authorization: String,
    cookie: Option<String>,
}

/// A statement as the driver prepares it.
struct Prepared {
    handle: Bytes,
    columns: Option<Schema>,
    parameters: Schema,
    is_update: Option<bool>,
}

impl Driver {
    /// Connects and logs in: an empty handshake with the password in its header.
    async fn connect(lab: &Server, user: &str, catalog: Option<&str>) -> Result<Self, Status> {
        let mut client = connect(lab).await;
        let mut request = Request::new(stream::iter(Vec::<HandshakeRequest>::new()));
        let basic = STANDARD.encode(format!("{user}:{user}-demo"));
        let headers = request.metadata_mut();
        headers.insert("authorization", format!("Basic {basic}").parse().unwrap());
        headers.insert("user-agent", "JDBC Flight SQL Driver 18.3.0".parse().unwrap());
        let answer = client.handshake(request).await?;
        let authorization = answer
            .metadata()
            .get("authorization")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let mut driver = Self {
            client,
            authorization,
            cookie: None,
        };
        let mut messages = answer.into_inner();
        while answer_is_there(&mut messages).await? {}
        if let Some(catalog) = catalog {
            driver.set_catalog(catalog).await?;
        }
        Ok(driver)
    }

    async fn set_catalog(&mut self, catalog: &str) -> Result<(), Status> {
        // {"catalog": string_value}
        let value = [&[0x0a, catalog.len() as u8], catalog.as_bytes()].concat();
        let entry = [b"\x0a\x07catalog\x12".as_slice(), &[value.len() as u8], &value].concat();
        let body = [&[0x0a, entry.len() as u8], entry.as_slice()].concat();
        let answer = self.act("SetSessionOptions", body).await?.unwrap();
        match answer.is_empty() {
            true => Ok(()),
            false => Err(Status::invalid_argument("Cannot set session option for catalog")),
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let headers = request.metadata_mut();
        headers.insert("authorization", self.authorization.parse().unwrap());
        if let Some(cookie) = &self.cookie {
            headers.insert("cookie", cookie.parse().unwrap());
        }
        request
    }

    fn keep_cookies<T>(&mut self, answer: &Response<T>) {
        keep(&mut self.cookie, answer.metadata());
    }

    async fn act(&mut self, name: &str, body: impl Into<Bytes>) -> Result<Option<Bytes>, Status> {
        let answer = self.client.do_action(self.request(Action::new(name, body))).await?;
        self.keep_cookies(&answer);
        let mut results = answer.into_inner();
        let first = results.message().await?;
        while answer_is_there(&mut results).await? {}
        Ok(first.map(|result| result.body))
    }

    /// GetFlightInfo, then DoGet of every endpoint on the same connection; the stream's schema must be the announced one.
    async fn fetch(&mut self, command: &impl ProstMessageExt) -> Result<(Schema, Vec<RecordBatch>), Status> {
        let answer = self.client.get_flight_info(self.request(descriptor(command))).await?;
        self.keep_cookies(&answer);
        let info = answer.into_inner();
        let announced = info.clone().try_decode_schema().unwrap();
        let mut all = Vec::new();
        for endpoint in info.endpoint {
            assert!(endpoint.location.is_empty(), "the driver reuses its connection");
            let answer = self.client.do_get(self.request(endpoint.ticket.unwrap())).await?;
            self.keep_cookies(&answer);
            let messages = answer.into_inner().map_err(FlightError::from);
            let mut batches = FlightRecordBatchStream::new_from_flight_data(messages);
            let came: Vec<RecordBatch> = (&mut batches).try_collect().await.map_err(Status::from)?;
            assert_eq!(batches.schema().unwrap().as_ref(), &announced);
            all.extend(came);
        }
        Ok((announced, all))
    }

    async fn prepare(&mut self, sql: &str) -> Result<Prepared, Status> {
        let request = ActionCreatePreparedStatementRequest {
            query: sql.into(),
            transaction_id: None,
        };
        let body = self
            .act("CreatePreparedStatement", request.as_any().encode_to_vec())
            .await?
            .unwrap();
        let any = Any::decode(body).unwrap();
        let is_update = IsUpdate::decode(any.value.clone()).unwrap().is_update;
        let result: ActionCreatePreparedStatementResult = any.unpack().unwrap().unwrap();
        let schema = |bytes: Bytes| Schema::try_from(IpcMessage(bytes)).unwrap();
        Ok(Prepared {
            handle: result.prepared_statement_handle,
            columns: (!result.dataset_schema.is_empty()).then(|| schema(result.dataset_schema)),
            parameters: schema(result.parameter_schema),
            is_update,
        })
    }

    /// What `Statement.executeQuery` and `executeUpdate` do: prepare, run as what the server says it is, close.
    async fn execute(&mut self, sql: &str) -> Result<Executed, Status> {
        let prepared = self.prepare(sql).await?;
        // Before 19 the schema decides alone.
        let legacy = prepared
            .columns
            .as_ref()
            .is_none_or(|columns| columns.fields().is_empty());
        assert_eq!(prepared.is_update, Some(legacy), "both drivers agree on {sql}");
        let executed = match legacy {
            true => Executed::Count(self.update(&prepared, None).await?),
            false => {
                let command = CommandPreparedStatementQuery {
                    prepared_statement_handle: prepared.handle.clone(),
                };
                let (schema, batches) = self.fetch(&command).await?;
                assert_eq!(Some(&schema), prepared.columns.as_ref(), "{sql}");
                Executed::Rows(batches)
            }
        };
        self.close(prepared).await;
        Ok(executed)
    }

    async fn put(&mut self, command: &impl ProstMessageExt, rows: Option<RecordBatch>) -> Result<PutResult, Status> {
        // Without parameters the driver sends an empty root: a schema without fields.
        let rows = rows.unwrap_or_else(|| RecordBatch::new_empty(Arc::new(Schema::empty())));
        let messages: Vec<_> = FlightDataEncoderBuilder::new()
            .with_schema(rows.schema())
            .with_flight_descriptor(Some(descriptor(command)))
            .build(stream::iter([Ok(rows)]))
            .try_collect()
            .await
            .unwrap();
        let answer = self.client.do_put(self.request(stream::iter(messages))).await?;
        self.keep_cookies(&answer);
        Ok(answer.into_inner().message().await?.unwrap())
    }

    async fn update(&mut self, prepared: &Prepared, rows: Option<RecordBatch>) -> Result<i64, Status> {
        let command = CommandPreparedStatementUpdate {
            prepared_statement_handle: prepared.handle.clone(),
        };
        let result = self.put(&command, rows).await?;
        Ok(DoPutUpdateResult::decode(result.app_metadata).unwrap().record_count)
    }

    /// What `PreparedStatement.executeQuery` does: bind by DoPut, take the handle it answers with, run.
    async fn query(&mut self, prepared: &mut Prepared, values: RecordBatch) -> Result<Vec<RecordBatch>, Status> {
        for (field, bound) in prepared.parameters.fields().iter().zip(values.schema().fields()) {
            assert_eq!(
                field.data_type(),
                bound.data_type(),
                "the driver binds what it was told"
            );
            assert!(field.is_nullable(), "or it cannot bind a null");
        }
        let command = |handle: &Bytes| CommandPreparedStatementQuery {
            prepared_statement_handle: handle.clone(),
        };
        let result = self.put(&command(&prepared.handle), Some(values)).await?;
        let result = DoPutPreparedStatementResult::decode(result.app_metadata).unwrap();
        if let Some(handle) = result.prepared_statement_handle {
            prepared.handle = handle;
        }
        Ok(self.fetch(&command(&prepared.handle)).await?.1)
    }

    async fn close(&mut self, prepared: Prepared) {
        let request = ActionClosePreparedStatementRequest {
            prepared_statement_handle: prepared.handle,
        };
        let closed = self
            .act("ClosePreparedStatement", request.as_any().encode_to_vec())
            .await;
        assert_eq!(closed.unwrap(), None);
    }
}

#[derive(Debug)]
enum Executed {
    Rows(Vec<RecordBatch>),
    Count(i64),
}

impl Executed {
    fn rows(self) -> Vec<RecordBatch> {
        match self {
            Self::Rows(rows) => rows,
            Self::Count(count) => panic!("{count} rows were changed where rows were asked for"),
        }
    }

    fn count(self) -> i64 {
        match self {
            Self::Count(count) => count,
            Self::Rows(rows) => panic!("rows came where a count was asked for: {rows:?}"),
        }
    }
}

async fn answer_is_there<T>(messages: &mut tonic::Streaming<T>) -> Result<bool, Status> {
    Ok(messages.message().await?.is_some())
}

/// As the driver's cookie middleware: the last of each name, none when its age is 0.
fn keep(cookie: &mut Option<String>, headers: &MetadataMap) {
    for line in headers.get_all("set-cookie") {
        let line = line.to_str().unwrap();
        let pair = line.split(';').next().unwrap().to_owned();
        *cookie = (!line.contains("Max-Age=0")).then_some(pair);
    }
}

fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let named = columns
        .into_iter()
        .enumerate()
        .map(|(at, column)| (format!("${}", at + 1), column, true));
    RecordBatch::try_from_iter_with_nullable(named).unwrap()
}

fn longs(batches: &[RecordBatch]) -> Vec<i64> {
    let of = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    batches.iter().flat_map(of).collect()
}

fn texts(batches: &[RecordBatch], column: usize) -> Vec<String> {
    let of = |batch: &RecordBatch| {
        let texts = batch.column(column).as_string::<i32>().iter();
        texts
            .map(|text| text.unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    batches.iter().flat_map(of).collect()
}

#[tokio::test]
async fn connecting_names_a_catalog_and_closing_ends_its_session() {
    let lab = lab::shared();
    let mut driver = Driver::connect(&lab, "sam", Some("lab")).await.unwrap();
    // DBeaver sets the catalog again on every new connection of a pool.
    driver.set_catalog("lab").await.unwrap();
    assert_eq!(longs(&driver.execute("SELECT 1").await.unwrap().rows()), [1]);
    assert!(driver.act("CloseSession", "").await.unwrap().is_some());
    let refused = Driver::connect(&lab, "sam", Some("nowhere")).await.err().unwrap();
    assert!(refused.message().contains("catalog"), "{refused}");
    let wrong = Driver::connect(&lab, "nobody", None).await.err().unwrap();
    assert_eq!(wrong.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn every_sql_info_has_the_class_it_is_cast_to() {
    let lab = lab::shared();
    let mut driver = Driver::connect(&lab, "sam", None).await.unwrap();
    let (schema, batches) = driver.fetch(&CommandGetSqlInfo { info: Vec::new() }).await.unwrap();
    assert_eq!(schema.field(0).data_type(), &DataType::UInt32);
    assert!(!schema.field(0).is_nullable() && !schema.field(1).is_nullable());
    let [batch] = batches.as_slice() else {
        panic!("one batch")
    };
    let codes = batch.column(0).as_primitive::<UInt32Type>().values().to_vec();
    assert!(codes.is_sorted(), "{codes:?}");
    let values = batch.column(1).as_union();
    // The union's types in the format's order: text, flag, long, 32-bit mask, list, map.
    let class = |code: u32| {
        let row = codes.iter().position(|known| *known == code);
        let row = row.unwrap_or_else(|| panic!("no code {code}"));
        assert!(!values.value(row).is_null(0), "{code}");
        values.type_id(row)
    };
    for (type_id, cast) in [
        (0, STRINGS.as_slice()),
        (1, &BOOLEANS),
        (2, &LONGS),
        (3, &INTEGERS),
        (4, &LISTS),
        (5, &MAPS),
    ] {
        for code in cast {
            assert_eq!(class(*code), type_id, "{code}");
        }
    }
    // Some codes only, each once, in whatever order they were asked for.
    let info = vec![8, 0, 575, 4, 4];
    let (_, batches) = driver.fetch(&CommandGetSqlInfo { info }).await.unwrap();
    let mut some = batches[0].column(0).as_primitive::<UInt32Type>().values().to_vec();
    some.sort_unstable();
    some.dedup();
    assert_eq!(some, [0, 4, 8, 575]);
}

#[tokio::test]
async fn the_trees_of_its_tools_are_filled() {
    let lab = lab::shared();
    let mut driver = Driver::connect(&lab, "sam", None).await.unwrap();
    let (_, catalogs) = driver.fetch(&CommandGetCatalogs {}).await.unwrap();
    assert_eq!(texts(&catalogs, 0), ["lab"]);
    let (_, schemas) = driver.fetch(&CommandGetDbSchemas::default()).await.unwrap();
    let names = texts(&schemas, 1);
    assert!(
        names.is_sorted() && names.contains(&"chemistry".to_owned()),
        "{names:?}"
    );
    let (_, types) = driver.fetch(&CommandGetTableTypes {}).await.unwrap();
    assert_eq!(texts(&types, 0), ["BASE TABLE", "VIEW"]);
    let named = |catalog: Option<&str>, schema: Option<&str>, table: Option<&str>| CommandGetTables {
        catalog: catalog.map(str::to_owned),
        db_schema_filter_pattern: schema.map(str::to_owned),
        table_name_filter_pattern: table.map(str::to_owned),
        table_types: Vec::new(),
        include_schema: true,
    };
    for (command, found) in [
        (named(Some("lab"), Some("chemistry"), Some("plate\\_readings")), 1),
        (named(None, Some("chem%"), Some("plate_readings")), 1),
        (named(None, None, Some("PLATE_READINGS")), 0),
        (named(Some(""), None, None), 0),
        (named(Some("other"), None, None), 0),
        (named(None, Some(""), None), 0),
        (named(None, None, Some("plate\\%")), 0),
    ] {
        let shown = format!("{command:?}");
        let (_, tables) = driver.fetch(&command).await.unwrap();
        assert_eq!(number_of_rows(&tables), found, "{shown}");
    }
    // getColumns reads the columns from each table's schema.
    let (_, tables) = driver
        .fetch(&named(None, Some("chemistry"), Some("plate\\_readings")))
        .await
        .unwrap();
    let bytes = Bytes::copy_from_slice(tables[0].column(4).as_binary::<i32>().value(0));
    let columns = Schema::try_from(IpcMessage(bytes)).unwrap();
    for field in columns.fields() {
        let told = |key: &str| field.metadata().get(&format!("ARROW:FLIGHT:SQL:{key}")).cloned();
        assert_eq!(told("CATALOG_NAME").as_deref(), Some("lab"));
        assert_eq!(told("TABLE_NAME").as_deref(), Some("plate_readings"));
        assert!(told("TYPE_NAME").is_some_and(|name| !name.is_empty()), "{field}");
        assert_eq!(
            told("IS_READ_ONLY").as_deref(),
            Some("0"),
            "rows come by files and statements"
        );
    }
    // A materialized view holds rows as a table does: tools that list tables alone find it, here and in information_schema.
    let of_kind = |kind: &str| CommandGetTables {
        table_types: vec![kind.to_owned()],
        ..named(None, Some("chemistry"), Some("reactions"))
    };
    for (kind, found) in [("VIEW", 0), ("BASE TABLE", 1), ("TABLE", 1)] {
        let (_, tables) = driver.fetch(&of_kind(kind)).await.unwrap();
        assert_eq!(number_of_rows(&tables), found, "{kind}");
    }
    let kinds = "SELECT table_name FROM lab.information_schema.tables WHERE table_schema = 'chemistry' AND table_type = 'BASE TABLE' AND table_name IN ('reactions', 'lots')";
    assert_eq!(texts(&driver.execute(kinds).await.unwrap().rows(), 0), ["reactions"]);
    // What somebody may not see is in no tree.
    let mut ana = Driver::connect(&lab, "ana", None).await.unwrap();
    let (_, hidden) = ana.fetch(&named(None, None, Some("plate\\_readings"))).await.unwrap();
    assert_eq!(number_of_rows(&hidden), 0);
    let (_, seen) = ana.fetch(&named(None, None, None)).await.unwrap();
    assert!(number_of_rows(&seen) > 0);
    let of = |table: &str| (Some("lab".to_owned()), Some("chemistry".to_owned()), table.to_owned());
    let (catalog, db_schema, table) = of("plate_readings");
    let primary = CommandGetPrimaryKeys {
        catalog: catalog.clone(),
        db_schema: db_schema.clone(),
        table: table.clone(),
    };
    let exported = CommandGetExportedKeys {
        catalog: catalog.clone(),
        db_schema: db_schema.clone(),
        table: table.clone(),
    };
    let imported = CommandGetImportedKeys {
        catalog,
        db_schema,
        table,
    };
    let (schema, keys) = driver.fetch(&primary).await.unwrap();
    assert_eq!(
        (schema.field(4).name().as_str(), number_of_rows(&keys)),
        ("key_name", 0)
    );
    let (schema, _) = driver.fetch(&exported).await.unwrap();
    assert_eq!(schema.field(12).name(), "delete_rule");
    assert!(driver.fetch(&imported).await.is_ok());
    let cross = CommandGetCrossReference {
        pk_table: "plate_readings".into(),
        fk_table: "reactions".into(),
        ..Default::default()
    };
    assert!(driver.fetch(&cross).await.is_ok());
}

#[tokio::test]
async fn statements_are_prepared_run_and_closed() {
    let lab = lab::own();
    let mut driver = Driver::connect(&lab, "ada", Some("lab")).await.unwrap();
    for sql in [
        "SELECT version()",
        "SELECT count(*) AS n FROM lab.chemistry.reactions",
        "SELECT * FROM lab.chemistry.plate_readings WHERE false",
        "SELECT 'a' AS t UNION ALL SELECT catalyst FROM lab.chemistry.reactions LIMIT 3",
        "EXPLAIN SELECT 1",
        "SHOW TABLES",
    ] {
        driver.execute(sql).await.unwrap().rows();
    }
    for (sql, count) in [
        (
            "CREATE TABLE lab.scratch.jdbc (id BIGINT, word VARCHAR, at TIMESTAMP)",
            0,
        ),
        (
            "INSERT INTO lab.scratch.jdbc VALUES (1, 'one', NULL), (2, NULL, NULL)",
            2,
        ),
        ("UPDATE lab.scratch.jdbc SET word = 'two' WHERE id = 2", 1),
        ("DELETE FROM lab.scratch.jdbc WHERE id = 1", 1),
    ] {
        assert_eq!(driver.execute(sql).await.unwrap().count(), count, "{sql}");
    }
    // A batch goes in as one: a root of many rows, one count.
    let prepared = driver
        .prepare("INSERT INTO lab.scratch.jdbc VALUES (?, ?, ?)")
        .await
        .unwrap();
    assert_eq!(prepared.is_update, Some(true));
    let types: Vec<&DataType> = prepared
        .parameters
        .fields()
        .iter()
        .map(|field| field.data_type())
        .collect();
    assert!(
        matches!(
            types.as_slice(),
            [DataType::Int64, DataType::Utf8, DataType::Timestamp(_, None)]
        ),
        "{types:?}"
    );
    let version = "SELECT version FROM lab.system.commits WHERE table_schema = 'scratch' AND table_name = 'jdbc'";
    let before = lab.number("ada", version).await;
    let rows = batch(vec![
        Arc::new(Int64Array::from_iter_values(10..510)),
        Arc::new(StringArray::from_iter(
            (10..510).map(|n| (n % 2 == 0).then(|| n.to_string())),
        )),
        Arc::new(TimestampMillisecondArray::from_iter_values((10..510).map(|n| n * 1000))),
    ]);
    assert_eq!(driver.update(&prepared, Some(rows)).await.unwrap(), 500);
    assert_eq!(lab.number("ada", "SELECT count(*) FROM lab.scratch.jdbc").await, 501);
    let seconds = "SELECT CAST(sum(date_part('epoch', at)) AS BIGINT) FROM lab.scratch.jdbc";
    assert_eq!(lab.number("ada", seconds).await, (10..510).sum::<i64>());
    assert_eq!(lab.number("ada", version).await - before, 1, "one commit for all");
    // One that does not fit leaves nothing.
    let wrong = batch(vec![
        Arc::new(StringArray::from(vec!["1", "no number"])),
        Arc::new(StringArray::from(vec!["a", "b"])),
        Arc::new(StringArray::from(vec![None::<&str>, None])),
    ]);
    let refused = driver.update(&prepared, Some(wrong)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert_eq!(lab.number("ada", "SELECT count(*) FROM lab.scratch.jdbc").await, 501);
    driver.close(prepared).await;
    // And nobody writes this way who may not.
    let mut guest = Driver::connect(&lab, "guest", None).await.unwrap();
    let prepared = guest.prepare("INSERT INTO lab.scratch.jdbc VALUES (?, ?, ?)").await;
    let many = batch(vec![
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(StringArray::from(vec!["a", "b"])),
        Arc::new(TimestampMillisecondArray::from(vec![0, 0])),
    ]);
    let refused = match prepared {
        Ok(prepared) => guest.update(&prepared, Some(many)).await.unwrap_err(),
        Err(refused) => refused,
    };
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    assert_eq!(lab.number("ada", "SELECT count(*) FROM lab.scratch.jdbc").await, 501);
}

#[tokio::test]
async fn parameters_are_bound_as_they_were_announced_and_bound_again() {
    let lab = lab::shared();
    let mut driver = Driver::connect(&lab, "sam", None).await.unwrap();
    let sql =
        "SELECT count(*) AS n FROM lab.chemistry.plate_readings WHERE \"column\" <= ? AND run_at >= ? AND well LIKE ?";
    let mut prepared = driver.prepare(sql).await.unwrap();
    assert_eq!(prepared.is_update, Some(false));
    assert_eq!(prepared.columns.as_ref().unwrap().field(0).name(), "n");
    let bind = |column: i64, pattern: &str| {
        batch(vec![
            Arc::new(Int64Array::from(vec![column])),
            Arc::new(TimestampMillisecondArray::from(vec![0])),
            Arc::new(StringArray::from(vec![pattern])),
        ])
    };
    for (column, pattern, wells) in [(1, "A%", 96), (24, "A%", 96 * 24), (24, "%", 36_864), (0, "%", 0)] {
        let rows = driver.query(&mut prepared, bind(column, pattern)).await.unwrap();
        assert_eq!(longs(&rows), [wells]);
    }
    driver.close(prepared).await;

    // What nothing types is announced as a type that can be bound, and the statement as a query with columns.
    for (sql, types, columns) in [
        ("SELECT ? AS x", "Utf8", "Utf8"),
        ("SELECT upper(?) AS x", "Utf8", "Utf8"),
        ("SELECT CAST(? AS BIGINT) + 1 AS x", "Int64", "Int64"),
        ("SELECT ? + ? AS x", "Int64 Int64", "Int64"),
        (
            "SELECT plate_id AS x FROM lab.chemistry.plate_readings ORDER BY 1 LIMIT ? OFFSET ?",
            "Int64 Int64",
            "Utf8",
        ),
        (
            "SELECT ? AS x FROM lab.chemistry.plate_readings WHERE well = ? LIMIT 1",
            "Utf8 Utf8",
            "Utf8",
        ),
        (
            "SELECT count(*) AS x FROM warning_list('lab.chemistry.yield_model', ?)",
            "Int64",
            "Int64",
        ),
    ] {
        let prepared = driver
            .prepare(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(prepared.is_update, Some(false), "{sql}");
        let told: Vec<String> = prepared
            .parameters
            .fields()
            .iter()
            .map(|field| field.data_type().to_string())
            .collect();
        assert_eq!(told.join(" "), types, "{sql}");
        let known = prepared
            .columns
            .as_ref()
            .unwrap_or_else(|| panic!("{sql} has no columns"));
        assert_eq!(known.field(0).data_type().to_string(), columns, "{sql}");
        driver.close(prepared).await;
    }
    let mut prepared = driver.prepare("SELECT ? AS x").await.unwrap();
    for text in [Some("one"), None, Some("it's; --")] {
        let values = batch(vec![Arc::new(StringArray::from(vec![text]))]);
        let rows = driver.query(&mut prepared, values).await.unwrap();
        assert_eq!(texts(&rows, 0), [text.unwrap_or_default()]);
    }
    let mut limited = driver
        .prepare("SELECT well FROM lab.chemistry.plate_readings LIMIT ?")
        .await
        .unwrap();
    for rows in [3, 0, 7] {
        let values = batch(vec![Arc::new(Int64Array::from(vec![rows]))]);
        let came = driver.query(&mut limited, values).await.unwrap();
        assert_eq!(number_of_rows(&came), usize::try_from(rows).unwrap());
    }
    let mut function = driver
        .prepare("SELECT count(*) AS n FROM top_recommendations('lab.chemistry.yield_model', ?)")
        .await
        .unwrap();
    let values = batch(vec![Arc::new(Int64Array::from(vec![4]))]);
    assert_eq!(longs(&driver.query(&mut function, values).await.unwrap()), [4]);
    // Hidden and absent look the same to a statement with open parameters, too.
    let mut guest = Driver::connect(&lab, "guest", None).await.unwrap();
    let ask = |table: &str| format!("SELECT * FROM lab.chemistry.{table} WHERE well = ?");
    let hidden = guest.prepare(&ask("plate_readings")).await.err().unwrap();
    let absent = guest.prepare(&ask("no_such_table")).await.err().unwrap();
    assert_eq!(hidden.code(), absent.code());
    assert_eq!(
        hidden.message().replace("plate_readings", "no_such_table"),
        absent.message()
    );
}
