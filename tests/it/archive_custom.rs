//! Fingerprints of real custom-format archives, of every major.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get is its failure")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use runner::archive::{Fingerprint, Form, placing};
use runner::stream::bytes::collect;
use runner::stream::{Cancel, StreamError};

use crate::archive_seed::{DATABASE, custom, cut, differ, dump, read, read_stream, seeded};
use crate::servers::postgres::{TestServer, tools};
use runner::stream::child::Program;

#[test]
fn a_dump_of_14_is_read_as_pg_restore_and_the_server_tell_it() {
    check(14);
}

#[test]
fn a_dump_of_15_is_read_as_pg_restore_and_the_server_tell_it() {
    check(15);
}

#[test]
fn a_dump_of_16_is_read_as_pg_restore_and_the_server_tell_it() {
    check(16);
}

#[test]
fn a_dump_of_17_is_read_as_pg_restore_and_the_server_tell_it() {
    check(17);
}

#[test]
fn a_dump_of_18_is_read_as_pg_restore_and_the_server_tell_it() {
    check(18);
}

fn check(major: u16) {
    let server = seeded(major);
    let bytes = custom(&server, major, DATABASE);
    let found = read(&bytes, Form::Custom).unwrap();
    facts(&found, major);
    assert_eq!(inventory(&found), listed(&bytes, major), "PostgreSQL {major}");
    rows(&found, &server);
    sequences(&found);
    let objects = found.large_objects;
    assert_eq!((objects.count, objects.bytes), (3, 120_001));
    let why: Vec<String> = found.incomparable.iter().map(|i| i.what.clone()).collect();
    assert_eq!(
        why,
        [
            "the rows of foreign table public.distant",
            "the rows of materialized view public.filled",
            "the rows of materialized view public.unfilled"
        ]
    );
    assert_eq!(serde_json::from_str::<Fingerprint>(&serde_json::to_string(&*found).unwrap()).unwrap(), *found);
    named_changes(&server, major, &found);
}

fn facts(found: &Fingerprint, major: u16) {
    let facts = &found.facts;
    assert_eq!((facts.database.as_str(), facts.encoding.as_str()), (DATABASE, "UTF8"));
    assert!(facts.server_version.starts_with(&major.to_string()) && facts.dump_version.starts_with(&major.to_string()), "{facts:?}");
    let version = if major < 16 {
        "1.14"
    } else if major < 17 {
        "1.15"
    } else {
        "1.16"
    };
    assert_eq!(facts.version, version);
    let year = facts.created[..4].parse::<u32>().unwrap();
    assert!((2024..2100).contains(&year) && facts.created.len() == 19, "{facts:?}");
}

/// `KIND SCHEMA NAME OWNER` of every entry, as `pg_restore -l` writes it, sorted.
fn inventory(found: &Fingerprint) -> Vec<String> {
    let lines = found.inventory.iter().map(|entry| {
        let (schema, owner) = (entry.schema.as_deref().unwrap_or("-"), entry.owner.as_deref().unwrap_or(""));
        format!("{} {schema} {} {owner}", entry.kind, entry.name)
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

/// The same by `pg_restore`: `215; 1259 16385 TABLE public orders postgres`.
fn listed(bytes: &[u8], major: u16) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    std::fs::write(&file, bytes).unwrap();
    let program = Program::new(tools(major).tool("pg_restore")).args(["-l", "-C"]).arg(&file);
    let list = program.run(&Cancel::new()).unwrap().stdout;
    let mut lines: Vec<String> =
        list.lines().filter(|line| !line.starts_with(';')).map(|line| line.splitn(4, ' ').nth(3).unwrap().to_owned()).collect();
    lines.sort();
    lines
}

fn rows(found: &Fingerprint, server: &TestServer) {
    let asked: BTreeMap<String, u64> = found
        .tables
        .iter()
        .map(|table| {
            let quoted = runner::postgres::quote::table(&table.schema, &table.name);
            let only = if table.with_partitions { "" } else { "only " };
            let count = server.psql(DATABASE, &format!("select count(*) from {only}{quoted}"));
            (format!("{}.{}", table.schema, table.name), count.parse().unwrap())
        })
        .collect();
    let told = found.tables.iter().map(|table| (format!("{}.{}", table.schema, table.name), table.rows)).collect();
    assert_eq!(asked, told);
    let names: Vec<&str> = found.tables.iter().map(|table| table.name.as_str()).collect();
    for name in ["주문, (내역)", "empty_one", "no_columns", "unlogged_one", "events_2025", "parent", "child", "gone"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let columns = |name: &str| found.tables.iter().find(|table| table.name == name).unwrap().columns.join("|");
    assert_eq!(columns("주문, (내역)"), "번호|Na\"me, (x)|memo");
    assert_eq!((columns("gone"), columns("no_columns")), ("a|c".into(), String::new()));
    assert!(!columns("everything").contains("twice"), "a generated column is not dumped");
    let bytes = |sql: &str| server.psql(DATABASE, sql).parse::<u64>().unwrap();
    let users = found.tables.iter().find(|table| table.name == "users").unwrap();
    assert_eq!(users.bytes, bytes("select sum(octet_length(id || E'\\t' || name || E'\\n')) from users"));
}

fn sequences(found: &Fingerprint) {
    let flat: Vec<String> = found.sequences.iter().map(|s| format!("{}={},{}", s.name, s.last_value, s.is_called)).collect();
    let expected = [
        "counting=6,true",
        "everything_id_seq=53,true",
        "falling=-1,true",
        "the_rest_id_seq=2,true",
        "the_rest_n_seq=2,true",
        "untouched=1,false",
        "users_id_seq=200,true",
    ];
    assert_eq!(flat, expected);
}

/// A change, what undoes it, and what a comparison says meanwhile.
const CHANGES: &[(&str, &str, &str)] = &[
    (
        "update users set name = 'other' where id = 7",
        "update users set name = 'user 7' where id = 7",
        "table public.users: its 200 rows do not hold what was dumped",
    ),
    (
        "delete from unlogged_one where ctid = (select min(ctid) from unlogged_one)",
        "insert into unlogged_one values (1)",
        "table public.unlogged_one: 1 row missing (3 dumped, 2 restored)",
    ),
    ("insert into empty_one values (null)", "truncate empty_one", "table public.empty_one: 1 row too many (0 dumped, 1 restored)"),
    (
        "update orders set total = 4.5 - total where id in (1, 2)",
        "update orders set total = 4.5 - total where id in (1, 2)",
        "table public.orders: its 200 rows do not hold what was dumped",
    ),
    ("select setval('counting', 1)", "select setval('counting', 6)", "sequence public.counting is behind: 1 restored, 6 dumped"),
    (
        "select setval('untouched', 1)",
        "select setval('untouched', 1, false)",
        "sequence public.untouched is ahead: 1 restored, 1, not yet given out dumped",
    ),
    ("drop index orders_total", "create index orders_total on orders (total) where total > 10", "index public.orders_total is absent"),
    (
        "alter table orders drop constraint orders_user_id_fkey",
        "alter table orders add foreign key (user_id) references users on delete cascade",
        "fk constraint public.orders orders_user_id_fkey is absent",
    ),
    (
        "create or replace view looking as select * from orders where total > 6",
        "create or replace view looking as select * from orders where total > 5",
        "view public.looking is defined differently",
    ),
    ("alter table gone owner to owner_of_some", "alter table gone owner to postgres", ""),
    ("drop table events_2026", "", "table public.events_2026 is missing with its 8 rows"),
    ("select lo_put(40001, 5, 'z')", "", "the 3 large objects do not hold what was dumped"),
];

fn named_changes(server: &TestServer, major: u16, found: &Fingerprint) {
    // The rows lie in another order then, but are the same.
    server.psql(
        DATABASE,
        "update users set name = name where id % 3 = 0; update events_2025 set n = n; update everything set t = t where id % 2 = 0;
         create index turned on orders ((-id)); cluster orders using turned; alter table orders set without cluster; drop index turned",
    );
    let again = read(&custom(server, major, DATABASE), Form::Custom).unwrap();
    assert_eq!(again.tables, found.tables, "PostgreSQL {major}");
    assert_eq!(differ(found, &again), "");
    for (change, undo, expected) in CHANGES {
        server.psql(DATABASE, change);
        let changed = read(&custom(server, major, DATABASE), Form::Custom).unwrap();
        let said = differ(found, &changed);
        if expected.is_empty() {
            assert!(said.contains("table public.gone belongs to owner_of_some instead of postgres"), "{change}: {said}");
        } else {
            assert!(said.lines().all(|line| line == *expected || line.contains("events")) && said.contains(expected), "{change}: {said}");
        }
        server.psql(DATABASE, undo);
    }
}

#[test]
fn a_selection_and_other_ways_of_dumping_tell_what_they_leave_out() {
    let server = seeded(18);
    let of = |arguments: &[&str]| {
        let all = [&["-Fc", "-Z0"], arguments].concat();
        read(&dump(&server, 18, DATABASE, &all), Form::Custom).unwrap()
    };
    let left_out = |found: &Fingerprint| found.incomparable.iter().map(|i| format!("{}: {}", i.what, i.why)).collect::<Vec<_>>().join("\n");
    let bare = of(&["--schema-only"]);
    assert!(bare.tables.is_empty() && left_out(&bare).contains("all rows: the dump holds definitions only"), "{}", left_out(&bare));
    let filtered = of(&["--exclude-table-data=orders"]);
    assert!(left_out(&filtered).contains("the rows of table public.orders: the dump holds no data for it"), "{}", left_out(&filtered));
    let inserts = of(&["--inserts", "--table=orders"]);
    assert!(left_out(&inserts).contains("the data of table public.orders: it is not in the form of COPY"), "{}", left_out(&inserts));
    let rooted = of(&["--load-via-partition-root"]);
    let events = rooted.tables.iter().find(|table| table.name == "events").unwrap();
    assert_eq!((events.rows, events.with_partitions), (10, true));
    for arguments in [
        &["--data-only"][..],
        &["--section=data"],
        &["--section=pre-data"],
        &["--section=post-data"],
        &["--no-blobs"],
        &["-n", "public", "-O", "-x"],
        &["--statistics"],
    ] {
        of(arguments);
    }
    let compressed = dump(&server, 18, DATABASE, &["-Fc", "-Z1"]);
    assert!(read(&compressed, Form::Custom).unwrap_err().to_string().contains("compressed inside"));
    // Written to a file, an archive knows where its data lies, and must be right about it.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    dump(&server, 18, DATABASE, &["-Fc", "-Z0", "-f", file.to_str().unwrap()]);
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(differ(&of(&[]), &read(&bytes, Form::Custom).unwrap()), "");
}

/// The archive with its positions written into it, as it is cut into pieces of this length.
fn placed(bytes: &[u8], length: usize) -> Vec<u8> {
    let (stream, places) = placing(cut(bytes, &[length]));
    assert_eq!(places.corrections(), [], "nothing is told before the end");
    let mut passed = collect(stream, usize::MAX).unwrap();
    assert!(passed == bytes, "the bytes that pass are changed");
    for (at, right) in places.corrections() {
        let at = usize::try_from(*at).unwrap();
        passed[at..at + right.len()].copy_from_slice(right);
    }
    passed
}

#[test]
fn an_archive_of_a_pipe_gets_the_positions_that_pg_dump_gives_one_that_it_writes_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for major in [14, 15, 16, 17, 18] {
        let server = seeded(major);
        let (piped, file) = (custom(&server, major, DATABASE), folder.path().join(major.to_string()));
        dump(&server, major, DATABASE, &["-Fc", "-Z0", "-f", file.to_str().unwrap()]);
        let written = std::fs::read(&file).unwrap();
        let differing = |a: &[u8]| (0..written.len()).filter(|at| a[*at] != written[*at]).collect::<Vec<_>>();
        assert_eq!(piped.len(), written.len());
        // In the header stands when it was made.
        assert!(differing(&piped).iter().any(|at| *at > 60), "PostgreSQL {major} writes other positions to a file than to a pipe");
        for length in [usize::MAX, 1, 7, 4096] {
            let placed = placed(&piped, length);
            assert_eq!(differing(&placed).into_iter().find(|at| *at > 60), None, "PostgreSQL {major}, cut by {length}");
        }
        // What has its positions keeps them.
        assert!(placed(&written, 4096) == written);
    }
}

#[test]
fn an_archive_that_can_not_be_read_passes_and_gets_no_positions() {
    let bytes = small();
    for length in (0..bytes.len()).step_by(7) {
        let (stream, places) = placing(cut(&bytes[..length], &[64]));
        assert!(collect(stream, usize::MAX).unwrap() == bytes[..length]);
        for (at, right) in places.corrections() {
            assert!(usize::try_from(*at).unwrap() + right.len() <= length, "cut after {length}");
        }
    }
    let (stream, places) = placing(cut(b"-- a script, which is no archive", &[5]));
    collect(stream, usize::MAX).unwrap();
    assert_eq!(places.corrections(), []);
}

/// A small database, so that its archive can be cut everywhere.
fn small() -> Vec<u8> {
    let server = TestServer::start(17);
    server.psql(
        "postgres",
        "create table a (n int, t text); insert into a select n, repeat('가', n) from generate_series(1, 30) n;
         create table b (n serial); insert into b select from generate_series(1, 5); create index on a (n);
         select lo_from_bytea(50001, 'abc'), lo_from_bytea(50002, 'defg');",
    );
    custom(&server, 17, "postgres")
}

#[test]
fn an_archive_that_is_cut_damaged_or_continued_never_has_a_fingerprint() {
    let bytes = small();
    let whole = read(&bytes, Form::Custom).unwrap();
    for length in 0..bytes.len() {
        let error = read(&bytes[..length], Form::Custom).unwrap_err();
        assert!(matches!(&error, StreamError::Corrupt { layer, .. } if layer == "archive"), "cut after {length}: {error}");
    }
    let empty = read(b"", Form::Custom).unwrap_err();
    assert_eq!(empty.to_string(), "archive: it is empty: pg_dump wrote nothing");
    for more in [&b"\0"[..], b"\x01", b"\x01\x00\x01\x00\x00\x00", &bytes] {
        assert!(read(&[&bytes, more].concat(), Form::Custom).unwrap_err().to_string().contains("something follows its end at byte"));
    }
    // Behind the table of contents every bit counts: it is noticed, or the content is another one.
    let data = bytes.windows(3).position(|window| window == b"1\t\xea").unwrap() - 11;
    for at in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let found = read(&flipped, Form::Custom);
            assert!(at < data || found.is_err() || found.unwrap() != whole, "bit {bit} of byte {at} does not matter");
        }
    }
}

#[test]
fn data_must_come_once_and_where_it_is_promised() {
    let bytes = small();
    let start = bytes.windows(3).position(|window| window == b"1\t\xea").unwrap() - 11;
    let block = |from: usize| {
        let end = bytes[from..].windows(9).position(|window| window == b"\\.\n\n\n\0\0\0\0").unwrap();
        from + end + 10
    };
    let (first, second) = (block(start), block(block(start)));
    let why = |parts: &[&[u8]]| read(&parts.concat(), Form::Custom).unwrap_err().to_string();
    let (toc, a, b, rest) = (&bytes[..start], &bytes[start..first], &bytes[first..second], &bytes[second..]);
    assert!(why(&[toc, a, a, b, rest]).contains("the data of table public.a comes twice"));
    assert!(why(&[toc, a, rest]).contains("the archive ends without the data of table public.b"));
    let mut stranger = a.to_vec();
    stranger[2..6].copy_from_slice(&1_i32.to_le_bytes());
    assert!(why(&[toc, &stranger, b, rest]).contains("data comes for entry 1, for which its table of contents has none"));
    let mut objects = a.to_vec();
    objects[0] = 3;
    assert!(why(&[toc, &objects, b, rest]).contains("not of the type that its entry asks for (table public.a"));
    // Another order is as good.
    assert_eq!(read(&[toc, b, a, rest].concat(), Form::Custom).unwrap(), read(&bytes, Form::Custom).unwrap());
}

#[test]
fn it_does_not_matter_how_the_stream_is_cut_into_chunks() {
    let bytes = small();
    let whole = read(&bytes, Form::Custom).unwrap();
    for length in [1, 2, 3, 5, 7] {
        assert_eq!(read_stream(cut(&bytes, &[length]), Form::Custom, &bytes).unwrap(), whole);
    }
    let lengths = prop::collection::vec(1..200_usize, 1..20);
    let check = |lengths: Vec<usize>| {
        prop_assert_eq!(&read_stream(cut(&bytes, &lengths), Form::Custom, &bytes).unwrap(), &whole);
        Ok(())
    };
    TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) }).run(&lengths, check).unwrap();
}
