//! The client library: every call a cluster answers, with typed errors.

use futures::{Stream, StreamExt, TryStreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shardmill_common::endpoint::EndpointRequest;
use shardmill_common::failure::Refusal;
use shardmill_common::ids::{JobId, ObjectId, WorkerId};
use shardmill_common::kinds::Submission;
use shardmill_common::manifest::{Manifest, ObjectRef};
use shardmill_common::message::{LocatedManifest, Page, Paged, RecordsRequest, UploadTargets};
use shardmill_common::model::{Model, ModelDetail, ModelName, ModelRef, ModelSummary};
use shardmill_common::name::{DatasetName, DatasetRef};
use shardmill_common::record::Record;
use shardmill_common::status::{DatasetSummary, Explanation, JobLogs, JobStatus, NodeStatus};
use shardmill_common::task::Peer;
use shardmill_proto::auth::AddToken;
use shardmill_proto::dial::dial;
use shardmill_proto::v1::coordinator_client::CoordinatorClient;
use shardmill_proto::v1::worker_client::WorkerClient;
use shardmill_proto::v1::{Bytes, Json};
use shardmill_proto::{MAX_MESSAGE_BYTES, OBJECT_ID_HEADER, decode, encode, status_to_refusal};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

type Door = InterceptedService<Channel, AddToken>;

/// Bytes of one message of a store call.
pub const STORE_PIECE: usize = 1 << 20;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The cluster could not be reached.
    #[error("cannot reach the cluster at {url}: {message}")]
    Unreachable { url: String, message: String },
    #[error("{0}")]
    Refused(Refusal),
}

/// A connection to a coordinator. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    url: String,
    token: AddToken,
    coordinator: CoordinatorClient<Door>,
}

/// A channel to `url`, or why there is none.
async fn open(url: &str) -> Result<Channel, ClientError> {
    dial(url).await.map_err(|e| ClientError::Unreachable { url: url.to_owned(), message: e.to_string() })
}

impl Client {
    /// Connects to the coordinator at `url` (`http://host:port`).
    pub async fn connect(url: &str, token: Option<&str>) -> Result<Self, ClientError> {
        let token = AddToken::new(token).map_err(|e| ClientError::Refused(Refusal::Invalid(e.to_string())))?;
        let channel = open(url).await?;
        let coordinator = CoordinatorClient::with_interceptor(channel, token.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { url: url.to_owned(), token, coordinator })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    fn failed(&self, status: Status) -> ClientError {
        match status_to_refusal(&status) {
            Some(refusal) => ClientError::Refused(refusal),
            None => ClientError::Unreachable { url: self.url.clone(), message: status.message().to_owned() },
        }
    }

    fn request<T: Serialize>(&self, value: &T) -> Result<Request<Json>, ClientError> {
        encode(value).map(Request::new).map_err(|s| self.failed(s))
    }

    fn answer<T: DeserializeOwned>(&self, result: Result<tonic::Response<Json>, Status>) -> Result<T, ClientError> {
        result.and_then(|r| decode(r.get_ref())).map_err(|s| self.failed(s))
    }

    /// Hands a job in; it is in the journal when this returns.
    pub async fn submit(&self, submission: &Submission) -> Result<JobId, ClientError> {
        let request = self.request(submission)?;
        self.answer(self.coordinator.clone().submit(request).await)
    }

    /// The job's status now and whenever it changes, until it is final.
    pub async fn watch(
        &self,
        job: JobId,
    ) -> Result<impl Stream<Item = Result<JobStatus, ClientError>> + use<>, ClientError> {
        let request = self.request(&job)?;
        let stream = self.coordinator.clone().watch(request).await.map_err(|s| self.failed(s))?.into_inner();
        let me = self.clone();
        Ok(stream.map(move |item| item.and_then(|json| decode(&json)).map_err(|s| me.failed(s))))
    }

    pub async fn cancel(&self, job: JobId) -> Result<(), ClientError> {
        let request = self.request(&job)?;
        self.answer(self.coordinator.clone().cancel(request).await)
    }

    /// What a job would do; it is checked, and nothing runs.
    pub async fn explain(&self, submission: &Submission) -> Result<Explanation, ClientError> {
        let request = self.request(submission)?;
        self.answer(self.coordinator.clone().explain(request).await)
    }

    /// Asks about endpoints; each request says what it is answered with.
    pub async fn endpoints<T: DeserializeOwned>(&self, ask: &EndpointRequest) -> Result<T, ClientError> {
        let request = self.request(ask)?;
        self.answer(self.coordinator.clone().endpoints(request).await)
    }

    /// What the programs of a job wrote to standard error.
    pub async fn logs(&self, job: JobId) -> Result<JobLogs, ClientError> {
        let request = self.request(&job)?;
        self.answer(self.coordinator.clone().logs(request).await)
    }

    /// A page of the jobs, the newest first.
    pub async fn jobs(&self, page: Page) -> Result<Paged<JobStatus>, ClientError> {
        let request = self.request(&page)?;
        self.answer(self.coordinator.clone().list_jobs(request).await)
    }

    pub async fn datasets(&self) -> Result<Vec<DatasetSummary>, ClientError> {
        let request = self.request(&())?;
        self.answer(self.coordinator.clone().list_datasets(request).await)
    }

    /// A version's manifest with the workers that hold its objects.
    pub async fn locate(&self, dataset: &DatasetRef) -> Result<LocatedManifest, ClientError> {
        let request = self.request(dataset)?;
        self.answer(self.coordinator.clone().locate(request).await)
    }

    pub async fn versions(&self, name: &DatasetName) -> Result<Vec<Manifest>, ClientError> {
        let request = self.request(name)?;
        self.answer(self.coordinator.clone().versions(request).await)
    }

    pub async fn rename(&self, from: &DatasetName, to: &DatasetName) -> Result<(), ClientError> {
        let request = self.request(&(from, to))?;
        self.answer(self.coordinator.clone().rename(request).await)
    }

    pub async fn remove(&self, dataset: &DatasetRef) -> Result<Vec<DatasetRef>, ClientError> {
        let request = self.request(dataset)?;
        self.answer(self.coordinator.clone().remove(request).await)
    }

    /// Every version of a model, or of all models, the newest first.
    pub async fn models(&self, name: Option<&ModelName>) -> Result<Vec<ModelSummary>, ClientError> {
        let request = self.request(&name)?;
        self.answer(self.coordinator.clone().list_models(request).await)
    }

    /// A model version with its aliases and evaluations.
    pub async fn model_detail(&self, model: &ModelRef) -> Result<ModelDetail, ClientError> {
        let request = self.request(model)?;
        self.answer(self.coordinator.clone().get_model(request).await)
    }

    pub async fn model(&self, model: &ModelRef) -> Result<Model, ClientError> {
        Ok(self.model_detail(model).await?.model)
    }

    /// Lets an alias point at a version, or takes it away.
    pub async fn set_alias(&self, name: &ModelName, alias: &str, version: Option<u32>) -> Result<(), ClientError> {
        let request = self.request(&(name, alias, version))?;
        self.answer(self.coordinator.clone().set_alias(request).await)
    }

    /// Lets an alias point at the version it pointed at before; returns that version.
    pub async fn rollback(&self, name: &ModelName, alias: &str) -> Result<u32, ClientError> {
        let request = self.request(&(name, alias))?;
        self.answer(self.coordinator.clone().rollback(request).await)
    }

    pub async fn remove_model(&self, model: &ModelRef) -> Result<Vec<ModelRef>, ClientError> {
        let request = self.request(model)?;
        self.answer(self.coordinator.clone().remove_model(request).await)
    }

    /// Stores the file of a model that is to be imported; returns its digest once it is on the coordinator's disk.
    pub async fn store_graph(&self, data: bytes::Bytes) -> Result<String, ClientError> {
        let pieces =
            (0..data.len()).step_by(STORE_PIECE).map(move |at| data.slice(at..data.len().min(at + STORE_PIECE)));
        let request = Request::new(futures::stream::iter(pieces.map(|piece| Bytes { data: piece.into() })));
        self.answer(self.coordinator.clone().store_graph(request).await)
    }

    /// The file of an imported model, as it was.
    pub async fn graph(&self, digest: &str) -> Result<Vec<u8>, ClientError> {
        let request = self.request(&digest)?;
        let mut pieces = self.coordinator.clone().graph(request).await.map_err(|s| self.failed(s))?.into_inner();
        let mut data = Vec::new();
        while let Some(piece) = pieces.message().await.map_err(|s| self.failed(s))? {
            data.extend(piece.data);
        }
        Ok(data)
    }

    /// A page of the records, the newest first.
    pub async fn records(&self, page: Page) -> Result<Paged<Record>, ClientError> {
        let request = self.request(&RecordsRequest::Page(page))?;
        self.answer(self.coordinator.clone().records(request).await)
    }

    /// One job's record.
    pub async fn record(&self, job: JobId) -> Result<Record, ClientError> {
        let request = self.request(&RecordsRequest::One { job })?;
        self.answer(self.coordinator.clone().records(request).await)
    }

    /// Checksums of every source that earlier ingests of this dataset took.
    pub async fn taken_sources(&self, name: &DatasetName) -> Result<Vec<String>, ClientError> {
        let request = self.request(name)?;
        self.answer(self.coordinator.clone().taken_sources(request).await)
    }

    pub async fn nodes(&self) -> Result<Vec<NodeStatus>, ClientError> {
        let request = self.request(&())?;
        self.answer(self.coordinator.clone().nodes(request).await)
    }

    pub async fn drain(&self, worker: WorkerId) -> Result<(), ClientError> {
        let request = self.request(&worker)?;
        self.answer(self.coordinator.clone().drain(request).await)
    }

    /// Workers that take uploads now, and how many copies of each chunk to make.
    pub async fn upload_targets(&self, replicas: Option<u32>) -> Result<UploadTargets, ClientError> {
        let request = self.request(&replicas)?;
        self.answer(self.coordinator.clone().upload_targets(request).await)
    }

    /// A connection to a worker.
    pub async fn worker(&self, peer: &Peer) -> Result<WorkerDoor, ClientError> {
        let channel = open(&peer.url).await?;
        Ok(WorkerDoor {
            url: peer.url.clone(),
            channel: channel.clone(),
            token: self.token.clone(),
            worker: WorkerClient::with_interceptor(channel, self.token.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        })
    }
}

/// A connection to one worker. Cheap to clone.
#[derive(Clone)]
pub struct WorkerDoor {
    url: String,
    channel: Channel,
    token: AddToken,
    worker: WorkerClient<Door>,
}

impl WorkerDoor {
    /// Stores `data` as an object on this worker; it is on disk when this returns. With `id`, under that id, so that copies
    /// on several workers are one object.
    pub async fn store(&self, data: bytes::Bytes, id: Option<ObjectId>) -> Result<ObjectRef, ClientError> {
        let pieces =
            (0..data.len()).step_by(STORE_PIECE).map(move |at| data.slice(at..data.len().min(at + STORE_PIECE)));
        self.store_stream(futures::stream::iter(pieces), id).await
    }

    /// As [`WorkerDoor::store`], piece by piece; no piece may be larger than a few MiB.
    pub async fn store_stream(
        &self,
        pieces: impl Stream<Item = bytes::Bytes> + Send + 'static,
        id: Option<ObjectId>,
    ) -> Result<ObjectRef, ClientError> {
        let mut request = Request::new(pieces.map(|piece| Bytes { data: piece.into() }));
        if let Some(value) = id.and_then(|id| id.to_string().parse().ok()) {
            request.metadata_mut().insert(OBJECT_ID_HEADER, value);
        }
        let result = self.worker.clone().store(request).await;
        result.and_then(|r| decode(r.get_ref())).map_err(|s| self.failed(s))
    }

    /// Puts the rows that this worker captured into their datasets; how many there were.
    pub async fn flush_capture(&self) -> Result<u64, ClientError> {
        let request = encode(&()).map(Request::new).map_err(|s| self.failed(s))?;
        let result = self.worker.clone().flush_capture(request).await;
        result.and_then(|r| decode(r.get_ref())).map_err(|s| self.failed(s))
    }

    /// The rows of one shard as Arrow batches: `ticket` is what the worker's Flight door understands.
    pub async fn read(
        &self,
        ticket: Vec<u8>,
    ) -> Result<impl Stream<Item = Result<arrow::record_batch::RecordBatch, ClientError>> + use<>, ClientError> {
        let inner = arrow_flight::flight_service_client::FlightServiceClient::with_interceptor(
            self.channel.clone(),
            self.token.clone(),
        )
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let mut inner = inner;
        let ticket = arrow_flight::Ticket { ticket: ticket.into() };
        let stream = inner.do_get(ticket).await.map_err(|s| self.failed(s))?.into_inner();
        let batches = arrow_flight::decode::FlightRecordBatchStream::new_from_flight_data(
            stream.map_err(arrow_flight::error::FlightError::from),
        );
        let me = self.clone();
        Ok(batches.map(move |b| b.map_err(|e| me.flight_failed(e))))
    }

    fn failed(&self, status: Status) -> ClientError {
        match status_to_refusal(&status) {
            Some(refusal) => ClientError::Refused(refusal),
            None => ClientError::Unreachable { url: self.url.clone(), message: status.message().to_owned() },
        }
    }

    fn flight_failed(&self, error: arrow_flight::error::FlightError) -> ClientError {
        match error {
            arrow_flight::error::FlightError::Tonic(status) => self.failed(*status),
            other => ClientError::Refused(Refusal::Internal(other.to_string())),
        }
    }
}
