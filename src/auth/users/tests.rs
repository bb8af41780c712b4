//! Tests of the users file.

use super::*;

#[test]
fn names_that_could_pass_for_roles_or_paths_are_refused() {
    for name in ["", "role:lake_admin", "Ana", "9lives", "a/b", "ä", &"a".repeat(65)] {
        assert!(check_name(name).is_err(), "{name}");
    }
    assert!(check_name("ana.b-2@lab").is_ok());
}

#[test]
fn no_user_can_bring_a_mark() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    let marked = BTreeMap::from([("login:read_only".to_owned(), Attribute::Boolean(false))]);
    assert!(add(&path, "ana", "long enough", marked, false).is_err());
    add(&path, "ana", "long enough", BTreeMap::new(), false).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        format!("{text}[users.ana.attributes]\n\"login:token\" = \"x\"\n"),
    )
    .unwrap();
    assert!(matches!(Users::read(&path), Err(UserError::Attribute(_))));
}

#[test]
fn a_broken_file_keeps_the_last_good_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    add(&path, "ana", "long enough", BTreeMap::new(), false).unwrap();
    let file = UsersFile::open(&path).unwrap();
    std::fs::write(&path, "users = 7").unwrap();
    assert!(file.current().principal("ana").is_some());
}

#[test]
fn an_edit_is_told_by_who_and_what_and_never_by_value() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    add(&path, "ana", "long enough", BTreeMap::new(), false).unwrap();
    add(&path, "eve", "long enough", BTreeMap::new(), false).unwrap();
    let file = UsersFile::open(&path).unwrap();
    let (sender, told) = std::sync::mpsc::channel();
    file.tell(Box::new(move |change| sender.send(change).unwrap()));
    let next = || {
        file.current();
        told.try_recv().ok()
    };
    assert_eq!(next(), None);
    let now = |name: &str, words: &[&'static str]| {
        Some(UsersChange::Taken(BTreeMap::from([(name.to_owned(), words.to_vec())])))
    };
    let site = BTreeMap::from([("site".to_owned(), Attribute::Text("basel".into()))]);
    add(&path, "ana", "another one", site, false).unwrap();
    assert_eq!(next(), now("ana", &["password", "attributes"]));
    issue_token(&path, "ana", "laptop", TokenScope::default()).unwrap();
    assert_eq!(next(), now("ana", &["tokens"]));
    remove(&path, "eve").unwrap();
    assert_eq!(next(), now("eve", &["removed"]));
    add(&path, "dan", "long enough", BTreeMap::new(), false).unwrap();
    assert_eq!(next(), now("dan", &["added"]));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("# reviewed\n{text}")).unwrap();
    assert_eq!(next(), None);
    std::fs::write(&path, "users = 7").unwrap();
    assert_eq!(next(), Some(UsersChange::Refused));
}

#[test]
fn an_expired_token_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    add(&path, "ana", "long enough", BTreeMap::new(), false).unwrap();
    let for_days = |days| TokenScope {
        days: Some(days),
        ..TokenScope::default()
    };
    let token = issue_token(&path, "ana", "old", for_days(0)).unwrap();
    assert!(Users::read(&path).unwrap().token(&token).is_none());
    let token = issue_token(&path, "ana", "new", for_days(1)).unwrap();
    assert!(Users::read(&path).unwrap().token(&token).is_some());
    revoke_token(&path, "ana", "new").unwrap();
    assert!(Users::read(&path).unwrap().token(&token).is_none());
    assert!(revoke_token(&path, "ana", "new").is_err());
}
