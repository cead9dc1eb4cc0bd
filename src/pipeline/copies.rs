//! Copies of restore points: where a `copy` reads and writes, what must not leave the machine by it, and in how many stores each part lies.
//!
//! Everything here follows from the file alone; what stores keep is for the plan to see.

use super::check::at;
use super::dataflow::ancestors;
use super::model::{Chain, Pipeline, Step, When};
use crate::diagnostic::Diagnostic;
use crate::document::Document;
use crate::ids::RefName;
use crate::step::{CopyTo, Filter, Kind, Params, Source};
use crate::store::StoreSpec;

/// The store that a `copy` reads: the one it names, or the only one that the pipeline uploads to.
pub fn source_of<'s>(steps: &'s [Step], copy: &'s CopyTo) -> Option<&'s RefName> {
    let mut stores = uploaded(steps);
    stores.dedup();
    copy.from.as_ref().or(match stores.as_slice() {
        [one] => Some(one),
        _ => None,
    })
}

/// The stores that uploads name, sorted.
fn uploaded(steps: &[Step]) -> Vec<&RefName> {
    let mut stores: Vec<&RefName> =
        steps.iter().filter_map(|step| if let Params::Upload(upload) = &step.params { Some(&upload.store) } else { None }).collect();
    stores.sort();
    stores
}

/// The stores that have what this run commits once all of these steps are done, of those that begin with some.
fn filled<'p>(pipeline: &'p Pipeline, mut stores: Vec<&'p RefName>, done: impl Fn(&Step) -> bool) -> Vec<&'p RefName> {
    let steps = &pipeline.steps;
    let copies: Vec<(&RefName, &RefName)> = steps
        .iter()
        .filter(|step| done(step))
        .filter_map(|step| match &step.params {
            Params::CopyTo(copy) if is_ours(pipeline, copy) => Some((source_of(steps, copy)?, &copy.to)),
            _ => None,
        })
        .collect();
    // Each round fills at least one more store, or is the last.
    while let Some((_, to)) = copies.iter().find(|(from, to)| stores.contains(from) && !stores.contains(to)) {
        stores.push(to);
    }
    stores
}

/// Whether it copies the pipeline's own restore points.
fn is_ours(pipeline: &Pipeline, copy: &CopyTo) -> bool {
    copy.pipeline.as_ref().is_none_or(|name| *name == pipeline.name)
}

/// Whether what this run commits lies where a step copies from by the time it starts: it is uploaded there, or copied there before.
pub fn copies_own(pipeline: &Pipeline, step: &Step) -> bool {
    let Params::CopyTo(copy) = &step.params else { return false };
    let before = ancestors(&pipeline.steps, step);
    let filled = filled(pipeline, uploaded(&pipeline.steps), |other| before.contains(&other.id));
    is_ours(pipeline, copy) && source_of(&pipeline.steps, copy).is_some_and(|from| filled.contains(&from))
}

/// The stores that what a chain stores comes to lie in: the upload's, and those it is copied to from there.
pub fn reached<'p>(pipeline: &'p Pipeline, chain: &Chain) -> Vec<&'p RefName> {
    let Params::Upload(upload) = &pipeline.steps[chain.sink].params else { return Vec::new() };
    filled(pipeline, vec![&upload.store], |_| true)
}

/// Checks the copies of a pipeline.
pub(super) fn check(document: &Document, pipeline: &Pipeline, out: &mut Vec<Diagnostic>) {
    for (index, step) in pipeline.steps.iter().enumerate() {
        if let Params::CopyTo(copy) = &step.params {
            let base = format!("/steps/{index}");
            let known = out.len();
            let copies = Copies { document, pipeline };
            out.extend(copies.places(&base, step, copy));
            if step.when != When::Success {
                let message = "a copy is made of what a run has committed, so it waits for success";
                out.push(
                    at(document, "bad-copy", &format!("{base}/when"), message)
                        .help("leave `when` out; `needs: [upload]` lets it wait for the upload alone"),
                );
            }
            if out.len() == known {
                out.extend(copies.exposure(&base, step, copy));
            }
        }
    }
    out.extend(too_few(document, pipeline));
}

struct Copies<'a> {
    document: &'a Document,
    pipeline: &'a Pipeline,
}

impl Copies<'_> {
    /// Where it reads and writes.
    fn places(&self, base: &str, step: &Step, copy: &CopyTo) -> Option<Diagnostic> {
        let (steps, stores) = (&self.pipeline.steps, &self.pipeline.stores);
        let wrong = |field: &str, message: String, help: &str| {
            Some(at(self.document, "bad-copy", &format!("{base}{field}"), message).help(help.to_owned()))
        };
        let ours = is_ours(self.pipeline, copy);
        let uploads = uploaded(steps);
        let Some(from) = source_of(steps, copy) else {
            let found = if uploads.is_empty() { "to no store" } else { "to several stores" };
            let message = format!("`{}` does not say what to copy from, and this pipeline uploads {found}", step.id);
            return wrong("/with", message, "say which: `from: NAME`");
        };
        let (source, target) = (stores.get(from)?, stores.get(&copy.to)?);
        if source == target {
            return wrong("/with/to", format!("`{}` copies from `{from}` to the very same place", step.id), "name another store");
        }
        let there = |name: &&&RefName| stores.get(**name) == Some(target);
        if ours && uploads.iter().any(|name| there(&name)) {
            let message = format!("this pipeline uploads to `{}` too, so its restore points have manifests there already", copy.to);
            return wrong("/with/to", message, "upload everything to one store, and copy it from there");
        }
        let other = steps.iter().take_while(|other| other.id != step.id).find(|other| match &other.params {
            Params::CopyTo(earlier) if is_ours(self.pipeline, earlier) && ours => {
                stores.get(&earlier.to) == Some(target) && source_of(steps, earlier).and_then(|name| stores.get(name)) != Some(source)
            }
            _ => false,
        });
        if let Some(other) = other {
            let message =
                format!("`{}` copies to this place from another store, and a restore point has one manifest in a store", other.id);
            return wrong("/with/to", message, "name another store, or upload everything to one store and copy it from there");
        }
        if ours && !uploads.is_empty() && !copies_own(self.pipeline, step) {
            let message = format!("nothing that this pipeline stores lies in `{from}` when `{}` starts", step.id);
            return wrong("/with/from", message, "copy from the store it uploads to, or after the `copy` that fills this one");
        }
        None
    }

    /// Plaintext that leaves the machine by being copied. What is remote already was told of at its upload.
    fn exposure(&self, base: &str, step: &Step, copy: &CopyTo) -> Option<Diagnostic> {
        let (steps, stores) = (&self.pipeline.steps, &self.pipeline.stores);
        let remote = |name: &RefName| matches!(stores.get(name), Some(StoreSpec::S3(_)));
        let from = source_of(steps, copy).filter(|from| !remote(from) && remote(&copy.to) && copies_own(self.pipeline, step))?;
        let plain = |chain: &&Chain| {
            let encrypted = chain.filters.iter().any(|index| matches!(steps[*index].params.kind(), Kind::Filter(Filter::Encrypt(_))));
            !encrypted && reached(self.pipeline, chain).contains(&from)
        };
        let globals = |chain: &&Chain| matches!(steps[chain.source].params.kind(), Kind::Source(Source::Globals(_)));
        let exposed: Vec<&Chain> = self.pipeline.chains.iter().filter(plain).collect();
        let worst = exposed.iter().find(|chain| globals(chain)).or(exposed.first())?;
        let (message, warn) = if globals(worst) {
            (format!("roles and password hashes would leave this machine unencrypted, to the remote store `{}`", copy.to), false)
        } else {
            (format!("`{}` copies plaintext to the remote store `{}`", step.id, copy.to), true)
        };
        let sink = &steps[worst.sink].id;
        let diagnostic = at(self.document, "plaintext-upload", &format!("{base}/with/to"), message);
        let diagnostic = diagnostic.help(format!("put an `encrypt` step before `{sink}`, which stores it"));
        Some(if warn { diagnostic.warning() } else { diagnostic })
    }
}

/// In how many stores the part lies that lies in the fewest; `None` for a pipeline that stores nothing.
pub fn fewest(pipeline: &Pipeline) -> Option<usize> {
    let places = |chain: &Chain| {
        let mut places: Vec<&StoreSpec> = Vec::new();
        for spec in reached(pipeline, chain).into_iter().filter_map(|name| pipeline.stores.get(name)) {
            if !places.contains(&spec) {
                places.push(spec);
            }
        }
        places.len()
    };
    pipeline.chains.iter().map(places).filter(|places| *places > 0).min()
}

/// More copies are asked for than the steps make.
fn too_few(document: &Document, pipeline: &Pipeline) -> Option<Diagnostic> {
    let (wanted, fewest) = (pipeline.objectives.copies?, fewest(pipeline)?);
    if fewest >= usize::from(wanted) {
        return None;
    }
    let stores = crate::words::count(fewest, "store");
    let message = format!("each part of a restore point must lie in {wanted} stores, and the steps bring one into {stores}");
    let diagnostic = at(document, "too-few-copies", "/objectives/copies", message).warning();
    Some(diagnostic.help("add a step { id: offsite, uses: copy, with: { to: NAME } } behind the upload"))
}
