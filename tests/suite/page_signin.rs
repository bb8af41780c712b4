//! Signing in on the page: a cookie for the own page only, that ends when it should.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::lab::{self, PATIENCE};
use crate::page_client::{basic, call, login};

const COUNT: &str = "SELECT count(*) AS n FROM lab.chemistry.reactions";
const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn the_cookie_signs_in_and_only_the_own_page_may_use_it() {
    let lab = lab::shared();
    let signed_in = login(&lab, "sam", "sam-demo");
    assert_eq!((signed_in.status, &signed_in.json()["name"]), (200, &json!("sam")));
    let set = signed_in.header("set-cookie").unwrap();
    assert!(
        set.contains("HttpOnly")
            && set.contains("SameSite=Strict")
            && set.contains("Path=/")
            && !set.contains("Secure"),
        "{set}"
    );
    let cookie = signed_in.cookie();
    assert_eq!(
        call(&lab, "GET", "/api/me", &[("cookie", &cookie)], b"").json()["name"],
        "sam"
    );
    let body = json!({ "sql": COUNT }).to_string();
    let with = |headers: &[(&str, &str)]| {
        let all = [headers, &[("cookie", cookie.as_str())]].concat();
        call(&lab, "POST", "/api/query", &all, body.as_bytes()).status
    };
    let own = lab.http.clone().unwrap();
    assert_eq!(with(&[JSON, ("origin", &own), ("sec-fetch-site", "same-origin")]), 200);
    assert_eq!(with(&[JSON]), 200);
    for foreign in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(with(&[JSON, foreign]), 403, "{foreign:?}");
    }
    for form in ["text/plain", "application/x-www-form-urlencoded"] {
        assert_eq!(with(&[("content-type", form)]), 403, "{form}");
    }
    let (name, value) = basic("ada");
    assert_eq!(with(&[JSON, (name, &value)]), 401, "which of two would count?");
    // The cookie opens no other door.
    let word = format!("Bearer {}", cookie.split_once('=').unwrap().1);
    assert_eq!(
        call(&lab, "GET", "/api/me", &[("authorization", &word)], b"").status,
        401
    );
    // Signing in from another site would put a stranger's session into a browser.
    let evil = json!({"user": "sam", "password": "sam-demo"}).to_string();
    assert_eq!(
        call(
            &lab,
            "POST",
            "/api/login",
            &[JSON, ("origin", "http://evil.example")],
            evil.as_bytes()
        )
        .status,
        403
    );
    let over_tls = own.replace("http://", "https://");
    let secure = call(
        &lab,
        "POST",
        "/api/login",
        &[JSON, ("origin", &over_tls)],
        evil.as_bytes(),
    );
    assert!(secure.header("set-cookie").unwrap().contains("; Secure"));
}

#[test]
fn signing_out_ends_a_session_also_for_who_copied_it() {
    let lab = lab::shared();
    let (mine, other) = (
        login(&lab, "sam", "sam-demo").cookie(),
        login(&lab, "sam", "sam-demo").cookie(),
    );
    let me = |cookie: &str| call(&lab, "GET", "/api/me", &[("cookie", cookie)], b"").status;
    let out = |headers: &[(&str, &str)]| call(&lab, "POST", "/api/logout", headers, b"{}");
    assert_eq!(
        out(&[JSON, ("cookie", &mine), ("origin", "http://evil.example")]).status,
        403
    );
    assert_eq!(me(&mine), 200);
    let gone = out(&[JSON, ("cookie", &mine)]);
    assert!(gone.status == 204 && gone.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!((me(&mine), me(&other)), (401, 200));
    assert_eq!(login(&lab, "sam", "wrong").status, 401);
    assert_eq!(
        login(&lab, "sam", "wrong").text(),
        login(&lab, "nobody", "wrong").text()
    );
}

#[test]
fn a_session_ends_with_its_time() {
    let lab = lab::empty(|config| format!("{config}[auth]\nsession_s = 2\n"));
    let cookie = login(&lab, "sam", "sam-demo").cookie();
    let me = || call(&lab, "GET", "/api/me", &[("cookie", &cookie)], b"");
    assert_eq!(me().status, 200);
    let deadline = Instant::now() + PATIENCE;
    while me().status != 401 {
        assert!(Instant::now() < deadline, "the session never ends");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        me().json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("sign in again")
    );
}
