//! Marks: append-only records beside a manifest that say what somebody wants of a restore point. A tombstone puts it on the way out,
//! an undelete takes that back; a pin keeps it, an unpin no longer.
//!
//! Nothing is ever changed: each mark is one immutable, sealed, create-only object, and the newest counts. A mark is written later
//! than all that its writer has seen, by the marks' own clock, so that hosts whose clocks differ agree on which came last. Where a
//! mark can not be read, the restore point stays. This module does not decide which points go, and deletes nothing.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::commit::{ManifestError, publish, read};
use super::manifest::{VERSION, month_prefix};
use super::{ObjectStore, StoreError, Stored};
use crate::ids::{PipelineName, RunId};

/// The largest mark in bytes: a tombstone that names some ten thousand objects.
pub const LIMIT: u64 = 16 * 1024 * 1024;

/// The kinds of mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Puts a restore point on the way out.
    Tombstone,
    /// Takes its tombstones back.
    Undelete,
    /// Keeps it.
    Pin,
    /// Takes its pins back.
    Unpin,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Tombstone, Self::Undelete, Self::Pin, Self::Unpin];

    /// The word in keys.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::Undelete => "undelete",
            Self::Pin => "pin",
            Self::Unpin => "unpin",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a mark says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "kebab-case")]
pub enum Wish {
    /// The restore point may be deleted after a grace.
    Tombstone {
        /// Why.
        reason: String,
        /// When the grace ends, by the policy that wrote it: for the reader, not for deciding.
        after: Timestamp,
        /// Every object of it in this store. Once the manifest is deleted, this is what tells the rest of the deletion.
        keys: Vec<String>,
    },
    /// Its tombstones are taken back.
    Undelete {
        /// Why.
        reason: String,
    },
    /// It is kept.
    Pin {
        /// Until when.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// Its pins are taken back.
    Unpin {
        /// Why.
        reason: String,
    },
}

impl Wish {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Tombstone { .. } => Kind::Tombstone,
            Self::Undelete { .. } => Kind::Undelete,
            Self::Pin { .. } => Kind::Pin,
            Self::Unpin { .. } => Kind::Unpin,
        }
    }
}

/// A mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The form of this document: [`VERSION`].
    pub version: u32,
    /// The restore point.
    pub run: RunId,
    /// The pipeline's name.
    pub pipeline: PipelineName,
    /// When it was written, to the microsecond, and later than every mark its writer had seen.
    pub at: Timestamp,
    /// Who wrote it: a person on a host, or a run.
    pub by: String,
    /// What it says.
    #[serde(flatten)]
    pub wish: Wish,
}

/// The key of a mark: `<run>.<kind>-<time>.json`.
pub fn mark_key(pipeline: &PipelineName, run: &RunId, kind: Kind, at: Timestamp) -> String {
    format!("{}{run}.{kind}-{}.json", month_prefix(pipeline, run), at.strftime("%Y%m%dT%H%M%S.%6fZ"))
}

/// The kind and time that the part of a key behind the run tells: `tombstone-20261120T021700.000000Z.json`.
pub(super) fn parsed(rest: &str) -> Option<(Kind, Timestamp)> {
    let (word, time) = rest.strip_suffix(".json")?.split_once('-')?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word)?;
    Some((kind, self::time(time)?))
}

/// A time as keys have it, to the microsecond.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S%.6fZ", text).ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// Who wants something of a restore point, and when.
#[derive(Debug, Clone, Copy)]
pub struct Author<'a> {
    /// Who.
    pub by: &'a str,
    /// When.
    pub now: Timestamp,
}

/// Writes a mark, later than all that are there (`seen`).
///
/// # Errors
/// [`StoreError::Exists`] when another writer was at the same microsecond, and whatever the store says.
pub fn add(
    store: &dyn ObjectStore,
    (pipeline, run): (&PipelineName, &RunId),
    wish: Wish,
    author: Author<'_>,
    seen: &Marks,
) -> Result<Stored, StoreError> {
    let now = author.now.round(jiff::Unit::Microsecond).unwrap_or(author.now);
    let next = |last: Timestamp| last.checked_add(SignedDuration::from_micros(1)).unwrap_or(Timestamp::MAX);
    let at = seen.last.map_or(now, |last| now.max(next(last)));
    let mark = Mark { version: VERSION, run: run.clone(), pipeline: pipeline.clone(), at, by: author.by.to_owned(), wish };
    publish(store, &mark_key(pipeline, run, mark.wish.kind(), at), &mark, LIMIT)
}

/// Reads a mark, by the rules of manifests.
///
/// # Errors
/// [`ManifestError`] when it is too large, of another version, malformed, or was edited.
pub fn read_mark(bytes: &[u8]) -> Result<Mark, ManifestError> {
    read(bytes, LIMIT)
}

/// A pin in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pinned {
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Who wants it.
    pub by: String,
}

/// A tombstone in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tombstoned {
    /// When the newest one was written.
    pub since: Timestamp,
    /// When its grace ends, by the policy that wrote it.
    pub after: Timestamp,
    /// Why.
    pub reason: String,
    /// The objects that all of them name.
    pub keys: Vec<String>,
}

/// What the marks of one restore point come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Marks {
    /// Whether, and since when, it is on the way out.
    pub tombstoned: Option<Tombstoned>,
    /// Whether somebody wants it to stay.
    pub pinned: Option<Pinned>,
    /// Those that can not be read, each with the reason.
    pub unreadable: Vec<String>,
    /// The time of the newest.
    #[serde(skip)]
    pub last: Option<Timestamp>,
}

/// A mark as a key tells it, and what is in it.
pub(super) struct Found {
    pub(super) key: String,
    pub(super) kind: Kind,
    pub(super) at: Timestamp,
    pub(super) read: Result<Mark, String>,
}

impl Marks {
    /// What marks come to, in whatever order they are listed.
    ///
    /// A tombstone counts only if it can be read; an undelete and a pin count even if not, for where in doubt a point stays.
    pub(super) fn of(found: &[Found]) -> Self {
        let newest = |kind| found.iter().filter(|mark| mark.kind == kind).map(|mark| mark.at).max();
        let since = |kind: Kind, undo: Kind| {
            let undone = newest(undo);
            found.iter().filter(move |mark| mark.kind == kind && undone.is_none_or(|undone| mark.at > undone))
        };
        Self {
            tombstoned: since(Kind::Tombstone, Kind::Undelete).filter_map(tombstone).reduce(joined),
            pinned: since(Kind::Pin, Kind::Unpin).map(pin).max_by_key(|pin| pin.until),
            unreadable: found.iter().filter_map(|mark| Some(format!("{}: {}", mark.key, mark.read.as_ref().err()?))).collect(),
            last: found.iter().map(|mark| mark.at).max(),
        }
    }
}

fn tombstone(found: &Found) -> Option<Tombstoned> {
    match found.read.as_ref().ok()? {
        Mark { wish: Wish::Tombstone { reason, after, keys }, at, .. } => {
            Some(Tombstoned { since: *at, after: *after, reason: reason.clone(), keys: keys.clone() })
        }
        _ => None,
    }
}

/// Two tombstones at once, of two hosts that wrote at the same time: the grace of the newer, the objects of both.
fn joined(other: Tombstoned, one: Tombstoned) -> Tombstoned {
    let (mut newer, older) = if one.since > other.since { (one, other) } else { (other, one) };
    newer.keys.extend(older.keys);
    newer.keys.sort_unstable();
    newer.keys.dedup();
    newer
}

fn pin(found: &Found) -> Pinned {
    match &found.read {
        Ok(Mark { wish: Wish::Pin { until, reason }, by, .. }) => Pinned { until: *until, reason: reason.clone(), by: by.clone() },
        _ => Pinned { until: Timestamp::MAX, reason: "its pin can not be read".to_owned(), by: String::new() },
    }
}

/// Whether the keys of marks say that a point is on the way out: for choosing one without reading anything.
pub(super) fn leaving(marks: impl Iterator<Item = (Kind, Timestamp)>) -> bool {
    let mut newest: BTreeMap<Kind, Timestamp> = BTreeMap::new();
    for (kind, at) in marks {
        newest.entry(kind).and_modify(|last| *last = at.max(*last)).or_insert(at);
    }
    newest.get(&Kind::Tombstone).is_some_and(|since| newest.get(&Kind::Undelete).is_none_or(|undone| since > undone))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn found(second: i64, wish: Option<Wish>, kind: Kind) -> Found {
        let (pipeline, run) = (PipelineName::new("주문").unwrap(), RunId::starting(at(0), [0; 3]));
        let mark = |wish| Mark { version: 1, run, pipeline, at: at(second), by: "김".to_owned(), wish };
        Found { key: kind.to_string(), kind, at: at(second), read: wish.map(mark).ok_or_else(|| "edited".to_owned()) }
    }

    fn tombstone(second: i64, key: &str) -> Found {
        let wish = Wish::Tombstone { reason: String::new(), after: at(second), keys: vec![key.to_owned()] };
        found(second, Some(wish), Kind::Tombstone)
    }

    fn pin(second: i64, until: i64) -> Found {
        found(second, Some(Wish::Pin { until: at(until), reason: String::new() }), Kind::Pin)
    }

    #[test]
    fn keys_tell_kind_and_time() {
        let (pipeline, run) = (PipelineName::new("주문").unwrap(), RunId::starting(at(0), [0; 3]));
        let time: Timestamp = "2026-11-20T02:17:00.000123Z".parse().unwrap();
        for kind in Kind::ALL {
            let key = mark_key(&pipeline, &run, kind, time);
            let rest = key.rsplit_once(&format!("{run}.")).unwrap().1;
            assert_eq!(parsed(rest), Some((kind, time)), "{key}");
        }
        for stranger in ["tombstone-x.json", "verified-a-20261120T021700Z.json", "pin.json", "pin-20261120T021700.000123Z"] {
            assert_eq!(parsed(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn the_newest_of_tombstone_and_undelete_counts() {
        let undelete = |second| found(second, Some(Wish::Undelete { reason: String::new() }), Kind::Undelete);
        assert_eq!(Marks::of(&[]).tombstoned, None);
        let gone = Marks::of(&[tombstone(5, "b"), tombstone(1, "a")]).tombstoned.unwrap();
        assert_eq!((gone.since, gone.keys), (at(5), vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(Marks::of(&[undelete(5), tombstone(5, "a")]).tombstoned, None, "where in doubt, it stays");
        assert_eq!(Marks::of(&[tombstone(6, "a"), undelete(5)]).tombstoned.unwrap().since, at(6));
        assert_eq!(Marks::of(&[tombstone(4, "a"), found(5, None, Kind::Undelete)]).tombstoned, None);
        let unreadable = Marks::of(&[found(4, None, Kind::Tombstone)]);
        assert_eq!((unreadable.tombstoned, unreadable.unreadable.len(), unreadable.last), (None, 1, Some(at(4))));
        assert!(leaving([(Kind::Tombstone, at(6)), (Kind::Undelete, at(5))].into_iter()));
        assert!(!leaving([(Kind::Tombstone, at(5)), (Kind::Undelete, at(5))].into_iter()));
    }

    #[test]
    fn the_longest_pin_counts_until_all_are_taken_back() {
        let unpin = |second| found(second, Some(Wish::Unpin { reason: String::new() }), Kind::Unpin);
        assert_eq!(Marks::of(&[pin(1, 90), pin(2, 50)]).pinned.unwrap().until, at(90), "a second pin shortens none");
        assert_eq!(Marks::of(&[pin(1, 90), unpin(2)]).pinned, None);
        assert_eq!(Marks::of(&[pin(1, 90), unpin(2), pin(3, 50)]).pinned.unwrap().until, at(50));
        assert_eq!(Marks::of(&[found(1, None, Kind::Pin)]).pinned.unwrap().until, Timestamp::MAX);
        assert!(Marks::of(&[pin(1, 90), found(2, None, Kind::Unpin)]).pinned.is_none());
    }
}
