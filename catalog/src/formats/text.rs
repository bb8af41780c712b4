//! Bytes to text without loss. BOM, then UTF-16 by its zero bytes, then UTF-8, then a single-byte or legacy encoding
//! with chardetng as judge. What is not text is refused with the offset of the evidence.

use encoding_rs::{Encoding, MACINTOSH, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::formats::ReadError;

/// With fewer non-ASCII bytes than this a statistical judge guesses; µ and ° in Western instruments are far likelier.
const JUDGE_BYTES_MIN: usize = 20;
/// ° ± ² ³ µ · ¹ × and the letters of Western names in windows-1252. Where nothing else occurs, no judge is needed (and
/// dense unit signs have been taken for Chinese).
const WESTERN: &[u8] =
    b"\xb0\xb1\xb2\xb3\xb5\xb7\xb9\xd7\xc4\xc5\xc6\xd6\xd8\xdc\xdf\xe0\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf1\xf6\xf8\xfc";
/// Foreign characters that are weighed to tell Mac Roman from windows-1252.
const WEIGHED_MAX: usize = 10_000;
/// How much is looked at to tell UTF-16 from binary.
const PROBE_BYTES: usize = 4096;

/// A whole file as text.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) text: String,
    /// For `taken_for`, such as `UTF-16LE`.
    pub(super) encoding: String,
    /// Only the statistics of its bytes speak for the encoding.
    pub(super) is_guess: bool,
}

/// The byte order mark as a character.
const MARK: char = '\u{feff}';

/// `pinned`: the encoding's label, where someone knows it; a byte order mark says more.
///
/// # Errors
/// `Unsupported` for binary content, `Encoding` for text that no encoding fits, `Empty` for white space only.
pub(super) fn decode(bytes: &[u8], pinned: Option<&str>) -> Result<Decoded, ReadError> {
    if bytes.starts_with(&[0xff, 0xfe, 0, 0]) || bytes.starts_with(&[0, 0, 0xfe, 0xff]) {
        return Err(ReadError::Encoding {
            why: "the file is UTF-32, which is not read".to_owned(),
        });
    }
    let (encoding, body, marked) = match Encoding::for_bom(bytes) {
        Some((encoding, length)) => (encoding, bytes.get(length..).unwrap_or_default(), true),
        None => match pinned.and_then(|label| Encoding::for_label(label.as_bytes())) {
            Some(encoding) => (encoding, bytes, false),
            None => (judge(bytes)?, bytes, false),
        },
    };
    let is_guess = !marked && pinned.is_none() && ![UTF_8, UTF_16LE, UTF_16BE].contains(&encoding);
    let text = match encoding.decode_without_bom_handling_and_without_replacement(body) {
        Some(text) => text.into_owned(),
        None => return Err(undecodable(encoding, body)),
    };
    // Files that were written one behind the other keep the mark that each began with.
    let text = match text.contains(MARK) {
        true => without_marks(&text),
        false => text,
    };
    refuse_binary(&text)?;
    // A DOS end-of-file mark is no content.
    let text = match text.strip_suffix('\u{1a}') {
        Some(rest) => rest.to_owned(),
        None => text,
    };
    if text.trim().is_empty() {
        return Err(ReadError::Empty {
            bytes: bytes.len() as u64,
        });
    }
    let mut name = encoding.name().to_owned();
    if encoding == UTF_8 && text.is_ascii() && !marked {
        name = "ASCII".to_owned();
    } else if marked {
        name.push_str(" with BOM");
    }
    Ok(Decoded {
        text,
        encoding: name,
        is_guess,
    })
}

/// The text without byte order marks at the start of its lines.
fn without_marks(text: &str) -> String {
    text.trim_start_matches(MARK)
        .replace(&format!("\n{MARK}"), "\n")
        .replace(&format!("\r{MARK}"), "\r")
}

fn judge(bytes: &[u8]) -> Result<&'static Encoding, ReadError> {
    if let Some(encoding) = utf16_by_zeros(bytes) {
        return Ok(encoding);
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(ReadError::Unsupported {
            seen: format!("binary data (a zero byte at offset {at})"),
        });
    }
    match std::str::from_utf8(bytes) {
        Ok(_) => return Ok(UTF_8),
        Err(error) => refuse_nearly_utf8(bytes, error.valid_up_to())?,
    }
    if is_mac_roman(bytes) {
        return Ok(MACINTOSH);
    }
    let foreign = bytes.iter().filter(|byte| !byte.is_ascii()).count();
    if foreign < JUDGE_BYTES_MIN {
        return Ok(WINDOWS_1252);
    }
    if bytes
        .iter()
        .filter(|byte| !byte.is_ascii())
        .all(|byte| WESTERN.contains(byte))
    {
        return Ok(WINDOWS_1252);
    }
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    let guess = detector.guess(None, chardetng::Utf8Detection::Deny);
    let fits = guess
        .decode_without_bom_handling_and_without_replacement(bytes)
        .is_some();
    Ok(if fits { guess } else { WINDOWS_1252 })
}

/// Old Macintosh programs: read so, foreign letters stand in words and signs beside numbers and units, and better than as
/// windows-1252.
fn is_mac_roman(bytes: &[u8]) -> bool {
    let old_ends = bytes.contains(&b'\r') && !bytes.contains(&b'\n');
    let (mut mac, mut western) = (i64::from(old_ends), 0);
    let foreign = bytes.iter().enumerate().filter(|(_, byte)| !byte.is_ascii());
    for (at, _) in foreign.take(WEIGHED_MAX) {
        let around = bytes
            .get(at.saturating_sub(1)..(at + 2).min(bytes.len()))
            .unwrap_or_default();
        let as_mac = plausibility(&MACINTOSH.decode_without_bom_handling(around).0, at > 0);
        if as_mac < 0 {
            return false;
        }
        mac += as_mac;
        western += plausibility(&WINDOWS_1252.decode_without_bom_handling(around).0, at > 0);
    }
    mac > 0 && mac > western
}

/// How well a foreign character fits between its neighbours: above zero where it is what one writes there, below where
/// nobody does. `text` has the character and what stands before it, if `has_before`, and behind it.
fn plausibility(text: &str, has_before: bool) -> i64 {
    let mut characters = text.chars();
    let before = if has_before { characters.next() } else { None };
    let (Some(character), behind) = (characters.next(), characters.next()) else {
        return 0;
    };
    let is = |neighbour: Option<char>, test: fn(char) -> bool| neighbour.is_some_and(test);
    let in_word = is(before, char::is_alphabetic) || is(behind, char::is_alphabetic);
    let inside = is(before, char::is_alphabetic) && is(behind, char::is_alphabetic);
    match character {
        // Nothing stands at these places of windows-1252.
        '\u{80}'..='\u{9f}' => -4,
        'ı' | 'ﬁ' | 'ﬂ' => -2,
        // Where windows-1252 has the usual signs, Mac Roman has those of a mathematician.
        '∞' | '∂' | '∑' | '∏' | 'π' | '∫' | '√' | '≈' | '∆' | '◊' => -1,
        'Ω' => 0,
        'Ÿ' | 'Š' | 'Ž' | 'Œ' if is(before, char::is_lowercase) => -2,
        'Ÿ' | 'ÿ' | 'ƒ' | 'Š' | 'š' | 'Ž' | 'ž' | 'Œ' | 'œ' | 'ˆ' | '˜' | 'ª' | 'º' => 0,
        'µ' => i64::from(is(behind, char::is_alphabetic)),
        '°' => i64::from(matches!(behind, Some('C' | 'F')) || is(before, |c| c.is_ascii_digit())),
        '²' | '³' => i64::from(is(before, char::is_alphabetic)),
        '’' | '·' if inside => 1,
        _ if character.is_lowercase() => i64::from(in_word),
        // In a word of small letters a capital begins it.
        _ if character.is_uppercase() => match before.filter(|before| before.is_alphabetic()) {
            Some(before) if before.is_lowercase() || is(behind, char::is_lowercase) => -2,
            Some(_) | None => i64::from(in_word),
        },
        _ if inside => -2,
        _ => 0,
    }
}

/// UTF-16 without a BOM: tables are mostly ASCII, so nearly every second byte is zero, always the same second.
fn utf16_by_zeros(bytes: &[u8]) -> Option<&'static Encoding> {
    let probe = bytes.get(..bytes.len().min(PROBE_BYTES)).unwrap_or_default();
    if bytes.len() < 4 || !bytes.len().is_multiple_of(2) {
        return None;
    }
    let pairs = probe.len() / 2;
    let zeros = |parity: usize| probe.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    if odd * 10 >= pairs * 7 && even == 0 {
        Some(UTF_16LE)
    } else if even * 10 >= pairs * 7 && odd == 0 {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// A file that is UTF-8 but for a few bytes is damaged or two files glued together; reading it as a single-byte
/// encoding would turn every good character into two wrong ones.
fn refuse_nearly_utf8(bytes: &[u8], first_bad: usize) -> Result<(), ReadError> {
    let (mut good, mut bad) = (0usize, 0usize);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().chars().filter(|character| !character.is_ascii()).count();
        bad += chunk.invalid().len();
    }
    if good <= bad {
        return Ok(());
    }
    let line = 1 + bytes.iter().take(first_bad).filter(|byte| **byte == b'\n').count();
    Err(ReadError::Encoding {
        why: format!(
            "mostly UTF-8 ({good} characters), but {bad} bytes are not, the first at offset {first_bad} in line {line}"
        ),
    })
}

fn undecodable(encoding: &'static Encoding, body: &[u8]) -> ReadError {
    let odd = (encoding == UTF_16LE || encoding == UTF_16BE) && !body.len().is_multiple_of(2);
    ReadError::Encoding {
        why: if odd {
            format!(
                "marked {} but it ends in half a character; the copy may have stopped early",
                encoding.name()
            )
        } else {
            format!("marked {} but some bytes are not valid in it", encoding.name())
        },
    }
}

/// Control characters other than line ends and tabs mean that this is no table.
fn refuse_binary(text: &str) -> Result<(), ReadError> {
    let control = |character: char| {
        (character.is_ascii_control()
            && !matches!(character, '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1a}' | '\u{1b}'))
            || character == '\u{fffe}'
            || character == '\u{ffff}'
    };
    let count = text.chars().filter(|character| control(*character)).count();
    let Some(first) = text.chars().position(control) else {
        return Ok(());
    };
    // One stray control character per thousand is a printer's escape; a zero is never text.
    if text.contains('\0') || count * 1000 > text.len() {
        return Err(ReadError::Unsupported {
            seen: format!("binary data ({count} control characters, the first at character {first})"),
        });
    }
    Ok(())
}
