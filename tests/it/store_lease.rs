//! Leases on real stores: one holder at a time, and none that was overtaken commits. The "hosts" of these tests are holders with names,
//! process ids and clocks of their own, so that nothing is known of them but what the store says.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use jiff::{Span, Timestamp};
use runner::ids::{PipelineName, RunId};
use runner::store::commit::{commit, points};
use runner::store::lease::{self, Fate, Held, Holder, LeaseError, State, Terms, acquire, lease_key, rule_out, settle};
use runner::store::manifest::{Manifest, manifest_key};
use runner::store::{Expect, ObjectStore, PutOptions, StoreError};
use runner::stream::Cancel;

use crate::servers::faulty_s3::{Fault, FaultyS3, rule};
use crate::servers::seaweed::{Client, S3Server, spec};
use crate::store_conformance::{Pattern, Subject, local, seaweed};

const SECOND: Duration = Duration::from_secs(1);

fn pipeline() -> PipelineName {
    PipelineName::new("주문-야간").unwrap()
}

fn terms(wait: Duration) -> Terms {
    Terms { ttl: SECOND, wait, ..Terms::of(pipeline()) }
}

static DRAWN: AtomicU32 = AtomicU32::new(1);

/// A fresh run.
fn run() -> RunId {
    let [_, a, b, c] = DRAWN.fetch_add(1, Ordering::SeqCst).to_be_bytes();
    RunId::starting(Timestamp::now(), [a, b, c])
}

/// A holder on another host, whose clock is so many minutes off.
fn host(name: &str, minutes: i64) -> Holder {
    let since = Timestamp::now() + Span::new().minutes(minutes);
    Holder { pipeline: pipeline(), run: run(), host: name.to_owned(), pid: 4242, since, process: None }
}

fn take(store: &Arc<dyn ObjectStore>, holder: &Holder, wait: Duration) -> Result<Held, LeaseError> {
    acquire(store, &terms(wait), holder, &Cancel::new(), &|_| {})
}

fn now(store: &dyn ObjectStore) -> lease::Record {
    lease::read(store, &pipeline()).unwrap().unwrap().0
}

const SHA: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The manifest of a run that stored one small object.
fn manifest(run: &RunId, key: &str, token: u64) -> Manifest {
    let at = Timestamp::now();
    let json = serde_json::json!({
        "version": 1, "run": run, "pipeline": pipeline(), "source_sha256": SHA, "git_commit": null, "runner": "0.1.0", "host": "db1",
        "started": at, "committed": at, "level": "stored", "timings": {}, "fences": { "vault": token },
        "artifacts": [{
            "step": "upload", "store": "vault", "started": at, "finished": at,
            "object": { "key": key, "bytes": 4, "sha256": SHA },
            "origin": { "kind": "dump", "format": "custom", "connection": "orders", "database": "주문", "server_version": 150_018,
                        "system_identifier": null, "tool": "pg_dump (PostgreSQL) 15.18", "bytes": 4 },
            "stages": [],
        }],
    });
    serde_json::from_value(json).unwrap()
}

fn store_object(held: &Held, run: &RunId) -> String {
    let key = format!("주문/{run}.dump");
    held.note(&key).unwrap();
    held.store().put_bytes(&key, b"dump", &PutOptions::default()).unwrap();
    key
}

fn keys(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    store.list(prefix).unwrap().into_iter().map(|object| object.key).collect()
}

macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod on_a_folder {
            $(#[test] fn $test() { super::$test(&super::local()); })*
        }
        mod on_seaweed {
            $(#[test] fn $test() { super::$test(&super::seaweed()); })*
        }
    };
}

on_both![
    a_lease_has_one_holder_and_its_token_only_grows,
    a_holder_that_shows_life_is_named_and_waited_for,
    a_holder_without_life_is_overtaken_whatever_its_clock_said_and_commits_nothing,
    a_dead_process_of_this_host_is_overtaken_at_once,
    a_commit_and_whoever_rules_it_out_never_both_win,
    what_a_dead_run_left_is_removed_as_far_as_it_is_proven,
    a_lease_that_was_removed_or_damaged_is_told,
];

fn a_lease_has_one_holder_and_its_token_only_grows(subject: &Subject) {
    let store = &subject.store;
    for token in 1..4 {
        let me = host("db1", 0);
        let held = take(store, &me, Duration::ZERO).unwrap();
        assert_eq!((held.token(), now(&**store).holder), (token, me));
        let key = store_object(&held, &now(&**store).holder.run);
        let stored = held.commit(&manifest(&now(&**store).holder.run, &key, held.token())).unwrap();
        assert!(stored.key.ends_with(".manifest.json"));
        held.release().unwrap();
        let record = now(&**store);
        assert_eq!((record.state, record.token, record.runs), (State::Free, token, vec![]));
        assert!(matches!(held.confirm(), Err(StoreError::Lost { .. })), "what was let go of is not renewed");
    }
    assert_eq!(points(&**store, &pipeline()).unwrap().len(), 3);
    assert_eq!(keys(&**store, lease::PREFIX), [lease_key(&pipeline())]);
}

fn a_holder_that_shows_life_is_named_and_waited_for(subject: &Subject) {
    let store = &subject.store;
    let first = host("db1", 0);
    let held = take(store, &first, Duration::ZERO).unwrap();
    std::thread::scope(|scope| {
        let (held, first) = (&held, &first);
        let impatient = scope.spawn(move || take(store, &host("db2", 0), Duration::ZERO).err());
        let patient = scope.spawn(move || take(store, &host("db3", 0), Duration::from_secs(20)).map(|held| held.token()));
        let until = Instant::now() + SECOND * 3;
        while Instant::now() < until {
            std::thread::sleep(SECOND / 4);
            held.confirm().unwrap();
        }
        let refused = impatient.join().unwrap().unwrap();
        assert!(matches!(&refused, LeaseError::Taken { holder, .. } if **holder == *first), "{refused}");
        for word in ["`주문-야간`", "db1", "process 4242", first.run.as_str()] {
            assert!(refused.to_string().contains(word), "{word} is missing in: {refused}");
        }
        assert!(!patient.is_finished());
        held.release().unwrap();
        assert_eq!(patient.join().unwrap().unwrap(), 2);
    });
}

fn a_holder_without_life_is_overtaken_whatever_its_clock_said_and_commits_nothing(subject: &Subject) {
    let store = &subject.store;
    for (round, minutes) in [-10, 10, 0].into_iter().enumerate() {
        let paused = host("db1", minutes);
        let held = take(store, &paused, SECOND * 20).unwrap();
        let key = store_object(&held, &paused.run);
        let began = Instant::now();
        let other = take(store, &host("db2", -minutes), Duration::ZERO).unwrap();
        assert!(began.elapsed() >= SECOND, "it was waited for: {:?}", began.elapsed());
        assert!(other.token() > held.token());
        let told = settle(&other);
        assert!(told.iter().any(|words| words.contains(&key)), "{told:?}");
        // The first one is revived.
        let error = held.commit(&manifest(&paused.run, &key, held.token())).unwrap_err();
        assert!(matches!(&error, StoreError::Lost { detail, .. } if detail.contains("took it over")), "{error}");
        assert!(matches!(held.check(), Err(StoreError::Lost { .. })));
        let run = now(&**store).holder.run;
        let key = store_object(&other, &run);
        other.commit(&manifest(&run, &key, other.token())).unwrap();
        other.release().unwrap();
        let committed: Vec<RunId> = points(&**store, &pipeline()).unwrap().into_iter().map(|point| point.run).collect();
        assert_eq!((committed.len(), committed.contains(&paused.run)), (round + 1, false));
    }
}

fn a_dead_process_of_this_host_is_overtaken_at_once(subject: &Subject) {
    let store = &subject.store;
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let dead = Holder { pid: child.id(), ..Holder::here(pipeline(), run(), "here".to_owned()) };
    let terms = Terms { ttl: SECOND * 60, ..terms(Duration::ZERO) };
    drop(acquire(store, &terms, &dead, &Cancel::new(), &|_| {}).unwrap());
    let (began, told) = (Instant::now(), Mutex::new(String::new()));
    let me = Holder::here(pipeline(), run(), "here".to_owned());
    let held = acquire(store, &terms, &me, &Cancel::new(), &|words| told.lock().unwrap().push_str(words)).unwrap();
    assert!(began.elapsed() < SECOND * 10, "{:?}", began.elapsed());
    assert!(told.lock().unwrap().contains("its process is dead"), "{}", told.lock().unwrap());
    // This process lives: another one of it waits, and is stopped when that is asked for.
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| acquire(store, &terms, &host("db2", 0), &cancel, &|_| {}).err());
        std::thread::sleep(SECOND);
        cancel.cancel("SIGTERM", false);
        assert!(matches!(waiting.join().unwrap(), Some(LeaseError::Stopped(_))));
    });
    held.release().unwrap();
}

fn a_commit_and_whoever_rules_it_out_never_both_win(subject: &Subject) {
    let store = &*subject.store;
    let (committed, ruled_out) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for _ in 0..24 {
        let (run, barrier) = (run(), Barrier::new(3));
        let fates = std::thread::scope(|scope| {
            let decide = || {
                barrier.wait();
                rule_out(store, &pipeline(), &run).unwrap()
            };
            let takers = [scope.spawn(decide), scope.spawn(decide)];
            barrier.wait();
            let ours = commit(store, &manifest(&run, "주문/x.dump", 1));
            takers.map(|taker| (taker.join().unwrap(), ours.is_ok()))
        });
        for (fate, ours) in fates {
            assert_eq!(fate == Fate::Committed, ours, "one of them is there, and everybody sees the same");
        }
        let there = points(store, &pipeline()).unwrap().iter().any(|point| point.run == run);
        assert_eq!(there, fates[0].1);
        if there { &committed } else { &ruled_out }.fetch_add(1, Ordering::SeqCst);
        store.delete(&manifest_key(&pipeline(), &run)).unwrap();
    }
    assert_eq!(committed.into_inner() + ruled_out.into_inner(), 24);
}

fn what_a_dead_run_left_is_removed_as_far_as_it_is_proven(subject: &Subject) {
    let store = &subject.store;
    // One that committed and was killed before it let go.
    let first = host("db1", 0);
    let held = take(store, &first, Duration::ZERO).unwrap();
    let kept = store_object(&held, &first.run);
    held.commit(&manifest(&first.run, &kept, held.token())).unwrap();
    drop(held);
    // One that was killed before its commit, in the middle of its second object, with a third whose name proves nothing.
    let second = host("db2", 0);
    let held = take(store, &second, Duration::ZERO).unwrap();
    assert_eq!(settle(&held), Vec::<String>::new(), "what a restore point names is no orphan");
    let orphan = store_object(&held, &second.run);
    let unproven = "주문/latest.dump";
    held.note(unproven).unwrap();
    store.put_bytes(unproven, b"dump", &PutOptions::default()).unwrap();
    drop(held);
    // Somebody else's, of which nobody noted anything.
    let strange = format!("주문/{}.dump", run());
    store.put_bytes(&strange, b"dump", &PutOptions::default()).unwrap();
    let held = take(store, &host("db3", 0), Duration::ZERO).unwrap();
    let told = settle(&held);
    assert!(told.iter().any(|words| words.contains("removed an object") && words.contains(&orphan)), "{told:?}");
    assert!(told.iter().any(|words| words.contains(unproven) && words.contains("left")), "{told:?}");
    let mut expected = vec![kept, strange, unproven.to_owned()];
    expected.sort();
    assert_eq!(keys(&**store, "주문/"), expected);
    // A request of the dead run that was still on its way arrives: the next run finds it.
    store.put_bytes(&orphan, b"dump", &PutOptions::default()).unwrap();
    held.release().unwrap();
    let held = take(store, &host("db4", 0), Duration::ZERO).unwrap();
    assert_eq!(settle(&held).len(), 1);
    assert_eq!(keys(&**store, "주문/"), expected);
    held.release().unwrap();
    let held = take(store, &host("db5", 0), Duration::ZERO).unwrap();
    assert_eq!((settle(&held), now(&**store).runs.len()), (vec![], 1), "and then it is forgotten");
    assert_eq!(points(&**store, &pipeline()).unwrap().into_iter().map(|point| point.run).collect::<Vec<_>>(), [first.run]);
}

fn a_lease_that_was_removed_or_damaged_is_told(subject: &Subject) {
    let store = &subject.store;
    let held = take(store, &host("db1", 0), Duration::ZERO).unwrap();
    store.delete(&lease_key(&pipeline())).unwrap();
    let error = held.confirm().unwrap_err();
    assert!(error.to_string().contains("somebody removed it"), "{error}");
    store.put_bytes(&lease_key(&pipeline()), b"{\"version\": 1", &PutOptions::default()).unwrap();
    let error = take(store, &host("db2", 0), Duration::ZERO).err().unwrap();
    assert!(matches!(error, LeaseError::Unreadable { .. }), "{error}");
}

#[test]
fn a_store_that_ignores_conditions_is_noticed() {
    let (server, client) = (S3Server::rclone(), Client::new());
    let store: Arc<dyn ObjectStore> = Arc::new(client.store(&spec(&server.endpoint())));
    let error = take(&store, &host("db1", 0), Duration::ZERO).err().unwrap();
    assert!(matches!(&error, LeaseError::Unfit { detail, .. } if detail.contains("is ignored")), "{error}");
}

#[test]
fn a_lost_answer_or_a_passing_failure_loses_no_lease() {
    let (server, client) = (S3Server::seaweed(), Client::new());
    let faults = vec![rule("PUT", "runner-leases", 2, Fault::LoseAnswer), rule("PUT", "runner-leases", 2, Fault::Answer(503, "SlowDown"))];
    let proxy = FaultyS3::before(server.address, faults);
    let store: Arc<dyn ObjectStore> = Arc::new(client.store(&spec(&proxy.endpoint())));
    let held = take(&store, &host("db1", 0), Duration::ZERO).unwrap();
    held.confirm().unwrap();
    assert_eq!(held.token(), 1);
    held.release().unwrap();
    // Every answer is lost until the lease has changed without its holder knowing.
    let tag = store.get_tagged(&lease_key(&pipeline()), 10_000).unwrap().1;
    let error = store.put_if(&lease_key(&pipeline()), b"{}", &Expect::Absent).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    assert_eq!(store.get_tagged(&lease_key(&pipeline()), 10_000).unwrap().1, tag);
}

#[test]
fn an_unfinished_upload_of_a_dead_run_is_aborted() {
    let (server, client) = (S3Server::seaweed(), Client::new());
    let store: Arc<dyn ObjectStore> = Arc::new(client.store(&spec(&server.endpoint())));
    let dead = host("db1", 0);
    let held = take(&store, &dead, Duration::ZERO).unwrap();
    let key = format!("주문/{}.dump", dead.run);
    held.note(&key).unwrap();
    let proxy = FaultyS3::before(
        server.address,
        vec![
            rule("DELETE", "uploadId", u32::MAX, Fault::Answer(403, "AccessDenied")),
            rule("PUT", "partNumber=2", u32::MAX, Fault::Answer(403, "AccessDenied")),
        ],
    );
    let failing = client.store(&spec(&proxy.endpoint()));
    let error = failing.put(&key, Pattern::stream(30 << 20), &PutOptions::default(), &Cancel::new(), &|_| {}).unwrap_err();
    assert!(matches!(error, StoreError::Left { .. }), "{error}");
    drop(held);
    let held = take(&store, &host("db2", 0), Duration::ZERO).unwrap();
    let told = settle(&held);
    assert!(told.iter().any(|words| words.contains("an unfinished object")), "{told:?}");
    assert_eq!(store.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new());
}

/// What one host has done in the rounds below.
#[derive(Default)]
struct Tally {
    committed: Mutex<Vec<RunId>>,
    inside: AtomicUsize,
    refused: AtomicUsize,
}

/// One run of a host.
fn one_run(store: &Arc<dyn ObjectStore>, me: &Holder, tally: &Tally) {
    let held = take(store, me, SECOND * 60).unwrap();
    assert_eq!(tally.inside.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
    settle(&held);
    let key = store_object(&held, &me.run);
    held.commit(&manifest(&me.run, &key, held.token())).unwrap();
    tally.committed.lock().unwrap().push(me.run.clone());
    tally.inside.fetch_sub(1, Ordering::SeqCst);
    held.release().unwrap();
}

/// One that is paused before its commit until another host has overtaken it, and then goes on.
fn one_paused_run(store: &Arc<dyn ObjectStore>, me: &Holder, holds: &Barrier, tally: &Tally) {
    let held = take(store, me, SECOND * 60).unwrap();
    let key = store_object(&held, &me.run);
    holds.wait();
    while now(&**store).token == held.token() {
        std::thread::sleep(SECOND / 20);
    }
    assert!(matches!(held.commit(&manifest(&me.run, &key, held.token())), Err(StoreError::Lost { .. })));
    tally.refused.fetch_add(1, Ordering::SeqCst);
    lease::clear_away(&held);
}

#[test]
fn in_two_hundred_rounds_of_two_hosts_each_run_commits_once_and_nothing_is_left() {
    const ROUNDS: usize = 200;
    let (server, clients, tally, barrier) = (S3Server::seaweed(), [Client::new(), Client::new()], Tally::default(), Barrier::new(2));
    std::thread::scope(|scope| {
        for (client, (name, minutes)) in clients.iter().zip([("db0", 10), ("db1", -10)]) {
            let (tally, barrier, endpoint) = (&tally, &barrier, server.endpoint());
            scope.spawn(move || {
                let store: Arc<dyn ObjectStore> = Arc::new(client.store(&spec(&endpoint)));
                for round in 0..ROUNDS {
                    barrier.wait();
                    match (round % 20 == 7, name) {
                        (true, "db0") => one_paused_run(&store, &host(name, minutes), barrier, tally),
                        (true, _) => {
                            barrier.wait();
                            one_run(&store, &host(name, minutes), tally);
                        }
                        (false, _) => one_run(&store, &host(name, minutes), tally),
                    }
                }
            });
        }
    });
    let store: Arc<dyn ObjectStore> = Arc::new(clients[0].store(&spec(&server.endpoint())));
    // What a paused run wrote after it was cleared away is found by the two runs after it.
    for _ in 0..2 {
        let held = take(&store, &host("db2", 0), Duration::ZERO).unwrap();
        settle(&held);
        held.release().unwrap();
    }
    let mut committed = tally.committed.into_inner().unwrap();
    assert_eq!((committed.len(), tally.refused.into_inner()), (2 * ROUNDS - ROUNDS / 20, ROUNDS / 20));
    committed.sort();
    let mut found: Vec<RunId> = points(&*store, &pipeline()).unwrap().into_iter().map(|point| point.run).collect();
    found.sort();
    assert_eq!(found, committed, "exactly one commit a run that was told so");
    let mut objects: Vec<String> = committed.iter().map(|run| format!("주문/{run}.dump")).collect();
    objects.sort();
    assert_eq!(keys(&*store, "주문/"), objects, "no object is left or lost");
}
