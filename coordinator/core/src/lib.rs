//! The core of the coordinator: one state machine. [`Core::step`] takes the time and a [`Command`] and returns the rows to write,
//! the effects that follow and the answer; it has no clock, no file, no lock and no wire, and what lasts of it is rows of the
//! tables in [`tables`]. The driver writes the rows, then performs the effects and answers; the simulation crashes and replays it.

#![cfg_attr(
    test,
    expect(
        clippy::disallowed_methods,
        reason = "tests make up ids and times; the library itself is checked without them"
    )
)]

pub mod catalog;
mod command;
mod core;
mod effect;
mod endpoints;
pub mod jobs;
mod publish;
mod registry;
mod replay;
pub mod rows;
pub mod scheduler;
mod status;
mod submit;
pub mod tables;
mod train;
pub mod windows;

pub use self::core::{Core, Step};
pub use command::{Answer, Command, Facts, FromAnswer};
pub use effect::Effect;
pub use replay::{Damaged, Replay, show_key};
