//! Arrow Flight at the coordinator: lists datasets and says where their shards are. Rows go between clients and workers. What is of
//! Flight SQL goes to [`sql`].

mod metadata;
mod sql;

use std::pin::Pin;

use arrow::datatypes::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema};
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest,
    HandshakeResponse, Location, PollInfo, PutResult, SchemaAsIpc, SchemaResult, Ticket,
};
use futures::Stream;
use shardmill_common::message::LocatedManifest;
use shardmill_common::name::{DatasetRef, ReferenceError};
use shardmill_common::schema::{DataType, Schema};
use shardmill_common::task::Peer;
use shardmill_proto::refusal_to_status;
use tonic::{Request, Response, Status, Streaming};

use self::sql::SqlDoor;
use crate::driver::Handle;

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The action that names a worker to `do_put` to.
pub const PUT_LOCATION: &str = "put-location";

pub struct FlightDoor {
    handle: Handle,
    sql: SqlDoor,
}

fn not_written_here() -> Status {
    Status::failed_precondition(format!(
        "rows are written to a worker, not to the coordinator: the action `{PUT_LOCATION}` names one"
    ))
}

/// Whether these bytes are a message of Flight SQL: such say their type first.
fn is_of_sql(bytes: &[u8]) -> bool {
    const TYPE: &[u8] = b"type.googleapis.com/arrow.flight.protocol.sql.";
    bytes.get(2..).is_some_and(|rest| rest.starts_with(TYPE))
}

impl FlightDoor {
    pub fn new(handle: Handle) -> Self {
        let sql = SqlDoor { handle: handle.clone() };
        let sweeper = sql.clone();
        tokio::spawn(async move { sweeper.sweep().await });
        Self { handle, sql }
    }

    async fn info(&self, dataset: DatasetRef) -> Result<FlightInfo, Status> {
        let located = self.handle.ask(move |d| d.core().locate(&dataset)).await.map_err(refusal_to_status)?;
        flight_info(&located)
    }
}

/// The schema that shards are sent with.
pub fn arrow_schema(schema: &Schema) -> ArrowSchema {
    let fields = schema.fields.iter().map(|f| {
        let dtype = match f.dtype {
            DataType::Null | DataType::String => ArrowType::LargeUtf8,
            other => shardmill_sql::arrow_type(other),
        };
        ArrowField::new(&f.name, dtype, true)
    });
    ArrowSchema::new(fields.collect::<Vec<_>>())
}

/// `grpc+tcp://host:port`, as Flight writes a location.
fn location(peer: &Peer) -> Location {
    Location { uri: peer.url.replacen("http://", "grpc+tcp://", 1) }
}

fn flight_info(located: &LocatedManifest) -> Result<FlightInfo, Status> {
    let manifest = &located.manifest;
    let mut info = FlightInfo::new()
        .try_with_schema(&arrow_schema(&manifest.schema))
        .map_err(|e| Status::internal(e.to_string()))?
        .with_descriptor(FlightDescriptor::new_path(vec![manifest.reference().to_string()]))
        .with_total_records(manifest.rows() as i64)
        .with_total_bytes(manifest.bytes() as i64)
        .with_ordered(true);
    for ordinal in 0..manifest.shards.len() {
        let Some((ticket, peers)) = located.ticket(ordinal) else { continue };
        let ticket = serde_json::to_vec(&ticket).map_err(|e| Status::internal(e.to_string()))?;
        let mut endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
        endpoint.location = peers.iter().map(location).collect();
        info = info.with_endpoint(endpoint);
    }
    Ok(info)
}

/// The dataset a descriptor names: its path's one part, or its command, as `name` or `name@version`.
fn dataset_of(descriptor: &FlightDescriptor) -> Result<DatasetRef, Status> {
    let text = match descriptor.path.as_slice() {
        [name] => name.clone(),
        [] => String::from_utf8_lossy(&descriptor.cmd).into_owned(),
        _ => return Err(Status::invalid_argument("a dataset's path has one part: its name, or name@version")),
    };
    text.parse().map_err(|e: ReferenceError| Status::invalid_argument(e.to_string()))
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

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Err(Status::unimplemented("send the token as `authorization: Bearer TOKEN` with every call"))
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        let located = self
            .handle
            .ask(|d| {
                let datasets = d.core().catalog().summaries();
                Ok(datasets.iter().filter_map(|s| d.core().locate(&s.dataset).ok()).collect::<Vec<_>>())
            })
            .await
            .map_err(refusal_to_status)?;
        let infos: Vec<_> = located.iter().map(flight_info).collect();
        Ok(Response::new(Box::pin(futures::stream::iter(infos))))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        if is_of_sql(&request.get_ref().cmd) {
            return FlightService::get_flight_info(&self.sql, request).await;
        }
        let dataset = dataset_of(request.get_ref())?;
        Ok(Response::new(self.info(dataset).await?))
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        Err(Status::unimplemented("datasets are there or not: use get_flight_info"))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let dataset = dataset_of(request.get_ref())?;
        let located = self.handle.ask(move |d| d.core().locate(&dataset)).await.map_err(refusal_to_status)?;
        let schema = arrow_schema(&located.manifest.schema);
        let options = arrow::ipc::writer::IpcWriteOptions::default();
        let result: SchemaResult = SchemaAsIpc::new(&schema, &options)
            .try_into()
            .map_err(|e: arrow::error::ArrowError| Status::internal(e.to_string()))?;
        Ok(Response::new(result))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        if is_of_sql(&request.get_ref().ticket) {
            return FlightService::do_get(&self.sql, request).await;
        }
        Err(Status::failed_precondition(
            "rows are read from the endpoints' locations that get_flight_info names, not from the coordinator",
        ))
    }

    /// The values of a prepared statement; whoever writes rows is told where to.
    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        FlightService::do_put(&self.sql, request).await
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("do_exchange has no meaning here"))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        if is_of_sql(&request.get_ref().body) {
            return FlightService::do_action(&self.sql, request).await;
        }
        let action = request.into_inner();
        if action.r#type != PUT_LOCATION {
            return Err(Status::invalid_argument(format!(
                "there is no action `{}`; there is `{PUT_LOCATION}`, and those of Flight SQL for prepared statements",
                action.r#type.escape_debug()
            )));
        }
        let targets = self.handle.ask(|d| d.core().upload_targets(None)).await.map_err(refusal_to_status)?;
        let peer = targets.peers.first().ok_or_else(|| Status::failed_precondition("no worker is alive"))?;
        let body = location(peer).uri.into_bytes().into();
        Ok(Response::new(Box::pin(futures::stream::iter([Ok(arrow_flight::Result { body })]))))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        let action = ActionType {
            r#type: PUT_LOCATION.into(),
            description: "the location of a worker that takes a new dataset by do_put".into(),
        };
        Ok(Response::new(Box::pin(futures::stream::iter([Ok(action)]))))
    }
}
