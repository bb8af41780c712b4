//! Tests of messages, good and bad.

use super::*;

fn bind(values: &[u8]) -> Vec<u8> {
    let content = [b"p\0s\0\0\x01\0\x01\0\x02".as_slice(), values, b"\0\0"].concat();
    let length = i32::try_from(content.len() + 4).unwrap().to_be_bytes();
    [b"B".as_slice(), &length, &content].concat()
}

#[tokio::test]
async fn messages_are_read_whole() {
    let bytes = b"\0\0\0\x13\0\x03\0\0user\0ana\0\0\0";
    let read = Inbox::new(bytes.as_slice(), b"").startup().await;
    assert!(matches!(read, Err(WireError::Malformed)), "{read:?}");
    let bytes = b"\0\0\0\x12\0\x03\0\0user\0ana\0\0";
    let read = Inbox::new(bytes.as_slice(), b"").startup().await.unwrap().unwrap();
    let Startup::Begin { names, is_newer } = read else {
        panic!("{read:?}")
    };
    assert_eq!((names, is_newer), (vec![("user".to_owned(), "ana".to_owned())], false));
    let cancel: &[u8] = &[0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 7, 0, 0, 0, 9];
    let read = Inbox::new(&cancel[8..], &cancel[..8]).startup().await.unwrap();
    assert_eq!(read, Some(Startup::Cancel { pid: 7, secret: 9 }));

    let bytes = [bind(b"\0\0\0\x01x\xff\xff\xff\xff"), b"S\0\0\0\x04".to_vec()].concat();
    let mut inbox = Inbox::new(bytes.as_slice(), b"");
    let read = inbox.next(MESSAGE_BYTES_MAX).await.unwrap().unwrap();
    let Request::Bind { values, formats, .. } = read else {
        panic!("{read:?}")
    };
    assert_eq!((values, formats), (vec![Some(Bytes::from_static(b"x")), None], vec![1]));
    assert_eq!(inbox.next(MESSAGE_BYTES_MAX).await.unwrap(), Some(Request::Sync));
    assert_eq!(inbox.next(MESSAGE_BYTES_MAX).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    for bytes in [
        b"Q\0\0\0\x03".as_slice(),
        b"Q\x7f\xff\xff\xff",
        b"Q\xff\xff\xff\xff",
        b"Q\0\0\0\x08SELE",
        b"Q\0\0\0\x06\xff\0",
        b"S\0\0\0\x05x",
        b"D\0\0\0\x06X\0",
        b"~\0\0\0\x04",
        b"Q\0\0\0\x20SELECT 1",
        &bind(b"\0\0\0\x7fx\xff\xff\xff\xff"),
    ] {
        let read = Inbox::new(bytes, b"").next(MESSAGE_BYTES_MAX).await;
        assert!(read.is_err(), "{bytes:?}: {read:?}");
    }
}

proptest::proptest! {
    #[test]
    fn noise_is_read_or_refused_and_never_a_panic(
        kind in proptest::prelude::any::<u8>(),
        noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64),
    ) {
        let _ = request(kind, Bytes::from(noise.clone()));
        let _ = startup(Bytes::from(noise));
    }
}
