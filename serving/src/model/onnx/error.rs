//! Why an ONNX file is not imported, cannot be had, or cannot be run.

use shardmill_common::model::MAX_GRAPH_BYTES;
use shardmill_common::units::show_bytes;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OnnxError {
    #[error("it is no ONNX model: {0}")]
    NotOnnx(String),
    #[error("the file has {}, and models of up to {} are imported", show_bytes(*.0), show_bytes(MAX_GRAPH_BYTES))]
    TooLarge(u64),
    /// It has, or does, what is not supported; a sentence.
    #[error("{0}")]
    Unsupported(String),
    /// Its parts do not fit together; a sentence.
    #[error("{0}")]
    Malformed(String),
    #[error("the constant `{}` {what}", name.escape_debug())]
    Constant { name: String, what: String },
    #[error("operator `{}` {what}", op.escape_debug())]
    Operator { op: String, what: String },
    /// What an operator says of itself.
    #[error("operator `{op}`: {what}")]
    Attributes { op: String, what: String },
    #[error("its input `{}` {what}", name.escape_debug())]
    Input { name: String, what: String },
    /// An option is wanted, or does not fit the file; a sentence.
    #[error("{0}")]
    Options(String),
    /// How many numbers a row something takes or puts out; a sentence.
    #[error("{0}")]
    Width(String),
    /// Tried out, it does not do what a model does; a sentence.
    #[error("{0}")]
    Trial(String),
    #[error("the graph needs too much memory for one row")]
    Memory,
    #[error("the graph cannot be run: {0}")]
    Run(String),
    #[error("the file of the imported model {file} cannot be had: {why}")]
    File { file: String, why: String },
    #[error("the file of the imported model {file} has the checksum {found}, and should have {wanted}")]
    Checksum { file: String, found: String, wanted: String },
}

impl OnnxError {
    pub fn operator(op: &str, what: impl Into<String>) -> Self {
        OnnxError::Operator { op: op.to_owned(), what: what.into() }
    }

    pub fn input(name: &str, what: impl Into<String>) -> Self {
        OnnxError::Input { name: name.to_owned(), what: what.into() }
    }
}
