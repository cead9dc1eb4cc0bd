//! `prune`, `undelete`, `pin` and `catalog` as they are used: two phases, every deletion told with its reason, and nothing goes in doubt.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use jiff::Timestamp;
use runner::runtime::Leases;
use runner::store::catalog::look_again;
use runner::store::commit::commit;
use runner::store::lease::{Holder, Terms};
use runner::store::local::LocalStore;
use runner::store::manifest::{Artifact, Level, manifest_key, receipt_key};
use runner::store::mark::{Author, Wish, add};
use runner::store::{ObjectStore as _, PutOptions};
use runner::stream::Cancel;

use crate::apply_support::{Bench, Ran, shop};
use crate::store_conformance::local_spec;
use crate::store_shelf::{PIPELINE, Point, keys, of, pipeline, point};

/// A pipeline that only prunes, at once.
fn text(rest: &str) -> String {
    format!(
        "version: 1\nname: {PIPELINE}\nstores: {{ vault: {{ local: {{ path: @/store }} }} }}\nsteps:\n  - {{ id: prune, uses: prune, with: {{ store: vault, grace: 0s, clock_skew: 0s, {rest} }} }}\n"
    )
}

/// A bench with points of so many hours ago in its store, and a pipeline that keeps what is said.
fn bench(hours: &[i64], rest: &str) -> (Bench, LocalStore, Vec<Point>) {
    let bench = Bench::new();
    let store = LocalStore::open(&local_spec(&bench.path("store"))).unwrap();
    let points: Vec<Point> = hours.iter().map(|hours| point(*hours)).collect();
    for point in &points {
        point.put(&store);
    }
    bench.text(&text(rest));
    (bench, store, points)
}

fn prune(bench: &Bench) -> String {
    let ran = bench.run(&["prune", "pipeline.yaml", "--yes"]);
    ran.is(0, &[]);
    ran.stderr
}

#[test]
fn points_leave_in_two_runs_and_every_deletion_is_told_with_key_and_reason() {
    let (bench, store, points) = bench(&[1, 25, 49, 73], "keep: { last: 2 }");
    let before = keys(&store);
    let ran = bench.run(&["plan", "pipeline.yaml"]);
    ran.is(0, &[]);
    for point in &points[2..] {
        let line = ran.stdout.lines().find(|line| line.contains(point.run.as_str())).unwrap();
        assert!(line.contains("! ") && line.contains(&point.key) && line.contains("no rule keeps it"), "{line}");
    }
    assert!(
        ran.stdout.contains("2 points kept, 2 to mark") && ran.stdout.contains("2 restore points to mark for deletion"),
        "{}",
        ran.stdout
    );
    assert_eq!(keys(&store), before, "a plan changes nothing");
    bench.run(&["prune", "pipeline.yaml"]).is(64, &["nothing was done", "--yes"]);
    assert_eq!(keys(&store), before, "nobody was asked");

    // What was reviewed is what is applied, as long as nothing changed.
    bench.run(&["plan", "pipeline.yaml", "-o", "reviewed.json"]).is(0, &[]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    bench.run(&["apply", "reviewed.json"]).is(0, &["marked for deletion"]);
    bench.run(&["apply", "reviewed.json"]).is(13, &["the plan is stale"]);
    assert_eq!(keys(&store).len(), before.len() + 2, "two tombstones, and nothing is gone");
    let listed = bench.run(&["list", "pipeline.yaml"]).stdout;
    assert_eq!(listed.matches("on the way out, gone after").count(), 2, "{listed}");
    let said = prune(&bench);
    assert!(said.contains(&format!("deletes {} in vault: {}, {}", points[2].run, points[2].key, points[2].sidecar())), "{said}");
    assert!(said.contains("2 restore points to delete") && said.contains("the grace is over"), "{said}");
    let left: Vec<String> =
        before.iter().filter(|key| points[2..].iter().all(|point| !key.contains(point.run.as_str()))).cloned().collect();
    assert_eq!(keys(&store), left, "exactly the two points are gone; the kit and the others are there");
    let again = bench.run(&["prune", "pipeline.yaml", "--yes"]);
    again.is(0, &["2 points kept"]);
    assert_eq!(keys(&store), left);
}

#[test]
fn undelete_and_pin_save_a_point_and_unpin_lets_it_go() {
    let (bench, store, points) = bench(&[1, 25, 49, 73], "keep: { last: 1 }");
    let id = |point: &Point| point.run.to_string();
    prune(&bench);
    let ran = bench.run(&["pin", "pipeline.yaml", &id(&points[1]), "--until", "2999-12-31", "--reason", "감사 2026"]);
    assert!(ran.code == 0 && ran.stdout.contains("pinned until 3000-01-01"), "{}{}", ran.stdout, ran.stderr);
    let json = bench.run(&["undelete", "pipeline.yaml", &id(&points[2]), "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["mark"], &json["stores"][0]["store"]), (&"undelete".into(), &"vault".into()));
    assert_eq!(json["stores"][0]["words"], "its tombstone is taken back until a prune marks it again; `runner pin` keeps it");
    let said = prune(&bench);
    assert!(said.contains("1 wanted again") && said.contains("1 to mark") && said.contains("1 to delete"), "{said}");
    assert_eq!(of(&store, &points[3].run), Vec::<String>::new());
    let listed = bench.run(&["list", "pipeline.yaml"]).stdout;
    assert!(listed.contains("감사 2026") && listed.matches("on the way out").count() == 1, "{listed}");

    bench.run(&["unpin", "pipeline.yaml", &id(&points[1])]).is(0, &[]);
    prune(&bench);
    prune(&bench);
    assert_eq!(of(&store, &points[1].run), Vec::<String>::new());
    bench.run(&["undelete", "pipeline.yaml", &id(&points[1])]).is(10, &["no store of", "runner list"]);
    assert!(bench.run(&["undelete", "pipeline.yaml", &id(&points[0])]).stdout.contains("nothing to do, it has no tombstone"));
    for bad in ["2026-13-01", "tomorrow", "2999-01-01T10:00", "2020-01-01"] {
        bench.run(&["pin", "pipeline.yaml", &id(&points[0]), "--until", bad, "--reason", "x"]).is(64, &["--until"]);
    }
}

#[test]
fn guards_hold_whatever_the_rules_say() {
    let hours = [1, 25, 49, 73];
    // The newest proven point, however old; what is not readable, its receipts included; and what max_delete holds up.
    let (bench, store, points) = bench(&[1, 25, 49, 73, 97], "keep: { last: 1 }");
    let newer = receipt_key(&points[4].pipeline, &points[4].run, &"verify".parse().unwrap(), points[4].run.started());
    store.put_bytes(&newer, br#"{"version":2,"level":"proven"}"#, &PutOptions::default()).unwrap();
    points[3].receive(&store, Level::Proven, None);
    let murky = bench.path("store").join(manifest_key(&pipeline(), &points[2].run));
    std::fs::write(&murky, "{}").unwrap();
    prune(&bench);
    prune(&bench);
    let left: Vec<bool> = points.iter().map(|point| !of(&store, &point.run).is_empty()).collect();
    assert_eq!(left, [true, false, true, true, true]);
    assert!(prune(&bench).contains("4 points kept"));

    for (rest, halt) in [
        ("keep: { last: 1 }, max_delete: { count: 2 }", "max_delete: 3 of 4 would go, at most 2: nothing is deleted"),
        ("keep: { last: 1 }, max_delete: { percent: 50 }", "at most 50 %"),
    ] {
        let (bench, store, _) = self::bench(&hours, rest);
        let before = keys(&store);
        let said = prune(&bench);
        assert!(said.contains(halt) && said.contains("warning"), "{said}");
        assert_eq!(keys(&store), before);
    }
    let (bench, store, points) = self::bench(&[30, 31, 32], "keep: { last: 1 }");
    bench.text(&text("keep: { last: 1 }").replace("stores:", "objectives: { rpo: 26h }\nstores:"));
    let before = keys(&store);
    assert!(prune(&bench).contains("older than the RPO"), "nothing is deleted while the newest success is too old");
    bench.text(&text("keep: { last: 1 }"));
    points[0].receive(&store, Level::ReadBack, Some("zstd: checksum differs"));
    assert!(prune(&bench).contains("a run has failed since"), "nor when the newest point failed its verification");
    assert_eq!(keys(&store).len(), before.len() + 1);
}

/// A run whose plan is made, and in which a slow step gives others time before it prunes.
fn meanwhile(bench: &Bench, rest: &str, others: impl FnOnce()) -> Ran {
    let slow = text(rest).replace(
        "steps:\n",
        "steps:\n  - { id: wait, uses: command, with: { argv: [sh, -c, 'touch @/started; while ! test -e @/go; do sleep 0.1; done'] } }\n",
    );
    bench.text(&slow);
    let mut running = bench.start();
    let started = bench.path("started");
    running.wait_until("the slow step", |_| started.exists());
    others();
    std::fs::write(bench.path("go"), "").unwrap();
    let ran = running.end();
    for file in [started, bench.path("go")] {
        std::fs::remove_file(file).unwrap();
    }
    ran
}

#[test]
fn a_pin_or_receipt_that_comes_between_plan_and_deletion_saves_the_point() {
    let (bench, store, points) = bench(&[1, 25, 49, 73], "keep: { last: 1 }");
    prune(&bench);
    let ran = meanwhile(&bench, "keep: { last: 1 }", || {
        bench.run(&["pin", "pipeline.yaml", points[1].run.as_str(), "--until", "2999-12-31", "--reason", "감사"]).is(0, &[]);
        points[2].receive(&store, Level::Proven, None);
    });
    ran.is(0, &["is left as it is", ".pin-", ".verified-verify-"]);
    let left: Vec<bool> = points.iter().map(|point| store.head(&point.key).unwrap().is_some()).collect();
    assert_eq!(left, [true, true, true, false], "{}", ran.stderr);
}

#[test]
fn a_point_stays_that_another_one_made_the_newest_proven_since_the_plan() {
    let (bench, store, points) = bench(&[1, 25, 49, 73], "keep: { last: 1 }");
    points[1..3].iter().for_each(|point| point.receive(&store, Level::Proven, None));
    prune(&bench);
    let ran = meanwhile(&bench, "keep: { last: 1 }", || points[1].condemn(&store));
    ran.is(0, &[&format!("{} is left as it is: newest proven point", points[2].run), &format!("{} is deleted", points[3].run)]);
    let left: Vec<bool> = points.iter().map(|point| store.head(&point.key).unwrap().is_some()).collect();
    assert_eq!(left, [true, true, true, false], "{}", ran.stderr);
}

#[test]
fn nothing_goes_when_a_run_has_failed_since_the_plan() {
    let (bench, store, points) = bench(&[1, 25, 49], "keep: { last: 2 }");
    prune(&bench);
    let failed = self::point(0);
    let ran = meanwhile(&bench, "keep: { last: 1 }", || {
        store.put_bytes(&manifest_key(&failed.pipeline, &failed.run), b"", &PutOptions::default()).unwrap();
    });
    ran.is(0, &[&format!("{} is left as it is: no rule keeps it; ", points[1].run), "a run has failed since"]);
    assert_eq!(of(&store, &points[1].run).len(), 4, "not even marked");
    assert!(store.head(&points[2].key).unwrap().is_some(), "{}", ran.stderr);
}

#[test]
fn each_of_two_stores_keeps_by_the_points_that_it_has_itself() {
    let (bench, first, points) = bench(&[1, 25, 49, 73], "");
    let second = LocalStore::open(&local_spec(&bench.path("far"))).unwrap();
    points[1..].iter().for_each(|point| point.put(&second));
    let stores = "stores: { vault: { local: { path: @/store } }, far: { local: { path: @/far } } }";
    let yaml = text("stores: [far], keep: { last: 2 }").replace("stores: { vault: { local: { path: @/store } } }", stores);
    bench.text(&yaml);
    prune(&bench);
    prune(&bench);
    let left = |store: &LocalStore| points.iter().map(|point| store.head(&point.key).unwrap().is_some()).collect::<Vec<_>>();
    assert_eq!((left(&first), left(&second)), (vec![true, true, false, false], vec![false, true, true, false]));
    let only = bench.run(&["prune", "pipeline.yaml", "--yes", "--store", "far"]);
    only.is(0, &["in far: 2 points kept"]);
    assert!(!only.stderr.contains("in vault"), "{}", only.stderr);
    bench.run(&["prune", "pipeline.yaml", "--store", "nowhere"]).is(64, &["no `prune` step for the store `nowhere`"]);
}

#[test]
fn a_failure_on_this_host_holds_back_until_a_newer_point_is_there_and_what_can_not_be_read_counts_as_one() {
    let (bench, store, points) = bench(&[2, 25, 49], "keep: { last: 1 }");
    let journals = bench.path(&format!("state/runs/{PIPELINE}"));
    std::fs::create_dir_all(&journals).unwrap();
    let state = bench.path("state");
    let said = || {
        let ran = bench.run(&["prune", "pipeline.yaml", "--yes", "--state-dir", state.to_str().unwrap()]);
        ran.is(0, &[]);
        ran.stderr
    };
    std::fs::write(journals.join(format!("{}.ndjson", point(1).run)), "{ torn\n").unwrap();
    assert!(said().contains("a run has failed since"));
    // The next run was made on another host.
    point(0).put(&store);
    let said = said();
    assert!(!said.contains("a run has failed since") && said.contains("marked for deletion"), "{said}");
    assert!(of(&store, &points[2].run).iter().any(|key| key.contains("tombstone")));
}

#[test]
fn what_one_store_knows_of_proofs_and_failures_counts_in_another() {
    let (bench, vault, points) = bench(&[1, 25, 49, 73], "");
    let far = LocalStore::open(&local_spec(&bench.path("far"))).unwrap();
    for point in &points {
        point.put(&far);
    }
    let stores = "stores: { vault: { local: { path: @/store } }, far: { local: { path: @/far } } }";
    let yaml = text("keep: { last: 1 }").replace("stores: { vault: { local: { path: @/store } } }", stores);
    bench.text(&yaml.replace("with: { store: vault,", "with: { store: far,"));
    // Verified in the vault alone; of the oldest, the far copy was.
    points[2].receive(&vault, Level::Proven, None);
    points[3].receive(&far, Level::Proven, None);
    prune(&bench);
    prune(&bench);
    let left = |store: &LocalStore| points.iter().map(|point| store.head(&point.key).unwrap().is_some()).collect::<Vec<_>>();
    assert_eq!((left(&far), left(&vault)), (vec![true, false, true, true], vec![true; 4]));

    points[1].put(&far);
    let failed = self::point(0);
    vault.put_bytes(&manifest_key(&failed.pipeline, &failed.run), b"", &PutOptions::default()).unwrap();
    assert!(prune(&bench).contains("far: a run has failed since"));
    assert!(left(&far)[1]);
}

#[test]
fn a_point_from_a_clock_far_ahead_answers_no_failure() {
    let (bench, store, points) = bench(&[-48, 1, 25], "keep: { last: 1 }");
    let failed = self::point(0);
    store.put_bytes(&manifest_key(&failed.pipeline, &failed.run), b"", &PutOptions::default()).unwrap();
    assert!(prune(&bench).contains("a run has failed since"));
    assert!(points.iter().all(|point| store.head(&point.key).unwrap().is_some()));
}

#[test]
fn a_point_whose_store_was_renamed_so_that_nobody_knows_its_objects_stays() {
    let (bench, store, points) = bench(&[1, 25], "keep: { last: 1 }");
    let parted = self::point(49);
    let mut manifest = parted.manifest();
    let elsewhere = Artifact { step: "away".parse().unwrap(), store: "other".parse().unwrap(), ..manifest.artifacts[0].clone() };
    manifest.artifacts.push(elsewhere);
    store.put_bytes(&parted.key, &parted.content(), &PutOptions::default()).unwrap();
    commit(&store, &manifest).unwrap();
    bench.text(&text("keep: { last: 1 }").replace("vault", "near"));
    prune(&bench);
    prune(&bench);
    let left: Vec<bool> = points.iter().chain([&parted]).map(|point| store.head(&point.key).unwrap().is_some()).collect();
    assert_eq!(left, [true, false, true]);
    assert!(of(&store, &parted.run).contains(&manifest_key(&pipeline(), &parted.run)), "the dump has its manifest still");
}

#[test]
fn records_that_came_after_their_point_was_gone_are_deleted_in_time() {
    let (bench, store, points) = bench(&[1, 25], "keep: { last: 2 }");
    let [old, young, marked] = [91 * 24, 80 * 24, 92 * 24].map(self::point);
    for point in [&old, &young, &marked] {
        point.receive(&store, Level::Proven, None);
        mark(&store, point, Wish::Undelete { reason: "too late".to_owned() });
    }
    // What a tombstone names may be there still.
    mark(&store, &marked, Wish::Tombstone { reason: "unwanted".to_owned(), after: Timestamp::now(), keys: vec![marked.key.clone()] });
    mark(&store, &marked, Wish::Undelete { reason: "after all".to_owned() });
    let said = prune(&bench);
    assert!(said.contains("deletes 2 records in vault of runs without a restore point, from more than 90 days ago"), "{said}");
    let left = [&old, &young, &marked, &points[1]].map(|point| of(&store, &point.run).len());
    assert_eq!((left[0], left[1], left[2]), (0, 2, 4));
    assert!(left[3] > 2, "{left:?}");
}

fn mark(store: &LocalStore, point: &Point, wish: Wish) {
    let (_, marks) = look_again(store, &point.pipeline, &point.run).unwrap();
    add(store, (&point.pipeline, &point.run), wish, Author { by: "김", now: Timestamp::now() }, &marks).unwrap();
}

#[test]
fn a_pipeline_prunes_after_its_own_commit_and_never_after_a_failure() {
    let (server, bench) = (shop(1), Bench::new());
    let steps = |dump: &str| {
        format!(
            "steps:\n  - {{ id: dump, uses: dump, with: {{ connection: shop{dump} }} }}\n  - {{ id: upload, uses: upload, with: {{ store: vault, key: \"{{{{ run.id }}}}.dump\" }} }}\n  - {{ id: prune, uses: prune, needs: [], with: {{ store: vault, grace: 0s, clock_skew: 0s, keep: {{ last: 1 }} }} }}\n"
        )
    };
    bench.pipeline(&server, &steps(""));
    for made in 1..=3 {
        bench.apply().is(0, &[]);
        assert_eq!(bench.points().len(), made);
        // Run ids sort by the second in which a run started.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    let (newest, oldest) = (bench.points(), bench.points().split_off(1));
    assert!(bench.story().contains(":commit=Done prune#1 prune=Done"), "{}", bench.story());
    let before = keys(&bench.vault());
    bench.program("pg_dump", "\"$REAL\" \"$@\" | head -c 1000; exit 1");
    bench.apply().is(10, &[]);
    assert!(bench.story().contains("prune=NotRun"), "{}", bench.story());
    assert_eq!(keys(&bench.vault()), before, "nothing went after a failure");
    // Nor by hand, as long as the newest run of this host failed.
    let state = bench.state();
    let ran = bench.run(&["prune", "pipeline.yaml", "--yes", "--state-dir", state.to_str().unwrap()]);
    ran.is(0, &["a run has failed since"]);
    assert_eq!(keys(&bench.vault()), before);

    bench.program("pg_dump", "exec \"$REAL\" \"$@\"");
    // The first of them still finds the failed run to be the newest, and lets nothing go.
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(1100));
        bench.apply().is(0, &[]);
    }
    // What a run makes is not judged by its own prune, so one more than the rule keeps is there, and one on the way out.
    let left: Vec<_> = bench.points().into_iter().map(|point| point.run).collect();
    assert_eq!(left.len(), 3, "{left:?}");
    for gone in oldest.iter().chain(&newest[..1]) {
        assert_eq!(of(&bench.vault(), &gone.run), Vec::<String>::new());
    }
}

#[test]
fn catalog_check_and_heal_tell_and_mend_from_the_command_line() {
    let (bench, near, points) = bench(&[1, 25, 49], "");
    let far = LocalStore::open(&local_spec(&bench.path("far"))).unwrap();
    for point in &points {
        point.put(&far);
    }
    let stores = "stores: { vault: { local: { path: @/store } }, far: { local: { path: @/far } } }";
    bench.text(&text("stores: [far], keep: { last: 9 }").replace("stores: { vault: { local: { path: @/store } } }", stores));
    bench.run(&["catalog", "check", "pipeline.yaml", "--digests"]).is(0, &[]);
    near.delete(&points[0].key).unwrap();
    let mut flipped = points[1].content();
    flipped[9] ^= 1;
    std::fs::write(bench.path("store").join(&points[1].key), flipped).unwrap();
    let ran = bench.run(&["catalog", "check", "pipeline.yaml"]);
    assert!(ran.code == 11 && ran.stdout.contains(&format!("{}: missing", points[0].key)), "{}", ran.stdout);
    let ran = bench.run(&["catalog", "check", "pipeline.yaml", "--digests", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (ran.code, json["checks"][0]["checked"]["flaws"].as_array().unwrap().len(), &json["checks"][0]["store"]),
        (11, 2, &"vault".into())
    );

    let heal = ["catalog", "heal", "pipeline.yaml", "--from", "far", "--to", "vault", "--digests"];
    bench.run(&heal).is(64, &["+ ", "is missing: copied", "! ", "deleted once a good copy was read and verified", "nothing was done"]);
    let ran = bench.run(&[&heal[..], &["--yes"]].concat());
    assert!(ran.code == 0 && ran.stdout.contains("2 objects healed, 0 not"), "{}{}", ran.stdout, ran.stderr);
    bench.run(&["catalog", "check", "pipeline.yaml", "--digests"]).is(0, &[]);
    let kept =
        |store: &LocalStore| keys(store).into_iter().filter(|key| !key.starts_with(runner::store::lease::PREFIX)).collect::<Vec<_>>();
    assert_eq!(kept(&near), kept(&far));

    // A manifest that was removed, one that was edited, and what a killed healing left aside.
    near.delete(&manifest_key(&pipeline(), &points[0].run)).unwrap();
    std::fs::write(bench.path("store").join(manifest_key(&pipeline(), &points[1].run)), "{}").unwrap();
    let aside = format!("{}{}-1", runner::store::heal::aside(&pipeline()), points[1].run);
    near.put_bytes(&aside, b"half", &runner::store::PutOptions::default()).unwrap();
    let ran = bench.run(&["catalog", "check", "pipeline.yaml"]);
    assert!(ran.code == 11 && ran.stdout.contains(&aside), "{}", ran.stdout);
    let ran = bench.run(&[&heal[..], &["--yes"]].concat());
    ran.is(
        0,
        &["has lost its manifest", "has a manifest that can not be used", "removed what a killed healing left", "Plan: 2 restore points"],
    );
    bench.run(&["catalog", "check", "pipeline.yaml", "--digests"]).is(0, &[]);
    assert_eq!(kept(&near), kept(&far));
    let copied = runner::store::catalog::read(&near, &pipeline()).unwrap().points[0].manifest.clone().unwrap().copied.unwrap();
    assert_eq!(copied.from.as_str(), "far");
}

#[test]
fn healing_waits_for_no_lease_that_another_holds_and_keeps_hashes_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let (bench, near, points) = bench(&[1], "");
    let far = LocalStore::open(&local_spec(&bench.path("far"))).unwrap();
    let mut manifest = points[0].manifest();
    manifest.artifacts[0].origin.kind = "globals".to_owned();
    points[0].put_as(&far, &manifest);
    near.delete(&manifest_key(&pipeline(), &points[0].run)).unwrap();
    runner::store::commit::commit(&near, &manifest).unwrap();
    near.delete(&points[0].key).unwrap();
    let stores = "stores: { vault: { local: { path: @/store, file_mode: \"0640\" } }, far: { local: { path: @/far } } }";
    bench.text(&text("keep: { last: 9 }").replace("stores: { vault: { local: { path: @/store } } }", stores));
    let heal = ["catalog", "heal", "pipeline.yaml", "--from", "far", "--to", "vault", "--yes"];
    let shared: std::sync::Arc<dyn runner::store::ObjectStore> = std::sync::Arc::new(near);
    let me = Holder::here(pipeline(), point(0).run, "db1".to_owned());
    let terms = Terms { ttl: std::time::Duration::from_secs(2), ..Terms::of(pipeline()) };
    let leases = Leases::take(&shared, &terms, &me, &Cancel::new(), &|_| {}).unwrap();
    bench.run(&heal).is(14, &["is held by run"]);
    assert_eq!(leases.end(), Vec::<String>::new());
    bench.run(&heal).is(0, &[]);
    let mode = std::fs::metadata(bench.path("store").join(&points[0].key)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{mode:o}");
}

#[test]
fn the_simulation_tries_the_rules_of_the_pipelines_own_prune() {
    let (bench, ..) = bench(&[], "");
    let yaml = text("keep: { daily: 5 }").replace("stores:", "schedule: { cron: '17 2 * * *', timezone: Asia/Seoul }\nstores:");
    bench.text(&yaml);
    let ran = bench.run(&["retention", "simulate", "pipeline.yaml", "--days", "20", "--format", "json"]);
    assert!(ran.code == 0 && ran.stdout.contains("\"daily\": 5"), "{}{}", ran.stdout, ran.stderr);
    bench.text(&yaml.replace("keep: { daily: 5 }", "keep: {}"));
    bench.run(&["validate", "pipeline.yaml"]).is(65, &[]);
    bench.text(&yaml.replace("id: prune,", "id: prune, when: always,"));
    let ran = bench.run(&["validate", "pipeline.yaml"]);
    assert!(ran.code == 65 && ran.stdout.contains("bad-retention"), "{}", ran.stdout);
    bench.text(&yaml.replace("keep:", "kept: 1, keep:"));
    assert!(bench.run(&["validate", "pipeline.yaml"]).stdout.contains("unknown-key"), "the parameters are closed");
}
