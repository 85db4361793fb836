//! Getting bytes that other tasks and workers made: from this store, from a file on the same machine, or from the worker that
//! has them. Everything is checked before it is believed, and every failure says whose fault it was.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use shardmill_common::failure::Failure;
use shardmill_common::ids::{AttemptId, ObjectId, WorkerId};
use shardmill_common::layout::WorkerLayout;
use shardmill_common::manifest::ObjectRef;
use shardmill_common::message::FetchRequest;
use shardmill_common::model::OnnxGraph;
use shardmill_common::task::Peer;
use shardmill_proto::auth::AddToken;
use shardmill_proto::dial::{DialError, dial, dial_lazily};
use shardmill_proto::encode;
use shardmill_proto::v1::Bytes as Piece;
use shardmill_proto::v1::coordinator_client::CoordinatorClient;
use shardmill_proto::v1::worker_client::WorkerClient;
use shardmill_serving::model::onnx::Graphs;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

use crate::shuffle::LocalFile;
use crate::store::{NotIt, ReadError, Store, read_checked, verify};

/// A peer that sends nothing for this long is treated as gone.
const STALL: Duration = Duration::from_secs(20);

/// Where things are, as the coordinator knew when it launched the attempt.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Where {
    pub holders: Vec<(ObjectId, Vec<WorkerId>)>,
    pub peers: Vec<Peer>,
}

impl Where {
    fn peer(&self, worker: WorkerId) -> Option<&Peer> {
        self.peers.iter().find(|p| p.worker == worker)
    }

    /// The address of a worker.
    pub fn url(&self, worker: WorkerId) -> Option<&str> {
        Some(&self.peer(worker)?.url)
    }
}

pub struct Fetcher {
    pub store: Arc<Store>,
    me: WorkerId,
    machine: String,
    token: AddToken,
    runtime: tokio::runtime::Handle,
    channels: Mutex<HashMap<String, Channel>>,
    /// The graphs of imported models, of which the coordinator has the files.
    pub graphs: Arc<Graphs>,
}

impl Fetcher {
    pub fn new(
        store: Arc<Store>,
        me: WorkerId,
        machine: String,
        token: AddToken,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        Self { store, me, machine, token, runtime, channels: Mutex::default(), graphs: Arc::default() }
    }

    /// Gets the files of imported models from this coordinator.
    pub fn with_coordinator(self, url: String) -> Self {
        let (token, runtime) = (self.token.clone(), self.runtime.clone());
        let read = move |wanted: &OnnxGraph| runtime.block_on(graph_file(&url, token.clone(), wanted));
        Self { graphs: Arc::new(Graphs::new(read)), ..self }
    }

    /// What calls to other workers carry.
    pub fn token(&self) -> AddToken {
        self.token.clone()
    }

    /// The layout of a peer's folder, if this process can read it.
    fn on_this_machine(&self, peer: &Peer) -> Option<WorkerLayout> {
        (peer.machine == self.machine && !peer.data_dir.is_empty())
            .then(|| WorkerLayout::new(PathBuf::from(&peer.data_dir)))
    }

    /// The way to a peer; it is made when it is first used.
    pub fn channel(&self, url: &str) -> Result<Channel, DialError> {
        // Whoever asks, the connection lives where the worker's others do.
        let _entered = self.runtime.enter();
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(url) {
            return Ok(channel.clone());
        }
        let channel = dial_lazily(url)?;
        channels.insert(url.to_owned(), channel.clone());
        Ok(channel)
    }

    /// Opens the stream of what a peer sends for a request.
    async fn open(&self, url: &str, request: &FetchRequest) -> Result<PieceStream, PeerError> {
        let channel = self.channel(url)?;
        let mut client =
            WorkerClient::with_interceptor(channel, self.token.clone()).max_decoding_message_size(64 << 20);
        let request = encode(request).map_err(PeerError::of)?;
        let answer = tokio::time::timeout(STALL, client.fetch(request)).await.map_err(|_| stalled(url))?;
        Ok(PieceStream { url: url.to_owned(), stream: answer.map_err(PeerError::of)?.into_inner() })
    }

    /// All that a peer sends for a request.
    async fn stream(&self, url: &str, request: &FetchRequest) -> Result<Bytes, PeerError> {
        let mut stream = self.open(url, request).await?;
        let mut data = BytesMut::new();
        while let Some(piece) = stream.next().await? {
            data.extend_from_slice(&piece);
        }
        Ok(data.freeze())
    }

    /// An object, from the nearest good copy.
    pub fn object(&self, object: &ObjectRef, place: &Where) -> Result<Bytes, Failure> {
        let mut bad_copies = Vec::new();
        let mut reasons = Vec::new();
        match self.store.read(object) {
            Ok(data) => return Ok(data),
            Err(ReadError::Missing) => {
                let expected = place.holders.iter().any(|(id, workers)| *id == object.id && workers.contains(&self.me));
                if expected {
                    bad_copies.push(self.me);
                    reasons.push("the copy here is gone".to_owned());
                }
            }
            Err(e) => {
                bad_copies.push(self.me);
                reasons.push(format!("here: {e}"));
            }
        }
        let holders = place.holders.iter().find(|(id, _)| *id == object.id).map_or(&[][..], |(_, h)| h.as_slice());
        for worker in holders.iter().filter(|w| **w != self.me) {
            let Some(peer) = place.peer(*worker) else { continue };
            match self.object_from(peer, object) {
                Ok(data) => {
                    if !bad_copies.is_empty() {
                        tracing::warn!(object = %object.id, "the copy here is bad; read from {worker}");
                    }
                    return Ok(data);
                }
                Err(why) => {
                    if !matches!(why, PeerError::Unreachable(_)) {
                        bad_copies.push(*worker);
                    }
                    reasons.push(format!("worker {worker}: {why}"));
                }
            }
        }
        let message =
            if reasons.is_empty() { "no worker that answers holds it".to_owned() } else { reasons.join("; ") };
        Err(Failure::ObjectUnavailable { object: object.id, bad_copies, message })
    }

    fn object_from(&self, peer: &Peer, object: &ObjectRef) -> Result<Bytes, PeerError> {
        if let Some(layout) = self.on_this_machine(peer) {
            match read_checked(&layout.object(object.id), object) {
                Ok(data) => return Ok(data),
                Err(ReadError::Damaged(why)) => return Err(why.into()),
                // Another container's folder, perhaps: ask over the wire.
                Err(ReadError::Missing | ReadError::Io(_)) => {}
            }
        }
        let request = FetchRequest::Object { object: object.clone() };
        let data = self.runtime.block_on(self.stream(&peer.url, &request))?;
        verify(&data, object)?;
        Ok(data)
    }

    /// The shuffle files of a worker's attempts, for some of their partitions, if they can be read here.
    pub fn files_here(
        &self,
        worker: WorkerId,
        attempts: &[AttemptId],
        (from, to): (u32, u32),
        place: &Where,
    ) -> Option<Vec<LocalFile>> {
        let peer_layout;
        let layout = if worker == self.me {
            &self.store.layout
        } else {
            peer_layout = self.on_this_machine(place.peer(worker)?)?;
            // Another container's folder, perhaps: then it is asked over the wire.
            if !attempts.first().is_some_and(|first| peer_layout.shuffle_file(*first).exists()) {
                return None;
            }
            &peer_layout
        };
        let file = |attempt: &AttemptId| self.store.indexes.file(*attempt, layout.shuffle_file(*attempt), from, to);
        Some(attempts.iter().map(file).collect())
    }

    /// Asks a worker for the partitions `from..to` of what these attempts wrote.
    pub fn open_partitions(
        self: &Arc<Self>,
        url: &str,
        attempts: Vec<AttemptId>,
        from: u32,
        to: u32,
    ) -> JoinHandle<Result<PieceStream, PeerError>> {
        let (me, url) = (self.clone(), url.to_owned());
        self.runtime.spawn(async move { me.open(&url, &FetchRequest::Partitions { attempts, from, to }).await })
    }

    /// Waits until a stream is open.
    pub fn wait(&self, opening: JoinHandle<Result<PieceStream, PeerError>>) -> Result<PieceStream, PeerError> {
        let opened = self.runtime.block_on(opening);
        opened.unwrap_or_else(|e| Err(PeerError::Unreachable(e.to_string())))
    }

    /// The next bytes of a stream; `None` at its end.
    pub fn more(&self, stream: &mut PieceStream) -> Result<Option<Vec<u8>>, PeerError> {
        self.runtime.block_on(stream.next())
    }
}

/// The file of an imported model.
async fn graph_file(coordinator: &str, token: AddToken, wanted: &OnnxGraph) -> Result<Bytes, PeerError> {
    let channel = dial(coordinator).await?;
    let mut client = CoordinatorClient::with_interceptor(channel, token).max_decoding_message_size(64 << 20);
    let request = encode(&wanted.digest).map_err(PeerError::of)?;
    let answer = tokio::time::timeout(STALL, client.graph(request)).await.map_err(|_| stalled(coordinator))?;
    let mut stream = PieceStream { url: coordinator.to_owned(), stream: answer.map_err(PeerError::of)?.into_inner() };
    let mut data = BytesMut::new();
    while let Some(piece) = stream.next().await? {
        if (data.len() + piece.len()) as u64 > wanted.bytes {
            return Err(PeerError::Damaged("it is larger than it should be".to_owned()));
        }
        data.extend_from_slice(&piece);
    }
    Ok(data.freeze())
}

/// What a peer sends, as it comes.
pub struct PieceStream {
    url: String,
    stream: Streaming<Piece>,
}

impl PieceStream {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, PeerError> {
        let next = tokio::time::timeout(STALL, self.stream.message()).await.map_err(|_| stalled(&self.url))?;
        Ok(next.map_err(PeerError::of)?.map(|piece| piece.data))
    }
}

fn stalled(url: &str) -> PeerError {
    PeerError::Unreachable(format!("{url} sent nothing for {} s", STALL.as_secs()))
}

/// Why a peer gave nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PeerError {
    /// It does not have it, or not as it should be.
    #[error("{0}")]
    Damaged(String),
    #[error("{0}")]
    Unreachable(String),
    #[error(transparent)]
    NotIt(#[from] NotIt),
}

impl From<DialError> for PeerError {
    fn from(error: DialError) -> Self {
        PeerError::Unreachable(error.to_string())
    }
}

impl PeerError {
    fn of(status: tonic::Status) -> Self {
        match status.code() {
            Code::NotFound | Code::DataLoss => PeerError::Damaged(status.message().to_owned()),
            _ => PeerError::Unreachable(status.message().to_owned()),
        }
    }
}
