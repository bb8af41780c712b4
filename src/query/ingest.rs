//! Rows that a client brings as Arrow instead of as a statement: the same grants, filters and limits as for CREATE TABLE
//! and INSERT.
//!
//! Many rows bound to one INSERT come this way, too: one commit for all of them, where one run for each would be as many
//! commits and files.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{Expr, Query, SetExpr, Statement as Ast, Value, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use labhouse_catalog::TableName;
use labhouse_policies::{Principal, Tags};

use super::open::number_of;
use super::statement::{self, CATALOG, Statement};
use super::{QueryError, errors};
use crate::audit::Client;
use crate::engine::Engine;
use crate::session::Governed;

/// Bytes of the statement that rows bound to written values make: each takes some hundred times as much to plan.
const WRITTEN_BYTES_MAX: usize = 4 << 20;

/// What to do when the table is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfThere {
    Fail,
    Append,
    Replace,
}

/// What to do when it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfMissing {
    Fail,
    Create,
}

/// Rows on their way into a table.
pub(crate) struct Ingest {
    pub(crate) name: TableName,
    pub(crate) if_there: IfThere,
    pub(crate) if_missing: IfMissing,
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
}

/// `INSERT INTO table (columns) VALUES (…)` with parameters in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BoundInsert {
    name: TableName,
    columns: Vec<String>,
    values: Values,
}

#[derive(Debug, PartialEq, Eq)]
enum Values {
    /// Each value is a parameter and nothing else: its place among them.
    Plain(Vec<usize>),
    /// Others stand between them, or they stand in expressions.
    Written(Box<Query>),
}

impl BoundInsert {
    /// Reads a statement; none when it is another.
    pub(crate) fn of(sql: &str) -> Option<Self> {
        let mut statements = Parser::parse_sql(&GenericDialect {}, sql).ok()?;
        let (Some(Ast::Insert(insert)), true) = (statements.pop(), statements.is_empty()) else {
            return None;
        };
        let Statement::Insert { name, columns, query } = statement::insert(insert).ok()? else {
            return None;
        };
        let alone = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none();
        let SetExpr::Values(values) = query.body.as_ref() else {
            return None;
        };
        let place = |expr: &Expr| number_of(expr)?.checked_sub(1);
        let plain = match values.rows.as_slice() {
            [row] => row.iter().map(place).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        alone.then(|| Self {
            name,
            columns,
            values: plain.map_or_else(|| Values::Written(query), Values::Plain),
        })
    }
}

/// The rows that values, a column for each parameter, make of plain places.
fn plain_rows(places: &[usize], values: &RecordBatch) -> Result<RecordBatch, QueryError> {
    let columns: Option<Vec<&ArrayRef>> = places.iter().map(|at| values.columns().get(*at)).collect();
    let columns = columns.ok_or_else(|| QueryError::internal("fewer values than parameters were bound"))?;
    let fields = (1_usize..)
        .zip(&columns)
        .map(|(number, column)| Field::new(format!("value{number}"), column.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().cloned().collect())
        .map_err(|error| QueryError::Invalid(error.to_string()))
}

/// The query whose rows are those of `query` once for each row of values, and its parameters in their order.
///
/// # Errors
/// It would be too long.
fn written_rows(mut query: Box<Query>, values: &RecordBatch) -> Result<(Box<Query>, Vec<ScalarValue>), QueryError> {
    let (rows, width) = (values.num_rows(), values.num_columns());
    let bytes = query.to_string().len().saturating_mul(rows);
    if bytes > WRITTEN_BYTES_MAX {
        return Err(QueryError::Exhausted(format!(
            "{rows} rows bound to values of this length are more than {} MiB of statement; bind fewer rows at once, or only parameters as values",
            WRITTEN_BYTES_MAX >> 20
        )));
    }
    if let SetExpr::Values(template) = query.body.as_mut() {
        let once = std::mem::take(&mut template.rows);
        for row in 0..rows {
            let mut own = once.clone();
            let _ = VisitMut::visit(&mut own, &mut Renumbered { by: row * width });
            template.rows.extend(own);
        }
    }
    let scalars = (0..rows).flat_map(|row| {
        let columns = values.columns().iter();
        columns.map(move |column| ScalarValue::try_from_array(column, row))
    });
    let scalars = scalars
        .collect::<Result<Vec<_>, _>>()
        .map_err(errors::from_datafusion)?;
    Ok((query, scalars))
}

/// Adds to the numbers of parameters.
struct Renumbered {
    by: usize,
}

impl VisitorMut for Renumbered {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(number) = number_of(expr)
            && let Expr::Value(value) = expr
        {
            value.value = Value::Placeholder(format!("${}", number + self.by));
        }
        ControlFlow::Continue(())
    }
}

/// What a client brought.
enum Brought {
    Table(Ingest),
    Rows(TableName, Vec<String>, RecordBatch),
    /// Columns of a table, the query whose rows fill them, and the query's parameters.
    Written(TableName, Vec<String>, Box<Query>, Vec<ScalarValue>),
}

impl Engine {
    /// Writes the rows in one commit; gives their number.
    pub(crate) async fn ingest(
        self: &Arc<Self>,
        who: &Principal,
        client: &Client,
        ingest: Ingest,
    ) -> Result<i64, QueryError> {
        let target = format!("{CATALOG}.{}", ingest.name);
        let text = format!("INGEST INTO {target}");
        self.bring(who, client, &text, ("ingest", target), Brought::Table(ingest))
            .await
    }

    /// Writes the rows that many values make of an INSERT, in one commit; gives their number.
    pub(crate) async fn insert_all(
        self: &Arc<Self>,
        who: &Principal,
        client: &Client,
        sql: &str,
        insert: BoundInsert,
        values: &RecordBatch,
    ) -> Result<i64, QueryError> {
        let BoundInsert {
            name,
            columns,
            values: wanted,
        } = insert;
        let target = format!("{CATALOG}.{name}");
        let brought = match wanted {
            Values::Plain(places) => Brought::Rows(name, columns, plain_rows(&places, values)?),
            Values::Written(query) => {
                let (query, parameters) = written_rows(query, values)?;
                Brought::Written(name, columns, query, parameters)
            }
        };
        self.bring(who, client, sql, ("insert", target), brought).await
    }

    async fn bring(
        self: &Arc<Self>,
        who: &Principal,
        client: &Client,
        text: &str,
        (verb, target): (&'static str, String),
        brought: Brought,
    ) -> Result<i64, QueryError> {
        let admitted = self.admit(who, client, text).await;
        let (world, goes_on) = self.world_of(client);
        let admitted = admitted.and_then(|place| goes_on.map(|()| place));
        let place = admitted.as_ref().ok().cloned();
        let account = self.audit.account(who, client, text, &world);
        account.called(verb, Some(target));
        let (policy, catalog) = (world.policies.generation(), world.catalog.generation);
        let entry = self.log.start(account.id(), &who.name, client, text, policy, catalog);
        let governed = self.govern(who, world);
        governed.account_to(&account);
        place.iter().for_each(|place| governed.keep_place(place));
        let written = match admitted {
            Ok(_place) => match brought {
                Brought::Table(ingest) => self.write_ingest(&governed, client, ingest).await,
                Brought::Rows(name, columns, rows) => {
                    let (name, columns, rows) = (&name, &columns, &rows);
                    let add = |view: Arc<Governed>| async move { self.insert_rows(&view, name, columns, rows).await };
                    self.in_transaction(&governed, client, name, add).await
                }
                Brought::Written(name, columns, query, parameters) => {
                    let to = name.clone();
                    let add = |view: Arc<Governed>| async move {
                        let state = Arc::new(self.sessions.open(&view).map_err(errors::from_datafusion)?);
                        self.insert(&view, state, to, columns, query, parameters).await
                    };
                    self.in_transaction(&governed, client, &name, add).await
                }
            },
            Err(error) => Err(error),
        };
        let outcome = match written {
            // One that had nothing to change is decided here.
            Ok(rows) => account.decided(governed.notes().facts()).await.map(|()| rows),
            Err(error) => Err(account.refused(governed.notes(), error).await),
        };
        account.ended(outcome.as_ref().err());
        entry.finish(outcome.as_ref().err());
        outcome
    }

    /// Makes a change of a table's rows, in the transaction of the call if it is in one.
    async fn in_transaction<F>(
        self: &Arc<Self>,
        governed: &Arc<Governed>,
        client: &Client,
        name: &TableName,
        work: impl FnOnce(Arc<Governed>) -> F,
    ) -> Result<i64, QueryError>
    where
        F: Future<Output = Result<i64, QueryError>>,
    {
        governed.may_change()?;
        match &client.transaction {
            Some(transaction) => self.change_within(transaction, governed, name, work).await,
            None => work(Arc::clone(governed)).await,
        }
    }

    async fn write_ingest(
        self: &Arc<Self>,
        governed: &Arc<Governed>,
        client: &Client,
        ingest: Ingest,
    ) -> Result<i64, QueryError> {
        let name = &ingest.name;
        let seen = governed
            .access(&name.schema, &name.table)
            .map_err(errors::from_datafusion)?
            .is_some();
        match (seen, ingest.if_there, ingest.if_missing) {
            (true, IfThere::Append, _) => {
                let columns = ingest
                    .schema
                    .fields()
                    .iter()
                    .map(|field| field.name().clone())
                    .collect();
                let batches = &ingest.batches;
                let append = |view: Arc<Governed>| async move { self.append_rows(&view, name, columns, batches).await };
                self.in_transaction(governed, client, name, append).await
            }
            (false, _, IfMissing::Fail) => Err(QueryError::no_table(name)),
            (true, IfThere::Replace | IfThere::Fail, _) | (false, _, IfMissing::Create) => {
                let replace = ingest.if_there == IfThere::Replace;
                let governed = match &client.transaction {
                    Some(transaction) => &self.define_within(transaction, governed, client).await?,
                    None => governed,
                };
                if !self.may_create(governed, name, replace, false)? {
                    return Ok(0);
                }
                let (tags, plain) = (Tags::default(), BTreeMap::new());
                self.fill(governed, name, ingest.schema, ingest.batches, &tags, plain, None)
                    .await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn values_are_rows_as_they_stand_or_are_written_once_for_each() {
        let values = RecordBatch::try_from_iter([
            ("0", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
            ("1", Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef),
        ]);
        let values = values.unwrap();
        let insert = BoundInsert::of("INSERT INTO lab.chemistry.t (b, a) VALUES ($2, $1)").unwrap();
        assert_eq!(insert.columns, ["b", "a"]);
        let Values::Plain(places) = insert.values else {
            panic!("written")
        };
        let rows = plain_rows(&places, &values).unwrap();
        assert_eq!(
            rows.column(0).as_ref(),
            &StringArray::from(vec!["x", "y"]) as &dyn arrow::array::Array
        );
        for (sql, wanted) in [
            (
                "($1, upper($2)), (3, $2)",
                "VALUES ($1, upper($2)), (3, $2), ($3, upper($4)), (3, $4)",
            ),
            ("($1, 3)", "VALUES ($1, 3), ($3, 3)"),
            (
                "((SELECT max(a) FROM t WHERE b = $2))",
                "VALUES ((SELECT max(a) FROM t WHERE b = $2)), ((SELECT max(a) FROM t WHERE b = $4))",
            ),
        ] {
            let insert = BoundInsert::of(&format!("INSERT INTO lab.chemistry.t VALUES {sql}")).unwrap();
            let Values::Written(query) = insert.values else {
                panic!("plain")
            };
            let (query, parameters) = written_rows(query, &values).unwrap();
            assert_eq!(query.to_string(), wanted);
            let wanted: [ScalarValue; 4] = [1_i64.into(), "x".into(), 2_i64.into(), "y".into()];
            assert_eq!(parameters, wanted);
        }
        for other in [
            "INSERT INTO lab.chemistry.t SELECT $1",
            "INSERT INTO a.b.c.t VALUES ($1)",
            "INSERT INTO lab.chemistry.t VALUES ($1) ON CONFLICT DO NOTHING",
            "INSERT INTO lab.chemistry.t VALUES ($1); DELETE FROM lab.chemistry.t",
            "UPDATE lab.chemistry.t SET a = $1",
            "nonsense",
        ] {
            assert_eq!(BoundInsert::of(other), None, "{other}");
        }
    }

    #[test]
    fn a_statement_that_becomes_too_long_is_refused() {
        let values = RecordBatch::try_from_iter([("0", Arc::new(Int64Array::from_iter_values(0..10_000)) as ArrayRef)]);
        let long = format!("INSERT INTO lab.chemistry.t VALUES ($1, '{}')", "x".repeat(1000));
        let Values::Written(query) = BoundInsert::of(&long).unwrap().values else {
            panic!("plain")
        };
        let refused = written_rows(query, &values.unwrap()).unwrap_err();
        assert!(matches!(refused, QueryError::Exhausted(_)), "{refused}");
    }
}
