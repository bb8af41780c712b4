//! Letters of other scripts in names that need no quotes: Cyrillic and Greek in Latin letters, others by their script's name.

use std::collections::BTreeSet;

/// The text with Cyrillic and Greek in small Latin letters, and the scripts of letters that have none, which are left as they are.
pub(crate) fn latin(text: &str) -> (String, BTreeSet<&'static str>) {
    let mut out = String::with_capacity(text.len());
    let mut scripts = BTreeSet::new();
    let small = |ch: char| ch.to_lowercase().next().unwrap_or(ch);
    let mut chars = text.chars().map(|ch| (ch, small(ch))).peekable();
    let (mut before, mut is_word) = (None, false);
    while let Some((ch, small)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let mark = next.filter(|next| is_mark(*next));
        // Of a word, and not the sign of a millionth.
        let mu = small == 'μ' && (before.and_then(greek).is_some() || next.and_then(greek).is_some());
        let letters = if mu {
            Some("m")
        } else {
            cyrillic(composed(small, mark)).or_else(|| greek(small))
        };
        match letters {
            Some(letters) => out.push_str(letters),
            // The mark of a letter that was written without it.
            None if is_word && is_mark(small) => {}
            None => {
                scripts.extend(script(ch));
                out.push(ch);
            }
        }
        is_word = letters.is_some() || (is_word && is_mark(small));
        before = Some(small);
    }
    (out, scripts)
}

/// A mark that stands for itself after its letter.
fn is_mark(ch: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&ch)
}

/// The letter together with its mark, where that is a letter of its own.
fn composed(ch: char, mark: Option<char>) -> char {
    match (ch, mark) {
        ('и', Some('\u{306}')) => 'й',
        ('у', Some('\u{306}')) => 'ў',
        ('е', Some('\u{308}')) => 'ё',
        ('і', Some('\u{308}')) => 'ї',
        _ => ch,
    }
}

/// As in passports of ICAO 9303 and in BGN/PCGN, without marks.
fn cyrillic(ch: char) -> Option<&'static str> {
    Some(match ch {
        'а' => "a",
        'б' => "b",
        'в' => "v",
        'г' | 'ґ' => "g",
        'д' => "d",
        'е' | 'э' => "e",
        'ё' => "yo",
        'є' => "ye",
        'ж' => "zh",
        'з' => "z",
        'и' | 'і' => "i",
        'ї' => "yi",
        'й' | 'ј' => "j",
        'к' => "k",
        'л' => "l",
        'м' => "m",
        'н' => "n",
        'о' => "o",
        'п' => "p",
        'р' => "r",
        'с' => "s",
        'т' => "t",
        'у' | 'ў' => "u",
        'ф' => "f",
        'х' => "kh",
        'ц' => "ts",
        'ч' => "ch",
        'ш' => "sh",
        'щ' => "shch",
        'ъ' | 'ь' => "",
        'ы' => "y",
        'ю' => "yu",
        'я' => "ya",
        'ђ' => "dj",
        'љ' => "lj",
        'њ' => "nj",
        'ћ' => "c",
        'џ' => "dz",
        _ => return None,
    })
}

/// As in ISO 843 without marks; the letter that stands for micro is read as that elsewhere.
fn greek(ch: char) -> Option<&'static str> {
    Some(match ch {
        'α' | 'ά' => "a",
        'β' => "b",
        'γ' => "g",
        'δ' => "d",
        'ε' | 'έ' => "e",
        'ζ' => "z",
        'η' | 'ή' | 'ι' | 'ί' | 'ϊ' | 'ΐ' => "i",
        'θ' => "th",
        'κ' => "k",
        'λ' => "l",
        'ν' => "n",
        'ξ' => "x",
        'ο' | 'ό' | 'ω' | 'ώ' => "o",
        'π' => "p",
        'ρ' => "r",
        'σ' | 'ς' => "s",
        'τ' => "t",
        'υ' | 'ύ' | 'ϋ' | 'ΰ' => "y",
        'φ' => "f",
        'χ' => "ch",
        'ψ' => "ps",
        _ => return None,
    })
}

/// The script of a letter or digit that is not Latin; none of other characters.
fn script(ch: char) -> Option<&'static str> {
    // Up to the Latin letters with marks, those of phonetics among them; further ones have blocks of their own.
    let latin = matches!(
        u32::from(ch),
        0..=0x2ff | 0x1d00..=0x1eff | 0x2c60..=0x2c7f | 0xa720..=0xa7ff | 0xab30..=0xab6f | 0xfb00..=0xfb06 | 0xff10..=0xff5a
    );
    if latin || !ch.is_alphanumeric() || matches!(ch, 'µ' | 'μ' | 'Μ') {
        return None;
    }
    Some(match u32::from(ch) {
        0x370..=0x3ff | 0x1f00..=0x1fff => "greek",
        0x400..=0x52f => "cyrillic",
        0x530..=0x58f => "armenian",
        0x590..=0x5ff => "hebrew",
        0x600..=0x6ff | 0x750..=0x77f => "arabic",
        0x900..=0x97f => "devanagari",
        0xe00..=0xe7f => "thai",
        0x10a0..=0x10ff => "georgian",
        0x3040..=0x30ff => "kana",
        0x1100..=0x11ff | 0x3130..=0x318f | 0xac00..=0xd7af => "hangul",
        0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff => "han",
        _ => "other",
    })
}
