//! `restore --data-only`: all data into tables that migrations made, compared before it counts.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use runner::archive::Form;
use runner::postgres::tables::TablesError;
use runner::postgres::transfer::How;

use crate::apply_support::{Bench, MAJOR};
use crate::archive_seed::{SEED, custom, differ, read};
use crate::restore_rig::{Rig, SHOP};
use crate::servers::postgres::{TestServer, bin};

/// Takes the data out of a database and leaves its definitions.
const EMPTY: &str = "do $$ declare r record; begin
    for r in select c.oid::regclass as t, c.relkind as kind from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'S') and not c.relispartition and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e') loop
        if r.kind = 'S' then execute format('alter sequence %s restart', r.t); else execute format('truncate %s cascade', r.t); end if;
    end loop;
    perform lo_unlink(oid) from pg_largeobject_metadata; end $$";

/// Everything that a dump may hold, and beside it a database of the same definitions without data.
fn emptied(rig: &Rig, seed: &str) {
    rig.begin(seed, "");
    rig.server.psql("postgres", "drop database live");
    rig.server.psql("postgres", "create database live template before");
    rig.live(EMPTY);
}

/// What differs between the dumps of both.
fn difference(rig: &Rig, major: u16) -> String {
    let [before, live] = ["before", "live"].map(|database| read(&custom(&rig.server, major, database), Form::Custom).unwrap());
    differ(&before, &live)
}

#[test]
fn restore_data_fills_tables_of_every_kind_on_the_oldest_and_the_newest_major() {
    for major in [14, 18] {
        let rig = Rig::new(major, "create table nothing_yet (a int)", "");
        rig.server.psql("postgres", "create role owner_of_some");
        // Of all foreign keys, those of partitions and of tables that refer to each other are the hardest.
        let seed = SEED.replace("create role owner_of_some;", "create table a (id int primary key, b int); create table b (id int primary key, a int references a);
            alter table a add foreign key (b) references b; begin; insert into a values (1, null); insert into b values (1, 1); update a set b = 1; commit;
            create table aa (id int primary key); create table ab (id int, e int) partition by list (id); create table ab_1 partition of ab for values in (1);
            alter table ab_1 add foreign key (e) references aa; insert into aa values (7); insert into ab values (1, 7);");
        emptied(&rig, &seed);
        rig.live("create table extra as select 1 as a; create table leans (id int references orders)");
        let report = rig.fill(false).unwrap();
        let notes = report.notes.join("\n");
        for note in [
            "table public.extra is not in the restore point; it stays",
            "trigger noting (before insert) of public.orders was off",
            "refresh materialized view public.filled;",
            "public.distant is a foreign table",
            "large objects brought and compared: 3",
            "sequences that stand where they stood: ",
        ] {
            assert!(notes.contains(note), "{note}: {notes}");
        }
        rig.live("drop table extra; drop table leans");
        assert_eq!(difference(&rig, major), "");
        assert_eq!(
            rig.live("select lomowner::regrole, octet_length(lo_get(oid)) from pg_largeobject_metadata order by oid limit 1"),
            "postgres|120000"
        );

        // A second time only what is there may go.
        let refused = rig.fill(false).unwrap_err().to_string();
        assert!(refused.contains("rows are there already") && refused.contains("say `replace` (--replace)"), "{refused}");
        rig.live("update orders set total = 0; select setval('counting', 1); select lo_put(40001, 0, 'x'), lo_create(77); insert into empty_one values (1)");
        rig.live("create table leans (id int references orders)");
        let report = rig.fill(true).unwrap();
        assert!(report.notes.iter().any(|note| note.contains("large objects of before, left as found: 1")), "{:?}", report.notes);
        rig.live("drop table leans; select lo_unlink(77)");
        // The seed's rule turns deletes of empty_one into nothing: what can be truncated is.
        assert_eq!(difference(&rig, major), "");
    }
}

#[test]
fn restore_data_changes_nothing_if_it_is_not_what_was_dumped() {
    let counting = "create sequence counting; select setval('counting', 41)";
    let rig = Rig::new(16, &format!("{SHOP} {counting}"), "update shop.customers set note = 'live'; select setval('counting', 7)");
    rig.live(
        "create function shop.alter() returns trigger language plpgsql as 'begin new.name := upper(new.name); return new; end';
        create trigger altering before insert on shop.customers for each row execute function shop.alter();
        create role helper login; alter sequence counting owner to helper",
    );
    for database in ["before", "live"] {
        rig.server.psql(database, "grant usage, create on schema public to helper; grant usage on schema shop to helper; grant all on all tables in schema shop to helper;
            grant all on all sequences in schema shop to helper; grant all on counting to helper");
    }
    let tables = ["shop.customers", "shop.orders", "shop.lines"];
    let state = || rig.rows("live", &tables) + &rig.live("select last_value from counting; select last_value from shop.orders_id_seq");
    let before = state();
    let error = rig.fill_as("helper", true).unwrap_err();
    assert!(matches!(error, TablesError::Unproven { .. }), "{error}");
    assert!(error.to_string().contains("rows of shop.customers are not what was dumped"), "{error}");
    assert_eq!(state(), before, "a sequence that was set in the transaction too");
    rig.live("drop trigger altering on shop.customers");
    let report = rig.fill_as("helper", true).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("sequence shop.orders_id_seq stands at or beyond")), "{:?}", report.notes);
    rig.same(&tables);
    assert_eq!(rig.live("select last_value from counting"), "41");
}

#[test]
fn restore_data_says_what_stands_in_the_way() {
    let rig = Rig::new(17, SHOP, EMPTY);
    rig.live("create schema more; create table more.leans (c int references shop.customers)");
    rig.live(
        "alter table shop.customers rename column email to mail; drop table shop.lines; alter sequence shop.orders_id_seq owned by none;
        alter table shop.orders alter id drop default; drop sequence shop.orders_id_seq",
    );
    let error = rig.fill(false).unwrap_err().to_string();
    for part in [
        "table shop.lines is not there",
        "column email is only in the restore point",
        "sequence shop.orders_id_seq is not there",
        "Bring it to the version of the schema that was dumped",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    rig.begin(SHOP, "create table leans (c int references shop.customers); insert into leans values (1)");
    let error = rig.fill(true).unwrap_err().to_string();
    assert!(error.contains("leans, which the restore point does not have, refers to them (foreign key leans_c_fkey)"), "{error}");
    rig.begin(&format!("{SHOP} select lo_from_bytea(40001, 'one')"), &format!("{EMPTY}; select lo_from_bytea(40001, 'other')"));
    let error = rig.fill(false).unwrap_err().to_string();
    assert!(error.contains("there are large objects of the same numbers already: 40001"), "{error}");
    assert_eq!(rig.live("select count(*) from shop.orders"), "0");
    rig.fill(true).unwrap();
    assert_eq!(rig.live("select convert_from(lo_get(40001), 'UTF8')"), "one");
}

#[test]
fn restore_tables_bring_the_large_objects_that_rows_refer_to() {
    let seed = "create table docs (id int primary key, body oid); insert into docs values (1, lo_from_bytea(5001, 'first')), (2, lo_from_bytea(5002, 'second')), (3, 5003);
        select lo_from_bytea(6000, 'nobody''s')";
    let rig = Rig::new(16, seed, "delete from docs; select lo_unlink(5001), lo_put(5002, 0, 'S'), lo_unlink(6000)");
    let report = rig.transfer(&["docs"], &How::Replace).unwrap();
    let notes = report.notes.join("\n");
    for note in [
        "large objects brought and compared: 1",
        "large objects whose numbers are taken, left as found: 1",
        "public.docs: 1 values of \"body\" are the number of no large object",
    ] {
        assert!(notes.contains(note), "{note}: {notes}");
    }
    assert_eq!(
        rig.live("select string_agg(convert_from(lo_get(oid), 'UTF8'), ' ' order by oid) from pg_largeobject_metadata"),
        "first Second"
    );
}

const STEPS: &str = "steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump\" } }
";

#[test]
fn restore_data_only_is_a_reviewed_command() {
    let (server, mut bench) = (TestServer::start(MAJOR), Bench::new());
    bench.env("RUNNER_PG_BINDIR", bin(MAJOR).to_str().unwrap());
    server.psql("postgres", "create database shop");
    server.psql("shop", SHOP);
    bench.pipeline(&server, STEPS);
    bench.apply().is(0, &[]);
    server.psql("postgres", "create database \"새 가게\" template shop");
    server.psql("새 가게", EMPTY);
    let restore = |more: &[&str]| bench.run(&[&["restore", "pipeline.yaml", "--to", "shop", "--data-only"], more].concat());
    restore(&["--yes"]).is(10, &["is the very database that was dumped", "--replace"]);
    restore(&["--database", "nowhere", "--yes"]).is(10, &["database \"nowhere\" is not there"]);
    restore(&["--clean", "--replace", "--yes"]).is(64, &["--clean"]);
    let ran = restore(&["--database", "새 가게", "--yes"]);
    ran.is(0, &["all rows, sequence values and large objects"]);
    assert!(ran.stdout.contains("shop.customers: 3 inserted, 0 set back, 0 deleted") && ran.stdout.contains("proven"), "{}", ran.stdout);
    let rows = "select string_agg(o::text, '|' order by id) from shop.orders o";
    assert_eq!(server.psql("새 가게", rows), server.psql("shop", rows));
    assert_eq!(
        server.psql("새 가게", "select nextval('shop.orders_id_seq'), (select reltuples from pg_class where relname = 'customers')"),
        "14|3"
    );

    restore(&["--database", "새 가게", "--yes"]).is(10, &["has rows already, in shop.customers"]);
    server.psql("새 가게", "update shop.customers set name = 'x'");
    let ran = restore(&["--database", "새 가게", "--replace", "--yes"]);
    ran.is(0, &["safety dump of 새 가게", "!     table shop.customers (3 rows now): if the restore point has it, all rows go"]);
    assert_eq!(server.psql("새 가게", "select count(*) from shop.customers where name = 'x'"), "0");
    bench.is_clean();
}
