//! Workflows of several steps over a cluster: reading and uploading sources, ingesting them, exports, prediction from file to file,
//! questions in SQL, evaluation of what endpoints captured, capture itself, models and pictures as files. They know of no terminal
//! and no exit status: whoever runs one is told how it goes, and may stop it, through [`host::Host`].

pub mod capture;
pub mod describe;
pub mod download;
pub mod error;
pub mod evaluate;
pub mod evaluate_captured;
pub mod evaluate_error;
pub mod export;
pub mod host;
pub mod ingest;
pub mod jobs;
pub mod machine;
pub mod model_export;
mod plot;
pub mod predict_error;
pub mod predict_file;
mod predict_rejects;
pub mod query;
pub mod read;
pub mod read_error;
pub mod session;
pub mod sources;
pub mod temporary;
pub mod text;

pub use error::FlowError;
pub use host::{Host, Progress, Quiet};
pub use session::Session;
