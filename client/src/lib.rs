//! The client: a library to talk to a cluster, the embedded cluster, and the `shardmill` command.

pub mod api;
mod capture;
pub mod cli;
mod commands;
mod embedded;
mod error;
mod export;
mod interrupt;
mod jobs;
mod machine;
mod model_export;
mod output;
mod plan;
mod plot;
mod progress;
mod read;
mod session;
mod sources;
mod table;
mod text;
