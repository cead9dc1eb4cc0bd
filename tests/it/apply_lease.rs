//! Several runs of one pipeline at once, as real processes with state folders of their own: one at a time writes, a dead one is taken over
//! and cleaned up after, and one that was overtaken commits nothing.

use std::time::{Duration, Instant};

use runner::store::ObjectStore as _;
use runner::store::commit::points;
use rustix::process::Signal;

use crate::apply_support::{Bench, NAME, files, is_dump, keys, shop};
use crate::servers::seaweed::{ACCESS_KEY, BUCKET, Client, S3Server, SECRET_KEY, spec};

/// A short lease, so that taking it over does not take long.
const STEPS: &str = "
concurrency: { ttl: 2s }
defaults: { retry: { attempts: 1 } }
steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump\" } }
";

/// The first dump sends a part, and the rest only when a file is there.
const HELD_BACK: &str = "if mkdir @/first 2>/dev/null; then
  \"$REAL\" \"$@\" | { head -c 500000; while ! [ -e @/go ]; do sleep 0.1; done; cat; }
else exec \"$REAL\" \"$@\"; fi";

fn is_uploading(bench: &Bench) -> bool {
    files(&bench.path("store")).iter().any(|path| path.extension().is_some_and(|ending| ending == "partial"))
}

#[test]
fn apply_beside_a_living_run_exits_with_14_and_names_it() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.pipeline(
        &server,
        &format!("{STEPS}  - {{ id: tell, uses: notify, when: failure, with: {{ file: {{ path: @/told.ndjson }} }} }}\n"),
    );
    bench.program("pg_dump", HELD_BACK);
    let mut first = bench.start();
    first.wait_until("the upload", |_| is_uploading(&bench));
    let pid = first.child.id();
    let began = Instant::now();
    let second = bench.apply();
    second.is(14, &["the lease `orders` is held by run ", &format!("process {pid}"), "since ", "--wait 10m"]);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let told = std::fs::read_to_string(bench.path("told.ndjson")).unwrap();
    assert!(told.contains("is held by"), "whoever is told of failures hears of it: {told}");
    std::fs::write(bench.path("go"), "").unwrap();
    first.end().is(0, &[]);
    assert_eq!(bench.points().len(), 1);
    let manifest = bench.manifest(&bench.points()[0]);
    assert_eq!(manifest.fences.values().copied().collect::<Vec<_>>(), [1]);
    bench.is_clean();
}

#[test]
fn apply_waits_for_another_run_as_long_as_it_was_told() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.pipeline(&server, STEPS);
    bench.program("pg_dump", HELD_BACK);
    let mut first = bench.start();
    first.wait_until("the upload", |_| is_uploading(&bench));
    let mut second = bench.apply_command();
    let second = second.args(["--wait", "1m"]).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(4));
    std::fs::write(bench.path("go"), "").unwrap();
    first.end().is(0, &[]);
    let second = second.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(0), "{said}");
    assert!(said.contains("is held by run ") && said.contains("; waiting"), "{said}");
    let mut tokens: Vec<u64> = bench.points().iter().flat_map(|point| bench.manifest(point).fences.into_values()).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, [1, 2]);
    bench.is_clean();
}

#[test]
fn apply_takes_over_from_a_killed_run_and_removes_what_it_left() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.pipeline(&server, STEPS);
    bench.program("pg_dump", HELD_BACK);
    let mut first = bench.start();
    first.wait_until("the upload", |_| is_uploading(&bench));
    first.signal(Signal::KILL);
    first.end();
    bench.apply().is(0, &["taking over the lease `orders`", "its process is dead", "removed an unfinished object of run "]);
    assert!(!is_uploading(&bench));
    assert_eq!(bench.points().len(), 1);
    // One that is killed when its object is stored and its manifest is not.
    bench.program("pg_dumpall", "sleep 60");
    let globals = "  - { id: globals, uses: globals, with: { connection: shop } }
  - { id: keep, uses: upload, with: { store: vault, key: \"{{ run.id }}.globals\" } }\n";
    bench.pipeline(&server, &format!("{STEPS}{globals}"));
    let mut third = bench.start();
    third.wait_until("the end of the dump", |events| {
        events.lines().any(|line| line.contains("\"event\":\"node-ended\"") && line.contains("\"node\":\"dump\""))
    });
    third.signal(Signal::KILL);
    third.end();
    let orphans = || files(&bench.path("store")).into_iter().filter(|path| is_dump(path)).count();
    assert_eq!(orphans(), 2, "that of the restore point, and one that no manifest names");
    bench.pipeline(&server, STEPS);
    bench.apply().is(0, &["removed an object of run "]);
    assert_eq!((orphans(), bench.points().len()), (2, 2), "each dump has its restore point");
}

#[test]
fn apply_that_was_paused_and_overtaken_commits_nothing_and_exits_with_14() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.pipeline(&server, STEPS);
    bench.program("pg_dump", HELD_BACK);
    let mut first = bench.start();
    first.wait_until("the upload", |_| is_uploading(&bench));
    first.signal(Signal::STOP);
    let began = Instant::now();
    let second = bench.apply();
    second.is(0, &["taking over the lease `orders`", "it was not renewed for longer than it holds"]);
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
    let committed = bench.points();
    assert_eq!(committed.len(), 1);
    std::fs::write(bench.path("go"), "").unwrap();
    first.signal(Signal::CONT);
    first.end().is(14, &["the lease `orders` is lost", "took it over with token 2"]);
    assert_eq!(bench.points(), committed, "the first one committed nothing");
    bench.apply().is(0, &[]);
    bench.apply().is(0, &[]);
    let dumps: Vec<_> = files(&bench.path("store")).into_iter().filter(|path| is_dump(path)).collect();
    assert_eq!((dumps.len(), bench.points().len()), (3, 3), "and nothing of it is left: {dumps:?}");
    bench.is_clean();
}

#[test]
fn apply_without_a_lease_is_a_choice_of_the_pipeline() {
    let (mut bench, server) = (Bench::new(), shop(1));
    let weed = S3Server::rclone();
    bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let cloud =
        format!("  cloud: {{ s3: {{ bucket: {BUCKET}, endpoint: \"{}\", path_style: true, region: ap-northeast-2 }} }}\n", weed.endpoint());
    let steps = STEPS.replace("store: vault", "store: cloud");
    bench.pipeline(&server, &format!("{cloud}{steps}"));
    bench.apply().is(10, &["this store can not keep a lease", "lease: false"]);
    bench.pipeline(&server, &format!("{cloud}{}", steps.replace("ttl: 2s", "lease: false")));
    bench.apply().is(0, &["this run holds no lease"]);
}

#[test]
fn apply_of_two_processes_in_ten_rounds_on_one_s3_server_commits_each_run_once() {
    let (server, weed, client) = (shop(1), S3Server::seaweed(), Client::new());
    let hosts: Vec<Bench> = (0..2)
        .map(|_| {
            let mut bench = Bench::new();
            bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
            bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
            let cloud = format!(
                "  cloud: {{ s3: {{ bucket: {BUCKET}, prefix: 팀/백업, endpoint: \"{}\", path_style: true, region: ap-northeast-2 }} }}\n",
                weed.endpoint()
            );
            bench.pipeline(&server, &format!("{cloud}{}", STEPS.replace("store: vault", "store: cloud").replace("2s", "2s, wait: 1m")));
            bench
        })
        .collect();
    let mut done = 0;
    for round in 0..10 {
        let mut running: Vec<_> = hosts.iter().map(Bench::start).collect();
        if round % 3 == 1 {
            running[0].wait_until("the dump", |events| events.contains("\"node\":\"dump\""));
            running[0].signal(Signal::KILL);
        }
        for run in running {
            let ran = run.end();
            assert!(matches!(ran.code, 0 | -9), "{}: {}", ran.code, ran.stderr);
            done += usize::from(ran.code == 0);
        }
    }
    hosts[1].apply().is(0, &[]);
    let direct = client.store(&spec(&weed.endpoint()));
    let found = points(&direct, &NAME.parse().unwrap()).unwrap();
    let dumps = keys(&direct).iter().filter(|key| is_dump(key)).count();
    // A killed one may have committed before the signal came.
    assert!(found.len() > done && found.len() <= done + 4, "{} points, {done} good ends", found.len());
    assert_eq!(dumps, found.len(), "every object belongs to a restore point");
    assert_eq!(direct.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new());
}

#[test]
fn apply_holds_a_lease_in_each_store_even_where_two_servers_have_buckets_of_one_name() {
    let (server, weeds, client) = (shop(1), [S3Server::seaweed(), S3Server::seaweed()], Client::new());
    let mut bench = Bench::new();
    bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let store = |name: &str, weed: &S3Server| {
        format!(
            "  {name}: {{ s3: {{ bucket: {BUCKET}, prefix: 팀/백업, endpoint: \"{}\", path_style: true, region: ap-northeast-2 }} }}\n",
            weed.endpoint()
        )
    };
    let stores = [store("here", &weeds[0]), store("there", &weeds[1])].concat();
    let pass = |name: &str| {
        format!(
            "  - {{ id: dump-{name}, uses: dump, needs: [], with: {{ connection: shop }} }}
  - {{ id: to-{name}, uses: upload, with: {{ store: {name}, key: \"{{{{ run.id }}}}.{name}.dump\" }} }}\n"
        )
    };
    bench.pipeline(&server, &format!("{stores}steps:\n{}", ["here", "there"].map(pass).concat()));
    bench.apply().is(0, &[]);
    for weed in &weeds {
        let direct = client.store(&spec(&weed.endpoint()));
        let leases = direct.list(runner::store::lease::PREFIX).unwrap();
        assert_eq!(leases.iter().map(|lease| lease.key.as_str()).collect::<Vec<_>>(), [".runner-leases/orders.json"]);
        let point = &points(&direct, &NAME.parse().unwrap()).unwrap()[0];
        let manifest = runner::store::commit::read_manifest(&direct.get_bytes(&point.key, 1 << 20).unwrap()).unwrap();
        assert_eq!(manifest.fences.keys().map(ToString::to_string).collect::<Vec<_>>(), ["here", "there"]);
    }
}
