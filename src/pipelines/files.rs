//! A view as a file: SQL under a head of comments, with parameters, so that another lab's view is a copy of three lines.
//!
//! ```sql
//! -- view: lab.{{site}}.daily_yield
//! -- owner: sam
//! -- refresh: on change
//! -- parameter: site = chemistry
//! -- expect: NOT NULL day, UNIQUE (day)
//! SELECT CAST(run_at AS DATE) AS day, count(*) AS wells FROM lab.{{site}}.reactions GROUP BY 1
//! ```
//! and beside it, for another lab:
//! ```sql
//! -- like: daily_yield
//! -- parameter: site = south
//! ```
//! A parameter's value is a word, a number or a text in quotes, and is put where `{{name}}` stands just as it is written: it is one
//! name or one literal, and cannot become more. What comes of a file is a statement like any other, run as its owner.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use labhouse_catalog::TableName;

use crate::query::QueryError;
use crate::query::view::ViewStatement;

/// What the head of a file may say.
const KEYS: &str = "view, owner, refresh, via, parameter, expect and like";
const REFRESH: &str = "on change";

/// A view that a file defines.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) view: TableName,
    pub(super) owner: String,
    /// `CREATE OR REPLACE MATERIALIZED VIEW …`
    pub(super) sql: String,
    /// The same, read.
    pub(super) statement: ViewStatement,
}

/// The head and body of a file as they are written.
#[derive(Debug, Default, Clone)]
struct Head {
    view: Option<String>,
    owner: Option<String>,
    refresh: Option<String>,
    via: Option<String>,
    parameters: BTreeMap<String, String>,
    expected: Vec<String>,
    like: Option<String>,
    sql: String,
}

/// Reads the file `name`, whose text may go on from another one's of `texts`.
///
/// # Errors
/// What is wrong with it, and where.
pub(super) fn read(name: &str, texts: &BTreeMap<String, String>) -> Result<Pipeline, String> {
    let own = head(texts.get(name).ok_or("the file is not there any more")?)?;
    let head = match &own.like {
        None => own,
        Some(like) => copied(own.clone(), like, texts)?,
    };
    let view = head
        .view
        .as_deref()
        .ok_or("its head names no view: -- view: lab.<schema>.<name>")?;
    let owner = head.owner.clone().ok_or("its head names no owner: -- owner: <login>")?;
    if head.sql.trim().is_empty() {
        return Err("it has no query below its head".into());
    }
    let mut unused: Vec<&str> = head.parameters.keys().map(String::as_str).collect();
    let mut fill = |text: &str| filled(text, &head.parameters, &mut unused);
    let (view, refresh) = (fill(view)?, fill(head.refresh.as_deref().unwrap_or(REFRESH))?);
    let expected = fill(&head.expected.join(", "))?;
    let sql = fill(head.sql.trim())?;
    if let Some(unused) = unused.first() {
        return Err(format!(
            "the parameter {unused} is used nowhere: write {{{{{unused}}}}} where it belongs"
        ));
    }
    let expected = match expected.is_empty() {
        true => String::new(),
        false => format!(" EXPECT ({expected})"),
    };
    let via = match &head.via {
        None => String::new(),
        Some(step) => format!(" VIA {step}"),
    };
    let rest = format!("VIEW {view} REFRESH {refresh}{via}{expected} AS\n{sql}");
    let statement = statement(&rest).map_err(|error| error.to_string())?;
    Ok(Pipeline {
        view: statement.name().clone(),
        owner,
        sql: format!("CREATE OR REPLACE MATERIALIZED {rest}"),
        statement,
    })
}

fn statement(rest: &str) -> Result<ViewStatement, QueryError> {
    let parser = Parser::new(&GenericDialect {}).try_with_sql(rest);
    let mut parser = parser.map_err(|error| QueryError::Syntax(error.to_string()))?;
    ViewStatement::created(&mut parser)
}

/// The lines of comments at the beginning, and the rest.
fn head(text: &str) -> Result<Head, String> {
    let mut head = Head::default();
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let mut rest = Vec::new();
    for (at, line) in lines.by_ref() {
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        let Some(comment) = line.strip_prefix("--") else {
            rest.push(line);
            break;
        };
        // What is no word and a colon is a comment.
        let said = comment.split_once(':').filter(|(key, _)| !key.trim().contains(' '));
        if let Some((key, value)) = said {
            entry(&mut head, key.trim(), value.trim()).map_err(|problem| format!("line {}: {problem}", at + 1))?;
        }
    }
    rest.extend(lines.map(|(_, line)| line));
    head.sql = rest.join("\n");
    Ok(head)
}

fn entry(head: &mut Head, key: &str, value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err(format!("{key} says nothing"));
    }
    let once = |place: &mut Option<String>| match place.replace(value.to_owned()) {
        None => Ok(()),
        Some(_) => Err(format!("{key} stands there twice")),
    };
    match key {
        "view" => once(&mut head.view),
        "owner" => once(&mut head.owner),
        "refresh" => once(&mut head.refresh),
        "via" => once(&mut head.via),
        "like" => once(&mut head.like),
        "expect" => {
            head.expected.push(value.to_owned());
            Ok(())
        }
        "parameter" => {
            let (name, value) = value.split_once('=').ok_or("write -- parameter: name = value")?;
            let (name, value) = (name.trim(), value.trim());
            if !is_word(name) {
                return Err(format!("`{name}` cannot be a parameter: use a-z, 0-9 and _"));
            }
            if !(is_word(value) || is_number(value) || is_text(value)) {
                return Err(format!(
                    "the value of {name} is a word of a-z, 0-9 and _, a number, or a text in single quotes"
                ));
            }
            match head.parameters.insert(name.to_owned(), value.to_owned()) {
                None => Ok(()),
                Some(_) => Err(format!("the parameter {name} stands there twice")),
            }
        }
        _ => Err(format!("`{key}` is unknown here: a head has {KEYS}")),
    }
}

/// A file that goes on from another one: that one's, with parameters, owner and time of its own.
fn copied(own: Head, like: &str, texts: &BTreeMap<String, String>) -> Result<Head, String> {
    if own.view.is_some() || own.via.is_some() || !own.expected.is_empty() || !own.sql.trim().is_empty() {
        return Err("a copy has parameters, owner and refresh of its own; view, expect and query are those of the file it is like".into());
    }
    let text = texts
        .get(like)
        .ok_or_else(|| format!("like: there is no file {like}.sql beside it"))?;
    let mut copy = head(text).map_err(|problem| format!("{like}.sql: {problem}"))?;
    if copy.like.is_some() {
        return Err(format!("{like}.sql is a copy itself: name the file that it is like"));
    }
    for (name, value) in own.parameters {
        if copy.parameters.insert(name.clone(), value).is_none() {
            return Err(format!("{like}.sql has no parameter {name}"));
        }
    }
    copy.owner = own.owner.or(copy.owner);
    copy.refresh = own.refresh.or(copy.refresh);
    Ok(copy)
}

/// The text with each `{{name}}` replaced by what it stands for.
fn filled(text: &str, parameters: &BTreeMap<String, String>, unused: &mut Vec<&str>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or("`{{` is not closed by `}}`")?;
        let name = name.trim();
        let value = parameters
            .get(name)
            .ok_or_else(|| format!("{{{{{name}}}}} is no parameter: write -- parameter: {name} = … in the head"))?;
        unused.retain(|unused| *unused != name);
        out.push_str(before);
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn is_word(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let parts: Vec<&str> = digits.splitn(2, '.').collect();
    parts
        .iter()
        .all(|part| !part.is_empty() && part.chars().all(|digit| digit.is_ascii_digit()))
}

/// `'…'` with every quote in it doubled.
fn is_text(text: &str) -> bool {
    let inside = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    inside.is_some_and(|inside| !inside.replace("''", "").contains(['\'', '\\', '\n']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAILY: &str = "-- what the lab makes: each day\n-- view: lab.{{site}}.daily\n-- owner: sam\n-- parameter: site = chemistry\n-- parameter: least = 5\n-- parameter: word = 'it''s'\n-- expect: NOT NULL day\n-- expect: UNIQUE (day)\n\nSELECT day, count(*) AS n -- a comment\nFROM lab.{{site}}.runs WHERE n > {{least}} AND w = {{ word }} GROUP BY 1;\n";

    fn one(files: &[(&str, &str)], name: &str) -> Result<Pipeline, String> {
        let texts = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        read(name, &texts.collect())
    }

    #[test]
    fn a_file_is_a_view_and_a_copy_differs_in_its_parameters() {
        let files = [
            ("daily", DAILY),
            (
                "south",
                "-- like: daily\n-- owner: ada\n-- refresh: every 10 minutes\n-- parameter: site = south\n",
            ),
        ];
        let daily = one(&files, "daily").unwrap();
        assert_eq!(
            (daily.view.to_string().as_str(), daily.owner.as_str()),
            ("chemistry.daily", "sam")
        );
        for part in [
            "lab.chemistry.runs",
            "n > 5",
            "w = 'it''s'",
            "EXPECT (NOT NULL day, UNIQUE (day))",
            "REFRESH on change",
        ] {
            assert!(daily.sql.contains(part), "{part}: {}", daily.sql);
        }
        let south = one(&files, "south").unwrap();
        assert_eq!(
            (south.view.to_string().as_str(), south.owner.as_str()),
            ("south.daily", "ada")
        );
        assert!(
            south.sql.contains("lab.south.runs") && south.sql.contains("every 10 minutes"),
            "{}",
            south.sql
        );
    }

    #[test]
    fn what_is_wrong_is_said_and_no_value_becomes_sql() {
        let with = |more: &str, sql: &str| format!("-- view: lab.s.v\n-- owner: sam\n{more}{sql}\n");
        for (text, says) in [
            (with("", ""), "no query"),
            (with("-- speed: 9\n", "SELECT 1"), "line 3: `speed` is unknown"),
            (with("-- view: lab.s.w\n", "SELECT 1"), "twice"),
            (with("-- owner:\n", "SELECT 1"), "says nothing"),
            (with("-- parameter: a = 1\n", "SELECT 1"), "used nowhere"),
            (with("", "SELECT {{a}}"), "is no parameter"),
            (with("", "SELECT {{a"), "not closed"),
            (with("-- parameter: a = x; DROP TABLE y\n", "SELECT {{a}}"), "a word"),
            (with("-- parameter: a = 'x' OR '1'\n", "SELECT {{a}}"), "a word"),
            (with("-- parameter: a = 'x''\n", "SELECT {{a}}"), "a word"),
            (with("-- parameter: a = --\n", "SELECT {{a}}"), "a word"),
            (with("-- refresh: often\n", "SELECT 1"), "after REFRESH"),
            (with("", "SELECT 1; SELECT 2"), "one statement"),
            (with("", "DELETE FROM lab.s.t"), "here stands a query"),
            (with("-- expect: NOT day\n", "SELECT 1"), "cannot be read"),
            ("SELECT 1".to_owned(), "names no view"),
            ("-- view: v\n-- owner: a\nSELECT 1".to_owned(), "not a full name"),
            ("-- like: other\n".to_owned(), "no file other.sql"),
            ("-- like: a\n".to_owned(), "is a copy itself"),
            ("-- like: daily\nSELECT 1".to_owned(), "a copy has"),
            (
                "-- like: daily\n-- parameter: speed = 1\n".to_owned(),
                "has no parameter speed",
            ),
        ] {
            let error = one(&[("a", &text), ("daily", DAILY)], "a").unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
