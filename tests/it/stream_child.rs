//! Child processes as sources, filters, sinks, runs and servers: every way to end badly is an error, none leaves anything.
#![cfg(test)]

use std::path::Path;
use std::time::{Duration, Instant};

use runner::stream::bytes::stream_of;
use runner::stream::child::{Program, transient};
use runner::stream::{Cancel, Chunk, Pull, StreamError, fused};

use crate::stream_tools::{eventually, lives, read, runs};

fn sh(script: &str) -> Program {
    Program::new("/bin/sh").args(["-c", script]).named("script")
}

/// Reads the process ids that a script writes into a file, one a line.
fn pids(file: &Path, count: usize) -> Vec<u32> {
    eventually("the script's process ids", || {
        std::fs::read_to_string(file).is_ok_and(|text| text.lines().count() >= count && text.ends_with('\n'))
    });
    std::fs::read_to_string(file).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

struct Broken(u32);

impl Pull for Broken {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| StreamError::corrupt("test", "the source broke"))?;
        Ok(Some(Chunk::from(vec![7; 100_000])))
    }
}

#[test]
fn a_source_hands_over_everything_and_ends_on_exit_0() {
    let cancel = Cancel::new();
    let bytes = read(sh("head -c 3000000 /dev/zero; printf '%s' \"$WORD\"").env("WORD", "끝").source(&cancel).unwrap()).unwrap();
    assert_eq!(bytes.len(), 3_000_003);
    assert!(bytes.ends_with("끝".as_bytes()));
}

#[test]
fn a_source_that_exits_3_after_some_bytes_is_an_error_with_all_facts() {
    let error = read(sh("head -c 1000000 /dev/zero; echo '표가 없습니다' >&2; exit 3").source(&Cancel::new()).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "script exited with status 3 after 1000000 bytes: 표가 없습니다");
    assert!(!error.transient());
}

#[test]
fn a_source_that_is_killed_midway_is_an_error() {
    let mut stream = sh("head -c 1000000 /dev/zero; kill -9 $$").source(&Cancel::new()).unwrap();
    while let Ok(Some(_)) = stream.pull() {}
    let error = stream.pull().unwrap_err();
    assert_eq!(error.to_string(), "script was killed by signal 9 after 1000000 bytes");
    assert_eq!(stream.pull().unwrap_err(), error, "an error stays an error");
}

#[test]
fn output_that_closes_before_the_exit_is_no_end_yet() {
    let error = read(sh("printf abc; exec >&-; sleep 0.3; exit 4").source(&Cancel::new()).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "script exited with status 4 after 3 bytes");
    let cancel = Cancel::new();
    let stream = sh("exec >&-; sleep 60").source(&cancel).unwrap();
    let begun = Instant::now();
    let later = cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        later.cancel("test", false);
    });
    assert_eq!(read(stream).unwrap_err().to_string(), "cancelled: test");
    // It would sleep for a minute.
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_hanging_source_is_cancelled_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let cancel = Cancel::new();
    let script = "echo $$ > $FILE; sleep 1000 & echo $! >> $FILE; wait";
    let stream = sh(script).env("FILE", &file).source(&cancel).unwrap();
    let reader = std::thread::spawn(move || read(stream));
    let pids = pids(&file, 2);
    cancel.cancel("no bytes for 5 minutes", true);
    let error = reader.join().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "cancelled: no bytes for 5 minutes");
    assert!(error.transient());
    eventually("the group's end", || !pids.iter().any(|pid| runs(*pid)));
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_after_the_grace() {
    let cancel = Cancel::new();
    let mut stream = sh("trap '' TERM; echo up; while :; do sleep 0.1; done").source(&cancel).unwrap();
    let later = cancel.clone();
    let begun = Instant::now();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        later.cancel("test", false);
    });
    assert!(stream.pull().is_ok(), "what was read before is handed over");
    assert_eq!(stream.pull().unwrap_err().to_string(), "cancelled: test");
    assert!((2..8).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[test]
fn an_exit_0_after_sigterm_is_no_end() {
    let cancel = Cancel::new();
    let stream = sh("trap 'exit 0' TERM; printf part; exec >&-; while :; do sleep 0.05; done").source(&cancel).unwrap();
    let later = cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        later.cancel("test", false);
    });
    assert_eq!(read(stream).unwrap_err().to_string(), "cancelled: test");
}

#[test]
fn a_slow_source_hands_over_what_it_has() {
    let mut stream = sh("echo a little; exec sleep 1000").source(&Cancel::new()).unwrap();
    assert_eq!(stream.pull().unwrap().as_deref(), Some(&b"a little\n"[..]));
}

#[test]
fn dropping_an_unfinished_source_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let mut stream = sh("echo $$ > $FILE; sleep 1000 & echo $! >> $FILE; cat /dev/zero").env("FILE", &file).source(&Cancel::new()).unwrap();
    stream.pull().unwrap();
    let pids = pids(&file, 2);
    assert!(lives(pids[0]));
    drop(stream);
    assert!(!lives(pids[0]), "the leader is reaped when drop returns");
    eventually("the group's end", || !runs(pids[1]));
}

#[test]
fn a_missing_program_and_a_missing_folder_are_told_apart() {
    let missing = |program: Program| match program.source(&Cancel::new()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it started"),
    };
    assert_eq!(missing(Program::new("pg_뎀프")), "starting pg_뎀프: there is no program `pg_뎀프` in PATH");
    assert_eq!(missing(Program::new("/nonexistent/pg_dump")), "starting pg_dump: there is no program /nonexistent/pg_dump");
    assert_eq!(missing(sh("true").cwd("/nonexistent")), "starting script: its working folder /nonexistent is not there");
}

#[test]
fn what_it_said_decides_whether_a_failure_is_transient() {
    let script = "echo 'pg_dump: error: connection to server at \"db\", port 5432 failed: Connection refused' >&2; exit 1";
    assert!(read(sh(script).source(&Cancel::new()).unwrap()).unwrap_err().transient());
    let never = sh(script).transience(transient::NEVER);
    assert!(!read(never.source(&Cancel::new()).unwrap()).unwrap_err().transient());
}

#[test]
fn only_the_end_of_a_long_complaint_is_kept() {
    let error = read(sh("seq 1 100000 >&2; exit 1").source(&Cancel::new()).unwrap()).unwrap_err();
    let StreamError::Child { stderr, .. } = error else { panic!("{error}") };
    assert_eq!(stderr.lines().count(), 16);
    assert!(stderr.ends_with("99999\n100000"));
}

#[test]
fn a_filter_passes_everything_through() {
    let input = sh("head -c 5000000 /dev/zero; printf tail").source(&Cancel::new()).unwrap();
    let bytes = read(Program::new("cat").filter(input, &Cancel::new()).unwrap()).unwrap();
    assert_eq!(bytes.len(), 5_000_004);
}

#[test]
fn a_filters_input_error_wins_over_its_own() {
    let filter = |script: &str| read(sh(script).filter(fused(Broken(3)), &Cancel::new()).unwrap()).unwrap_err();
    assert_eq!(filter("cat").to_string(), "test: the source broke");
    assert_eq!(filter("cat; exit 5").to_string(), "test: the source broke");
    let source = sh("head -c 100000 /dev/zero; exit 9").source(&Cancel::new()).unwrap();
    let error = read(Program::new("cat").filter(source, &Cancel::new()).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "script exited with status 9 after 100000 bytes");
}

#[test]
fn a_filter_that_dies_gives_its_own_error_and_not_a_broken_pipe() {
    let endless = || fused(Broken(1_000_000));
    let error = read(sh("head -c 10 >/dev/null; echo enough >&2; exit 6").filter(endless(), &Cancel::new()).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "script exited with status 6: enough");
    let error = read(sh("head -c 10").filter(endless(), &Cancel::new()).unwrap()).unwrap_err();
    assert!(error.to_string().contains("exited with status 0 without reading all of its input"), "{error}");
}

#[test]
fn dropping_a_filter_over_a_hanging_source_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let source = sh("echo $$ > $FILE; exec sleep 1000").env("FILE", &file).source(&Cancel::new()).unwrap();
    let filter = Program::new("cat").filter(source, &Cancel::new()).unwrap();
    let pids = pids(&file, 1);
    drop(filter);
    eventually("the source's end", || !lives(pids[0]));
}

#[test]
fn a_sink_takes_everything_and_its_exit_counts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("사본");
    let input = stream_of(vec![1; 2_000_000]);
    let finished = sh("cat > $FILE; echo written >&2").env("FILE", &file).sink(input, &Cancel::new()).unwrap();
    assert_eq!((finished.bytes, finished.stderr.as_str()), (2_000_000, "written"));
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 2_000_000);
    let error = sh("cat >/dev/null; echo full >&2; exit 2").sink(stream_of("x"), &Cancel::new()).unwrap_err();
    assert_eq!(error.to_string(), "script exited with status 2 after 1 bytes: full");
}

#[test]
fn a_sink_whose_input_breaks_never_sees_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("committed");
    let error = sh("cat >/dev/null; touch $FILE").env("FILE", &file).sink(fused(Broken(2)), &Cancel::new()).unwrap_err();
    assert_eq!(error.to_string(), "test: the source broke");
    assert!(!file.exists());
}

#[test]
fn a_hanging_sink_is_cancelled() {
    let cancel = Cancel::new();
    let later = cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        later.cancel("SIGINT", false);
    });
    let error = Program::new("sleep").arg("1000").sink(fused(Broken(1000)), &cancel).unwrap_err();
    assert_eq!(error.to_string(), "cancelled: SIGINT");
}

#[test]
fn a_run_gives_both_outputs_and_takes_input() {
    let output = sh("cat; echo 둘 >&2").stdin("하나".as_bytes()).run(&Cancel::new()).unwrap();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("하나", "둘"));
    assert!(sh("printf '\\377'").run(&Cancel::new()).unwrap_err().to_string().contains("not UTF-8"));
    assert_eq!(sh("exit 7").run(&Cancel::new()).unwrap_err().to_string(), "script exited with status 7");
    assert_eq!(sh("test -z \"$HOME\"").env_remove("HOME").run(&Cancel::new()).unwrap().stdout, "");
}

#[test]
fn a_run_as_another_user_has_no_groups_of_ours() {
    if !rustix::process::geteuid().is_root() {
        let error = Program::new("id").run_as(Some((0, 0))).run(&Cancel::new()).unwrap_err();
        assert!(matches!(error, StreamError::Spawn { .. }), "{error}");
        return;
    }
    let output = sh("id -u; id -g; id -G").run_as(Some((65534, 65534))).run(&Cancel::new()).unwrap();
    assert_eq!(output.stdout, "65534\n65534\n65534\n");
}

#[test]
fn a_server_runs_logs_stops_and_is_gone_when_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut server = sh("echo up; echo warn >&2; exec sleep 1000").spawn(&log).unwrap();
    assert!(server.try_wait().unwrap().is_none());
    eventually("the log", || std::fs::read_to_string(&log).is_ok_and(|text| text == "up\nwarn\n"));
    let status = server.stop(Duration::from_secs(5)).unwrap();
    assert!(!status.success());
    assert_eq!(server.try_wait().unwrap(), Some(status), "asking again is safe");
    let dropped = sh("trap '' TERM; while :; do sleep 0.1; done").spawn(&log).unwrap();
    let pid = dropped.pid();
    drop(dropped);
    assert!(!lives(pid));
}

#[test]
fn a_cancelled_attempt_starts_nothing_new() {
    let cancel = Cancel::new();
    cancel.cancel("SIGTERM", false);
    assert_eq!(sh("true").run(&cancel).unwrap_err().to_string(), "cancelled: SIGTERM");
}

#[test]
fn a_program_made_to_write_widely_is_still_the_same_process() {
    // The shell tells its own pid and the number of writes strace would need: here it is enough that it is no child of stdbuf.
    let program = || Program::new("/bin/sh").args(["-c", "tr '\\0' ' ' < /proc/$$/cmdline; exit 3"]);
    let mut stream = program().wide_output().source(&Cancel::new()).unwrap();
    let told = String::from_utf8_lossy(&stream.pull().unwrap().unwrap()).into_owned();
    assert!(told.starts_with("/bin/sh -c"), "stdbuf has replaced itself: {told}");
    let error = stream.pull().unwrap_err().to_string();
    assert!(error.starts_with("sh exited with status 3"), "{error}");
    let missing = Program::new("/nonexistent/tool").wide_output().source(&Cancel::new()).err().unwrap().to_string();
    assert!(missing.contains("there is no program /nonexistent/tool"), "{missing}");
}
