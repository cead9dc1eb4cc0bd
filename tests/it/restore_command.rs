//! `runner restore` and `runner verify`: from a store back into a real server, as an operator would.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::path::PathBuf;

use crate::apply_support::{Bench, shop};
use crate::servers::postgres::TestServer;

const STEPS: &str = "steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: compress, uses: compress, with: { level: 1 } }
  - { id: checksum, uses: checksum }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump.zst\" } }
";

/// A server with a restore point of its database `shop` in a store.
fn backed_up() -> (TestServer, Bench) {
    let (server, bench) = (shop(1), Bench::new());
    bench.pipeline(&server, STEPS);
    bench.apply().is(0, &[]);
    (server, bench)
}

const DIGEST: &str = "select md5(string_agg(t::text, '|' order by id)) from \"주문\" t";

#[test]
fn restore_makes_a_new_database_that_equals_what_was_dumped() {
    let (server, bench) = backed_up();
    let ran = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--database", "복원", "--yes"]);
    ran.is(0, &["+ restore:prepare", "복원 on shop"]);
    assert!(ran.stdout.contains("/복원") && ran.stdout.contains("proven"), "{}", ran.stdout);
    assert_eq!(server.psql("복원", DIGEST), server.psql("shop", DIGEST));
    assert_eq!(server.psql("postgres", "select count(*) from pg_database where datname like '%restoring%'"), "0");
    // What it made has the same fingerprint when it is dumped in its turn.
    let again = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--database", "복원", "--yes"]);
    again.is(10, &["database \"복원\" exists already", "--replace"]);
}

#[test]
fn restore_does_nothing_that_was_not_confirmed() {
    let (server, bench) = backed_up();
    let ran = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--database", "copy"]);
    ran.is(64, &["nothing was done", "--yes", "restores the latest restore point"]);
    assert_eq!(server.psql("postgres", "select count(*) from pg_database where datname = 'copy'"), "0");
}

#[test]
fn restore_never_goes_over_the_source_or_into_another_database_by_default() {
    let (server, bench) = backed_up();
    let ran = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--yes"]);
    ran.is(10, &["is the very database that was dumped", "+ restore:swap", "It can not be applied"]);
    for words in ["is renamed to", "to replace", "\n  !"] {
        assert!(!ran.stderr.contains(words), "a plan that is refused reads as if it took something away: {}", ran.stderr);
    }
    server.psql("postgres", "create database busy");
    bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--database", "busy", "--yes"]).is(10, &["exists already"]);
    server.psql("postgres", "create database half_restoring");
    let ran = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--database", "half", "--yes"]);
    ran.is(10, &["half_restoring", "no restore made it"]);
    // A name may be made of two: what was made for another database is left alone.
    server.psql(
        "postgres",
        "comment on database half_restoring is 'Made by runner for a restore of halfway; while no restore is at work, it can be dropped.'",
    );
    let ran = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--database", "half", "--yes"]);
    ran.is(10, &["half_restoring", "no restore made it"]);
    server.psql(
        "postgres",
        "comment on database half_restoring is 'Made by runner for a restore of half; while no restore is at work, it can be dropped.'",
    );
    bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--database", "half", "--yes"]).is(0, &["removed half_restoring"]);
}

#[test]
fn restore_replaces_only_after_a_safety_dump_and_keeps_what_was_there() {
    let (server, bench) = backed_up();
    server.psql("shop", "alter database shop set work_mem = '7MB'; alter database shop set search_path = public, \"주문\"");
    server.psql("shop", "comment on database shop is 'it''s ours'; alter role postgres set allow_in_place_tablespaces = on");
    server.psql("postgres", "create tablespace fast location ''");
    server.psql("postgres", "alter database shop set tablespace fast");
    server.psql("shop", "delete from lines where id > 10");
    let ran = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--replace", "--yes"]);
    ran.is(
        0,
        &[
            "! ",
            "is renamed to shop_before_<time>; what is written to it after its safety dump has begun is only there",
            "safety dump of shop",
        ],
    );
    let of_database = "select spcname, shobj_description(d.oid, 'pg_database') from pg_database d join pg_tablespace t on t.oid = dattablespace where datname = 'shop'";
    assert_eq!(server.psql("postgres", of_database), "fast|it's ours");
    assert_eq!(server.psql("shop", "select count(*) from lines"), "100");
    assert_eq!(server.psql("shop", "show work_mem"), "7MB", "what belongs to the database and not to its content stays");
    assert_eq!(server.psql("shop", "show search_path"), "public, \"주문\"");
    let kept = server.psql("postgres", "select datname from pg_database where datname like 'shop_before_%'");
    assert_eq!(server.psql(&kept, "select count(*) from lines"), "10");
    // The safety dump is a restore point of its own, which can be restored by its manifest.
    let manifest = manifests(&bench, "orders.restore").pop().unwrap();
    let ran = bench.run(&["restore", manifest.to_str().unwrap(), "--to", &url(&server, "undo"), "--yes"]);
    ran.is(0, &[]);
    assert_eq!(server.psql("undo", "select count(*) from lines"), "10");
    let dropped = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--replace", "--drop-old", "--yes"]);
    dropped.is(0, &["is dropped if the safety dump holds all of it", "what was there before was dropped"]);
    assert_eq!(server.psql("postgres", "select count(*) from pg_database where datname like 'shop_before_%'"), "1", "the first one stays");
}

#[test]
fn verify_proves_an_old_point_and_names_what_is_damaged() {
    let (_server, bench) = backed_up();
    let ran = bench.run(&["verify", "pipeline.yaml"]);
    ran.is(0, &[]);
    assert!(ran.stdout.contains("proven"), "{}", ran.stdout);
    assert!(bench.run(&["list", "pipeline.yaml"]).stdout.contains("proven"));
    let object = std::fs::read_dir(bench.path("store"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().ends_with(".dump.zst"))
        .unwrap();
    let mut bytes = std::fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, bytes).unwrap();
    bench.run(&["verify", "pipeline.yaml"]).is(11, &["sha256"]);
    assert!(bench.run(&["list", "pipeline.yaml"]).stdout.contains("its newest verification failed"));
}

#[test]
fn restore_finds_the_point_of_a_moment_or_names_the_nearest() {
    let (_server, bench) = backed_up();
    bench.run(&["restore", "pipeline.yaml", "--at", "2026-11-20T02:17", "--to", "shop"]).is(64, &["has no time zone"]);
    let run = manifests(&bench, "orders").pop().unwrap().file_name().unwrap().to_str().unwrap().split('.').next().unwrap().to_owned();
    let ran = bench.run(&["restore", "pipeline.yaml", "--at", "2001-01-01T00:00Z", "--to", "shop", "--database", "x", "--yes"]);
    ran.is(10, &["no restore point of orders at or before 2001-01-01T00:00:00Z", &run]);
}

fn url(server: &TestServer, database: &str) -> String {
    format!(
        "postgresql:///{database}?host={}&port={}&user=postgres",
        server.conninfo("postgres").hosts[0].host,
        server.conninfo("postgres").hosts[0].port
    )
}

fn manifests(bench: &Bench, pipeline: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for month in std::fs::read_dir(bench.path("store/.runner").join(pipeline)).unwrap() {
        let month = month.unwrap().path();
        found.extend(
            std::fs::read_dir(month)
                .into_iter()
                .flatten()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.to_string_lossy().ends_with(".manifest.json")),
        );
    }
    found.sort();
    found
}
