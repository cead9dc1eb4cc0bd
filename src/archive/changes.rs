//! How a dump differs from an earlier one: object by object, table by table, sequence by sequence.
//!
//! Unlike a proof, which tells of damage, this tells of what happened in between, so every table is listed with its rows on both
//! sides. This module does not judge whether a change is suspicious.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::compare::compare;
use super::difference::{Difference, Object};
use super::model::{Fingerprint, Incomparable, LargeObjects, SequenceValue, TableDigest};
use super::places::relocated;

/// All that changed between two dumps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Objects added, removed and changed, sorted by kind and name.
    pub objects: Vec<ObjectChange>,
    /// Every table whose rows either dump holds, unchanged ones included, sorted by name.
    pub tables: Vec<TableChange>,
    /// Sequences that stand elsewhere, sorted by name.
    pub sequences: Vec<SequenceChange>,
    /// The large objects of both sides; `None` when they are the same.
    pub large_objects: Option<LargeObjectsChange>,
    /// What could not be compared, and why.
    pub incomparable: Vec<Incomparable>,
}

/// One object that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectChange {
    /// The object.
    #[serde(flatten)]
    pub object: Object,
    /// What happened to it.
    #[serde(flatten)]
    pub change: ObjectFate,
}

/// What happened to an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum ObjectFate {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is made by another statement.
    Redefined,
    /// It belongs to another role.
    Owner {
        /// Its owner before.
        from: Option<String>,
        /// Its owner now.
        to: Option<String>,
    },
}

/// A table on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableChange {
    /// The table.
    #[serde(flatten)]
    pub table: Object,
    /// Its rows before; `None` where the dump held none of its data.
    pub from: Option<Extent>,
    /// Its rows now.
    pub to: Option<Extent>,
    /// What happened to it.
    pub change: TableFate,
}

/// How much data a table has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Its rows.
    pub rows: u64,
    /// Their size in `COPY`'s text form, in bytes.
    pub bytes: u64,
}

/// What happened to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableFate {
    /// Its rows have the same digest.
    Unchanged,
    /// It has more or fewer rows.
    Rows,
    /// It has as many rows, but not the same.
    Values,
    /// It has other columns, so that its rows can not be held against each other.
    Columns,
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It was there before, and its rows are in the dump only now.
    DataIncluded,
    /// It is there still, and its rows are no longer in the dump.
    DataLeftOut,
}

/// A sequence that stands elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceChange {
    /// The sequence.
    #[serde(flatten)]
    pub sequence: Object,
    /// Its `last_value` before, and whether it was given out already; `None` where the dump does not tell.
    pub from: Option<(i64, bool)>,
    /// The same now.
    pub to: Option<(i64, bool)>,
}

/// The large objects of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjectsChange {
    /// Those that were there.
    pub from: LargeObjects,
    /// Those that are there now.
    pub to: LargeObjects,
}

/// What changed from one dump to another.
pub fn changes(from: &Fingerprint, to: &Fingerprint) -> Changes {
    let compared = compare(from, to);
    let (was, is) = (Names::of(from), Names::of(to));
    let mut objects: Vec<ObjectChange> = compared.differences.into_iter().filter_map(|difference| object(difference, &is)).collect();
    objects.sort_by(|a, b| a.object.cmp(&b.object));
    let large_objects = LargeObjectsChange { from: from.large_objects, to: to.large_objects };
    Changes {
        objects,
        tables: tables(from, to, &was, &is),
        sequences: sequences(from, to),
        large_objects: (large_objects.from != large_objects.to).then_some(large_objects),
        incomparable: compared.incomparable.into_iter().chain(relocated(from, to)).collect(),
    }
}

/// The objects of one side.
struct Names(BTreeSet<Object>);

impl Names {
    fn of(side: &Fingerprint) -> Self {
        Self(side.inventory.iter().map(Object::from).collect())
    }

    fn has(&self, object: &Object) -> bool {
        self.0.contains(object)
    }
}

/// What a difference says of an object, if it is about one as a whole. `is` are the objects there are now.
fn object(difference: Difference, is: &Names) -> Option<ObjectChange> {
    let (object, change) = match difference {
        // A dump without data lacks rows and values of what is still defined.
        Difference::TableMissing { table, .. } if is.has(&table) => return None,
        Difference::Absent { object } if object.kind == "SEQUENCE" && is.has(&object) => return None,
        Difference::Absent { object } | Difference::TableMissing { table: object, .. } => (object, ObjectFate::Removed),
        Difference::Additional { object } => (object, ObjectFate::Added),
        Difference::Definition { object } => (object, ObjectFate::Redefined),
        Difference::Owner { object, dumped, restored } => (object, ObjectFate::Owner { from: dumped, to: restored }),
        _ => return None,
    };
    Some(ObjectChange { object, change })
}

fn tables(from: &Fingerprint, to: &Fingerprint, was: &Names, is: &Names) -> Vec<TableChange> {
    let pairs = paired(
        from.tables.iter().map(|table| (Object::of("TABLE", &table.schema, &table.name), table)),
        to.tables.iter().map(|table| (Object::of("TABLE", &table.schema, &table.name), table)),
    );
    let extent = |table: &TableDigest| Extent { rows: table.rows, bytes: table.bytes };
    let change = |(table, (from, to)): (Object, (Option<&TableDigest>, Option<&TableDigest>))| {
        let change = match (from, to) {
            (Some(from), Some(to)) => fate(from, to),
            (Some(_), None) if is.has(&table) => TableFate::DataLeftOut,
            (Some(_) | None, None) => TableFate::Removed,
            (None, Some(_)) if was.has(&table) => TableFate::DataIncluded,
            (None, Some(_)) => TableFate::Added,
        };
        TableChange { table, from: from.map(extent), to: to.map(extent), change }
    };
    pairs.into_iter().map(change).collect()
}

fn fate(from: &TableDigest, to: &TableDigest) -> TableFate {
    if from.columns != to.columns {
        TableFate::Columns
    } else if from.rows != to.rows {
        TableFate::Rows
    } else if (from.digest, from.bytes) != (to.digest, to.bytes) {
        TableFate::Values
    } else {
        TableFate::Unchanged
    }
}

fn sequences(from: &Fingerprint, to: &Fingerprint) -> Vec<SequenceChange> {
    let values = |side: &[SequenceValue]| -> Vec<(Object, (i64, bool))> {
        side.iter().map(|value| (Object::of("SEQUENCE", &value.schema, &value.name), (value.last_value, value.is_called))).collect()
    };
    let pairs = paired(values(&from.sequences), values(&to.sequences)).into_iter();
    pairs.filter(|(_, (from, to))| from != to).map(|(sequence, (from, to))| SequenceChange { sequence, from, to }).collect()
}

/// What both sides say of each name.
type Paired<T> = BTreeMap<Object, (Option<T>, Option<T>)>;

fn paired<T>(from: impl IntoIterator<Item = (Object, T)>, to: impl IntoIterator<Item = (Object, T)>) -> Paired<T> {
    let mut found: Paired<T> = from.into_iter().map(|(name, value)| (name, (Some(value), None))).collect();
    for (name, value) in to {
        found.entry(name).or_insert((None, None)).1 = Some(value);
    }
    found
}

#[cfg(test)]
mod tests;
