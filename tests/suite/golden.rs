//! Who may go through which door to what: the demo's people against everything the server has, as committed text.
//!
//! `golden.txt` has a row for each system table, table function, kind of statement, action and command of the protocol; unit
//! tests beside those lists fail when one has no row here. A changed cell is a changed right: read the difference before
//! you commit it. With LABHOUSE_BLESS=1 the test writes the file anew.

use std::fmt::Write;
use std::process::Command;

use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedSubstraitPlanRequest, Any, CommandGetCatalogs,
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementSubstraitPlan, CommandStatementUpdate, ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{Action, Criteria, Empty, FlightData, FlightDescriptor, Ticket};
use futures::stream;
use prost::Message;
use tonic::{Code, Status};

use crate::lab::{self, Server};
use crate::page_client;
use crate::postgres_raw;
use crate::raw::{Raw, choose, connect, rows_of};
use crate::substrait;

/// In the order of the columns; nobody is not logged in.
const PEOPLE: [&str; 6] = ["ada", "sam", "ana", "dee", "guest", "nobody"];

/// How a row is tried.
enum Try {
    Read(&'static str),
    /// `@` stands for the person's name, so that each makes a thing of his own.
    Write(&'static str),
    /// The command as descriptor, and what it gives as a ticket.
    Info(Any),
    Get(Any),
    Put(Any),
    Act(&'static str, Vec<u8>),
    Method(&'static str),
    /// With a personal token made with these words of the command line.
    Token(&'static [&'static str], &'static str),
    /// Method and path of the HTTP door, and its body.
    Http(&'static str, &'static str),
    /// A statement at the PostgreSQL door.
    Postgres(&'static str),
    /// A prepared statement with two rows bound to it: numbers.
    Many(&'static str),
    /// A statement in the session of a schema: its bare names are there.
    Bare(&'static str, &'static str),
}

fn rows() -> Vec<(&'static str, &'static str, Try)> {
    use Try::{Act, Bare, Get, Http, Info, Many, Method, Postgres, Put, Read, Token, Write};
    let query = CommandStatementQuery {
        query: "SELECT count(*) FROM lab.chemistry.reactions".into(),
        transaction_id: None,
    };
    let update = CommandStatementUpdate {
        query: "DELETE FROM lab.chemistry.reagent_lots WHERE false".into(),
        transaction_id: None,
    };
    let prepare_plan = ActionCreatePreparedSubstraitPlanRequest {
        plan: substrait::counting().plan,
        transaction_id: None,
    };
    let prepare = ActionCreatePreparedStatementRequest {
        query: query.query.clone(),
        transaction_id: None,
    };
    let keys = CommandGetPrimaryKeys {
        table: "reactions".into(),
        ..Default::default()
    };
    let exported = CommandGetExportedKeys {
        table: "reactions".into(),
        ..Default::default()
    };
    let imported = CommandGetImportedKeys {
        table: "reactions".into(),
        ..Default::default()
    };
    let cross = CommandGetCrossReference {
        pk_table: "reactions".into(),
        fk_table: "protocols".into(),
        ..Default::default()
    };
    vec![
        (
            "system table",
            "alert_events",
            Read("SELECT count(*) FROM system.alert_events"),
        ),
        ("system table", "alerts", Read("SELECT count(*) FROM system.alerts")),
        ("system table", "audit", Read("SELECT count(*) FROM system.audit")),
        ("system table", "commits", Read("SELECT count(*) FROM system.commits")),
        ("system table", "files", Read("SELECT count(*) FROM system.files")),
        ("system table", "lineage", Read("SELECT count(*) FROM system.lineage")),
        (
            "system table",
            "proposed_tags",
            Read("SELECT count(*) FROM system.proposed_tags"),
        ),
        ("system table", "nodes", Read("SELECT count(*) FROM system.nodes")),
        (
            "system table",
            "maintenance",
            Read("SELECT count(*) FROM system.maintenance"),
        ),
        ("system table", "models", Read("SELECT count(*) FROM system.models")),
        (
            "system table",
            "pipelines",
            Read("SELECT count(*) FROM system.pipelines"),
        ),
        ("system table", "policies", Read("SELECT count(*) FROM system.policies")),
        (
            "system table",
            "policy_files",
            Read("SELECT count(*) FROM system.policy_files"),
        ),
        (
            "system table",
            "policy_rules",
            Read("SELECT count(*) FROM system.policy_rules"),
        ),
        (
            "system table",
            "profiles",
            Read("SELECT count(nulls) FROM system.profiles WHERE table_name = 'reagent_lots'"),
        ),
        (
            "system table",
            "quarantine",
            Read("SELECT count(*) FROM system.quarantine"),
        ),
        ("system table", "queries", Read("SELECT count(*) FROM system.queries")),
        ("system table", "training", Read("SELECT count(*) FROM system.training")),
        (
            "system table",
            "ungoverned",
            Read("SELECT count(*) FROM system.ungoverned"),
        ),
        (
            "table function",
            "top_recommendations",
            Read("SELECT count(*) FROM top_recommendations('lab.chemistry.yield_model', 3)"),
        ),
        (
            "table function",
            "warning_list",
            Read("SELECT count(*) FROM warning_list('lab.chemistry.yield_model', 3)"),
        ),
        (
            "table function",
            "recommend_plate",
            Read("SELECT count(*) FROM recommend_plate('lab.chemistry.yield_model', 2, 3)"),
        ),
        (
            "table function",
            "model_leaderboard",
            Read("SELECT count(*) FROM model_leaderboard('lab.chemistry.yield_model')"),
        ),
        (
            "table function",
            "feature_importance",
            Read("SELECT count(*) FROM feature_importance('lab.chemistry.yield_model')"),
        ),
        (
            "table function",
            "model_card",
            Read("SELECT count(*) FROM model_card('lab.chemistry.yield_model')"),
        ),
        (
            "table function",
            "predict_interval",
            Read(
                "SELECT count(*) FROM predict_interval('lab.chemistry.yield_model', 'a', 'b', 'c', 'd', 'e', 60.0, 1.0, 300.0, 3.0, 50.0, 3.0, 1.0)",
            ),
        ),
        (
            "table function",
            "explain_prediction",
            Read(
                "SELECT count(*) FROM explain_prediction('lab.chemistry.yield_model', 'a', 'b', 'c', 'd', 'e', 60.0, 1.0, 300.0, 3.0, 50.0, 3.0, 1.0)",
            ),
        ),
        (
            "table function",
            "partial_dependence",
            Read("SELECT count(*) FROM partial_dependence('lab.chemistry.yield_model', 'rtb')"),
        ),
        (
            "table function",
            "model_drift",
            Read("SELECT count(*) FROM model_drift('lab.chemistry.yield_model', 'lab.chemistry.reactions')"),
        ),
        (
            "table function",
            "plate_effects",
            Read("SELECT count(*) FROM plate_effects('lab.chemistry.plate_readings', 'yield_pct')"),
        ),
        (
            "table function",
            "forecast",
            Read("SELECT count(*) FROM forecast('lab.chemistry.reagent_use', 'day', 'grams', 3)"),
        ),
        (
            "table function",
            "anomaly_score",
            Read("SELECT count(*) FROM anomaly_score('lab.chemistry.reagent_use', 'day', 'grams')"),
        ),
        (
            "table function",
            "search_catalog",
            Read("SELECT count(*) FROM search_catalog('yield solvent')"),
        ),
        (
            "table function",
            "search_facets",
            Read("SELECT count(*) FROM search_facets('yield solvent')"),
        ),
        (
            "table function",
            "table_history",
            Read("SELECT count(*) FROM table_history('lab.chemistry.reactions')"),
        ),
        (
            "table function",
            "table_changes",
            Read("SELECT count(*) FROM table_changes('lab.chemistry.reactions', 0)"),
        ),
        (
            "function",
            "predict",
            Read(
                "SELECT predict('lab.chemistry.yield_model', 'a', 'b', 'c', 'd', 'e', 60.0, 1.0, 300.0, 3.0, 50.0, 3.0, 1.0)",
            ),
        ),
        (
            "function",
            "predict_yield",
            Read("SELECT predict_yield('a', 'b', 'c', 'd', 'e', 60.0, 1.0, 300.0, 3.0, 50.0, 3.0, 1.0)"),
        ),
        (
            "statement",
            "Read",
            Read("SELECT count(*) FROM lab.chemistry.reactions"),
        ),
        (
            "statement",
            "Read EXPLAIN",
            Read("EXPLAIN SELECT count(*) FROM lab.chemistry.reactions"),
        ),
        ("statement", "Read DESCRIBE", Read("DESCRIBE lab.chemistry.reactions")),
        ("statement", "Read SHOW TABLES", Read("SHOW TABLES")),
        (
            "statement",
            "Read information_schema",
            Read("SELECT count(*) FROM information_schema.tables"),
        ),
        (
            "statement",
            "Read another department",
            Read("SELECT count(*) FROM lab.assay.ic50"),
        ),
        (
            "statement",
            "CreateModel",
            Write(
                "CREATE MODEL lab.chemistry.golden_@ OPTIONS (target = 'no_such_column') AS SELECT yield_pct FROM lab.chemistry.reactions LIMIT 5",
            ),
        ),
        (
            "statement",
            "CreateModel FROM",
            Write("CREATE MODEL lab.chemistry.golden_@ FROM 'landing/chemistry/_models/no_such_file.onnx'"),
        ),
        (
            "statement",
            "DropModel",
            Write("DROP MODEL IF EXISTS lab.chemistry.golden_@"),
        ),
        (
            "statement",
            "CreateTableAs",
            Write("CREATE TABLE lab.chemistry.golden_@ AS SELECT 1 AS n"),
        ),
        (
            "statement",
            "Insert",
            Write("INSERT INTO lab.chemistry.reagent_lots SELECT * FROM lab.chemistry.reagent_lots WHERE false"),
        ),
        (
            "statement",
            "Change UPDATE",
            Write("UPDATE lab.chemistry.reagent_lots SET lot = lot WHERE false"),
        ),
        (
            "statement",
            "Change DELETE",
            Write("DELETE FROM lab.chemistry.reagent_lots WHERE false"),
        ),
        (
            "statement",
            "Change MERGE",
            Write(
                "MERGE INTO lab.chemistry.reagent_lots t USING (SELECT 'x' AS lot WHERE false) s ON t.lot = s.lot WHEN MATCHED THEN DELETE",
            ),
        ),
        (
            "statement",
            "ExplainPolicy",
            Read("EXPLAIN POLICY ON lab.chemistry.reactions"),
        ),
        (
            "statement",
            "ExplainPolicy FOR another",
            Read("EXPLAIN POLICY FOR ana ON lab.chemistry.reactions"),
        ),
        (
            "statement",
            "ExplainPolicy FOR ALL",
            Read("EXPLAIN POLICY FOR ALL ON lab.chemistry.reactions"),
        ),
        (
            "statement",
            "ExplainPolicy CHANGES",
            Read(
                "EXPLAIN POLICY CHANGES POLICY 'g, user:ada, role:lake_admin, *\np, role:lake_admin, *, **, *, allow'",
            ),
        ),
        (
            "statement",
            "SetModelVersion",
            Write("ALTER MODEL lab.chemistry.yield_model SET VERSION 1"),
        ),
        (
            "statement",
            "SetModelFunction",
            Write("ALTER MODEL lab.chemistry.yield_model SET FUNCTION 'predict_yield'"),
        ),
        (
            "statement",
            "Upkeep OPTIMIZE",
            Write("OPTIMIZE lab.chemistry.reagent_lots"),
        ),
        (
            "statement",
            "Upkeep COMMENT",
            Write("COMMENT ON TABLE lab.chemistry.reagent_lots IS 'what is in stock'"),
        ),
        (
            "statement",
            "Upkeep DROP",
            Write("DROP TABLE lab.chemistry.reagent_use"),
        ),
        (
            "statement",
            "Upkeep UNDROP",
            Write("UNDROP TABLE lab.chemistry.reagent_use"),
        ),
        (
            "statement",
            "Upkeep RESTORE",
            Write("RESTORE TABLE lab.chemistry.reagent_lots TO TIMESTAMP AS OF '2099-01-01'"),
        ),
        (
            "statement",
            "View",
            Write("REFRESH MATERIALIZED VIEW lab.chemistry.reactions"),
        ),
        (
            "statement",
            "Library CREATE",
            Write(
                "CREATE VIRTUAL LIBRARY lab.chemistry.combined_@ FROM (SELECT DISTINCT catalyst FROM lab.chemistry.reactions) CROSS (SELECT DISTINCT base FROM lab.chemistry.reactions)",
            ),
        ),
        (
            "statement",
            "Library DROP",
            Write("DROP VIRTUAL LIBRARY lab.chemistry.combined_@"),
        ),
        (
            "statement",
            "Quarantine RELEASE",
            Write("RELEASE QUARANTINE 'chemistry/reagent_lots/golden.csv'"),
        ),
        (
            "statement",
            "Quarantine IGNORE",
            Write("IGNORE QUARANTINE 'chemistry/reagent_lots/golden.csv'"),
        ),
        (
            "statement",
            "Quarantine RELEASE of no table",
            Write("RELEASE QUARANTINE 'golden.csv'"),
        ),
        (
            "statement",
            "CancelQuery",
            Write("CANCEL QUERY '00000000-0000-0000-0000-000000000000'"),
        ),
        (
            "statement",
            "Alert CREATE",
            Write("CREATE ALERT golden_@ ON lab.chemistry.reagent_lots WHEN stock_g < 0 NOTIFY @ BY outbox"),
        ),
        (
            "statement",
            "Alert CREATE REPORT",
            Write(
                "CREATE REPORT report_@ AS SELECT count(*) AS n FROM lab.chemistry.reagent_lots EVERY 1 DAY NOTIFY @ BY outbox",
            ),
        ),
        (
            "statement",
            "Alert ALTER",
            Write("ALTER ALERT low_yield SILENCE FOR 1 HOUR"),
        ),
        ("statement", "Alert DROP", Write("DROP ALERT golden_@")),
        (
            "statement",
            "Read another version",
            Read("SELECT count(*) FROM lab.chemistry.reactions FOR VERSION AS OF 0"),
        ),
        (
            "statement",
            "SetTags",
            Write("ALTER TABLE lab.chemistry.reagent_lots SET TAGS (golden = 'yes')"),
        ),
        (
            "refused statement",
            "SET",
            Read("SET datafusion.execution.batch_size = 1"),
        ),
        (
            "refused statement",
            "COPY",
            Write("COPY (SELECT 1) TO '/tmp/golden.csv'"),
        ),
        (
            "refused statement",
            "CREATE EXTERNAL TABLE",
            Write("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'"),
        ),
        (
            "refused statement",
            "CREATE VIEW",
            Write("CREATE VIEW lab.chemistry.v AS SELECT 1"),
        ),
        (
            "refused statement",
            "CREATE FUNCTION",
            Write("CREATE FUNCTION f(BIGINT) RETURNS BIGINT RETURN $1"),
        ),
        ("refused statement", "PREPARE", Write("PREPARE p AS SELECT 1")),
        (
            "refused statement",
            "GRANT",
            Write("GRANT SELECT ON lab.chemistry.reactions TO guest"),
        ),
        (
            "refused statement",
            "TRUNCATE",
            Write("TRUNCATE TABLE lab.chemistry.reagent_lots"),
        ),
        ("command", "CommandStatementQuery", Info(query.as_any())),
        ("command", "CommandStatementQuery as ticket", Get(query.as_any())),
        ("command", "CommandStatementUpdate", Put(update.as_any())),
        (
            "command",
            "CommandStatementIngest",
            Put(CommandStatementIngest {
                table: "reagent_lots".into(),
                ..Default::default()
            }
            .as_any()),
        ),
        (
            "command",
            "CommandStatementQuery in a session's schema",
            Bare("chemistry", "SELECT count(*) FROM reactions"),
        ),
        (
            "command",
            "CommandPreparedStatementUpdate of many rows",
            // There is no such column, so that nothing is written: who may write is told so.
            Many("INSERT INTO lab.chemistry.reagent_lots (no_such_column) VALUES (?)"),
        ),
        (
            "command",
            "CommandStatementSubstraitPlan",
            Info(substrait::counting().as_any()),
        ),
        (
            "command",
            "CommandStatementSubstraitPlan as ticket",
            Get(substrait::counting().as_any()),
        ),
        (
            "command",
            "CommandStatementSubstraitPlan of nothing",
            Info(CommandStatementSubstraitPlan::default().as_any()),
        ),
        (
            "command",
            "CommandPreparedStatementQuery",
            Info(CommandPreparedStatementQuery::default().as_any()),
        ),
        (
            "command",
            "CommandPreparedStatementUpdate",
            Put(CommandPreparedStatementUpdate::default().as_any()),
        ),
        (
            "command",
            "TicketStatementQuery",
            Get(TicketStatementQuery::default().as_any()),
        ),
        (
            "command",
            "CommandGetCatalogs",
            Info(CommandGetCatalogs::default().as_any()),
        ),
        (
            "command",
            "CommandGetDbSchemas",
            Info(CommandGetDbSchemas::default().as_any()),
        ),
        (
            "command",
            "CommandGetTables",
            Info(CommandGetTables::default().as_any()),
        ),
        (
            "command",
            "CommandGetTableTypes",
            Info(CommandGetTableTypes::default().as_any()),
        ),
        (
            "command",
            "CommandGetSqlInfo",
            Info(CommandGetSqlInfo::default().as_any()),
        ),
        (
            "command",
            "CommandGetXdbcTypeInfo",
            Info(CommandGetXdbcTypeInfo::default().as_any()),
        ),
        ("command", "CommandGetPrimaryKeys", Info(keys.as_any())),
        ("command", "CommandGetExportedKeys", Info(exported.as_any())),
        ("command", "CommandGetImportedKeys", Info(imported.as_any())),
        ("command", "CommandGetCrossReference", Info(cross.as_any())),
        (
            "action",
            "CreatePreparedStatement",
            Act("CreatePreparedStatement", prepare.as_any().encode_to_vec()),
        ),
        (
            "action",
            "ClosePreparedStatement",
            Act("ClosePreparedStatement", Vec::new()),
        ),
        ("action", "CancelQuery", Act("CancelQuery", Vec::new())),
        ("action", "CancelFlightInfo", Act("CancelFlightInfo", Vec::new())),
        ("action", "RenewFlightEndpoint", Act("RenewFlightEndpoint", Vec::new())),
        ("action", "SetSessionOptions", Act("SetSessionOptions", Vec::new())),
        ("action", "GetSessionOptions", Act("GetSessionOptions", Vec::new())),
        ("action", "CloseSession", Act("CloseSession", Vec::new())),
        (
            "action",
            "CreatePreparedSubstraitPlan",
            Act("CreatePreparedSubstraitPlan", prepare_plan.as_any().encode_to_vec()),
        ),
        ("action", "BeginTransaction", Act("BeginTransaction", Vec::new())),
        ("action", "EndTransaction", Act("EndTransaction", Vec::new())),
        ("action", "BeginSavepoint", Act("BeginSavepoint", Vec::new())),
        ("action", "EndSavepoint", Act("EndSavepoint", Vec::new())),
        ("action", "NoSuchAction", Act("NoSuchAction", Vec::new())),
        ("method", "ListFlights", Method("ListFlights")),
        ("method", "ListActions", Method("ListActions")),
        ("method", "PollFlightInfo", Method("PollFlightInfo")),
        ("method", "GetSchema", Method("GetSchema")),
        ("method", "DoExchange", Method("DoExchange")),
        ("method", "GetFlightInfo by path", Method("GetFlightInfo by path")),
        (
            "door",
            "a token reads",
            Token(&[], "SELECT count(*) FROM lab.chemistry.reactions"),
        ),
        (
            "door",
            "a token writes",
            Token(&[], "DELETE FROM lab.chemistry.reagent_lots WHERE false"),
        ),
        (
            "door",
            "a read-only token writes",
            Token(&["--read-only"], "DELETE FROM lab.chemistry.reagent_lots WHERE false"),
        ),
        (
            "door",
            "a token for another schema reads",
            Token(&["--schema", "assay"], "SELECT count(*) FROM lab.chemistry.reactions"),
        ),
        (
            "http",
            "post /api/query",
            Http(
                "POST /api/query",
                "{\"sql\": \"SELECT count(*) FROM lab.chemistry.reactions\"}",
            ),
        ),
        (
            "http",
            "post /api/query that writes",
            Http(
                "POST /api/query",
                "{\"sql\": \"DELETE FROM lab.chemistry.reagent_lots WHERE false\"}",
            ),
        ),
        (
            "http",
            "post /api/query of another department",
            Http("POST /api/query", "{\"sql\": \"SELECT count(*) FROM lab.assay.ic50\"}"),
        ),
        ("http", "get /metrics", Http("GET /metrics", "")),
        ("http", "get /api/me", Http("GET /api/me", "")),
        ("http", "get /api/tables", Http("GET /api/tables", "")),
        ("http", "get /api/catalog", Http("GET /api/catalog", "")),
        ("http", "get /api/version", Http("GET /api/version", "")),
        ("http", "get /api/dashboards", Http("GET /api/dashboards", "")),
        (
            "http",
            "get /api/dashboards/{name}",
            Http("GET /api/dashboards/overview", ""),
        ),
        (
            "http",
            "get /api/dashboards/{name}/file",
            Http("GET /api/dashboards/overview/file", ""),
        ),
        (
            "http",
            "put /api/dashboards/{name}/file",
            Http("PUT /api/dashboards/overview/file", "{\"text\": \"title = 7\"}"),
        ),
        (
            "http",
            "delete /api/dashboards/{name}/file",
            Http("DELETE /api/dashboards/overview/file", "{\"was\": \"\"}"),
        ),
        ("http", "post /api/landed", Http("POST /api/landed", "{}")),
        (
            "http",
            "get /api/landing/{path}",
            Http(
                "GET /api/landing/chemistry/reagent_lots/x.csv?bytes=1&sha256=2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
                "",
            ),
        ),
        (
            "http",
            "put /api/landing/{path}",
            // Not the file that its digest announces: nothing lands.
            Http(
                "PUT /api/landing/chemistry/reagent_lots/x.csv?bytes=1&sha256=2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
                "y",
            ),
        ),
        (
            "http",
            "post /api/login",
            Http("POST /api/login", "{\"user\": \"@\", \"password\": \"@-demo\"}"),
        ),
        (
            "postgres",
            "SELECT",
            Postgres("SELECT count(*) FROM lab.chemistry.reactions"),
        ),
        (
            "postgres",
            "SELECT another department",
            Postgres("SELECT count(*) FROM lab.assay.ic50"),
        ),
        ("postgres", "pg_catalog", Postgres("SELECT count(*) FROM pg_class")),
        (
            "postgres",
            "DECLARE",
            Postgres("BEGIN; DECLARE c CURSOR FOR SELECT well FROM lab.chemistry.reactions; FETCH 2 FROM c"),
        ),
        (
            "postgres",
            "INSERT",
            Postgres("INSERT INTO lab.chemistry.reagent_lots SELECT * FROM lab.chemistry.reagent_lots WHERE false"),
        ),
        (
            "postgres",
            "INSERT in a transaction",
            Postgres("BEGIN; DELETE FROM lab.chemistry.reagent_lots WHERE false"),
        ),
        (
            "postgres",
            "CREATE TABLE in a transaction",
            Postgres("BEGIN; CREATE TABLE lab.chemistry.golden_postgres AS SELECT 1 AS n"),
        ),
        ("postgres", "SET", Postgres("SET extra_float_digits = 3")),
        ("postgres", "SET ROLE", Postgres("SET ROLE lake_admin")),
        ("postgres", "COPY", Postgres("COPY (SELECT 1) TO '/tmp/golden.csv'")),
    ]
}

/// A connection with a new personal token; with one that there is not for nobody.
async fn with_token(lab: &Server, who: &str, scope: &[&str]) -> Raw {
    let made = Command::new(lab::BINARY)
        .args(["user", "token", who, "--label", "golden", "--config"])
        .arg(lab.dir.join("labhouse.toml"))
        .args(scope)
        .output()
        .unwrap();
    let token = match who {
        "nobody" => "labhouse_0123".to_owned(),
        _ => String::from_utf8(made.stdout).unwrap().trim().to_owned(),
    };
    Raw {
        client: connect(lab).await,
        token,
        transactions: false,
    }
}

/// A call of the HTTP door; its status as the gRPC code of the same meaning.
fn called(lab: &lab::Server, raw: &Raw, call: &str, body: &str) -> Result<(), Status> {
    let (method, path) = call.split_once(' ').unwrap();
    let bearer = format!("Bearer {}", raw.token);
    let mut headers = vec![("content-type", "application/json")];
    if !raw.token.is_empty() {
        headers.push(("authorization", &bearer));
    }
    let code = match page_client::call(lab, method, path, &headers, body.as_bytes()).status {
        200 | 202 => return Ok(()),
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::Aborted,
        other => panic!("{call}: {other}"),
    };
    Err(Status::new(code, ""))
}

/// A statement of the PostgreSQL door; its SQLSTATE as the gRPC code of the same meaning.
fn sent(lab: &lab::Server, who: &str, sql: &str) -> Result<(), Status> {
    let said = match postgres_raw::Raw::try_login(lab, who, &format!("{who}-demo")) {
        Ok(mut connection) => connection.query(sql),
        Err(said) => said,
    };
    let code = match said.state().as_deref() {
        None => return Ok(()),
        Some("22023" | "42601" | "42704") => Code::InvalidArgument,
        Some("0A000") => Code::Unimplemented,
        Some("25001" | "25P01") => Code::FailedPrecondition,
        Some("28P01") => Code::Unauthenticated,
        Some("42501") => Code::PermissionDenied,
        Some("42P01" | "42703") => Code::NotFound,
        Some(other) => panic!("{sql}: {other}: {:?}", said.error()),
    };
    Err(Status::new(code, ""))
}

async fn tried(lab: &lab::Server, raw: &mut Raw, who: &str, how: &Try) -> Result<(), Status> {
    let sql = |text: &str| text.replace('@', who);
    let select = |text: &str| CommandStatementQuery {
        query: sql(text),
        transaction_id: None,
    };
    match how {
        Try::Read(text) => raw
            .get(Ticket::new(select(text).as_any().encode_to_vec()))
            .await
            .map(drop),
        Try::Write(text) => {
            let command = CommandStatementUpdate {
                query: sql(text),
                transaction_id: None,
            };
            raw.update(&command, None).await.map(drop)
        }
        Try::Info(command) => {
            let request = raw.request(FlightDescriptor::new_cmd(command.encode_to_vec()));
            let info = raw.client.get_flight_info(request).await?.into_inner();
            raw.get(info.endpoint[0].ticket.clone().unwrap()).await.map(drop)
        }
        Try::Get(command) => raw.get(Ticket::new(command.encode_to_vec())).await.map(drop),
        Try::Put(command) => {
            let descriptor = FlightDescriptor::new_cmd(command.encode_to_vec());
            let message = FlightData::new().with_descriptor(descriptor);
            let request = raw.request(stream::iter([message]));
            raw.client.do_put(request).await?.into_inner().message().await.map(drop)
        }
        Try::Token(scope, text) => {
            let mut raw = with_token(lab, who, scope).await;
            let ticket = Ticket::new(select(text).as_any().encode_to_vec());
            raw.get(ticket).await.map(drop)
        }
        // A closed session is over, and the rows below ask on.
        Try::Act("CloseSession", body) if who != "nobody" => {
            let mut raw = Raw::login(lab, who).await;
            raw.act("CloseSession", body.clone()).await.map(drop)
        }
        Try::Act(name, body) => raw.act(name, body.clone()).await.map(drop),
        Try::Http(call, body) => called(lab, raw, call, &sql(body)),
        Try::Postgres(text) => sent(lab, who, &sql(text)),
        Try::Many(text) => {
            let command = match raw.prepare(text).await {
                Ok((prepared, _)) => CommandPreparedStatementUpdate {
                    prepared_statement_handle: prepared.prepared_statement_handle,
                },
                Err(refused) => return Err(refused),
            };
            raw.update(&command, Some(rows_of("0", vec![1, 2]))).await.map(drop)
        }
        Try::Bare(schema, text) => {
            let request = raw.request(Action::new("SetSessionOptions", choose(schema)));
            let answer = raw.client.do_action(request).await?;
            let token = answer
                .metadata()
                .get("authorization")
                .map(|token| token.to_str().unwrap().to_owned());
            let token = token.unwrap_or_else(|| format!("Bearer {}", raw.token));
            let mut session = Raw {
                client: raw.client.clone(),
                token: token.trim_start_matches("Bearer ").to_owned(),
                transactions: false,
            };
            let ticket = Ticket::new(select(text).as_any().encode_to_vec());
            let answer = session.get(ticket).await.map(drop);
            // The rows below ask without one.
            raw.act("SetSessionOptions", choose("")).await?;
            answer
        }
        Try::Method(name) => {
            let described = FlightDescriptor::new_cmd(select("SELECT 1").as_any().encode_to_vec());
            match *name {
                "ListFlights" => {
                    let request = raw.request(Criteria::default());
                    raw.client.list_flights(request).await.map(drop)
                }
                "ListActions" => {
                    let request = raw.request(Empty {});
                    raw.client.list_actions(request).await.map(drop)
                }
                "PollFlightInfo" => {
                    let request = raw.request(described);
                    raw.client.poll_flight_info(request).await.map(drop)
                }
                "GetSchema" => {
                    let request = raw.request(described);
                    raw.client.get_schema(request).await.map(drop)
                }
                "DoExchange" => {
                    let request = raw.request(stream::iter([FlightData::new().with_descriptor(described)]));
                    raw.client.do_exchange(request).await.map(drop)
                }
                "GetFlightInfo by path" => {
                    let path = ["lab", "chemistry", "reactions"].map(str::to_owned).to_vec();
                    let request = raw.request(FlightDescriptor::new_path(path));
                    raw.client.get_flight_info(request).await.map(drop)
                }
                other => panic!("no method {other}"),
            }
        }
    }
}

#[tokio::test]
async fn every_door_lets_through_whom_the_matrix_says() {
    let lab = lab::own();
    let mut people = Vec::new();
    for who in PEOPLE {
        people.push(match who {
            "nobody" => Raw {
                client: connect(&lab).await,
                token: String::new(),
                transactions: false,
            },
            who => Raw::login(&lab, who).await,
        });
    }
    let mut text = format!(
        "# what | name | {} (gRPC codes of the demo's people)\n",
        PEOPLE.join(" | ")
    );
    for (kind, name, how) in rows() {
        write!(text, "{kind} | {name}").unwrap();
        for (who, raw) in PEOPLE.iter().zip(&mut people) {
            let code = tried(&lab, raw, who, &how)
                .await
                .err()
                .map_or(Code::Ok, |status| status.code());
            assert!(
                *who != "nobody" || code == Code::Unauthenticated,
                "{kind} {name} answers without a login: {code:?}"
            );
            assert!(
                code != Code::Internal && code != Code::Unknown,
                "{kind} {name} as {who}: {code:?}\n{}",
                lab.log()
            );
            write!(text, " | {code:?}").unwrap();
        }
        text.push('\n');
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/golden.txt");
    if std::env::var_os("LABHOUSE_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    for (now, then) in text.lines().zip(golden.lines()) {
        assert_eq!(now, then);
    }
    assert_eq!(text, golden);
}
