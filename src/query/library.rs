//! `CREATE [OR REPLACE] VIRTUAL LIBRARY name FROM part CROSS part … [EXCLUDING part]` and `DROP VIRTUAL LIBRARY name`.
//!
//! A part is the name of a table or a query in parentheses. The library's columns are those of its parts, one after the other; its rows are all
//! combinations of their rows, without those that agree with a row of `EXCLUDING` in the columns that it gives.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use labhouse_catalog::TableName;

use super::printed::printed;
use super::statement::{as_engine_statement, lake_name, question, syntax, word};
use super::write::Source;
use super::{QueryError, errors, logical, scans, tags};
use crate::engine::Engine;
use crate::session::{COMBINATIONS_MAX, Governed, LIBRARY, Library, LibraryPart, LibrarySource};

/// Parts of one library: more than a reaction has components and conditions.
const PARTS_MAX: usize = 16;

/// What is to be done with a library.
#[derive(Debug)]
pub(crate) enum LibraryStatement {
    Create {
        name: TableName,
        or_replace: bool,
        if_not_exists: bool,
        parts: Vec<Query>,
        excluding: Option<Box<Query>>,
    },
    Drop {
        name: TableName,
        if_exists: bool,
    },
}

impl LibraryStatement {
    /// What it does, in one word.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create_library",
            Self::Drop { .. } => "drop_library",
        }
    }

    /// The library it is about.
    pub(super) fn name(&self) -> &TableName {
        match self {
            Self::Create { name, .. } | Self::Drop { name, .. } => name,
        }
    }
}

/// What follows `CREATE [OR REPLACE] VIRTUAL`.
pub(super) fn create(parser: &mut Parser<'_>, or_replace: bool) -> Result<LibraryStatement, QueryError> {
    library(parser)?;
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = lake_name(&parser.parse_object_name(false).map_err(syntax)?)?;
    parser.expect_keyword(Keyword::FROM).map_err(syntax)?;
    let mut parts = vec![*part(parser)?];
    while word(parser, "cross") {
        let _optional = parser.parse_keyword(Keyword::JOIN);
        parts.push(*part(parser)?);
    }
    if parts.len() > PARTS_MAX {
        return Err(QueryError::Invalid(format!(
            "a virtual library has at most {PARTS_MAX} parts; put what belongs together into one query"
        )));
    }
    let excluding = match word(parser, "excluding") {
        true => Some(part(parser)?),
        false => None,
    };
    Ok(LibraryStatement::Create {
        name,
        or_replace,
        if_not_exists,
        parts,
        excluding,
    })
}

/// What follows `DROP VIRTUAL`.
pub(super) fn drop(parser: &mut Parser<'_>) -> Result<LibraryStatement, QueryError> {
    library(parser)?;
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let name = lake_name(&parser.parse_object_name(false).map_err(syntax)?)?;
    Ok(LibraryStatement::Drop { name, if_exists })
}

fn library(parser: &mut Parser<'_>) -> Result<(), QueryError> {
    match word(parser, "library") {
        true => Ok(()),
        false => Err(QueryError::Syntax(
            "after VIRTUAL comes LIBRARY: CREATE VIRTUAL LIBRARY lab.<schema>.<name> FROM (SELECT …) CROSS (SELECT …)"
                .into(),
        )),
    }
}

/// `(SELECT …)`, or the name of a table for all of its columns.
fn part(parser: &mut Parser<'_>) -> Result<Box<Query>, QueryError> {
    if parser.consume_token(&Token::LParen) {
        let query = question(parser)?;
        parser.expect_token(&Token::RParen).map_err(syntax)?;
        return Ok(query);
    }
    let name = lake_name(&parser.parse_object_name(false).map_err(syntax)?)?;
    let sql = format!("SELECT * FROM \"{}\".\"{}\"", name.schema, name.table);
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(&sql).map_err(syntax)?;
    parser.parse_query().map_err(syntax)
}

/// A part that was read once, as the library's author.
struct Tried {
    part: LibraryPart,
    source: Source,
    reads: Vec<LibrarySource>,
}

impl Engine {
    /// Does what a statement asks of a library; for one that is made, the number of its combinations.
    pub(super) async fn library(
        self: &Arc<Self>,
        governed: &Arc<Governed>,
        statement: LibraryStatement,
    ) -> Result<i64, QueryError> {
        match statement {
            LibraryStatement::Create {
                name,
                or_replace,
                if_not_exists,
                parts,
                excluding,
            } => {
                if !self.may_create(governed, &name, or_replace, if_not_exists)? {
                    return Ok(0);
                }
                let table = governed.world().catalog.table(&name.schema, &name.table);
                if table.is_some_and(|table| Library::of(table).is_none()) {
                    return Err(QueryError::Conflict(format!(
                        "{name} is a table with rows of its own; drop it first, or choose another name"
                    )));
                }
                self.make_library(governed, &name, parts, excluding).await
            }
            LibraryStatement::Drop { name, if_exists } => {
                let seen = governed.access(&name.schema, &name.table);
                let seen = seen.map_err(errors::from_datafusion)?.is_some();
                let table = governed.world().catalog.table(&name.schema, &name.table);
                match table.filter(|table| seen && Library::of(table).is_some()) {
                    Some(_) => self.drop_table(governed, name).await,
                    None if if_exists => Ok(0),
                    None => Err(QueryError::NotFound(format!("virtual library 'lab.{name}' not found"))),
                }
            }
        }
    }

    async fn make_library(
        self: &Arc<Self>,
        governed: &Arc<Governed>,
        name: &TableName,
        parts: Vec<Query>,
        excluding: Option<Box<Query>>,
    ) -> Result<i64, QueryError> {
        let mut tried = Vec::with_capacity(parts.len());
        for part in parts {
            tried.push(self.try_part(governed, name, Box::new(part)).await?);
        }
        let mut fields: Vec<FieldRef> = Vec::new();
        for field in tried.iter().flat_map(|tried| tried.source.schema.fields()) {
            if fields.iter().any(|known| known.name() == field.name()) {
                return Err(QueryError::Invalid(format!(
                    "two parts of the library give a column {}: rename one with AS, or leave it out",
                    field.name()
                )));
            }
            fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
        }
        let schema = Arc::new(Schema::new(fields));
        let rows = |tried: &Tried| {
            tried
                .source
                .batches
                .iter()
                .map(|batch| batch.num_rows() as u64)
                .sum::<u64>()
        };
        let combinations = tried.iter().map(rows).fold(1_u64, u64::saturating_mul);
        if combinations > COMBINATIONS_MAX {
            return Err(QueryError::Exhausted(format!(
                "the library would have {combinations} combinations, at most {COMBINATIONS_MAX} can be made: make its parts smaller"
            )));
        }
        let excluding = match excluding {
            Some(query) => Some(self.try_part(governed, name, query).await?),
            None => None,
        };
        let left_out = excluding.iter().flat_map(|tried| tried.source.schema.fields());
        for field in left_out {
            if schema.column_with_name(field.name()).is_none() {
                return Err(QueryError::Invalid(format!(
                    "EXCLUDING gives a column {}, which no part of the library has",
                    field.name()
                )));
            }
        }
        // Texts that stand in the statement are of no table and have no tags to keep.
        let of_tables = tried.iter().chain(&excluding).filter(|tried| !tried.reads.is_empty());
        let tags = tags::merge(of_tables.map(|tried| &tried.source.tags));
        let sources = merged(tried.iter().chain(&excluding).flat_map(|tried| &tried.reads));
        let library = Library {
            parts: tried.into_iter().map(|tried| tried.part).collect(),
            excluding: excluding.map(|tried| tried.part),
            sources,
        };
        let text = serde_json::to_string(&library).map_err(QueryError::internal)?;
        let property = [(LIBRARY.to_owned(), text)].into();
        self.fill(governed, name, schema, Vec::new(), &tags, property, None)
            .await?;
        i64::try_from(combinations).map_err(QueryError::internal)
    }

    /// Runs a part as the library's author, in the session that reading will have.
    async fn try_part(
        self: &Arc<Self>,
        governed: &Arc<Governed>,
        library: &TableName,
        query: Box<Query>,
    ) -> Result<Tried, QueryError> {
        let state = Arc::new(governed.plain_session());
        let (view, planned, asked) = (Arc::clone(governed), Arc::clone(&state), query.clone());
        let name = library.clone();
        let reads = self
            .planning(
                governed,
                move || async move { reads(&view, &planned, asked, &name).await },
            )
            .await?;
        let sql = printed(query.as_ref());
        let source = self.source(governed, state, query, Vec::new()).await?;
        let columns = source
            .schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        Ok(Tried {
            part: LibraryPart { sql, columns },
            source,
            reads,
        })
    }
}

/// The tables that a part reads, and what it uses of each.
async fn reads(
    governed: &Governed,
    state: &SessionState,
    query: Box<Query>,
    library: &TableName,
) -> Result<Vec<LibrarySource>, QueryError> {
    let plan = logical(state, as_engine_statement(query)).await?;
    let plan = state.optimize(&plan).map_err(errors::from_datafusion)?;
    let (mut reads, mut refused) = (Vec::new(), None);
    plan.apply_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else {
            return Ok(TreeNodeRecursion::Continue);
        };
        let scans::Of::Table(schema, table) = scans::of(scan) else {
            // A function of the engine, such as generate_series, or the query itself.
            return Ok(TreeNodeRecursion::Continue);
        };
        let of_lake = governed.world().catalog.table(schema, table);
        if of_lake.is_none_or(|of| Library::of(of).is_some() || of.name() == library) {
            refused = Some(format!("{schema}.{table}"));
        }
        let mut columns: BTreeSet<String> = scan
            .projected_schema
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .collect();
        for filter in &scan.filters {
            columns.extend(filter.column_refs().into_iter().map(|column| column.name.clone()));
        }
        reads.push(LibrarySource {
            schema: schema.to_owned(),
            table: table.to_owned(),
            columns,
        });
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(errors::from_datafusion)?;
    match refused {
        Some(table) => Err(QueryError::Invalid(format!(
            "a virtual library is made of tables of the lake, and {table} is none: it is a library or the server's own"
        ))),
        None => Ok(reads),
    }
}

/// Each table once, with all that is used of it.
fn merged<'a>(reads: impl Iterator<Item = &'a LibrarySource>) -> Vec<LibrarySource> {
    let mut sources: Vec<LibrarySource> = Vec::new();
    for read in reads {
        let same = sources
            .iter_mut()
            .find(|known| known.schema == read.schema && known.table == read.table);
        match same {
            Some(known) => known.columns.extend(read.columns.iter().cloned()),
            None => sources.push(read.clone()),
        }
    }
    sources
}
