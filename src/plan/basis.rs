//! Whether what a restore reads is fit for what is to be done with it: what it lacks, and what its copy would give away.
//!
//! What it is restored into is judged elsewhere. Nothing is looked at here.

use super::findings::refuse;
use super::{Finding, Observed};
use crate::diagnostic::{Class, Severity};
use crate::pipeline::{Pipeline, Step};
use crate::step::restore::{ONLY_WHOLE, refused_of_script};
use crate::step::{Fetch, FileFacts, Params, Restore};
use crate::store::manifest::{Applied, Origin, Why};
use crate::store::recall::Recalled;

/// What a restore reads, as far as somebody looked.
pub(super) struct Basis<'a> {
    pipeline: &'a Pipeline,
    fetch: Option<&'a Fetch>,
    recalled: Option<&'a Recalled>,
    /// A dump that `runner` did not make.
    pub(super) file: Option<&'a FileFacts>,
}

impl<'a> Basis<'a> {
    pub(super) fn of(pipeline: &'a Pipeline, step: &Step, observed: &'a Observed) -> Self {
        let source = pipeline.chain_into(&step.id).map(|chain| &pipeline.steps[chain.source]);
        let fetch = source.and_then(|source| if let Params::Fetch(fetch) = &source.params { Some(fetch) } else { None });
        let recalled = source.and_then(|source| observed.points.get(&source.id)?.facts());
        let file = source.and_then(|source| observed.files.get(&source.id)?.facts());
        Self { pipeline, fetch, recalled: recalled.map(Box::as_ref), file }
    }

    /// Where a restore point came from.
    pub(super) fn origin(&self) -> Option<&'a Origin> {
        self.recalled.map(|recalled| &recalled.artifact.origin)
    }

    /// The form of the plain bytes, where it is known before they are read.
    fn format(&self) -> Option<&'a str> {
        self.origin().map(|origin| origin.format.as_str()).or_else(|| self.file?.format.as_deref())
    }

    /// What speaks against restoring it as it is asked for.
    pub(super) fn findings(&self, restore: &Restore) -> Vec<Finding> {
        let point = self.recalled.into_iter().flat_map(|recalled| {
            let globals = restore.globals.then(|| self.globals(restore, recalled)).flatten();
            not_whole(restore, recalled)
                .into_iter()
                .chain(given_up(restore, recalled))
                .chain(globals)
                .chain(self.in_the_clear(restore, recalled))
        });
        point.chain(self.script(restore)).collect()
    }

    /// A script runs whole, into an empty database.
    fn script(&self, restore: &Restore) -> Vec<Finding> {
        if self.format() != Some("plain") {
            return Vec::new();
        }
        let in_place = restore.in_place().then(|| {
            let message = "a plain dump is a script that only fills an empty database, so it can not replace in place";
            refuse(Class::Failed, message.to_owned()).help("replace by a swap, or restore into a new database")
        });
        let parts = refused_of_script(&restore.options()).map(|message| refuse(Class::Failed, message).help(ONLY_WHOLE));
        in_place.into_iter().chain(parts).collect()
    }

    /// A restore point without what belongs to the cluster, or with it where nobody can read it.
    fn globals(&self, restore: &Restore, recalled: &Recalled) -> Option<Finding> {
        let without = format!("leave out `globals` (--globals) and make the roles on {} yourself", restore.connection);
        let Some(globals) = &recalled.globals else {
            let message = format!("restore point {} has no globals: its run dumped no roles and tablespaces", recalled.run);
            return Some(refuse(Class::Failed, message).help(format!("{without}; a `globals` step keeps them from now on")));
        };
        let message =
            || format!("the globals of restore point {} lie in the store `{}`, which is not declared here", recalled.run, globals.store);
        let help = || format!("name the pipeline that declares it, or declare it in this one; or {without}");
        (!self.pipeline.stores.contains_key(&globals.store)).then(|| refuse(Class::Failed, message()).help(help()))
    }

    /// A safety dump in the clear of what is only kept encrypted: refused where it would lie beside the encrypted ones.
    fn in_the_clear(&self, restore: &Restore, recalled: &Recalled) -> Option<Finding> {
        let safety = restore.safety().filter(|safety| safety.encrypt.is_none())?;
        if !recalled.artifact.stages.iter().any(|stage| matches!(stage, Applied::Encrypt { .. })) {
            return None;
        }
        let (from, stores) = (&self.fetch?.from.as_ref()?.store, &self.pipeline.stores);
        let beside = from == safety.store || stores.get(from) == stores.get(safety.store);
        let severity = if beside { Severity::Error } else { Severity::Warning };
        let message = format!("restore point {} is encrypted, and the safety dump into {} would not be", recalled.run, safety.store);
        let help = "name the PIPELINE instead of the manifest, then it is encrypted as that does it; say `encrypt` beside `safety` in YAML; \
                    or keep it in a folder of yours: --safety ./FOLDER";
        Some(Finding::new(severity, Class::Failed, String::new(), message).help(help))
    }
}

/// A restore point that was made without definitions or without data has not what a restore needs that takes something away for it,
/// or that needs rows.
fn not_whole(restore: &Restore, recalled: &Recalled) -> Option<Finding> {
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
    Some(refuse(Class::Failed, format!("restore point {} {what}", recalled.run)).help(help))
}

/// A restore point with objects in tablespaces that no restore of it puts them into.
fn given_up(restore: &Restore, recalled: &Recalled) -> Option<Finding> {
    let artifact = &recalled.artifact;
    // A script names them itself; what comes by way of a scratch server goes where the tables are.
    let contents = artifact.contents.as_ref().filter(|_| artifact.origin.format != "plain" && !restore.by_scratch())?;
    let what = contents.in_tablespaces()?;
    let message = format!("not restored: {what}; everything goes into the default tablespace of its database");
    let help = "see that it has the room; `alter table … set tablespace` moves what must lie elsewhere, once it is restored";
    Some(Finding::new(Severity::Warning, Class::Failed, String::new(), message).help(help))
}
