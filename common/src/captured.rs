//! The columns of a captured dataset: what was asked of an endpoint, what it answered, and who did.

use crate::schema::DataType;

/// When the request was answered.
pub const TIME: &str = "_time";
pub const ENDPOINT: &str = "_endpoint";
pub const VARIANT: &str = "_variant";
/// `name@version`.
pub const MODEL: &str = "_model";
/// The node's name for the request.
pub const REQUEST: &str = "_request";
/// The client's name for the request.
pub const INFERENCE_ID: &str = "_inference_id";
/// The row's number in its request, from 0.
pub const ROW: &str = "_row";

/// The columns that every captured row begins with.
pub const COLUMNS: [(&str, DataType); 7] = [
    (TIME, DataType::DATETIME_UTC),
    (ENDPOINT, DataType::String),
    (VARIANT, DataType::String),
    (MODEL, DataType::String),
    (REQUEST, DataType::String),
    (INFERENCE_ID, DataType::String),
    (ROW, DataType::Int64),
];

/// A column of the request that is called like one of those above, or like a column of the answer, is kept under this and
/// its name.
pub const INPUT_PREFIX: &str = "input_";
