//! The command line: arguments become calls, answers become text and exit codes.
//!
//! stdout is the answer, stderr is the talk; with `--format json` stdout is always one JSON document, errors included. No logic
//! worth a unit test lives here.

mod apply;
mod args;
mod catalog;
mod diff;
mod doctor;
mod exit;
mod files;
mod graph;
mod lease;
mod list;
mod log;
mod mark;
mod output;
mod plan;
mod point;
mod progress;
mod prune;
mod report;
mod restore;
mod resume;
mod retention;
mod run;
mod runs;
mod schema;
mod show;
mod signals;
mod status;
mod validate;
mod verify;

use std::process::ExitCode;

use clap::FromArgMatches;

use args::{Args, Command};
pub use exit::Exit;
use output::Output;

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let args = match args::command().try_get_matches().and_then(|matches| Args::from_arg_matches(&matches)) {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let output = Output::new(args.command.format());
    let exit = match args.command {
        Command::Validate(args) => validate::run(&args, &output),
        Command::Plan(args) => plan::run(&args, &output),
        Command::Apply(args) => apply::run(&args, &output),
        Command::Restore(args) => restore::run(&args, &output),
        Command::Verify(args) => verify::run(&args, &output),
        Command::List(args) => list::run(&args, &output),
        Command::Status(args) => status::run(&args, &output),
        Command::Show(args) => show::run(&args, &output),
        Command::Diff(args) => diff::run(&args, &output),
        Command::Retention(args) => retention::run(&args, &output),
        Command::Resume(args) => resume::run(&args, &output),
        Command::Report(args) => report::run(&args),
        Command::Runs(args) => runs::run(&args, &output),
        Command::Logs(args) => runs::logs(&args, &output),
        Command::Log(args) => log::run(&args),
        Command::Doctor(args) => doctor::run(&args, &output),
        Command::Prune(args) => prune::run(&args, &output),
        Command::Undelete(args) => mark::undelete(&args, &output),
        Command::Pin(args) => mark::pin(&args, &output),
        Command::Unpin(args) => mark::unpin(&args, &output),
        Command::Catalog(args) => catalog::run(&args, &output),
        Command::Graph(args) => graph::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions { shell } => completions(shell),
    };
    exit.unwrap_or_else(|problem| output.problem(&problem)).into()
}

/// Written in one piece: a reader that goes away early is no error.
fn completions(shell: clap_complete::Shell) -> Result<Exit, output::Problem> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "runner", &mut text);
    Output::answer(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}

/// Help and version are answers; anything else clap says is a wrong use of the program.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // When even the message can not be written there is nobody to tell.
        let _unheard = error.print();
        return Exit::Done.into();
    }
    if args::asks_for_json(std::env::args_os()) {
        let text = error.to_string();
        let (message, help) = text.trim().split_once("\n\n").unwrap_or((text.trim(), "runner --help"));
        let message = message.trim_start_matches("error: ");
        Output::new(args::Format::Json).problem(&output::Problem::new(Exit::Usage, message).help(help.replace("\n\n", "\n").trim()));
    } else {
        let _unheard = error.print();
    }
    Exit::Usage.into()
}
