//! PostgreSQL's patterns of `to_char`, `to_date` and `to_timestamp`, put into the engine's.
//!
//! The engine takes `%Y-%m-%d`, and what it does not know for letters that stand for themselves: a pattern in PostgreSQL's words
//! would be the answer. So each is put into its words, or refused. One that has a `%` is the engine's already.

use datafusion::sql::sqlparser::ast::Expr;

use super::functions::{literal, parsed};

/// Why a call is refused.
pub(super) const REFUSED: &str = "to_char, to_date and to_timestamp take patterns of YYYY, YY, MM, Mon, DD, DDD, IYYY, IW, HH24, HH12, MI, SS, MS, US, AM, Dy, FMDay and FMMonth here, written as a text; numbers are written by CAST(… AS TEXT) and round(…)";

/// Words of PostgreSQL's patterns, the longer ones first, and the engine's; whether only these letters mean it when texts are
/// made.
const WORDS: [(&str, &str, bool); 19] = [
    ("FMMonth", "%B", true),
    ("FMDay", "%A", true),
    ("IYYY", "%G", false),
    ("YYYY", "%Y", false),
    ("HH24", "%H", false),
    ("HH12", "%I", false),
    ("DDD", "%j", false),
    ("Mon", "%b", true),
    ("YY", "%y", false),
    ("MM", "%m", false),
    ("DD", "%d", false),
    ("HH", "%I", false),
    ("MI", "%M", false),
    ("SS", "%S", false),
    ("MS", "%3f", false),
    ("US", "%6f", false),
    ("IW", "%V", false),
    ("Dy", "%a", true),
    ("AM", "%p", true),
];

/// What stands for a call with a pattern; none when there is no pattern in PostgreSQL's words.
pub(super) fn call(name: &str, arguments: &[Expr]) -> Option<Expr> {
    let [value, pattern] = arguments else { return None };
    let pattern = literal(pattern).filter(|pattern| !pattern.contains('%'))?;
    let quoted = |text: &str| text.replace('\'', "''");
    match name {
        "to_char" => {
            let pattern = quoted(&put(&pattern, true)?);
            parsed(&format!("to_char({value}, '{pattern}')"))
        }
        "to_date" => {
            let pattern = quoted(&put(&pattern, false)?);
            parsed(&format!("to_date(CAST({value} AS TEXT), '{pattern}')"))
        }
        "to_timestamp" => {
            let put = put(&pattern, false)?;
            // The engine wants a time of the day.
            let rest = match (put.contains("%H") || put.contains("%I"), put.contains("%M")) {
                (false, false) => Some((" 00:00", " %H:%M")),
                (true, false) => Some((":00", ":%M")),
                (true, true) => None,
                (false, true) => return None,
            };
            let put = quoted(&put);
            match rest {
                None => parsed(&format!("to_timestamp(CAST({value} AS TEXT), '{put}')")),
                Some((time, of_time)) => parsed(&format!(
                    "to_timestamp(CAST({value} AS TEXT) || '{time}', '{put}{of_time}')"
                )),
            }
        }
        _ => None,
    }
}

/// Whether a call has a pattern that nobody here reads.
pub(super) fn is_refused(name: &str, arguments: &[Expr]) -> bool {
    if !["to_char", "to_date", "to_timestamp"].contains(&name) {
        return false;
    }
    let [_, pattern] = arguments else { return false };
    match literal(pattern) {
        Some(pattern) if pattern.contains('%') => false,
        Some(_) => call(name, arguments).is_none(),
        None => true,
    }
}

/// A pattern in the engine's words.
fn put(pattern: &str, makes_text: bool) -> Option<String> {
    let (mut put, mut rest) = (String::with_capacity(pattern.len()), pattern);
    while let Some(letter) = rest.chars().next() {
        let found = WORDS.iter().find(|(word, _, is_exact)| {
            rest.get(..word.len())
                .is_some_and(|start| match *is_exact && makes_text {
                    true => start == *word,
                    false => start.eq_ignore_ascii_case(word),
                })
        });
        if let Some((word, ours, _)) = found {
            // A fraction of a second may be shorter than its pattern when it is read.
            match (makes_text, *word) {
                (false, "MS" | "US") if put.ends_with('.') => {
                    put.pop();
                    put.push_str("%.f");
                }
                (false, "MS" | "US") => return None,
                _ => put.push_str(ours),
            }
            rest = rest.get(word.len()..)?;
            continue;
        }
        if letter == '"' {
            let (inside, after) = rest.get(1..)?.split_once('"')?;
            put.push_str(inside);
            rest = after;
            continue;
        }
        // Letters and digits are words that are not known here; other signs stand for themselves.
        if letter.is_alphanumeric() || letter == '\\' {
            // `T` between a date and a time is written by many without quotes.
            if letter != 'T' || put.is_empty() {
                return None;
            }
        }
        put.push(letter);
        rest = rest.get(letter.len_utf8()..)?;
    }
    Some(put)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sql: &str) -> Option<String> {
        let Some(Expr::Function(function)) = parsed(sql) else {
            panic!("{sql}")
        };
        let arguments = super::super::functions::arguments(&function);
        call(&function.name.to_string(), &arguments).map(|put| put.to_string())
    }

    #[test]
    fn patterns_are_put_and_those_that_nobody_reads_are_refused() {
        for (sql, wanted) in [
            ("to_char(d, 'YYYY-MM')", "to_char(d, '%Y-%m')"),
            (
                "to_char(d, 'FMDay, DD Mon YYYY HH12:MI AM')",
                "to_char(d, '%A, %d %b %Y %I:%M %p')",
            ),
            ("to_char(d, 'HH24\"h\"')", "to_char(d, '%Hh')"),
            ("to_date(t, 'dd.mm.yyyy')", "to_date(CAST(t AS TEXT), '%d.%m.%Y')"),
            (
                "to_timestamp('x', 'YYYY-MM-DD HH24:MI:SS.US')",
                "to_timestamp(CAST('x' AS TEXT), '%Y-%m-%d %H:%M:%S%.f')",
            ),
            (
                "to_timestamp(t, 'YYYY-MM-DD')",
                "to_timestamp(CAST(t AS TEXT) || ' 00:00', '%Y-%m-%d %H:%M')",
            ),
        ] {
            assert_eq!(of(sql).as_deref(), Some(wanted), "{sql}");
        }
        for (name, sql) in [
            ("to_char", "to_char(d, 'Month')"),
            ("to_char", "to_char(d, 'MON')"),
            ("to_char", "to_char(1.5, '999D9')"),
            ("to_char", "to_char(d, p)"),
            ("to_date", "to_date(t, 'J')"),
            ("to_timestamp", "to_timestamp(t, 'YYYY-MM-DD TZ')"),
        ] {
            let Some(Expr::Function(function)) = parsed(sql) else {
                panic!("{sql}")
            };
            let arguments = super::super::functions::arguments(&function);
            assert!(
                call(name, &arguments).is_none() && is_refused(name, &arguments),
                "{sql}"
            );
        }
        let Some(Expr::Function(function)) = parsed("to_char(d, '%Y')") else {
            panic!()
        };
        assert!(!is_refused("to_char", &super::super::functions::arguments(&function)));
    }
}
