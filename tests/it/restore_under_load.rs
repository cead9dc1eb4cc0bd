//! `runner restore --replace` while applications work: none of their transactions sees anything but the old database or the new one.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::apply_support::{Bench, MAJOR};
use crate::servers::postgres::{TestServer, bin};

const STEPS: &str = "steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: compress, uses: compress, with: { level: 1 } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump.zst\" } }
";

/// How long the name may lead nowhere.
const GAP: Duration = Duration::from_millis(1500);

fn program(server: &TestServer, name: &str) -> Command {
    let mut command = Command::new(bin(MAJOR).join(name));
    command.env("PGHOST", server.socket_folder()).env("PGPORT", server.port.to_string()).env("PGUSER", "postgres");
    command.stdin(Stdio::null());
    command
}

/// What one look at the database by its name saw.
#[derive(Debug, PartialEq)]
enum Seen {
    /// Which generation of data.
    Generation(String),
    /// No answer, and why.
    Nothing(String),
}

/// Connects anew and asks which database this is, and whether it is whole, in one statement.
fn look(server: &TestServer) -> Seen {
    let whole =
        "select (select word from generation) || case when (select count(*) from pgbench_accounts) = 100000 then '' else ' in part' end";
    let asked = program(server, "psql").args(["-X", "-A", "-t", "-c", whole, "shop"]).output().unwrap();
    if asked.status.success() {
        return Seen::Generation(String::from_utf8(asked.stdout).unwrap().trim().to_owned());
    }
    Seen::Nothing(String::from_utf8_lossy(&asked.stderr).trim().to_owned())
}

#[test]
fn restore_replaces_a_database_under_load_without_showing_anything_half_done() {
    let (server, bench) = (TestServer::start(MAJOR), Bench::new());
    server.psql("postgres", "create database shop");
    assert!(program(&server, "pgbench").args(["-i", "-q", "-s", "1", "shop"]).output().unwrap().status.success());
    server.psql("shop", "create table generation (word text); insert into generation values ('restored')");
    bench.pipeline(&server, STEPS);
    bench.apply().is(0, &[]);
    server.psql("shop", "update generation set word = 'live'");
    let done = AtomicBool::new(false);
    let looks = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut looks = Vec::new();
            while !done.load(Ordering::SeqCst) {
                looks.push((Instant::now(), look(&server)));
            }
            looks
        });
        // Applications that come back after they were sent away: pgbench itself gives up, so it is started again and again.
        for client in 0..3 {
            let (server, done) = (&server, &done);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let connect = if client == 0 { &["-C"][..] } else { &[] };
                    let _ended = program(server, "pgbench")
                        .args(connect)
                        .args(["-n", "-c", "2", "-T", "2", "shop"])
                        .stderr(Stdio::null())
                        .stdout(Stdio::null())
                        .status();
                }
            });
        }
        std::thread::sleep(Duration::from_secs(1));
        let ran = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--replace", "--yes"]);
        std::thread::sleep(Duration::from_secs(1));
        done.store(true, Ordering::SeqCst);
        ran.is(0, &["of shop ended", "is renamed to shop_before_<time>"]);
        watcher.join().unwrap()
    });
    let gap = told(&looks);
    assert!(gap < GAP, "the name led nowhere for {gap:?}: {looks:?}");
    assert_eq!(server.psql("shop", "select word from generation"), "restored");
    let kept = server.psql("postgres", "select datname from pg_database where datname like 'shop_before_%'");
    assert_eq!(server.psql(&kept, "select word from generation"), "live");
    // What was written until the swap is whole in the one that is kept: every transaction of pgbench writes its history and three sums.
    let sums = "select (select sum(abalance) from pgbench_accounts) = (select coalesce(sum(delta), 0) from pgbench_history)
                   and (select sum(bbalance) from pgbench_branches) = (select coalesce(sum(delta), 0) from pgbench_history)";
    assert_eq!((server.psql(&kept, sums), server.psql("shop", sums)), ("t".to_owned(), "t".to_owned()));
    assert_ne!(server.psql(&kept, "select count(*) from pgbench_history"), "0");
    // The safety point is there, and is the live database of that moment.
    let list = bench.run(&["list", "pipeline.yaml"]);
    list.is(0, &[]);
    let safety = manifests(&bench, "orders.restore");
    assert_eq!(safety.len(), 1);
    let undo = format!("postgresql:///undo?host={}&port={}&user=postgres", server.socket_folder().display(), server.port);
    bench.run(&["restore", safety[0].to_str().unwrap(), "--to", &undo, "--yes"]).is(0, &[]);
    assert_eq!((server.psql("undo", "select word from generation"), server.psql("undo", sums)), ("live".to_owned(), "t".to_owned()));
    // And with --drop-old nothing else is left of it.
    bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--replace", "--drop-old", "--yes"]).is(0, &["is dropped"]);
    let names = "select string_agg(datname, ' ' order by datname) from pg_database where datname like 'shop%'";
    assert_eq!(server.psql("postgres", names), format!("shop {kept}"));
}

#[test]
fn restore_drops_nothing_that_was_written_to_after_its_safety_dump() {
    let (server, bench) = (TestServer::start(MAJOR), Bench::new());
    server.psql("postgres", "create database shop");
    server.psql("shop", "create table t (id int generated always as identity)");
    bench.pipeline(&server, STEPS);
    bench.apply().is(0, &[]);
    let done = AtomicBool::new(false);
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let insert = ["-X", "-q", "-c", "insert into t default values", "shop"];
                let _ended = program(&server, "psql").args(insert).stderr(Stdio::null()).status();
            }
        });
        std::thread::sleep(Duration::from_millis(500));
        let ran = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--replace", "--drop-old", "--yes"]);
        done.store(true, Ordering::SeqCst);
        ran
    });
    ran.is(0, &["is not dropped, because it was written to after its safety dump had begun", "table public.t"]);
    let kept = server.psql("postgres", "select datname from pg_database where datname like 'shop_before_%'");
    assert_ne!(server.psql(&kept, "select count(*) from t"), "0");
}

/// The longest time between two answers with none in between; demands that first one generation was seen and then the other, whole.
#[track_caller]
fn told(looks: &[(Instant, Seen)]) -> Duration {
    let mut generations: Vec<&str> =
        looks.iter().filter_map(|(_, seen)| if let Seen::Generation(word) = seen { Some(word.as_str()) } else { None }).collect();
    generations.dedup();
    assert_eq!(generations, ["live", "restored"]);
    let (mut gap, mut since): (Duration, Option<Instant>) = (Duration::ZERO, None);
    for (at, seen) in looks {
        match seen {
            Seen::Generation(_) => gap = gap.max(since.take().map_or(Duration::ZERO, |since| at.duration_since(since))),
            Seen::Nothing(why) => {
                let ended = [
                    "does not exist",
                    "terminating connection",
                    "closed the connection",
                    "is being accessed",
                    "is not currently accepting",
                ];
                assert!(ended.iter().any(|words| why.contains(words)), "{why}");
                since.get_or_insert(*at);
            }
        }
    }
    gap
}

fn manifests(bench: &Bench, pipeline: &str) -> Vec<std::path::PathBuf> {
    let all = crate::apply_support::files(&bench.path("store/.runner").join(pipeline));
    all.into_iter().filter(|path| path.to_string_lossy().ends_with(".manifest.json")).collect()
}
