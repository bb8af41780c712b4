//! PostgreSQL's messages, version 3.0: what a client sends, read whole and checked, and what a server answers.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of one message: statements are capped far lower by the engine; this is room for bound values.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes of the first message, which holds names only.
const STARTUP_BYTES_MAX: usize = 10 << 10;
/// Version 3.0, and the request to cancel, which has a number in its place.
const VERSION_3: i32 = 3 << 16;
const CANCEL: i32 = (1234 << 16) | 5678;

/// The first message of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Startup {
    /// Names and values: `user`, `database`, `application_name`, …
    Begin(Vec<(String, String)>),
    Cancel { pid: i32, secret: i32 },
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
        rows_max: usize,
    },
    Password(String),
    Flush,
    Sync,
    Terminate,
    /// COPY and functions called by number: not spoken here.
    Other(u8),
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
    #[error("a message cannot be read")]
    Malformed,
    #[error("a message is longer than {MESSAGE_BYTES_MAX} bytes")]
    TooLong,
    #[error("protocol version 3.0 is spoken here")]
    Version,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Reads the first message.
pub(super) async fn startup(stream: &mut (impl AsyncRead + Unpin)) -> Result<Startup, WireError> {
    let mut body = body(stream, STARTUP_BYTES_MAX).await?;
    let version = number(&mut body)?;
    if version == CANCEL {
        return Ok(Startup::Cancel {
            pid: number(&mut body)?,
            secret: number(&mut body)?,
        });
    }
    // A newer minor version is answered with what this one has; clients go on.
    if version >> 16 != VERSION_3 >> 16 {
        return Err(WireError::Version);
    }
    let mut names = Vec::new();
    loop {
        let name = text(&mut body)?;
        if name.is_empty() {
            return Ok(Startup::Begin(names));
        }
        names.push((name, text(&mut body)?));
    }
}

/// Reads the next message; none when the client is gone.
pub(super) async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Request>, WireError> {
    let kind = match stream.read_u8().await {
        Ok(kind) => kind,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let body = body(stream, MESSAGE_BYTES_MAX).await?;
    read(kind, body).map(Some)
}

async fn body(stream: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> Result<Bytes, WireError> {
    let length = stream.read_i32().await?;
    // The length counts itself.
    let length = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
    let length = length.ok_or(WireError::Malformed)?;
    if length > bytes_max {
        return Err(WireError::TooLong);
    }
    let mut body = BytesMut::zeroed(length);
    stream.read_exact(&mut body).await?;
    Ok(body.freeze())
}

fn read(kind: u8, mut body: Bytes) -> Result<Request, WireError> {
    let body = &mut body;
    Ok(match kind {
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
        b'p' => Request::Password(text(body)?),
        b'H' => Request::Flush,
        b'S' => Request::Sync,
        b'X' => Request::Terminate,
        other => Request::Other(other),
    })
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
    let count = usize::try_from(short(body)?).map_err(|_| WireError::Malformed)?;
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

/// Messages on their way to the client.
#[derive(Default)]
pub(super) struct Answer(pub(super) BytesMut);

impl Answer {
    /// A message of `kind` with the content that `write` puts.
    pub(super) fn message(&mut self, kind: u8, write: impl FnOnce(&mut BytesMut)) {
        self.0.put_u8(kind);
        let at = self.0.len();
        self.0.put_i32(0);
        write(&mut self.0);
        let length = i32::try_from(self.0.len() - at).unwrap_or(i32::MAX);
        if let Some(place) = self.0.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }

    pub(super) fn ask_password(&mut self) {
        self.message(b'R', |out| out.put_i32(3));
    }

    pub(super) fn welcome(&mut self, told: &[(&str, &str)], pid: i32, secret: i32) {
        self.message(b'R', |out| out.put_i32(0));
        for (name, value) in told {
            self.message(b'S', |out| {
                put_text(out, name);
                put_text(out, value);
            });
        }
        self.message(b'K', |out| {
            out.put_i32(pid);
            out.put_i32(secret);
        });
    }

    /// `I` outside of a transaction, `T` in one, `E` in one that failed.
    pub(super) fn ready(&mut self, status: u8) {
        self.message(b'Z', |out| out.put_u8(status));
    }

    pub(super) fn error(&mut self, severity: &str, state: &str, message: &str) {
        self.message(b'E', |out| {
            for (field, text) in [(b'S', severity), (b'V', severity), (b'C', state), (b'M', message)] {
                out.put_u8(field);
                put_text(out, text);
            }
            out.put_u8(0);
        });
    }

    pub(super) fn complete(&mut self, tag: &str) {
        self.message(b'C', |out| put_text(out, tag));
    }

    /// A message without content: `1` parsed, `2` bound, `3` closed, `n` no data, `s` suspended, `I` empty statement.
    pub(super) fn plain(&mut self, kind: u8) {
        self.message(kind, |_| {});
    }

    pub(super) fn parameters(&mut self, types: &[u32]) {
        self.message(b't', |out| {
            out.put_i16(i16::try_from(types.len()).unwrap_or(i16::MAX));
            for oid in types {
                out.put_u32(*oid);
            }
        });
    }
}

/// A text and its end; one with a zero byte is cut there, since the protocol has no other way.
pub(super) fn put_text(out: &mut BytesMut, text: &str) {
    let end = text.find('\0').unwrap_or(text.len());
    out.put_slice(text.get(..end).unwrap_or_default().as_bytes());
    out.put_u8(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_read_whole() {
        let mut startup_bytes: &[u8] = b"\0\0\0\x14\0\x03\0\0user\0ana\0\0\0";
        let read = startup(&mut startup_bytes).await;
        assert!(matches!(read, Ok(Startup::Begin(names)) if names == [("user".to_owned(), "ana".to_owned())]));
        let mut cancel: &[u8] = &[0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 7, 0, 0, 0, 9];
        assert_eq!(startup(&mut cancel).await.unwrap(), Startup::Cancel { pid: 7, secret: 9 });
        let mut bind: &[u8] = b"B\0\0\0\x19p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0";
        let read = request(&mut bind).await.unwrap().unwrap();
        let Request::Bind { values, formats, .. } = read else { panic!("{read:?}") };
        assert_eq!((values, formats), (vec![Some(Bytes::from_static(b"x")), None], vec![1]));
        assert!(request(&mut [].as_slice()).await.unwrap().is_none());
    }

    proptest::proptest! {
        #[test]
        fn noise_is_refused_and_never_a_panic(kind in proptest::prelude::any::<u8>(), noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
            let _ = read(kind, Bytes::from(noise));
        }
    }
}
