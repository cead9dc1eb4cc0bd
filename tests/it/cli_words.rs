//! What the program says about itself and about wrong use: help, completions, colour, closed pipes.

#![expect(clippy::unwrap_used, reason = "a test that can not run the program fails")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::cli_run::{command, run};

const COMMANDS: [&str; 22] = [
    "validate",
    "plan",
    "apply",
    "restore",
    "verify",
    "list",
    "show",
    "status",
    "diff",
    "retention",
    "runs",
    "logs",
    "log",
    "doctor",
    "prune",
    "undelete",
    "pin",
    "unpin",
    "catalog",
    "graph",
    "schema",
    "completions",
];

#[test]
fn every_command_explains_itself_with_examples_that_fit_a_terminal() {
    for name in COMMANDS {
        for flag in ["--help", "-h"] {
            let ran = run(&[name, flag]);
            assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{name}");
            assert!(ran.out.contains("Example") && ran.out.contains(&format!("  runner {name}")), "{name} {flag}\n{}", ran.out);
            let examples = ran.out.split("Examples:").nth(1).unwrap();
            let long = examples.lines().find(|line| line.chars().count() > 80);
            assert!(long.is_none(), "{name} {flag}: longer than 80 columns: {long:?}");
        }
    }
    let ran = run(&["--help"]);
    assert!(ran.code == 0 && ran.out.contains("Exit codes") && ran.out.contains("Examples"), "{}", ran.out);
    assert!(COMMANDS.iter().all(|name| ran.out.contains(&format!("\n  {name} "))), "{}", ran.out);
}

#[test]
fn completions_name_every_command_and_bash_can_read_its_own() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completions", shell]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(COMMANDS.iter().all(|name| ran.out.contains(name)), "{shell}");
        assert!(ran.out.contains("offline"), "{shell} completes options");
    }
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(run(&["completions", "bash"]).out.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_panic() {
    let calls: [&[&str]; 7] = [
        &["validate", "tests/bad"],
        &["validate", "tests/bad", "--format", "json"],
        &["plan", "--offline", "examples/pipelines", "--format", "json"],
        &["graph", "quickstart"],
        &["schema"],
        &["completions", "zsh"],
        &["validate", "--help"],
    ];
    for arguments in calls {
        let mut child = command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!first.is_empty() && !said.contains("panicked") && said.is_empty(), "{arguments:?}: {said}");
        let expected = if arguments.contains(&"tests/bad") { 65 } else { 0 };
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}");
    }
}

#[test]
fn an_answer_that_can_not_be_written_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(&["plan", "--offline", "quickstart"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("writing to stdout"));
}

/// What the program writes to a terminal: util-linux's `script` lends it one.
fn in_terminal(line: &str, variables: &[(&str, &str)]) -> String {
    let program = format!("{} {line}", env!("CARGO_BIN_EXE_runner"));
    let mut script = Command::new("script");
    script.args(["-qec", &program, "/dev/null"]).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    script.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env("TERM", "xterm").envs(variables.iter().copied());
    let output = script.output().unwrap_or_else(|error| panic!("running script (install bsdutils): {error}"));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn colour_is_for_terminals_whose_owner_did_not_refuse_it() {
    for line in ["validate tests/bad/cycles.yaml", "plan --offline quickstart", "plan --offline nothing-there"] {
        assert!(in_terminal(line, &[]).contains('\u{1b}'), "{line} has colour in a terminal");
        for refusal in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let plain = in_terminal(line, &[refusal]);
            assert!(!plain.is_empty() && !plain.contains('\u{1b}'), "{line} with {refusal:?}: {plain:?}");
        }
        let both = in_terminal(line, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]);
        assert!(!both.contains('\u{1b}'), "a refusal wins");
    }
    let piped = run(&["validate", "tests/bad/cycles.yaml"]);
    assert!(!piped.out.contains('\u{1b}') && !piped.err.contains('\u{1b}'));
}
