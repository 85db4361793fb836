//! Calling the SQL engine: on a stack large enough for deep statements, and with its panics caught.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::SqlError;

/// Parser and engine walk statements recursively; untouched pages of the stack cost nothing.
pub const STACK: usize = 256 << 20;

/// Runs the engine on a stack of its own. A panic becomes an error.
pub fn on_large_stack<T: Send>(work: impl FnOnce() -> Result<T, SqlError> + Send) -> Result<T, SqlError> {
    let broken = || SqlError::Engine("the engine does not support this statement".to_owned());
    std::thread::scope(|scope| {
        let run = || catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(broken()));
        match std::thread::Builder::new().name("sql".into()).stack_size(STACK).spawn_scoped(scope, run) {
            Ok(thread) => thread.join().unwrap_or_else(|_| Err(broken())),
            Err(e) => Err(SqlError::Engine(format!("no thread for the statement: {e}"))),
        }
    })
}
