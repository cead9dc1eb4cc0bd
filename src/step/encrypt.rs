//! `encrypt`: makes the stream unreadable for the place that keeps it. Only public keys are needed where it runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AfterFilter, ApplyFilter, Cx, Problem, References, StepError, StepKind, Trouble};
use crate::diagnostic::Class;
use crate::secret::SecretRef;
use crate::store::manifest::Applied;
use crate::stream::crypt::age::{Recipient, parse_recipients};
use crate::stream::crypt::{Scheme, age, openpgp};
use crate::stream::{Cancel, Stream};
use crate::words::count;

/// Encrypts the stream; exactly one of `age` and `openpgp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Encrypt {
    /// The standard age v1 file, which `age -d` opens.
    Age(AgeParams),
    /// An OpenPGP message, which `gpg -d` opens; written by the installed `gpg`.
    OpenPgp(OpenPgpParams),
}

/// To whom: recipients, or a passphrase.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgeParams {
    /// Public keys (`age1…`, `ssh-ed25519 …`, `ssh-rsa …`); whoever has the private key of any one can decrypt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// A file with one public key a line; `#` begins a comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients_file: Option<PathBuf>,
    /// A passphrase instead of recipients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SecretRef>,
}

/// To whom: the public keys in a file, or a passphrase.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenPgpParams {
    /// Files with exported public keys (`gpg --export --armor`); every key in them is a recipient.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients_files: Vec<PathBuf>,
    /// A passphrase instead of recipients (AES-256).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SecretRef>,
}

impl Encrypt {
    /// The usual ending of a file so encrypted.
    pub const fn suffix(&self) -> &'static str {
        match self {
            Self::Age(_) => ".age",
            Self::OpenPgp(_) => ".gpg",
        }
    }

    /// How many different keys can decrypt; none are counted for a passphrase. Reads the files with the keys.
    pub fn recipients(&self) -> Result<usize, StepError> {
        let known: BTreeSet<String> = match self {
            Self::Age(age) => age.all()?.iter().map(|recipient| recipient.text().to_owned()).collect(),
            Self::OpenPgp(pgp) => match pgp.material()? {
                material if material.is_empty() => BTreeSet::new(),
                material => fit(&material, &Cancel::new())?.into_iter().collect(),
            },
        };
        Ok(known.len())
    }

    /// Whether a passphrase, rather than a private key, decrypts it.
    pub const fn has_passphrase(&self) -> bool {
        self.passphrase().is_some()
    }

    const fn passphrase(&self) -> Option<&SecretRef> {
        match self {
            Self::Age(age) => age.passphrase.as_ref(),
            Self::OpenPgp(pgp) => pgp.passphrase.as_ref(),
        }
    }
}

impl StepKind for Encrypt {
    fn references(&self) -> References<'_> {
        References { secrets: self.passphrase().into_iter().collect(), ..References::default() }
    }

    fn words(&self) -> String {
        match self {
            Self::Age(AgeParams { passphrase: Some(_), .. }) => "age with a passphrase".to_owned(),
            Self::Age(AgeParams { recipients_file: Some(file), recipients, .. }) if recipients.is_empty() => {
                format!("age to the recipients in {}", file.display())
            }
            Self::Age(AgeParams { recipients_file: Some(file), recipients, .. }) => {
                format!("age to {} and those in {}", count(recipients.len(), "recipient"), file.display())
            }
            Self::Age(age) => format!("age to {}", count(age.recipients.len(), "recipient")),
            Self::OpenPgp(OpenPgpParams { passphrase: Some(_), .. }) => "OpenPGP with a passphrase".to_owned(),
            Self::OpenPgp(pgp) => format!("OpenPGP to the keys in {}", count(pgp.recipients_files.len(), "file")),
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let (pointer, has_keys) = match self {
            Self::Age(age) => ("/age", !age.recipients.is_empty() || age.recipients_file.is_some()),
            Self::OpenPgp(pgp) => ("/openpgp", !pgp.recipients_files.is_empty()),
        };
        let mut problems = match (has_keys, self.has_passphrase()) {
            (false, false) => vec![
                Problem::error("no-recipient", pointer, "nobody could decrypt this: there is neither a recipient nor a passphrase")
                    .help("give `recipients`, a recipients file, or `passphrase: { secret: … }`"),
            ],
            (true, true) => vec![
                Problem::error("two-ways-to-encrypt", pointer, "recipients and a passphrase exclude each other")
                    .help("keep the recipients: then no secret is needed on the backup host"),
            ],
            _ => Vec::new(),
        };
        if let Self::Age(age) = self {
            problems.extend(age.recipients.iter().enumerate().filter_map(|(index, text)| unreadable(index, text)));
        }
        problems
    }

    fn troubles(&self) -> Vec<Trouble> {
        // A key that is no key is as good as missing: nothing was verified, and no step has failed yet.
        let class = |error: &StepError| if error.class == Class::Unreachable { error.class } else { Class::Denied };
        let trouble = self.recipients().err().map(|error| Trouble { class: class(&error), message: error.message, help: error.hint });
        trouble.into_iter().collect()
    }
}

/// The fingerprints of OpenPGP keys, each of which can be encrypted to.
fn fit(material: &[u8], cancel: &Cancel) -> Result<Vec<String>, StepError> {
    let keys = openpgp::keys(material, cancel)?;
    match keys.iter().find(|key| !key.can_encrypt) {
        None => Ok(keys.into_iter().map(|key| key.fingerprint).collect()),
        Some(unfit) => Err(StepError::new(Class::Denied, format!("nothing can be encrypted to {unfit}: it has expired, or only signs"))
            .hint("give a key that is fit for encryption, or export this one again once it is")),
    }
}

/// An inline recipient that is no public key.
fn unreadable(index: usize, text: &str) -> Option<Problem> {
    let message = text.parse::<Recipient>().err()?;
    Some(Problem::error("bad-recipient", format!("/age/recipients/{index}"), message))
}

fn unread(path: &Path, error: &std::io::Error) -> StepError {
    StepError::new(Class::Denied, format!("reading {}: {error}", path.display())).hint("commit the public keys beside the pipeline")
}

impl AgeParams {
    /// Every recipient, inline and in the file.
    fn all(&self) -> Result<Vec<Recipient>, StepError> {
        let inline = self.recipients.iter().map(|text| text.parse::<Recipient>().map_err(|message| StepError::new(Class::Failed, message)));
        let mut all: Vec<Recipient> = inline.collect::<Result<_, _>>()?;
        if let Some(path) = &self.recipients_file {
            let text = std::fs::read_to_string(path).map_err(|error| unread(path, &error))?;
            let bad =
                |error: age::RecipientError| StepError::new(Class::Failed, format!("{}:{}: {}", path.display(), error.line, error.message));
            all.extend(parse_recipients(&text).map_err(bad)?);
        }
        Ok(all)
    }
}

impl OpenPgpParams {
    /// The exported public keys of all the files, one behind the other.
    fn material(&self) -> Result<Vec<u8>, StepError> {
        let files = self.recipients_files.iter().map(|path| std::fs::read(path).map_err(|error| unread(path, &error)));
        Ok(files.collect::<Result<Vec<_>, _>>()?.concat())
    }
}

impl ApplyFilter for Encrypt {
    fn apply(&self, input: Stream, cx: &Cx<'_>) -> Result<(Stream, AfterFilter), StepError> {
        let passphrase = self.passphrase().map(|reference| cx.runtime.secrets().open(reference)).transpose()?;
        let (stream, scheme, recipients) = match (self, passphrase) {
            (Self::Age(_), Some(passphrase)) => (age::encrypt_with_passphrase(input, &passphrase)?, Scheme::Age, Vec::new()),
            (Self::OpenPgp(_), Some(passphrase)) => {
                (openpgp::encrypt_with_passphrase(input, &passphrase, cx.cancel)?, Scheme::OpenPgp, Vec::new())
            }
            (Self::Age(params), None) => {
                let all = params.all()?;
                let texts = all.iter().map(|recipient| recipient.text().to_owned()).collect();
                (age::encrypt(input, &all)?, Scheme::Age, texts)
            }
            (Self::OpenPgp(params), None) => {
                let material = params.material()?;
                let texts = fit(&material, cx.cancel)?;
                (openpgp::encrypt(input, &material, cx.cancel)?, Scheme::OpenPgp, texts)
            }
        };
        Ok((stream, Box::new(move |bytes| Ok(Some(Applied::Encrypt { scheme, recipients, bytes })))))
    }
}
