//! Statements about whole tables: `DROP`/`UNDROP TABLE`, `CREATE TABLE (columns)`, `COMMENT ON`, `OPTIMIZE`, `VACUUM`,
//! `OPTIMIZE … ZORDER BY (a, b)`, `RESTORE TABLE … TO VERSION AS OF 3` or `TO TIMESTAMP AS OF '2026-03-01'`.

use chrono::{Duration, Utc};
use datafusion::sql::sqlparser::ast::{
    ColumnDef, CommentObject, DataType, ObjectName, ObjectType, Query, Statement as Ast, TimezoneInfo,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{IsOptional, Parser};
use labhouse_catalog::{LakeError, LakeTable, Optimized, RETAIN_HOURS_MIN, TableName, When};
use labhouse_policies::Action;

use super::statement::{end, lake_name, plain, syntax, table_name, word};
use super::travel::moment;
use super::write::{count, lake_error, require, reserved};
use super::{QueryError, errors};
use crate::care::{self, Done, Telling, arrange_now, compact_now};
use crate::engine::Engine;
use crate::pipelines::View;
use crate::session::{Governed, Library, table_path};

/// The word under which a column's comment stands in its field.
const COMMENT: &str = "comment";
/// Bytes of a comment at most: it travels with every schema.
const COMMENT_BYTES_MAX: usize = 4 << 10;

/// What is to be done to a table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upkeep {
    pub(super) table: TableName,
    work: Work,
}

impl Upkeep {
    /// What it does, in one word.
    pub(super) fn verb(&self) -> &'static str {
        match self.work {
            Work::Drop { .. } => "drop_table",
            Work::Undrop => "undrop_table",
            Work::Comment { .. } => "comment",
            Work::Optimize | Work::Arrange { .. } => "optimize",
            Work::Vacuum { .. } => "vacuum",
            Work::Restore { .. } => "restore_table",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Work {
    Drop {
        if_exists: bool,
    },
    Undrop,
    Comment {
        column: Option<String>,
        text: String,
    },
    Optimize,
    /// By no column: back to the order in which the rows came.
    Arrange {
        by: Vec<String>,
    },
    Vacuum {
        retain_hours: i64,
    },
    Restore {
        to: When,
    },
}

/// Reads a statement that only this file knows; none when it is another one. Nothing is consumed then.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<Upkeep>, QueryError> {
    let work = if word(parser, "undrop") {
        parser.expect_keyword(Keyword::TABLE).map_err(syntax)?;
        Work::Undrop
    } else if word(parser, "optimize") {
        let _optional = parser.parse_keyword(Keyword::TABLE);
        Work::Optimize
    } else if word(parser, "vacuum") {
        let _optional = parser.parse_keyword(Keyword::TABLE);
        Work::Vacuum {
            retain_hours: RETAIN_HOURS_MIN,
        }
    } else if word(parser, "restore") {
        let _optional = parser.parse_keyword(Keyword::TABLE);
        Work::Restore { to: When::Version(0) }
    } else {
        return Ok(None);
    };
    let table = lake_name(&parser.parse_object_name(false).map_err(syntax)?)?;
    let work = match work {
        Work::Vacuum { .. } if word(parser, "retain") => {
            let hours = parser.parse_literal_uint().map_err(syntax)?;
            if !(word(parser, "hours") || word(parser, "hour")) {
                return Err(syntax("RETAIN takes a number of hours: RETAIN 168 HOURS"));
            }
            Work::Vacuum {
                retain_hours: i64::try_from(hours).unwrap_or(i64::MAX),
            }
        }
        Work::Restore { .. } => Work::Restore { to: version(parser)? },
        Work::Optimize if word(parser, "zorder") => Work::Arrange { by: order(parser)? },
        work => work,
    };
    end(parser)?;
    Ok(Some(Upkeep { table, work }))
}

/// `BY (a, b)` or `BY NONE`
fn order(parser: &mut Parser<'_>) -> Result<Vec<String>, QueryError> {
    if !parser.parse_keyword(Keyword::BY) {
        return Err(syntax("write OPTIMIZE … ZORDER BY (column, …) or ZORDER BY NONE"));
    }
    if word(parser, "none") {
        return Ok(Vec::new());
    }
    let names = parser.parse_parenthesized_column_list(IsOptional::Mandatory, false);
    Ok(names.map_err(syntax)?.iter().map(plain).collect())
}

/// `TO VERSION AS OF 3` or `TO TIMESTAMP AS OF '2026-03-01'`
fn version(parser: &mut Parser<'_>) -> Result<When, QueryError> {
    let usage = || syntax("write RESTORE TABLE … TO VERSION AS OF 3 or TO TIMESTAMP AS OF '2026-03-01T12:00:00Z'");
    if !parser.parse_keyword(Keyword::TO) {
        return Err(usage());
    }
    let by_number = word(parser, "version");
    if !(by_number || word(parser, "timestamp"))
        || !(parser.parse_keyword(Keyword::AS) && parser.parse_keyword(Keyword::OF))
    {
        return Err(usage());
    }
    if by_number {
        return parser.parse_literal_uint().map(When::Version).map_err(syntax);
    }
    let text = parser.parse_literal_string().map_err(syntax)?;
    moment(&text).map(When::Time).ok_or_else(usage)
}

/// The statements of this kind that the engine's parser knows; others come back.
pub(super) fn classify(ast: Ast) -> Result<Result<Upkeep, Box<Ast>>, QueryError> {
    match ast {
        Ast::Drop {
            object_type: ObjectType::Table,
            if_exists,
            names,
            cascade: false,
            purge: false,
            temporary: false,
            ..
        } => match names.as_slice() {
            [name] => Ok(Ok(Upkeep {
                table: table_name(name)?,
                work: Work::Drop { if_exists },
            })),
            _ => Err(QueryError::Unsupported("DROP TABLE takes one table at a time".into())),
        },
        Ast::Comment {
            object_type,
            object_name,
            comment,
            if_exists: false,
            ..
        } => {
            let text = comment.unwrap_or_default();
            if text.len() > COMMENT_BYTES_MAX {
                return Err(QueryError::Invalid(format!(
                    "a comment has at most {COMMENT_BYTES_MAX} bytes"
                )));
            }
            let (table, column) = match object_type {
                CommentObject::Table => (lake_name(&object_name)?, None),
                CommentObject::Column => of_column(object_name)?,
                other => {
                    return Err(QueryError::Unsupported(format!(
                        "COMMENT ON {other} is not run: comment on a TABLE or a COLUMN"
                    )));
                }
            };
            Ok(Ok(Upkeep {
                table,
                work: Work::Comment { column, text },
            }))
        }
        other => Ok(Err(Box::new(other))),
    }
}

fn of_column(mut name: ObjectName) -> Result<(TableName, Option<String>), QueryError> {
    let column = name.0.pop();
    let column = column.as_ref().and_then(|part| part.as_ident()).map(plain);
    let column = column.ok_or_else(|| syntax("COMMENT ON COLUMN takes schema.table.column"))?;
    Ok((lake_name(&name)?, Some(column)))
}

/// The query that gives an empty table of these columns.
pub(super) fn no_rows(columns: &[ColumnDef]) -> Result<Box<Query>, QueryError> {
    let mut list = Vec::with_capacity(columns.len());
    for column in columns {
        if let Some(option) = column.options.first() {
            return Err(QueryError::Unsupported(format!(
                "column {}: `{}` is not kept by the lake's tables; leave it out",
                column.name, option.option
            )));
        }
        list.push(format!("{} AS {}", null_of(&column.data_type), column.name));
    }
    let sql = format!("SELECT {} WHERE false", list.join(", "));
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(&sql).map_err(syntax)?;
    parser.parse_query().map_err(syntax)
}

/// A NULL of a column's type, also of those for which the engine has another word or none: the lake keeps microseconds, and
/// a time with a zone as UTC.
fn null_of(data_type: &DataType) -> String {
    match data_type {
        DataType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            "arrow_cast(NULL, 'Timestamp(Microsecond, Some(\"UTC\"))')".to_owned()
        }
        DataType::Timestamp(Some(digits), _) if *digits <= 9 => "CAST(NULL AS TIMESTAMP)".to_owned(),
        DataType::Blob(_) | DataType::Varbinary(_) | DataType::Binary(_) => "CAST(NULL AS BYTEA)".to_owned(),
        other => format!("CAST(NULL AS {other})"),
    }
}

impl Engine {
    /// Drops a view, which is a table.
    pub(crate) async fn drop_view(
        &self,
        governed: &Governed,
        name: TableName,
        is_view: bool,
        if_exists: bool,
    ) -> Result<i64, QueryError> {
        if !is_view && !if_exists {
            return Err(QueryError::NotFound(format!(
                "view 'lab.{name}' not found; system.pipelines lists views"
            )));
        }
        if !is_view {
            return Ok(0);
        }
        let work = Work::Drop { if_exists };
        self.upkeep(governed, Upkeep { table: name, work }).await
    }

    /// Drops a table that is there.
    pub(super) async fn drop_table(&self, governed: &Governed, name: TableName) -> Result<i64, QueryError> {
        let work = Work::Drop { if_exists: false };
        self.upkeep(governed, Upkeep { table: name, work }).await
    }

    /// Does it, for whoever holds the grant; gives the number of files or tables it was about.
    pub(super) async fn upkeep(&self, governed: &Governed, upkeep: Upkeep) -> Result<i64, QueryError> {
        let Upkeep { table: name, work } = upkeep;
        reserved(&name)?;
        let action = match &work {
            Work::Drop { .. } | Work::Undrop => Action::Drop,
            Work::Comment { .. } => Action::Alter,
            Work::Optimize | Work::Arrange { .. } | Work::Vacuum { .. } => Action::Maintain,
            // Rows go, and others come.
            Work::Restore { .. } => Action::Delete,
        };
        if work == Work::Undrop {
            // Nobody sees it, so there are no tags to ask: the schema's grants must cover it.
            require(governed, &name.schema, &table_path(&name), &Default::default(), action)?;
        } else {
            let access = governed
                .access(&name.schema, &name.table)
                .map_err(errors::from_datafusion)?;
            let table = governed.world().catalog.table(&name.schema, &name.table);
            let (Some(access), Some(table)) = (access, table) else {
                return match work {
                    Work::Drop { if_exists: true } => Ok(0),
                    _ => Err(QueryError::no_table(&name)),
                };
            };
            let object = governed.world().object(table);
            require(governed, &object.department, &table_path(&name), &object.tags, action)?;
            if let Work::Restore { .. } = work {
                may_restore(governed, table)?;
            }
            let named: &[String] = match &work {
                Work::Comment { column, .. } => column.as_slice(),
                Work::Arrange { by } => by,
                _ => &[],
            };
            for column in named {
                let at = access.schema.index_of(column).ok();
                if !at.is_some_and(|at| access.columns.contains(&at)) {
                    return Err(QueryError::NotFound(format!("{name} has no column {column}")));
                }
            }
            if let Work::Arrange { by } = &work
                && let Some(objection) = Telling::of(self, table).objection(by)
            {
                return Err(QueryError::Denied(format!("{name} cannot be arranged so: {objection}")));
            }
        }
        governed.decided().await?;
        let (catalog, began) = (&self.catalog, Utc::now());
        let cared = match &work {
            Work::Optimize => Some(("compact", None)),
            Work::Arrange { by } => Some(("arrange", Some(by.clone()))),
            Work::Vacuum { .. } => Some(("vacuum", None)),
            Work::Drop { .. } | Work::Undrop | Work::Comment { .. } | Work::Restore { .. } => None,
        };
        let mut added = 0;
        let done = match work {
            Work::Restore { to } => labhouse_catalog::bring_back(catalog, &name, to).await.map(|table| {
                governed.wrote(table.version());
                1
            }),
            Work::Undrop => labhouse_catalog::restore(catalog, &name).await.map(|()| 1),
            Work::Drop { .. } => labhouse_catalog::drop_table(catalog, &name).await.map(|()| 1),
            Work::Comment { column: None, text } => labhouse_catalog::describe(catalog, &name, &text).await.map(|()| 1),
            Work::Comment {
                column: Some(column),
                text,
            } => {
                let words = [(COMMENT.to_owned(), text)].into();
                labhouse_catalog::set_properties(catalog, &name, Some(&column), &words)
                    .await
                    .map(|_| 1)
            }
            Work::Optimize => match governed.world().catalog.table(&name.schema, &name.table) {
                Some(table) => rewritten(compact_now(self, table).await, &mut added),
                None => return Err(QueryError::no_table(&name)),
            },
            Work::Arrange { by } => rewritten(arrange_now(self, &name, &by).await, &mut added),
            Work::Vacuum { retain_hours } => {
                let retain = Duration::try_hours(retain_hours).unwrap_or(Duration::MAX);
                care::vacuum(self, catalog, &name, retain).await
            }
        };
        if let Some((work, columns)) = cared {
            let told = Done {
                at: Utc::now().timestamp_micros(),
                principal: Some(governed.who().name.clone()),
                table: name,
                work,
                columns,
                problem: done.as_ref().err().map(ToString::to_string),
                files_removed: done.as_ref().map_or(0, |removed| *removed as u64),
                files_added: added,
                duration: (Utc::now() - began).to_std().unwrap_or_default(),
            };
            care::tell(self, &told);
        }
        count(done.map_err(lake_error)?)
    }
}

/// The number of files that are no longer part of the table.
fn rewritten(done: Result<Optimized, LakeError>, added: &mut u64) -> Result<usize, LakeError> {
    let done = done?;
    *added = done.files_added;
    Ok(usize::try_from(done.files_removed).unwrap_or(usize::MAX))
}

/// Whoever brings rows back changes all of them, those that a filter hides from him as well: so none may.
fn may_restore(governed: &Governed, table: &LakeTable) -> Result<(), QueryError> {
    let (name, object) = (table.name(), governed.world().object(table));
    if View::of(table).is_some() || Library::of(table).is_some() {
        return Err(QueryError::Invalid(format!(
            "{name} is made of its sources: bring those back, and it follows"
        )));
    }
    let path = table_path(name);
    require(governed, &object.department, &path, &object.tags, Action::Insert)?;
    let refused = |what: &str| {
        Err(QueryError::Denied(format!(
            "{} may not bring {name} back: {what}, and the rows of an older version are whole",
            governed.who().name
        )))
    };
    for action in [Action::Delete, Action::Insert] {
        let Ok(access) = governed.writable(table, action) else {
            return refused("a grant is missing");
        };
        if access.row_filter.is_some() {
            return refused("a row filter stands before it");
        }
    }
    for field in object.schema.fields() {
        let mut tags = object.tags.clone();
        tags.extend(object.column_tags.get(field.name()).cloned().unwrap_or_default());
        let column = format!("{path}/{}", field.name());
        if !governed
            .decide(&object.department, &column, &tags, Action::Insert)
            .allowed
        {
            return refused("not every column may be filled");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> Result<Option<Upkeep>, QueryError> {
        let mut parser = Parser::new(&GenericDialect {}).try_with_sql(sql).unwrap();
        parse(&mut parser)
    }

    #[test]
    fn whole_statements_are_read_and_half_ones_are_not() {
        let table = || TableName {
            schema: "s".into(),
            table: "t".into(),
        };
        let vacuum = |retain_hours| {
            Some(Upkeep {
                table: table(),
                work: Work::Vacuum { retain_hours },
            })
        };
        assert_eq!(read("VACUUM lab.s.t RETAIN 720 HOURS;").unwrap(), vacuum(720));
        assert_eq!(read("vacuum table s.t").unwrap(), vacuum(RETAIN_HOURS_MIN));
        let restored = |to| {
            Some(Upkeep {
                table: table(),
                work: Work::Restore { to },
            })
        };
        assert_eq!(
            read("RESTORE TABLE s.t TO VERSION AS OF 3").unwrap(),
            restored(When::Version(3))
        );
        let day = moment("2026-03-01").unwrap();
        assert_eq!(
            read("restore lab.s.t to timestamp as of '2026-03-01';").unwrap(),
            restored(When::Time(day))
        );
        assert_eq!(read("SELECT 1").unwrap(), None);
        for bad in [
            "RESTORE TABLE s.t",
            "RESTORE TABLE s.t TO VERSION 3",
            "RESTORE TABLE s.t TO TIMESTAMP AS OF 'yesterday'",
            "RESTORE TABLE s.t TO VERSION AS OF -1",
            "OPTIMIZE t",
            "VACUUM s.t RETAIN HOURS",
            "VACUUM s.t RETAIN 5 DAYS",
            "UNDROP s.t",
            "OPTIMIZE s.t ZORDER BY x",
            "OPTIMIZE s.t ZORDER BY ()",
            "OPTIMIZE s.t ZORDER (x)",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_table_has_the_columns_that_were_said() {
        let mut parser = Parser::new(&GenericDialect {})
            .try_with_sql("CREATE TABLE s.t (a INT, b VARCHAR)")
            .unwrap();
        let Ast::CreateTable(table) = parser.parse_statement().unwrap() else {
            panic!("no table")
        };
        let query = no_rows(&table.columns).unwrap().to_string();
        assert_eq!(
            query,
            "SELECT CAST(NULL AS INT) AS a, CAST(NULL AS VARCHAR) AS b WHERE false"
        );
    }
}
