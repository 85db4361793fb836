//! Domain types to wire messages and back.

use serde::Serialize;
use serde::de::DeserializeOwned;
use shardmill_common::failure::Refusal;
use tonic::{Code, Status};

use crate::v1::Json;

/// A domain value as a wire message.
pub fn encode<T: Serialize>(value: &T) -> Result<Json, Status> {
    match serde_json::to_vec(value) {
        Ok(json) => Ok(Json { json }),
        Err(e) => Err(Status::internal(format!("cannot encode a message: {e}"))),
    }
}

/// The domain value in a wire message; garbage is the sender's fault.
pub fn decode<T: DeserializeOwned>(message: &Json) -> Result<T, Status> {
    serde_json::from_slice(&message.json).map_err(|e| Status::invalid_argument(format!("cannot read the message: {e}")))
}

pub fn refusal_to_status(refusal: Refusal) -> Status {
    let code = match &refusal {
        Refusal::Invalid(_) => Code::InvalidArgument,
        Refusal::NotFound(_) => Code::NotFound,
        Refusal::Conflict(_) => Code::AlreadyExists,
        Refusal::Unavailable(_) => Code::FailedPrecondition,
        Refusal::Denied(_) => Code::PermissionDenied,
        Refusal::Internal(_) => Code::Internal,
    };
    Status::new(code, refusal.to_string())
}

/// The refusal in a status, or `None` where the peer could not be reached at all.
pub fn status_to_refusal(status: &Status) -> Option<Refusal> {
    let message = status.message().to_owned();
    // A status that has a cause was made here, of a connection that broke; a peer's answer has none.
    if std::error::Error::source(status).is_some() {
        return None;
    }
    Some(match status.code() {
        Code::InvalidArgument | Code::OutOfRange => Refusal::Invalid(message),
        Code::NotFound => Refusal::NotFound(message),
        Code::AlreadyExists => Refusal::Conflict(message),
        Code::FailedPrecondition | Code::ResourceExhausted => Refusal::Unavailable(message),
        Code::PermissionDenied | Code::Unauthenticated => Refusal::Denied(message),
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => return None,
        _ => Refusal::Internal(message),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_survive_the_wire() {
        for refusal in [
            Refusal::Invalid("a".into()),
            Refusal::NotFound("b".into()),
            Refusal::Conflict("c".into()),
            Refusal::Unavailable("d".into()),
            Refusal::Denied("e".into()),
        ] {
            assert_eq!(status_to_refusal(&refusal_to_status(refusal.clone())), Some(refusal));
        }
        assert_eq!(status_to_refusal(&Status::unavailable("gone")), None);
        assert_eq!(status_to_refusal(&Status::unknown("transport error")), None);
        let broken = Status::from_error(Box::new(std::io::Error::other("connection reset")));
        assert_eq!(status_to_refusal(&broken), None);
    }
}
