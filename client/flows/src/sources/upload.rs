//! Chunks on their way to workers' stores: several at once, each on as many distinct workers as copies are wanted.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shardmill_common::failure::Refusal;
use shardmill_common::ids::{ObjectId, WorkerId};
use shardmill_common::manifest::ObjectRef;
use shardmill_common::message::UploadTargets;
use shardmill_common::task::Peer;
use tokio::io::AsyncReadExt;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinHandle;

use super::error::{CopyFault, UploadError};
use super::open::checksum;
use crate::error::FlowError;
use shardmill_client::{Client, ClientError, STORE_PIECE, WorkerDoor};

/// Chunks in flight. Together with the chunk that is being cut they bound the memory of an upload.
const IN_FLIGHT: usize = 4;
/// A cluster whose workers are still connecting is waited for this long.
const WAIT_FOR_WORKERS: Duration = Duration::from_secs(10);

/// What is uploaded as one object.
pub enum Payload {
    Bytes(Bytes),
    /// A whole file, with the checksum it must have.
    File {
        path: PathBuf,
        size: u64,
        checksum: String,
    },
}

/// Uploads for one ingest. Cheap to clone.
#[derive(Clone)]
pub struct Uploader {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    runtime: Handle,
    replicas: Option<u32>,
    copies: usize,
    peers: Mutex<Vec<Peer>>,
    doors: Mutex<HashMap<WorkerId, WorkerDoor>>,
    permits: Arc<Semaphore>,
    turn: AtomicUsize,
    /// Why the first upload failed, if one did.
    failure: OnceLock<Arc<FlowError>>,
}

impl Uploader {
    /// Asks where to upload to.
    pub async fn new(client: &Client, replicas: Option<u32>) -> Result<Self, FlowError> {
        let targets = targets(client, replicas).await?;
        let inner = Inner {
            client: client.clone(),
            runtime: Handle::current(),
            replicas,
            copies: targets.copies.max(1) as usize,
            peers: Mutex::new(targets.peers),
            doors: Mutex::default(),
            permits: Arc::new(Semaphore::new(IN_FLIGHT)),
            turn: AtomicUsize::new(0),
            failure: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Begins an upload as soon as fewer than four are under way. Called from threads that may block.
    pub fn begin(&self, payload: Payload) -> Result<JoinHandle<Result<ObjectRef, FlowError>>, FlowError> {
        let inner = self.inner.clone();
        let permit = inner.runtime.block_on(inner.permits.clone().acquire_owned());
        let permit = permit.map_err(|_| match inner.failure.get() {
            Some(why) => UploadError::Earlier(why.clone()),
            None => UploadError::Stopped,
        })?;
        Ok(self.inner.runtime.spawn(async move {
            let result = inner.store(&payload).await.map_err(|e| {
                let why = Arc::new(e);
                // Only the first failure is kept. Whoever cuts the next chunk finds the door closed and gives up.
                let _ = inner.failure.set(why.clone());
                inner.permits.close();
                UploadError::Earlier(why).into()
            });
            drop(permit);
            result
        }))
    }
}

/// The targets, once there are any.
async fn targets(client: &Client, replicas: Option<u32>) -> Result<UploadTargets, FlowError> {
    let begun = Instant::now();
    loop {
        let error = match client.upload_targets(replicas).await {
            Ok(targets) if !targets.peers.is_empty() => return Ok(targets),
            Ok(_) => UploadError::NoWorker.into(),
            Err(e @ ClientError::Refused(Refusal::Unavailable(_))) => e.into(),
            Err(e) => return Err(e.into()),
        };
        if begun.elapsed() > WAIT_FOR_WORKERS {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Inner {
    /// Stores all copies under one id. A worker that fails is replaced by another.
    async fn store(&self, payload: &Payload) -> Result<ObjectRef, FlowError> {
        let id = ObjectId::fresh();
        let (size, sum) = match payload {
            Payload::Bytes(bytes) => (bytes.len() as u64, checksum(xxhash_rust::xxh3::xxh3_128(bytes))),
            Payload::File { size, checksum, .. } => (*size, checksum.clone()),
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut peers = self.peers.lock().await.clone();
        let mut tried: Vec<WorkerId> = Vec::new();
        let mut stored: Option<ObjectRef> = None;
        let mut copies = 0;
        let mut why = CopyFault::TooFewWorkers;
        while copies < self.copies {
            let next = (0..peers.len())
                .filter_map(|n| peers.get((turn + n) % peers.len()))
                .find(|p| !tried.contains(&p.worker))
                .cloned();
            let Some(peer) = next else {
                // Workers that joined since are asked too; without any, this is the end.
                let fresh = targets(&self.client, self.replicas).await?.peers;
                if fresh.iter().all(|p| tried.contains(&p.worker)) {
                    break;
                }
                peers = fresh;
                self.peers.lock().await.clone_from(&peers);
                continue;
            };
            tried.push(peer.worker);
            match self.store_on(&peer, id, payload).await {
                Ok(object) if object.bytes == size && object.checksum == sum => {
                    copies += 1;
                    stored = Some(object);
                }
                Ok(_) => why = CopyFault::OtherBytes(peer.worker),
                Err(e) => why = CopyFault::Failed(Box::new(e)),
            }
        }
        match stored {
            Some(object) if copies == self.copies => Ok(object),
            _ => Err(UploadError::Copies { made: copies, wanted: self.copies, why }.into()),
        }
    }

    async fn store_on(&self, peer: &Peer, id: ObjectId, payload: &Payload) -> Result<ObjectRef, FlowError> {
        let known = self.doors.lock().await.get(&peer.worker).cloned();
        let door = match known {
            Some(door) => door,
            None => {
                let door = self.client.worker(peer).await?;
                self.doors.lock().await.insert(peer.worker, door.clone());
                door
            }
        };
        match payload {
            Payload::Bytes(bytes) => Ok(door.store(bytes.clone(), Some(id)).await?),
            Payload::File { path, .. } => {
                let pieces =
                    pieces(path).await.map_err(|error| UploadError::Unreadable { path: path.clone(), error })?;
                Ok(door.store_stream(pieces, Some(id)).await?)
            }
        }
    }
}

/// A file in pieces. A piece that cannot be read ends the stream; the checksum then tells.
async fn pieces(path: &Path) -> std::io::Result<impl futures::Stream<Item = Bytes> + use<>> {
    let file = tokio::fs::File::open(path).await?;
    Ok(futures::stream::unfold(file, |mut file| async move {
        let mut piece = Vec::with_capacity(STORE_PIECE);
        match (&mut file).take(STORE_PIECE as u64).read_to_end(&mut piece).await {
            Ok(n) if n > 0 => Some((Bytes::from(piece), file)),
            _ => None,
        }
    }))
}
