//! PostgreSQL's messages as a server sends them.

use bytes::{BufMut, BytesMut};

use super::errors::Refusal;

/// Messages on their way to the client.
#[derive(Default)]
pub(super) struct Answer(BytesMut);

impl Answer {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes gathered until now.
    pub(super) fn take(&mut self) -> BytesMut {
        self.0.split()
    }

    /// Forgets what was gathered beyond `length` bytes: a message that could not be finished.
    pub(super) fn cut(&mut self, length: usize) {
        self.0.truncate(length);
    }

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

    /// Asks for a proof of the password by the one mechanism there is.
    pub(super) fn ask_proof(&mut self, mechanism: &str) {
        self.message(b'R', |out| {
            out.put_i32(10);
            put_text(out, mechanism);
            out.put_u8(0);
        });
    }

    /// The server's part of the exchange: its challenge.
    pub(super) fn go_on(&mut self, message: &str) {
        self.message(b'R', |out| {
            out.put_i32(11);
            out.put_slice(message.as_bytes());
        });
    }

    /// The server's own proof.
    pub(super) fn proven(&mut self, message: &str) {
        self.message(b'R', |out| {
            out.put_i32(12);
            out.put_slice(message.as_bytes());
        });
    }

    /// What of the protocol there is, for a client that asked for more.
    pub(super) fn negotiate<'a>(&mut self, unknown: impl Iterator<Item = &'a str>) {
        let unknown: Vec<&str> = unknown.collect();
        self.message(b'v', |out| {
            out.put_i32(0);
            out.put_i32(i32::try_from(unknown.len()).unwrap_or(0));
            for name in &unknown {
                put_text(out, name);
            }
        });
    }

    pub(super) fn logged_in(&mut self) {
        self.message(b'R', |out| out.put_i32(0));
    }

    pub(super) fn told(&mut self, name: &str, value: &str) {
        self.message(b'S', |out| {
            put_text(out, name);
            put_text(out, value);
        });
    }

    pub(super) fn key(&mut self, pid: i32, secret: i32) {
        self.message(b'K', |out| {
            out.put_i32(pid);
            out.put_i32(secret);
        });
    }

    /// `I` outside of a transaction, `T` in one, `E` in one that failed.
    pub(super) fn ready(&mut self, status: u8) {
        self.message(b'Z', |out| out.put_u8(status));
    }

    pub(super) fn refused(&mut self, refusal: &Refusal) {
        let severity = if refusal.is_fatal { "FATAL" } else { "ERROR" };
        self.notice(b'E', severity, refusal.state, &refusal.text);
    }

    pub(super) fn warning(&mut self, state: &str, text: &str) {
        self.notice(b'N', "WARNING", state, text);
    }

    fn notice(&mut self, kind: u8, severity: &str, state: &str, text: &str) {
        self.message(kind, |out| {
            for (field, text) in [(b'S', severity), (b'V', severity), (b'C', state), (b'M', text)] {
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

    #[test]
    fn a_message_has_its_kind_its_length_and_its_content() {
        let mut answer = Answer::default();
        answer.complete("SELECT 1");
        answer.plain(b'1');
        assert_eq!(answer.take().as_ref(), b"C\0\0\0\x0dSELECT 1\x001\0\0\0\x04");
        answer.told("a\0b", "c");
        assert_eq!(answer.take().as_ref(), b"S\0\0\0\x08a\0c\0");
    }
}
