//! When captured rows are published: soon after the first ones came, then once a minute while more are coming, and at once
//! when somebody asks or when there are many.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use shardmill_common::layout::CaptureLayout;
use shardmill_common::name::DatasetName;
use shardmill_serving::capture::FlushError;
use tokio::sync::{mpsc, watch};

use super::files::{self, Sealed};
use super::publish::{self, Failed};
use super::spool::{Flush, Spool};
use super::versions::Versions;
use shardmill_client::Client;

/// How often it is looked what is due.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Rows wait so long for others that go with them.
const GATHER: Duration = Duration::from_secs(2);
/// From one publication to the next, while rows are coming.
const PACE: Duration = Duration::from_secs(60);
/// So many bytes do not wait.
const MUCH: u64 = 64 << 20;
/// Rows that could not be published are tried again after this, then after twice this, and so on up to `PACE`.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What is known of a dataset that is captured into.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Pace {
    published: Option<Instant>,
    /// There are complete files.
    has_files: bool,
    /// In a row.
    failures: u32,
    not_before: Option<Instant>,
}

impl Pace {
    fn is_due(&self, open: Option<(u64, Instant)>, now: Instant) -> bool {
        if self.not_before.is_some_and(|at| now < at) {
            return false;
        }
        self.has_files
            || open.is_some_and(|(bytes, since)| {
                let has_gathered = now.saturating_duration_since(since) >= GATHER;
                let is_turn = self.published.is_none_or(|at| now.saturating_duration_since(at) >= PACE);
                bytes >= MUCH || (has_gathered && is_turn)
            })
    }

    fn succeeded(&mut self, now: Instant) {
        *self = Pace { published: Some(now), ..Pace::default() };
    }

    fn failed(&mut self, now: Instant) {
        self.has_files = true;
        self.not_before = Some(now + TRY_AGAIN.saturating_mul(1 << self.failures.min(10)).min(PACE));
        self.failures += 1;
    }
}

pub struct Publisher {
    spool: Arc<Spool>,
    layout: CaptureLayout,
    url: String,
    token: Option<String>,
    client: Option<Client>,
    datasets: BTreeMap<DatasetName, Pace>,
    versions: Versions,
}

impl Publisher {
    pub fn new(spool: Arc<Spool>, layout: CaptureLayout, url: String, token: Option<String>) -> Self {
        let (client, datasets, versions) = (None, BTreeMap::new(), Versions::default());
        Self { spool, layout, url, token, client, datasets, versions }
    }

    /// Publishes until `stop`; a publication under way ends first.
    pub async fn run(mut self, mut flushes: mpsc::UnboundedReceiver<Flush>, mut stop: watch::Receiver<bool>) {
        self.recover();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => self.publish_what_is_due().await,
                flush = flushes.recv() => {
                    let Some(flush) = flush else { return };
                    // Whoever asked may have given up.
                    let _ = flush.send(self.publish_all().await);
                }
                // An error means that the sender is gone: stop as well.
                () = async { drop(stop.wait_for(|s| *s).await) } => return,
            }
        }
    }

    /// Takes up what an earlier process left.
    fn recover(&mut self) {
        let mine: BTreeSet<_> = self.spool.shared().open_files().values().map(|open| open.id).collect();
        match tokio::task::block_in_place(|| files::recover(&self.layout, |id| mine.contains(&id))) {
            Ok(waiting) => {
                for (dataset, bytes) in waiting {
                    tracing::info!(%dataset, bytes, "captured rows of an earlier run are published now");
                    self.spool.shared().on_disk.fetch_add(bytes, Ordering::AcqRel);
                    self.datasets.entry(dataset).or_default().has_files = true;
                }
            }
            Err(e) => tracing::error!(
                path = %self.layout.root().display(), error = %e,
                "captured rows of an earlier run cannot be read; they stay where they are"
            ),
        }
    }

    async fn publish_what_is_due(&mut self) {
        let (open, now) = (self.spool.shared().open_files(), Instant::now());
        for dataset in open.keys() {
            self.datasets.entry(dataset.clone()).or_default();
        }
        let is_due = |(name, pace): (&DatasetName, &Pace)| {
            pace.is_due(open.get(name).map(|o| (o.bytes, o.since)), now).then(|| name.clone())
        };
        let due: Vec<DatasetName> = self.datasets.iter().filter_map(is_due).collect();
        for dataset in due {
            if let Err(why) = self.publish(&dataset).await {
                tracing::warn!(%dataset, %why, "captured rows could not be published; it is tried again");
            }
        }
    }

    /// Everything, whether due or not. The number of rows, or the first reason why not.
    async fn publish_all(&mut self) -> Result<u64, FlushError> {
        // Rows on their way to the writing thread have no file yet.
        self.spool.settle().await;
        for dataset in self.spool.shared().open_files().into_keys() {
            self.datasets.entry(dataset).or_default();
        }
        let names: Vec<DatasetName> = self.datasets.keys().cloned().collect();
        let (mut rows, mut failed) = (0, None);
        for dataset in names {
            match self.publish(&dataset).await {
                Ok(n) => rows += n,
                Err(why) => failed = failed.or(Some(FlushError::Waiting { dataset, why: Box::new(why) })),
            }
        }
        failed.map_or(Ok(rows), Err)
    }

    /// All rows of a dataset that were kept until now.
    async fn publish(&mut self, dataset: &DatasetName) -> Result<u64, Failed> {
        let result = self.attempt(dataset).await;
        let pace = self.datasets.entry(dataset.clone()).or_default();
        match &result {
            // Nothing was there: the pace stays as it is.
            Ok(None) => pace.has_files = false,
            Ok(Some(_)) => pace.succeeded(Instant::now()),
            Err(_) => pace.failed(Instant::now()),
        }
        result.map(Option::unwrap_or_default)
    }

    async fn attempt(&mut self, dataset: &DatasetName) -> Result<Option<u64>, Failed> {
        let before = self.spool.shared().open_files().get(dataset).map(|o| o.id);
        self.spool.seal(dataset).await;
        let after = self.spool.shared().open_files().get(dataset).map(|o| o.id);
        if before.is_some() && before == after {
            return Err(Failed::Unwritten);
        }
        let found = tokio::task::block_in_place(|| files::sealed(&self.layout, dataset)).map_err(Failed::Files)?;
        if found.is_empty() {
            return Ok(None);
        }
        let client = match &self.client {
            Some(client) => client.clone(),
            None => Client::connect(&self.url, self.token.as_deref()).await?,
        };
        let published = publish::publish(&client, &self.layout, dataset, &found).await;
        self.client = match &published {
            // A channel that broke is opened anew.
            Err(e) if e.is_unreachable() => None,
            _ => Some(client.clone()),
        };
        let rows = published?;
        self.remove(dataset, &found).map_err(Failed::Unremoved)?;
        self.versions.prune(&client, dataset).await;
        Ok(Some(rows))
    }

    fn remove(&self, dataset: &DatasetName, published: &[Sealed]) -> std::io::Result<()> {
        tokio::task::block_in_place(|| {
            for file in published {
                files::remove(&self.layout, dataset, file)?;
                self.spool.shared().on_disk.fetch_sub(file.bytes, Ordering::AcqRel);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_published_soon_and_then_once_a_minute() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        assert!(!pace.is_due(None, at(100)));
        assert!(!pace.is_due(Some((10, at(0))), at(1)));
        assert!(pace.is_due(Some((10, at(0))), at(2)));
        pace.succeeded(at(2));
        assert!(!pace.is_due(Some((10, at(3))), at(61)));
        assert!(pace.is_due(Some((10, at(3))), at(62)));
        assert!(pace.is_due(Some((MUCH, at(3))), at(3)), "many rows do not wait");
    }

    #[test]
    fn what_failed_is_tried_again_ever_more_slowly() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let mut waits = Vec::new();
        for _ in 0..9 {
            pace.failed(start);
            let wait = pace.not_before.unwrap() - start;
            assert!(!pace.is_due(Some((MUCH, start)), start + wait - Duration::from_millis(1)));
            assert!(pace.is_due(None, start + wait));
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        pace.succeeded(start);
        assert_eq!((pace.failures, pace.has_files, pace.not_before), (0, false, None));
    }
}
