//! Looking at the world before planning: reachability, rights, versions, sizes, secrets' presence.
//!
//! Everything here only reads, and reads no secret's value but to connect; a store is written to only when a probe is
//! asked for. What was found goes into [`Observed`] as plain facts. Nothing here judges them.

mod database;
mod git;
mod standing;

pub use standing::{History, history, standing};

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use tokio::runtime::Handle;

use crate::diagnostic::Class;
use crate::ids::{RefName, StepId};
use crate::pipeline::{Pipeline, Step, ancestors, source_of};
use crate::plan::{CatalogFacts, ConnectionFacts, LeftOutTables, Observed, PatchFacts, Reach, StoreFacts, Trouble, join, unwanted};
use crate::postgres::patch::header;
use crate::postgres::target::TargetFacts;
use crate::postgres::{ConnInfo, ConnectionSpec, Installed};
use crate::secret::{Presence, SecretRef, Secrets};
use crate::step::{FileFacts, Params, PointRef, StepError, look_at_file};
use crate::store::manifest::manifest_key;
use crate::store::missed::Missed;
use crate::store::recall::{Recalled, recall};
use crate::store::{self, ObjectStore, StoreError, StoreSpec, catalog, locked};

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
    let looked = pipeline.connections.iter().filter(|(name, _)| is_needed(pipeline, name));
    let (connections, stores, left_out) = std::thread::scope(|scope| {
        let connections: Vec<_> = looked.map(|(name, spec)| (name.clone(), scope.spawn(|| connection(spec, &secrets, handle)))).collect();
        let stores: Vec<_> =
            pipeline.stores.iter().map(|(name, spec)| (name.clone(), scope.spawn(|| store_facts(spec, handle, options)))).collect();
        let filters: Vec<_> = pipeline.steps.iter().map(|step| scope.spawn(|| left_out(pipeline, step, &secrets, handle))).collect();
        let left_out = filters.into_iter().filter_map(|look| look.join().ok().flatten()).collect();
        (joined(connections), joined(stores), left_out)
    });
    let points = points(pipeline, handle);
    Observed {
        offline: false,
        git_commit: git::commit(Path::new(&pipeline.source.path)),
        connections,
        stores,
        missing_servers: missing_servers(pipeline, &points),
        points,
        catalogs: catalogs(pipeline, BTreeMap::new(), handle),
        missed: missed(pipeline, handle),
        files: files(pipeline),
        patches: patches(pipeline, &secrets),
        targets: targets(pipeline, &secrets, handle),
        secrets: presence(pipeline, &secrets),
        scratch_free: free(&std::env::temp_dir()),
        left_out,
        troubles: troubles(pipeline),
    }
}

/// The majors that verifications will start a scratch server of and can not, beside that of a database that is dumped.
fn missing_servers(pipeline: &Pipeline, points: &BTreeMap<StepId, Reach<Box<Recalled>>>) -> BTreeMap<u16, String> {
    let own = |step: &Step| u16::try_from(points.get(&step.id)?.facts()?.artifact.origin.server_version / 10_000).ok();
    let wanted = pipeline.steps.iter().flat_map(|step| match &step.params {
        Params::VerifyRestore(verify) => own(step).into_iter().chain(verify.also_majors.iter().copied()).collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    wanted.filter_map(|major| Some((major, Installed::here().server(major).err()?.to_string()))).collect()
}

/// The restore points that steps name, each found in its store.
fn points(pipeline: &Pipeline, handle: &Handle) -> BTreeMap<StepId, Reach<Box<Recalled>>> {
    let named = pipeline.steps.iter().filter_map(|step| Some((step.id.clone(), step.params.facts().point()?)));
    named
        .map(|(step, point)| {
            (step, recalled(pipeline, point, handle).map_or_else(|error| failed(&error), |found| Reach::Reached(Box::new(found))))
        })
        .collect()
}

fn recalled(pipeline: &Pipeline, point: &PointRef, handle: &Handle) -> Result<Recalled, StepError> {
    let undeclared = || StepError::new(Class::Internal, format!("store `{}` is not declared", point.store));
    let store = store::open(pipeline.stores.get(&point.store).ok_or_else(undeclared)?, handle)?;
    let maker = point.pipeline.as_ref().unwrap_or(&pipeline.name);
    Ok(recall((&point.store, &*store), maker, &point.at, point.artifact.as_ref())?)
}

/// What the stores keep of this pipeline, if a step deletes from one: all of each, or why not. Of every store, for each may know of a
/// proof or a failure that the others do not; with the locks on what would go. What is `known` of some is not read again.
pub fn catalogs(
    pipeline: &Pipeline,
    known: BTreeMap<RefName, Reach<CatalogFacts>>,
    handle: &Handle,
) -> BTreeMap<RefName, Reach<CatalogFacts>> {
    let prunes = pipeline.steps.iter().filter_map(|step| if let Params::Prune(prune) = &step.params { Some(prune.all()) } else { None });
    let wanted: BTreeSet<&RefName> = prunes.flatten().collect();
    if wanted.is_empty() {
        return BTreeMap::new();
    }
    let mut found = std::thread::scope(|scope| {
        let look = |(name, spec)| (RefName::clone(name), scope.spawn(move || kept(pipeline, name, spec, handle)));
        joined(pipeline.stores.iter().filter(|(name, _)| !known.contains_key(*name)).map(look).collect())
    });
    found.extend(known);
    let unread: Vec<RefName> = found.iter().filter(|(_, reach)| reach.facts().is_none()).map(|(name, _)| name.clone()).collect();
    let mut read: Vec<&mut CatalogFacts> =
        found.values_mut().filter_map(|reach| if let Reach::Reached(facts) = reach { Some(facts) } else { None }).collect();
    join(&mut read, &unread);
    for (name, reach) in found.iter_mut().filter(|(name, _)| wanted.contains(name)) {
        if let (Reach::Reached(facts), Some(spec)) = (&mut *reach, pipeline.stores.get(name)) {
            let locked = store::open(spec, handle).and_then(|store| locks(pipeline, (name, &*store), facts));
            locked.unwrap_or_else(|error| *reach = failed(&StepError::from(error)));
        }
    }
    found
}

fn kept(pipeline: &Pipeline, name: &RefName, spec: &StoreSpec, handle: &Handle) -> Reach<CatalogFacts> {
    let read = store::open(spec, handle).and_then(|store| catalog::read(&*store, &pipeline.name));
    read.map_or_else(|error| failed(&StepError::from(error)), |read| Reach::Reached(CatalogFacts::of(&read, name, Timestamp::now())))
}

/// What the stores that steps copy to have missed.
fn missed(pipeline: &Pipeline, handle: &Handle) -> BTreeMap<StepId, Reach<Missed>> {
    let look = |step: &Step| {
        let Params::CopyTo(copy) = &step.params else { return None };
        let from = source_of(&pipeline.steps, copy)?;
        let (source, target) = (pipeline.stores.get(from)?, pipeline.stores.get(&copy.to)?);
        let found = store::open(source, handle).and_then(|source| {
            let target = store::open(target, handle)?;
            store::missed::missed((&*source, from), &*target, copy.pipeline.as_ref().unwrap_or(&pipeline.name))
        });
        Some((step.id.clone(), found.map_or_else(|error| failed(&error.into()), Reach::Reached)))
    };
    pipeline.steps.iter().filter_map(look).collect()
}

/// Fills in until when the store itself keeps the points that would else go. The others need no question: they stay in any case.
fn locks(pipeline: &Pipeline, (name, store): (&RefName, &dyn ObjectStore), facts: &mut CatalogFacts) -> Result<(), StoreError> {
    let going = unwanted(pipeline, name, facts, Timestamp::now());
    let mut going: Vec<_> = facts.points.iter_mut().filter(|point| going.contains(&point.facts.run)).collect();
    let keys =
        going.iter().map(|point| [&point.objects[..], &[manifest_key(&pipeline.name, &point.facts.run)]].concat()).collect::<Vec<_>>();
    for (point, until) in going.iter_mut().zip(locked::each(store, &keys)?) {
        point.facts.locked_until = until;
    }
    Ok(())
}

/// The dumps that this program did not make, as their first bytes tell.
fn files(pipeline: &Pipeline) -> BTreeMap<StepId, Reach<FileFacts>> {
    let named = pipeline.steps.iter().filter_map(|step| match &step.params {
        Params::Fetch(fetch) => Some((step.id.clone(), fetch.file.as_deref()?)),
        _ => None,
    });
    let unfit = |error: StepError| {
        let advice = error.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        Reach::Failed { message: format!("{}{advice}", error.message), class: error.class }
    };
    named.map(|(step, file)| (step, look_at_file(file).map_or_else(unfit, Reach::Reached))).collect()
}

/// The patches that steps apply; one that can not be read is told of as a trouble of its step.
fn patches(pipeline: &Pipeline, secrets: &Secrets) -> BTreeMap<StepId, PatchFacts> {
    let named = pipeline.steps.iter().filter_map(|step| {
        let Params::Sql(sql) = &step.params else { return None };
        let header = header(sql.patch.as_deref()?).ok()?;
        let own = || match pipeline.connections.get(&sql.connection)? {
            ConnectionSpec::Postgres(spec) => Some(ConnInfo::resolve(spec, secrets).ok()?.database),
            ConnectionSpec::Embedded(spec) => Some(spec.database.clone()),
        };
        Some((step.id.clone(), PatchFacts { header, into: sql.database.clone().or_else(own) }))
    });
    named.collect()
}

/// The places that steps restore into.
fn targets(pipeline: &Pipeline, secrets: &Secrets, handle: &Handle) -> BTreeMap<StepId, Reach<TargetFacts>> {
    let restores =
        pipeline.steps.iter().filter_map(|step| if let Params::Restore(restore) = &step.params { Some((step, restore)) } else { None });
    let looked = restores.map(|(step, restore)| {
        let spec = pipeline.connections.get(&restore.connection);
        let found = spec.map(|spec| database::target(spec, restore, secrets, handle));
        let undeclared = || Err(StepError::new(Class::Internal, format!("connection `{}` is not declared", restore.connection)));
        let found = found.map_or_else(undeclared, |found| Ok(found?));
        (step.id.clone(), found.map_or_else(|error| failed(&error), Reach::Reached))
    });
    looked.collect()
}

/// Whether a run needs a connection as it is now: not one that no step uses, and not one that only says where to restore to, or is used in
/// what was restored there, whose database need not be there yet.
fn is_needed(pipeline: &Pipeline, name: &RefName) -> bool {
    let uses = |step: &&Step| step.params.facts().references().connections.contains(&name);
    let makes = |step: &Step| uses(&step) && step.params.facts().makes_database();
    let after = |step: &Step| ancestors(&pipeline.steps, step).iter().filter_map(|id| pipeline.step(id)).any(makes);
    pipeline.steps.iter().filter(uses).any(|step| !makes(step) && !after(step))
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

/// How many different keys open what each encryption of a pipeline writes; what can not be read is left out, and a trouble.
pub fn recipients(pipeline: &Pipeline) -> BTreeMap<StepId, usize> {
    let counted = pipeline.steps.iter().filter_map(|step| match &step.params {
        Params::Encrypt(encrypt) => Some((step.id.clone(), encrypt.recipients().ok()?)),
        _ => None,
    });
    counted.collect()
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
    pipeline.steps.iter().flat_map(of_step).chain(no_scratch(&std::env::temp_dir())).collect()
}

/// Password files, scratch servers and staged dumps need a folder that they can be made in.
fn no_scratch(folder: &Path) -> Option<Trouble> {
    let error = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).err()?;
    Some(Trouble {
        subject: "scratch space".to_owned(),
        message: format!("{}: {}", folder.display(), std::io::Error::from(error)),
        help: Some("set TMPDIR to a folder that is there and may be written to".to_owned()),
        class: crate::diagnostic::Class::Denied,
    })
}
