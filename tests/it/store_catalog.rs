//! The catalog of a store: everything or an error, marks that only add, damage that is found, and healing that loses nothing.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use runner::ids::RefName;
use runner::store::carry::Watch;
use runner::store::check::{Checked, Damage, check};
use runner::store::claims::Claims;
use runner::store::heal::{Cure, Healing, Remedy, remedy};
use runner::store::kit::VERSION as KIT;
use runner::store::local::LocalStore;
use runner::store::manifest::{Level, manifest_key};
use runner::store::mark::{Author, Wish, add, mark_key};
use runner::store::recall::{self, At, manifest as recalled};
use runner::store::removal::{Doomed, remove};
use runner::store::{Expect, ObjectMeta, ObjectStore, ProbeReport, PutOptions, StoreError, Stored, Tag, catalog};
use runner::stream::{Cancel, Stream};
use tempfile::TempDir;

use crate::store_conformance::local_spec;
use crate::store_shelf::{PIPELINE, Point, keys, of, pipeline, point, run};

fn shelf(hours: &[i64]) -> (TempDir, LocalStore, Vec<Point>) {
    let folder = TempDir::new().unwrap();
    let store = LocalStore::open(&local_spec(folder.path())).unwrap();
    let points: Vec<Point> = hours.iter().map(|hours| point(*hours)).collect();
    for point in &points {
        point.put(&store);
    }
    (folder, store, points)
}

fn wish(store: &dyn ObjectStore, point: &Point, wish: Wish, now: Timestamp) -> Stored {
    let (_, marks) = catalog::look_again(store, &point.pipeline, &point.run).unwrap();
    add(store, (&point.pipeline, &point.run), wish, Author { by: "김", now }, &marks).unwrap()
}

fn tombstone(point: &Point) -> Wish {
    Wish::Tombstone { reason: "no rule keeps it".to_owned(), after: Timestamp::MAX, keys: vec![point.key.clone(), point.sidecar()] }
}

fn vault() -> RefName {
    "vault".parse().unwrap()
}

fn checked(store: &dyn ObjectStore, digests: bool) -> Checked {
    check(store, &vault(), &pipeline(), digests).unwrap()
}

#[test]
fn marks_only_add_and_the_last_word_counts_whatever_the_clocks_say() {
    let (_folder, store, points) = shelf(&[1]);
    let now = Timestamp::now();
    let first = wish(&store, &points[0], tombstone(&points[0]), now);
    assert!(first.key.contains(".tombstone-20"), "{}", first.key);
    // Whoever takes it back has a clock that is ten minutes slow, and has seen the tombstone.
    wish(&store, &points[0], Wish::Undelete { reason: "needed".to_owned() }, now - SignedDuration::from_mins(10));
    let read = catalog::read(&store, &pipeline()).unwrap();
    assert_eq!((read.points.len(), read.points[0].marks.tombstoned.clone()), (1, None));
    wish(&store, &points[0], tombstone(&points[0]), now - SignedDuration::from_mins(10));
    wish(&store, &points[0], Wish::Pin { until: now, reason: "감사".to_owned() }, now);
    let read = catalog::read(&store, &pipeline()).unwrap();
    let marks = &read.points[0].marks;
    assert_eq!(marks.tombstoned.as_ref().unwrap().keys, [points[0].key.clone(), points[0].sidecar()]);
    assert_eq!(marks.pinned.as_ref().map(|pin| (pin.reason.as_str(), pin.by.as_str())), Some(("감사", "김")));
    assert_eq!(of(&store, &points[0].run).len(), 2 + 2 + 4, "nothing was changed or removed");
}

#[test]
fn a_mark_that_was_edited_or_moved_keeps_its_point_and_is_told() {
    let (folder, store, points) = shelf(&[1, 2]);
    let stored = wish(&store, &points[0], tombstone(&points[0]), Timestamp::now());
    let text = std::fs::read_to_string(folder.path().join(&stored.key)).unwrap();
    // Put beside another point, it is about nobody there.
    let moved = stored.key.replace(points[0].run.as_str(), points[1].run.as_str());
    store.put_bytes(&moved, text.as_bytes(), &PutOptions::default()).unwrap();
    std::fs::write(folder.path().join(&stored.key), text.replace("no rule", "a rule")).unwrap();
    let read = catalog::read(&store, &pipeline()).unwrap();
    for point in &read.points {
        assert_eq!((point.marks.tombstoned.clone(), point.marks.unreadable.len()), (None, 1));
    }
    let pin = wish(&store, &points[1], Wish::Pin { until: Timestamp::now(), reason: String::new() }, Timestamp::now());
    std::fs::write(folder.path().join(&pin.key), "{}").unwrap();
    let read = catalog::read(&store, &pipeline()).unwrap();
    assert_eq!(read.points[1].marks.pinned.as_ref().unwrap().until, Timestamp::MAX, "a pin that can not be read pins");
}

#[test]
fn what_is_on_the_way_out_is_restored_only_by_its_id() {
    let (_folder, store, points) = shelf(&[1, 2, 3]);
    wish(&store, &points[0], tombstone(&points[0]), Timestamp::now());
    let found = |at: &At| recalled(&store, &pipeline(), at).map(|manifest| manifest.run);
    assert_eq!(found(&At::Latest).unwrap(), points[1].run);
    assert_eq!(found(&At::Time(Timestamp::now())).unwrap(), points[1].run);
    assert_eq!(found(&At::Run(points[0].run.clone())).unwrap(), points[0].run);
    for point in &points[1..] {
        wish(&store, point, tombstone(point), Timestamp::now());
    }
    let error = found(&At::Latest).unwrap_err().to_string();
    assert!(error.contains("that is not on the way out; the nearest are") && error.contains(points[0].run.as_str()), "{error}");
    wish(&store, &points[2], Wish::Undelete { reason: String::new() }, Timestamp::now());
    assert_eq!(found(&At::Latest).unwrap(), points[2].run);
}

#[test]
fn the_latest_is_not_one_from_a_clock_far_ahead_while_there_is_another() {
    let (_folder, store, points) = shelf(&[-48, 2, 3]);
    let found = |at: &At| {
        recall::recall((&RefName::new("vault").unwrap(), &store), &pipeline(), at, None).map(|found| (found.run, found.passed_over))
    };
    assert_eq!(found(&At::Latest).unwrap(), (points[1].run.clone(), Some(points[0].run.clone())));
    assert_eq!(found(&At::Run(points[0].run.clone())).unwrap(), (points[0].run.clone(), None));
    for point in &points[1..] {
        wish(&store, point, tombstone(point), Timestamp::now());
    }
    assert_eq!(found(&At::Latest).unwrap(), (points[0].run.clone(), None), "the only one is had");
}

/// A store whose listing leaves something out, as one does that answers with a part; and what another host does once it was listed.
struct Forgetful<'a>(&'a LocalStore, &'static str, Mutex<Vec<&'a Point>>);

impl ObjectStore for Forgetful<'_> {
    fn describe(&self) -> String {
        self.0.describe()
    }
    fn is_remote(&self) -> bool {
        true
    }
    fn put(&self, key: &str, body: Stream, options: &PutOptions, cancel: &Cancel, sent: &dyn Fn(u64)) -> Result<Stored, StoreError> {
        self.0.put(key, body, options, cancel, sent)
    }
    fn put_bytes(&self, key: &str, body: &[u8], options: &PutOptions) -> Result<Stored, StoreError> {
        self.0.put_bytes(key, body, options)
    }
    fn get(&self, key: &str, cancel: &Cancel) -> Result<Stream, StoreError> {
        self.0.get(key, cancel)
    }
    fn get_bytes(&self, key: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.0.get_bytes(key, limit)
    }
    fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        self.0.head(key)
    }
    fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        let listed = self.0.list(prefix)?;
        if let Some(pruned) = self.2.lock().unwrap().pop() {
            for key in &of(self.0, &pruned.run) {
                self.0.delete(key).unwrap();
            }
        }
        Ok(listed.into_iter().filter(|object| !object.key.contains(self.1)).collect())
    }
    fn get_tagged(&self, key: &str, limit: u64) -> Result<(Vec<u8>, Tag), StoreError> {
        self.0.get_tagged(key, limit)
    }
    fn put_if(&self, key: &str, body: &[u8], expect: &Expect<'_>) -> Result<Tag, StoreError> {
        self.0.put_if(key, body, expect)
    }
    fn replace(&self, key: &str, body: &[u8], tag: &Tag, options: &PutOptions) -> Result<Tag, StoreError> {
        self.0.replace(key, body, tag, options)
    }
    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.0.delete(key)
    }
    fn sweep(&self, prefix: &str, older_than: Duration) -> Result<Vec<String>, StoreError> {
        self.0.sweep(prefix, older_than)
    }
    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        self.0.free_bytes()
    }
    fn reach(&self) -> Result<(), StoreError> {
        self.0.reach()
    }
    fn probe(&self) -> Result<ProbeReport, StoreError> {
        self.0.probe()
    }
}

#[test]
fn a_listing_that_leaves_a_marked_manifest_out_is_an_error_and_no_half_deleted_point() {
    let (_folder, store, points) = shelf(&[1, 2]);
    wish(&store, &points[0], tombstone(&points[0]), Timestamp::now());
    let error = catalog::read(&Forgetful(&store, ".manifest.json", Mutex::default()), &pipeline()).unwrap_err();
    assert!(matches!(&error, StoreError::Lies { key, .. } if *key == manifest_key(&pipeline(), &points[0].run)), "{error}");
    store.delete(&manifest_key(&pipeline(), &points[0].run)).unwrap();
    let read = catalog::read(&store, &pipeline()).unwrap();
    assert_eq!((read.points.len(), read.remains.len()), (1, 1));
    assert_eq!(read.remains[0].marks.tombstoned.as_ref().unwrap().keys.len(), 2, "what is left to do is known");
}

#[test]
fn points_that_another_host_prunes_while_they_are_read_are_no_error() {
    let (_folder, store, points) = shelf(&[1, 2, 3, 4]);
    let left = |at: &[usize]| at.iter().map(|at| points[*at].run.clone()).collect::<Vec<_>>();
    let runs = |points: &[catalog::Point]| points.iter().map(|point| point.summary.run.clone()).collect::<Vec<_>>();
    let pruning = |point| Forgetful(&store, "nothing", Mutex::new(vec![point]));
    let (found, count) = catalog::newest(&pruning(&points[1]), &pipeline(), usize::MAX).unwrap();
    assert_eq!((runs(&found), count), (left(&[0, 2, 3]), 3));
    let (found, _) = catalog::read_newest(&pruning(&points[2]), &pipeline(), usize::MAX).unwrap();
    assert_eq!(runs(&found.points), left(&[0, 3]));
    // The first listing is that of the pipelines, when nothing is left to prune of this one.
    let store = Forgetful(&store, "nothing", Mutex::new(vec![&points[3], &points[1]]));
    let found = catalog::everything(&store, usize::MAX, &|_| true).unwrap();
    assert_eq!((found.len(), runs(&found[0].1)), (1, left(&[0])));
}

#[test]
fn ten_thousand_points_are_read_with_one_listing() {
    let folder = TempDir::new().unwrap();
    let store = LocalStore::open(&local_spec(folder.path())).unwrap();
    // Written as files: how fast points are made is not the question.
    for hours in 0..10_000 {
        let point = point(hours);
        let path = folder.path().join(manifest_key(&pipeline(), &point.run));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, runner::store::sealed::seal(&point.manifest()).unwrap()).unwrap();
    }
    let started = Instant::now();
    let read = catalog::read(&store, &pipeline()).unwrap();
    let took = started.elapsed();
    assert_eq!(read.points.len(), 10_000);
    assert!(read.points.iter().all(|point| point.level() == Some(Level::Stored)));
    assert!(read.points.windows(2).all(|pair| pair[0].summary.run > pair[1].summary.run));
    // Unoptimised, beside other tests; optimised it is some hundred milliseconds.
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn an_object_that_another_manifest_names_is_not_deleted() {
    let (folder, store, mut points) = shelf(&[1, 2]);
    let shared = Point { pipeline: "다른-팀".parse().unwrap(), run: run(3), ..points[0].clone() };
    shared.put(&store);
    // A manifest that nobody can read any more names what its bytes say.
    let murky = Point { run: run(4), ..points[1].clone() };
    murky.put(&store);
    let path = folder.path().join(manifest_key(&pipeline(), &murky.run));
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replacen("\"version\": 1", "\"version\": 99", 1)).unwrap();
    points.reverse();
    let mut claims = Claims::read(&store).unwrap();
    for point in &points {
        let (beside, _) = catalog::look_again(&store, &pipeline(), &point.run).unwrap();
        let objects = [point.key.clone(), point.sidecar(), format!(".runner/주문-야간/kit-{KIT}/restore.sh")];
        let removed =
            remove(&store, Doomed { pipeline: &pipeline(), run: &point.run, objects: &objects, beside: &beside }, &mut claims).unwrap();
        assert_eq!(removed.deleted[0], manifest_key(&pipeline(), &point.run), "the manifest goes first");
        assert_eq!(removed.shared.len(), 3, "{removed:?}");
    }
    for point in &points {
        assert!(store.head(&point.key).unwrap().is_some() && store.head(&point.sidecar()).unwrap().is_some());
    }
    let kept = keys(&store);
    assert!(kept.iter().any(|key| key.contains(&format!("kit-{KIT}/"))), "{kept:?}");
    let again = Doomed { pipeline: &shared.pipeline, run: &shared.run, objects: std::slice::from_ref(&shared.key), beside: &[] };
    claims.release(&manifest_key(&shared.pipeline, &shared.run));
    assert_eq!(remove(&store, again, &mut claims).unwrap().deleted, [shared.key], "the last one takes it along");
}

#[test]
fn a_check_finds_what_was_removed_cut_and_flipped_and_what_nobody_names() {
    let (folder, store, points) = shelf(&[1, 2, 3, 4]);
    assert_eq!(checked(&store, true).flaws, []);
    let path = |point: &Point| folder.path().join(&point.key);
    store.delete(&points[0].key).unwrap();
    std::fs::write(path(&points[1]), &points[1].content()[..100]).unwrap();
    let mut flipped = points[2].content();
    flipped[500] ^= 1;
    std::fs::write(path(&points[2]), flipped).unwrap();
    let orphan = point(9);
    store.put_bytes(&orphan.key, b"x", &PutOptions::default()).unwrap();
    store.put_bytes("주문-야간/notes.txt", b"x", &PutOptions::default()).unwrap();

    let by_size = checked(&store, false);
    let found: Vec<(&str, &Damage)> = by_size.flaws.iter().map(|flaw| (flaw.key.as_str(), &flaw.damage)).collect();
    let size = points[1].content().len() as u64;
    assert_eq!(found, [(points[0].key.as_str(), &Damage::Missing), (points[1].key.as_str(), &Damage::Size { expected: size, found: 100 })]);
    let orphans: Vec<&str> = by_size.orphans.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(orphans, [orphan.key.as_str()], "only what looks like a point's object");
    let by_digest = checked(&store, true);
    assert_eq!(by_digest.flaws.len(), 3);
    assert!(matches!(&by_digest.flaws[2].damage, Damage::Content { detail } if detail.contains("the digest")), "{:?}", by_digest.flaws[2]);
    std::fs::write(folder.path().join(manifest_key(&pipeline(), &points[3].run)), "{}").unwrap();
    assert!(checked(&store, false).flaws.iter().any(|flaw| matches!(flaw.damage, Damage::Record { .. })));
    assert_eq!(points[0].key, format!("{PIPELINE}/{}.dump", points[0].run));
}

fn heal(from: &dyn ObjectStore, to: &dyn ObjectStore, cure: &Cure) -> Result<(), StoreError> {
    Healing { from, to, pipeline: &pipeline(), lease: None, watch: Watch::unwatched(&Cancel::new()) }.heal(cure)
}

#[test]
fn a_check_finds_what_nobody_names_though_no_point_is_left_that_looks_like_it() {
    let (_folder, store, points) = shelf(&[1]);
    Point { pipeline: "다른-팀".parse().unwrap(), ..point(3) }.put(&store);
    let (left, elsewhere) = (format!("옛날/{}.sql.gz", run(9)), format!("다른-팀/{}.sql.gz", run(9)));
    let aside = format!("{}{}-1", runner::store::heal::aside(&pipeline()), run(9));
    for key in [&left, &elsewhere, &aside] {
        store.put_bytes(key, b"x", &PutOptions::default()).unwrap();
    }
    store.delete(&manifest_key(&pipeline(), &points[0].run)).unwrap();
    let found = checked(&store, false);
    let mut orphans: Vec<&str> = found.orphans.iter().map(|object| object.key.as_str()).collect();
    orphans.retain(|key| !key.ends_with(".recipe.txt"));
    let (dump, digest) = (points[0].key.clone(), points[0].sidecar());
    assert_eq!((found.points, orphans), (0, vec![&*left, &*dump, &*digest, &*aside]));
}

#[test]
fn what_is_healed_of_a_point_that_was_pruned_meanwhile_goes_again() {
    let ((folder, store, points), mirror) = (shelf(&[1]), TempDir::new().unwrap());
    let other = LocalStore::open(&local_spec(mirror.path())).unwrap();
    points[0].put(&other);
    std::fs::remove_file(folder.path().join(&points[0].key)).unwrap();
    let Remedy::Copy(cure) = remedy(&other, checked(&store, false).flaws.remove(0)).unwrap() else { panic!("it is there") };
    let manifest = manifest_key(&pipeline(), &points[0].run);
    // Pruned while it is read back.
    let cancel = Cancel::new();
    let watch = Watch { read: &|_| store.delete(&manifest).unwrap(), ..Watch::unwatched(&cancel) };
    let error = Healing { from: &other, to: &store, pipeline: &pipeline(), lease: None, watch }.heal(&cure).unwrap_err();
    assert!(matches!(&error, StoreError::Missing { key, .. } if *key == manifest), "{error}");
    assert_eq!(store.head(&points[0].key).unwrap(), None);
    let error = heal(&other, &store, &cure).unwrap_err();
    assert!(matches!(&error, StoreError::Missing { key, .. } if *key == manifest), "{error}");
}

#[test]
fn a_point_that_lost_its_manifest_is_told_from_one_that_was_let_go() {
    let ((folder, store, points), mirror) = (shelf(&[1, 2, 3, 4, 5]), TempDir::new().unwrap());
    let other = LocalStore::open(&local_spec(mirror.path())).unwrap();
    for point in points.iter().chain([&point(6)]) {
        point.put(&other);
    }
    let manifest = |point: &Point| manifest_key(&pipeline(), &point.run);
    store.delete(&manifest(&points[0])).unwrap();
    std::fs::write(folder.path().join(manifest(&points[1])), "{}").unwrap();
    // A deletion that goes on, and one that is over; the sixth was never there, and on the way out is the fifth.
    wish(&store, &points[2], tombstone(&points[2]), Timestamp::now());
    store.delete(&manifest(&points[2])).unwrap();
    for key in of(&store, &points[3].run) {
        store.delete(&key).unwrap();
    }
    wish(&other, &points[4], tombstone(&points[4]), Timestamp::now());
    store.delete(&manifest(&points[4])).unwrap();
    let vault: RefName = "vault".parse().unwrap();
    let unusable = [points[1].run.clone()].into();
    let found = runner::store::lost::lost((&other, &vault), &store, &pipeline(), &unusable).unwrap();
    let found: Vec<_> = found.into_iter().map(|lost| (lost.manifest.run, lost.damaged)).collect();
    assert_eq!(found, [(points[1].run.clone(), true), (points[0].run.clone(), false)]);
}

#[test]
fn healing_copies_what_is_good_elsewhere_and_deletes_nothing_before_it_is_verified() {
    let ((folder, store, points), mirror) = (shelf(&[1, 2, 3, 4]), TempDir::new().unwrap());
    let other = LocalStore::open(&local_spec(mirror.path())).unwrap();
    for point in &points {
        point.put(&other);
    }
    let path = |folder: &TempDir, point: &Point| folder.path().join(&point.key);
    std::fs::remove_file(path(&folder, &points[0])).unwrap();
    std::fs::write(path(&folder, &points[1]), "short").unwrap();
    let flip = |folder: &TempDir, point: &Point| {
        let mut bytes = point.content();
        bytes[700] ^= 4;
        std::fs::write(path(folder, point), bytes).unwrap();
    };
    flip(&folder, &points[2]);
    // Both copies of this one are bad.
    flip(&folder, &points[3]);
    flip(&mirror, &points[3]);
    std::fs::remove_file(folder.path().join(points[0].sidecar())).unwrap();
    let flaws = checked(&store, true).flaws;
    assert_eq!(flaws.len(), 5, "{flaws:?}");
    let mut failed = Vec::new();
    for flaw in flaws {
        let Remedy::Copy(cure) = remedy(&other, flaw).unwrap() else { panic!("the other store keeps all of them") };
        failed.extend(heal(&other, &store, &cure).err().map(|error| (cure.named.key, error.to_string())));
    }
    let [(key, why)] = &failed[..] else { panic!("{failed:?}") };
    assert!(*key == points[3].key && why.contains("the digest"), "{why}");
    assert!(path(&folder, &points[3]).exists(), "what could not be healed is not deleted either");
    let left = checked(&store, true).flaws;
    assert_eq!(left.iter().map(|flaw| &flaw.key).collect::<Vec<_>>(), [&points[3].key]);
    assert_eq!(keys(&store).iter().filter(|key| key.contains("healing")).count(), 0, "no copy is left aside");
}

#[test]
fn keys_of_marks_lie_beside_the_manifest() {
    let at = "2026-11-20T02:17:00.5Z".parse().unwrap();
    let run = "20261120T021700Z-4f3a9c".parse().unwrap();
    let key = mark_key(&pipeline(), &run, runner::store::mark::Kind::Tombstone, at);
    assert_eq!(key, ".runner/주문-야간/2026-11/20261120T021700Z-4f3a9c.tombstone-20261120T021700.500000Z.json");
}
