//! `runner validate` on the samples: every planted problem at its place, nothing about the good ones, no secret anywhere.

#![expect(clippy::unwrap_used, reason = "a test that can not read its samples fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use runner::diagnostic::Diagnostic;
use runner::document::Schema;
use runner::pipeline::schema::{Dialect, schema};
use runner::{document, pipeline};
use serde_json::Value;

use crate::cli_run::{pipelines_in, run};

/// Codes that no sample of a few lines can show.
const WITHOUT_SAMPLE: [(&str, &str); 3] = [
    ("too-large", "takes a file of megabytes; document_parse makes one"),
    ("not-allowed", "is for schema rules that our own schema does not use; document_check has one"),
    ("invalid-value", "is for values that pass the schema and not their type: a defect of the schema"),
];

fn root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn announced(path: &str) -> BTreeSet<String> {
    let bytes = std::fs::read(root(path)).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let announced: BTreeSet<String> =
        text.lines().filter_map(|line| line.strip_prefix("# expect: ")).map(|line| line.trim_end().to_owned()).collect();
    assert!(!announced.is_empty(), "{path} announces nothing");
    announced.into_iter().filter(|line| line != "nothing").collect()
}

fn found(answer: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for problem in answer["diagnostics"].as_array().unwrap() {
        let place = format!("{}:{} {}", problem["line"], problem["column"], problem["code"].as_str().unwrap());
        found.entry(problem["file"].as_str().unwrap().to_owned()).or_default().insert(place);
    }
    found
}

#[test]
fn every_planted_problem_is_told_at_its_line_and_column_and_nothing_else_is() {
    let ran = run(&["validate", "tests/bad", "--format", "json"]);
    assert_eq!(ran.code, 65, "{}", ran.err);
    let mut found = found(&ran.json());
    let mut wrong = Vec::new();
    for path in pipelines_in("tests/bad") {
        let (expected, actual) = (announced(&path), found.remove(&path).unwrap_or_default());
        if expected != actual {
            let missing: Vec<_> = expected.difference(&actual).collect();
            let extra: Vec<_> = actual.difference(&expected).collect();
            wrong.push(format!("{path}\n  announced, not told: {missing:?}\n  told, not announced: {extra:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(found.is_empty(), "problems in other files: {found:?}");
}

#[test]
fn planted_problems_of_syntax_are_told_at_their_line_and_column_too() {
    let ran = run(&["validate", "tests/bad", "tests/bad/syntax", "--format", "json"]);
    assert_eq!(ran.code, 65, "{}", ran.err);
    let found = found(&ran.json());
    for path in pipelines_in("tests/bad/syntax") {
        let (expected, actual) = (announced(&path), found.get(&path).cloned().unwrap_or_default());
        // These are no whole pipelines: what they lack beside is told as well.
        assert!(expected.is_subset(&actual), "{path}: {:?} are missing", expected.difference(&actual).collect::<Vec<_>>());
    }
}

#[test]
fn each_bad_sample_is_invalid_by_itself_unless_it_is_one_of_twins() {
    let schema = Schema::compile(schema(Dialect::Draft2020)).unwrap();
    for path in pipelines_in("tests/bad") {
        let source = document::read(&root(&path)).unwrap();
        let loaded = pipeline::load(&source, &schema, &|_| None);
        let invalid = loaded.diagnostics.iter().any(Diagnostic::is_error);
        assert_eq!(invalid, !path.contains("/name-"), "{path}");
        assert_eq!(loaded.pipeline.is_none(), invalid, "{path}: an invalid pipeline is never handed on");
    }
}

#[test]
fn good_samples_examples_and_committed_pipelines_give_not_even_a_warning() {
    for folder in ["tests/good", "examples/pipelines", "pipelines"] {
        let ran = run(&["validate", folder]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{folder}\n{}", ran.out);
        let count = pipelines_in(folder).len();
        assert!(ran.out.starts_with(&count.to_string()) && ran.out.contains("valid"), "{}", ran.out);
    }
}

#[test]
fn no_form_of_the_answer_repeats_a_literal_secret() {
    for path in ["tests/bad/literals.yaml", "tests/bad/literal-urls.yaml"] {
        let text = std::fs::read_to_string(root(path)).unwrap();
        let planted: Vec<&str> =
            ["hunter2", "20261120", "AGE-SECRET-KEY", "hooks.slack.com"].into_iter().filter(|word| text.contains(word)).collect();
        assert!(!planted.is_empty());
        for arguments in [
            ["validate", path, "--format", "human"].as_slice(),
            &["validate", path, "--format", "json"],
            &["validate", path, "--format", "github"],
            &["plan", path, "--offline", "--format", "json"],
            &["apply", path],
        ] {
            let ran = run(arguments);
            assert_eq!(ran.code, 65, "{}", ran.err);
            let said = ran.out + &ran.err;
            assert!(planted.iter().all(|word| !said.contains(word)), "{arguments:?} repeats one of {planted:?}\n{said}");
        }
    }
}

#[test]
fn every_code_of_the_tables_has_a_sample_and_every_sample_a_code_of_the_tables() {
    let tables = document::CODES.iter().chain(pipeline::CODES);
    let known: BTreeSet<String> = tables.map(|(code, _)| (*code).to_owned()).collect();
    assert_eq!(known.len(), document::CODES.len() + pipeline::CODES.len(), "a code stands in one table, once");
    let samples = pipelines_in("tests/bad").into_iter().chain(pipelines_in("tests/bad/syntax"));
    let shown: BTreeSet<String> =
        samples.flat_map(|path| announced(&path)).map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    let exempt: BTreeSet<String> = WITHOUT_SAMPLE.iter().map(|(code, _)| (*code).to_owned()).collect();
    let missing: Vec<_> = known.iter().filter(|code| !shown.contains(*code) && !exempt.contains(*code)).collect();
    assert!(missing.is_empty(), "these codes have no sample in tests/bad: {missing:?}");
    assert!(shown.is_subset(&known), "samples announce codes of no table: {:?}", shown.difference(&known));
    assert!(exempt.is_disjoint(&shown), "a code without a sample has one");
}

/// Texts in quotes in a source that look like codes: kebab case with at least one hyphen, given to what makes a problem.
fn raised(text: &str) -> BTreeSet<String> {
    let squeezed: String = text.split_whitespace().collect();
    let makers = [
        "Problem::error(\"",
        "Diagnostic::error(\"",
        "at(document,\"",
        "at(self.document,\"",
        "self.error(\"",
        "self.again(\"",
        "self.unresolved(\"",
    ];
    let after = makers.iter().flat_map(|maker| squeezed.match_indices(maker).map(|(at, _)| &squeezed[at + maker.len()..]));
    after.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

#[test]
fn every_code_that_pipelines_and_steps_raise_stands_in_a_table_and_every_row_is_raised() {
    let mut used = BTreeSet::new();
    let mut all = String::new();
    for folder in ["src/pipeline", "src/step", "src/step/notify", "src/step/restore"] {
        for entry in std::fs::read_dir(root(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && !path.ends_with("codes.rs") {
                let text = std::fs::read_to_string(path).unwrap();
                used.extend(raised(&text));
                all.push_str(&text);
            }
        }
    }
    let known: BTreeSet<&str> = document::CODES.iter().chain(pipeline::CODES).map(|(code, _)| *code).collect();
    let unknown: Vec<_> = used.iter().filter(|code| !known.contains(code.as_str())).collect();
    assert!(unknown.is_empty(), "raised, in no table: {unknown:?}");
    let idle: Vec<_> = pipeline::CODES.iter().filter(|(code, _)| !all.contains(&format!("\"{code}\""))).collect();
    assert!(idle.is_empty(), "in the table, never raised: {idle:?}");
}

#[test]
fn the_help_of_validate_lists_every_code_with_its_meaning() {
    let ran = run(&["validate", "--help"]);
    for (code, meaning) in document::CODES.iter().chain(pipeline::CODES) {
        assert!(ran.out.contains(&format!("{code} ")), "--help does not name {code}");
        let start = meaning.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        assert!(ran.out.contains(&start), "--help does not explain {code}");
    }
}
