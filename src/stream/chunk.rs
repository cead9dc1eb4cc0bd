//! Buffers that go round: a [`Chunk`] gives its memory back to the [`Pool`] it came from when it is dropped.
//!
//! Fresh megabytes from the allocator are page faults; a stream of gigabytes through new buffers spends a tenth of its
//! time in them. This module does not bound how many chunks are in flight: the channels between stages do.

use std::ops::Deref;

use crossbeam_channel::{Receiver, Sender, unbounded};

/// Some bytes of a stream. Dropping it returns the buffer to its pool.
#[derive(Debug)]
pub struct Chunk {
    bytes: Vec<u8>,
    home: Option<Sender<Vec<u8>>>,
}

impl Deref for Chunk {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, home: None }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.clear();
            // A pool that is gone takes nothing back; the memory is then simply freed.
            let _gone = home.send(bytes);
        }
    }
}

/// Where one stage takes its buffers from.
#[derive(Debug, Clone)]
pub struct Pool {
    capacity: usize,
    give: Sender<Vec<u8>>,
    take: Receiver<Vec<u8>>,
}

impl Pool {
    /// A pool of buffers of this capacity in bytes, made as they are first needed.
    pub fn new(capacity: usize) -> Self {
        let (give, take) = unbounded();
        Self { capacity, give, take }
    }

    /// An empty buffer, to be filled and handed to [`Pool::chunk`].
    pub fn buffer(&self) -> Vec<u8> {
        self.take.try_recv().unwrap_or_else(|_| Vec::with_capacity(self.capacity))
    }

    /// Makes a filled buffer a chunk that comes back here.
    pub fn chunk(&self, bytes: Vec<u8>) -> Chunk {
        Chunk { bytes, home: Some(self.give.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_chunk_is_the_next_buffer() {
        let pool = Pool::new(64);
        let mut buffer = pool.buffer();
        buffer.extend_from_slice(b"abc");
        let address = buffer.as_ptr();
        drop(pool.chunk(buffer));
        let again = pool.buffer();
        assert_eq!((again.as_ptr(), again.len(), again.capacity()), (address, 0, 64));
    }
}
