//! A Flight SQL client that sends what it is told, message by message.

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::Schema;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    Any, CommandStatementQuery, DoPutUpdateResult, ProstMessageExt,
};
use arrow_flight::{Action, FlightData, FlightDescriptor, FlightInfo, PutResult, Ticket};
use bytes::Bytes;
use futures::{TryStreamExt, stream};
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::lab::Server;

/// A connection and the token of one login.
pub(crate) struct Raw {
    pub(crate) client: FlightServiceClient<Channel>,
    pub(crate) token: String,
    /// Whether its calls ask for transactions.
    pub(crate) transactions: bool,
}

impl Raw {
    pub(crate) async fn login(lab: &Server, user: &str) -> Self {
        let token = lab.client(user).await.token().unwrap().clone();
        Self {
            client: connect(lab).await,
            token,
            transactions: false,
        }
    }

    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let value = format!("Bearer {}", self.token).parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        if self.transactions {
            let on = "on".parse().unwrap();
            request.metadata_mut().insert("labhouse-transactions", on);
        }
        request
    }

    pub(crate) async fn info(&mut self, command: &impl ProstMessageExt) -> Result<FlightInfo, Status> {
        let request = self.request(descriptor(command));
        Ok(self.client.get_flight_info(request).await?.into_inner())
    }

    pub(crate) async fn get(&mut self, ticket: Ticket) -> Result<Vec<RecordBatch>, Status> {
        let request = self.request(ticket);
        let stream = self.client.do_get(request).await?.into_inner();
        let batches = FlightRecordBatchStream::new_from_flight_data(stream.map_err(FlightError::from));
        batches.try_collect().await.map_err(Status::from)
    }

    /// Announces and fetches; the stream must have the announced schema.
    pub(crate) async fn ask(&mut self, command: &impl ProstMessageExt) -> Result<(Schema, Vec<RecordBatch>), Status> {
        let info = self.info(command).await?;
        let schema = info.clone().try_decode_schema().unwrap();
        let batches = self.get(info.endpoint[0].ticket.clone().unwrap()).await?;
        for batch in &batches {
            assert_eq!(batch.schema().as_ref(), &schema);
        }
        Ok((schema, batches))
    }

    pub(crate) async fn put(
        &mut self,
        command: &impl ProstMessageExt,
        rows: Option<RecordBatch>,
    ) -> Result<PutResult, Status> {
        let messages = match rows {
            None => vec![FlightData::new().with_descriptor(descriptor(command))],
            Some(rows) => FlightDataEncoderBuilder::new()
                .with_flight_descriptor(Some(descriptor(command)))
                .build(stream::iter([Ok(rows)]))
                .try_collect()
                .await
                .unwrap(),
        };
        let request = self.request(stream::iter(messages));
        Ok(self
            .client
            .do_put(request)
            .await?
            .into_inner()
            .message()
            .await?
            .unwrap())
    }

    pub(crate) async fn update(
        &mut self,
        command: &impl ProstMessageExt,
        rows: Option<RecordBatch>,
    ) -> Result<i64, Status> {
        let result = self.put(command, rows).await?;
        Ok(DoPutUpdateResult::decode(result.app_metadata).unwrap().record_count)
    }

    pub(crate) async fn act(&mut self, name: &str, body: impl Into<Bytes>) -> Result<Option<Bytes>, Status> {
        let request = self.request(Action::new(name, body));
        let result = self.client.do_action(request).await?.into_inner().message().await?;
        Ok(result.map(|result| result.body))
    }

    pub(crate) async fn prepare(
        &mut self,
        sql: &str,
    ) -> Result<(ActionCreatePreparedStatementResult, Option<bool>), Status> {
        let request = ActionCreatePreparedStatementRequest {
            query: sql.into(),
            transaction_id: None,
        };
        let body = self
            .act("CreatePreparedStatement", request.as_any().encode_to_vec())
            .await?
            .unwrap();
        let any = Any::decode(body).unwrap();
        let is_update = IsUpdate::decode(any.value.clone()).unwrap().is_update;
        Ok((any.unpack().unwrap().unwrap(), is_update))
    }

    pub(crate) async fn close(&mut self, handle: Bytes) {
        let request = ActionClosePreparedStatementRequest {
            prepared_statement_handle: handle,
        };
        assert_eq!(
            self.act("ClosePreparedStatement", request.as_any().encode_to_vec())
                .await
                .unwrap(),
            None
        );
    }
}

/// The field of the prepared result that came to the format in 2026.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct IsUpdate {
    #[prost(bool, optional, tag = "4")]
    pub(crate) is_update: Option<bool>,
}

pub(crate) async fn connect(lab: &Server) -> FlightServiceClient<Channel> {
    let url = lab.flight.replace("grpc://", "http://");
    FlightServiceClient::new(Endpoint::from_shared(url).unwrap().connect().await.unwrap())
}

pub(crate) fn descriptor(command: &impl ProstMessageExt) -> FlightDescriptor {
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

pub(crate) fn query(sql: &str) -> CommandStatementQuery {
    CommandStatementQuery {
        query: sql.into(),
        transaction_id: None,
    }
}

pub(crate) fn rows(column: Vec<i64>) -> RecordBatch {
    rows_of("0", column)
}

pub(crate) fn rows_of(name: &str, column: Vec<i64>) -> RecordBatch {
    RecordBatch::try_from_iter([(name, std::sync::Arc::new(Int64Array::from(column)) as ArrayRef)]).unwrap()
}

pub(crate) fn number_of_rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// `{"schema": value}` as SetSessionOptions takes it.
pub(crate) fn choose(schema: &str) -> Vec<u8> {
    let value = [&[0x0a, schema.len() as u8], schema.as_bytes()].concat();
    let entry = [b"\x0a\x06schema\x12".as_slice(), &[value.len() as u8], &value].concat();
    [&[0x0a, entry.len() as u8], entry.as_slice()].concat()
}
