//! What a report says, in each language it speaks: one table of labels a language, and one function a sentence.
//!
//! Texts of programs and of people (errors, reasons of pins, names) are never translated. Nothing here decides or knows HTML.

mod english;
mod korean;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Serialize;

use crate::plan::Action;
use crate::quantity::{Duration, bytes};
use crate::retention::Reason;
use crate::status::{Cause, Concern, Light, Miss};
use crate::store::manifest::Level;

/// A language that a report speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// 한국어.
    Korean,
}

/// The short texts of a page.
#[derive(Debug, Serialize)]
pub(super) struct Labels {
    pub(super) lang: &'static str,
    pub(super) title: &'static str,
    pub(super) made: &'static str,
    pub(super) overview: &'static str,
    pub(super) state: &'static str,
    pub(super) pipeline: &'static str,
    pub(super) newest: &'static str,
    pub(super) level: &'static str,
    pub(super) proof: &'static str,
    pub(super) next: &'static str,
    pub(super) objectives: &'static str,
    pub(super) objective: &'static str,
    pub(super) wanted: &'static str,
    pub(super) found: &'static str,
    pub(super) verdict: &'static str,
    pub(super) met: &'static str,
    pub(super) missed: &'static str,
    pub(super) unknown: &'static str,
    pub(super) no_objectives: &'static str,
    pub(super) concerns: &'static str,
    pub(super) at_work: &'static str,
    pub(super) zone: &'static str,
    pub(super) points: &'static str,
    pub(super) no_points: &'static str,
    pub(super) never: &'static str,
    pub(super) kept: &'static str,
    pub(super) going: &'static str,
    pub(super) pinned: &'static str,
    pub(super) gap: &'static str,
    pub(super) now: &'static str,
    pub(super) receding: &'static str,
    pub(super) no_answer: &'static str,
    pub(super) unread: &'static str,
    pub(super) trends: &'static str,
    pub(super) trend_hint: &'static str,
    pub(super) too_few: &'static str,
    pub(super) size: &'static str,
    pub(super) dumped: &'static str,
    pub(super) stored: &'static str,
    pub(super) duration: &'static str,
    pub(super) recovery: &'static str,
    pub(super) recovery_limit: &'static str,
    pub(super) never_measured: &'static str,
    pub(super) last: &'static str,
    pub(super) least: &'static str,
    pub(super) most: &'static str,
    pub(super) failures: &'static str,
    pub(super) no_failures: &'static str,
    pub(super) when: &'static str,
    pub(super) host: &'static str,
    pub(super) what: &'static str,
    pub(super) error: &'static str,
    pub(super) run_failed: &'static str,
    pub(super) verification_failed: &'static str,
    pub(super) manifest_unusable: &'static str,
    pub(super) graph: &'static str,
    pub(super) graph_hint: &'static str,
    pub(super) one_pass: &'static str,
    pub(super) after_success: &'static str,
    pub(super) after_end: &'static str,
    pub(super) run: &'static str,
    pub(super) store: &'static str,
    pub(super) took: &'static str,
    pub(super) fate: &'static str,
    pub(super) newest_points: &'static str,
    pub(super) others: &'static str,
    pub(super) top: &'static str,
}

/// One of the two functions that say the same.
macro_rules! say {
    ($language:expr, $name:ident($($argument:expr),*)) => {
        match $language {
            Language::English => english::$name($($argument),*),
            Language::Korean => korean::$name($($argument),*),
        }
    };
}

impl Language {
    /// The short texts.
    pub(super) const fn labels(self) -> &'static Labels {
        match self {
            Self::English => &english::LABELS,
            Self::Korean => &korean::LABELS,
        }
    }

    /// A length of time, as read off at a glance.
    pub(super) fn length(self, length: Duration) -> String {
        say!(self, length(length.std()))
    }

    /// A length of time that somebody asked for, exact.
    pub(super) fn limit(self, limit: Duration) -> String {
        say!(self, limit(limit))
    }

    pub(super) fn ago(self, age: Duration) -> String {
        say!(self, ago(&self.length(age)))
    }

    /// Some time from now.
    pub(super) fn ahead(self, time: Duration) -> String {
        say!(self, ahead(&self.length(time)))
    }

    pub(super) fn at_most(self, what: &str) -> String {
        say!(self, at_most(what))
    }

    pub(super) fn at_least(self, what: &str) -> String {
        say!(self, at_least(what))
    }

    pub(super) fn every(self, what: &str) -> String {
        say!(self, every(what))
    }

    pub(super) fn in_stores(self, count: usize) -> String {
        say!(self, in_stores(count))
    }

    /// By how much a dump may be smaller than what is typical.
    pub(super) fn below_median(self, most: &str, typical: Option<u64>) -> String {
        say!(self, below_median(most, typical.map(bytes).as_deref()))
    }

    pub(super) fn restore_points(self, count: usize) -> String {
        say!(self, restore_points(count))
    }

    /// How many restore points are not shown, because they were not read.
    pub(super) fn older(self, count: usize) -> String {
        say!(self, older(count))
    }

    /// How many pipelines there are, and how many are good, worth a look, and bad.
    pub(super) fn tally(self, all: usize, lights: [usize; 3]) -> String {
        say!(self, tally(all, lights))
    }

    pub(super) const fn level(self, level: Option<Level>) -> &'static str {
        say!(self, level(level))
    }

    pub(super) const fn light(self, light: Light) -> &'static str {
        say!(self, light(light))
    }

    /// What a node does to the world.
    pub(super) const fn action(self, action: Action) -> &'static str {
        say!(self, action(action))
    }

    /// The objectives, by their key in a pipeline.
    pub(super) fn objective(self, key: &str) -> &'static str {
        say!(self, objective(key))
    }

    /// An objective that is missed.
    pub(super) fn miss(self, miss: &Miss) -> String {
        say!(self, miss(miss))
    }

    /// Something worth a look.
    pub(super) fn concern(self, concern: &Concern) -> String {
        say!(self, concern(concern))
    }

    /// Why a run made no restore point.
    pub(super) fn cause(self, cause: &Cause) -> String {
        say!(self, cause(cause))
    }

    /// Why a restore point stays or goes. `minute` writes a moment.
    pub(super) fn reason(self, reason: &Reason, minute: &dyn Fn(Timestamp) -> String) -> String {
        say!(self, reason(reason, minute))
    }
}
