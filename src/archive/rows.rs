//! The rows of one table, counted and digested where they lie.
//!
//! `COPY`'s text form is one line a row, without exception: line breaks inside values are written as `\n`, and in no client
//! encoding of PostgreSQL is a line break part of a longer character. This module does not look into a line.

use memchr::memchr_iter;

use super::damaged;
use super::digest::{ContentDigest, Pieces};
use crate::stream::StreamError;

/// The line that ends the rows.
const END: &[u8] = br"\.";

/// Counts and digests rows as they come. A row may be cut anywhere.
#[derive(Default)]
pub struct Rows {
    found: Counted,
    /// The row that is not whole yet.
    open: Option<Open>,
    ended: bool,
}

/// How many rows, of which size, with which sum of digests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many.
    pub rows: u64,
    /// Their size with their line ends, in bytes.
    pub bytes: u64,
    /// The sum of their digests.
    pub digest: ContentDigest,
}

impl Counted {
    /// Adds what was found in another part of the same table.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.digest.add(other.digest);
    }
}

struct Open {
    pieces: Pieces,
    bytes: u64,
    /// Its first bytes, which tell whether it is the end mark.
    head: Vec<u8>,
}

impl Open {
    fn begin(bytes: &[u8]) -> Self {
        let head = bytes[..bytes.len().min(END.len())].to_vec();
        Self { pieces: Pieces::begin(bytes), bytes: bytes.len() as u64, head }
    }

    fn more(&mut self, bytes: &[u8]) {
        let missing = END.len().saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
        self.pieces.more(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn is_end(&self) -> bool {
        self.head == END && self.bytes == END.len() as u64
    }
}

impl Rows {
    /// Takes in more bytes of the table's data.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let read = self.feed_to_end(bytes);
        // pg_dump writes blank lines behind the end mark, and nothing else.
        if bytes[read..].iter().all(|byte| *byte == b'\n') { Ok(()) } else { Err(damaged("something follows the end mark of the rows")) }
    }

    /// Takes in bytes up to the line that ends the rows; answers how many. The bytes behind it are not the table's.
    pub(super) fn feed_to_end(&mut self, bytes: &[u8]) -> usize {
        let mut from = 0;
        if self.ended {
            return from;
        }
        for at in memchr_iter(b'\n', bytes) {
            self.line(&bytes[from..at]);
            from = at + 1;
            if self.ended {
                return from;
            }
        }
        match (&bytes[from..], &mut self.open) {
            ([], _) => {}
            (rest, Some(open)) => open.more(rest),
            (rest, open) => *open = Some(Open::begin(rest)),
        }
        bytes.len()
    }

    /// A line, or the last part of one.
    fn line(&mut self, bytes: &[u8]) {
        let (length, digest) = match self.open.take() {
            None if bytes == END => return self.ended = true,
            None => (bytes.len() as u64, ContentDigest::of(bytes)),
            Some(mut open) => {
                open.more(bytes);
                if open.is_end() {
                    return self.ended = true;
                }
                (open.bytes, open.pieces.digest())
            }
        };
        self.found.rows += 1;
        self.found.bytes += length + 1;
        self.found.digest.add(digest);
    }

    /// Whether the line that ends the rows has come.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// What was found, if the rows ended as `pg_dump` ends them.
    pub fn finish(self) -> Result<Counted, StreamError> {
        if self.ended { Ok(self.found) } else { Err(damaged("the rows are cut: their end mark is missing")) }
    }

    /// What was found in rows that have no end mark, as `COPY TO STDOUT` sends them.
    pub fn finish_unmarked(self) -> Result<Counted, StreamError> {
        if self.open.is_some() || self.ended {
            return Err(damaged("the rows are cut in the middle of one"));
        }
        Ok(self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(pieces: &[&[u8]]) -> Result<Counted, StreamError> {
        let mut rows = Rows::default();
        for piece in pieces {
            rows.feed(piece)?;
        }
        rows.finish()
    }

    #[test]
    fn cuts_do_not_matter_and_values_do() {
        let whole = b"1\t\\N\n\n2\t\\\\.\n\\.\n\n\n";
        let expected = counted(&[whole]).unwrap();
        assert_eq!((expected.rows, expected.bytes), (3, 12));
        for a in 0..=whole.len() {
            for b in a..=whole.len() {
                assert_eq!(counted(&[&whole[..a], &whole[a..b], &whole[b..]]).unwrap(), expected, "{a} {b}");
            }
        }
        assert_eq!(counted(&[b"\n2\t\\\\.\n1\t\\N\n\\.\n\n\n"]).unwrap(), expected);
        assert_ne!(counted(&[b"\n2\t\\\\.\n1\t\\X\n\\.\n\n\n"]).unwrap().digest, expected.digest);
    }

    #[test]
    fn rows_without_an_end_or_with_something_behind_it_are_damaged() {
        for bad in [&b""[..], b"1\n", b"1\n\\.", b"1\n\\.\n2\n", b"1\n\\.\n\n2", b"1\n\\.x"] {
            assert!(counted(&[bad]).is_err(), "{}", bad.escape_ascii());
        }
        let mut open = Rows::default();
        open.feed(b"1\n2").unwrap();
        assert!(open.finish_unmarked().is_err());
    }
}
