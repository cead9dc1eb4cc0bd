//! Whole tables brought back, replaced, merged or copied beside what is there.

use runner::postgres::tables::TablesError;
use runner::postgres::transfer::How;

use crate::restore_rig::{Rig, SHOP};
use crate::servers::postgres::MAJORS;

const TABLES: [&str; 3] = ["shop.customers", "shop.orders", "shop.lines"];
const NAMES: [&str; 3] = ["lines", "shop.orders", "customers"];

const ACCIDENT: &str = "delete from shop.lines where order_id in (10, 11); delete from shop.orders where customer_id = 1;
    delete from shop.customers where id = 1; update shop.orders set state = 'sent', doc = '[1]' where id = 12;
    insert into shop.customers (id, name) values (4, 'New'); insert into shop.orders values (14, 4, 'open', null, null);
    select setval('shop.orders_id_seq', 1, false)";

fn beside() -> How {
    How::Copy { schema: "restored_01J".to_owned() }
}

#[test]
fn restore_tables_replaces_merges_and_copies_on_every_major() {
    for major in MAJORS {
        let rig = Rig::new(major, SHOP, ACCIDENT);
        let before = rig.rows("live", &TABLES);
        let copied = rig.transfer(&NAMES, &beside()).unwrap();
        assert_eq!(copied.tables.iter().map(|t| t.inserted).collect::<Vec<_>>(), [8, 4, 3]);
        assert_eq!(copied.tables[0].into, "\"restored_01J\".\"lines\"");
        assert_eq!(rig.rows("live", &TABLES), before);
        let beside_them = ["\"restored_01J\".customers", "\"restored_01J\".orders", "\"restored_01J\".lines"];
        assert_eq!(rig.rows("live", &beside_them), rig.rows("before", &TABLES));

        let merged = rig.transfer(&NAMES, &How::Merge).unwrap();
        assert_eq!(merged.tables.iter().map(|t| (t.inserted, t.updated, t.deleted)).collect::<Vec<_>>(), [(4, 0, 0), (2, 1, 0), (1, 0, 0)]);
        assert_eq!(rig.live("select count(*) from shop.orders"), "5");
        assert!(
            merged.notes.iter().any(|n| n.contains("trigger audit (after insert or update) of shop.orders has fired")),
            "{:?}",
            merged.notes
        );

        let replaced = rig.transfer(&NAMES, &How::Replace).unwrap();
        assert_eq!(
            replaced.tables.iter().map(|t| (t.inserted, t.updated, t.deleted)).collect::<Vec<_>>(),
            [(8, 0, 8), (4, 0, 5), (3, 0, 4)]
        );
        rig.same(&TABLES);
        assert_eq!(rig.live("select nextval('shop.orders_id_seq')"), "14");
        assert_eq!(rig.live("select tgenabled from pg_trigger where tgname = 'audit'"), "O");
    }
}

#[test]
fn restore_tables_never_touches_rows_of_tables_nobody_named() {
    let rig = Rig::new(
        16,
        SHOP,
        "update shop.customers set name = 'x' where id < 3; delete from shop.lines where no = 2; insert into shop.customers (id, name) values (9, 'new')",
    );
    let lines = rig.rows("live", &["shop.lines"]);
    let report = rig.transfer(&["customers", "orders"], &How::Replace).unwrap();
    assert_eq!(report.tables.iter().map(|t| (t.inserted, t.updated, t.deleted)).collect::<Vec<_>>(), [(0, 2, 1), (0, 0, 0)]);
    rig.same(&["shop.customers", "shop.orders"]);
    assert_eq!(rig.rows("live", &["shop.lines"]), lines);
    // Order 14 would go, and its line with it: the foreign key cascades.
    rig.live("insert into shop.orders values (14, 1, 'open', null, null); insert into shop.lines (order_id, no) values (14, 1)");
    let before = rig.rows("live", &TABLES);
    let error = rig.transfer(&["orders"], &How::Replace).unwrap_err().to_string();
    assert_eq!(
        error,
        "shop.orders: rows that the restore point does not have would go, and 1 of shop.lines refer to them (foreign key lines_order_id_fkey): \
         name shop.lines as well, or use `--as merge`, which deletes nothing"
    );
    assert_eq!(rig.rows("live", &TABLES), before);
    rig.transfer(&["orders", "lines"], &How::Replace).unwrap();
    rig.same(&TABLES);
}

#[test]
fn restore_tables_keeps_triggers_as_they_were() {
    let seed = "create table t (id int primary key); insert into t values (1); create table fired (name text);
        create function fire() returns trigger language plpgsql as 'begin insert into fired values (tg_name); return new; end';
        create trigger on_one after insert on t for each row execute function fire(); create trigger on_two after insert on t for each row execute function fire();
        create trigger off_one after insert on t for each row execute function fire(); alter table t disable trigger off_one; alter table t enable always trigger on_two; delete from fired";
    let rig = Rig::new(15, seed, "delete from t");
    let state = "select string_agg(tgname || tgenabled::text, ' ' order by tgname) from pg_trigger where tgrelid = 't'::regclass";
    let before = rig.live(state);
    let report = rig.transfer(&["t"], &How::Replace).unwrap();
    assert_eq!(
        report.notes,
        ["trigger on_one (after insert) of public.t was off meanwhile", "trigger on_two (after insert) of public.t was off meanwhile"]
    );
    assert_eq!((rig.live(state), rig.live("select count(*) from fired").as_str()), (before, "0"));
    rig.live("delete from t");
    rig.transfer(&["t"], &How::Merge).unwrap();
    assert_eq!(rig.live("select count(*) from fired"), "2");
}

#[test]
fn restore_tables_keeps_the_triggers_of_each_partition_as_they_were() {
    let seed = "create table fired (name text); create table t (id int primary key, n int) partition by range (id);
        create table p1 partition of t for values from (0) to (10); create table p2 partition of t for values from (10) to (20);
        insert into t values (1, 1), (11, 1);
        create function fire() returns trigger language plpgsql as 'begin insert into fired values (tg_table_name || tg_name); return new; end';
        create trigger each after insert on t for each row execute function fire(); alter table p2 disable trigger each;
        create trigger only_p1 after insert on p1 for each row execute function fire()";
    for major in [14, 18] {
        let rig = Rig::new(major, seed, "delete from t");
        let state = "select string_agg(tgrelid::regclass || tgname || tgenabled::text, ' ' order by tgrelid::regclass::text, tgname) from pg_trigger where tgname in ('each', 'only_p1')";
        let before = rig.live(state);
        let report = rig.transfer(&["t"], &How::Replace).unwrap();
        assert_eq!(
            report.notes,
            ["trigger each (after insert) of public.t was off meanwhile", "trigger only_p1 (after insert) of public.p1 was off meanwhile"]
        );
        assert_eq!((rig.live(state), rig.live("select count(*) from fired").as_str()), (before.clone(), "0"), "{major}");
        rig.live("delete from t");
        rig.fill(true).unwrap();
        assert_eq!((rig.live(state), rig.live("select count(*) from fired").as_str()), (before, "0"), "{major}");
    }
}

#[test]
fn restore_tables_lets_no_foreign_key_take_along_rows_that_stay() {
    // The kept line 1 refers to order 2, which goes; the notes of nobody's table refer to the line.
    let seed = "create table orders (id int primary key, code text unique); create table lines (id int primary key, o int references orders on delete cascade);
        create table notes (id int primary key, l int references lines on delete cascade);
        insert into orders values (1, 'a'); insert into lines values (1, 1); insert into notes values (1, 1)";
    let rig = Rig::new(17, seed, "insert into orders values (2, 'b'); update lines set o = 2; delete from orders where id = 1");
    rig.transfer(&["orders", "lines"], &How::Replace).unwrap();
    rig.same(&["orders", "lines", "notes"]);
    // Deleted last, the row that goes has a unique value that is needed.
    rig.live("insert into orders values (2, 'b'); update lines set o = 2; delete from orders where id = 1; update orders set code = 'a'");
    let before = rig.rows("live", &["orders", "lines", "notes"]);
    let error = rig.transfer(&["orders", "lines"], &How::Replace).unwrap_err().to_string();
    assert!(error.contains("orders_code_key"), "{error}");
    assert_eq!(rig.rows("live", &["orders", "lines", "notes"]), before);
}

#[test]
fn restore_tables_minds_foreign_keys_that_refer_to_one_partition() {
    let seed = "create table t (id int primary key) partition by range (id); create table p1 partition of t for values from (0) to (10);
        create table refers (id int references p1 on delete cascade); insert into t values (1)";
    let rig = Rig::new(16, seed, "insert into t values (2); insert into refers values (2)");
    let error = rig.transfer(&["t"], &How::Replace).unwrap_err().to_string();
    assert!(error.contains("1 of public.refers refer to them"), "{error}");
    assert_eq!(rig.live("select count(*) from refers"), "1");
}

#[test]
fn restore_tables_replaces_what_is_equal_and_not_the_same_and_compares() {
    let seed = "create table t (id int primary key, n numeric, iv interval); insert into t values (1, 1.00, '1 day');
        create table refers (t int references t); insert into refers values (1)";
    let rig = Rig::new(15, seed, "update t set n = 1.0, iv = '24:00:00'");
    rig.transfer(&["t"], &How::Replace).unwrap();
    rig.same(&["t"]);
    // What no owner of the table switches off, a rule, changes what is put in.
    rig.live("update t set n = 2; create rule other as on update to t do instead nothing");
    let error = rig.transfer(&["t"], &How::Replace).unwrap_err();
    assert!(matches!(error, TablesError::Unproven { .. }) && error.to_string().contains("rows of public.t"), "{error}");
}

#[test]
fn restore_tables_leaves_all_as_it_was_if_anything_fails_half_way() {
    let rig = Rig::new(17, SHOP, ACCIDENT);
    // Refused only by a row of the last table that is filled.
    rig.live("alter table shop.lines add check (item <> '상품 2') not valid");
    let state = || {
        rig.rows("live", &TABLES)
            + &rig.live("select tgenabled from pg_trigger where tgname = 'audit'; select last_value from shop.orders_id_seq")
    };
    let before = state();
    for how in [How::Replace, How::Merge] {
        let error = rig.transfer(&NAMES, &how).unwrap_err().to_string();
        assert!(error.contains("lines_item_check"), "{error}");
        assert_eq!(state(), before, "{how:?}");
    }
    rig.server.psql("before", "create type only_here as enum ('a'); create table odd (a only_here)");
    assert!(rig.transfer(&["customers", "odd"], &beside()).unwrap_err().to_string().contains("only_here"));
    assert_eq!(rig.live("select count(*) from pg_namespace where nspname like 'restored%'"), "0");
    rig.cancel.cancel("SIGTERM", false);
    assert!(rig.transfer(&["customers"], &beside()).unwrap_err().to_string().contains("SIGTERM"));
    assert_eq!(state(), before);
}

#[test]
fn restore_tables_says_what_it_needs() {
    let seed = format!(
        "{SHOP} create table plain (a int unique); create table refers (a int references plain (a)); create table gone (a int); create table drifted (a int)"
    );
    let rig = Rig::new(15, &seed, "drop table gone; alter table drifted add b int; create schema restored_01j");
    let taken = How::Copy { schema: "restored_01j".to_owned() };
    let long = How::Copy { schema: "가".repeat(22) };
    for (table, how, words) in [
        ("gone", &How::Replace, "bring its rows back beside what is there with `--tables public.gone --as copy`"),
        ("drifted", &How::Merge, "column b is only in the live table"),
        (
            "plain",
            &How::Merge,
            "has no primary key, so its rows can not be matched one by one: name the tables that refer to it as well (public.refers), or use",
        ),
        ("plain", &How::Replace, "name the tables that refer to it as well (public.refers)"),
        ("customers", &taken, "schema restored_01j: it exists already"),
        ("customers", &long, "1 to 63 bytes"),
        ("nothing", &taken, "the restore point has no table `nothing`"),
    ] {
        let error = rig.transfer(&[table], how).unwrap_err().to_string();
        assert!(error.contains(words), "{table} {how:?}: {error}");
    }
    rig.transfer(&["plain", "refers"], &How::Replace).unwrap();
}

#[test]
fn restore_tables_with_cycles_oddities_and_many_types() {
    let seed = "create schema ext; create extension citext schema ext; create type mood as enum ('그냥');
        create table a (id int primary key, b int not null, self int references a); create table b (id int primary key, a int not null references a);
        alter table a add constraint a_b foreign key (b) references b deferrable initially deferred;
        begin; insert into a values (1, 1, 2), (2, 1, null); insert into b values (1, 2); commit;
        create table \"한 글\" (id int generated always as identity primary key, w ext.citext default 'x'::ext.citext, j json, p point, m mood default '그냥', iv interval, am money,
            n text collate \"C\" not null, s serial, g int generated always as (1) stored not null);
        insert into \"한 글\" (w, j, p, iv, am, n) values ('Ab', '{}', '(1,2)', '-1 day +02:00', '-1.50', E'탭\\t\\\\n'), ('x', null, null, null, null, '');";
    let rig = Rig::new(
        18,
        seed,
        "update a set self = null where id = 1; update \"한 글\" set j = '[]', p = '(0,0)', w = 'ab', iv = '1 day'; alter database live set intervalstyle = 'sql_standard'",
    );
    let tables = ["a", "b", "한 글"];
    rig.transfer(&tables, &How::Merge).unwrap();
    let all = ["a", "b", "\"한 글\""];
    rig.same(&all);
    rig.live("truncate a, b; truncate \"한 글\"");
    rig.transfer(&tables, &How::Replace).unwrap();
    rig.same(&all);
    assert_eq!(
        rig.live(
            "select string_agg(concat(conname, condeferrable, condeferred), ' ' order by conname) from pg_constraint where contype = 'f'"
        ),
        "a_btt a_self_fkeyff b_a_fkeyff"
    );
    rig.transfer(&tables, &beside()).unwrap();
    assert_eq!(rig.rows("live", &["\"restored_01J\".\"한 글\""]), rig.rows("before", &["\"한 글\""]));
    let shape = "select string_agg(format('%s %s %s %s', attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)), '; ' order by attnum) \
        from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum where attrelid = '\"restored_01J\".\"한 글\"'::regclass and attnum > 0";
    insta::assert_snapshot!(rig.live(shape));
}

#[test]
fn restore_tables_tells_which_triggers_only_the_owner_could_switch_off() {
    let rig = Rig::new(16, SHOP, ACCIDENT);
    rig.live(
        "create role helper login; grant usage on schema shop to helper; grant all on all tables in schema shop to helper; \
              grant all on all sequences in schema shop to helper",
    );
    rig.server.psql("before", "grant usage on schema shop to helper; grant select on all tables in schema shop to helper; grant select on all sequences in schema shop to helper");
    let report = rig.transfer_as("helper", &NAMES, &How::Replace).unwrap();
    assert!(
        report.notes.contains(
            &"trigger audit (after insert or update) of shop.orders has fired: only the table's owner can switch it off".to_owned()
        ),
        "{:?}",
        report.notes
    );
    rig.same(&TABLES);
    rig.live("revoke truncate on shop.lines from helper; delete from shop.lines");
    assert!(rig.transfer_as("helper", &NAMES, &How::Replace).unwrap_err().to_string().contains("permission denied for table lines"));
    assert_eq!(rig.live("select count(*) from shop.orders"), "4");
}
