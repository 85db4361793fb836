//! The scheduler: a pure state machine. `Scheduler::step(now, event)` returns the actions to perform; it has no clock, no
//! file, no lock and no wire. The driver performs the actions; tests and the simulation compare them.

mod assign;
mod event;
pub mod invariants;
mod job;
mod objects;
mod options;
mod outputs;
mod places;
mod reads;
mod repair;
mod stage;
mod state;
mod step;
mod sums;
mod workers;

pub use event::{Action, Event, Joined, JournalOp, Planner};
pub use job::{Done, Job, JobEnd, Task, TaskState};
pub use objects::Objects;
pub use options::SchedulerOptions;
pub use stage::{Stage, StagePlaces};
pub use state::Scheduler;
pub use sums::StageSums;
pub use workers::{Presence, Worker};
