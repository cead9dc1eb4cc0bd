//! The ledger: what a run has done so far, for the steps that tell of it or build on it.
//!
//! Written by sinks, verifications and the executor; read by the commit, the receipt and notifications. It is memory only;
//! what must outlive the run is in the manifest and the journal, what must outlive the process in the receipts of nodes ([`Added`]).
//!
//! [`Added`]: super::Added

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::archive::Fingerprint;
use crate::ids::{NodeId, RefName, RunId, StepId};
use crate::store::Stored;
use crate::store::manifest::{Artifact, CheckOutcome, Fault, Level, Manifest, Origin, Proof, Recovery, TableCount, overall};
use crate::store::recall::Recalled;
use crate::stream::crypt::OpenedBy;

/// What a run has done so far.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The artifacts stored, by the step that stored them.
    pub artifacts: BTreeMap<StepId, Artifact>,
    /// Artifacts of earlier runs that were read back, by the step that read them.
    pub recalled: BTreeMap<StepId, Recalled>,
    /// What is known of dumps that this program did not make, by the step that read them.
    pub foreign: BTreeMap<StepId, Origin>,
    /// What each dump held, by the step that stored or read it.
    pub fingerprints: BTreeMap<StepId, Arc<Fingerprint>>,
    /// The manifest, once it is made; kept so that a second attempt at the commit writes the same bytes.
    pub manifest: Option<Manifest>,
    /// The commit, once it is made.
    pub committed: Option<Stored>,
    /// Whether a manifest lies in a store, or may, though its commit failed.
    pub unconfirmed: bool,
    /// Restore points that were copied to other stores, in that order.
    pub copies: Vec<CopiedPoint>,
    /// In how many stores each part of a restore point must lie.
    pub copies_wanted: Option<u8>,
    /// The verifications, by the step that verifies.
    pub verifications: BTreeMap<StepId, Verification>,
    /// The database that a restore has made.
    pub landed: Option<Landed>,
    /// What was brought into a database that was there.
    pub brought: Option<Brought>,
    /// The nodes that have ended, in that order.
    pub nodes: Vec<NodeRecord>,
    /// What `notify: { stdout }` wants said, for the command line to print, with the step that says it.
    pub said: Vec<(StepId, String)>,
}

/// A restore point that is in another store now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CopiedPoint {
    /// The step that copied it.
    pub step: StepId,
    /// The point.
    pub run: RunId,
    /// The store that it was read from.
    pub from: RefName,
    /// The store that has it now.
    pub to: RefName,
    /// Its objects there.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The steps that stored them.
    pub parts: BTreeSet<StepId>,
    /// Whether it was there before.
    pub already: bool,
}

/// A database that a restore has made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Landed {
    /// Its name.
    pub database: String,
    /// Where it is: `backup@db1:5432/orders`.
    pub place: String,
    /// What the database is called now that had the name before, if there was one.
    pub kept: Option<String>,
    /// Whether that one was dropped.
    pub dropped: bool,
}

/// Tables or rows that were brought into a database that was there, or a patch that would bring them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Brought {
    /// Where it is: `backup@db1:5432/orders`.
    pub place: String,
    /// What was done, or would be, to each table.
    pub tables: Vec<BroughtTable>,
    /// The patch, if it is one.
    pub patch: Option<PathBuf>,
    /// Whether it was done: a patch may wait for its review.
    pub done: bool,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// What was done to a table, or would be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BroughtTable {
    /// The table that is written to, as SQL writes it.
    pub table: String,
    /// How many rows are inserted.
    pub inserted: u64,
    /// How many rows are set back.
    pub updated: u64,
    /// How many rows are deleted.
    pub deleted: u64,
}

impl fmt::Display for BroughtTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} inserted, {} set back, {} deleted", self.table, self.inserted, self.updated, self.deleted)
    }
}

/// How a node ended, in the words that notifications use.
#[derive(Debug, Clone)]
pub struct NodeRecord {
    /// The node.
    pub node: NodeId,
    /// Whether it did its work or was skipped.
    pub good: bool,
    /// Whether its failure is only a warning.
    pub warn_only: bool,
    /// How long it took.
    pub took: Duration,
    /// Why it failed.
    pub error: Option<String>,
    /// What that says of what it was to verify.
    pub fault: Option<Fault>,
}

/// What a verification has found out so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verification {
    /// The step that stored what is verified.
    pub artifact: StepId,
    /// When it began.
    pub started: Timestamp,
    /// The same on a clock that nobody sets, and that ends with the process.
    #[serde(skip, default = "Instant::now")]
    pub began: Instant,
    /// The level earned so far.
    pub level: Level,
    /// The scratch server's `server_version_num`.
    pub server_version: Option<u32>,
    /// How long fetching, undoing and restoring took, together.
    pub recovery: Option<Recovery>,
    /// Size of the restored database in bytes.
    pub database_bytes: Option<u64>,
    /// Rows a table.
    pub tables: Vec<TableCount>,
    /// The checks.
    pub checks: Vec<CheckOutcome>,
    /// How it compares with what was dumped.
    pub proof: Option<Proof>,
    /// Why it can not earn the highest level, where that is known.
    pub short: Option<String>,
    /// Where it appears which key opened the artifact; `None` until something encrypted is opened.
    pub opened_by: Option<OpenedBy>,
}

impl Verification {
    /// A verification that begins now and knows only that the artifact is committed.
    pub fn starting(artifact: StepId, now: Timestamp) -> Self {
        Self {
            artifact,
            started: now,
            began: Instant::now(),
            level: Level::Stored,
            server_version: None,
            recovery: None,
            database_bytes: None,
            tables: Vec::new(),
            checks: Vec::new(),
            proof: None,
            short: None,
            opened_by: None,
        }
    }

    /// Everything is loaded now: this many plain bytes.
    pub fn loaded(&mut self, bytes: u64, objective: Option<Duration>) -> Recovery {
        *self.recovery.insert(Recovery { took: self.began.elapsed(), bytes, objective })
    }
}

impl Ledger {
    /// What is known of this run's restore point ([`overall`]); `None` before its commit.
    pub fn level(&self) -> Option<Level> {
        self.committed.as_ref()?;
        let of = |artifact: &Artifact| {
            self.verifications.values().filter(|found| found.artifact == artifact.step).map(|found| found.level).max()
        };
        Some(overall(self.artifacts.values(), of))
    }

    /// Whether a node verifies, or has begun to.
    pub fn verifies(&self, node: &NodeId) -> bool {
        let node = node.as_str();
        self.verifications.keys().any(|step| node == step.as_str() || node.starts_with(&format!("{step}:")))
    }

    /// The verification that earned the most; of equals the first.
    pub fn best(&self) -> Option<&Verification> {
        self.verifications.values().rev().max_by_key(|found| found.level)
    }

    /// In how many stores the part of this run's restore point lies that lies in the fewest, if more are wanted.
    pub fn too_few_copies(&self) -> Option<(usize, u8)> {
        let (manifest, wanted) = (self.manifest.as_ref().filter(|_| self.committed.is_some())?, self.copies_wanted?);
        let stores = |artifact: &Artifact| {
            let copied = self.copies.iter().filter(|copy| copy.run == manifest.run && copy.parts.contains(&artifact.step));
            std::iter::once(&artifact.store).chain(copied.map(|copy| &copy.to)).collect::<BTreeSet<_>>().len()
        };
        let found = manifest.artifacts.iter().map(stores).min()?;
        (found < usize::from(wanted)).then_some((found, wanted))
    }

    /// The first recovery that took longer than its objective allows.
    pub fn too_slow(&self) -> Option<Recovery> {
        self.verifications.values().filter_map(|found| found.recovery).find(|recovery| recovery.missed_by().is_some())
    }
}
