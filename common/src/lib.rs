//! The nouns of Shardmill: ids, names, schemas, specs, manifests, records, failures and the layout of files on disk.
//!
//! This crate knows no engine (polars) and no wire (tonic): every other crate depends on it and it depends on none of them.

pub mod captured;
pub mod counters;
pub mod damaged;
pub mod endpoint;
pub mod failure;
pub mod ids;
pub mod kinds;
pub mod layout;
pub mod lists;
pub mod manifest;
pub mod message;
pub mod misread;
pub mod model;
pub mod name;
pub mod permutation;
pub mod phase;
pub mod prediction;
pub mod record;
pub mod rules;
pub mod schema;
pub mod shared;
mod sizes;
pub mod status;
pub mod task;
pub mod telemetry;
pub mod text;
pub mod time;
pub mod unfit;
pub mod units;
pub mod watch;
