//! The `shardmill` command: verbs, the terminal, exit statuses, and the embedded cluster.

pub mod cli;
mod commands;
mod embedded;
mod error;
mod host;
mod interrupt;
mod jobs;
mod output;
mod plan;
mod progress;
mod session;
mod table;
