//! What becomes of states, look by look.

use super::*;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_000_000 + second, 0).unwrap()
}

fn holds(labels: &[&str]) -> Outcome {
    Outcome::Holds(
        labels
            .iter()
            .map(|label| ((*label).to_owned(), Reading::default()))
            .collect(),
    )
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
fn values_alone_are_nothing_to_write_down() {
    let state = State::default().after(&holds(&["a"]), 0, at(0));
    let reading = Reading {
        value: Some(2.0),
        against: None,
    };
    let mut later = state.after(&Outcome::Holds([("a".to_owned(), reading)].into()), 0, at(9));
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
    assert_eq!(
        news.labels,
        BTreeSet::from(["b".to_owned()]),
        "the other one is pending"
    );
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
    let reading = Reading {
        value: Some(f64::NAN),
        against: None,
    };
    let outcome = Outcome::Holds([("a".to_owned(), reading)].into());
    let state = State::default().after(&outcome, 0, at(0));
    assert!(state == state.clone() && state == state.after(&outcome, 0, at(1)));
}

#[test]
fn only_more_rows_are_new_rows() {
    let seen = Watched::after(None, 10, at(0));
    let fewer = Watched::after(Some(&seen), 4, at(50));
    assert_eq!((fewer.rows, fewer.since), (4, at(0)));
    assert!(fewer.is_overdue(60, at(60)) && !fewer.is_overdue(60, at(59)));
    let more = Watched::after(Some(&fewer), 5, at(60));
    assert!(!more.is_overdue(60, at(60)));
}
