//! The usual ways to write numbers and times, read straight from bytes. Whatever is written otherwise is `None` here and
//! goes through the general readers ([`number`](crate::formats::number), [`moment`](crate::formats::moment)), whose answers
//! these never contradict.

/// Digits that fit an i64 whatever they are; more are no number to the general reader either.
const INT_DIGITS_MAX: usize = 18;
/// Mantissas and powers of ten up to these are exact as f64, so that one multiplication or division rounds once, as the
/// correctly rounded reading does (Clinger, "How to read floating point numbers accurately", 1990).
const EXACT_MANTISSA_MAX: u64 = 1 << 53;
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
const DAYS_OF_MONTH: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A whole number: `-?` and 1 to 18 digits without leading zeros.
#[inline]
pub(super) fn int(cell: &[u8]) -> Option<i64> {
    let (negative, digits) = match cell.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, cell),
    };
    if digits.is_empty() || digits.len() > INT_DIGITS_MAX || (digits.len() > 1 && digits.first() == Some(&b'0')) {
        return None;
    }
    let value = i64::try_from(number(digits)?).ok()?;
    Some(if negative { -value } else { value })
}

/// A number with or without a fraction or exponent whose digits are few enough to be exact.
#[inline]
pub(super) fn float(cell: &[u8]) -> Option<f64> {
    let (negative, mut rest) = match cell.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, cell),
    };
    let (mut mantissa, mut digits, mut whole, mut scale) = (0u64, 0usize, 0usize, 0i32);
    let mut after_point = false;
    let mut starts_with_zero = false;
    let mut exponent = 0i32;
    while let Some((byte, after)) = rest.split_first() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            digits += 1;
            if digits > INT_DIGITS_MAX {
                return None;
            }
            mantissa = mantissa * 10 + u64::from(digit);
            if after_point {
                scale -= 1;
            } else {
                starts_with_zero |= whole == 0 && digit == 0;
                whole += 1;
            }
        } else if *byte == b'.' && !after_point {
            after_point = true;
        } else if (*byte == b'e' || *byte == b'E') && digits > 0 {
            exponent = self::exponent(after)?;
            break;
        } else {
            return None;
        }
        rest = after;
    }
    if digits == 0 || (starts_with_zero && whole > 1) || mantissa > EXACT_MANTISSA_MAX {
        return None;
    }
    if !after_point && rest.is_empty() {
        // A whole number has no negative zero.
        let whole = mantissa as f64;
        return Some(if negative && mantissa > 0 { -whole } else { whole });
    }
    let power = scale + exponent;
    let factor = *EXACT_POWERS.get(usize::try_from(power.unsigned_abs()).ok()?)?;
    let value = if power < 0 {
        mantissa as f64 / factor
    } else {
        mantissa as f64 * factor
    };
    Some(if negative { -value } else { value })
}

fn exponent(text: &[u8]) -> Option<i32> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 3 {
        return None;
    }
    let value = i32::try_from(number(digits)?).ok()?;
    Some(if negative { -value } else { value })
}

/// `2026-03-04` as days since 1970.
#[inline]
pub(in crate::formats) fn date(cell: &[u8]) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = cell else {
        return None;
    };
    let year = number(&[*y1, *y2, *y3, *y4])?;
    let (month, day) = (number(&[*m1, *m2])?, number(&[*d1, *d2])?);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let month_index = usize::try_from(month.checked_sub(1)?).ok()?;
    let last = DAYS_OF_MONTH.get(month_index)? + u64::from(leap && month == 2);
    // Years before 1000 are mistakes: the general reader refuses them, too.
    if year < 1000 || day == 0 || day > last {
        return None;
    }
    days(year, month, day)
}

/// Days since 1970 in the proleptic Gregorian calendar: eras of 400 years that start in March (Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms").
fn days(year: u64, month: u64, day: u64) -> Option<i32> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let era = year / 400;
    let year_of_era = year % 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i32::try_from(i64::try_from(era * 146_097 + day_of_era).ok()? - 719_468).ok()
}

/// `2026-03-04 05:06:07.089` (or with a `T`, with or without a fraction, with or without a `Z`) as microseconds since 1970,
/// and whether it says that it is in UTC.
#[inline]
pub(super) fn time(cell: &[u8]) -> Option<(i64, bool)> {
    let (day, rest) = cell.split_at_checked(10)?;
    let [b' ' | b'T', h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = rest else {
        return None;
    };
    let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?, number(&[*s1, *s2])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (zoned, rest) = match rest.split_last() {
        Some((b'Z', rest)) => (true, rest),
        _ => (false, rest),
    };
    let micros = match rest.split_first() {
        None => 0,
        Some((b'.', digits)) if (1..=9).contains(&digits.len()) => {
            let mut micros = 0i64;
            for (at, byte) in digits.iter().enumerate() {
                let digit = byte.wrapping_sub(b'0');
                if digit > 9 {
                    return None;
                }
                // Digits beyond the microsecond are cut.
                if at < 6 {
                    micros = micros * 10 + i64::from(digit);
                }
            }
            (digits.len()..6).fold(micros, |micros, _| micros * 10)
        }
        Some(_) => return None,
    };
    let seconds = i64::try_from(hour * 3600 + minute * 60 + second).ok()?;
    let day = i64::from(date(day)?);
    Some((day * MICROS_PER_DAY + seconds * 1_000_000 + micros, zoned))
}

/// The number that up to 18 digits make.
#[inline]
fn number(digits: &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::moment::{self, Order};
    use crate::formats::number::{self, Number};
    use proptest::prelude::*;

    /// Whatever is read here is read so by the general readers, too.
    fn agrees(cell: &str) -> Result<(), TestCaseError> {
        let bytes = cell.as_bytes();
        if let Some(value) = int(bytes) {
            prop_assert_eq!(number::parse(cell), Some(Number::Int(value)), "{}", cell);
        }
        if let Some(value) = float(bytes) {
            let general = number::parse(cell).map(Number::as_f64);
            prop_assert_eq!(general.map(f64::to_bits), Some(value.to_bits()), "{}", cell);
        }
        let general = moment::parse(cell, Order::YearFirst);
        if let Some(days) = date(bytes) {
            let general = general.filter(|moment| !moment.has_time).map(moment::Moment::days);
            prop_assert_eq!(general, Some(days), "{}", cell);
        }
        if let Some((micros, zoned)) = time(bytes) {
            let found = general.filter(|moment| moment.has_time);
            prop_assert_eq!(found.map(moment::Moment::micros), Some(micros), "{}", cell);
            prop_assert_eq!(found.map(|moment| moment.offset_s.is_some()), Some(zoned), "{}", cell);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn numbers_are_those_of_the_general_reader(cell in "-?[0-9]{0,6}(\\.[0-9]{0,9})?([eE][+-]?[0-9]{1,3})?") {
            agrees(&cell)?;
        }

        #[test]
        fn floats_round_as_the_general_reader_does(value in proptest::num::f64::NORMAL) {
            agrees(&value.to_string())?;
            agrees(&format!("{value:e}"))?;
            agrees(&format!("{value:.3}"))?;
        }

        #[test]
        fn integers_are_those_of_the_general_reader(value in any::<i64>()) {
            agrees(&value.to_string())?;
            agrees(&(value >> 20).to_string())?;
        }

        #[test]
        fn times_are_those_of_the_general_reader(
            cell in "[0-9]{4}-[0-2][0-9]-[0-3][0-9]([ T][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,9})?Z?)?"
        ) {
            agrees(&cell)?;
        }
    }

    #[test]
    fn the_usual_ways_are_read_here() {
        assert_eq!(int(b"-42"), Some(-42));
        assert_eq!(int(b"007"), None);
        assert_eq!(float(b"12.50"), Some(12.5));
        assert_eq!(float(b"-1.5e-3"), Some(-0.0015));
        assert_eq!(date(b"1970-01-02"), Some(1));
        assert_eq!(date(b"2024-02-29"), Some(19_782));
        assert_eq!(date(b"2023-02-29"), None);
        assert_eq!(time(b"1970-01-01T00:00:01.5Z"), Some((1_500_000, true)));
    }
}
