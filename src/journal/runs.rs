//! The runs that left a journal here, and what each came to.
//!
//! A run without an end was killed, or is still at work; which of the two, the table of processes tells on the host that ran it, and the
//! lock of the journal elsewhere, if it can be believed. This file reads journals and writes nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::{RunFolder, is_written, place, read};
use crate::event::{Outcome, What};
use crate::ids::{PipelineName, RunId};

/// The journal of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFile {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The run.
    pub run: RunId,
    /// The journal.
    pub path: PathBuf,
}

/// How a run that has ended did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// How.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// The level of its restore point, as a word; `None` when it committed none.
    pub level: Option<String>,
}

/// Whether a run goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has ended.
    Ended(RunEnd),
    /// It has no end, and its process is there.
    Alive,
    /// It has no end, and its process is gone.
    Gone,
    /// It has no end, and another host ran it, of which nothing can be seen from here.
    Elsewhere,
}

/// What a journal tells of its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFound {
    /// The process.
    pub pid: Option<u32>,
    /// The host.
    pub host: Option<String>,
    /// Whether it goes on.
    pub standing: Standing,
    /// The first error that a node ended with.
    pub error: Option<String>,
    /// The time of its last event.
    pub last: Option<Timestamp>,
    /// How long processes worked on it, as far as their events tell.
    pub worked: Duration,
    /// Whether its plan is kept, so that it may be gone on with.
    pub kept: bool,
    /// Whether a crash has cut its last line.
    pub torn: bool,
}

/// The journals below a state folder, newest run first; a folder that is not there holds none.
///
/// # Errors
/// When a folder can not be read.
pub fn runs(state: &Path, wanted: &dyn Fn(&PipelineName) -> bool) -> io::Result<Vec<RunFile>> {
    let mut found = Vec::new();
    for folder in entries(&state.join("runs"))? {
        let Some(pipeline) = name(&folder).and_then(|name| PipelineName::new(name).ok()).filter(|name| wanted(name)) else { continue };
        for path in entries(&folder)? {
            let run = name(&path).and_then(|name| name.strip_suffix(".ndjson")?.parse().ok());
            found.extend(run.map(|run| RunFile { pipeline: pipeline.clone(), run, path }));
        }
    }
    found.sort_by(|one, other| other.run.cmp(&one.run));
    Ok(found)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(io::Error::new(error.kind(), format!("reading {}: {error}", folder.display()))),
    }
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

impl RunFile {
    /// What the journal tells. `host` is where this is asked: of a run elsewhere nobody can see the process, but its lock where the
    /// journal lies on a disk of this machine. A container has a new host name each time.
    ///
    /// # Errors
    /// When the journal can not be read, or a line of it is not an event.
    pub fn look(&self, host: &str) -> io::Result<RunFound> {
        let mut reading = read(&self.path)?;
        let mut found = RunFound {
            pid: None,
            host: None,
            standing: Standing::Gone,
            error: None,
            last: None,
            worked: Duration::ZERO,
            kept: false,
            torn: false,
        };
        for event in &mut reading {
            let event = event?;
            let resumed = matches!(event.what, What::RunResumed { .. });
            if let Some(before) = found.last.filter(|_| !resumed) {
                found.worked += Duration::try_from(event.at.duration_since(before)).unwrap_or_default();
            }
            found.last = Some(event.at);
            match event.what {
                What::RunStarted { pid, host, .. } => (found.pid, found.host) = (Some(pid), Some(host)),
                // A run that goes on has no end yet, and what failed in it is tried again.
                What::RunResumed { pid, host, .. } => {
                    (found.pid, found.host, found.standing, found.error) = (Some(pid), Some(host), Standing::Gone, None);
                }
                What::NodeEnded { error: Some(error), .. } if found.error.is_none() => found.error = Some(error.message),
                What::RunEnded { outcome, took, level, .. } => found.standing = Standing::Ended(RunEnd { outcome, took, level }),
                _ => {}
            }
        }
        found.torn = reading.is_torn();
        found.kept = RunFolder::of(&self.path).holds_plan();
        if found.standing == Standing::Gone {
            found.standing = match (&found.host, found.pid) {
                (Some(ran), _) if ran != host => self.elsewhere(),
                (_, Some(pid)) if alive(pid) => Standing::Alive,
                // It has not told of itself yet.
                (_, None) if is_written(&self.path) => Standing::Alive,
                _ => Standing::Gone,
            };
        }
        Ok(found)
    }

    /// How a run stands that goes by the name of another host.
    fn elsewhere(&self) -> Standing {
        // Where locks do not tell all, one that is held says as little as one that is not: whoever would go on with the run holds it too.
        match () {
            () if !place::is_of_one_machine(&self.path) => Standing::Elsewhere,
            () if is_written(&self.path) => Standing::Alive,
            () => Standing::Gone,
        }
    }
}

/// Whether a process is there that is this program: a number is given again after a while.
fn alive(pid: u32) -> bool {
    let program = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    let there = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).is_some_and(|pid| {
        // Who may not signal it still learns that it is there.
        !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
    });
    let (own, its) = (program("self"), program(&pid.to_string()));
    there && (own.is_none() || its.is_none() || own == its)
}
