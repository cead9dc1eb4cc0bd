//! What an archive's table of contents promises, and what came of it.
//!
//! Every promise of data must be kept exactly once, and nothing may come that was not promised. This module does not know
//! how data lies in an archive.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::cursor::Place;
use super::damaged;
use super::digest::ContentDigest;
use super::holders::Holders;
use super::model::{Entry, Facts, Fingerprint, Gap, Incomparable, NOT_COPY, REVISION, SequenceValue, TableDigest};
use super::objects::Objects;
use super::rows::Counted;
use super::sql::{assigned, copied, setval};
use super::toc::Item;

use crate::stream::StreamError;

/// What kind of data belongs to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// Rows of a table in `COPY`'s text form.
    Rows,
    /// Large objects.
    Objects,
    /// Data of a form that is not looked into.
    Opaque,
}

struct Promise {
    data: Data,
    entry: Entry,
    copy: String,
    through_root: bool,
    place: Place,
    kept: bool,
}

type Name = (String, String);

/// The table of contents while data comes in.
pub(super) struct Contents {
    facts: Facts,
    inventory: Vec<Entry>,
    promises: HashMap<i64, Promise>,
    open: usize,
    tables: BTreeMap<Name, TableDigest>,
    sequences: Vec<SequenceValue>,
    pub(super) objects: Objects,
    holders: Holders,
    /// Whether it makes large objects, and whether it fills some.
    makes_and_fills: (bool, bool),
    /// Tables that should have rows of their own.
    owed: BTreeSet<Name>,
    incomparable: Vec<Incomparable>,
}

impl Contents {
    pub(super) fn new(facts: Facts) -> Self {
        Self {
            facts,
            inventory: Vec::new(),
            promises: HashMap::new(),
            open: 0,
            tables: BTreeMap::new(),
            sequences: Vec::new(),
            objects: Objects::default(),
            holders: Holders::default(),
            makes_and_fills: (false, false),
            owed: BTreeSet::new(),
            incomparable: Vec::new(),
        }
    }

    /// Facts that come to light on the way.
    pub(super) fn facts(&mut self) -> &mut Facts {
        &mut self.facts
    }

    /// Takes in an entry.
    pub(super) fn declare(&mut self, item: Item) -> Result<(), StreamError> {
        match item.entry.kind.as_str() {
            "ENCODING" => {
                let encoding = assigned(&item.definition);
                assigned(&item.definition).unwrap_or_default().clone_into(&mut self.facts.encoding);
                return encoding.map(drop).ok_or_else(|| damaged("its encoding is not told as pg_dump tells it"));
            }
            // Settings of the archive and not objects; pg_restore lists neither.
            "STDSTRINGS" | "SEARCHPATH" => return Ok(()),
            "SEQUENCE SET" => self.sequence(&item)?,
            "BLOB" | "BLOB METADATA" => self.objects(&item)?,
            "ACL" if item.entry.name.starts_with("LARGE OBJECT") => self.holders.rights(&item),
            _ => self.rowless(&item),
        }
        self.inventory.push(item.entry.clone());
        if item.data { self.promise(item) } else { Ok(()) }
    }

    fn promise(&mut self, item: Item) -> Result<(), StreamError> {
        let data = match item.entry.kind.as_str() {
            "TABLE DATA" if copied(&item.copy).is_some() => Data::Rows,
            "BLOBS" => Data::Objects,
            _ => Data::Opaque,
        };
        self.makes_and_fills.1 |= data == Data::Objects;
        // pg_dump.c dumpTableData: the copy statement then names the root of the partitions.
        let through_root = item.definition.starts_with("-- load via partition root ");
        let promise = Promise { data, entry: item.entry, copy: item.copy, through_root, place: item.place, kept: false };
        self.open += 1;
        match self.promises.insert(item.id, promise) {
            None => Ok(()),
            Some(_) => Err(damaged(format_args!("its table of contents has two entries {} with data", item.id))),
        }
    }

    fn sequence(&mut self, item: &Item) -> Result<(), StreamError> {
        let (schema, name) = named(&item.entry);
        let (last_value, is_called) = setval(&item.definition)
            .ok_or_else(|| damaged(format_args!("the value of sequence {schema}.{name} is not set as pg_dump sets it")))?;
        self.sequences.push(SequenceValue { schema, name, last_value, is_called });
        Ok(())
    }

    /// Up to archive version 1.15 an entry makes one large object and is named by it; later it lists up to a thousand.
    fn objects(&mut self, item: &Item) -> Result<(), StreamError> {
        let listed = if item.entry.kind == "BLOB" { item.entry.name.as_str() } else { item.definition.as_str() };
        let oids = listed.split_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>();
        let oids = oids.map_err(|_| damaged(format_args!("its list of large objects {:?} has something else in it", item.entry.name)))?;
        self.makes_and_fills.0 = true;
        self.objects.declare(oids.iter().copied());
        self.holders.made(item, oids);
        Ok(())
    }

    /// Notes which objects have rows that an archive does not carry, and which tables should have some.
    fn rowless(&mut self, item: &Item) {
        let (schema, name) = named(&item.entry);
        let why = match item.entry.kind.as_str() {
            // A partitioned table has rows only in its partitions.
            "TABLE" if item.relkind != i64::from(b'p') && !item.definition.contains("\nPARTITION BY ") => {
                self.owed.insert((schema, name));
                return;
            }
            "FOREIGN TABLE" => "they are in another server and not in the dump",
            "MATERIALIZED VIEW" => "the dump holds its query; its rows are computed again on restore",
            _ => return,
        };
        let kind = item.entry.kind.to_lowercase();
        self.incomparable.push(Incomparable::new(format!("the rows of {kind} {schema}.{name}"), why));
    }

    /// Data begins at this position of the archive for the entry of this number: what kind it is.
    pub(super) fn begin(&mut self, id: i64, position: u64) -> Result<Data, StreamError> {
        let unpromised = || damaged(format_args!("data comes for entry {id}, for which its table of contents has none"));
        let promise = self.promises.get_mut(&id).ok_or_else(unpromised)?;
        if std::mem::replace(&mut promise.kept, true) {
            return Err(damaged(format_args!("the data of {} comes twice", described(&promise.entry))));
        }
        if let Place::At(expected) = promise.place
            && expected != position
        {
            let what = described(&promise.entry);
            return Err(damaged(format_args!("the data of {what} is at byte {position}, its table of contents says {expected}")));
        }
        self.open -= 1;
        Ok(promise.data)
    }

    /// The entries whose data lies in files, with these files' names.
    pub(super) fn files(&self) -> Vec<(i64, String)> {
        let mut files: Vec<(i64, String)> = self
            .promises
            .iter()
            .filter_map(|(id, promise)| match &promise.place {
                Place::File(name) => Some((*id, name.clone())),
                _ => None,
            })
            .collect();
        files.sort();
        files
    }

    /// Whether all promised data has come.
    pub(super) fn complete(&self) -> bool {
        self.open == 0
    }

    /// The data of this entry was read to its end.
    pub(super) fn rows(&mut self, id: i64, found: Counted) {
        let Some(promise) = self.promises.get(&id) else { return };
        let copied = copied(&promise.copy);
        let columns = copied.as_ref().map(|copied| copied.columns.clone()).unwrap_or_default();
        let own = named(&promise.entry);
        self.owed.remove(&own);
        let with_partitions = copied.is_some() && promise.through_root;
        // The statement's own name: a script's heading has a line break in a name as a blank.
        let (schema, name) = copied.map_or(own, |copied| copied.target);
        let table = self.tables.entry((schema.clone(), name.clone())).or_insert_with(|| TableDigest {
            schema,
            name,
            columns,
            with_partitions,
            rows: 0,
            bytes: 0,
            digest: ContentDigest::default(),
        });
        table.rows += found.rows;
        table.bytes += found.bytes;
        table.digest.add(found.digest);
    }

    /// Data of this entry was passed over.
    pub(super) fn passed_over(&mut self, id: i64) {
        let Some(promise) = self.promises.get(&id) else { return };
        self.owed.remove(&named(&promise.entry));
        let what = format!("the data of {}", described(&promise.entry));
        self.incomparable.push(Incomparable::new(what, NOT_COPY).leaving(Gap::UnreadRows));
    }

    /// What an entry is called in messages.
    pub(super) fn describe(&self, id: i64) -> String {
        self.promises.get(&id).map_or_else(|| format!("entry {id}"), |promise| described(&promise.entry))
    }

    /// The fingerprint, if every promise was kept.
    pub(super) fn finish(mut self) -> Result<Fingerprint, StreamError> {
        if let Some((_, missing)) = self.promises.iter().filter(|(_, promise)| !promise.kept).min_by_key(|(id, _)| **id) {
            return Err(damaged(format_args!("the archive ends without the data of {}", described(&missing.entry))));
        }
        let large_objects = self.objects.finish(self.makes_and_fills == (true, true))?;
        self.sequences.sort();
        if self.promises.is_empty() && !self.owed.is_empty() {
            self.incomparable.push(Incomparable::new("all rows", "the dump holds definitions only"));
            self.owed.clear();
        }
        let rows = |(schema, name): &Name| Incomparable::new(format!("the rows of table {schema}.{name}"), "the dump holds no data for it");
        self.incomparable.extend(self.owed.iter().map(rows));
        self.incomparable.sort();
        let holders = self.holders.finish();
        let tables = self.tables.into_values().collect();
        let (facts, inventory, sequences, incomparable) = (self.facts, self.inventory, self.sequences, self.incomparable);
        Ok(Fingerprint { revision: REVISION, facts, inventory, tables, sequences, large_objects, holders, incomparable })
    }
}

fn named(entry: &Entry) -> Name {
    (entry.schema.clone().unwrap_or_default(), entry.name.clone())
}

fn described(entry: &Entry) -> String {
    match (entry.kind.as_str(), &entry.schema) {
        ("TABLE DATA", Some(schema)) => format!("table {schema}.{}", entry.name),
        ("BLOBS", _) => "the large objects".to_owned(),
        (kind, _) => format!("{kind} {}", entry.name),
    }
}
