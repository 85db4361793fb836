//! The threads that compute parts of queries, and their panics. The engine takes the end of such a thread for the end of its rows, so
//! panics are counted: a query during which there was one is not believed.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Runtime;

use super::run::no_engine;
use crate::error::SqlError;

/// What they are called.
const NAME: &str = "query";
/// Expressions are walked recursively, also by the threads that compute them; untouched pages of a stack cost nothing.
const STACK: usize = 64 << 20;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// So many threads that compute, and others that may wait.
pub fn query_runtime(threads: usize) -> Result<Runtime, SqlError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .thread_name(NAME)
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .map_err(|e| no_engine(&e))
}

/// How many panics of such threads there were so far, from the first call on.
pub fn panics() -> u64 {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() == Some(NAME) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            before(panic);
        }));
    });
    PANICS.load(Ordering::SeqCst)
}
