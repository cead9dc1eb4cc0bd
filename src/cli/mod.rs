//! The command line: arguments become calls, answers become text and exit codes.
//!
//! stdout is the answer, stderr is the talk; with `--format json` stdout is always one JSON document, errors included. No logic
//! worth a unit test lives here.

mod apply;
mod args;
mod exit;
mod files;
mod graph;
mod output;
mod plan;
mod progress;
mod schema;
mod validate;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Args, Command};
pub use exit::Exit;
use output::Output;

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let output = Output::new(args.command.format());
    let exit = match args.command {
        Command::Validate(args) => validate::run(&args, &output),
        Command::Plan(args) => plan::run(&args, &output),
        Command::Apply(args) => apply::run(&args, &output),
        Command::Graph(args) => graph::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "runner", &mut std::io::stdout());
            Ok(Exit::Done)
        }
    };
    exit.unwrap_or_else(|problem| output.problem(&problem)).into()
}

/// Help and version are answers; anything else clap says is a wrong use of the program.
fn usage(error: &clap::Error) -> ExitCode {
    // When even the message can not be written there is nobody to tell.
    let _unheard = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
}
