//! The test harness: real processes, real sockets, real files. Whatever it starts it stops, by process id.

mod cluster;
mod command;
mod data;

pub use cluster::{Cluster, Node, free_port};
pub use command::{Outcome, Shardmill, binary};
pub use data::{pseudo_rows, shared_data};
