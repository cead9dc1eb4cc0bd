//! Copying a restore point from one store to another: what it leaves, what it takes as it is, what it refuses, and what a dead copy leaves.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::sync::Arc;

use jiff::Timestamp;
use runner::ids::{RefName, RunId};
use runner::store::carry::Watch;
use runner::store::catalog;
use runner::store::check::check;
use runner::store::lease::{self, Held, Holder, Terms};
use runner::store::local::LocalStore;
use runner::store::manifest::{Manifest, manifest_key};
use runner::store::missed::missed;
use runner::store::replica::{Copying, Replica};
use runner::store::{ObjectStore, PutOptions, StoreError, owed};
use runner::stream::Cancel;

use crate::store_conformance::local_spec;
use crate::store_shelf::{Point, keys, of, pipeline, point, run};

struct Pair {
    folder: tempfile::TempDir,
    from: LocalStore,
    to: Arc<dyn ObjectStore>,
}

fn name(text: &str) -> RefName {
    text.parse().unwrap()
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| LocalStore::open(&local_spec(&folder.path().join(name))).unwrap();
        let (from, to) = (open("가까이"), open("멀리"));
        Self { from, to: Arc::new(to), folder }
    }

    fn lease(&self, run: &RunId) -> Held {
        let me = Holder::here(pipeline(), run.clone(), "db1".to_owned());
        lease::acquire(&self.to, &Terms::of(pipeline()), &me, &Cancel::new(), &|_| {}).unwrap()
    }

    fn copy_under(&self, lease: Option<&Held>, manifest: &Manifest) -> Result<Replica, StoreError> {
        let (vault, far, run) = (name("vault"), name("far"), run(0));
        let copying =
            Copying { from: (&vault, &self.from), to: (&far, &*self.to), lease, mend: false, at: Timestamp::now(), run: &run, host: "db1" };
        copying.copy(manifest, &Watch::unwatched(&Cancel::new()))
    }

    fn copy(&self, point: &Point) -> Result<Replica, StoreError> {
        let lease = self.lease(&run(0));
        let done = self.copy_under(Some(&lease), &point.manifest());
        lease.release().unwrap();
        done
    }

    /// Keys of the copy, without leases and the kit.
    fn there(&self, point: &Point) -> Vec<String> {
        of(&*self.to, &point.run)
    }

    fn points(&self) -> usize {
        catalog::read(&*self.to, &pipeline()).unwrap().points.len()
    }
}

#[test]
fn a_copy_is_a_restore_point_like_any_other_and_says_where_it_came_from() {
    let (pair, point) = (Pair::new(), point(1));
    point.put(&pair.from);
    let replica = pair.copy(&point).unwrap();
    assert_eq!((replica.already, replica.objects, replica.found), (false, 2, 0));
    let found = catalog::read(&*pair.to, &pipeline()).unwrap().points;
    let manifest = found[0].manifest.as_ref().unwrap();
    let copied = manifest.copied.as_ref().unwrap();
    assert_eq!((copied.from.as_str(), &copied.run, copied.host.as_str()), ("vault", &run(0), "db1"));
    assert_eq!(manifest.artifacts[0].store, name("far"));
    assert_eq!(manifest.fences.iter().map(|(name, token)| (name.to_string(), *token)).collect::<Vec<_>>(), [("far".to_owned(), 1)]);
    let mut original = point.manifest();
    (original.artifacts[0].store, original.copied, original.fences) = (name("far"), manifest.copied.clone(), manifest.fences.clone());
    assert_eq!(*manifest, original, "all else is as its own run committed it");
    let checked = check(&*pair.to, &name("far"), &pipeline(), true).unwrap();
    assert_eq!((checked.flaws.len(), checked.orphans.len(), checked.objects), (0, 0, 2));
    let relative = |store: &dyn ObjectStore| keys(store).into_iter().filter(|key| !key.starts_with(lease::PREFIX)).collect::<Vec<_>>();
    assert_eq!(relative(&*pair.to), relative(&pair.from), "the same keys, recipe and kit included");

    let again = pair.copy(&point).unwrap();
    assert!(again.already && pair.points() == 1, "a second copy finds it there");
    let (record, _) = lease::read(&*pair.to, &pipeline()).unwrap().unwrap();
    assert_eq!(record.runs, [], "nothing is unsettled");
}

#[test]
fn objects_that_are_there_are_taken_as_they_are_if_their_bytes_are_right_and_else_refused() {
    let (pair, point) = (Pair::new(), point(1));
    point.put(&pair.from);
    pair.to.put_bytes(&point.key, &point.content(), &PutOptions::default()).unwrap();
    let replica = pair.copy(&point).unwrap();
    assert_eq!((replica.found, replica.objects), (1, 2));

    let (pair, mut other) = (Pair::new(), point.content());
    point.put(&pair.from);
    other[7] ^= 1;
    for bytes in [&other[..], b"short"] {
        pair.to.put_bytes(&point.key, bytes, &PutOptions::default()).unwrap();
        let error = pair.copy(&point).unwrap_err();
        assert!(matches!(&error, StoreError::Lies { key, .. } if *key == point.key), "{error}");
        assert!(error.to_string().contains("멀리"), "it names the store whose object is wrong: {error}");
        assert_eq!(pair.there(&point), std::slice::from_ref(&point.key), "what was there is left as it is, and nothing came beside it");
        assert_eq!(pair.to.get_bytes(&point.key, 1 << 20).unwrap(), bytes);
        pair.to.delete(&point.key).unwrap();
    }
}

#[test]
fn a_damaged_original_is_not_copied_and_what_was_copied_of_it_is_taken_back() {
    let (pair, point) = (Pair::new(), point(1));
    point.put(&pair.from);
    let sidecar = pair.folder.path().join("가까이").join(point.sidecar());
    let mut text = std::fs::read(&sidecar).unwrap();
    text[3] ^= 1;
    std::fs::write(&sidecar, text).unwrap();
    let error = pair.copy(&point).unwrap_err();
    assert!(error.to_string().contains("가까이") && error.to_string().contains("sha256"), "store and layer are named: {error}");
    assert_eq!(pair.there(&point), Vec::<String>::new(), "the dump, which was good, is gone again");
    let (record, _) = lease::read(&*pair.to, &pipeline()).unwrap().unwrap();
    assert_eq!(record.runs, []);
    std::fs::remove_file(&sidecar).unwrap();
    assert!(matches!(pair.copy(&point), Err(StoreError::Missing { .. })));
    assert_eq!(pair.there(&point), Vec::<String>::new());
}

#[test]
fn an_empty_object_that_rules_a_run_out_is_replaced_by_the_copy_and_nobody_removes_its_objects_any_more() {
    let (pair, point) = (Pair::new(), point(1));
    point.put(&pair.from);
    // A run that meant to store the same object here itself, and died.
    let dead = pair.lease(&point.run);
    dead.note(&point.key).unwrap();
    pair.to.put_bytes(&point.key, &point.content(), &PutOptions::default()).unwrap();
    dead.release().unwrap();
    let next = pair.lease(&run(0));
    assert!(lease::settle(&next)[0].contains("removed an object of run"));
    let empty = manifest_key(&pipeline(), &point.run);
    assert_eq!(pair.to.head(&empty).unwrap().unwrap().bytes, 0);
    pair.copy_under(Some(&next), &point.manifest()).unwrap();
    next.release().unwrap();
    assert_eq!(pair.points(), 1);
    // The note by which the next holder would remove what the dead run left is gone too.
    let later = pair.lease(&run(2));
    assert_eq!(lease::settle(&later), Vec::<String>::new());
    assert_eq!(check(&*pair.to, &name("far"), &pipeline(), true).unwrap().flaws, []);
}

#[test]
fn what_a_copy_noted_stays_for_the_next_one_even_where_the_run_was_ruled_out() {
    let (pair, point) = (Pair::new(), point(1));
    point.put(&pair.from);
    lease::rule_out(&*pair.to, &pipeline(), &point.run).unwrap();
    // Stopped after it wrote one object, and before the manifest.
    let stopped = pair.lease(&run(3));
    stopped.note_copy(&pipeline(), &point.run, &[point.key.clone(), point.sidecar()]).unwrap();
    pair.to.put_bytes(&point.key, &point.content(), &PutOptions::default()).unwrap();
    stopped.release().unwrap();
    let next = pair.lease(&run(0));
    let told = lease::settle(&next);
    assert!(told.len() == 1 && told[0].contains("1 of its objects are here whole"), "{told:?}");
    let replica = pair.copy_under(Some(&next), &point.manifest()).unwrap();
    assert_eq!((replica.found, replica.already), (1, false));
    next.release().unwrap();
    assert_eq!(lease::read(&*pair.to, &pipeline()).unwrap().unwrap().0.runs, []);
    assert_eq!((pair.points(), check(&*pair.to, &name("far"), &pipeline(), true).unwrap().orphans.len()), (1, 0));
}

#[test]
fn one_that_was_overtaken_commits_nothing() {
    let (pair, point) = (Pair::new(), point(1));
    point.put(&pair.from);
    let slow = pair.lease(&run(3));
    slow.release().unwrap();
    let error = pair.copy_under(Some(&slow), &point.manifest()).unwrap_err();
    assert!(matches!(error, StoreError::Lost { .. }), "{error}");
    assert_eq!(pair.there(&point), Vec::<String>::new());
}

#[test]
fn one_that_was_overtaken_takes_nothing_back_that_the_next_one_may_need() {
    let (pair, point) = (Pair::new(), point(1));
    point.put(&pair.from);
    std::fs::remove_file(pair.folder.path().join("가까이").join(point.sidecar())).unwrap();
    let slow = pair.lease(&run(3));
    // Overtaken once the dump was copied: what comes next, the file with its digest, is not there to be read.
    let (vault, far, by) = (name("vault"), name("far"), run(3));
    let copying = Copying {
        from: (&vault, &pair.from),
        to: (&far, &*pair.to),
        lease: Some(&slow),
        mend: false,
        at: Timestamp::now(),
        run: &by,
        host: "db1",
    };
    let cancel = Cancel::new();
    let overtake = |_| slow.give_up("overtaken");
    let error = copying.copy(&point.manifest(), &Watch { read: &overtake, ..Watch::unwatched(&cancel) }).unwrap_err();
    assert!(matches!(error, StoreError::Lost { .. }), "{error}");
    assert_eq!(pair.there(&point), std::slice::from_ref(&point.key));
}

#[test]
fn a_copy_from_a_clock_that_is_far_ahead_hides_nothing_that_is_missed() {
    let (pair, ahead, old) = (Pair::new(), point(-24 * 365), point(25));
    ahead.put(&pair.from);
    old.put(&pair.from);
    pair.copy(&ahead).unwrap();
    pair.copy(&old).unwrap();
    assert_eq!(lacks(&pair), []);
    let next = point(1);
    next.put(&pair.from);
    assert_eq!(lacks(&pair), std::slice::from_ref(&next.run));
}

/// What `far` has missed of `vault`.
fn lacks(pair: &Pair) -> Vec<RunId> {
    let missed = missed((&pair.from, &name("vault")), &*pair.to, &pipeline()).unwrap();
    missed.points.into_iter().map(|point| point.run).collect()
}

#[test]
fn what_is_committed_after_a_newer_one_was_copied_is_missed_whatever_its_id() {
    let (pair, newer) = (Pair::new(), point(1));
    newer.put(&pair.from);
    pair.copy(&newer).unwrap();
    // One that had gone there on purpose, and one of a run that took long, was resumed, or came from a host whose clock is behind.
    let (gone, late) = (point(49), point(25));
    gone.put(&pair.from);
    let manifest = Manifest { committed: Timestamp::now(), ..late.manifest() };
    late.put_as(&pair.from, &manifest);
    assert_eq!(lacks(&pair), std::slice::from_ref(&late.run));
    let lease = pair.lease(&run(0));
    pair.copy_under(Some(&lease), &manifest).unwrap();
    assert_eq!(lacks(&pair), []);
}

#[test]
fn what_is_owed_is_missed_until_it_is_there_or_gone() {
    let (pair, newer, older) = (Pair::new(), point(1), point(25));
    newer.put(&pair.from);
    older.put(&pair.from);
    pair.copy(&newer).unwrap();
    assert_eq!(lacks(&pair), []);
    owed::owe(&*pair.to, &pipeline(), &older.run, "손상").unwrap();
    owed::owe(&*pair.to, &pipeline(), &older.run, "once more").unwrap();
    assert_eq!(lacks(&pair), std::slice::from_ref(&older.run));
    let settled = || missed((&pair.from, &name("vault")), &*pair.to, &pipeline()).unwrap().settled;
    assert_eq!(settled().len(), 0);
    pair.from.delete(&manifest_key(&pipeline(), &older.run)).unwrap();
    assert_eq!((lacks(&pair), settled().into_iter().collect::<Vec<_>>()), (vec![], vec![older.run.clone()]));
    owed::settle(&*pair.to, &pipeline(), &older.run).unwrap();
    assert_eq!(owed::owed(&*pair.to, &pipeline()).unwrap().len(), 0);
}

#[test]
fn what_was_missed_is_newer_than_the_newest_there_and_stays_here() {
    let pair = Pair::new();
    let points: Vec<Point> = [1, 25, 49, 73, 97].iter().map(|hours| point(*hours)).collect();
    for point in &points {
        point.put(&pair.from);
    }
    let vault = name("vault");
    let lacks = || missed((&pair.from, &vault), &*pair.to, &pipeline()).unwrap();
    let runs = |of: &[usize]| of.iter().map(|index| points[*index].run.clone()).collect::<Vec<_>>();
    let found = |lacks: &runner::store::missed::Missed| lacks.points.iter().map(|point| point.run.clone()).collect::<Vec<_>>();
    assert_eq!((found(&lacks()), lacks().newest), (runs(&[4, 3, 2, 1, 0]), None), "into a store that has none, all, oldest first");
    pair.copy(&points[3]).unwrap();
    assert_eq!(found(&lacks()), runs(&[2, 1, 0]), "the oldest one may have gone there on purpose");
    assert_eq!(
        lacks().points[0].bytes,
        (points[2].content().len() + points[2].sidecar().rsplit('/').next().unwrap().len() - 7 + 64 + 3) as u64
    );
    // Nor what can not be read, and nor a run that was ruled out and has no restore point.
    std::fs::write(pair.folder.path().join("가까이").join(manifest_key(&pipeline(), &points[1].run)), "{}").unwrap();
    lease::rule_out(&pair.from, &pipeline(), &run(0)).unwrap();
    let lacks = lacks();
    assert_eq!((found(&lacks), lacks.unfit.len(), &lacks.unfit[0].0), (runs(&[2, 0]), 1, &points[1].run));
}
