//! The arguments, with help that shows how each command is used.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::{document, pipeline};

/// Declarative PostgreSQL backups: reviewed as a plan, run in one pass, proven by a restore.
#[derive(Debug, Parser)]
#[command(
    name = "runner",
    version,
    about,
    after_help = "Exit codes: 0 done · 2 plan has changes (--detailed-exitcode) · 10 a step failed · 11 verification failed · 12 only warnings · 13 plan is stale · 64 usage · 65 invalid pipeline · 66 no such file · 69 unreachable · 70 defect · 75 retry later · 77 secret or permission missing · 130/143 stopped"
)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check pipelines and show everything that is wrong with them
    #[command(
        after_help = "Examples:\n  runner validate                        every *.yaml in pipelines/\n  runner validate pipelines/orders.yaml\n  runner validate --format github        annotations in a pull request"
    )]
    Validate(ValidateArgs),
    /// Show what apply would do, and why
    #[command(
        after_help = "Examples:\n  runner plan pipelines/orders.yaml\n  runner plan --offline --format markdown   for a pull request; touches nothing, needs no secret\n  runner plan orders -o orders.plan.json    to apply exactly this later\n  runner plan --probe orders                also writes, reads and deletes a small object in each store"
    )]
    Plan(PlanArgs),
    /// Run pipelines, or a plan made by `plan -o`
    #[command(
        after_help = "Examples:\n  runner apply pipelines/orders.yaml\n  runner apply orders.plan.json          exactly the plan that was reviewed; 13 if the world has changed\n  runner apply orders --format json --events events.ndjson"
    )]
    Apply(ApplyArgs),
    /// Print a pipeline's graph for Graphviz or Mermaid
    #[command(after_help = "Examples:\n  runner graph orders | dot -Tsvg > orders.svg\n  runner graph orders --format mermaid")]
    Graph(GraphArgs),
    /// Print the JSON Schema of pipeline files, for editors
    #[command(after_help = "Examples:\n  runner schema > schemas/pipeline.schema.json\n  runner schema --draft 07")]
    Schema(SchemaArgs),
    /// Print completions for a shell
    #[command(after_help = "Example:\n  runner completions bash > /etc/bash_completion.d/runner")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// The forms of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Human,
    /// One JSON document
    Json,
    /// For a pull request or a CI job summary
    Markdown,
    /// GitHub's annotations
    Github,
}

/// `validate`
#[derive(Debug, ClapArgs)]
pub(super) struct ValidateArgs {
    /// Files, folders (all *.yaml and *.yml in them), or names of pipelines in pipelines/
    #[arg(value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "human")]
    pub(super) format: Format,
}

/// `plan`
#[derive(Debug, ClapArgs)]
pub(super) struct PlanArgs {
    /// Files, folders, or names of pipelines in pipelines/
    #[arg(value_name = "PIPELINE")]
    pub(super) paths: Vec<PathBuf>,
    /// Look at nothing but the files: no network, no secrets, no clock
    #[arg(long, conflicts_with = "probe")]
    pub(super) offline: bool,
    /// Also write, read back and delete a small object in each store
    #[arg(long)]
    pub(super) probe: bool,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "human")]
    pub(super) format: Format,
    /// Exit with 2 when there is something to do
    #[arg(long)]
    pub(super) detailed_exitcode: bool,
    /// Write the plan of one pipeline to a file that `apply` takes
    #[arg(short, long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

/// `apply`
#[derive(Debug, ClapArgs)]
pub(super) struct ApplyArgs {
    /// Files or names of pipelines, or one plan file
    #[arg(value_name = "PIPELINE", required = true)]
    pub(super) paths: Vec<PathBuf>,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "human")]
    pub(super) format: Format,
    /// Also write every event to a file, one JSON document a line
    #[arg(long, value_name = "FILE")]
    pub(super) events: Option<PathBuf>,
    /// Nodes that may run at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) parallel: u16,
    /// Where journals are kept
    #[arg(long, value_name = "FOLDER", env = "RUNNER_STATE_DIR")]
    pub(super) state_dir: Option<PathBuf>,
}

/// `graph`
#[derive(Debug, ClapArgs)]
pub(super) struct GraphArgs {
    /// A file, or the name of a pipeline in pipelines/
    #[arg(value_name = "PIPELINE")]
    pub(super) path: PathBuf,
    /// The language of the graph
    #[arg(long, value_enum, default_value = "dot")]
    pub(super) format: GraphFormat,
}

/// The languages of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum GraphFormat {
    /// Graphviz
    Dot,
    /// Mermaid, which GitHub draws
    Mermaid,
}

/// `schema`
#[derive(Debug, ClapArgs)]
pub(super) struct SchemaArgs {
    /// The draft of JSON Schema
    #[arg(long, value_enum, default_value = "2020-12")]
    pub(super) draft: Draft,
}

/// The drafts of JSON Schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Draft {
    /// The current one
    #[value(name = "2020-12")]
    Draft2020,
    /// For older editors
    #[value(name = "07")]
    Draft07,
}

/// The program's arguments, with the tables of codes in the help of `validate`.
pub(super) fn command() -> clap::Command {
    Args::command().mut_subcommand("validate", |validate| {
        let examples = validate.get_after_help().map(ToString::to_string).unwrap_or_default();
        validate.after_long_help(format!("{examples}\n\nThe codes of problems:\n{}", codes()))
    })
}

fn codes() -> String {
    let rows = document::CODES.iter().chain(pipeline::CODES);
    let width = rows.clone().map(|(code, _)| code.len()).max().unwrap_or(0);
    rows.map(|(code, meaning)| format!("  {code:<width$}  {meaning}")).collect::<Vec<_>>().join("\n")
}

/// Whether arguments that could not be read ask for JSON: then the complaint is JSON too.
pub(super) fn asks_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let words: Vec<OsString> = arguments.collect();
    words.iter().any(|word| word == "--format=json") || words.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
}

impl Command {
    /// The form of the command's answer.
    pub(super) const fn format(&self) -> Format {
        match self {
            Self::Validate(args) => args.format,
            Self::Plan(args) => args.format,
            Self::Apply(args) => args.format,
            Self::Graph(_) | Self::Schema(_) | Self::Completions { .. } => Format::Human,
        }
    }
}
