//! Looking at the world before planning: reachability, rights, versions, sizes, secrets' presence.
//!
//! Everything here only reads, and reads no secret's value but to connect; a store is written to only when a probe is
//! asked for. What was found goes into [`Observed`] as plain facts. Nothing here judges them.

mod database;
mod git;

use std::collections::BTreeMap;
use std::path::Path;

use tokio::runtime::Handle;

use crate::ids::{RefName, StepId};
use crate::pipeline::{Pipeline, Step};
use crate::plan::{ConnectionFacts, LeftOutTables, Observed, Reach, StoreFacts, Trouble};
use crate::postgres::ConnectionSpec;
use crate::secret::{Presence, SecretRef, Secrets};
use crate::step::{Params, StepError};
use crate::store::{self, StoreError, StoreSpec};

/// How closely to look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Whether stores are written to, read from and deleted from.
    pub probe: bool,
}

/// What is observed when nobody looks.
pub fn offline() -> Observed {
    Observed { offline: true, ..Observed::default() }
}

/// Looks at everything that a pipeline names, all of it at once.
pub fn observe(pipeline: &Pipeline, handle: &Handle, options: Options) -> Observed {
    let secrets = Secrets::new(pipeline.secrets.clone());
    let (connections, stores, left_out) = std::thread::scope(|scope| {
        let connections: Vec<_> =
            pipeline.connections.iter().map(|(name, spec)| (name.clone(), scope.spawn(|| connection(spec, &secrets, handle)))).collect();
        let stores: Vec<_> =
            pipeline.stores.iter().map(|(name, spec)| (name.clone(), scope.spawn(|| store_facts(spec, handle, options)))).collect();
        let filters: Vec<_> = pipeline.steps.iter().map(|step| scope.spawn(|| left_out(pipeline, step, &secrets, handle))).collect();
        let left_out = filters.into_iter().filter_map(|look| look.join().ok().flatten()).collect();
        (joined(connections), joined(stores), left_out)
    });
    Observed {
        offline: false,
        git_commit: git::commit(Path::new(&pipeline.source.path)),
        connections,
        stores,
        secrets: presence(pipeline, &secrets),
        scratch_free: free(&std::env::temp_dir()),
        left_out,
        troubles: troubles(pipeline),
    }
}

/// What the filters of a dump leave out. A database that does not answer is told of by its connection.
fn left_out(pipeline: &Pipeline, step: &Step, secrets: &Secrets, handle: &Handle) -> Option<(StepId, LeftOutTables)> {
    let Params::Dump(dump) = &step.params else { return None };
    let Some(ConnectionSpec::Postgres(spec)) = pipeline.connections.get(&dump.connection) else { return None };
    if dump.selection().is_everything() {
        return None;
    }
    Some((step.id.clone(), database::left_out(spec, dump, secrets, handle).ok()??))
}

type Looks<'scope, T> = Vec<(RefName, std::thread::ScopedJoinHandle<'scope, Reach<T>>)>;

fn joined<T>(looks: Looks<'_, T>) -> BTreeMap<RefName, Reach<T>> {
    let died =
        |_| Reach::Failed { message: "looking at it ended in a defect of runner".to_owned(), class: crate::diagnostic::Class::Internal };
    looks.into_iter().map(|(name, look)| (name, look.join().unwrap_or_else(died))).collect()
}

fn connection(spec: &ConnectionSpec, secrets: &Secrets, handle: &Handle) -> Reach<ConnectionFacts> {
    let found = match spec {
        ConnectionSpec::Postgres(spec) => database::server(spec, secrets, handle),
        ConnectionSpec::Embedded(spec) => database::embedded(spec),
    };
    found.map_or_else(|error| failed(&StepError::from(error)), Reach::Reached)
}

fn failed<T>(error: &StepError) -> Reach<T> {
    Reach::Failed { message: error.message.clone(), class: error.class }
}

fn store_facts(spec: &StoreSpec, handle: &Handle, options: Options) -> Reach<StoreFacts> {
    let look = || -> Result<StoreFacts, StoreError> {
        let store = store::open(spec, handle)?;
        store.reach()?;
        let create_only = if options.probe { Some(store.probe()?.create_only) } else { None };
        Ok(StoreFacts { place: store.describe(), free_bytes: store.free_bytes()?, create_only })
    };
    look().map_or_else(|error| failed(&StepError::from(error)), Reach::Reached)
}

fn presence(pipeline: &Pipeline, secrets: &Secrets) -> BTreeMap<RefName, Presence> {
    let look = |name: &RefName| (name.clone(), secrets.presence(&SecretRef { secret: name.clone() }));
    pipeline.secrets.keys().map(look).collect()
}

fn free(folder: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(folder).ok()?;
    facts.f_bavail.checked_mul(facts.f_frsize)
}

fn troubles(pipeline: &Pipeline) -> Vec<Trouble> {
    let of_step = |step: &crate::pipeline::Step| {
        let subject = format!("step {}", step.id);
        let own = step.params.facts().troubles();
        own.into_iter()
            .map(move |trouble| Trouble { subject: subject.clone(), message: trouble.message, help: trouble.help, class: trouble.class })
            .collect::<Vec<_>>()
    };
    pipeline.steps.iter().flat_map(of_step).collect()
}
