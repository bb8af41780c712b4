//! The index: the words of the documents, sorted, each with where it stands.

use std::collections::{BTreeMap, HashMap};

use super::document::{Document, FIELDS, Field, cut};
use super::query::SearchQuery;
use super::typos::{Shape, within};
use super::words::{joined, words};

/// Documents of an index; what comes after is not found. A lake of 1,000 tables with 50 columns each has half as many.
const DOCUMENTS_MAX: usize = 100_000;
/// Bytes of texts in an index; it takes about six times as many itself.
const TEXT_BYTES_MAX: usize = 8 << 20;
/// Words that one word of a query stands for, the nearest ones.
const MEANINGS_MAX: usize = 64;
/// Letters from which a word is taken for the beginning of another.
const BEGINNING_MIN: usize = 3;
/// Bytes of a text that an answer shows.
const SHOWN_BYTES_MAX: usize = 80;

/// How soon more of the same word counts no more (BM25's k1), and how much a long field takes from it (b).
const SATURATION: f64 = 1.2;
const LENGTH: f64 = 0.4;
/// What a word counts that is not the one that was asked for: another number of it, one that begins so, or one and two
/// typing errors away.
const OTHER_NUMBER: f64 = 0.9;
const BEGINS_SO: f64 = 0.8;
const ERRORS: [f64; 2] = [0.6, 0.4];

/// Documents ready to be searched. Immutable.
pub struct SearchIndex {
    documents: Vec<Indexed>,
    /// Sorted by text.
    terms: Vec<Term>,
    /// Words of each field, in the mean over the documents that have it.
    mean: [f64; FIELDS],
    bytes: usize,
}

struct Indexed {
    texts: Vec<(Field, String)>,
    lengths: [u32; FIELDS],
}

struct Term {
    text: String,
    shape: Shape,
    /// Sorted by document, then text.
    places: Vec<Place>,
}

/// Where a word stands: which text of which document, and how often.
#[derive(Clone, Copy)]
struct Place {
    document: u32,
    text: u32,
    count: u32,
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

/// How well a word of the query was found in a document.
#[derive(Clone, Copy)]
struct Found {
    part: f64,
    /// The text in which it counts most.
    text: u32,
    makes_a_hit: bool,
}

#[derive(Default)]
struct Sum {
    score: f64,
    words: u32,
    makes_a_hit: bool,
    texts: Vec<u32>,
}

impl SearchIndex {
    /// Reads documents, as many as there is room for.
    pub fn new(documents: impl IntoIterator<Item = Document>) -> Self {
        let mut indexed = Vec::new();
        let mut places: HashMap<String, Vec<Place>> = HashMap::new();
        let mut bytes = 0;
        for document in documents.into_iter().take(DOCUMENTS_MAX) {
            if bytes + document.bytes() > TEXT_BYTES_MAX {
                break;
            }
            bytes += document.bytes();
            let at = number(indexed.len());
            indexed.push(Indexed::new(document, at, &mut places));
        }
        let mut terms: Vec<Term> = places
            .into_iter()
            .map(|(text, places)| Term {
                shape: Shape::of(&text),
                text,
                places,
            })
            .collect();
        terms.sort_unstable_by(|a, b| a.text.cmp(&b.text));
        Self {
            mean: mean(&indexed),
            documents: indexed,
            terms,
            bytes,
        }
    }

    /// Bytes of texts that it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The documents that have words of the query, the best first; of equal ones the one that was given first.
    pub fn search(&self, query: &SearchQuery, count: usize) -> Vec<Hit> {
        let mut sums: BTreeMap<u32, Sum> = BTreeMap::new();
        for word in query.words() {
            let found = self.look(word);
            let rarity = self.rarity(found.len());
            for (document, found) in found {
                let sum = sums.entry(document).or_default();
                sum.score += rarity * found.part;
                sum.words += 1;
                sum.makes_a_hit |= found.makes_a_hit;
                if !sum.texts.contains(&found.text) {
                    sum.texts.push(found.text);
                }
            }
        }
        let asked = f64::from(number(query.words().len()));
        let mut found: Vec<(u32, Sum)> = sums.into_iter().filter(|(_, sum)| sum.makes_a_hit).collect();
        for (_, sum) in &mut found {
            sum.score *= f64::from(sum.words) / asked;
        }
        found.sort_by(|(a, x), (b, y)| y.score.total_cmp(&x.score).then(a.cmp(b)));
        found.truncate(count);
        found
            .into_iter()
            .map(|(document, sum)| self.hit(document, sum))
            .collect()
    }

    /// The documents that have what a word stands for; each by the best of it.
    fn look(&self, word: &str) -> BTreeMap<u32, Found> {
        let mut best: BTreeMap<u32, Found> = BTreeMap::new();
        for (term, nearness) in self.meanings(word) {
            for places in term.places.chunk_by(|a, b| a.document == b.document) {
                let (Some(first), Some(mut found)) = (places.first(), self.weigh(places)) else {
                    continue;
                };
                found.part *= nearness;
                best.entry(first.document)
                    .and_modify(|known| {
                        let makes_a_hit = known.makes_a_hit || found.makes_a_hit;
                        if found.part > known.part {
                            *known = found;
                        }
                        known.makes_a_hit = makes_a_hit;
                    })
                    .or_insert(found);
            }
        }
        best
    }

    /// The words of the index that a word stands for, with what each counts.
    fn meanings(&self, word: &str) -> Vec<(&Term, f64)> {
        let shape = Shape::of(word);
        let from = self.terms.partition_point(|term| term.text.as_str() < word);
        let following = self.terms.get(from..).unwrap_or_default().iter();
        let mut found: Vec<(&Term, f64)> = following
            .map_while(|term| Some((term, term.text.strip_prefix(word)?)))
            .filter_map(|(term, rest)| {
                let counts = match rest {
                    "" => 1.0,
                    "s" => OTHER_NUMBER,
                    _ if shape.length() < BEGINNING_MIN => return None,
                    _ => BEGINS_SO * f64::from(number(shape.length())) / f64::from(number(term.shape.length())),
                };
                Some((term, counts))
            })
            .collect();
        let singular = word
            .strip_suffix('s')
            .filter(|one| one.chars().count() >= BEGINNING_MIN);
        found.extend(singular.and_then(|one| Some((self.term(one)?, OTHER_NUMBER))));
        let forgiven = shape.forgiven();
        if found.is_empty() && forgiven > 0 {
            let near = self.terms.iter().filter_map(|term| {
                let errors = within((word, shape), (term.text.as_str(), term.shape), forgiven)?;
                Some((term, *ERRORS.get(errors.checked_sub(1)?)?))
            });
            found.extend(near);
        }
        found.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.text.cmp(&b.text)));
        found.truncate(MEANINGS_MAX);
        found
    }

    fn term(&self, text: &str) -> Option<&Term> {
        let at = self.terms.binary_search_by(|term| term.text.as_str().cmp(text)).ok()?;
        self.terms.get(at)
    }

    /// What a word's places in one document count together.
    fn weigh(&self, places: &[Place]) -> Option<Found> {
        let (mut frequency, mut most) = (0.0, 0.0);
        let (mut text, mut makes_a_hit) = (None, false);
        for place in places {
            let document = self.documents.get(place.document as usize)?;
            let (field, _) = document.texts.get(place.text as usize)?;
            let length = f64::from(*document.lengths.get(field.at())?) / self.mean.get(field.at())?;
            let counts = field.weight() * f64::from(place.count) / (1.0 - LENGTH + LENGTH * length);
            frequency += counts;
            makes_a_hit |= field.makes_a_hit();
            if counts > most {
                (most, text) = (counts, Some(place.text));
            }
        }
        Some(Found {
            part: frequency / (frequency + SATURATION),
            text: text?,
            makes_a_hit,
        })
    }

    /// How much a word says that so many documents have.
    fn rarity(&self, having: usize) -> f64 {
        let (all, having) = (f64::from(number(self.documents.len())), f64::from(number(having)));
        (1.0 + (all - having + 0.5) / (having + 0.5)).ln()
    }

    fn hit(&self, document: u32, sum: Sum) -> Hit {
        let texts = self.documents.get(document as usize).map(|one| one.texts.as_slice());
        let found = sum.texts.iter().filter_map(|at| texts?.get(*at as usize));
        let matched = found.map(|(field, text)| Match {
            field: *field,
            text: shown(text),
        });
        Hit {
            document: document as usize,
            score: sum.score,
            matched: matched.collect(),
        }
    }
}

impl Indexed {
    fn new(document: Document, at: u32, places: &mut HashMap<String, Vec<Place>>) -> Self {
        let mut lengths = [0_u32; FIELDS];
        let texts = document.texts().to_vec();
        for (text, (field, written)) in texts.iter().enumerate() {
            let found = words(written);
            if let Some(length) = lengths.get_mut(field.at()) {
                *length = length.saturating_add(number(found.len()));
            }
            let as_one = if field.is_name() { joined(&found) } else { None };
            let mut counts: BTreeMap<String, u32> = BTreeMap::new();
            for word in found.into_iter().chain(as_one) {
                *counts.entry(word).or_default() += 1;
            }
            for (word, count) in counts {
                places.entry(word).or_default().push(Place {
                    document: at,
                    text: number(text),
                    count,
                });
            }
        }
        Self { texts, lengths }
    }
}

fn mean(documents: &[Indexed]) -> [f64; FIELDS] {
    let mut sums = [(0_u64, 0_u32); FIELDS];
    for document in documents {
        for ((words, having), length) in sums.iter_mut().zip(document.lengths) {
            *words += u64::from(length);
            *having += u32::from(length > 0);
        }
    }
    sums.map(|(words, having)| words as f64 / f64::from(having.max(1)))
}

fn shown(text: &str) -> String {
    let beginning = cut(text, SHOWN_BYTES_MAX);
    if beginning.len() == text.len() {
        text.to_owned()
    } else {
        format!("{beginning}…")
    }
}

/// Documents, texts and words of an index are far fewer than 2^32.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
