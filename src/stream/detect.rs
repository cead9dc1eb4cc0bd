//! What a stream of bytes is, told from its first ones: a compression, an encryption, an archive, a script.
//!
//! Names are not believed: `orders.sql` is often enough gzip inside. The magic numbers are those of the formats' own documents (RFC 1952,
//! RFC 8878, the LZ4 frame format, the age v1 format, RFC 9580, POSIX.1 ustar, `pg_backup_archiver.h`). This module undoes nothing.

use std::fmt::Write as _;

use super::codec::Codec;
use super::crypt::Scheme;
use super::{Chunk, Pull, Stopper, Stream, StreamError, fused};

/// How many bytes tell what a stream is; the mark of a tar comes after 257.
pub const ENOUGH: usize = 4096;

/// What a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// It is compressed; what is in it shows behind that.
    Packed(Codec),
    /// It is encrypted; what is in it shows behind that.
    Sealed(Scheme),
    /// An archive in `pg_dump`'s custom format.
    Custom,
    /// A tar, such as `pg_dump --format=tar` writes or a folder of `pg_dump --format=directory` becomes.
    Tar,
    /// Statements of SQL.
    Script,
    /// Something well known that is not taken: what it is, and what to do.
    Unfit {
        /// What it is.
        what: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// Nothing that is known here.
    Unknown,
}

/// Takes the first bytes of a stream, at least [`ENOUGH`] unless it is shorter, and gives the whole stream back.
///
/// # Errors
/// Whatever the stream says that early.
pub fn peek(mut input: Stream) -> Result<(Vec<u8>, Stream), StreamError> {
    let mut first = Vec::new();
    while first.len() < ENOUGH {
        let Some(chunk) = input.pull()? else { break };
        first.extend_from_slice(&chunk);
    }
    let again = (!first.is_empty()).then(|| first.clone());
    Ok((first, fused(Again { first: again, rest: input })))
}

/// What was read already, and then the rest.
struct Again {
    first: Option<Vec<u8>>,
    rest: Stream,
}

impl Pull for Again {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        match self.first.take() {
            Some(first) => Ok(Some(first.into())),
            None => self.rest.pull(),
        }
    }

    fn stopper(&self) -> Option<Stopper> {
        self.rest.stopper()
    }
}

const fn unfit(what: &'static str, advice: &'static str) -> Content {
    Content::Unfit { what, advice }
}

/// First bytes that are enough to tell.
const MAGIC: &[(&[u8], Content)] = &[
    (b"\x28\xb5\x2f\xfd", Content::Packed(Codec::Zstd)),
    (b"\x1f\x8b", Content::Packed(Codec::Gzip)),
    (b"\x04\x22\x4d\x18", Content::Packed(Codec::Lz4)),
    (b"age-encryption.org/v1\n", Content::Sealed(Scheme::Age)),
    (b"-----BEGIN PGP MESSAGE-----", Content::Sealed(Scheme::OpenPgp)),
    (b"PGDMP", Content::Custom),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", unfit("an age file in ASCII armor", "decrypt it first: age --decrypt -i KEY FILE > PLAIN")),
    (b"-----BEGIN PGP ", unfit("OpenPGP key material or a signature, and no message", "give the encrypted dump itself")),
    (b"PK\x03\x04", unfit("a zip archive", "unpack it first: unzip -p FILE > PLAIN")),
    (b"\xfd7zXZ\0", unfit("compressed with xz", "unpack it first: xz -dk FILE")),
    (b"BZh", unfit("compressed with bzip2", "unpack it first: bzip2 -dk FILE")),
    (b"7z\xbc\xaf\x27\x1c", unfit("a 7-Zip archive", "unpack it first: 7z x FILE")),
    (b"\x1f\x9d", unfit("compressed with compress", "unpack it first: uncompress -c FILE > PLAIN")),
    (b"\xff\xfe", unfit("UTF-16 text, as `>` in PowerShell writes it", "convert it: iconv -f UTF-16 -t UTF-8 FILE > PLAIN")),
    (b"\xfe\xff", unfit("UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8 FILE > PLAIN")),
    (b"SQLite format 3\0", unfit("a database of SQLite", "only dumps of PostgreSQL are restored")),
    (b"REDIS", unfit("a snapshot of Redis", "only dumps of PostgreSQL are restored")),
];

/// Words in the first lines of a script that say whose it is.
const SCRIPTS: &[(&[u8], Content)] = &[
    (
        b"-- PostgreSQL database cluster dump",
        unfit(
            "a dump of a whole cluster (pg_dumpall), which connects to one database after another",
            "restore roles and databases with psql by hand: psql -X -v ON_ERROR_STOP=1 -f FILE postgres",
        ),
    ),
    (b"-- MySQL dump", unfit("a dump of MySQL", "only dumps of PostgreSQL are restored")),
    (b"-- MariaDB dump", unfit("a dump of MariaDB", "only dumps of PostgreSQL are restored")),
];

/// Words that a script of SQL begins with.
const WORDS: &[&str] = &[
    "alter", "analyze", "begin", "comment", "copy", "create", "delete", "do", "drop", "grant", "insert", "refresh", "reset", "revoke",
    "select", "set", "start", "truncate", "update", "vacuum", "with",
];

/// What begins so.
pub fn content(first: &[u8]) -> Content {
    let known = MAGIC.iter().find(|(magic, _)| first.starts_with(magic)).map(|(_, content)| *content);
    known.unwrap_or_else(|| match first {
        _ if is_skippable_zstd(first) => Content::Packed(Codec::Zstd),
        _ if first.get(257..262) == Some(b"ustar") => Content::Tar,
        _ if is_openpgp(first) => Content::Sealed(Scheme::OpenPgp),
        _ => script(first),
    })
}

/// A frame that holds no data (RFC 8878, 3.1.2); `pzstd` begins with one.
fn is_skippable_zstd(first: &[u8]) -> bool {
    matches!(first, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// A packet of an encrypted session key (RFC 9580, 4.2: tags 1 and 3), in either form of header, of a known version.
fn is_openpgp(first: &[u8]) -> bool {
    let [tag, length, ..] = first else { return false };
    let body = match tag {
        0x84 | 0x8c | 0xc1 | 0xc3 if *length < 192 => 2,
        0x85 | 0x8d => 3,
        0xc1 | 0xc3 if *length < 224 => 3,
        _ => return false,
    };
    // Versions of both packets (RFC 9580, 5.1 and 5.3; RFC 4880).
    first.get(body).is_some_and(|version| (3..=6).contains(version))
}

fn script(first: &[u8]) -> Content {
    if first.iter().any(|byte| matches!(byte, 0..=8 | 14..=26 | 28..=31)) {
        return Content::Unknown;
    }
    if let Some((_, whose)) = SCRIPTS.iter().find(|(words, _)| memchr::memmem::find(first, words).is_some()) {
        return *whose;
    }
    // psql skips the byte order mark of UTF-8 too.
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    let word: String =
        text.iter().take_while(|byte| byte.is_ascii_alphabetic()).map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    let begins = [&b"--"[..], b"/*", b"\\"].iter().any(|mark| text.starts_with(mark)) || WORDS.contains(&word.as_str());
    if begins { Content::Script } else { Content::Unknown }
}

/// The first bytes for a reader who wonders what they are: in hex, and as text where they are printable.
pub fn shown(first: &[u8]) -> String {
    const SHOWN: usize = 16;
    if first.is_empty() {
        return "nothing: it is empty".to_owned();
    }
    let first = &first[..first.len().min(SHOWN)];
    let mut hex = String::new();
    for byte in first {
        let _ok = write!(hex, "{byte:02x} ");
    }
    let text: String = first.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' }).collect();
    format!("{hex}({text})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::bytes::{collect, stream_of};

    #[test]
    fn what_begins_in_a_known_way_is_known() {
        let mut tar = vec![b'x'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (first, content) in [
            (&b"\x28\xb5\x2f\xfd\x00"[..], Content::Packed(Codec::Zstd)),
            (b"\x50\x2a\x4d\x18\x04\x00", Content::Packed(Codec::Zstd)),
            (b"\x1f\x8b\x08", Content::Packed(Codec::Gzip)),
            (b"age-encryption.org/v1\n-> X25519", Content::Sealed(Scheme::Age)),
            (b"\x85\x01\x0c\x03", Content::Sealed(Scheme::OpenPgp)),
            (b"\x84\x5e\x03", Content::Sealed(Scheme::OpenPgp)),
            (b"\x8c\x0d\x04\x09", Content::Sealed(Scheme::OpenPgp)),
            (b"\xc1\xc0\x4c\x06", Content::Sealed(Scheme::OpenPgp)),
            (b"PGDMP\x01\x0f", Content::Custom),
            (&tar, Content::Tar),
            (b"--\n-- PostgreSQL database dump\n--\n", Content::Script),
            (b"\xef\xbb\xbf\n  Create table t ();", Content::Script),
            // A script in EUC-KR is no UTF-8, and a script all the same.
            (b"insert into t values ('\xc1\xd6\xb9\xae');", Content::Script),
        ] {
            assert_eq!(super::content(first), content, "{}", shown(first));
        }
    }

    #[test]
    fn what_is_not_taken_is_told_by_name_and_what_is_unknown_is_shown() {
        let what = |first: &[u8]| match content(first) {
            Content::Unfit { what, .. } => what,
            other => panic!("{other:?}"),
        };
        assert!(what(b"--\n-- PostgreSQL database cluster dump\n--\n").contains("pg_dumpall"));
        assert!(what(b"-- MySQL dump 10.13").contains("MySQL"));
        assert!(what(b"\xff\xfe-\0-\0").contains("PowerShell"));
        assert_eq!(what(b"PK\x03\x04"), "a zip archive");
        for unknown in [&b""[..], b"\x84", b"\x84\x00\x00", b"hello", b"\x7fELF\x02\x01", b"set\0"] {
            assert_eq!(content(unknown), Content::Unknown, "{}", shown(unknown));
        }
        assert_eq!(shown(b"\x7fELF\x02"), "7f 45 4c 46 02 (.ELF.)");
        assert_eq!(shown(b""), "nothing: it is empty");
    }

    #[test]
    fn a_peek_loses_no_byte() {
        for length in [0, 1, ENOUGH - 1, ENOUGH, 3 * ENOUGH] {
            let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let (first, whole) = peek(stream_of(bytes.clone())).unwrap();
            assert!(first.len() >= length.min(ENOUGH) && bytes.starts_with(&first));
            assert_eq!(collect(whole, usize::MAX).unwrap(), bytes);
        }
    }
}
