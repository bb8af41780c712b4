//! What a word of a query stands for: words of the index that are it, begin with it, or are a typing error or two away.

use std::collections::BTreeMap;

use tantivy::query::FuzzyTermQuery;
use tantivy::schema::Field;
use tantivy::{Searcher, Term};

use super::SearchFailed;

/// Words that one word of a query stands for, the nearest ones.
const MEANINGS_MAX: usize = 64;
/// Letters from which a word is taken for the beginning of another.
const BEGINNING_MIN: usize = 3;
/// What a word counts that is not the one that was asked for: another number of it, one that begins so, or one and two
/// typing errors away (a letter too many, too few, wrong, or two swapped).
const OTHER_NUMBER: f32 = 0.9;
const BEGINS_SO: f32 = 0.8;
const ERRORS: [(u8, f32); 2] = [(1, 0.6), (2, 0.4)];

/// The words of the index, with what each counts, the nearest first.
pub(super) type Meanings = Vec<(String, f32)>;

/// The words of these fields that a word stands for.
pub(super) fn meanings(searcher: &Searcher, fields: &[Field], word: &str) -> Result<Meanings, SearchFailed> {
    let mut found = as_written(searcher, fields, word)?;
    if found.is_empty() {
        found = misspelt(searcher, fields, word)?;
    }
    let mut found: Meanings = found.into_iter().collect();
    found.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.cmp(b)));
    found.truncate(MEANINGS_MAX);
    Ok(found)
}

fn as_written(searcher: &Searcher, fields: &[Field], word: &str) -> Result<BTreeMap<String, f32>, SearchFailed> {
    let length = letters(word);
    let mut found = BTreeMap::new();
    for reader in searcher.segment_readers() {
        for field in fields {
            let index = reader.inverted_index(*field)?;
            let mut stream = index.terms().range().ge(word).into_stream()?;
            while stream.advance() {
                let Some(rest) = text(stream.key()).strip_prefix(word) else {
                    break;
                };
                let counts = match rest {
                    "" => 1.0,
                    "s" => OTHER_NUMBER,
                    _ if length < BEGINNING_MIN => continue,
                    _ => BEGINS_SO * length as f32 / letters(text(stream.key())) as f32,
                };
                found.insert(text(stream.key()).to_owned(), counts);
            }
            let singular = word.strip_suffix('s').filter(|one| letters(one) >= BEGINNING_MIN);
            if let Some(one) = singular
                && index.terms().get(one)?.is_some()
            {
                found.insert(one.to_owned(), OTHER_NUMBER);
            }
        }
    }
    Ok(found)
}

fn misspelt(searcher: &Searcher, fields: &[Field], word: &str) -> Result<BTreeMap<String, f32>, SearchFailed> {
    let mut found = BTreeMap::new();
    let forgiven = ERRORS.iter().filter(|(errors, _)| *errors <= forgiven(word));
    for (errors, counts) in forgiven {
        for reader in searcher.segment_readers() {
            for field in fields {
                let near = FuzzyTermQuery::new(Term::from_field_text(*field, word), *errors, true).automaton()?;
                let index = reader.inverted_index(*field)?;
                let mut stream = index.terms().search(near).into_stream()?;
                while stream.advance() {
                    let term = text(stream.key());
                    if !has_digit(term) {
                        found.entry(term.to_owned()).or_insert(*counts);
                    }
                }
            }
        }
    }
    Ok(found)
}

/// Errors that are forgiven in a word. Short words are each near another, and a number is not misspelt but another one.
pub(super) fn forgiven(word: &str) -> u8 {
    match letters(word) {
        _ if has_digit(word) => 0,
        0..=3 => 0,
        4..=7 => 1,
        _ => 2,
    }
}

pub(super) fn has_digit(word: &str) -> bool {
    word.chars().any(char::is_numeric)
}

fn letters(word: &str) -> usize {
    word.chars().count()
}

/// A term of a text field.
fn text(key: &[u8]) -> &str {
    std::str::from_utf8(key).unwrap_or_default()
}
