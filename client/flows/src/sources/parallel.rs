//! The same work for every source, on two threads, with the results in order.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::TakeError;
use crate::error::FlowError;

/// Two keep two disks or two cores busy; more would only make readers wait for one another.
const THREADS: usize = 2;

/// Applies `work` to every item. After an error no further item is begun; the error of the earliest item is told.
pub fn in_parallel<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(usize, T) -> Result<R, FlowError> + Sync,
) -> Result<Vec<R>, FlowError> {
    let count = items.len();
    let items: Vec<Mutex<Option<T>>> = items.into_iter().map(|i| Mutex::new(Some(i))).collect();
    let results: Vec<Mutex<Option<Result<R, FlowError>>>> = (0..count).map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let turn = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (Some(slot), Some(place)) = (items.get(at), results.get(at)) else { break };
            let Some(item) = lock(slot).take() else { break };
            let result = work(at, item);
            if result.is_err() {
                next.store(count, Ordering::Relaxed);
            }
            *lock(place) = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..THREADS.min(count) {
            scope.spawn(turn);
        }
        turn();
    });
    let mut out = Vec::with_capacity(count);
    let mut all = results
        .into_iter()
        .map(|slot| slot.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
        .collect::<Vec<_>>();
    if let Some(at) = all.iter().position(|r| matches!(r, Some(Err(_)))) {
        all.swap(0, at);
        all.truncate(1);
    }
    for result in all {
        match result {
            Some(result) => out.push(result?),
            None => return Err(TakeError::NotRead.into()),
        }
    }
    Ok(out)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is behind these locks is whole at every moment, even where a thread panicked.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order_and_the_first_error_wins() {
        let doubled = in_parallel((0..100).collect(), |_, n: i32| Ok(n * 2)).unwrap();
        assert_eq!(doubled, (0..100).map(|n| n * 2).collect::<Vec<_>>());
        let error = in_parallel(vec![1, 2, 3], |at, _: i32| match at {
            0 => Ok(()),
            _ => Err(TakeError::Changed { name: format!("item {at}") }.into()),
        });
        assert!(error.unwrap_err().to_string().starts_with("item"));
        assert!(in_parallel(Vec::<i32>::new(), |_, _| Ok(())).unwrap().is_empty());
    }
}
