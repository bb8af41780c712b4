//! What the first bytes say a file is. Names lie; magic numbers rarely do.

use crate::formats::{ReadError, arrow_file, avro};

/// The families of files that are read in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Parquet,
    Avro,
    Arrow,
    /// xlsx, xlsb or ods; any other archive is refused later, by its directory.
    Zip,
    /// The container of xls (and of encrypted xlsx).
    Ole,
    /// Everything else; the text decoder refuses what is binary.
    Text,
}

/// Formats recognised only to say so.
const REFUSED: [(&[u8], &str); 14] = [
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a", "a RAR archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"FCS3.", "a flow cytometry (FCS) file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
];

/// # Errors
/// `Unsupported` with the format's name when it is one that is known and not read.
pub(super) fn sniff(bytes: &[u8]) -> Result<Kind, ReadError> {
    if bytes.starts_with(b"PAR1") {
        return Ok(Kind::Parquet);
    }
    if bytes.starts_with(avro::MAGIC) {
        return Ok(Kind::Avro);
    }
    if bytes.starts_with(arrow_file::MAGIC) {
        return Ok(Kind::Arrow);
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Ok(Kind::Zip);
    }
    if bytes.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return Ok(Kind::Ole);
    }
    if bytes.starts_with(b"PARE") {
        return Err(unsupported("Parquet with an encrypted footer"));
    }
    if bytes.starts_with(b"PK\x05\x06") {
        return Err(unsupported("an empty zip archive"));
    }
    match REFUSED.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        Some((_, what)) => Err(unsupported(what)),
        None => Ok(Kind::Text),
    }
}

fn unsupported(what: &str) -> ReadError {
    ReadError::Unsupported { seen: what.to_owned() }
}
