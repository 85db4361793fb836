//! The scheduler's limits, all times in milliseconds.

/// Times and limits of the scheduler.
#[derive(Clone, Debug)]
pub struct SchedulerOptions {
    /// How long a worker whose session broke may take to come back before its work is given away.
    pub reconnect_grace_ms: i64,
    /// A worker that says nothing for this long is gone.
    pub heartbeat_timeout_ms: i64,
    /// How long a worker may leave out of its heartbeats what it was told to run before that counts as lost: longer than a launch
    /// or a report is on its way.
    pub unconfirmed_ms: i64,
    /// How long a holder must be gone before its objects are copied again.
    pub repair_after_ms: i64,
    /// How long a job waits for any worker, or for the only holder of an object it needs.
    pub starvation_ms: i64,
    /// Attempts that count before a task fails its job.
    pub max_attempts: u32,
    /// Attempts lost to others' faults before a task fails its job: a bound, so that no job goes round for ever.
    pub max_lost_attempts: u32,
    /// A second attempt starts when the first runs longer than this many medians of its stage ...
    pub straggler_factor: f64,
    /// ... and longer than this.
    pub straggler_min_ms: i64,
    /// Copies kept of an object where a job does not say.
    pub default_replicas: u32,
    /// Objects in one repair job.
    pub repair_batch: usize,
    /// Unreferenced uploads are kept this long: their job may still be on its way.
    pub orphan_age_s: u64,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self {
            reconnect_grace_ms: 2_000,
            heartbeat_timeout_ms: 20_000,
            unconfirmed_ms: 10_000,
            repair_after_ms: 60_000,
            starvation_ms: 60_000,
            max_attempts: 4,
            max_lost_attempts: 40,
            straggler_factor: 3.0,
            straggler_min_ms: 5_000,
            default_replicas: 2,
            repair_batch: 64,
            orphan_age_s: 24 * 3600,
        }
    }
}
