//! Whose large objects are, and who may do what with them.
//!
//! An archive of 17 or later has them in groups of up to a thousand, an older one each by itself; here those that have all in common
//! are one group, so that it does not matter. Source: PostgreSQL `pg_dump.c` `getLOs`, `dumpLO`, `pg_backup_archiver.c`
//! `IssueACLPerBlob`. This module does not look at their contents.

use std::collections::{BTreeMap, HashMap};

use super::difference::{Difference, Object};
use super::digest::ContentDigest;
use super::model::{Fingerprint, Holding, Incomparable};
use super::toc::Item;

/// What rights on a large object are said to be on; its OID follows.
const ON: &str = "LARGE OBJECT ";

/// Owners and rights while entries come.
#[derive(Default)]
pub(super) struct Holders {
    /// The objects of each owner.
    owned: BTreeMap<Option<String>, Vec<u32>>,
    /// The objects that an entry makes, for the one that gives rights on all of them.
    made: HashMap<i64, Vec<u32>>,
    /// The statements that give rights on each object, without its OID.
    rights: HashMap<u32, ContentDigest>,
    /// Whether there are rights that could not be read.
    untold: bool,
}

impl Holders {
    /// An entry makes these.
    pub(super) fn made(&mut self, item: &Item, oids: Vec<u32>) {
        self.owned.entry(item.entry.owner.clone()).or_default().extend(&oids);
        self.made.insert(item.id, oids);
    }

    /// An entry gives rights: in an archive on all that the entry that it depends on makes, though it names only one of them.
    pub(super) fn rights(&mut self, item: &Item) {
        let named = by_object(&item.definition);
        let group = item.depends.iter().find_map(|id| self.made.get(id));
        match (group, named.iter().next()) {
            (Some(group), Some((_, words))) if named.len() == 1 => {
                self.rights.extend(group.iter().map(|oid| (*oid, ContentDigest::of(words.as_bytes()))));
            }
            (None, Some(_)) => self.rights.extend(named.iter().map(|(oid, words)| (*oid, ContentDigest::of(words.as_bytes())))),
            _ => self.untold = true,
        }
    }

    /// Groups of objects that have all in common; none where not all is known.
    pub(super) fn finish(self) -> Vec<Holding> {
        if self.untold {
            return Vec::new();
        }
        let mut groups: BTreeMap<(Option<String>, Option<ContentDigest>), Vec<u32>> = BTreeMap::new();
        for (owner, oids) in self.owned {
            for oid in oids {
                groups.entry((owner.clone(), self.rights.get(&oid).copied())).or_default().push(oid);
            }
        }
        groups.into_iter().map(|((owner, rights), oids)| Holding { oids: ranges(oids), owner, rights }).collect()
    }
}

/// Statements by the object that they are about, without its OID.
fn by_object(statements: &str) -> BTreeMap<u32, String> {
    let mut found: BTreeMap<u32, String> = BTreeMap::new();
    for line in statements.lines() {
        let Some((before, rest)) = line.split_once(ON) else { continue };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (oid, after) = rest.split_at(digits);
        if let Ok(oid) = oid.parse() {
            found.entry(oid).or_default().extend([before, ON, after, "\n"]);
        }
    }
    found
}

/// `40001-40003 40010`.
fn ranges(mut oids: Vec<u32>) -> String {
    oids.sort_unstable();
    let runs = oids.chunk_by(|one, next| one.checked_add(1) == Some(*next));
    let words = runs.filter_map(|run| match run {
        [] => None,
        [one] => Some(one.to_string()),
        [first, .., last] => Some(format!("{first}-{last}")),
    });
    words.collect::<Vec<_>>().join(" ")
}

impl Holding {
    /// The OIDs one by one; nothing of what does not read as one.
    fn each(&self) -> impl Iterator<Item = u32> {
        let range = |word: &str| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
        };
        self.oids.split(' ').filter_map(range).flatten()
    }
}

/// Compares owners and rights of the objects that are on both sides; what is on one only shows in their number or contents.
pub(super) fn compare(dumped: &Fingerprint, restored: &Fingerprint, same_words: bool, found: &mut Vec<Difference>) {
    let there: HashMap<u32, &Holding> = restored.holders.iter().flat_map(|group| group.each().map(move |oid| (oid, group))).collect();
    let both = dumped.holders.iter().flat_map(|was| was.each().map(move |oid| (oid, was)));
    let mut both: Vec<(u32, &Holding, &Holding)> = both.filter_map(|(oid, was)| Some((oid, was, *there.get(&oid)?))).collect();
    both.sort_unstable_by_key(|(oid, ..)| *oid);
    for (oid, was, is) in both {
        if was.owner.is_some() && was.owner != is.owner {
            let object = Object { kind: "LARGE OBJECT".to_owned(), schema: None, name: oid.to_string() };
            found.push(Difference::Owner { object, dumped: was.owner.clone(), restored: is.owner.clone() });
        }
        let object = || Object { kind: "ACL".to_owned(), schema: None, name: format!("{ON}{oid}") };
        match (was.rights, is.rights) {
            (Some(_), None) => found.push(Difference::Absent { object: object() }),
            (None, Some(_)) => found.push(Difference::Additional { object: object() }),
            (Some(was), Some(is)) if same_words && was != is => found.push(Difference::Definition { object: object() }),
            _ => {}
        }
    }
}

/// Where there are large objects of which a side does not tell this.
pub(super) fn untold(dumped: &Fingerprint, restored: &Fingerprint) -> Option<Incomparable> {
    let untold = |side: &Fingerprint| side.large_objects.count > 0 && side.holders.is_empty();
    let why = match (untold(dumped), untold(restored)) {
        (true, _) => "the dump, or the version of runner that read it, does not tell them for each",
        (false, true) => "they could not be read of the restored ones",
        (false, false) => return None,
    };
    Some(Incomparable::new("the owners and rights of large objects", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_keeps_every_object_in_few_words() {
        let holding = |oids: Vec<u32>| Holding { oids: ranges(oids), owner: None, rights: None };
        let group = holding(vec![40010, 40001, 40003, 40002, u32::MAX]);
        assert_eq!(group.oids, "40001-40003 40010 4294967295");
        assert_eq!(group.each().collect::<Vec<_>>(), [40001, 40002, 40003, 40010, u32::MAX]);
        assert_eq!(holding(Vec::new()).each().count(), 0);
    }

    #[test]
    fn rights_are_told_by_object_whatever_its_number() {
        let words = "REVOKE ALL ON LARGE OBJECT 7 FROM postgres;\nGRANT ALL ON LARGE OBJECT 7 TO \"주인\";\nGRANT ALL ON LARGE OBJECT 9 TO \"주인\";\n";
        let found = by_object(words);
        assert_eq!(found[&7], "REVOKE ALL ON LARGE OBJECT  FROM postgres;\nGRANT ALL ON LARGE OBJECT  TO \"주인\";\n");
        assert_eq!(found[&9], "GRANT ALL ON LARGE OBJECT  TO \"주인\";\n");
    }
}
