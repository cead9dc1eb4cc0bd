//! The three forms of what `runner validate` answers, once each.

use crate::cli_run::run;

#[test]
fn people_see_every_problem_with_its_line_and_what_to_do() {
    insta::assert_snapshot!(run(&["validate", "tests/bad/fused-cycle.yaml", "tests/bad/references.yaml"]).out);
}

#[test]
fn a_literal_secret_is_starred_in_its_line() {
    insta::assert_snapshot!(run(&["validate", "tests/bad/literals.yaml"]).out);
}

#[test]
fn programs_get_one_json_document() {
    insta::assert_json_snapshot!(run(&["validate", "tests/bad/cycles.yaml", "--format", "json"]).json());
}

#[test]
fn github_gets_one_annotation_a_line() {
    insta::assert_snapshot!(run(&["validate", "tests/bad/exposure.yaml", "--format", "github"]).out);
}

#[test]
fn a_folder_means_the_pipelines_in_it_and_not_those_below() {
    let ran = run(&["validate", "tests/bad", "--format", "json"]).json();
    let files = ran["diagnostics"].as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(|d| d["file"].as_str());
    assert_eq!(files.filter(|file| file.contains("syntax")).count(), 0);
    let ran = run(&["validate", "tests/bad", "tests/bad/syntax", "--format", "json"]).json();
    assert!(ran["diagnostics"].to_string().contains("tests/bad/syntax/tab.yaml"));
}
