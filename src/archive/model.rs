//! What a fingerprint says.
//!
//! Everything here is plain data that goes into a manifest and comes back. This module does not read archives or compare.

use serde::{Deserialize, Serialize};

use super::Form;
use super::digest::ContentDigest;

/// All that an archive, or a live database, holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Who wrote the archive, of which database.
    pub facts: Facts,
    /// Every object the archive defines, in the order of its table of contents.
    pub inventory: Vec<Entry>,
    /// Every table whose rows the archive holds, sorted by schema and name.
    pub tables: Vec<TableDigest>,
    /// Every sequence whose value the archive holds, sorted by schema and name.
    pub sequences: Vec<SequenceValue>,
    /// The large objects.
    pub large_objects: LargeObjects,
    /// What this fingerprint says nothing about.
    pub incomparable: Vec<Incomparable>,
}

/// Facts about an archive as such.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The form of the archive.
    pub form: Form,
    /// The version of the archive's format: `1.16`; empty for a script, which has none.
    pub version: String,
    /// When it was made, in the local time of the machine that dumped: `2026-11-03 02:17:05`;
    /// empty if the archive does not tell.
    pub created: String,
    /// The database that was dumped; empty if the archive does not tell.
    pub database: String,
    /// The version of the server it was dumped from: `16.4 (Debian 16.4-1)`.
    pub server_version: String,
    /// The version of the `pg_dump` that wrote it.
    pub dump_version: String,
    /// The encoding of all text in it: `UTF8`.
    pub encoding: String,
}

/// One object of the inventory.
///
/// Names are text: in an archive that is not UTF-8, bytes beyond ASCII show as `\xNN`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// The kind, as the archive has it: `TABLE`, `INDEX`, `FK CONSTRAINT`, `ACL`.
    pub kind: String,
    /// The schema, if the object is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The name, as the archive has it: for a function with its parameters, for a constraint after its table.
    pub name: String,
    /// The owner, if the object has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The digest of the statement that makes it.
    pub definition: ContentDigest,
}

impl Entry {
    /// Whether it is of the database as a whole and not of its content: a restore into another one leaves it.
    pub fn is_of_database(&self) -> bool {
        // Comments, rights and labels are of the database if their name begins so.
        let about = matches!(self.kind.as_str(), "ACL" | "COMMENT" | "SECURITY LABEL") && self.name.starts_with("DATABASE ");
        about || matches!(self.kind.as_str(), "DATABASE" | "DATABASE PROPERTIES")
    }
}

/// The rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDigest {
    /// The schema.
    pub schema: String,
    /// The table or partition.
    pub name: String,
    /// The columns of a row, in the order in which they were digested.
    pub columns: Vec<String>,
    /// Whether the rows are those of all its partitions, because they are loaded through their root.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_partitions: bool,
    /// How many rows.
    pub rows: u64,
    /// The size of the rows in `COPY`'s text form with their line ends, in bytes.
    pub bytes: u64,
    /// The sum of the digests of the rows in `COPY`'s text form without their line ends.
    pub digest: ContentDigest,
}

/// Where a sequence stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SequenceValue {
    /// The schema.
    pub schema: String,
    /// The sequence.
    pub name: String,
    /// Its `last_value`.
    pub last_value: i64,
    /// Its `is_called`: whether `nextval` goes on after that value instead of giving it.
    pub is_called: bool,
}

/// The large objects together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjects {
    /// How many.
    pub count: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The sum of the digests of each one's OID (four bytes, least significant first) and content.
    pub digest: ContentDigest,
}

/// Something a fingerprint can not speak of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Incomparable {
    /// What: `the rows of table public.audit`.
    pub what: String,
    /// Why: `the dump holds no data for it`.
    pub why: String,
}

/// The few numbers of a fingerprint that fit into a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Objects in the inventory.
    pub objects: u64,
    /// Tables with rows of their own, empty ones included.
    pub tables: u64,
    /// Rows in all of them.
    pub rows: u64,
    /// The size of these rows in `COPY`'s text form, in bytes.
    pub bytes: u64,
    /// Sequences.
    pub sequences: u64,
    /// Large objects.
    pub large_objects: u64,
    /// How many things the fingerprint says nothing about.
    pub incomparable: u64,
    /// The digest of everything but the facts and what names the database itself: equal fingerprints of the same form have it in
    /// common, also where one is of a restored copy under another name.
    pub digest: ContentDigest,
}

/// Why the rows of a table were not read.
pub(super) const NOT_COPY: &str = "it is not in the form of COPY (`--inserts`?)";

impl Fingerprint {
    /// Whether there are rows in it that were not read, so that nobody can say whether they came back.
    pub fn has_unread_rows(&self) -> bool {
        self.incomparable.iter().any(|left| left.why == NOT_COPY)
    }

    /// Its summary.
    pub fn summary(&self) -> Summary {
        Summary {
            objects: self.inventory.len() as u64,
            tables: self.tables.len() as u64,
            rows: self.tables.iter().map(|table| table.rows).sum(),
            bytes: self.tables.iter().map(|table| table.bytes).sum(),
            sequences: self.sequences.len() as u64,
            large_objects: self.large_objects.count,
            incomparable: self.incomparable.len() as u64,
            digest: self.digest(),
        }
    }

    /// The sum over each part's text, so that the order of the parts does not matter. It is stored: its text must stay as it is.
    fn digest(&self) -> ContentDigest {
        let mut sum = ContentDigest::default();
        // No name holds a zero byte.
        let mut take = |parts: &[&str]| sum.add(ContentDigest::of(parts.join("\0").as_bytes()));
        for entry in self.inventory.iter().filter(|entry| !entry.is_of_database()) {
            let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
            let (schema, owner, definition) = (or_none(&entry.schema), or_none(&entry.owner), entry.definition.to_string());
            take(&["entry", &entry.kind, &schema, &entry.name, &owner, &definition]);
        }
        for table in &self.tables {
            let (columns, rows, digest) = (table.columns.join("\0"), table.rows.to_string(), table.digest.to_string());
            take(&["table", &table.schema, &table.name, &rows, &digest, &columns]);
        }
        for sequence in &self.sequences {
            let (value, called) = (sequence.last_value.to_string(), sequence.is_called.to_string());
            take(&["sequence", &sequence.schema, &sequence.name, &value, &called]);
        }
        let objects = self.large_objects;
        take(&["large objects", &objects.count.to_string(), &objects.bytes.to_string(), &objects.digest.to_string()]);
        sum
    }
}
