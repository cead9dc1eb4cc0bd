//! `upload`: keeps the stream as one object of a store, under a key that was free.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use jiff::Timestamp;

use super::complete::{UNCHECKED, in_words};
use super::work::PlacedUpload;
use super::{AcceptSink, ApplyFilter, CodecChoice, Compress, Cx, Encrypt, References, Settled, StepError, StepKind, Upstream};
use crate::archive::{Fingerprint, Summary};
use crate::diagnostic::Class;
use crate::ids::RefName;
use crate::store::manifest::{Applied, Artifact, Completeness, Sidecar};
use crate::store::{ObjectStore, PutOptions};
use crate::stream::Stream;
use crate::stream::bytes::stream_of;
use crate::stream::crypt::Scheme;
use crate::stream::digest::sidecar_line;
use crate::stream::meter::{Meter, metered};
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
        let object = store.put(&key, input, &self.options(cx), cx.cancel, sent)?;
        let mut written = Written { store: &*store, keys: vec![key.clone()], cx };
        let (settled, fingerprint) = upstream
            .settle()
            .and_then(|settled| {
                let fingerprint = settled.contents.as_deref().map(|contents| self.fingerprint(contents, &mut written)).transpose()?;
                Ok((Settled { stages: self.sidecars(&key, settled.stages, &mut written)?, ..settled }, fingerprint))
            })
            .inspect_err(|_| written.take_back())?;
        let Settled { origin, stages, contents, completeness } = settled;
        cx.reports.note(format!("{key} ({}) in {}", crate::quantity::bytes(object.bytes), store.describe()));
        let finished = Timestamp::now();
        let summary = contents.as_ref().map(|contents| contents.summary());
        cx.reports.note_all(summary.as_ref().map(held));
        cx.reports.note_all(completeness.iter().flat_map(lacking));
        let (step, store) = (cx.step.clone(), self.store.clone());
        let artifact = Artifact { step, store, object, origin, stages, contents: summary, fingerprint, completeness, started, finished };
        cx.runtime.ledger(|ledger| {
            ledger.fingerprints.extend(contents.map(|contents| (cx.step.clone(), contents)));
            ledger.artifacts.insert(cx.step.clone(), artifact);
        });
        Ok(())
    }
}

/// The objects that an attempt has written; without all of them it can not vouch for any.
struct Written<'a> {
    store: &'a dyn ObjectStore,
    keys: Vec<String>,
    cx: &'a Cx<'a>,
}

impl Written<'_> {
    /// The key of the artifact itself.
    fn artifact(&self) -> &str {
        self.keys.first().map_or("", String::as_str)
    }

    fn take_back(&self) {
        for key in &self.keys {
            if let Err(error) = self.store.delete(key) {
                self.cx.reports.note(format!("{key} was left behind, and is no restore point: {error}"));
            }
        }
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

impl PlacedUpload {
    fn options(&self, cx: &Cx<'_>) -> PutOptions {
        let facts = &cx.runtime.facts;
        let metadata = vec![("runner-run".to_owned(), facts.run.to_string()), ("runner-pipeline".to_owned(), facts.pipeline.to_string())];
        PutOptions { estimate: cx.expected_bytes, secret: self.secret, content_type: None, metadata }
    }

    /// Writes the digests that were asked for, as files that `sha256sum -c` and the like read, and notes their keys.
    fn sidecars(&self, key: &str, mut stages: Vec<Applied>, written: &mut Written<'_>) -> Result<Vec<Applied>, StepError> {
        for index in 0..stages.len() {
            let name = name_before(key, &stages[index + 1..]);
            let Applied::Checksum { algorithm, digest, sidecar: Some(place), .. } = &mut stages[index] else { continue };
            let (file, sidecar) = (name.rsplit('/').next().unwrap_or(&name), format!("{name}.{}", algorithm.name()));
            let options = PutOptions { content_type: Some("text/plain; charset=utf-8".to_owned()), ..self.options(written.cx) };
            written.store.put_bytes(&sidecar, sidecar_line(digest, file).as_bytes(), &options)?;
            written.keys.push(sidecar.clone());
            *place = sidecar;
        }
        Ok(stages)
    }

    /// Writes the whole fingerprint beside the artifact, so that a later run can prove a restore without the source: compressed,
    /// and protected as the artifact is, for it names every table.
    fn fingerprint(&self, contents: &Fingerprint, written: &mut Written<'_>) -> Result<Sidecar, StepError> {
        let json =
            serde_json::to_vec(contents).map_err(|error| StepError::new(Class::Internal, format!("writing a fingerprint: {error}")))?;
        let key = format!("{}.fingerprint.json.zst{}", written.artifact(), self.seal.iter().map(Encrypt::suffix).collect::<String>());
        let compress = Compress { codec: CodecChoice::Zstd, level: None, threads: Some(1), long: false };
        let filters = std::iter::once(&compress as &dyn ApplyFilter).chain(self.seal.iter().map(|seal| seal as &dyn ApplyFilter));
        let (mut stream, mut afters) = (stream_of(json), Vec::new());
        for filter in filters {
            let (next, after) = filter.apply(stream, written.cx)?;
            let meter = Meter::new();
            stream = metered(next, &meter);
            afters.push((after, meter));
        }
        let options = PutOptions { estimate: None, ..self.options(written.cx) };
        let object = written.store.put(&key, stream, &options, written.cx.cancel, &|_| {})?;
        written.keys.push(key);
        let stages = afters.into_iter().map(|(after, meter)| after(meter.bytes())).collect::<Result<Vec<_>, _>>()?;
        Ok(Sidecar { object, stages: stages.into_iter().flatten().collect() })
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
