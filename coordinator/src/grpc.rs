//! The gRPC door: decode, post, encode.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use std::time::Duration;

use futures::{Stream, StreamExt};
use serde::Serialize;
use shardmill_common::endpoint::{Endpoint, EndpointRequest, ServingNode};
use shardmill_common::failure::{Failure, Refusal};
use shardmill_common::ids::{Incarnation, JobId, WorkerId};
use shardmill_common::message::{FromWorker, Hello, PROTOCOL_VERSION, RecordsRequest, ToWorker};
use shardmill_common::model::{ModelName, ModelRef};
use shardmill_common::name::DatasetRef;
use shardmill_common::status::JobStatus;
use shardmill_common::task::Peer;
use shardmill_proto::v1::coordinator_server::Coordinator;
use shardmill_proto::v1::{Bytes, Json};
use shardmill_proto::{decode, encode, refusal_to_status};
use shardmill_serving::capture::Sink;
use shardmill_serving::live::Live;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{UnboundedReceiverStream, WatchStream};
use tonic::{Request, Response, Status, Streaming};

use shardmill_core::Command;
use shardmill_core::scheduler::{Event, Joined};

use crate::driver::{Driver, Handle};
use crate::{history, watched};

/// An answer that was put together beside the driver.
fn told<T: Serialize>(answer: Result<T, Refusal>) -> Answer {
    encode(&answer.map_err(refusal_to_status)?).map(Response::new)
}

type JsonStream = Pin<Box<dyn Stream<Item = Result<Json, Status>> + Send>>;
type Answer = Result<Response<Json>, Status>;

/// Bytes of one message of a stream of bytes.
const PIECE: usize = 1 << 20;

/// How long the answer to a change of endpoints waits for this process to serve it.
const SERVED_WITHIN: Duration = Duration::from_secs(5);

pub struct Door {
    handle: Handle,
    sessions: AtomicU64,
    /// The endpoints that this process serves, if it does.
    live: Option<Arc<Live>>,
    /// Where this process keeps requests and answers, if it does.
    capture: Option<Arc<dyn Sink>>,
}

impl Door {
    pub fn new(handle: Handle, live: Option<Arc<Live>>) -> Self {
        Self { handle, sessions: AtomicU64::new(0), live, capture: None }
    }

    /// With the rows that this process captures, so that they can be asked for.
    pub fn with_capture(self, capture: Option<Arc<dyn Sink>>) -> Self {
        Self { capture, ..self }
    }

    async fn ask<T: Serialize + Send + 'static>(
        &self,
        f: impl FnOnce(&mut Driver) -> Result<T, Refusal> + Send + 'static,
    ) -> Answer {
        let answer = self.handle.ask(f).await.map_err(refusal_to_status)?;
        encode(&answer).map(Response::new)
    }
}

impl Door {
    /// Answers once this process serves the change, so that whoever made it can ask at once.
    async fn once_served(&self, made: Result<Endpoint, Refusal>) -> Answer {
        let endpoint = made.map_err(refusal_to_status)?;
        if let Some(live) = &self.live {
            // At least that of this change, which is on disk.
            let revision = self.handle.ask(|d| Ok(*d.deployments().borrow())).await.map_err(refusal_to_status)?;
            let mut revisions = live.revisions();
            let served = revisions.wait_for(|r| *r >= revision);
            // The change is made whatever this node does; `endpoint show` tells who serves it.
            drop(tokio::time::timeout(SERVED_WITHIN, served).await);
        }
        encode(&endpoint).map(Response::new)
    }
}

/// Why a worker may not join, if it may not.
fn objection(hello: &Hello, handle: &Handle) -> Option<String> {
    if hello.protocol != PROTOCOL_VERSION {
        return Some(format!(
            "this coordinator speaks protocol {PROTOCOL_VERSION}, the worker ({}) speaks {}: run the same version everywhere",
            hello.program, hello.protocol
        ));
    }
    match hello.cluster {
        Some(cluster) if cluster != handle.cluster => Some(format!(
            "the worker's data folder {} belongs to cluster {cluster}, this is cluster {}: its shards would be taken for rubbish here",
            hello.data_dir, handle.cluster
        )),
        _ => None,
    }
}

/// Turns a worker's messages into events until its stream ends. True where it said good-bye.
async fn listen(handle: &Handle, mut stream: Streaming<Json>, worker: WorkerId, incarnation: Incarnation) -> bool {
    while let Some(Ok(message)) = stream.next().await {
        let event = match decode::<FromWorker>(&message) {
            Ok(FromWorker::Hello(_)) => continue,
            Ok(FromWorker::Heartbeat { running, sessions }) => {
                Event::Heartbeat { worker, incarnation, running, sessions }
            }
            Ok(FromWorker::Succeeded { attempt, output, seconds, log }) => {
                let event = Event::Succeeded { worker, incarnation, attempt, output, seconds };
                if handle.ended(event, log).await.is_err() {
                    return false;
                }
                continue;
            }
            Ok(FromWorker::Failed { attempt, failure, log }) => {
                // A user's error is the user's to read: it is told to them, or kept in the job's log.
                if !matches!(failure, Failure::BadInput { .. } | Failure::ProgramFailed { .. } | Failure::Killed) {
                    tracing::warn!(%attempt, %worker, %failure, "attempt failed");
                }
                if handle.ended(Event::Failed { worker, incarnation, attempt, failure }, log).await.is_err() {
                    return false;
                }
                continue;
            }
            Ok(FromWorker::Damaged { objects }) => {
                tracing::warn!(%worker, ?objects, "damaged copies");
                Event::Damaged { worker, objects }
            }
            Ok(FromWorker::Serving { url, revision }) => {
                let node = ServingNode { node: worker.to_string(), url, revision };
                if handle.tell(move |d| d.serves(node)).await.is_err() {
                    return false;
                }
                continue;
            }
            Ok(FromWorker::Counted { counted }) => {
                if handle.post(Command::Counted(counted)).await.is_err() {
                    return false;
                }
                continue;
            }
            Ok(FromWorker::Stored { object, bytes }) => Event::Stored { worker, object, bytes },
            Ok(FromWorker::Leaving) => {
                // Its outputs go with it; what it holds comes back with it.
                return handle.post(Command::Event(Event::Left { worker, incarnation })).await.is_ok();
            }
            Err(status) => {
                tracing::warn!(%worker, error = status.message(), "a message that cannot be read; closing the session");
                return false;
            }
        };
        if handle.post(Command::Event(event)).await.is_err() {
            return false;
        }
    }
    false
}

#[tonic::async_trait]
impl Coordinator for Door {
    type SessionStream = JsonStream;
    type WatchStream = JsonStream;
    type GraphStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

    async fn session(&self, request: Request<Streaming<Json>>) -> Result<Response<JsonStream>, Status> {
        let mut stream = request.into_inner();
        let first =
            stream.next().await.ok_or_else(|| Status::invalid_argument("the session has no first message"))??;
        let FromWorker::Hello(hello) = decode(&first)? else {
            return Err(Status::invalid_argument("the first message of a session is hello"));
        };
        let (out, messages) = mpsc::unbounded_channel();
        let answers = UnboundedReceiverStream::new(messages).map(|m: ToWorker| encode(&m));
        if let Some(reason) = objection(&hello, &self.handle) {
            tracing::warn!(worker = %hello.worker, reason, "refused a worker");
            drop(out.send(ToWorker::Refused { reason }));
            return Ok(Response::new(Box::pin(answers)));
        }
        let session = self.sessions.fetch_add(1, Ordering::Relaxed);
        let (worker, incarnation) = (hello.worker, hello.incarnation);
        drop(out.send(ToWorker::Welcome { cluster: self.handle.cluster, epoch: self.handle.epoch }));
        tracing::info!(%worker, url = hello.url, slots = hello.slots, objects = hello.objects.len(), "a worker joined");
        let joined = Joined {
            peer: Peer { worker, url: hello.url, machine: hello.machine, data_dir: hello.data_dir },
            incarnation,
            slots: hello.slots,
            memory: hello.memory,
            allow_programs: hello.allow_programs,
            objects: hello.objects,
            attempts: hello.attempts,
        };
        self.handle.join(joined, session, out).await.map_err(refusal_to_status)?;
        let handle = self.handle.clone();
        tokio::spawn(async move {
            let left = listen(&handle, stream, worker, incarnation).await;
            tracing::info!(%worker, left, "a worker's session ended");
            handle.disconnected(worker, session).await;
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn submit(&self, request: Request<Json>) -> Answer {
        let submission = decode(request.get_ref())?;
        self.ask(move |d| d.submit(submission)).await
    }

    async fn explain(&self, request: Request<Json>) -> Answer {
        let submission = decode(request.get_ref())?;
        self.ask(move |d| d.explain(submission)).await
    }

    async fn logs(&self, request: Request<Json>) -> Answer {
        let job: JobId = decode(request.get_ref())?;
        let logs = self.handle.ask(move |d| d.logs(job)).await.map_err(refusal_to_status)?;
        let read = tokio::task::spawn_blocking(move || logs.read(job)).await;
        let read = read.map_err(|e| Status::internal(e.to_string()))?;
        encode(&read.map_err(|e| Status::internal(format!("the logs of {job} cannot be read: {e}")))?)
            .map(Response::new)
    }

    async fn watch(&self, request: Request<Json>) -> Result<Response<JsonStream>, Status> {
        let job: JobId = decode(request.get_ref())?;
        let receiver = self.handle.ask(move |d| d.watch(job)).await.map_err(refusal_to_status)?;
        // The stream ends with the first final status, also when that is the one it begins with.
        let mut ended = false;
        let statuses = WatchStream::new(receiver).take_while(move |status: &JobStatus| {
            let go_on = !ended;
            ended = status.state.is_final();
            futures::future::ready(go_on)
        });
        Ok(Response::new(Box::pin(statuses.map(|s| encode(&s)))))
    }

    async fn cancel(&self, request: Request<Json>) -> Answer {
        let job = decode(request.get_ref())?;
        self.ask(move |d| d.cancel(job)).await
    }

    async fn list_jobs(&self, request: Request<Json>) -> Answer {
        let page = decode(request.get_ref())?;
        told(history::jobs(&self.handle, page).await)
    }

    async fn list_datasets(&self, _: Request<Json>) -> Answer {
        self.ask(|d| Ok(d.core().catalog().summaries())).await
    }

    async fn locate(&self, request: Request<Json>) -> Answer {
        let dataset = decode(request.get_ref())?;
        self.ask(move |d| d.core().locate(&dataset)).await
    }

    async fn versions(&self, request: Request<Json>) -> Answer {
        let name = decode(request.get_ref())?;
        self.ask(move |d| d.core().catalog().versions(&name)).await
    }

    async fn rename(&self, request: Request<Json>) -> Answer {
        let (from, to) = decode(request.get_ref())?;
        self.ask(move |d| d.command::<()>(Command::Rename { from, to })).await
    }

    async fn list_models(&self, request: Request<Json>) -> Answer {
        let name: Option<ModelName> = decode(request.get_ref())?;
        self.ask(move |d| d.core().registry().summaries(name.as_ref())).await
    }

    async fn get_model(&self, request: Request<Json>) -> Answer {
        let model = decode(request.get_ref())?;
        self.ask(move |d| d.core().registry().detail(&model)).await
    }

    async fn set_alias(&self, request: Request<Json>) -> Answer {
        let (model, alias, version) = decode(request.get_ref())?;
        self.ask(move |d| d.command::<()>(Command::SetAlias { model, alias, version })).await
    }

    async fn rollback(&self, request: Request<Json>) -> Answer {
        let (model, alias) = decode(request.get_ref())?;
        self.ask(move |d| d.command::<u32>(Command::Rollback { model, alias })).await
    }

    async fn remove_model(&self, request: Request<Json>) -> Answer {
        let model = decode(request.get_ref())?;
        self.ask(move |d| d.command::<Vec<ModelRef>>(Command::RemoveModel(model))).await
    }

    async fn store_graph(&self, request: Request<Streaming<Bytes>>) -> Answer {
        let files = self.handle.ask(|d| Ok(d.graph_files())).await.map_err(refusal_to_status)?;
        let mut stream = request.into_inner();
        let mut incoming = files.incoming().map_err(refusal_to_status)?;
        while let Some(piece) = stream.next().await {
            let piece = piece?;
            tokio::task::block_in_place(|| incoming.push(&piece.data)).map_err(refusal_to_status)?;
        }
        told(tokio::task::block_in_place(|| files.finish(incoming)))
    }

    async fn graph(&self, request: Request<Json>) -> Result<Response<Self::GraphStream>, Status> {
        let digest: String = decode(request.get_ref())?;
        let files = self.handle.ask(|d| Ok(d.graph_files())).await.map_err(refusal_to_status)?;
        let data = tokio::task::block_in_place(|| files.read(&digest)).map_err(refusal_to_status)?;
        let pieces = (0..data.len()).step_by(PIECE).map(move |at| {
            let end = (at + PIECE).min(data.len());
            Ok(Bytes { data: data.slice(at..end).into() })
        });
        Ok(Response::new(Box::pin(futures::stream::iter(pieces))))
    }

    async fn endpoints(&self, request: Request<Json>) -> Answer {
        let request: EndpointRequest = decode(request.get_ref())?;
        match request {
            EndpointRequest::Create { name, change } => {
                let made = self.handle.command(Command::CreateEndpoint { name, change }).await;
                self.once_served(made).await
            }
            EndpointRequest::Update { name, change } => {
                let made = self.handle.command(Command::UpdateEndpoint { name, change }).await;
                self.once_served(made).await
            }
            EndpointRequest::Delete { name } => {
                let removed = self.handle.command(Command::RemoveEndpoint(name)).await;
                self.once_served(removed).await
            }
            EndpointRequest::List => self.ask(|d| Ok(d.endpoint_list())).await,
            EndpointRequest::Show { name, seconds } => told(watched::status(&self.handle, name, seconds).await),
            EndpointRequest::Windows { name, seconds, every } => {
                told(watched::series(&self.handle, name, seconds, every).await)
            }
            EndpointRequest::FlushCapture => {
                let Some(capture) = &self.capture else { return encode(&0u64).map(Response::new) };
                let flushed = capture.flush().await;
                encode(&flushed.map_err(|e| refusal_to_status(Refusal::Unavailable(e.to_string())))?).map(Response::new)
            }
            EndpointRequest::Deployment => self.ask(|d| Ok(d.core().deployment())).await,
        }
    }

    async fn remove(&self, request: Request<Json>) -> Answer {
        let dataset = decode(request.get_ref())?;
        self.ask(move |d| d.command::<Vec<DatasetRef>>(Command::Remove(dataset))).await
    }

    async fn records(&self, request: Request<Json>) -> Answer {
        match decode(request.get_ref())? {
            RecordsRequest::One { job } => told(history::record(&self.handle, job).await),
            RecordsRequest::Page(page) => told(history::records(&self.handle, page).await),
        }
    }

    async fn taken_sources(&self, request: Request<Json>) -> Answer {
        let name = decode(request.get_ref())?;
        self.ask(move |d| Ok(d.core().catalog().taken(&name))).await
    }

    async fn nodes(&self, _: Request<Json>) -> Answer {
        self.ask(|d| Ok(d.core().nodes())).await
    }

    async fn drain(&self, request: Request<Json>) -> Answer {
        let worker = decode(request.get_ref())?;
        self.ask(move |d| d.command::<()>(Command::Drain(worker))).await
    }

    async fn upload_targets(&self, request: Request<Json>) -> Answer {
        let replicas = decode(request.get_ref())?;
        self.ask(move |d| d.core().upload_targets(replicas)).await
    }
}
