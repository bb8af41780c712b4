//! Tests of bound values.

use super::*;

#[test]
fn texts_are_read_as_the_type_that_was_named() {
    assert_eq!(of_text(20, "-7").unwrap(), ScalarValue::from(-7_i64));
    assert_eq!(of_text(16, "t").unwrap(), ScalarValue::from(true));
    assert_eq!(
        of_text(1700, "-12.50").unwrap(),
        ScalarValue::Decimal128(Some(-1250), 4, 2)
    );
    assert_eq!(
        of_text(1700, "1.2E+3").unwrap(),
        ScalarValue::Decimal128(Some(1200), 4, 0)
    );
    assert_eq!(of_text(1700, "5e-3").unwrap(), ScalarValue::Decimal128(Some(5), 3, 3));
    assert_eq!(of_text(1082, "2000-01-02").unwrap(), ScalarValue::Date32(Some(10_958)));
    assert_eq!(of_text(17, "\\x01ff").unwrap(), ScalarValue::Binary(Some(vec![1, 255])));
    assert_eq!(of_text(0, "x").unwrap(), ScalarValue::from("x"));
    for (oid, text) in [
        (20, "x"),
        (16, "maybe"),
        (17, "\\x0"),
        (1082, "yesterday"),
        (1700, "1.2.3"),
        (1700, "1e9999999999"),
    ] {
        assert_eq!(of_text(oid, text), None, "{text}");
    }
}

#[test]
fn arrays_are_read_with_quotes_and_nulls() {
    assert_eq!(
        array_items(r#"{a,"b, \"c",NULL,"NULL",}"#).unwrap(),
        [
            Some("a".into()),
            Some("b, \"c".into()),
            None,
            Some("NULL".into()),
            Some(String::new())
        ]
    );
    assert_eq!(array_items("{}").unwrap(), Vec::<Option<String>>::new());
    assert_eq!(array_items("{{1}}"), None);
    assert_eq!(array_items("{\"a}"), None);
    assert!(of_text(1007, "{1,2}").is_some() && of_text(1007, "{1,x}").is_none());
}

#[test]
fn binary_noise_is_refused() {
    for oid in [16, 20, 21, 23, 700, 701, 1082, 1114, 1186, 1700, 1007, 1016] {
        for noise in [&[] as &[u8], &[1, 2, 3], &[0xff; 9], &[0; 11], &[0xff; 40]] {
            let _ = of_binary(oid, noise);
        }
    }
    assert_eq!(of_binary(20, &[0; 3]), None);
    let list = [1, 0, 23, 1, 1, 4, 9]
        .into_iter()
        .flat_map(i32::to_be_bytes)
        .collect::<Vec<u8>>();
    assert!(of_binary(1007, &list).is_some());
    let too_many = [1, 0, 23, i32::MAX, 1]
        .into_iter()
        .flat_map(i32::to_be_bytes)
        .collect::<Vec<u8>>();
    assert_eq!(of_binary(1007, &too_many), None);
}
