//! How many finished jobs and records are kept, and which go.

use std::str::FromStr;
use std::time::Duration;

use shardmill_common::ids::JobId;
use shardmill_common::misread::Misread;
use shardmill_common::time::Timestamp;
use shardmill_common::units::parse_duration;
use shardmill_core::Command;
use shardmill_core::rows::Table;
use shardmill_core::tables::{Finished, Records};

use crate::journal::{JournalError, Reader};

/// Rows removed at once, so that nobody waits for a long sweep.
const AT_ONCE: usize = 1000;

/// What is kept of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    All,
    Newest(u64),
    For(Duration),
}

impl FromStr for Keep {
    type Err = Misread;

    fn from_str(text: &str) -> Result<Self, Misread> {
        if text == "all" {
            return Ok(Keep::All);
        }
        if let Ok(newest) = text.parse() {
            return Ok(Keep::Newest(newest));
        }
        let age = parse_duration(text).map(Keep::For);
        age.map_err(|_| Misread::new(text, "neither how many are kept (1000), nor for how long (90d), nor `all`"))
    }
}

/// What is kept of finished jobs and of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub jobs: Keep,
    pub records: Keep,
}

impl Default for Retention {
    fn default() -> Self {
        Self { jobs: Keep::Newest(10_000), records: Keep::All }
    }
}

/// The oldest rows that are not kept any longer. A row that cannot be read says nothing of its age, and stays.
fn outdated<T: Table<Key = JobId>>(
    reader: &Reader,
    keep: Keep,
    now: Timestamp,
    ended: impl Fn(&T::Value) -> Option<Timestamp>,
) -> Result<Vec<JobId>, JournalError> {
    Ok(match keep {
        Keep::All => Vec::new(),
        Keep::Newest(kept) => match reader.count::<T>()?.saturating_sub(kept) {
            0 => Vec::new(),
            excess => reader.oldest_keys::<T>(excess.min(AT_ONCE as u64) as usize)?,
        },
        Keep::For(age) => {
            let since = now.0.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
            let mut old = Vec::new();
            // Jobs end about in the order of their numbers: the first that is not old ends the search.
            reader.each_from_the_oldest::<T>(|job, value| {
                match value.as_ref().map(&ended) {
                    Ok(Some(ended)) if ended.0 >= since => return false,
                    Ok(Some(_)) => old.push(job),
                    Ok(None) | Err(_) => {}
                }
                old.len() < AT_ONCE
            })?;
            old
        }
    })
}

/// What there is to sweep now, if anything.
pub fn sweep(reader: &Reader, retention: Retention, now: Timestamp) -> Result<Option<Command>, JournalError> {
    let jobs = outdated::<Finished>(reader, retention.jobs, now, |status| status.finished)?;
    let records = outdated::<Records>(reader, retention.records, now, |record| Some(record.finished))?;
    Ok((!jobs.is_empty() || !records.is_empty()).then_some(Command::Sweep { jobs, records }))
}

#[cfg(test)]
mod tests {
    use shardmill_common::status::{JobState, JobStatus};
    use shardmill_core::rows::Ledger;

    use super::*;
    use crate::journal::Journal;

    #[test]
    fn numbers_ages_and_all_are_understood() {
        assert_eq!("all".parse(), Ok(Keep::All));
        assert_eq!("1000".parse(), Ok(Keep::Newest(1000)));
        assert_eq!("90d".parse(), Ok(Keep::For(Duration::from_secs(90 * 24 * 3600))));
        assert!("many".parse::<Keep>().unwrap_err().to_string().starts_with("`many` is neither"));
    }

    #[test]
    fn the_oldest_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(&dir.path().join("journal.redb")).unwrap();
        let mut ledger = Ledger::default();
        for n in 1..=5 {
            let status = JobStatus {
                job: JobId(n),
                kind: "sort".into(),
                state: JobState::Done,
                stages: vec![],
                counters: Default::default(),
                bytes_total: 0,
                bytes_done: 0,
                rows_done: 0,
                dataset: None,
                rows: None,
                model: None,
                converged: None,
                rounds: vec![],
                error: None,
                who: "me".into(),
                submitted: Timestamp(0),
                finished: Some(Timestamp(n as i64 * 1000)),
                notices: vec![],
            };
            ledger.put::<Finished>(&JobId(n), &status);
        }
        journal.write(&ledger).unwrap();
        let swept = |jobs| match sweep(&journal.reader(), Retention { jobs, records: Keep::All }, Timestamp(6000)) {
            Ok(Some(Command::Sweep { jobs, .. })) => jobs.into_iter().map(|j| j.0).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(swept(Keep::Newest(3)), [1, 2]);
        assert_eq!(swept(Keep::For(Duration::from_millis(2500))), [1, 2, 3]);
        let nothing = Retention { jobs: Keep::Newest(5), records: Keep::Newest(0) };
        assert!(sweep(&journal.reader(), nothing, Timestamp(6000)).unwrap().is_none());
    }
}
