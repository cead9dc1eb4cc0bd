//! What a node of a plan does, as plain data: a flow of bytes, or an effect.
//!
//! These values are what a plan file holds and what the executor opens; they name things and hold none. Opening them is
//! in the files of the kinds, reached through the traits in `open`. This file does not choose or order work.

use serde::{Deserialize, Serialize};

use super::copy::CopyWork;
use super::prune::PruneWork;
use super::{
    AcceptSink, ApplyFilter, Checksum, Command, Compress, CopyTo, Dump, Encrypt, Fetch, FileBack, Globals, Http, Landing, Notify,
    OpenSource, PerformEffect, Prune, Record, Restore, Sql, Upload, VerifyRestore,
};
use crate::ids::{RefName, StepId};
use crate::quantity::Duration;
use crate::retention::Setting;
use crate::secret::SecretRef;
use crate::store::manifest::{Artifact, Origin};
use crate::store::recall::Recalled;
use crate::template::Template;

/// The work of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Bytes from a source through stages into a sink, in one pass.
    Flow(Box<Flow>),
    /// An action without a stream.
    Effect(Staged<Effect>),
}

/// How one node waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    /// It runs only if the other succeeded, or failed in a way that is only a warning.
    OnSuccess,
    /// It works on what the other made, and runs only if that is there: a warning is not enough.
    OnProduct,
    /// It runs once the other has ended, however it ended.
    Always,
    /// It only waits its turn: how the other ended is nothing to it.
    After,
}

/// Bytes from a source through stages into a sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Where they come from.
    pub source: Staged<Source>,
    /// What is done to them, first to last.
    pub stages: Vec<Staged<Stage>>,
    /// Where they go.
    pub sink: Staged<Sink>,
}

/// A part of a node and the step it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged<T> {
    /// The step.
    pub step: StepId,
    /// The part.
    #[serde(flatten)]
    pub part: T,
}

/// What begins a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "uses", content = "with", rename_all = "kebab-case")]
pub enum Source {
    /// `pg_dump`.
    Dump(Dump),
    /// `pg_dumpall`.
    Globals(Globals),
    /// An artifact read back from its store.
    Fetch(ReadBack),
    /// A dump that this program did not make.
    File(FileBack),
}

/// What is done to a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// A filter of the pipeline.
    Apply(Filter),
    /// The undoing of what a filter did.
    Undo(Undo),
}

/// What passes a stream on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "uses", content = "with", rename_all = "kebab-case")]
pub enum Filter {
    /// Makes it smaller.
    Compress(Compress),
    /// Digests it.
    Checksum(Checksum),
    /// Makes it unreadable.
    Encrypt(Encrypt),
}

/// What ends a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "uses", content = "with", rename_all = "kebab-case")]
pub enum Sink {
    /// A new object of a store.
    Upload(PlacedUpload),
    /// A database that is thrown away afterwards.
    Restore(RestoreScratch),
    /// A database that stays.
    Load(Box<LoadTarget>),
}

/// What acts without a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "uses", content = "with", rename_all = "kebab-case")]
pub enum Effect {
    /// Tells somebody.
    Notify(Box<Notify>),
    /// Writes the manifest: the run becomes a restore point.
    Commit(Commit),
    /// Counts and checks what was restored.
    Check(Box<VerifyRestore>),
    /// Writes the receipt of a verification and removes what it ran in.
    Finish(Finish),
    /// A part of a restore, before or after its stream.
    Restore(Box<RestoreWork>),
    /// Runs statements on a server, or asks it.
    Sql(Box<Sql>),
    /// Asks a web server.
    Http(Box<Http>),
    /// Runs a program.
    Command(Command),
    /// Lets restore points go.
    Prune(Box<PruneWork>),
    /// Has restore points in another store too.
    Copy(Box<CopyWork>),
    /// Writes the run into a table.
    Record(Recording),
}

/// What an effect does to the world outside the stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// Nothing, but that it tells somebody.
    Tells,
    /// It asks, and judges the answer.
    Asks,
    /// It may change something.
    Changes,
}

/// An upload whose key is settled but for the run's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedUpload {
    /// The store.
    pub store: RefName,
    /// The key.
    pub key: Template,
    /// Whether the bytes are secret material whatever the store's modes say.
    pub secret: bool,
    /// What protects the bytes, and so what protects everything told of their content: the encryptions of the stream, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seal: Vec<Encrypt>,
}

/// An artifact that is read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadBack {
    /// The step of this run that stored it, or that recalls it.
    pub artifact: StepId,
    /// The store that keeps it.
    pub store: RefName,
    /// The artifact of an earlier run, as it was found when the plan was made; this run's own when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recalled: Option<Box<Recalled>>,
}

/// The undoing of one stage, which the manifest describes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// The step that stored the artifact.
    pub artifact: StepId,
    /// Which of the artifact's stages, from 0.
    pub stage: usize,
    /// What that stage did, for the reader of a plan: `age`, `zstd`, `sha256`.
    pub what: String,
    /// The private key, where one is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<SecretRef>,
    /// The passphrase, where one is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SecretRef>,
}

/// A restore into a database that is thrown away afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreScratch {
    /// The step that stored the artifact.
    pub artifact: StepId,
    /// A connection whose server takes a temporary database; a scratch server is started when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<RefName>,
    /// Tables restored at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u16>,
    /// The major version of the scratch server; that of the dumped one when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major: Option<u16>,
    /// The recovery time objective that it is held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Duration>,
    /// Whether every row will be compared: then rows of what is loaded are read while the rest still loads.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compares: bool,
}

/// The load of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadTarget {
    /// The step that recalls the artifact.
    pub artifact: StepId,
    /// What the restore was asked for.
    pub with: Restore,
}

/// A part of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreWork {
    /// Which.
    pub part: RestorePart,
    /// The step that recalls the artifact.
    pub artifact: StepId,
    /// What the restore was asked for.
    pub with: Restore,
    /// Where the artifact came from, as far as that is known before it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<Origin>>,
    /// The private key lent to the fetch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<SecretRef>,
    /// The passphrase lent to the fetch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SecretRef>,
    /// The globals of the same restore point, where they are to be restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub globals: Option<Box<Artifact>>,
    /// What had the database's name when the plan was made; not given where nobody looked, or where a step before the restore may change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
}

/// What had a database's name when somebody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The number of the database; nothing had the name when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<u32>,
    /// The number of its oldest table, where its content is replaced in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_table: Option<u32>,
}

/// The parts of a restore around its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestorePart {
    /// The place is taken, and must still be what the plan was made from.
    Hold,
    /// The place is taken and an empty database made.
    Prepare,
    /// What was loaded is compared with what was dumped.
    Prove,
    /// The database gets its name.
    Swap,
    /// What was not finished is removed.
    Finish,
    /// Roles and tablespaces that are missing are made.
    Globals,
    /// The tables must have the form that they had.
    Agree,
    /// Tables go from the scratch server into the database.
    Transfer,
    /// All data goes from the scratch server into the tables of the database.
    Fill,
    /// The patch of single rows is written.
    Patch,
    /// The patch is applied.
    Apply,
    /// A program that was asked for runs behind the swap: which one, from 0.
    After(usize),
}

/// The recording of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// What the run is for, which is what a row says when it stored nothing: `dump`, `globals`, `verify`, `restore` or `run`.
    pub kind: String,
    /// Where it is recorded.
    pub with: Record,
}

/// The commit of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The stores that get the manifest: every one that keeps an artifact.
    pub stores: Vec<RefName>,
    /// The steps whose artifacts must be there.
    pub artifacts: Vec<StepId>,
}

/// The end of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// The step that stored the artifact.
    pub artifact: StepId,
    /// The store that gets the receipt.
    pub store: RefName,
}

impl From<Dump> for Source {
    fn from(params: Dump) -> Self {
        Self::Dump(params)
    }
}

impl From<Globals> for Source {
    fn from(params: Globals) -> Self {
        Self::Globals(params)
    }
}

/// What it reads, and how it is undone, the planner fills in.
impl From<Fetch> for Source {
    fn from(params: Fetch) -> Self {
        let Fetch { from, file, identity, passphrase } = params;
        match from {
            Some(point) => Self::Fetch(ReadBack { artifact: StepId::nameless(), store: point.store, recalled: None }),
            None => Self::File(FileBack { path: file.unwrap_or_default(), bytes: None, identity, passphrase }),
        }
    }
}

impl From<Upload> for Landing {
    fn from(params: Upload) -> Self {
        Self::Upload(params)
    }
}

impl From<Restore> for Landing {
    fn from(params: Restore) -> Self {
        Self::Restore(Box::new(params))
    }
}

impl From<Compress> for Filter {
    fn from(params: Compress) -> Self {
        Self::Compress(params)
    }
}

impl From<Checksum> for Filter {
    fn from(params: Checksum) -> Self {
        Self::Checksum(params)
    }
}

impl From<Encrypt> for Filter {
    fn from(params: Encrypt) -> Self {
        Self::Encrypt(params)
    }
}

impl From<Notify> for Effect {
    fn from(params: Notify) -> Self {
        Self::Notify(Box::new(params))
    }
}

impl From<Sql> for Effect {
    fn from(params: Sql) -> Self {
        Self::Sql(Box::new(params))
    }
}

impl From<Http> for Effect {
    fn from(params: Http) -> Self {
        Self::Http(Box::new(params))
    }
}

/// What goes, the planner fills in.
impl From<Prune> for Effect {
    fn from(with: Prune) -> Self {
        Self::Prune(Box::new(PruneWork { with, stores: Vec::new(), setting: Setting::default(), all: Vec::new() }))
    }
}

/// What is copied, and from where, the planner fills in.
impl From<CopyTo> for Effect {
    fn from(with: CopyTo) -> Self {
        let from = with.from.clone().unwrap_or_else(|| with.to.clone());
        Self::Copy(Box::new(CopyWork { with, from, own: false, missed: None, unread: None }))
    }
}

/// What the run is for the planner fills in.
impl From<Record> for Effect {
    fn from(params: Record) -> Self {
        Self::Record(Recording { kind: "run".to_owned(), with: params })
    }
}

impl From<Command> for Effect {
    fn from(params: Command) -> Self {
        Self::Command(params)
    }
}

impl Source {
    /// How it opens.
    pub fn opener(&self) -> &dyn OpenSource {
        match self {
            Self::Dump(dump) => dump,
            Self::Globals(globals) => globals,
            Self::Fetch(fetch) => fetch,
            Self::File(file) => file,
        }
    }
}

impl Stage {
    /// How it wraps a stream.
    pub fn filter(&self) -> &dyn ApplyFilter {
        match self {
            Self::Apply(Filter::Compress(compress)) => compress,
            Self::Apply(Filter::Checksum(checksum)) => checksum,
            Self::Apply(Filter::Encrypt(encrypt)) => encrypt,
            Self::Undo(undo) => undo,
        }
    }
}

impl Sink {
    /// How it takes a stream.
    pub fn acceptor(&self) -> &dyn AcceptSink {
        match self {
            Self::Upload(upload) => upload,
            Self::Restore(restore) => restore,
            Self::Load(load) => &**load,
        }
    }
}

impl Effect {
    /// How it acts.
    pub fn performer(&self) -> &dyn PerformEffect {
        match self {
            Self::Notify(notify) => &**notify,
            Self::Commit(commit) => commit,
            Self::Check(check) => &**check,
            Self::Finish(finish) => finish,
            Self::Restore(work) => &**work,
            Self::Sql(sql) => &**sql,
            Self::Http(http) => &**http,
            Self::Command(command) => command,
            Self::Prune(work) => &**work,
            Self::Copy(work) => &**work,
            Self::Record(record) => record,
        }
    }

    /// What it does to the world outside the stores.
    pub fn touch(&self) -> Touch {
        match self {
            Self::Notify(_) | Self::Commit(_) | Self::Finish(_) | Self::Record(_) => Touch::Tells,
            Self::Check(_) => Touch::Asks,
            Self::Sql(sql) if sql.query.is_some() => Touch::Asks,
            Self::Http(http) if !http.method.changes() => Touch::Asks,
            Self::Restore(_) | Self::Sql(_) | Self::Http(_) | Self::Command(_) | Self::Prune(_) | Self::Copy(_) => Touch::Changes,
        }
    }
}
