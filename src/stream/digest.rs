//! Digests of streams as they pass.
//!
//! This module does not store digests; it hands them out only for streams that reached their verified end.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Chunk, Pull, Stopper, Stream, StreamError, fused};

/// A digest algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// SHA-256 (FIPS 180-4), with the CPU's instructions; `sha256sum -c` checks its sidecar.
    #[default]
    Sha256,
    /// SHA-512 (FIPS 180-4); `sha512sum -c` checks its sidecar.
    Sha512,
    /// BLAKE3; `b3sum -c` checks its sidecar.
    Blake3,
}

impl Algorithm {
    /// Its name in lower case, which is also the usual ending of a sidecar's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }

    /// How many hexadecimal digits a digest has.
    pub fn hex_digits(self) -> usize {
        if self == Self::Sha512 { 128 } else { 64 }
    }
}

/// A digest in the making.
pub struct Digester(State);

enum State {
    Sha(Box<ring::digest::Context>),
    Blake3(Box<blake3::Hasher>),
}

impl Digester {
    /// The digest of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha(Box::new(ring::digest::Context::new(&ring::digest::SHA256))),
            Algorithm::Sha512 => State::Sha(Box::new(ring::digest::Context::new(&ring::digest::SHA512))),
            Algorithm::Blake3 => State::Blake3(Box::new(blake3::Hasher::new())),
        })
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha(context) => context.update(bytes),
            State::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    /// The digest in lower-case hexadecimal.
    pub fn hex(self) -> String {
        match self.0 {
            State::Sha(context) => hex(context.finish().as_ref()),
            State::Blake3(hasher) => hasher.finalize().to_hex().to_string(),
        }
    }
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string can not fail.
        let _always_ok = write!(text, "{byte:02x}");
        text
    })
}

/// A finished digest and the bytes it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The digest in lower-case hexadecimal.
    pub hex: String,
    /// How many bytes it covers.
    pub bytes: u64,
}

/// Where the digest of a [`digested`] stream appears once the stream reached its verified end.
#[derive(Debug, Clone, Default)]
pub struct DigestHandle(Arc<OnceLock<Digest>>);

impl DigestHandle {
    /// The digest, or `None` as long as the stream has not ended well.
    pub fn get(&self) -> Option<Digest> {
        self.0.get().cloned()
    }
}

struct Digested {
    input: Stream,
    algorithm: Algorithm,
    digester: Option<Digester>,
    bytes: u64,
    /// Decides what the finished digest is good for.
    accept: Box<dyn FnMut(Digest) -> Result<(), StreamError> + Send>,
}

/// Digests what passes here.
pub fn digested(input: Stream, algorithm: Algorithm) -> (Stream, DigestHandle) {
    let handle = DigestHandle::default();
    let cell = Arc::clone(&handle.0);
    let keep = move |digest| cell.set(digest).map_err(|_| StreamError::Vanished { stage: "digest" });
    (accepted(input, algorithm, Box::new(keep)), handle)
}

/// Lets the stream end only if length and digest are these; otherwise its end is a [`StreamError::Corrupt`].
pub fn verified(input: Stream, expected: Digest) -> Stream {
    let algorithm = expected.algorithm;
    accepted(input, algorithm, Box::new(move |found| compare(&expected, &found)))
}

fn accepted(input: Stream, algorithm: Algorithm, accept: Box<dyn FnMut(Digest) -> Result<(), StreamError> + Send>) -> Stream {
    fused(Digested { input, algorithm, digester: Some(Digester::new(algorithm)), bytes: 0, accept })
}

fn compare(expected: &Digest, found: &Digest) -> Result<(), StreamError> {
    let layer = expected.algorithm.name();
    if found.bytes != expected.bytes {
        return Err(StreamError::corrupt(layer, format_args!("{} bytes came, {} were recorded", found.bytes, expected.bytes)));
    }
    if !found.hex.eq_ignore_ascii_case(&expected.hex) {
        let detail = format_args!("the digest of {} bytes is {}, recorded is {}", found.bytes, found.hex, expected.hex);
        return Err(StreamError::corrupt(layer, detail));
    }
    Ok(())
}

impl Pull for Digested {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let chunk = self.input.pull()?;
        match (&chunk, &mut self.digester) {
            (Some(chunk), Some(digester)) => {
                digester.update(chunk);
                self.bytes += chunk.len() as u64;
            }
            (None, digester) => {
                if let Some(digester) = digester.take() {
                    (self.accept)(Digest { algorithm: self.algorithm, hex: digester.hex(), bytes: self.bytes })?;
                }
            }
            (Some(_), None) => return Err(StreamError::Vanished { stage: "digest" }),
        }
        Ok(chunk)
    }

    fn stopper(&self) -> Option<Stopper> {
        self.input.stopper()
    }
}

/// One line as `sha256sum` and its sisters write and check it, newline included.
///
/// Source: GNU coreutils manual, "md5sum invocation": a name with a backslash, newline or carriage return is escaped,
/// and then the line begins with a backslash.
pub fn sidecar_line(hex: &str, file_name: &str) -> String {
    let escaped = file_name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    let mark = if escaped == file_name { "" } else { "\\" };
    format!("{mark}{hex}  {escaped}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::bytes::{collect, stream_of};

    /// Of `abc`: FIPS 180-4 examples and the BLAKE3 reference implementation.
    const ABC: [(Algorithm, &str); 3] = [
        (Algorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            Algorithm::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (Algorithm::Blake3, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
    ];

    #[test]
    fn a_digest_appears_at_the_end_and_not_before() {
        for (algorithm, hex) in ABC {
            let (mut stream, handle) = digested(stream_of("abc"), algorithm);
            stream.pull().unwrap();
            assert_eq!(handle.get(), None);
            assert!(stream.pull().unwrap().is_none() && stream.pull().unwrap().is_none());
            assert_eq!(handle.get(), Some(Digest { algorithm, hex: hex.into(), bytes: 3 }));
            assert_eq!(hex.len(), algorithm.hex_digits());
        }
    }

    #[test]
    fn a_stream_that_differs_fails_instead_of_ending() {
        let (algorithm, hex) = ABC[0];
        let check = |text: &str, bytes, hex: &str| collect(verified(stream_of(text), Digest { algorithm, hex: hex.into(), bytes }), 100);
        assert_eq!(check("abc", 3, &hex.to_uppercase()).unwrap(), b"abc");
        assert_eq!(check("abc", 4, hex).unwrap_err().to_string(), "sha256: 3 bytes came, 4 were recorded");
        assert!(check("abd", 3, hex).unwrap_err().to_string().contains("the digest of 3 bytes is"));
    }

    #[test]
    fn odd_names_are_escaped_as_coreutils_does() {
        assert_eq!(sidecar_line("aa", "백업.zst"), "aa  백업.zst\n");
        assert_eq!(sidecar_line("aa", "a\\b\nc\rd"), "\\aa  a\\\\b\\nc\\rd\n");
    }
}
