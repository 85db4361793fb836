//! The end of a backend that asks for more memory than it may have.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit status that says so.
pub(super) const FULL: i32 = 83;

static ENDS: AtomicBool = AtomicBool::new(false);

/// From now on, this process ends with [`FULL`] where there is no memory.
pub(super) fn end_when_full() {
    ENDS.store(true, Ordering::Relaxed);
}

/// An allocator of which a backend can tell why it ended: left to itself, a program without memory aborts, as it does for other
/// reasons. The binary that is a worker has it as its global one.
pub struct EndsWhenFull<A>(pub A);

fn looked_at(made: *mut u8) -> *mut u8 {
    if made.is_null() && ENDS.load(Ordering::Relaxed) {
        // SAFETY: ends the process, with nothing run on the way.
        unsafe { libc::_exit(FULL) }
    }
    made
}

// SAFETY: everything is done by the allocator within.
unsafe impl<A: GlobalAlloc> GlobalAlloc for EndsWhenFull<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        looked_at(unsafe { self.0.alloc(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        looked_at(unsafe { self.0.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        looked_at(unsafe { self.0.realloc(pointer, layout, size) })
    }
}
