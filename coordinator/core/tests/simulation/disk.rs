//! The coordinator's disk in the simulation: what was brought to it, and what waits and a crash may lose.

use shardmill_common::time::Timestamp;
use shardmill_core::rows::{Ledger, Store, Table, Write};
use shardmill_core::scheduler::SchedulerOptions;
use shardmill_core::tables::TABLES;
use shardmill_core::{Core, Replay};

#[derive(Default)]
pub struct Disk {
    /// As a reader sees it now.
    seen: Store,
    /// As it would be after a crash now.
    durable: Store,
    waiting: Vec<Write>,
}

impl Disk {
    /// What the journal does with the rows of a step.
    pub fn write(&mut self, rows: &Ledger) {
        assert_eq!(rows.broken, None);
        rows.writes.iter().for_each(|write| self.seen.apply(write));
        self.waiting.extend(rows.writes.iter().cloned());
        if rows.promised {
            self.sync();
        }
    }

    pub fn sync(&mut self) {
        self.waiting.drain(..).for_each(|write| self.durable.apply(&write));
    }

    /// A crash: what did not wait for the disk is gone.
    pub fn crash(&mut self) {
        self.waiting.clear();
        self.seen = self.durable.clone();
    }

    /// The core as its rows say; and that it is what they say.
    pub fn replay(&self, options: SchedulerOptions, epoch: u64, now: Timestamp) -> Core {
        let in_memory: Vec<&str> = TABLES.iter().filter(|t| t.in_memory).map(|t| t.name).collect();
        let kept = self.seen.only(&in_memory);
        let mut replay = Replay::new(options, epoch);
        kept.rows().for_each(|(table, key, value)| replay.row(table, key, value).unwrap());
        let core = replay.finish(now).unwrap();
        let difference = kept.difference(&core.durable());
        assert_eq!(difference, None, "what was replayed is not what the journal has");
        core
    }

    pub fn table<T: Table>(&self) -> Vec<(T::Key, T::Value)> {
        self.seen.table::<T>().unwrap()
    }
}
