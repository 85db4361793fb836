//! Programs that users bring as map or reduce: rows go to their standard input, and what they write becomes rows.
//!
//! A worker never runs a program itself. It starts a supervisor, its own binary with another first argument, which confines
//! the program, watches over it and ends everything the program started: see `supervise`.

mod arrow;
mod command;
mod descendants;
mod encode;
mod environment;
mod folder;
mod message;
mod pipe;
mod plan;
mod process;
mod read;
mod run;
mod sandbox;
mod stderr;
mod supervise;
pub(crate) mod system;

pub use plan::SUPERVISE;
pub use run::{Role, Run, check, produced_schema};
pub use supervise::supervise_main;

#[cfg(test)]
mod command_tests;
#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod run_tests;
#[cfg(test)]
mod testing;
