//! `restore --replace --clean`: over what is there, whatever leans on what.

use crate::apply_support::{Bench, MAJOR};
use crate::servers::postgres::{TestServer, bin};

const STEPS: &str = "steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: compress, uses: compress, with: { level: 1 } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump.zst\" } }
";

/// Partitions have from their table what can not be dropped from them: keys, indexes, foreign keys, triggers.
const PARTITIONED: &str = "
create function noted() returns trigger language plpgsql as 'begin return new; end';
create table \"주문\" (id int primary key, day int, code int) partition by range (id);
create table p1 partition of \"주문\" for values from (0) to (100);
create table p2 partition of \"주문\" for values from (100) to (200) partition by range (id);
create table p2_low partition of p2 for values from (100) to (150);
create index on \"주문\" (code); create index p1_only on p1 (day);
create trigger noting before insert on \"주문\" for each row execute function noted();
alter table p1 disable trigger noting;
create table lines (id int primary key, p int references \"주문\", self int references lines);
create function of_row(p1) returns int language sql immutable as 'select $1.id + 1';
create index by_row on p1 (of_row(p1));
create view grouped as select id, day from \"주문\" group by id;
insert into \"주문\" select n, n, n % 7 from generate_series(1, 149) n; insert into lines select n, n, n from generate_series(1, 149) n;
";

fn backed_up(major: u16, seed: &str) -> (TestServer, Bench) {
    let (server, mut bench) = (TestServer::start(major), Bench::new());
    if major != MAJOR {
        bench.env("RUNNER_PG_BINDIR", bin(major).to_str().unwrap_or_default());
    }
    server.psql("postgres", "create database shop");
    server.psql("shop", seed);
    bench.pipeline(&server, STEPS);
    bench.apply().is(0, &[]);
    (server, bench)
}

const IN_PLACE: [&str; 7] = ["restore", "pipeline.yaml", "--to", "shop", "--replace", "--clean", "--yes"];

#[test]
fn restore_in_place_drops_partitioned_tables_on_the_oldest_and_the_newest_major() {
    for major in [14, 18] {
        let (server, bench) = backed_up(major, PARTITIONED);
        server.psql("shop", "update \"주문\" set code = 9; delete from lines; create table extra as select 1 as a");
        let ran = bench.run(&IN_PLACE);
        ran.is(0, &["table public.extra is there and was not dumped: it stays"]);
        assert!(ran.stdout.contains("proven"), "{}", ran.stdout);
        assert_eq!(server.psql("shop", "select count(*), max(code) from \"주문\""), "149|6");
        assert_eq!(server.psql("shop", "select (select count(*) from lines), (select a from extra)"), "149|1");
        bench.is_clean();
    }
}

#[test]
fn restore_in_place_takes_the_quickstart() {
    let seed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart/seed.sql"));
    let (server, bench) = backed_up(17, &seed.unwrap_or_default());
    let customers = "select md5(string_agg(c::text, '' order by customer_id)) from sales.customers c";
    let before = server.psql("shop", customers);
    server.psql("shop", "update sales.customers set name = 'x'");
    let ran = bench.run(&IN_PLACE);
    ran.is(0, &[]);
    assert!(ran.stdout.contains("proven"), "{}", ran.stdout);
    assert_eq!(server.psql("shop", customers), before);
    // What is there may be the same already.
    bench.run(&IN_PLACE).is(0, &[]);
}

#[test]
fn restore_in_place_drops_nothing_that_the_dump_does_not_hold() {
    let (server, bench) = backed_up(MAJOR, PARTITIONED);
    server.psql("shop", "update \"주문\" set code = 9");
    let state =
        "select (select count(*) from \"주문\" where code = 9), (select count(*) from pg_class), (select count(*) from pg_constraint)";
    for (made, name, gone) in [
        ("create view leans as select code from p1", "view public.leans", "drop view leans"),
        ("create function leans(\"주문\") returns int language sql as 'select 1'", "function public.leans", "drop function leans"),
        ("create table leans (p int references \"주문\")", "leans_p_fkey", "drop table leans"),
        (
            "create table leans partition of \"주문\" for values from (500) to (600)",
            "partitions of tables that would be dropped: public.leans",
            "alter table \"주문\" detach partition leans; drop table leans",
        ),
    ] {
        server.psql("shop", made);
        let before = server.psql("shop", state);
        let ran = bench.run(&IN_PLACE);
        assert_eq!(server.psql("shop", state), before, "{made}: {}", ran.stderr);
        ran.is(10, &[name, "What the dump does not hold is never dropped: drop what depends on it yourself"]);
        server.psql("shop", gone);
    }
    bench.run(&IN_PLACE).is(0, &[]);
    assert_eq!(server.psql("shop", "select count(*) from \"주문\" where code = 9"), "0");
}

#[test]
fn restore_in_place_with_large_objects_that_fails_behind_them_changes_nothing() {
    let seed = "create table kept (a int primary key, photo oid); insert into kept values (1, lo_from_bytea(4711, 'as it was'));
        create function judged(int) returns int language plpgsql immutable as
            'begin if current_setting(''shop.refuse'', true) = ''on'' then raise exception ''refused''; end if; return 1; end';
        create index by_judgement on kept (judged(a));";
    let (server, bench) = backed_up(MAJOR, seed);
    server.psql("shop", "update kept set a = 2; select lo_put(4711, 0, 'as it is ')");
    server.psql("shop", "alter database shop set shop.refuse = on");
    let state = "select a, encode(lo_get(4711), 'escape'), (select count(*) from pg_class where relname = 'by_judgement') from kept";
    let before = server.psql("shop", state);
    assert_eq!(before, "2|as it is |1");
    let ran = bench.run(&IN_PLACE);
    assert_eq!(server.psql("shop", state), before, "{}", ran.stderr);
    ran.is(11, &["refused", "it was one transaction: what was there is as it was"]);
}

#[test]
fn restore_in_place_beside_other_large_objects_is_not_proven() {
    let (server, bench) = backed_up(MAJOR, "create table kept (a int); select lo_from_bytea(4711, 'dumped')");
    server.psql("shop", "select lo_from_bytea(4712, 'since')");
    let ran = bench.run(&IN_PLACE);
    ran.is(0, &["which of them were dumped can not be told, so none is compared"]);
    assert!(!ran.stdout.contains("proven"), "{}", ran.stdout);
    assert_eq!(server.psql("shop", "select count(*) from pg_largeobject_metadata"), "2");
}
