//! The wire: generated gRPC code, and the one place where wire messages and domain types are converted.

pub mod auth;
pub mod convert;
pub mod dial;

/// Generated from `proto/shardmill/v1/shardmill.proto`.
pub mod v1 {
    tonic::include_proto!("shardmill.v1");
}

pub use convert::{decode, encode, refusal_to_status, status_to_refusal};

/// The largest control message accepted, in bytes: manifests and plans of large jobs fit, floods do not.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// The header of a store call that names the object, where the client chooses its id.
pub const OBJECT_ID_HEADER: &str = "object-id";
