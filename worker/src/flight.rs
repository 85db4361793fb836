//! Arrow Flight at a worker: `do_get` sends the rows of a shard, `do_put` takes a new dataset.

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::{Stream, StreamExt, TryStreamExt};
use polars::prelude::{CompatLevel, DataFrame, IpcStreamWriter, SerWriter};
use shardmill_common::failure::Failure;
use shardmill_common::ids::ObjectId;
use shardmill_common::kinds::register::RegisterSpec;
use shardmill_common::kinds::{JobSpec, Submission};
use shardmill_common::manifest::ShardEntry;
use shardmill_common::message::ReadTicket;
use shardmill_common::name::{DatasetName, NameError};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::status::{JobState, JobStatus};
use shardmill_proto::auth::AddToken;
use shardmill_proto::dial::dial;
use shardmill_proto::v1::coordinator_client::CoordinatorClient;
use shardmill_proto::{MAX_MESSAGE_BYTES, decode, encode};
use tonic::{Request, Response, Status, Streaming};

use crate::agent::Agent;
use crate::door::store_status;
use crate::fetch::{Fetcher, Where};
use crate::ingest::{Layout, Written, parse_written};
use crate::shard;

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Rows in one record batch.
const BATCH_ROWS: usize = 1 << 16;
/// Bytes of Arrow data that become one shard.
const PUT_SHARD_BYTES: usize = 64 << 20;

pub struct FlightDoor {
    fetch: Arc<Fetcher>,
    agent: Arc<Agent>,
    coordinator: String,
    token: AddToken,
}

/// A task's failure as a Flight client sees it.
fn status(failure: &Failure) -> Status {
    match failure {
        Failure::BadInput { .. } => Status::invalid_argument(failure.to_string()),
        // Another holder may have what this worker has not.
        Failure::ObjectUnavailable { .. } => Status::unavailable(failure.to_string()),
        _ => store_status(failure),
    }
}

/// A frame as record batches of the oldest layout that every Arrow reader knows.
fn to_batches(frame: &mut DataFrame) -> Result<Vec<RecordBatch>, Failure> {
    let mut batches = Vec::new();
    // A frame without rows still sends its schema.
    for at in (0..frame.height().max(1)).step_by(BATCH_ROWS) {
        let mut part = frame.slice(at as i64, BATCH_ROWS);
        let mut data = Vec::new();
        IpcStreamWriter::new(&mut data)
            .with_compat_level(CompatLevel::oldest())
            .finish(&mut part)
            .map_err(Failure::internal)?;
        let reader = StreamReader::try_new(data.as_slice(), None).map_err(Failure::internal)?;
        let schema = reader.schema();
        let before = batches.len();
        for batch in reader {
            batches.push(batch.map_err(Failure::internal)?);
        }
        if batches.len() == before {
            batches.push(RecordBatch::new_empty(schema));
        }
    }
    Ok(batches)
}

impl FlightDoor {
    pub fn new(fetch: Arc<Fetcher>, agent: Arc<Agent>, coordinator: String, token: AddToken) -> Self {
        Self { fetch, agent, coordinator, token }
    }

    /// Turns batches into a shard, with the types that are stored.
    async fn write_shard(&self, batches: Vec<RecordBatch>, name: &DatasetName) -> Result<(ShardEntry, Schema), Status> {
        let fetch = self.fetch.clone();
        let source_name = format!("the data put to `{name}`");
        let work = tokio::task::spawn_blocking(move || -> Result<(ShardEntry, Schema), Failure> {
            let Some(first) = batches.first() else { return Err(Failure::internal("a shard of nothing")) };
            let schema = first.schema();
            let mut data = Vec::new();
            let mut writer = StreamWriter::try_new(&mut data, &schema).map_err(Failure::internal)?;
            for batch in &batches {
                writer.write(batch).map_err(Failure::internal)?;
            }
            writer.finish().map_err(Failure::internal)?;
            drop(writer);
            drop(batches);
            let columns: Vec<Field> =
                schema.fields().iter().map(|f| Field::new(f.name().as_str(), DataType::Null)).collect();
            let layout = Layout::Arrow { columns: &columns, fixed: false };
            let mut parsed = parse_written(data, &Written { what: &source_name, layout, first_line: 1 })?;
            let entry = shard::write(&fetch.store, &mut parsed.frame)?;
            Ok((entry, parsed.observed))
        });
        let (entry, schema) = work.await.map_err(|e| Status::internal(e.to_string()))?.map_err(|f| status(&f))?;
        self.agent.stored(entry.object.id, entry.object.bytes);
        Ok((entry, schema))
    }

    /// Has the coordinator publish the shards, and waits until it has.
    async fn register(&self, spec: RegisterSpec) -> Result<JobStatus, Status> {
        let channel = dial(&self.coordinator)
            .await
            .map_err(|e| Status::unavailable(format!("the coordinator cannot be reached: {e}")))?;
        let mut client = CoordinatorClient::with_interceptor(channel, self.token.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let submission =
            Submission { spec: JobSpec::Register(spec), who: "flight".into(), priority: 0, deadline_seconds: None };
        let job = client.submit(encode(&submission)?).await?.into_inner();
        let mut statuses = client.watch(job).await?.into_inner();
        let mut last = None;
        while let Some(message) = statuses.message().await? {
            last = Some(decode::<JobStatus>(&message)?);
        }
        last.ok_or_else(|| Status::internal("the coordinator said nothing of the job"))
    }

    fn discard(&self, shards: &[ShardEntry]) {
        let ids: Vec<ObjectId> = shards.iter().map(|s| s.object.id).collect();
        self.fetch.store.delete(&ids);
    }

    async fn put(&self, stream: Streaming<FlightData>) -> Result<JobStatus, Status> {
        let mut stream = stream.peekable();
        let descriptor = match Pin::new(&mut stream).peek().await {
            Some(Ok(first)) => first.flight_descriptor.clone().unwrap_or_default(),
            _ => return Err(Status::invalid_argument("nothing was put")),
        };
        let output = put_name(&descriptor)?;
        let mut batches = FlightRecordBatchStream::new_from_flight_data(stream.map_err(FlightError::from));
        let (mut shards, mut schema) = (Vec::new(), Schema::default());
        let (mut pending, mut bytes) = (Vec::new(), 0);
        let outcome: Result<(), Status> = async {
            while let Some(batch) = batches.next().await {
                let batch = batch.map_err(Status::from)?;
                bytes += batch.get_array_memory_size();
                pending.push(batch);
                if bytes >= PUT_SHARD_BYTES {
                    let (entry, seen) = self.write_shard(std::mem::take(&mut pending), &output).await?;
                    bytes = 0;
                    shards.push(entry);
                    schema = schema.join(&seen);
                }
            }
            if pending.is_empty() && shards.is_empty() {
                let Some(arrow_schema) = batches.schema() else {
                    return Err(Status::invalid_argument("nothing was put"));
                };
                pending.push(RecordBatch::new_empty(arrow_schema.clone()));
            }
            if !pending.is_empty() {
                let (entry, seen) = self.write_shard(std::mem::take(&mut pending), &output).await?;
                shards.push(entry);
                schema = schema.join(&seen);
            }
            Ok(())
        }
        .await;
        if let Err(status) = outcome {
            self.discard(&shards);
            return Err(status);
        }
        shards.retain(|s| s.rows() > 0);
        let spec = RegisterSpec { output, schema: schema.published(), shards: shards.clone(), replicas: None };
        let published = self.register(spec).await.inspect_err(|_| self.discard(&shards))?;
        match published.state {
            JobState::Done => Ok(published),
            _ => Err(Status::aborted(published.error.unwrap_or_else(|| "the dataset was not published".into()))),
        }
    }
}

fn put_name(descriptor: &FlightDescriptor) -> Result<DatasetName, Status> {
    match descriptor.path.as_slice() {
        [name] => name.parse().map_err(|e: NameError| Status::invalid_argument(e.to_string())),
        _ => Err(Status::invalid_argument("put to a path of one part: the dataset's name")),
    }
}

#[tonic::async_trait]
impl FlightService for FlightDoor {
    type HandshakeStream = Out<HandshakeResponse>;
    type ListFlightsStream = Out<FlightInfo>;
    type DoGetStream = Out<FlightData>;
    type DoPutStream = Out<PutResult>;
    type DoExchangeStream = Out<FlightData>;
    type DoActionStream = Out<arrow_flight::Result>;
    type ListActionsStream = Out<ActionType>;

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let ticket: ReadTicket = serde_json::from_slice(&request.get_ref().ticket)
            .map_err(|e| Status::invalid_argument(format!("this is not a ticket of get_flight_info: {e}")))?;
        let fetch = self.fetch.clone();
        let work = tokio::task::spawn_blocking(move || {
            let place = Where { holders: ticket.holders, peers: ticket.peers };
            let frame = shard::open(&fetch, &place, &ticket.shard, &ticket.schema)?;
            let skip = usize::try_from(ticket.skip).unwrap_or(usize::MAX).min(frame.height());
            let limit =
                ticket.limit.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX).min(frame.height() - skip);
            to_batches(&mut frame.slice(skip as i64, limit))
        });
        let batches = work.await.map_err(|e| Status::internal(e.to_string()))?.map_err(|f| status(&f))?;
        let schema = batches.first().map(|b| b.schema());
        let mut builder = FlightDataEncoderBuilder::new();
        if let Some(schema) = schema {
            builder = builder.with_schema(schema);
        }
        let stream = builder.build(futures::stream::iter(batches.into_iter().map(Ok)));
        Ok(Response::new(Box::pin(stream.map_err(Status::from))))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let published = self.put(request.into_inner()).await?;
        let metadata =
            serde_json::json!({ "job": published.job, "dataset": published.dataset, "rows": published.rows });
        let result = PutResult { app_metadata: metadata.to_string().into_bytes().into() };
        Ok(Response::new(Box::pin(futures::stream::iter([Ok(result)]))))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Err(Status::unimplemented("send the token as `authorization: Bearer TOKEN` with every call"))
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(Status::failed_precondition("ask the coordinator what there is"))
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        Err(Status::failed_precondition("ask the coordinator where a dataset is"))
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        Err(Status::failed_precondition("ask the coordinator where a dataset is"))
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        Err(Status::failed_precondition("ask the coordinator for a dataset's schema"))
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("do_exchange has no meaning here"))
    }

    async fn do_action(&self, _: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        Err(Status::invalid_argument("a worker has no actions"))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        Ok(Response::new(Box::pin(futures::stream::empty())))
    }
}
