//! The arguments, with help that shows how each command is used.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::{document, pipeline};

/// Declarative PostgreSQL backups: reviewed as a plan, run in one pass, proven by a restore.
#[derive(Debug, Parser)]
#[command(
    name = "runner",
    version,
    about,
    after_help = "Examples:
  runner validate               what is wrong with pipelines/*.yaml
  runner plan orders            what a run of pipelines/orders.yaml would do
  runner apply orders           run it

Exit codes:
   0  done, or nothing to do        64  wrong use of the program
   1  anything else                 65  a pipeline is invalid
   2  plan has changes, and         66  no such file
      --detailed-exitcode asked     69  a server, tool or store is not there
  10  a step failed                 70  a defect of runner
  11  a verification failed         75  it may work later
  12  only warnings                 77  a secret or a permission is missing
  13  the plan is stale        130/143  stopped by SIGINT or SIGTERM"
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
        after_help = "Examples:\n  runner validate                     every *.yaml in pipelines/\n  runner validate orders              pipelines/orders.yaml\n  runner validate a/ b/c.yaml         folders and files\n  runner validate --format github     annotations in a pull request"
    )]
    Validate(ValidateArgs),
    /// Show what apply would do, and why
    #[command(
        after_help = "Examples:\n  runner plan orders                        pipelines/orders.yaml\n  runner plan --offline --format markdown   all of pipelines/, for reviewers\n  runner plan orders -o orders.plan.json    to apply exactly this later\n  runner plan orders --detailed-exitcode    2 if there is something to do"
    )]
    Plan(PlanArgs),
    /// Run pipelines, or a plan made by `plan -o`
    #[command(
        after_help = "Examples:\n  runner apply orders                pipelines/orders.yaml\n  runner apply orders.plan.json      exactly the plan that was reviewed\n  runner apply orders --format json --events events.ndjson\n\nA plan file is stale (13) when its pipeline, servers or secrets have changed."
    )]
    Apply(ApplyArgs),
    /// List restore points: when, how large, how good, where
    #[command(
        after_help = "Examples:\n  runner list orders-nightly\n  runner list                            every pipeline in pipelines/\n  runner list orders-nightly --most 100 --format json"
    )]
    List(ListArgs),
    /// Try what pipelines need, and tell what is ready and what to mend
    #[command(
        after_help = "Examples:\n  runner doctor                    every pipeline in pipelines/\n  runner doctor orders             pipelines/orders.yaml\n  runner doctor --format json\n\nConnects to servers, and writes, reads back and deletes a small object in each\nstore. Warnings do not fail; what would make a run fail does."
    )]
    Doctor(DoctorArgs),
    /// Print a pipeline's graph for Graphviz or Mermaid
    #[command(after_help = "Examples:\n  runner graph orders | dot -Tsvg > orders.svg\n  runner graph orders --format mermaid")]
    Graph(GraphArgs),
    /// Print the JSON Schema of pipeline files, for editors
    #[command(
        after_help = "Examples:\n  runner schema > schemas/pipeline.schema.json\n  runner schema --draft 07 > schemas/pipeline.draft-07.schema.json"
    )]
    Schema(SchemaArgs),
    /// Print completions for a shell
    #[command(
        after_help = "Examples:\n  runner completions bash > /etc/bash_completion.d/runner\n  runner completions zsh > \"${fpath[1]}/_runner\"\n  runner completions fish > ~/.config/fish/completions/runner.fish"
    )]
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

/// Reads one of the forms that a command has.
fn one_of(forms: &'static [Format]) -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(forms.iter().filter_map(ValueEnum::to_possible_value)).try_map(|word| Format::from_str(&word, true))
}

/// `validate`
#[derive(Debug, ClapArgs)]
pub(super) struct ValidateArgs {
    /// Files, folders (the *.yaml and *.yml in them, not below), or names of pipelines in pipelines/; all of it unless given
    #[arg(value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// The form of the answer
    #[arg(long, value_parser = one_of(&[Format::Human, Format::Json, Format::Github]), default_value = "human")]
    pub(super) format: Format,
}

/// `plan`
#[derive(Debug, ClapArgs)]
pub(super) struct PlanArgs {
    /// Files, folders, or names of pipelines in pipelines/; all of it unless given
    #[arg(value_name = "PIPELINE")]
    pub(super) paths: Vec<PathBuf>,
    /// Look at nothing but the files: no network, no secrets, no clock
    #[arg(long, conflicts_with = "probe")]
    pub(super) offline: bool,
    /// Also write, read back and delete a small object in each store
    #[arg(long)]
    pub(super) probe: bool,
    /// The form of the answer
    #[arg(long, value_parser = one_of(&[Format::Human, Format::Json, Format::Markdown]), default_value = "human")]
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
    #[arg(long, value_parser = one_of(&[Format::Human, Format::Json]), default_value = "human")]
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

/// `list`
#[derive(Debug, ClapArgs)]
pub(super) struct ListArgs {
    /// Files, folders, or names of pipelines in pipelines/; all of it unless given
    #[arg(value_name = "PIPELINE")]
    pub(super) paths: Vec<PathBuf>,
    /// How many restore points of each pipeline are read and shown, newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) most: u16,
    /// The form of the answer
    #[arg(long, value_parser = one_of(&[Format::Human, Format::Json]), default_value = "human")]
    pub(super) format: Format,
}

/// `doctor`
#[derive(Debug, ClapArgs)]
pub(super) struct DoctorArgs {
    /// Files, folders, or names of pipelines in pipelines/; all of it unless given
    #[arg(value_name = "PIPELINE")]
    pub(super) paths: Vec<PathBuf>,
    /// The form of the answer
    #[arg(long, value_parser = one_of(&[Format::Human, Format::Json]), default_value = "human")]
    pub(super) format: Format,
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

/// The table of codes, for a terminal of 80 columns.
fn codes() -> String {
    let rows = document::CODES.iter().chain(pipeline::CODES);
    let width = rows.clone().map(|(code, _)| code.len()).max().unwrap_or(0) + 4;
    let row = |(code, meaning): &(&str, &str)| {
        let mut lines = vec![format!("  {code:<0$}", width - 2)];
        for word in meaning.split(' ') {
            match lines.last_mut() {
                Some(line) if line.len() + 1 + word.len() <= 78 => *line = format!("{line} {word}"),
                _ => lines.push(format!("{:width$} {word}", "")),
            }
        }
        lines.join("\n")
    };
    rows.map(row).collect::<Vec<_>>().join("\n")
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
            Self::List(args) => args.format,
            Self::Doctor(args) => args.format,
            Self::Graph(_) | Self::Schema(_) | Self::Completions { .. } => Format::Human,
        }
    }
}
