//! Who may come in and for how long: tokens, an OpenID Connect provider, client certificates, and what ends with them.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    CommandGetCatalogs, CommandStatementIngest, CommandStatementUpdate, TableDefinitionOptions, TableExistsOption,
    TableNotExistOption,
};
use futures::StreamExt;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

use crate::lab::{self, BINARY, PATIENCE, Server};
use crate::raw::{Raw, connect, descriptor, query};

/// Flows until it is ended: far more rows than any test reads.
const ENDLESS: &str = "SELECT a.plate_id, b.well FROM lab.chemistry.plate_readings a, lab.chemistry.plate_readings b";

pub(crate) fn user(lab: &Server, arguments: &[&str]) -> String {
    let output = Command::new(BINARY)
        .arg("user")
        .args(arguments)
        .arg("--config")
        .arg(lab.dir.join("labhouse.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A connection that shows a token with every call.
pub(crate) async fn with_token(lab: &Server, token: &str) -> Raw {
    Raw {
        client: connect(lab).await,
        token: token.to_owned(),
        transactions: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_what_it_is_for_and_ends_when_it_is_revoked() {
    let lab = lab::own();
    let all = user(&lab, &["token", "ada", "--label", "all"]);
    let reading = user(
        &lab,
        &["token", "ada", "--label", "reading", "--read-only", "--days", "30"],
    );
    let narrow = user(&lab, &["token", "ada", "--label", "narrow", "--schema", "chemistry"]);
    let listed = user(&lab, &["list"]);
    assert!(
        listed.contains("reading (read only) until") && listed.contains("narrow (read only) of chemistry"),
        "{listed}"
    );
    let users = std::fs::read_to_string(lab.dir.join("users.toml")).unwrap();
    assert!(
        !users.contains(&all) && !users.contains(&all["labhouse_".len()..]),
        "only hashes are stored"
    );

    let insert = CommandStatementUpdate {
        query: "CREATE TABLE lab.chemistry.by_token AS SELECT 1 AS n".into(),
        transaction_id: None,
    };
    let row = || {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    };
    let ingest = CommandStatementIngest {
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: TableNotExistOption::Create.into(),
            if_exists: TableExistsOption::Fail.into(),
        }),
        table: "by_ingest".into(),
        schema: Some("chemistry".into()),
        ..Default::default()
    };
    for token in [&reading, &narrow] {
        let mut raw = with_token(&lab, token).await;
        let refused = raw.update(&ingest, Some(row())).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
        assert!(
            raw.ask(&query("SELECT count(*) FROM lab.chemistry.reactions"))
                .await
                .is_ok()
        );
        assert_eq!(
            raw.update(&insert, None).await.unwrap_err().code(),
            Code::PermissionDenied
        );
    }
    let mut raw = with_token(&lab, &all).await;
    assert!(raw.update(&insert, None).await.is_ok());
    assert_eq!(raw.update(&ingest, Some(row())).await.unwrap(), 1);

    // Beyond its schemas a token sees nothing, in data, listings and models.
    let mut raw = with_token(&lab, &narrow).await;
    for sql in [
        "SELECT count(*) FROM lab.assay.ic50",
        "SELECT * FROM lab.system.audit",
        "SELECT 1 FROM lab.none.such",
    ] {
        assert_eq!(raw.ask(&query(sql)).await.unwrap_err().code(), Code::NotFound, "{sql}");
    }
    let schemas = "SELECT count(DISTINCT table_schema) FROM information_schema.tables WHERE table_schema NOT IN ('chemistry', 'information_schema')";
    let (_, batches) = raw.ask(&query(schemas)).await.unwrap();
    assert_eq!(
        arrow::util::pretty::pretty_format_batches(&batches)
            .unwrap()
            .to_string()
            .matches("| 0 ")
            .count(),
        1
    );
    assert!(
        with_token(&lab, &reading)
            .await
            .ask(&query("SELECT count(*) FROM lab.assay.ic50"))
            .await
            .is_ok()
    );

    let elsewhere = user(&lab, &["token", "ada", "--label", "elsewhere", "--schema", "assay"]);
    let mut elsewhere = with_token(&lab, &elsewhere).await;
    for sql in [
        "SELECT * FROM model_card('lab.chemistry.yield_model')",
        "SELECT * FROM top_recommendations('lab.chemistry.yield_model', 1)",
        "EXPLAIN POLICY ON lab.chemistry.reactions",
    ] {
        assert!(raw.ask(&query(sql)).await.is_ok(), "{sql}");
        assert_eq!(
            elsewhere.ask(&query(sql)).await.unwrap_err().code(),
            Code::NotFound,
            "{sql}"
        );
    }

    let found = "SELECT count(*) AS n FROM search_catalog('yield reactions') WHERE table_schema <> 'assay'";
    let (_, batches) = elsewhere.ask(&query(found)).await.unwrap();
    let text = arrow::util::pretty::pretty_format_batches(&batches)
        .unwrap()
        .to_string();
    assert!(text.contains("| 0 "), "{text}");

    // As a password it gives a session that is no more than the token.
    let mut client = lab.login("ada", &narrow).await.unwrap();
    assert!(
        lab::rows(&mut client, "SELECT count(*) FROM lab.assay.ic50")
            .await
            .is_err()
    );
    assert!(
        lab::rows(&mut client, "SELECT count(*) FROM lab.chemistry.reactions")
            .await
            .is_ok()
    );
    assert!(lab.login("sam", &narrow).await.is_err(), "another's name");

    // Revoking ends what runs under the token, and what runs under another goes on.
    let (mut doomed, mut other) = (with_token(&lab, &reading).await, with_token(&lab, &all).await);
    let flowing = |raw: &mut Raw, info: arrow_flight::FlightInfo| {
        let request = raw.request(info.endpoint[0].ticket.clone().unwrap());
        let mut client = raw.client.clone();
        async move { client.do_get(request).await.unwrap().into_inner() }
    };
    let info = doomed.info(&query(ENDLESS)).await.unwrap();
    let mut ends = flowing(&mut doomed, info).await;
    let info = other.info(&query(ENDLESS)).await.unwrap();
    let mut stays = flowing(&mut other, info).await;
    assert!(ends.next().await.unwrap().is_ok() && stays.next().await.unwrap().is_ok());
    user(&lab, &["token", "ada", "--label", "reading", "--revoke"]);
    let revoked = Instant::now();
    let end = read_to_the_end(&mut ends).await;
    assert_eq!(end.code(), Code::PermissionDenied, "{end}");
    assert!(end.message().contains("revoked"), "{end}");
    assert!(
        revoked.elapsed() < Duration::from_secs(20),
        "it took {:?}",
        revoked.elapsed()
    );
    for _ in 0..20 {
        assert!(stays.next().await.unwrap().is_ok(), "another token's stream");
    }
    assert_eq!(
        doomed.ask(&query("SELECT 1")).await.unwrap_err().code(),
        Code::Unauthenticated
    );
}

async fn read_to_the_end(stream: &mut tonic::Streaming<arrow_flight::FlightData>) -> Status {
    let reading = async {
        loop {
            match stream.next().await {
                Some(Ok(_)) => {}
                Some(Err(status)) => return status,
                None => panic!("an ended login must not look like a complete result"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("the stream goes on")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_users_statement_ends() {
    let lab = lab::own();
    let mut sam = Raw::login(&lab, "sam").await;
    let info = sam.info(&query(ENDLESS)).await.unwrap();
    let request = sam.request(info.endpoint[0].ticket.clone().unwrap());
    let mut stream = sam.client.do_get(request).await.unwrap().into_inner();
    assert!(stream.next().await.unwrap().is_ok());
    user(&lab, &["remove", "sam"]);
    assert_eq!(read_to_the_end(&mut stream).await.code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_the_sessions_of_the_old_one() {
    let lab = lab::own();
    let token = user(&lab, &["token", "sam", "--label", "tool"]);
    let (mut sam, mut tool) = (Raw::login(&lab, "sam").await, with_token(&lab, &token).await);
    let mut ana = Raw::login(&lab, "ana").await;
    let info = sam.info(&query(ENDLESS)).await.unwrap();
    let request = sam.request(info.endpoint[0].ticket.clone().unwrap());
    let mut stream = sam.client.do_get(request).await.unwrap().into_inner();
    assert!(stream.next().await.unwrap().is_ok());
    let mut child = Command::new(BINARY)
        .args(["user", "add", "sam", "--config"])
        .arg(lab.dir.join("labhouse.toml"))
        .env("LABHOUSE_PASSWORD", "another-one")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
    let end = read_to_the_end(&mut stream).await;
    assert_eq!(end.code(), Code::PermissionDenied, "{end}");
    let refused = sam.ask(&query("SELECT 1")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    assert!(lab.login("sam", "sam-demo").await.is_err());
    // What did not rest on that password goes on.
    for raw in [&mut tool, &mut ana] {
        assert!(raw.ask(&query("SELECT 1")).await.is_ok());
    }
    let mut again = lab.login("sam", "another-one").await.unwrap();
    assert!(lab::rows(&mut again, "SELECT 1").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_ends_with_the_login_it_runs_under() {
    let lab = lab::own_with(|config| format!("{config}\n[limits]\nwrite_rows = 1000000000\n"));
    let token = user(&lab, &["token", "ada", "--label", "writing"]);
    let mut raw = with_token(&lab, &token).await;
    let writing = tokio::spawn(async move {
        let command = CommandStatementUpdate {
            query: format!("CREATE TABLE lab.chemistry.never AS {ENDLESS}"),
            transaction_id: None,
        };
        raw.update(&command, None).await
    });
    let running =
        "SELECT count(*) FROM system.queries WHERE state = 'running' AND sql LIKE 'CREATE TABLE lab.chemistry.never%'";
    lab.until("ada", running, |answer| {
        answer.as_ref().is_ok_and(|text| text.contains("| 1 "))
    })
    .await;
    user(&lab, &["token", "ada", "--label", "writing", "--revoke"]);
    let refused = writing.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    assert!(lab.query("ada", "SELECT * FROM lab.chemistry.never").await.is_err());
}

/// An OpenID Connect provider from PyPI; ended when dropped.
pub(crate) struct Provider {
    child: Child,
    pub(crate) issuer: String,
}

impl Provider {
    /// One that knows people by their claims.
    pub(crate) fn start(port: u16, people: &[&str]) -> Self {
        let python = crate::python::interpreter();
        let child = Command::new(python.with_file_name("oidc-provider-mock"))
            .args(["-p", &port.to_string()])
            .args(people.iter().flat_map(|claims| ["--user-claims", claims]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let provider = Self {
            child,
            issuer: format!("http://127.0.0.1:{port}"),
        };
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the provider does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        provider
    }

    pub(crate) fn token(&self, audience: &str, user: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/oidc_token.py");
        let output = Command::new(crate::python::interpreter())
            .arg(script)
            .args([&self.issuer, audience, user])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_token_logs_in_and_follows_its_keys() {
    let people = [
        r#"{"sub":"ola","preferred_username":"ola","department":"chem"}"#,
        r#"{"sub":"ada","preferred_username":"ada"}"#,
    ];
    let port = free_port();
    let provider = Provider::start(port, &people);
    let issuer = provider.issuer.clone();
    let lab = lab::own_with(|config| {
        format!(
            "{config}\n[auth.oidc]\nissuer = \"{issuer}\"\naudience = \"labhouse\"\nattributes = {{ department = \"department\" }}\n"
        )
    });
    let policy = lab.dir.join("policies/policy.csv");
    let text = std::fs::read_to_string(&policy).unwrap();
    std::fs::write(&policy, format!("{text}\ng, user:ola, role:lab_scientist, chemistry\n")).unwrap();

    let good = provider.token("labhouse", "ola");
    let mut ola = with_token(&lab, &good).await;
    let deadline = Instant::now() + PATIENCE;
    while let Err(refused) = ola.ask(&query("SELECT count(*) FROM lab.chemistry.reactions")).await {
        assert_eq!(
            refused.code(),
            Code::NotFound,
            "the policy edit acts within moments: {refused}\n{}",
            lab.log()
        );
        assert!(Instant::now() < deadline, "{refused}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Nothing runs later in the name of a login that the users file does not know.
    for sql in [
        "CREATE MATERIALIZED VIEW lab.chemistry.of_ola AS SELECT count(*) AS n FROM lab.chemistry.reactions",
        "CREATE ALERT of_ola ON lab.chemistry.reactions WHEN yield_pct > 100 NOTIFY ola BY outbox",
    ] {
        let command = CommandStatementUpdate {
            query: sql.into(),
            transaction_id: None,
        };
        let refused = ola.update(&command, None).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{sql}: {refused}");
        assert!(refused.message().contains("cannot own"), "{sql}: {refused}");
    }
    // Tools that know only passwords give the token as one; another's name does not open with it.
    assert!(lab.login("ola", &good).await.is_ok() && lab.login("sam", &good).await.is_err());

    // Made for another, changed, unsigned, or named like a local user.
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let word = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text);
    let claims = format!(r#"{{"iss":"{issuer}","aud":"labhouse","exp":9999999999,"preferred_username":"ola"}}"#);
    let none = word(r#"{"typ":"JWT","alg":"none"}"#);
    for (why, token) in [
        ("another audience", provider.token("other", "ola")),
        ("a local user's name", provider.token("labhouse", "ada")),
        ("changed claims", format!("{head}.{}.{signature}", word(&claims))),
        ("no signature", format!("{none}.{}.", word(&claims))),
        ("none as the algorithm", format!("{none}.{}.{signature}", word(&claims))),
        ("noise", "eyJ.eyJ.eyJ".to_owned()),
    ] {
        let refused = with_token(&lab, &token)
            .await
            .ask(&query("SELECT 1"))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{why}");
    }

    // The provider takes a new key: tokens of it are taken soon, those of the old one no more.
    drop(provider);
    let provider = Provider::start(port, &people);
    let newer = provider.token("labhouse", "ola");
    let mut again = with_token(&lab, &newer).await;
    let deadline = Instant::now() + PATIENCE;
    while again.ask(&query("SELECT 1")).await.is_err() {
        assert!(Instant::now() < deadline, "the new key is not found\n{}", lab.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(
        ola.ask(&query("SELECT 1")).await.unwrap_err().code(),
        Code::Unauthenticated
    );
}

/// Keys and certificates made by OpenSSL.
pub(crate) struct Papers(tempfile::TempDir);

impl Papers {
    pub(crate) fn new() -> Self {
        let papers = Self(tempfile::tempdir().unwrap());
        papers.authority("ca");
        papers.sign("server", "/CN=localhost", "ca");
        papers
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn authority(&self, name: &str) {
        let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let subject = format!("/CN=authority {name}");
        self.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &subject,
            "-keyout",
            &key,
            "-out",
            &pem,
        ]);
    }

    pub(crate) fn sign(&self, name: &str, subject: &str, authority: &str) {
        let (key, request, pem) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            subject,
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        std::fs::write(self.0.path().join("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        let (ca, ca_key) = (format!("{authority}.pem"), format!("{authority}.key"));
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "ext",
            "-out",
            &pem,
        ]);
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.path().join(name)).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    async fn connect(
        &self,
        lab: &Server,
        client: Option<&str>,
    ) -> Result<FlightServiceClient<Channel>, tonic::transport::Error> {
        let mut tls = ClientTlsConfig::new()
            .domain_name("localhost")
            .ca_certificate(Certificate::from_pem(self.read("ca.pem")));
        if let Some(name) = client {
            let (pem, key) = (self.read(&format!("{name}.pem")), self.read(&format!("{name}.key")));
            tls = tls.identity(Identity::from_pem(pem, key));
        }
        let url = lab.flight.replace("grpc+tls://", "https://");
        let channel = Endpoint::from_shared(url).unwrap().tls_config(tls)?.connect().await?;
        Ok(FlightServiceClient::new(channel))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_log_in_whom_they_name_and_are_read_again_when_they_change() {
    let papers = Papers::new();
    papers.sign("sam", "/O=Lab/CN=sam", "ca");
    papers.sign("nobody", "/O=Lab/CN=gateway", "ca");
    papers.authority("foreign");
    papers.sign("forged", "/CN=ada", "foreign");
    let (cert, key, ca) = (
        papers.path("server.pem"),
        papers.path("server.key"),
        papers.path("ca.pem"),
    );
    let lab =
        lab::empty(|config| format!("{config}\n[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\nclient_ca = \"{ca}\"\n"));
    assert!(lab.flight.starts_with("grpc+tls://"), "{}", lab.flight);

    let catalogs = || descriptor(&CommandGetCatalogs {});
    let basic = |pair: &str| {
        let word = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair);
        let mut request = Request::new(catalogs());
        request
            .metadata_mut()
            .insert("authorization", format!("Basic {word}").parse().unwrap());
        request
    };
    // The certificate is the login; a password beside it must be the same person's.
    let mut sam = papers.connect(&lab, Some("sam")).await.unwrap();
    assert!(sam.get_flight_info(catalogs()).await.is_ok());
    assert!(sam.get_flight_info(basic("sam:sam-demo")).await.is_ok());
    assert_eq!(
        sam.get_flight_info(basic("ada:ada-demo")).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    // One that names nobody opens the connection and no more; without one a password is needed.
    for shown in [Some("nobody"), None] {
        let mut client = papers.connect(&lab, shown).await.unwrap();
        assert_eq!(
            client.get_flight_info(catalogs()).await.unwrap_err().code(),
            Code::Unauthenticated
        );
        assert!(client.get_flight_info(basic("ada:ada-demo")).await.is_ok());
    }
    // One of a foreign authority opens nothing.
    let forged = match papers.connect(&lab, Some("forged")).await {
        Ok(mut client) => client.get_flight_info(catalogs()).await.is_err(),
        Err(_) => true,
    };
    assert!(forged);

    // A new authority for clients and a new certificate of the server act without a restart; old connections go on.
    papers.sign("renewed", "/CN=localhost", "foreign");
    for (from, to) in [
        ("foreign.pem", "ca.pem"),
        ("renewed.key", "server.key"),
        ("renewed.pem", "server.pem"),
    ] {
        std::fs::write(papers.0.path().join(to), papers.read(from)).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(mut client) = papers.connect(&lab, Some("forged")).await
            && client.get_flight_info(catalogs()).await.is_ok()
        {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "the new certificates are not in use\n{}",
            lab.log()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(sam.get_flight_info(catalogs()).await.is_ok());
    assert!(match papers.connect(&lab, Some("sam")).await {
        Ok(mut client) => client.get_flight_info(catalogs()).await.is_err(),
        Err(_) => true,
    });
}
