//! Reading with libraries that panic on damaged data: the panic is caught, and says nothing but that the data is damaged.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// A panic on this thread is expected, and not told.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// What `read` reads; `None` if it panicked, which a reader does of damaged data only.
pub fn unless_damaged<T>(read: impl FnOnce() -> T) -> Option<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !EXPECTED.get() {
                before(panic);
            }
        }));
    });
    let outer = EXPECTED.replace(true);
    let read = catch_unwind(AssertUnwindSafe(read));
    EXPECTED.set(outer);
    read.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_sign_of_damage() {
        assert_eq!(unless_damaged(|| 7), Some(7));
        assert_eq!(unless_damaged(|| -> i32 { panic!("a panic that a test wants") }), None);
        assert!(!EXPECTED.get());
    }
}
