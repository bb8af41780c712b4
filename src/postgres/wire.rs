//! PostgreSQL's messages, version 3.0, as a client sends them: read whole and checked, or refused.
//!
//! Nothing is reserved for what a length announces; a message takes memory as its bytes come.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of one message: statements are capped far lower by the engine; this is room for bound values.
pub(super) const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes of a message before the login: names, a password, a token.
pub(super) const LOGIN_BYTES_MAX: usize = 32 << 10;
/// Bytes read at once, and read ahead while a statement runs.
const AHEAD_BYTES: usize = 64 << 10;
/// Version 3.0, and the request to cancel, which has a number in its place.
const VERSION_3: i32 = 3 << 16;
const CANCEL: i32 = (1234 << 16) | 5678;

/// The first message of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Startup {
    Begin {
        /// `user`, `database`, `application_name`, …
        names: Vec<(String, String)>,
        /// Whether a newer minor version or options of the protocol were asked for: the answer says what there is.
        is_newer: bool,
    },
    Cancel {
        pid: i32,
        secret: i32,
    },
}

/// What a client asks for afterwards.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    Query(String),
    Parse {
        name: String,
        sql: String,
        types: Vec<u32>,
    },
    Bind {
        portal: String,
        statement: String,
        formats: Vec<i16>,
        values: Vec<Option<Bytes>>,
        results: Vec<i16>,
    },
    Describe(Named),
    Close(Named),
    Execute {
        portal: String,
        /// 0 = all.
        rows_max: usize,
    },
    /// A password, or a message of the exchange that was asked for.
    Password(Bytes),
    Flush,
    Sync,
    Terminate,
    /// Rows for a COPY that does not run.
    Copied,
    /// A function called by its number.
    Call,
}

/// A statement or a portal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    Statement(String),
    Portal(String),
}

/// Bytes that are no message; the connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("a message cannot be read; this door speaks PostgreSQL's protocol 3.0")]
    Malformed,
    #[error("a message of {0} bytes is longer than is taken here; put long lists into a table and join it")]
    TooLong(usize),
    #[error("PostgreSQL's protocol 3.0 is spoken here, not another version")]
    Version,
    #[error("the connection ended amid a message")]
    Truncated,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What a client sends, as it comes.
pub(super) struct Inbox<R> {
    read: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Inbox<R> {
    /// After the bytes that were read already.
    pub(super) fn new(read: R, begun: &[u8]) -> Self {
        Self {
            read,
            buffer: BytesMut::from(begun),
        }
    }

    /// The first message; none when the client is gone.
    pub(super) async fn startup(&mut self) -> Result<Option<Startup>, WireError> {
        loop {
            if let Some(body) = body(&mut self.buffer, 0, LOGIN_BYTES_MAX)? {
                return startup(body).map(Some);
            }
            if self.fill().await? == 0 {
                return self.end();
            }
        }
    }

    /// The next message; none when the client is gone. Nothing is lost when the wait is given up.
    pub(super) async fn next(&mut self, bytes_max: usize) -> Result<Option<Request>, WireError> {
        loop {
            if let Some(kind) = self.buffer.first().copied()
                && let Some(body) = body(&mut self.buffer, 1, bytes_max)?
            {
                return request(kind, body).map(Some);
            }
            if self.fill().await? == 0 {
                return self.end();
            }
        }
    }

    /// Completes when the client is gone; what it sends meanwhile is kept for later, up to a bound.
    pub(super) async fn gone(&mut self) {
        while self.buffer.len() < AHEAD_BYTES {
            if !matches!(self.fill().await, Ok(1..)) {
                return;
            }
        }
        std::future::pending().await
    }

    async fn fill(&mut self) -> std::io::Result<usize> {
        if self.buffer.is_empty() && self.buffer.capacity() > AHEAD_BYTES {
            // What one long message needed is not kept for the rest of the connection.
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(4 << 10);
        self.read.read_buf(&mut self.buffer).await
    }

    fn end<T>(&self) -> Result<Option<T>, WireError> {
        match self.buffer.is_empty() {
            true => Ok(None),
            false => Err(WireError::Truncated),
        }
    }
}

/// The content of the first message in `buffer`, whose length stands at `at`; none when it has not come whole.
fn body(buffer: &mut BytesMut, at: usize, bytes_max: usize) -> Result<Option<Bytes>, WireError> {
    let Some(length) = buffer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()) else {
        return Ok(None);
    };
    // The length counts itself.
    let length = usize::try_from(i32::from_be_bytes(length))
        .ok()
        .filter(|length| *length >= 4);
    let length = length.ok_or(WireError::Malformed)?;
    if length > bytes_max {
        return Err(WireError::TooLong(length));
    }
    if buffer.len() < at + length {
        return Ok(None);
    }
    let mut message = buffer.split_to(at + length).freeze();
    message.advance(at + 4);
    Ok(Some(message))
}

fn startup(mut body: Bytes) -> Result<Startup, WireError> {
    let body = &mut body;
    let version = number(body)?;
    if version == CANCEL {
        return Ok(Startup::Cancel {
            pid: number(body)?,
            secret: number(body)?,
        });
    }
    if version >> 16 != VERSION_3 >> 16 {
        return Err(WireError::Version);
    }
    let mut names = Vec::new();
    loop {
        let name = text(body)?;
        if name.is_empty() {
            if !body.is_empty() {
                return Err(WireError::Malformed);
            }
            let is_newer = version != VERSION_3 || names.iter().any(|(name, _): &(String, String)| is_option(name));
            return Ok(Startup::Begin { names, is_newer });
        }
        names.push((name, text(body)?));
    }
}

/// Whether a name of the first message is an option of the protocol, not of the session.
pub(super) fn is_option(name: &str) -> bool {
    name.starts_with("_pq_.")
}

fn request(kind: u8, mut body: Bytes) -> Result<Request, WireError> {
    let body = &mut body;
    let request = match kind {
        b'Q' => Request::Query(text(body)?),
        b'P' => Request::Parse {
            name: text(body)?,
            sql: text(body)?,
            types: list(body, |body| number(body).map(i32::cast_unsigned))?,
        },
        b'B' => Request::Bind {
            portal: text(body)?,
            statement: text(body)?,
            formats: list(body, short)?,
            values: list(body, value)?,
            results: list(body, short)?,
        },
        b'D' => Request::Describe(named(body)?),
        b'C' => Request::Close(named(body)?),
        b'E' => Request::Execute {
            portal: text(body)?,
            rows_max: usize::try_from(number(body)?).unwrap_or(0),
        },
        b'p' => Request::Password(body.split_to(body.len())),
        b'H' => Request::Flush,
        b'S' => Request::Sync,
        b'X' => Request::Terminate,
        b'd' | b'c' | b'f' => {
            body.advance(body.len());
            Request::Copied
        }
        b'F' => {
            body.advance(body.len());
            Request::Call
        }
        _ => return Err(WireError::Malformed),
    };
    match body.is_empty() {
        true => Ok(request),
        false => Err(WireError::Malformed),
    }
}

fn named(body: &mut Bytes) -> Result<Named, WireError> {
    let kind = body.try_get_u8().map_err(|_| WireError::Malformed)?;
    let name = text(body)?;
    match kind {
        b'S' => Ok(Named::Statement(name)),
        b'P' => Ok(Named::Portal(name)),
        _ => Err(WireError::Malformed),
    }
}

fn list<T>(body: &mut Bytes, item: impl Fn(&mut Bytes) -> Result<T, WireError>) -> Result<Vec<T>, WireError> {
    let count = short(body)?.cast_unsigned();
    (0..count).map(|_| item(body)).collect()
}

fn value(body: &mut Bytes) -> Result<Option<Bytes>, WireError> {
    match number(body)? {
        -1 => Ok(None),
        length => {
            let length = usize::try_from(length).map_err(|_| WireError::Malformed)?;
            if length > body.len() {
                return Err(WireError::Malformed);
            }
            Ok(Some(body.split_to(length)))
        }
    }
}

/// The password in a message that brings one.
pub(super) fn password(mut body: Bytes) -> Result<String, WireError> {
    let password = text(&mut body)?;
    match body.is_empty() {
        true => Ok(password),
        false => Err(WireError::Malformed),
    }
}

/// The mechanism that a client chose, and its first message.
pub(super) fn first_proof(mut body: Bytes) -> Result<(String, Bytes), WireError> {
    let mechanism = text(&mut body)?;
    match (value(&mut body)?, body.is_empty()) {
        (Some(message), true) => Ok((mechanism, message)),
        (Some(_) | None, _) => Err(WireError::Malformed),
    }
}

fn number(body: &mut Bytes) -> Result<i32, WireError> {
    body.try_get_i32().map_err(|_| WireError::Malformed)
}

fn short(body: &mut Bytes) -> Result<i16, WireError> {
    body.try_get_i16().map_err(|_| WireError::Malformed)
}

fn text(body: &mut Bytes) -> Result<String, WireError> {
    let end = body.iter().position(|byte| *byte == 0).ok_or(WireError::Malformed)?;
    let text = body.split_to(end);
    body.advance(1);
    String::from_utf8(text.to_vec()).map_err(|_| WireError::Malformed)
}

#[cfg(test)]
mod tests;
