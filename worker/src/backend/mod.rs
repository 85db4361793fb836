//! Backends: processes that compute users' statements for a worker, so that whatever a statement does ends one process and not
//! the worker. A backend is the worker's own binary with another first argument. It takes one statement after the other, its
//! memory is bounded by the kernel, and it is killed to stop it.
//!
//! Rows go there and back in files that lie in memory, in Arrow's format, and everything else over a socket.

mod full;
mod message;
mod pool;
mod process;
mod rows;
mod serve;

pub use full::EndsWhenFull;
pub use message::{BACKEND, Work};
pub use pool::{Backends, Bounds, Unmade};
pub use serve::backend_main;
