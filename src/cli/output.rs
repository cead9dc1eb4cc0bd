//! The only place that writes to stdout and stderr.

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use super::args::Format;
use super::exit::Exit;
use super::signals;
use crate::diagnostic::Diagnostic;
use crate::render::diagnostics;
use crate::render::style::{BAD, Paint};

/// What a pipe that has room takes without blocking (`PIPE_BUF`).
const PIECE: usize = 4096;

/// How long room is waited for before somebody asks whether it still matters.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// What keeps a command from doing its work, with the code it ends with.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) exit: Exit,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// What is wrong with the pipelines, if that is the problem; people were shown it already.
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl Problem {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), help: None, diagnostics: Vec::new() }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn because(mut self, diagnostics: Vec<Diagnostic>) -> Self {
        self.diagnostics = diagnostics;
        self
    }
}

/// Where answers and talk go.
pub(super) struct Output {
    format: Format,
}

impl Output {
    pub(super) const fn new(format: Format) -> Self {
        Self { format }
    }

    /// Colour on stdout, as the terminal and `NO_COLOR` say.
    pub(super) fn paint(&self) -> Paint {
        Paint(self.format == Format::Human && colour(&std::io::stdout()))
    }

    /// Colour on stderr.
    pub(super) fn talk_paint() -> Paint {
        Paint(colour(&std::io::stderr()))
    }

    /// Diagnostics for whoever reads stdout.
    pub(super) fn diagnostics(&self, found: &[Diagnostic]) -> String {
        shown(found, self.paint(), &std::io::stdout())
    }

    /// Tells of diagnostics on stderr.
    pub(super) fn talk_diagnostics(found: &[Diagnostic]) {
        Self::talk(&shown(found, Self::talk_paint(), &std::io::stderr()));
    }

    /// Whether stderr is a terminal somebody looks at.
    pub(super) fn watched() -> bool {
        std::io::stderr().is_terminal()
    }

    /// The answer, as text.
    pub(super) fn answer(text: &str) -> Result<(), Problem> {
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // A reader that has seen enough (`| head`) is no error.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Problem::new(Exit::Other, format!("writing to stdout: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// The answer, as one JSON document.
    pub(super) fn json(value: &Value) -> Result<(), Problem> {
        Self::answer(&format!("{value:#}\n"))
    }

    /// The talk.
    pub(super) fn talk(text: &str) {
        // When stderr is gone, there is nobody to tell.
        let _unheard = patiently(&std::io::stderr(), format!("{}\n", text.trim_end_matches('\n')).as_bytes());
    }

    /// A question; the answer is expected on the same line.
    pub(super) fn ask(text: &str) {
        let mut err = std::io::stderr().lock();
        let _unheard = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// Tells of a problem, in the form asked for, and answers its exit code.
    pub(super) fn problem(&self, problem: &Problem) -> Exit {
        if self.format == Format::Json {
            let mut body = json!({ "error": { "code": problem.exit.code(), "message": problem.message, "help": problem.help } });
            if !problem.diagnostics.is_empty() {
                body["error"]["diagnostics"] = diagnostics::json(&problem.diagnostics);
            }
            let _unheard = Self::json(&body);
        }
        Self::told(problem);
        problem.exit
    }

    /// Tells a person of a problem.
    pub(super) fn told(problem: &Problem) {
        let help = problem.help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default();
        Self::talk(&format!("{}: {}{help}", Self::talk_paint().on(BAD, "error"), problem.message));
    }
}

/// Writes in pieces, each once there is room for it: a reader who has stopped reading holds up the talk, but nobody who was told to stop.
fn patiently(stderr: &std::io::Stderr, text: &[u8]) -> std::io::Result<()> {
    let mut locked = stderr.lock();
    for piece in text.chunks(PIECE) {
        while !has_room(&locked) {
            if signals::asked().is_some() {
                return Ok(());
            }
        }
        locked.write_all(piece)?;
    }
    Ok(())
}

/// Whether a piece can be written at once, after a short wait.
fn has_room(to: &impl AsFd) -> bool {
    let mut asked = [PollFd::new(to, PollFlags::OUT)];
    // Where it can not be asked, writing tells.
    !matches!(poll(&mut asked, Some(&LOOK)), Ok(0))
}

fn shown(found: &[Diagnostic], paint: Paint, stream: &impl AsFd) -> String {
    let size = rustix::termios::tcgetwinsize(stream).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns >= 40);
    size.map_or_else(|| diagnostics::human(found, paint.0), |columns| diagnostics::human_within(found, paint.0, columns))
}

fn colour(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let able = || stream.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    // https://no-color.org: who sets it wants none, whatever else asks for it.
    !set("NO_COLOR") && (set("CLICOLOR_FORCE") || able())
}
