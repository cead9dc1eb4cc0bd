//! `copy` as it is used: a second store keeps what the first one does, catches up what it missed, and never shows half a restore point.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runner::store::ObjectStore;
use runner::store::lease::{self, Holder, Terms};
use runner::store::local::LocalStore;
use runner::store::manifest::{Level, Manifest, manifest_key};
use runner::store::mark::{Author, Wish, add};
use runner::store::{catalog, commit};
use runner::stream::Cancel;
use serde_json::Value;

use crate::apply_support::{Bench, NAME, Ran, keys, shop};
use crate::servers::faulty_s3::{Fault, FaultyS3, rule};
use crate::servers::seaweed::{ACCESS_KEY, Client, S3Server, SECRET_KEY, spec};
use crate::store_conformance::local_spec;
use crate::store_shelf::{PIPELINE, Point, of, pipeline, point};

/// A pipeline that only copies, from `vault` to `far`.
fn replication(far: &str, rest: &str) -> String {
    format!(
        "version: 1\nname: {PIPELINE}\nstores: {{ vault: {{ local: {{ path: @/store }} }}, far: {far} }}\nsteps:\n  - {{ id: offsite, uses: copy, retry: {{ attempts: 1 }}, with: {{ from: vault, to: far{rest} }} }}\n"
    )
}

const FAR: &str = "{ local: { path: @/far } }";

fn folder(bench: &Bench, name: &str) -> LocalStore {
    LocalStore::open(&local_spec(&bench.path(name))).unwrap()
}

/// A bench with points of so many hours ago, and a replication.
fn bench(hours: &[i64]) -> (Bench, LocalStore, LocalStore, Vec<Point>) {
    let bench = Bench::new();
    let (near, far) = (folder(&bench, "store"), folder(&bench, "far"));
    let points: Vec<Point> = hours.iter().map(|hours| point(*hours)).collect();
    for point in &points {
        point.put(&near);
    }
    bench.text(&replication(FAR, ""));
    (bench, near, far, points)
}

/// The runs whose points a store keeps, newest first.
fn runs(store: &dyn ObjectStore, pipeline: &str) -> Vec<String> {
    let points = commit::points(store, &pipeline.parse().unwrap()).unwrap();
    points.into_iter().map(|point| point.run.to_string()).collect()
}

fn manifest(store: &dyn ObjectStore, run: &str, pipeline: &str) -> Manifest {
    let key = manifest_key(&pipeline.parse().unwrap(), &run.parse().unwrap());
    commit::read_manifest(&store.get_bytes(&key, 1 << 20).unwrap()).unwrap()
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr))
}

#[test]
fn a_replication_catches_up_what_is_newer_than_the_newest_there_and_then_rests() {
    let (bench, near, far, points) = bench(&[1, 25, 49, 73]);
    let id = |index: usize| points[index].run.to_string();
    bench.text(&replication(FAR, ", catch_up: 2"));
    let plan = bench.run(&["plan", "pipeline.yaml"]);
    plan.is(0, &[]);
    assert!(
        plan.stdout.contains("2 restore points that far has missed") && plan.stdout.contains("2 older ones are more than"),
        "{}",
        plan.stdout
    );
    assert!(plan.stdout.contains("Plan: 2 restore points to copy."), "{}", plan.stdout);
    assert_eq!(keys(&far), Vec::<String>::new(), "a plan changes nothing");
    let ran = bench.apply();
    ran.is(0, &["is in far now: 2 objects"]);
    assert_eq!(runs(&far, PIPELINE), [id(0), id(1)]);
    assert!(ran.stdout.contains(&format!("copied         {} to far: 2 objects", id(1))), "{}", ran.stdout);

    // One that is on the way out here, one that went there on purpose, and a new one.
    bench.text(&replication(FAR, ""));
    let (newer, leaving) = (point(0), points[1].clone());
    far.delete(&manifest_key(&pipeline(), &leaving.run)).unwrap();
    newer.put(&near);
    let ran = bench.apply();
    ran.is(0, &[&format!("{} is in far now", newer.run)]);
    assert_eq!(runs(&far, PIPELINE), [newer.run.to_string(), id(0)], "nothing older than the newest one comes back");
    let rest = bench.apply();
    rest.is(0, &["far has missed nothing of vault"]);
    assert_eq!(bench.run(&["plan", "pipeline.yaml", "--detailed-exitcode"]).code, 0, "there is nothing to do");
}

#[test]
fn what_is_on_the_way_out_or_can_not_be_read_is_never_copied() {
    let (bench, near, far, points) = bench(&[1, 25, 49]);
    let author = Author { by: "test", now: jiff::Timestamp::now() };
    let wish = Wish::Tombstone { reason: String::new(), after: jiff::Timestamp::now(), keys: Vec::new() };
    let marks = catalog::look_again(&near, &pipeline(), &points[0].run).unwrap().1;
    add(&near, (&pipeline(), &points[0].run), wish, author, &marks).unwrap();
    std::fs::write(bench.path("store").join(manifest_key(&pipeline(), &points[1].run)), "{}").unwrap();
    bench.apply().is(0, &["can not be copied, its manifest can not be used"]);
    assert_eq!(runs(&far, PIPELINE), [points[2].run.to_string()]);
}

#[test]
fn everything_that_reads_a_store_works_on_the_copy_after_the_original_is_gone() {
    let (bench, near, far, points) = bench(&[1, 25, 49, 73]);
    bench.apply().is(0, &[]);
    let listed = bench.run(&["list", "pipeline.yaml"]);
    assert!(
        listed.stdout.contains("in vault: 4 restore points") && listed.stdout.contains("in far: 4 restore points"),
        "{}",
        listed.stdout
    );
    assert_eq!(listed.stdout.matches("read-back").count(), 4, "the copies were read back: {}", listed.stdout);
    bench.run(&["catalog", "check", "pipeline.yaml", "--digests"]).is(0, &[]);
    let shown = bench.run(&["show", "pipeline.yaml", "--store", "far"]);
    assert!(shown.code == 0 && shown.stdout.contains("copied       from vault"), "{}{}", shown.stdout, shown.stderr);
    let shown = json(&bench.run(&["show", "pipeline.yaml", "--store", "far", "--format", "json"]));
    assert_eq!((&shown["manifest"]["copied"]["from"], &shown["level"]), (&"vault".into(), &"read-back".into()));

    // Healing goes both ways: what one has lost the other keeps.
    for (lost, store, names) in [(&near as &dyn ObjectStore, &far as &dyn ObjectStore, ["far", "vault"]), (&far, &near, ["vault", "far"])] {
        lost.delete(&points[0].key).unwrap();
        assert_eq!(bench.run(&["catalog", "check", "pipeline.yaml"]).code, 11);
        let heal = ["catalog", "heal", "pipeline.yaml", "--from", names[0], "--to", names[1], "--yes"];
        bench.run(&heal).is(0, &[]);
        assert_eq!(lost.head(&points[0].key).unwrap().map(|meta| meta.bytes), store.head(&points[0].key).unwrap().map(|meta| meta.bytes));
    }

    std::fs::remove_dir_all(bench.path("store")).unwrap();
    bench.run(&["catalog", "check", "pipeline.yaml", "--store", "far", "--digests"]).is(0, &[]);
    let prune = "  - { id: prune, uses: prune, with: { store: far, grace: 0s, clock_skew: 0s, keep: { last: 2 } } }\n";
    bench.text(&format!("{}{prune}", replication(FAR, "")));
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(1100));
        bench.run(&["prune", "pipeline.yaml", "--yes"]).is(0, &[]);
    }
    assert_eq!(runs(&far, PIPELINE), points[..2].iter().map(|point| point.run.to_string()).collect::<Vec<_>>());
    assert!(points[2..].iter().all(|point| of(&far, &point.run).is_empty()), "nothing of the others is left: {:?}", keys(&far));
}

#[test]
fn a_damaged_original_commits_nothing_exits_with_11_and_keeps_no_newer_one_back() {
    let (bench, _near, far, points) = bench(&[1, 25]);
    let place = bench.path("store").join(&points[1].key);
    let mut bytes = points[1].content();
    bytes[40] ^= 4;
    std::fs::write(&place, bytes).unwrap();
    let ran = bench.apply();
    ran.is(11, &[&format!("{} was not copied", points[1].run), "sha256", &points[1].key, "is in far now"]);
    assert_eq!(runs(&far, PIPELINE), [points[0].run.to_string()]);
    let owed = format!(".runner/{PIPELINE}/owed/{}.txt", points[1].run);
    assert_eq!(of(&far, &points[1].run), [owed], "it is not forgotten, though a newer one is there");
    bench.apply().is(0, &[&format!("{} could not be copied before", points[1].run), &format!("{} was not copied", points[1].run)]);
    // Healed, it is had as well.
    std::fs::write(&place, points[1].content()).unwrap();
    bench.apply().is(0, &[&format!("{} is in far now", points[1].run)]);
    assert_eq!(runs(&far, PIPELINE), points.iter().map(|point| point.run.to_string()).collect::<Vec<_>>());
    assert!(!keys(&far).iter().any(|key| key.contains("/owed/")), "{:?}", keys(&far));
    assert_eq!(bench.run(&["plan", "pipeline.yaml", "--detailed-exitcode"]).code, 0, "there is nothing to do");
}

#[test]
fn what_is_committed_while_a_copy_waits_is_copied_before_what_is_newer() {
    let (bench, near, far, points) = bench(&[49, 1]);
    bench.text(&replication(FAR, "").replace("steps:", "concurrency: { wait: 1m }\nsteps:"));
    let far: Arc<dyn ObjectStore> = Arc::new(far);
    let me = Holder::here(pipeline(), point(0).run, "db2".to_owned());
    let held = lease::acquire(&far, &Terms::of(pipeline()), &me, &Cancel::new(), &|_| {}).unwrap();
    let child = bench.apply_command().stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_mins(1);
    // Its plan is made once there is an event.
    while std::fs::metadata(bench.events()).map_or(0, |found| found.len()) == 0 {
        assert!(Instant::now() < until, "it does not begin");
        std::thread::sleep(Duration::from_millis(50));
    }
    let since = point(25);
    since.put(&near);
    held.release().unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(runs(&*far, PIPELINE), [&points[1], &since, &points[0]].map(|point| point.run.to_string()));
}

#[test]
fn an_object_of_other_bytes_is_left_as_it_is_and_told() {
    let (bench, _near, far, points) = bench(&[1]);
    far.put_bytes(&points[0].key, b"\xed\x95\x9c", &runner::store::PutOptions::default()).unwrap();
    bench.apply().is(11, &["an object of 3 bytes is there already", "it is left as it is"]);
    assert_eq!((runs(&far, PIPELINE).len(), far.get_bytes(&points[0].key, 9).unwrap().len()), (0, 3));
}

#[test]
fn a_store_that_is_down_hides_nothing_of_what_others_keep() {
    let (bench, _near, far, points) = bench(&[1]);
    bench.apply().is(0, &[]);
    assert_eq!(runs(&far, PIPELINE).len(), 1);
    std::fs::remove_dir_all(bench.path("store")).unwrap();
    std::fs::write(bench.path("store"), "no folder").unwrap();
    for all in [&[][..], &["--all"]] {
        let ran = bench.run(&[&["list", "pipeline.yaml"], all].concat());
        assert!(ran.code != 0 && ran.stdout.contains("in far: 1 restore point\n"), "{}: {}{}", ran.code, ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("error: ") && ran.stderr.contains("/store"), "the store is named: {}", ran.stderr);
        let answer = json(&bench.run(&[&["list", "pipeline.yaml", "--format", "json"], all].concat()));
        assert_eq!((&answer["unread"][0]["store"], answer["unread"].as_array().unwrap().len()), (&"vault".into(), 1), "{answer}");
        assert_eq!(answer["listings"][0]["points"][0]["run"], points[0].run.as_str());
    }
}

/// Who runs against S3.
fn with_credentials() -> Bench {
    let mut bench = Bench::new();
    bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    bench.env("AWS_EC2_METADATA_DISABLED", "true");
    bench
}

fn cloud(endpoint: &str) -> String {
    format!("{{ s3: {} }}", serde_json::to_string(&spec(endpoint)).unwrap())
}

#[test]
fn a_copy_that_is_killed_anywhere_is_finished_by_the_next_run_and_leaves_one_point_and_no_orphan() {
    let (bench, server, client) = (with_credentials(), S3Server::seaweed(), Client::new());
    let far = client.store(&spec(&server.endpoint()));
    let near = folder(&bench, "store");
    // The writing of each object, the reading back, the recipe, the manifest, and the receipt.
    let places = [
        ("PUT", ".dump?", 1),
        ("PUT", ".dump.sha256", 1),
        ("GET", ".dump?", 1),
        ("PUT", ".recipe.txt", 1),
        ("PUT", ".manifest.json", 1),
        ("PUT", ".verified-offsite", 2),
    ];
    for (round, (method, holds, points)) in places.into_iter().enumerate() {
        let one = point(100 - i64::try_from(round).unwrap());
        one.put(&near);
        let proxy = FaultyS3::before(server.address, vec![rule(method, holds, u32::MAX, Fault::Hang)]);
        bench.text(&replication(&cloud(&proxy.endpoint()), ""));
        let mut child = bench.apply_command().spawn().unwrap();
        let until = Instant::now() + Duration::from_mins(1);
        while !proxy.saw(method, holds) {
            assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "{method} {holds} was never asked for");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let half = commit::points(&far, &pipeline()).unwrap().into_iter().filter(|point| point.run == one.run).count();
        assert_eq!(half + 1, points, "killed at {method} {holds}");
        bench.text(&replication(&cloud(&server.endpoint()), ""));
        bench.apply().is(0, &[]);
        assert_eq!(runs(&far, PIPELINE).len(), round + 1, "killed at {method} {holds}");
        let ran = bench.run(&["catalog", "check", "pipeline.yaml", "--store", "far", "--digests", "--format", "json"]);
        let checked = json(&ran)["checks"][0]["checked"].clone();
        assert_eq!((ran.code, checked["orphans"].as_array().map(Vec::len)), (0, Some(0)), "{method} {holds}: {checked}");
        assert_eq!(far.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new(), "no unfinished upload is left");
    }
    point(1).put(&near);
    bench.apply().is(0, &["is in far now"]);
    for point in catalog::read(&far, &pipeline()).unwrap().points {
        assert_eq!(point.level(), Some(Level::ReadBack), "{}, killed before its receipts or not", point.summary.run);
    }
    let (record, _) = lease::read(&far, &pipeline()).unwrap().unwrap();
    assert_eq!(record.runs, [], "and nothing is unsettled");
}

/// A run on a database into `vault` and then to `far`; `vault` is a folder.
const STEPS: &str = "
objectives: { copies: 2 }
defaults: { retry: { attempts: 1 } }
steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: compress, uses: compress, with: { codec: zstd } }
  - { id: checksum, uses: checksum }
  - { id: upload, uses: upload, with: { store: vault } }
  - { id: offsite, uses: copy, with: { to: far } }
  - { id: tell, uses: notify, when: always, with: { file: { path: @/told.ndjson } } }
";

/// What the last notification says.
fn told(bench: &Bench) -> Value {
    let text = std::fs::read_to_string(bench.path("told.ndjson")).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn a_dump_in_a_folder_is_copied_to_s3_and_restored_from_there_once_the_folder_is_gone() {
    let (bench, server, weed, client) = (with_credentials(), shop(2), S3Server::seaweed(), Client::new());
    bench.pipeline(&server, &format!("  far: {}\n{STEPS}", cloud(&weed.endpoint())));
    let ran = bench.run(&["apply", "pipeline.yaml", "--state-dir", bench.path("state").to_str().unwrap(), "--format", "json"]);
    ran.is(0, &[]);
    let answer = json(&ran)["runs"][0].clone();
    let run = answer["run"].as_str().unwrap().to_owned();
    assert_eq!((&answer["copies"][0]["store"], &answer["copies"][0]["objects"]), (&"far".into(), &3.into()), "{answer}");
    assert_eq!(answer["warnings"], serde_json::json!([]));
    let told = told(&bench);
    assert_eq!((&told["copies"][0]["store"], &told["copies"][0]["run"]), (&"far".into(), &run.clone().into()), "{told}");
    let far = client.store(&spec(&weed.endpoint()));
    assert_eq!(runs(&far, NAME), [run.as_str()]);
    let copied = manifest(&far, &run, NAME).copied.unwrap();
    assert_eq!((copied.run.as_str(), copied.from.as_str()), (run.as_str(), "vault"));

    std::fs::remove_dir_all(bench.path("store")).unwrap();
    let ran = bench.run(&["verify", "pipeline.yaml", "--store", "far"]);
    ran.is(0, &[]);
    let ran = bench.run(&["restore", "pipeline.yaml", "--store", "far", "--to", "shop", "--database", "복구", "--yes"]);
    ran.is(0, &[]);
    assert_eq!(server.psql("복구", "select count(*) from lines").trim(), "100");
    let points = catalog::read(&far, &NAME.parse().unwrap()).unwrap().points;
    assert_eq!((points.len(), points[0].level()), (1, Some(Level::Proven)));
    bench.is_clean();
}

#[test]
fn a_dump_in_s3_is_copied_to_a_folder_with_its_globals_and_keeps_their_secrecy() {
    use std::os::unix::fs::PermissionsExt as _;
    let (mut bench, server, weed) = (with_credentials(), shop(1), S3Server::seaweed());
    let (public, private) = (bench.path("keys/k.pub"), bench.path("keys/k.key"));
    let identity = age::x25519::Identity::generate();
    std::fs::write(&public, identity.to_public().to_string()).unwrap();
    let secret = age::secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
    std::fs::write(&private, &secret).unwrap();
    bench.env("DRILL", &secret);
    let lock = format!("uses: encrypt, with: {{ age: {{ recipients_file: {} }} }}", public.display());
    bench.pipeline(
        &server,
        &format!(
            "  cloud: {}\n  far: {{ local: {{ path: @/far, file_mode: \"0640\" }} }}
secrets: {{ drill: {{ env: DRILL }} }}
objectives: {{ copies: 3 }}
steps:
  - {{ id: dump, uses: dump, with: {{ connection: shop }} }}
  - {{ id: lock, {lock} }}
  - {{ id: upload, uses: upload, with: {{ store: cloud }} }}
  - {{ id: globals, uses: globals, needs: [], with: {{ connection: shop }} }}
  - {{ id: seal, {lock} }}
  - {{ id: roles, uses: upload, with: {{ store: cloud }} }}
  - {{ id: verify, uses: verify-restore, needs: [upload], with: {{ identity: {{ secret: drill }} }} }}
  - {{ id: home, uses: copy, needs: [roles], with: {{ from: cloud, to: far }} }}
  - {{ id: third, uses: copy, with: {{ from: far, to: vault }} }}
",
            cloud(&weed.endpoint())
        ),
    );
    let ran = bench.apply();
    ran.is(0, &["to vault"]);
    let (far, vault) = (folder(&bench, "far"), folder(&bench, "store"));
    assert_eq!((runs(&far, NAME), runs(&vault, NAME).len()), (runs(&vault, NAME), 1));
    let run = &runs(&vault, NAME)[0];
    assert_eq!(manifest(&vault, run, NAME).copied.unwrap().from.as_str(), "far", "a copy of a copy says so");
    for artifact in manifest(&far, run, NAME).artifacts {
        let mode = std::fs::metadata(bench.path("far").join(&artifact.object.key)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode == 0o600, artifact.origin.kind == "globals", "{}: {mode:o}", artifact.object.key);
    }
    let receipts = commit::receipts(&far, &NAME.parse().unwrap(), &run.parse().unwrap()).unwrap();
    assert_eq!(receipts.read.len(), 2, "one for each artifact");
    drop(weed);
    bench.run(&["verify", "pipeline.yaml", "--store", "far"]).is(0, &[]);
    bench.run(&["verify", "pipeline.yaml", "--store", "vault"]).is(0, &[]);
    bench.is_clean();
}

#[test]
fn a_store_that_is_down_keeps_no_backup_from_being_made_and_catches_up() {
    let (bench, server, weed, client) = (with_credentials(), shop(1), S3Server::seaweed(), Client::new());
    // A port on which nobody listens.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    bench.pipeline(&server, &format!("  far: {}\n{STEPS}", cloud(&format!("http://{nobody}"))));
    for made in 1..=2 {
        let ran = bench.apply();
        assert_ne!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(bench.points().len(), made, "the backup itself is made: {}", ran.stderr);
        assert!(ran.stderr.contains("nothing will be copied to it"), "{}", ran.stderr);
        assert!(ran.stdout.contains("the restore point lies in 1 of 2 stores"), "{}", ran.stdout);
        assert_eq!(told(&bench)["failed_step"], "offsite");
        std::thread::sleep(Duration::from_millis(1100));
    }
    bench.pipeline(&server, &format!("  far: {}\n{STEPS}", cloud(&weed.endpoint())));
    let ran = bench.apply();
    ran.is(0, &["and before it 2 restore points that far has missed"]);
    let far = client.store(&spec(&weed.endpoint()));
    assert_eq!(runs(&far, NAME), bench.points().into_iter().map(|point| point.run.to_string()).collect::<Vec<_>>());
    assert_eq!(told(&bench)["copies"].as_array().unwrap().len(), 3);
}
