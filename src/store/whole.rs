//! Small things that every store does alike: objects that fit in memory, digests of what was sent, random names.
//! This module does not talk to any store on its own.

use super::{ObjectStore, Refusal, StoreError};
use crate::stream::digest::{Algorithm, Digester, hex};
use crate::stream::{Cancel, Chunk, Pull, Stream, StreamError};

struct Once(Option<Chunk>);

impl Pull for Once {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        Ok(self.0.take())
    }
}

/// Bytes in memory as a stream.
pub(super) fn stream_of(bytes: &[u8]) -> Stream {
    Box::new(Once((!bytes.is_empty()).then(|| Chunk::from(bytes.to_vec()))))
}

/// Reads a whole object of at most `limit` bytes.
pub(super) fn read(store: &dyn ObjectStore, key: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
    let mut stream = store.get(key, &Cancel::new())?;
    let mut whole = Vec::new();
    while let Some(chunk) = stream.pull()? {
        if (whole.len() + chunk.len()) as u64 > limit {
            let detail = format!("it is larger than the {limit} bytes that such an object may have");
            return Err(StoreError::Refused { store: store.describe(), doing: format!("reading {key}"), detail, kind: Refusal::Other });
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

/// Counts and digests the bytes on their way into a store.
pub(super) struct Tally {
    sha256: Digester,
    bytes: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { sha256: Digester::new(Algorithm::Sha256), bytes: 0 }
    }

    pub(super) fn add(&mut self, chunk: &[u8]) {
        self.sha256.update(chunk);
        self.bytes += chunk.len() as u64;
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The SHA-256 in lower-case hex.
    pub(super) fn sha256(self) -> String {
        self.sha256.hex()
    }
}

/// Sixteen random hex digits, to tell what this write made from what others made.
pub(super) fn nonce(store: &str) -> Result<String, StoreError> {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(hex(&bytes)),
        Err(error) => Err(StoreError::Refused {
            store: store.to_owned(),
            doing: "drawing a random name".to_owned(),
            detail: error.to_string(),
            kind: Refusal::Other,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_sha256sum() {
        let mut tally = Tally::new();
        tally.add(b"a");
        tally.add(b"bc");
        assert_eq!(tally.bytes(), 3);
        assert_eq!(tally.sha256(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn no_bytes_are_a_stream_that_is_at_its_end() {
        assert!(stream_of(b"").pull().unwrap().is_none());
    }
}
