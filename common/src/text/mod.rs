//! Delimited text as bytes: dialects, where records end, and what type a cell has. Pure; shared by the cutter (client)
//! and the parser (worker), so that both always agree on where a record ends.

mod dialect;

pub use dialect::{Dialect, Encoding};
