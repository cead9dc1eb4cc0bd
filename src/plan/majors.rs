//! The major versions that a verification restores on: the dump's own, and others that it was asked for.
//!
//! Whether server programs of them are installed was observed. Nothing is looked at here.

use super::{Finding, Observed, Reach};
use crate::diagnostic::{Class, Severity};
use crate::pipeline::{Pipeline, Step, artifact_of};
use crate::postgres::ConnectionSpec;
use crate::step::{Params, VerifyRestore};

/// The major that was dumped, or will be, as far as that is known.
fn dumped(pipeline: &Pipeline, observed: &Observed, step: &Step, verify: &VerifyRestore) -> Option<u16> {
    let major = |version: u32| u16::try_from(version / 10_000).ok();
    if verify.from.is_some() {
        return major(observed.points.get(&step.id)?.facts()?.artifact.origin.server_version);
    }
    let artifact = artifact_of(&pipeline.steps, step, verify).ok()?;
    let Params::Dump(dump) = &pipeline.steps[pipeline.chain_into(&artifact)?.source].params else { return None };
    let observed = observed.connections.get(&dump.connection).and_then(Reach::facts).and_then(|facts| major(facts.server_version));
    observed.or_else(|| match pipeline.connections.get(&dump.connection) {
        Some(ConnectionSpec::Embedded(spec)) => spec.version,
        _ => None,
    })
}

/// The other majors that a verification tries, in order; its own is tried anyway.
pub(super) fn others(pipeline: &Pipeline, observed: &Observed, step: &Step, verify: &VerifyRestore) -> Vec<u16> {
    let own = dumped(pipeline, observed, step, verify);
    verify.also_majors.iter().copied().filter(|major| Some(*major) != own).collect()
}

/// Majors that no verification can be made on: older than the dump, or not installed.
pub(super) fn findings(pipeline: &Pipeline, observed: &Observed, found: &mut Vec<Finding>) {
    for step in &pipeline.steps {
        let Params::VerifyRestore(verify) = &step.params else { continue };
        let own = dumped(pipeline, observed, step, verify);
        let subject = || format!("step {}", step.id);
        let recalled = own.filter(|_| verify.from.is_some() && verify.server.is_none());
        for major in recalled.into_iter().chain(others(pipeline, observed, step, verify)) {
            if let Some(own) = own.filter(|own| *own > major) {
                let message = format!("a dump of PostgreSQL {own} can not be restored on {major}, which is older");
                let help = format!("remove {major} from `also_majors`; only newer majors can take it");
                found.push(Finding::new(Severity::Error, Class::Failed, subject(), message).help(help));
            } else if let Some(why) = observed.missing_servers.get(&major) {
                found.push(Finding::new(Severity::Error, Class::Unreachable, subject(), why.clone()));
            }
        }
    }
}
