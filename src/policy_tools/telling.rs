//! Facts as lines for people and as JSON for programs.

use std::io::{self, Write};

use labhouse_policies::{Fact, RuleRef, Verdict};
use serde_json::{Value, json};

/// `policy.csv:12  p, role:…` for each rule, indented below what it decided.
pub(super) fn write_rules(out: &mut dyn Write, rules: &[RuleRef]) -> io::Result<()> {
    for rule in rules {
        writeln!(out, "      {}:{}  {}", rule.file, rule.line, rule.text)?;
    }
    Ok(())
}

/// A fact as a line; what is simply shown has its rules at the end of the line, all else below it.
pub(super) fn write_fact(out: &mut dyn Write, fact: &Fact) -> io::Result<()> {
    let by = fact.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    write!(out, "  {:<8} {}{by}", fact.verdict.as_str(), fact.object)?;
    if fact.verdict == Verdict::Shown && fact.by.is_none() {
        let places: Vec<String> = fact
            .rules
            .iter()
            .map(|rule| format!("{}:{}", rule.file, rule.line))
            .collect();
        return writeln!(out, ": {} {}", fact.why, places.join(", "));
    }
    writeln!(out, ": {}", fact.why)?;
    write_rules(out, &fact.rules)
}

pub(super) fn rule_json(rule: &RuleRef) -> Value {
    json!({"file": rule.file, "line": rule.line, "text": rule.text})
}

pub(super) fn rules_json(rules: &[RuleRef]) -> Value {
    rules.iter().map(rule_json).collect()
}

pub(super) fn fact_json(fact: &Fact) -> Value {
    json!({
        "object": fact.object,
        "verdict": fact.verdict.as_str(),
        "by": fact.by,
        "why": fact.why,
        "rules": rules_json(&fact.rules),
    })
}
