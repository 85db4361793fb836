//! The worker: keeps shards, runs tasks with polars, and hands partitions and shards to whoever asks.

pub mod clean;
pub mod config;
pub mod frame;

pub use config::{Config, Running, StartError, start};
