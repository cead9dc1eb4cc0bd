//! Programs as parts of a chain: a source, a filter, a sink, a short run, a server.
//!
//! A program's end of output is only a claim; the end counts once it exited with 0. Each program leads a process group
//! of its own, so that stopping it stops its children as well, and dropping whatever stands for it leaves no process
//! behind. Arguments are arrays and never pass a shell. This module does not know any program by name.

mod feed;
mod inherited;
mod pipe;
mod process;
mod running;
mod stderr;
pub mod transient;

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(super) use pipe::Piped;
pub use running::Running;
pub use transient::Transience;

use self::process::Process;
use super::{CHUNK, Cancel, Stream, StreamError, bytes, fused};

/// How much standard output [`Program::run`] takes, in bytes; who expects more reads a [`Program::source`].
const RUN_LIMIT: usize = 64 * 1024 * 1024;

/// A program to be started: what, with which arguments and environment, as whom.
///
/// It has no `Debug`: its environment may hold secrets.
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    whole_environment: bool,
    cwd: Option<PathBuf>,
    run_as: Option<(u32, u32)>,
    name: String,
    stdin: Option<Vec<u8>>,
    transience: Transience,
}

/// What [`Program::sink`] tells about a program that took everything and exited with 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Bytes it was fed.
    pub bytes: u64,
    /// The end of what it wrote to standard error (at most 64 KiB).
    pub stderr: String,
}

/// What [`Program::run`] tells about a program that exited with 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// All it wrote to standard output.
    pub stdout: String,
    /// The end of what it wrote to standard error (at most 64 KiB).
    pub stderr: String,
}

impl Program {
    /// A program by path, or by a name that is looked up in `PATH`. Errors call it by its file name.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let (args, env, cwd, run_as, stdin) = (Vec::new(), Vec::new(), None, None, None);
        Self { path, args, env, whole_environment: false, cwd, run_as, name, stdin, transience: transient::POSTGRES }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Lets it inherit all of our environment, and not only what any program needs: for programs of the user's own.
    #[must_use]
    pub fn whole_environment(mut self) -> Self {
        self.whole_environment = true;
        self
    }

    /// Sets a variable on top of the inherited environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Keeps a variable of the inherited environment from the program.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// The folder to start in; otherwise the current one.
    #[must_use]
    pub fn cwd(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cwd = Some(folder.into());
        self
    }

    /// The user and group id to run as, without any supplementary groups; only root may ask for it.
    #[must_use]
    pub fn run_as(mut self, ids: Option<(u32, u32)>) -> Self {
        self.run_as = ids;
        self
    }

    /// What errors call it.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What [`Program::run`] and [`Program::source`] feed to standard input, which is otherwise empty.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Which words on standard error make its failure a transient one; [`transient::POSTGRES`] unless told otherwise.
    #[must_use]
    pub fn transience(mut self, table: Transience) -> Self {
        self.transience = table;
        self
    }

    /// Makes a program that writes through C's `stdout` write in large pieces, by coreutils' `stdbuf`, where both are there.
    ///
    /// Into a pipe the C library writes 4 KiB at a time; for a dump of a gigabyte that is 300,000 system calls and wake-ups, which
    /// cost more than reading it here does. It stays the same process with the same exit status.
    #[must_use]
    pub fn wide_output(mut self) -> Self {
        let stdbuf = std::env::var_os("PATH")
            .and_then(|path| std::env::split_paths(&path).map(|folder| folder.join("stdbuf")).find(|path| path.is_file()));
        if let Some(stdbuf) = stdbuf.filter(|_| self.path.is_file()) {
            let program = std::mem::replace(&mut self.path, stdbuf);
            self.args.splice(0..0, [format!("--output={CHUNK}").into(), program.into()]);
        }
        self
    }

    /// Its standard output as a stream, which ends when the program exited with 0.
    pub fn source(mut self, cancel: &Cancel) -> Result<Stream, StreamError> {
        match self.stdin.take() {
            Some(given) => self.filter(bytes::stream_of(given), cancel),
            None => Ok(fused(self.piped(None, cancel)?)),
        }
    }

    /// A stream through the program. An error of the input wins over the program's own, which it causes.
    pub fn filter(self, input: Stream, cancel: &Cancel) -> Result<Stream, StreamError> {
        Ok(fused(self.piped(Some(input), cancel)?))
    }

    /// As [`Program::filter`], for who must also see what it wrote to standard error.
    pub(super) fn piped(self, input: Option<Stream>, cancel: &Cancel) -> Result<Piped, StreamError> {
        pipe::start(&self, input, cancel)
    }

    /// Feeds the stream to its verified end, closes standard input and waits for an exit with 0.
    ///
    /// Standard output is thrown away.
    pub fn sink(self, input: Stream, cancel: &Cancel) -> Result<Finished, StreamError> {
        pipe::sink(&self, input, cancel, &|_| {})
    }

    /// The same for a program that may work long before it takes more or ends: `waits` is told when nothing moves because of that
    /// (true), and when the stream is asked for more (false).
    pub fn sink_at_leisure(self, input: Stream, cancel: &Cancel, waits: &dyn Fn(bool)) -> Result<Finished, StreamError> {
        pipe::sink(&self, input, cancel, waits)
    }

    /// Runs a short program to its end and keeps what it wrote, which must be UTF-8.
    pub fn run(mut self, cancel: &Cancel) -> Result<Output, StreamError> {
        let name = self.name.clone();
        let input = self.stdin.take().map(bytes::stream_of);
        let mut piped = self.piped(input, cancel)?;
        let stdout = bytes::collect_from(&mut piped, RUN_LIMIT)?;
        let stdout = String::from_utf8(stdout).map_err(|_| StreamError::corrupt(name, "wrote something that is not UTF-8"))?;
        Ok(Output { stdout, stderr: piped.stderr() })
    }

    /// Runs a program for what it does, such as stopping a service, and keeps the end of what it wrote (64 KiB of each output).
    ///
    /// A service that it starts may hold its outputs open; nobody waits for that.
    pub fn act(self, cancel: &Cancel) -> Result<Output, StreamError> {
        pipe::act(&self, cancel)
    }

    /// Starts a long-lived program. Both its outputs are appended to the log file, which is made with mode 0600.
    pub fn spawn(self, log: &Path) -> Result<Running, StreamError> {
        let doing = |error: io::Error| StreamError::io(format!("writing {}", log.display()), &error);
        let out = OpenOptions::new().append(true).create(true).mode(0o600).open(log).map_err(doing)?;
        let err = out.try_clone().map_err(doing)?;
        let child = self.launch(Stdio::null(), out.into(), err.into())?;
        Ok(Running::new(self.name, Process::new(child)))
    }

    fn launch(&self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Result<Child, StreamError> {
        let mut command = Command::new(&self.path);
        command.args(&self.args).stdin(stdin).stdout(stdout).stderr(stderr).process_group(0);
        if !self.whole_environment {
            command.env_clear().envs(inherited::inherited());
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = &self.cwd {
            command.current_dir(folder);
        }
        if let Some((user, group)) = self.run_as {
            command.uid(user).gid(group);
        }
        command.spawn().map_err(|error| self.not_started(&error))
    }

    fn not_started(&self, error: &io::Error) -> StreamError {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let detail = match &self.cwd {
            Some(folder) if !folder.is_dir() => format!("its working folder {} is not there", folder.display()),
            _ if missing && self.path.components().count() > 1 => format!("there is no program {}", self.path.display()),
            _ if missing => format!("there is no program `{}` in PATH", self.path.display()),
            _ => error.to_string(),
        };
        StreamError::Spawn { program: self.name.clone(), detail }
    }
}
