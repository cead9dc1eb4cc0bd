//! Large objects, digested as they pass.
//!
//! This module does not keep any content; of each object it keeps the OID.

use super::damaged;
use super::digest::Pieces;
use super::model::LargeObjects;
use crate::stream::StreamError;

/// The large objects an archive declares and those it brings.
#[derive(Default)]
pub(super) struct Objects {
    found: LargeObjects,
    open: Option<Open>,
    declared: Vec<u32>,
    brought: Vec<u32>,
}

struct Open {
    oid: u32,
    pieces: Pieces,
    bytes: u64,
}

impl Objects {
    /// The archive has entries that make these.
    pub(super) fn declare(&mut self, oids: impl Iterator<Item = u32>) {
        self.declared.extend(oids);
    }

    /// The content of one begins.
    pub(super) fn begin(&mut self, oid: u32) {
        self.open = Some(Open { oid, pieces: Pieces::begin(&oid.to_le_bytes()), bytes: 0 });
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if let Some(open) = &mut self.open {
            open.pieces.more(bytes);
            open.bytes += bytes.len() as u64;
        }
    }

    /// The content of one ends.
    pub(super) fn end(&mut self) {
        if let Some(open) = self.open.take() {
            self.found.count += 1;
            self.found.bytes += open.bytes;
            self.found.digest.add(open.pieces.digest());
            self.brought.push(open.oid);
        }
    }

    /// Whether exactly these were brought.
    pub(super) fn check_listed(&mut self, listed: &mut [u32]) -> Result<(), StreamError> {
        listed.sort_unstable();
        self.brought.sort_unstable();
        first_difference(listed, &self.brought)
            .map_or(Ok(()), |oid| Err(damaged(format_args!("large object {oid} is not both listed and there"))))
    }

    /// What was found. `both` says that the archive has both definitions and contents, which then must be of the same.
    pub(super) fn finish(mut self, both: bool) -> Result<LargeObjects, StreamError> {
        self.brought.sort_unstable();
        self.declared.sort_unstable();
        if let Some([twice, _]) = self.brought.array_windows().find(|[one, next]| one == next) {
            return Err(damaged(format_args!("large object {twice} comes twice")));
        }
        if both && let Some(oid) = first_difference(&self.declared, &self.brought) {
            let missing = self.brought.binary_search(&oid).is_err();
            return Err(damaged(format_args!("large object {oid} {}", if missing { "has no content" } else { "is made by no entry" })));
        }
        Ok(self.found)
    }
}

/// The smallest number that is in one sorted list and not in the other.
fn first_difference(a: &[u32], b: &[u32]) -> Option<u32> {
    let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or_else(|| a.len().min(b.len()));
    match (a.get(at), b.get(at)) {
        (Some(a), Some(b)) => Some(*a.min(b)),
        (one, other) => one.or(other).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(declared: &[u32], brought: &[u32]) -> Result<LargeObjects, StreamError> {
        let mut objects = Objects::default();
        objects.declare(declared.iter().copied());
        for oid in brought {
            objects.begin(*oid);
            objects.feed(b"ab");
            objects.feed(b"c");
            objects.end();
        }
        objects.finish(true)
    }

    #[test]
    fn every_object_comes_once_and_belongs_to_its_number() {
        let found = finished(&[1, 2], &[2, 1]).unwrap();
        assert_eq!((found.count, found.bytes), (2, 6));
        assert_ne!(finished(&[1, 3], &[3, 1]).unwrap().digest, found.digest);
        let why = |declared: &[u32], brought: &[u32]| finished(declared, brought).unwrap_err().to_string();
        assert!(why(&[1, 2], &[1]).contains("large object 2 has no content"));
        assert!(why(&[1], &[1, 2]).contains("large object 2 is made by no entry"));
        assert!(why(&[1], &[1, 1]).contains("large object 1 comes twice"));
    }
}
