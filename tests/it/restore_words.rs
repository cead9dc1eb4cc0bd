//! What a restore says before and behind its work: which point it takes and how good that is, what became of it, and how to go back.

use crate::apply_support::{Bench, MAJOR, files};
use crate::restore_rig::SHOP;
use crate::servers::http::{Answer, HttpSink};
use crate::servers::postgres::TestServer;

const STEPS: &str = "steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: compress, uses: compress, with: { level: 1 } }
  - { id: checksum, uses: checksum }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump.zst\" } }
";

fn backed_up() -> (TestServer, Bench) {
    let (server, bench) = (TestServer::start(MAJOR), Bench::new());
    server.psql("postgres", "create database shop");
    server.psql("shop", SHOP);
    bench.pipeline(&server, STEPS);
    bench.apply().is(0, &[]);
    (server, bench)
}

fn restore(bench: &Bench, more: &[&str]) -> crate::apply_support::Ran {
    bench.run(&[&["restore", "pipeline.yaml", "--to", "shop", "--yes"], more].concat())
}

/// What stands behind a word of the summary.
#[track_caller]
fn told<'a>(stdout: &'a str, word: &str) -> &'a str {
    let line = stdout.lines().find_map(|line| line.strip_prefix(&format!("  {word:<14} ")));
    line.unwrap_or_else(|| panic!("no {word:?} in:\n{stdout}"))
}

/// The words of a command, some of which are in single quotes.
fn words(command: &str) -> Vec<String> {
    let parts = command.split('\'').enumerate();
    parts
        .flat_map(|(at, part)| if at % 2 == 1 { vec![part.to_owned()] } else { part.split_whitespace().map(str::to_owned).collect() })
        .collect()
}

fn run_of(bench: &Bench) -> String {
    bench.points()[0].run.to_string()
}

#[test]
fn restore_says_which_point_it_takes_and_prints_the_command_that_goes_back() {
    let (server, bench) = backed_up();
    let run = run_of(&bench);
    for mode in [&["--replace"][..], &["--replace", "--clean"], &["--tables", "shop.lines,shop.orders", "--as", "replace"]] {
        server.psql("shop", "delete from shop.lines where order_id = 10");
        let ran = restore(&bench, mode);
        ran.is(0, &[&format!("in vault: {run}, "), " old, stored"]);
        let from = told(&ran.stdout, "from");
        assert!(from.starts_with(&format!("{run} of orders, ")) && from.ends_with(" old, stored"), "{from}");
        assert_ne!(told(&ran.stdout, "safety dump"), run, "{mode:?}");
        assert!(!ran.stdout.contains("restore point  "), "{}", ran.stdout);
        assert_eq!(told(&ran.stdout, "found"), "proven");
        assert_eq!(server.psql("shop", "select count(*) from shop.lines"), "8");
        let back = words(told(&ran.stdout, "go back"));
        let args: Vec<&str> = back.iter().skip(1).map(String::as_str).chain(["--yes"]).collect();
        bench.run(&args).is(0, &[]);
        assert_eq!(server.psql("shop", "select count(*) from shop.lines"), "6", "{mode:?} is undone by {back:?}");
        server.psql("shop", "delete from shop.lines; insert into shop.lines (order_id, no) select o, n from unnest(array[10, 11, 12, 13]) o, generate_series(1, 2) n");
    }
    let ran = restore(&bench, &["--database", "copy", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((json["from"][0]["run"].as_str(), json["from"][0]["level"].as_str()), (Some(run.as_str()), Some("stored")), "{json}");
    assert!(json["from"][0]["age_seconds"].is_u64() && json["go_back"]["command"].is_null(), "{json}");
}

#[test]
fn restore_warns_of_a_point_whose_newest_verification_failed() {
    let (_server, bench) = backed_up();
    bench.run(&["verify", "pipeline.yaml"]).is(0, &[]);
    let object = files(&bench.path("store")).into_iter().find(|path| path.extension().is_some_and(|ending| ending == "zst")).unwrap();
    let good = std::fs::read(&object).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    let write = |bytes: &[u8]| {
        std::fs::remove_file(&object).unwrap();
        std::fs::write(&object, bytes).unwrap();
    };
    write(&bad);
    bench.run(&["verify", "pipeline.yaml"]).is(11, &[]);
    write(&good);
    let ran = restore(&bench, &["--database", "copy"]);
    ran.is(0, &["warning: step fetch: the newest verification of restore point ", " old, stored", "--at takes one"]);
    assert!(told(&ran.stdout, "warning").contains("its newest verification failed"), "{}", ran.stdout);
}

#[test]
fn restore_that_is_not_well_says_how_the_names_go_back() {
    let (server, bench) = backed_up();
    server.psql("shop", "delete from shop.lines where order_id = 10");
    let ill = HttpSink::start(vec![Answer::status(500)]);
    let ran = restore(&bench, &["--replace", "--health", &ill.url("/health"), "--health-for", "1s"]);
    assert_ne!(ran.code, 0);
    assert_eq!(server.psql("shop", "select count(*) from shop.lines"), "8");
    let renames = ran.stdout.lines().find_map(|line| line.split_once("in psql, to database postgres: ")).unwrap().1;
    for statement in renames.split_inclusive(';') {
        server.psql("postgres", statement);
    }
    assert_eq!(server.psql("shop", "select count(*) from shop.lines"), "6");
}

#[test]
fn restore_of_rows_that_do_not_differ_writes_no_patch() {
    let (_server, bench) = backed_up();
    for more in [&[][..], &["--apply"]] {
        let ran = restore(&bench, &[&["--rows", "orders: true", "--patch", "patch.sql"], more].concat());
        ran.is(0, &["nothing differs"]);
        assert!(ran.stdout.contains("unchanged") && ran.stdout.contains("nothing differs"), "{}", ran.stdout);
        assert!(!ran.stdout.contains("apply-patch") && !bench.path("patch.sql").exists(), "{}", ran.stdout);
        assert_eq!(told(&ran.stdout, "looked at"), "3 tables, 15 rows of the restore point, in a scratch server");
        assert_eq!(told(&ran.stdout, "found"), "proven");
    }
}

#[test]
fn restore_tells_apart_what_is_nearly_a_name() {
    let (_server, bench) = backed_up();
    let run = run_of(&bench);
    let cut = &run[..16];
    bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--at", cut]).is(64, &["is the beginning of an id", "runner list"]);
    for command in ["show", "verify", "diff"] {
        bench.run(&[command, &run]).is(66, &["is the id of a restore point", &format!("--at {run}")]);
    }
    bench.run(&["restore", &run, "--to", "postgresql:///x?host=/nowhere"]).is(66, &[&format!("--at {run}")]);
    bench.run(&["restore", "--file", "없음.sql", "--to", "postgresql:///x?host=/nowhere"]).is(66, &["there is no file 없음.sql"]);
}
