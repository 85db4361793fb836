//! What was watched of endpoints, read beside the driver: it only says where to read.

use std::collections::HashMap;

use shardmill_common::endpoint::{EndpointName, EndpointStatus, Watched};
use shardmill_common::failure::Refusal;
use shardmill_common::model::{Model, ModelRef};
use shardmill_common::time::Timestamp;
use shardmill_common::watch::{Every, WatchReport, Window, WindowReport};
use shardmill_core::rows::Key;
use shardmill_core::tables::Windows;
use shardmill_core::windows::{keys_since, merged, window};
use shardmill_core::{Damaged, show_key};

use crate::driver::Handle;
use crate::journal::{JournalError, Reader};

/// Windows, and the models they are of; of those that were removed there is none.
type Read = (Vec<Window>, HashMap<ModelRef, Model>);

/// The windows of an endpoint, or of all, that begin at `since` or later, by their starts. What several starts of the coordinator
/// counted in one window is one.
pub fn windows_since(
    reader: &Reader,
    every: Every,
    since: Timestamp,
    endpoint: Option<&EndpointName>,
) -> Result<Vec<Window>, JournalError> {
    let (from, to) = keys_since(every, since);
    let mut windows: Vec<Window> = Vec::new();
    for (key, tally) in reader.range::<Windows>(&from, &to)? {
        if endpoint.is_some_and(|wanted| *wanted != key.2) {
            continue;
        }
        let damaged = |why: String| {
            let (table, key) = ("windows".into(), show_key(&key.encoded()));
            JournalError::Damaged(Damaged { table, key, why })
        };
        let tally = tally.map_err(|e| damaged(e.to_string()))?;
        let found = window(key.clone(), tally).ok_or_else(|| damaged("its key names no model".into()))?;
        match windows.last_mut() {
            Some(last) if is_same(last, &found) => last.tally.merge(&found.tally),
            _ => windows.push(found),
        }
    }
    Ok(windows)
}

fn is_same(a: &Window, b: &Window) -> bool {
    (a.start, &a.endpoint, &a.variant, &a.model) == (b.start, &b.endpoint, &b.variant, &b.model)
}

/// The windows that reach into so many seconds back, of one endpoint or of all; with `whole`, all of a variant's as one.
async fn read(
    handle: &Handle,
    endpoint: Option<EndpointName>,
    seconds: u64,
    every: Every,
    whole: bool,
) -> Result<Read, Refusal> {
    let reader = handle.ask(|d| Ok(d.watching())).await?;
    let back = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    let since = every.start(Timestamp(Timestamp::now().0.saturating_sub(back)));
    let windows = tokio::task::spawn_blocking(move || {
        let windows = windows_since(&reader, every, since, endpoint.as_ref())?;
        Ok::<_, JournalError>(if whole { merged(windows) } else { windows })
    });
    let windows = windows.await.map_err(|e| Refusal::Internal(e.to_string()))?;
    let windows = windows.map_err(|e| Refusal::Internal(format!("the journal: {e}")))?;
    let mut references: Vec<ModelRef> = Vec::new();
    for window in &windows {
        if !references.contains(&window.model) {
            references.push(window.model.clone());
        }
    }
    let models = handle.ask(move |d| Ok(d.core().models_of(&references))).await?;
    Ok((windows, models.into_iter().map(|m| (m.reference(), m)).collect()))
}

/// What was seen in so many seconds of each variant that was asked, all endpoints or one.
pub async fn reports(
    handle: &Handle,
    endpoint: Option<EndpointName>,
    seconds: u64,
) -> Result<Vec<(EndpointName, WatchReport)>, Refusal> {
    let (windows, models) = read(handle, endpoint, seconds, Every::reaching(seconds), true).await?;
    let reports = windows.into_iter().map(|Window { endpoint, variant, model, tally, .. }| {
        let known = models.get(&model);
        (endpoint, WatchReport::new(Watched { variant, model, tally }, known))
    });
    Ok(reports.collect())
}

/// An endpoint with what was seen of it in so many seconds.
pub async fn status(handle: &Handle, name: EndpointName, seconds: u64) -> Result<EndpointStatus, Refusal> {
    let wanted = name.clone();
    let mut status = handle.ask(move |d| d.endpoint(&wanted)).await?;
    if seconds == 0 {
        return Ok(status);
    }
    let mut reports = reports(handle, Some(name), seconds).await?;
    // Those that answer now come first, in their order; then those that did.
    let now = |report: &WatchReport| {
        let variants = &status.endpoint.variants;
        variants.iter().position(|v| v.name == report.watched.variant && v.model == report.watched.model)
    };
    reports.sort_by_key(|(_, report)| now(report).unwrap_or(usize::MAX));
    status.watched = reports.into_iter().map(|(_, report)| report).collect();
    Ok(status)
}

/// What was seen in so many seconds, window by window.
pub async fn series(
    handle: &Handle,
    name: EndpointName,
    seconds: u64,
    every: Every,
) -> Result<Vec<WindowReport>, Refusal> {
    let (windows, models) = read(handle, Some(name.clone()), seconds, every, false).await?;
    if windows.is_empty() {
        // An endpoint that is gone has what it left; one that never was has nothing to say.
        handle.ask(move |d| d.endpoint(&name)).await?;
    }
    Ok(windows.iter().map(|window| WindowReport::new(window, models.get(&window.model))).collect())
}

#[cfg(test)]
mod tests {
    use shardmill_common::endpoint::Counted;
    use shardmill_common::watch::Tally;
    use shardmill_core::rows::Ledger;
    use shardmill_core::windows::Windows as Counting;

    use super::*;
    use crate::journal::Journal;

    const MINUTE: i64 = 60_000;

    fn counted(endpoint: &str, requests: u64) -> Counted {
        let tally = Tally { requests, rows: 2 * requests, ..Default::default() };
        let watched = Watched { variant: "a".into(), model: "m@1".parse().unwrap(), tally };
        Counted { endpoint: endpoint.parse().unwrap(), watched }
    }

    /// Counts a request to each of two endpoints in each of these minutes, as the coordinator's start number `epoch`.
    fn count(journal: &Journal, epoch: u64, minutes: std::ops::Range<i64>, requests: u64) {
        let mut counting = Counting::new(epoch);
        for minute in minutes {
            let (mut ledger, now) = (Ledger::default(), Timestamp(minute * MINUTE));
            counting.count(now, vec![counted("e", requests), counted("other", 1)]);
            counting.flush(&mut ledger, now);
            journal.write(&ledger).unwrap();
        }
    }

    #[test]
    fn windows_are_those_of_all_starts_of_the_coordinator() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.redb");
        let journal = Journal::open(&path).unwrap();
        count(&journal, 1, 0..240, 1);
        journal.sync().unwrap();
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        count(&journal, 2, 239..240, 7);
        let name: EndpointName = "e".parse().unwrap();
        let read = |every, since| windows_since(&journal.reader(), every, Timestamp(since), Some(&name)).unwrap();
        let minutes = read(Every::Minute, 0);
        assert_eq!((minutes.len(), minutes[239].tally.requests), (240, 8));
        assert_eq!(read(Every::Minute, 230 * MINUTE).len(), 10);
        let hours = read(Every::Hour, 0);
        assert_eq!(hours.iter().map(|w| w.tally.requests).collect::<Vec<_>>(), [60, 60, 60, 67]);
        assert_eq!(
            (hours[3].seconds, hours[3].variant.as_str(), &hours[3].model),
            (3600, "a", &"m@1".parse().unwrap())
        );
        assert_eq!(windows_since(&journal.reader(), Every::Hour, Timestamp(0), None).unwrap().len(), 8);
        let one = merged(hours);
        assert_eq!((one.len(), one[0].tally.requests, one[0].tally.rows), (1, 247, 494));
    }
}
