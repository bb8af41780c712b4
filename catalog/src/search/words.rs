//! Words of names and prose, the same for what is searched and for what is asked.

use super::document::cut;
use crate::name::plain;

/// Bytes of a word that count. No name of a person, a thing or a compound's catalogue number is longer; a sequence is.
const WORD_BYTES_MAX: usize = 64;
/// A name of more words is not typed as one.
const JOINED_WORDS_MAX: usize = 4;

/// The words of a text: runs of letters and digits of any script, in lower case and without accents, as [`crate::TableName::clean`]
/// would write them.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut end = |word: &mut String| {
        if !word.is_empty() {
            words.push(cut(word, WORD_BYTES_MAX).to_owned());
            word.clear();
        }
    };
    for ch in text.chars().flat_map(char::to_lowercase) {
        match plain(ch) {
            _ if ch.is_ascii_alphanumeric() => word.push(ch),
            // An accent that stands for itself after its letter.
            _ if ('\u{300}'..='\u{36f}').contains(&ch) => {}
            "_" if ch.is_alphanumeric() => word.push(ch),
            "_" => end(&mut word),
            sign if sign.ends_with('_') => {
                end(&mut word);
                word.push_str(sign.trim_matches('_'));
                end(&mut word);
            }
            letters => word.push_str(letters),
        }
    }
    end(&mut word);
    words
}

/// The words of a name as one; none for a name of one word, or of many.
pub(super) fn joined(words: &[String]) -> Option<String> {
    (2..=JOINED_WORDS_MAX)
        .contains(&words.len())
        .then(|| cut(&words.concat(), WORD_BYTES_MAX).to_owned())
}
