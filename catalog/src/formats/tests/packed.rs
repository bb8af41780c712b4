//! gzip and zstd.

use std::io::Write;

use bytes::Bytes;

use super::{ReadError, ints, parse, table};
use crate::formats::{Limits, read};

const TEXT: &str = "a,b\n1,2\n3,4\n";

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(content, 3).unwrap()
}

#[test]
fn packed_files_read_like_plain_ones() {
    let members = [gzip(b"a,b\n1,2\n"), gzip(b"3,4\n")].concat();
    let frames = [zstd(b"a,b\n1,2\n"), zstd(b"3,4\n")].concat();
    for (name, bytes) in [
        ("a.csv.gz", gzip(TEXT.as_bytes())),
        ("a.csv", members),
        ("a.zst", zstd(TEXT.as_bytes())),
        ("b", frames),
    ] {
        assert_eq!(ints(&table(name, bytes), "b"), [Some(2), Some(4)], "{name}");
    }
    assert!(
        parse("a.csv.gz", gzip(TEXT.as_bytes()))
            .unwrap()
            .taken_for
            .starts_with("gzip of CSV")
    );
}

#[test]
fn damaged_and_hostile_packing_is_refused() {
    for whole in [gzip(TEXT.as_bytes()), zstd(TEXT.as_bytes())] {
        for cut in 4..whole.len() {
            let error = parse("a.csv", &whole[..cut]).unwrap_err();
            assert!(matches!(error, ReadError::Damaged { .. }), "cut at {cut}: {error}");
        }
    }
    let error = parse("a.gz", gzip(&gzip(TEXT.as_bytes()))).unwrap_err();
    assert!(matches!(error, ReadError::Unsupported { .. }), "{error}");
    assert!(matches!(parse("a.gz", gzip(b"")).unwrap_err(), ReadError::Empty { .. }));
    // 24 MiB of zeros in some kilobytes.
    for bomb in [gzip(&vec![b'0'; 24 << 20]), zstd(&vec![b'0'; 24 << 20])] {
        let error = parse("a.csv", bomb).unwrap_err();
        assert!(matches!(error, ReadError::TooLarge { .. }), "{error}");
    }
    let small = Limits {
        decompressed_bytes_max: 10,
        ..Limits::default()
    };
    for bytes in [TEXT.as_bytes().to_vec(), gzip(TEXT.as_bytes()), zstd(TEXT.as_bytes())] {
        let error = read("a.csv", Bytes::from(bytes), &small).unwrap_err();
        assert!(matches!(error, ReadError::TooLarge { .. }), "{error}");
    }
}

#[test]
fn every_limit_holds() {
    let limits = Limits {
        columns_max: 3,
        rows_max: 5,
        cell_bytes_max: 8,
        nesting_max: 3,
        ..Limits::default()
    };
    let ok = |text: &str| read("a", Bytes::from(text.to_owned()), &limits);
    assert!(ok("a,b,c\n1,2,3\n").is_ok());
    assert!(ok("a,b,c,d\n1,2,3,4\n").is_err());
    assert!(ok("a,b\n1,2\n1,2\n1,2\n1,2\n").is_ok());
    assert!(ok("a,b\n1,2\n1,2\n1,2\n1,2\n1,2\n").is_err());
    assert!(ok("a,b\n123456789,2\n").is_err());
    assert!(ok("[{\"a\":[1]}]").is_ok());
    assert!(ok("[{\"a\":[[1]]}]").is_err());
    assert!(ok("[{\"a\":1,\"b\":1,\"c\":1},{\"d\":1}]").is_err());
    assert!(ok("[{\"a\":\"123456789\"}]").is_err());
}
