//! The worker: keeps shards, runs tasks with polars, and hands partitions and shards to whoever asks.

mod agent;
mod aggregate;
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
