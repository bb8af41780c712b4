//! From lines to claims. Every word is read or refused; what is refused says what was expected in its place.

use labhouse_policies::Action;

use super::{Assertion, Claim, Count, Look, Object};
use crate::query::statement::lake_name_from_text;
use labhouse_catalog::TableName;

/// A line that says nothing we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) line: usize,
    pub(crate) what: String,
    pub(crate) remedy: String,
}

type Refusal = (String, String);

const VERBS: &str = "write `NAME sees …`, `NAME does not see …`, `NAME may …` or `NAME may not …`";
const SEES: &str = "write `nothing`, `table T`, `columns a, b of T`, `only columns a, b of T`, or a number of rows: `1200 rows of T`, `no rows`, `all rows`, `at least 10 rows`, `at most 10 rows`";
const UNSEEN: &str = "write `anything`, `table T`, `column c of T` or `any row of T`";
const LOOKS: &str = "after the table may stand `masked`, `masked by NAME`, `in clear`, or nothing";
const OBJECTS: &str = "write a table (lab.chemistry.reactions), a function (fn/predict_yield) or a model (model/lab/chemistry/yield_model)";

/// Reads a file of assertions, or tells everything that is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Vec<Assertion>, Vec<Fault>> {
    let (mut assertions, mut faults) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match sentence(line) {
            Ok((who, claim)) => assertions.push(Assertion {
                line: number,
                text: line.to_owned(),
                who,
                claim,
            }),
            Err((what, remedy)) => faults.push(Fault {
                line: number,
                what,
                remedy,
            }),
        }
    }
    if faults.is_empty() { Ok(assertions) } else { Err(faults) }
}

/// The words of a line, one after the other; a comma is a word.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        if rest.starts_with(',') {
            return rest.get(..1);
        }
        let end = rest.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(rest.len());
        rest.get(..end).filter(|word| !word.is_empty())
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.rest = self.rest.trim_start().get(word.len()..).unwrap_or_default();
        Some(word)
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, word: &str, remedy: &str) -> Result<(), Refusal> {
        match self.next() {
            Some(found) if found == word => Ok(()),
            found => Err(unexpected(found, &format!("`{word}`"), remedy)),
        }
    }

    fn end(&mut self, remedy: &str) -> Result<(), Refusal> {
        match self.next() {
            None => Ok(()),
            found => Err(unexpected(found, "the end of the line", remedy)),
        }
    }
}

fn unexpected(found: Option<&str>, wanted: &str, remedy: &str) -> Refusal {
    let found = found.map_or("the line ends".to_owned(), |word| format!("`{word}` stands"));
    (format!("{found} where {wanted} was expected"), remedy.to_owned())
}

fn sentence(line: &str) -> Result<(String, Claim), Refusal> {
    let mut words = Words { rest: line };
    let who = words.next().unwrap_or_default();
    let login = who.chars().all(|c| c.is_ascii_alphanumeric() || "._-@".contains(c));
    if !login {
        return Err((
            format!("`{who}` is not a login"),
            "begin with the login alone, as in `ana sees …`; roles are tested through the people who hold them"
                .to_owned(),
        ));
    }
    let claim = match words.next() {
        Some("sees") => sees(&mut words)?,
        Some("does") => {
            words.expect("not", VERBS)?;
            words.expect("see", VERBS)?;
            does_not_see(&mut words)?
        }
        Some("may") => may(&mut words)?,
        found => return Err(unexpected(found, "what the person sees or may do", VERBS)),
    };
    Ok((who.to_owned(), claim))
}

fn sees(words: &mut Words<'_>) -> Result<Claim, Refusal> {
    match words.peek() {
        Some("nothing") => {
            words.next();
            words.end("`sees nothing` is the whole sentence")?;
            Ok(Claim::Nothing)
        }
        Some("table") => {
            words.next();
            let table = table(words)?;
            words.end("`sees table T` is the whole sentence")?;
            Ok(Claim::Table { table, seen: true })
        }
        Some("only") => {
            words.next();
            let (table, columns) = columns(words)?;
            words.end("`sees only columns a, b of T` is the whole sentence")?;
            Ok(Claim::Columns {
                table,
                columns,
                look: Look::Only,
            })
        }
        Some("column" | "columns") => {
            let (table, columns) = columns(words)?;
            let look = match words.next() {
                None => Look::Shown,
                Some("masked") if words.take("by") => match words.next() {
                    Some(mask) => Look::Masked(Some(mask.to_owned())),
                    None => return Err(unexpected(None, "the name of a mask", LOOKS)),
                },
                Some("masked") => Look::Masked(None),
                Some("in") => {
                    words.expect("clear", LOOKS)?;
                    Look::Clear
                }
                found => return Err(unexpected(found, "the end of the line", LOOKS)),
            };
            words.end(LOOKS)?;
            Ok(Claim::Columns { table, columns, look })
        }
        Some(_) => {
            let count = count(words)?;
            rows(words, count)
        }
        None => Err(unexpected(None, "what the person sees", SEES)),
    }
}

fn does_not_see(words: &mut Words<'_>) -> Result<Claim, Refusal> {
    match words.peek() {
        Some("anything") => {
            words.next();
            words.end("`does not see anything` is the whole sentence")?;
            Ok(Claim::Nothing)
        }
        Some("table") => {
            words.next();
            let table = table(words)?;
            words.end("`does not see table T` is the whole sentence")?;
            Ok(Claim::Table { table, seen: false })
        }
        Some("column" | "columns") => {
            let (table, columns) = columns(words)?;
            words.end("`does not see column c of T` is the whole sentence")?;
            Ok(Claim::Columns {
                table,
                columns,
                look: Look::Hidden,
            })
        }
        Some("any") => {
            words.next();
            rows(words, Count::Exactly(0))
        }
        found => Err(unexpected(found, "what the person does not see", UNSEEN)),
    }
}

fn count(words: &mut Words<'_>) -> Result<Count, Refusal> {
    let bound = match words.peek() {
        Some("no") => {
            words.next();
            return Ok(Count::Exactly(0));
        }
        Some("all") => {
            words.next();
            return Ok(Count::All);
        }
        Some("at") => {
            words.next();
            match words.next() {
                Some("least") => Count::AtLeast,
                Some("most") => Count::AtMost,
                found => return Err(unexpected(found, "`least` or `most`", SEES)),
            }
        }
        _ => Count::Exactly,
    };
    let word = words.next().unwrap_or_default();
    // 1_200 may be written for 1200.
    let digits = word.starts_with(|c: char| c.is_ascii_digit());
    match word.replace('_', "").parse::<u64>() {
        Ok(number) if digits => Ok(bound(number)),
        _ => Err((format!("`{word}` is not something one sees"), SEES.to_owned())),
    }
}

/// `rows of T [where CONDITION]`
fn rows(words: &mut Words<'_>, count: Count) -> Result<Claim, Refusal> {
    let remedy = "write `rows of T` or `rows of T where CONDITION`";
    match words.next() {
        Some("row" | "rows") => {}
        found => return Err(unexpected(found, "`rows`", remedy)),
    }
    words.expect("of", remedy)?;
    let table = table(words)?;
    let condition = match words.next() {
        None => None,
        Some(word) if word.eq_ignore_ascii_case("where") => {
            let condition = words.rest.trim();
            if condition.is_empty() {
                return Err(unexpected(None, "a condition", remedy));
            }
            Some(condition.to_owned())
        }
        found => return Err(unexpected(found, "`where` or the end of the line", remedy)),
    };
    Ok(Claim::Rows {
        table,
        count,
        condition,
    })
}

/// `column a of T`, `columns a, b of T`
fn columns(words: &mut Words<'_>) -> Result<(TableName, Vec<String>), Refusal> {
    let remedy = "write `columns a, b of lab.schema.table`";
    match words.next() {
        Some("column" | "columns") => {}
        found => return Err(unexpected(found, "`columns`", remedy)),
    }
    let mut columns = Vec::new();
    loop {
        match words.next() {
            Some(name) if name != "," && name != "of" => columns.push(name.to_owned()),
            found => return Err(unexpected(found, "the name of a column", remedy)),
        }
        match words.next() {
            Some(",") => {}
            Some("of") => return Ok((table(words)?, columns)),
            found => return Err(unexpected(found, "a comma or `of`", remedy)),
        }
    }
}

fn table(words: &mut Words<'_>) -> Result<TableName, Refusal> {
    let remedy = "write the table's full name: lab.schema.table";
    match words.next() {
        Some(name) => lake_name_from_text(name).map_err(|error| (error.to_string(), remedy.to_owned())),
        None => Err(unexpected(None, "a table", remedy)),
    }
}

fn may(words: &mut Words<'_>) -> Result<Claim, Refusal> {
    let allowed = !words.take("not");
    let word = words.next().unwrap_or_default();
    let action: Action = word
        .parse()
        .map_err(|error| (format!("{error}"), "write one of those words after `may`".to_owned()))?;
    // `insert into T`, `delete from T`, `create in T`: the words between are for the reader.
    for between in ["into", "from", "in", "on", "to"] {
        if words.take(between) {
            break;
        }
    }
    let object = object(words)?;
    words.end("one sentence names one object")?;
    let fits = match &object {
        Object::Table(_) => !matches!(action, Action::Execute | Action::Train),
        Object::Function { .. } => matches!(action, Action::Execute | Action::Train),
        Object::Model(_) => matches!(action, Action::Execute | Action::Train | Action::Drop),
    };
    match fits {
        true => Ok(Claim::May {
            action,
            object,
            allowed,
        }),
        false => Err((
            format!("{action} is nothing one does to that object"),
            "execute and train are for functions and models, drop for models and tables, all else for tables"
                .to_owned(),
        )),
    }
}

fn object(words: &mut Words<'_>) -> Result<Object, Refusal> {
    let word = words.next();
    let Some(text) = word else {
        return Err(unexpected(None, "an object", OBJECTS));
    };
    if let Some(name) = text.strip_prefix("fn/") {
        let model = match words.take("of") {
            true => Some(table(words)?),
            false => None,
        };
        return Ok(Object::Function {
            name: name.to_owned(),
            model,
        });
    }
    let named = |text: &str| lake_name_from_text(text).map_err(|error| (error.to_string(), OBJECTS.to_owned()));
    match text.strip_prefix("model/") {
        Some(path) => Ok(Object::Model(named(&path.replace('/', "."))?)),
        None => Ok(Object::Table(named(text)?)),
    }
}

#[cfg(test)]
mod tests;
