//! What a fingerprint says.
//!
//! Everything here is plain data that goes into a manifest and comes back. This module does not read archives or compare.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Form;
use super::difference::FILLING;
use super::digest::ContentDigest;

/// How much the fingerprints of this version tell: 0 told neither tablespaces nor access methods.
pub const REVISION: u32 = 1;

/// All that an archive, or a live database, holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// How much it tells: [`REVISION`], or less in those that older versions kept.
    #[serde(default)]
    pub revision: u32,
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
    /// Whose they are, and who may do what with them; empty where that is not told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holding>,
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
    /// The tablespace that it lies in, if that is not the database's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tablespace: Option<String>,
    /// The access method that stores its rows, if that is not `heap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_method: Option<String>,
}

impl Entry {
    /// The filling of a materialized view, as a dump has it where the view is filled.
    pub fn filling(schema: String, name: String) -> Self {
        let (kind, definition) = (FILLING.to_owned(), ContentDigest::default());
        Self { kind, schema: Some(schema), name, owner: None, definition, tablespace: None, access_method: None }
    }

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

/// Large objects that belong to the same role, and that the same rights were given on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Their OIDs in ascending order: `40001-40003 40010`.
    pub oids: String,
    /// The owner, if the dump tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The digest of the statements that give the rights on one of them, without its OID; `None` if they have the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<ContentDigest>,
}

/// Something a fingerprint can not speak of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Incomparable {
    /// What: `the rows of table public.audit`.
    pub what: String,
    /// Why: `the dump holds no data for it`.
    pub why: String,
    /// What it means for a proof.
    #[serde(default, skip_serializing_if = "Gap::is_known")]
    pub gap: Gap,
}

/// What something that can not be compared means for a proof.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gap {
    /// That it is listed is enough.
    #[default]
    Known,
    /// The dump holds rows that were not read: nobody can say whether they came back.
    UnreadRows,
    /// More large objects are there than were dumped, and which are which can not be told.
    MixedObjects,
}

impl Gap {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    const fn is_known(&self) -> bool {
        matches!(self, Self::Known)
    }

    /// Why a comparison that found nothing does not show that all is there; `None` where it can.
    pub const fn short(self) -> Option<&'static str> {
        match self {
            Self::Known => None,
            Self::UnreadRows => Some("rows that are not in the form of COPY were not compared"),
            Self::MixedObjects => Some("of the large objects, which of them were dumped can not be told, so none is compared"),
        }
    }
}

impl Incomparable {
    /// Something whose listing is enough.
    pub fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), gap: Gap::Known }
    }

    /// The same, with what it means for a proof.
    #[must_use]
    pub fn leaving(self, gap: Gap) -> Self {
        Self { gap, ..self }
    }

    /// What it means for a proof, also where a version that kept no such word wrote it.
    pub fn gap(&self) -> Gap {
        if self.why == NOT_COPY { Gap::UnreadRows } else { self.gap }
    }
}

impl std::fmt::Display for Incomparable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
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
    /// How many objects lie in each tablespace that is not the database's default one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tablespaces: BTreeMap<String, u64>,
    /// The digest of everything but the facts and what names the database itself: equal fingerprints of the same form have it in
    /// common, also where one is of a restored copy under another name.
    pub digest: ContentDigest,
}

/// Why the rows of a table were not read.
pub(super) const NOT_COPY: &str = "it is not in the form of COPY (`--inserts`?)";

impl Fingerprint {
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
            tablespaces: self.tablespaces(),
            digest: self.digest(),
        }
    }

    /// How many objects lie in each tablespace that is not the database's default one.
    pub(super) fn tablespaces(&self) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        for tablespace in self.inventory.iter().filter_map(|entry| entry.tablespace.clone()) {
            *found.entry(tablespace).or_default() += 1;
        }
        found
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
            if let Some(method) = &entry.access_method {
                take(&["access method", &entry.kind, &schema, &entry.name, method]);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_older_versions_kept_reads_and_means_the_same() {
        let read = |json: &str| serde_json::from_str::<Incomparable>(json).unwrap();
        let unread = read(r#"{"what":"the data of table 판매.주문","why":"it is not in the form of COPY (`--inserts`?)"}"#);
        assert_eq!((unread.gap, unread.gap()), (Gap::Known, Gap::UnreadRows));
        let listed = read(r#"{"what":"the rows of foreign table a.b","why":"they are in another server and not in the dump"}"#);
        assert_eq!((listed.gap().short(), serde_json::to_string(&listed).unwrap().contains("gap")), (None, false));
        let entry = r#"{"kind":"TABLE","name":"주문","definition":"00000000000000000000000000000000"}"#;
        let read = serde_json::from_str::<Entry>(entry).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), entry);
    }
}
