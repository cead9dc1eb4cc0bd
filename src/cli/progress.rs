//! Who is told of events while a run goes on: the journal, the events file, and the person who watches.
//!
//! On a terminal each flow has a bar with bytes and rate; elsewhere events are plain lines, and progress is told now and then.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::output::Output;
use crate::event::{Event, Subscriber, What};
use crate::ids::NodeId;
use crate::journal::{self, Journal};
use crate::render::event::{each_stage, lines};

/// How often progress is told where nobody watches a bar.
const PLAIN: Duration = Duration::from_secs(30);

/// Everyone who is told.
pub(super) struct Told {
    pub(super) journal: Journal,
    pub(super) events: Option<(File, PathBuf)>,
    pub(super) watcher: Watcher,
}

impl Subscriber for Told {
    fn notice(&mut self, event: &Event) -> io::Result<()> {
        self.journal.notice(event).map_err(|error| about(&error, self.journal.path()))?;
        if let Some((file, path)) = &mut self.events
            && let Err(error) = file.write_all(journal::line(event)?.as_bytes())
        {
            // The journal has everything; whoever reads along must not cost a backup.
            Output::talk(&format!("warning: {}; no more events are written there", about(&error, path)));
            self.events = None;
        }
        self.watcher.notice(event);
        Ok(())
    }
}

/// The error with the file that it is about.
pub(super) fn about(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("writing {}: {error}", path.display()))
}

/// A new events file.
pub(super) fn events_file(path: &Path) -> io::Result<(File, PathBuf)> {
    let file = File::options().create(true).append(true).open(path);
    Ok((file.map_err(|error| about(&error, path))?, path.to_owned()))
}

/// The person who watches.
pub(super) enum Watcher {
    Bars { all: MultiProgress, bars: BTreeMap<NodeId, ProgressBar> },
    Lines { last: Instant },
}

impl Watcher {
    /// Bars on a terminal, lines elsewhere.
    pub(super) fn new() -> Self {
        if Output::watched() {
            Self::Bars { all: MultiProgress::new(), bars: BTreeMap::new() }
        } else {
            Self::Lines { last: Instant::now() }
        }
    }

    fn notice(&mut self, event: &Event) {
        match self {
            Self::Bars { all, bars } => bar(event, all, bars),
            Self::Lines { last } => {
                if matches!(event.what, What::Progress { .. }) && last.elapsed() < PLAIN {
                    return;
                }
                *last = if matches!(event.what, What::Progress { .. }) { Instant::now() } else { *last };
                if let Some(lines) = lines(event, Output::talk_paint()) {
                    Output::talk(&lines);
                }
            }
        }
    }
}

fn bar(event: &Event, all: &MultiProgress, bars: &mut BTreeMap<NodeId, ProgressBar>) {
    match &event.what {
        What::Progress { node, stages } => {
            if let Some(bar) = bars.get(node) {
                // What is expected is plain bytes: they come first in a dump, and last on the way back.
                bar.set_position(stages.iter().map(|stage| stage.bytes).max().unwrap_or(0));
                bar.set_message(each_stage(stages).unwrap_or_default());
            }
            return;
        }
        What::NodeStarted { node, expected_bytes, .. } => {
            let bar = all.add(expected_bytes.map_or_else(ProgressBar::no_length, ProgressBar::new));
            bar.set_style(style(expected_bytes.is_some()));
            bar.set_prefix(node.to_string());
            bar.enable_steady_tick(Duration::from_millis(200));
            bars.insert(node.clone(), bar);
        }
        What::NodeEnded { node, .. } => {
            if let Some(bar) = bars.remove(node) {
                bar.finish_and_clear();
            }
        }
        _ => {}
    }
    if let Some(lines) = lines(event, Output::talk_paint()) {
        // A terminal that is gone has nobody before it.
        let _unseen = all.println(lines);
    }
}

/// A bar where the size is known, a spinner where it is not.
fn style(sized: bool) -> ProgressStyle {
    let form = if sized {
        "  {spinner} {prefix} [{bar:16}] {wide_msg} {decimal_bytes_per_sec} {elapsed}"
    } else {
        "  {spinner} {prefix} {wide_msg} {elapsed}"
    };
    ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar())
}
