//! The worker's gRPC door: objects and partitions out, uploaded chunks in.

use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;
use futures::{Stream, StreamExt};
use shardmill_common::failure::{Failure, Refusal};
use shardmill_common::ids::{AttemptId, ObjectId};
use shardmill_common::message::FetchRequest;
use shardmill_proto::v1::worker_server::Worker;
use shardmill_proto::v1::{Bytes, Json};
use shardmill_proto::{OBJECT_ID_HEADER, decode, encode, refusal_to_status};
use shardmill_serving::capture::Sink;
use tonic::{Request, Response, Status, Streaming};

use crate::agent::Agent;
use crate::shuffle::{LocalPartitions, PartitionError, Piece};
use crate::store::{ReadError, Store};

/// Bytes in one message.
const MESSAGE: usize = 1 << 20;

pub struct Door {
    store: Arc<Store>,
    agent: Arc<Agent>,
    /// Where this process keeps requests and answers, if it does.
    capture: Option<Arc<dyn Sink>>,
}

impl Door {
    pub fn new(store: Arc<Store>, agent: Arc<Agent>) -> Self {
        Self { store, agent, capture: None }
    }

    /// With the rows that this process captures, so that they can be asked for.
    pub fn with_capture(self, capture: Option<Arc<dyn Sink>>) -> Self {
        Self { capture, ..self }
    }
}

/// Bytes that a stream reads ahead: many of them may be open at once, each waiting for its turn at the receiver.
const AHEAD: u64 = 1 << 20;

/// Partitions on their way to whoever asked, read as they are taken: no thread waits for a slow receiver, and no more than a window
/// of each stream is in memory.
struct Outgoing {
    partitions: LocalPartitions,
    buffer: BytesMut,
    /// A partition that cannot be read. Everything before goes first: the receiver counts, and so knows whose this is.
    failed: Option<PartitionError>,
}

impl Outgoing {
    fn new(store: &Store, attempts: &[AttemptId], from: u32, to: u32) -> Self {
        let file = |attempt: &AttemptId| store.indexes.file(*attempt, store.layout.shuffle_file(*attempt), from, to);
        let files = attempts.iter().map(file).collect();
        let partitions = LocalPartitions::new(files, to.saturating_sub(from), AHEAD);
        Self { partitions, buffer: BytesMut::new(), failed: None }
    }

    /// The next message; reads files.
    fn next(&mut self) -> Option<Result<Bytes, Status>> {
        while self.buffer.len() < MESSAGE && self.failed.is_none() {
            match self.partitions.next() {
                None => break,
                Some(Ok(data)) => Piece::put(&mut self.buffer, &data),
                Some(Err(why)) => self.failed = Some(why),
            }
        }
        if self.buffer.is_empty() {
            return self.failed.take().map(|why| Err(Status::data_loss(why.to_string())));
        }
        let data = self.buffer.split_to(self.buffer.len().min(MESSAGE)).to_vec();
        Some(Ok(Bytes { data }))
    }
}

/// A store's failure as the caller sees it.
pub fn store_status(failure: &Failure) -> Status {
    match failure {
        Failure::DiskFull { .. } => Status::resource_exhausted(failure.to_string()),
        _ => Status::internal(failure.to_string()),
    }
}

#[tonic::async_trait]
impl Worker for Door {
    type FetchStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

    async fn fetch(&self, request: Request<Json>) -> Result<Response<Self::FetchStream>, Status> {
        let request: FetchRequest = decode(request.get_ref())?;
        let store = self.store.clone();
        let object = match request {
            FetchRequest::Object { object } => object,
            FetchRequest::Partitions { attempts, from, to } => {
                // Opened with the first message: indexes of many files take a moment.
                let first: Box<dyn FnOnce() -> Outgoing + Send> =
                    Box::new(move || Outgoing::new(&store, &attempts, from, to));
                let messages = futures::stream::unfold(first, |open| async {
                    let read = tokio::task::spawn_blocking(move || {
                        let mut outgoing = open();
                        let message = outgoing.next();
                        let next: Box<dyn FnOnce() -> Outgoing + Send> = Box::new(move || outgoing);
                        (message, next)
                    });
                    let read = read.await;
                    // Only a panic ends it so; the receiver finds the answer cut short.
                    let (message, outgoing) = read.ok()?;
                    Some((message?, outgoing))
                });
                return Ok(Response::new(Box::pin(messages)));
            }
        };
        let read = tokio::task::spawn_blocking(move || {
            store.read(&object).map_err(|e| match e {
                ReadError::Missing => Status::not_found(e.to_string()),
                ReadError::Damaged(_) => Status::data_loss(e.to_string()),
                ReadError::Io(_) => Status::internal(e.to_string()),
            })
        });
        let data = read.await.map_err(|e| Status::internal(e.to_string()))??;
        let pieces = (0..data.len()).step_by(MESSAGE).map(move |at| {
            let end = (at + MESSAGE).min(data.len());
            Ok(Bytes { data: data.slice(at..end).into() })
        });
        Ok(Response::new(Box::pin(futures::stream::iter(pieces))))
    }

    async fn flush_capture(&self, _: Request<Json>) -> Result<Response<Json>, Status> {
        let Some(capture) = &self.capture else { return encode(&0u64).map(Response::new) };
        let flushed = capture.flush().await;
        encode(&flushed.map_err(|e| refusal_to_status(Refusal::Unavailable(e.to_string())))?).map(Response::new)
    }

    async fn store(&self, request: Request<Streaming<Bytes>>) -> Result<Response<Json>, Status> {
        let id = match request.metadata().get(OBJECT_ID_HEADER) {
            None => ObjectId::fresh(),
            Some(id) => id
                .to_str()
                .ok()
                .and_then(|t| t.parse().ok())
                .ok_or_else(|| Status::invalid_argument(format!("the header `{OBJECT_ID_HEADER}` is not an id")))?,
        };
        let mut stream = request.into_inner();
        let (tx, rx) = std::sync::mpsc::sync_channel::<Vec<u8>>(4);
        let store = self.store.clone();
        let writer = tokio::task::spawn_blocking(move || {
            let failed = |e: &std::io::Error| store_status(&store.incoming_failure(e));
            let mut incoming = store.incoming().map_err(|e| failed(&e))?;
            let mut complete = false;
            while let Ok(piece) = rx.recv() {
                if piece.is_empty() {
                    complete = true;
                    break;
                }
                incoming.push(&piece).map_err(|e| failed(&e))?;
            }
            if !complete {
                return Err(Status::aborted("the upload was cut short"));
            }
            let object = incoming.summary(id);
            match store.read(&object) {
                Err(ReadError::Missing) => {}
                // The same upload once more.
                Ok(_) => return Ok(object),
                Err(_) => return Err(Status::already_exists(format!("there is another object {id}"))),
            }
            incoming.publish(id).map_err(|e| failed(&e))?;
            Ok(object)
        });
        let mut broken = None;
        while let Some(piece) = stream.next().await {
            let piece = match piece {
                Ok(piece) if piece.data.is_empty() => continue,
                Ok(piece) => piece,
                Err(status) => {
                    broken = Some(status);
                    break;
                }
            };
            let tx = tx.clone();
            let sent = tokio::task::spawn_blocking(move || tx.send(piece.data)).await;
            if !matches!(sent, Ok(Ok(()))) {
                // The writer gave up; it says why.
                break;
            }
        }
        if broken.is_none() {
            let tx = tx.clone();
            // An empty piece marks the end.
            drop(tokio::task::spawn_blocking(move || tx.send(Vec::new())).await);
        }
        drop(tx);
        let object = writer.await.map_err(|e| Status::internal(e.to_string()))?;
        if let Some(status) = broken {
            return Err(status);
        }
        let object = object?;
        self.agent.stored(object.id, object.bytes);
        encode(&object).map(Response::new)
    }
}
