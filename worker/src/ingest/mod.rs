//! From the bytes of one chunk of a source to a typed frame, its rejected rows and the types its cells need.
//!
//! Text goes through three layers: `csv` and `jsonl` find cells, `text` drives them in batches that fit the cache, and
//! `column` turns one column's cells into values; `plain` takes lines as they are.
//! `columnar` reads Parquet and Arrow; `stored` and `nested` bring what they hold to stored types.

mod batch;
mod column;
mod columnar;
mod csv;
mod jsonl;
mod line_fault;
mod marks;
mod nested;
mod origin;
mod parsed;
mod plain;
mod stored;
mod strings;
mod tabs;
mod text;
mod written;

pub use origin::Origins;
pub use parsed::{Parsed, Rejected, parse};
pub use written::{Layout, Written, parse_written};

#[cfg(test)]
mod columnar_tests;
#[cfg(test)]
mod mutation_tests;
#[cfg(test)]
mod tests;
