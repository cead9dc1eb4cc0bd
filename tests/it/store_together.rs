//! Runs that commit to several stores: one decision for all of them, wherever the run was killed.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use runner::ids::{PipelineName, RefName, RunId};
use runner::store::commit::{points, read_manifest};
use runner::store::lease::{self, Fate, Held, Holder, Terms, acquire, rule_out, settle};
use runner::store::manifest::{Manifest, manifest_key};
use runner::store::{ObjectStore, PutOptions, StoreError};
use runner::stream::Cancel;
use rustix::process::Signal;

use crate::apply_support::{Bench, NAME, keys as keys_of, shop};
use crate::servers::faulty_s3::{Fault, FaultyS3, rule};
use crate::servers::seaweed::{ACCESS_KEY, BUCKET, Client, S3Server, SECRET_KEY, spec};
use crate::store_conformance::{Subject, local};

const SHA: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn pipeline() -> PipelineName {
    PipelineName::new("주문-야간").unwrap()
}

fn name(text: &str) -> RefName {
    RefName::new(text).unwrap()
}

fn host(pipeline: PipelineName, number: u8) -> Holder {
    let run = RunId::starting(Timestamp::now(), [0, 0, number]);
    Holder { pipeline, run, host: format!("db{number}"), pid: 4242, since: Timestamp::now(), process: None }
}

/// Two stores, and what the runs here do with them.
struct Pair([Subject; 2]);

impl Pair {
    fn new() -> Self {
        Self([local(), local()])
    }

    fn stores(&self) -> BTreeMap<RefName, Arc<dyn ObjectStore>> {
        ["vault", "offsite"].into_iter().map(name).zip(self.0.iter().map(|subject| Arc::clone(&subject.store))).collect()
    }

    fn here(&self) -> &dyn ObjectStore {
        &*self.0[0].store
    }

    fn there(&self) -> &dyn ObjectStore {
        &*self.0[1].store
    }

    /// The lease of one of them.
    fn one(&self, at: usize, me: &Holder) -> Held {
        let terms = Terms { ttl: Duration::from_secs(1), ..Terms::of(pipeline()) };
        acquire(&self.0[at].store, &terms, me, &Cancel::new(), &|_| {}).unwrap()
    }

    /// The leases of both, in the hands of a run that commits to both.
    fn both(&self, me: &Holder) -> [Held; 2] {
        let stores = self.stores();
        let held = [self.one(0, me), self.one(1, me)];
        for held in &held {
            held.among(&stores, &stores.keys().cloned().collect()).unwrap();
        }
        held
    }

    /// A run that has stored its objects in both and committed in neither.
    fn stored(&self, number: u8) -> ([Held; 2], Manifest) {
        let me = host(pipeline(), number);
        let held = self.both(&me);
        for held in &held {
            let key = key(&me.run);
            held.note(&key).unwrap();
            held.store().put_bytes(&key, b"dump", &PutOptions::default()).unwrap();
        }
        let at = Timestamp::now();
        let artifact = |store: &str| {
            serde_json::json!({
                "step": store, "store": store, "started": at, "finished": at,
                "object": { "key": key(&me.run), "bytes": 4, "sha256": SHA },
                "origin": { "kind": "dump", "format": "custom", "connection": "orders", "database": "주문", "server_version": 150_018,
                            "system_identifier": null, "tool": "pg_dump (PostgreSQL) 15.18", "bytes": 4 },
                "stages": [],
            })
        };
        let json = serde_json::json!({
            "version": 1, "run": me.run, "pipeline": pipeline(), "source_sha256": SHA, "git_commit": null, "runner": "0.1.0", "host": "db1",
            "started": at, "committed": at, "level": "stored", "timings": {}, "fences": {},
            "artifacts": [artifact("vault"), artifact("offsite")],
        });
        (held, serde_json::from_value(json).unwrap())
    }

    /// Whether each has a restore point of the run, and its object.
    fn has(&self, run: &RunId) -> [(bool, bool); 2] {
        [self.here(), self.there()].map(|store| {
            let committed = points(store, &pipeline()).unwrap().iter().any(|point| point.run == *run);
            (committed, store.head(&key(run)).unwrap().is_some())
        })
    }
}

fn key(run: &RunId) -> String {
    format!("주문/{run}.dump")
}

fn unsettled(store: &dyn ObjectStore) -> Vec<RunId> {
    lease::read(store, &pipeline()).unwrap().unwrap().0.runs.into_iter().map(|entry| entry.run).collect()
}

#[test]
fn a_commit_that_reached_one_of_two_stores_is_finished_by_the_next_run() {
    let pair = Pair::new();
    let ([here, there], manifest) = pair.stored(1);
    here.commit(&manifest).unwrap();
    drop((here, there));
    // Whoever has only the other store can not know: a run of another pipeline in the same group, and a command that takes one lease.
    for (number, pipeline) in [(2, PipelineName::new("배송").unwrap()), (3, pipeline())] {
        let held = pair.one(1, &host(pipeline, number));
        assert_eq!(settle(&held), Vec::<String>::new());
        assert_eq!(pair.has(&manifest.run), [(true, true), (false, true)]);
        assert!(unsettled(pair.there()).contains(&manifest.run), "it stays noted");
        held.release().unwrap();
    }
    let next = host(pipeline(), 4);
    let held = pair.both(&next);
    let told: Vec<Vec<String>> = held.iter().map(settle).collect();
    assert_eq!(told[0], Vec::<String>::new(), "it has committed there");
    assert!(matches!(&told[1][..], [words] if words.contains("was stopped between its commits")), "{told:?}");
    assert_eq!(pair.has(&manifest.run), [(true, true), (true, true)]);
    let read = |store: &dyn ObjectStore| store.get_bytes(&manifest_key(&pipeline(), &manifest.run), 1 << 20).unwrap();
    assert_eq!(read(pair.here()), read(pair.there()), "the very same commit");
    assert_eq!(read_manifest(&read(pair.there())).unwrap(), manifest);
    assert_eq!([unsettled(pair.here()), unsettled(pair.there())], [vec![next.run.clone()], vec![next.run]], "nothing else is unsettled");
}

#[test]
fn a_run_that_committed_nowhere_is_ruled_out_everywhere_before_anything_of_it_goes() {
    let pair = Pair::new();
    let (dead, manifest) = pair.stored(1);
    let held = pair.both(&host(pipeline(), 2));
    assert!(settle(&held[0]).concat().contains("removed an object"));
    assert_eq!(pair.has(&manifest.run), [(false, false), (false, true)]);
    assert_eq!(rule_out(pair.there(), &pipeline(), &manifest.run).unwrap(), Fate::RuledOut, "there too, before that");
    for dead in &dead {
        assert!(matches!(dead.commit(&manifest), Err(StoreError::Lost { .. })), "it commits in neither");
    }
    assert!(settle(&held[1]).concat().contains("removed an object"));
    assert_eq!(pair.has(&manifest.run), [(false, false), (false, false)]);
}

#[test]
fn a_run_that_was_ruled_out_in_one_store_while_it_committed_in_another_has_committed() {
    let pair = Pair::new();
    let ([here, there], manifest) = pair.stored(1);
    assert_eq!(rule_out(pair.here(), &pipeline(), &manifest.run).unwrap(), Fate::RuledOut);
    there.commit(&manifest).unwrap();
    drop((here, there));
    let held = pair.both(&host(pipeline(), 2));
    for held in &held {
        settle(held);
    }
    assert_eq!(pair.has(&manifest.run), [(true, true), (true, true)]);
}

#[test]
fn a_pipeline_that_has_other_stores_now_removes_nothing_and_says_what_is_left() {
    let pair = Pair::new();
    let ([here, there], manifest) = pair.stored(1);
    here.commit(&manifest).unwrap();
    drop((here, there));
    let held = pair.one(1, &host(pipeline(), 2));
    let only: BTreeMap<_, _> = pair.stores().into_iter().filter(|(store, _)| *store == name("offsite")).collect();
    held.among(&only, &BTreeSet::from([name("offsite")])).unwrap();
    let told = settle(&held).concat();
    assert!(told.contains("this pipeline has other stores now") && told.contains(&key(&manifest.run)), "{told}");
    assert_eq!(pair.has(&manifest.run), [(true, true), (false, true)]);
    assert!(!unsettled(pair.there()).contains(&manifest.run), "it is told once");
}

#[test]
fn a_commit_is_not_finished_over_an_object_that_is_gone() {
    let pair = Pair::new();
    let ([here, there], manifest) = pair.stored(1);
    here.commit(&manifest).unwrap();
    pair.there().delete(&key(&manifest.run)).unwrap();
    drop((here, there));
    let held = pair.both(&host(pipeline(), 2));
    let told: Vec<String> = held.iter().flat_map(settle).collect();
    assert!(matches!(&told[..], [words] if words.contains("can not be committed here") && words.contains("is no longer in")), "{told:?}");
    assert_eq!(pair.has(&manifest.run), [(true, true), (false, false)]);
}

#[test]
fn a_run_that_lost_one_lease_between_its_commits_removes_nothing_itself() {
    let pair = Pair::new();
    let ([here, there], manifest) = pair.stored(1);
    here.commit(&manifest).unwrap();
    let other = pair.one(1, &host(PipelineName::new("배송").unwrap(), 2));
    assert!(matches!(there.commit(&manifest), Err(StoreError::Lost { .. })));
    assert_eq!(lease::clear_away(&there), Vec::<String>::new());
    assert_eq!(pair.has(&manifest.run), [(true, true), (false, true)]);
    drop(other);
}

/// A run that is killed when one store has its commit and the other is just about to get it: no event lies between the two.
#[test]
fn apply_that_is_killed_between_two_commits_is_finished_by_the_next_run() {
    let (mut bench, server, weed, client) = (Bench::new(), shop(1), S3Server::seaweed(), Client::new());
    bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let proxy = FaultyS3::before(weed.address, vec![rule("PUT", "manifest.json", 1, Fault::Hang)]);
    let pass = |endpoint: &str| {
        let steps = format!(
            "  zone: {{ s3: {{ bucket: {BUCKET}, prefix: 팀/백업, endpoint: \"{endpoint}\", path_style: true, region: ap-northeast-2 }} }}
concurrency: {{ ttl: 2s }}
steps:
  - {{ id: dump, uses: dump, with: {{ connection: shop }} }}
  - {{ id: here, uses: upload, needs: [dump], with: {{ store: vault, key: \"{{{{ run.id }}}}.dump\" }} }}
  - {{ id: again, uses: dump, with: {{ connection: shop }} }}
  - {{ id: there, uses: upload, needs: [again], with: {{ store: zone, key: \"{{{{ run.id }}}}.again\" }} }}
"
        );
        bench.pipeline(&server, &steps);
    };
    pass(&proxy.endpoint());
    let mut first = bench.start();
    let committed = || bench.path("store").is_dir() && bench.points().len() == 1;
    first.wait_until("the commit in the first store", |_| committed());
    std::thread::sleep(Duration::from_millis(300));
    first.signal(Signal::KILL);
    first.end();
    let direct = client.store(&spec(&weed.endpoint()));
    let there = || points(&direct, &NAME.parse().unwrap()).unwrap();
    assert_eq!((bench.points().len(), there().len()), (1, 0), "it was killed between its commits");
    let killed = bench.points().remove(0);
    bench.apply().is(0, &["was stopped between its commits"]);
    let runs = |points: Vec<runner::store::commit::PointSummary>| points.into_iter().map(|point| point.run).collect::<Vec<_>>();
    assert_eq!(runs(bench.points()), runs(there()));
    assert!(bench.points().len() == 2 && there().contains(&killed));
    let is_dump = |key: &String| std::path::Path::new(key).extension().is_some_and(|end| end == "again");
    let kept = keys_of(&direct).iter().filter(|key| is_dump(key)).count();
    assert_eq!(kept, 2, "nothing that a manifest names was removed");
    bench.run(&["catalog", "check", "pipeline.yaml"]).is(0, &[]);
    bench.is_clean();
}
