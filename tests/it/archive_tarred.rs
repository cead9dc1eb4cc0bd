//! The tar and the directory format tell the same as the custom format of the same database.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get is its failure")]

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use runner::archive::{Fingerprint, Form, compare};
use runner::stream::archive_tar::archive;
use runner::stream::bytes::collect;
use runner::stream::{Cancel, StreamError};

use crate::archive_seed::{DATABASE, client, custom, cut, dump, read, read_stream, seeded};
use crate::servers::postgres::{MAJORS, TestServer};

/// A directory-format dump as it travels.
fn directory(server: &TestServer, major: u16, database: &str, arguments: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump");
    let (program, _passfile) = client(server, major, "pg_dump", database);
    program.args(["-Fd", "-Z0", "-j2", "-f"]).arg(&path).args(arguments).run(&Cancel::new()).unwrap();
    collect(archive(&path).unwrap(), 1 << 30).unwrap()
}

fn same(found: &Fingerprint, custom: &Fingerprint) {
    let against = compare(custom, found);
    assert!(against.equal(), "{against:?}");
    assert_eq!(against.incomparable, custom.incomparable);
    assert_eq!((&found.inventory, &found.tables, &found.sequences), (&custom.inventory, &custom.tables, &custom.sequences));
}

#[test]
fn both_forms_of_every_major_tell_the_same_as_the_custom_one() {
    for major in MAJORS {
        let server = seeded(major);
        let custom = read(&custom(&server, major, DATABASE), Form::Custom).unwrap();
        same(&read(&dump(&server, major, DATABASE, &["-Ft"]), Form::Tar).unwrap(), &custom);
        same(&read(&directory(&server, major, DATABASE, &[]), Form::Directory).unwrap(), &custom);
    }
}

#[test]
fn a_tar_that_is_cut_continued_or_lacks_a_file_never_has_a_fingerprint() {
    let server = TestServer::start(18);
    server
        .psql("postgres", "create table a as select n from generate_series(1, 9) n; create table b (); select lo_from_bytea(50001, 'abc')");
    let inserts = read(&directory(&server, 18, "postgres", &["--inserts"]), Form::Directory).unwrap();
    assert_eq!(inserts.incomparable.len(), 2, "{:?}", inserts.incomparable);
    for (bytes, form) in [(dump(&server, 18, "postgres", &["-Ft"]), Form::Tar), (directory(&server, 18, "postgres", &[]), Form::Directory)]
    {
        let whole = read(&bytes, form).unwrap();
        for length in 0..bytes.len() {
            let error = read(&bytes[..length], form).unwrap_err();
            assert!(matches!(&error, StreamError::Corrupt { layer, .. } if layer == "archive"), "cut after {length}: {error}");
        }
        assert!(read(&[&bytes[..], b"x"].concat(), form).is_err());
        assert!(read(&[&bytes[..], &bytes].concat(), form).unwrap_err().to_string().contains("something follows the end of the tar"));
        // Every file is needed, and needed once.
        for file in files(&bytes).iter().filter(|file| !bytes[file.start..].starts_with(b"restore.sql")) {
            let without = [&bytes[..file.start], &bytes[file.end..]].concat();
            assert!(read(&without, form).is_err(), "{}", bytes[file.start..file.start + 20].escape_ascii());
            let twice = [&bytes[..file.end], &bytes[file.start..]].concat();
            assert!(read(&twice, form).is_err(), "{}", bytes[file.start..file.start + 20].escape_ascii());
        }
        let lengths = prop::collection::vec(1..900_usize, 1..20);
        let check = |lengths: Vec<usize>| {
            prop_assert_eq!(&read_stream(cut(&bytes, &lengths), form, &bytes).unwrap(), &whole);
            Ok(())
        };
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(50) }).run(&lengths, check).unwrap();
    }
}

/// Where each file of a tar lies, with its header.
fn files(tar: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut files, mut at) = (Vec::new(), 0);
    while tar[at] != 0 {
        let size = std::str::from_utf8(&tar[at + 124..at + 135]).unwrap();
        let end = at + 512 + usize::from_str_radix(size, 8).unwrap().next_multiple_of(512);
        files.push(at..end);
        at = end;
    }
    files
}
