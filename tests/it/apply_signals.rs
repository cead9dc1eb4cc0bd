//! Signals where they are easily lost: between two pipelines, and while nobody reads what is said.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::apply_support::Bench;

/// Writes a pipeline that runs one command.
fn runs(bench: &Bench, name: &str, script: &str) -> String {
    let script = script.replace("@/", &format!("{}/", bench.path("").display()));
    let file = format!("{name}.yaml");
    bench.file(
        &file,
        &format!("version: 1\nname: {name}\nsteps:\n  - {{ id: act, uses: command, with: {{ argv: [sh, -c, '{script}'] }} }}\n"),
    );
    file
}

/// Waits until a file is there, at most a minute.
fn comes(bench: &Bench, name: &str) {
    let until = Instant::now() + Duration::from_mins(1);
    while !bench.path(name).exists() {
        assert!(Instant::now() < until, "{name} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn send(child: &Child, signal: Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

/// The exit code of a process that ends within 20 seconds.
fn code(child: &mut Child) -> Option<i32> {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    panic!("it did not end");
}

#[test]
fn apply_stopped_in_one_pipeline_starts_no_other_though_one_before_had_failed() {
    let bench = Bench::new();
    let files = [runs(&bench, "a", "exit 3"), runs(&bench, "b", "touch @/begun; sleep 100"), runs(&bench, "c", "touch @/never")];
    let mut args = vec!["apply", "--state-dir", "state"];
    args.extend(files.iter().map(String::as_str));
    let mut child = bench.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    comes(&bench, "begun");
    send(&child, Signal::INT);
    assert_eq!(code(&mut child), Some(130));
    assert!(!bench.path("never").exists());
    bench.is_clean();
}

#[test]
fn apply_whose_terminal_is_closed_stops_as_it_is_asked_to() {
    let bench = Bench::new();
    let file = runs(&bench, "a", "touch @/begun; sleep 100");
    let mut child = bench.command(&["apply", "--state-dir", "state", &file]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    comes(&bench, "begun");
    send(&child, Signal::HUP);
    assert_eq!(code(&mut child), Some(143));
    bench.is_clean();
}

#[test]
fn apply_stops_though_nobody_reads_what_it_says() {
    let bench = Bench::new();
    let file = runs(&bench, "a", "touch @/begun; sleep 100");
    let (read, write) = rustix::pipe::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&write, 4096).unwrap();
    let mut command = bench.command(&["apply", "--state-dir", "state", &file]);
    let mut child = command.stdout(Stdio::null()).stderr(write).spawn().unwrap();
    // Ours of the writing end goes with the command.
    drop(command);
    let mut said = BufReader::new(std::fs::File::from(read));
    let mut line = String::new();
    while !line.contains('▶') {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended early");
    }
    comes(&bench, "begun");
    send(&child, Signal::TERM);
    assert_eq!(code(&mut child), Some(143));
    bench.is_clean();
    drop(said);
}

#[test]
fn apply_goes_on_when_nobody_takes_its_events_any_more() {
    let bench = Bench::new();
    let file = runs(&bench, "a", "true");
    let ran = bench.run(&["apply", "--state-dir", "state", "--events", "/dev/full", &file]);
    ran.is(0, &["warning: writing /dev/full", "no more events are written there"]);
    assert_eq!(ran.stderr.matches("/dev/full").count(), 1, "{}", ran.stderr);
}
