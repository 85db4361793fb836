//! The cluster's token: a shared secret that every call carries as `authorization: Bearer TOKEN`.

use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Adds the token to calls that go out.
#[derive(Clone, Default)]
pub struct AddToken {
    header: Option<MetadataValue<tonic::metadata::Ascii>>,
}

impl AddToken {
    /// Fails where the token has characters that a header cannot carry.
    pub fn new(token: Option<&str>) -> Result<Self, String> {
        let header = match token {
            None => None,
            Some(token) => Some(
                MetadataValue::try_from(format!("Bearer {token}"))
                    .map_err(|_| "the token has characters that cannot be sent in a header".to_owned())?,
            ),
        };
        Ok(Self { header })
    }
}

impl Interceptor for AddToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.header {
            request.metadata_mut().insert("authorization", header.clone());
        }
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
}
