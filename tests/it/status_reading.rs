//! Reading as much of a store as a status needs: the newest points, a proof further back, words of failed runs; and how little that costs
//! where there are ten thousand points.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use runner::ids::RunId;
use runner::retention::CatalogFacts;
use runner::store::catalog;
use runner::store::ended::{add_ended, ended_key, failed_after};
use runner::store::failed::{End, FailedRun, add_failed, failed_key};
use runner::store::lease::{Fate, rule_out};
use runner::store::local::LocalStore;
use runner::store::manifest::{Level, manifest_key, receipt_key};
use runner::store::recent::{BACK, Recent, TRIED, recent};
use runner::store::spec::S3Spec;
use runner::store::{ObjectStore, PutOptions, sealed};
use tempfile::TempDir;

use crate::servers::faulty_s3::FaultyS3;
use crate::servers::seaweed::{Client, S3Server, spec};
use crate::store_conformance::local_spec;
use crate::store_shelf::{PIPELINE, Point, ago, pipeline, point, run};

/// How many manifests a status reads for their sizes.
const SIZES: usize = 8;

fn shelf() -> (TempDir, LocalStore) {
    let folder = TempDir::new().unwrap();
    let store = LocalStore::open(&local_spec(folder.path())).unwrap();
    (folder, store)
}

fn read(store: &dyn ObjectStore) -> Recent {
    recent(store, &pipeline(), SIZES).unwrap()
}

fn runs(recent: &Recent) -> Vec<RunId> {
    recent.points.iter().map(|point| point.summary.run.clone()).collect()
}

pub(crate) fn word(run: &RunId, error: &str) -> FailedRun {
    FailedRun {
        version: 1,
        run: run.clone(),
        pipeline: pipeline(),
        started: run.started(),
        ended: run.started(),
        host: "db1".to_owned(),
        outcome: End::Failed,
        node: Some(serde_json::from_str("\"dump\"").unwrap()),
        error: error.to_owned(),
    }
}

/// Ten thousand points, one an hour, written as files below a store's root: how fast they are made is not the question.
fn ten_thousand(root: &Path) -> Vec<Point> {
    let points: Vec<Point> = (0..10_000).map(point).collect();
    for point in &points {
        let path = root.join(manifest_key(&pipeline(), &point.run));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, sealed::seal(&point.manifest()).unwrap()).unwrap();
    }
    points
}

/// A receipt, written as a file.
fn receive(root: &Path, point: &Point, level: Level) {
    let at = point.run.started();
    let receipt = serde_json::json!({
        "version": 1, "run": point.run, "pipeline": point.pipeline, "step": "verify", "key": point.key, "level": level, "failure": null,
        "started": at, "finished": at, "server_version": null, "restore_took": null, "database_bytes": null, "tables": [], "checks": [],
    });
    let key = receipt_key(&point.pipeline, &point.run, &"verify".parse().unwrap(), at);
    std::fs::write(root.join(key), sealed::seal(&receipt).unwrap()).unwrap();
}

/// The months in which there are points.
fn months(points: &[Point]) -> usize {
    let mut months: Vec<String> = points.iter().map(|point| point.run.as_str()[..6].to_owned()).collect();
    months.dedup();
    months.len()
}

#[test]
fn ten_thousand_points_cost_fewer_requests_than_they_have_months() {
    let (server, client) = (S3Server::rclone(), Client::new());
    let store_spec: S3Spec = spec(&server.endpoint());
    let points = ten_thousand(&server.bucket().join(&store_spec.prefix));
    let proxy = FaultyS3::before(server.address, Vec::new());
    let found = read(&client.store(&spec(&proxy.endpoint())));
    assert_eq!((runs(&found), found.manifests.len()), (vec![points[0].run.clone()], SIZES));
    // Nothing was ever proven: that is looked for in some months only, and said.
    let since = found.since.unwrap();
    assert!(since > points[9_999].run.started() && since < points[60 * 24].run.started(), "{since}");
    let (all, lists) = (proxy.seen(""), proxy.seen("list-type=2"));
    assert!(lists <= BACK + 1 && all - lists == SIZES, "{all} requests, {lists} of them listings");
    assert!(all < months(&points), "{all} requests for {} months", months(&points));
}

#[test]
fn a_point_that_is_proven_costs_one_receipt_more() {
    let (server, client) = (S3Server::seaweed(), Client::new());
    let direct = client.store(&spec(&server.endpoint()));
    let points: Vec<Point> = (0..12).map(point).collect();
    for (at, point) in points.iter().enumerate() {
        let level = (at == 2).then_some(Level::Proven);
        Point { level, ..point.clone() }.put(&direct);
    }
    let proxy = FaultyS3::before(server.address, Vec::new());
    let found = read(&client.store(&spec(&proxy.endpoint())));
    assert_eq!((runs(&found), found.since), (vec![points[0].run.clone(), points[2].run.clone()], None));
    let (all, lists) = (proxy.seen(""), proxy.seen("list-type=2"));
    assert!(lists <= 3 && all - lists == SIZES + 1, "{all} requests, {lists} of them listings");
}

#[test]
fn ten_thousand_points_of_which_every_one_was_verified_in_vain_are_not_all_read() {
    let (folder, store) = shelf();
    let points = ten_thousand(folder.path());
    for point in &points[..200] {
        receive(folder.path(), point, Level::Restored);
    }
    let found = read(&store);
    assert_eq!((found.points.len(), found.points[0].level()), (TRIED, Some(Level::Restored)));
    assert_eq!(found.since, Some(points[TRIED - 1].run.started()), "how far back was looked");
    // One that was proven further back than that is not called absent, and one that is nearer is found.
    receive(folder.path(), &points[TRIED - 5], Level::Proven);
    let found = read(&store);
    assert_eq!((found.since, found.points.last().unwrap().summary.run.clone()), (None, points[TRIED - 5].run.clone()));
}

#[test]
fn a_proof_of_months_ago_is_found_and_few_points_are_all_read() {
    let (_folder, store) = shelf();
    let (new, old) = (point(1), Point { level: Some(Level::Proven), ..point(24 * 200) });
    let between: Vec<Point> = [40, 80, 120].map(|days| point(24 * days)).into();
    for point in [&new, &old].into_iter().chain(&between) {
        point.put(&store);
    }
    let found = read(&store);
    assert_eq!(runs(&found), [new.run.clone(), old.run.clone()], "the newest and the newest proven");
    assert_eq!((found.manifests.len(), found.since), (5, None));
    assert_eq!(read(&LocalStore::open(&local_spec(Path::new("/tmp/주문-없음"))).unwrap()).points.len(), 0, "an empty store is no error");
}

#[test]
fn the_newest_point_that_can_be_used_is_found_behind_those_that_can_not_and_clocks_may_be_ahead() {
    let (folder, store) = shelf();
    let points: Vec<Point> = [-24 * 40, 1, 2, 3].map(point).into();
    for point in &points {
        point.put(&store);
    }
    let both: Vec<RunId> = points[..2].iter().map(|point| point.run.clone()).collect();
    assert_eq!(runs(&read(&store)), both, "one of a clock that is forty days ahead is read, and hides not the newest");
    for point in &points[..2] {
        std::fs::write(folder.path().join(manifest_key(&pipeline(), &point.run)), "{}").unwrap();
    }
    let found = read(&store);
    assert_eq!(runs(&found), points[..3].iter().map(|point| point.run.clone()).collect::<Vec<_>>());
    assert!(found.points[0].manifest.is_err() && found.points[2].manifest.is_ok());
    assert_eq!(found.manifests.len(), 2);
}

#[test]
fn points_whose_content_was_found_wrong_are_read_down_to_one_that_can_be_used() {
    let (_folder, store) = shelf();
    let points: Vec<Point> = (1..16).map(point).collect();
    for point in &points {
        point.put(&store);
    }
    let damaged = SIZES + 2;
    points[..damaged].iter().for_each(|point| point.condemn(&store));
    let found = read(&store);
    assert_eq!(runs(&found), points[..=damaged].iter().map(|point| point.run.clone()).collect::<Vec<_>>());
    assert!(found.points[damaged - 1].damage().is_some() && found.points[damaged].damage().is_none());
}

#[test]
fn a_point_from_a_clock_that_is_far_ahead_hides_nothing_of_what_is_read() {
    let (_folder, store) = shelf();
    let ahead = Point { level: Some(Level::Proven), ..point(-24 * 365) };
    let points: Vec<Point> = [1, 25].into_iter().map(point).chain([Point { level: Some(Level::Proven), ..point(49) }]).collect();
    points.iter().chain([&ahead]).for_each(|point| point.put(&store));
    runner::store::failed::add_failed(&store, &word(&run(0), "no route")).unwrap();
    let found = read(&store);
    let expected: Vec<RunId> = [&ahead, &points[0], &points[2]].map(|point| point.run.clone()).to_vec();
    assert_eq!((runs(&found), found.failed.len()), (expected, 1));
}

#[test]
fn words_of_failed_runs_and_runs_that_were_ruled_out_are_read_since_the_newest_point() {
    let (folder, store) = shelf();
    point(5).put(&store);
    let [one, two, three] = [1, 2, 3].map(run);
    for run in [&one, &three, &run(9)] {
        add_failed(&store, &word(run, &"가".repeat(5000))).unwrap();
    }
    assert_eq!(rule_out(&store, &pipeline(), &two).unwrap(), Fate::RuledOut);
    // One that failed and was ruled out later tells why.
    rule_out(&store, &pipeline(), &three).unwrap();
    let found = read(&store);
    let told: Vec<(RunId, bool)> = found.failed.iter().map(|failed| (failed.run.clone(), failed.word.is_some())).collect();
    assert_eq!(told, [(one.clone(), true), (two, false), (three.clone(), true)], "and not the one before the newest point");
    let read_back = found.failed[0].word.clone().unwrap().unwrap();
    assert_eq!((read_back.error.chars().count(), read_back.host.as_str()), (2000, "db1"), "a long error is cut");
    // Edited, it is no word; the failure is there all the same.
    let path = folder.path().join(failed_key(&pipeline(), &one));
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace("db1", "db2")).unwrap();
    let found = read(&store);
    assert!(found.failed[0].word.clone().unwrap().unwrap_err().contains("it was edited"), "{:?}", found.failed[0]);
    assert!(add_failed(&store, &word(&three, "another")).is_err(), "nothing there is ever changed");
    let checked = runner::store::check::check(&store, &"vault".parse().unwrap(), &pipeline(), false).unwrap();
    assert_eq!(checked.orphans, [], "none of it is an orphan");
}

#[test]
fn a_run_that_failed_after_its_commit_is_told_beside_its_point_until_it_ended_well() {
    let (folder, store) = shelf();
    let (new, vault) = (point(1), "vault".parse().unwrap());
    for point in [&new, &point(25)] {
        point.put(&store);
    }
    let failed = || CatalogFacts::of(&catalog::read(&store, &pipeline()).unwrap(), &vault, Timestamp::now()).last_run_failed;
    let told = || read(&store).points[0].failed.clone();
    let at = |minutes: i64| ago(0) - SignedDuration::from_mins(minutes);
    let leave = |error: Option<&str>, now| {
        let word = error.map(|error| word(&new.run, error));
        add_ended(&store, (&pipeline(), &new.run), word.as_ref(), now).unwrap()
    };
    assert!(!failed() && told().is_none());
    leave(Some("no route to the copy"), at(10));
    assert!(failed());
    assert_eq!(told().unwrap().unwrap(), word(&new.run, "no route to the copy"));
    // The clock was set back meanwhile: what comes later counts all the same.
    leave(None, at(20));
    assert!(!failed() && told().is_none());
    let last = leave(Some("again"), at(30));
    assert_eq!(told().unwrap().unwrap().error, "again");
    // One that can not be read is no good end, and nobody keeps quiet about it.
    std::fs::write(folder.path().join(&last.key), "{}").unwrap();
    assert!(failed() && told().unwrap().unwrap_err().starts_with(&last.key));
    let checked = runner::store::check::check(&store, &vault, &pipeline(), false).unwrap();
    assert_eq!((checked.orphans.len(), checked.flaws.len(), &checked.flaws[0].key), (0, 1, &last.key));
    // They go with the point. One that comes too late is an orphan until it is forgotten.
    let (beside, _) = catalog::look_again(&store, &pipeline(), &new.run).unwrap();
    assert_eq!(beside.iter().filter(|key| key.contains(".ended-")).count(), 3);
    for key in &beside {
        store.delete(key).unwrap();
    }
    leave(Some("late"), at(0));
    let late = ended_key(&pipeline(), &new.run, at(0));
    let checked = runner::store::check::check(&store, &vault, &pipeline(), false).unwrap();
    assert!(checked.orphans.iter().any(|orphan| orphan.key == late), "{:?}", checked.orphans);
    let facts = CatalogFacts::of(&catalog::read(&store, &pipeline()).unwrap(), &vault, Timestamp::now());
    assert_eq!((facts.strays.len(), facts.strays[0].keys.clone()), (1, vec![late]));
    assert!(failed_after(&store, &pipeline(), &run(25)).unwrap().is_none());
}

#[test]
fn what_was_pruned_is_gone_and_strange_folders_are_passed_over() {
    let (_folder, store) = shelf();
    let (new, old) = (point(1), point(2));
    new.put(&store);
    old.put(&store);
    assert_eq!(runs(&read(&store)), std::slice::from_ref(&new.run));
    store.delete(&manifest_key(&pipeline(), &new.run)).unwrap();
    assert_eq!(runs(&read(&store)), std::slice::from_ref(&old.run));
    // A stranger's folder among the months is passed over.
    store.put_bytes(&format!(".runner/{PIPELINE}/kit-9/README"), b"x", &PutOptions::default()).unwrap();
    store.put_bytes(&format!(".runner/{PIPELINE}/9999-99/x"), b"x", &PutOptions::default()).unwrap();
    assert_eq!(runs(&read(&store)), [old.run]);
}

#[test]
fn a_lease_tells_its_holder_and_when_it_was_renewed() {
    use runner::store::lease::{Holder, Terms, acquire, held, lease_key};
    let (folder, store) = shelf();
    let store: std::sync::Arc<dyn ObjectStore> = std::sync::Arc::new(store);
    assert!(held(&*store, &pipeline()).unwrap().is_none());
    let now = run(0);
    let me = Holder::here(pipeline(), now.clone(), "db1".to_owned());
    let lease = acquire(&store, &Terms::of(pipeline()), &me, &runner::stream::Cancel::new(), &|_| {}).unwrap();
    let (record, renewed) = held(&*store, &pipeline()).unwrap().unwrap();
    assert!(record.holder.run == now && renewed >= ago(0) - SignedDuration::from_mins(1), "{renewed}");
    let file = std::fs::File::open(folder.path().join(lease_key(&pipeline()))).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_hours(3)).unwrap();
    let (_, renewed) = held(&*store, &pipeline()).unwrap().unwrap();
    assert!(renewed < Timestamp::now() - SignedDuration::from_hours(2), "{renewed}");
    lease.release().unwrap();
    assert!(held(&*store, &pipeline()).unwrap().is_none(), "nobody holds it");
}
