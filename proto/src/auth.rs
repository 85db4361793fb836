//! What every call carries: the version of the protocol that its caller speaks, and the cluster's token, a shared secret, as
//! `authorization: Bearer TOKEN`.

use shardmill_common::message::PROTOCOL_VERSION;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// The header that says which version of the protocol the caller speaks.
const PROTOCOL: &str = "shardmill-protocol";

/// Adds the token and the protocol's version to calls that go out.
#[derive(Clone, Default)]
pub struct AddToken {
    header: Option<MetadataValue<tonic::metadata::Ascii>>,
}

/// A token that no header can carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token has characters that cannot be sent in a header")]
pub struct UnfitToken;

impl AddToken {
    pub fn new(token: Option<&str>) -> Result<Self, UnfitToken> {
        let header = match token {
            None => None,
            Some(token) => Some(MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| UnfitToken)?),
        };
        Ok(Self { header })
    }
}

impl Interceptor for AddToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.header {
            request.metadata_mut().insert("authorization", header.clone());
        }
        request.metadata_mut().insert(PROTOCOL, MetadataValue::from(PROTOCOL_VERSION));
        Ok(request)
    }
}

/// Refuses calls that come in without the token.
#[derive(Clone, Default)]
pub struct CheckToken {
    expected: Option<String>,
}

impl CheckToken {
    pub fn new(token: Option<&str>) -> Self {
        Self { expected: token.map(|t| format!("Bearer {t}")) }
    }
}

impl Interceptor for CheckToken {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(expected) = &self.expected else { return Ok(request) };
        let given = request.metadata().get("authorization").map(|v| v.as_bytes()).unwrap_or_default();
        // Every byte is compared, so that the time taken tells nothing of how many were right.
        let same = given.len() == expected.len()
            && given.iter().zip(expected.as_bytes()).fold(0u8, |acc, (a, b)| acc | (a ^ b)) == 0;
        if same {
            Ok(request)
        } else {
            Err(Status::unauthenticated("the token is missing or wrong: set SHARDMILL_TOKEN"))
        }
    }
}

/// Refuses callers of another version, who would misunderstand and be misunderstood.
#[derive(Clone, Copy, Default)]
pub struct CheckProtocol;

impl Interceptor for CheckProtocol {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let said = request.metadata().get(PROTOCOL).and_then(|v| v.to_str().ok());
        if said.and_then(|v| v.parse().ok()) == Some(PROTOCOL_VERSION) {
            return Ok(request);
        }
        let theirs = said.map_or("does not say which it speaks".to_owned(), |v| format!("speaks {}", v.escape_debug()));
        // Nothing else that a peer refuses has this code: it does not mend itself.
        Err(Status::out_of_range(format!(
            "this cluster speaks protocol {PROTOCOL_VERSION}, the caller {theirs}: run the same version of shardmill everywhere"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_token_passes() {
        let mut check = CheckToken::new(Some("secret"));
        assert!(check.call(Request::new(())).is_err());
        let wrong = AddToken::new(Some("secreT")).unwrap().call(Request::new(())).unwrap();
        assert!(check.call(wrong).is_err());
        let right = AddToken::new(Some("secret")).unwrap().call(Request::new(())).unwrap();
        assert!(check.call(right).is_ok());
        assert!(CheckToken::new(None).call(Request::new(())).is_ok());
        assert!(AddToken::new(Some("a\nb")).is_err());
    }

    #[test]
    fn only_the_right_protocol_passes() {
        let said = AddToken::default().call(Request::new(())).unwrap();
        assert!(CheckProtocol.call(said).is_ok());
        let silent = CheckProtocol.call(Request::new(())).unwrap_err();
        assert!(silent.message().contains("does not say which it speaks"), "{silent}");
        let mut other = Request::new(());
        other.metadata_mut().insert(PROTOCOL, MetadataValue::from(PROTOCOL_VERSION - 1));
        let refused = CheckProtocol.call(other).unwrap_err();
        assert!(refused.message().ends_with("run the same version of shardmill everywhere"), "{refused}");
    }
}
