//! Bare names of tables, put into the schema that a session has chosen: what `USE` or a search path does elsewhere.
//!
//! Only text is inserted, before the names of tables that have one part; everything else of a statement stays as it was
//! written, byte for byte, and walks the same road as if its author had named the schema. Names that the statement gives
//! itself (WITH) are left alone where they can be seen, table functions everywhere, and so are the statements of our own,
//! which name their schema.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, ObjectNamePart, ObjectType, Query, Statement, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Location;

use crate::query::travel;

/// Puts the bare names of a statement's tables into `schema`. What cannot be read is given back as it is: running it says
/// what is wrong.
pub(super) fn in_schema(sql: &str, schema: &str) -> String {
    // The parser does not know our time travel; without its words everything else stands where it stood.
    let readable = travel::blanked(sql);
    let Ok(statements) = Parser::parse_sql(&GenericDialect {}, &readable) else {
        return sql.to_owned();
    };
    let mut names = Names::default();
    for statement in &statements {
        let _ = Visit::visit(statement, &mut names);
    }
    inserted(sql, &names.bare, &format!("\"{schema}\"."))
}

/// Where the bare names in a statement begin that it does not give itself.
#[derive(Default)]
struct Names {
    bare: BTreeSet<(u64, u64)>,
    /// The queries around, the innermost last.
    queries: Vec<Within>,
}

/// A query whose parts are being visited.
struct Within {
    /// The names of WITH that can be seen there.
    own: BTreeSet<String>,
    /// Names of WITH whose queries come next, the next one last.
    coming: Vec<Coming>,
}

struct Coming {
    name: String,
    query: *const Query,
    /// Whether it sees itself.
    recursive: bool,
}

impl Names {
    fn add(&mut self, name: &ObjectName) {
        if let [ObjectNamePart::Identifier(Ident { value, span, .. })] = name.0.as_slice() {
            let name = value.to_lowercase();
            if !self.queries.iter().any(|query| query.own.contains(&name)) {
                self.bare.insert((span.start.line, span.start.column));
            }
        }
    }

    /// A function was taken for a table when its name was visited.
    fn remove(&mut self, name: &ObjectName) {
        if let [ObjectNamePart::Identifier(Ident { span, .. })] = name.0.as_slice() {
            self.bare.remove(&(span.start.line, span.start.column));
        }
    }

    /// The name that WITH gives this query, when its turn has come; it can be seen from now on.
    fn named(&mut self, query: &Query, is_recursive: bool) {
        let Some(around) = self.queries.last_mut() else { return };
        let is_next = |next: &mut Coming| std::ptr::eq(next.query, query) && next.recursive == is_recursive;
        if let Some(Coming { name, .. }) = around.coming.pop_if(is_next) {
            around.own.insert(name);
        }
    }
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.named(query, true);
        let with = query.with.iter().flat_map(|with| {
            let parts = with.cte_tables.iter().rev();
            parts.map(move |part| Coming {
                name: part.alias.name.value.to_lowercase(),
                query: part.query.as_ref(),
                recursive: with.recursive,
            })
        });
        self.queries.push(Within {
            own: BTreeSet::new(),
            coming: with.collect(),
        });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.queries.pop();
        self.named(query, false);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        self.add(name);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table {
            name, args: Some(_), ..
        } = factor
        {
            self.remove(name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        // The only names that are not visited as relations.
        if let Statement::Drop {
            object_type: ObjectType::Table,
            names,
            ..
        } = statement
        {
            names.iter().for_each(|name| self.add(name));
        }
        ControlFlow::Continue(())
    }
}

/// The text with `word` at places given in lines and columns, which count characters from 1.
fn inserted(sql: &str, places: &BTreeSet<(u64, u64)>, word: &str) -> String {
    let mut out = String::with_capacity(sql.len() + places.len() * word.len());
    let mut at = Location { line: 1, column: 1 };
    for character in sql.chars() {
        if places.contains(&(at.line, at.column)) {
            out.push_str(word);
        }
        out.push(character);
        if character == '\n' {
            at = Location {
                line: at.line + 1,
                column: 1,
            };
        } else {
            at.column += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(sql: &str) -> String {
        in_schema(sql, "chemistry").replace("\"chemistry\".", "@")
    }

    #[test]
    fn bare_names_get_the_schema_wherever_a_table_stands() {
        for (sql, wanted) in [
            ("SELECT a FROM reactions r", "SELECT a FROM @reactions r"),
            (
                "SELECT *\nFROM \"reactions\", assay.runs -- 'ü' reactions\n JOIN lots ON true",
                "SELECT *\nFROM @\"reactions\", assay.runs -- 'ü' reactions\n JOIN @lots ON true",
            ),
            (
                "SELECT 'é', (SELECT max(x) FROM t) FROM u WHERE y IN (SELECT z FROM lab.a.v)",
                "SELECT 'é', (SELECT max(x) FROM @t) FROM @u WHERE y IN (SELECT z FROM lab.a.v)",
            ),
            ("INSERT INTO t (a) VALUES (?)", "INSERT INTO @t (a) VALUES (?)"),
            ("INSERT INTO t SELECT * FROM u", "INSERT INTO @t SELECT * FROM @u"),
            ("CREATE TABLE t AS SELECT 1 AS n", "CREATE TABLE @t AS SELECT 1 AS n"),
            ("CREATE TABLE t (id INT)", "CREATE TABLE @t (id INT)"),
            ("UPDATE t SET a = 1", "UPDATE @t SET a = 1"),
            ("DELETE FROM t WHERE a = $1", "DELETE FROM @t WHERE a = $1"),
            (
                "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
                "MERGE INTO @t USING @u ON t.a = u.a WHEN MATCHED THEN DELETE",
            ),
            ("DROP TABLE IF EXISTS t", "DROP TABLE IF EXISTS @t"),
            ("EXPLAIN SELECT 1 FROM t", "EXPLAIN SELECT 1 FROM @t"),
            ("DESCRIBE t", "DESCRIBE @t"),
            // A part of WITH sees those before it, and itself only when it is recursive.
            (
                "WITH t AS (SELECT * FROM t) SELECT * FROM t",
                "WITH t AS (SELECT * FROM @t) SELECT * FROM t",
            ),
            (
                "WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a JOIN b ON true) SELECT * FROM b, a, c",
                "WITH a AS (SELECT * FROM @b), b AS (SELECT * FROM a JOIN @b ON true) SELECT * FROM b, a, @c",
            ),
            (
                "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t, u WHERE n < 9) SELECT * FROM t",
                "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t, @u WHERE n < 9) SELECT * FROM t",
            ),
            (
                "SELECT * FROM (WITH t AS (SELECT 1 AS a) SELECT * FROM t) x JOIN t ON true",
                "SELECT * FROM (WITH t AS (SELECT 1 AS a) SELECT * FROM t) x JOIN @t ON true",
            ),
            (
                "WITH t AS (WITH u AS (SELECT * FROM t) SELECT * FROM u) SELECT * FROM t, u",
                "WITH t AS (WITH u AS (SELECT * FROM @t) SELECT * FROM u) SELECT * FROM t, @u",
            ),
            (
                "INSERT INTO t WITH u AS (SELECT * FROM t) SELECT * FROM u",
                "INSERT INTO @t WITH u AS (SELECT * FROM @t) SELECT * FROM u",
            ),
            // Time travel, which the parser does not know.
            (
                "SELECT 'é' FROM t FOR VERSION AS OF 0\nJOIN u TIMESTAMP AS OF '2026-01-01' AS x ON true JOIN v ON true",
                "SELECT 'é' FROM @t FOR VERSION AS OF 0\nJOIN @u TIMESTAMP AS OF '2026-01-01' AS x ON true JOIN @v ON true",
            ),
        ] {
            assert_eq!(put(sql), wanted);
        }
    }

    #[test]
    fn own_names_functions_and_full_names_are_left_alone() {
        for sql in [
            "WITH t AS (SELECT 1 AS a) SELECT T.a FROM T",
            "SELECT * FROM forecast('lab.a.b', 'day', 'x', 3)",
            "SELECT * FROM generate_series(1, 3) AS g(v)",
            "SELECT * FROM a.b JOIN lab.c.d ON true",
            "SELECT 'FROM t' AS \"FROM t\"",
            "SELECT 1",
            "CREATE MODEL m OPTIONS (target = 'x') AS SELECT 1",
            "nonsense FROM t",
            "",
        ] {
            assert_eq!(put(sql), sql);
        }
    }
}
