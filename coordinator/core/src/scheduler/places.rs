//! What a task needs before it can start: whether the outputs and objects it reads are at hand, and where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shardmill_common::ids::{AttemptId, ObjectId, TaskId, WorkerId};
use shardmill_common::shared::Shared;
use shardmill_common::task::{Launch, Peer, ShardRef, TaskKind, TaskPlace, TaskRange, TaskSpec};

use super::job::{Job, Task};
use super::stage::StagePlaces;
use super::state::Scheduler;

/// A launch names the places of so many outputs of a stage itself; those of more are sent once to each worker.
const NAMED_PLACES: u32 = 2;

/// Whether a task could start.
pub(super) enum Readiness {
    Ready,
    /// An earlier task is being made again.
    WaitsForTask,
    /// An object it needs has no holder that answers.
    WaitsForObject(ObjectId),
}

/// What was found out about wide ranges of earlier tasks while looking for work: many tasks read the same ones.
#[derive(Default)]
pub(super) struct Ranges(BTreeMap<(u32, u32, u32), bool>);

impl Scheduler {
    pub(super) fn readiness(&self, job: &Job, spec: &TaskSpec, known: &mut Ranges) -> Readiness {
        if !spec.reads.iter().all(|range| self.range_is_readable(job, *range, known)) {
            return Readiness::WaitsForTask;
        }
        match spec.objects.iter().find(|o| !self.objects.holders(**o).any(|w| self.is_alive(w))) {
            Some(object) => Readiness::WaitsForObject(*object),
            None => Readiness::Ready,
        }
    }

    pub(super) fn is_ready(&self, job: &Job, spec: &TaskSpec, known: &mut Ranges) -> bool {
        matches!(self.readiness(job, spec, known), Readiness::Ready)
    }

    fn range_is_readable(&self, job: &Job, range: TaskRange, known: &mut Ranges) -> bool {
        if range.to - range.from <= NAMED_PLACES {
            return job.range_is_done(range) && self.range_is_at_hand(job, range);
        }
        let find = || job.range_is_done(range) && self.range_is_at_hand(job, range);
        *known.0.entry((range.stage, range.from, range.to)).or_insert_with(find)
    }

    /// Whether the outputs of these tasks can be read now: a worker that is away may come back with them.
    fn range_is_at_hand(&self, job: &Job, range: TaskRange) -> bool {
        let wide = range.to - range.from > NAMED_PLACES;
        if wide && job.stages.get(range.stage as usize).is_some_and(|s| s.makers.keys().all(|(w, _)| self.is_alive(*w)))
        {
            return true;
        }
        range.tasks().filter_map(|(stage, task)| job.done(stage, task)).all(|done| {
            self.is_alive(done.worker)
                || done.output.shuffle.is_none()
                    && done.output.wrote.iter().all(|o| self.objects.holders(o.id).any(|w| self.is_alive(w)))
        })
    }

    /// Whether a waiting task of the job waits for an object that nobody who answers holds.
    pub(super) fn missing_object(&self, job: &Job) -> Option<ObjectId> {
        let mut known = Ranges::default();
        job.stages.iter().flat_map(|s| s.waiting.iter().filter_map(|t| s.task(*t))).find_map(|task| {
            match self.readiness(job, &task.spec, &mut known) {
                Readiness::WaitsForObject(object) => Some(object),
                Readiness::Ready | Readiness::WaitsForTask => None,
            }
        })
    }

    /// The lists of places that a task reads so much of that they are sent apart, by stage.
    pub(super) fn shared_places(job: &mut Job, id: TaskId) -> Vec<(u32, Arc<StagePlaces>)> {
        let Some(task) = job.task(id.stage, id.task) else { return Vec::new() };
        let wide = task.spec.reads.iter().filter(|r| r.to - r.from > NAMED_PLACES);
        let wide: BTreeSet<u32> = wide.map(|r| r.stage).collect();
        let list = |stage: u32| Some((stage, job.stages.get_mut(stage as usize)?.shared_places()));
        wide.into_iter().filter_map(list).collect()
    }

    pub(super) fn launch_message(
        &self,
        job: &Job,
        task: &Task,
        attempt: AttemptId,
        worker: WorkerId,
        shared: &[(u32, Arc<StagePlaces>)],
        peers: Shared<Vec<Peer>>,
    ) -> Launch {
        let spec = &task.spec;
        let last_try = task.failures + 1 >= self.options.max_attempts;
        let mut kind = spec.kind.clone();
        if let TaskKind::Copy(copy) = &mut kind {
            // The objects are named now, since a task that was run again made new ones.
            let made = copy.made.iter().flat_map(|r| r.tasks()).filter_map(|(s, t)| job.done(s, t));
            let objects: Vec<_> = made.flat_map(|d| d.output.wrote.iter().cloned()).collect();
            copy.objects.extend(objects);
            copy.objects.retain(|o| !self.objects.is_at(o.id, worker));
            copy.made.clear();
        }
        let opened: BTreeSet<(u32, u32)> = kind
            .opens()
            .into_iter()
            .filter_map(|input| match &input.shard {
                ShardRef::Made { stage, task, .. } => Some((*stage, *task)),
                ShardRef::Stored(_) => None,
            })
            .collect();
        let is_shared = |stage: u32| shared.iter().any(|(s, _)| *s == stage);
        let named = spec.reads.iter().filter(|r| !is_shared(r.stage)).flat_map(|r| r.tasks());
        let named: BTreeSet<(u32, u32)> = named.chain(opened.iter().copied()).collect();
        let places: Vec<TaskPlace> = named
            .into_iter()
            .filter_map(|(stage, task)| Some(((stage, task), job.done(stage, task)?)))
            .map(|(id, d)| TaskPlace {
                attempt: d.attempt,
                worker: d.worker,
                shards: if opened.contains(&id) { d.output.shards().cloned().collect() } else { Vec::new() },
            })
            .collect();
        let mut wanted: BTreeSet<ObjectId> = spec.objects.iter().copied().collect();
        if let TaskKind::Copy(copy) = &kind {
            wanted.extend(copy.objects.iter().map(|o| o.id));
        }
        wanted.extend(places.iter().flat_map(|p| &p.shards).flat_map(|s| s.objects().map(|o| o.id)));
        let holders: Vec<(ObjectId, Vec<WorkerId>)> =
            wanted.iter().map(|o| (*o, self.live_holders(*o))).filter(|(_, h)| !h.is_empty()).collect();
        let stages = shared.iter().map(|(stage, list)| (*stage, list.version)).collect();
        Launch { attempt, kind, last_try, places, stages, holders, peers }
    }
}
