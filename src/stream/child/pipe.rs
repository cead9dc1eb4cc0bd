//! A program between pipes: reading what it writes, feeding what it reads, and the verdict on its exit.
//!
//! This module does not start programs that outlive their stream.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use rustix::buffer::spare_capacity;
use rustix::pipe::fcntl_setpipe_size;

use super::feed::{Broken, Fed, pour, pour_beside};
use super::process::Process;
use super::stderr::Tail;
use super::{Finished, Output, Program, Transience};
use crate::stream::cancel::Registered;
use crate::stream::{CHUNK, Cancel, Chunk, Pool, Pull, Stopper, Stream, StreamError};

/// The largest pipe an unprivileged process may have by default (`/proc/sys/fs/pipe-max-size`), in bytes.
const PIPE: usize = 1 << 20;
/// A chunk is handed on once it holds this much, in bytes: most of a hand-over's cost is per chunk.
const FULL: usize = CHUNK - 64 * 1024;
/// A slow program's few bytes are handed on after this long, so that a watchdog sees that it lives.
const PATIENCE: Duration = Duration::from_millis(5);
/// The first nap while waiting for a chunk to fill; each is twice the one before.
const NAP: Duration = Duration::from_micros(100);
/// How long a program whose stream was dropped may take to clean up.
const HASTE: Duration = Duration::from_secs(1);

/// A started program that ends with this value.
struct Started {
    name: String,
    process: Arc<Process>,
    tail: Tail,
    transience: Transience,
    cancel: Cancel,
    _on_cancel: Registered,
}

impl Started {
    fn launch(
        program: &Program,
        fed: bool,
        read: bool,
        cancel: &Cancel,
    ) -> Result<(Self, Option<ChildStdin>, Option<ChildStdout>), StreamError> {
        cancel.check()?;
        let end = |piped: bool| if piped { Stdio::piped() } else { Stdio::null() };
        let mut child = program.launch(end(fed), end(read), Stdio::piped())?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Process::new(child);
        let on_cancel = {
            let process = Arc::clone(&process);
            cancel.on_cancel(move || process.terminate())
        };
        let tail = stderr.ok_or_else(|| std::io::Error::other("no standard error")).and_then(Tail::of);
        let tail = tail.map_err(|error| {
            process.end(Duration::ZERO);
            StreamError::io(format!("reading from {}", program.name), &error)
        })?;
        let (name, cancel) = (program.name.clone(), cancel.clone());
        // A smaller pipe works as well, only slower.
        let _sizes = (stdin.as_ref().map(|end| fcntl_setpipe_size(end, PIPE)), stdout.as_ref().map(|end| fcntl_setpipe_size(end, PIPE)));
        Ok((Self { name, process, tail, transience: program.transience, cancel, _on_cancel: on_cancel }, stdin, stdout))
    }

    /// Waits for the exit and says whether it was a success.
    fn verdict(&self, bytes: u64) -> Result<(), StreamError> {
        let status = self.process.wait().map_err(|error| StreamError::io(format!("waiting for {}", self.name), &error))?;
        self.cancel.check()?;
        if self.process.was_told() {
            return Err(StreamError::Cancelled { reason: format!("{} was stopped", self.name), transient: false });
        }
        if status.success() { Ok(()) } else { Err(self.failed(in_words(status), bytes)) }
    }

    fn failed(&self, status: String, bytes: u64) -> StreamError {
        let stderr = self.tail.last();
        let transient = self.transience.judge(&stderr);
        StreamError::Child { program: self.name.clone(), status, bytes, stderr, transient }
    }

    /// The verdict of a program that closed its input before the end: never a success.
    fn refused(&self, error: &std::io::Error, bytes: u64) -> StreamError {
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            return StreamError::io(format!("feeding {}", self.name), error);
        }
        match self.verdict(bytes) {
            Err(error) => error,
            Ok(()) => self.failed("exited with status 0 without reading all of its input".into(), bytes),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.process.end(HASTE);
    }
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// A program whose output is read.
pub(in crate::stream) struct Piped {
    started: Started,
    stdout: ChildStdout,
    feeding: Option<Feeding>,
    pool: Pool,
    bytes: u64,
    ended: bool,
}

struct Feeding {
    fed: Receiver<Fed>,
    stopper: Option<Stopper>,
}

/// Starts a program and, if there is an input, the thread that feeds it.
pub(super) fn start(program: &Program, input: Option<Stream>, cancel: &Cancel) -> Result<Piped, StreamError> {
    let (started, stdin, stdout) = Started::launch(program, input.is_some(), true, cancel)?;
    let stdout = stdout.ok_or(StreamError::Vanished { stage: "child output" })?;
    let feeding = match (input, stdin) {
        (Some(input), Some(stdin)) => {
            let stopper = input.stopper();
            let fed = pour_beside(input, stdin, Arc::clone(&started.process));
            let fed = fed.map_err(|error| StreamError::io(format!("feeding {}", started.name), &error))?;
            Some(Feeding { fed, stopper })
        }
        _ => None,
    };
    Ok(Piped { started, stdout, feeding, pool: Pool::new(CHUNK), bytes: 0, ended: false })
}

/// Feeds a program to the verified end of the stream and waits for it; `waits` is told when it waits for the program, and not for
/// the stream.
pub(super) fn sink(program: &Program, mut input: Stream, cancel: &Cancel, waits: &dyn Fn(bool)) -> Result<Finished, StreamError> {
    let (started, stdin, _) = Started::launch(program, true, false, cancel)?;
    let mut stdin = stdin.ok_or(StreamError::Vanished { stage: "child input" })?;
    let fed = pour(&mut input, &mut stdin, waits);
    if let Err(Broken::Input(error)) = fed.outcome {
        // Ended before its input closes, so that it can not take the cut for an end and commit.
        started.process.end(HASTE);
        return Err(error);
    }
    drop(stdin);
    waits(true);
    if let Err(Broken::Output(error)) = fed.outcome {
        return Err(started.refused(&error, fed.bytes));
    }
    started.verdict(fed.bytes)?;
    Ok(Finished { bytes: fed.bytes, stderr: started.tail.all() })
}

/// Runs a program for what it does: its exit ends it, even where something that it left behind holds its outputs open.
pub(super) fn act(program: &Program, cancel: &Cancel) -> Result<Output, StreamError> {
    let (started, _, stdout) = Started::launch(program, false, true, cancel)?;
    let reading = |error: std::io::Error| StreamError::io(format!("reading from {}", started.name), &error);
    let stdout = stdout.map(Tail::of).transpose().map_err(reading)?;
    started.verdict(0)?;
    Ok(Output { stdout: stdout.map(|tail| tail.all()).unwrap_or_default(), stderr: started.tail.all() })
}

impl Piped {
    /// What it wrote to standard error; to be asked after the end.
    pub(in crate::stream) fn stderr(&self) -> String {
        self.started.tail.all()
    }

    /// Reads a chunk's worth, or what comes within [`PATIENCE`] of the first byte; empty at the end of output.
    fn fill(&self) -> Result<Vec<u8>, StreamError> {
        let (mut buffer, mut first, mut nap) = (self.pool.buffer(), None, NAP);
        while buffer.len() < FULL {
            // Programs write in pieces of a few KiB. Waking up for each would cost more than the piece.
            if let Some(first) = first
                && rustix::io::ioctl_fionread(&self.stdout).unwrap_or(1) == 0
            {
                if Instant::elapsed(&first) > PATIENCE {
                    break;
                }
                std::thread::sleep(nap);
                nap *= 2;
                continue;
            }
            match rustix::io::read(&self.stdout, spare_capacity(&mut buffer)) {
                Ok(0) => break,
                Ok(_) => first = first.or_else(|| Some(Instant::now())),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(StreamError::io(format!("reading from {}", self.started.name), &error.into())),
            }
        }
        Ok(buffer)
    }

    /// The end of output has come: is it an end?
    fn end(&mut self) -> Result<(), StreamError> {
        let verdict = self.started.verdict(self.bytes);
        let Some(feeding) = self.feeding.take() else { return verdict };
        // A program that failed by itself need not wait for its feeder; the cause of a cut is sent before the cut.
        let fed = if verdict.is_err() { feeding.fed.try_recv().ok() } else { feeding.fed.recv().ok() };
        match (fed.map(|fed| (fed.outcome, fed.bytes)), verdict) {
            (Some((Err(Broken::Input(error)), _)), _) | (_, Err(error)) => Err(error),
            (Some((Err(Broken::Output(error)), bytes)), Ok(())) => Err(self.started.refused(&error, bytes)),
            (Some((Ok(()), _)), Ok(())) => Ok(()),
            (None, Ok(())) => Err(StreamError::Vanished { stage: "feeding" }),
        }
    }
}

impl Pull for Piped {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        if !self.ended {
            self.started.cancel.check()?;
            let buffer = self.fill()?;
            if !buffer.is_empty() {
                self.bytes += buffer.len() as u64;
                return Ok(Some(self.pool.chunk(buffer)));
            }
            self.end()?;
            self.ended = true;
        }
        Ok(None)
    }

    fn stopper(&self) -> Option<Stopper> {
        let process = Arc::clone(&self.started.process);
        let before = self.feeding.as_ref().and_then(|feeding| feeding.stopper.clone());
        Some(Arc::new(move || {
            process.terminate();
            if let Some(stop) = &before {
                stop();
            }
        }))
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        // The feeder may be waiting for a source that hangs.
        if let Some(stop) = self.feeding.take().and_then(|feeding| feeding.stopper) {
            stop();
        }
    }
}
