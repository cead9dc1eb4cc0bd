//! A stream that keeps something alive as long as it lives, such as the folder its bytes are read from.
//!
//! It changes no byte.

use super::{Chunk, Pull, Stopper, Stream, StreamError};

struct Kept<T> {
    // Fields drop in this order: what reads the thing goes before the thing.
    input: Stream,
    _thing: T,
}

/// The same stream, with a thing that is dropped after it.
pub fn keeping<T: Send + 'static>(input: Stream, thing: T) -> Stream {
    Box::new(Kept { input, _thing: thing })
}

impl<T: Send> Pull for Kept<T> {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        self.input.pull()
    }

    fn stopper(&self) -> Option<Stopper> {
        self.input.stopper()
    }
}
