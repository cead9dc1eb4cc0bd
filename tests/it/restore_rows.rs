//! Single rows brought back by a patch that a human can read.

use runner::postgres::transfer::How;

use crate::restore_rig::{Rig, SHOP};
use crate::servers::postgres::MAJORS;

const TABLES: [&str; 3] = ["shop.customers", "shop.orders", "shop.lines"];

/// Customer 1 and everything of theirs is gone, an order and a customer were changed.
const ACCIDENT: &str = "delete from shop.lines where order_id in (10, 11); delete from shop.orders where customer_id = 1;
    delete from shop.customers where id = 1; update shop.orders set state = 'sent', doc = '[1]', placed = null where id = 12;
    update shop.customers set name = '이름이 바뀜', note = 'x' where id = 2;
    select setval('shop.orders_id_seq', 1, false)";

/// What came after, and is not in the restore point.
const LATER: &str = "insert into shop.customers (id, name) values (4, 'New'); insert into shop.orders values (14, 4, 'open', null, null);
    insert into shop.lines (order_id, no, item, price, count) values (14, 1, 'x', 1, 1), (12, 3, 'y', 2, 2)";

fn all() -> [(&'static str, &'static str); 3] {
    // Not in the order in which they must go in.
    [("lines", "true"), ("shop.orders", "true"), ("Customers", "true")]
}

#[test]
fn restore_rows_of_three_linked_tables_come_back_on_every_major() {
    for major in MAJORS {
        let rig = Rig::new(major, SHOP, ACCIDENT);
        let (report, text) = rig.patch(&all(), false).unwrap();
        let counts: Vec<(u64, u64, u64)> = report.tables.iter().map(|t| (t.inserted, t.updated, t.deleted)).collect();
        assert_eq!(counts, [(4, 0, 0), (2, 1, 0), (1, 1, 0)], "{major}: {text}");
        let touched = rig.apply(&text).unwrap_or_else(|error| panic!("{major}: {error}\n{text}"));
        assert_eq!(touched.iter().map(|t| t.inserted + t.updated + t.deleted).sum::<u64>(), 9, "{touched:?}");
        rig.same(&TABLES);
        assert_eq!(rig.live("select nextval('shop.orders_id_seq')"), "14");
        let (again, nothing) = rig.patch(&all(), true).unwrap();
        assert!(again.empty() && rig.apply(&nothing).unwrap().is_empty(), "{nothing}");
    }
}

#[test]
fn restore_rows_patch_reads_well() {
    let rig = Rig::new(17, SHOP, &format!("{ACCIDENT};{LATER}"));
    let (_, text) = rig
        .patch(
            &[("orders", "customer_id in (select id from customers where id < 3)"), ("lines", "order_id < 13"), ("customers", "id = 1")],
            true,
        )
        .unwrap();
    insta::assert_snapshot!(text);
    // psql runs it as it is.
    rig.live(&text);
    assert_eq!(rig.live("select count(*) from shop.lines where order_id < 13"), "6");
    assert_eq!(rig.live("select name from shop.customers where id = 2"), "이름이 바뀜");
}

#[test]
fn restore_rows_deletes_only_when_told_to() {
    let rig = Rig::new(15, SHOP, &format!("{ACCIDENT};{LATER}"));
    let (_, text) = rig.patch(&all(), false).unwrap();
    rig.apply(&text).unwrap();
    assert_eq!(rig.live("select count(*) from shop.lines"), "10");
    let (report, text) = rig.patch(&all(), true).unwrap();
    assert_eq!(report.tables.iter().map(|t| t.deleted).collect::<Vec<_>>(), [2, 1, 1]);
    assert!(
        report.warnings.iter().any(|w| w.contains("deleting from shop.orders also changes rows of shop.lines")),
        "{:?}",
        report.warnings
    );
    rig.apply(&text).unwrap();
    rig.same(&TABLES);
}

#[test]
fn restore_rows_that_left_the_filter_are_not_deleted() {
    let rig = Rig::new(15, SHOP, "update shop.orders set state = 'paid' where id = 13");
    // Order 13 is paid only in the live database, but the restore point has it.
    let (report, _) = rig.patch(&[("orders", "state = 'paid'")], true).unwrap();
    assert!(report.empty());
}

#[test]
fn restore_rows_refuses_what_changed_since_the_review_and_changes_nothing() {
    let rig = Rig::new(16, SHOP, &format!("{ACCIDENT};{LATER}"));
    let (_, text) = rig.patch(&all(), true).unwrap();
    for (change, back, words) in [
        (
            "update shop.orders set state = 'paid' where id = 12",
            "update shop.orders set state = 'sent' where id = 12",
            "shop.orders (id 12) is no longer",
        ),
        (
            "update shop.orders set doc = '[2]' where id = 12",
            "update shop.orders set doc = '[1]' where id = 12",
            "shop.orders (id 12) is no longer",
        ),
        (
            "update shop.lines set count = 9 where order_id = 14",
            "update shop.lines set count = 1 where order_id = 14",
            "shop.lines (order_id 14, no 1) is no",
        ),
        ("insert into shop.customers (id, name) values (1, 'x')", "delete from shop.customers where id = 1", "customers_pkey"),
    ] {
        rig.live(change);
        let before = rig.rows("live", &TABLES);
        let error = rig.apply(&text).unwrap_err().to_string();
        assert!(error.contains(words), "{change}: {error}");
        assert_eq!(rig.rows("live", &TABLES), before, "{change}");
        assert_eq!(rig.live("select last_value from shop.orders_id_seq"), "1");
        rig.live(back);
    }
    rig.apply(&text).unwrap();
    rig.same(&TABLES);
}

#[test]
fn restore_rows_applies_only_whole_patches() {
    let rig = Rig::new(15, SHOP, ACCIDENT);
    let (_, text) = rig.patch(&all(), false).unwrap();
    let before = rig.rows("live", &TABLES);
    for (bad, words) in [
        (text.replace("\ncommit;\n", "\n"), "cut short"),
        (text[..text.len() / 2].to_owned(), "cut short"),
        (text.replace("\ncommit;\n", "\ncommit;\ndelete from shop.lines;"), "follows its commit"),
        (text.replace("\nset constraints", "\ncommit; begin;\nset constraints"), "follows its commit"),
        (text.replace("\nset constraints", "\nrollback;\nset constraints"), "`rollback` can not stand"),
        (String::new(), "cut short"),
    ] {
        let error = rig.apply(&bad).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(rig.rows("live", &TABLES), before);
    }
    rig.cancel.cancel("SIGTERM", false);
    assert!(rig.apply(&text).unwrap_err().to_string().contains("SIGTERM"));
    assert_eq!(rig.rows("live", &TABLES), before);
}

#[test]
fn restore_rows_says_what_it_needs() {
    let seed = format!(
        "{SHOP} create table plain (a int); create schema other; create table other.orders (id int primary key);
         create table gone (id int primary key); create table drifted (id int primary key, a int, b text);"
    );
    let rig = Rig::new(15, &seed, "drop table gone; alter table drifted drop b, alter a type bigint, add c int");
    for (wanted, words) in [
        (
            ("plain", "true"),
            "table public.plain has no primary key, so its rows can not be matched one by one: bring the table back beside itself with `--tables public.plain --as copy`",
        ),
        (("orders", "true"), "`orders` may be one of other.orders, shop.orders: name it with its schema"),
        (("ordres", "true"), "did you mean other.orders, shop.orders?"),
        (("gone", "true"), "table public.gone is not in postgres@"),
        (
            ("drifted", "true"),
            "column a was integer and is bigint; column b is only in the restore point; column c is only in the live table",
        ),
        (("shop.orders", "id = = 1"), "the condition \"id = = 1\" on table shop.orders does not do"),
        (("shop.orders", "true); drop table shop.lines; select (1"), "does not do"),
    ] {
        let error = rig.patch(&[wanted], false).unwrap_err().to_string();
        assert!(error.contains(words), "{wanted:?}: {error}");
    }
    let twice = rig.patch(&[("lines", "order_id = 1"), ("shop.lines", "order_id = 2")], false).unwrap_err().to_string();
    assert_eq!(twice, "table shop.lines is named twice: name it once");
    rig.live("alter table shop.lines drop constraint lines_pkey, add primary key (no, order_id, item)");
    let moved = rig.patch(&[("lines", "true")], false).unwrap_err().to_string();
    assert!(moved.contains("the primary key was (no, order_id) and is (item, no, order_id)"), "{moved}");
}

#[test]
fn restore_rows_warns_of_rows_whose_parents_stay_away() {
    let rig = Rig::new(15, SHOP, ACCIDENT);
    let (report, text) = rig.patch(&[("orders", "customer_id = 1"), ("lines", "order_id < 12")], false).unwrap();
    assert_eq!(
        report.warnings,
        [
            "rows of shop.orders refer to rows of shop.customers that are neither there nor in this patch (foreign key orders_customer_id_fkey): \
          the patch will be refused unless they are brought back too, with --rows 'shop.customers: \"id\" in (1)'"
        ]
    );
    assert!(text.contains("-- WARNING: rows of shop.orders"));
    assert!(rig.apply(&text).unwrap_err().to_string().contains("violates foreign key constraint"));
    let (report, text) =
        rig.patch(&[("orders", "customer_id = 1"), ("lines", "order_id < 12"), ("customers", "\"id\" in (1)")], false).unwrap();
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    rig.apply(&text).unwrap();
}

/// A row with a value of every kind that is easily got wrong, and one of nulls.
const TRICKY: &str = r#"
create extension citext; create extension hstore;
create domain "양수" as int check (value > 0);
create type "Pair" as (a int, "b C" text);
create table "표 One" ("키" text, "Key" int, "found" text, b bytea, arr text[], nested int[][], j json, jb jsonb, n numeric, f float8, r float4, t text,
    c char(5), v varchar(20), q "char", ts timestamp, tz timestamptz, iv interval, d date, tm timetz, u uuid, i inet, m money, bits bit varying(8), x xml,
    p point, bx box, rg int4range, mr datemultirange, dom "양수", pr "Pair", prs "Pair"[], ci citext, h hstore, reg regclass, tzs timestamptz[],
    id int generated always as identity, made text generated always as (upper(t)) stored, primary key ("키", "Key"));
insert into "표 One" values ('가''나"다', -1, '$runner$; %', '\x00ff27', '{NULL,"null","a\\b,\"c\"","한글 {}"}', '{{1,2},{3,4}}', '{"a":  1, "b": "\u000a"}', '{"z": 1.00}',
    'NaN', '-Infinity', '1e-40', E'line\nbreak \\ '' $$ %s \t', 'ab', 'v', 'z', 'infinity', '2026-03-29 02:30:00+01', '-1 year +2 days -03:04:05.6', '0001-01-01 BC',
    '12:34:56.7+09', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '::1/64', '-1234.50', '10110', '<a b="1">x</a>', '(1,2)', '(3,4),(1,2)', '[1,5)',
    '{[2026-01-01,2026-02-01)}', 7, '(1,"x, y")', array['(1,a)', '(,)']::"Pair"[], 'CaSe', '"a b"=>"c\\d", e=>NULL', '"표 One"', '{infinity,2026-01-01 00:00+00}');
insert into "표 One" ("키", "Key") values ('nulls', 2), ('same', 3);
update "표 One" set f = '-0', n = 1.100, t = '', arr = '{}' where "키" = 'same';
"#;

#[test]
fn restore_rows_of_all_kinds_come_back_to_the_bit() {
    for major in [14, 18] {
        let rig = Rig::new(
            major,
            TRICKY,
            "alter database live set intervalstyle = 'sql_standard'; alter database live set datestyle = 'SQL, DMY'; delete from \"표 One\" where \"키\" <> 'same'",
        );
        let table = [("표 One", "true")];
        let (report, text) = rig.patch(&table, false).unwrap();
        assert_eq!(report.tables[0].inserted, 2);
        rig.apply(&text).unwrap_or_else(|error| panic!("{major}: {error}\n{text}"));
        rig.same(&["\"표 One\""]);
        // Everything of a row changed, and back.
        let change = "update \"표 One\" a set (\"found\", b, arr, nested, j, jb, n, f, r, t, c, v, q, ts, tz, iv, d, tm, u, i, m, bits, x, p, bx, rg, mr, dom, pr, prs, ci, h, reg, tzs) \
            = (select \"found\", b, arr, nested, j, jb, n, f, r, t, c, v, q, ts, tz, iv, d, tm, u, i, m, bits, x, p, bx, rg, mr, dom, pr, prs, ci, h, reg, tzs \
               from \"표 One\" b where b.\"Key\" = -1) where \"Key\" = 2";
        for sql in [
            change,
            "update \"표 One\" set (b, j, p, x, bx, iv, n, ci, prs) = ('\\x', '{}', '(0,0)', '<b/>', '(4,3),(2,1)', '1 day', 1.1, 'case', '{}') where \"Key\" <> 2",
        ] {
            rig.live(sql);
            let (report, text) = rig.patch(&table, false).unwrap();
            assert!(report.tables[0].updated > 0);
            rig.apply(&text).unwrap_or_else(|error| panic!("{major}: {error}\n{text}"));
            rig.same(&["\"표 One\""]);
        }
        // And what is new goes, whatever it holds.
        rig.live("insert into \"표 One\" (\"키\", \"Key\", \"found\", b, arr, j, x, p, bx, pr, prs, ci, h, iv, c, f, m, reg, tzs) select '새', 9, \"found\", b, arr, j, x, p, bx, pr, prs, ci, h, iv, c, f, m, reg, tzs from \"표 One\" where \"Key\" = -1");
        let (_, text) = rig.patch(&table, true).unwrap();
        rig.apply(&text).unwrap_or_else(|error| panic!("{major}: {error}\n{text}"));
        rig.same(&["\"표 One\""]);
    }
}

#[test]
fn restore_rows_finds_keys_by_the_equality_of_their_type() {
    let seed = "create schema ext; create extension citext schema ext; create table words (w ext.citext primary key, n int); \
                create table amounts (a numeric primary key, n int); insert into words values ('Case', 1); insert into amounts values (1.0, 1)";
    let rig = Rig::new(15, seed, "update words set w = 'CASE', n = 2; update amounts set a = 1.00, n = 2");
    let (report, text) = rig.patch(&[("words", "true"), ("amounts", "true")], true).unwrap();
    assert_eq!(report.tables.iter().map(|t| (t.inserted, t.updated, t.deleted)).collect::<Vec<_>>(), [(0, 1, 0), (0, 1, 0)]);
    rig.apply(&text).unwrap();
    rig.same(&["words", "amounts"]);
}

#[test]
fn restore_rows_of_tables_that_refer_to_themselves_and_each_other_go_with_one_statement() {
    let seed = "create table staff (id int primary key, boss int not null references staff, runner_x int);
        insert into staff values (1, 2), (2, 1), (3, 3), (4, 1);
        create table husbands (id int primary key, wife int not null); create table wives (id int primary key, husband int not null references husbands);
        alter table husbands add foreign key (wife) references wives not valid;
        begin; alter table husbands disable trigger all; insert into husbands values (1, 10), (2, 20); insert into wives values (10, 1), (20, 2);
        alter table husbands enable trigger all; commit;";
    let accident = "begin; alter table staff disable trigger all; alter table husbands disable trigger all; alter table wives disable trigger all;
        delete from staff where id <> 3; delete from husbands; delete from wives where id = 10; insert into wives values (30, 3); insert into husbands values (3, 30);
        insert into staff values (7, 8), (8, 7), (5, 3); commit; update wives set husband = 3 where id = 20;
        alter table staff enable trigger all; alter table husbands enable trigger all; alter table wives enable trigger all";
    let rig = Rig::new(14, seed, accident);
    let (report, text) = rig.patch(&[("husbands", "true"), ("staff", "true"), ("wives", "true")], true).unwrap();
    assert_eq!(report.tables.iter().map(|t| (t.inserted, t.updated, t.deleted)).collect::<Vec<_>>(), [(2, 0, 1), (3, 0, 3), (1, 1, 1)]);
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    insta::assert_snapshot!(text);
    rig.live("insert into staff values (9, 7)");
    assert!(rig.apply(&text).is_err());
    rig.live("delete from staff where id = 9; update staff set runner_x = 1 where id = 5");
    let error = rig.apply(&text).unwrap_err().to_string();
    assert!(error.contains("public.staff: not all of the 3 rows could be deleted as they were"), "{error}");
    rig.live("update staff set runner_x = null where id = 5");
    rig.apply(&text).unwrap();
    rig.same(&["staff", "husbands", "wives"]);
}

#[test]
fn restore_rows_may_need_a_unique_value_of_a_row_that_goes() {
    let seed = "create table users (id int primary key, email text unique); insert into users values (1, 'a@b')";
    let rig = Rig::new(15, seed, "delete from users; insert into users values (2, 'a@b')");
    let (_, text) = rig.patch(&[("users", "true")], true).unwrap();
    rig.apply(&text).unwrap();
    rig.same(&["users"]);
}

#[test]
fn restore_rows_counts_what_triggers_swallow() {
    let rig = Rig::new(15, SHOP, ACCIDENT);
    rig.live(
        "create function swallow() returns trigger language plpgsql as 'begin return null; end'; \
              create trigger swallow before insert on shop.customers for each row execute function swallow()",
    );
    let (report, text) = rig.patch(&[("customers", "true")], false).unwrap();
    assert!(report.notes.contains(&"trigger swallow (before insert) of shop.customers will fire".to_owned()), "{:?}", report.notes);
    let error = rig.apply(&text).unwrap_err().to_string();
    assert!(error.contains("not all of the 1 rows inserted into shop.customers are there"), "{error}");
    assert_eq!(rig.live("select name from shop.customers where id = 2"), "이름이 바뀜");
}

#[test]
fn restore_rows_of_partitions_and_children_stay_where_they_belong() {
    let seed = "create table log (at date, n int, t text, primary key (at, n)) partition by range (at);
        create table log_1 partition of log for values from ('2026-01-01') to ('2026-02-01'); create table log_2 partition of log default;
        insert into log select '2026-01-01'::date + g, g, 'x' from generate_series(1, 60) g;
        create table base (id int primary key, t text); create table child (primary key (id)) inherits (base); insert into base values (1, 'a'); insert into child values (2, 'b');";
    let rig = Rig::new(
        16,
        seed,
        "delete from log where n % 7 = 0; update log set t = 'y' where n = 50; delete from base; insert into child values (1, 'not mine')",
    );
    let (report, text) = rig.patch(&[("log", "true"), ("base", "true")], true).unwrap();
    assert_eq!(report.tables.iter().map(|t| (t.inserted, t.updated, t.deleted)).collect::<Vec<_>>(), [(8, 1, 0), (1, 0, 0)]);
    rig.apply(&text).unwrap();
    rig.same(&["log", "log_1", "only base"]);
    assert_eq!(rig.live("select t from child"), "not mine");
}

#[test]
fn restore_rows_of_large_tables_are_compared_in_batches() {
    let seed = "create table big (id bigint primary key, t text); insert into big select g, repeat('x', 100) || g from generate_series(1, 100000) g; \
                create table wide (id int primary key, t text); insert into wide select g, repeat(g::text, 500000) from generate_series(1, 40) g";
    let rig = Rig::new(
        17,
        seed,
        "delete from big where id % 1000 = 0; update big set t = 'y' where id % 1000 = 1; delete from wide where id = 7",
    );
    let began = std::time::Instant::now();
    let (report, text) = rig.patch(&[("big", "true"), ("wide", "true")], true).unwrap();
    // A second or two, even in a debug build; far more would mean a query for every row.
    assert!(began.elapsed() < std::time::Duration::from_mins(1), "{:?}", began.elapsed());
    assert_eq!(report.tables.iter().map(|t| (t.inserted, t.updated, t.deleted)).collect::<Vec<_>>(), [(100, 100, 0), (1, 0, 0)]);
    rig.apply(&text).unwrap();
    let digest =
        "select md5(string_agg(t::text, '' order by id)) from big t union all select md5(string_agg(t::text, '' order by id)) from wide t";
    assert_eq!(rig.live(digest), rig.server.psql("before", digest));
}

#[test]
fn restore_rows_sets_back_what_others_need_before_it_inserts() {
    let seed = "create table p (id int primary key, code text unique); create table c (id int primary key, code text references p (code));
        insert into p values (1, 'a'), (2, 'b'); insert into c values (1, 'a')";
    // The code of the row that went is on another, and the line's parent has another code.
    let rig = Rig::new(15, seed, "delete from c; delete from p where id = 2; update p set code = 'b'");
    let (_, text) = rig.patch(&[("p", "true"), ("c", "true")], false).unwrap();
    rig.apply(&text).unwrap();
    rig.same(&["p", "c"]);
}

/// Better matches for some types than PostgreSQL's own, which only whoever trusts the search path runs.
const IMPOSTORS: &str =
    "create function evil(varchar, varchar) returns boolean language plpgsql as 'begin raise exception ''evil =''; end';
    create operator = (function = evil, leftarg = varchar, rightarg = varchar);
    create function evil(kind, kind) returns boolean language plpgsql as 'begin raise exception ''evil =''; end';
    create operator = (function = evil, leftarg = kind, rightarg = kind);
    create function setval(text, bigint) returns bigint language plpgsql as 'begin raise exception ''evil setval''; end'";

#[test]
fn restore_rows_and_tables_run_nothing_that_only_has_the_name_of_what_is_meant() {
    let seed = format!(
        "create type kind as enum ('a', 'b'); create table t (code varchar(9), kind kind, n serial, v varchar, primary key (code, kind));
         create table refers (code varchar(9), kind kind, foreign key (code, kind) references t);
         insert into t values ('x', 'a', 1, 'v'), ('y', 'b', 2, 'w'), ('z', 'b', 3, 'w'); {IMPOSTORS}"
    );
    let harm = "delete from t where n = 3; update t set v = 'other' where n = 1; alter sequence t_n_seq restart";
    let rig = Rig::new(16, &seed, harm);
    let (_, text) = rig.patch(&[("t", "true")], true).unwrap();
    rig.apply(&text).unwrap();
    rig.same(&["t"]);
    rig.live(harm);
    rig.transfer(&["t"], &How::Replace).unwrap();
    rig.same(&["t"]);
}
