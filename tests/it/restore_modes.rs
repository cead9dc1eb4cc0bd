//! `runner restore` of less than all: tables, rows by a patch, globals, and a replacement in place.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::apply_support::{Bench, MAJOR, Ran, files};
use crate::restore_rig::SHOP;
use crate::servers::postgres::{SUPERUSER, TestServer};

const STEPS: &str = "steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: compress, uses: compress, with: { level: 1 } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump.zst\" } }
";

const GLOBALS: &str = "  - { id: globals, uses: globals, needs: [], with: { connection: shop } }
  - { id: upload-globals, uses: upload, with: { store: vault, key: \"{{ run.id }}.globals.sql\" } }
";

/// Customer 1 and everything of theirs is gone, and another order was changed.
const ACCIDENT: &str = "delete from shop.lines where order_id in (10, 11); delete from shop.orders where customer_id = 1;
    delete from shop.customers where id = 1; update shop.orders set state = 'sent' where id = 12;
    insert into shop.customers (id, name) values (9, 'New')";

const TABLES: &str = "shop.customers,shop.orders,shop.lines";

/// All rows of the three tables.
const ROWS: &str = "select string_agg(t, '|' order by t) from (select c::text as t from shop.customers c union all select o::text from shop.orders o \
    union all select l::text from shop.lines l) x";

fn backed_up(more: &str) -> (TestServer, Bench) {
    let (server, bench) = (TestServer::start(MAJOR), Bench::new());
    server.psql("postgres", "create database shop");
    server.psql("shop", SHOP);
    bench.pipeline(&server, &format!("{STEPS}{more}"));
    bench.apply().is(0, &[]);
    (server, bench)
}

fn restore(bench: &Bench, more: &[&str]) -> Ran {
    bench.run(&[&["restore", "pipeline.yaml", "--to", "shop"], more].concat())
}

fn url(server: &TestServer, database: &str, user: &str) -> String {
    format!("postgresql:///{database}?host={}&port={}&user={user}", server.socket_folder().display(), server.port)
}

/// The manifest of the newest restore point of these.
fn manifest(bench: &Bench, pipeline: &str) -> PathBuf {
    let all = files(&bench.path("store/.runner").join(pipeline));
    all.into_iter().filter(|path| path.to_string_lossy().ends_with(".manifest.json")).max().unwrap()
}

fn patches(bench: &Bench) -> Vec<PathBuf> {
    let all = std::fs::read_dir(bench.path("")).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.extension().is_some_and(|ending| ending == "sql")).collect()
}

#[test]
fn restore_rows_of_three_linked_tables_come_back_at_once() {
    let (server, bench) = backed_up("");
    let before = server.psql("shop", ROWS);
    server.psql("shop", ACCIDENT);
    let rows = ["--rows", "lines: true", "--rows", "shop.orders: true", "--rows", "customers: true", "--with-deletes"];
    let ran = restore(&bench, &[&rows[..], &["--apply"]].concat());
    ran.is(64, &["nothing was done", "!     shop.orders (2 rows now): rows are set back or inserted, those that came since are deleted"]);
    let ran = restore(&bench, &[&rows[..], &["--apply", "--yes"]].concat());
    ran.is(0, &[]);
    assert!(ran.stdout.contains("changed") && ran.stdout.contains("shop.orders: 2 inserted, 1 set back, 0 deleted"), "{}", ran.stdout);
    assert!(ran.stdout.contains("proven") && ran.stdout.contains("trigger audit"), "{}", ran.stdout);
    assert_eq!(server.psql("shop", ROWS), before);
    bench.is_clean();
}

#[test]
fn restore_rows_writes_a_patch_that_only_its_owner_reads_and_that_is_applied_later() {
    let (server, bench) = backed_up("");
    let before = server.psql("shop", ROWS);
    server.psql("shop", ACCIDENT);
    let after = server.psql("shop", ROWS);
    let rows = ["--rows", "lines: order_id < 12", "--rows", "orders: id < 13", "--rows", "customers: id in (1, 9)", "--with-deletes"];
    // It changes nothing, so nobody is asked.
    let ran = restore(&bench, &[&rows[..], &["--patch", "복원.sql"]].concat());
    ran.is(0, &[]);
    assert!(ran.stdout.contains("would change") && ran.stdout.contains("--apply-patch"), "{}", ran.stdout);
    assert_eq!(server.psql("shop", ROWS), after);
    let patch = bench.path("복원.sql");
    assert_eq!(std::fs::metadata(&patch).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&patch).unwrap();
    assert!(text.contains("insert into shop.customers") && text.contains(" of orders"), "{text}");
    let again = restore(&bench, &[&rows[..], &["--patch", "복원.sql"]].concat());
    again.is(10, &["복원.sql exists already, and a patch never overwrites a file"]);
    assert_eq!(std::fs::read_to_string(&patch).unwrap(), text);

    let ran = restore(&bench, &["--apply-patch", "복원.sql"]);
    ran.is(
        64,
        &[
            "nothing was done",
            "! apply",
            "the patch 복원.sql, whole or not at all",
            "!     shop.customers 1 inserted, 0 updated, 1 deleted",
        ],
    );
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    server.psql("postgres", "create database other");
    let other = restore(&bench, &["--apply-patch", "복원.sql", "--database", "other"]);
    other.is(64, &["warning: step apply: the patch was made for database \"shop\" and is applied to \"other\""]);
    let ran = restore(&bench, &["--apply-patch", "복원.sql", "--yes"]);
    ran.is(0, &[]);
    assert!(ran.stdout.contains("shop.customers: 1 inserted, 0 set back, 1 deleted"), "{}", ran.stdout);
    assert_eq!(server.psql("shop", ROWS), before);
    // Applied twice it is no longer right, and fails as a whole.
    restore(&bench, &["--apply-patch", "복원.sql", "--yes"]).is(10, &["nothing was changed"]);
    assert_eq!(server.psql("shop", ROWS), before);
    restore(&bench, &["--apply-patch", "없음.sql", "--yes"]).is(66, &["없음.sql"]);
}

#[test]
fn restore_rows_that_can_not_be_matched_leave_no_patch_and_say_why() {
    let (server, bench) = backed_up("");
    server.psql("shop", "alter table shop.lines drop constraint lines_pkey");
    let ran = restore(&bench, &["--rows", "lines: true"]);
    ran.is(10, &["no primary key", "--tables shop.lines --as copy"]);
    // What the live table can tell is told before anything is restored.
    for filter in ["no_such_column = 1", "id = 1; drop table shop.lines", "id =", "id = 1) or (nothing"] {
        let ran = restore(&bench, &["--rows", &format!("customers: {filter}")]);
        ran.is(10, &["the condition", "It can not be applied"]);
        assert!(!ran.stderr.contains("journal:"), "{}", ran.stderr);
    }
    restore(&bench, &["--rows", "ordrs: true"]).is(10, &["has no table `ordrs`"]);
    restore(&bench, &["--rows", "orders"]).is(64, &["TABLE: WHERE"]);
    assert_eq!(patches(&bench), Vec::<PathBuf>::new());
    bench.is_clean();
}

#[test]
fn restore_tables_are_replaced_after_a_safety_dump_that_can_undo_it() {
    let (server, bench) = backed_up("");
    let before = server.psql("shop", ROWS);
    server.psql("shop", ACCIDENT);
    let after = server.psql("shop", ROWS);
    let ran = restore(&bench, &["--tables", TABLES, "--as", "replace", "--yes"]);
    ran.is(0, &["!     table shop.customers (3 rows now): all rows go", "safety dump of shop"]);
    assert!(ran.stdout.contains("shop.customers: 3 inserted, 0 set back, 3 deleted"), "{}", ran.stdout);
    assert_eq!(server.psql("shop", ROWS), before);
    // The safety dump is a restore point as any other, by which the same tables go back.
    let safety = manifest(&bench, "orders.restore");
    let undo =
        ["restore", safety.to_str().unwrap(), "--to", &url(&server, "shop", SUPERUSER), "--tables", TABLES, "--as", "replace", "--yes"];
    bench.run(&undo).is(0, &[]);
    assert_eq!(server.psql("shop", ROWS), after);
    bench.is_clean();
}

#[test]
fn restore_tables_are_merged_or_copied_beside() {
    let (server, bench) = backed_up("");
    server.psql("shop", ACCIDENT);
    let ran = restore(&bench, &["--tables", TABLES, "--as", "merge", "--yes"]);
    ran.is(0, &["!     table shop.orders (2 rows now): rows that differ are set back", "safety dump of shop"]);
    assert_eq!(server.psql("shop", "select count(*) from shop.customers"), "4", "what came since stays");
    assert_eq!(server.psql("shop", "select state from shop.orders where id = 12"), "open");

    let point =
        manifest(&bench, "orders").file_name().unwrap().to_str().unwrap().split('.').next().unwrap().to_lowercase().replace('-', "_");
    let schema = format!("restored_{point}");
    server.psql("shop", "drop table shop.lines");
    let ran = restore(&bench, &["--tables", "customers,\"shop\".\"lines\"", "--yes"]);
    ran.is(0, &[&format!("in a new schema {schema}")]);
    assert!(!ran.stderr.contains("!  ") && !ran.stderr.contains("safety"), "nothing is taken away: {}", ran.stderr);
    assert_eq!(
        server.psql("shop", &format!("select (select count(*) from {schema}.customers), (select count(*) from {schema}.lines)")),
        "3|8"
    );
    restore(&bench, &["--tables", "customers", "--as", "copy", "--yes"]).is(10, &[&schema, "it exists already"]);
    restore(&bench, &["--tables", "lines", "--as", "replace", "--yes"]).is(10, &["has no table `lines`", "--as copy"]);
    let nowhere = restore(&bench, &["--database", "nowhere", "--tables", "lines", "--yes"]);
    nowhere.is(10, &["database \"nowhere\" is not there"]);
}

#[test]
fn restore_of_tables_that_can_not_be_brought_is_refused_before_anything_is_dumped_or_stopped() {
    let (server, bench) = backed_up("");
    server.psql("shop", "alter table shop.customers add column phone text");
    let stop = serde_json::json!(["touch", bench.path("stopped")]).to_string();
    for mode in ["replace", "merge"] {
        let ran = restore(&bench, &["--tables", "customers", "--as", mode, "--yes", "--before", &stop]);
        ran.is(10, &["column phone is only in the live table"]);
        assert!(ran.stdout.contains("safety dump    none was made"), "{}", ran.stdout);
    }
    assert!(!bench.path("stopped").exists() && !bench.path("store/.runner/orders.restore").exists());
    // A copy may be of a table that is gone; that its name may be misspelt is told in time.
    restore(&bench, &["--tables", "costumers"]).is(64, &["warning", "has no table `costumers`: if that is misspelt"]);
    bench.is_clean();
}

#[test]
fn restore_of_tables_gathers_statistics_and_names_materialized_views_that_lean_on_them() {
    let (server, bench) = backed_up("");
    server.psql("shop", "create view shop.open as select * from shop.orders where state = 'open'; create materialized view shop.\"요약\" as select count(*) from shop.open");
    let statistics = || server.psql("shop", "select reltuples from pg_class where oid = 'shop.lines'::regclass");
    let note = "materialized view shop.\"요약\" holds what was there before: refresh materialized view shop.\"요약\";";
    let ran = restore(&bench, &["--tables", "orders,lines", "--as", "replace", "--yes"]);
    ran.is(0, &["; then gather statistics"]);
    assert!(ran.stdout.contains(note), "{}", ran.stdout);
    assert_eq!(statistics(), "8");
    let ran = restore(&bench, &["--tables", "lines", "--as", "replace", "--yes", "--no-analyze"]);
    ran.is(0, &[]);
    assert!(!ran.stdout.contains("materialized") && !ran.stderr.contains("gather statistics"), "{}", ran.stdout);
    assert_eq!(statistics(), "-1");
    server.psql("shop", "update shop.orders set state = 'sent' where id = 12");
    let ran = restore(&bench, &["--rows", "orders: id = 12", "--apply", "--yes"]);
    ran.is(0, &[]);
    assert!(ran.stdout.contains(note), "{}", ran.stdout);
}

#[test]
fn restore_makes_missing_roles_first_and_leaves_others_alone() {
    let (server, bench) = (TestServer::start(MAJOR), Bench::new());
    server.psql("postgres", "create database shop; ");
    server.psql("shop", SHOP);
    server.psql(
        "shop",
        "create role \"소유자\" login password 'geheim-canary'; create role reader; create role known noinherit; grant reader to \"소유자\";
         alter role \"소유자\" set work_mem = '8MB'; alter table shop.orders owner to \"소유자\"; grant select on shop.lines to reader, known",
    );
    bench.pipeline(&server, &format!("{STEPS}{GLOBALS}"));
    bench.apply().is(0, &[]);
    let second = TestServer::start(MAJOR);
    second.psql("postgres", "create role known login connection limit 7");
    let to = url(&second, "shop", SUPERUSER);
    bench.run(&["restore", "pipeline.yaml", "--to", &to, "--yes"]).is(10, &["소유자"]);
    let events = bench.path("events");
    let ran = bench.run(&["restore", "pipeline.yaml", "--to", &to, "--globals", "--yes", "--events", events.to_str().unwrap()]);
    ran.is(0, &["! restore:globals"]);
    assert_eq!(second.psql("shop", "select pg_get_userbyid(relowner) from pg_class where oid = 'shop.orders'::regclass"), "소유자");
    assert_eq!(
        second.psql("shop", "select pg_has_role('소유자', 'reader', 'member'), has_table_privilege('reader', 'shop.lines', 'select')"),
        "t|t"
    );
    assert_eq!(second.psql("shop", "select rolconnlimit, rolcanlogin, rolinherit from pg_roles where rolname = 'known'"), "7|t|t");
    let hash = "select rolpassword from pg_authid where rolname = '소유자'";
    assert_eq!(second.psql("postgres", hash), server.psql("postgres", hash));
    assert_eq!(second.psql("postgres", "select setconfig from pg_db_role_setting"), "{work_mem=8MB}");
    let said = format!("{}{}{}", ran.stdout, ran.stderr, std::fs::read_to_string(&events).unwrap());
    assert!(said.contains("role 소유자") && said.contains("left alone, because it is there: role known"), "{said}");
    assert!(!said.contains("SCRAM-SHA-256"), "a password's hash was told");
}

#[test]
fn restore_says_before_it_begins_that_a_point_has_no_globals() {
    let (_server, bench) = backed_up("");
    let ran = restore(&bench, &["--database", "copy", "--globals", "--yes"]);
    ran.is(10, &["has no globals", "leave out `globals` (--globals)"]);
}

/// Globals go to a store of their own, which comes first.
const APART: &str = "  roles: { local: { path: @/ROLES } }
steps:
  - { id: globals, uses: globals, needs: [], with: { connection: shop } }
  - { id: upload-globals, uses: upload, with: { store: roles, key: \"{{ run.id }}.globals.sql\" } }
  - { id: dump, uses: dump, needs: [], with: { connection: shop } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump\" } }
";

#[test]
fn restore_takes_dump_and_globals_each_from_the_store_that_has_it() {
    let (server, bench) = (TestServer::start(MAJOR), Bench::new());
    server.psql("postgres", "create database shop");
    server.psql("shop", &format!("{SHOP} create role \"소유자\"; alter table shop.orders owner to \"소유자\""));
    bench.pipeline(&server, &APART.replace("ROLES", "roles"));
    bench.apply().is(0, &[]);
    let ran = bench.run(&["verify", "pipeline.yaml"]);
    ran.is(0, &[]);
    assert!(ran.stdout.contains("proven"), "{}", ran.stdout);
    // Nothing is told as damaged, or recorded so, because it lies elsewhere.
    let elsewhere = "lies in the store `vault`";
    bench.run(&["verify", "pipeline.yaml", "--store", "roles"]).is(10, &[elsewhere, "--store vault"]);
    restore(&bench, &["--store", "roles", "--database", "copy", "--yes"]).is(10, &[elsewhere, "--store vault"]);
    let listed = bench.run(&["list", "pipeline.yaml"]).stdout;
    assert!(listed.contains("proven") && !listed.contains("failed"), "{listed}");

    let second = TestServer::start(MAJOR);
    let to = url(&second, "shop", SUPERUSER);
    bench.run(&["restore", "pipeline.yaml", "--to", &to, "--globals", "--yes"]).is(0, &["! restore:globals"]);
    assert_eq!(second.psql("shop", "select pg_get_userbyid(relowner) from pg_class where oid = 'shop.orders'::regclass"), "소유자");
    // A manifest alone names stores that nobody declares: what lies beside it is found, and what does not is told.
    let (manifest, to) = (manifest(&bench, "orders"), url(&server, "copy", SUPERUSER));
    let by_manifest = |more: &[&str]| bench.run(&[&["restore", manifest.to_str().unwrap(), "--to", &to, "--yes"], more].concat());
    by_manifest(&["--globals"]).is(10, &["lie in the store `roles`, which is not declared here"]);
    by_manifest(&[]).is(0, &[]);
    assert_eq!(server.psql("copy", ROWS), server.psql("shop", ROWS));
}

#[test]
fn restore_does_not_ask_for_a_store_that_has_none_of_the_globals_it_wants() {
    let (server, bench) = backed_up(GLOBALS);
    // By now they would go where nothing answers.
    bench.file("ROLES", "no folder");
    bench.pipeline(&server, &APART.replace("@/ROLES", "@/ROLES/x"));
    let ran = bench.run(&["plan", "pipeline.yaml"]);
    assert!(ran.code == 69 && ran.stdout.contains("error: store roles"), "{}", ran.stdout);
    restore(&bench, &["--database", "copy", "--globals", "--yes"]).is(0, &[]);
}

/// A role that owns the database and may not make another.
fn owned(server: &TestServer) {
    server.psql("postgres", "create role app login; grant create on database shop to app");
    server.psql("shop", "do $$ declare r record; begin
        alter schema shop owner to app; alter type shop.state owner to app; alter function shop.noted() owner to app;
        for r in select relname from pg_class where relnamespace = 'shop'::regnamespace and relkind = 'r' loop execute format('alter table shop.%I owner to app', r.relname); end loop;
        end $$");
}

#[test]
fn restore_replaces_in_place_as_a_role_that_may_not_create_databases() {
    let (server, bench) = (TestServer::start(MAJOR), Bench::new());
    server.psql("postgres", "create database shop");
    server.psql("shop", SHOP);
    owned(&server);
    bench.pipeline(&server, STEPS);
    bench.apply().is(0, &[]);
    let before = server.psql("shop", ROWS);
    server.psql("shop", ACCIDENT);
    server.psql("shop", "create table public.extra as select 1 as a");
    let after = server.psql("shop", ROWS);
    let to = url(&server, "shop", "app");
    let in_place = |more: &[&str]| bench.run(&[&["restore", "pipeline.yaml", "--to", &to, "--replace"], more, &["--yes"]].concat());
    in_place(&[]).is(77, &["may not create databases", "--replace --clean"]);

    // The role can not dump what is not its own, and without a safety dump nothing is replaced.
    in_place(&["--clean"]).is(77, &["extra"]);
    assert_eq!(server.psql("shop", ROWS), after);
    server.psql("shop", "alter table public.extra owner to app");

    // Something that the dump does not hold is in the way of a drop: all stays as it was.
    server.psql("shop", "create view shop.leans as select * from shop.orders; alter view shop.leans owner to app");
    in_place(&["--clean"]).is(10, &["it was one transaction: what was there is as it was", "leans"]);
    assert_eq!(server.psql("shop", ROWS), after);
    server.psql("shop", "drop view shop.leans");

    // Half-way through, when tables are gone and some are made again, an event trigger raises.
    server.psql("shop", "create function public.no() returns event_trigger language plpgsql as $$ begin \
        if exists (select from pg_event_trigger_ddl_commands() where object_identity = 'shop.orders') then raise 'not today'; end if; end $$;
        create event trigger no on ddl_command_end when tag in ('CREATE TABLE') execute function public.no()");
    in_place(&["--clean"]).is(11, &["not today"]);
    assert_eq!(server.psql("shop", ROWS), after);
    server.psql("shop", "drop event trigger no; drop function public.no()");

    let ran = in_place(&["--clean"]);
    ran.is(0, &["! fetch → restore", "!     all that the dump holds is dropped from shop", "in one transaction"]);
    assert!(ran.stdout.contains("proven") && ran.stdout.contains("/shop"), "{}", ran.stdout);
    assert_eq!(server.psql("shop", ROWS), before);
    assert_eq!(server.psql("shop", "select count(*) from public.extra"), "1", "what the dump does not hold stays");
    assert!(ran.stderr.contains("table public.extra is there and was not dumped: it stays"), "{}", ran.stderr);
    // The safety dump has what was there before.
    let safety = manifest(&bench, "orders.restore");
    bench.run(&["restore", safety.to_str().unwrap(), "--to", &url(&server, "undo", SUPERUSER), "--yes"]).is(0, &[]);
    assert_eq!(server.psql("undo", ROWS), after);
    bench.is_clean();
}

#[test]
fn restore_replaces_again_beside_older_databases_and_says_how_to_drop_them() {
    let (server, bench) = backed_up("");
    let mut kept = Vec::new();
    for _ in 0..2 {
        let ran = restore(&bench, &["--replace", "--yes"]);
        ran.is(0, &[]);
        let statement = ran.stdout.lines().find_map(|line| line.split_once("when you are sure: ")).unwrap().1.to_owned();
        assert!(statement.starts_with("drop database \"shop_before_"), "{statement}");
        kept.push(statement);
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    assert_ne!(kept[0], kept[1]);
    for statement in &kept {
        server.psql("postgres", statement);
    }
    assert_eq!(server.psql("postgres", "select count(*) from pg_database where datname like 'shop_before_%'"), "0");
}

#[test]
fn restore_plans_of_parts_in_yaml_show_what_is_taken_away() {
    let (server, bench) = backed_up(GLOBALS);
    server.psql("shop", ACCIDENT);
    let step = |with: &str| {
        let steps = format!(
            "  safe: {{ local: {{ path: @/safe }} }}\nsteps:\n  - {{ id: fetch, uses: fetch, with: {{ from: {{ store: vault }} }} }}\n  \
             - {{ id: back, uses: restore, with: {{ connection: shop, {with} }} }}\n  \
             - {{ id: look, uses: sql, with: {{ connection: shop, query: \"select true\" }} }}\n"
        );
        bench.pipeline(&server, &steps);
        let ran = bench.run(&["plan", "pipeline.yaml"]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        ran.stdout
    };
    let mut shown = String::new();
    for with in [
        "tables: { names: [customers, orders, lines], as: replace, safety: safe }, globals: true",
        "tables: { names: [orders], as: merge, safety: safe }",
        "tables: { names: [orders] }",
        "rows: { of: [{ table: customers, where: id = 1 }, { table: orders, where: \"true\" }], with_deletes: true, apply: true }",
        "rows: { of: [{ table: customers, where: id = 1 }], patch: customers.sql }",
        "replace: { safety: safe, how: in-place }",
    ] {
        writeln!(shown, "──── {with}\n{}", step(with)).unwrap();
    }
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"/tmp/rf\w+", "[folder]");
    settings.add_filter(r"[\d.]+ m?s old", "[age] old");
    settings.add_filter(r"\d{8}T\d{6}Z-[0-9a-f]{6}", "[run]");
    settings.add_filter(r"restored_\w+", "restored_[run]");
    settings.add_filter(r"\d+(\.\d+)? [kMGT]?B", "[size]");
    settings.add_filter(r"postgres@\S+?/shop", "[place]/shop");
    settings.add_filter(r"(server|pg_dump) \d+\.\d+", "$1 [version]");
    settings.bind(|| insta::assert_snapshot!(shown));
}

#[test]
fn restore_is_done_for_the_steps_behind_it_only_after_its_last_part() {
    let (server, bench) = backed_up("");
    for with in ["replace: { safety: vault }", "tables: { names: [orders], as: merge, safety: vault }"] {
        let steps = format!(
            "steps:\n  - {{ id: fetch, uses: fetch, with: {{ from: {{ store: vault }} }} }}\n  \
             - {{ id: back, uses: restore, with: {{ connection: shop, {with} }} }}\n  \
             - {{ id: look, uses: sql, with: {{ connection: shop, query: \"select true\" }} }}\n"
        );
        bench.pipeline(&server, &steps);
        let ran = bench.run(&["plan", "pipeline.yaml", "--format", "json"]);
        let plan: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let edges = plan["plans"][0]["edges"].as_array().unwrap().clone();
        let waited: Vec<&str> = edges.iter().filter(|edge| edge["to"] == "look").map(|edge| edge["from"].as_str().unwrap()).collect();
        assert!(waited.contains(&"back:finish") && waited.contains(&"back:safety"), "{with}: {waited:?}");
    }
}
