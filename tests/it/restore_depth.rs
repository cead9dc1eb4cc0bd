//! How much of a restore is compared when not all of it was wanted, and that the plan, the run and the summary say the same.

use crate::apply_support::{Bench, MAJOR, Ran};
use crate::servers::postgres::{TestServer, bin};

const STEPS: &str = "steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: compress, uses: compress, with: { level: 1 } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump.zst\" } }
";

/// A restore point of a database with owners and rights of every kind.
fn backed_up() -> (TestServer, Bench) {
    let (server, bench) = (TestServer::start(MAJOR), Bench::new());
    server.psql("postgres", "create role \"소유자\" login; create role reader; create database shop");
    server.psql(
        "shop",
        "create table \"주문\" (id bigserial primary key, v text); insert into \"주문\" (v) select 'v' || n from generate_series(1, 50) n;
         create function f() returns int language sql as 'select 1'; revoke all on function f() from public; grant execute on function f() to \"소유자\";
         alter table \"주문\" owner to \"소유자\"; grant select on \"주문\" to reader, postgres; alter function f() owner to \"소유자\";
         alter schema public owner to \"소유자\"; create view seen as select v from \"주문\"; select lo_from_bytea(0, 'large');
         alter default privileges for role \"소유자\" grant select on tables to reader",
    );
    bench.pipeline(&server, STEPS);
    bench.apply().is(0, &[]);
    (server, bench)
}

fn restore(bench: &Bench, to: &str, more: &[&str]) -> Ran {
    bench.run(&[&["restore", "pipeline.yaml", "--to", to, "--database", "copy", "--yes"], more].concat())
}

#[track_caller]
fn says(ran: &Ran, planned: &str, noted: &[&str], found: &str) {
    ran.is(0, &[planned]);
    ran.is(0, noted);
    assert!(ran.stdout.contains(&format!("found          {found}\n")), "{}", ran.stdout);
}

#[test]
fn restore_without_owners_compares_everything_else_and_says_why_it_proves_less() {
    let (_source, bench) = backed_up();
    // A managed server: other roles, and none that is a superuser.
    let other = TestServer::start(MAJOR);
    other.psql("postgres", "create role app login createdb");
    let to = format!("postgresql:///copy?host={}&port={}&user=app", other.socket_folder().display(), other.port);
    let ran = restore(&bench, &to, &["--no-owner", "--no-privileges"]);
    let noted = ["not compared: owners: left out on purpose", "not compared: privileges: left out on purpose"];
    says(&ran, "compare everything but owners and privileges with", &noted, "restored: owners and privileges were left out, as asked");
    assert_eq!(other.psql("copy", "select tableowner from pg_tables where tablename = '주문'"), "app");

    // One value that is not what was dumped is found all the same, by name.
    other.psql("postgres", "drop database copy");
    let psql =
        format!("'{}' -h '{}' -p {} -U postgres -X -q", bin(MAJOR).join("psql").display(), other.socket_folder().display(), other.port);
    let spoil = |sql: &str| {
        let sql = sql.replace('"', "\\\"");
        bench.program("pg_restore", &format!("\"$REAL\" \"$@\" || exit $?\n{psql} -d copy_restoring -c \"{sql}\" 2>/dev/null; true"));
        restore(&bench, &to, &["--no-owner", "--no-privileges"])
    };
    spoil("update \"주문\" set v = 'x' where id = 7").is(11, &["주문: its 50 rows do not hold what was dumped"]);
    spoil("drop view seen").is(11, &["view public.seen is absent"]);
    spoil("select setval('\"주문_id_seq\"', 3)").is(11, &["주문_id_seq is behind"]);
}

#[test]
fn restore_of_a_part_says_in_plan_run_and_summary_what_it_does_not_compare() {
    let (server, bench) = backed_up();
    let again = |more: &[&str]| {
        server.psql("postgres", "drop database if exists copy");
        restore(&bench, "shop", more)
    };
    let owners = "restored: owners and what depends on them were left out, as asked";
    says(
        &again(&["--no-owner"]),
        "everything but owners and what depends on them",
        &["not compared: privileges: they depend on owners"],
        owners,
    );
    let rights = "restored: privileges were left out, as asked";
    says(&again(&["--no-privileges"]), "everything but privileges", &["not compared: privileges: left out on purpose"], rights);
    let definitions = "restored: definitions only, as asked, so nothing was compared with what was dumped";
    says(&again(&["--schema-only"]), "count rows; definitions only, so nothing can be compared", &[], definitions);
    let sections = "restored: only pre-data and data of the archive, as asked, so nothing was compared with what was dumped";
    says(&again(&["--section", "pre-data", "--section", "data"]), "count rows; only pre-data and data of the archive", &[], sections);
    says(&again(&["--prove", "counts"]), "compare the rows of each table", &[], "restored: only rows were counted, as asked");
    says(&again(&[]), "compare everything with what was dumped", &[], "proven");
}
