//! The worker: keeps shards, runs tasks with polars, and hands partitions and shards to whoever asks.

mod agent;
mod aggregate;
pub mod backend;
pub mod clean;
mod config;
mod door;
mod fetch;
mod flight;
pub mod frame;
mod hash;
pub mod ingest;
mod model;
mod origin;
mod parts;
pub mod program;
mod serve;
mod server;
mod shard;
mod shuffle;
pub mod spill;
pub mod sql;
mod store;
mod tasks;
mod train;

pub use config::{Config, StartError};
pub use server::{Running, start};

/// Becomes what a worker starts its own binary for, if this process was started as one, and then never returns: what watches over
/// a user's program, or computes users' statements. The binary of a worker calls this before anything else.
pub fn become_helper(mut arguments: impl Iterator<Item = std::ffi::OsString>) {
    match arguments.nth(1) {
        Some(first) if first == program::SUPERVISE => program::supervise_main(arguments),
        Some(first) if first == backend::BACKEND => backend::backend_main(),
        _ => {}
    }
}

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: backend::EndsWhenFull<std::alloc::System> = backend::EndsWhenFull(std::alloc::System);
