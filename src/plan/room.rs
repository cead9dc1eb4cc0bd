//! Whether there is room: on scratch disk for what is staged and restored there, and in a store for what it gets.
//!
//! How large a dump becomes nobody knows before it is made, so only what can not fit at all is an error. Nothing is measured here.

use super::basis::Basis;
use super::{Finding, Observed};
use crate::diagnostic::{Class, Severity};
use crate::ids::RefName;
use crate::pipeline::{Pipeline, Step, ancestors};
use crate::quantity::bytes;
use crate::step::{Format, Params};

/// Where room may be short.
pub(super) fn findings(pipeline: &Pipeline, observed: &Observed, found: &mut Vec<Finding>) {
    scratch(pipeline, observed, found);
    stored(pipeline, observed, found);
}

/// How much a step takes of the scratch disk.
struct Need {
    /// About how many bytes.
    bytes: u64,
    /// How many more it may well be.
    more: u64,
    /// How many it is in any case.
    surely: u64,
    /// What for.
    what: &'static str,
}

/// The size of a database now.
fn size(observed: &Observed, connection: &RefName) -> Option<u64> {
    observed.connections.get(connection)?.facts()?.database_bytes
}

/// The size of the database that a step dumps.
fn dumped(observed: &Observed, step: &Step) -> Option<u64> {
    if let Params::Dump(dump) = &step.params { size(observed, &dump.connection) } else { None }
}

fn scratch(pipeline: &Pipeline, observed: &Observed, found: &mut Vec<Finding>) {
    let Some(free) = observed.scratch_free else { return };
    for step in &pipeline.steps {
        let Some(need) = need(pipeline, observed, step) else { continue };
        let message = format!("{}: about {} of {} free", need.what, bytes(need.bytes), bytes(free));
        let severity = if need.surely > free { Severity::Error } else { Severity::Warning };
        if need.bytes.saturating_add(need.more) > free {
            let finding = Finding::new(severity, Class::Failed, format!("step {}", step.id), message);
            found.push(finding.help("set TMPDIR to a larger file system"));
        }
    }
}

fn need(pipeline: &Pipeline, observed: &Observed, step: &Step) -> Option<Need> {
    match &step.params {
        Params::Dump(dump) if dump.format == Format::Directory => {
            let bytes = size(observed, &dump.connection)?;
            Some(Need { bytes, more: bytes, surely: bytes, what: "a directory dump is staged on scratch disk" })
        }
        Params::VerifyRestore(verify) if verify.server.is_none() && verify.from.is_none() => {
            let sources = ancestors(&pipeline.steps, step);
            let bytes = sources.iter().filter_map(|id| dumped(observed, pipeline.step(id)?)).max()?;
            Some(Need { bytes, more: bytes, surely: 0, what: "the restored database lies on scratch disk" })
        }
        Params::VerifyRestore(verify) => {
            let origin = &observed.points.get(&step.id)?.facts()?.artifact.origin;
            recalled(pipeline, staged(&origin.format, origin.bytes), origin.bytes * u64::from(verify.server.is_none()))
        }
        Params::Restore(restore) => {
            let basis = Basis::of(pipeline, step, observed);
            let (format, bytes) = match (basis.origin(), basis.file) {
                (Some(origin), _) => (origin.format.as_str(), origin.bytes),
                // What is unpacked is at least as large.
                (None, Some(file)) => (file.format.as_deref().unwrap_or("plain"), file.bytes?),
                (None, None) => return None,
            };
            recalled(pipeline, staged(format, bytes), bytes * u64::from(restore.by_scratch()))
        }
        _ => None,
    }
}

/// How much of a dump is staged before it is loaded: a script flows.
fn staged(format: &str, bytes: u64) -> u64 {
    if format == "plain" { 0 } else { bytes }
}

/// The need of a dump that is read back: what is staged, and what a scratch server beside it takes. A run that makes a backup too makes it
/// all the same.
fn recalled(pipeline: &Pipeline, staged: u64, beside: u64) -> Option<Need> {
    let backs_up = pipeline.steps.iter().any(|step| matches!(step.params, Params::Upload(_)));
    let what = match (staged, beside) {
        (0, 0) => return None,
        (0, _) => "the restored database lies on scratch disk",
        (_, 0) => "the archive is staged on scratch disk",
        _ => "the archive is staged on scratch disk, and restored beside it",
    };
    Some(Need { bytes: staged.saturating_add(beside), more: 0, surely: if backs_up { 0 } else { staged }, what })
}

/// Room in the stores.
fn stored(pipeline: &Pipeline, observed: &Observed, found: &mut Vec<Finding>) {
    for chain in &pipeline.chains {
        let (source, sink) = (&pipeline.steps[chain.source], &pipeline.steps[chain.sink]);
        let Params::Upload(upload) = &sink.params else { continue };
        let free = observed.stores.get(&upload.store).and_then(|reach| reach.facts()?.free_bytes);
        let (Some(needed), Some(free)) = (dumped(observed, source), free) else { continue };
        if needed > free {
            let message = format!("{} has {} free, and up to {} are stored there", upload.store, bytes(free), bytes(needed));
            let finding = Finding::new(Severity::Warning, Class::Failed, format!("step {}", sink.id), message);
            found.push(finding.help("make room there; how much is needed shows when the dump is compressed"));
        }
    }
}
