//! Accepting connections: bounded in number, in the time their heads may take and in the time they may leave replies unread.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower_service::Service;

use crate::node::Limits;

/// Said to connections beyond the limit.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 38\r\nretry-after: 1\r\nconnection: close\r\n\r\ntoo many connections; try again later\n";
/// After an error of the system (no file descriptors left), until the next connection is accepted.
const PAUSE: Duration = Duration::from_millis(50);
/// Open files of this process besides connections.
const OTHER_FILES: u64 = 512;

/// Allows this process as many open files as the system lets it have, and says how many connections that leaves room for.
pub fn raise_open_files() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(e) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(error = %e, "the limit of open files cannot be raised");
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(allowed.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX)
}

/// Serves until `stop` fires; then requests under way are answered, idle connections closed, and it returns.
pub async fn serve(listener: TcpListener, app: Router, limits: Limits, mut stop: watch::Receiver<bool>) {
    let most = limits.connections.min(raise_open_files()).max(1);
    let places = Arc::new(Semaphore::new(most));
    let (closing, closed) = watch::channel(false);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = async { drop(stop.wait_for(|s| *s).await) } => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(e) => {
                tracing::warn!(error = %e, "a connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        match places.clone().try_acquire_owned() {
            Ok(place) => {
                let connection = connection(stream, app.clone(), limits.clone(), closed.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(_) => drop(tokio::spawn(turn_away(stream))),
        }
    }
    drop(listener);
    closing.send_replace(true);
    // Every connection holds a place: all are closed when all are back. The caller bounds the wait.
    let all = u32::try_from(most).unwrap_or(u32::MAX);
    drop(places.acquire_many(all).await);
}

async fn turn_away(mut stream: TcpStream) {
    // Whoever does not read this does not get it.
    drop(tokio::time::timeout(Duration::from_secs(1), stream.write_all(FULL)).await);
}

async fn connection(stream: TcpStream, app: Router, limits: Limits, mut closed: watch::Receiver<bool>) {
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!(error = %e, "a connection without TCP_NODELAY");
    }
    #[cfg(target_os = "linux")]
    {
        let most = u32::try_from(limits.write_time.as_millis()).unwrap_or(u32::MAX);
        if let Err(e) = rustix::net::sockopt::set_tcp_user_timeout(&stream, most) {
            tracing::debug!(error = %e, "a connection without TCP_USER_TIMEOUT");
        }
    }
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut app = app.clone();
        async move {
            let response = app.call(request.map(Body::new)).await;
            response.map_err(|never: Infallible| never)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        // A client may close its side once it has asked; it still gets its answer.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = async { drop(closed.wait_for(|c| *c).await) } => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!(error = %e, "a connection broke");
    }
}
