//! Entries of an archive's table of contents.
//!
//! Source: PostgreSQL `pg_backup_archiver.c` `ReadToc`, `pg_backup_custom.c` `_ReadExtraToc`. Every field is read
//! strictly, because whatever does not read as `pg_dump` writes it is damage. This module does not interpret definitions.

use super::cursor::{Cursor, Place, Stop, words};
use super::digest::ContentDigest;
use super::header::Header;
use super::model::Entry;
use super::{Form, damaged};
use crate::stream::StreamError;

/// Definitions up to this many bytes are kept for whoever needs their words; of longer ones only the digest is.
pub(super) const KEPT: usize = 64 * 1024;

/// How rows are stored unless something else is said.
pub(super) const HEAP: &str = "heap";

/// One entry.
#[derive(Debug)]
pub(super) struct Item {
    /// What data blocks call it.
    pub(super) id: i64,
    /// Whether the archive holds data for it.
    pub(super) data: bool,
    pub(super) entry: Entry,
    /// The definition; empty if it is long.
    pub(super) definition: String,
    /// The statement that loads its rows.
    pub(super) copy: String,
    /// `pg_class.relkind` from version 1.16 on, otherwise 0.
    pub(super) relkind: i64,
    /// The entries that it depends on.
    pub(super) depends: Vec<i64>,
    /// Where its data begins, as far as the archive knows.
    pub(super) place: Place,
}

/// Reads one entry.
pub(super) fn item(cursor: &mut Cursor<'_>, header: &Header) -> Result<Item, Stop> {
    let id = cursor.int()?;
    let data = flag(cursor.int()?, id)?;
    let _catalog = (cursor.digits("a catalog")?, cursor.digits("an OID")?);
    let name = named(cursor.text()?, "name", id)?;
    let kind = named(cursor.text()?, "kind", id)?;
    section(cursor.int()?, id)?;
    let definition = cursor.text()?.unwrap_or_default();
    let _drop = cursor.text()?;
    let copy = cursor.text()?.map(words).unwrap_or_default();
    let schema = cursor.text()?.map(words).filter(|schema| !schema.is_empty());
    let (tablespace, method) = (other_than(cursor.text()?, ""), other_than(cursor.text()?, HEAP));
    let relkind = if header.minor >= 16 { cursor.int()? } else { 0 };
    let owner = cursor.text()?.map(words).filter(|owner| !owner.is_empty());
    let _with_oids = cursor.text()?;
    let depends = dependencies(cursor)?;
    let place = if header.facts.form == Form::Custom { cursor.offset()? } else { file(cursor)? };
    check(id, data, &place)?;
    let digest = ContentDigest::of(definition);
    let entry = Entry { kind, schema, name, owner, definition: digest, tablespace, access_method: method };
    let definition = if definition.len() <= KEPT { words(definition) } else { String::new() };
    Ok(Item { id, data, entry, definition, copy, relkind, depends, place })
}

/// A name, unless there is none or it says what is usual.
fn other_than(text: Option<&[u8]>, usual: &str) -> Option<String> {
    text.map(words).filter(|name| !name.is_empty() && name != usual)
}

/// The name of a file, empty if there is none: `_WriteExtraToc` of the tar and the directory format.
fn file(cursor: &mut Cursor<'_>) -> Result<Place, Stop> {
    let name = cursor.text()?.map(words).filter(|name| !name.is_empty());
    Ok(name.map_or(Place::NoData, Place::File))
}

fn flag(value: i64, id: i64) -> Result<bool, StreamError> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(damaged(format_args!("entry {id} of its table of contents says {value} where only 0 and 1 can stand"))),
    }
}

fn named(text: Option<&[u8]>, what: &str, id: i64) -> Result<String, StreamError> {
    text.map(words).ok_or_else(|| damaged(format_args!("entry {id} of its table of contents has no {what}")))
}

/// `enum teSection`: none, pre-data, data, post-data.
fn section(value: i64, id: i64) -> Result<(), StreamError> {
    if (1..=4).contains(&value) {
        return Ok(());
    }
    Err(damaged(format_args!("entry {id} of its table of contents is in section {value}, which there is not")))
}

/// A list of numbers as texts, ended by no text.
fn dependencies(cursor: &mut Cursor<'_>) -> Result<Vec<i64>, Stop> {
    let mut found = Vec::new();
    while let Some(text) = cursor.text()? {
        let number = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = number.and_then(|text| text.parse().ok());
        found.push(number.ok_or_else(|| damaged(format_args!("an entry depends on {:?}, which is no number", words(text))))?);
    }
    Ok(found)
}

fn check(id: i64, data: bool, place: &Place) -> Result<(), StreamError> {
    if id <= 0 {
        return Err(damaged(format_args!("its table of contents has an entry {id}; numbers begin with 1")));
    }
    if data == (*place == Place::NoData) {
        return Err(damaged(format_args!("entry {id} of its table of contents contradicts itself about having data")));
    }
    Ok(())
}
