//! Workers as the scheduler sees them.

use std::collections::BTreeMap;

use shardmill_common::ids::{AttemptId, Incarnation, WorkerId};
use shardmill_common::task::Peer;

/// ```text
///  Away(since) --joined--> Alive --session broke--> Away(since) --grace over--> Lost
///       ^                    ^                                                   |
///       |                    +-------------------- joined -----------------------+
///   known from the journal
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Alive,
    /// Its session broke; it may come back with its work.
    Away {
        since: i64,
        grace_ms: i64,
    },
    /// Its work was given away; its objects count as missing once it has been gone for long.
    Lost {
        since: i64,
    },
}

#[derive(Clone, Debug)]
pub struct Worker {
    pub peer: Peer,
    pub incarnation: Incarnation,
    pub presence: Presence,
    pub slots: u32,
    pub memory: u64,
    /// It runs programs that users bring.
    pub allow_programs: bool,
    pub last_seen: i64,
    pub draining: bool,
    /// Attempts sent to it and not yet ended, with the memory each may need.
    pub running: BTreeMap<AttemptId, u64>,
    /// Of these, the ones that it does not say it runs, and since when: a launch or a report was lost on the way.
    pub unconfirmed: BTreeMap<AttemptId, i64>,
    /// Bytes of encoded shards that it keeps for trainings, as it last said.
    pub sessions: u64,
    /// Bytes of objects it holds: new copies go where there is least.
    pub stored_bytes: u64,
}

impl Worker {
    pub fn id(&self) -> WorkerId {
        self.peer.worker
    }

    pub fn is_alive(&self) -> bool {
        self.presence == Presence::Alive
    }

    /// Whether an attempt that needs `memory` may start.
    pub fn has_room(&self, memory: u64) -> bool {
        self.has_slot() && memory <= self.room()
    }

    pub fn has_slot(&self) -> bool {
        self.is_alive() && !self.draining && self.running.len() < self.slots as usize
    }

    /// Bytes that one more attempt may need, besides what runs and what is kept for trainings. One attempt always may start, or a large task would never run.
    pub fn room(&self) -> u64 {
        if self.running.is_empty() {
            return u64::MAX;
        }
        let taken = self.running.values().fold(self.sessions, |sum: u64, memory| sum.saturating_add(*memory));
        self.memory.saturating_sub(taken)
    }

    /// Since when it has been gone, if it has.
    pub fn gone_since(&self) -> Option<i64> {
        match self.presence {
            Presence::Alive => None,
            Presence::Away { since, .. } | Presence::Lost { since } => Some(since),
        }
    }
}
