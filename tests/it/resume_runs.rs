//! `runner resume` of pipelines that need no server: what is done again, what is asked for, and what is refused.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::cli_run::{Ran, command, run_in};

/// Each step notes that it ran; the second waits for a file.
const STEPS: &str = "version: 1
name: 작업
steps:
  - { id: 첫째, uses: command, with: { argv: [sh, -c, \"echo ran >> first\"] } }
  - { id: second, uses: command, with: { argv: [sh, -c, \"echo ran >> second; while ! [ -e go ]; do sleep 0.05; done\"] } }
  - { id: third, uses: command, with: { argv: [sh, -c, \"echo ran >> third\"] } }
";

fn scene() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pipeline.yaml"), STEPS).unwrap();
    folder
}

fn resume(folder: &Path, args: &[&str]) -> Ran {
    run_in(folder, &[&["resume", "--state-dir", "state"], args].concat())
}

fn start(folder: &Path, args: &[&str]) -> Child {
    command(args).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn times(folder: &Path, file: &str) -> usize {
    std::fs::read_to_string(folder.join(file)).unwrap_or_default().lines().count()
}

#[track_caller]
fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(40);
    while !holds() {
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts a run, and kills it in its second step.
fn killed(folder: &Path) {
    let mut child = start(folder, &["apply", "pipeline.yaml", "--state-dir", "state"]);
    wait_for("the second step", || times(folder, "second") == 1);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The one journal, and the folder beside it.
fn journal(folder: &Path) -> (PathBuf, PathBuf) {
    let entries = std::fs::read_dir(folder.join("state/runs/작업")).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "ndjson")).collect();
    let [journal] = &found[..] else { panic!("one journal, not {found:?}") };
    (journal.clone(), journal.with_extension(""))
}

#[track_caller]
fn refused(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "{}", ran.err);
    for word in words {
        assert!(ran.err.contains(word), "{word:?} is missing in {}", ran.err);
    }
}

#[test]
fn resume_runs_no_step_twice_that_ended_and_none_unasked_that_may_have_acted() {
    let folder = scene();
    let folder = folder.path();
    killed(folder);
    let (journal, beside) = journal(folder);
    let id = journal.file_stem().unwrap().to_str().unwrap();
    let listed = run_in(folder, &["runs", "--state-dir", "state"]);
    assert!(listed.out.contains("is gone") && listed.out.contains(&format!("runner resume {id}")), "{}", listed.out);
    let json = run_in(folder, &["runs", "--state-dir", "state", "--format", "json"]).json();
    assert_eq!(json["runs"][0]["resumable"], true);

    refused(&resume(folder, &["latest"]), 64, &["`second` had begun", "--again second"]);
    refused(&resume(folder, &["latest", "--again", "third"]), 64, &["`third` is no step of this run"]);
    assert_eq!((times(folder, "second"), times(folder, "third")), (1, 0), "a refusal does nothing");

    // A line that the crash has cut is removed, and told.
    std::fs::File::options().append(true).open(&journal).unwrap().write_all(b"{\"at\":\"2026-11-2").unwrap();
    std::fs::write(folder.join("go"), "").unwrap();
    let ran = resume(folder, &[&id[..20], "--again", "second"]);
    refused(&ran, 0, &["was cut", "첫째 done, second, third to do", "done already: 첫째"]);
    assert_eq!((times(folder, "first"), times(folder, "second"), times(folder, "third")), (1, 2, 1));
    assert!(!beside.exists(), "what is kept of a run goes with its good end");

    let events: Vec<String> = std::fs::read_to_string(&journal).unwrap().lines().map(str::to_owned).collect();
    assert!(events.iter().any(|line| line.contains("\"event\":\"run-resumed\"") && line.contains("\"done\":[\"첫째\"]")), "{events:?}");
    let told = run_in(folder, &["logs", "latest", "--state-dir", "state"]);
    assert!(told.code == 0 && told.out.contains("the run goes on, on ") && told.err.is_empty(), "{}{}", told.out, told.err);
    let json = run_in(folder, &["runs", "--state-dir", "state", "--format", "json"]).json();
    let found = &json["runs"][0];
    assert_eq!(
        (&found["outcome"], &found["resumable"], &found["torn"], &json["count"]),
        (&"done".into(), &false.into(), &false.into(), &1.into())
    );
    refused(&resume(folder, &[id]), 64, &["has ended: done"]);
    refused(&resume(folder, &["latest"]), 66, &["no run here was left without an end"]);
}

#[test]
fn resume_names_what_it_does_not_find() {
    let folder = scene();
    refused(&resume(folder.path(), &["latest"]), 66, &["no run here"]);
    refused(&resume(folder.path(), &["20261120T021700Z-4f3a9c"]), 66, &["no journal here is of the run"]);
}

#[test]
fn resume_leaves_a_run_at_work_alone_whether_it_began_or_goes_on() {
    let folder = scene();
    let folder = folder.path();
    let mut first = start(folder, &["apply", "pipeline.yaml", "--state-dir", "state"]);
    wait_for("the second step", || times(folder, "second") == 1);
    let (journal, _) = journal(folder);
    let id = journal.file_stem().unwrap().to_str().unwrap();
    refused(&resume(folder, &[id, "--again", "second"]), 14, &["is at work in another process"]);
    first.kill().unwrap();
    first.wait().unwrap();
    let mut second = start(folder, &["resume", id, "--again", "second", "--state-dir", "state"]);
    wait_for("the second step again", || times(folder, "second") == 2);
    refused(&resume(folder, &[id, "--again", "second"]), 14, &["is at work in another process"]);
    assert_eq!(run_in(folder, &["runs", "--state-dir", "state", "--format", "json"]).json()["runs"][0]["alive"], true);
    std::fs::write(folder.join("go"), "").unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(0));
    assert_eq!(times(folder, "third"), 1);
}

#[test]
fn resume_refuses_a_plan_or_a_receipt_that_was_changed() {
    let folder = scene();
    let folder = folder.path();
    killed(folder);
    std::fs::write(folder.join("go"), "").unwrap();
    let (_, beside) = journal(folder);
    let (plan, receipt) = (beside.join("plan.json"), beside.join("첫째.receipt.json"));
    for path in [&plan, &receipt] {
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).unwrap()) & 0o777, 0o600);
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, text.replacen("첫째", "둘째", 1)).unwrap();
        refused(
            &resume(folder, &["latest", "--again", "second"]),
            65,
            &[path.file_name().unwrap().to_str().unwrap(), "it was edited", "runner apply"],
        );
        std::fs::write(path, &text.as_bytes()[..text.len() / 2]).unwrap();
        refused(&resume(folder, &["latest", "--again", "second"]), 65, &[path.file_name().unwrap().to_str().unwrap(), "at "]);
        std::fs::write(path, text).unwrap();
    }
    assert_eq!((times(folder, "second"), times(folder, "third")), (1, 0), "a refusal does nothing");
    std::fs::remove_dir_all(&beside).unwrap();
    refused(&resume(folder, &["latest"]), 13, &["is not kept", "runner apply"]);
}

#[test]
fn resume_of_a_run_that_failed_tries_again_what_failed_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let yaml = STEPS.replace("while ! [ -e go ]; do sleep 0.05; done", "test -e go");
    std::fs::write(folder.join("pipeline.yaml"), yaml).unwrap();
    let failed = run_in(folder, &["apply", "pipeline.yaml", "--state-dir", "state"]);
    refused(&failed, 10, &["what is done stays done: runner resume "]);
    let (journal, _) = journal(folder);
    let id = journal.file_stem().unwrap().to_str().unwrap();
    refused(&resume(folder, &["latest"]), 66, &["one that failed is gone on with by its id"]);
    refused(&resume(folder, &[id]), 64, &["--again second"]);
    std::fs::write(folder.join("go"), "").unwrap();
    refused(&resume(folder, &[id, "--again", "second"]), 0, &[]);
    assert_eq!((times(folder, "first"), times(folder, "second"), times(folder, "third")), (1, 2, 1));
    let json = run_in(folder, &["runs", "--state-dir", "state", "--format", "json"]).json();
    assert_eq!((&json["runs"][0]["outcome"], &json["runs"][0]["error"]), (&"done".into(), &serde_json::Value::Null));
}

#[test]
fn resume_does_not_go_on_behind_what_a_clean_up_may_have_undone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let yaml = STEPS.replace("while ! [ -e go ]; do sleep 0.05; done", "test -e go").replace("{ id: third,", "{ id: third, when: always,");
    std::fs::write(folder.join("pipeline.yaml"), yaml).unwrap();
    assert_eq!(run_in(folder, &["apply", "pipeline.yaml", "--state-dir", "state"]).code, 10);
    let (journal, _) = journal(folder);
    let id = journal.file_stem().unwrap().to_str().unwrap();
    refused(&resume(folder, &[id, "--again", "second"]), 64, &["`third` has acted already", "runner apply"]);
    assert_eq!(times(folder, "second"), 1);
}
