//! The coordinator: drives the core over a journal and behind doors, and never touches a row of data.

mod config;
mod drift_metrics;
mod driver;
mod flight;
#[cfg(test)]
mod golden;
mod graph_files;
mod grpc;
mod history;
mod http;
mod journal;
mod logs;
mod model_files;
mod retention;
mod serve;
mod server;
mod watched;

pub use config::{Config, Options, StartError};
pub use retention::{Keep, Retention};
pub use server::{Running, start};
