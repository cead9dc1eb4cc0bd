//! An independent validator gives the verdicts that `runner validate` gives.

#![expect(clippy::unwrap_used, reason = "a test that can not run the validator fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use runner::diagnostic::{Diagnostic, SourceText};
use runner::document::{Schema, check, recover};
use runner::pipeline::schema::{Dialect, schema};
use serde_json::Value;

use crate::cli_run::pipelines_in;

fn check_jsonschema() -> PathBuf {
    let tools = std::env::var_os("RUNNER_TEST_TOOLS").map_or_else(|| PathBuf::from("/var/cache/runner-tools"), PathBuf::from);
    let program = tools.join("py/bin/check-jsonschema");
    assert!(program.is_file(), "{} is not there: install it with .ci/setup (PyPI check-jsonschema)", program.display());
    program
}

fn committed(dialect: Dialect) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(dialect.file_name())
}

/// What our own schema stage says of each file, before any placeholder is expanded: the other validator expands none.
fn ours(paths: &[String]) -> BTreeMap<String, bool> {
    let schema = Schema::compile(schema(Dialect::Draft2020)).unwrap();
    let verdict = |path: &String| {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        let (document, errors) = recover(Arc::new(SourceText { path: path.into(), text, marked: false }));
        assert!(errors.is_empty(), "{path} is not YAML");
        (path.clone(), !check(&document.unwrap(), &schema).iter().any(Diagnostic::is_error))
    };
    paths.iter().map(verdict).collect()
}

/// What the other validator says, and where it sees something.
fn theirs(paths: &[String], dialect: Dialect) -> (BTreeMap<String, bool>, String) {
    let mut command = Command::new(check_jsonschema());
    command.args(["--output-format", "json", "--schemafile"]).arg(committed(dialect)).args(paths);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(answer["parse_errors"], Value::Array(Vec::new()), "every sample is YAML to it too");
    let wrong: Vec<&str> = answer["errors"].as_array().unwrap().iter().filter_map(|error| error["filename"].as_str()).collect();
    (paths.iter().map(|path| (path.clone(), !wrong.contains(&path.as_str()))).collect(), text.clone())
}

#[test]
fn an_independent_validator_agrees_on_every_sample_in_both_drafts() {
    let folders = ["tests/bad", "tests/good", "examples/pipelines", "pipelines"];
    let paths: Vec<String> = folders.into_iter().flat_map(pipelines_in).collect();
    let ours = ours(&paths);
    assert!(ours.values().any(|good| *good) && ours.values().filter(|good| !**good).count() >= 5, "samples of both kinds: {ours:?}");
    for dialect in [Dialect::Draft2020, Dialect::Draft07] {
        let (theirs, details) = theirs(&paths, dialect);
        let split: Vec<_> = ours.iter().filter(|(path, good)| theirs[*path] != **good).collect();
        assert!(split.is_empty(), "{}: we say {split:?}, it says otherwise\n{details}", dialect.file_name());
    }
}

#[test]
fn an_independent_validator_takes_the_schemas_themselves() {
    for dialect in [Dialect::Draft2020, Dialect::Draft07] {
        let output = Command::new(check_jsonschema()).arg("--check-metaschema").arg(committed(dialect)).output().unwrap();
        assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
}
