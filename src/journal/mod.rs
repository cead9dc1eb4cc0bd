//! The journal of a run: every event but progress, one JSON document a line, on disk before the run goes on.
//!
//! It is what `runner` knows after a crash. A last line that was cut by one is told and left out when read; a damaged line in the
//! middle is an error, not skipped. Whoever writes a journal holds a lock on it, so that a run is never gone on with by two processes.
//! Nothing is decided here.

mod folder;
mod place;
mod runs;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::event::{Event, Subscriber, What};
use crate::ids::{PipelineName, RunId};

pub use folder::{ReceiptFile, RunFolder, supersede};
pub use runs::{RunEnd, RunFile, RunFound, Standing, runs};

/// A journal that is written.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    locked: bool,
}

/// The path of a run's journal below a state folder.
pub fn path(state: &Path, pipeline: &PipelineName, run: &RunId) -> PathBuf {
    state.join("runs").join(pipeline.as_str()).join(format!("{run}.ndjson"))
}

impl Journal {
    /// Begins the journal of a run; one that exists already is never overwritten.
    ///
    /// # Errors
    /// When the folder or file can not be made.
    pub fn create(state: &Path, pipeline: &PipelineName, run: &RunId) -> io::Result<Self> {
        let path = path(state, pipeline, run);
        let folder = path.parent().unwrap_or(state);
        std::fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
        let file = OpenOptions::new().append(true).create_new(true).mode(0o640).open(&path)?;
        // File systems without locks only make it less sure that a run is seen to be at work.
        let locked = rustix::fs::flock(&file, FlockOperation::LockExclusive).is_ok();
        File::open(folder)?.sync_all()?;
        Ok(Self { file, path, locked })
    }

    /// Takes over the journal of a run whose process is gone, to go on with it. Changes nothing yet.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] while another process writes it, and when it can not be opened.
    pub fn take_over(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).read(true).open(path)?;
        let mut locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        // Who only looks whether it is written lets go at once.
        for _ in 0..LOOKS {
            if locked != Err(Errno::WOULDBLOCK) {
                break;
            }
            std::thread::sleep(LOOK);
            locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        }
        match locked {
            Err(Errno::WOULDBLOCK) => Err(Errno::WOULDBLOCK.into()),
            locked => Ok(Self { file, path: path.to_owned(), locked: locked.is_ok() }),
        }
    }

    /// Whether it is certain that no other process writes it.
    pub const fn is_locked(&self) -> bool {
        self.locked
    }

    /// Makes it end in a whole line, so that it can be continued: a last line that was cut goes. Answers whether there was one.
    ///
    /// # Errors
    /// When it can not be read or written.
    pub fn mend(&mut self) -> io::Result<bool> {
        let mut text = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole == text.len() {
            return Ok(false);
        }
        // Only its end may be missing.
        let cut = serde_json::from_slice::<Event>(&text[whole..]).is_err();
        if cut {
            self.file.set_len(whole as u64)?;
        } else {
            self.file.write_all(b"\n")?;
        }
        self.file.sync_all()?;
        Ok(cut)
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

/// How often, and how long between, a journal that is locked is tried.
const LOOKS: u32 = 5;
const LOOK: std::time::Duration = std::time::Duration::from_millis(40);

/// Whether a process is writing this journal.
fn is_written(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
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
        assert!(Journal::create(state.path(), &pipeline, &event.run).is_err(), "never overwritten");
    }

    #[test]
    fn a_journal_is_continued_behind_its_last_whole_line_and_by_one_process() {
        let state = tempfile::tempdir().unwrap();
        let (pipeline, event) = (PipelineName::new("주문").unwrap(), event());
        let mut journal = Journal::create(state.path(), &pipeline, &event.run).unwrap();
        journal.notice(&event).unwrap();
        let path = journal.path().to_owned();
        assert!(is_written(&path));
        assert_eq!(Journal::take_over(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(journal);
        assert!(!is_written(&path));
        let whole = std::fs::read_to_string(&path).unwrap();
        for (end, cut) in [("", false), ("{\"at\":\"2026", true), (whole.trim_end(), false)] {
            std::fs::write(&path, format!("{whole}{end}")).unwrap();
            let before = replay(&path).unwrap().len();
            let mut journal = Journal::take_over(&path).unwrap();
            assert_eq!(journal.mend().unwrap(), cut, "{end:?}");
            journal.notice(&event).unwrap();
            assert_eq!(replay(&path).unwrap().len(), before + 1, "{end:?}");
        }
    }
}
