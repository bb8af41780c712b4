//! Statements by both protocols: simple text, and prepare, bind, describe, execute.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::scalar::ScalarValue;
use futures::{Sink, Stream, StreamExt, stream};
use labhouse_policies::Principal;
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::{DescribePortalResponse, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::DataRow;
use pgwire::messages::response::TransactionStatus;
use tokio_util::sync::CancellationToken;

use super::errors::{fatal, of_query, user};
use super::session::Session;
use super::statement::{Kind, Prepared, numbered, read, split};
use super::{Door, encode, parameters};
use crate::query::errors::from_datafusion;
use crate::query::{QueryError, Running};

/// Where a statement stands in its connection.
struct Place {
    session: Arc<Session>,
    who: Principal,
    status: TransactionStatus,
}

#[async_trait]
impl SimpleQueryHandler for Door {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let mut place = self.place(client)?;
        let parts = split(query);
        let mut responses = Vec::with_capacity(parts.len());
        let mut prepared = Vec::with_capacity(parts.len());
        for part in &parts {
            prepared.push(self.prepare(&place, part).await?);
        }
        if prepared.len() > 1 && prepared.iter().any(|statement| statement.writes) {
            return Err(user(
                "0A000",
                "several statements at once are run only when none of them writes: each commits by itself, and what went before could not be undone; send them one by one",
            ));
        }
        for statement in prepared {
            let response = self.perform(&place, &statement, Vec::new(), None).await?;
            place.status = match &response {
                Response::TransactionStart(_) => place.status.to_in_transaction_state(),
                Response::TransactionEnd(_) => place.status.to_idle_state(),
                _ => place.status,
            };
            responses.push(response);
        }
        Ok(responses)
    }
}

#[async_trait]
impl QueryParser for Door {
    type Statement = Prepared;

    async fn parse_sql<C>(
        &self,
        client: &C,
        sql: &str,
        _types: &[Option<Type>],
    ) -> PgWireResult<Option<Self::Statement>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let place = self.place(client)?;
        match split(sql).as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(self.prepare(&place, one).await?)),
            _ => Err(user("42601", "a prepared statement is one statement")),
        }
    }

    fn get_parameter_types(&self, statement: &Self::Statement) -> PgWireResult<Vec<Type>> {
        Ok(parameters::told(&statement.parameters))
    }

    fn get_result_schema(&self, statement: &Self::Statement, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        Ok(encode::fields(&statement.columns, format))
    }
}

#[async_trait]
impl ExtendedQueryHandler for Door {
    type Statement = Prepared;
    type QueryParser = Self;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        Arc::new(self.clone())
    }

    /// With the bound values: types may depend on them.
    async fn do_describe_portal<C>(
        &self,
        client: &mut C,
        portal: &Portal<Self::Statement>,
    ) -> PgWireResult<DescribePortalResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let statement = &portal.statement.statement;
        let mut columns = Arc::clone(&statement.columns);
        if let (Kind::Run { sql, .. }, false) = (&statement.kind, statement.writes || portal.parameters.is_empty()) {
            let place = self.place(client)?;
            let values = parameters::values(portal)?;
            let described = self
                .engine
                .describe(&place.who, &place.session.client, sql, &values)
                .await;
            columns = described.map_err(|error| of_query(&error))?.schema;
        }
        let fields = encode::fields(&columns, Some(&portal.result_column_format));
        Ok(DescribePortalResponse::new(fields))
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Self::Statement>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let place = self.place(client)?;
        let values = parameters::values(portal)?;
        let format = Some(&portal.result_column_format);
        self.perform(&place, &portal.statement.statement, values, format).await
    }
}

impl Door {
    /// Who asks, as he is now.
    fn place<C: ClientInfo>(&self, client: &C) -> PgWireResult<Place> {
        let session = client.session_extensions().get::<Arc<Session>>();
        let session = session.ok_or_else(|| fatal("28000", "log in first"))?;
        let session = Arc::clone(session.as_ref());
        let who = session.who(&self.engine.auth).ok_or_else(|| {
            fatal(
                "28000",
                "the login of this connection was removed, revoked or has ended; connect again",
            )
        })?;
        Ok(Place {
            session,
            who,
            status: client.transaction_status(),
        })
    }

    async fn prepare(&self, place: &Place, sql: &str) -> PgWireResult<Prepared> {
        // Reading and rewriting walk the statement as deep as it is.
        self.engine.admission.check(sql).map_err(|error| of_query(&error))?;
        let kind = read(sql, &place.who.name);
        let none = || Arc::new(Schema::empty());
        let (parameters, columns, writes) = match &kind {
            Kind::Run { sql, .. } => {
                let described = self.engine.describe(&place.who, &place.session.client, sql, &[]).await;
                let described = described.map_err(|error| of_query(&error))?;
                let columns = if described.writes { none() } else { described.schema };
                (described.parameters, columns, described.writes)
            }
            Kind::Show { name, .. } => (none(), one_column(name), false),
            Kind::NoRow(columns) => (numbered(sql), Arc::clone(columns), false),
            Kind::Begin | Kind::Commit | Kind::Rollback | Kind::Nothing(_) | Kind::Refuse(_) => (none(), none(), false),
        };
        Ok(Prepared {
            kind,
            parameters,
            columns,
            writes,
        })
    }

    async fn perform(
        &self,
        place: &Place,
        statement: &Prepared,
        values: Vec<ScalarValue>,
        format: Option<&Format>,
    ) -> PgWireResult<Response> {
        Ok(match &statement.kind {
            Kind::Begin => Response::TransactionStart(Tag::new("BEGIN")),
            // What failed is told as rolled back, as PostgreSQL does.
            Kind::Commit if place.status == TransactionStatus::Error => Response::TransactionEnd(Tag::new("ROLLBACK")),
            Kind::Commit => Response::TransactionEnd(Tag::new("COMMIT")),
            Kind::Rollback => Response::TransactionEnd(Tag::new("ROLLBACK")),
            Kind::Nothing(tag) => Response::Execution(Tag::new(tag)),
            Kind::Refuse(why) => return Err(user("0A000", *why)),
            Kind::Show { value, .. } => {
                let fields = Arc::new(encode::fields(&statement.columns, format));
                Response::Query(QueryResponse::new(fields, stream::iter([Ok(one_row(value))])))
            }
            Kind::NoRow(columns) => {
                let fields = Arc::new(encode::fields(columns, format));
                Response::Query(QueryResponse::new(fields, stream::empty()))
            }
            Kind::Run { sql, tag } if statement.writes => {
                if place.status != TransactionStatus::Idle {
                    return Err(user(
                        "0A000",
                        "this door has no transactions, so a statement that writes is not run inside one: it would commit by itself and ROLLBACK could not undo it; switch the client to autocommit",
                    ));
                }
                let cancelled = place.session.begin();
                let updating = self.engine.update(&place.who, &place.session.client, sql, values);
                let count = tokio::select! {
                    biased;
                    () = cancelled.cancelled() => return Err(self::cancelled()),
                    count = updating => count.map_err(|error| of_query(&error))?,
                };
                let counts = ["INSERT 0", "UPDATE", "DELETE", "MERGE"].contains(&tag.as_str());
                let rows = usize::try_from(count).ok().filter(|_| counts);
                let tag = Tag::new(tag);
                Response::Execution(match rows {
                    Some(rows) => tag.with_rows(rows),
                    None => tag,
                })
            }
            Kind::Run { sql, .. } => {
                let cancelled = place.session.begin();
                let running = tokio::select! {
                    biased;
                    () = cancelled.cancelled() => return Err(self::cancelled()),
                    running = self.engine.run(&place.who, &place.session.client, sql, values, None) => running,
                };
                let Running { schema, stream, .. } = running.map_err(|error| of_query(&error))?;
                let fields = Arc::new(encode::fields(&schema, format));
                let rows = rows(stream, Arc::clone(&fields), cancelled);
                Response::Query(QueryResponse::new(fields, rows))
            }
        })
    }
}

/// The rows of a running statement until it ends or is cancelled.
fn rows(
    batches: datafusion::execution::SendableRecordBatchStream,
    fields: Arc<Vec<FieldInfo>>,
    cancelled: CancellationToken,
) -> impl Stream<Item = PgWireResult<DataRow>> + Send + 'static {
    let chunks = stream::unfold(Some((batches, cancelled)), move |state| {
        let fields = Arc::clone(&fields);
        async move {
            let (mut batches, cancelled) = state?;
            tokio::select! {
                biased;
                () = cancelled.cancelled() => Some((vec![Err(self::cancelled())], None)),
                batch = batches.next() => match batch? {
                    Ok(batch) => match encode::rows(&batch, &fields) {
                        Ok(rows) => Some((rows.into_iter().map(Ok).collect(), Some((batches, cancelled)))),
                        Err(error) => Some((vec![Err(of_query(&QueryError::internal(error)))], None)),
                    },
                    Err(error) => Some((vec![Err(of_query(&from_datafusion(error)))], None)),
                },
            }
        }
    });
    chunks.flat_map(stream::iter)
}

fn cancelled() -> PgWireError {
    user("57014", "the statement was cancelled")
}

fn one_column(name: &str) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8, true)]))
}

fn one_row(value: &str) -> DataRow {
    let length = i32::try_from(value.len()).unwrap_or(0);
    let data = [length.to_be_bytes().as_slice(), value.as_bytes()].concat();
    DataRow::new(bytes::BytesMut::from(data.as_slice()), 1)
}
