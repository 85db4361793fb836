//! What nodes count of endpoints, added up by minute and by hour. A window has a row for each start of the coordinator that
//! counted in it, so that a row is only ever written whole; whoever reads adds them up.

use std::collections::BTreeMap;

use shardmill_common::endpoint::{Counted, EndpointName};
use shardmill_common::time::Timestamp;
use shardmill_common::watch::{Every, Tally, Window};

use crate::rows::{Key, Ledger, after};
use crate::tables::{self, WindowKey};

/// What was counted waits so long for the journal, in milliseconds.
const WRITE_EVERY_MS: i64 = 10_000;

/// The windows that are still counted in.
#[derive(Debug)]
pub struct Windows {
    epoch: u64,
    /// With whether the journal lacks something of it.
    open: BTreeMap<WindowKey, (Tally, bool)>,
    written: Timestamp,
    /// The minute in which old windows were last removed.
    aged: Timestamp,
}

impl Windows {
    /// For the coordinator's start number `epoch`.
    pub fn new(epoch: u64) -> Self {
        Self { epoch, open: BTreeMap::new(), written: Timestamp::default(), aged: Timestamp::default() }
    }

    /// Nodes counted this up to now.
    pub fn count(&mut self, now: Timestamp, counted: Vec<Counted>) {
        for Counted { endpoint, watched } in counted {
            for every in [Every::Minute, Every::Hour] {
                let (variant, model) = (watched.variant.clone(), watched.model.to_string());
                let key = (every.seconds(), every.start(now).0, endpoint.clone(), variant, model, self.epoch);
                let (tally, lacking) = self.open.entry(key).or_default();
                tally.merge(&watched.tally);
                *lacking = true;
            }
        }
    }

    /// Writes what is to be written now, if it is time.
    pub fn due(&mut self, ledger: &mut Ledger, now: Timestamp) {
        // A clock that was set back must not keep anything waiting.
        let waited = now.0 - self.written.0;
        if !(0..WRITE_EVERY_MS).contains(&waited) && !self.open.is_empty() {
            self.flush(ledger, now);
        }
        let minute = Every::Minute.start(now);
        if self.aged != minute {
            self.aged = minute;
            for every in [Every::Minute, Every::Hour] {
                let before = every.start(now).0 - every.kept() as i64 * 1000;
                let key = |start: i64| <(u64, i64) as Key>::encoded(&(every.seconds(), start));
                ledger.remove_range::<tables::Windows>(key(i64::MIN), key(before));
            }
        }
    }

    /// Writes everything that the journal does not have.
    pub fn flush(&mut self, ledger: &mut Ledger, now: Timestamp) {
        self.written = now;
        for (key, (tally, lacking)) in &mut self.open {
            if std::mem::take(lacking) {
                ledger.put::<tables::Windows>(key, tally);
            }
        }
        // A window that is over is not counted in any more.
        self.open.retain(|(seconds, start, ..), _| start.saturating_add(*seconds as i64 * 1000) > now.0);
    }
}

/// The encoded keys of the windows of this length that begin at `since` or later.
pub fn keys_since(every: Every, since: Timestamp) -> (Vec<u8>, Vec<u8>) {
    (<(u64, i64) as Key>::encoded(&(every.seconds(), since.0)), after(every.seconds().encoded()))
}

/// A window as its row has it; `None` where the key names a model that cannot be.
pub fn window((seconds, start, endpoint, variant, model, _): WindowKey, tally: Tally) -> Option<Window> {
    Some(Window { endpoint, variant, model: model.parse().ok()?, start: Timestamp(start), seconds, tally })
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
