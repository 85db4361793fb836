//! The coordinator: owns the catalog, schedules jobs over the workers, and never touches a row of data.

pub mod catalog;
mod config;
mod drift_metrics;
mod driver;
mod endpoints;
mod flight;
mod graph_files;
mod grpc;
mod http;
pub mod jobs;
mod journal;
mod logs;
mod model_files;
mod registry;
pub mod scheduler;
mod serve;
mod server;
mod train;
mod watched;
mod windows;

pub use config::{Config, Options, StartError};
pub use server::{Running, start};
