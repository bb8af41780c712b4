//! What is found, in which order, and what must hold for any documents and any query.

use proptest::prelude::*;

use super::meanings::{forgiven, has_digit};
use super::words::{joined, words};
use super::*;

fn column(table: &str, name: &str) -> Document {
    Document::default().with(Field::Name, name).with(Field::Table, table)
}

fn table(name: &str, columns: &[&str]) -> Document {
    let table = Document::default().with(Field::Name, name);
    columns
        .iter()
        .fold(table, |table, column| table.with(Field::Column, column))
}

/// A small lab; the places of its documents are those of the names in the answers.
fn lab() -> Vec<(&'static str, Document)> {
    vec![
        ("reactions", table("reactions", &["plate_id", "solvent", "yield_pct"])),
        ("readings", table("plate_readings", &["plate_id", "well", "yield_pct"])),
        (
            "lots",
            table("reagent_lots", &["lot", "supplier"]).with(Field::Comment, "What stands on the shelf"),
        ),
        (
            "yield",
            column("reactions", "yield_pct").with(Field::Original, "Yield [%]"),
        ),
        (
            "solvent",
            column("reactions", "solvent")
                .with(Field::Value, "DMSO")
                .with(Field::Value, "2-MeTHF"),
        ),
        ("plate", column("reactions", "plate_id")),
        (
            "model",
            Document::default()
                .with(Field::Name, "yield_model")
                .with(Field::Function, "predict_yield"),
        ),
    ]
}

fn search(documents: impl IntoIterator<Item = Document>, query: &SearchQuery, count: usize) -> Vec<Hit> {
    SearchIndex::new(documents).unwrap().search(query, count).unwrap()
}

fn found(query: &str) -> Vec<&'static str> {
    let (names, documents): (Vec<_>, Vec<_>) = lab().into_iter().unzip();
    let hits = search(documents, &SearchQuery::parse(query).unwrap(), 50);
    hits.iter().map(|hit| names[hit.document]).collect()
}

#[test]
fn words_are_those_of_clean_names() {
    let cases: [(&str, &[&str]); 8] = [
        ("yield_pct", &["yield", "pct"]),
        ("Yield [%]", &["yield", "pct"]),
        ("Conc. (µM)", &["conc", "um"]),
        ("Größe für 5°C", &["groesse", "fuer", "5", "deg", "c"]),
        ("Señal AÑO", &["senal", "ano"]),
        ("e\u{301}te", &["ete"]),
        ("Масса 質量", &["масса", "質量"]),
        (" …_- ", &[]),
    ];
    for (text, parts) in cases {
        assert_eq!(words(text), parts, "{text}");
    }
    assert_eq!(joined(&words("plate_id")).as_deref(), Some("plateid"));
    assert_eq!((joined(&words("plate")), joined(&words("a b c d e"))), (None, None));
}

#[test]
fn names_beat_columns_and_all_words_beat_one() {
    assert_eq!(found("yield solvent")[0], "reactions");
    assert_eq!(found("lots"), ["lots"]);
    let yields = found("yield");
    assert!(
        yields[..2].contains(&"yield") && yields[..2].contains(&"model"),
        "{yields:?}"
    );
    assert_eq!(yields.len(), 4, "{yields:?}");
    assert_eq!(found("shelf"), ["lots"]);
    assert_eq!(found("dmso methf"), ["solvent"]);
}

#[test]
fn a_table_s_name_is_context_for_its_columns() {
    assert_eq!(found("reactions"), ["reactions"]);
    assert_eq!(found("reactions plate")[..2], ["reactions", "plate"]);
}

#[test]
fn typing_errors_beginnings_and_plurals_are_forgiven() {
    for (query, wanted) in [
        ("yeild", "yield"),
        ("solvnt", "solvent"),
        ("solventt", "solvent"),
        ("recations", "reactions"),
        ("raections", "reactions"),
        ("supplyer", "lots"),
        ("solvents", "solvent"),
        ("reag", "lots"),
        ("plateid", "plate"),
        ("predictyield", "model"),
    ] {
        assert!(found(query).contains(&wanted), "{query}: {:?}", found(query));
    }
    // Short words and numbers are not guessed at, and what stands there as it is needs no guess.
    for query in ["lut", "dms0", "xyzzy"] {
        assert_eq!(found(query), Vec::<&str>::new(), "{query}");
    }
    let documents = [column("t", "base"), column("t", "bass")];
    let hits = search(documents, &SearchQuery::parse("base").unwrap(), 9);
    assert_eq!(hits.len(), 1);
}

#[test]
fn a_hit_says_what_was_found_and_where() {
    let (_, documents): (Vec<_>, Vec<_>) = lab().into_iter().unzip();
    let hits = search(documents, &SearchQuery::parse("solvent yeild").unwrap(), 1);
    let matched: Vec<_> = hits[0]
        .matched
        .iter()
        .map(|one| (one.field, one.text.as_str()))
        .collect();
    assert_eq!(matched, [(Field::Column, "solvent"), (Field::Column, "yield_pct")]);
    let long = Document::default().with(Field::Comment, &"solvent and ".repeat(50));
    let hits = search([long], &SearchQuery::parse("solvent").unwrap(), 1);
    assert!(hits[0].matched[0].text.ends_with('…') && hits[0].matched[0].text.len() < 100);
}

#[test]
fn queries_and_documents_are_bounded() {
    assert_eq!(SearchQuery::parse(""), Err(SearchProblem::NoWord));
    assert_eq!(
        SearchQuery::parse("?! %_").map(|query| query.words().to_vec()),
        Ok(vec!["pct".to_owned()])
    );
    assert_eq!(SearchQuery::parse("?! _"), Err(SearchProblem::NoWord));
    assert_eq!(
        SearchQuery::parse(&"a".repeat(1_001)),
        Err(SearchProblem::TooLong(1_001))
    );
    let many: Vec<String> = (0..=QUERY_WORDS_MAX).map(|n| format!("w{n}")).collect();
    assert_eq!(
        SearchQuery::parse(&many.join(" ")),
        Err(SearchProblem::TooManyWords(17))
    );
    assert!(SearchQuery::parse(&"same ".repeat(100)).is_ok());

    let mut document = Document::default();
    for n in 0..100_000 {
        document.add(Field::Value, &format!("value{n}"));
    }
    assert!(document.bytes() <= document::DOCUMENT_BYTES_MAX, "{}", document.bytes());
    let cut = Document::default().with(Field::Comment, &"é".repeat(20_000));
    assert!(cut.bytes() <= document::DOCUMENT_BYTES_MAX && !cut.texts().is_empty());
}

fn word() -> impl Strategy<Value = String> {
    // A small alphabet, so that words meet.
    "[abcdeé]{1,9}"
}

fn texts() -> impl Strategy<Value = Vec<(Field, String)>> {
    let field = prop::sample::select(vec![
        Field::Name,
        Field::Column,
        Field::Comment,
        Field::Value,
        Field::Table,
    ]);
    prop::collection::vec(
        (
            field,
            prop::collection::vec(word(), 1..4).prop_map(|words| words.join(" ")),
        ),
        0..5,
    )
}

fn documents() -> impl Strategy<Value = Vec<Document>> {
    let document = texts().prop_map(|texts| {
        texts.iter().fold(Document::default(), |document, (field, text)| {
            document.with(*field, text)
        })
    });
    prop::collection::vec(document, 0..12)
}

fn asked() -> impl Strategy<Value = SearchQuery> {
    prop::collection::vec(word(), 1..4).prop_map(|words| SearchQuery::parse(&words.join(" ")).unwrap())
}

proptest! {
    #[test]
    fn answers_are_ranked_repeatable_and_cut_at_the_end(documents in documents(), query in asked(), count in 0_usize..6) {
        let index = SearchIndex::new(documents.clone()).unwrap();
        let all = index.search(&query, usize::MAX).unwrap();
        prop_assert!(all.iter().all(|hit| hit.score.is_finite() && hit.score > 0.0 && !hit.matched.is_empty()));
        prop_assert!(all.is_sorted_by(|a, b| a.score > b.score || (a.score == b.score && a.document < b.document)));
        prop_assert_eq!(&index.search(&query, count).unwrap()[..], &all[..count.min(all.len())]);
        prop_assert_eq!(search(documents, &query, usize::MAX), all);
    }

    /// The order of the documents says nothing: each has its score wherever it stands.
    #[test]
    fn scores_do_not_depend_on_the_order(documents in documents(), query in asked()) {
        let forward = search(documents.clone(), &query, usize::MAX);
        let last = documents.len().saturating_sub(1);
        let backward = search(documents.into_iter().rev(), &query, usize::MAX);
        let mut turned: Vec<(usize, u64)> = backward.iter().map(|hit| (last - hit.document, hit.score.to_bits())).collect();
        let mut straight: Vec<(usize, u64)> = forward.iter().map(|hit| (hit.document, hit.score.to_bits())).collect();
        turned.sort_unstable();
        straight.sort_unstable();
        prop_assert_eq!(turned, straight);
    }

    /// A document that is in the index is found by each of its words, whatever else is there.
    #[test]
    fn what_is_written_is_found(documents in documents(), name in word()) {
        let at = documents.len();
        let all = documents.into_iter().chain([Document::default().with(Field::Comment, &name)]);
        let hits = search(all, &SearchQuery::parse(&name).unwrap(), usize::MAX);
        prop_assert!(hits.iter().any(|hit| hit.document == at));
    }

    /// One error in a word of four letters or more, two in one of eight, and it is found all the same where nothing else is meant.
    #[test]
    fn a_misspelt_word_is_found(name in "[a-z]{5,12}", at in 0_usize..4, swap in any::<bool>()) {
        let mut letters: Vec<char> = name.chars().collect();
        if swap { letters.swap(at, at + 1) } else { letters.remove(at); }
        let wrong: String = letters.into_iter().collect();
        let hits = search([Document::default().with(Field::Name, &name)], &SearchQuery::parse(&wrong).unwrap(), 1);
        prop_assert_eq!(hits.len(), 1, "{} for {}", wrong, name);
    }

    /// What is near enough to be forgiven is found, and nothing that is farther.
    #[test]
    fn as_many_errors_are_forgiven_as_are_counted(name in "[a-dé]{3,12}", asked in "[a-dé]{3,12}") {
        prop_assume!(!name.starts_with(&asked) && asked.strip_suffix('s') != Some(&name));
        let (name, asked) = (words(&name).concat(), words(&asked).concat());
        let hits = search([Document::default().with(Field::Comment, &name)], &SearchQuery::parse(&asked).unwrap(), 1);
        let near = strsim::osa_distance(&name, &asked) <= usize::from(forgiven(&asked)) && !has_digit(&name);
        prop_assert_eq!(!hits.is_empty(), near, "{} for {}", asked, name);
    }

    #[test]
    fn any_text_is_read(text in "\\PC{0,300}", query in "\\PC{0,300}") {
        let index = SearchIndex::new([Document::default().with(Field::Name, &text).with(Field::Value, &text)]).unwrap();
        if let Ok(query) = SearchQuery::parse(&query) {
            prop_assert!(index.search(&query, 1).unwrap().len() <= 1);
        }
        prop_assert!(words(&text).iter().all(|word| !word.is_empty() && word.len() <= 64));
    }
}
