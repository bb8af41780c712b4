//! Time travel: `FROM t FOR VERSION AS OF 3`, `FROM t FOR TIMESTAMP AS OF '2026-03-01'`; the word FOR may be left out.
//!
//! The engine's parser does not know it, so the words are taken out of the text before it reads them, and the table's name
//! becomes one that no table can have: `"t@3"`. That name resolves to the older version for this one statement, under today's
//! policy, today's tags, and only with columns that the table still has.
//!
//! Changes: [`super::changed`] makes `table_changes('lab.s.t', 3, 5)` a query over two such names, of which each stands for
//! one version without the data files that both have.

use std::borrow::Cow;
use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::{Keyword, RESERVED_FOR_TABLE_ALIAS};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};
use labhouse_catalog::When;

use super::{QueryError, changed};

/// Older versions read by one statement: each means reading a log.
const STOPS_MAX: usize = 8;

/// A table at another time than now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stop {
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) when: Moment,
    /// Without the data files that it has at this moment.
    pub(crate) without: Option<Moment>,
    /// Whether the time of its commit is told.
    pub(crate) is_timed: bool,
}

/// A moment in a table's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    Now,
    Then(When),
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Then(When::Version(version)) => write!(f, "{version}"),
            Self::Then(When::Time(time)) => write!(f, "{}", time.timestamp_micros()),
        }
    }
}

impl Stop {
    /// The name under which a statement finds it.
    pub(crate) fn name(&self) -> String {
        match &self.without {
            None => format!("{}@{}", self.table, self.when),
            Some(without) => format!("{}@{}-{without}", self.table, self.when),
        }
    }
}

/// The text without its time travel, and the stops; the very same text when there is none.
pub(super) fn rewrite(sql: &str) -> Result<(Cow<'_, str>, BTreeSet<Stop>), QueryError> {
    let (mut stops, mut commits) = (BTreeSet::new(), BTreeSet::new());
    // No word, no tokens.
    if !travels(sql) && !contains_word(sql, changed::NAME) {
        return Ok((sql.into(), stops));
    }
    let Some(sources) = sources(sql) else {
        // The parser that comes next says what is wrong.
        return Ok((sql.into(), stops));
    };
    let (tokens, sources): (Vec<Token>, Vec<&str>) = sources.into_iter().unzip();
    let mut written = Written::default();
    let mut at = 0;
    while let (Some(rest @ [token, ..]), Some(source)) = (tokens.get(at..), sources.get(at)) {
        if let Some(changes) = changed::call(rest, &written.tokens)? {
            at += changes.tokens;
            written.put(Token::make_word(&changes.query(), None));
            if !is_named(tokens.get(at..).unwrap_or_default()) {
                written.put(Token::make_word(&format!(" AS {}", changed::NAME), None));
            }
            match changes.is_by_commit() {
                true if !commits.is_empty() => {
                    return Err(QueryError::Invalid(
                        "a statement may tell of the commits of one table, once; make a table of one of the answers"
                            .into(),
                    ));
                }
                true => commits.extend(changes.stops()),
                false => stops.extend(changes.stops()),
            }
            bounded(&stops)?;
            continue;
        }
        if let Some((clause, when)) = clause(rest, &written.tokens)? {
            let (stop, place) = stop(&written.tokens, when)?;
            written.cut(place);
            written.put(Token::make_word(&stop.name(), Some('"')));
            at += clause;
            if !is_named(tokens.get(at..).unwrap_or_default()) {
                written.put(Token::make_word(" AS ", None));
                written.put(Token::make_word(&stop.table, Some('"')));
            }
            stops.insert(stop);
            bounded(&stops)?;
            continue;
        }
        // What is not ours stays letter by letter: a token does not say how it was escaped.
        written.tokens.push(token.clone());
        written.texts.push((*source).into());
        at += 1;
    }
    stops.append(&mut commits);
    if stops.is_empty() {
        return Ok((sql.into(), stops));
    }
    Ok((written.texts.concat().into(), stops))
}

/// A text as it is written anew.
#[derive(Default)]
struct Written<'a> {
    tokens: Vec<Token>,
    /// Of each token what stands in the text.
    texts: Vec<Cow<'a, str>>,
}

impl Written<'_> {
    fn put(&mut self, token: Token) {
        self.texts.push(token.to_string().into());
        self.tokens.push(token);
    }

    fn cut(&mut self, length: usize) {
        self.tokens.truncate(length);
        self.texts.truncate(length);
    }
}

/// The tokens of a text, each with what stands for it there; none for a text that is none.
fn sources(sql: &str) -> Option<Vec<(Token, &str)>> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    let mut here = Location { line: 1, column: 1 };
    let (mut letters, mut offset) = (sql.chars(), 0);
    let mut starts = Vec::with_capacity(tokens.len());
    for token in &tokens {
        while here < token.span.start {
            let letter = letters.next()?;
            offset += letter.len_utf8();
            match letter {
                '\n' => here = Location::new(here.line + 1, 1),
                _ => here.column += 1,
            }
        }
        starts.push(offset);
    }
    // The tokens leave nothing out.
    let ends = starts.iter().skip(1).copied().chain([sql.len()]);
    let parts = starts.iter().zip(ends).map(|(start, end)| sql.get(*start..end));
    let parts = parts.collect::<Option<Vec<_>>>()?;
    let is_whole = starts.first() == Some(&0);
    is_whole.then(|| tokens.into_iter().map(|token| token.token).zip(parts).collect())
}

/// The text with blanks in place of its time travel: what is left can be read by the engine's parser, and stands where it
/// stood.
pub(crate) fn blanked(sql: &str) -> Cow<'_, str> {
    if !travels(sql) {
        return sql.into();
    }
    let Some(sources) = sources(sql) else {
        return sql.into();
    };
    let (tokens, sources): (Vec<Token>, Vec<&str>) = sources.into_iter().unzip();
    let mut blanked = String::with_capacity(sql.len());
    let mut at = 0;
    while let (Some((before, rest @ [_, ..])), Some(source)) = (tokens.split_at_checked(at), sources.get(at..)) {
        match clause(rest, before) {
            Ok(Some((length, _))) => {
                let letters = source.iter().take(length).flat_map(|part| part.chars());
                blanked.extend(letters.map(|letter| if letter == '\n' { letter } else { ' ' }));
                at += length;
            }
            Ok(None) | Err(_) => {
                blanked.extend(source.first().copied());
                at += 1;
            }
        }
    }
    blanked.into()
}

/// Whether a text may hold time travel: cheap for the many statements without.
fn travels(sql: &str) -> bool {
    contains_word(sql, "as") && (contains_word(sql, "version") || contains_word(sql, "timestamp"))
}

fn bounded(stops: &BTreeSet<Stop>) -> Result<(), QueryError> {
    if stops.len() > STOPS_MAX {
        return Err(QueryError::Invalid(format!(
            "a statement may look at {STOPS_MAX} older versions at most"
        )));
    }
    Ok(())
}

/// The number of tokens of `[FOR] VERSION|TIMESTAMP AS OF literal`, if that comes now.
fn clause(tokens: &[Token], before: &[Token]) -> Result<Option<(usize, When)>, QueryError> {
    // It stands behind a name: a column or alias called `version` does not.
    match before.iter().rev().find(|t| !is_space(t)) {
        // RESTORE TABLE … TO VERSION AS OF 3 is a statement of its own.
        Some(word) if is_word(word, "to") => return Ok(None),
        Some(Token::Word(_)) => {}
        _ => return Ok(None),
    }
    let meant: Vec<(usize, &Token)> = tokens
        .iter()
        .enumerate()
        .filter(|(_, t)| !is_space(t))
        .take(5)
        .collect();
    let meant: &[(usize, &Token)] = match meant.as_slice() {
        [(0, first), rest @ ..] if is_word(first, "for") => rest,
        [(0, _), ..] => meant.as_slice(),
        _ => return Ok(None),
    };
    let [(_, what), (_, of_as), (_, of), (end, value), ..] = meant else {
        return Ok(None);
    };
    if !(is_word(of_as, "as") && is_word(of, "of")) {
        return Ok(None);
    }
    let when = match (is_word(what, "version"), is_word(what, "timestamp"), value) {
        (true, _, Token::Number(number, _)) => number.parse().ok().map(When::Version),
        (_, true, Token::SingleQuotedString(text)) => moment(text).map(When::Time),
        (true, _, Token::SingleQuotedString(_) | Token::Minus) | (_, true, Token::Number(..) | Token::Minus) => None,
        // A column called so, with the alias `of`.
        _ => return Ok(None),
    };
    match when {
        Some(when) => Ok(Some((end + 1, when))),
        None => Err(QueryError::Syntax(format!(
            "`{value}` is no version and no time: write FOR VERSION AS OF 3 or FOR TIMESTAMP AS OF '2026-03-01T12:00:00Z'"
        ))),
    }
}

/// The table whose name was written last, and where its own part of the name stands.
fn stop(written: &[Token], when: When) -> Result<(Stop, usize), QueryError> {
    let mut parts: Vec<(String, usize)> = Vec::new();
    let mut dotted = true;
    for (at, token) in written.iter().enumerate().rev().filter(|(_, t)| !is_space(t)) {
        match token {
            Token::Word(word) if dotted => {
                let name = if word.quote_style.is_some() {
                    word.value.clone()
                } else {
                    word.value.to_lowercase()
                };
                parts.push((name, at));
                dotted = false;
            }
            Token::Period if !dotted => dotted = true,
            _ => break,
        }
    }
    match parts.as_slice() {
        [(table, at), (schema, _)] => Ok((table, schema, *at)),
        [(table, at), (schema, _), (catalog, _)] if catalog == super::statement::CATALOG => Ok((table, schema, *at)),
        _ => Err(QueryError::Syntax(
            "AS OF takes a table by its full name: FROM lab.chemistry.reactions FOR VERSION AS OF 3".into(),
        )),
    }
    .map(|(table, schema, at)| {
        let stop = Stop {
            schema: schema.clone(),
            table: table.clone(),
            when: Moment::Then(when),
            without: None,
            is_timed: false,
        };
        (stop, at)
    })
}

/// Whether the table gets a name of the statement's own.
fn is_named(rest: &[Token]) -> bool {
    match rest.iter().find(|token| !is_space(token)) {
        Some(Token::Word(word)) => {
            word.keyword == Keyword::AS
                || word.quote_style.is_some()
                || !RESERVED_FOR_TABLE_ALIAS.contains(&word.keyword)
        }
        _ => false,
    }
}

/// A date is its first moment; a time without a zone is UTC.
pub(super) fn moment(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.to_utc());
    }
    let plain = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let day = || Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN));
    plain.or_else(day).map(|at| at.and_utc())
}

pub(super) fn is_word(token: &Token, wanted: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

pub(super) fn is_space(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_))
}

fn contains_word(sql: &str, word: &str) -> bool {
    sql.as_bytes()
        .windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(sql: &str) -> String {
        rewrite(sql).unwrap().0.into_owned()
    }

    #[test]
    fn a_table_is_named_by_its_version_and_keeps_its_name() {
        for (given, wanted) in [
            (
                "SELECT t.a FROM lab.s.t FOR VERSION AS OF 3 WHERE t.a > 1",
                "SELECT t.a FROM lab.s.\"t@3\" AS \"t\" WHERE t.a > 1",
            ),
            (
                "select * from s.T version as of 12 AS old JOIN s.u AS new USING (id)",
                "select * from s.\"t@12\" AS old JOIN s.u AS new USING (id)",
            ),
            (
                "SELECT * FROM s.t VERSION AS OF 0 old, s.\"u\" FOR VERSION AS OF 1;",
                "SELECT * FROM s.\"t@0\" old, s.\"u@1\" AS \"u\";",
            ),
            (
                "SELECT * FROM (SELECT 1 FROM s.t FOR TIMESTAMP AS OF '2026-03-01') x",
                "SELECT * FROM (SELECT 1 FROM s.\"t@1772323200000000\" AS \"t\") x",
            ),
        ] {
            let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(squeezed(&text(given)), wanted, "{given}");
        }
    }

    #[test]
    fn other_uses_of_the_words_stay() {
        for sql in [
            "SELECT version AS of FROM s.t",
            "RESTORE TABLE lab.s.t TO VERSION AS OF 3",
            "SELECT 'x FOR VERSION AS OF 3' FROM s.t",
            "SELECT CAST(a AS timestamp) AS of FROM s.t -- VERSION AS OF 3",
            "SELECT \"version\" AS \"of\", timestamp '2026-01-01' AS x FROM s.t",
        ] {
            let (text, stops) = rewrite(sql).unwrap();
            assert!(text == sql && stops.is_empty(), "{sql}");
        }
    }

    #[test]
    fn everything_else_stays_letter_by_letter() {
        for (before, after) in [
            (
                "SELECT 'x'' OR ''1''=''1', E'a\\'b\\n', U&'\\0041''', \"a\"\"b\", $q$it's$q$ -- it's\n, 'é'\nFROM ",
                " WHERE t.a = 'it''s' /* ' */",
            ),
            ("SELECT ''' AS a, 99 AS n --' AS a FROM ", ""),
        ] {
            let sql = format!("{before}s.t FOR VERSION AS OF 3{after}");
            let written = text(&sql);
            let rest = written.strip_prefix(before).unwrap().strip_suffix(after).unwrap();
            assert_eq!(
                rest.split_whitespace().collect::<Vec<_>>().join(" "),
                "s.\"t@3\" AS \"t\""
            );
        }
    }

    #[test]
    fn times_and_names_that_are_none_are_refused() {
        let many: String = (0..9).map(|n| format!("s.t VERSION AS OF {n} AS t{n}, ")).collect();
        for sql in [
            "SELECT * FROM t FOR VERSION AS OF 3",
            "SELECT * FROM other.s.t FOR VERSION AS OF 3",
            "SELECT * FROM s.t FOR VERSION AS OF 'three'",
            "SELECT * FROM s.t FOR VERSION AS OF -1",
            "SELECT * FROM s.t FOR TIMESTAMP AS OF 'yesterday'",
            &format!("SELECT * FROM {many} s.u"),
        ] {
            assert!(rewrite(sql).is_err(), "{sql}");
        }
    }
}
