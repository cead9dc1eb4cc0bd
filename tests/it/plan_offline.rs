//! `runner plan --offline`: what it shows, that it touches nothing, and that it is the same every time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli_run::{command, pipelines_in, run, run_in};

const BIGGER: &str = "examples/pipelines/several-databases.yaml";

const RUNBOOK: &str = "tests/good/runbook.yaml";

/// The one list of what differs from commit to commit in what these snapshots hold.
fn redacted(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r#""sha256": "[0-9a-f]{64}""#, r#""sha256": "[sha256]""#);
    settings.add_filter(r#""runner": "[0-9.]+""#, r#""runner": "[version]""#);
    settings.bind(check);
}

fn planned(path: &str, format: &str) -> String {
    let ran = run(&["plan", path, "--offline", "--format", format]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    ran.out
}

#[test]
fn people_see_nodes_actions_reasons_and_keys() {
    redacted(|| insta::assert_snapshot!("quickstart_human", planned("quickstart", "human")));
    redacted(|| insta::assert_snapshot!("bigger_human", planned(BIGGER, "human")));
    redacted(|| insta::assert_snapshot!("runbook_human", planned(RUNBOOK, "human")));
}

#[test]
fn reviewers_see_a_table_in_markdown() {
    redacted(|| insta::assert_snapshot!("quickstart_markdown", planned("quickstart", "markdown")));
    redacted(|| insta::assert_snapshot!("bigger_markdown", planned(BIGGER, "markdown")));
    redacted(|| insta::assert_snapshot!("runbook_markdown", planned(RUNBOOK, "markdown")));
}

#[test]
fn programs_get_the_plan_itself() {
    redacted(|| insta::assert_snapshot!("quickstart_json", planned("quickstart", "json")));
}

#[test]
fn the_json_is_the_same_to_the_byte_whenever_and_wherever_it_is_made() {
    let mut arguments = vec!["plan", "--offline", "--format", "json", "quickstart"];
    let examples = pipelines_in("examples/pipelines");
    arguments.extend(examples.iter().map(String::as_str));
    let first = run(&arguments);
    std::thread::sleep(Duration::from_millis(1100));
    let second =
        command(&arguments).env("TZ", "Pacific/Apia").env("ORDERS_PASSWORD", "canary").env("LANG", "ko_KR.UTF-8").output().unwrap();
    assert_eq!(first.out.as_bytes(), second.stdout);
    let plans = first.json();
    assert_eq!(plans["plans"].as_array().unwrap().len(), examples.len() + 1);
    assert!(!first.out.contains("canary"));
}

#[test]
fn it_needs_no_server_no_secret_and_no_file_but_the_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    for path in pipelines_in("examples/pipelines") {
        let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).unwrap();
        std::fs::write(folder.path().join("p.yaml"), text).unwrap();
        let output = command(&["plan", "p.yaml", "--offline"]).current_dir(folder.path()).env_clear().output().unwrap();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["p.yaml"], "planning wrote something");
    }
}

#[test]
fn the_exit_code_says_that_there_is_something_to_do_only_when_asked() {
    assert_eq!(run(&["plan", "quickstart", "--offline"]).code, 0);
    assert_eq!(run(&["plan", "quickstart", "--offline", "--detailed-exitcode"]).code, 2);
}

#[test]
fn a_plan_is_written_to_a_file_that_holds_what_json_shows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("계획.json");
    let ran = run(&["plan", "quickstart", "--offline", "--format", "json", "-o", file.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("runner apply"), "it says how to apply it: {}", ran.err);
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(ran.json()["plans"][0], written);
    let nowhere = folder.path().join("없음/p.json");
    let ran = run(&["plan", "quickstart", "--offline", "-o", nowhere.to_str().unwrap()]);
    assert!(ran.code == 66 && ran.err.contains("없음/p.json"), "{} {}", ran.code, ran.err);
    let ran = run(&["plan", "quickstart", BIGGER, "--offline", "-o", file.to_str().unwrap()]);
    assert!(ran.code == 64 && ran.err.contains("one pipeline"), "{} {}", ran.code, ran.err);
}

#[test]
fn every_edge_leads_forward_so_that_a_run_can_end() {
    let mut paths = pipelines_in("examples/pipelines");
    paths.extend(pipelines_in("tests/good"));
    for path in paths {
        let plan = run(&["plan", &path, "--offline", "--format", "json"]).json()["plans"][0].clone();
        let order: Vec<&str> = plan["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
        let at = |id: &Value| order.iter().position(|node| node == id).unwrap();
        for edge in plan["edges"].as_array().unwrap() {
            assert!(at(&edge["from"]) < at(&edge["to"]), "{path}: {edge} leads backwards");
        }
    }
}

/// The nodes that a graph declares and those that its edges name.
fn graph(text: &str, arrows: &[&str], name: fn(&str) -> String) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut declared, mut named) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines().map(str::trim) {
        if let Some((from, to)) = arrows.iter().find_map(|arrow| line.split_once(arrow)) {
            named.extend([name(from), name(to)]);
        } else if line.contains('[') && !line.starts_with("node ") {
            declared.insert(name(line));
        }
    }
    (declared, named)
}

#[test]
fn graphs_declare_every_node_that_their_edges_name() {
    for path in ["quickstart", BIGGER] {
        let nodes = run(&["plan", path, "--offline", "--format", "json"]).json()["plans"][0]["nodes"].as_array().unwrap().len();
        let dot = run(&["graph", path]).out;
        assert!(dot.starts_with("digraph \"") && dot.trim_end().ends_with('}'), "{dot}");
        assert_eq!(dot.matches('{').count(), dot.matches('}').count());
        let (declared, named) = graph(&dot, &[" -> "], |text| text.split('"').nth(1).unwrap().to_owned());
        assert!(declared.len() == nodes && named.is_subset(&declared), "{declared:?} {named:?}");
        let mermaid = run(&["graph", path, "--format", "mermaid"]).out;
        assert!(mermaid.starts_with("flowchart LR\n"), "{mermaid}");
        let (declared, named) =
            graph(&mermaid, &[" --> ", " -.-> "], |text| text.trim().chars().take_while(|c| c.is_alphanumeric()).collect());
        assert!(declared.len() == nodes && named.is_subset(&declared), "{declared:?} {named:?}");
    }
}

/// A release build takes under 2 s for this. The dev profile took 2.7 s of processor time when this was written; the bound
/// leaves room for a busy machine and none for time that grows with the square.
#[test]
fn a_thousand_pipelines_are_planned_in_seconds() {
    let text =
        std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pipelines/nightly-s3.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for number in 0..1000 {
        let name = format!("p{number:04}.yaml");
        std::fs::write(folder.path().join(&name), text.replace("orders-nightly", &format!("orders-{number:04}"))).unwrap();
    }
    let started = Instant::now();
    let ran = run_in(folder.path(), &["plan", ".", "--offline", "--format", "json"]);
    let took = started.elapsed();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.json()["plans"].as_array().unwrap().len(), 1000);
    assert!(took < Duration::from_secs(45), "1,000 pipelines took {took:?}");
}

#[test]
fn what_one_step_of_a_stream_says_of_trying_again_holds_for_its_pass() {
    let plan = run(&["plan", "tests/good/every-parameter.yaml", "--offline", "--format", "json"]).json()["plans"][0].clone();
    let node = |id: &str| plan["nodes"].as_array().unwrap().iter().find(|node| node["id"] == id).unwrap().clone();
    let pass = node("dump");
    assert_eq!((pass["retry"]["attempts"].as_u64(), pass["stall"].as_str()), (Some(1), Some("10m")), "as its dump says");
    assert_eq!(pass["timeout"], "1h", "the shortest of all its steps, here the default");
    assert_eq!(node("globals")["retry"]["attempts"], 3, "as the defaults say");
}
