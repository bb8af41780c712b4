//! What a decision costs at 10² to 10⁵ rules, beside Casbin's plain enforcer on the same rules.
//!
//! `cargo run --release -p labhouse-policies --example decisions`. Two shapes of policy: a thousand roles of which a person
//! holds five, and one role with every rule. *First* is the first question about an object after load, *warm* the same
//! question again.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints, and ends when its own policy is wrong"
)]

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use labhouse_policies::{Action, PolicyFiles, PolicySet, Principal, Tags, default_files};

const ROLES: usize = 1_000;
/// Objects asked about: enough for a mean, few enough to stay remembered.
const OBJECTS: usize = 1_000;
const ROUNDS: u32 = 200;

fn main() {
    println!(
        "{:>9} {:>12} {:>10} {:>12} {:>12} {:>12} {:>14} {:>16}",
        "rules", "shape", "load", "first", "warm", "Casbin", "Casbin ÷ first", "Casbin ÷ warm"
    );
    for rules in [100, 1_000, 10_000, 100_000] {
        for (shape, roles) in [("many roles", ROLES), ("one role", 1)] {
            measure(rules, roles, shape);
        }
    }
}

fn measure(rules: usize, roles: usize, shape: &str) {
    let model = default_files()
        .iter()
        .find(|(name, _)| *name == "model.conf")
        .expect("shipped");
    let files = PolicyFiles {
        model: model.1.to_owned(),
        policy: policy(rules, roles),
        ..PolicyFiles::default()
    };
    let started = Instant::now();
    let set = PolicySet::from_files(&files, 1).expect("the policy is right");
    let load = started.elapsed();
    let (who, tags) = (
        Principal::new("ana"),
        Tags::from([("sensitivity".to_owned(), "public".to_owned())]),
    );
    let objects: Vec<String> = (0..OBJECTS)
        .map(|n| format!("lab/chem/t{}/c", n * rules / OBJECTS))
        .collect();
    let ask = |object: &String| black_box(set.decide(&who, "chem", object, &tags, Action::Select).allowed);
    // The roles of a person are looked up once; that is part of the first question.
    let first = mean(1, &objects, &ask);
    let warm = mean(ROUNDS, &objects, &ask);
    let started = Instant::now();
    let mut asked = 0;
    for object in objects.iter().step_by(OBJECTS / 10) {
        let theirs = set
            .ask_casbin(&who, "chem", object, &tags, Action::Select)
            .expect("Casbin answers");
        assert_eq!(theirs, ask(object), "{object}");
        asked += 1;
        if started.elapsed() > Duration::from_secs(3) {
            break;
        }
    }
    let casbin = started.elapsed() / asked;
    let ratio = |ours: Duration| casbin.as_secs_f64() / ours.as_secs_f64();
    println!(
        "{rules:>9} {shape:>12} {:>10} {:>12} {:>12} {:>12} {:>14.0} {:>16.0}",
        format!("{load:.1?}"),
        format!("{first:.2?}"),
        format!("{warm:.2?}"),
        format!("{casbin:.2?}"),
        ratio(first),
        ratio(warm)
    );
}

fn mean(rounds: u32, objects: &[String], ask: &impl Fn(&String) -> bool) -> Duration {
    let started = Instant::now();
    for _ in 0..rounds {
        objects.iter().for_each(|object| {
            ask(object);
        });
    }
    started.elapsed() / rounds / u32::try_from(objects.len()).unwrap_or(1)
}

/// Grants and denials by name, by pattern and by tag, as administrators mix them.
fn policy(rules: usize, roles: usize) -> String {
    let mut text = String::new();
    for role in (0..roles).step_by(roles.div_ceil(5)) {
        let _ = writeln!(text, "g, user:ana, role:r{role}, chem");
    }
    for n in 0..rules {
        let role = n % roles;
        let _ = match n % 10 {
            0 => writeln!(text, "p, role:r{role}, chem, lab/*/t{n}/**, select, allow"),
            1 => writeln!(text, "p, role:r{role}, chem, lab/chem/t{n}/secret_*, select, deny"),
            2 => writeln!(
                text,
                "p, role:r{role}, chem, tag:project=p{n} & sensitivity=public, select, allow"
            ),
            _ => writeln!(text, "p, role:r{role}, chem, lab/chem/t{n}/c, select|insert, allow"),
        };
    }
    text
}
