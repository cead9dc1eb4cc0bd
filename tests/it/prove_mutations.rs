//! The proof itself on trial: between a restore and its proof one thing is changed, and exactly that must be named.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use runner::store::manifest::Level;

use crate::apply_support::{Bench, MAJOR, shop};
use crate::servers::postgres::bin;

const STEPS: &str = "steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: compress, uses: compress, with: { level: 1 } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump.zst\" } }
  - { id: verify, uses: verify-restore, with: { WITH } }
";

/// A bench whose `pg_restore` restores and then runs this SQL in the restored database.
fn with_change(sql: &str) -> Bench {
    let bench = Bench::new();
    let psql = bin(MAJOR).join("psql");
    std::fs::write(bench.path("keys/change.sql"), sql).unwrap();
    let list = "case \"$*\" in *--list*|*--schema-only*) exec \"$REAL\" \"$@\";; esac";
    bench.program(
        "pg_restore",
        &format!(
            "{list}\n\"$REAL\" \"$@\" || exit $?\nexec '{}' -X -q -v ON_ERROR_STOP=1 -d restored -f @/keys/change.sql",
            psql.display()
        ),
    );
    bench
}

#[test]
fn apply_proves_what_is_untouched_and_names_each_thing_that_is_not() {
    let server = shop(1);
    server.psql("shop", "create sequence \"번호\"; select setval('\"번호\"', 42); create index lines_twice on lines ((id * 2))");
    // What PostgreSQL words anew once it was loaded, and what a database prints in a form of its own.
    server.psql("shop", "create table codes (code varchar(9), constraint few check (code in ('가', 'b'))); insert into codes values ('b')");
    server.psql("shop", "create table raw (bytes bytea); insert into raw values ('\\x00ff5c')");
    server.psql("shop", "alter database shop set bytea_output = 'escape'");
    server.psql("shop", "select lo_from_bytea(40001, '한'); comment on large object 40001 is '그림'; create role 손님");
    let table = [
        ("select 1", 0, ""),
        ("alter large object 40001 owner to 손님", 11, "large object 40001 belongs to 손님 instead of postgres"),
        ("grant select on large object 40001 to public", 11, "rights of large object 40001"),
        ("comment on large object 40001 is null", 11, "comment of large object 40001 is absent"),
        ("update \"주문\" set 이름 = '다른 고객' where id = 7", 11, "table public.주문: "),
        ("delete from lines where id = 50", 11, "table public.lines: "),
        ("update \"주문\" a set payload = b.payload from \"주문\" b where (a.id, b.id) in ((1, 2), (2, 1))", 11, "table public.주문: "),
        ("drop index lines_twice", 11, "lines_twice is absent"),
        ("select setval('\"번호\"', 41)", 11, "sequence public.번호"),
        (
            "alter table codes drop constraint few, add constraint few check (code in ('가', 'c', 'b'))",
            11,
            "table public.codes is defined differently",
        ),
        ("update raw set bytes = '\\x00ff'", 11, "table public.raw: "),
    ];
    for (change, code, words) in table {
        let bench = with_change(change);
        bench.pipeline(&server, &STEPS.replace("WITH", ""));
        let ran = bench.apply();
        assert_eq!(ran.code, code, "{change}\n{}", ran.stderr);
        let receipt = bench.receipt();
        let proof = receipt.proof.as_ref().unwrap();
        if code == 0 {
            assert_eq!((receipt.level, proof.differences.len()), (Level::Proven, 0));
            assert!(proof.incomparable.iter().any(|left| left.starts_with("the dump's words for table public.codes")), "{proof:?}");
            assert!(ran.stdout.contains("level          proven"), "{}", ran.stdout);
            continue;
        }
        assert_eq!((receipt.level, proof.differences.len()), (Level::Restored, 1), "{change}: {:?}", proof.differences);
        assert!(proof.differences[0].contains(words) && ran.stderr.contains(words), "{change}: {:?}", proof.differences);
        assert!(receipt.failure.as_ref().unwrap().contains(words) && !ran.stdout.contains("proven"), "{}", ran.stdout);
    }
}

#[test]
fn apply_compares_only_as_much_as_it_is_told_to() {
    let server = shop(1);
    let change = "update \"주문\" set 이름 = '다른 고객' where id = 7";
    for (with, change, code, level) in [
        ("prove: counts", change, 0, Level::Restored),
        ("prove: counts", "delete from lines where id = 50", 11, Level::Restored),
        ("prove: off", "delete from lines where id = 50", 0, Level::Restored),
    ] {
        let bench = with_change(change);
        bench.pipeline(&server, &STEPS.replace("WITH", with));
        let ran = bench.apply();
        assert_eq!((ran.code, bench.receipt().level), (code, level), "{with}: {}", ran.stderr);
        assert_eq!(bench.receipt().proof.is_some(), with != "prove: off");
        assert!(code == 0 || ran.stderr.contains("table public.lines: 100 rows were dumped, 99 are there"), "{}", ran.stderr);
    }
}

#[test]
fn apply_counts_under_the_names_that_the_dump_has() {
    let server = shop(1);
    server.psql("postgres", "create database 옛것 encoding 'EUC_KR' locale 'C' template template0");
    server.psql("옛것", "create table 주문 (번호 int); insert into 주문 select generate_series(1, 20)");
    for (change, code) in [("select 1", 0), ("set client_encoding = 'UTF8'; delete from 주문 where 번호 = 7", 11)] {
        let bench = with_change(change);
        let steps = STEPS.replace("WITH", "prove: counts").replace("connection: shop }", "connection: shop, database: 옛것 }");
        bench.pipeline(&server, &steps);
        let ran = bench.apply();
        assert_eq!((ran.code, bench.receipt().level), (code, Level::Restored), "{change}: {}", ran.stderr);
    }
}

#[test]
fn apply_without_a_fingerprint_stays_restored() {
    let server = shop(1);
    let bench = Bench::new();
    bench.pipeline(&server, &STEPS.replace("WITH", "").replace("connection: shop }", "connection: shop, fingerprint: false }"));
    let ran = bench.apply();
    assert_eq!((ran.code, bench.receipt().level), (0, Level::Restored), "{}", ran.stderr);
}

#[test]
fn apply_gives_no_level_to_a_restore_that_failed_half_way_even_if_that_is_only_a_warning() {
    let server = shop(1);
    let bench = Bench::new();
    let list = "case \"$*\" in *--list*) exec \"$REAL\" \"$@\";; esac";
    bench.program("pg_restore", &format!("{list}\n\"$REAL\" --section=pre-data \"$@\"; echo 'pg_restore: error: gave up' >&2; exit 1"));
    let steps = STEPS.replace("WITH", "min_tables: 2").replace("connection: shop }", "connection: shop, fingerprint: false }");
    bench.pipeline(&server, &steps.replace("uses: verify-restore,", "uses: verify-restore, on_failure: warn,"));
    let ran = bench.apply();
    let receipt = bench.receipt();
    assert_eq!((ran.code, receipt.level), (12, Level::Decoded), "{}", ran.stderr);
    assert!(receipt.failure.as_ref().unwrap().contains("gave up"), "{receipt:?}");
    assert!(bench.story().contains("verify:check=NotRun"), "{}", bench.story());
}
