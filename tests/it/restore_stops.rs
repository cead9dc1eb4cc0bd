//! Restores that do not come to their end: what they leave, what they say, and who is kept out meanwhile.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::apply_support::{Bench, files, shop};
use crate::servers::ports;
use crate::servers::postgres::{Options, TestServer};
use crate::servers::small_disk::SmallDisk;

const STEPS: &str = "steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: compress, uses: compress, with: { level: 1 } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump.zst\" } }
";

/// A `pg_restore` that waits behind the definitions until a file is there.
const WAITS: &str = "case \"$*\" in *--list*) exec \"$REAL\" \"$@\";; esac
\"$REAL\" --section=pre-data \"$@\" || exit $?
: > @/half; while [ ! -e @/go ]; do sleep 0.05; done; exec \"$REAL\" --section=data --section=post-data \"$@\"";

/// A `pg_restore` that waits before it begins.
const WAITS_FIRST: &str = "case \"$*\" in *--list*) exec \"$REAL\" \"$@\";; esac
: > @/half; while [ ! -e @/go ]; do sleep 0.05; done; exec \"$REAL\" \"$@\"";

fn backed_up(mib: u32) -> (TestServer, Bench) {
    let (server, bench) = (shop(mib), Bench::new());
    bench.pipeline(&server, STEPS);
    bench.apply().is(0, &[]);
    (server, bench)
}

fn names(server: &TestServer) -> String {
    server.psql(
        "postgres",
        "select string_agg(datname, ' ' order by datname) from pg_database where not datistemplate and datname <> 'postgres'",
    )
}

fn live(server: &TestServer) -> String {
    server.psql("shop", "select count(*), min(id), max(id) from lines")
}

/// A restore in place of what is there, stopped half-way by the program above.
fn begin(bench: &Bench) -> Child {
    begin_with(bench, &[])
}

fn begin_with(bench: &Bench, more: &[&str]) -> Child {
    let mut command = bench.command(&[&["restore", "pipeline.yaml", "--to", "shop", "--replace", "--yes"], more].concat());
    let out = |name: &str| std::fs::File::create(bench.path(name)).unwrap();
    let mut child = command.stdin(Stdio::null()).stdout(out("out")).stderr(out("err")).spawn().unwrap();
    let until = Instant::now() + Duration::from_mins(1);
    while !bench.path("half").exists() {
        let said = || std::fs::read_to_string(bench.path("err")).unwrap();
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < until, "it did not come half-way:\n{}", said());
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn restore_that_fails_half_way_leaves_what_was_there_and_says_what_it_dropped() {
    let (server, bench) = backed_up(1);
    server.psql("shop", "delete from lines where id > 42");
    bench.program("pg_restore", "case \"$*\" in *--list*) exec \"$REAL\" \"$@\";; esac\n\"$REAL\" --section=pre-data \"$@\"; echo 'pg_restore: error: gave up' >&2; exit 1");
    let ran = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--replace", "--yes"]);
    ran.is(11, &["gave up", "dropped shop_restoring, which was not finished; what was there before is untouched"]);
    assert!(ran.stdout.contains("none was made; what was there before is untouched"), "{}", ran.stdout);
    assert_eq!((names(&server).as_str(), live(&server).as_str()), ("shop", "42|1|42"));
    bench.is_clean();
}

#[test]
fn restore_that_is_killed_leaves_what_was_there_and_the_next_one_clears_up() {
    let (server, bench) = backed_up(1);
    server.psql("shop", "delete from lines where id > 42");
    bench.program("pg_restore", WAITS);
    let mut child = begin(&bench);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((names(&server).as_str(), live(&server).as_str()), ("shop shop_restoring", "42|1|42"));
    bench.file("go", "");
    let planned = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--replace"]);
    planned.is(64, &["shop_restoring of an unfinished restore goes"]);
    let ran = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--replace", "--yes"]);
    ran.is(0, &["removed shop_restoring, which an unfinished restore had left"]);
    assert_eq!(live(&server), "100|1|100");
    assert!(names(&server).starts_with("shop shop_before_") && !names(&server).contains("restoring"), "{}", names(&server));
    bench.is_clean();
}

#[test]
fn restore_into_a_place_where_another_is_at_work_is_refused_and_names_it() {
    let (server, bench) = backed_up(1);
    bench.program("pg_restore", WAITS);
    let mut child = begin(&bench);
    // Its safety dump goes elsewhere: in the store of the first one's, its lease would be what is in the way.
    let elsewhere = bench.path("safety");
    let base = ["restore", "pipeline.yaml", "--to", "shop", "--yes", "--safety", elsewhere.to_str().unwrap()];
    for mode in [&["--replace"][..], &["--replace", "--drop-old"], &["--replace", "--clean"], &["--tables", "lines", "--as", "replace"]] {
        let ran = bench.run(&[&base[..], mode].concat());
        ran.is(14, &["another restore into database \"shop\" is at work (process ", "since "]);
        assert!(!files(&elsewhere).iter().any(|path| path.to_string_lossy().contains("-before.dump")), "{mode:?} dumped for nothing");
    }
    // In the same store its lease says so, and at once: a plan must not outlive what it was made from.
    let began = Instant::now();
    bench.run(&base[..5]).is(10, &["--replace"]);
    let ran = bench.run(&[&base[..5], &["--replace"]].concat());
    ran.is(14, &["is held by run ", "--wait 10m"]);
    assert!(began.elapsed() < Duration::from_secs(15) && !ran.stderr.contains("waiting"), "{:?}\n{}", began.elapsed(), ran.stderr);
    assert!(names(&server).contains("shop_restoring"), "the first one is not disturbed");
    bench.file("go", "");
    // Another place is free.
    bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--database", "other", "--yes"]).is(0, &[]);
    let ended = child.wait().unwrap();
    assert!(ended.success(), "{}", std::fs::read_to_string(bench.path("err")).unwrap());
    assert!(names(&server).starts_with("other shop shop_before_"), "{}", names(&server));
}

/// How many safety dumps there are.
fn dumps(bench: &Bench) -> usize {
    files(&bench.path("store")).iter().filter(|path| path.to_string_lossy().ends_with("-before.dump.zst")).count()
}

#[test]
fn restore_that_waited_for_another_does_not_replace_what_that_one_has_made() {
    for mode in [&["--replace"][..], &["--replace", "--clean"]] {
        let (server, bench) = backed_up(1);
        server.psql("shop", "delete from lines where id > 42");
        // In place it is one transaction, which the other must not see the half of.
        bench.program("pg_restore", if mode.len() == 1 { WAITS } else { WAITS_FIRST });
        let mut first = begin_with(&bench, if mode.len() == 1 { &[] } else { &["--clean"] });
        let waiting = bench.path("second");
        let mut second = bench.command(&[&["restore", "pipeline.yaml", "--to", "shop", "--yes", "--wait", "2m"], mode].concat());
        let mut second = second.stderr(std::fs::File::create(&waiting).unwrap()).stdout(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_mins(1);
        while !std::fs::read_to_string(&waiting).unwrap().contains("; waiting") {
            assert!(second.try_wait().unwrap().is_none() && Instant::now() < until, "{}", std::fs::read_to_string(&waiting).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        bench.file("go", "");
        assert!(first.wait().unwrap().success(), "{}", std::fs::read_to_string(bench.path("err")).unwrap());
        let (ended, said) = (second.wait().unwrap(), std::fs::read_to_string(&waiting).unwrap());
        assert_eq!(ended.code(), Some(13), "{mode:?}: {said}");
        assert!(said.contains("the plan is stale") && said.contains("nothing was replaced"), "{said}");
        assert_eq!((live(&server).as_str(), dumps(&bench)), ("100|1|100", 1), "{mode:?}");
        // A plan of now replaces.
        bench.run(&[&["restore", "pipeline.yaml", "--to", "shop", "--yes"], mode].concat()).is(0, &[]);
        assert_eq!(dumps(&bench), 2);
        bench.is_clean();
    }
}

#[test]
fn restore_is_refused_before_anything_is_done_where_it_can_not_work() {
    let (_source, mut bench) = backed_up(1);
    let server = TestServer::start_with(16, &Options { hba: vec!["host all all 127.0.0.1/32 scram-sha-256"], ..Options::default() });
    server.psql("postgres", "create role weak login password 'right'; create role strong login createdb password 'right'");
    let at = |user: &str, port: u16| format!("postgresql://{user}@127.0.0.1:{port}/copy");
    let restore = |bench: &Bench, to: &str| bench.run(&["restore", "pipeline.yaml", "--to", to, "--yes", "--no-owner"]);
    bench.env("PGPASSWORD", "right");
    restore(&bench, &at("weak", server.port)).is(77, &["may not create databases", "createdb"]);
    restore(&bench, &at("strong", ports::one())).is(69, &["127.0.0.1"]);
    restore(&bench, &at("strong", server.port)).is(0, &[]);
    assert_eq!(names(&server), "copy");
    bench.env("PGPASSWORD", "canary-wrong");
    let ran = restore(&bench, &at("strong", server.port));
    ran.is(77, &["password authentication failed"]);
    assert!(!ran.stderr.contains("canary-wrong"), "{}", ran.stderr);
    // Without programs of PostgreSQL nothing is restored, and it is said what to install.
    let (other, bench) = backed_up(1);
    std::fs::remove_dir_all(bench.path("bin")).unwrap();
    std::fs::create_dir(bench.path("bin")).unwrap();
    let ran = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--database", "copy", "--yes"]);
    assert!(ran.code == 69 && ran.stderr.contains("postgresql-client-"), "{}\n{}", ran.code, ran.stderr);
    assert_eq!(names(&other), "shop");
}

#[test]
fn restore_on_a_full_scratch_disk_says_so_and_leaves_nothing() {
    SmallDisk::run("restore_stops::restore_on_a_full_scratch_disk_says_so_and_leaves_nothing", |disk| {
        let (server, mut bench) = backed_up(16);
        let opened = Command::new("chmod").arg("1777").arg(disk).status().unwrap();
        assert!(opened.success());
        bench.env("TMPDIR", disk.to_str().unwrap());
        let ran = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--database", "copy", "--jobs", "2", "--yes"]);
        ran.is(10, &["the archive is staged on scratch disk: about ", "set TMPDIR to a larger file system", "It can not be applied"]);
        let ran = bench.run(&["verify", "pipeline.yaml"]);
        ran.is(10, &["the archive is staged on scratch disk, and restored beside it: about "]);
        assert_eq!(names(&server), "shop");
        assert_eq!(std::fs::read_dir(disk).unwrap().count(), 0, "the staged archive is removed");
    });
}
