//! The directory of a zip archive, checked before a library opens it: what is inside, and that it unpacks to no more
//! than the limit. A header may lie about sizes, so every entry is inflated once and counted.

use std::io::Read;

use flate2::read::DeflateDecoder;

use crate::formats::unpack::{RATIO_FREE_BYTES, RATIO_MAX};
use crate::formats::{Limits, ReadError};

const END: &[u8] = b"PK\x05\x06";
const ENTRY: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
/// The end record is 22 bytes and a comment of at most 65,535.
const END_SEARCH_BYTES: usize = 22 + 65_535;
/// A workbook has some dozen parts; thousands are another kind of archive.
const ENTRIES_MAX: usize = 10_000;

/// The files of an archive in its order, unpacked, without folders and hidden files.
///
/// # Errors
/// As [`names`]; `Unsupported` for names that lead out of the archive.
pub(super) fn files(bytes: &[u8], limits: &Limits) -> Result<Vec<(String, Vec<u8>)>, ReadError> {
    // All sizes are checked before the first is kept.
    names(bytes, limits)?;
    let mut files = Vec::new();
    for entry in entries(bytes)? {
        let parts: Vec<&str> = entry.name.split(['/', '\\']).collect();
        if parts.contains(&"..") || entry.name.starts_with('/') {
            return Err(ReadError::Unsupported {
                seen: format!("an archive with a name that leads out of it ({:?})", entry.name),
            });
        }
        let hidden = parts.iter().any(|part| part.starts_with('.') || *part == "__MACOSX");
        if hidden || parts.last().is_none_or(|name| name.is_empty()) {
            continue;
        }
        let content = entry.unpack(bytes, limits.decompressed_bytes_max)?;
        files.push((entry.name, content));
    }
    Ok(files)
}

/// One file of an archive whose sizes were checked (see [`names`]), unpacked; `None` where it is not there.
pub(super) fn file(bytes: &[u8], name: &str, limits: &Limits) -> Option<Vec<u8>> {
    let entries = entries(bytes).ok()?;
    let is_it = |entry: &&Entry| entry.name.replace('\\', "/").eq_ignore_ascii_case(name);
    let entry = entries.iter().find(is_it)?;
    entry.unpack(bytes, limits.decompressed_bytes_max).ok()
}

/// Names of the entries.
///
/// # Errors
/// `Damaged` for a cut or corrupt archive, `TooLarge`, `Unsupported` for encryption and other methods than deflate.
pub(super) fn names(bytes: &[u8], limits: &Limits) -> Result<Vec<String>, ReadError> {
    let mut names = Vec::new();
    let mut total = 0u64;
    for entry in entries(bytes)? {
        total = total.saturating_add(entry.check(bytes, limits.decompressed_bytes_max.saturating_sub(total))?);
        names.push(entry.name);
    }
    // A few honest megabytes of one value pack to nothing; beyond, no table does.
    if total > RATIO_FREE_BYTES && total / RATIO_MAX > bytes.len() as u64 {
        return Err(ReadError::TooLarge {
            what: "the content of a packed byte",
            seen: "more bytes than any real table has".to_owned(),
            max: RATIO_MAX,
        });
    }
    Ok(names)
}

/// The directory's entries.
fn entries(bytes: &[u8]) -> Result<Vec<Entry>, ReadError> {
    let end = find_end(bytes).ok_or_else(|| damaged("the directory at the end is missing"))?;
    let count = u16_at(bytes, end + 10).unwrap_or(0) as usize;
    let mut at = u32_at(bytes, end + 16).ok_or_else(|| damaged("the directory is cut"))? as usize;
    if count > ENTRIES_MAX {
        return Err(ReadError::TooLarge {
            what: "the number of files in the archive",
            seen: count.to_string(),
            max: ENTRIES_MAX as u64,
        });
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let entry = Entry::at(bytes, at).ok_or_else(|| damaged("an entry of the directory is cut"))?;
        at = entry.next;
        entries.push(entry);
    }
    Ok(entries)
}

struct Entry {
    name: String,
    encrypted: bool,
    method: u16,
    packed: usize,
    local: usize,
    next: usize,
}

impl Entry {
    fn at(bytes: &[u8], at: usize) -> Option<Self> {
        if bytes.get(at..)?.get(..4)? != ENTRY {
            return None;
        }
        let name_bytes = u16_at(bytes, at + 28)? as usize;
        let extra = u16_at(bytes, at + 30)? as usize;
        let comment = u16_at(bytes, at + 32)? as usize;
        let name = bytes.get(at + 46..at + 46 + name_bytes)?;
        Some(Self {
            name: String::from_utf8_lossy(name).into_owned(),
            encrypted: u16_at(bytes, at + 8)? & 1 == 1,
            method: u16_at(bytes, at + 10)?,
            packed: u32_at(bytes, at + 20)? as usize,
            local: u32_at(bytes, at + 42)? as usize,
            next: at + 46 + name_bytes + extra + comment,
        })
    }

    /// Inflates the entry and returns its size.
    fn check(&self, bytes: &[u8], left: u64) -> Result<u64, ReadError> {
        if self.encrypted {
            return Err(ReadError::Unsupported {
                seen: "an archive or workbook with a password; save it without one".to_owned(),
            });
        }
        let data = self
            .data(bytes)
            .ok_or_else(|| damaged(&format!("the content of {:?} is cut", self.name)))?;
        let size = match self.method {
            0 => data.len() as u64,
            8 => {
                // One byte more than allowed tells too large from just fitting.
                let mut bounded = DeflateDecoder::new(data).take(left.saturating_add(1));
                std::io::copy(&mut bounded, &mut std::io::sink())
                    .map_err(|error| damaged(&format!("{:?} does not unpack ({error})", self.name)))?
            }
            other => {
                return Err(ReadError::Unsupported {
                    seen: format!("an archive packed with method {other}"),
                });
            }
        };
        if size > left {
            return Err(ReadError::TooLarge {
                what: "the unpacked archive",
                seen: format!("larger (at {:?})", self.name),
                max: left,
            });
        }
        Ok(size)
    }

    /// The entry's content; its size was checked before.
    fn unpack(&self, bytes: &[u8], max: u64) -> Result<Vec<u8>, ReadError> {
        let data = self
            .data(bytes)
            .ok_or_else(|| damaged(&format!("the content of {:?} is cut", self.name)))?;
        if self.method == 0 {
            return Ok(data.to_vec());
        }
        let mut content = Vec::new();
        DeflateDecoder::new(data)
            .take(max)
            .read_to_end(&mut content)
            .map_err(|error| damaged(&format!("{:?} does not unpack ({error})", self.name)))?;
        Ok(content)
    }

    fn data<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        if bytes.get(self.local..)?.get(..4)? != LOCAL {
            return None;
        }
        let name = u16_at(bytes, self.local + 26)? as usize;
        let extra = u16_at(bytes, self.local + 28)? as usize;
        let start = self.local + 30 + name + extra;
        bytes.get(start..start.checked_add(self.packed)?)
    }
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    let from = bytes.len().saturating_sub(END_SEARCH_BYTES);
    let tail = bytes.get(from..)?;
    tail.windows(END.len())
        .rposition(|window| window == END)
        .map(|at| from + at)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..at.checked_add(2)?)?
        .try_into()
        .ok()
        .map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at.checked_add(4)?)?
        .try_into()
        .ok()
        .map(u32::from_le_bytes)
}

fn damaged(why: &str) -> ReadError {
    ReadError::Damaged {
        format: "zip archive (xlsx, ods)",
        why: why.to_owned(),
    }
}
