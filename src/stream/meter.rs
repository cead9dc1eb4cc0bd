//! A count of the bytes that pass, to be read from elsewhere while they pass.
//!
//! Progress and the stall watchdog look at it. This module does not judge how long is too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Chunk, Pull, Stopper, Stream, StreamError, fused};

/// Counts bytes; clones count together.
#[derive(Debug, Clone)]
pub struct Meter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    made: Instant,
    bytes: AtomicU64,
    /// When the last bytes passed, in microseconds after `made`.
    moved: AtomicU64,
    /// Whether the stream that passes here came to its verified end.
    ended: AtomicBool,
}

impl Default for Meter {
    fn default() -> Self {
        let (bytes, moved, ended) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { made: Instant::now(), bytes, moved, ended }) }
    }
}

impl Meter {
    /// A meter that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes so far.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// How long nothing has passed; since the meter was made, if nothing ever has.
    pub fn idle(&self) -> Duration {
        let moved = Duration::from_micros(self.shared.moved.load(Ordering::Relaxed));
        self.shared.made.elapsed().saturating_sub(moved)
    }

    /// Whether all has passed that will, as the verified end of the stream said.
    pub fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::Acquire)
    }

    /// Counts bytes that passed.
    pub fn add(&self, bytes: u64) {
        let now = u64::try_from(self.shared.made.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shared.moved.fetch_max(now, Ordering::Relaxed);
    }
}

struct Metered {
    input: Stream,
    meter: Meter,
}

/// Counts what passes here.
pub fn metered(input: Stream, meter: &Meter) -> Stream {
    fused(Metered { input, meter: meter.clone() })
}

impl Pull for Metered {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let chunk = self.input.pull()?;
        match &chunk {
            Some(chunk) => self.meter.add(chunk.len() as u64),
            None => self.meter.shared.ended.store(true, Ordering::Release),
        }
        Ok(chunk)
    }

    fn stopper(&self) -> Option<Stopper> {
        self.input.stopper()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::bytes::stream_of;

    #[test]
    fn bytes_are_counted_and_standing_still_shows() {
        let meter = Meter::new();
        let mut stream = metered(stream_of("12345"), &meter);
        std::thread::sleep(Duration::from_millis(30));
        assert!(meter.idle() >= Duration::from_millis(30) && meter.bytes() == 0);
        stream.pull().unwrap();
        assert!(meter.idle() < Duration::from_millis(30) && meter.bytes() == 5);
        assert!(!meter.has_ended());
        assert!(stream.pull().unwrap().is_none() && meter.has_ended());
    }
}
