//! Ranked keyword search over what a catalog says of itself: documents in, hits out.
//!
//! An index is made of the documents it is given and of nothing else, because how rare a word is decides how much it counts: a
//! document that somebody may not see must not be in the index he searches. Who sees what is the caller's business. An index is
//! small, lies in memory, and is never changed; what changed is another index.
//!
//! A word of the query stands for the words that are it, that are its singular or plural, or that begin with it; if there are
//! none, for those one or two typing errors away. Documents are ranked by BM25 over weighted fields, those with more of the
//! query's words first. The index and its arithmetic are [tantivy](https://docs.rs/tantivy)'s.

mod document;
mod index;
mod meanings;
mod query;
#[cfg(test)]
mod tests;
mod words;

pub use document::{Document, Field};
pub use index::{Hit, Match, SearchIndex};
pub use query::{QUERY_BYTES_MAX, QUERY_WORDS_MAX, SearchProblem, SearchQuery};

/// The search engine failed; nothing in what was asked is wrong.
#[derive(Debug, thiserror::Error)]
#[error("the search index failed: {0}")]
pub struct SearchFailed(#[source] tantivy::TantivyError);

impl<E: Into<tantivy::TantivyError>> From<E> for SearchFailed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}
