//! Streams of bytes that are already in memory, and small streams taken into memory.
//!
//! This module does not hold anything large: [`collect`] has a limit.

use super::{Chunk, Pull, Stream, StreamError, fused};

struct Bytes(Option<Vec<u8>>);

impl Pull for Bytes {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        Ok(self.0.take().map(Chunk::from))
    }
}

/// These bytes as a stream of one chunk.
pub fn stream_of(bytes: impl Into<Vec<u8>>) -> Stream {
    fused(Bytes(Some(bytes.into())))
}

/// All bytes of a stream up to its verified end; an error if there are more than the limit.
pub fn collect(mut stream: Stream, limit: usize) -> Result<Vec<u8>, StreamError> {
    collect_from(stream.as_mut(), limit)
}

pub(super) fn collect_from(stream: &mut dyn Pull, limit: usize) -> Result<Vec<u8>, StreamError> {
    let mut all = Vec::new();
    while let Some(chunk) = stream.pull()? {
        if all.len() + chunk.len() > limit {
            return Err(StreamError::corrupt("stream", format_args!("holds more than the {limit} bytes allowed")));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_a_limit_holds() {
        assert_eq!(collect(stream_of("백업"), 6).unwrap(), "백업".as_bytes());
        assert_eq!(collect(stream_of(Vec::new()), 0).unwrap(), b"");
        assert!(collect(stream_of("백업"), 5).unwrap_err().to_string().contains("more than the 5 bytes"));
    }
}
