//! What a program says: read all the time, so that it never blocks on it, and the last of it kept.
//!
//! This module does not judge what was said.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

/// How much is kept, in bytes.
const KEPT: usize = 64 * 1024;
/// How much of it an error shows: the last lines, and no more bytes than this.
const LINES: usize = 16;
const SHOWN: usize = 4 * 1024;
/// How long to wait for the pipe's end after the program ended: something it left behind may still hold it open.
const SETTLE: Duration = Duration::from_millis(500);

pub(super) struct Tail {
    kept: Arc<Mutex<VecDeque<u8>>>,
    done: Receiver<()>,
}

impl Tail {
    /// Starts reading on a thread of its own.
    pub(super) fn of(mut output: impl Read + Send + 'static) -> io::Result<Self> {
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let (end, done) = bounded::<()>(0);
        let into = Arc::clone(&kept);
        std::thread::Builder::new().name("tail".into()).spawn(move || {
            drain(&mut output, &into);
            drop(end);
        })?;
        Ok(Self { kept, done })
    }

    /// All that was kept; to be asked after the program ended.
    pub(super) fn all(&self) -> String {
        let _ended_or_held_open = self.done.recv_timeout(SETTLE);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(kept.make_contiguous()).trim_end().to_owned()
    }

    /// The last lines; to be asked after the program ended.
    pub(super) fn last(&self) -> String {
        last_lines(&self.all()).to_owned()
    }
}

fn drain(output: &mut impl Read, into: &Mutex<VecDeque<u8>>) {
    let mut buffer = [0; 4096];
    loop {
        match output.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(&buffer[..n]);
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn last_lines(text: &str) -> &str {
    let by_lines = text.rmatch_indices('\n').nth(LINES - 1).map_or(0, |(at, _)| at + 1);
    let by_bytes = text.ceil_char_boundary(text.len().saturating_sub(SHOWN));
    &text[by_lines.max(by_bytes)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_and_bytes_are_shown() {
        let lines: Vec<String> = (0..40).map(|n| format!("줄 {n}")).collect();
        assert_eq!(last_lines(&lines.join("\n")), lines[24..].join("\n"));
        let long = "한".repeat(5000);
        let shown = last_lines(&long);
        assert!(shown.len() <= SHOWN && shown.len() > SHOWN - 3 && long.ends_with(shown));
        assert_eq!(last_lines("one"), "one");
    }
}
