//! The journal of a run: every event but progress, one JSON document a line, on disk before the run goes on.
//!
//! It is what `runner` knows after a crash. A last line that was cut by one is told and left out when read; a damaged line in the
//! middle is an error, not skipped. Nothing is decided here.

mod runs;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::event::{Event, Subscriber, What};
use crate::ids::{PipelineName, RunId};

pub use runs::{RunEnd, RunFile, RunFound, Standing, runs};

/// A journal that is written.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

/// The path of a run's journal below a state folder.
pub fn path(state: &Path, pipeline: &PipelineName, run: &RunId) -> PathBuf {
    state.join("runs").join(pipeline.as_str()).join(format!("{run}.ndjson"))
}

impl Journal {
    /// Begins the journal of a run; one that exists already is never continued or overwritten.
    ///
    /// # Errors
    /// When the folder or file can not be made.
    pub fn create(state: &Path, pipeline: &PipelineName, run: &RunId) -> io::Result<Self> {
        let path = path(state, pipeline, run);
        let folder = path.parent().unwrap_or(state);
        std::fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
        let file = OpenOptions::new().append(true).create_new(true).mode(0o640).open(&path)?;
        File::open(folder)?.sync_all()?;
        Ok(Self { file, path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Subscriber for Journal {
    fn notice(&mut self, event: &Event) -> io::Result<()> {
        if matches!(event.what, What::Progress { .. }) {
            return Ok(());
        }
        self.file.write_all(line(event)?.as_bytes())?;
        self.file.sync_data()
    }
}

/// An event as one line.
///
/// # Errors
/// None that could happen with the events there are; the signature says what serialisation could.
pub fn line(event: &Event) -> io::Result<String> {
    let mut line = serde_json::to_string(event)?;
    line.push('\n');
    Ok(line)
}

/// Reads a journal back, event by event.
///
/// # Errors
/// When it can not be opened.
pub fn read(path: &Path) -> io::Result<Reading> {
    Ok(Reading { reader: BufReader::new(File::open(path)?), path: path.to_owned(), lines: 0, torn: false, ended: false })
}

/// A journal that is read. Ends at a last line that a crash has cut, and at the first error: when it can not be read, or a whole
/// line is not an event; the message names the line.
#[derive(Debug)]
pub struct Reading {
    reader: BufReader<File>,
    path: PathBuf,
    lines: u64,
    torn: bool,
    ended: bool,
}

impl Reading {
    /// Whether the last line was cut, once all others are read.
    pub const fn is_torn(&self) -> bool {
        self.torn
    }

    fn line(&mut self) -> io::Result<Option<Event>> {
        let mut text = Vec::new();
        if self.reader.read_until(b'\n', &mut text)? == 0 {
            return Ok(None);
        }
        self.lines += 1;
        match serde_json::from_slice(&text) {
            Ok(event) => Ok(Some(event)),
            Err(_) if !text.ends_with(b"\n") => {
                self.torn = true;
                Ok(None)
            }
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{}:{}: {error}", self.path.display(), self.lines))),
        }
    }
}

impl Iterator for Reading {
    type Item = io::Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let line = self.line();
        self.ended = !matches!(line, Ok(Some(_)));
        line.transpose()
    }
}

/// Reads a whole journal back, without a last line that was cut.
///
/// # Errors
/// As [`read`], and as the first error of [`Reading`].
pub fn replay(path: &Path) -> io::Result<Vec<Event>> {
    read(path)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;

    fn event() -> Event {
        let what = What::RunEnded {
            outcome: Outcome::Done,
            took: std::time::Duration::from_secs(1),
            left: vec!["남은 것".to_owned()],
            level: None,
        };
        Event { at: "2026-11-20T02:17:00Z".parse().unwrap(), run: "20261120T021700Z-4f3a9c".parse().unwrap(), what }
    }

    #[test]
    fn a_journal_replays_what_was_written_and_drops_only_a_cut_last_line() {
        let state = tempfile::tempdir().unwrap();
        let (pipeline, event) = (PipelineName::new("주문").unwrap(), event());
        let mut journal = Journal::create(state.path(), &pipeline, &event.run).unwrap();
        journal.notice(&event).unwrap();
        journal.notice(&event).unwrap();
        journal.file.write_all(b"{\"at\":\"2026").unwrap();
        assert_eq!(replay(journal.path()).unwrap(), vec![event.clone(), event.clone()]);
        journal.file.write_all(b"\n").unwrap();
        assert!(replay(journal.path()).unwrap_err().to_string().contains(":3:"), "a whole line that is no event is an error");
        assert!(Journal::create(state.path(), &pipeline, &event.run).is_err(), "never continued");
    }
}
