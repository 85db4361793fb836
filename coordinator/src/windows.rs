//! What nodes count of endpoints, added up by minute and by hour. Pure; what is to be kept it says, and the journal adds it to
//! what it has. So only the last seconds are in memory, and a coordinator that comes back goes on where the journal ends.

use std::collections::BTreeMap;

use shardmill_common::endpoint::{Counted, EndpointName};
use shardmill_common::model::ModelRef;
use shardmill_common::time::Timestamp;
use shardmill_common::watch::{Every, Tally, Window};

/// What was counted waits so long for the journal, in milliseconds.
const WRITE_EVERY_MS: i64 = 10_000;

/// A change of the windows, as the journal makes it.
#[derive(Clone, Debug, PartialEq)]
pub enum WindowWrite {
    /// Adds this tally to that of the window.
    Add(Box<Window>),
    /// Removes the windows of this length that began before.
    Age { every: Every, before: Timestamp },
}

/// The minute, the endpoint, the variant and the model's version.
type Key = (Timestamp, EndpointName, String, String);

/// What the journal does not have yet.
#[derive(Debug, Default)]
pub struct Windows {
    pending: BTreeMap<Key, (ModelRef, Tally)>,
    written: Timestamp,
    /// The minute in which old windows were last removed.
    aged: Timestamp,
}

impl Windows {
    /// Nodes counted this up to now.
    pub fn count(&mut self, now: Timestamp, counted: Vec<Counted>) {
        let minute = Every::Minute.start(now);
        for Counted { endpoint, watched } in counted {
            let key = (minute, endpoint, watched.variant, watched.model.to_string());
            self.pending.entry(key).or_insert_with(|| (watched.model, Tally::default())).1.merge(&watched.tally);
        }
    }

    /// What is to be written now, if it is time.
    pub fn due(&mut self, now: Timestamp) -> Vec<WindowWrite> {
        // A clock that was set back must not keep anything waiting.
        let waited = now.0 - self.written.0;
        let mut writes =
            if (0..WRITE_EVERY_MS).contains(&waited) || self.pending.is_empty() { Vec::new() } else { self.flush(now) };
        let minute = Every::Minute.start(now);
        if self.aged != minute {
            self.aged = minute;
            for every in [Every::Minute, Every::Hour] {
                let before = Timestamp(every.start(now).0 - every.kept() as i64 * 1000);
                writes.push(WindowWrite::Age { every, before });
            }
        }
        writes
    }

    /// Everything that the journal does not have.
    pub fn flush(&mut self, now: Timestamp) -> Vec<WindowWrite> {
        self.written = now;
        let mut writes = Vec::with_capacity(2 * self.pending.len());
        for ((minute, endpoint, variant, _), (model, tally)) in std::mem::take(&mut self.pending) {
            for every in [Every::Minute, Every::Hour] {
                writes.push(WindowWrite::Add(Box::new(Window {
                    endpoint: endpoint.clone(),
                    variant: variant.clone(),
                    model: model.clone(),
                    start: every.start(minute),
                    seconds: every.seconds(),
                    tally: tally.clone(),
                })));
            }
        }
        writes
    }
}

/// All windows of each variant and model version as one, in the order of their first.
pub fn merged(windows: Vec<Window>) -> Vec<Window> {
    let mut places: BTreeMap<(EndpointName, String, String), usize> = BTreeMap::new();
    let mut all: Vec<Window> = Vec::new();
    for window in windows {
        let key = (window.endpoint.clone(), window.variant.clone(), window.model.to_string());
        match places.get(&key).and_then(|place| all.get_mut(*place)) {
            Some(known) => known.tally.merge(&window.tally),
            None => {
                places.insert(key, all.len());
                all.push(window);
            }
        }
    }
    all
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
