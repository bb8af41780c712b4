//! `labhouse sql`: a small Flight SQL client. Rows go to standard output, everything about them to standard error.

mod printer;

use std::io::{BufRead, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use arrow::error::ArrowError;
use arrow_flight::HandshakeRequest;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, stream};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use printer::{Format, Printer, TABLE_ROWS_MAX};

/// A server that does not answer by then is taken to be absent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A message of ours is at most 4 MiB plus one row that cannot be split.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// Runs one statement on a server and prints what it gives.
#[derive(Debug, clap::Args)]
pub(crate) struct SqlOptions {
    /// The statement, for example "SELECT * FROM lab.chemistry.reactions LIMIT 5"
    statement: String,
    /// The server: grpc://host:port, or grpc+tls://host:port
    #[arg(long, default_value = "grpc://127.0.0.1:50051")]
    uri: String,
    /// Login; also from LABHOUSE_USER
    #[arg(long)]
    user: Option<String>,
    /// File whose first line is the password; else LABHOUSE_PASSWORD, else it is asked for
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// With grpc+tls: PEM file of the authority that the server's certificate must come from
    #[arg(long)]
    tls_ca: Option<PathBuf>,
    /// How rows are written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Why nothing, or not everything, was printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(
        "`{0}` is no address of a server; write grpc://host:port, or grpc+tls://host:port for an encrypted connection"
    )]
    Uri(String),
    #[error(
        "no server answers at {uri} ({cause}); is `labhouse serve` running there, and is its port right? --uri names another"
    )]
    Unreachable { uri: String, cause: String },
    #[error("{path} cannot be read: {source}; name a readable file")]
    File { path: PathBuf, source: std::io::Error },
    #[error(
        "an encrypted connection needs --tls-ca FILE, the PEM certificate of the authority that signed the server's"
    )]
    NoAuthority,
    #[error("nobody is logged in: name the login with --user or in LABHOUSE_USER")]
    NoUser,
    #[error(
        "no password: put it into LABHOUSE_PASSWORD or a file named with --password-file, or run this in a terminal to be asked"
    )]
    NoPassword,
    #[error("{user} was not let in: {message}")]
    Login { user: String, message: String },
    #[error("{0}")]
    Statement(String),
    #[error("the server's answer cannot be read: {0}; is it a Flight SQL server?")]
    Protocol(String),
    #[error("the rows cannot be written: {0}")]
    Output(#[from] std::io::Error),
    #[error("the rows cannot be written as this format: {0}; try another --format")]
    Render(#[from] ArrowError),
}

/// Runs the statement and prints its rows.
///
/// # Errors
/// See [`ClientError`]; rows printed before an error are already out.
pub(crate) async fn run(options: SqlOptions) -> Result<(), ClientError> {
    let started = Instant::now();
    let endpoint = endpoint(&options)?;
    let user = options
        .user
        .clone()
        .or_else(|| std::env::var("LABHOUSE_USER").ok())
        .ok_or(ClientError::NoUser)?;
    let password = password(&options, &user)?;
    let channel = endpoint
        .connect()
        .await
        .map_err(|error| unreachable(&options.uri, &error))?;
    let mut client = login(channel, &user, &password).await?;
    let info = client.execute(options.statement.clone(), None).await.map_err(failed)?;

    let mut rows = 0;
    let mut printer = Printer::new(options.format);
    for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
        let mut batches = client.do_get(ticket).await.map_err(failed)?;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(failed)?;
            rows += batch.num_rows();
            if !print(&printer.take(batch)?)? || printer.is_full() {
                break;
            }
        }
        if let Some(schema) = batches.schema() {
            printer.saw(schema);
        }
    }
    print(&printer.end()?)?;
    if printer.is_full() {
        tell(&format!(
            "the first {TABLE_ROWS_MAX} rows are shown; --format csv or json gives all"
        ))?;
        return Ok(());
    }
    let noun = if rows == 1 { "row" } else { "rows" };
    tell(&format!("{rows} {noun} in {:.3} s", started.elapsed().as_secs_f64()))
}

fn endpoint(options: &SqlOptions) -> Result<Endpoint, ClientError> {
    let wrong = || ClientError::Uri(options.uri.clone());
    let (scheme, place) = options.uri.split_once("://").ok_or_else(wrong)?;
    let encrypted = match scheme {
        "grpc" | "grpc+tcp" | "http" => false,
        "grpc+tls" | "https" => true,
        _ => return Err(wrong()),
    };
    let url = format!("{}://{place}", if encrypted { "https" } else { "http" });
    let endpoint = Endpoint::from_shared(url)
        .map_err(|_| wrong())?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true);
    if !encrypted {
        return Ok(endpoint);
    }
    let path = options.tls_ca.clone().ok_or(ClientError::NoAuthority)?;
    let pem = std::fs::read(&path).map_err(|source| ClientError::File { path, source })?;
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
    endpoint
        .tls_config(tls)
        .map_err(|error| unreachable(&options.uri, &error))
}

async fn login(channel: Channel, user: &str, password: &str) -> Result<FlightSqlServiceClient<Channel>, ClientError> {
    let mut inner = FlightServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut request = Request::new(stream::iter([HandshakeRequest::default()]));
    let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let basic = basic
        .parse()
        .map_err(|error| ClientError::Protocol(format!("the login as a header: {error}")))?;
    request.metadata_mut().insert("authorization", basic);
    let refused = |status: Status| match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => ClientError::Login {
            user: user.to_owned(),
            message: status.message().to_owned(),
        },
        _ => explained(&status),
    };
    let mut answers = inner.handshake(request).await.map_err(refused)?.into_inner();
    let answer = answers.message().await.map_err(refused)?;
    let token = answer.and_then(|answer| String::from_utf8(answer.payload.to_vec()).ok());
    let token = token.ok_or_else(|| ClientError::Protocol("the login gave no token".into()))?;
    let mut client = FlightSqlServiceClient::new_from_inner(inner);
    client.set_token(token);
    Ok(client)
}

fn password(options: &SqlOptions, user: &str) -> Result<String, ClientError> {
    if let Some(path) = &options.password_file {
        let text = std::fs::read_to_string(path).map_err(|source| ClientError::File {
            path: path.clone(),
            source,
        })?;
        return Ok(text.lines().next().unwrap_or_default().to_owned());
    }
    if let Ok(password) = std::env::var("LABHOUSE_PASSWORD") {
        return Ok(password);
    }
    if !std::io::stdin().is_terminal() {
        return Err(ClientError::NoPassword);
    }
    let mut err = std::io::stderr().lock();
    write!(err, "password of {user}: ")?;
    err.flush()?;
    // `stty` is on every system with a terminal, and turning the echo off ourselves would need unsafe code.
    echo(false);
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    echo(true);
    writeln!(err)?;
    read?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn echo(on: bool) {
    let word = if on { "echo" } else { "-echo" };
    // Without `stty` the password is seen while it is typed; that is no reason to refuse it.
    let _ = Command::new("stty")
        .arg(word)
        .stdin(Stdio::inherit())
        .stderr(Stdio::null())
        .status();
}

/// Writes to standard output; false when the reader has gone (`… | head`), which is no error.
fn print(text: &[u8]) -> Result<bool, std::io::Error> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

fn tell(text: &str) -> Result<(), ClientError> {
    Ok(writeln!(std::io::stderr().lock(), "{text}")?)
}

fn failed(error: FlightError) -> ClientError {
    match error {
        FlightError::Tonic(status) => explained(&status),
        other => ClientError::Protocol(other.to_string()),
    }
}

fn explained(status: &Status) -> ClientError {
    match status.code() {
        Code::Unavailable => {
            ClientError::Statement(format!("the connection to the server was lost: {}", status.message()))
        }
        Code::Unimplemented if status.message().is_empty() => {
            ClientError::Protocol("it knows no Flight service".into())
        }
        _ => ClientError::Statement(status.message().to_owned()),
    }
}

/// The innermost cause says it best: "connection refused".
fn unreachable(uri: &str, error: &dyn std::error::Error) -> ClientError {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    ClientError::Unreachable {
        uri: uri.to_owned(),
        cause: cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(uri: &str) -> SqlOptions {
        SqlOptions {
            statement: "SELECT 1".into(),
            uri: uri.into(),
            user: Some("ada".into()),
            password_file: None,
            tls_ca: None,
            format: Format::Table,
        }
    }

    #[test]
    fn addresses_are_understood_or_refused_with_the_right_form() {
        for uri in ["grpc://127.0.0.1:1", "grpc+tcp://host:1", "http://[::1]:1"] {
            assert!(endpoint(&options(uri)).is_ok(), "{uri}");
        }
        for uri in ["127.0.0.1:1", "ftp://host", "grpc://", "grpc://a b"] {
            assert!(matches!(endpoint(&options(uri)), Err(ClientError::Uri(_))), "{uri}");
        }
        assert!(matches!(
            endpoint(&options("grpc+tls://host:1")),
            Err(ClientError::NoAuthority)
        ));
    }
}
