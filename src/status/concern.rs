//! What is worth a look though no objective speaks of it, as data; words come last.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::complaint::Complaint;
use super::facts::{Attempt, LeaseFacts};
use crate::ids::{PipelineName, RefName, RunId};
use crate::quantity::{Duration, brief, bytes};
use crate::words::count;

/// Something worth a look, with what says so. Programs are told of it in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concern {
    /// Runs have failed since the newest point.
    Failed {
        /// How many.
        times: usize,
        /// The last of them.
        last: Attempt,
    },
    /// The run of the newest point failed, after it had committed it.
    EndedBadly {
        /// That run.
        last: Attempt,
    },
    /// A point newer than all that can be used can not be used itself.
    Unusable {
        /// The point.
        run: RunId,
        /// Why, as far as anybody knows.
        why: Option<Complaint>,
    },
    /// The newest point is not what it should be.
    Complaint {
        /// The point.
        run: RunId,
        /// What is wrong with it.
        why: Complaint,
    },
    /// The newest point is on the way out.
    Leaving {
        /// The point.
        run: RunId,
    },
    /// A point says that it begins in time to come, so it does not count as the newest.
    Ahead {
        /// The point.
        run: RunId,
        /// When it says that it began.
        started: Timestamp,
    },
    /// The newest dump has less than half of what is typical, where no objective speaks of it.
    Unlike {
        /// Its size in bytes before compression.
        bytes: u64,
        /// The median of those before it.
        typical: u64,
    },
    /// There is an objective for recoveries, and none was measured.
    Unmeasured {
        /// The objective.
        rto: Duration,
    },
    /// A run holds a lease and gives no sign of life.
    Stuck {
        /// The lease.
        lease: LeaseFacts,
        /// The pipeline that runs, where it is another one of the group.
        of: Option<PipelineName>,
        /// For how long it gave none.
        silent: Duration,
    },
    /// A run takes longer than a backup may be old.
    Long {
        /// Its lease.
        lease: LeaseFacts,
        /// The pipeline that runs, where it is another one of the group.
        of: Option<PipelineName>,
        /// How long so far.
        long: Duration,
    },
    /// A record in a store can not be used.
    Trouble {
        /// The store.
        store: RefName,
        /// Which, and why.
        what: String,
    },
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |last: &Attempt| last.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
        let whose = |of: &Option<PipelineName>| of.as_ref().map(|of| format!(" of {of}")).unwrap_or_default();
        match self {
            Self::Failed { times, last } => {
                let host = on(last);
                let times = count(*times as u64, "run");
                write!(f, "{times} failed since the newest restore point; the last, {}{host}: {}", last.run, last.cause)
            }
            Self::EndedBadly { last } => write!(f, "the run of the newest restore point, {}{}, failed: {}", last.run, on(last), last.cause),
            Self::Unusable { run, why: Some(why) } => write!(f, "the restore point {run} can not be used: {why}"),
            Self::Unusable { run, why: None } => write!(f, "the restore point {run} can not be used: nobody knows why"),
            Self::Complaint { run, why } => write!(f, "the newest restore point, {run}: {why}"),
            Self::Leaving { run } => write!(f, "the newest restore point, {run}, is on the way out"),
            Self::Ahead { run, started } => {
                write!(f, "the restore point {run} is said to begin at {started}, which is yet to come: ")?;
                f.write_str("a host's clock was far ahead, and until then the point does not count as the newest")
            }
            Self::Unlike { bytes: found, typical } => {
                write!(f, "the newest dump has {}, and the median before it {}: less than half; ", bytes(*found), bytes(*typical))?;
                f.write_str("`objectives.max_shrink` says how much is too much")
            }
            Self::Unmeasured { rto } => write!(f, "the RTO is {rto}, and no recovery of the last points was measured"),
            Self::Stuck { lease, of, silent } => {
                write!(f, "run {}{} on {} holds the lease in {}", lease.run, whose(of), lease.host, lease.store)?;
                write!(f, " and has not renewed it for {}: it is stuck or dead; the next run takes over", brief(silent.std()))
            }
            Self::Long { lease, of, long } => {
                let long = brief(long.std());
                write!(f, "run {}{} on {} has been at work for {long}, longer than the RPO", lease.run, whose(of), lease.host)
            }
            Self::Trouble { store, what } => write!(f, "in {store}: {what}"),
        }
    }
}

impl Serialize for Concern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
