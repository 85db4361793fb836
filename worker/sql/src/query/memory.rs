//! The memory that the parts of a query share: those that can do with less leave a part of it to those that cannot.
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::common::resources_datafusion_err;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// What is kept for parts that cannot do with less: one of so many bytes.
const KEPT: usize = 8;
/// The part of a sort that merges what went to disk takes all that it is given, and does with less.
const GREEDY: &str = "ExternalSorterMerge";

/// A pool of which those that can go to disk get the same share each, of all that the others left, less an eighth of the whole.
///
/// Without that eighth, threads that sort would fill the memory, and what merges their rows would find none: the query would
/// fail, or not, by which of them came first.
#[derive(Debug)]
pub struct SharedMemory {
    limit: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    /// How many take part that can go to disk.
    spillers: usize,
    /// Bytes of those that can go to disk, and of those that cannot.
    spillable: usize,
    fixed: usize,
}

impl SharedMemory {
    /// So many bytes to share.
    pub fn new(limit: usize) -> Self {
        Self { limit, used: Mutex::default() }
    }

    const fn kept(&self) -> usize {
        self.limit / KEPT
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        // Counters that are added to: whole whatever happened to a thread that held them.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryPool for SharedMemory {
    fn name(&self) -> &str {
        "shared"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.used().spillers += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut used = self.used();
        used.spillers = used.spillers.saturating_sub(usize::from(consumer.can_spill()));
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut used = self.used();
        match reservation.consumer().can_spill() {
            true => used.spillable = used.spillable.saturating_add(additional),
            false => used.fixed = used.fixed.saturating_add(additional),
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut used = self.used();
        match reservation.consumer().can_spill() {
            true => used.spillable = used.spillable.saturating_sub(shrink),
            false => used.fixed = used.fixed.saturating_sub(shrink),
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<(), DataFusionError> {
        let mut used = self.used();
        if reservation.consumer().can_spill() {
            let shared = (self.limit - self.kept()).saturating_sub(used.fixed) / used.spillers.max(1);
            let available = shared.saturating_sub(reservation.size());
            if additional > available {
                return Err(too_little(reservation, additional, available));
            }
            used.spillable = used.spillable.saturating_add(additional);
        } else {
            let kept = if reservation.consumer().name().starts_with(GREEDY) { self.kept() } else { 0 };
            let available = (self.limit - kept).saturating_sub(used.fixed.saturating_add(used.spillable));
            if additional > available {
                return Err(too_little(reservation, additional, available));
            }
            used.fixed = used.fixed.saturating_add(additional);
        }
        Ok(())
    }

    fn reserved(&self) -> usize {
        let used = self.used();
        used.spillable.saturating_add(used.fixed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

impl fmt::Display for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (limit: {} bytes)", self.name(), self.limit)
    }
}

fn too_little(reservation: &MemoryReservation, additional: usize, available: usize) -> DataFusionError {
    resources_datafusion_err!(
        "{} holds {} bytes, wants {additional} more, and {available} are there",
        reservation.consumer().name(),
        reservation.size()
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn part(pool: &Arc<dyn MemoryPool>, spills: bool) -> MemoryReservation {
        MemoryConsumer::new("a part").with_can_spill(spills).register(pool)
    }

    #[test]
    fn who_can_go_to_disk_leaves_room_for_who_cannot() {
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedMemory::new(800));
        let (sort, other, merge) = (part(&pool, true), part(&pool, true), part(&pool, false));
        sort.try_grow(350).unwrap();
        other.try_grow(350).unwrap();
        assert!(sort.try_grow(1).is_err(), "700 of 800 are shared by two");
        let greedy = MemoryConsumer::new("ExternalSorterMerge[0]").register(&pool);
        assert!(greedy.try_grow(1).is_err());
        merge.try_grow(100).unwrap();
        let why = merge.try_grow(1).unwrap_err().to_string();
        assert!(why.contains("a part holds 100 bytes, wants 1 more, and 0 are there"), "{why}");
        assert_eq!(pool.reserved(), 800);
        // What one gives back is the other's only as far as its share goes.
        drop(other);
        sort.try_grow(250).unwrap();
        assert!(sort.try_grow(1).is_err(), "700 less the merge's 100");
        drop((sort, merge));
        assert_eq!(pool.reserved(), 0);
    }
}
