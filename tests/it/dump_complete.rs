//! A dump is complete, says exactly what filters left out, or fails and leaves nothing.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use runner::store::manifest::{Completeness, LeftOut, Manifest, Why};
use serde_json::{Value, json};

use crate::apply_support::{Bench, shop};
use crate::archive_seed::DATABASE;
use crate::dump_catalog::everything;
use crate::matrix_rig::{Ran, Rig, by_socket, pipeline, step};
use crate::servers::postgres::{MAJORS, TestServer};

/// A run with one dump of these parameters, and a notification on standard output.
fn run(rig: &Rig, connection: &Value, parameters: &Value) -> Ran {
    let mut with = parameters.clone();
    with["connection"] = json!("db");
    let steps = [
        step("dump", "dump", &with),
        step("keep", "upload", &json!({ "store": "vault" })),
        step("tell", "notify", &json!({ "file": { "path": "told.jsonl" } })),
    ];
    let file = rig.pipeline(&pipeline("complete", connection, &steps));
    rig.apply(&file).ended(0)
}

/// What a dump with these parameters lacks, and what the notification says of it.
fn lacks(connection: &Value, parameters: &Value) -> (Completeness, Value) {
    let rig = Rig::new();
    let ran = run(&rig, connection, parameters);
    let mut manifest: Manifest = rig.manifest(&ran.json()["runs"][0]);
    let told = std::fs::read_to_string(rig.path("told.jsonl")).unwrap();
    (manifest.artifacts.remove(0).completeness.unwrap(), serde_json::from_str(told.lines().last().unwrap()).unwrap())
}

fn groups(found: &Completeness) -> Vec<String> {
    assert_eq!(found.unchecked, None);
    let group = |LeftOut { kind, why, count, names }: &LeftOut| format!("{kind} {why:?} {count}: {}", names.join(", "));
    found.left_out.iter().map(group).collect()
}

/// Demands that dumps of a database with everything in it lack nothing.
#[track_caller]
fn complete(major: u16, forms: &[Value]) {
    let server = everything(major);
    for form in forms {
        let (found, told) = lacks(&by_socket(&server, DATABASE), form);
        assert_eq!(groups(&found), Vec::<String>::new(), "PostgreSQL {major}, {form}");
        assert!(found.objects > 150, "{found:?}");
        assert_eq!((&told["left_out"], &told["warnings"]), (&json!([]), &json!([])));
    }
}

#[test]
fn a_dump_of_everything_is_complete_in_every_major() {
    for major in MAJORS {
        complete(major, &[json!({})]);
    }
}

#[test]
fn a_dump_of_everything_is_complete_in_every_form() {
    for major in [14, 18] {
        complete(major, &["plain", "tar", "directory"].map(|form| json!({ "format": form })));
    }
    // Several connections share the snapshot.
    complete(16, &[json!({ "format": "directory", "jobs": 2 }), json!({ "format": "plain" })]);
}

/// A small database: two schemas, a view, a function, large objects.
fn small(major: u16) -> TestServer {
    let server = TestServer::start(major);
    server.psql("postgres", "create database shop");
    server.psql(
        "shop",
        r#"create table orders (id serial primary key, note text); create table "Audit" (id int primary key); create table tmp (id int);
           create index on tmp (id); create view recent as select * from orders; create function f() returns int language sql as 'select 1';
           create schema "판매"; create table "판매"."주문" (id int generated always as identity); create table "판매".orders (id int);
           create type "판매".mood as enum ('x'); create table "판매".parts (n int) partition by range (n);
           create table parts_1 partition of "판매".parts for values from (0) to (9); create extension hstore;
           create publication several for table public.orders, "판매"."주문"; select lo_from_bytea(0, 'a'), lo_from_bytea(0, 'b');
           alter database shop set search_path = '판매', public"#,
    );
    server
}

fn filters(major: u16) {
    use Why::{DataOnly, Filter, SchemaOnly, Sections};
    let server = small(major);
    let connection = by_socket(&server, "shop");
    let left_out = |parameters: Value| groups(&lacks(&connection, &parameters).0);
    assert_eq!(left_out(json!({})), Vec::<String>::new());
    assert_eq!(
        left_out(json!({ "exclude_tables": ["public.Audit", "public.tm?"] })),
        [format!("TABLE {Filter:?} 2: public.Audit, public.tmp")]
    );
    // Without a schema a name means what is visible: here the table of the other schema.
    assert_eq!(left_out(json!({ "exclude_tables": ["orders"] })), [format!("TABLE {Filter:?} 1: 판매.orders")]);
    // A pattern of one's own, whose unquoted part is lower case, and which fits sequences too.
    assert_eq!(
        left_out(json!({ "exclude_tables": ["\"판매\".ORD*", "\"판매\".\"주문\"*"] })),
        [format!("TABLE {Filter:?} 2: 판매.orders, 판매.주문"), format!("SEQUENCE {Filter:?} 1: 판매.주문_id_seq")]
    );
    assert_eq!(
        left_out(json!({ "exclude_schemas": ["판매"] })),
        [
            format!("TABLE {Filter:?} 3: 판매.orders, 판매.parts, 판매.주문"),
            format!("SCHEMA {Filter:?} 1: 판매"),
            format!("SEQUENCE {Filter:?} 1: 판매.주문_id_seq"),
            format!("TYPE {Filter:?} 1: 판매.mood"),
        ]
    );
    assert_eq!(
        left_out(json!({ "schemas": ["판매"] })),
        [
            format!("TABLE {Filter:?} 4: public.Audit, public.orders, public.parts_1, public.tmp"),
            format!("EXTENSION {Filter:?} 1: hstore"),
            format!("FUNCTION {Filter:?} 1: public.f()"),
            format!("PUBLICATION {Filter:?} 1: several"),
            format!("SEQUENCE {Filter:?} 1: public.orders_id_seq"),
            format!("VIEW {Filter:?} 1: public.recent"),
            format!("LARGE OBJECT {Filter:?} 2: "),
        ]
    );
    let (found, told) = lacks(&connection, &json!({ "tables": ["public.orders"], "schema_only": true }));
    assert_eq!(found.left_out[0].names, ["public.Audit", "public.parts_1", "public.tmp", "판매.orders", "판매.parts", "판매.주문"]);
    assert_eq!(
        told["left_out"],
        json!([
            "6 tables excluded by filter: public.Audit, public.parts_1, public.tmp, 판매.orders, 판매.parts, 판매.주문",
            "also 1 extension, 1 function, 1 publication, 1 schema, 1 sequence, 1 type, 1 view, 2 large objects excluded by filter",
            "the values of 1 sequence, the rows of 1 table left out by schema_only",
        ])
    );
    let options = |parameters: Value| {
        let kinds: Vec<String> = left_out(parameters).iter().map(|group| group.split(':').next().unwrap().to_owned()).collect();
        kinds.join("; ")
    };
    assert_eq!(
        options(json!({ "schema_only": true })),
        format!("SEQUENCE SET {SchemaOnly:?} 2; TABLE DATA {SchemaOnly:?} 6; LARGE OBJECT {SchemaOnly:?} 2")
    );
    assert_eq!(
        options(json!({ "sections": ["pre-data", "data"] })),
        format!("CONSTRAINT {Sections:?} 2; INDEX {Sections:?} 1; PUBLICATION {Sections:?} 1; PUBLICATION TABLE {Sections:?} 2")
    );
    assert!(options(json!({ "data_only": true })).starts_with(&format!("TABLE {DataOnly:?} 7; CONSTRAINT {DataOnly:?} 2; EXTENSION")));
    assert!(options(json!({ "format": "plain", "sections": ["post-data"] })).contains("LARGE OBJECT"));
}

#[test]
fn each_filter_lists_exactly_what_it_left_out_of_14() {
    filters(14);
}

#[test]
fn each_filter_lists_exactly_what_it_left_out_of_16() {
    filters(16);
}

#[test]
fn each_filter_lists_exactly_what_it_left_out_of_18() {
    filters(18);
}

#[test]
fn what_pg_dump_silently_does_not_write_fails_the_dump_and_leaves_nothing() {
    let server = shop(1);
    server.psql("shop", "create table \"감사\" (id int primary key); select lo_from_bytea(0, 'a')");
    let bench = Bench::new();
    for (form, option, words) in [
        ("custom", "--exclude-table=감사", "table public.감사, constraint public.감사 감사_pkey, table data public.감사. See"),
        ("plain", "--exclude-table=감사", "table public.감사, constraint"),
        ("tar", "--exclude-table-data=lines", "table data public.lines"),
        ("directory", "--section=pre-data --section=data", "constraint public.lines lines_pkey"),
        ("custom", "--no-blobs", "1 large object"),
    ] {
        bench.pipeline(&server, &steps(&format!("format: {form}")));
        bench.program("pg_dump", &format!("exec \"$REAL\" \"$@\" {option}"));
        let ran = bench.apply();
        ran.is(10, &["the dump is not complete", words, "and not a wrapper"]);
        bench.left_nothing();
        assert!(bench.points().is_empty());
        assert_eq!(bench.story(), "run dump#1 dump=Failed :commit=NotRun Failed");
    }
    // The same, where the filter is the pipeline's own.
    bench.pipeline(&server, &steps("exclude_tables: [\"감*\"]"));
    bench.program("pg_dump", "exec \"$REAL\" \"$@\"");
    bench.apply().is(0, &["1 table excluded by filter: public.감사"]);
}

fn steps(with: &str) -> String {
    format!(
        "defaults: {{ retry: {{ attempts: 1 }} }}\nsteps:\n  - {{ id: dump, uses: dump, with: {{ connection: shop, {with} }} }}\n  \
         - {{ id: upload, uses: upload, with: {{ store: vault, key: \"{{{{ run.id }}}}.dump\" }} }}\n"
    )
}

#[test]
fn what_is_made_and_dropped_while_a_dump_runs_does_not_matter() {
    let server = shop(4);
    server.psql("shop", "create table going (id int); create foreign data wrapper gone; create table held (id int)");
    let bench = Bench::new();
    bench.pipeline(&server, &steps("format: custom"));
    let psql = format!(
        "'{}' -X -q -h '{}' -p {} -U postgres -d shop -c",
        crate::servers::postgres::bin(crate::apply_support::MAJOR).join("psql").display(),
        server.socket_folder().display(),
        server.port
    );
    // Between the snapshot and the dump, and again while the dump holds its locks: that drop must wait and then does happen.
    bench.program(
        "pg_dump",
        &format!(
            "{psql} 'create table new_one (id int); drop foreign data wrapper gone' || exit 1
             \"$REAL\" \"$@\" | {{ head -c 300000; {psql} 'drop table going' >/dev/null & {psql} 'create view newer as select 1' || exit 1; cat; }}"
        ),
    );
    bench.apply().is(0, &[]);
    let artifact = &bench.manifest(&bench.points()[0]).artifacts[0];
    assert_eq!(groups(artifact.completeness.as_ref().unwrap()), Vec::<String>::new());
    assert_eq!(artifact.contents.as_ref().unwrap().tables, 4);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while server.psql("shop", "select count(*) from pg_class where relname in ('going', 'newer')") != "1" {
        assert!(std::time::Instant::now() < until, "the drop did not go through");
    }
}

#[test]
fn a_role_that_may_not_see_everything_says_what_it_did_not_see() {
    for major in [14, 18] {
        let server = small(major);
        server.psql("shop", "create subscription far connection 'host=127.0.0.1 port=1 dbname=x' publication p with (connect = false)");
        server.psql("shop", "create role backup login in role pg_read_all_data; select lo_unlink(oid) from pg_largeobject_metadata");
        let mut connection = by_socket(&server, "shop");
        connection["postgres"]["user"] = json!("backup");
        let (found, told) = lacks(&connection, &json!({}));
        assert_eq!(groups(&found), [format!("SUBSCRIPTION {:?} 1: far", Why::NoSuperuser)]);
        assert_eq!(told["left_out"], json!(["1 subscription not dumped because the role is no superuser: far"]));
    }
}

#[test]
fn a_dump_that_can_not_be_watched_is_made_all_the_same_and_says_so() {
    let server = small(17);
    // One connection is enough for pg_dump alone.
    server.psql(
        "shop",
        "create role backup login in role pg_read_all_data connection limit 1; select lo_unlink(oid) from pg_largeobject_metadata",
    );
    let mut connection = by_socket(&server, "shop");
    connection["postgres"]["user"] = json!("backup");
    for form in ["custom", "directory"] {
        let (found, told) = lacks(&connection, &json!({ "format": form, "fingerprint": true }));
        assert!(found.unchecked.as_ref().unwrap().contains("too many connections"), "{found:?}");
        let warning = told["warnings"][0].as_str().unwrap();
        assert!(warning.starts_with("whether the dump is complete was not checked: pg_dump could not take over a snapshot"), "{told:#}");
        assert_eq!(told["outcome"], "success");
    }
    // A balancer sends pg_dump to a server that does not know the snapshot.
    let (bench, server) = (Bench::new(), shop(1));
    bench.pipeline(&server, &steps("format: custom"));
    bench.program("pg_dump", "exec \"$REAL\" $(for a in \"$@\"; do case \"$a\" in --snapshot=*) echo --snapshot=00000009-00000009-9;; *) echo \"$a\";; esac; done)");
    bench.apply().is(0, &["whether the dump is complete was not checked", "snapshot"]);
    // Without a fingerprint there is nothing to compare.
    bench.pipeline(&server, &steps("fingerprint: false"));
    bench.apply().is(0, &["whether the dump is complete is not checked"]);
    assert_eq!(bench.manifest(&bench.points()[0]).artifacts.len(), 1);
}

#[test]
fn names_in_other_encodings_are_found_again() {
    let server = TestServer::start(16);
    for (encoding, client, excluded) in
        [("EUC_KR", "UTF8", "TABLE Filter 1: public.주문"), ("SQL_ASCII", "SQL_ASCII", r"TABLE Filter 1: public.\xC1\xD6\xB9\xAE")]
    {
        let database = encoding.to_lowercase();
        server.psql("postgres", &format!("create database {database} encoding '{encoding}' locale 'C' template template0"));
        let name = "select convert_from(decode('c1d6b9ae', 'hex'), getdatabaseencoding())";
        let made = format!(
            "set client_encoding = '{client}'; do $$ begin execute format('create table %I (id int)', ({name})); end $$; create table other (id int)"
        );
        server.psql(&database, &made);
        let connection = by_socket(&server, &database);
        assert_eq!(groups(&lacks(&connection, &json!({})).0), Vec::<String>::new(), "{encoding}");
        assert_eq!(groups(&lacks(&connection, &json!({ "tables": ["other"] })).0), [excluded]);
    }
}

#[test]
fn a_plan_shows_what_filters_will_leave_out_and_an_offline_plan_nothing() {
    let server = small(18);
    let rig = Rig::new();
    let steps = [
        step("dump", "dump", &json!({ "connection": "db", "exclude_tables": ["public.Audit", "public.tmp"] })),
        step("keep", "upload", &json!({ "store": "vault" })),
    ];
    let file = rig.pipeline(&pipeline("planned", &by_socket(&server, "shop"), &steps));
    let plan = |more: &[&str]| rig.run([&["plan", file.to_str().unwrap()], more].concat()).ended(0).stdout;
    let words = "2 tables excluded by filter: public.Audit, public.tmp";
    let human = plan(&[]);
    assert!(human.lines().any(|line| line.trim_start().starts_with("left out") && line.ends_with(words)), "{human}");
    assert!(plan(&["--format", "markdown"]).contains(&format!("**left out** {words}")));
    assert!(!plan(&["--offline"]).contains("left out"));
}
