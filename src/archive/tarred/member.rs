//! The header of one file in a tar.
//!
//! Source: POSIX.1-2017, pax, ustar interchange format; sizes beyond octal as GNU tar and PostgreSQL's `tar.c` write them.
//! This module does not accept anything but regular files with short names, which is all that a dump has.

use crate::archive::cursor::words;
use crate::archive::damaged;
use crate::stream::StreamError;

/// The unit of the format, in bytes.
pub(super) const BLOCK: usize = 512;

/// A file: its name, and its size in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// Reads a header of one block.
pub(super) fn member(block: &[u8]) -> Result<Member, StreamError> {
    let field = |from: usize, length: usize| block.get(from..from + length).unwrap_or_default();
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = field(148, 8).iter().map(|byte| u64::from(*byte)).sum();
    let sums = octal(field(148, 8)).is_some_and(|expected| expected == sum - own + 8 * u64::from(b' '));
    let name = words(field(0, 100).split(|byte| *byte == 0).next().unwrap_or_default());
    if !sums {
        return Err(damaged("it is no tar, or a header in it is damaged: the checksum differs"));
    }
    if !matches!(field(156, 1), b"0" | b"\0") || field(345, 1) != b"\0" {
        return Err(damaged(format_args!("{name:?} in the tar is no file that pg_dump writes")));
    }
    let size = field(124, 12);
    let bytes = if size.first() == Some(&0x80) { Some(size[1..].iter().fold(0, |n, byte| n << 8 | u64::from(*byte))) } else { octal(size) };
    bytes.map(|bytes| Member { name, bytes }).ok_or_else(|| damaged("a size in the tar does not read"))
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(|c| c == ' ' || c == '\0');
    u64::from_str_radix(text, 8).ok()
}
