//! Calling the SQL engine: on a stack large enough for deep statements, and with its panics caught.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Parser and engine walk statements recursively; untouched pages of the stack cost nothing.
const STACK: usize = 256 << 20;

/// Runs the engine on a stack of its own. A panic becomes an error.
pub fn on_large_stack<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let run = || catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(UNSUPPORTED.to_owned()));
        match std::thread::Builder::new().name("sql".into()).stack_size(STACK).spawn_scoped(scope, run) {
            Ok(thread) => thread.join().unwrap_or_else(|_| Err(UNSUPPORTED.to_owned())),
            Err(e) => Err(format!("no thread for the statement: {e}")),
        }
    })
}

const UNSUPPORTED: &str = "the engine does not support this statement";
