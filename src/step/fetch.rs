//! The way back, first half: an artifact is read from its store, and each stage that was applied is undone.
//!
//! What was applied comes from the artifact's own record, not from the pipeline's YAML. Nothing is restored here.

use jiff::Timestamp;

use super::work::{Fetch, Undo};
use super::{AfterFilter, ApplyFilter, Cx, OpenSource, Opened, StepError};
use crate::diagnostic::Class;
use crate::ids::StepId;
use crate::runtime::Verification;
use crate::store::manifest::{Applied, Artifact};
use crate::stream::crypt::openpgp::Unlock;
use crate::stream::crypt::{Scheme, age, openpgp};
use crate::stream::digest::{Algorithm, Digest, verified};
use crate::stream::{Stream, codec};

/// The record of what a step of this run stored.
pub(super) fn artifact(step: &StepId, cx: &Cx<'_>) -> Result<Artifact, StepError> {
    let found = cx.runtime.ledger(|ledger| ledger.artifacts.get(step).cloned());
    found.ok_or_else(|| StepError::new(Class::Failed, format!("`{step}` stored nothing in this run")))
}

impl OpenSource for Fetch {
    fn open(&self, cx: &Cx<'_>) -> Result<Opened, StepError> {
        let artifact = artifact(&self.artifact, cx)?;
        // A verification begins here, so that one whose key does not even parse leaves a receipt too.
        let verification = Verification::starting(self.artifact.clone(), Timestamp::now());
        cx.runtime.ledger(|ledger| ledger.verifications.insert(cx.step.clone(), verification));
        let store = cx.runtime.store(&self.store)?;
        let stream = store.get(&artifact.object.key, cx.cancel)?;
        let expected = Digest { algorithm: Algorithm::Sha256, hex: artifact.object.sha256, bytes: artifact.object.bytes };
        Ok(Opened { stream: verified(stream, expected), origin: artifact.origin, contents: None, complete: None })
    }
}

impl ApplyFilter for Undo {
    fn apply(&self, input: Stream, cx: &Cx<'_>) -> Result<(Stream, AfterFilter), StepError> {
        let artifact = artifact(&self.artifact, cx)?;
        let stage = artifact.stages.get(self.stage).ok_or_else(|| {
            StepError::new(Class::Verification, format!("the manifest has no stage {} of `{}`", self.stage, self.artifact))
        })?;
        let stream = match stage {
            Applied::Compress { codec, .. } => codec::decompress(input, *codec)?,
            Applied::Checksum { algorithm, digest, bytes, .. } => {
                verified(input, Digest { algorithm: *algorithm, hex: digest.clone(), bytes: *bytes })
            }
            Applied::Encrypt { scheme, .. } => self.decrypt(*scheme, input, cx)?,
        };
        Ok((stream, Box::new(|_| Ok(None))))
    }

    fn is_heavy(&self) -> bool {
        matches!(self.what.as_str(), "zst" | "gz" | "lz4")
    }
}

impl Undo {
    fn decrypt(&self, scheme: Scheme, input: Stream, cx: &Cx<'_>) -> Result<Stream, StepError> {
        let secrets = cx.runtime.secrets();
        let passphrase = self.passphrase.as_ref().map(|reference| secrets.open(reference)).transpose()?;
        let identity = self.identity.as_ref().map(|reference| secrets.open(reference)).transpose()?;
        match (scheme, identity, passphrase) {
            (Scheme::Age, Some(identity), _) => Ok(age::decrypt(input, age::Identities::parse(&identity)?)),
            (Scheme::Age, None, Some(passphrase)) => Ok(age::decrypt_with_passphrase(input, &passphrase)),
            (Scheme::OpenPgp, Some(key), passphrase) => Ok(openpgp::decrypt(input, &Unlock::Key { key, passphrase }, cx.cancel)?),
            (Scheme::OpenPgp, None, Some(passphrase)) => Ok(openpgp::decrypt(input, &Unlock::Passphrase(passphrase), cx.cancel)?),
            (_, None, None) => Err(StepError::new(Class::Denied, format!("`{}` is encrypted, and no key was lent", self.artifact))),
        }
    }
}
