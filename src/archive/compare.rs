//! Comparing what was dumped with what was restored, by name.
//!
//! Two fingerprints of the same content compare equal whatever the order of rows. What only one archive form or one
//! version of PostgreSQL can tell is listed as not compared, never passed over. This module does not judge whether a
//! difference matters.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::difference::{Difference, FILLING, Object};
use super::digest::ContentDigest;
use super::model::{Entry, Fingerprint, Incomparable, SequenceValue, TableDigest};
use super::{Form, holders};

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Every difference, objects first, then rows, sequences and large objects; each group sorted by name.
    pub differences: Vec<Difference>,
    /// What could not be compared, and why.
    pub incomparable: Vec<Incomparable>,
}

impl Comparison {
    /// Whether everything that could be compared is equal.
    pub fn equal(&self) -> bool {
        self.differences.is_empty()
    }
}

impl Comparison {
    /// Whether an object is there that is defined in other words than in the dump.
    pub fn reworded(&self) -> bool {
        self.differences.iter().any(|difference| matches!(difference, Difference::Definition { .. }))
    }

    /// Accepts the definitions that the dump's own statements make once more, in an empty database: PostgreSQL puts some in other words
    /// once they were loaded (a cast of a whole array becomes casts of its elements, and a name that it gave by itself another one), and
    /// what comes of the same statements is the same.
    pub fn accept(&mut self, again: &Fingerprint, restored: &Fingerprint) {
        let (again, restored) = (definitions(again), definitions(restored));
        let made = |side: &Side<'_>, object: &Object| side.get(object).map(|entries| made(entries, Same { words: true, methods: true }));
        let same = |object: &Object| made(&restored, object).is_some_and(|is| Some(is) == made(&again, object));
        let (accepted, differences) = std::mem::take(&mut self.differences)
            .into_iter()
            .partition(|difference| matches!(difference, Difference::Definition { object } if same(object)));
        self.differences = differences;
        let accepted: Vec<Difference> = accepted;
        self.incomparable.extend(accepted.iter().filter_map(|difference| match difference {
            Difference::Definition { object } => Some(Incomparable::new(
                format!("the dump's words for {object}"),
                "PostgreSQL words it anew; it is equal to what these words make in an empty database",
            )),
            _ => None,
        }));
        self.incomparable.sort();
    }
}

/// Entries that are data or settings of the archive.
const NOT_DEFINITIONS: &[&str] = &["TABLE DATA", "SEQUENCE SET", FILLING, "BLOB", "BLOB METADATA", "BLOBS", "STATISTICS DATA"];

/// Compares what was dumped with what is there now.
pub fn compare(dumped: &Fingerprint, restored: &Fingerprint) -> Comparison {
    let mut found = Comparison::default();
    let same = Same {
        words: same_words(dumped, restored, &mut found.incomparable),
        methods: same_methods(dumped, restored, &mut found.incomparable),
    };
    objects(dumped, restored, same, &mut found.differences);
    fillings(dumped, restored, &mut found.differences);
    tables(dumped, restored, &mut found.differences);
    sequences(dumped, restored, &mut found.differences);
    if dumped.large_objects != restored.large_objects {
        found.differences.push(Difference::LargeObjects { dumped: dumped.large_objects, restored: restored.large_objects });
    }
    holders::compare(dumped, restored, same.words, &mut found.differences);
    found.incomparable.extend(holders::untold(dumped, restored));
    found.incomparable.extend(dumped.incomparable.iter().chain(&restored.incomparable).cloned());
    found.incomparable.sort();
    found.incomparable.dedup();
    found
}

/// Whether both sides put definitions into the same words: the same form, and server and `pg_dump` of the same majors.
fn same_words(dumped: &Fingerprint, restored: &Fingerprint, incomparable: &mut Vec<Incomparable>) -> bool {
    let (was, is) = (&dumped.facts, &restored.facts);
    let why = if major(&was.server_version) != major(&is.server_version) || major(&was.dump_version) != major(&is.dump_version) {
        "PostgreSQL words them differently in different versions"
    } else if (was.form == Form::Plain) != (is.form == Form::Plain) {
        "a script words them differently than an archive"
    } else {
        return true;
    };
    incomparable.push(Incomparable::new("the texts of definitions", why));
    false
}

/// Whether both sides tell by which access method rows are stored; of partitioned tables a script has it in their texts.
fn same_methods(dumped: &Fingerprint, restored: &Fingerprint, incomparable: &mut Vec<Incomparable>) -> bool {
    if dumped.revision.min(restored.revision) == 0 {
        let why = "an older version of runner read the dump, and did not keep them";
        incomparable.push(Incomparable::new("tablespaces and access methods", why));
        return false;
    }
    (dumped.facts.form == Form::Plain) == (restored.facts.form == Form::Plain)
}

fn major(version: &str) -> &str {
    version.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default()
}

/// What both sides say in the same words.
#[derive(Debug, Clone, Copy)]
struct Same {
    words: bool,
    methods: bool,
}

type Side<'a> = BTreeMap<Object, Vec<&'a Entry>>;

fn definitions(side: &Fingerprint) -> Side<'_> {
    let mut found = Side::new();
    for entry in side.inventory.iter().filter(|entry| is_definition(entry)) {
        found.entry(Object::from(entry)).or_default().push(entry);
    }
    for entries in found.values_mut() {
        entries.sort();
    }
    found
}

/// How objects of one name are made, as far as both sides say it in the same words.
fn made(entries: &[&Entry], same: Same) -> Vec<(Option<ContentDigest>, Option<String>)> {
    let of = |entry: &&Entry| (same.words.then_some(entry.definition), entry.access_method.clone().filter(|_| same.methods));
    entries.iter().map(of).collect()
}

fn is_definition(entry: &Entry) -> bool {
    // Rights come in groups that are no objects.
    let of_large_object = entry.kind == "ACL" && entry.name.starts_with("LARGE OBJECT");
    !NOT_DEFINITIONS.contains(&entry.kind.as_str()) && !entry.is_of_database() && !of_large_object
}

/// What of the database itself no restore into another one takes over, for the reader; `None` if an archive says that there is nothing.
pub fn of_database(dumped: &Fingerprint) -> Option<Incomparable> {
    if dumped.facts.form == Form::Plain {
        return Some(Incomparable::new("settings, rights and comment of the database itself", "a plain dump holds none of them"));
    }
    let word = |entry: &Entry| match entry.kind.as_str() {
        "DATABASE PROPERTIES" => Some("settings"),
        "ACL" => Some("rights"),
        "COMMENT" => Some("comment"),
        "SECURITY LABEL" => Some("security labels"),
        _ => None,
    };
    let mut words: Vec<&str> = dumped.inventory.iter().filter(|entry| entry.is_of_database()).filter_map(word).collect();
    words.sort_unstable();
    words.dedup();
    let (last, others) = words.split_last()?;
    let words = if others.is_empty() { (*last).to_owned() } else { format!("{} and {last}", others.join(", ")) };
    let why = "they are of the database itself, and a restore into another name leaves them out";
    Some(Incomparable::new(format!("{words} of database {}", dumped.facts.database), why))
}

fn objects(dumped: &Fingerprint, restored: &Fingerprint, same: Same, found: &mut Vec<Difference>) {
    let (dumped, restored) = (definitions(dumped), definitions(restored));
    for (object, was) in &dumped {
        let Some(is) = restored.get(object) else {
            found.push(Difference::Absent { object: object.clone() });
            continue;
        };
        if was.len() > is.len() {
            found.push(Difference::Absent { object: object.clone() });
        } else if was.len() < is.len() {
            found.push(Difference::Additional { object: object.clone() });
        } else if made(was, same) != made(is, same) {
            found.push(Difference::Definition { object: object.clone() });
        } else if let Some((was, is)) = was.iter().zip(is).find(|(was, is)| was.owner.is_some() && was.owner != is.owner)
            && !object.is_about_another()
        {
            let (dumped, restored) = (was.owner.clone(), is.owner.clone());
            found.push(Difference::Owner { object: object.clone(), dumped, restored });
        }
    }
    let presumed = |object: &Object| object.kind == "SCHEMA" && dumped.keys().any(|other| other.schema.as_ref() == Some(&object.name));
    // A dump of chosen tables holds these and not the schemas that they are in.
    let additional = restored.keys().filter(|object| !dumped.contains_key(object) && !presumed(object));
    found.extend(additional.map(|object| Difference::Additional { object: object.clone() }));
}

/// Whether the same materialized views are filled.
fn fillings(dumped: &Fingerprint, restored: &Fingerprint, found: &mut Vec<Difference>) {
    let filled = |side: &Fingerprint| -> BTreeSet<Object> {
        side.inventory.iter().filter(|entry| entry.kind == FILLING).map(Object::from).collect()
    };
    let (dumped, restored) = (filled(dumped), filled(restored));
    found.extend(dumped.difference(&restored).map(|object| Difference::Absent { object: object.clone() }));
    found.extend(restored.difference(&dumped).map(|object| Difference::Additional { object: object.clone() }));
}

fn tables(dumped: &Fingerprint, restored: &Fingerprint, found: &mut Vec<Difference>) {
    let by_name = |side: &[TableDigest]| -> BTreeMap<Object, TableDigest> {
        side.iter().map(|table| (Object::of("TABLE", &table.schema, &table.name), table.clone())).collect()
    };
    let (dumped, restored) = (by_name(&dumped.tables), by_name(&restored.tables));
    for (table, was) in &dumped {
        let Some(is) = restored.get(table) else {
            // Said once, with what is lost.
            found.retain(|said| !matches!(said, Difference::Absent { object } if object == table));
            found.push(Difference::TableMissing { table: table.clone(), rows: was.rows });
            continue;
        };
        found.extend(of_table(table, was, is));
    }
    let additional = restored.into_iter().filter(|(table, _)| !dumped.contains_key(table));
    found.extend(additional.map(|(table, is)| Difference::TableAdditional { table, rows: is.rows }));
}

fn of_table(table: &Object, was: &TableDigest, is: &TableDigest) -> Option<Difference> {
    let table = table.clone();
    if was.columns != is.columns {
        return Some(Difference::Columns { table, dumped: was.columns.clone(), restored: is.columns.clone() });
    }
    if was.rows != is.rows {
        return Some(Difference::Rows { table, dumped: was.rows, restored: is.rows });
    }
    let same = (was.digest, was.bytes) == (is.digest, is.bytes);
    (!same).then_some(Difference::Values { table, rows: was.rows })
}

fn sequences(dumped: &Fingerprint, restored: &Fingerprint, found: &mut Vec<Difference>) {
    let by_name = |side: &[SequenceValue]| -> BTreeMap<Object, (i64, bool)> {
        side.iter().map(|s| (Object::of("SEQUENCE", &s.schema, &s.name), (s.last_value, s.is_called))).collect()
    };
    let (dumped, restored) = (by_name(&dumped.sequences), by_name(&restored.sequences));
    for (sequence, was) in &dumped {
        match restored.get(sequence) {
            Some(is) if is == was => {}
            Some(is) => found.push(Difference::Sequence { sequence: sequence.clone(), dumped: *was, restored: *is }),
            None => {
                let absent = Difference::Absent { object: sequence.clone() };
                if !found.contains(&absent) {
                    found.push(absent);
                }
            }
        }
    }
    // A sequence of which only the restored side knows the value shows among the objects, if it was not dumped at all.
}

#[cfg(test)]
mod tests {
    use super::super::digest::ContentDigest;
    use super::super::model::{Facts, LargeObjects, REVISION};
    use super::*;

    fn side(version: &str, form: Form, definition: &[u8]) -> Fingerprint {
        let text = String::new;
        let facts = Facts {
            form,
            version: text(),
            created: text(),
            database: text(),
            server_version: version.to_owned(),
            dump_version: version.to_owned(),
            encoding: text(),
        };
        let definition = ContentDigest::of(definition);
        let entry = |kind: &str, name: &str| Entry {
            kind: kind.into(),
            schema: None,
            name: name.into(),
            owner: None,
            definition,
            tablespace: None,
            access_method: None,
        };
        Fingerprint {
            revision: REVISION,
            facts,
            inventory: vec![entry("VIEW", "v"), entry("DATABASE", version), entry("COMMENT", &format!("DATABASE {version}"))],
            tables: Vec::new(),
            sequences: Vec::new(),
            large_objects: LargeObjects::default(),
            holders: Vec::new(),
            incomparable: Vec::new(),
        }
    }

    #[test]
    fn definitions_are_compared_only_where_both_sides_use_the_same_words() {
        let dumped = side("16.4 (Debian 16.4-1)", Form::Custom, b"one");
        let same = compare(&dumped, &side("16.9", Form::Tar, b"other"));
        assert_eq!(same.differences.iter().map(ToString::to_string).collect::<Vec<_>>(), ["view v is defined differently"]);
        assert!(same.incomparable.is_empty() && !same.equal());
        for (other, why) in [(side("17.1", Form::Custom, b"other"), "different versions"), (side("16.9", Form::Plain, b"other"), "script")]
        {
            let found = compare(&dumped, &other);
            assert!(found.equal() && found.incomparable[0].why.contains(why), "{found:?}");
        }
    }

    #[test]
    fn a_script_is_never_silent_about_the_database_itself() {
        let told = |form| of_database(&side("16.4", form, b"")).map(|left| left.to_string());
        assert_eq!(
            told(Form::Custom).unwrap(),
            "comment of database : they are of the database itself, and a restore into another name leaves them out"
        );
        assert_eq!(told(Form::Plain).unwrap(), "settings, rights and comment of the database itself: a plain dump holds none of them");
        let bare = Fingerprint { inventory: Vec::new(), ..side("16.4", Form::Custom, b"") };
        assert_eq!(of_database(&bare), None);
    }

    #[test]
    fn how_rows_are_stored_counts_only_where_both_sides_tell() {
        let stored = |method: Option<&str>| {
            let mut side = side("16.4", Form::Custom, b"");
            side.inventory.iter_mut().for_each(|entry| entry.access_method = method.map(str::to_owned));
            side
        };
        let (columns, heap) = (stored(Some("축적")), stored(None));
        let mut found = compare(&columns, &heap);
        assert_eq!(found.differences.iter().map(ToString::to_string).collect::<Vec<_>>(), ["view v is defined differently"]);
        found.accept(&columns, &heap);
        assert!(!found.equal(), "the same words that are stored otherwise are not the same");
        let older = Fingerprint { revision: 0, ..heap };
        let found = compare(&older, &columns);
        assert!(found.equal() && found.incomparable[0].what == "tablespaces and access methods", "{found:?}");
    }

    #[test]
    fn an_object_that_is_gone_is_said_once() {
        let mut dumped = side("16.4", Form::Custom, b"");
        let sequence = |last_value| SequenceValue { schema: "public".into(), name: "s".into(), last_value, is_called: true };
        let entry = |kind: &str, name: &str| Entry {
            kind: kind.into(),
            schema: Some("public".into()),
            name: name.into(),
            owner: None,
            definition: ContentDigest::default(),
            tablespace: None,
            access_method: None,
        };
        dumped.inventory.extend([entry("SEQUENCE", "s"), entry("TABLE", "t")]);
        dumped.sequences = vec![sequence(5)];
        dumped.tables = vec![TableDigest {
            schema: "public".into(),
            name: "t".into(),
            columns: Vec::new(),
            with_partitions: false,
            rows: 1,
            bytes: 1,
            digest: ContentDigest::default(),
        }];
        let said = |restored: &Fingerprint| compare(&dumped, restored).differences.iter().map(ToString::to_string).collect::<Vec<_>>();
        let gone = side("16.4", Form::Custom, b"");
        assert_eq!(said(&gone), ["sequence public.s is absent", "table public.t is missing with its 1 row"]);
        let ahead = Fingerprint { sequences: vec![sequence(6)], ..dumped.clone() };
        assert_eq!(said(&ahead), ["sequence public.s is ahead: 6 restored, 5 dumped"]);
    }
}
