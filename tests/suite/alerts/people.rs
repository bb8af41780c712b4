//! Each recipient by herself: her own transitions, in what she sees when the message leaves.

use super::receiver::Receiver;
use super::{RUNS, lab_with, shows, until_events, until_state};
use crate::lab::{self, Server};

pub(super) const REACTIONS: &str = "lab.chemistry.reactions";
pub(super) const HEADER: &str = "reaction_id,plate_id,status,operator,scaffold_smiles,yield_pct\n";

/// A lab with one released reaction, which ana sees.
pub(super) async fn with_reactions(receiver: &Receiver) -> Server {
    let config = receiver.config("ca.pem");
    let lab = lab::empty(|text| format!("{text}{config}"));
    super::addresses(&lab);
    lab.land(
        "chemistry/reactions/a.csv",
        format!("{HEADER}1,P1,released,mara,CCO,80\n"),
    );
    let count = format!("SELECT count(*) FROM {REACTIONS}");
    lab.until("ana", &count, shows("1")).await;
    lab
}

/// The mails that one person got, oldest first.
pub(super) fn got(receiver: &Receiver, who: &str) -> Vec<serde_json::Value> {
    let address = format!("{who}@lab.example");
    let mails = receiver.received().into_iter();
    mails.filter(|mail| mail["to"][0] == address.as_str()).collect()
}

/// The state that a mail tells of.
pub(super) fn state(mail: &serde_json::Value) -> &str {
    let subject = mail["subject"].as_str().unwrap();
    subject.split_once("] ").unwrap().1.split_once(':').unwrap().0
}

/// What was posted to a channel that many read, oldest first.
fn posted(receiver: &Receiver) -> Vec<serde_json::Value> {
    let bodies = receiver.received().into_iter().map(|m| m["body"].clone());
    bodies.filter(|body| !body.is_null()).collect()
}

async fn until_tried(lab: &Server, times: usize) {
    lab.until("sam", "SELECT 1 AS n", |_| {
        lab.log().matches("is tried again").count() >= times
    })
    .await;
}

/// Waits until what was under way to two recipients has ended.
async fn until_both_tried_again(lab: &Server) {
    let before = lab.log().matches("is tried again").count();
    until_tried(lab, before + 2).await;
}

#[tokio::test]
async fn each_recipient_is_told_what_he_sees_and_the_blind_nothing() {
    let receiver = Receiver::start();
    // ana sees released rows only, no operators; guest sees nothing; dee sees all.
    let lab = with_reactions(&receiver).await;
    // An author names those who see what is read, an administrator every login.
    for (who, notify) in [
        ("sam", "NOTIFY sam, ana, dee BY email"),
        ("ada", "NOTIFY sam, ana, dee, guest BY email"),
    ] {
        for sql in [
            format!("CREATE OR REPLACE ALERT rows_low ON {REACTIONS} WHEN yield_pct < 40 {notify}"),
            format!("CREATE OR REPLACE ALERT by_operator ON {REACTIONS} WHEN yield_pct < 40 BY operator {notify}"),
            format!("CREATE OR REPLACE ALERT by_plate ON {REACTIONS} WHEN min(yield_pct) < 40 BY plate_id {notify}"),
        ] {
            lab.update(who, &sql)
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }
    for alert in ["rows_low", "by_operator", "by_plate"] {
        until_state(&lab, alert, "ok").await;
    }
    // A row that ana does not see: she is told nothing at all.
    lab.land(
        "chemistry/reactions/b.csv",
        "reaction_id,plate_id,status,operator,scaffold_smiles,yield_pct\n2,PSECRET,draft,jon_secret,CCN,11.25\n",
    );
    for alert in ["rows_low", "by_operator", "by_plate"] {
        until_state(&lab, alert, "firing").await;
        until_events(&lab, alert, "sent", 2).await;
        until_events(&lab, alert, "withheld", 2).await;
    }
    let to = |who: &str| -> Vec<serde_json::Value> {
        let address = format!("{who}@lab.example");
        receiver
            .received()
            .into_iter()
            .filter(|m| m["to"][0] == address.as_str())
            .collect()
    };
    assert_eq!(
        (to("sam").len(), to("dee").len(), to("ana").len(), to("guest").len()),
        (3, 3, 0, 0)
    );
    assert!(
        to("sam")
            .iter()
            .any(|m| m["text"].as_str().unwrap().contains("jon_secret"))
    );

    // A row that she sees: she is told of it, in what she sees, and of nothing else; that others were told before is not hers.
    lab.land(
        "chemistry/reactions/c.csv",
        "reaction_id,plate_id,status,operator,scaffold_smiles,yield_pct\n3,P3,released,ines_secret,CCCCO,22.5\n",
    );
    until_events(&lab, "rows_low", "sent", 3).await;
    until_events(&lab, "by_operator", "sent", 4).await;
    until_events(&lab, "by_plate", "sent", 5).await;
    let mails = to("ana");
    assert_eq!(mails.len(), 2, "by_operator is not hers: {mails:#?}");
    for mail in &mails {
        let all = mail.to_string();
        assert!(all.contains("P3"), "{all}");
        for secret in ["PSECRET", "jon_secret", "ines_secret", "11.25", "11.2", "operator"] {
            assert!(!all.contains(secret), "{secret}: {all}");
        }
    }
    // dee may not see personal data once it is marked: the alert by operator ends for her without a word.
    lab.update(
        "ada",
        "ALTER TABLE lab.chemistry.reactions ALTER COLUMN operator SET TAGS (pii = true)",
    )
    .await
    .unwrap();
    let before = to("dee").len();
    lab.land(
        "chemistry/reactions/d.csv",
        "reaction_id,plate_id,status,operator,scaffold_smiles,yield_pct\n4,P4,draft,tom_secret,CCCCO,5\n",
    );
    until_events(&lab, "by_operator", "sent", 5).await;
    until_events(&lab, "by_plate", "sent", 7).await;
    let dee: Vec<_> = to("dee").split_off(before);
    assert_eq!(dee.len(), 1, "{dee:#?}");
    assert!(!dee[0].to_string().contains("tom_secret"));
}

#[tokio::test]
async fn a_recipient_has_transitions_of_her_own_while_the_owners_alert_fires() {
    let receiver = Receiver::start();
    let lab = with_reactions(&receiver).await;
    let make = format!("CREATE ALERT low ON {REACTIONS} WHEN yield_pct < 40 NOTIFY sam, ana BY email");
    lab.update("sam", &make).await.unwrap();
    until_state(&lab, "low", "ok").await;
    lab.land(
        "chemistry/reactions/b.csv",
        format!("{HEADER}2,PSECRET,draft,jon,CCN,11\n"),
    );
    until_events(&lab, "low", "sent", 1).await;
    assert!(got(&receiver, "ana").is_empty(), "she does not see it");
    // Her first bad row: the owner's state stays what it is, and nobody else hears anything.
    lab.land(
        "chemistry/reactions/c.csv",
        format!("{HEADER}3,P3,released,ines,CCCO,22\n"),
    );
    until_events(&lab, "low", "sent", 2).await;
    let told = got(&receiver, "ana");
    assert_eq!((told.len(), state(&told[0])), (1, "firing"));
    assert!(told[0].to_string().contains("P3") && !told[0].to_string().contains("PSECRET"));
    // It is well again for her alone.
    lab.update(
        "ada",
        &format!("UPDATE {REACTIONS} SET yield_pct = 90 WHERE reaction_id = 3"),
    )
    .await
    .unwrap();
    until_events(&lab, "low", "sent", 3).await;
    assert_eq!(state(&got(&receiver, "ana")[1]), "ok");
    until_state(&lab, "low", "firing").await;
    until_events(&lab, "low", "firing", 1).await;
    assert_eq!(got(&receiver, "sam").len(), 1);
}

#[tokio::test]
async fn what_waits_is_sent_under_the_rights_of_the_moment_it_leaves() {
    let receiver = Receiver::start();
    let lab = with_reactions(&receiver).await;
    receiver.set("down", true);
    lab.land(
        "chemistry/reactions/b.csv",
        format!("{HEADER}2,PSECRET,released,jon,CCN,11\n"),
    );
    let make = |name: &str| format!("CREATE ALERT {name} ON {REACTIONS} WHEN yield_pct < 40 NOTIFY sam, ana BY email");
    lab.update("sam", &make("low")).await.unwrap();
    until_state(&lab, "low", "firing").await;
    until_tried(&lab, 2).await;
    // No line of the policies changes: a tag closes a column of what she was to be told.
    lab.update(
        "ada",
        &format!("ALTER TABLE {REACTIONS} ALTER COLUMN plate_id SET TAGS (pii = true)"),
    )
    .await
    .unwrap();
    until_both_tried_again(&lab).await;
    receiver.set("down", false);
    until_events(&lab, "low", "sent", 2).await;
    let (sam, ana) = (got(&receiver, "sam"), got(&receiver, "ana"));
    assert!(sam[0].to_string().contains("PSECRET"), "{sam:#?}");
    assert_eq!(state(&ana[0]), "firing");
    assert!(!ana[0].to_string().contains("PSECRET"), "{ana:#?}");

    // And now the whole of it.
    receiver.set("down", true);
    lab.update("sam", &make("again")).await.unwrap();
    until_state(&lab, "again", "firing").await;
    let before = lab.log().matches("is tried again").count();
    until_tried(&lab, before + 2).await;
    lab.update("ada", &format!("ALTER TABLE {REACTIONS} SET TAGS (pii = true)"))
        .await
        .unwrap();
    until_both_tried_again(&lab).await;
    receiver.set("down", false);
    until_events(&lab, "again", "sent", 1).await;
    until_events(&lab, "again", "withheld", 1).await;
    assert_eq!(got(&receiver, "ana").len(), 1);
}

#[tokio::test]
async fn a_label_that_is_over_is_told_only_while_it_is_seen() {
    let receiver = Receiver::start();
    let lab = with_reactions(&receiver).await;
    lab.land(
        "chemistry/reactions/b.csv",
        format!("{HEADER}2,PSECRET,released,jon,CCN,11\n3,P3,released,jon,CCC,12\n"),
    );
    lab.until("ana", &format!("SELECT count(*) FROM {REACTIONS}"), shows("3"))
        .await;
    let make = format!("CREATE ALERT low ON {REACTIONS} WHEN min(yield_pct) < 40 BY plate_id NOTIFY sam, ana BY email");
    lab.update("sam", &make).await.unwrap();
    until_events(&lab, "low", "sent", 2).await;
    receiver.set("down", true);
    let change = |set: &str, which: &str| format!("UPDATE {REACTIONS} SET {set} WHERE {which}");
    lab.update("ada", &change("yield_pct = 90", "yield_pct < 40"))
        .await
        .unwrap();
    let waiting = "SELECT waiting FROM system.alerts WHERE alert_name = 'low'";
    lab.until("ada", waiting, shows("2")).await;
    // One of the two that are well again is hidden from her before she is told.
    lab.update("ada", &change("status = 'draft'", "plate_id = 'PSECRET'"))
        .await
        .unwrap();
    lab.update(
        "ada",
        &format!("ALTER TABLE {REACTIONS} ALTER COLUMN scaffold_smiles SET TAGS (pii = true)"),
    )
    .await
    .unwrap();
    until_both_tried_again(&lab).await;
    receiver.set("down", false);
    until_events(&lab, "low", "sent", 4).await;
    let (sam, ana) = (got(&receiver, "sam"), got(&receiver, "ana"));
    assert!(
        sam[1].to_string().contains("PSECRET") && sam[1].to_string().contains("P3"),
        "{sam:#?}"
    );
    assert_eq!(state(&ana[1]), "ok");
    assert!(
        ana[1].to_string().contains("P3") && !ana[1].to_string().contains("PSECRET"),
        "{ana:#?}"
    );
}

/// Statements that make sure of an alert go on working after a recipient has left, or sees less than before.
#[tokio::test]
async fn an_alert_that_is_there_is_not_refused_for_its_recipients() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    lab.update(
        "sam",
        &format!("CREATE ALERT low ON {RUNS} WHEN yield < 0 NOTIFY sam BY outbox"),
    )
    .await
    .unwrap();
    let report = "CREATE REPORT weekly CRON '0 7 * * 1' NOTIFY sam BY outbox AS SELECT run FROM lab.chemistry.runs";
    lab.update("sam", report).await.unwrap();
    for (sql, word) in [
        (
            format!("CREATE ALERT low ON {RUNS} WHEN yield < 0 NOTIFY nobody BY outbox"),
            "ALERT",
        ),
        (report.replace("NOTIFY sam", "NOTIFY nobody"), "REPORT"),
    ] {
        let error = lab.update("sam", &sql).await.unwrap_err();
        assert!(error.contains("NOTIFY nobody"), "{sql}: {error}");
        let sure = sql.replacen(word, &format!("{word} IF NOT EXISTS"), 1);
        lab.update("sam", &sure)
            .await
            .unwrap_or_else(|error| panic!("{sure}: {error}"));
        // One that is not there is.
        let absent = sure.replace(" low ", " other ").replace(" weekly ", " other ");
        let error = lab.update("sam", &absent).await.unwrap_err();
        assert!(error.contains("NOTIFY nobody"), "{absent}: {error}");
    }
}

#[tokio::test]
async fn a_recipient_whose_look_fails_is_told_as_soon_as_it_does_not() {
    let receiver = Receiver::start();
    let lab = lab_with(&receiver).await;
    lab.update(
        "ada",
        "CREATE TABLE lab.chemistry.lots AS SELECT CAST(run AS VARCHAR) AS lot FROM lab.chemistry.runs",
    )
    .await
    .unwrap();
    // What ana sees of it cannot be read as a number.
    let mask = "\n[mask.unread]\ncolumn = \"lab/chemistry/lots/lot\"\nkind = \"constant\"\nvalue = \"unread\"\n";
    let (filters, policy) = (
        lab.dir.join("policies/filters.toml"),
        lab.dir.join("policies/policy.csv"),
    );
    let text = std::fs::read_to_string(&filters).unwrap();
    std::fs::write(&filters, format!("{text}{mask}")).unwrap();
    let before = std::fs::read_to_string(&policy).unwrap();
    lab.policy("p3, role:lab_analyst, chemistry, lab/chemistry/lots/lot, unread");
    lab.until("ana", "SELECT max(lot) AS m FROM lab.chemistry.lots", shows("unread"))
        .await;
    let make = "CREATE ALERT high ON lab.chemistry.lots WHEN CAST(lot AS INT) > 2 NOTIFY sam, ana BY email";
    lab.update("sam", make).await.unwrap();
    until_events(&lab, "high", "sent", 1).await;
    assert!(got(&receiver, "ana").is_empty());
    std::fs::write(&policy, before).unwrap();
    until_events(&lab, "high", "sent", 2).await;
    assert_eq!(state(&got(&receiver, "ana")[0]), "firing");
    assert_eq!(got(&receiver, "sam").len(), 1);
}

/// A receiver that takes the connection and never answers holds up nobody else's messages.
#[tokio::test]
async fn one_receiver_that_does_not_answer_stalls_no_other() {
    let receiver = Receiver::start();
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = receiver
        .config("ca.pem")
        .replace("send_timeout_s = 1\n", "send_timeout_s = 600\n");
    let hole = format!(
        "[alerts.channels.hole]\nkind = \"slack\"\nurl = \"http://127.0.0.1:{}/\"\n",
        hole.local_addr().unwrap().port()
    );
    let lab = super::with_runs(lab::empty(|text| format!("{text}{config}{hole}"))).await;
    let make = |name: &str, to: &str| format!("CREATE ALERT {name} ON {RUNS} WHEN yield < 55 NOTIFY {to}");
    lab.update("sam", &make("both", "sam BY hole AND hook")).await.unwrap();
    until_events(&lab, "both", "sent", 1).await;
    lab.update("sam", &make("other", "sam BY hook")).await.unwrap();
    until_events(&lab, "other", "sent", 1).await;
    until_events(&lab, "both", "failed", 0).await;
    assert_eq!(posted(&receiver).len(), 2);
}

/// An analyst who may make alerts, under a filter that keeps the second reaction from her.
async fn with_author(receiver: &Receiver) -> Server {
    let lab = with_reactions(receiver).await;
    lab.policy("p, role:lab_analyst, chemistry, lab/chemistry/**, alert, allow");
    lab.policy("g, user:ana, role:alert_owner, system");
    lab.until("ana", "SELECT count(*) FROM system.alerts", shows("0")).await;
    lab.land(
        "chemistry/reactions/b.csv",
        format!("{HEADER}2,PSECRET,draft,jon,CCN,11\n"),
    );
    lab.until("sam", &format!("SELECT count(*) FROM {REACTIONS}"), shows("2"))
        .await;
    lab
}

#[tokio::test]
async fn an_author_does_not_learn_what_his_alert_tells_others() {
    let receiver = Receiver::start();
    let lab = with_author(&receiver).await;
    // The same question about a row that she does not see, and about one that nobody has.
    let make = |name: &str, limit: i64, clauses: &str| {
        format!("CREATE ALERT {name} ON {REACTIONS} WHEN yield_pct < {limit} {clauses} NOTIFY sam BY email")
    };
    receiver.set("down", true);
    for (name, limit, clauses) in [
        ("there", 40, ""),
        ("nowhere", -1, ""),
        ("there_later", 40, "FOR 2 SECONDS"),
        ("nowhere_later", -1, "FOR 2 SECONDS"),
    ] {
        lab.update("ana", &make(name, limit, clauses)).await.unwrap();
    }
    let waiting = |name: &str| format!("SELECT waiting FROM system.alerts WHERE alert_name = '{name}'");
    lab.until("ada", &waiting("there_later"), shows("1")).await;
    assert_eq!(lab.number("ada", &waiting("there")).await, 1);
    // All that she can read of them but for their names, their rules and the moments at which she made them.
    let told = |name: &str| {
        let lab = &lab;
        let alert = format!(
            "SELECT kind, owner, schedule, message, notify, state, firing, labels, reason, enabled, silent_until, waiting, looked_at = since AS one_look, created_at < looked_at AS looked FROM system.alerts WHERE alert_name = '{name}'"
        );
        let events = format!(
            "SELECT event, labels, recipient, channel, delivery IS NULL AS d, detail FROM system.alert_events WHERE alert_name = '{name}' ORDER BY at"
        );
        async move { (lab.text("ana", &alert).await, lab.text("ana", &events).await) }
    };
    assert_eq!(told("there").await, told("nowhere").await);
    assert_eq!(told("there_later").await, told("nowhere_later").await);
    receiver.set("down", false);
    for name in ["there", "there_later"] {
        until_events(&lab, name, "sent", 1).await;
    }
    let seen = told("there").await;
    assert_eq!(seen, told("nowhere").await);
    assert!(seen.0.contains("| ok ") && !seen.1.contains("sam"), "{seen:?}");
    assert_eq!(told("there_later").await, told("nowhere_later").await);
    assert_eq!(got(&receiver, "sam").len(), 2);
    // The recipient knows what he got, and nothing else of hers; an administrator knows all.
    let events = "SELECT alert_name, event, recipient FROM system.alert_events ORDER BY alert_name";
    let own = lab.text("sam", events).await;
    assert!(
        own.matches("sent").count() == 2 && !own.contains("created") && !own.contains("nowhere"),
        "{own}"
    );
    assert!(lab.text("ada", events).await.contains("nowhere"));
    assert_eq!(lab.number("sam", "SELECT count(*) FROM system.alerts").await, 0);
    assert!(lab.query("guest", events).await.is_err());
}

#[tokio::test]
async fn a_channel_that_many_read_says_what_the_author_sees() {
    let receiver = Receiver::start();
    let lab = with_author(&receiver).await;
    lab.update(
        "ana",
        &format!("CREATE ALERT low ON {REACTIONS} WHEN yield_pct < 90 NOTIFY sam BY team AND hook AND email"),
    )
    .await
    .unwrap();
    until_events(&lab, "low", "sent", 3).await;
    let report = format!(
        "CREATE REPORT all_of_it AS SELECT plate_id FROM {REACTIONS} EVERY 1 SECOND NOTIFY sam BY team AND email"
    );
    lab.update("ana", &report).await.unwrap();
    lab.until("sam", "SELECT 1 AS n", |_| {
        posted(&receiver).len() >= 3 && got(&receiver, "sam").len() >= 2
    })
    .await;
    lab.update("ana", "DROP REPORT all_of_it").await.unwrap();
    for post in posted(&receiver) {
        let text = post.to_string();
        assert!(text.contains("P1") && !text.contains("PSECRET"), "{text}");
    }
    // By himself he is told what he sees.
    for mail in got(&receiver, "sam") {
        assert!(mail.to_string().contains("PSECRET"), "{mail}");
    }
    let notify = "SELECT notify FROM system.alerts WHERE alert_name = 'low'";
    let told = lab.text("ana", notify).await;
    assert!(told.contains("ana by hook, ana by team, sam by email"), "{told}");
}

/// Whoever would never be told, because his name is mistyped, is refused at once; which logins there are strangers do not learn.
#[tokio::test]
async fn whom_nobody_could_tell_is_refused_and_who_is_there_is_not_said() {
    let receiver = Receiver::start();
    let lab = with_reactions(&receiver).await;
    let make = |to: &str| format!("CREATE ALERT low ON {REACTIONS} WHEN yield_pct < 40 NOTIFY {to} BY email");
    let report =
        |to: &str, query: &str| format!("CREATE REPORT chemistry.r AS {query} CRON '0 0 29 2 *' NOTIFY {to} BY email");
    // One who is not there, and one who is and sees nothing of it, are the same.
    for (there, absent) in [
        (make("guest"), make("nobody_here")),
        (make("sam, guest"), make("sam, nobody_here")),
        (report("guest", "SELECT 1 AS a"), report("nobody_here", "SELECT 1 AS a")),
    ] {
        let error = lab.update("sam", &there).await.unwrap_err();
        assert!(error.contains("not known, or does not see"), "{error}");
        let other = lab.update("sam", &absent).await.unwrap_err();
        assert_eq!(error.replace("guest", "X"), other.replace("nobody_here", "X"));
    }
    // Who may make no alert hears of that alone, whomever he names.
    let refused = lab.update("dee", &make("guest")).await.unwrap_err();
    assert!(refused.contains("may not alert"), "{refused}");
    assert_eq!(refused, lab.update("dee", &make("nobody_here")).await.unwrap_err());
    // An administrator is told who there is.
    let told = lab.update("ada", &make("nobody_here")).await.unwrap_err();
    assert!(
        told.contains("no such login") && told.contains("guest") && told.contains("sam"),
        "{told}"
    );
    let told = lab
        .update("sam", &make("sam").replace("BY email", "BY e_mail"))
        .await
        .unwrap_err();
    assert!(
        told.contains("there is no channel e_mail") && told.contains("outbox"),
        "{told}"
    );
    assert_eq!(lab.number("ada", "SELECT count(*) FROM system.alerts").await, 0);
    lab.update("sam", &make("sam, ana")).await.unwrap();
    lab.update("sam", &report("ana", "SELECT 1 AS a")).await.unwrap();
    lab.update("ada", &make("guest").replace("CREATE", "CREATE OR REPLACE"))
        .await
        .unwrap();
}
