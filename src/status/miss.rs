//! The objectives that can be missed, as data; words come last.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::ids::RefName;
use crate::quantity::{Duration, Percent, brief, bytes};

/// An objective that is missed, with the numbers that say so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "objective", rename_all = "kebab-case")]
pub enum Miss {
    /// There is no restore point that can be used, in any store that answers.
    NoPoint,
    /// `rpo`: the newest point is too old.
    Rpo {
        /// How old it is.
        age: Duration,
        /// How old it may be.
        rpo: Duration,
    },
    /// `verified_every`: no point was ever proven, as far back as was looked.
    NeverProven {
        /// How often one must be.
        every: Duration,
        /// How far back was looked; `None` when all points were.
        since: Option<Timestamp>,
    },
    /// `verified_every`: the newest proven point lies too far back.
    VerifiedEvery {
        /// When it was proven.
        proven: Timestamp,
        /// How long ago that is.
        age: Duration,
        /// How often one must be.
        every: Duration,
    },
    /// `rto`: the newest measured recovery took too long.
    Rto {
        /// How long it took.
        took: Duration,
        /// How long it may take.
        rto: Duration,
    },
    /// `copies`: a part of the newest point lies in too few stores.
    Copies {
        /// In how many it lies.
        found: usize,
        /// In how many it must lie.
        copies: u8,
    },
    /// `min_size`: the newest dump is too small.
    MinSize {
        /// Its size in bytes before compression.
        bytes: u64,
        /// The least it has.
        least: u64,
    },
    /// `max_shrink`: the newest dump is much smaller than those before it.
    MaxShrink {
        /// Its size in bytes before compression.
        bytes: u64,
        /// The median of those before it.
        typical: u64,
        /// By how much it may be smaller.
        most: Percent,
    },
    /// A store did not answer, so that nobody can say.
    Unreachable {
        /// The store.
        store: RefName,
        /// What it said.
        why: String,
    },
}

impl Miss {
    /// The names of all objectives, as metrics have them.
    pub const OBJECTIVES: [&'static str; 8] = ["point", "rpo", "verified_every", "rto", "copies", "min_size", "max_shrink", "store"];

    /// The name of the objective, as the pipeline's file or, for what it does not name, metrics have it.
    pub const fn objective(&self) -> &'static str {
        match self {
            Self::NoPoint => "point",
            Self::Rpo { .. } => "rpo",
            Self::NeverProven { .. } | Self::VerifiedEvery { .. } => "verified_every",
            Self::Rto { .. } => "rto",
            Self::Copies { .. } => "copies",
            Self::MinSize { .. } => "min_size",
            Self::MaxShrink { .. } => "max_shrink",
            Self::Unreachable { .. } => "store",
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ago = |age: &Duration| brief(age.std());
        match self {
            Self::NoPoint => f.write_str("there is no restore point that can be used"),
            Self::Rpo { age, rpo } => write!(f, "the newest restore point is {} old; the RPO is {rpo}", ago(age)),
            Self::NeverProven { every, since: None } => write!(f, "no restore point was ever proven; there must be a proof every {every}"),
            Self::NeverProven { every, since: Some(since) } => {
                let day = since.strftime("%Y-%m-%d");
                write!(f, "no restore point since {day} was proven; there must be a proof every {every}")
            }
            Self::VerifiedEvery { age, every, .. } => {
                write!(f, "the newest proof is {} old; there must be one every {every}", ago(age))
            }
            Self::Rto { took, rto } => write!(f, "the measured recovery took {}; the RTO is {rto}", ago(took)),
            Self::Copies { found, copies } => write!(f, "the newest restore point lies in {found} of {copies} stores"),
            Self::MinSize { bytes: found, least } => {
                write!(f, "the newest dump has {}; the least is {}", bytes(*found), bytes(*least))
            }
            Self::MaxShrink { bytes: found, typical, most } => {
                write!(f, "the newest dump has {}, the median before it is {}; it may be {most} smaller", bytes(*found), bytes(*typical))
            }
            Self::Unreachable { store, why } => write!(f, "{store} did not answer: {why}"),
        }
    }
}
