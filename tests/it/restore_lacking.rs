//! Restore points that lack something: nothing that is there goes because of what was never dumped, and what will be lost is told.

use runner::archive::{Fingerprint, Form};

use crate::apply_support::{Bench, MAJOR};
use crate::archive_seed::{custom, read};
use crate::restore_rig::{Rig, SHOP};
use crate::servers::postgres::TestServer;

/// A dump with options, and what is done with it.
fn steps(options: &str, encrypt: &str) -> String {
    format!(
        "steps:
  - {{ id: dump, uses: dump, with: {{ connection: shop{options} }} }}
  - {{ id: compress, uses: compress, with: {{ level: 1 }} }}
{encrypt}  - {{ id: upload, uses: upload, with: {{ store: vault, key: \"{{{{ run.id }}}}.dump\" }} }}
"
    )
}

fn shop() -> (TestServer, Bench) {
    let (server, bench) = (TestServer::start(MAJOR), Bench::new());
    server.psql("postgres", "create database shop");
    server.psql("shop", SHOP);
    (server, bench)
}

#[test]
fn restore_of_a_point_without_data_takes_nothing_away() {
    let (server, bench) = shop();
    for (options, words) in [
        (", schema_only: true", "has no data: it was dumped with `schema_only`"),
        (", sections: [pre-data]", "has no data: it was dumped with `sections` that leave it out"),
    ] {
        bench.pipeline(&server, &steps(options, ""));
        bench.apply().is(0, &[]);
        let modes: [&[&str]; 5] = [
            &["--rows", "shop.lines: true", "--with-deletes", "--apply"],
            &["--tables", "shop.lines", "--as", "replace"],
            &["--replace"],
            &["--replace", "--clean"],
            &["--data-only", "--replace"],
        ];
        for mode in modes {
            let ran = bench.run(&[&["restore", "pipeline.yaml", "--to", "shop", "--yes"], mode].concat());
            ran.is(10, &[words]);
            assert_eq!(server.psql("shop", "select count(*) from shop.lines"), "8", "{mode:?}");
        }
        // Definitions alone are there.
        bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--database", "shape", "--yes"]).is(0, &[]);
        server.psql("postgres", "drop database shape");
    }
}

#[test]
fn restore_in_place_of_more_than_a_point_has_says_what_will_be_missing() {
    let (server, bench) = shop();
    let plan = |mode: &[&str]| {
        let ran = bench.run(&[&["restore", "pipeline.yaml", "--to", "shop"], mode].concat());
        ran.is(64, &["nothing was done"]);
        ran.stdout + &ran.stderr
    };
    bench.pipeline(&server, &steps(", exclude_tables: [shop.lines]", ""));
    bench.apply().is(0, &[]);
    let lost = "!     shop has no more what the restore point lacks: 1 table excluded by filter: shop.lines";
    assert!(plan(&["--replace"]).contains(lost), "{}", plan(&["--replace"]));
    // Where the rest is restored over it, it stays.
    assert!(!plan(&["--replace", "--clean"]).contains("has no more"));
    // What belongs to an object goes with it, however it is replaced.
    bench.pipeline(&server, &steps(", no_privileges: true", ""));
    bench.apply().is(0, &["every GRANT and REVOKE left out by no_privileges"]);
    for mode in [&["--replace"][..], &["--replace", "--clean"]] {
        let lost = "!     shop has no more what the restore point lacks: every GRANT and REVOKE left out by no_privileges";
        assert!(plan(mode).contains(lost), "{}", plan(mode));
    }
    bench.pipeline(&server, &steps(", fingerprint: false", ""));
    bench.apply().is(0, &[]);
    for mode in [&["--replace"][..], &["--replace", "--clean"]] {
        let told = plan(mode);
        assert!(told.contains("!     nobody knows whether this restore point is whole; what it lacks, shop has no more"), "{told}");
    }
}

#[test]
fn restore_deletes_no_rows_of_which_nothing_shows_that_they_were_dumped() {
    let seed = "create table t (id int primary key) partition by range (id); create table p1 partition of t for values from (0) to (10);
        create unlogged table p2 partition of t for values from (10) to (20); create table empty (id int primary key)";
    let rig = Rig::new(MAJOR, &format!("{seed}; insert into t values (1)"), "insert into t values (11)");
    let dumped = read(&custom(&rig.server, MAJOR, "before"), Form::Custom).unwrap();
    rig.refuse_rowless(None, Some(&dumped)).unwrap();
    // As a standby dumps it.
    let kept = dumped.tables.iter().filter(|table| table.name != "p2").cloned().collect();
    let standby = Fingerprint { tables: kept, ..(*dumped).clone() };
    for names in [None, Some(&["t"][..])] {
        let error = rig.refuse_rowless(names, Some(&standby)).unwrap_err().to_string();
        assert!(error.starts_with("public.p2: rows are there and would go, and nothing shows that the dump holds"), "{error}");
    }
    rig.refuse_rowless(Some(&["empty"]), Some(&standby)).unwrap();
    // Without a fingerprint only what is there shows what was dumped.
    assert!(rig.refuse_rowless(None, None).is_err());
    rig.live("delete from t where id = 11");
    rig.refuse_rowless(None, None).unwrap();
}

#[test]
fn restore_puts_no_safety_dump_in_the_clear_beside_encrypted_ones() {
    let (server, bench) = shop();
    bench.file("age.pub", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n");
    bench.pipeline(&server, &steps("", "  - { id: encrypt, uses: encrypt, with: { age: { recipients_file: @/age.pub } } }\n"));
    bench.apply().is(0, &[]);
    let manifest = format!("store/{}", bench.points()[0].key);
    let to = format!("postgresql://postgres@{}:{}/shop", server.socket_folder().display().to_string().replace('/', "%2F"), server.port);
    let restore = |more: &[&str]| bench.run(&[&["restore", &manifest, "--to", &to, "--replace"], more].concat());
    restore(&["--yes"]).is(10, &["is encrypted, and the safety dump into store would not be", "name the PIPELINE instead of the manifest"]);
    let ran = restore(&["--safety", "./safety"]);
    ran.is(64, &[]);
    assert!((ran.stdout + &ran.stderr).contains("the safety dump into safety would not be"));
    let ran = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--replace"]);
    assert!(!(ran.stdout + &ran.stderr).contains("would not be"));
}
