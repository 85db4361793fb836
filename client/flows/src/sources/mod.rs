//! From the user's sources to the chunks and the schema of an ingest: found, looked into, cut and, where workers cannot
//! read them by path, uploaded.

mod archive;
mod check;
mod chunk_size;
mod columnar;
mod decode;
pub mod error;
mod expand;
mod hive;
mod inspect;
mod json_text;
mod kind;
mod open;
mod options;
mod parallel;
mod pass;
mod prepare;
mod rows;
mod sample;
mod schema_option;
mod script;
mod text;
mod unpack;
mod upload;
mod workbook;

pub use decode::{TextEncoding, parse_encoding};
pub use inspect::file_location;
pub use open::Pulse;
pub use options::{ReadOptions, parse_delimiter, parse_escape, parse_quote};
pub use prepare::{Looked, Plan, Prepared, assemble, look, pass, total_bytes};
pub use rows::RowFinder;
pub use schema_option::{SchemaError, parse as parse_schema};
pub use upload::{Payload, Uploader};
pub use workbook::{CellRange, Pick, SheetName};
