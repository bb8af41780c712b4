//! What is asked: a few words.

use super::words::words;

/// Bytes of a query: more is a text, not a question.
pub const QUERY_BYTES_MAX: usize = 1_000;
/// Different words of a query. Each looks through the whole vocabulary.
pub const QUERY_WORDS_MAX: usize = 16;

/// The words that are looked for, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    words: Vec<String>,
}

/// Why nothing can be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SearchProblem {
    #[error("there is no word in it; write letters or digits")]
    NoWord,
    #[error("it has {0} bytes; at most {QUERY_BYTES_MAX} are searched for")]
    TooLong(usize),
    #[error("it has {0} different words; at most {QUERY_WORDS_MAX} are searched for")]
    TooManyWords(usize),
}

impl SearchQuery {
    /// Reads what somebody typed.
    ///
    /// # Errors
    /// [`SearchProblem`] when it has no words, or too many.
    pub fn parse(text: &str) -> Result<Self, SearchProblem> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(SearchProblem::TooLong(text.len()));
        }
        let mut found: Vec<String> = Vec::new();
        for word in words(text) {
            if !found.contains(&word) {
                found.push(word);
            }
        }
        match found.len() {
            0 => Err(SearchProblem::NoWord),
            1..=QUERY_WORDS_MAX => Ok(Self { words: found }),
            more => Err(SearchProblem::TooManyWords(more)),
        }
    }

    pub(super) fn words(&self) -> &[String] {
        &self.words
    }
}
