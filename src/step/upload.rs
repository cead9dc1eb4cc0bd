//! `upload`: keeps the stream as one object of a store, under a key that was free.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use jiff::Timestamp;

use super::complete::{UNCHECKED, in_words};
use super::work::PlacedUpload;
use super::{AcceptSink, Cx, References, Settled, StepError, StepKind, Upstream};
use crate::archive::Summary;
use crate::ids::RefName;
use crate::store::manifest::{Applied, Artifact, Completeness};
use crate::store::{ObjectStore, PutOptions};
use crate::stream::Stream;
use crate::stream::crypt::Scheme;
use crate::stream::digest::sidecar_line;
use crate::template::Template;
use crate::words::count;

/// Stores the stream as a new object; an existing one is never overwritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// The store, as declared under `stores`.
    pub store: RefName,
    /// The object's key; takes `pipeline`, `vars`, `env` and `run` (`run.id`, `run.date`, `run.time`, `run.month`). Unless given: the pipeline, the run's date and id, and the endings of what was done to the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Template>,
}

impl StepKind for Upload {
    fn references(&self) -> References<'_> {
        References { stores: vec![&self.store], ..References::default() }
    }

    fn words(&self) -> String {
        format!("to {}", self.store)
    }
}

impl AcceptSink for PlacedUpload {
    fn accept(&self, input: Stream, upstream: &mut dyn Upstream, cx: &Cx<'_>, sent: &dyn Fn(u64)) -> Result<(), StepError> {
        let started = Timestamp::now();
        let (store, key) = (cx.runtime.store(&self.store)?, cx.runtime.render(&self.key)?);
        let options = self.options(cx);
        let object = store.put(&key, input, &options, cx.cancel, sent)?;
        let settled =
            upstream.settle().and_then(|settled| Ok(Settled { stages: self.sidecars(&*store, &key, settled.stages, cx)?, ..settled }));
        let Settled { origin, stages, contents, completeness } = settled.inspect_err(|_| take_back(&*store, &key, cx))?;
        cx.reports.note(format!("{key} ({}) in {}", crate::quantity::bytes(object.bytes), store.describe()));
        let finished = Timestamp::now();
        let summary = contents.as_ref().map(|contents| contents.summary());
        cx.reports.note_all(summary.as_ref().map(held));
        cx.reports.note_all(completeness.iter().flat_map(lacking));
        let (step, store) = (cx.step.clone(), self.store.clone());
        let artifact = Artifact { step, store, object, origin, stages, contents: summary, completeness, started, finished };
        cx.runtime.ledger(|ledger| {
            ledger.fingerprints.extend(contents.map(|contents| (cx.step.clone(), contents)));
            ledger.artifacts.insert(cx.step.clone(), artifact);
        });
        Ok(())
    }
}

/// What a dump held, in a line.
fn held(contents: &Summary) -> String {
    let (tables, rows, objects) = (count(contents.tables, "table"), count(contents.rows, "row"), count(contents.objects, "object"));
    format!("fingerprint {}: {tables}, {rows}, {objects}", contents.digest)
}

/// What a dump lacks, in lines.
fn lacking(completeness: &Completeness) -> Vec<String> {
    let unchecked = completeness.unchecked.as_ref().map(|why| format!("{UNCHECKED}: {why}"));
    unchecked.into_iter().chain(in_words(completeness)).collect()
}

/// Removes an object that this attempt wrote and can not vouch for.
fn take_back(store: &dyn ObjectStore, key: &str, cx: &Cx<'_>) {
    if let Err(error) = store.delete(key) {
        cx.reports.note(format!("{key} was left behind, and is no restore point: {error}"));
    }
}

impl PlacedUpload {
    fn options(&self, cx: &Cx<'_>) -> PutOptions {
        let facts = &cx.runtime.facts;
        let metadata = vec![("runner-run".to_owned(), facts.run.to_string()), ("runner-pipeline".to_owned(), facts.pipeline.to_string())];
        PutOptions { estimate: cx.expected_bytes, secret: self.secret, content_type: None, metadata }
    }

    /// Writes the sidecars that were asked for, and notes their keys.
    fn sidecars(&self, store: &dyn ObjectStore, key: &str, mut stages: Vec<Applied>, cx: &Cx<'_>) -> Result<Vec<Applied>, StepError> {
        let mut written: Vec<String> = Vec::new();
        for index in 0..stages.len() {
            let name = name_before(key, &stages[index + 1..]);
            let Applied::Checksum { algorithm, digest, sidecar: Some(place), .. } = &mut stages[index] else { continue };
            let (file, sidecar) = (name.rsplit('/').next().unwrap_or(&name), format!("{name}.{}", algorithm.name()));
            let options = PutOptions { content_type: Some("text/plain; charset=utf-8".to_owned()), ..self.options(cx) };
            let result = store.put_bytes(&sidecar, sidecar_line(digest, file).as_bytes(), &options);
            if let Err(error) = result {
                for sidecar in &written {
                    take_back(store, sidecar, cx);
                }
                return Err(error.into());
            }
            written.push(sidecar.clone());
            *place = sidecar;
        }
        Ok(stages)
    }
}

/// The usual ending of a file so encrypted.
const fn suffix(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Age => ".age",
        Scheme::OpenPgp => ".gpg",
    }
}

/// The name an object has once the later stages are undone: `x.dump.zst` of `x.dump.zst.age`. A key without the usual
/// endings keeps its name, so that the digest's file still stands beside it.
fn name_before(key: &str, later: &[Applied]) -> String {
    let mut name = key.to_owned();
    for stage in later.iter().rev() {
        let ending = match stage {
            Applied::Compress { codec, .. } => format!(".{}", codec.extension()),
            Applied::Encrypt { scheme, .. } => suffix(*scheme).to_owned(),
            Applied::Checksum { .. } => continue,
        };
        match name.strip_suffix(&ending) {
            Some(shorter) => name.truncate(shorter.len()),
            None => return name,
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_is_named_after_what_was_digested() {
        let later = [Applied::Encrypt { scheme: Scheme::Age, recipients: Vec::new(), bytes: 1 }];
        assert_eq!(name_before("주문/x.dump.zst.age", &later), "주문/x.dump.zst");
        assert_eq!(name_before("x.backup", &later), "x.backup");
        assert_eq!(name_before("x.dump.zst.age", &[]), "x.dump.zst.age");
    }
}
