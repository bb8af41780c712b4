//! PostgreSQL's binary form of decimal numbers: groups of four digits with a weight, a sign and a scale.

use arrow::error::ArrowError;
use bytes::{Buf, BufMut, BytesMut};

const NEGATIVE: u16 = 0x4000;
/// Digits of a group.
const GROUP: usize = 4;
/// Digits taken from a client: more than a Decimal128 holds is refused later, by its parser.
const GROUPS_MAX: usize = 32;

/// Writes a number given as `-123.45`.
pub(super) fn put(text: &str, out: &mut BytesMut) -> Result<(), ArrowError> {
    let wrong = || ArrowError::ParseError(format!("{text} is no decimal number"));
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    // Both sides padded to whole groups.
    let pad = |length: usize| (GROUP - length % GROUP) % GROUP;
    let all = format!(
        "{}{whole}{fraction}{}",
        "0".repeat(pad(whole.len())),
        "0".repeat(pad(fraction.len()))
    );
    let groups: Option<Vec<u16>> = all
        .as_bytes()
        .chunks(GROUP)
        .map(|group| std::str::from_utf8(group).ok()?.parse().ok())
        .collect();
    let groups = groups.ok_or_else(wrong)?;
    let first = groups.iter().take_while(|group| **group == 0).count();
    let last = groups.iter().rposition(|group| *group != 0).map_or(first, |at| at + 1);
    let kept = groups.get(first..last).unwrap_or_default();
    let short = |number: usize| i16::try_from(number).map_err(|_| wrong());
    let weight = short(whole.len().div_ceil(GROUP))? - 1 - short(first)?;
    out.put_i16(short(kept.len())?);
    out.put_i16(if kept.is_empty() { 0 } else { weight });
    out.put_u16(if negative && !kept.is_empty() { NEGATIVE } else { 0 });
    out.put_i16(short(fraction.len())?);
    for group in kept {
        out.put_u16(*group);
    }
    Ok(())
}

/// Reads a number as text; none when the bytes are no finite number.
pub(super) fn read(mut bytes: &[u8]) -> Option<String> {
    if bytes.len() < 8 {
        return None;
    }
    let (count, weight) = (usize::try_from(bytes.get_i16()).ok()?, i32::from(bytes.get_i16()));
    let (sign, scale) = (bytes.get_u16(), usize::from(bytes.get_u16()));
    if bytes.len() != 2 * count || count > GROUPS_MAX || scale > GROUP * GROUPS_MAX || weight.abs() > 64 {
        return None;
    }
    let groups: Vec<u16> = std::iter::repeat_with(|| bytes.get_u16()).take(count).collect();
    if groups.iter().any(|group| *group > 9999) {
        return None;
    }
    // Where groups stand before or behind what was sent, they are 0.
    let group = |place: i32| {
        let at = usize::try_from(weight - place).ok();
        at.and_then(|at| groups.get(at)).copied().unwrap_or(0)
    };
    let whole: String = (0..=weight.max(0))
        .rev()
        .map(|place| format!("{:04}", group(place)))
        .collect();
    let whole = whole.trim_start_matches('0');
    let places = i32::try_from(scale.div_ceil(GROUP)).ok()?;
    let mut fraction: String = (1..=places).map(|place| format!("{:04}", group(-place))).collect();
    fraction.truncate(scale);
    let sign = match sign {
        0 => "",
        NEGATIVE => "-",
        _ => return None,
    };
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(match fraction.is_empty() {
        true => format!("{sign}{whole}"),
        false => format!("{sign}{whole}.{fraction}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Vec<u8> {
        let mut out = BytesMut::new();
        put(text, &mut out).unwrap();
        out.to_vec()
    }

    #[test]
    fn numbers_come_back() {
        for text in [
            "0",
            "1",
            "-1",
            "12345678",
            "0.01",
            "-123.45",
            "10000",
            "100000000.00010",
            "9999.9999",
            "0.000012345678",
            "99999999999999999999999999999999999999",
        ] {
            assert_eq!(read(&written(text)).unwrap(), text);
        }
        assert_eq!(read(&written("-0.00")).unwrap(), "0.00");
    }

    #[test]
    fn groups_weight_sign_and_scale_are_as_postgres_has_them() {
        assert_eq!(
            written("-12345.6"),
            [0, 3, 0, 1, 0x40, 0, 0, 1, 0, 1, 9, 0x29, 23, 0x70]
        );
        assert_eq!(written("0"), [0; 8]);
    }

    #[test]
    fn noise_is_no_number() {
        let nan = [0, 0, 0, 0, 0xc0, 0, 0, 0];
        let large_group = [0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
        for noise in [&[] as &[u8], &[0; 7], &[0, 9, 0, 0, 0, 0, 0, 0], &nan, &large_group] {
            assert_eq!(read(noise), None);
        }
        assert!(put("1e5", &mut BytesMut::new()).is_err());
    }
}
