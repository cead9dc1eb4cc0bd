//! `runner restore --file`: dumps that other programs made, in every form that people keep them in.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apply_support::{Bench, MAJOR, Ran, shop};
use crate::servers::postgres::{TestServer, bin};

const PASSPHRASE: &str = "correct horse 배터리";

const DIGEST: &str = "select md5(string_agg(t::text, '|' order by id)) from \"주문\" t";

/// A shell line in the folder of the bench, with the programs of PostgreSQL and the server's address in its environment.
fn make(bench: &Bench, server: &TestServer, line: &str) {
    let path = format!("{}:{}", bin(MAJOR).display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-ec", line]).current_dir(bench.path("keys")).env("PATH", path).env("PGHOST", server.socket_folder());
    shell.env("PGPORT", server.port.to_string()).env("PGUSER", "postgres").env("GNUPGHOME", bench.path("home")).env("PASS", PASSPHRASE);
    let made = shell.output().unwrap();
    assert!(made.status.success(), "{line}\n{}", String::from_utf8_lossy(&made.stderr));
}

fn url(server: &TestServer, database: &str) -> String {
    format!("postgresql:///{database}?host={}&port={}&user=postgres", server.socket_folder().display(), server.port)
}

fn restore(bench: &Bench, server: &TestServer, file: &Path, more: &[&str]) -> Ran {
    let to = url(server, "copy");
    let args = [&["restore", "--file", file.to_str().unwrap(), "--to", &to, "--yes"][..], more].concat();
    bench.run(&args)
}

fn dumps(bench: &Bench, name: &str) -> PathBuf {
    bench.path("keys").join(name)
}

fn databases(server: &TestServer) -> String {
    server.psql(
        "postgres",
        "select string_agg(datname, ' ' order by datname) from pg_database where not datistemplate and datname <> 'postgres'",
    )
}

#[test]
fn restore_takes_a_dump_of_any_form_under_any_name() {
    let (server, bench) = (shop(1), Bench::new());
    bench.file("pass", PASSPHRASE);
    let age = runner_age_key(&bench);
    let gpg = "gpg --batch --quiet --pinentry-mode loopback --passphrase \"$PASS\" -c";
    let pass = bench.path("pass").display().to_string();
    let (pass, key) = (["--passphrase-file", &pass], ["--identity", bench.path("keys/key").to_str().unwrap()].map(str::to_owned));
    let key = [key[0].as_str(), key[1].as_str()];
    let table: &[(&str, &str, &[&str], &str)] = &[
        ("a", "pg_dump shop > a", &[], "a script (a database of PostgreSQL 16."),
        ("b", "pg_dump --inserts shop | gzip > b", &[], "gzip, then a script"),
        ("c", "pg_dump shop | zstd -q > c", &[], "zstd, then a script"),
        ("d.dump", "pg_dump shop | lz4 -q > d.dump", &[], "lz4, then a script"),
        ("e.sql", "pg_dump -Fc shop > e.sql", &[], "a custom-format archive (shop of PostgreSQL 16."),
        ("f", "pg_dump -Fc -Z0 shop | zstd -q > f", &["--jobs", "1"], "zstd, then a custom-format archive (shop"),
        ("g", "pg_dump -Ft shop > g", &[], "an archive in tar or directory format (shop"),
        ("h", "pg_dump -Fd -f 폴더 shop; tar czf h 폴더", &[], "gzip, then an archive in tar or directory format"),
        ("폴더", "true", &[], "an archive in tar or directory format"),
        ("i", &format!("pg_dump -Fc shop | {gpg} > i"), &pass, "gpg, then what is inside shows when it is decrypted"),
        ("j", &format!("pg_dump shop | gzip | {gpg} --armor > j"), &pass, "gpg, then what is inside"),
        ("k", &format!("pg_dump shop | zstd -q | age -r {age} > k"), &key, "age, then what is inside"),
    ];
    let expected = server.psql("shop", DIGEST);
    for (name, line, more, found) in table {
        make(&bench, &server, line);
        let ran = restore(&bench, &server, &dumps(&bench, name), more);
        ran.is(0, &[found, "count rows"]);
        // Of all these forms one can be read as it flows, and is compared with what came of it.
        let (level, other) =
            if *name == "f" { ("found          proven", "nothing is compared") } else { ("found          restored", "proven") };
        assert!(ran.stdout.contains(level) && !ran.stdout.contains(other), "{name}: {}", ran.stdout);
        assert_eq!(ran.stderr.contains("nothing is compared: "), *name != "f", "{name}: {}", ran.stderr);
        assert!(ran.stdout.contains("public.주문 ") && ran.stdout.contains(" 1024\n"), "{name}: {}", ran.stdout);
        assert_eq!(server.psql("copy", DIGEST), expected, "{name}");
        server.psql("postgres", "drop database copy");
    }
    // Its definitions are read and compared, its rows are no rows of COPY.
    make(&bench, &server, "pg_dump -Fc -Z0 --inserts shop > l");
    let ran = restore(&bench, &server, &dumps(&bench, "l"), &[]);
    ran.is(0, &[]);
    assert!(ran.stdout.contains("found          restored: rows that are not in the form of COPY were not compared"), "{}", ran.stdout);
    assert_eq!(server.psql("copy", DIGEST), expected);
    server.psql("postgres", "drop database copy");
    assert_eq!(databases(&server), "shop");
    bench.is_clean();
}

/// Makes a key of age, and answers its public half.
fn runner_age_key(bench: &Bench) -> String {
    let made = Command::new("age-keygen").arg("-o").arg(bench.path("keys/key")).output().expect("age is needed: install the package age");
    String::from_utf8(made.stderr).unwrap().trim().rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn restore_of_a_script_that_reaches_out_leaves_every_other_database_alone() {
    let (server, bench) = (shop(1), Bench::new());
    let before = server.psql("shop", DIGEST);
    make(
        &bench,
        &server,
        "pg_dump --create --clean shop > whole.sql; pg_dump -C shop > create.sql; pg_dumpall > cluster.sql; pg_dumpall -g | gzip > globals",
    );
    for (name, code, words) in [
        ("whole.sql", 10, "DROP DATABASE"),
        ("create.sql", 10, "CREATE DATABASE"),
        ("cluster.sql", 10, "a dump of a whole cluster (pg_dumpall)"),
        ("globals", 10, "behind gzip this is a dump of a whole cluster"),
    ] {
        let ran = restore(&bench, &server, &dumps(&bench, name), &[]);
        ran.is(code, &[words]);
        assert_eq!((databases(&server).as_str(), &server.psql("shop", DIGEST)), ("shop", &before), "{name}");
    }
    // Its archive holds the same and is restored without it.
    make(&bench, &server, "pg_dump -Fc --create --clean shop > whole.dump");
    restore(&bench, &server, &dumps(&bench, "whole.dump"), &[]).is(0, &[]);
    assert_eq!((databases(&server).as_str(), &server.psql("copy", DIGEST)), ("copy shop", &before));
}

#[test]
fn restore_of_a_file_that_is_no_dump_or_a_broken_one_says_which_layer_noticed() {
    let (server, bench) = (shop(1), Bench::new());
    bench.file("pass", "wrong");
    let pass = bench.path("pass").display().to_string();
    let gpg = "gpg --batch --quiet --pinentry-mode loopback --passphrase \"$PASS\" -c";
    let cut = "head -c 20000";
    make(
        &bench,
        &server,
        &format!(
            "pg_dump shop > a.sql; printf 'PK\\003\\004zip' > zip; printf '\\177ELF\\002 주문' > elf; : > empty; gzip -c elf > elf.gz; mkdir folder
             gzip -c a.sql | {cut} > cut.gz; zstd -qc a.sql | {cut} > cut.zst; {gpg} < a.sql > a.gpg; {gpg} < a.sql | {cut} > cut.gpg
             pg_dump -Fc -Z0 shop > short.dump; truncate -s -3 short.dump; echo 'create table a (i int); create role zzz;' > role.sql
             pg_dump -Fc shop | {cut} > cut.dump; pg_dump -Ft shop | {cut} > cut.tar; tar cf other.tar a.sql; head -c 90000 a.sql > cut.sql
             for n in 1 2 3 4 5; do gzip -c a.sql > b; mv b a.sql; done; echo 'select nothing_here;' > bad.sql"
        ),
    );
    for (name, more, code, words) in [
        ("zip", &[][..], 10, "this is a zip archive; unpack it first"),
        ("elf", &[], 10, "it begins with 7f 45 4c 46"),
        ("elf.gz", &[], 10, "behind gzip this is nothing known here"),
        ("empty", &[], 10, "it is empty"),
        ("folder", &[], 10, "it has no toc.dat"),
        ("nowhere", &[], 66, "there is no file"),
        ("a.sql", &[], 10, "packed once more"),
        ("cut.gz", &[], 11, "gzip: the data ends too early"),
        ("cut.zst", &[], 11, "zstd: "),
        ("a.gpg", &["--passphrase-file", &pass], 11, "gpg: the passphrase is wrong"),
        ("a.gpg", &[], 77, "no key was lent"),
        ("cut.gpg", &[], 77, "no key was lent"),
        ("cut.dump", &[], 11, "pg_restore"),
        ("short.dump", &["--jobs", "1"], 11, "archive: "),
        ("role.sql", &[], 10, "`create table a (i int); create role zzz;` (about line 1) reaches beyond"),
        ("cut.tar", &[], 11, "archive"),
        ("other.tar", &[], 11, "there is no toc.dat in it"),
        ("cut.sql", &[], 11, "script: it ends within the rows of a table"),
        ("bad.sql", &[], 11, "nothing_here"),
    ] {
        let ran = restore(&bench, &server, &dumps(&bench, name), more);
        assert_eq!(ran.code, code, "{name}: {}\n{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(words), "{name}: {words}\n{}", ran.stderr);
        assert_eq!(databases(&server), "shop", "{name}");
    }
    bench.is_clean();
}

#[test]
fn restore_of_a_script_with_something_left_out_is_refused_and_not_done_whole() {
    let (server, bench) = (shop(1), Bench::new());
    let age = runner_age_key(&bench);
    make(&bench, &server, &format!("pg_dump shop > 주문.sql; gzip -c 주문.sql > 주문.sql.gz; age -r {age} < 주문.sql > 주문.age"));
    bench.pipeline(
        &server,
        "steps:
  - { id: dump, uses: dump, with: { connection: shop, format: plain } }
  - { id: upload, uses: upload, with: { store: vault } }
",
    );
    bench.apply().is(0, &[]);
    let (copy, refused) = (url(&server, "copy"), "a plain dump is a script that runs whole, and nothing can be left out of it: ");
    for (asked, option) in [
        (&["--schema-only"][..], "--schema-only"),
        (&["--section", "pre-data"], "--section=pre-data"),
        (&["--no-owner", "--no-privileges"], "--no-owner, --no-privileges"),
    ] {
        let words = [&format!("{refused}{option}"), "help: leave that out", "It can not be applied"];
        restore(&bench, &server, &dumps(&bench, "주문.sql"), asked).is(10, &words);
        restore(&bench, &server, &dumps(&bench, "주문.sql.gz"), asked).is(10, &words);
        bench.run(&[&["restore", "pipeline.yaml", "--to", &copy, "--yes"], asked].concat()).is(10, &words);
    }
    // What is inside shows only when it is opened, and the half-made database goes again.
    let key = bench.path("keys/key").display().to_string();
    let sealed = restore(&bench, &server, &dumps(&bench, "주문.age"), &["--schema-only", "--identity", &key]);
    sealed.is(10, &[&format!("{refused}--schema-only"), "dropped copy_restoring"]);
    assert_eq!(databases(&server), "shop");
    // What the plan sees it refuses before the safety dump.
    let safety = format!("{}/", bench.path("safety").display());
    make(&bench, &server, "createdb copy");
    let over = restore(&bench, &server, &dumps(&bench, "주문.sql"), &["--replace", "--clean", "--safety", &safety]);
    over.is(10, &["a plain dump is a script that only fills an empty database", "It can not be applied"]);
}

#[test]
fn restore_of_a_file_replaces_only_behind_a_safety_dump() {
    let (server, bench) = (shop(1), Bench::new());
    make(&bench, &server, "pg_dump -Fc shop > shop.dump; createdb -T shop copy");
    server.psql("copy", "delete from lines");
    let file = dumps(&bench, "shop.dump");
    restore(&bench, &server, &file, &[]).is(10, &["database \"copy\" exists already"]);
    restore(&bench, &server, &file, &["--replace"]).is(64, &["--safety ./safety"]);
    let safety = format!("{}/", bench.path("store").display());
    restore(&bench, &server, &file, &["--replace", "--safety", &safety]).is(0, &["is renamed to copy_before_<time>"]);
    assert_eq!(server.psql("copy", "select count(*) from lines"), "100");
    assert_eq!(crate::apply_support::files(&bench.path("store/.runner/file.restore")).len(), 4, "the safety dump is a restore point");
}
