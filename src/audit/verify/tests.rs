//! Tests of the file above.

use super::*;

fn keys() -> Keys {
    Keys::new(Some("a-key-of-the-lab-itself"), None).unwrap()
}

fn chain(name: &str, keys: &Keys, heads: &[Anchor]) -> Vec<Event> {
    let detail = serde_json::json!({"key": keys.chain_name(), "heads": heads});
    let mut events = vec![Event {
        detail: Some(detail.to_string()),
        ..Event::now(Kind::Start)
    }];
    events.extend((0..3).map(|n| Event {
        rows: Some(n),
        ..Event::now(Kind::Ended)
    }));
    events.push(Event::now(Kind::Stop));
    sealed(name, keys, events)
}

fn sealed(name: &str, keys: &Keys, mut events: Vec<Event>) -> Vec<Event> {
    let mut before = GENESIS.to_owned();
    for (seq, event) in (1..).zip(&mut events) {
        event.seal(name, seq, &before, keys.chain());
        before.clone_from(&event.hash);
    }
    events
}

fn problems(keys: &Keys, events: &[&[Event]], anchors: Vec<Anchor>) -> Vec<Problem> {
    let mut verifier = Verifier {
        keys,
        names: keys.names(),
        chains: BTreeMap::new(),
        claims: Vec::new(),
        problems: BTreeSet::new(),
        remarks: Vec::new(),
    };
    verifier.anchors(anchors, "the file", true);
    events.iter().copied().flatten().for_each(|event| verifier.take(event));
    verifier.report().problems
}

fn head(events: &[Event]) -> Anchor {
    let last = events.last().unwrap();
    Anchor::new(&last.chain, last.seq, &last.hash)
}

#[test]
fn a_whole_chain_passes_also_when_segment_and_table_hold_it_both() {
    let keys = keys();
    let one = chain("a", &keys, &[]);
    let other = chain("b", &keys, &[head(&one)]);
    assert!(problems(&keys, &[&one, &one[2..], &other], vec![head(&one)]).is_empty());
}

#[test]
fn who_lacks_the_key_cannot_make_a_chain_anew() {
    let (keys, none) = (keys(), Keys::new(None, None).unwrap());
    let good = chain("a", &keys, &[]);
    let mut told_otherwise = good.clone();
    told_otherwise[2].principal = Some("somebody-else".into());
    let StartDetail { heads, .. } = detail(&told_otherwise[0]).unwrap();
    told_otherwise[0].detail = Some(serde_json::json!({"key": UNKEYED, "heads": heads}).to_string());
    let forged = sealed("a", &none, told_otherwise);
    // Whole in itself, and nothing vouches for it.
    assert!(problems(&none, &[&forged], Vec::new()).is_empty());
    let found = problems(&keys, &[&forged], Vec::new());
    assert!(found[0].what.contains("no anchor vouches"), "{found:?}");
    assert!(!problems(&keys, &[&forged], vec![head(&good)]).is_empty());
    // A forged event inside a sealed chain.
    let mut mixed = good.clone();
    mixed[2].seal("a", 3, &good[1].hash.clone(), None);
    let found = problems(&keys, &[&mixed], Vec::new());
    assert_eq!(
        (found[0].seq, found[0].what.contains("without the chain's key")),
        (3, true),
        "{found:?}"
    );
}

#[test]
fn a_chain_from_before_there_was_a_key_is_vouched_for_by_a_later_one() {
    let (keys, none) = (keys(), Keys::new(None, None).unwrap());
    let old = chain("a", &none, &[]);
    let new = chain("b", &keys, &[head(&old)]);
    assert!(problems(&keys, &[&old, &new], Vec::new()).is_empty());
    let mut told_otherwise = old.clone();
    told_otherwise[1].rows = Some(99);
    let forged = sealed("a", &none, told_otherwise);
    assert!(!problems(&keys, &[&forged, &new], Vec::new()).is_empty());
}

#[test]
fn an_end_that_was_cut_off_is_known_to_whoever_came_later() {
    let keys = keys();
    let one = chain("a", &keys, &[]);
    let other = chain("b", &keys, &[head(&one)]);
    let found = problems(&keys, &[&one[..3], &other], Vec::new());
    assert_eq!((found[0].chain.as_str(), found[0].seq), ("a", 4), "{found:?}");
    let found = problems(&keys, &[&other], Vec::new());
    assert!(found[0].what.contains("all events"), "{found:?}");
}
