//! Getting bytes that other tasks and workers made: from this store, from a file on the same machine, or from the worker that
//! has them. Everything is checked before it is believed, and every failure says whose fault it was.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use shardmill_common::failure::Failure;
use shardmill_common::ids::{AttemptId, ObjectId, WorkerId};
use shardmill_common::layout::WorkerLayout;
use shardmill_common::manifest::ObjectRef;
use shardmill_common::message::FetchRequest;
use shardmill_common::model::OnnxGraph;
use shardmill_common::task::Peer;
use shardmill_proto::auth::AddToken;
use shardmill_proto::encode;
use shardmill_proto::v1::coordinator_client::CoordinatorClient;
use shardmill_proto::v1::worker_client::WorkerClient;
use shardmill_serving::model::onnx::Graphs;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::store::{ReadError, Store, read_checked, verify};

/// A peer that sends nothing for this long is treated as gone.
const STALL: Duration = Duration::from_secs(20);

/// Where things are, as the coordinator knew when it launched the attempt.
#[derive(Clone, Debug, Default)]
pub struct Where {
    pub holders: Vec<(ObjectId, Vec<WorkerId>)>,
    pub peers: Vec<Peer>,
}

impl Where {
    fn peer(&self, worker: WorkerId) -> Option<&Peer> {
        self.peers.iter().find(|p| p.worker == worker)
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

    /// The layout of a peer's folder, if this process can read it.
    fn on_this_machine(&self, peer: &Peer) -> Option<WorkerLayout> {
        (peer.machine == self.machine && !peer.data_dir.is_empty())
            .then(|| WorkerLayout::new(PathBuf::from(&peer.data_dir)))
    }

    fn channel(&self, url: &str) -> Result<Channel, String> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(url) {
            return Ok(channel.clone());
        }
        let channel = Endpoint::from_shared(url.to_owned())
            .map_err(|e| e.to_string())?
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(10))
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            .tcp_nodelay(true)
            .connect_lazy();
        channels.insert(url.to_owned(), channel.clone());
        Ok(channel)
    }

    /// Streams what a peer sends for a request.
    async fn stream(&self, url: &str, request: &FetchRequest) -> Result<Bytes, PeerError> {
        let channel = self.channel(url).map_err(PeerError::Unreachable)?;
        let mut client =
            WorkerClient::with_interceptor(channel, self.token.clone()).max_decoding_message_size(64 << 20);
        let shown = |s: tonic::Status| match s.code() {
            Code::NotFound | Code::DataLoss => PeerError::Damaged(s.message().to_owned()),
            _ => PeerError::Unreachable(s.message().to_owned()),
        };
        let request = encode(request).map_err(shown)?;
        let stalled = |_| PeerError::Unreachable(format!("{url} sent nothing for {} s", STALL.as_secs()));
        let answer = tokio::time::timeout(STALL, client.fetch(request)).await.map_err(stalled)?.map_err(shown)?;
        let mut stream = answer.into_inner();
        let mut data = BytesMut::new();
        while let Some(piece) = tokio::time::timeout(STALL, stream.message()).await.map_err(stalled)?.map_err(shown)? {
            data.extend_from_slice(&piece.data);
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
                Err(PeerError::Damaged(why)) => {
                    bad_copies.push(*worker);
                    reasons.push(format!("worker {worker}: {why}"));
                }
                Err(PeerError::Unreachable(why)) => reasons.push(format!("worker {worker}: {why}")),
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
                Err(ReadError::Damaged(why)) => return Err(PeerError::Damaged(why)),
                // Another container's folder, perhaps: ask over the wire.
                Err(ReadError::Missing | ReadError::Io(_)) => {}
            }
        }
        let request = FetchRequest::Object { object: object.clone() };
        let data = self.runtime.block_on(self.stream(&peer.url, &request))?;
        verify(&data, object).map_err(PeerError::Damaged)?;
        Ok(data)
    }

    /// A partition of another attempt's shuffle file.
    pub fn partition(
        &self,
        attempt: AttemptId,
        worker: WorkerId,
        partition: u32,
        place: &Where,
    ) -> Result<Bytes, Failure> {
        let failed = |message: String| Failure::FetchFailed { task: attempt.task, worker, message };
        if worker == self.me {
            return crate::shuffle::partition_in_file(&self.store.layout.shuffle_file(attempt), partition)
                .map_err(failed);
        }
        let Some(peer) = place.peer(worker) else { return Err(failed("its address is not known".into())) };
        if let Some(layout) = self.on_this_machine(peer)
            && let path = layout.shuffle_file(attempt)
            && path.exists()
        {
            return crate::shuffle::partition_in_file(&path, partition).map_err(failed);
        }
        let request = FetchRequest::Partition { attempt, partition };
        let data = self.runtime.block_on(self.stream(&peer.url, &request)).map_err(|e| match e {
            PeerError::Damaged(why) | PeerError::Unreachable(why) => failed(why),
        })?;
        // The sender puts the partition's checksum in front.
        let Some((sum, body)) = data.split_first_chunk::<8>() else {
            return Err(failed("the answer is cut short".into()));
        };
        if xxhash_rust::xxh3::xxh3_64(body) != u64::from_le_bytes(*sum) {
            return Err(failed("its checksum does not fit what came".into()));
        }
        Ok(data.slice(8..))
    }
}

/// The file of an imported model.
async fn graph_file(coordinator: &str, token: AddToken, wanted: &OnnxGraph) -> Result<Bytes, String> {
    let failed = |why: String| format!("the file of the imported model {} cannot be had: {why}", wanted.file);
    let endpoint = Endpoint::from_shared(coordinator.to_owned()).map_err(|e| failed(e.to_string()))?;
    let channel =
        endpoint.connect_timeout(Duration::from_secs(5)).connect().await.map_err(|e| failed(e.to_string()))?;
    let mut client = CoordinatorClient::with_interceptor(channel, token).max_decoding_message_size(64 << 20);
    let shown = |s: tonic::Status| failed(s.message().to_owned());
    let stalled = |_| failed(format!("{coordinator} sent nothing for {} s", STALL.as_secs()));
    let request = encode(&wanted.digest).map_err(shown)?;
    let answer = tokio::time::timeout(STALL, client.graph(request)).await.map_err(stalled)?.map_err(shown)?;
    let mut stream = answer.into_inner();
    let mut data = BytesMut::new();
    while let Some(piece) = tokio::time::timeout(STALL, stream.message()).await.map_err(stalled)?.map_err(shown)? {
        if (data.len() + piece.data.len()) as u64 > wanted.bytes {
            return Err(failed("it is larger than it should be".into()));
        }
        data.extend_from_slice(&piece.data);
    }
    Ok(data.freeze())
}

enum PeerError {
    Damaged(String),
    Unreachable(String),
}
