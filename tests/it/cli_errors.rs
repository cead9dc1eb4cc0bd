//! How the program refuses: the right exit code, a word on what to do, and one JSON document when JSON was asked for.

use crate::cli_run::{run, run_in};

/// A pipeline whose database is not there.
const UNREACHABLE: &str = "version: 1
name: unreachable
connections: { gone: { postgres: { host: 127.0.0.1, port: 1, user: nobody, database: gone } } }
stores: { here: { local: { path: store } } }
steps:
  - { id: dump, uses: dump, with: { connection: gone } }
  - { id: upload, uses: upload, with: { store: here } }
";

#[test]
fn wrong_use_exits_with_64() {
    let calls: [&[&str]; 8] = [
        &[],
        &["frobnicate"],
        &["plan", "--frobnicate"],
        &["plan", "quickstart", "--offline", "--probe"],
        &["apply"],
        &["apply", "quickstart", "--parallel", "0"],
        &["validate", "--format", "xml"],
        &["completions", "tcl"],
    ];
    for arguments in calls {
        let ran = run(arguments);
        assert_eq!(ran.code, 64, "{arguments:?}\n{}", ran.err);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{arguments:?}: the complaint is talk, not an answer");
    }
}

#[test]
fn a_file_that_is_not_there_exits_with_66_and_names_the_one_that_was_meant() {
    for (given, meant) in [
        ("quikstart", "did you mean quickstart?"),
        ("pipelines/quickstrat.yaml", "did you mean pipelines/quickstart.yaml?"),
        ("pipelines/quickstart.yml", "did you mean pipelines/quickstart.yaml?"),
        ("examples/pipelines/nightly-s3", "did you mean examples/pipelines/nightly-s3.yaml?"),
        ("zzz", "the name of a pipeline in pipelines/"),
    ] {
        for command in ["validate", "plan", "apply", "graph"] {
            let ran = run(&[command, given]);
            assert_eq!(ran.code, 66, "{command} {given}");
            assert!(ran.err.contains(meant), "{command} {given}: {}", ran.err);
        }
    }
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(run_in(empty.path(), &["validate"]).code, 66);
    assert_eq!(run_in(empty.path(), &["validate", "."]).code, 66);
}

#[test]
fn every_refusal_is_one_json_document_when_json_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("unreachable.yaml"), UNREACHABLE).unwrap();
    std::fs::write(folder.path().join("bad.yaml"), "version: 1\nnmae: x\n").unwrap();
    std::fs::write(folder.path().join("broken.json"), "{").unwrap();
    let calls: [(&[&str], i32); 12] = [
        (&["validate", "nothing.yaml", "--format", "json"], 66),
        (&["plan", "nothing.yaml", "--format", "json"], 66),
        (&["apply", "nothing.yaml", "--format=json"], 66),
        (&["plan", "bad.yaml", "--offline", "--format", "json"], 65),
        (&["apply", "bad.yaml", "--format", "json"], 65),
        (&["apply", "broken.json", "--format", "json"], 65),
        (&["apply", "unreachable.yaml", "--format", "json", "--state-dir", "state"], 69),
        (&["plan", "unreachable.yaml", "bad.yaml", "--offline", "--format", "json"], 65),
        (&["plan", "--frobnicate", "--format", "json"], 64),
        (&["apply", "--format=json"], 64),
        (&["plan", "unreachable.yaml", "unreachable.yaml", "bad.yaml", "-o", "x", "--offline", "--format", "json"], 65),
        (&["plan", "unreachable.yaml", "-o", "no/such/folder.json", "--offline", "--format", "json"], 66),
    ];
    for (arguments, code) in calls {
        let ran = run_in(folder.path(), arguments);
        assert_eq!(ran.code, code, "{arguments:?}\n{}", ran.err);
        let error = &ran.json()["error"];
        assert_eq!(error["code"], code, "{arguments:?}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{arguments:?}");
    }
    // But for the word that a run could not start.
    assert!(crate::apply_support::files(&folder.path().join("store")).is_empty(), "nothing was stored");
}

#[test]
fn an_invalid_pipeline_tells_programs_everything_that_is_wrong_whichever_command_found_it() {
    let problems = |answer: &serde_json::Value| answer["diagnostics"].as_array().unwrap().clone();
    let validated = problems(&run(&["validate", "tests/bad/streams.yaml", "--format", "json"]).json());
    let planned = problems(&run(&["plan", "tests/bad/streams.yaml", "--offline", "--format", "json"]).json()["error"]);
    assert_eq!(validated, planned);
    assert!(validated.len() >= 4);
}

#[test]
fn a_plan_of_what_can_not_be_reached_is_an_answer_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("unreachable.yaml"), UNREACHABLE).unwrap();
    let ran = run_in(folder.path(), &["plan", "unreachable.yaml", "--format", "json"]);
    assert_eq!(ran.code, 69, "{}", ran.err);
    let finding = &ran.json()["plans"][0]["findings"][0];
    assert_eq!((finding["severity"].as_str(), finding["subject"].as_str()), (Some("error"), Some("connection gone")));
}
