//! `labhouse policy test`: a file of sentences that must hold, run by an administrator whenever the policies change.
//!
//! One sentence a line; `#` starts a comment line. Who sees what is counted on the data of now:
//!
//! ```text
//! ana sees 1200 rows of lab.chemistry.reactions            (no, all, N, at least N, at most N; … where CONDITION)
//! ana sees no row of lab.chemistry.reactions where status <> 'released'
//! ana sees columns well, yield_pct of lab.chemistry.reactions     (sees only columns …: these and no other)
//! ana sees column scaffold_smiles of lab.chemistry.reactions masked    (masked by NAME; in clear)
//! ana does not see column operator of lab.chemistry.reactions
//! sam sees table lab.chemistry.reactions                   (does not see table …)
//! sam may insert into lab.chemistry.reactions              (may not …; every action of policy.csv)
//! ana may execute fn/predict_yield                         (fn/top_recommendations of lab.chemistry.yield_model)
//! guest sees nothing
//! ```
//!
//! A CONDITION is SQL over the whole table, hidden rows and columns included. A sentence about a person, table, column or
//! function that does not exist fails, also one that says `not`: a misspelt name must not look like a closed door.

mod check;
mod parse;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use labhouse_catalog::TableName;
use labhouse_policies::{Action, PolicySet};
use serde_json::json;

use super::counting::Reader;
use super::telling::{rules_json, write_rules};
use super::{Lab, Trouble};
use check::{Checked, check};

/// Bytes of a file of assertions at most: some ten thousand sentences. More is not a test but a dump.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assertion {
    pub(crate) line: usize,
    /// As written.
    pub(crate) text: String,
    pub(crate) who: String,
    pub(crate) claim: Claim,
}

/// What a sentence claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    Nothing,
    Table {
        table: TableName,
        seen: bool,
    },
    Columns {
        table: TableName,
        columns: Vec<String>,
        look: Look,
    },
    Rows {
        table: TableName,
        count: Count,
        condition: Option<String>,
    },
    May {
        action: Action,
        object: Object,
        allowed: bool,
    },
}

/// How columns look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    /// They are there, masked or not.
    Shown,
    /// They are there and no others are.
    Only,
    Hidden,
    /// Masked, by the mask of that name if one is given.
    Masked(Option<String>),
    /// There and not masked.
    Clear,
}

/// How many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Exactly(u64),
    AtLeast(u64),
    AtMost(u64),
    All,
}

/// What an action is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Object {
    Table(TableName),
    /// `fn/NAME`, with the model it is asked of where one is named.
    Function {
        name: String,
        model: Option<TableName>,
    },
    Model(TableName),
}

/// Reads and checks a file; true when every sentence holds.
pub(crate) async fn run(
    lab: &Lab,
    policies: &Arc<PolicySet>,
    file: &Path,
    json: bool,
    out: &mut dyn Write,
) -> Result<bool, Trouble> {
    let assertions = read(file)?;
    let everything = lab.administrator();
    let reader = Reader {
        state: lab.session(&everything)?,
        view: everything,
    };
    let mut failed = 0_usize;
    for assertion in &assertions {
        let checked = match check(lab, policies, &reader, assertion).await {
            Ok(checked) => checked,
            Err(trouble) => Checked::not_asked(trouble.as_ref()),
        };
        failed += usize::from(!checked.holds);
        let place = format!("{}:{}", file.display(), assertion.line);
        if json {
            let told = json!({
                "file": file.display().to_string(), "line": assertion.line, "assertion": assertion.text,
                "holds": checked.holds, "expected": checked.expected, "actual": checked.actual,
                "rules": rules_json(&checked.rules),
            });
            writeln!(out, "{told}")?;
        } else if checked.holds {
            writeln!(out, "ok    {place}  {}", assertion.text)?;
        } else {
            writeln!(out, "FAIL  {place}  {}", assertion.text)?;
            writeln!(
                out,
                "      expected: {}\n      actual:   {}",
                checked.expected, checked.actual
            )?;
            write_rules(out, &checked.rules)?;
        }
    }
    if !json {
        let held = assertions.len() - failed;
        writeln!(out, "{held} of {} assertions hold", assertions.len())?;
    }
    Ok(failed == 0)
}

fn read(file: &Path) -> Result<Vec<Assertion>, Trouble> {
    let wrong = |what: String| format!("{}: {what}", file.display());
    let size = std::fs::metadata(file)
        .map_err(|error| {
            wrong(format!(
                "the file cannot be read: {error}; name an existing file of assertions"
            ))
        })?
        .len();
    if size > FILE_BYTES_MAX {
        return Err(wrong(format!(
            "the file has {size} bytes, more than {FILE_BYTES_MAX}; split it"
        ))
        .into());
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(format!("the file cannot be read: {error}")))?;
    let assertions = parse::parse(&text).map_err(|faults| {
        let told: Vec<String> = faults
            .iter()
            .map(|fault| format!("{}:{}: {}; {}", file.display(), fault.line, fault.what, fault.remedy))
            .collect();
        told.join("\n")
    })?;
    if assertions.is_empty() {
        return Err(wrong("there is no assertion in it; write one, such as `guest sees nothing`".to_owned()).into());
    }
    Ok(assertions)
}
