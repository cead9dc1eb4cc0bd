//! What a run leaves in the store as its commit: one immutable JSON document a restore point, and receipts beside it.
//!
//! No manifest, no restore point. The manifest is written last, create-only, and never changed; what is found out
//! later (a verification) is a [`Receipt`], a further immutable object. This module does not decide when to commit.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Stored;
use crate::archive::Summary;
use crate::ids::{NodeId, PipelineName, RefName, RunId, StepId};

/// The version this program writes.
pub const VERSION: u32 = 1;

/// How much is known about a restore point; each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Committed.
    Stored,
    /// Its bytes, read from the store, match their digest.
    ReadBack,
    /// It decrypts, decompresses, and the archive lists.
    Decoded,
    /// It was loaded into a scratch server without one error, and every check passed.
    Restored,
    /// The restored content equals what was dumped, table by table.
    Proven,
}

impl Level {
    /// Its name, as documents have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::ReadBack => "read-back",
            Self::Decoded => "decoded",
            Self::Restored => "restored",
            Self::Proven => "proven",
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What a stage did to the bytes, in enough detail to undo it without the pipeline's YAML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Applied {
    /// Compressed.
    Compress {
        /// `zstd`, `gzip` or `lz4`.
        codec: crate::stream::codec::Codec,
        /// Bytes after it.
        bytes: u64,
    },
    /// Digested where it stood; the bytes are unchanged.
    Checksum {
        /// `sha256`, `sha512` or `blake3`.
        algorithm: crate::stream::digest::Algorithm,
        /// The digest in lower-case hex.
        digest: String,
        /// Bytes digested.
        bytes: u64,
        /// The key of the `sha256sum -c` compatible file beside the object.
        sidecar: Option<String>,
    },
    /// Encrypted.
    Encrypt {
        /// `age` or `openpgp`.
        scheme: crate::stream::crypt::Scheme,
        /// The recipients, as public text (age keys, OpenPGP fingerprints); empty for a passphrase.
        recipients: Vec<String>,
        /// Bytes after it.
        bytes: u64,
    },
}

/// What was dumped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The kind of content: `dump` or `globals`.
    pub kind: String,
    /// The form of the plain bytes: `custom`, `plain`, `tar`, `directory-tar`, `globals-sql`.
    pub format: String,
    /// The connection's name in the pipeline.
    pub connection: RefName,
    /// The database; `None` for globals.
    pub database: Option<String>,
    /// The server's `server_version_num`, such as 150018.
    pub server_version: u32,
    /// The cluster's system identifier (`pg_control_system()`), when the role may read it.
    pub system_identifier: Option<String>,
    /// The database's encoding and locale; `None` where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<Locale>,
    /// The names of the cluster's roles, which a restore with owners and privileges needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The names of the cluster's tablespaces, which a plain dump asks for where its tables lie in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tablespaces: Vec<String>,
    /// The database's extensions with their versions (`pg_trgm 1.6`); empty for globals, and where nobody looked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// The schemas of chosen tables, where the dump holds these but not the schemas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<String>,
    /// The tool and its version, such as `pg_dump (PostgreSQL) 15.18`.
    pub tool: String,
    /// Bytes the tool produced.
    pub bytes: u64,
}

/// A database's encoding and locale, as `pg_database` has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locale {
    /// The encoding: `UTF8`.
    pub encoding: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// The provider: `c` is the C library, `i` ICU, `b` PostgreSQL itself.
    pub provider: char,
    /// The locale of a provider other than the C library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
}

/// One object of a restore point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The step that stored it.
    pub step: StepId,
    /// The store's name in the pipeline.
    pub store: RefName,
    /// Key, size and digest as confirmed.
    pub object: Stored,
    /// Where its content came from.
    pub origin: Origin,
    /// The stages applied, first to last: the way back is the reverse.
    pub stages: Vec<Applied>,
    /// What the dump held, read from its stream as it flowed; `None` for globals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Summary>,
    /// The whole of it, as an object beside this one; `None` where nothing was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Sidecar>,
    /// What the dump lacks of its database; `None` where nobody looked: for globals, and without a fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completeness: Option<Completeness>,
    /// When its first byte was asked for.
    pub started: Timestamp,
    /// When the store confirmed it.
    pub finished: Timestamp,
}

/// The whole fingerprint of a dump as JSON: names of tables and their row counts, so it is protected as the dump itself is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sidecar {
    /// Key, size and digest as confirmed.
    pub object: Stored,
    /// The stages applied to the JSON, first to last.
    pub stages: Vec<Applied>,
}

/// What a dump lacks of its database, as the catalog had it in the dump's own snapshot. What it lacks without a reason is
/// never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completeness {
    /// Why nobody could tell; `None` when every object of the catalog was looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchecked: Option<String>,
    /// How many objects of the catalog were looked for, large objects among them.
    pub objects: u64,
    /// What was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// Objects of one kind that a dump lacks for one reason. Parts of a table that a filter excludes are not listed with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The kind, as an archive's inventory has it: `TABLE`, `TABLE DATA`, `SUBSCRIPTION`; `OWNER` for who owns what.
    pub kind: String,
    /// Why.
    pub why: Why,
    /// How many; 1 for all that nobody counts.
    pub count: u64,
    /// Their names with their schemas, sorted; only the first where they are very many.
    pub names: Vec<String>,
}

/// Why a dump lacks an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// `tables`, `exclude_tables`, `schemas` or `exclude_schemas` do not choose it.
    Filter,
    /// It is data, and only definitions were wanted.
    SchemaOnly,
    /// It is a definition, and only data was wanted.
    DataOnly,
    /// It is in a section that was not wanted.
    Sections,
    /// Only superusers dump it.
    NoSuperuser,
    /// A standby does not have it.
    Standby,
    /// It says who may do what, and `no_privileges` leaves that out.
    NoPrivileges,
    /// It says who owns what, and `no_owner` leaves that out of a plain dump.
    NoOwner,
}

/// The commit of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this document: [`VERSION`].
    pub version: u32,
    /// The run, and so the restore point.
    pub run: RunId,
    /// The pipeline's name.
    pub pipeline: PipelineName,
    /// SHA-256 of the pipeline's text.
    pub source_sha256: String,
    /// The git commit the pipeline was read from, with `-dirty` behind it when the file differs from it.
    pub git_commit: Option<String>,
    /// The version of `runner`.
    pub runner: String,
    /// The host's name.
    pub host: String,
    /// When the run started.
    pub started: Timestamp,
    /// When the manifest was made.
    pub committed: Timestamp,
    /// What the commit itself proves: always [`Level::Stored`]; receipts raise it.
    pub level: Level,
    /// The objects.
    pub artifacts: Vec<Artifact>,
    /// How long each node took until the commit.
    pub timings: BTreeMap<NodeId, Duration>,
    /// The fencing token of the lease held in each store it was committed to: larger than those of all earlier holders.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fences: BTreeMap<RefName, u64>,
    /// Where it was copied from; `None` where its own run committed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
}

/// Where a copy of a restore point came from. All else in its manifest is as its own run committed it, but the names of the stores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// The store it was read from, as the copying pipeline calls it.
    pub from: RefName,
    /// When the copy looked what there was to copy: what was committed by then is here too, unless it was left out.
    pub at: Timestamp,
    /// The run that copied it.
    pub run: RunId,
    /// The host that copied it.
    pub host: String,
}

/// The rows counted in one restored table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCount {
    /// The schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// Whether it is a materialized view, whose rows are computed and not dumped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub materialized: bool,
}

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckOutcome {
    /// The check in words: its SQL, or `row_count users >= 1`.
    pub check: String,
    /// Whether it held.
    pub passed: bool,
    /// What was found, or [why](Self::unasked) nothing was.
    pub found: String,
}

/// How what was found begins where nobody could ask.
const UNASKED: &str = "could not be asked: ";

impl CheckOutcome {
    /// A check that failed because it could not be asked.
    pub fn unasked(check: String, why: &str) -> Self {
        Self { check, passed: false, found: format!("{UNASKED}{why}") }
    }
}

impl std::fmt::Display for CheckOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let found = if self.found.starts_with(UNASKED) { "" } else { "found " };
        write!(f, "{}: {found}{}", self.check, self.found)
    }
}

/// How what was restored compares with what was dumped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Whether contents and definitions were compared, and not only rows counted.
    pub whole: bool,
    /// Every difference, in words that name the object; empty when everything compared is equal.
    pub differences: Vec<String>,
    /// What could not be compared, and why.
    pub incomparable: Vec<String>,
    /// What the dump held.
    pub compared: Summary,
}

/// How long a recovery takes, as measured by doing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// From the first byte that was asked for until everything was loaded.
    pub took: Duration,
    /// Plain bytes that were loaded.
    pub bytes: u64,
    /// The recovery time objective that it was held against, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Duration>,
}

impl Recovery {
    /// Plain bytes a second.
    pub fn bytes_per_second(&self) -> u64 {
        let rate = u128::from(self.bytes) * 1000 / self.took.as_millis().max(1);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// By how much it took longer than its objective allows.
    pub fn missed_by(&self) -> Option<Duration> {
        self.took.checked_sub(self.objective?).filter(|late| !late.is_zero())
    }
}

/// What a failed verification says of the content that it was to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// It is wrong: what the store gave back, or what was restored from it, is not what was stored.
    Content,
    /// Nothing: the key that was lent does not open it.
    Key,
    /// Nothing: a tool, a right or a server was missing, the run was stopped, or it was tried on another major version.
    Elsewhere,
}

/// What a verification found out about a committed restore point: a further immutable object beside its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The form of this document: [`VERSION`].
    pub version: u32,
    /// The restore point.
    pub run: RunId,
    /// The pipeline's name.
    pub pipeline: PipelineName,
    /// The step that verified.
    pub step: StepId,
    /// The artifact's key.
    pub key: String,
    /// The level it earned.
    pub level: Level,
    /// Why it earned no more, when something failed.
    pub failure: Option<String>,
    /// What that failure says of the content; `None` without a failure, and in receipts of versions that did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Whose key opened the artifact, as public text; `None` where nothing was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// The scratch server's `server_version_num`.
    pub server_version: Option<u32>,
    /// Fetching, undoing and restoring, together: the measured recovery time.
    pub restore_took: Option<Duration>,
    /// Size of the restored database in bytes.
    pub database_bytes: Option<u64>,
    /// Rows a table.
    pub tables: Vec<TableCount>,
    /// The checks.
    pub checks: Vec<CheckOutcome>,
    /// How what was restored compares with what was dumped; `None` when nobody compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// How fast it was, and whether that is fast enough; `None` when nothing was loaded whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
}

impl Receipt {
    /// Whether it says something of the content: that it is good, or that it is wrong.
    pub fn judges(&self) -> bool {
        self.failure.is_none() || matches!(self.fault, None | Some(Fault::Content))
    }
}

/// The level of a restore point: the lowest among its dumps, each at what verifications of it earned. Globals can
/// not be tried out alone and count only where there is nothing else.
pub fn overall<'a>(artifacts: impl IntoIterator<Item = &'a Artifact>, earned: impl Fn(&Artifact) -> Option<Level>) -> Level {
    let (dumps, others): (Vec<&Artifact>, Vec<&Artifact>) = artifacts.into_iter().partition(|artifact| artifact.origin.kind == "dump");
    let counted = if dumps.is_empty() { others } else { dumps };
    counted.into_iter().map(|artifact| earned(artifact).unwrap_or(Level::Stored)).min().unwrap_or(Level::Stored)
}

/// The folder of a pipeline's restore points of one month: `.runner/<pipeline>/<yyyy-mm>/`.
pub fn month_prefix(pipeline: &PipelineName, run: &RunId) -> String {
    format!(".runner/{pipeline}/{}/", run.started().strftime("%Y-%m"))
}

/// The key of a restore point's manifest.
pub fn manifest_key(pipeline: &PipelineName, run: &RunId) -> String {
    format!("{}{run}.manifest.json", month_prefix(pipeline, run))
}

/// The key of a receipt about a restore point; to the microsecond, for two hosts may end a verification of it in the same second.
pub fn receipt_key(pipeline: &PipelineName, run: &RunId, step: &StepId, finished: Timestamp) -> String {
    format!("{}{run}.verified-{step}-{}.json", month_prefix(pipeline, run), finished.strftime("%Y%m%dT%H%M%S.%6fZ"))
}
