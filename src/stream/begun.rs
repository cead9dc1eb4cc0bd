//! A stream whose first bytes are there already.
//!
//! A program that fails before it writes anything can still be started in another way. It changes no byte.

use super::{Chunk, Pull, Stopper, Stream, StreamError, fused};

struct Begun {
    first: Option<Chunk>,
    rest: Stream,
}

/// Waits for the first bytes of a stream, which then begins with them; what fails before them fails here.
pub fn begun(mut stream: Stream) -> Result<Stream, StreamError> {
    let first = stream.pull()?;
    Ok(fused(Begun { first, rest: stream }))
}

impl Pull for Begun {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        self.first.take().map_or_else(|| self.rest.pull(), |first| Ok(Some(first)))
    }

    fn stopper(&self) -> Option<Stopper> {
        self.rest.stopper()
    }
}

#[cfg(test)]
mod tests {
    use super::super::bytes::{collect, stream_of};
    use super::*;

    struct Broken;

    impl Pull for Broken {
        fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
            Err(StreamError::Vanished { stage: "test" })
        }
    }

    #[test]
    fn nothing_is_lost_and_an_early_failure_is_told_at_once() {
        assert_eq!(collect(begun(stream_of("백업")).unwrap(), 6).unwrap(), "백업".as_bytes());
        assert_eq!(collect(begun(stream_of("")).unwrap(), 6).unwrap(), b"");
        assert!(begun(Box::new(Broken)).is_err());
    }
}
