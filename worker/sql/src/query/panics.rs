//! Panics of the threads that compute parts of queries. The engine takes the end of such a thread for the end of its rows, so they are
//! counted: a query during which there was one is not believed.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the names of those threads begin with.
pub const THREADS: &str = "quer";

static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many there were so far, from the first call on.
pub fn panics() -> u64 {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name().is_some_and(|name| name.starts_with(THREADS)) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            before(panic);
        }));
    });
    PANICS.load(Ordering::SeqCst)
}
