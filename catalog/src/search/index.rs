//! The index: tantivy's, in memory, with a field for each kind of text.

use std::collections::BTreeMap;

use tantivy::collector::TopDocs;
use tantivy::directory::RamDirectory;
use tantivy::query::{Bm25StatisticsProvider, BoostQuery, DisjunctionMaxQuery, Query, TermQuery};
use tantivy::schema::{IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::store::Compressor;
use tantivy::tokenizer::{PreTokenizedString, Token};
use tantivy::{Index, IndexReader, IndexSettings, ReloadPolicy, Searcher, TantivyDocument, Term};

use super::SearchFailed;
use super::document::{Document, FIELDS, Field, cut};
use super::meanings::{Meanings, meanings};
use super::query::SearchQuery;
use super::words::{joined, words};

/// Documents of an index; what comes after is not found. A lake of 1,000 tables with 50 columns each has half as many.
const DOCUMENTS_MAX: usize = 100_000;
/// Bytes of texts in an index; it takes about four times as many itself.
const TEXT_BYTES_MAX: usize = 8 << 20;
/// What the table of words starts with while an index is made; it grows.
const WRITER_BYTES: usize = 3 << 20;
/// Bytes of a text that an answer shows.
const SHOWN_BYTES_MAX: usize = 80;

/// Documents ready to be searched. Immutable.
pub struct SearchIndex {
    /// By their numbers in the index.
    documents: Vec<Document>,
    fields: [tantivy::schema::Field; FIELDS],
    searcher: Searcher,
    /// Words of each field, in the mean over the documents that have it.
    mean: [f64; FIELDS],
    bytes: usize,
}

/// A document that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its place in the order in which the documents were given.
    pub document: usize,
    /// Above zero; comparable within one answer.
    pub score: f64,
    /// What was found, in the order of the query's words.
    pub matched: Vec<Match>,
}

/// A text in which a word of the query was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    pub field: Field,
    /// The text, or its beginning.
    pub text: String,
}

#[derive(Default)]
struct Sum {
    score: f64,
    words: usize,
    makes_a_hit: bool,
}

impl SearchIndex {
    /// Reads documents, as many as there is room for.
    ///
    /// # Errors
    /// [`SearchFailed`] when tantivy cannot make an index of them.
    pub fn new(documents: impl IntoIterator<Item = Document>) -> Result<Self, SearchFailed> {
        let mut schema = Schema::builder();
        let indexed = TextFieldIndexing::default().set_index_option(IndexRecordOption::WithFreqs);
        let options = TextOptions::default().set_indexing_options(indexed);
        let fields = Field::ALL.map(|field| schema.add_text_field(field.word(), options.clone()));
        let settings = IndexSettings {
            docstore_compression: Compressor::None,
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let builder = Index::builder().schema(schema.build()).settings(settings);
        let mut writer =
            builder.single_segment_index_writer::<TantivyDocument>(RamDirectory::create(), WRITER_BYTES)?;
        let (mut kept, mut bytes, mut lengths) = (Vec::new(), 0, Lengths::default());
        for document in documents.into_iter().take(DOCUMENTS_MAX) {
            if bytes + document.bytes() > TEXT_BYTES_MAX {
                break;
            }
            bytes += document.bytes();
            let mut written = TantivyDocument::new();
            let mut words = [0_u64; FIELDS];
            for (field, text) in document.texts() {
                if let (Some(in_index), Some(words)) = (fields.get(field.at()), words.get_mut(field.at())) {
                    let text = tokens(*field, text);
                    *words += text.tokens.len() as u64;
                    written.add_pre_tokenized_text(*in_index, text);
                }
            }
            lengths.see(words);
            writer.add_document(written)?;
            kept.push(document);
        }
        let reader: IndexReader = writer
            .finalize()?
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()?;
        Ok(Self {
            documents: kept,
            fields,
            searcher: reader.searcher(),
            mean: lengths.mean(),
            bytes,
        })
    }

    /// Bytes of texts that it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The documents that have words of the query, the best first; of equal ones the one that was given first.
    ///
    /// # Errors
    /// [`SearchFailed`] when tantivy cannot read its index.
    pub fn search(&self, query: &SearchQuery, count: usize) -> Result<Vec<Hit>, SearchFailed> {
        let meant = query
            .words()
            .iter()
            .map(|word| meanings(&self.searcher, &self.fields, word))
            .collect::<Result<Vec<Meanings>, _>>()?;
        let mut sums: BTreeMap<usize, Sum> = BTreeMap::new();
        for meanings in &meant {
            for (document, of_word) in self.look(meanings)? {
                let sum = sums.entry(document).or_default();
                sum.score += of_word.score;
                sum.words += 1;
                sum.makes_a_hit |= of_word.makes_a_hit;
            }
        }
        let mut found: Vec<(usize, Sum)> = sums.into_iter().filter(|(_, sum)| sum.makes_a_hit).collect();
        for (_, sum) in &mut found {
            // Twice: two words in passing are more than one in a name.
            sum.score *= (sum.words as f64 / meant.len() as f64).powi(2);
        }
        found.sort_by(|(a, x), (b, y)| y.score.total_cmp(&x.score).then(a.cmp(b)));
        found.truncate(count);
        let hit = |(document, sum): (usize, Sum)| Hit {
            document,
            score: sum.score,
            matched: self
                .documents
                .get(document)
                .map(|one| matched(one, &meant))
                .unwrap_or_default(),
        };
        Ok(found.into_iter().map(hit).collect())
    }

    /// The documents that have what a word stands for: in each field by the best of it, and all fields together.
    fn look(&self, meanings: &Meanings) -> Result<BTreeMap<usize, Sum>, SearchFailed> {
        let mut found: BTreeMap<usize, Sum> = BTreeMap::new();
        if self.documents.is_empty() {
            return Ok(found);
        }
        let all = TopDocs::with_limit(self.documents.len()).order_by_score();
        for (field, in_index) in Field::ALL.into_iter().zip(self.fields) {
            let mut queries: Vec<Box<dyn Query>> = Vec::new();
            for (word, nearness) in meanings {
                let term = Term::from_field_text(in_index, word);
                if self.searcher.doc_freq(&term)? > 0 {
                    let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
                    queries.push(Box::new(BoostQuery::new(Box::new(query), *nearness)));
                }
            }
            if queries.is_empty() {
                continue;
            }
            let query = DisjunctionMaxQuery::new(queries);
            for (score, at) in self.searcher.search_with_statistics_provider(&query, &all, self)? {
                let sum = found.entry(at.doc_id as usize).or_default();
                sum.score += field.weight() * f64::from(score);
                sum.makes_a_hit |= field.makes_a_hit();
            }
        }
        Ok(found)
    }
}

/// A field is long or short by what it is where it is: most documents have no comment, which makes no comment a long one.
impl Bm25StatisticsProvider for SearchIndex {
    fn total_num_tokens(&self, field: tantivy::schema::Field) -> tantivy::Result<u64> {
        let mean = self.mean.get(field.field_id() as usize).copied().unwrap_or(1.0);
        Ok((mean * self.documents.len() as f64).ceil() as u64)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.documents.len() as u64)
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        self.searcher.doc_freq(term)
    }
}

/// How many words the documents have in each field.
#[derive(Default)]
struct Lengths([(u64, u64); FIELDS]);

impl Lengths {
    fn see(&mut self, lengths: [u64; FIELDS]) {
        for ((words, having), length) in self.0.iter_mut().zip(lengths) {
            *words += length;
            *having += u64::from(length > 0);
        }
    }

    fn mean(&self) -> [f64; FIELDS] {
        self.0.map(|(words, having)| words as f64 / having.max(1) as f64)
    }
}

/// The words of a text; of a name also those of it as one.
fn words_of(field: Field, text: &str) -> impl Iterator<Item = String> {
    let found = words(text);
    let as_one = if field.is_name() { joined(&found) } else { None };
    found.into_iter().chain(as_one)
}

fn tokens(field: Field, text: &str) -> PreTokenizedString {
    let token = |(position, text)| Token {
        position,
        text,
        ..Token::default()
    };
    PreTokenizedString {
        text: String::new(),
        tokens: words_of(field, text).enumerate().map(token).collect(),
    }
}

/// The texts of a document in which the words of a query count most, each once.
fn matched(document: &Document, meant: &[Meanings]) -> Vec<Match> {
    let mut chosen: Vec<usize> = Vec::new();
    for meanings in meant {
        let mut best: Option<(f64, usize)> = None;
        for (at, (field, text)) in document.texts().iter().enumerate() {
            let nearest = words_of(*field, text)
                .filter_map(|word| meanings.iter().find(|(meaning, _)| *meaning == word))
                .map(|(_, nearness)| f64::from(*nearness))
                .fold(0.0, f64::max);
            let counts = field.weight() * nearest;
            if counts > best.map_or(0.0, |(most, _)| most) {
                best = Some((counts, at));
            }
        }
        if let Some((_, at)) = best
            && !chosen.contains(&at)
        {
            chosen.push(at);
        }
    }
    let texts = chosen.into_iter().filter_map(|at| document.texts().get(at));
    texts
        .map(|(field, text)| Match {
            field: *field,
            text: shown(text),
        })
        .collect()
}

fn shown(text: &str) -> String {
    let beginning = cut(text, SHOWN_BYTES_MAX);
    if beginning.len() == text.len() {
        text.to_owned()
    } else {
        format!("{beginning}…")
    }
}
