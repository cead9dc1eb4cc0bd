//! `runner runs` and `runner logs`: what ran here, told again from the journals, crashes included.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli_run::{Ran, run_in};

/// A pipeline that needs no server.
fn pipeline(folder: &Path, name: &str, program: &str) {
    let yaml = format!(
        "version: 1\nname: {name}\nsteps:\n  - {{ id: 준비, uses: command, with: {{ argv: [echo, 준비됨] }} }}\n  - {{ id: work, uses: command, with: {{ argv: {program} }} }}\n"
    );
    std::fs::write(folder.join("pipeline.yaml"), yaml).unwrap();
}

fn apply(folder: &Path) -> Ran {
    run_in(folder, &["apply", "pipeline.yaml", "--state-dir", "state"])
}

fn runs(folder: &Path, more: &[&str]) -> Ran {
    run_in(folder, &[&["runs", "--state-dir", "state"], more].concat())
}

fn logs(folder: &Path, args: &[&str]) -> Ran {
    run_in(folder, &[&["logs", "--state-dir", "state"], args].concat())
}

fn journals(folder: &Path, pipeline: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("state/runs").join(pipeline)).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    found.sort();
    found
}

fn id(journal: &Path) -> String {
    journal.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// Cuts the end of the run off a journal, as a killed run leaves it, and says what process it was.
fn killed(journal: &Path, pid: u32, torn: &str) {
    let text = std::fs::read_to_string(journal).unwrap();
    let whole = |line: &&str| line.ends_with('}') && !line.contains("\"run-ended\"");
    let kept: Vec<&str> = text.lines().filter(whole).collect();
    let own = |line: &str| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        if event["event"] == "run-started" {
            event["pid"] = pid.into();
        }
        event.to_string()
    };
    let mut text = kept.into_iter().map(own).collect::<Vec<_>>().join("\n");
    text.push('\n');
    text.push_str(torn);
    std::fs::File::create(journal).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn runs_are_listed_newest_first_with_how_they_ended() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(runs(folder.path(), &[]).code, 0, "no run is no error");
    pipeline(folder.path(), "주문", "[\"true\"]");
    assert_eq!(apply(folder.path()).code, 0);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    pipeline(folder.path(), "orders", "[\"false\"]");
    assert_eq!(apply(folder.path()).code, 10);

    let all = runs(folder.path(), &[]);
    let lines: Vec<&str> = all.out.lines().collect();
    let [failed, why, done] = &lines[..] else { panic!("{}", all.out) };
    assert!(failed.contains("orders") && failed.contains("FAILED") && failed.contains(" ago"), "{failed}");
    assert!(why.starts_with("  ! ") && why.contains("false"), "{why}");
    assert!(done.contains("주문") && done.contains("done"), "{done}");
    let one = runs(folder.path(), &["주문", "--format", "json"]).json();
    assert_eq!((&one["count"], &one["runs"][0]["outcome"], &one["runs"][0]["pipeline"]), (&1.into(), &"done".into(), &"주문".into()));
    // By its file, too; and no more than asked for.
    assert_eq!(runs(folder.path(), &["pipeline.yaml", "--format", "json"]).json()["runs"][0]["pipeline"], "orders");
    assert!(runs(folder.path(), &["--most", "1"]).out.ends_with("… and 1 older\n"));
    assert_eq!(runs(folder.path(), &["ord", "--format", "json"]).json()["count"], 0, "a name is whole");
}

#[test]
fn runs_without_an_end_are_unfinished_and_their_process_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    pipeline(folder.path(), "orders", "[\"true\"]");
    assert_eq!(apply(folder.path()).code, 0);
    let journal = &journals(folder.path(), "orders")[0];
    // The largest process id there can be, which is not given to anybody here.
    killed(journal, 4_194_303, "{\"at\":\"2026-11-2");
    let json = runs(folder.path(), &["--format", "json"]).json();
    let found = &json["runs"][0];
    assert_eq!((&found["outcome"], &found["alive"], &found["torn"]), (&"unfinished".into(), &false.into(), &true.into()));
    assert!(runs(folder.path(), &[]).out.contains("unfinished, process 4194303 is gone"));
    let told = logs(folder.path(), &["latest"]);
    assert!(told.code == 0 && told.out.contains("준비됨") && !told.out.contains("2026-11-2\n"), "{}", told.out);
    assert!(told.err.contains("the last line of ") && told.err.contains("process 4194303 is gone"), "{}", told.err);

    // Another program that has the number now is not the run.
    killed(journal, std::process::id(), "");
    assert_eq!(runs(folder.path(), &["--format", "json"]).json()["runs"][0]["alive"], false);

    // A damaged line in the middle is told, and hides no other run.
    let text = std::fs::read_to_string(journal).unwrap();
    std::fs::write(journal, text.replacen('{', "", 1)).unwrap();
    let damaged = runs(folder.path(), &[]);
    assert!(damaged.code == 0 && damaged.out.contains("unreadable") && damaged.out.contains(".ndjson:1:"), "{}", damaged.out);
    let told = logs(folder.path(), &["latest"]);
    assert!(told.code == 1 && told.err.contains(".ndjson:1:"), "{}", told.err);
}

/// Gives the run of a journal, which is cut before its end, another host.
fn moved(journal: &Path) {
    killed(journal, 7, "");
    let text = std::fs::read_to_string(journal).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for event in lines.iter_mut().filter(|event| event["event"] == "run-started" || event["event"] == "run-resumed") {
        (event["host"], event["pid"]) = ("pod-1".into(), 7.into());
    }
    let text = lines.iter().map(Value::to_string).chain([String::new()]).collect::<Vec<_>>().join("\n");
    std::fs::File::create(journal).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_run_of_another_host_is_gone_on_with_where_the_lock_of_its_journal_tells_all() {
    // Not in TMPDIR, which may be no disk.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    pipeline(folder.path(), "주문", "[\"false\"]");
    assert_eq!(apply(folder.path()).code, 10);
    let journal = journals(folder.path(), "주문").remove(0);
    moved(&journal);
    assert!(runs(folder.path(), &[]).out.contains("unfinished, process 7 is gone"), "{}", runs(folder.path(), &[]).out);
    let written = std::fs::File::open(&journal).unwrap();
    rustix::fs::flock(&written, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert!(runs(folder.path(), &[]).out.contains("process 7 is at work"), "a container beside this one writes it");
    let refused = run_in(folder.path(), &["resume", &id(&journal), "--state-dir", "state"]);
    assert_eq!(refused.code, 14, "{}", refused.err);
    drop(written);
    let resumed = run_in(folder.path(), &["resume", "latest", "--again", "work", "--state-dir", "state"]);
    assert!(resumed.code == 10 && resumed.err.contains("going on with the run"), "{}", resumed.err);

    // Elsewhere than on a disk, whose locks may not reach as far as the journal does.
    moved(&journal);
    let shared = tempfile::tempdir_in("/dev/shm").unwrap();
    let state = shared.path().join("state");
    let copied = std::process::Command::new("cp").arg("-a").arg(folder.path().join("state")).arg(&state).status().unwrap();
    assert!(copied.success());
    let state = state.to_str().unwrap();
    let refused = run_in(folder.path(), &["resume", &id(&journal), "--state-dir", state]);
    assert!(refused.code == 14 && refused.err.contains("process 7 on pod-1"), "{}", refused.err);
    let anew = run_in(folder.path(), &["apply", "pipeline.yaml", "--resume", "--state-dir", state]);
    assert!(anew.code == 10 && anew.err.contains("is not gone on with, a new one starts: it is unfinished"), "{}", anew.err);

    // What a newer run replaces is not kept for ever.
    let kept = journal.with_extension("");
    assert!(kept.is_dir());
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(apply(folder.path()).code, 10);
    assert!(!kept.exists());
}

#[test]
fn runs_that_go_on_are_seen_at_work() {
    let folder = tempfile::tempdir().unwrap();
    pipeline(folder.path(), "orders", "[sleep, \"20\"]");
    let mut child = crate::cli_run::command(&["apply", "pipeline.yaml", "--state-dir", "state"])
        .current_dir(folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(15);
    let seen = loop {
        let json = runs(folder.path(), &["--format", "json"]).json();
        if json["runs"][0]["alive"] == true && json["runs"][0]["pid"].is_u64() {
            break json["runs"][0].clone();
        }
        assert!(std::time::Instant::now() < until, "{json}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert_eq!((&seen["outcome"], seen["pid"].as_u64().unwrap()), (&"unfinished".into(), child.id().into()));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    child.wait().unwrap();
    assert_eq!(runs(folder.path(), &["--format", "json"]).json()["runs"][0]["outcome"], "cancelled");
}

#[test]
fn logs_tell_a_run_again_as_apply_told_it_and_one_step_of_it() {
    let folder = tempfile::tempdir().unwrap();
    pipeline(folder.path(), "orders", "[sh, -c, \"echo 첫째; exit 3\"]");
    let told = apply(folder.path());
    assert_eq!(told.code, 10);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(apply(folder.path()).code, 10);
    let first = id(&journals(folder.path(), "orders")[0]);

    let again = logs(folder.path(), &[&first]);
    assert_eq!((again.code, again.err.as_str()), (0, ""));
    assert!(again.out.lines().count() > 4 && again.out.lines().all(|line| told.err.contains(line)), "{}\n---\n{}", again.out, told.err);
    let step = logs(folder.path(), &[&first, "준비"]);
    assert!(step.out.contains("준비됨") && !step.out.contains("work") && step.out.lines().count() >= 2, "{}", step.out);
    let json = logs(folder.path(), &[&first, "work", "--format", "json"]).json();
    let kinds: Vec<&str> = json["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!((kinds, &json["torn"]), (vec!["node-started", "node-ended"], &false.into()));

    let wrong = logs(folder.path(), &[&first, "dump"]);
    assert!(wrong.code == 64 && wrong.err.contains("there are 준비, work"), "{}", wrong.err);
    let unclear = logs(folder.path(), &["20"]);
    assert!(unclear.code == 64 && unclear.err.contains(&first), "{}", unclear.err);
    assert_eq!(logs(folder.path(), &["19700101T000000Z-000000"]).code, 66);
    assert_eq!(logs(folder.path(), &[&first[..first.len() - 2]]).out, again.out);
}
