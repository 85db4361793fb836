//! A process that answers requests: its endpoints, and the limits that keep its memory and its queue bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use shardmill_common::watch::ErrorKind;
use tokio::sync::Semaphore;

use crate::capture::Sink;
use crate::dialect::RequestError;
use crate::live::Live;

/// What a node takes on at once.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one body, and of one reply: those of SageMaker.
    pub body: usize,
    /// Bytes of all bodies that are held at once.
    pub bodies: usize,
    /// Requests that wait for a prediction or are being predicted.
    pub queue: usize,
    /// Connections that are open at once.
    pub connections: usize,
    /// How long a body may take to arrive.
    pub body_time: Duration,
    /// How long the head of a request may take to arrive, and a connection may idle.
    pub head_time: Duration,
    /// How long a client may leave a reply unread.
    pub write_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 6_291_456,
            bodies: 256 << 20,
            queue: 1024,
            connections: 16_384,
            body_time: Duration::from_secs(30),
            head_time: Duration::from_secs(60),
            write_time: Duration::from_secs(30),
        }
    }
}

/// Bodies up to this size are predicted where they are read; larger ones take turns, as many at a time as there are cores.
const LIGHT: usize = 32 << 10;
/// A body that is too large is read on and thrown away up to so many times the limit, so that its sender gets to the answer.
const DRAIN: usize = 4;

/// A process that answers requests.
pub struct Node {
    pub live: Arc<Live>,
    pub limits: Limits,
    pub sink: Option<Arc<dyn Sink>>,
    queued: AtomicUsize,
    held: AtomicUsize,
    turns: Semaphore,
}

/// A place in a count that is given back when this goes.
struct Place<'a> {
    count: &'a AtomicUsize,
    size: usize,
}

impl<'a> Place<'a> {
    const fn none(count: &'a AtomicUsize) -> Self {
        Self { count, size: 0 }
    }

    /// Takes `size` more. False: more than `limit` would be taken.
    fn grow(&mut self, size: usize, limit: usize) -> bool {
        self.size += size;
        self.count.fetch_add(size, Ordering::Relaxed) + size <= limit
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// A body that was read whole, and counts as held until this goes.
pub struct Body<'a> {
    pub bytes: Bytes,
    _place: Place<'a>,
}

impl Node {
    pub fn new(live: Arc<Live>, limits: Limits, sink: Option<Arc<dyn Sink>>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            live,
            limits,
            sink,
            queued: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            turns: Semaphore::new(cores),
        }
    }

    /// Whether endpoints were taken up: before that, nobody knows what there is.
    pub fn is_ready(&self) -> bool {
        self.live.is_deployed()
    }

    fn too_large(&self, size: impl std::fmt::Display) -> RequestError {
        let limit = self.limits.body;
        RequestError::new(ErrorKind::TooLarge, format!("the body has {size} bytes; at most {limit} are taken"))
    }

    /// Reads a body within the limits of size, time and memory. `announced` is its Content-Length.
    pub async fn read(&self, announced: Option<u64>, body: axum::body::Body) -> Result<Body<'_>, RequestError> {
        let late = |_| {
            let seconds = self.limits.body_time.as_secs();
            RequestError::new(ErrorKind::Incomplete, format!("the body did not arrive within {seconds} s"))
        };
        tokio::time::timeout(self.limits.body_time, self.read_on(announced, body)).await.map_err(late)?
    }

    async fn read_on(&self, announced: Option<u64>, body: axum::body::Body) -> Result<Body<'_>, RequestError> {
        let limit = self.limits.body;
        let mut stream = body.into_data_stream();
        let mut place = Place::none(&self.held);
        let (mut first, mut more, mut size) = (Bytes::new(), BytesMut::new(), 0);
        let mut refused = None;
        if let Some(announced) = announced.filter(|n| *n > limit as u64) {
            refused = Some(self.too_large(announced));
        }
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|e| {
                RequestError::new(ErrorKind::Incomplete, format!("the body ended before it was whole: {e}"))
            })?;
            size += piece.len();
            if size > limit && refused.is_none() {
                refused = Some(self.too_large(format_args!("more than {limit}")));
            }
            if let Some(refusal) = refused.take() {
                if size > limit.saturating_mul(DRAIN) {
                    return Err(refusal);
                }
                refused = Some(refusal);
                continue;
            }
            if !place.grow(piece.len(), self.limits.bodies) {
                return Err(RequestError::new(
                    ErrorKind::QueueFull,
                    "the bodies of requests under way take all the memory there is for them; try again",
                ));
            }
            if first.is_empty() {
                first = piece;
            } else {
                if more.is_empty() {
                    more.reserve(announced.map_or(0, |n| n as usize).max(first.len() + piece.len()));
                    more.extend_from_slice(&first);
                }
                more.extend_from_slice(&piece);
            }
        }
        if let Some(refusal) = refused {
            return Err(refusal);
        }
        Ok(Body { bytes: if more.is_empty() { first } else { more.freeze() }, _place: place })
    }

    /// Runs `work` when its turn comes, or says that too many wait.
    pub async fn in_turn<T>(
        &self,
        size: usize,
        work: impl FnOnce() -> Result<T, RequestError>,
    ) -> Result<T, RequestError> {
        let mut place = Place::none(&self.queued);
        if !place.grow(1, self.limits.queue) {
            let message = format!("the queue of {} requests is full; try again", self.limits.queue);
            return Err(RequestError::new(ErrorKind::QueueFull, message));
        }
        if size <= LIGHT {
            return work();
        }
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await.map_err(|e| RequestError::new(ErrorKind::Internal, e.to_string()))?;
        tokio::task::block_in_place(work)
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
