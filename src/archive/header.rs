//! The head of an archive: who wrote it, of which database.
//!
//! Source: PostgreSQL `pg_backup_archiver.c` `ReadHead`, `pg_backup_archiver.h` (versions, format numbers). This module does
//! not accept archives that are compressed inside: `pg_dump --compress=0` leaves that to a step that does it better.

use super::cursor::{Cursor, Stop, Widths, words};
use super::model::Facts;
use super::{Form, damaged};

/// The first bytes of every archive.
const MAGIC: &[u8] = b"PGDMP";

/// Archive versions 1.x that are read: 1.14 is of `pg_dump` 12 to 15, 1.15 of 16, 1.16 of 17 and 18.
const MINORS: std::ops::RangeInclusive<u8> = 14..=16;

/// What the header says about reading on.
#[derive(Debug, Clone)]
pub(super) struct Header {
    /// Of archive version 1.x.
    pub(super) minor: u8,
    pub(super) widths: Widths,
    pub(super) facts: Facts,
}

/// Reads the header; widths of the cursor count from its end on.
pub(super) fn header(cursor: &mut Cursor<'_>, form: Form) -> Result<Header, Stop> {
    let minor = opening(cursor)?;
    let widths = widths(cursor)?;
    cursor.widths = widths;
    let (format, expected) = (cursor.byte()?, number_of(form));
    if format != expected {
        return Err(damaged(format_args!("its header says format {format}, where {expected} ({form:?}) was expected")).into());
    }
    let compression = if minor >= 15 { i64::from(cursor.byte()?) } else { cursor.int()? };
    if compression != 0 {
        return Err(damaged("the archive is compressed inside; only one made with `pg_dump --compress=0` can be fingerprinted").into());
    }
    let created = created(cursor)?;
    let mut text = || cursor.text().map(|text| text.map(words).unwrap_or_default());
    let (database, server_version, dump_version) = (text()?, text()?, text()?);
    let version = format!("1.{minor}");
    let facts = Facts { form, version, created, database, server_version, dump_version, encoding: String::new() };
    Ok(Header { minor, widths, facts })
}

/// Who wrote an archive, as its first bytes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The dumped database's name.
    pub database: String,
    /// The server's version, such as `16.3 (Debian 16.3-1)`.
    pub server: String,
    /// The version of `pg_dump`.
    pub tool: String,
    /// Whether its data is compressed inside, so that it can not be read as it flows.
    pub packed: bool,
}

/// Who wrote the archive that begins so, however it is compressed inside; `None` when that can not be read.
pub fn written(first: &[u8]) -> Option<Written> {
    let cursor = &mut Cursor::new(first, Widths { int: 4, offset: 8 });
    read_written(cursor).ok()
}

fn read_written(cursor: &mut Cursor<'_>) -> Result<Written, Stop> {
    let minor = opening(cursor)?;
    cursor.widths = widths(cursor)?;
    let _format = cursor.byte()?;
    let compression = if minor >= 15 { i64::from(cursor.byte()?) } else { cursor.int()? };
    created(cursor)?;
    let mut text = || cursor.text().map(|text| text.map(words).unwrap_or_default());
    Ok(Written { database: text()?, server: text()?, tool: text()?, packed: compression != 0 })
}

/// The magic and the version, whose last part (a revision) has always been 0.
fn opening(cursor: &mut Cursor<'_>) -> Result<u8, Stop> {
    if cursor.take(MAGIC.len())? != MAGIC {
        return Err(damaged("this is no custom-format archive of pg_dump: it does not begin with PGDMP").into());
    }
    let (major, minor, _revision) = (cursor.byte()?, cursor.byte()?, cursor.byte()?);
    if major != 1 || !MINORS.contains(&minor) {
        return Err(damaged(format_args!("archive version {major}.{minor} is not known; 1.14 to 1.16 (pg_dump 12 to 18) are")).into());
    }
    Ok(minor)
}

fn widths(cursor: &mut Cursor<'_>) -> Result<Widths, Stop> {
    let widths = Widths { int: cursor.byte()?.into(), offset: cursor.byte()?.into() };
    if !(1..=8).contains(&widths.int) || !(1..=8).contains(&widths.offset) {
        return Err(damaged(format_args!("its header says integers of {} and offsets of {} bytes", widths.int, widths.offset)).into());
    }
    Ok(widths)
}

/// The parts of C's `struct tm`, in the local time of the machine that dumped.
fn created(cursor: &mut Cursor<'_>) -> Result<String, Stop> {
    let mut part = || cursor.int();
    let (second, minute, hour, day, month, year, _daylight) = (part()?, part()?, part()?, part()?, part()?, part()?, part()?);
    let (year, month) = (year.saturating_add(1900), month.saturating_add(1));
    let sound = (0..=60).contains(&second) && (0..60).contains(&minute) && (0..24).contains(&hour);
    if !sound || !(1..=31).contains(&day) || !(1..=12).contains(&month) || !(1970..10_000).contains(&year) {
        return Err(damaged("the time in its header is none").into());
    }
    Ok(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"))
}

/// `enum _archiveFormat`.
fn number_of(form: Form) -> u8 {
    match form {
        Form::Custom => 1,
        // The directory format calls its table of contents one of a tar.
        Form::Tar | Form::Directory => 3,
        // A script has no such header; the number is that of a script all the same.
        Form::Plain => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Header, Stop> {
        header(&mut Cursor::new(bytes, Widths { int: 4, offset: 8 }), Form::Custom)
    }

    fn why(bytes: &[u8]) -> String {
        match read(bytes) {
            Err(Stop::Damaged(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_archive_or_not_a_readable_one_is_told() {
        assert!(why(b"-- a SQL script").contains("does not begin with PGDMP"));
        assert!(why(b"PGDMP\x01\x0d\x00\x04\x08\x01\x00").contains("archive version 1.13 is not known"));
        assert!(why(b"PGDMP\x01\x10\x00\x09\x08\x01\x00").contains("integers of 9"));
        assert!(why(b"PGDMP\x01\x10\x00\x04\x08\x03\x00").contains("format 3"));
        assert!(why(b"PGDMP\x01\x10\x00\x04\x08\x01\x01").contains("compressed inside"));
        assert!(matches!(read(b"PGDMP\x01\x10"), Err(Stop::Short)));
    }
}
