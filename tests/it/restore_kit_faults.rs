//! The recovery kit under faults: the right words, and never a database that only looks restored.
#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::matrix_rig::Ran;
use crate::restore_kit::month;
use crate::restore_kit_rig::{Backup, Machine};
use crate::servers::small_disk::SmallDisk;

/// A restore that must fail with this code and these words, and leave no database.
#[track_caller]
fn fails(backup: &Backup, machine: &Machine, identity: &Path, code: i32, words: &[&str]) -> Ran {
    let ran = machine.run(&backup.script(), &["restore", "--to", "x", "--identity", identity.to_str().unwrap()]).ended(code);
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is missing in:\n{}", ran.stderr);
    }
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    assert!(!backup.has("x"), "the half-made database is still there:\n{}", ran.stderr);
    ran
}

#[test]
fn restore_kit_refuses_objects_that_are_not_what_was_stored() {
    let backup = Backup::prepared();
    let (first, ran) = backup.apply();
    let object = backup.rig.object(&backup.manifest(&ran).artifacts[0]);
    let (machine, key) = (Machine::new(&backup.server), backup.keys.path("key"));
    let whole = std::fs::read(&object).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (bytes, words) in [(&flipped[..], "does not hold the bytes that were stored"), (&whole[..whole.len() - 1], "cut short")] {
        std::fs::remove_file(&object).unwrap();
        std::fs::write(&object, bytes).unwrap();
        let ran = fails(&backup, &machine, &key, 11, &[words, "it's "]);
        assert!(!ran.stderr.contains("creating the database"), "{}", ran.stderr);
        let checked = machine.run(&backup.script(), &["check"]).ended(11);
        assert!(checked.stderr.contains(words), "{}", checked.stderr);
    }
    std::fs::remove_file(&object).unwrap();
    fails(&backup, &machine, &key, 11, &["is not in"]);
    // The object of another run in its place.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (_, ran) = backup.apply();
    std::fs::copy(backup.rig.object(&backup.manifest(&ran).artifacts[0]), &object).unwrap();
    let arguments = ["restore", "--to", "x", "--at", &first, "--identity", key.to_str().unwrap()];
    let ran = machine.run(&backup.script(), &arguments).ended(11);
    assert!(ran.stderr.contains("does not hold") || ran.stderr.contains("was cut short or replaced"), "{}", ran.stderr);
    assert!(!backup.has("x"));
}

#[test]
fn restore_kit_drops_what_it_made_when_a_stage_or_the_restore_fails() {
    let backup = Backup::prepared();
    let (run, _) = backup.apply();
    let (machine, key) = (Machine::new(&backup.server), backup.keys.path("key"));
    let stranger = crate::matrix_keys::Keys::new(crate::matrix_keys::Lock::AgeKeys);
    fails(&backup, &machine, &stranger.path("key"), 11, &["age ended with exit code 1", "x was dropped"]);
    fails(&backup, &machine, &machine.path("nothing"), 77, &["can not be read"]);
    let ran = machine.run(&backup.script(), &["restore", "--to", "x"]).ended(77);
    assert!(ran.stderr.contains("--identity") && ran.stderr.contains("  age1"), "{}", ran.stderr);

    // A recipe that somebody changed: a digest inside, then what it is about, then its end.
    let recipe = backup.beside(&format!("{}/{run}.recipe.txt", month(&run)));
    let right = std::fs::read_to_string(&recipe).unwrap();
    let inner = right.lines().find_map(|line| line.strip_prefix("undo\tsha256\t")).unwrap().to_owned();
    let outer = right.lines().find(|line| line.starts_with("artifact\t")).unwrap().split('\t').nth(7).unwrap().to_owned();
    let wrong = "0".repeat(64);
    for (text, words) in [
        (right.replace(&inner, &wrong), "sha256 ended with exit code 1"),
        (right.replace(&outer, &wrong), "not about what its manifest commits"),
        (right.replace("\nend\n", "\n"), "is no whole recipe"),
        (right.replace("runner-recipe\t1", "runner-recipe\t2"), "has form 2 and this kit knows 1"),
        (right.replace(&format!("run\t{run}"), "run\t20200101T000000Z-000000"), "recipe of another restore point"),
        (right.replace("undo\tzstd", "undo\tbrotli"), "does not know"),
        (right.replace("undo\tzstd", "undo\tgzip"), "gzip ended with exit code"),
    ] {
        assert_ne!(text, right);
        std::fs::remove_file(&recipe).unwrap();
        std::fs::write(&recipe, text).unwrap();
        let ran = machine.run(&backup.script(), &["restore", "--to", "x", "--identity", key.to_str().unwrap()]);
        assert!(ran.code != 0 && ran.stderr.contains(words) && !backup.has("x"), "{words}: {} {}", ran.code, ran.stderr);
    }
}

#[test]
fn restore_kit_fails_where_pg_restore_does_and_names_the_roles_that_are_missing() {
    let backup = Backup::prepared();
    backup.server.psql("주문 DB", "create role \"주인 'q'\"; alter table 주문 owner to \"주인 'q'\"");
    backup.apply();
    backup.server.psql("주문 DB", "alter table 주문 owner to postgres; drop role \"주인 'q'\"");
    let (machine, key) = (Machine::new(&backup.server), backup.keys.path("key"));
    let words = ["pg_restore ended with exit code 1", "\n  주인 'q'\n", "createuser --no-login", "x was dropped"];
    fails(&backup, &machine, &key, 11, &words);
    let parallel = ["restore", "--to", "x", "--jobs", "2", "--identity", key.to_str().unwrap()];
    let ran = machine.run(&backup.script(), &parallel).ended(10);
    assert!(ran.stderr.contains("pg_restore failed") && !backup.has("x"), "{}", ran.stderr);
}

#[test]
fn restore_kit_never_restores_over_something_and_names_what_is_missing() {
    let backup = Backup::prepared();
    backup.apply();
    let key = backup.identity();
    let machine = Machine::new(&backup.server);
    let ran = machine.run(&backup.script(), &["restore", "--to", "주문 DB", "--identity", &key]).ended(10);
    assert!(ran.stderr.contains("exists already") && !ran.stderr.contains("dropped"), "{}", ran.stderr);
    assert_eq!(backup.names("주문 DB"), "홍길동,tab\there");
    for (program, package) in [("zstd", "zstd"), ("age", "age"), ("psql", "postgresql-client"), ("sha256sum", "coreutils")] {
        let words = [format!("{program} is missing"), format!("apt-get install {package}")];
        let machine = Machine::new(&backup.server).without(program);
        fails(&backup, &machine, &backup.keys.path("key"), 69, &[&words[0], &words[1]]);
    }
    let away = Machine::new(&backup.server).env("PGPORT", "1");
    fails(&backup, &away, &backup.keys.path("key"), 69, &["can not be reached"]);
    for wrong in [&["restore"][..], &["restore", "--to"], &["frobnicate"], &["list", "--jobs", "x"], &["list", "--what"]] {
        machine.run(&backup.script(), wrong).ended(64);
    }
    assert!(machine.run(&backup.script(), &["help"]).ended(0).stdout.starts_with("usage: sh restore.sh list"));
}

#[test]
fn restore_kit_that_somebody_changed_is_told_and_left_alone() {
    let backup = Backup::prepared();
    let (_, ran) = backup.apply();
    assert!(!ran.stderr.contains("WARNING"), "{}", ran.stderr);
    std::fs::remove_file(backup.script()).unwrap();
    std::fs::write(backup.script(), "#!/bin/sh\nrm -rf /\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (_, ran) = backup.apply();
    assert!(ran.stderr.contains("kit-3/restore.sh is not what runner wrote"), "{}", ran.stderr);
    assert!(std::fs::read_to_string(backup.script()).unwrap().contains("rm -rf"), "nothing there is ever overwritten");
    // A kit that can not be written takes nothing from the restore point.
    let blocked = Backup::prepared();
    std::fs::create_dir_all(blocked.beside("")).unwrap();
    std::fs::write(blocked.beside("kit-3"), "in the way").unwrap();
    let (_, ran) = blocked.apply();
    assert!(ran.stderr.contains("the recovery kit could not be written"), "{}", ran.stderr);
}

#[test]
fn restore_kit_that_is_interrupted_drops_what_it_made() {
    let backup = Backup::prepared();
    let nap =
        |body: &str| backup.server.psql("주문 DB", &format!("create or replace function nap() returns text language sql as '{body}'"));
    nap("select null::text");
    backup.server.psql("주문 DB", "create materialized view 느림 as select nap()");
    // Quick when it was made, and endless for whoever restores it.
    nap("select pg_sleep(300)::text");
    backup.apply();
    let machine = Machine::new(&backup.server);
    let mut command = machine.command("sh");
    command.arg(backup.script()).args(["restore", "--to", "x", "--identity", &backup.identity()]).process_group(0);
    let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(40);
    let naps = "select count(*) from pg_stat_activity where datname = 'x' and state = 'active' and query like '%REFRESH%'";
    while backup.server.psql("postgres", naps) == "0" {
        assert!(Instant::now() < until, "the restore did not come to its view");
        std::thread::sleep(Duration::from_millis(20));
    }
    // As a terminal does it.
    rustix::process::kill_process_group(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap()).ended(130);
    assert!(ran.stderr.contains("x was dropped") && ran.stdout.is_empty() && !backup.has("x"), "{}", ran.stderr);
    assert_eq!(std::fs::read_dir(machine.path("tmp")).unwrap().count(), 0, "scratch files were left");
}

#[test]
fn restore_kit_says_what_room_it_needs_before_it_begins() {
    SmallDisk::run("restore_kit_faults::restore_kit_says_what_room_it_needs_before_it_begins", |disk| {
        let backup = Backup::prepared();
        backup.server.psql("주문 DB", "create table 많음 as select repeat('가', 500) from generate_series(1, 6000)");
        backup.apply();
        let machine = Machine::new(&backup.server).env("TMPDIR", disk.to_str().unwrap());
        let arguments = ["restore", "--to", "x", "--jobs", "2", "--identity", &backup.identity()];
        let ran = machine.run(&backup.script(), &arguments).ended(69);
        assert!(ran.stderr.contains("set TMPDIR to a folder with room for the plain archive"), "{}", ran.stderr);
        assert!(!backup.has("x"));
        // Streamed, it needs none.
        let arguments = ["restore", "--to", "x", "--identity", &backup.identity()];
        machine.run(&backup.script(), &arguments).ended(0);
        assert_eq!(backup.server.psql("x", "select count(*) from 많음"), "6000");
    });
}

#[test]
fn restore_kit_takes_a_disk_that_fills_up_for_a_failure() {
    SmallDisk::run("restore_kit_faults::restore_kit_takes_a_disk_that_fills_up_for_a_failure", |disk| {
        let backup = Backup::prepared();
        backup.server.psql("주문 DB", "create table 많음 as select repeat('가', 500) from generate_series(1, 6000)");
        let (run, _) = backup.apply();
        // A recipe that tells too small a size, so that nobody notices before the disk is full.
        let recipe = backup.beside(&format!("{}/{run}.recipe.txt", month(&run)));
        let text = std::fs::read_to_string(&recipe).unwrap();
        let plain = text.lines().find(|line| line.starts_with("plain\t")).unwrap();
        std::fs::remove_file(&recipe).unwrap();
        std::fs::write(&recipe, text.replace(plain, "plain\t1")).unwrap();
        let machine = Machine::new(&backup.server).env("TMPDIR", disk.to_str().unwrap());
        let ran = machine.run(&backup.script(), &["restore", "--to", "x", "--jobs", "2", "--identity", &backup.identity()]).ended(11);
        assert!(ran.stderr.contains("No space left") && ran.stderr.contains("could not be restored"), "{}", ran.stderr);
        assert!(!backup.has("x") && ran.stderr.contains("x was dropped"), "{}", ran.stderr);
        assert_eq!(std::fs::read_dir(disk).unwrap().count(), 0, "scratch files were left");
    });
}
