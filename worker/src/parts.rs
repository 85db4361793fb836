//! What the tasks of jobs share, as the coordinator sent it: kept until the job is over, or none of its tasks names it any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde_json::value::RawValue;
use shardmill_common::ids::JobId;
use shardmill_common::shared::{Digest, Part, Shelf};

#[derive(Default)]
pub struct Parts {
    shelf: Shelf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Parts that have not come whole.
    coming: BTreeMap<(JobId, Digest), String>,
    /// Jobs whose tasks name a part. The same one may be of several.
    jobs: BTreeMap<Digest, BTreeSet<JobId>>,
}

impl Parts {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a piece of a part. One that does not come to what its digest says is left out: the launch that names it cannot be
    /// read, which ends the session; in the next one it is sent anew.
    pub fn take(&self, job: JobId, digest: Digest, piece: &str, last: bool) {
        let mut state = self.state();
        state.coming.entry((job, digest)).or_default().push_str(piece);
        if !last {
            return;
        }
        let json = state.coming.remove(&(job, digest)).unwrap_or_default();
        match RawValue::from_string(json).map(Part::new) {
            Ok(part) if part.digest == digest => {
                self.shelf.put(part);
                state.jobs.entry(digest).or_default().insert(job);
            }
            Ok(part) => tracing::error!(%job, %digest, came = %part.digest, "a part of a job's tasks came damaged"),
            Err(e) => tracing::error!(%job, %digest, error = %e, "a part of a job's tasks came damaged"),
        }
    }

    /// A session began, in which everything that is still needed is sent anew.
    pub fn clear(&self) {
        let state = std::mem::take(&mut *self.state());
        state.jobs.into_keys().for_each(|digest| self.shelf.remove(digest));
    }

    pub fn drop_parts(&self, job: JobId, parts: &[Digest]) {
        let mut state = self.state();
        for digest in parts {
            self.release(&mut state, job, *digest);
        }
    }

    /// The job is over.
    pub fn forget(&self, job: JobId) {
        let mut state = self.state();
        let all: Vec<Digest> = state.jobs.iter().filter(|(_, jobs)| jobs.contains(&job)).map(|(d, _)| *d).collect();
        for digest in all {
            self.release(&mut state, job, digest);
        }
    }

    fn release(&self, state: &mut State, job: JobId, digest: Digest) {
        if let Some(jobs) = state.jobs.get_mut(&digest) {
            jobs.remove(&job);
            if jobs.is_empty() {
                state.jobs.remove(&digest);
                self.shelf.remove(digest);
            }
        }
    }

    /// Reads a message that names parts.
    pub fn reading<R>(&self, read: impl FnOnce() -> R) -> R {
        self.shelf.reading(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_common::shared::Shared;

    fn read(parts: &Parts, digest: Digest) -> Result<Shared<Vec<String>>, String> {
        parts.reading(|| serde_json::from_str(&format!("\"{digest}\"")).map_err(|e| e.to_string()))
    }

    #[test]
    fn a_part_is_kept_while_a_job_names_it() {
        let parts = Parts::default();
        let value = Shared::new(vec!["é".to_owned(); 3]);
        let part = value.part().unwrap().clone();
        let (first, rest) = part.json.get().split_at(2);
        let (one, two) = (JobId(1), JobId(2));
        parts.take(one, part.digest, first, false);
        assert!(read(&parts, part.digest).is_err(), "half of it");
        parts.take(one, part.digest, rest, true);
        parts.take(two, part.digest, part.json.get(), true);
        assert_eq!(read(&parts, part.digest), Ok(value));
        parts.forget(one);
        assert!(read(&parts, part.digest).is_ok(), "the other job names it");
        parts.drop_parts(two, &[part.digest]);
        assert!(read(&parts, part.digest).is_err());
        assert!(parts.shelf.is_empty() && parts.state().jobs.is_empty());
    }

    #[test]
    fn what_comes_damaged_is_not_taken_for_it() {
        let parts = Parts::default();
        let part = Shared::new(vec!["a".to_owned()]).part().unwrap().clone();
        parts.take(JobId(1), part.digest, "[\"b\"]", true);
        parts.take(JobId(1), part.digest, "[\"a", true);
        assert!(read(&parts, part.digest).unwrap_err().contains("not at hand"));
        parts.take(JobId(1), part.digest, "[\"", false);
        parts.clear();
        parts.take(JobId(1), part.digest, part.json.get(), true);
        assert!(read(&parts, part.digest).is_ok());
        parts.clear();
        assert!(read(&parts, part.digest).is_err());
    }
}
