//! `kill -9` behind every event of an `apply`: what goes on afterwards ends as an undisturbed run does, and what starts anew leaves nothing
//! of the dead behind and takes nothing that is protected.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use runner::ids::RunId;
use runner::store::ObjectStore;
use runner::store::commit::{level, points, read_manifest, receipts};
use runner::store::manifest::Level;
use runner::store::s3::S3Store;
use serde_json::Value;

use crate::apply_support::{Bench, NAME, Ran, fill, keys};
use crate::servers::postgres::TestServer;
use crate::servers::seaweed::{ACCESS_KEY, BUCKET, Client, S3Server, SECRET_KEY, spec};

/// Two dumps into two stores, the globals, and what follows; `@verify` may stand for a verification.
const STEPS: &str = "
concurrency: { ttl: 2s }
defaults: { retry: { attempts: 1 } }
steps:
  - { id: dump, uses: dump, needs: [], with: { connection: shop } }
  - { id: zip, uses: compress, with: { codec: zstd, level: 1 } }
  - { id: sum, uses: checksum }
  - { id: keep, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump.zst\" } }
  - { id: 사본, uses: dump, needs: [], with: { connection: shop } }
  - { id: away, uses: upload, with: { store: cloud, key: \"{{ run.id }}.dump\" } }
  - { id: roles, uses: globals, needs: [], with: { connection: shop } }
  - { id: roles-keep, uses: upload, with: { store: vault, key: \"{{ run.id }}.globals\" } }
@verify  - { id: prune, uses: prune, needs: [keep, away, roles-keep@needs], with: { store: vault, grace: 0s, clock_skew: 0s, keep: { last: 2 } } }
  - { id: tell, uses: notify, when: always, with: { file: { path: @/told.ndjson } } }
";

const VERIFY: &str = "  - { id: verify, uses: verify-restore, needs: [keep], with: { of: keep, server: shop } }\n";

struct Scene {
    bench: Bench,
    cloud: S3Store,
    server: TestServer,
    runs: Cell<u32>,
    _client: Client,
    _weed: S3Server,
}

/// A run that was killed.
struct Killed {
    run: RunId,
    /// What it had told, one event a line.
    events: Vec<Value>,
}

impl Killed {
    fn has_ended(&self) -> bool {
        self.events.iter().any(|event| event["event"] == "run-ended")
    }

    fn was_telling(&self) -> bool {
        self.events.iter().any(|event| event["event"] == "node-started" && event["node"] == "tell")
    }
}

impl Scene {
    fn new(verify: bool) -> Self {
        let (mut bench, server, weed, client) =
            (Bench::new(), TestServer::start(crate::apply_support::MAJOR), S3Server::seaweed(), Client::new());
        fill(&server, 0);
        bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
        bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        let cloud = format!(
            "  cloud: {{ s3: {{ bucket: {BUCKET}, prefix: 팀/백업, endpoint: \"{}\", path_style: true, region: ap-northeast-2 }} }}\n",
            weed.endpoint()
        );
        let steps = if verify {
            STEPS.replace("@verify", VERIFY).replace("@needs", ", verify")
        } else {
            STEPS.replace("@verify", "").replace("@needs", "")
        };
        bench.pipeline(&server, &format!("{cloud}{steps}"));
        let store = client.store(&spec(&weed.endpoint()));
        Self { bench, cloud: store, server, runs: Cell::new(0), _client: client, _weed: weed }
    }

    fn stores(&self) -> [(&'static str, Box<dyn ObjectStore + '_>); 2] {
        [("vault", Box::new(self.bench.vault())), ("cloud", Box::new(self.cloud.clone()))]
    }

    /// Runs `apply` until so many events have come, and kills it then.
    fn killed_behind(&self, count: usize) -> Killed {
        self.runs.set(self.runs.get() + 1);
        let events = self.bench.path(&format!("events-{}", self.runs.get()));
        let args = ["apply", "pipeline.yaml", "--state-dir", "state", "--events", events.to_str().unwrap()];
        let mut child = self.bench.command(&args).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        let told = || -> Vec<Value> {
            let text = std::fs::read_to_string(&events).unwrap_or_default();
            let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            whole.filter(|event| event["event"] != "progress").collect()
        };
        let until = Instant::now() + Duration::from_mins(1);
        while told().len() < count && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "{count} events did not come: {:?}", told());
            std::thread::sleep(Duration::from_micros(500));
        }
        // It may be gone by itself behind its last event.
        let _gone = child.kill();
        child.wait().unwrap();
        let run = told()[0]["run"].as_str().unwrap().to_owned();
        // What the journal has, the file of events may lack.
        let journal = std::fs::read_to_string(self.bench.path(&format!("state/runs/{NAME}/{run}.ndjson"))).unwrap();
        let events = journal.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect();
        Killed { run: run.parse().unwrap(), events }
    }

    fn apply(&self) -> Ran {
        self.bench.run(&["apply", "pipeline.yaml", "--state-dir", "state"])
    }

    fn resume(&self, run: &str) -> Ran {
        self.bench.run(&["resume", run, "--state-dir", "state"])
    }

    /// How many events an undisturbed run has that prunes, and what it leaves, with the run's id and its times taken out.
    fn undisturbed(&self) -> (usize, BTreeSet<String>) {
        for _ in 0..3 {
            self.apply().is(0, &[]);
        }
        let ran = self.killed_behind(usize::MAX);
        assert!(ran.has_ended(), "{:?}", ran.events);
        assert_eq!(ran.events.last().unwrap()["outcome"], "done", "{:?}", ran.events);
        (ran.events.len(), self.left_by(&ran.run))
    }

    fn left_by(&self, run: &RunId) -> BTreeSet<String> {
        let mut left = BTreeSet::new();
        for (name, store) in self.stores() {
            for key in keys(&*store).into_iter().filter(|key| key.contains(run.as_str())) {
                let key = key.replace(run.as_str(), "RUN");
                // The time of a receipt.
                let key = key.split_once(".verified-verify-").map_or(key.clone(), |(before, _)| format!("{before}.verified-verify"));
                left.insert(format!("{name}: {key}"));
            }
        }
        left
    }

    fn runs_in(store: &dyn ObjectStore) -> BTreeSet<RunId> {
        points(store, &NAME.parse().unwrap()).unwrap().into_iter().map(|point| point.run).collect()
    }

    /// Demands that every object of a run belongs to a restore point, and that nothing unfinished is there.
    fn has_no_orphans(&self, when: &str) {
        for (name, store) in self.stores() {
            let committed = Self::runs_in(&*store);
            let orphans: Vec<String> = keys(&*store)
                .into_iter()
                .filter(|key| !key.starts_with(".runner/") && !committed.iter().any(|run| key.contains(run.as_str())))
                .collect();
            assert_eq!(orphans, Vec::<String>::new(), "{when}: in {name}");
            assert_eq!(store.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new(), "{when}: in {name}");
        }
    }

    fn level_of(&self, run: &RunId) -> Level {
        let (vault, pipeline) = (self.bench.vault(), NAME.parse().unwrap());
        let point = points(&vault, &pipeline).unwrap().into_iter().find(|point| point.run == *run).unwrap();
        let manifest = read_manifest(&vault.get_bytes(&point.key, 1 << 20).unwrap()).unwrap();
        let receipts = receipts(&vault, &pipeline, run).unwrap();
        assert!(receipts.unreadable.is_empty() && manifest.started == run.started());
        assert!(manifest.timings.len() >= 3, "{:?}", manifest.timings);
        // The other dump is not verified, so of the point as a whole no more than its being stored is known.
        let verified: Vec<_> = manifest.artifacts.iter().filter(|artifact| artifact.step.as_str() == "keep").cloned().collect();
        level(&runner::store::manifest::Manifest { artifacts: verified, ..manifest }, &receipts.read)
    }

    fn told_of(&self, run: &RunId) -> usize {
        let told = std::fs::read_to_string(self.bench.path("told.ndjson")).unwrap_or_default();
        told.lines().filter(|line| line.contains(run.as_str())).count()
    }
}

#[test]
fn a_killed_apply_that_is_resumed_ends_as_an_undisturbed_one() {
    resumed_behind(0);
}

#[test]
fn a_killed_apply_that_is_resumed_behind_any_other_event_does_too() {
    resumed_behind(1);
}

/// Behind every other event, so that two tests share the work.
fn resumed_behind(first: usize) {
    let scene = Scene::new(true);
    let (count, expected) = scene.undisturbed();
    assert!(count >= 20, "{count}");
    for behind in (1..=count).skip(first).step_by(2) {
        let killed = scene.killed_behind(behind);
        let when = format!("killed behind event {behind}: {}", killed.events.last().unwrap());
        let ran = scene.resume("latest");
        if killed.has_ended() {
            assert_eq!(ran.code, 66, "{when}\n{}", ran.stderr);
        } else {
            assert_eq!(ran.code, 0, "{when}\n{}", ran.stderr);
            assert!(ran.stderr.contains(&format!("going on with the run {}", killed.run)), "{when}\n{}", ran.stderr);
        }
        assert_eq!(scene.left_by(&killed.run), expected, "{when}\n{}", ran.stderr);
        // One that was killed behind its end may have been letting go of its lease: the next run finds that.
        if !killed.has_ended() {
            scene.has_no_orphans(&when);
        }
        assert_eq!(scene.level_of(&killed.run), Level::Proven, "{when}");
        let told = scene.told_of(&killed.run);
        assert!(told == 1 || told == 2 && killed.was_telling(), "{when}: told {told} times");
        assert_eq!(scene.server.psql("postgres", "select count(*) from pg_database where datname like 'runner\\_%'").trim(), "0", "{when}");
        assert_eq!(scene.resume(killed.run.as_str()).code, 64, "{when}: it has ended");
    }
    scene.apply().is(0, &[]);
    scene.has_no_orphans("in the end");
    scene.bench.is_clean();
}

#[test]
fn a_killed_apply_is_cleared_away_by_the_next_one() {
    let scene = Scene::new(false);
    let (count, expected) = scene.undisturbed();
    assert!(count >= 14, "{count}");
    for behind in 1..=count {
        let before = Scene::runs_in(&scene.bench.vault());
        let protected = before.iter().max().unwrap();
        let killed = scene.killed_behind(behind);
        let when = format!("killed behind event {behind}: {}", killed.events.last().unwrap());
        let ran = scene.apply();
        ran.is(0, &[]);
        let after = Scene::runs_in(&scene.bench.vault());
        let made: Vec<&RunId> = after.iter().filter(|run| !before.contains(*run) && **run != killed.run).collect();
        let [new] = &made[..] else { panic!("{when}: one new point, not {made:?}") };
        assert_eq!(scene.left_by(new), expected, "{when}");
        // That of the killed run, if it had come so far, is the last but one then.
        assert!(after.contains(protected) || after.contains(&killed.run), "{when}: the newest point is gone");
        if !killed.has_ended() {
            let resumed = scene.resume(killed.run.as_str());
            assert_eq!(resumed.code, 13, "{when}: a newer run has begun\n{}", resumed.stderr);
        }
    }
    scene.apply().is(0, &[]);
    scene.has_no_orphans("in the end");
}
