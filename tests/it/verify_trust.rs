//! What a verification may be trusted in: it waits for a server that works, tells a missing right from damage, asks checks as they are meant,
//! and lists what it could not compare.

use std::process::Command;

use runner::store::ObjectStore as _;
use runner::store::manifest::{Fault, Level};

use crate::apply_support::{Bench, keys, shop};

const TAIL: &str = "  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump\" } }\n";

/// A pipeline that dumps in this form and verifies with these parameters.
fn verified(dump: &str, verify: &str) -> String {
    format!(
        "defaults: {{ stall: 4s, retry: {{ attempts: 3, backoff: 1s }} }}
steps:
  - {{ id: dump, uses: dump, with: {{ connection: shop, {dump} }} }}
{TAIL}  - {{ id: verify, uses: verify-restore, with: {{ {verify} }} }}
"
    )
}

#[test]
fn verify_waits_for_a_server_that_works_longer_than_a_stream_may_stand_still() {
    let server = shop(1);
    server.psql("shop", "create materialized view 느림 as select 1 as a, pg_sleep(9)::text as b");
    for dump in ["format: plain", "format: tar", "format: custom"] {
        let bench = Bench::new();
        bench.pipeline(&server, &verified(dump, "jobs: 1"));
        let ran = bench.apply();
        ran.is(0, &[]);
        assert_eq!(bench.receipt().level, Level::Proven, "{dump}");
        assert!(ran.stdout.contains("2 tables, 1 materialized view, "), "{dump}: {}", ran.stdout);
        bench.is_clean();
    }
}

#[test]
fn verify_of_a_point_that_is_deleted_meanwhile_leaves_no_receipt_behind() {
    let (server, bench) = (shop(1), Bench::new());
    bench.pipeline(&server, &verified("format: custom", "checks: [{ sql: \"select pg_sleep(4) is not null\" }]"));
    let mut running = bench.start();
    running.wait_until("the verification", |events| events.contains("\"node\":\"verify"));
    bench.vault().delete(&bench.points()[0].key).unwrap();
    running.end().is(0, &["is no longer in vault, so there is no receipt"]);
    assert!(keys(&bench.vault()).iter().all(|key| !key.contains(".verified-")), "{:?}", keys(&bench.vault()));
}

#[test]
fn verify_asks_checks_as_they_are_meant_and_tells_each_that_failed() {
    let (server, bench) = (shop(1), Bench::new());
    server.psql(
        "shop",
        "create table 달 (id int, month int) partition by list (month); create table 달_1 partition of 달 for values in (1);
         create table 달_2 partition of 달 for values in (2); insert into 달 select n, 1 + n % 2 from generate_series(1, 7) n;
         create view 보기 as select * from 달",
    );
    bench.pipeline(
        &server,
        &verified(
            "format: custom",
            "checks: [{ row_count: { table: 달, min: 7, max: 7 } }, { row_count: { table: public.달_1, min: 3 } }]",
        ),
    );
    bench.apply().is(0, &["2 of 2 checks passed"]);
    let checks = "checks: [{ row_count: { table: 달, min: 8 } }, { row_count: { table: 보기, min: 1 } }, { sql: \"select true, false\" },
      { sql: \"select generate_series(1, 2) > 0\" }, { sql: \"select true where false\" }, { sql: \"select 1 / 0\" }]";
    bench.pipeline(&server, &verified("format: custom", checks));
    let ran = bench.apply();
    for told in [
        "check failed: 달 has at least 8 rows: found 7\n",
        "check failed: 보기 has at least 1 rows: found a view, ",
        "check failed: select true, false: found 2 columns: t, f; ",
        "check failed: select generate_series(1, 2) > 0: found more than one row: t; t; ",
        "check failed: select true where false: found no row; ",
        "check failed: select 1 / 0: could not be asked: division by zero\n",
    ] {
        ran.is(11, &[told]);
    }
    assert!(!ran.stderr.contains("runner_check"), "{}", ran.stderr);
}

#[test]
fn verify_names_who_opened_it_and_what_of_the_database_itself_is_not_compared() {
    let (server, bench) = (shop(1), Bench::new());
    server.psql("shop", "alter database shop set work_mem = '8MB'; comment on database shop is '주문'");
    let made = Command::new("age-keygen").arg("-o").arg(bench.path("keys/key")).output().expect("age is needed: install the package age");
    let recipient = String::from_utf8(made.stderr).unwrap().trim().rsplit(' ').next().unwrap().to_owned();
    assert!(Command::new("age-keygen").arg("-o").arg(bench.path("keys/other")).output().unwrap().status.success());
    // A database that no step uses does not answer, and stops nothing.
    let steps = format!(
        "secrets: {{ key: {{ file: @/keys/key }} }}
steps:
  - {{ id: dump, uses: dump, with: {{ connection: shop }} }}
  - {{ id: encrypt, uses: encrypt, with: {{ age: {{ recipients: [{recipient}] }} }} }}
{TAIL}  - {{ id: verify, uses: verify-restore, with: {{ identity: {{ secret: key }} }} }}
"
    );
    bench.pipeline(&server, &steps);
    let text = std::fs::read_to_string(bench.path("pipeline.yaml")).unwrap();
    bench.text(&text.replacen(
        "connections:\n",
        "connections:\n  drill: { postgres: { host: 127.0.0.1, port: 9, user: nobody, database: drill } }\n",
        1,
    ));
    bench.apply().is(0, &[]);
    let receipt = bench.receipt();
    assert_eq!((receipt.level, receipt.opened_by.as_deref()), (Level::Proven, Some(recipient.as_str())));
    let proof = receipt.proof.unwrap();
    let left: Vec<&String> = proof.incomparable.iter().filter(|left| left.starts_with("comment and settings of database shop: ")).collect();
    assert_eq!(left.len(), 1, "{:?}", proof.incomparable);
    let shown = bench.run(&["show", "pipeline.yaml"]);
    assert!(shown.stdout.contains(&format!("opened by {recipient}")) && shown.stdout.contains("of database shop"), "{}", shown.stdout);
    // A key that was mistyped says nothing of the restore point.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let ran = bench.run(&["verify", "pipeline.yaml", "--identity", bench.path("keys/other").to_str().unwrap()]);
    ran.is(11, &["age: none of the given identities is a recipient", &format!("lend the private key of {recipient}")]);
    let listed = bench.run(&["list", "pipeline.yaml"]);
    assert!(listed.stdout.contains("proven") && !listed.stdout.contains('!'), "{}", listed.stdout);
    let point = bench.points().remove(0);
    let receipts = runner::store::commit::receipts(&bench.vault(), &"orders".parse().unwrap(), &point.run).unwrap().read;
    assert_eq!(receipts.iter().map(|receipt| receipt.fault).collect::<Vec<_>>(), [None, Some(Fault::Key)]);
}

#[test]
fn restore_by_a_role_that_lacks_a_right_is_refused_and_not_called_damage() {
    let (server, bench) = (shop(1), Bench::new());
    server.psql("shop", "create role 주인; alter table lines owner to 주인; create role 복원 login createdb");
    bench.pipeline(&server, &verified("format: custom", "jobs: 1"));
    bench.apply().is(0, &[]);
    let to = format!("postgresql:///copy?host={}&port={}&user=%EB%B3%B5%EC%9B%90", server.socket_folder().display(), server.port);
    let restore = |more: &[&str]| bench.run(&[&["restore", "pipeline.yaml", "--to", &to, "--yes"][..], more].concat());
    let ran = restore(&[]);
    ran.is(77, &["can give nothing to", "주인", "--no-owner"]);
    assert!(ran.stderr.contains("must be able to SET ROLE") || ran.stderr.contains("must be owner of"), "{}", ran.stderr);
    restore(&["--no-owner", "--no-privileges"]).is(0, &[]);
}

#[test]
fn verify_and_restore_list_what_no_archive_brings_back() {
    let server = shop(1);
    server.psql("shop", "alter role postgres set allow_in_place_tablespaces = on");
    server.psql("postgres", "create tablespace \"빠른 곳\" location ''");
    server.psql("shop", "create extension pg_trgm version '1.3'; alter table \"주문\" set tablespace \"빠른 곳\"");
    let lists = [
        "the tablespace of 1 object (빠른 곳): everything is restored into the default tablespace",
        "extension pg_trgm: 1.3 was dumped, 1.",
    ];
    let checked = |dump: &str, verify: &str| {
        let bench = Bench::new();
        bench.pipeline(&server, &verified(dump, verify));
        bench.apply().is(0, &[]);
        let proof = bench.receipt().proof.unwrap();
        let listed = |words: &str| proof.incomparable.iter().any(|left| left.starts_with(words));
        // A script puts its objects where they were.
        assert_eq!(listed(lists[0]), dump == "format: custom", "{dump} {verify}: {:?}", proof.incomparable);
        assert!(listed(lists[1]), "{dump} {verify}: {:?}", proof.incomparable);
        assert_eq!(listed("settings, rights and comment of the database itself"), dump == "format: plain", "{:?}", proof.incomparable);
        bench
    };
    checked("format: plain", "jobs: 1");
    checked("format: custom", "prove: counts");
    let bench = checked("format: custom", "jobs: 1");
    let ran = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--database", "복원", "--yes"]);
    ran.is(0, &["not restored: the tablespace of 1 object (빠른 곳)", "not compared: the tablespace of 1 object (빠른 곳)"]);
    let shown = bench.run(&["show", "pipeline.yaml"]).stdout;
    assert!(shown.contains("the tablespace of 1 object (빠른 곳): no restore of an archive takes them over"), "{shown}");
}
