//! Whether a restore point is fit for what is to be done with it: what it lacks, and what its copy would give away.
//!
//! What it is restored into is judged elsewhere. Nothing is looked at here.

use super::Finding;
use crate::diagnostic::{Class, Severity};
use crate::pipeline::Pipeline;
use crate::step::{Fetch, Restore};
use crate::store::manifest::{Applied, Why};
use crate::store::recall::Recalled;

fn finding(severity: Severity, message: String) -> Finding {
    Finding::new(severity, Class::Failed, String::new(), message)
}

/// A restore point that was made without definitions or without data has not what a restore needs that takes something away for it,
/// or that needs rows.
pub(super) fn not_whole(restore: &Restore, recalled: &Recalled) -> Option<Finding> {
    let left = &recalled.artifact.completeness.as_ref()?.left_out;
    let lacks = |why: Why| left.iter().any(|left| left.why == why);
    let rows = |why: Why| left.iter().any(|left| left.why == why && left.kind == "TABLE DATA");
    let replaces = restore.replace.is_some() && !restore.by_scratch();
    let needs_rows = restore.by_scratch() || replaces && !restore.without_data();
    let what = match () {
        () if needs_rows && rows(Why::SchemaOnly) => "has no data: it was dumped with `schema_only`",
        () if needs_rows && rows(Why::Sections) => "has no data: it was dumped with `sections` that leave it out",
        () if restore.data_only && lacks(Why::SchemaOnly) => "has no data: it was dumped with `schema_only`",
        () if (replaces || restore.by_scratch()) && lacks(Why::DataOnly) => "has not all definitions: it was dumped with `data_only`",
        () if restore.data_only && lacks(Why::Sections) => "has not all definitions: it was dumped with `sections`",
        () => return None,
    };
    let help = "choose a restore point of a whole dump; `runner list` shows those there are";
    Some(finding(Severity::Error, format!("restore point {} {what}", recalled.run)).help(help))
}

/// A restore point with objects in tablespaces that no restore of it puts them into.
pub(super) fn given_up(restore: &Restore, recalled: &Recalled) -> Option<Finding> {
    let artifact = &recalled.artifact;
    // A script names them itself; what comes by way of a scratch server goes where the tables are.
    let contents = artifact.contents.as_ref().filter(|_| artifact.origin.format != "plain" && !restore.by_scratch())?;
    let what = contents.in_tablespaces()?;
    let message = format!("not restored: {what}; everything goes into the default tablespace of its database");
    let help = "see that it has the room; `alter table … set tablespace` moves what must lie elsewhere, once it is restored";
    Some(finding(Severity::Warning, message).help(help))
}

/// A safety dump in the clear of what is only kept encrypted: refused where it would lie beside the encrypted ones.
pub(super) fn in_the_clear(pipeline: &Pipeline, fetch: &Fetch, restore: &Restore, recalled: &Recalled) -> Option<Finding> {
    let safety = restore.safety().filter(|safety| safety.encrypt.is_none())?;
    if !recalled.artifact.stages.iter().any(|stage| matches!(stage, Applied::Encrypt { .. })) {
        return None;
    }
    let from = &fetch.from.as_ref()?.store;
    let beside = from == safety.store || pipeline.stores.get(from) == pipeline.stores.get(safety.store);
    let severity = if beside { Severity::Error } else { Severity::Warning };
    let message = format!("restore point {} is encrypted, and the safety dump into {} would not be", recalled.run, safety.store);
    let help = "name the PIPELINE instead of the manifest, then it is encrypted as that does it; say `encrypt` beside `safety` in YAML; \
                or keep it in a folder of yours: --safety ./FOLDER";
    Some(finding(severity, message).help(help))
}
