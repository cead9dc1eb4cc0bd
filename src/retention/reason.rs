//! What becomes of a point, and why, as values that print themselves in words.
//!
//! Reasons are for people and reports: nothing decides by them. This file decides nothing either.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::calendar::Rule;
use super::facts::{Damage, Doubt};
use super::policy::MaxDelete;
use crate::ids::{RefName, RunId};
use crate::quantity::Duration;

/// What becomes of a point in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It stays as it is.
    Keep,
    /// It had a tombstone, and is wanted: the tombstone goes.
    Undelete,
    /// It gets a tombstone, and is deleted in a run after the grace.
    Tombstone,
    /// It has a tombstone, and stays for now.
    Wait,
    /// It has had a tombstone for longer than the grace: it is deleted.
    Delete,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Keep => "keep",
            Self::Undelete => "undelete",
            Self::Tombstone => "tombstone",
            Self::Wait => "wait",
            Self::Delete => "delete",
        })
    }
}

/// A step on the way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Marking points for deletion.
    Tombstone,
    /// Deleting them.
    Delete,
}

/// Why nothing at all goes in this run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "halt", rename_all = "kebab-case")]
pub enum Halt {
    /// The newest success is older than the RPO, or there is none.
    Stale {
        /// When it was taken.
        newest: Option<Timestamp>,
        /// The objective.
        rpo: Duration,
    },
    /// The newest run failed.
    FailedRun,
    /// Other stores of the pipeline could not be read.
    Unread {
        /// Which.
        stores: Vec<RefName>,
    },
    /// More would go than the policy lets go.
    TooMany {
        /// In which phase.
        phase: Phase,
        /// How many would go.
        would: usize,
        /// Of how many.
        of: usize,
        /// The limit.
        limit: MaxDelete,
    },
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale { newest: Some(at), rpo } => {
                write!(f, "the newest success, {}, is older than the RPO of {rpo}: nothing is deleted", minute(*at))
            }
            Self::Stale { newest: None, rpo } => write!(f, "there is no success within the RPO of {rpo}: nothing is deleted"),
            Self::FailedRun => f.write_str("a run has failed since: nothing is deleted"),
            Self::Unread { stores } => {
                let stores: Vec<&str> = stores.iter().map(RefName::as_str).collect();
                write!(f, "{} can not be read, and may know of a newer proof or of a failed run: nothing is deleted", stores.join(" and "))
            }
            Self::TooMany { phase, would, of, limit } => {
                let going = if *phase == Phase::Tombstone { "would go" } else { "would be deleted" };
                let count = limit.count.map(|count| count.to_string());
                let percent = limit.percent.map(|percent| format!("{percent} %"));
                let most = count.into_iter().chain(percent).collect::<Vec<_>>().join(" and ");
                write!(f, "max_delete: {would} of {of} {going}, at most {most}: nothing is deleted")
            }
        }
    }
}

/// Why a point is treated as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Reason {
    /// A counting rule keeps it.
    Slot {
        /// The rule.
        rule: Rule,
        /// Which one of those it keeps, 1 the newest.
        number: u32,
        /// How many it keeps at most.
        of: u32,
        /// The name of its period, empty for `last`.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        period: String,
    },
    /// A counting rule keeps it and does not count it, for it stands for no other.
    Uncounted {
        /// The rule.
        rule: Rule,
        /// The name of its period, which has no better one; empty where it has, and for `last` and `within`.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        period: String,
    },
    /// It is no older than this.
    Within {
        /// The rule's length of time.
        within: Duration,
    },
    /// It is the newest point.
    Newest,
    /// It is the newest of those that nothing speaks against.
    NewestSound,
    /// It is the newest proven point.
    NewestProven,
    /// It is one of the newest points that were restored.
    Verified {
        /// Which one, 1 the newest.
        number: u32,
        /// How many always stay.
        of: u32,
    },
    /// Somebody wants it.
    Pinned {
        /// Until when.
        until: Timestamp,
        /// Why.
        why: String,
    },
    /// The store would refuse to delete it.
    Locked {
        /// Until when.
        until: Timestamp,
    },
    /// Another point can not be restored without it.
    NeededBy {
        /// That point.
        run: RunId,
    },
    /// Nothing is known about it.
    Unreadable,
    /// Less is known about it than it seems.
    Doubted {
        /// Why.
        doubt: Doubt,
    },
    /// Its content was found wrong.
    Damaged {
        /// Where.
        damage: Damage,
    },
    /// It says it was taken later than now.
    Future {
        /// When it says so.
        taken: Timestamp,
    },
    /// Nothing keeps it.
    Unwanted,
    /// It is wanted, though it has a tombstone.
    Tombstoned {
        /// Since when.
        since: Timestamp,
    },
    /// Its grace is not over.
    Grace {
        /// When it may be deleted.
        until: Timestamp,
    },
    /// Its grace is over.
    GraceOver {
        /// When the tombstone was written.
        since: Timestamp,
    },
    /// It would go, but nothing goes in this run.
    Halted {
        /// Why.
        by: Halt,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot { rule, number, of, period } if period.is_empty() => write!(f, "{rule} {number} of {of}"),
            Self::Slot { rule, number, of, period } => write!(f, "{rule} {number} of {of}: {period}"),
            Self::Uncounted { rule, period } if period.is_empty() => write!(f, "{rule}, not counted"),
            Self::Uncounted { rule, period } => write!(f, "{rule}, not counted: {period} has no better one"),
            Self::Within { within } => write!(f, "within {within} of the newest"),
            Self::Newest => f.write_str("newest point"),
            Self::NewestSound => f.write_str("newest point that nothing speaks against"),
            Self::NewestProven => f.write_str("newest proven point"),
            Self::Verified { number, of } => write!(f, "verified {number} of {of}"),
            Self::Pinned { until, why } => write!(f, "pinned until {}: {why}", minute(*until)),
            Self::Locked { until } if *until == Timestamp::MAX => f.write_str("object lock without an end (legal hold)"),
            Self::Locked { until } => write!(f, "object lock until {}", minute(*until)),
            Self::NeededBy { run } => write!(f, "needed by {run}"),
            Self::Unreadable => f.write_str("its manifest can not be read: it counts for no rule, and is never deleted"),
            Self::Doubted { doubt } => write!(f, "{doubt}"),
            Self::Damaged { damage } => write!(f, "{damage}"),
            Self::Future { taken } => write!(f, "taken in the future, {}: check the clocks of the hosts", minute(*taken)),
            Self::Unwanted => f.write_str("no rule keeps it"),
            Self::Tombstoned { since } => write!(f, "takes back the tombstone of {}", minute(*since)),
            Self::Grace { until } => write!(f, "may be deleted after {}", minute(*until)),
            Self::GraceOver { since } => write!(f, "tombstoned {}, and the grace is over", minute(*since)),
            Self::Halted { by } => write!(f, "{by}"),
        }
    }
}

/// A moment in UTC, to the minute.
fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}
