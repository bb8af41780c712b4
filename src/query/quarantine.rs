//! `RELEASE QUARANTINE 'path'` and `IGNORE QUARANTINE 'path'`: what becomes of a landed file that could not be loaded.
//!
//! It takes the grant `maintain` on the table that the file's path names, whether or not that table is there; for a file
//! that lies in a place without a meaning, on `lab/system/quarantine`. The grant is asked before the file is.

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use labhouse_catalog::{TableName, landing_table};
use labhouse_policies::Action;

use super::QueryError;
use super::statement::{CATALOG, end, syntax, word};
use super::write::{lake_error, require, reserved};
use crate::engine::Engine;
use crate::session::{Governed, table_path};
use crate::system::SYSTEM;

/// The table that lists the files.
const TABLE: &str = "quarantine";

/// What is to become of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QuarantineStatement {
    /// Below `landing/`.
    path: String,
    ignore: bool,
}

impl QuarantineStatement {
    /// What it does, in one word.
    pub(super) fn verb(&self) -> &'static str {
        if self.ignore {
            "ignore_quarantine"
        } else {
            "release_quarantine"
        }
    }

    /// What it is about.
    pub(super) fn target(&self) -> String {
        format!("landing/{}", self.path)
    }
}

/// Reads a statement that only this file knows; none when it is another one. Nothing is consumed then.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<QuarantineStatement>, QueryError> {
    let ignore = if word(parser, "release") {
        false
    } else if word(parser, "ignore") {
        true
    } else {
        return Ok(None);
    };
    let (true, Token::SingleQuotedString(path)) = (word(parser, TABLE), parser.next_token().token) else {
        return Err(syntax(
            "RELEASE QUARANTINE 'path' and IGNORE QUARANTINE 'path' take a file of lab.system.quarantine",
        ));
    };
    end(parser)?;
    let path = path.trim_start_matches('/').to_owned();
    Ok(Some(QuarantineStatement { path, ignore }))
}

impl Engine {
    /// Does it, for whoever holds the grant.
    pub(super) async fn quarantine(
        &self,
        governed: &Governed,
        statement: QuarantineStatement,
    ) -> Result<i64, QueryError> {
        match landing_table(&statement.path) {
            Some(name) => may_maintain(governed, &name)?,
            None => {
                let object = format!("{CATALOG}/{SYSTEM}/{TABLE}");
                require(governed, SYSTEM, &object, &Default::default(), Action::Maintain)?;
            }
        }
        governed.decided().await?;
        let path = &statement.path;
        match statement.ignore {
            true => self.crawler.ignore(path, &governed.who().name).await,
            false => self.crawler.release(path).await,
        }
        .map_err(lake_error)?;
        Ok(1)
    }
}

fn may_maintain(governed: &Governed, name: &TableName) -> Result<(), QueryError> {
    reserved(name)?;
    let object = governed
        .world()
        .catalog
        .table(&name.schema, &name.table)
        .map(|table| governed.world().object(table));
    let (department, tags) = match object {
        Some(object) => (object.department, object.tags),
        None => (name.schema.clone(), Default::default()),
    };
    require(governed, &department, &table_path(name), &tags, Action::Maintain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::GenericDialect;

    #[test]
    fn whole_statements_are_read_and_half_ones_are_not() {
        let read = |sql: &str| parse(&mut Parser::new(&GenericDialect {}).try_with_sql(sql).unwrap());
        let released = read("release quarantine 'a/b.csv';").unwrap().unwrap();
        assert_eq!(
            (released.verb(), released.target()),
            ("release_quarantine", "landing/a/b.csv".into())
        );
        assert!(read("IGNORE QUARANTINE '/a/b.csv'").unwrap().unwrap().ignore);
        assert_eq!(read("SELECT 1").unwrap(), None);
        for bad in ["RELEASE 'a'", "IGNORE QUARANTINE a", "RELEASE QUARANTINE 'a' 'b'"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
