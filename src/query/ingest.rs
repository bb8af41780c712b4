//! Rows that a client brings as Arrow instead of as a statement: the same grants, filters and limits as for CREATE TABLE
//! and INSERT.
//!
//! Many rows bound to one INSERT come this way, too: one commit for all of them, where one run for each would be as many
//! commits and files.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{Expr, SetExpr, Statement as Ast, Value};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use labhouse_catalog::TableName;
use labhouse_policies::{Principal, Tags};

use super::statement::{self, CATALOG, Statement};
use super::{QueryError, errors};
use crate::audit::Client;
use crate::engine::Engine;
use crate::session::Governed;

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

/// `INSERT INTO table (columns) VALUES (?, ?, …)`: each value is a parameter and nothing else.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BoundInsert {
    name: TableName,
    columns: Vec<String>,
    /// The place of each value among the parameters.
    places: Vec<usize>,
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
        let plain = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none();
        let SetExpr::Values(values) = *query.body else {
            return None;
        };
        let [row] = values.rows.as_slice() else { return None };
        let place = |expr: &Expr| match expr {
            Expr::Value(value) => match &value.value {
                Value::Placeholder(name) => name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1),
                _ => None,
            },
            _ => None,
        };
        let places = row.iter().map(place).collect::<Option<Vec<_>>>()?;
        plain.then_some(Self { name, columns, places })
    }

    /// The rows that values, a column for each parameter, make of it.
    fn rows(&self, values: &RecordBatch) -> Result<RecordBatch, QueryError> {
        let columns: Option<Vec<&ArrayRef>> = self.places.iter().map(|at| values.columns().get(*at)).collect();
        let columns = columns.ok_or_else(|| QueryError::internal("fewer values than parameters were bound"))?;
        let fields = (1_usize..)
            .zip(&columns)
            .map(|(number, column)| Field::new(format!("value{number}"), column.data_type().clone(), true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(schema), columns.into_iter().cloned().collect())
            .map_err(|error| QueryError::Invalid(error.to_string()))
    }
}

/// What a client brought.
enum Brought {
    Table(Ingest),
    Rows(BoundInsert, RecordBatch),
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
        let rows = insert.rows(values)?;
        let target = format!("{CATALOG}.{}", insert.name);
        self.bring(who, client, sql, ("insert", target), Brought::Rows(insert, rows))
            .await
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
        let admitted = admitted.and_then(|permit| goes_on.map(|()| permit));
        let account = self.audit.account(who, client, text, &world);
        account.called(verb, Some(target));
        let (policy, catalog) = (world.policies.generation(), world.catalog.generation);
        let entry = self.log.start(account.id(), &who.name, client, text, policy, catalog);
        let governed = self.govern(who, world);
        governed.account_to(&account);
        let written = match admitted {
            Ok(_permit) => match brought {
                Brought::Table(ingest) => self.write_ingest(&governed, client, ingest).await,
                Brought::Rows(insert, rows) => {
                    let (insert, rows) = (&insert, &rows);
                    let add = |view: Arc<Governed>| async move {
                        self.insert_rows(&view, &insert.name, &insert.columns, rows).await
                    };
                    self.in_transaction(&governed, client, &insert.name, add).await
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
    fn only_plain_values_are_rows() {
        let insert = BoundInsert::of("INSERT INTO lab.chemistry.t (b, a) VALUES ($2, $1)").unwrap();
        assert_eq!(
            (insert.columns.as_slice(), insert.places.as_slice()),
            (&["b".to_owned(), "a".to_owned()][..], &[1, 0][..])
        );
        let values = RecordBatch::try_from_iter([
            ("0", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
            ("1", Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef),
        ]);
        let rows = insert.rows(&values.unwrap()).unwrap();
        assert_eq!(
            rows.column(0).as_ref(),
            &StringArray::from(vec!["x", "y"]) as &dyn arrow::array::Array
        );
        for other in [
            "INSERT INTO lab.chemistry.t VALUES ($1), ($2)",
            "INSERT INTO lab.chemistry.t VALUES ($1, upper($2))",
            "INSERT INTO lab.chemistry.t VALUES ($1, 3)",
            "INSERT INTO lab.chemistry.t SELECT $1",
            "INSERT INTO t VALUES ($1)",
            "INSERT INTO lab.chemistry.t VALUES ($1) ON CONFLICT DO NOTHING",
            "INSERT INTO lab.chemistry.t VALUES ($1); DELETE FROM lab.chemistry.t",
            "UPDATE lab.chemistry.t SET a = $1",
            "nonsense",
        ] {
            assert_eq!(BoundInsert::of(other), None, "{other}");
        }
    }
}
