//! What a statement is: a closed list of what labhouse runs, read once at the door.
//!
//! Statements that the engine's parser knows go through it; the few of our own (`CREATE MODEL`, `SET TAGS`, …) are
//! read here on the same tokens. Whatever is in neither list is refused by name, never handed on.

pub(crate) mod alert;
mod history;

use std::collections::BTreeMap;

use datafusion::common::format::ExplainFormat;
use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{
    CreateTable, Ident, Insert, ObjectName, Query, SetExpr, Statement as Ast, TableObject, UnaryOperator, Value,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use labhouse_catalog::TableName;
use uuid::Uuid;

pub(crate) use alert::AlertStatement;

use super::QueryError;
use super::change::{self, Change};
use super::explain::ExplainPolicy;
use super::ignored::write as ignored;
use super::library::{self, LibraryStatement};
use super::quarantine::{self, QuarantineStatement};
use super::upkeep::{self, Upkeep};
use super::view::{self, ViewStatement};

/// The catalog that holds everything.
pub(crate) const CATALOG: &str = "lab";

/// The schema of tables named without one, where the engine looks for them too.
pub(crate) const PUBLIC: &str = "public";

/// A statement labhouse runs.
#[derive(Debug)]
pub(crate) enum Statement {
    /// Gives rows: SELECT, EXPLAIN, SHOW, DESCRIBE.
    Read(Box<EngineStatement>),
    /// `EXPLAIN POLICY …`, which gives rows too.
    ExplainPolicy(ExplainPolicy),
    CreateModel(CreateModel),
    DropModel {
        name: TableName,
        if_exists: bool,
    },
    CreateTableAs {
        name: TableName,
        query: Box<Query>,
        or_replace: bool,
        if_not_exists: bool,
    },
    Insert {
        name: TableName,
        columns: Vec<String>,
        query: Box<Query>,
    },
    SetModelVersion {
        name: TableName,
        version: u64,
    },
    SetModelFunction {
        name: TableName,
        function: String,
    },
    /// UPDATE, DELETE or MERGE.
    Change(Change),
    /// Care of a whole table.
    Upkeep(Upkeep),
    /// Materialized views.
    View(ViewStatement),
    /// Virtual libraries.
    Library(LibraryStatement),
    /// Alerts and reports.
    Alert(AlertStatement),
    /// What becomes of a file in quarantine.
    Quarantine(QuarantineStatement),
    /// `CANCEL QUERY 'id'`, the number being of `system.queries`.
    CancelQuery(Uuid),
    SetTags {
        table: TableName,
        column: Option<String>,
        tags: BTreeMap<String, String>,
    },
}

/// `CREATE [OR REPLACE] MODEL name OPTIONS (key = value, …) AS query`, or `… FROM 'file.onnx'`
#[derive(Debug)]
pub(crate) struct CreateModel {
    pub(crate) name: TableName,
    pub(crate) or_replace: bool,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) source: ModelSource,
}

/// What a model is made of.
#[derive(Debug)]
pub(crate) enum ModelSource {
    Query(Box<Query>),
    /// A file of the lake that holds a model trained elsewhere.
    File(String),
}

impl Statement {
    /// Reads exactly one statement.
    pub(crate) fn parse(sql: &str, state: &SessionState) -> Result<Self, QueryError> {
        if let Some(own) = parse_own(sql)? {
            return Ok(own);
        }
        let dialect = state.config().options().sql_parser.dialect;
        let parsed = state
            .sql_to_statement(sql, &dialect)
            .map_err(super::errors::from_datafusion)?;
        drawable(sql, &parsed)?;
        classify(parsed)
    }

    /// What it does, in one word.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Read(_) => "read",
            Self::ExplainPolicy(_) => "explain_policy",
            Self::CreateModel(_) => "create_model",
            Self::DropModel { .. } => "drop_model",
            Self::SetModelVersion { .. } => "set_model_version",
            Self::SetModelFunction { .. } => "set_model_function",
            Self::CreateTableAs { .. } => "create_table",
            Self::Insert { .. } => "insert",
            Self::Change(change) => change.verb(),
            Self::Upkeep(upkeep) => upkeep.verb(),
            Self::View(view) => view.verb(),
            Self::Library(library) => library.verb(),
            Self::Alert(alert) => alert.verb(),
            Self::Quarantine(quarantine) => quarantine.verb(),
            Self::CancelQuery(_) => "cancel_query",
            Self::SetTags { .. } => "set_tags",
        }
    }

    /// What it is to change.
    pub(crate) fn target(&self) -> Option<String> {
        let name = match self {
            Self::Read(_) | Self::ExplainPolicy(_) | Self::CancelQuery(_) => return None,
            Self::CreateModel(model) => &model.name,
            Self::DropModel { name, .. }
            | Self::SetModelVersion { name, .. }
            | Self::SetModelFunction { name, .. }
            | Self::CreateTableAs { name, .. }
            | Self::Insert { name, .. } => name,
            Self::Change(change) => &change.target,
            Self::Upkeep(upkeep) => &upkeep.table,
            Self::View(view) => view.name(),
            Self::Library(library) => library.name(),
            Self::Alert(alert) => return Some(format!("{}/{}", alert.name().kind, alert.name())),
            Self::Quarantine(quarantine) => return Some(quarantine.target()),
            Self::SetTags { table, .. } => table,
        };
        Some(format!("{CATALOG}.{name}"))
    }

    /// Whether it changes something.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::Read(_) | Self::ExplainPolicy(_) => false,
            Self::CreateModel(_)
            | Self::DropModel { .. }
            | Self::SetModelVersion { .. }
            | Self::SetModelFunction { .. }
            | Self::CreateTableAs { .. }
            | Self::Insert { .. }
            | Self::Change(_)
            | Self::Upkeep(_)
            | Self::View(_)
            | Self::Library(_)
            | Self::Alert(_)
            | Self::Quarantine(_)
            | Self::CancelQuery(_)
            | Self::SetTags { .. } => true,
        }
    }
}

/// A query as the engine's planner takes it.
pub(crate) fn as_engine_statement(query: Box<Query>) -> EngineStatement {
    EngineStatement::Statement(Box::new(Ast::Query(query)))
}

/// `schema.name` or `lab.schema.name`, in lower case unless quoted.
pub(crate) fn lake_name(name: &ObjectName) -> Result<TableName, QueryError> {
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(plain).collect();
    parse_name(&parts.iter().map(String::as_str).collect::<Vec<_>>(), &name.to_string())
}

/// The same for a table, which may be named without its schema: then it is in `public`.
pub(crate) fn table_name(name: &ObjectName) -> Result<TableName, QueryError> {
    match name.0.as_slice() {
        [only] => match only.as_ident() {
            Some(ident) => lake_name_of(PUBLIC, &plain(ident)),
            None => lake_name(name),
        },
        _ => lake_name(name),
    }
}

/// The same for a name given as text, as table functions take it.
pub(crate) fn lake_name_from_text(text: &str) -> Result<TableName, QueryError> {
    parse_name(&text.split('.').collect::<Vec<_>>(), text)
}

/// The same for a name that comes in parts.
pub(crate) fn lake_name_of(schema: &str, table: &str) -> Result<TableName, QueryError> {
    parse_name(&[schema, table], &format!("{schema}.{table}"))
}

fn parse_name(parts: &[&str], shown: &str) -> Result<TableName, QueryError> {
    let (schema, table) = match parts {
        [schema, table] => (schema, table),
        [catalog, schema, table] if *catalog == CATALOG => (schema, table),
        _ => {
            return Err(QueryError::Invalid(format!(
                "`{shown}` is not a full name: write {CATALOG}.<schema>.<name> or <schema>.<name>"
            )));
        }
    };
    for part in [schema, table] {
        if TableName::clean(part) != **part {
            return Err(QueryError::Invalid(format!(
                "`{part}` cannot be a name here: use a-z, 0-9 and _, starting with a letter, for example `{}`",
                TableName::clean(part)
            )));
        }
    }
    Ok(TableName {
        schema: (*schema).to_owned(),
        table: (*table).to_owned(),
    })
}

fn classify(parsed: EngineStatement) -> Result<Statement, QueryError> {
    match parsed {
        EngineStatement::Explain(explain) => match explain.statement.as_ref() {
            EngineStatement::Statement(inner) if matches!(inner.as_ref(), Ast::Query(_)) => {
                Ok(Statement::Read(Box::new(EngineStatement::Explain(explain))))
            }
            _ => Err(QueryError::Unsupported(
                "EXPLAIN takes a query: EXPLAIN SELECT …".into(),
            )),
        },
        EngineStatement::Statement(ast) => classify_ast(*ast),
        EngineStatement::CreateExternalTable(_) => Err(QueryError::Denied(
            "CREATE EXTERNAL TABLE is not allowed: drop files into landing/<schema>/<table>/ and they become a table"
                .into(),
        )),
        EngineStatement::CopyTo(_) => Err(QueryError::Denied(
            "COPY TO is not allowed: it would write outside the lake; fetch the result with your client".into(),
        )),
        EngineStatement::Reset(_) => Err(settings_refused()),
    }
}

fn classify_ast(ast: Ast) -> Result<Statement, QueryError> {
    match ast {
        Ast::Query(_)
        | Ast::ShowTables { .. }
        | Ast::ShowColumns { .. }
        | Ast::ShowVariable { .. }
        | Ast::ShowFunctions { .. }
        | Ast::ShowSchemas { .. }
        | Ast::ShowDatabases { .. }
        | Ast::ExplainTable { .. } => Ok(Statement::Read(Box::new(EngineStatement::Statement(Box::new(ast))))),
        Ast::Explain { ref statement, .. } if matches!(statement.as_ref(), Ast::Query(_)) => {
            Ok(Statement::Read(Box::new(EngineStatement::Statement(Box::new(ast)))))
        }
        Ast::CreateTable(table) => create_table(table),
        Ast::Insert(insert) => self::insert(insert),
        Ast::Delete(delete) => {
            ignored::delete(&delete);
            change::delete(delete).map(Statement::Change)
        }
        Ast::Update(update) => {
            ignored::update(&update);
            change::update(update).map(Statement::Change)
        }
        Ast::Merge(merge) => {
            ignored::merge(&merge)?;
            change::merge(merge).map(Statement::Change)
        }
        Ast::Set(_) => Err(settings_refused()),
        other => match upkeep::classify(other)? {
            Ok(upkeep) => Ok(Statement::Upkeep(upkeep)),
            Err(other) => Err(unknown(&other)),
        },
    }
}

/// The engine's drawing of plans cuts texts between bytes, and fails inside a letter beyond ASCII.
fn drawable(sql: &str, parsed: &EngineStatement) -> Result<(), QueryError> {
    let is_drawn =
        matches!(parsed, EngineStatement::Explain(explain) if explain.options.format == Some(ExplainFormat::Tree));
    if is_drawn && !sql.is_ascii() {
        return Err(QueryError::Unsupported(
            "EXPLAIN FORMAT TREE draws ASCII texts only, and the statement has other letters; write EXPLAIN FORMAT INDENT".into(),
        ));
    }
    Ok(())
}

fn unknown(ast: &Ast) -> QueryError {
    let text = ast.to_string();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    QueryError::Unsupported(format!(
        "labhouse does not run this statement ({}); it runs SELECT, EXPLAIN SELECT, EXPLAIN POLICY, SHOW, DESCRIBE, DESCRIBE HISTORY, CREATE TABLE, INSERT, UPDATE, DELETE, MERGE, DROP TABLE, UNDROP TABLE, COMMENT ON, OPTIMIZE, VACUUM, CREATE, REFRESH and DROP MATERIALIZED VIEW, CREATE and DROP VIRTUAL LIBRARY, CREATE MODEL, DROP MODEL, CREATE, ALTER and DROP ALERT or REPORT, RESTORE TABLE, RELEASE and IGNORE QUARANTINE, CANCEL QUERY and ALTER TABLE … SET TAGS",
        words.join(" ")
    ))
}

fn create_table(table: CreateTable) -> Result<Statement, QueryError> {
    if table.external || table.temporary {
        return Err(QueryError::Unsupported(
            "only plain tables of the lake can be created: CREATE TABLE lab.<schema>.<table> AS SELECT …".into(),
        ));
    }
    ignored::create_table(&table)?;
    let name = table_name(&table.name)?;
    match table.query {
        Some(query) => Ok(Statement::CreateTableAs {
            name,
            query,
            or_replace: table.or_replace,
            if_not_exists: table.if_not_exists,
        }),
        None if table.columns.is_empty() || !table.constraints.is_empty() => Err(QueryError::Unsupported(
            "CREATE TABLE takes AS SELECT … or (column type, …), without constraints".into(),
        )),
        None => Ok(Statement::CreateTableAs {
            name,
            query: upkeep::no_rows(&table.columns)?,
            or_replace: table.or_replace,
            if_not_exists: table.if_not_exists,
        }),
    }
}

pub(super) fn insert(insert: Insert) -> Result<Statement, QueryError> {
    let TableObject::TableName(table) = &insert.table else {
        return Err(QueryError::Unsupported("INSERT INTO takes the name of a table".into()));
    };
    ignored::insert(&insert)?;
    let Some(query) = insert.source else {
        return Err(QueryError::Invalid("INSERT INTO needs VALUES (…) or SELECT …".into()));
    };
    let columns = insert
        .columns
        .iter()
        .filter_map(|column| column.0.last()?.as_ident())
        .map(plain)
        .collect::<Vec<_>>();
    Ok(Statement::Insert {
        name: table_name(table)?,
        columns,
        query,
    })
}

fn settings_refused() -> QueryError {
    QueryError::Denied("settings are the administrator's: SET and RESET are not run here".into())
}

/// Our own statements; none when the text starts like one of the engine's.
fn parse_own(sql: &str) -> Result<Option<Statement>, QueryError> {
    let dialect = GenericDialect {};
    let mut parser = Parser::new(&dialect).try_with_sql(sql).map_err(syntax)?;
    if let Some(upkeep) = upkeep::parse(&mut parser)? {
        return Ok(Some(Statement::Upkeep(upkeep)));
    }
    if let Some(history) = history::parse(&mut parser)? {
        return Ok(Some(history));
    }
    if let Some(quarantine) = quarantine::parse(&mut parser)? {
        return Ok(Some(Statement::Quarantine(quarantine)));
    }
    if let Some(view) = view::refresh_now(&mut parser)? {
        return Ok(Some(Statement::View(view)));
    }
    let statement = if parser.parse_keyword(Keyword::CREATE) {
        let or_replace = parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]);
        if word(&mut parser, "model") {
            create_model(&mut parser, or_replace)?
        } else if word(&mut parser, "materialized") {
            Statement::View(view::create(&mut parser, or_replace)?)
        } else if word(&mut parser, "virtual") {
            Statement::Library(library::create(&mut parser, or_replace)?)
        } else if let Some(kind) = alert::kind(&mut parser) {
            Statement::Alert(alert::create(&mut parser, kind, or_replace)?)
        } else {
            return Ok(None);
        }
    } else if parser.parse_keyword(Keyword::DROP) {
        if word(&mut parser, "materialized") {
            Statement::View(view::drop(&mut parser)?)
        } else if word(&mut parser, "virtual") {
            Statement::Library(library::drop(&mut parser)?)
        } else if word(&mut parser, "model") {
            let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
            let name = lake_name(&parser.parse_object_name(false).map_err(syntax)?)?;
            Statement::DropModel { name, if_exists }
        } else if let Some(kind) = alert::kind(&mut parser) {
            Statement::Alert(alert::drop(&mut parser, kind)?)
        } else {
            return Ok(None);
        }
    } else if parser.parse_keyword(Keyword::ALTER) {
        if word(&mut parser, "model") {
            let statement = alter_model(&mut parser)?;
            end(&mut parser)?;
            return Ok(Some(statement));
        }
        if let Some(kind) = alert::kind(&mut parser) {
            let statement = Statement::Alert(alert::alter(&mut parser, kind)?);
            end(&mut parser)?;
            return Ok(Some(statement));
        }
        if !parser.parse_keyword(Keyword::TABLE) {
            return Ok(None);
        }
        match set_tags(&mut parser)? {
            Some(statement) => statement,
            None => return Ok(None),
        }
    } else if word(&mut parser, "cancel") {
        cancel_query(&mut parser)?
    } else if parser.parse_keyword(Keyword::EXPLAIN) {
        match ExplainPolicy::parse(&mut parser)? {
            Some(explain) => Statement::ExplainPolicy(explain),
            None => return Ok(None),
        }
    } else {
        return Ok(None);
    };
    end(&mut parser)?;
    Ok(Some(statement))
}

fn create_model(parser: &mut Parser<'_>, or_replace: bool) -> Result<Statement, QueryError> {
    let name = lake_name(&parser.parse_object_name(false).map_err(syntax)?)?;
    let options = if word(parser, "options") {
        key_values(parser)?
    } else {
        BTreeMap::new()
    };
    let source = if parser.parse_keyword(Keyword::FROM) {
        ModelSource::File(parser.parse_literal_string().map_err(syntax)?)
    } else {
        parser.expect_keyword(Keyword::AS).map_err(syntax)?;
        ModelSource::Query(question(parser)?)
    };
    Ok(Statement::CreateModel(CreateModel {
        name,
        or_replace,
        options,
        source,
    }))
}

/// `CANCEL QUERY 'id'`
fn cancel_query(parser: &mut Parser<'_>) -> Result<Statement, QueryError> {
    let id = if word(parser, "query") {
        parser
            .parse_literal_string()
            .ok()
            .and_then(|text| Uuid::parse_str(&text).ok())
    } else {
        None
    };
    id.map(Statement::CancelQuery).ok_or_else(|| {
        QueryError::Syntax("CANCEL QUERY 'id' cancels a running statement; lab.system.queries has its id".into())
    })
}

/// `ALTER MODEL name SET VERSION n` or `… SET FUNCTION 'f'`
fn alter_model(parser: &mut Parser<'_>) -> Result<Statement, QueryError> {
    let name = lake_name(&parser.parse_object_name(false).map_err(syntax)?)?;
    let sets = parser.parse_keyword(Keyword::SET);
    if sets && word(parser, "version") {
        let version = parser.parse_literal_uint().map_err(syntax)?;
        return Ok(Statement::SetModelVersion { name, version });
    }
    if sets && word(parser, "function") {
        let function = parser.parse_literal_string().map_err(syntax)?;
        return Ok(Statement::SetModelFunction { name, function });
    }
    Err(QueryError::Syntax(
        "ALTER MODEL name SET VERSION n brings an older version back, ALTER MODEL name SET FUNCTION 'f' makes f ask this model".into(),
    ))
}

/// `ALTER TABLE t [ALTER COLUMN c] SET TAGS (key = 'value', …)`
fn set_tags(parser: &mut Parser<'_>) -> Result<Option<Statement>, QueryError> {
    let table = parser.parse_object_name(false).map_err(syntax)?;
    let column = match parser.parse_keywords(&[Keyword::ALTER, Keyword::COLUMN]) {
        true => Some(plain(&parser.parse_identifier().map_err(syntax)?)),
        false => None,
    };
    if !(parser.parse_keyword(Keyword::SET) && word(parser, "tags")) {
        return Ok(None);
    }
    Ok(Some(Statement::SetTags {
        table: lake_name(&table)?,
        column,
        tags: key_values(parser)?,
    }))
}

/// `(key = 'text', key = 60, …)`
fn key_values(parser: &mut Parser<'_>) -> Result<BTreeMap<String, String>, QueryError> {
    parser.expect_token(&Token::LParen).map_err(syntax)?;
    let mut pairs = BTreeMap::new();
    while !parser.consume_token(&Token::RParen) {
        let key = plain(&parser.parse_identifier().map_err(syntax)?).to_lowercase();
        parser.expect_token(&Token::Eq).map_err(syntax)?;
        let negative = parser.consume_token(&Token::Minus);
        let value = match parser.parse_value().map_err(syntax)?.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text,
            Value::Number(number, _) if negative => format!("{}{number}", UnaryOperator::Minus),
            Value::Number(number, _) => number.to_string(),
            Value::Boolean(truth) => truth.to_string(),
            other => {
                return Err(QueryError::Syntax(format!(
                    "{key} = {other}: give a text, a number, true or false"
                )));
            }
        };
        if pairs.insert(key.clone(), value).is_some() {
            return Err(QueryError::Syntax(format!("{key} is given twice")));
        }
        if !parser.consume_token(&Token::Comma) && parser.peek_token().token != Token::RParen {
            return Err(QueryError::Syntax(format!(
                "after {key} a comma or a closing bracket is missing"
            )));
        }
    }
    Ok(pairs)
}

pub(super) fn end(parser: &mut Parser<'_>) -> Result<(), QueryError> {
    while parser.consume_token(&Token::SemiColon) {}
    match parser.peek_token().token {
        Token::EOF => Ok(()),
        other => Err(QueryError::Syntax(format!(
            "one statement at a time: `{other}` comes after its end"
        ))),
    }
}

/// A query that only reads: the parser takes `DELETE` and its like in the place of a SELECT, too.
pub(super) fn question(parser: &mut Parser<'_>) -> Result<Box<Query>, QueryError> {
    let query = parser.parse_query().map_err(syntax)?;
    match query.body.as_ref() {
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => Err(syntax(
            "here stands a query, SELECT …, and no statement that changes rows",
        )),
        SetExpr::Select(_)
        | SetExpr::Query(_)
        | SetExpr::SetOperation { .. }
        | SetExpr::Values(_)
        | SetExpr::Table(_) => Ok(query),
    }
}

pub(super) fn word(parser: &mut Parser<'_>, expected: &str) -> bool {
    let found = matches!(&parser.peek_token().token, Token::Word(word) if word.value.eq_ignore_ascii_case(expected));
    if found {
        parser.next_token();
    }
    found
}

pub(super) fn plain(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

pub(super) fn syntax(error: impl std::fmt::Display) -> QueryError {
    QueryError::Syntax(format!("the statement cannot be read: {error}"))
}

#[cfg(test)]
mod tests;
