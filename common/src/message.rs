//! The messages between coordinator, workers and clients. They travel as JSON inside gRPC messages: one encoding for the
//! journal, the record and the wire.

use serde::{Deserialize, Serialize};

use crate::endpoint::Counted;
use crate::failure::Failure;
use crate::ids::{AttemptId, ClusterId, Incarnation, JobId, ObjectId, WorkerId};
use crate::manifest::{Manifest, ObjectRef};
use crate::shared::Digest;
use crate::task::{Launch, Peer, TaskOutput, TaskPlace};

/// Raised when a message changes its meaning; peers of another version are refused by name.
pub const PROTOCOL_VERSION: u32 = 6;

/// What a worker says of itself when it opens its session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    pub protocol: u32,
    pub program: String,
    pub worker: WorkerId,
    pub incarnation: Incarnation,
    /// The cluster its data folder belongs to, if it ever joined one.
    pub cluster: Option<ClusterId>,
    pub url: String,
    pub machine: String,
    pub data_dir: String,
    pub slots: u32,
    pub memory: u64,
    /// It runs programs that users bring.
    pub allow_programs: bool,
    /// Every object in its store.
    pub objects: Vec<StoredObject>,
    /// Attempts that are running here.
    pub attempts: Vec<AttemptId>,
}

/// An object as a worker lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    pub id: ObjectId,
    pub bytes: u64,
    /// Seconds since it was written.
    pub age: u64,
}

/// Progress of a running attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptProgress {
    pub attempt: AttemptId,
    pub rows: u64,
    pub bytes: u64,
    /// What its program last said of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// From a worker to the coordinator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum FromWorker {
    Hello(Hello),
    Heartbeat {
        running: Vec<AttemptProgress>,
        /// Bytes of the encoded shards that it keeps for trainings.
        sessions: u64,
    },
    Succeeded {
        attempt: AttemptId,
        output: Box<TaskOutput>,
        seconds: f64,
        /// What its program wrote to standard error.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
    },
    Failed {
        attempt: AttemptId,
        failure: Failure,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
    },
    /// The scrub or a reader found these copies damaged or missing.
    Damaged {
        objects: Vec<ObjectId>,
    },
    /// An uploaded object arrived.
    Stored {
        object: ObjectId,
        bytes: u64,
    },
    /// It serves all endpoints as of this change, at this URL.
    Serving {
        url: String,
        revision: u64,
    },
    /// What it counted of requests since it last said so.
    Counted {
        counted: Vec<Counted>,
    },
    /// The worker is going down in good order.
    Leaving,
}

/// From the coordinator to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum ToWorker {
    Welcome {
        cluster: ClusterId,
        epoch: u64,
    },
    Refused {
        reason: String,
    },
    /// Where the outputs of a stage are, for launches that follow and refer to this version of the list. A long list comes in
    /// pieces; the first begins at 0.
    Places {
        job: JobId,
        stage: u32,
        version: u64,
        begin: u64,
        places: Vec<TaskPlace>,
    },
    /// A part that launches of the job name. A long one comes in pieces of its JSON; the last one ends it.
    Part {
        job: JobId,
        digest: Digest,
        piece: String,
        last: bool,
    },
    /// No launch that follows names these parts.
    DropParts {
        job: JobId,
        parts: Vec<Digest>,
    },
    Launch(Box<Launch>),
    Kill {
        attempt: AttemptId,
    },
    /// Objects nobody refers to any more.
    Delete {
        objects: Vec<ObjectId>,
    },
    /// Read these and report those that are damaged or missing.
    Verify {
        objects: Vec<ObjectRef>,
    },
    /// Endpoints changed: a worker that serves asks for the deployment.
    Deploy {
        revision: u64,
    },
    /// The job is over: its shuffle files and parts can go.
    Forget {
        job: JobId,
    },
}

/// Which part of a list, newest first, is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// What is older than this job. `None`: from the newest on.
    #[serde(default)]
    pub before: Option<JobId>,
    /// So many at most.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Part of a list, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paged<T> {
    pub items: Vec<T>,
    /// Entries of this part that cannot be read.
    pub damaged: Vec<DamagedEntry>,
    /// Where the list goes on: the `before` of the next page. `None` at its end.
    pub next: Option<JobId>,
}

/// An entry that is there and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedEntry {
    pub job: JobId,
    pub why: String,
}

/// Which records are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordsRequest {
    /// Answered with the record.
    One { job: JobId },
    /// Answered with `Paged<Record>`.
    Page(Page),
}

/// A manifest with the workers that hold each of its objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocatedManifest {
    pub manifest: Manifest,
    pub holders: Vec<(ObjectId, Vec<WorkerId>)>,
    pub peers: Vec<Peer>,
}

/// Where a client may upload chunks, and how many copies to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UploadTargets {
    pub peers: Vec<Peer>,
    pub copies: u32,
}

/// What a worker is asked to send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum FetchRequest {
    Object {
        object: ObjectRef,
    },
    /// The partitions `from..to` of the shuffle files of these attempts: partition after partition, in each the files in this
    /// order. Each piece is preceded by its length and its checksum (xxh3-64), eight bytes each, little-endian.
    Partitions {
        attempts: Vec<AttemptId>,
        from: u32,
        to: u32,
    },
}

/// An Arrow Flight ticket: the rows of one shard. Made by the coordinator, answered by any worker (best by one that holds it).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadTicket {
    pub shard: crate::manifest::ShardEntry,
    /// The dataset's schema, to which older shards are brought.
    pub schema: crate::schema::Schema,
    /// Rows of the shard to leave out at the start, and how many to send at most.
    #[serde(default)]
    pub skip: u64,
    #[serde(default)]
    pub limit: Option<u64>,
    /// Where the shard's objects are, should the worker that is asked not have them.
    pub holders: Vec<(ObjectId, Vec<WorkerId>)>,
    pub peers: Vec<Peer>,
}

impl LocatedManifest {
    /// The ticket that reads shard number `ordinal`, and the peers that hold it.
    pub fn ticket(&self, ordinal: usize) -> Option<(ReadTicket, Vec<Peer>)> {
        let shard = self.manifest.shards.get(ordinal)?.clone();
        let wanted: Vec<ObjectId> = shard.objects().map(|o| o.id).collect();
        let holders: Vec<_> = self.holders.iter().filter(|(id, _)| wanted.contains(id)).cloned().collect();
        let has =
            |peer: &Peer, id: ObjectId| holders.iter().any(|(o, workers)| *o == id && workers.contains(&peer.worker));
        let peers: Vec<Peer> = self.peers.iter().filter(|p| wanted.iter().any(|id| has(p, *id))).cloned().collect();
        let mut at: Vec<Peer> = peers.iter().filter(|p| has(p, shard.object.id)).cloned().collect();
        at.sort_by_key(|p| p.worker);
        Some((ReadTicket { shard, schema: self.manifest.schema.clone(), skip: 0, limit: None, holders, peers }, at))
    }
}
