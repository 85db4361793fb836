//! Bodies of requests and answers, in the forms that clients write and read. Pure: bytes in, tables and bytes out.

mod answer;
mod csv;
mod json;
mod lists;
mod tensors;
mod tensors_answer;

pub use answer::{Answers, RequestError};
pub use csv::parse_csv;
pub use json::{JsonForm, parse_json};
pub use tensors::{InferRequest, parse_infer};
pub use tensors_answer::{TensorAnswer, metadata, write_infer};
