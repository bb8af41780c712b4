//! gzip and zstd, known by their magic, unpacked within bounds.

use std::io::Read;

use bytes::Bytes;

use crate::formats::{Limits, ReadError};

/// Beyond [`RATIO_FREE_BYTES`], output per input byte. Deflate can reach 1,032 on zeros; text tables stay under 100.
pub(super) const RATIO_MAX: u64 = 500;
/// Up to here the ratio is not looked at: small files of one repeated value are honest.
pub(super) const RATIO_FREE_BYTES: u64 = 16 << 20;
/// One read of the decoder.
const CHUNK_BYTES: usize = 64 << 10;

/// Returns the content and the codec's name, or the bytes as they came and `None`.
///
/// # Errors
/// `Damaged` for truncated or corrupt streams, `TooLarge` beyond the limits, `Unsupported` for packed twice.
pub(super) fn unpack(bytes: Bytes, limits: &Limits) -> Result<(Bytes, Option<&'static str>), ReadError> {
    let Some(codec) = codec(&bytes) else {
        check_size(bytes.len() as u64, limits)?;
        return Ok((bytes, None));
    };
    let content = match codec {
        Codec::Gzip => drain(
            "gzip",
            flate2::read::MultiGzDecoder::new(bytes.as_ref()),
            bytes.len(),
            limits,
        )?,
        Codec::Zstd => {
            let decoder = zstd::stream::read::Decoder::new(bytes.as_ref()).map_err(|error| ReadError::Damaged {
                format: "zstd",
                why: error.to_string(),
            })?;
            drain("zstd", decoder, bytes.len(), limits)?
        }
    };
    if content.is_empty() {
        return Err(ReadError::Empty {
            bytes: bytes.len() as u64,
        });
    }
    if self::codec(&content).is_some() {
        return Err(ReadError::Unsupported {
            seen: "a compressed file inside a compressed file".to_owned(),
        });
    }
    let name = match codec {
        Codec::Gzip => "gzip",
        Codec::Zstd => "zstd",
    };
    Ok((Bytes::from(content), Some(name)))
}

#[derive(Debug, Clone, Copy)]
enum Codec {
    Gzip,
    Zstd,
}

fn codec(bytes: &[u8]) -> Option<Codec> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        Some(Codec::Gzip)
    } else if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some(Codec::Zstd)
    } else {
        None
    }
}

fn check_size(seen: u64, limits: &Limits) -> Result<(), ReadError> {
    if seen > limits.decompressed_bytes_max {
        return Err(ReadError::TooLarge {
            what: "the file's content",
            seen: format!("{seen} bytes"),
            max: limits.decompressed_bytes_max,
        });
    }
    Ok(())
}

fn drain(format: &'static str, mut decoder: impl Read, packed: usize, limits: &Limits) -> Result<Vec<u8>, ReadError> {
    let mut content = Vec::new();
    let mut chunk = vec![0u8; CHUNK_BYTES];
    let ratio_bytes_max = (packed as u64).saturating_mul(RATIO_MAX).max(RATIO_FREE_BYTES);
    loop {
        let read = match decoder.read(&mut chunk) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(ReadError::Damaged {
                    format,
                    why: format!("after {} bytes of content: {error}", content.len()),
                });
            }
        };
        if read == 0 {
            return Ok(content);
        }
        content.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let size = content.len() as u64;
        if size > limits.decompressed_bytes_max {
            return Err(ReadError::TooLarge {
                what: "the decompressed content",
                seen: "larger".to_owned(),
                max: limits.decompressed_bytes_max,
            });
        }
        if size > ratio_bytes_max {
            return Err(ReadError::TooLarge {
                what: "the content of a compressed byte",
                seen: "more bytes than any real table has".to_owned(),
                max: RATIO_MAX,
            });
        }
    }
}
