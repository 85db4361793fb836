//! The scheduler: which task runs where, and what happens when it does not. `Scheduler::step(now, event)` returns the actions
//! that follow, and leaves the rows of what lasts in its ledger.

mod assign;
mod event;
pub mod invariants;
mod job;
mod objects;
mod options;
mod outputs;
mod places;
mod plan;
mod repair;
mod stage;
mod state;
mod step;
mod sums;
mod workers;

pub use event::{Action, Event, Joined, Planner};
pub use job::{Done, Job, JobEnd, Task, TaskState};
pub use objects::Objects;
pub use options::SchedulerOptions;
pub(crate) use plan::message_of;
pub use stage::{Stage, StagePlaces};
pub use state::{JournalledStage, Scheduler};
pub use sums::StageSums;
pub use workers::{Presence, Worker};
