//! Clauses that the parser takes and nobody runs: the engine leaves them out without a word, and other rows come than were
//! asked for. So they are refused by name.
//!
//! Each part of a statement is taken apart with all of its fields: one that a new parser adds does not compile until somebody
//! has decided here what becomes of it.

pub(super) mod write;

use std::ops::ControlFlow;

use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{
    Cte, Expr, Function, FunctionArg, FunctionArgumentClause, FunctionArguments, GroupByExpr, LimitClause, Query,
    Select, SelectFlavor, TableAlias, TableFactor, TableFunctionArgs, Visit, Visitor, WindowType,
};

use super::{QueryError, tree};

/// # Errors
/// A query of the statement has a clause that would be ignored.
pub(super) fn nothing(state: &SessionState, statement: &EngineStatement) -> Result<(), QueryError> {
    let found = tree::of(statement).map(|ast| ast.visit(&mut Ignored { state }));
    match found {
        Some(ControlFlow::Break(refusal)) => Err(refusal),
        Some(ControlFlow::Continue(())) | None => Ok(()),
    }
}

/// A clause that is not run, and what to write instead.
pub(super) fn refused(clause: impl std::fmt::Display, instead: &str) -> QueryError {
    QueryError::Unsupported(format!("{clause} is not run here; {instead}"))
}

/// Refuses the first clause that is there.
pub(super) fn first(clauses: &[(bool, &str, &str)]) -> Result<(), QueryError> {
    match clauses.iter().find(|(is_there, ..)| *is_there) {
        Some((_, clause, instead)) => Err(refused(clause, instead)),
        None => Ok(()),
    }
}

const LEAVE_OUT: &str = "leave it out";
const SAMPLE: &str = "write WHERE random() < 0.1, or ORDER BY random() LIMIT n";

struct Ignored<'a> {
    state: &'a SessionState,
}

impl Visitor for Ignored<'_> {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<QueryError> {
        broken(of_query(query))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<QueryError> {
        broken(of_select(select))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<QueryError> {
        broken(of_factor(factor))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<QueryError> {
        match expr {
            Expr::Function(function) => broken(self.of_function(function)),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn broken(checked: Result<(), QueryError>) -> ControlFlow<QueryError> {
    match checked {
        Ok(()) => ControlFlow::Continue(()),
        Err(refusal) => ControlFlow::Break(refusal),
    }
}

fn of_query(query: &Query) -> Result<(), QueryError> {
    let Query {
        with,
        body: _,
        order_by: _,
        limit_clause,
        // The engine refuses it.
        fetch: _,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators: _,
    } = query;
    for cte in with.iter().flat_map(|with| &with.cte_tables) {
        let Cte {
            alias,
            query: _,
            from,
            // How it is computed, not what comes out.
            materialized: _,
            closing_paren_token: _,
        } = cte;
        of_alias(Some(alias))?;
        first(&[(
            from.is_some(),
            "FROM after a query of WITH",
            "write it inside the brackets",
        )])?;
    }
    let limits_by = matches!(limit_clause, Some(LimitClause::LimitOffset { limit_by, .. }) if !limit_by.is_empty());
    first(&[
        (
            !locks.is_empty(),
            "FOR UPDATE or FOR SHARE",
            "nothing is locked: leave it out; a transaction whose table has changed meanwhile is refused when it commits",
        ),
        (
            for_clause.is_some(),
            "FOR XML, FOR JSON or FOR BROWSE",
            "leave it out: the door decides the format of what comes",
        ),
        (
            settings.is_some(),
            "SETTINGS",
            "settings are the administrator's: leave it out",
        ),
        (
            format_clause.is_some(),
            "FORMAT",
            "leave it out: the door decides the format of what comes",
        ),
        (
            limits_by,
            "LIMIT … BY",
            "write QUALIFY row_number() OVER (PARTITION BY … ORDER BY …) <= n",
        ),
    ])
}

fn of_select(select: &Select) -> Result<(), QueryError> {
    let Select {
        select_token: _,
        // A comment to other servers: no row depends on it.
        optimizer_hints: _,
        distinct: _,
        select_modifiers,
        // The engine refuses TOP, LATERAL VIEW, CLUSTER BY and SORT BY; INTO is a definition, which a read may not hold.
        top: _,
        top_before_distinct: _,
        projection: _,
        exclude,
        into: _,
        from: _,
        lateral_views: _,
        prewhere,
        selection: _,
        connect_by,
        group_by,
        cluster_by: _,
        distribute_by: _,
        sort_by: _,
        having: _,
        named_window: _,
        qualify: _,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) = group_by;
    first(&[
        (
            select_modifiers
                .as_ref()
                .is_some_and(|modifiers| modifiers.is_any_set()),
            "a modifier of SELECT such as SQL_CALC_FOUND_ROWS or HIGH_PRIORITY",
            LEAVE_OUT,
        ),
        (
            exclude.is_some(),
            "EXCLUDE after the list of columns",
            "write * EXCLUDE (…) directly",
        ),
        (prewhere.is_some(), "PREWHERE", "write WHERE"),
        (
            !connect_by.is_empty(),
            "CONNECT BY or START WITH",
            "write WITH RECURSIVE … AS (… UNION ALL …)",
        ),
        (
            !modifiers.is_empty(),
            "GROUP BY … WITH ROLLUP, CUBE or TOTALS",
            "write GROUP BY ROLLUP (…), CUBE (…) or GROUPING SETS ((…), ())",
        ),
        (
            value_table_mode.is_some(),
            "SELECT AS STRUCT or AS VALUE",
            "write named_struct(…)",
        ),
        (
            matches!(flavor, SelectFlavor::FromFirstNoSelect),
            "FROM without SELECT",
            "write SELECT * FROM …",
        ),
    ])
}

fn of_factor(factor: &TableFactor) -> Result<(), QueryError> {
    let sampled = |is_sampled: bool| first(&[(is_sampled, "TABLESAMPLE or SAMPLE", SAMPLE)]);
    let ordinality = |is_there: bool| {
        first(&[(
            is_there,
            "WITH ORDINALITY or WITH OFFSET",
            "write row_number() OVER () as one more column",
        )])
    };
    match factor {
        TableFactor::Table {
            name: _,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } => {
            of_alias(alias.as_ref())?;
            sampled(sample.is_some())?;
            ordinality(*with_ordinality)?;
            let has_settings = args.as_ref().is_some_and(|args| {
                let TableFunctionArgs { args: _, settings } = args;
                settings.is_some()
            });
            first(&[
                (
                    has_settings,
                    "SETTINGS",
                    "settings are the administrator's: leave it out",
                ),
                (!with_hints.is_empty(), "WITH (…) after a table", LEAVE_OUT),
                (!index_hints.is_empty(), "a hint about an index", LEAVE_OUT),
                (
                    version.is_some(),
                    "this way to name an older version",
                    "write FOR VERSION AS OF n or FOR TIMESTAMP AS OF '…'",
                ),
                (!partitions.is_empty(), "PARTITION (…) after a table", "write WHERE"),
                (
                    json_path.is_some(),
                    "a path after a table",
                    "write unnest(…) in the list of columns",
                ),
            ])
        }
        TableFactor::Derived {
            lateral: _,
            subquery: _,
            alias,
            sample,
        } => {
            of_alias(alias.as_ref())?;
            sampled(sample.is_some())
        }
        TableFactor::Function {
            lateral: _,
            name: _,
            args,
            with_ordinality,
            alias,
        } => {
            of_alias(alias.as_ref())?;
            ordinality(*with_ordinality)?;
            let is_named = args.iter().any(|arg| !matches!(arg, FunctionArg::Unnamed(_)));
            first(&[(
                is_named,
                "an argument by name of a table function",
                "write the arguments in their order",
            )])
        }
        TableFactor::UNNEST {
            alias,
            array_exprs: _,
            with_offset,
            with_offset_alias,
            with_ordinality,
        } => {
            of_alias(alias.as_ref())?;
            ordinality(*with_offset || *with_ordinality || with_offset_alias.is_some())
        }
        TableFactor::NestedJoin {
            table_with_joins: _,
            alias,
        } => of_alias(alias.as_ref()),
        // The engine refuses these.
        TableFactor::TableFunction { .. }
        | TableFactor::JsonTable { .. }
        | TableFactor::OpenJsonTable { .. }
        | TableFactor::Pivot { .. }
        | TableFactor::Unpivot { .. }
        | TableFactor::MatchRecognize { .. }
        | TableFactor::XmlTable { .. }
        | TableFactor::SemanticView { .. } => Ok(()),
    }
}

fn of_alias(alias: Option<&TableAlias>) -> Result<(), QueryError> {
    let Some(TableAlias {
        explicit: _,
        name: _,
        columns,
        at,
    }) = alias
    else {
        return Ok(());
    };
    first(&[
        (
            columns.iter().any(|column| column.data_type.is_some()),
            "a type in the names of a table's columns",
            "write CAST(… AS …) in the list of columns",
        ),
        (at.is_some(), "AT after a table's name", LEAVE_OUT),
    ])
}

impl Ignored<'_> {
    fn of_function(&self, function: &Function) -> Result<(), QueryError> {
        let Function {
            name,
            uses_odbc_syntax: _,
            parameters,
            args,
            filter,
            null_treatment,
            over,
            within_group,
        } = function;
        let is_continued = matches!(over, Some(WindowType::WindowSpec(window)) if window.window_name.is_some());
        first(&[
            (
                !matches!(parameters, FunctionArguments::None),
                "a function with two lists of arguments",
                "write all in one list",
            ),
            (
                matches!(args, FunctionArguments::Subquery(_)),
                "a query as the argument of a function",
                "put it into brackets of its own: f((SELECT …)); ARRAY(SELECT …) is (SELECT array_agg(…) …)",
            ),
            (
                is_continued,
                "OVER (name …), which goes on from a named window",
                "write the whole window in OVER (…)",
            ),
        ])?;
        let is_plain = name.0.last().and_then(|part| part.as_ident()).is_some_and(|name| {
            let name = super::statement::plain(name);
            self.state.scalar_functions().contains_key(&name)
                && !self.state.aggregate_functions().contains_key(&name)
                && !self.state.window_functions().contains_key(&name)
        });
        let (is_distinct, has_order) = match args {
            FunctionArguments::List(list) => (
                list.duplicate_treatment.is_some(),
                list.clauses
                    .iter()
                    .any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_))),
            ),
            FunctionArguments::None | FunctionArguments::Subquery(_) => (false, false),
        };
        let has_more = is_distinct
            || has_order
            || filter.is_some()
            || null_treatment.is_some()
            || over.is_some()
            || !within_group.is_empty();
        match is_plain && has_more {
            true => Err(refused(
                format_args!("DISTINCT, ORDER BY, FILTER, WITHIN GROUP, OVER or a treatment of nulls in {name}"),
                "it computes one value of one row, and these are for aggregates",
            )),
            false => Ok(()),
        }
    }
}
