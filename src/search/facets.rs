//! Facets: narrowing a search by what things are (`yield kind:column schema:chemistry tag:pii`), and counting what a search
//! finds by the same (`search_facets('yield')`). All of it from the index of one person, so what is hidden counts nowhere.

use std::collections::BTreeMap;

use labhouse_catalog::search::{Hit, SearchFailed, SearchQuery};

use super::cache::Searchable;
use super::documents::Entry;

/// Values told of one facet: more are no help.
const VALUES_MAX: usize = 20;

/// By what a thing is told apart, in the order of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Facet {
    /// table, column, model or function.
    Kind,
    Schema,
    Table,
    /// `key` or `key=value`.
    Tag,
    Unit,
    /// Where the words were found: name, comment, value, …
    Matched,
}

impl Facet {
    /// Those that a search can be narrowed by.
    const NARROWING: [Self; 5] = [Self::Kind, Self::Schema, Self::Table, Self::Tag, Self::Unit];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Schema => "schema",
            Self::Table => "table",
            Self::Tag => "tag",
            Self::Unit => "unit",
            Self::Matched => "matched",
        }
    }

    fn is_of(self, entry: &Entry, wanted: &str) -> bool {
        let same = |value: &str| value.eq_ignore_ascii_case(wanted);
        match self {
            Self::Kind => same(entry.kind),
            Self::Schema => entry.schema.as_deref().is_some_and(same),
            Self::Table => ["table", "column"].contains(&entry.kind) && same(&entry.name),
            Self::Tag => entry
                .tags
                .iter()
                .any(|tag| same(tag) || tag.split_once('=').is_some_and(|(key, _)| same(key))),
            Self::Unit => entry.unit.as_deref().is_some_and(same),
            Self::Matched => false,
        }
    }
}

/// What is searched for: words, facets, or both.
#[derive(Debug)]
pub(super) struct Asked {
    query: Option<SearchQuery>,
    narrowed: Vec<(Facet, String)>,
}

impl Asked {
    /// # Errors
    /// In words, when there is nothing to look for.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut narrowed = Vec::new();
        let mut words = Vec::new();
        for word in text.split_whitespace() {
            let facet = word.split_once(':').and_then(|(name, value)| {
                let facet = Facet::NARROWING
                    .into_iter()
                    .find(|facet| facet.word().eq_ignore_ascii_case(name))?;
                (!value.is_empty()).then(|| (facet, value.to_owned()))
            });
            match facet {
                Some(facet) => narrowed.push(facet),
                None => words.push(word),
            }
        }
        let query = match words.is_empty() && !narrowed.is_empty() {
            true => None,
            // Without facets the very text, so that what is said of it is said of that.
            false if narrowed.is_empty() => Some(SearchQuery::parse(text).map_err(|problem| problem.to_string())?),
            false => Some(SearchQuery::parse(&words.join(" ")).map_err(|problem| problem.to_string())?),
        };
        Ok(Self { query, narrowed })
    }

    /// Everything that is found, the best first.
    pub(super) fn hits(&self, searchable: &Searchable) -> Result<Vec<Hit>, SearchFailed> {
        let all = searchable.entries.len();
        let mut hits = match &self.query {
            Some(query) => searchable.index.search(query, all)?,
            None => (0..all)
                .map(|document| Hit {
                    document,
                    score: 0.0,
                    matched: Vec::new(),
                })
                .collect(),
        };
        hits.retain(|hit| {
            let entry = searchable.entries.get(hit.document);
            entry.is_some_and(|entry| self.narrowed.iter().all(|(facet, wanted)| facet.is_of(entry, wanted)))
        });
        Ok(hits)
    }

    /// How many of what is found have each value of each facet: facet, value, number.
    pub(super) fn counts(&self, searchable: &Searchable) -> Result<Vec<(Facet, String, u64)>, SearchFailed> {
        let mut counts: BTreeMap<Facet, BTreeMap<String, u64>> = BTreeMap::new();
        for hit in self.hits(searchable)? {
            let Some(entry) = searchable.entries.get(hit.document) else {
                continue;
            };
            let mut values = vec![(Facet::Kind, entry.kind.to_owned())];
            values.extend(entry.schema.iter().map(|schema| (Facet::Schema, schema.clone())));
            if ["table", "column"].contains(&entry.kind) {
                values.push((Facet::Table, entry.name.clone()));
            }
            values.extend(entry.tags.iter().map(|tag| (Facet::Tag, tag.clone())));
            values.extend(entry.unit.iter().map(|unit| (Facet::Unit, unit.clone())));
            values.extend(
                hit.matched
                    .iter()
                    .map(|one| (Facet::Matched, one.field.word().to_owned())),
            );
            values.sort();
            values.dedup();
            for (facet, value) in values {
                *counts.entry(facet).or_default().entry(value).or_default() += 1;
            }
        }
        let mut told = Vec::new();
        for (facet, values) in counts {
            let mut values: Vec<(String, u64)> = values.into_iter().collect();
            values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            values.truncate(VALUES_MAX);
            told.extend(values.into_iter().map(|(value, count)| (facet, value, count)));
        }
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use labhouse_catalog::search::{Document, Field, SearchIndex};

    use super::*;

    fn searchable() -> Searchable {
        let entry = |kind, name: &str, column: Option<&str>, tags: &[&str], unit: Option<&str>| Entry {
            kind,
            schema: Some("chem".to_owned()),
            name: name.to_owned(),
            column: column.map(str::to_owned),
            comment: None,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            unit: unit.map(str::to_owned),
        };
        let entries = vec![
            entry("table", "yields", None, &["sensitivity=public"], None),
            entry("column", "yields", Some("yield_pct"), &[], Some("pct")),
            entry("column", "people", Some("yield_by"), &["pii=true"], None),
        ];
        let named = entries
            .iter()
            .map(|entry| Document::default().with(Field::Name, entry.column.as_deref().unwrap_or(&entry.name)));
        Searchable {
            index: SearchIndex::new(named).unwrap(),
            entries,
        }
    }

    fn found(text: &str) -> Vec<usize> {
        let mut found: Vec<usize> = Asked::parse(text)
            .unwrap()
            .hits(&searchable())
            .unwrap()
            .iter()
            .map(|hit| hit.document)
            .collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn a_search_is_narrowed_by_what_things_are() {
        assert_eq!(found("yield"), [0, 1, 2]);
        assert_eq!(found("yield kind:column"), [1, 2]);
        assert_eq!(found("KIND:Column table:YIELDS"), [1]);
        assert_eq!(found("tag:pii"), [2]);
        assert_eq!(found("tag:pii=true yield"), [2]);
        assert_eq!(found("unit:pct"), [1]);
        assert!(found("yield tag:pii=false").is_empty() && found("schema:assay").is_empty());
        // What is no facet is a word.
        assert_eq!(found("yield colour:red"), [0, 1, 2]);
        for nothing in ["", "!?", "kind:"] {
            let parsed = Asked::parse(nothing);
            assert!(parsed.is_err() || nothing == "kind:", "{nothing}: {parsed:?}");
        }
    }

    #[test]
    fn what_is_found_is_counted_by_its_facets() {
        let counts = Asked::parse("yield").unwrap().counts(&searchable()).unwrap();
        let of = |facet, value: &str| {
            counts
                .iter()
                .find(|one| one.0 == facet && one.1 == value)
                .map(|one| one.2)
        };
        assert_eq!(of(Facet::Kind, "column"), Some(2));
        assert_eq!(of(Facet::Table, "yields"), Some(2));
        assert_eq!(of(Facet::Tag, "pii=true"), Some(1));
        assert_eq!(of(Facet::Matched, "name"), Some(3));
        assert_eq!(of(Facet::Unit, "mg"), None);
    }
}
