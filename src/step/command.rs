//! `command`: runs a program, such as the one that stops a service before a restore and starts it after.
//!
//! The program and its arguments are a list and never pass a shell. Secrets reach it through its environment only, and
//! what it says is told without them. This file does not judge what a program is good for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::web::{LITERAL_SECRET, TextOrSecret, blackened, looks_secret};
use super::{Cx, PerformEffect, Problem, References, StepError, StepKind, Trouble};
use crate::diagnostic::Class;
use crate::secret::{Secret, Secrets};
use crate::stream::StreamError;
use crate::stream::child::{Program, transient};
use crate::words::cut;

/// How much of a command line a plan shows, in characters.
const SHOWN: usize = 80;

/// How much of what it wrote to standard output is noted: the last lines, and no more characters than that.
const NOTED_LINES: usize = 8;
const NOTED: usize = 1000;

/// Runs a program without a shell; any exit status but 0 is a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program (a path, or a name that is looked up in `PATH`) and its arguments, each as it is: nothing is split or expanded.
    #[schemars(length(min = 1))]
    pub argv: Vec<String>,
    /// Variables on top of the environment of `runner`; none unless given. A secret can be handed over only here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, TextOrSecret>,
    /// The folder to start in; the one `runner` was started in unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
}

impl StepKind for Command {
    fn references(&self) -> References<'_> {
        References { secrets: self.env.values().filter_map(TextOrSecret::secret).collect(), ..References::default() }
    }

    fn words(&self) -> String {
        cut(&self.line(), SHOWN)
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let program = self.argv.first().map(String::as_str).unwrap_or_default();
        if program.is_empty() {
            problems.push(Problem::error("bad-command", "/argv", "there is no program to run").help("write `argv: [program, argument]`"));
        }
        if self.argv.len() == 1 && program.contains(' ') && !program.contains('/') {
            let words: Vec<&str> = program.split(' ').collect();
            let problem = Problem::error("bad-command", "/argv/0", "this is a command line, and no shell is there to split it");
            problems.push(problem.help(format!("write `argv: [{}]`", words.join(", "))));
        }
        for index in (0..self.argv.len()).filter(|index| self.argv[*index].contains('\0')) {
            problems.push(Problem::error("bad-command", format!("/argv/{index}"), "no argument can hold a NUL character"));
        }
        for (name, value) in &self.env {
            problems.extend(variable_problem(name, value));
        }
        problems
    }

    fn troubles(&self) -> Vec<Trouble> {
        let program = self.argv.first().map(String::as_str).unwrap_or_default();
        let own_path = self.env.contains_key("PATH");
        if own_path || program.contains('/') || is_in_path(program) {
            return Vec::new();
        }
        let message = format!("there is no program `{program}` in PATH");
        vec![Trouble { class: Class::Unreachable, message, help: Some("install it on this host, or give its path".to_owned()) }]
    }

    /// Nobody but its author knows what it does a second time.
    fn repeatable(&self) -> bool {
        false
    }
}

fn is_in_path(program: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else { return false };
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn variable_problem(name: &str, value: &TextOrSecret) -> Option<Problem> {
    let pointer = format!("/env/{}", name.replace('~', "~0").replace('/', "~1"));
    if name.is_empty() || name.contains(['=', '\0']) {
        return Some(Problem::error("bad-command", pointer, format!("`{}` is not the name of a variable", name.escape_default())));
    }
    let TextOrSecret::Text(text) = value else { return None };
    if text.contains('\0') {
        return Some(Problem::error("bad-command", pointer, format!("`{name}` holds a NUL character, which no variable can")));
    }
    // PGPASSFILE and TOKEN_PATH say where a secret is; that is none.
    let upper = name.to_uppercase();
    let names_a_place = ["FILE", "PATH", "DIR"].iter().any(|ending| upper.ends_with(ending));
    let literal = looks_secret(name) && !names_a_place && !text.is_empty();
    literal.then(|| Problem::error("literal-secret", pointer, format!("`{name}` {LITERAL_SECRET}")))
}

impl Command {
    /// The command line as somebody would type it, for reading only.
    fn line(&self) -> String {
        let plain =
            |word: &str| !word.is_empty() && word.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"'\"\\$`|&;<>".contains(c));
        let shown = |word: &String| if plain(word) { word.clone() } else { format!("'{}'", word.escape_debug()) };
        self.argv.iter().map(shown).collect::<Vec<_>>().join(" ")
    }

    /// The program with the environment that its author expects: all of ours but the secrets that the pipeline takes from it. One that it
    /// needs, `env` gives it.
    fn program(&self, values: &[(String, Secret)], secrets: &Secrets) -> Program {
        let program = Program::new(self.argv.first().map(String::as_str).unwrap_or_default()).whole_environment();
        let program = secrets.variables().fold(program, Program::env_remove);
        let program = program.args(self.argv.iter().skip(1)).transience(transient::NEVER);
        let program = values.iter().fold(program, |program, (name, value)| program.env(name, value.expose()));
        self.cwd.iter().fold(program, Program::cwd)
    }

    /// What went wrong, in words that hold no secret.
    fn failed(&self, error: StreamError, hidden: &[&str]) -> StepError {
        match error {
            StreamError::Child { status, stderr, .. } => {
                let said = if stderr.is_empty() { String::new() } else { format!(": {}", blackened(&stderr, hidden)) };
                StepError::new(Class::Failed, format!("`{}` {status}{said}", self.words()))
            }
            other => other.into(),
        }
    }
}

impl PerformEffect for Command {
    fn perform(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let mut values = Vec::with_capacity(self.env.len());
        for (name, text) in &self.env {
            values.push((name.clone(), text.open(|reference| cx.runtime.secrets().open(reference))?));
        }
        let secret = |name: &String| self.env.get(name).is_some_and(|text| text.secret().is_some());
        let hidden: Vec<&str> = values.iter().filter(|(name, _)| secret(name)).map(|(_, value)| value.expose()).collect();
        let output = self.program(&values, cx.runtime.secrets()).act(cx.cancel).map_err(|error| self.failed(error, &hidden))?;
        let last = last_lines(&blackened(output.stdout.trim_end(), &hidden));
        cx.reports.note_all((!last.is_empty()).then(|| format!("it wrote: {last}")));
        Ok(())
    }
}

/// The last lines of a text, and of them the last characters.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(NOTED_LINES)..].join("\n");
    let surplus = last.chars().count().saturating_sub(NOTED);
    if surplus == 0 { last } else { format!("…{}", last.chars().skip(surplus).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(argv: &[&str]) -> Command {
        Command { argv: argv.iter().map(|word| (*word).to_owned()).collect(), env: BTreeMap::new(), cwd: None }
    }

    #[test]
    fn a_command_reads_as_it_would_be_typed() {
        assert_eq!(command(&["systemctl", "stop", "주문"]).words(), "systemctl stop 주문");
        assert_eq!(command(&["echo", "", "a b", "x\ny"]).words(), r"echo '' 'a b' 'x\ny'");
        assert_eq!(command(&["x", &"가".repeat(100)]).words().chars().count(), SHOWN + 1);
    }

    #[test]
    fn only_the_end_of_what_it_wrote_is_noted() {
        let many: Vec<String> = (0..20).map(|n| format!("줄 {n}")).collect();
        assert_eq!(last_lines(&many.join("\n")), many[12..].join("\n"));
        assert_eq!(last_lines(&"가".repeat(2000)).chars().count(), NOTED + 1);
        assert_eq!(last_lines(""), "");
    }

    #[test]
    fn variables_that_are_secrets_by_name_are_references() {
        let problem = |name: &str| variable_problem(name, &TextOrSecret::Text("x".to_owned())).map(|problem| problem.code);
        assert_eq!(problem("API_TOKEN"), Some("literal-secret"));
        assert_eq!([problem("TOKEN_FILE"), problem("PGHOST")], [None, None]);
        assert_eq!([problem("A=B"), problem("")], [Some("bad-command"), Some("bad-command")]);
    }
}
