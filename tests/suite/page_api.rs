//! The HTTP door without a browser: formats, statuses, sign-in, limits, and that it is the same road.

use std::io::Read;

use serde_json::json;

use crate::lab::{self, shows};
use crate::page_client::{Answer, ask, basic, call, get, login, open};

const COUNT: &str = "SELECT count(*) AS n FROM lab.chemistry.reactions";
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn three_formats_and_the_flight_door_say_the_same() {
    let lab = lab::shared();
    let sql =
        "SELECT reaction_id, run_at, yield_pct, is_edge FROM lab.chemistry.reactions ORDER BY reaction_id LIMIT 2000";
    let flight = lab.query("sam", sql).await.unwrap();
    let arrow = ask(&lab, "sam", sql, json!({"format": "arrow"}));
    assert_eq!(
        arrow.header("content-type"),
        Some("application/vnd.apache.arrow.stream")
    );
    let schema = flight[0].schema();
    let one = |batches: &[arrow::array::RecordBatch]| arrow::compute::concat_batches(&schema, batches).unwrap();
    assert_eq!(one(&arrow.batches()), one(&flight));

    let rows = ask(&lab, "sam", sql, json!({})).json();
    assert_eq!((&rows["row_count"], &rows["is_cut"]), (&json!(2000), &json!(false)));
    assert_eq!(rows["columns"][2], json!({"name": "yield_pct", "type": "Float64"}));
    let csv = ask(&lab, "sam", sql, json!({"format": "csv"})).text();
    let mut read = csv::Reader::from_reader(csv.as_bytes());
    for (line, row) in read.records().zip(rows["rows"].as_array().unwrap()) {
        let line = line.unwrap();
        assert_eq!(&line[0], row[0].as_str().unwrap());
        assert_eq!(line[2].parse::<f64>().ok(), row[2].as_f64());
        assert_eq!(&line[3], row[3].to_string());
    }

    // What is squeezed is the same, and only who asks gets it squeezed.
    let (name, value) = basic("sam");
    let body = json!({"sql": sql, "format": "arrow"}).to_string();
    let squeezed = call(
        &lab,
        "POST",
        "/api/query",
        &[JSON, (name, &value), ("accept-encoding", "gzip, br")],
        body.as_bytes(),
    );
    assert_eq!(
        (squeezed.header("content-encoding"), arrow.header("content-encoding")),
        (Some("gzip"), None)
    );
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(squeezed.body.as_slice())
        .read_to_end(&mut plain)
        .unwrap();
    assert!(squeezed.body.len() < arrow.body.len() && plain == arrow.body);

    // The accept header chooses when the body does not.
    for (accept, kind) in [
        ("text/csv", "text/csv"),
        ("application/vnd.apache.arrow.stream", "application/vnd.apache"),
        ("*/*", "application/json"),
    ] {
        let body = json!({"sql": "SELECT 1"}).to_string();
        let answer = call(
            &lab,
            "POST",
            "/api/query",
            &[JSON, (name, &value), ("accept", accept)],
            body.as_bytes(),
        );
        assert!(answer.header("content-type").unwrap().starts_with(kind), "{answer:?}");
    }
}

/// A workbook of others' reading: names and values as JSON has them, in one sheet, under the same policies.
#[test]
fn a_workbook_says_the_same_and_what_is_hidden_is_in_none() {
    use calamine::{Data, Reader};
    let lab = lab::shared();
    let sheet = |answer: &Answer| {
        let mut book: calamine::Xlsx<_> = calamine::Xlsx::new(std::io::Cursor::new(answer.body.clone())).unwrap();
        book.worksheet_range("Result").unwrap()
    };
    let sql =
        "SELECT reaction_id, run_at, yield_pct, is_edge FROM lab.chemistry.reactions ORDER BY reaction_id LIMIT 500";
    let (name, value) = basic("sam");
    let body = json!({"sql": sql, "format": "xlsx"}).to_string();
    let headers = [JSON, (name, value.as_str()), ("accept-encoding", "gzip")];
    let answer = call(&lab, "POST", "/api/query", &headers, body.as_bytes());
    assert_eq!(
        (
            answer.status,
            answer.header("content-encoding"),
            answer.header("content-type")
        ),
        (
            200,
            None,
            Some("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
        )
    );
    let range = sheet(&answer);
    let told = ask(&lab, "sam", sql, json!({})).json();
    let names: Vec<String> = range.rows().next().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["reaction_id", "run_at", "yield_pct", "is_edge"]);
    assert_eq!(range.height(), 501);
    for (cells, row) in range.rows().skip(1).zip(told["rows"].as_array().unwrap()) {
        assert_eq!(cells[0].to_string(), row[0].as_str().unwrap());
        assert!(matches!(cells[1], Data::DateTime(_)), "{cells:?}");
        match &cells[2] {
            Data::Float(number) => assert_eq!(Some(*number), row[2].as_f64()),
            other => assert!(*other == Data::Empty && row[2].is_null(), "{other:?} {row}"),
        }
        assert_eq!(cells[3], Data::Bool(row[3].as_bool().unwrap()));
    }
    let cut = sheet(&ask(&lab, "sam", sql, json!({"format": "xlsx", "row_limit": 7})));
    assert_eq!(cut.height(), 9);
    assert!(
        cut.rows().nth(8).unwrap()[0]
            .to_string()
            .starts_with("The answer was cut here")
    );
    let hers = sheet(&ask(
        &lab,
        "ana",
        "SELECT * FROM lab.chemistry.reactions LIMIT 3",
        json!({"format": "xlsx"}),
    ));
    assert!(
        hers.rows()
            .next()
            .unwrap()
            .iter()
            .all(|name| *name != Data::String("operator".to_owned()))
    );
    for (user, sql) in [("guest", sql), ("ana", "SELECT operator FROM lab.chemistry.reactions")] {
        let refused = ask(&lab, user, sql, json!({"format": "xlsx"}));
        assert_eq!(refused.status, 404, "{user}: {refused:?}");
    }
}

#[test]
fn a_question_that_only_reads_changes_nothing() {
    let lab = lab::own();
    let reading = |sql: &str| ask(&lab, "sam", sql, json!({"read_only": true}));
    assert_eq!(reading("SELECT count(*) FROM lab.chemistry.reactions").status, 200);
    let make = "CREATE TABLE lab.chemistry.from_link AS SELECT 1 AS a";
    for sql in [
        make,
        "DROP TABLE lab.chemistry.from_link",
        "INSERT INTO lab.chemistry.from_link VALUES (2)",
        "REFRESH MATERIALIZED VIEW lab.chemistry.reactions",
        "CANCEL QUERY '0198c5a2-0000-7000-8000-000000000000'",
    ] {
        let refused = reading(sql);
        assert_eq!(refused.status, 403, "{sql}");
        assert!(refused.text().contains("read_only"), "{sql}: {}", refused.text());
    }
    assert_eq!(ask(&lab, "sam", make, json!({})).status, 200);
    assert_eq!(reading("SELECT a FROM lab.chemistry.from_link").json()["row_count"], 1);
}

#[test]
fn empty_answers_row_limits_and_parameters() {
    let lab = lab::shared();
    let empty = ask(&lab, "sam", "SELECT 1 AS one WHERE false", json!({"format": "arrow"}));
    assert_eq!(
        (
            empty.status,
            empty.batches().iter().map(|batch| batch.num_rows()).sum::<usize>()
        ),
        (200, 0)
    );
    assert!(ask(&lab, "sam", "SELECT 1 AS one WHERE false", json!({"format": "csv"})).text() == "one\r\n");
    let cut = ask(
        &lab,
        "sam",
        "SELECT well FROM lab.chemistry.reactions",
        json!({"row_limit": 7}),
    )
    .json();
    assert_eq!((&cut["row_count"], &cut["is_cut"]), (&json!(7), &json!(true)));
    let whole = ask(&lab, "sam", "SELECT 1 UNION ALL SELECT 2", json!({"row_limit": 2})).json();
    assert_eq!((&whole["row_count"], &whole["is_cut"]), (&json!(2), &json!(false)));

    let sql = "SELECT ? AS a, CAST(? AS DOUBLE) AS b, ? IS NULL AS c";
    let bound = ask(&lab, "sam", sql, json!({"parameters": ["it's ?", 1, null]})).json();
    assert_eq!(bound["rows"], json!([["it's ?", 1.0, true]]));
    let numbered = ask(
        &lab,
        "sam",
        "SELECT $2 AS a, $1 AS b",
        json!({"parameters": ["x", "y"]}),
    )
    .json();
    assert_eq!(numbered["rows"], json!([["y", "x"]]));
    for parameters in [json!([]), json!(["one", "too", "many", "!"]), json!([[1], 2, 3])] {
        let refused = ask(&lab, "sam", sql, json!({ "parameters": parameters }));
        assert_eq!(refused.status, 400, "{refused:?}");
    }
}

#[test]
fn a_spreadsheet_is_never_given_a_formula() {
    let lab = lab::shared();
    let sql = "SELECT column1 AS \"=1+1\", -5 AS n FROM (VALUES ('=HYPERLINK(\"http://x\")'), ('+1'), ('-1'), ('@SUM(A1)'), ('safe'))";
    let read = |spreadsheet: bool| {
        let text = ask(&lab, "sam", sql, json!({"format": "csv", "spreadsheet": spreadsheet})).text();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes());
        reader
            .records()
            .map(|row| row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let (safe, plain) = (read(true), read(false));
    assert_eq!(
        safe.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(),
        ["'=1+1", "'=HYPERLINK(\"http://x\")", "'+1", "'-1", "'@SUM(A1)", "safe"]
    );
    assert_eq!(plain[2][0], "+1");
    assert!(
        safe[1..].iter().all(|row| row[1] == "-5"),
        "numbers stay numbers: {safe:?}"
    );
}

/// One line a mistake: status and word.
#[test]
fn a_mistake_has_its_status_and_is_never_a_5xx() {
    let lab = lab::shared();
    for (sql, status, code) in [
        ("SELEC 1", 400, "syntax"),
        ("SELECT no_such_column FROM lab.chemistry.reactions", 404, "not_found"),
        ("SELECT * FROM lab.chemistry.no_such_table", 404, "not_found"),
        ("SELECT 1/0", 400, "invalid"),
        ("SELECT CAST('x' AS INT)", 400, "invalid"),
        ("SELECT no_such_function(1)", 400, "invalid"),
        ("SET datafusion.execution.batch_size = 1", 403, "denied"),
        ("COPY (SELECT 1) TO '/tmp/x'", 403, "denied"),
        ("CREATE VIEW lab.chemistry.v AS SELECT 1", 400, "unsupported"),
        ("SELECT 1; SELECT 2", 400, "unsupported"),
        ("SELECT 'open", 400, "syntax"),
        ("", 400, "syntax"),
    ] {
        for format in ["json", "arrow", "csv", "xlsx"] {
            let answer = ask(&lab, "sam", sql, json!({ "format": format }));
            assert_eq!(answer.status, status, "{sql}: {answer:?}");
            let error = &answer.json()["error"];
            assert!(
                error["message"].as_str().is_some_and(|text| text.len() > 5),
                "{sql}: {error}"
            );
            // A text that cannot be tokenized is refused before it is a statement.
            assert!(error["code"] == code || error["code"] == "invalid", "{sql}: {error}");
        }
    }
    let huge = ask(&lab, "sam", &format!("SELECT '{}'", "x".repeat(2 << 20)), json!({}));
    assert_eq!(huge.status, 400, "{}", huge.text());
    let (name, value) = basic("sam");
    for (status, headers, body) in [
        (413, vec![JSON, (name, value.as_str())], vec![b' '; 5 << 20]),
        (415, vec![(name, value.as_str())], b"{}".to_vec()),
        (
            415,
            vec![("content-type", "text/plain"), (name, value.as_str())],
            b"{\"sql\":\"SELECT 1\"}".to_vec(),
        ),
        (400, vec![JSON, (name, value.as_str())], b"{".to_vec()),
        (
            400,
            vec![JSON, (name, value.as_str())],
            b"{\"sql\":\"SELECT 1\",\"as_user\":\"ada\"}".to_vec(),
        ),
        (
            400,
            vec![JSON, (name, value.as_str())],
            b"{\"sql\":\"SELECT 1\",\"format\":\"xml\"}".to_vec(),
        ),
        (
            406,
            vec![JSON, (name, value.as_str()), ("accept", "image/png")],
            b"{\"sql\":\"SELECT 1\"}".to_vec(),
        ),
        (401, vec![JSON], b"{\"sql\":\"SELECT 1\"}".to_vec()),
    ] {
        let answer = call(&lab, "POST", "/api/query", &headers, &body);
        assert_eq!(answer.status, status, "{headers:?} {answer:?}");
        assert!(answer.json()["error"]["message"].is_string());
    }
    assert_eq!(get(&lab, "sam", "/api/query").status, 405);
    assert_eq!(get(&lab, "sam", "/api/nothing").status, 404);
}

/// What is hidden and what is not there are told apart by nobody.
#[test]
fn absence_looks_like_non_existence() {
    let lab = lab::shared();
    let told = |user: &str, sql: &str, hidden: &str, word: &str| {
        let answer = ask(&lab, user, &sql.replace('@', word), json!({}));
        (answer.status, answer.text().replace(word, hidden))
    };
    for (user, sql, hidden, absent) in [
        ("sam", "SELECT * FROM lab.assay.@", "ic50", "ic51"),
        ("guest", "SELECT * FROM lab.chemistry.@", "reactions", "reactionz"),
        ("ana", "SELECT @ FROM lab.chemistry.protocols", "operator", "operatoz"),
        (
            "ana",
            "SELECT * FROM feature_importance('lab.chemistry.@')",
            "yield_model",
            "yield_modez",
        ),
        ("sam", "SELECT * FROM lab.system.@", "queries", "queriez"),
        ("guest", "EXPLAIN POLICY ON lab.chemistry.@", "reactions", "reactionz"),
    ] {
        let (hidden_one, absent_one) = (told(user, sql, hidden, hidden), told(user, sql, hidden, absent));
        assert_eq!(hidden_one, absent_one, "{user}: {sql}");
        assert!(hidden_one.0 == 404, "{user}: {sql}: {hidden_one:?}");
        assert_eq!(
            ask(&lab, "ada", &sql.replace('@', hidden), json!({})).status,
            200,
            "ada: {sql}"
        );
    }
    assert_eq!(
        get(&lab, "guest", "/api/dashboards/overview")
            .text()
            .replace("overview", "nothing"),
        get(&lab, "guest", "/api/dashboards/nothing").text()
    );
}

#[test]
fn three_logins_see_three_truths_in_lists_too() {
    let lab = lab::shared();
    let rows = |user: &str| ask(&lab, user, COUNT, json!({})).json()["rows"][0][0].as_i64();
    assert!(rows("ada") == rows("sam") && rows("ana") < rows("sam") && rows("guest").is_none());
    let tables = |user: &str| get(&lab, user, "/api/tables").text();
    assert!(tables("ada").contains("ic50") && tables("sam").contains("plate_readings"));
    assert!(
        !tables("sam").contains("ic50")
            && !tables("ana").contains("plate_readings")
            && !tables("ana").contains("\"operator\"")
    );
    assert_eq!(get(&lab, "guest", "/api/tables").json(), json!({"tables": []}));

    let charts = |user: &str, name: &str| get(&lab, user, &format!("/api/dashboards/{name}")).text();
    assert!(charts("sam", "overview").contains("by_operator"));
    assert!(
        !charts("ana", "overview").contains("operator"),
        "a chart of a hidden column is not there"
    );
    assert!(charts("sam", "insight").contains("importance") && !charts("ana", "insight").contains("importance"));
    let names = |user: &str| {
        get(&lab, user, "/api/dashboards").json()["dashboards"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((names("ada"), names("sam"), names("guest")), (4, 4, 0));
}

#[tokio::test]
async fn a_reader_who_leaves_ends_the_statement() {
    let lab = lab::shared();
    let sql = "SELECT sum(a.value * b.value) AS http_cancelled FROM generate_series(1, 300000) a, generate_series(1, 300000) b";
    let (name, value) = basic("ada");
    let body = json!({ "sql": sql }).to_string();
    let stream = open(&lab, "POST", "/api/query", &[JSON, (name, &value)], body.as_bytes());
    let states = "SELECT state FROM system.queries WHERE sql LIKE 'SELECT sum(a.value%http_cancelled%'";
    lab.until("ada", states, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("running"))
    })
    .await;
    drop(stream);
    lab.until("ada", states, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("cancelled"))
    })
    .await;
}

#[tokio::test]
async fn the_audit_trail_knows_this_door() {
    let lab = lab::own();
    assert_eq!(
        ask(
            &lab,
            "sam",
            "SELECT count(*) AS through_http FROM lab.chemistry.reagent_lots",
            json!({})
        )
        .status,
        200
    );
    assert_eq!(login(&lab, "sam", "wrong").status, 401);
    let events = "SELECT event, door FROM system.audit WHERE principal = 'sam' AND door = 'http'";
    lab.until("ada", events, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("statement"))
    })
    .await;
    let logins = "SELECT count(*) AS n FROM system.audit WHERE event LIKE '%login%' AND door = 'http'";
    lab.until("ada", logins, |answer| {
        answer.as_ref().is_ok_and(|text| !text.contains("| 0 "))
    })
    .await;
}

#[test]
fn the_page_is_embedded_strict_and_kept_by_browsers() {
    let lab = lab::shared();
    let page = call(&lab, "GET", "/", &[], b"");
    let policy = page.header("content-security-policy").unwrap().to_owned();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data: blob:",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && page.header("x-content-type-options") == Some("nosniff"));
    let tag = page.header("etag").unwrap().to_owned();
    assert_eq!(call(&lab, "GET", "/", &[("if-none-match", &tag)], b"").status, 304);
    let text = page.text();
    let files: Vec<&str> = text.split('"').filter(|part| part.starts_with("/ui/")).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in &files {
        let answer = call(&lab, "GET", file, &[("accept-encoding", "gzip")], b"");
        assert_eq!(
            (answer.status, answer.header("content-encoding")),
            (200, Some("gzip")),
            "{file}"
        );
        assert!(answer.header("cache-control").unwrap().contains("immutable"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(
        call(&lab, "GET", "/ui/other/app.js", &[], b"").header("cache-control"),
        Some("no-store")
    );
    for strange in ["/ui/x/../../etc/passwd", "/ui/x/nothing.js", "/ui/x/%2e%2e/http.rs"] {
        assert_eq!(call(&lab, "GET", strange, &[], b"").status, 404, "{strange}");
    }
}

#[test]
fn a_labs_own_dashboard_acts_without_a_restart_and_a_wrong_one_is_told_to_administrators() {
    let lab = lab::own();
    let dir = lab.dir.join("dashboards");
    std::fs::create_dir_all(&dir).unwrap();
    let chart = "[[chart]]\nname = 'lots'\ntitle = 'Our lots'\ndescription = 'All of them.'\nkind = 'table'\nsql = 'SELECT lot FROM lab.chemistry.reagent_lots'\n";
    std::fs::write(dir.join("mine.toml"), format!("title = 'Mine'\n{chart}")).unwrap();
    std::fs::write(dir.join("broken.toml"), "title = 'x'\nspeed = 9").unwrap();
    let list = |user: &str| get(&lab, user, "/api/dashboards").text();
    assert!(list("sam").contains("Mine") && list("sam").contains("Overview") && !list("guest").contains("Mine"));
    assert!(list("ada").contains("speed") && !list("sam").contains("speed"));
    assert!(
        list("ada").contains("line 2") && list("ada").contains("nothing is shown"),
        "{}",
        list("ada")
    );
    let (mine, own) = (
        |user: &str| get(&lab, user, "/api/dashboards/broken"),
        dir.join("plates.toml"),
    );
    assert_eq!((mine("ada").status, mine("sam").status), (400, 404));
    // A shipped one stays as it is shipped while the lab's own is broken, and then as it was before it was.
    let plates = |user: &str| get(&lab, user, "/api/dashboards/plates").json();
    for (text, title, told) in [
        ("title = 'x'\n[[chart]]\nname = 'a'", "Plates", Some("the shipped one")),
        (&format!("title = 'Our plates'\n{chart}"), "Our plates", None),
        (
            &format!("title = 'x'\n\n{chart}sets = 'nothing'\n"),
            "Our plates",
            Some("at line 3, chart `lots`"),
        ),
    ] {
        std::fs::write(&own, text).unwrap();
        for user in ["ada", "sam"] {
            assert_eq!(plates(user)["title"], title, "{text}");
            assert!(list(user).contains(title), "{text}");
        }
        assert!(plates("sam").get("problem").is_none(), "{text}");
        let problem = plates("ada");
        let problem = problem
            .get("problem")
            .map(|problem| problem.as_str().unwrap().to_owned());
        match told {
            Some(told) => assert!(problem.as_ref().unwrap().contains(told), "{problem:?}"),
            None => assert_eq!(problem, None),
        }
    }
    std::fs::write(dir.join("overview.toml"), format!("title = 'Ours'\n{chart}")).unwrap();
    assert_eq!(get(&lab, "sam", "/api/dashboards/overview").json()["title"], "Ours");
}

#[test]
fn an_administrator_edits_a_dashboard_and_nobody_elses_edit_is_lost() {
    let lab = lab::own();
    let put = |user: &str, name: &str, body: serde_json::Value| {
        let (header, value) = basic(user);
        let path = format!("/api/dashboards/{name}/file");
        call(
            &lab,
            "PUT",
            &path,
            &[JSON, (header, &value)],
            body.to_string().as_bytes(),
        )
    };
    let delete = |name: &str, was: &str| {
        let (header, value) = basic("ada");
        let path = format!("/api/dashboards/{name}/file");
        let body = json!({ "was": was }).to_string();
        call(&lab, "DELETE", &path, &[JSON, (header, &value)], body.as_bytes())
    };
    let shipped = get(&lab, "ada", "/api/dashboards/overview/file").json();
    assert_eq!(shipped["is_shipped"], true);
    let text = shipped["text"]
        .as_str()
        .unwrap()
        .replace("title = \"Overview\"", "title = \"Ours\"");
    let was = &shipped["sha256"];

    // Only who may, only what he has read, only what can be drawn, only where it belongs.
    let edit = json!({"text": text, "was": was});
    for user in ["sam", "ana", "dee", "guest"] {
        assert_eq!(get(&lab, user, "/api/dashboards/overview/file").status, 403);
        assert_eq!(put(user, "overview", edit.clone()).status, 403);
    }
    assert_eq!(put("ada", "overview", json!({"text": text, "was": null})).status, 409);
    let wrong = put("ada", "overview", json!({"text": "title = 'x'\nspeed = 9", "was": was}));
    assert!(wrong.status == 400 && wrong.text().contains("speed"), "{wrong:?}");
    // Nor what cannot be asked: for others the chart or the filter would be gone without a word.
    for (right, typo, says) in [
        ("avg(yield_pct)", "avg(yeild_pct)", "chart `"),
        ("SELECT min(", "SELEC min(", "filter `"),
    ] {
        assert!(text.contains(right), "{right}");
        let refused = put(
            "ada",
            "overview",
            json!({"text": text.replacen(right, typo, 1), "was": was}),
        );
        assert!(refused.status == 400 && refused.text().contains(says), "{refused:?}");
    }
    for name in ["..%2Fusers", "Mine", "a%2Fb", "", &"a".repeat(65)] {
        let refused = put("ada", name, json!({"text": text, "was": null})).status;
        assert!(refused == 400 || refused == 404, "{name}: {refused}");
    }
    // An administrator's token that is for reading only reads it.
    let token = crate::logins::user(&lab, &["token", "ada", "--label", "reading", "--read-only"]);
    let bearer = format!("Bearer {token}");
    for (method, status) in [("GET", 200), ("PUT", 403), ("DELETE", 403)] {
        let headers = [JSON, ("authorization", bearer.as_str())];
        let path = "/api/dashboards/overview/file";
        let answer = call(&lab, method, path, &headers, edit.to_string().as_bytes());
        assert_eq!(answer.status, status, "{method}: {answer:?}");
    }
    assert_eq!(get(&lab, "sam", "/api/dashboards/overview").json()["title"], "Overview");

    let saved = put("ada", "overview", edit.clone()).json();
    assert_eq!(get(&lab, "sam", "/api/dashboards/overview").json()["title"], "Ours");
    assert_eq!(put("ada", "overview", edit).status, 409, "somebody else's edit");
    assert_eq!(put("ada", "copy", json!({"text": text})).status, 200);
    assert!(get(&lab, "sam", "/api/dashboards").text().contains("copy"));
    assert_eq!(delete("overview", was.as_str().unwrap()).status, 409);
    assert_eq!(delete("overview", saved["sha256"].as_str().unwrap()).status, 200);
    assert_eq!(
        delete("overview", was.as_str().unwrap()).status,
        400,
        "the shipped one stays"
    );
    assert_eq!(get(&lab, "sam", "/api/dashboards/overview").json()["title"], "Overview");
    let trail = ask(
        &lab,
        "ada",
        "SELECT action, targets FROM system.audit WHERE event = 'dashboard' ORDER BY at",
        json!({}),
    );
    let trail = trail.json()["rows"].to_string();
    assert_eq!(
        trail,
        r#"[["write",["overview"]],["write",["copy"]],["remove",["overview"]]]"#
    );
}

/// The word changes with what a person sees, in whole or in part, and never with what is hidden from him. While nothing changes
/// nothing is asked.
#[tokio::test]
async fn the_version_follows_visible_changes_only() {
    let lab = lab::own();
    let version = |user: &str| -> Answer { get(&lab, user, "/api/version") };
    let (sam, ana) = (version("sam").json(), version("ana").json());
    assert_eq!((&sam["is_whole"], &ana["is_whole"]), (&json!(true), &json!(true)));
    assert_eq!(version("sam").json(), sam);
    let asked = "SELECT count(*) FROM system.queries WHERE principal = 'ana' AND sql LIKE '%table_changes(%'";
    let before = lab.number("ada", asked).await;
    for _ in 0..5 {
        assert_eq!(version("ana").json(), ana);
    }
    assert_eq!(lab.number("ada", asked).await, before);
    // Readings are hidden from ana, and of the reactions made of them she sees some rows only: P0001 is none of hers.
    let reactions = |who: &'static str| {
        let lab = &lab;
        async move {
            lab.number(
                who,
                "SELECT count(*) FROM lab.chemistry.reactions WHERE plate_id = 'P0001'",
            )
            .await
        }
    };
    assert!(reactions("ada").await > 0);
    let hers = reactions("ana").await;
    let fresh = |value: &'static str| {
        let lab = &lab;
        async move {
            let change = format!(
                "UPDATE lab.chemistry.plate_readings SET yield_pct = {value} WHERE plate_id = 'P0001' AND well = 'A1'"
            );
            lab.update("ada", &change).await.unwrap();
            let sql = "SELECT yield_pct FROM lab.chemistry.reactions WHERE reaction_id = 'P0001-A1'";
            lab.until("ada", sql, |answer| {
                answer.as_ref().is_ok_and(|text| text.contains(value))
            })
            .await;
        }
    };
    fresh("1.0").await;
    assert_ne!(version("sam").json(), sam);
    assert_eq!(hers == 0, version("ana").json() == ana, "she sees {hers} of its rows");
    // What she sees of a table that she sees in part: new and changed rows are told, hidden ones and files written anew are not.
    lab.update(
        "ada",
        "CREATE TABLE lab.chemistry.partly AS SELECT 'CCO' AS scaffold_smiles, 1 AS n",
    )
    .await
    .unwrap();
    let mut seen = version("ana").json();
    assert_eq!(seen["is_whole"], json!(true));
    for (sql, tells) in [
        ("INSERT INTO lab.chemistry.partly VALUES ('CCN', 2)", true),
        ("UPDATE lab.chemistry.partly SET n = 3 WHERE n = 2", true),
        ("OPTIMIZE lab.chemistry.partly", false),
        ("DELETE FROM lab.chemistry.partly WHERE n = 3", true),
    ] {
        lab.update("ada", sql).await.unwrap();
        let now = version("ana").json();
        assert_eq!(now != seen, tells, "{sql}");
        assert_eq!(version("ana").json(), now, "{sql}");
        seen = now;
    }
    lab.update(
        "ada",
        "UPDATE lab.chemistry.reagent_lots SET purity_pct = 1.0 WHERE lot = 'XP-2604'",
    )
    .await
    .unwrap();
    assert_ne!(version("ana").json(), seen);
}

/// Hidden rows and hidden columns, in a table of which the rest is seen.
#[tokio::test]
async fn the_version_says_nothing_of_what_is_hidden() {
    let lab = lab::empty(|config| config);
    let header = "reaction_id,plate_id,status,operator,scaffold_smiles,yield_pct\n";
    lab.land(
        "chemistry/reactions/a.csv",
        format!("{header}1,P1,released,mara,CCO,80\n2,P2,draft,jon,CCN,70\n"),
    );
    let count = "SELECT count(*) FROM lab.chemistry.reactions";
    lab.until("ana", count, shows("1")).await;
    lab.until("ada", count, shows("2")).await;
    lab.policy("p, role:catalog_reader, system, lab/system/queries/**, select, allow");
    lab.until("ana", "SELECT count(*) FROM system.queries", Result::is_ok)
        .await;
    let version = || get(&lab, "ana", "/api/version").json();
    let seen = version();
    assert_eq!(seen["is_whole"], json!(true));
    for hidden in [
        "UPDATE lab.chemistry.reactions SET yield_pct = 1 WHERE reaction_id = 2",
        "UPDATE lab.chemistry.reactions SET operator = 'ines' WHERE reaction_id = 1",
        "DELETE FROM lab.chemistry.reactions WHERE reaction_id = 2",
        "INSERT INTO lab.chemistry.reactions (reaction_id, status, yield_pct) VALUES (3, 'draft', 5)",
    ] {
        lab.update("ada", hidden).await.unwrap();
        assert_eq!(version(), seen, "{hidden}");
    }
    // Nor does what the server asked itself to know it.
    let asked = "SELECT count(*) FROM system.queries WHERE principal = 'ana' AND sql LIKE '%table_changes(%' AND sql NOT LIKE '%system.queries%'";
    assert!(lab.number("ada", asked).await > 0);
    assert_eq!(lab.number("ana", asked).await, 0);
    lab.update(
        "ada",
        "UPDATE lab.chemistry.reactions SET yield_pct = 81 WHERE reaction_id = 1",
    )
    .await
    .unwrap();
    assert_ne!(version(), seen);
    // A lab that keeps nothing of what is seen in part asks by the clock.
    let lab = lab::own_with(|config| config + "[limits]\nresult_cache_filtered = false\n");
    assert_eq!(get(&lab, "ana", "/api/version").json()["is_whole"], json!(false));
    assert_eq!(get(&lab, "sam", "/api/version").json()["is_whole"], json!(true));
}

#[tokio::test]
async fn the_version_follows_the_alerts_that_a_person_is_shown() {
    let lab = lab::own();
    let version = |user: &str| get(&lab, user, "/api/version").json();
    let (sam, ada) = (version("sam"), version("ada"));
    lab.update(
        "ada",
        "CREATE ALERT own ON lab.chemistry.reagent_lots WHEN purity_pct > 1000 NOTIFY ada BY outbox",
    )
    .await
    .unwrap();
    assert_ne!(version("ada"), ada);
    assert_eq!(version("sam"), sam);
}
