//! The end of a stage, kept.
//!
//! Every stage here is wrapped by [`fused`], so that no stage has to remember by itself that it has ended or failed: the
//! verified end stays the end, an error stays that error, and whatever stands behind (files, processes, threads) is let
//! go of at that moment and not when the consumer gets round to it. This module does not decide what an end is.

use super::{Chunk, Pull, Stopper, Stream, StreamError};

struct Fused<P> {
    inner: Option<P>,
    over: Result<(), StreamError>,
}

/// Makes a stage a stream that keeps its end or its error and never hands out an empty chunk.
pub fn fused(inner: impl Pull + 'static) -> Stream {
    Box::new(Fused { inner: Some(inner), over: Ok(()) })
}

impl<P: Pull> Pull for Fused<P> {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        while let Some(inner) = &mut self.inner {
            match inner.pull() {
                Ok(Some(chunk)) if chunk.is_empty() => {}
                Ok(Some(chunk)) => return Ok(Some(chunk)),
                Ok(None) => self.inner = None,
                Err(error) => {
                    self.over = Err(error);
                    self.inner = None;
                }
            }
        }
        self.over.clone().map(|()| None)
    }

    fn stopper(&self) -> Option<Stopper> {
        self.inner.as_ref().and_then(Pull::stopper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Script(Vec<Result<Option<Chunk>, StreamError>>);

    impl Pull for Script {
        fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
            self.0.remove(0)
        }
    }

    #[test]
    fn an_end_stays_the_end_and_empty_chunks_are_passed_over() {
        let empty = || Ok(Some(Chunk::from(Vec::new())));
        let mut stream = fused(Script(vec![empty(), Ok(Some(Chunk::from(vec![1]))), empty(), Ok(None)]));
        assert_eq!(stream.pull().unwrap().as_deref(), Some(&[1][..]));
        assert!(stream.pull().unwrap().is_none());
        assert!(stream.pull().unwrap().is_none());
    }

    #[test]
    fn an_error_stays_that_error() {
        let error = StreamError::Vanished { stage: "test" };
        let mut stream = fused(Script(vec![Err(error.clone()), Ok(None)]));
        assert_eq!(stream.pull().unwrap_err(), error);
        assert_eq!(stream.pull().unwrap_err(), error);
    }
}
