//! Many small reads at once: a few threads that take items until none is left. This module does not know what is read.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many wait for a remote store at once; one request is mostly waiting.
const REMOTE: usize = 16;

/// The answer for each item, in the order of the items. The first error ends it: a part is never passed for the whole.
pub(super) fn each<T: Sync, R: Send, E: Send>(remote: bool, items: &[T], work: impl Fn(&T) -> Result<R, E> + Sync) -> Result<Vec<R>, E> {
    let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let threads = if remote { REMOTE } else { cores }.min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let one = || {
        let mut done = Vec::new();
        while let Some((place, item)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|place| Some((place, items.get(place)?))) {
            match work(item) {
                Ok(answer) => done.push((place, answer)),
                Err(error) => {
                    // Nobody needs to begin what nobody will look at.
                    next.store(items.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(done)
    };
    let mut all: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        let ended = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        // Every worker is waited for, also behind one that failed.
        ended.collect::<Vec<_>>().into_iter().collect::<Result<Vec<_>, E>>().map(|parts| parts.into_iter().flatten().collect())
    })?;
    all.sort_unstable_by_key(|(place, _)| *place);
    Ok(all.into_iter().map(|(_, answer)| answer).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_order_and_one_error_is_the_answer() {
        let items: Vec<u32> = (0..500).collect();
        for remote in [false, true] {
            assert_eq!(
                each(remote, &items, |item| Ok::<u32, ()>(item * 2)).unwrap(),
                items.iter().map(|item| item * 2).collect::<Vec<_>>()
            );
            assert_eq!(each(remote, &items, |item| if *item == 77 { Err(*item) } else { Ok(()) }), Err(77));
        }
        assert_eq!(each(true, &[] as &[u32], |_| Ok::<(), ()>(())), Ok(vec![]));
    }
}
