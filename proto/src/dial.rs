//! The one way to reach a coordinator or a worker: every connection has the same limits of time, signs of life and windows.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

/// How long a peer may take to answer the dialling.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How often a peer is asked for a sign of life, and how long it may take to give one.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const ALIVE_WITHIN: Duration = Duration::from_secs(10);
/// Bytes that a stream may hold which nobody reads just now.
const STREAM_WINDOW: u32 = 2 << 20;
/// Streams of one connection may wait for each other, so that all of them together are never held up by the connection itself.
const CONNECTION_WINDOW: u32 = 1 << 30;

/// Why a peer cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    #[error("`{url}` is not a URL: {why}; write it as http://host:port")]
    Url { url: String, why: String },
    #[error("{why}")]
    Unreachable { url: String, why: String },
}

fn endpoint(url: &str) -> Result<Endpoint, DialError> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|e| DialError::Url { url: url.to_owned(), why: e.to_string() })?;
    Ok(endpoint
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(ALIVE_WITHIN)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .tcp_nodelay(true))
}

/// A connection, once it is there.
pub async fn dial(url: &str) -> Result<Channel, DialError> {
    let channel = endpoint(url)?.connect().await;
    channel.map_err(|e| DialError::Unreachable { url: url.to_owned(), why: shown(&e) })
}

/// A connection that is made when it is first used, and again when it broke.
pub fn dial_lazily(url: &str) -> Result<Channel, DialError> {
    Ok(endpoint(url)?.connect_lazy())
}

/// An error with its causes, without repeating any.
fn shown(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_is_told_apart() {
        let error = dial_lazily("not a url").unwrap_err();
        assert!(matches!(&error, DialError::Url { .. }), "{error:?}");
        assert!(error.to_string().ends_with("write it as http://host:port"), "{error}");
    }
}
