//! Encoded shards held in this worker's memory between the rounds of a training.
//!
//! The cache has a budget of bytes. Entries of other trainings make room, those used longest ago first; entries of the same
//! training do not, since every round asks for all of them in turn, and the one used longest ago would be the next one wanted.
//! What finds no room is used but not kept: data larger than memory trains from disk in part, slower, with the same result.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shardmill_common::counters::Counters;
use shardmill_common::manifest::ShardIdentity;
use shardmill_serving::model::Matrix;

/// An entry that no round asked for in this time belongs to a training that is over.
const IDLE: Duration = Duration::from_secs(300);

/// What is learnt, row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Nothing: clusters.
    None,
    /// The class's number.
    Classes(Vec<u32>),
    Numbers(Vec<f64>),
}

/// A shard ready for rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub matrix: Matrix,
    /// The shard's rows that the matrix has; `None`: all.
    pub rows: Option<Vec<u32>>,
    pub targets: Targets,
    /// Row weight times class weight; `None` where all are 1.
    pub weights: Option<Vec<f64>>,
    /// Rows of the shard, whether used or not.
    pub shard_rows: u64,
    /// `unknown_categories/COLUMN`: what an update finds that its model does not know.
    pub counters: Counters,
}

impl Session {
    /// Bytes it holds.
    pub fn bytes(&self) -> u64 {
        let targets = match &self.targets {
            Targets::None => 0,
            Targets::Classes(classes) => classes.len() * 4,
            Targets::Numbers(numbers) => numbers.len() * 8,
        };
        let codes: usize = self.matrix.codes.iter().map(|c| c.codes.len() * 4).sum();
        let own = self.matrix.values.len() * 8
            + codes
            + targets
            + self.rows.as_ref().map_or(0, |r| r.len() * 4)
            + self.weights.as_ref().map_or(0, |w| w.len() * 8);
        own as u64 + size_of::<Session>() as u64
    }

    /// The shard's row that a row of the matrix was.
    pub fn shard_row(&self, row: usize) -> u64 {
        match &self.rows {
            None => row as u64,
            Some(rows) => rows.get(row).copied().map_or(row as u64, u64::from),
        }
    }
}

/// A shard as a version shows it, and how it was encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey {
    pub shard: ShardIdentity,
    /// Of the encoder, the target and the weights.
    pub digest: u128,
}

struct Entry {
    session: Arc<Session>,
    bytes: u64,
    used: Instant,
    /// Grows with every use: the order for eviction, where clocks are too coarse.
    turn: u64,
}

#[derive(Default)]
struct Held {
    entries: HashMap<SessionKey, Entry>,
    bytes: u64,
    turn: u64,
}

impl Held {
    fn remove(&mut self, key: &SessionKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }

    fn drop_idle(&mut self, now: Instant) {
        let idle: Vec<SessionKey> = self
            .entries
            .iter()
            .filter(|(_, e)| now.saturating_duration_since(e.used) > IDLE)
            .map(|(key, _)| *key)
            .collect();
        idle.iter().for_each(|key| self.remove(key));
    }
}

/// The sessions of one worker. By default it keeps nothing.
#[derive(Default)]
pub struct Sessions {
    budget: u64,
    held: Mutex<Held>,
}

impl Sessions {
    pub fn new(budget: u64) -> Self {
        Self { budget, held: Mutex::default() }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that are kept now.
    pub fn bytes(&self) -> u64 {
        let mut held = self.held();
        held.drop_idle(Instant::now());
        held.bytes
    }

    pub fn get(&self, key: &SessionKey) -> Option<Arc<Session>> {
        self.get_at(key, Instant::now())
    }

    /// Keeps a session if there can be room for it.
    pub fn put(&self, key: SessionKey, session: &Arc<Session>) {
        self.put_at(key, session, Instant::now());
    }

    fn get_at(&self, key: &SessionKey, now: Instant) -> Option<Arc<Session>> {
        let mut held = self.held();
        held.drop_idle(now);
        held.turn += 1;
        let turn = held.turn;
        let entry = held.entries.get_mut(key)?;
        entry.used = now;
        entry.turn = turn;
        Some(entry.session.clone())
    }

    fn put_at(&self, key: SessionKey, session: &Arc<Session>, now: Instant) {
        let bytes = session.bytes();
        let mut held = self.held();
        held.drop_idle(now);
        held.remove(&key);
        let own: u64 = held.entries.iter().filter(|(k, _)| k.digest == key.digest).map(|(_, e)| e.bytes).sum();
        if own + bytes > self.budget {
            return;
        }
        while held.bytes + bytes > self.budget {
            let others = held.entries.iter().filter(|(k, _)| k.digest != key.digest);
            let Some(oldest) = others.min_by_key(|(_, e)| e.turn).map(|(key, _)| *key) else { break };
            held.remove(&oldest);
        }
        held.turn += 1;
        held.bytes += bytes;
        let entry = Entry { session: session.clone(), bytes, used: now, turn: held.turn };
        held.entries.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(rows: usize) -> Arc<Session> {
        let matrix = Matrix { rows, width: 1, dense: vec![0], values: vec![0.5; rows], codes: Vec::new() };
        Arc::new(Session {
            matrix,
            rows: None,
            targets: Targets::None,
            weights: None,
            shard_rows: rows as u64,
            counters: Default::default(),
        })
    }

    fn key(digest: u128) -> SessionKey {
        SessionKey { shard: ("00000000000000000000000000000001".parse().unwrap(), None), digest }
    }

    #[test]
    fn the_one_used_longest_ago_makes_room() {
        let sessions = Sessions::new(session(100).bytes() * 2);
        (1..=2).for_each(|n| sessions.put(key(n), &session(100)));
        assert!(sessions.get(&key(1)).is_some());
        sessions.put(key(3), &session(100));
        assert!(sessions.get(&key(2)).is_none(), "2 was used before 1");
        assert!(sessions.get(&key(1)).is_some() && sessions.get(&key(3)).is_some());
        assert_eq!(sessions.held().bytes, session(100).bytes() * 2);
    }

    #[test]
    fn shards_of_one_training_do_not_drive_each_other_out() {
        let sessions = Sessions::new(session(100).bytes() * 2);
        let shard = |n: u32| SessionKey { shard: (format!("{n:032x}").parse().unwrap(), None), ..key(1) };
        sessions.put(key(9), &session(100));
        let round = || (1..=3).filter(|n| sessions.get(&shard(*n)).is_some()).count();
        for _ in 0..2 {
            (1..=3).for_each(|n| sessions.put(shard(n), &session(100)));
            assert_eq!(round(), 2, "every round finds two of three");
        }
        assert!(sessions.get(&key(9)).is_none(), "another training made room");
    }

    #[test]
    fn what_is_larger_than_the_budget_is_not_kept_and_drives_nothing_out() {
        let sessions = Sessions::new(session(100).bytes());
        sessions.put(key(1), &session(100));
        sessions.put(key(2), &session(101));
        assert!(sessions.get(&key(2)).is_none());
        assert!(sessions.get(&key(1)).is_some());
        assert!(Sessions::default().get(&key(1)).is_none());
    }

    #[test]
    fn putting_a_key_again_counts_it_once_and_shares_it() {
        let sessions = Sessions::new(1 << 20);
        let one = session(10);
        sessions.put(key(1), &session(10));
        sessions.put(key(1), &one);
        assert_eq!(sessions.held().bytes, one.bytes());
        assert!(Arc::ptr_eq(&one, &sessions.get(&key(1)).unwrap()));
    }

    #[test]
    fn idle_entries_go_at_the_next_access() {
        let sessions = Sessions::new(1 << 20);
        let start = Instant::now();
        sessions.put_at(key(1), &session(10), start);
        sessions.put_at(key(2), &session(10), start);
        assert!(sessions.get_at(&key(2), start + IDLE).is_some());
        assert!(sessions.get_at(&key(3), start + IDLE + Duration::from_secs(1)).is_none());
        assert_eq!(sessions.held().entries.len(), 1);
        assert_eq!(sessions.held().bytes, session(10).bytes());
    }
}
