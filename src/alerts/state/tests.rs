//! What becomes of states, look by look.

use super::*;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_000_000 + second, 0).unwrap()
}

fn holds(labels: &[&str]) -> Outcome {
    judged(labels, &[])
}

fn judged(holds: &[&str], unknown: &[&str]) -> Outcome {
    let holds = holds.iter().map(|label| ((*label).to_owned(), Reading::default()));
    Outcome::Judged(Judged {
        holds: holds.collect(),
        unknown: set(unknown),
    })
}

fn set(labels: &[&str]) -> BTreeSet<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

fn reads(label: &str, value: f64) -> Outcome {
    let reading = Reading {
        value: Some(value),
        against: None,
    };
    Outcome::Judged(Judged {
        holds: [(label.to_owned(), reading)].into(),
        unknown: BTreeSet::new(),
    })
}

#[test]
fn ok_pending_firing_and_back() {
    let state = State::default().after(&holds(&[]), 60, at(0));
    assert_eq!((state.word(), state.is_news()), ("ok", false));
    let state = state.after(&holds(&[""]), 60, at(1));
    assert_eq!((state.word(), state.is_news()), ("pending", false));
    assert_eq!(state.fires_at(60, "sam"), Some(at(61)));
    let state = state.after(&holds(&[""]), 60, at(60));
    assert_eq!(state.word(), "pending");
    let mut state = state.after(&holds(&[""]), 60, at(61));
    assert_eq!(
        (state.word(), state.is_news(), state.since),
        ("firing", true, Some(at(61)))
    );
    state.told = state.known();
    assert!(!state.after(&holds(&[""]), 60, at(70)).is_news(), "told once");
    let state = state.after(&holds(&[]), 60, at(80));
    assert_eq!((state.word(), state.is_news()), ("ok", true));
}

#[test]
fn a_pending_label_that_goes_starts_anew() {
    let state = State::default().after(&holds(&["a"]), 60, at(0));
    let state = state.after(&holds(&[]), 60, at(30)).after(&holds(&["a"]), 60, at(40));
    assert_eq!(state.after(&holds(&["a"]), 60, at(61)).word(), "pending");
    assert_eq!(state.after(&holds(&["a"]), 60, at(100)).word(), "firing");
}

#[test]
fn a_fault_keeps_the_labels_and_is_told_once() {
    let mut state = State::default().after(&holds(&["a"]), 0, at(0));
    state.told = state.known();
    let mut state = state.after(&Outcome::Failed("x".into()), 0, at(1));
    assert_eq!((state.word(), state.is_news()), ("error", true));
    state.told = state.known();
    assert!(!state.after(&Outcome::Failed("y".into()), 0, at(2)).is_news());
    assert_eq!(state.after(&Outcome::NoData, 0, at(2)).word(), "no_data");
    let state = state.after(&holds(&["a"]), 0, at(3));
    assert_eq!(state.word(), "firing");
    assert!(state.is_news(), "that the fault is over");
    assert_eq!(state.known().labels, state.told.labels, "the label was told before");
}

#[test]
fn a_label_without_values_is_neither_firing_nor_well() {
    let mut state = State::default().after(&holds(&["a", "b"]), 0, at(0));
    state.told = state.known();
    // Of the labels that fired one is well, of the other nothing is known any more; one that never fired says nothing.
    let mut state = state.after(&judged(&[], &["a", "c"]), 0, at(1));
    assert_eq!(
        (state.word(), state.firing(), state.no_data()),
        ("no_data", set(&[]), set(&["a"]))
    );
    let known = state.known();
    assert_eq!((known.labels.clone(), known.no_data.clone()), (set(&[]), set(&["a"])));
    assert_eq!(state.told.over(&known).collect::<Vec<_>>(), ["b"]);
    assert!(state.is_news() && state.fired_for("sam", "sam") == set(&["a", "b"]));
    state.told = known;
    assert!(!state.after(&judged(&[], &["a"]), 0, at(2)).is_news(), "told once");
    // Values are back: it goes on firing, however long a rule must hold, or it is well.
    let back = state.after(&holds(&["a"]), 60, at(3));
    assert_eq!((back.word(), back.known().labels), ("firing", set(&["a"])));
    let well = state.after(&holds(&[]), 60, at(3));
    assert_eq!((well.word(), well.known()), ("ok", Told::default()));
    assert_eq!(state.told.over(&well.known()).collect::<Vec<_>>(), ["a"]);
    // What only waited to fire just ends, and beside one that fires the alert fires.
    let pending = State::default().after(&holds(&["a"]), 60, at(0));
    assert_eq!(pending.after(&judged(&[], &["a"]), 60, at(1)).word(), "ok");
    assert_eq!(state.after(&judged(&["b"], &["a"]), 0, at(4)).word(), "firing");
}

#[test]
fn what_was_kept_before_labels_could_lack_values_is_still_read() {
    let kept = r#"{"instances":{"a":{"since":"2026-03-01T00:00:00Z","firing":true,"reading":{"value":1.0,"against":null}}},"fault":null,"told":{"labels":["a"],"fault":null},"told_to":{},"watched":{"sam":{"rows":3,"since":"2026-03-01T00:00:00Z"}},"since":null,"slot":null,"evaluated_at":null}"#;
    let state: State = serde_json::from_str(kept).unwrap();
    assert_eq!(
        (state.word(), state.firing(), state.is_news()),
        ("firing", set(&["a"]), false)
    );
}

#[test]
fn values_alone_are_nothing_to_write_down() {
    let state = State::default().after(&holds(&["a"]), 0, at(0));
    let mut later = state.after(&reads("a", 2.0), 0, at(9));
    later.evaluated_at = Some(at(9));
    assert!(!later.differs(&state));
    assert!(state.after(&holds(&["a", "b"]), 0, at(9)).differs(&state));
}

#[test]
fn each_recipient_has_states_and_news_of_her_own() {
    let recipients = &["sam".to_owned(), "ana".to_owned()];
    let mut state = State::default().after(&holds(&["a"]), 0, at(0));
    state.told = state.known();
    assert!(!state.has_news(recipients), "ana sees nothing of it");
    let told = Told::default();
    let found = Found::default().after(&holds(&["b"]), &told, 60, at(1));
    state.seen_by.insert("ana".into(), found.clone());
    assert!(!state.has_news(recipients), "hers is pending");
    let fires = |state: &State, owner| (state.fires_at(60, owner), state.fires_for_others_at(60, owner));
    assert_eq!(fires(&state, "sam"), (None, Some(at(61))));
    assert_eq!(fires(&state, "ana"), (Some(at(61)), None));
    // What is looked at for her then leaves the owner's state alone.
    let after = State {
        told_to: [("ana".to_owned(), told.clone())].into(),
        ..state.after(&holds(&[]), 0, at(61))
    };
    let kept = state.with_others_of(after, "sam");
    assert_eq!(
        (kept.word(), kept.since, kept.told_to.len()),
        ("firing", state.since, 1)
    );
    let found = found.after(&holds(&["b", "c"]), &told, 60, at(61));
    let news = found.known(&told);
    assert_eq!(news.labels, set(&["b"]), "the other one is pending");
    state.seen_by.insert("ana".into(), found.clone());
    assert!(state.has_news(recipients) && !state.is_news());
    assert!(state.has_news_for("ana") && !state.has_news_for("sam"));
    state.told_to.insert("ana".into(), news.clone());
    assert!(!state.has_news(recipients));
    let ended = found.after(&holds(&[]), &news, 60, at(62));
    assert_eq!(ended.known(&news), Told::default());
    // A fault is news, and the labels stay.
    let fault = found.after(&Outcome::NoData, &news, 60, at(62)).known(&news);
    assert_eq!(
        (fault.labels, fault.fault),
        (news.labels.clone(), Some(FaultKind::NoData))
    );
    // What was told fires on, though nothing else is known of it.
    assert_eq!(
        Found::default().after(&holds(&["b"]), &news, 60, at(63)).known(&news),
        news
    );
    state.blind("ana");
    assert!(!state.has_news(recipients));
}

#[test]
fn what_is_no_number_does_not_make_states_differ() {
    let outcome = reads("a", f64::NAN);
    let state = State::default().after(&outcome, 0, at(0));
    assert!(state == state.clone() && state == state.after(&outcome, 0, at(1)));
}

#[test]
fn more_rows_are_new_rows_and_so_are_those_of_a_commit_that_brought_some() {
    let seen = Watched::after(None, 10, Some(1), false, at(0));
    let fewer = Watched::after(Some(&seen), 4, Some(2), false, at(50));
    assert_eq!((fewer.rows, fewer.since, fewer.version), (4, at(0), Some(2)));
    assert!(fewer.is_overdue(60, at(60)) && !fewer.is_overdue(60, at(59)));
    let more = Watched::after(Some(&fewer), 5, Some(3), false, at(60));
    assert!(!more.is_overdue(60, at(60)));
    let replaced = Watched::after(Some(&more), 5, Some(5), true, at(100));
    assert_eq!(replaced.since, at(100));
}
