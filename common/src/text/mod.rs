//! Delimited text and JSON lines as bytes: dialects, where records end, and what type a cell has. Pure; shared by the
//! cutter (client) and the parser (worker), so that both always agree on where a record ends.

mod cells;
mod cut;
mod dialect;
mod encoding;
mod header;
mod infer;
mod json;
mod nulls;
mod scan;

pub use cells::{
    fits, integer_literal, is_beyond_float, parse_boolean, parse_date, parse_datetime, parse_datetime_utc,
    parse_float64, parse_float64_exact, parse_int64,
};
pub use cut::{Chunks, Cut, CutChunk, CutError, Cutter, MAX_CHUNK_BYTES, Offsets, cut_slice};
pub use dialect::{Dialect, Encoding};
pub use encoding::{bom_len, latin1_to_utf8};
pub use header::{Header, HeaderError, numbered_names, read_header};
pub use infer::{ColumnState, Sampler, classify, sample_csv, sample_json_lines};
pub use json::{JsonFault, Kind, Member, members, unescape_json};
pub use nulls::Nulls;
pub use scan::{
    Defect, DialectError, FieldSpan, Grammar, MAX_RECORD_BYTES, Record, next_record, split_record, unescape_quotes,
};
