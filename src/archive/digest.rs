//! Digests of content that compare equal when the content does, whatever its order.
//!
//! This module does not protect against anyone: XXH3 is not a cryptographic hash, and whoever may choose rows can choose
//! some whose digests sum to the same. It finds accidents (a lost row, a changed value); tampering is found by the SHA-256
//! of the artifact and its encryption.

use std::fmt;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

/// 128 bits that stand for some content: XXH3-128 of one text, or the sum modulo 2^128 of those of many.
///
/// A sum does not depend on the order and, unlike an exclusive or, counts duplicates. Of two tables that differ by
/// accident, one in 2^128 pairs would look equal.
/// Source: <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md> (XXH3, seed 0).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentDigest(u128);

impl ContentDigest {
    /// The digest of one text.
    pub fn of(bytes: &[u8]) -> Self {
        Self(XxHash3_128::oneshot(bytes))
    }

    /// Adds one more to a sum.
    pub fn add(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<ContentDigest> for String {
    fn from(digest: ContentDigest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for ContentDigest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let hexadecimal = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let value = u128::from_str_radix(&text, 16).ok().filter(|_| hexadecimal);
        value.map(Self).ok_or_else(|| format!("{text:?} is not a digest of 32 hexadecimal digits"))
    }
}

/// The digest of one text that comes in pieces.
pub(super) struct Pieces(XxHash3_128);

impl Pieces {
    pub(super) fn begin(bytes: &[u8]) -> Self {
        let mut pieces = Self(XxHash3_128::new());
        pieces.more(bytes);
        pieces
    }

    pub(super) fn more(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    pub(super) fn digest(&self) -> ContentDigest {
        ContentDigest(self.0.finish_128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_published_xxh3_and_travels_as_text() {
        // Of nothing: the test vectors of the reference implementation (XXH3 128, length 0, seed 0).
        let empty = ContentDigest::of(b"");
        assert_eq!(empty.to_string(), "99aa06d3014798d86001c324468d497f");
        assert_eq!(ContentDigest::try_from(empty.to_string()).unwrap(), empty);
        for bad in ["", "99", "+9aa06d3014798d86001c324468d497f", "99aa06d3014798d86001c324468d497g"] {
            assert!(ContentDigest::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn pieces_give_what_the_whole_gives_and_a_sum_knows_no_order_but_counts() {
        let text: Vec<u8> = (0..700_u16).map(|n| n.to_le_bytes()[0]).collect();
        for cut in [0, 1, 100, 256, 257, 699] {
            let mut pieces = Pieces::begin(&text[..cut]);
            pieces.more(&text[cut..]);
            assert_eq!(pieces.digest(), ContentDigest::of(&text));
        }
        let sum = |texts: &[&str]| {
            texts.iter().fold(ContentDigest::default(), |mut sum, text| {
                sum.add(ContentDigest::of(text.as_bytes()));
                sum
            })
        };
        assert_eq!(sum(&["a", "b", "b"]), sum(&["b", "a", "b"]));
        assert_ne!(sum(&["a", "b", "b"]), sum(&["a"]));
    }
}
