//! The way back, first half: an artifact is read from its store, and each stage that was applied is undone.
//!
//! What was applied comes from the artifact's own record, not from the pipeline's YAML. Nothing is restored here.

use std::sync::Arc;

use jiff::Timestamp;

use super::blame::{Fetched, as_stored, named, place};
use super::load::note;
use super::work::{ReadBack, Undo};
use super::{AfterFilter, ApplyFilter, Cx, OpenSource, Opened, StepError};
use crate::archive::Fingerprint;
use crate::diagnostic::Class;
use crate::ids::StepId;
use crate::runtime::Verification;
use crate::secret::{SecretRef, Secrets};
use crate::store::manifest::{Applied, Artifact, Level, Origin};
use crate::store::{ObjectStore, Stored};
use crate::stream::bytes::collect;
use crate::stream::crypt::openpgp::Unlock;
use crate::stream::crypt::{OpenedBy, Scheme, age, openpgp};
use crate::stream::digest::{Digest, verified};
use crate::stream::{Cancel, Stream, codec};

/// The largest fingerprint in bytes: some million objects.
const FINGERPRINT_LIMIT: usize = 1 << 30;

/// The record of what a step of this run stored, or recalled from an earlier one.
pub(super) fn artifact(step: &StepId, cx: &Cx<'_>) -> Result<Artifact, StepError> {
    let found = cx.runtime.ledger(|ledger| {
        let own = ledger.artifacts.get(step);
        own.or_else(|| ledger.recalled.get(step).map(|recalled| &recalled.artifact)).cloned()
    });
    found.ok_or_else(|| StepError::new(Class::Failed, format!("`{step}` stored nothing in this run")))
}

/// Where what a step reads back comes from.
pub(super) fn origin(step: &StepId, cx: &Cx<'_>) -> Result<Origin, StepError> {
    let foreign = cx.runtime.ledger(|ledger| ledger.foreign.get(step).cloned());
    foreign.map_or_else(|| Ok(artifact(step, cx)?.origin), Ok)
}

impl OpenSource for ReadBack {
    fn open(&self, cx: &Cx<'_>) -> Result<Opened, StepError> {
        if let Some(recalled) = &self.recalled {
            cx.reports.note(format!("restore point {} of {}, {}", recalled.run, recalled.pipeline, recalled.level));
            let leaving = |since| format!("it was marked for deletion at {since}: `runner pin` keeps it");
            cx.reports.note_all(recalled.leaving.map(leaving));
            let passed_over = |run| format!("{run} was passed over: its clock was far ahead; it is had by its id (--at {run})");
            cx.reports.note_all(recalled.passed_over.as_ref().map(passed_over));
            cx.runtime.ledger(|ledger| ledger.recalled.insert(self.artifact.clone(), (**recalled).clone()));
        }
        let artifact = artifact(&self.artifact, cx)?;
        // A verification begins here, so that one whose key does not even parse leaves a receipt too.
        let verification = Verification::starting(self.artifact.clone(), Timestamp::now());
        cx.runtime.ledger(|ledger| ledger.verifications.insert(cx.step.clone(), verification));
        let stream = read(&artifact.object, &*cx.runtime.store(&self.store)?, cx.cancel)?;
        Ok(Opened { stream, origin: artifact.origin, contents: None, complete: None })
    }

    fn explain(&self, error: StepError, cx: &Cx<'_>) -> StepError {
        let (Ok(artifact), Ok(store)) = (artifact(&self.artifact, cx), cx.runtime.store(&self.store)) else { return error };
        let level = cx.runtime.ledger(|ledger| ledger.verifications.get(cx.step).map(|found| found.level));
        let _quiet = cx.reports.quiet();
        let from = Fetched { object: &artifact.object, stages: &artifact.stages, store: &*store, cancel: cx.cancel };
        // Once everything was read and every digest has agreed, what fails is the load.
        from.blamed(error, level.is_some_and(|level| level >= Level::ReadBack))
    }
}

/// An object's bytes, held against the digest that was confirmed when it was stored.
fn read(object: &Stored, store: &dyn ObjectStore, cancel: &Cancel) -> Result<Stream, StepError> {
    Ok(as_stored(object, store.get(&object.key, cancel)?, store))
}

/// What opens what is encrypted: what a step or a command was lent for that.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keys<'a> {
    /// The private key.
    pub identity: Option<&'a SecretRef>,
    /// The passphrase.
    pub passphrase: Option<&'a SecretRef>,
}

/// What to do where only the fingerprint is lost. Whoever asks for it has loaded the dump already.
const WITHOUT: &str = "the dump itself is whole, only its fingerprint is lost: `prove: off` (--prove off) restores without comparing";

/// The whole fingerprint of an artifact: this run's own, or the one that its run kept beside it. `None` if it left none.
pub(super) fn fingerprint(step: &StepId, keys: Keys<'_>, cx: &Cx<'_>) -> Result<Option<Arc<Fingerprint>>, StepError> {
    if let Some(own) = cx.runtime.ledger(|ledger| ledger.fingerprints.get(step).cloned()) {
        return Ok(Some(own));
    }
    if cx.runtime.ledger(|ledger| ledger.foreign.contains_key(step)) {
        return Ok(None);
    }
    let artifact = artifact(step, cx)?;
    if artifact.fingerprint.is_none() {
        return Ok(None);
    }
    let store = cx.runtime.store(&artifact.store)?;
    let whole = read_fingerprint(&artifact, &*store, keys, cx.runtime.secrets(), cx.cancel);
    let whole = whole.map_err(|error| if error.class == Class::Verification { error.hint(WITHOUT) } else { error })?.map(Arc::new);
    if let Some(whole) = &whole {
        cx.runtime.ledger(|ledger| ledger.fingerprints.insert(step.clone(), Arc::clone(whole)));
    }
    Ok(whole)
}

/// The whole fingerprint that was kept beside an artifact, held against the manifest's summary of it. `None` if none was kept.
///
/// # Errors
/// [`Class::Denied`] when it is encrypted and the key is not there, [`Class::Verification`] when it is not what was stored or the
/// key does not fit, and whatever the store says.
pub fn read_fingerprint(
    artifact: &Artifact,
    store: &dyn ObjectStore,
    keys: Keys<'_>,
    secrets: &Secrets,
    cancel: &Cancel,
) -> Result<Option<Fingerprint>, StepError> {
    let (Some(sidecar), Some(summary)) = (&artifact.fingerprint, &artifact.contents) else { return Ok(None) };
    let from = Fetched { object: &sidecar.object, stages: &sidecar.stages, store, cancel };
    let json = from.text(keys, secrets, FINGERPRINT_LIMIT).map_err(|error| from.blamed(error, false))?;
    let bad = |detail: String| StepError::new(Class::Verification, format!("{}: {detail}", sidecar.object.key));
    let whole: Fingerprint = serde_json::from_slice(&json).map_err(|error| bad(format!("this is no fingerprint: {error}")))?;
    if whole.summary() != *summary {
        return Err(bad("this is the fingerprint of another dump than the manifest's".to_owned()));
    }
    Ok(Some(whole))
}

/// The text of a small artifact with every stage undone.
pub(super) fn text(artifact: &Artifact, keys: Keys<'_>, limit: usize, cx: &Cx<'_>) -> Result<Vec<u8>, StepError> {
    let store = cx.runtime.store(&artifact.store)?;
    let from = Fetched { object: &artifact.object, stages: &artifact.stages, store: &*store, cancel: cx.cancel };
    from.text(keys, cx.runtime.secrets(), limit).map_err(|error| from.blamed(error, false))
}

impl Fetched<'_> {
    /// All of a small object with every stage undone.
    fn text(&self, keys: Keys<'_>, secrets: &Secrets, limit: usize) -> Result<Vec<u8>, StepError> {
        let mut stream = read(self.object, self.store, self.cancel)?;
        for stage in self.stages.iter().rev() {
            stream = named(undone(stage, stream, keys, secrets, self.cancel)?.0, place(self.object, self.store));
        }
        Ok(collect(stream, limit)?)
    }
}

/// A stream with one stage undone, and where it appears whose key did that.
fn undone(
    stage: &Applied,
    input: Stream,
    keys: Keys<'_>,
    secrets: &Secrets,
    cancel: &Cancel,
) -> Result<(Stream, Option<OpenedBy>), StepError> {
    Ok(match stage {
        Applied::Compress { codec, .. } => (codec::decompress(input, *codec)?, None),
        Applied::Checksum { algorithm, digest, bytes, .. } => {
            (verified(input, Digest { algorithm: *algorithm, hex: digest.clone(), bytes: *bytes }), None)
        }
        Applied::Encrypt { scheme, .. } => {
            let (stream, opened) = decrypted(*scheme, input, keys, secrets, cancel)?;
            (stream, Some(opened))
        }
    })
}

pub(super) fn decrypted(
    scheme: Scheme,
    input: Stream,
    keys: Keys<'_>,
    secrets: &Secrets,
    cancel: &Cancel,
) -> Result<(Stream, OpenedBy), StepError> {
    let passphrase = keys.passphrase.map(|reference| secrets.open(reference)).transpose()?;
    let identity = keys.identity.map(|reference| secrets.open(reference)).transpose()?;
    match (scheme, identity, passphrase) {
        (Scheme::Age, Some(identity), _) => Ok(age::decrypt(input, age::Identities::parse(&identity)?)),
        (Scheme::Age, None, Some(passphrase)) => Ok(age::decrypt_with_passphrase(input, &passphrase)),
        (Scheme::OpenPgp, Some(key), passphrase) => Ok(openpgp::decrypt_and_tell(input, &Unlock::Key { key, passphrase }, cancel)?),
        (Scheme::OpenPgp, None, Some(passphrase)) => Ok(openpgp::decrypt_and_tell(input, &Unlock::Passphrase(passphrase), cancel)?),
        (_, None, None) => Err(StepError::new(Class::Denied, "the artifact is encrypted, and no key was lent")
            .hint("give the private key as `identity`, or the `passphrase`")),
    }
}

impl ApplyFilter for Undo {
    fn apply(&self, input: Stream, cx: &Cx<'_>) -> Result<(Stream, AfterFilter), StepError> {
        let artifact = artifact(&self.artifact, cx)?;
        let stage = artifact.stages.get(self.stage).ok_or_else(|| {
            StepError::new(Class::Verification, format!("the manifest has no stage {} of `{}`", self.stage, self.artifact))
        })?;
        let keys = Keys { identity: self.identity.as_ref(), passphrase: self.passphrase.as_ref() };
        let (stream, opened) = undone(stage, input, keys, cx.runtime.secrets(), cx.cancel)?;
        if let Some(opened) = opened {
            note(cx, cx.step, |verification| verification.opened_by = Some(opened));
        }
        let store = cx.runtime.store(&artifact.store)?;
        Ok((named(stream, place(&artifact.object, &*store)), Box::new(|_| Ok(None))))
    }

    fn is_heavy(&self) -> bool {
        // OpenPGP is undone by a process of its own, and a digest costs less than a second thread could save.
        matches!(self.what.as_str(), "age" | "zst" | "gz" | "lz4")
    }
}
