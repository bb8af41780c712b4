//! A zip archive written forwards: each file's sizes follow its bytes, and the list of files ends the archive.

use std::io::Write;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use crate::query::QueryError;

const LOCAL: u32 = 0x0403_4b50;
const SIZES: u32 = 0x0807_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
/// Version that reads deflate.
const VERSION: u16 = 20;
/// Sizes follow the bytes; names are UTF-8.
const FLAGS: u16 = 0x0808;
const DEFLATE: u16 = 8;
/// 1 January 1980: equal answers make equal archives.
const DAY: u16 = 0x0021;

/// An archive on its way.
#[derive(Default)]
pub(super) struct Zip {
    /// Bytes given out.
    offset: u64,
    files: Vec<File>,
    open: Option<Open>,
}

struct File {
    name: &'static str,
    crc: u32,
    squeezed: u64,
    plain: u64,
    offset: u64,
}

struct Open {
    name: &'static str,
    offset: u64,
    encoder: DeflateEncoder<Vec<u8>>,
    crc: Crc,
    squeezed: u64,
    plain: u64,
}

impl Zip {
    /// A file whose bytes are all there.
    pub(super) fn whole(&mut self, name: &'static str, bytes: &[u8]) -> Vec<u8> {
        let mut out = self.begin(name);
        // A part of a workbook is far from what an archive holds.
        out.extend(self.write(bytes).unwrap_or_default());
        out.extend(self.close().unwrap_or_default());
        out
    }

    /// Opens a file; what is written goes there until it is closed.
    pub(super) fn begin(&mut self, name: &'static str) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        put32(&mut out, LOCAL);
        for part in [VERSION, FLAGS, DEFLATE, 0, DAY] {
            put16(&mut out, part);
        }
        // Checksum and sizes follow.
        for _ in 0..3 {
            put32(&mut out, 0);
        }
        put16(&mut out, length(name));
        put16(&mut out, 0);
        out.extend(name.bytes());
        self.open = Some(Open {
            name,
            offset: self.offset,
            encoder: DeflateEncoder::new(Vec::new(), Compression::fast()),
            crc: Crc::new(),
            squeezed: 0,
            plain: 0,
        });
        self.offset += out.len() as u64;
        out
    }

    /// Bytes of the open file.
    ///
    /// # Errors
    /// [`QueryError::Exhausted`] when they are more than an archive of this kind holds.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<Vec<u8>, QueryError> {
        let Some(open) = &mut self.open else {
            return Err(QueryError::internal("no file of the archive is open"));
        };
        open.crc.update(bytes);
        open.plain += bytes.len() as u64;
        // Writing to memory does not fail.
        let _ = open.encoder.write_all(bytes);
        let out = std::mem::take(open.encoder.get_mut());
        open.squeezed += out.len() as u64;
        self.offset += out.len() as u64;
        if open.plain.max(self.offset) > u64::from(u32::MAX) {
            return Err(QueryError::Exhausted(
                "the answer is larger than a workbook holds (4 GiB); take csv or arrow, or fewer rows".into(),
            ));
        }
        Ok(out)
    }

    fn close(&mut self) -> Result<Vec<u8>, QueryError> {
        let Some(open) = self.open.take() else {
            return Err(QueryError::internal("no file of the archive is open"));
        };
        let mut out = open.encoder.finish().map_err(QueryError::internal)?;
        let file = File {
            name: open.name,
            crc: open.crc.sum(),
            squeezed: open.squeezed + out.len() as u64,
            plain: open.plain,
            offset: open.offset,
        };
        for part in [SIZES, file.crc, small(file.squeezed), small(file.plain)] {
            put32(&mut out, part);
        }
        self.files.push(file);
        self.offset += out.len() as u64;
        Ok(out)
    }

    /// Closes the open file and the archive.
    pub(super) fn end(&mut self) -> Result<Vec<u8>, QueryError> {
        let mut out = self.close()?;
        let start = self.offset;
        let mut list = Vec::new();
        for file in &self.files {
            put32(&mut list, CENTRAL);
            for part in [VERSION, VERSION, FLAGS, DEFLATE, 0, DAY] {
                put16(&mut list, part);
            }
            for part in [file.crc, small(file.squeezed), small(file.plain)] {
                put32(&mut list, part);
            }
            put16(&mut list, length(file.name));
            // No extra field, no comment, the first disk, no attributes.
            for _ in 0..4 {
                put16(&mut list, 0);
            }
            put32(&mut list, 0);
            put32(&mut list, small(file.offset));
            list.extend(file.name.bytes());
        }
        let files = u16::try_from(self.files.len()).unwrap_or(u16::MAX);
        let size = list.len() as u64;
        put32(&mut list, END);
        for part in [0, 0, files, files] {
            put16(&mut list, part);
        }
        put32(&mut list, small(size));
        put32(&mut list, small(start));
        put16(&mut list, 0);
        out.extend(list);
        Ok(out)
    }
}

/// What `write` has seen to be small.
fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn length(name: &str) -> u16 {
    u16::try_from(name.len()).unwrap_or(u16::MAX)
}

fn put16(out: &mut Vec<u8>, number: u16) {
    out.extend(number.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, number: u32) {
    out.extend(number.to_le_bytes());
}
