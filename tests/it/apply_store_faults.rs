//! Each command on an S3 server that fails, is slow, or lists a part: nothing is deleted, what may pass is tried again, the exit code tells
//! which it was, and the message names the store and what was asked of it.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use runner::store::s3::S3Store;

use crate::apply_support::{Bench, is_dump, keys, shop};
use crate::servers::faulty_s3::{Fault, FaultyS3, Rule, rule};
use crate::servers::postgres::TestServer;
use crate::servers::seaweed::{ACCESS_KEY, BUCKET, Client, S3Server, SECRET_KEY, spec};

const ALWAYS: u32 = u32::MAX;
const LISTS: &str = "list-type=2";
const METHODS: [&str; 5] = ["GET", "HEAD", "PUT", "POST", "DELETE"];

/// Those that write nothing, and those that do.
const READING: [&[&str]; 4] = [
    &["list", "pipeline.yaml"],
    &["show", "pipeline.yaml"],
    &["catalog", "check", "pipeline.yaml"],
    &["verify", "pipeline.yaml", "--state-dir", "state"],
];
const PRUNE: &[&str] = &["prune", "pipeline.yaml", "--yes", "--state-dir", "state"];
const APPLY: &[&str] = &["apply", "pipeline.yaml", "--state-dir", "state"];

struct Scene {
    database: TestServer,
    server: S3Server,
    store: S3Store,
    _client: Client,
}

impl Scene {
    fn new() -> Self {
        let (database, server, client) = (shop(0), S3Server::seaweed(), Client::new());
        let store = client.store(&spec(&server.endpoint()));
        Self { database, server, store, _client: client }
    }

    fn bench(&self, endpoint: &str) -> Bench {
        let mut bench = Bench::new();
        bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
        bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        let text = format!(
            "  cloud: {{ s3: {{ bucket: {BUCKET}, prefix: 팀/백업, endpoint: \"{endpoint}\", path_style: true, region: ap-northeast-2 }} }}
defaults: {{ retry: {{ attempts: 1 }} }}
steps:
  - {{ id: dump, uses: dump, with: {{ connection: shop }} }}
  - {{ id: upload, uses: upload, with: {{ store: cloud, key: \"{{{{ run.id }}}}.dump\" }} }}
  - {{ id: prune, uses: prune, with: {{ store: cloud, keep: {{ last: 1 }}, grace: 0s, clock_skew: 0s }} }}\n"
        );
        bench.pipeline(&self.database, &text);
        bench
    }

    /// Runs commands through a server with faults, one beside the other but for those that would wait for each other's lease.
    #[track_caller]
    fn each(&self, rules: &(dyn Fn() -> Vec<Rule> + Sync), code: i32, words: &[&str]) {
        let one = |arguments: &[&str]| {
            let proxy = FaultyS3::before(self.server.address, rules());
            let ran = self.bench(&proxy.endpoint()).run(arguments);
            // `catalog check` answers what it found; all else of a failure is on standard error.
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert_eq!(ran.code, code, "{arguments:?}\n{said}");
            assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {words:?}\n{said}");
            assert!(!said.contains("panicked"), "{said}");
        };
        std::thread::scope(|scope| {
            let reading: Vec<_> = READING.iter().map(|arguments| scope.spawn(move || one(arguments))).collect();
            [PRUNE, APPLY].into_iter().for_each(one);
            for thread in reading {
                thread.join().unwrap();
            }
        });
    }
}

#[test]
fn apply_and_all_other_commands_on_a_failing_store_delete_nothing_and_say_why() {
    let scene = Scene::new();
    let good = scene.bench(&scene.server.endpoint());
    // Three points, of which one is on its way out and one would be.
    for _ in 0..3 {
        good.apply().is(0, &[]);
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    let before = keys(&scene.store);
    let all_there = |what: &str| {
        let now = keys(&scene.store);
        assert!(before.iter().all(|key| now.contains(key)), "{what}: {before:?}\n{now:?}");
    };
    let lists = |fault: Fault| move || vec![rule("GET", LISTS, ALWAYS, fault.clone())];
    scene.each(&lists(Fault::Answer(503, "SlowDown")), 75, &["s3://backups/팀/백업: ", "SlowDown"]);
    all_there("503");
    scene.each(&lists(Fault::Answer(500, "InternalError")), 75, &["s3://backups/팀/백업: ", "InternalError"]);
    all_there("500");
    scene.each(&lists(Fault::Answer(403, "AccessDenied")), 77, &["s3://backups/팀/백업: ", "AccessDenied"]);
    all_there("403");

    // What passes is tried again and is no failure: twice each for whatever is asked.
    let twice = || METHODS.map(|method| rule(method, "/", 2, Fault::Answer(503, "SlowDown"))).into();
    scene.each(&twice, 0, &[]);
    let slow = || METHODS.map(|method| rule(method, "/", ALWAYS, Fault::Slow(120))).into();
    scene.each(&slow, 0, &[]);
}

#[test]
fn prune_and_apply_on_listings_that_leave_something_out_delete_nothing_that_should_stay() {
    let scene = Scene::new();
    let good = scene.bench(&scene.server.endpoint());
    let mut runs = Vec::new();
    for _ in 0..3 {
        good.apply().is(0, &[]);
        runs.push(keys(&scene.store).into_iter().filter(|key| is_dump(key)).max().unwrap());
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    let through = |arguments: &[&str], fault: Fault| {
        let proxy = FaultyS3::before(scene.server.address, vec![rule("GET", LISTS, ALWAYS, fault)]);
        scene.bench(&proxy.endpoint()).run(arguments)
    };
    let before = keys(&scene.store);
    // Manifests that are left out, and marks or receipts beside them that are not: a contradiction, and so no ground for anything.
    through(PRUNE, Fault::LeaveOut(".manifest.json")).is(11, &["s3://backups/팀/백업", "listing leaves it out"]);
    assert_eq!(keys(&scene.store), before);
    // The newest point is left out: the older ones then count as the newest, and stay.
    let newest: &'static str = Box::leak(runs[2].trim_end_matches(".dump").to_owned().into_boxed_str());
    for _ in 0..2 {
        through(PRUNE, Fault::LeaveOut(newest)).is(0, &[]);
    }
    let dumps: Vec<String> = keys(&scene.store).into_iter().filter(|key| is_dump(key)).collect();
    assert_eq!(dumps, runs[1..], "only the one that no rule keeps in any case went");
    good.apply().is(0, &[]);
}
