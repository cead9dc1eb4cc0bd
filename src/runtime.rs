//! The live things of one run: connections, stores, secrets, scratch servers, and the ledger of what was done.
//!
//! Handles are opened at first use and closed when the run's [`Runtime`] is dropped, whatever happened; scratch servers are
//! stopped and removed then at the latest. This module holds no options of any step and decides nothing.

mod added;
mod connection;
mod leased;
mod leases;
mod ledger;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::runtime::Handle;

use crate::ids::{PipelineName, RefName, RunId, StepId};
use crate::postgres::fingerprint::Early;
use crate::postgres::target::Target;
use crate::postgres::{ConnectionSpec, PgError, ScratchServer, TempDatabase};
use crate::secret::Secrets;
use crate::store::lease::{Held, Terms};
use crate::store::{ObjectStore, StoreError, StoreSpec};
use crate::stream::Cancel;
use crate::stream::owned::{self, OwnedFolder};
use crate::template::{Bindings, RunWords, Template, TemplateError};

pub use added::Added;
pub use connection::Connection;
pub use leases::{Leases, StepLease, TakeError};
pub use ledger::{Brought, BroughtTable, CopiedPoint, Landed, Ledger, NodeRecord, Verification};

/// Who and what a run is, as its manifest and its messages say it.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// The run.
    pub run: RunId,
    /// Its words in templates.
    pub words: RunWords,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// SHA-256 of the pipeline's text.
    pub source_sha256: String,
    /// The git commit, where there is one.
    pub git_commit: Option<String>,
    /// The version of `runner`.
    pub runner: String,
    /// The host's name.
    pub host: String,
}

/// What a run opens its handles from.
pub struct Declared {
    /// The databases.
    pub connections: BTreeMap<RefName, ConnectionSpec>,
    /// The stores.
    pub stores: BTreeMap<RefName, StoreSpec>,
    /// The secrets.
    pub secrets: Secrets,
    /// What templates may use.
    pub bindings: Bindings,
}

/// Where a verification restores to.
pub enum Scratch {
    /// A server of its own.
    Server(ScratchServer, String),
    /// A temporary database on a server that runs already.
    Database(TempDatabase, Arc<Connection>),
}

/// An archive that lies whole on scratch disk; removed with this value.
#[derive(Debug)]
pub struct StagedArchive {
    path: PathBuf,
    _folder: OwnedFolder,
}

impl StagedArchive {
    /// The archive at `path`, in a folder of its own.
    pub const fn new(folder: OwnedFolder, path: PathBuf) -> Self {
        Self { path, _folder: folder }
    }

    /// Where it lies: a file, or the folder of a directory dump.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes the password files, staged dumps and keys that killed runs left below `parent` and in memory, and answers which.
pub fn sweep_killed(parent: &Path) -> Vec<PathBuf> {
    [parent, Path::new(owned::IN_MEMORY)].into_iter().flat_map(owned::sweep_stale).collect()
}

impl Scratch {
    /// Stops a server of its own at once, so that whoever waits for its answer is told. A server that runs already is left alone.
    pub fn interrupt(&self) {
        if let Self::Server(server, _) = self {
            server.interrupt();
        }
    }
}

/// The place of a connection, held by whoever opens it while others that want the same one wait.
type Slot = Arc<Mutex<Option<Arc<Connection>>>>;

/// The live things of one run.
pub struct Runtime {
    /// Who and what the run is.
    pub facts: RunFacts,
    /// The request to stop: what runs is stopped, what always runs still does.
    pub cancel: Cancel,
    /// The second, harder request: everything is stopped.
    pub abort: Cancel,
    handle: Handle,
    declared: Declared,
    scratch_parent: PathBuf,
    connections: Mutex<BTreeMap<RefName, Slot>>,
    stores: Mutex<BTreeMap<RefName, Arc<dyn ObjectStore>>>,
    leases: Mutex<BTreeMap<RefName, Arc<Held>>>,
    /// What is asked of a lease that a step takes itself; unset in a run without leases.
    terms: OnceLock<Terms>,
    scratch: Mutex<BTreeMap<StepId, Arc<Scratch>>>,
    archives: Mutex<BTreeMap<StepId, Arc<StagedArchive>>>,
    early: Mutex<BTreeMap<StepId, Arc<Early>>>,
    targets: Mutex<BTreeMap<StepId, Arc<Target>>>,
    ledger: Mutex<Ledger>,
}

/// A name that the plan uses and nobody declared: a defect, reported and not hidden.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what} `{name}` is not declared in this plan")]
pub struct Undeclared {
    what: &'static str,
    name: RefName,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The plan does not declare it.
    #[error(transparent)]
    Undeclared(#[from] Undeclared),
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database could not be opened.
    #[error(transparent)]
    Postgres(#[from] PgError),
}

impl Runtime {
    /// A runtime with nothing open yet. Scratch servers and staged files live below `scratch_parent`.
    pub fn new(facts: RunFacts, declared: Declared, handle: Handle, scratch_parent: &Path) -> Self {
        Self {
            facts,
            cancel: Cancel::new(),
            abort: Cancel::new(),
            handle,
            declared,
            scratch_parent: scratch_parent.to_owned(),
            connections: Mutex::default(),
            stores: Mutex::default(),
            leases: Mutex::default(),
            terms: OnceLock::new(),
            scratch: Mutex::default(),
            archives: Mutex::default(),
            early: Mutex::default(),
            targets: Mutex::default(),
            ledger: Mutex::default(),
        }
    }

    /// The tokio runtime that asynchronous clients run on.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The declared secrets.
    pub const fn secrets(&self) -> &Secrets {
        &self.declared.secrets
    }

    /// The folder below which scratch things live.
    pub fn scratch_parent(&self) -> &Path {
        &self.scratch_parent
    }

    /// A text with this run's words in it.
    pub fn render(&self, template: &Template) -> Result<String, TemplateError> {
        template.render(&self.declared.bindings, &self.facts.words)
    }

    /// An open connection; an embedded server is started and seeded by the first who asks, while others that ask for it wait.
    pub fn connection(&self, name: &RefName) -> Result<Arc<Connection>, OpenError> {
        self.connection_within(name, &self.cancel)
    }

    /// The same for an attempt that may be told to stop by itself: a server that takes long to start is given up then.
    pub fn connection_within(&self, name: &RefName, cancel: &Cancel) -> Result<Arc<Connection>, OpenError> {
        let slot = Arc::clone(self.connections.lock().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_default());
        let mut open = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = &*open {
            return Ok(Arc::clone(connection));
        }
        // Whoever had to wait for another may have been told to stop meanwhile.
        let doing = || format!("opening the connection {name}");
        cancel.check().map_err(|stopped| PgError::Program { doing: doing(), source: Box::new(stopped), log: String::new() })?;
        let spec = self.declared.connections.get(name).ok_or_else(|| Undeclared { what: "connection", name: name.clone() })?;
        let connection = Arc::new(Connection::open(spec, &self.declared.secrets, &self.scratch_parent, &self.handle, cancel)?);
        Ok(Arc::clone(open.insert(connection)))
    }

    /// An open store.
    pub fn store(&self, name: &RefName) -> Result<Arc<dyn ObjectStore>, OpenError> {
        let mut open = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = open.get(name) {
            return Ok(Arc::clone(store));
        }
        let spec = self.declared.stores.get(name).ok_or_else(|| Undeclared { what: "store", name: name.clone() })?;
        let store = crate::store::open(spec, &self.handle)?;
        open.insert(name.clone(), Arc::clone(&store));
        Ok(store)
    }

    fn replace_store(&self, name: &RefName, store: Arc<dyn ObjectStore>) {
        drop(self.stores.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), store));
    }

    /// Whether two names are declared as the very same store.
    fn same_store(&self, one: &RefName, other: &RefName) -> bool {
        self.declared.stores.get(one) == self.declared.stores.get(other)
    }

    fn keep_lease(&self, name: &RefName, held: Arc<Held>) {
        drop(self.leases.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), held));
    }

    /// The lease that this run holds in a store; `None` where it took none.
    pub fn lease(&self, name: &RefName) -> Option<Arc<Held>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The fencing token of each lease that this run holds.
    pub fn fences(&self) -> BTreeMap<RefName, u64> {
        let leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.iter().map(|(name, held)| (name.clone(), held.token())).collect()
    }

    /// Keeps the place that a step restored to; one it had before is removed.
    pub fn keep_scratch(&self, step: &StepId, scratch: Arc<Scratch>) {
        drop(self.scratch.lock().unwrap_or_else(PoisonError::into_inner).insert(step.clone(), scratch));
    }

    /// The place that a step restored to.
    pub fn scratch(&self, step: &StepId) -> Option<Arc<Scratch>> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).get(step).cloned()
    }

    /// Lets go of the place that a step restored to, which is stopped and removed, and of the archive that was staged for it.
    pub fn remove_scratch(&self, step: &StepId) {
        self.early.lock().unwrap_or_else(PoisonError::into_inner).remove(step);
        let removed = self.scratch.lock().unwrap_or_else(PoisonError::into_inner).remove(step);
        let archive = self.archives.lock().unwrap_or_else(PoisonError::into_inner).remove(step);
        // Gigabytes take their time to remove.
        std::thread::scope(|scope| {
            scope.spawn(move || drop(archive));
            drop(removed);
        });
    }

    /// Keeps what was read of the place that a step restores to while it was loaded.
    pub fn keep_early(&self, step: &StepId, early: Early) {
        self.early.lock().unwrap_or_else(PoisonError::into_inner).insert(step.clone(), Arc::new(early));
    }

    /// What was read of that place while it was loaded.
    pub fn early(&self, step: &StepId) -> Option<Arc<Early>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner).get(step).cloned()
    }

    /// Keeps the archive that was staged for a step, for as long as the place that it restores to; one it had before is removed.
    pub fn keep_archive(&self, step: &StepId, archive: Arc<StagedArchive>) {
        drop(self.archives.lock().unwrap_or_else(PoisonError::into_inner).insert(step.clone(), archive));
    }

    /// The archive that was staged for a step.
    pub fn archive(&self, step: &StepId) -> Option<Arc<StagedArchive>> {
        self.archives.lock().unwrap_or_else(PoisonError::into_inner).get(step).cloned()
    }

    /// Keeps the place that a step restores into, and with it the lock on it.
    pub fn keep_target(&self, step: &StepId, target: Arc<Target>) {
        drop(self.targets.lock().unwrap_or_else(PoisonError::into_inner).insert(step.clone(), target));
    }

    /// The place that a step restores into.
    pub fn target(&self, step: &StepId) -> Option<Arc<Target>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).get(step).cloned()
    }

    /// Lets go of the place that a step restores into; the lock on it ends.
    pub fn remove_target(&self, step: &StepId) {
        let removed = self.targets.lock().unwrap_or_else(PoisonError::into_inner).remove(step);
        drop(removed);
    }

    /// Reads or writes the ledger.
    pub fn ledger<T>(&self, act: impl FnOnce(&mut Ledger) -> T) -> T {
        act(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(handle: &Handle) -> Runtime {
        let run = RunId::starting("2026-11-20T02:17:00Z".parse().unwrap(), [1, 2, 3]);
        let facts = RunFacts {
            words: RunWords::of(&run, &jiff::tz::TimeZone::UTC),
            run,
            pipeline: PipelineName::new("orders").unwrap(),
            source_sha256: String::new(),
            git_commit: None,
            runner: "0.1.0".to_owned(),
            host: "db1".to_owned(),
        };
        let bindings = Bindings { pipeline: facts.pipeline.clone(), vars: serde_json::Map::new(), env: BTreeMap::new() };
        let declared = Declared { connections: BTreeMap::new(), stores: BTreeMap::new(), secrets: Secrets::default(), bindings };
        Runtime::new(facts, declared, handle.clone(), Path::new("/nonexistent"))
    }

    #[test]
    fn a_connection_that_takes_long_to_open_holds_up_no_other() {
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let runtime = made(tokio.handle());
        let (slow, other) = (RefName::new("slow").unwrap(), RefName::new("other").unwrap());
        let place = Arc::clone(runtime.connections.lock().unwrap().entry(slow.clone()).or_default());
        let opening = place.lock().unwrap();
        assert!(matches!(runtime.connection(&other), Err(OpenError::Undeclared(_))));
        drop(opening);
        let stopped = Cancel::new();
        stopped.cancel("the attempt took too long", true);
        let error = runtime.connection_within(&slow, &stopped).err().unwrap();
        assert_eq!(error.to_string(), "opening the connection slow: cancelled: the attempt took too long");
        assert!(matches!(runtime.connection(&slow), Err(OpenError::Undeclared(_))), "the run goes on");
    }
}
