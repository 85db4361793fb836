//! Delimited text and JSON lines as bytes: dialects, where records end, and what type a cell has. Pure; shared by the
//! cutter (client) and the parser (worker), so that both always agree on where a record ends.

mod bytes;
mod cells;
mod cut;
mod decimals;
mod dialect;
mod encoding;
mod header;
mod hints;
mod infer;
mod json;
mod mend;
mod nulls;
mod numbers;
mod ready;
mod scan;
mod sniff;
mod spans;
mod style;
mod translate;
mod translated;
mod written;

pub use bytes::{parse_hex, write_hex};
pub use cells::{
    fits, integer_literal, is_beyond_float, parse_boolean, parse_date, parse_datetime, parse_datetime_utc,
    parse_float64, parse_float64_exact, parse_int64,
};
pub use cut::{Chunks, Cut, CutChunk, CutError, Cutter, MAX_CHUNK_BYTES, Offsets, cut_slice};
pub use decimals::{FLOAT_DIGITS, decimal_digits, decimal_float, decimal_of_float, parse_decimal, rescale};
pub use dialect::{Dialect, Encoding, Ragged};
pub use encoding::{Guess, bom_len, guess_encoding, windows_1252_to_utf8};
pub use header::{Header, HeaderError, numbered_names, read_header, read_names};
pub use hints::{Hint, guess_hints};
pub use infer::{ColumnState, Sampler, classify, sample_csv, sample_json_lines};
pub use json::{JsonFault, Kind, Member, members, unescape_json};
pub use mend::{Mend, Mended, mend_names};
pub use nulls::{COMMON_NULLS, Nulls};
pub use numbers::Numbers;
pub use ready::Ready;
pub use scan::{
    Defect, DialectError, FieldSpan, Grammar, MAX_RECORD_BYTES, Record, next_record, split_record, unescape_quotes,
};
pub use sniff::{BodyShape, Sniffed, Told, skip_of, sniff};
pub use spans::{parse_duration, parse_time};
pub use style::{Comment, Delimiter, Style};
pub use translate::{Translator, Unclosed};
pub use translated::Translated;
pub use written::{float_text, write_date, write_datetime, write_decimal, write_duration, write_time};
