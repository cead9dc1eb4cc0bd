//! Scripts tell the same as archives of the same database.

use std::num::NonZeroUsize;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use runner::archive::{Fingerprint, Form, compare};
use runner::postgres::fingerprint::{ENVIRONMENT, Live, SLICE, fingerprint};
use runner::stream::bytes::{collect, stream_of};
use runner::stream::{Cancel, StreamError};

use crate::archive_seed::{DATABASE, client, custom, cut, differ, differences, dump, read, read_stream, seeded};
use crate::servers::postgres::{MAJORS, TestServer, runtime, tools};

fn names(found: &Fingerprint) -> Vec<String> {
    // An archive also tells how to make the database itself, a script only if it is asked to.
    let entries = found.inventory.iter().filter(|entry| !entry.kind.starts_with("DATABASE"));
    let mut names: Vec<String> =
        entries.map(|entry| format!("{} {:?} {} {:?}", entry.kind, entry.schema, entry.name, entry.owner)).collect();
    names.sort();
    names
}

#[test]
fn a_script_of_every_major_tells_the_same_as_the_archive() {
    for major in MAJORS {
        let server = seeded(major);
        let archive = read(&custom(&server, major, DATABASE), Form::Custom).unwrap();
        let bytes = dump(&server, major, DATABASE, &["-Fp"]);
        let script = read(&bytes, Form::Plain).unwrap();
        assert_eq!(names(&script), names(&archive), "PostgreSQL {major}");
        assert_eq!((&script.tables, &script.sequences), (&archive.tables, &archive.sequences), "PostgreSQL {major}");
        assert_eq!((script.large_objects, &script.incomparable), (archive.large_objects, &archive.incomparable));
        let (facts, of_archive) = (&script.facts, &archive.facts);
        assert_eq!((&facts.server_version, &facts.dump_version, &facts.encoding), {
            (&of_archive.server_version, &of_archive.dump_version, &of_archive.encoding)
        });
        let against = compare(&archive, &script);
        assert!(against.equal() && against.incomparable.iter().any(|i| i.what == "the texts of definitions"), "{against:?}");
    }
}

#[test]
fn a_restored_script_is_proven_and_changes_are_named() {
    let (server, major) = (seeded(18), 18);
    server.psql("postgres", "create database restored");
    let (program, _passfile) = client(&server, major, "pg_dump", DATABASE);
    let bytes = collect(program.arg("-Fp").env(ENVIRONMENT.0, ENVIRONMENT.1).source(&Cancel::new()).unwrap(), 1 << 30).unwrap();
    let (program, _passfile) = client(&server, major, "psql", "restored");
    let arguments = ["-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1", "-f", "-"];
    program.args(arguments).sink(stream_of(bytes.clone()), &Cancel::new()).unwrap();
    let dumped = read(&bytes, Form::Plain).unwrap();
    let (runtime, tools, cancel, info) = (runtime(), tools(major), Cancel::new(), server.conninfo("restored"));
    let said = || {
        let live = Live {
            info: &info,
            handle: runtime.handle(),
            tools: &tools,
            jobs: NonZeroUsize::MIN,
            slice: SLICE,
            cancel: &cancel,
            early: None,
        };
        differences(&compare(&dumped, &fingerprint(&live, &dumped).unwrap()))
    };
    assert_eq!(said(), "");
    server.psql("restored", "create or replace function shout(text) returns text language sql as $$ select lower($1) $$");
    server.psql("restored", "drop index orders_total; delete from users where id = 200; select lo_put(40001, 5, 'z')");
    let expected = "function public.shout(text) is defined differently\nindex public.orders_total is absent\n\
        table public.orders: 1 row missing (200 dumped, 199 restored)\ntable public.users: 1 row missing (200 dumped, 199 restored)\n\
        the 3 large objects do not hold what was dumped";
    assert_eq!(said(), expected);
}

#[test]
fn other_ways_of_writing_a_script_are_read_too() {
    let server = seeded(18);
    server.psql(DATABASE, "create table \"두\n줄\" (\"또\n두 줄\" int); insert into \"두\n줄\" values (7), (8)");
    let of = |arguments: &[&str]| read(&dump(&server, 18, DATABASE, &[&["-Fp"], arguments].concat()), Form::Plain).unwrap();
    let usual = of(&[]);
    let broken = usual.tables.iter().find(|table| table.name == "두\n줄").unwrap();
    assert_eq!((broken.rows, broken.columns.as_slice()), (2, &["또\n두 줄".to_owned()][..]));
    assert_eq!(differ(&usual, &of(&["--verbose"])), "");
    assert_eq!(of(&["--create"]).tables, usual.tables);
    assert_eq!(of(&["--disable-dollar-quoting"]).tables, usual.tables);
    assert_eq!(
        of(&["--load-via-partition-root"]).tables,
        read(&dump(&server, 18, DATABASE, &["-Fc", "-Z0", "--load-via-partition-root"]), Form::Custom).unwrap().tables
    );
    let bare = of(&["--no-owner", "--schema-only"]);
    assert!(bare.inventory.iter().all(|entry| entry.owner.is_none()) && bare.tables.is_empty());
    let inserts = of(&["--inserts", "--table=orders"]);
    assert!(inserts.incomparable.iter().any(|i| i.what == "the data of table public.orders"), "{:?}", inserts.incomparable);
}

fn small() -> Vec<u8> {
    let server = TestServer::start(17);
    server.psql(
        "postgres",
        "create table a (n serial, t text); insert into a (t) select repeat('가', n) from generate_series(1, 9) n; select lo_from_bytea(50001, 'abc');
         create function f() returns text language sql as $$ select '--
-- PostgreSQL database dump complete
--

' $$",
    );
    dump(&server, 17, "postgres", &["-Fp"])
}

#[test]
fn a_script_that_is_cut_or_continued_never_has_a_fingerprint() {
    let bytes = small();
    let whole = read(&bytes, Form::Plain).unwrap();
    for length in 0..bytes.len() {
        let error = read(&bytes[..length], Form::Plain).unwrap_err();
        assert!(matches!(&error, StreamError::Corrupt { layer, .. } if layer == "archive"), "cut after {length}: {error}");
    }
    for more in [&b"\n"[..], b"--", b"select 1;\n", &bytes] {
        assert!(read(&[&bytes, more].concat(), Form::Plain).is_err());
    }
    assert_eq!(read(b"", Form::Plain).unwrap_err().to_string(), "archive: it is empty: pg_dump wrote nothing");
    assert!(read(b"create table x ();\n", Form::Plain).unwrap_err().to_string().contains("no script of pg_dump"));
    let lengths = prop::collection::vec(1..100_usize, 1..20);
    let check = |lengths: Vec<usize>| {
        prop_assert_eq!(&read_stream(cut(&bytes, &lengths), Form::Plain, &bytes).unwrap(), &whole);
        Ok(())
    };
    TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(50) }).run(&lengths, check).unwrap();
}
