//! Raw columns of the engine to the numbers a model computes with; what becomes of these is in `shardmill_serving`.

mod encode;

pub use encode::{Encoded, encode};
