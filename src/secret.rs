//! Secrets: how a pipeline refers to one, whether it is there, and the value itself for as short as it is needed.
//!
//! A [`SecretRef`] is a name and can be printed, stored and compared. The value behind it is read only by
//! [`Secrets::open`], at the moment a process or a request needs it, and lives in a [`Secret`], which has no `Display`,
//! whose `Debug` shows no byte of it, and which is wiped when dropped. This module does not know what secrets are for.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ids::RefName;

/// A reference to a declared secret: `{ secret: name }`. Never a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-secret" = "reference"))]
pub struct SecretRef {
    /// The name under which `secrets` declares it.
    pub secret: RefName,
}

/// Where the value of a secret comes from. One of `env`, `file` and `credential`; never the value itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-secret" = "declaration"))]
pub struct SecretDecl {
    /// The environment variable that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The file that holds it; one trailing newline is not part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The systemd credential that holds it (`LoadCredential=`, read from `$CREDENTIALS_DIRECTORY`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Whether the pipeline also runs without it: what needs it is then skipped with a warning.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

impl SecretDecl {
    /// A secret in an environment variable.
    pub fn in_variable(name: &str) -> Self {
        Self { env: Some(name.to_owned()), file: None, credential: None, optional: false }
    }

    /// A secret that a file holds.
    pub fn in_file(path: &Path) -> Self {
        Self { env: None, file: Some(path.to_owned()), credential: None, optional: false }
    }
}

/// The value of a secret. Wiped when dropped; `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a value into keeping.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value, to be handed straight to the process or request that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whether a secret could be opened, found out without reading its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// The variable is set, or the file is there and readable.
    Present,
    /// It is not there.
    Missing,
    /// Nobody looked (`plan --offline`).
    Unknown,
}

/// Why a secret could not be opened. Says the name and the place, never a byte of the value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No secret of that name is declared.
    #[error("secret `{name}` is not declared under `secrets`")]
    Undeclared {
        /// The name asked for.
        name: RefName,
    },
    /// The environment variable is not set.
    #[error("secret `{name}`: environment variable {variable} is not set")]
    Unset {
        /// The secret's name.
        name: RefName,
        /// The variable.
        variable: String,
    },
    /// The variable or file is there but its content is not UTF-8 or empty.
    #[error("secret `{name}`: {place} is {problem}")]
    Unusable {
        /// The secret's name.
        name: RefName,
        /// The variable or file.
        place: String,
        /// `empty` or `not UTF-8`.
        problem: &'static str,
    },
    /// A credential was asked for outside a systemd unit that has any.
    #[error("secret `{name}`: $CREDENTIALS_DIRECTORY is not set, so credential {credential} can not be found")]
    NoCredentials {
        /// The secret's name.
        name: RefName,
        /// The credential's name.
        credential: String,
    },
    /// The file could not be read.
    #[error("secret `{name}`: reading {path}: {source}")]
    Read {
        /// The secret's name.
        name: RefName,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The declared secrets of one pipeline, ready to be opened.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    declared: BTreeMap<RefName, SecretDecl>,
}

enum Place {
    Variable(String),
    File(PathBuf),
}

impl Secrets {
    /// The secrets as a pipeline declares them. Relative files are taken from the current folder.
    pub fn new(declared: BTreeMap<RefName, SecretDecl>) -> Self {
        Self { declared }
    }

    /// Whether the secret could be opened; reads no value.
    pub fn presence(&self, reference: &SecretRef) -> Presence {
        let there = match self.place(&reference.secret) {
            Ok(Place::Variable(variable)) => std::env::var_os(variable).is_some_and(|v| !v.is_empty()),
            Ok(Place::File(path)) => is_readable(&path),
            Err(_) => false,
        };
        if there { Presence::Present } else { Presence::Missing }
    }

    /// Whether the pipeline says that it also runs without this secret.
    pub fn is_optional(&self, reference: &SecretRef) -> bool {
        self.declared.get(&reference.secret).is_some_and(|d| d.optional)
    }

    /// The environment variables that hold secrets.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.declared.values().filter_map(|declared| declared.env.as_deref())
    }

    /// Reads the value.
    pub fn open(&self, reference: &SecretRef) -> Result<Secret, SecretError> {
        let name = &reference.secret;
        match self.place(name)? {
            Place::Variable(variable) => match std::env::var(&variable) {
                Ok(value) => keep(name, &format!("environment variable {variable}"), value),
                Err(std::env::VarError::NotPresent) => Err(SecretError::Unset { name: name.clone(), variable }),
                Err(std::env::VarError::NotUnicode(_)) => Err(unusable(name, variable, "not UTF-8")),
            },
            Place::File(path) => read(name, &path),
        }
    }

    fn place(&self, name: &RefName) -> Result<Place, SecretError> {
        let declared = self.declared.get(name).ok_or_else(|| SecretError::Undeclared { name: name.clone() })?;
        if let Some(variable) = &declared.env {
            return Ok(Place::Variable(variable.clone()));
        }
        if let Some(file) = &declared.file {
            return Ok(Place::File(file.clone()));
        }
        let credential = declared.credential.clone().unwrap_or_default();
        match std::env::var_os("CREDENTIALS_DIRECTORY") {
            Some(folder) => Ok(Place::File(Path::new(&folder).join(credential))),
            None => Err(SecretError::NoCredentials { name: name.clone(), credential }),
        }
    }
}

/// Looks without opening: whoever opens a pipe takes what is in it, or waits for somebody to write.
fn is_readable(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| !found.is_dir()) && rustix::fs::access(path, rustix::fs::Access::READ_OK).is_ok()
}

fn read(name: &RefName, path: &Path) -> Result<Secret, SecretError> {
    let bytes = std::fs::read(path).map_err(|source| SecretError::Read { name: name.clone(), path: path.to_owned(), source })?;
    let place = path.display().to_string();
    match String::from_utf8(bytes) {
        Ok(mut value) => {
            // The end of the last line, as editors of any system write it.
            if value.ends_with('\n') {
                value.pop();
                if value.ends_with('\r') {
                    value.pop();
                }
            }
            keep(name, &place, value)
        }
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(unusable(name, place, "not UTF-8"))
        }
    }
}

fn keep(name: &RefName, place: &str, value: String) -> Result<Secret, SecretError> {
    if value.is_empty() {
        return Err(unusable(name, place.to_owned(), "empty"));
    }
    Ok(Secret::new(value))
}

fn unusable(name: &RefName, place: String, problem: &'static str) -> SecretError {
    SecretError::Unusable { name: name.clone(), place, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(decl: SecretDecl) -> (Secrets, SecretRef) {
        let name = RefName::new("pw").unwrap();
        (Secrets::new(BTreeMap::from([(name.clone(), decl)])), SecretRef { secret: name })
    }

    fn from_file(path: PathBuf) -> SecretDecl {
        SecretDecl { env: None, file: Some(path), credential: None, optional: false }
    }

    #[test]
    fn a_file_loses_one_newline_and_debug_shows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pw");
        std::fs::write(&path, "비밀 canary\n\n").unwrap();
        let (secrets, reference) = secrets(from_file(path));
        let value = secrets.open(&reference).unwrap();
        assert_eq!(value.expose(), "비밀 canary\n");
        assert!(!format!("{value:?}").contains("canary"));
        assert_eq!(secrets.presence(&reference), Presence::Present);
    }

    #[test]
    fn empty_and_binary_files_are_refused_without_showing_bytes() {
        let folder = tempfile::tempdir().unwrap();
        for (bytes, problem) in [(&b"\n"[..], "empty"), (&b"can\xffary"[..], "not UTF-8")] {
            let path = folder.path().join("pw");
            std::fs::write(&path, bytes).unwrap();
            let (secrets, reference) = secrets(from_file(path));
            let message = secrets.open(&reference).unwrap_err().to_string();
            assert!(message.ends_with(problem), "{message}");
        }
    }

    #[test]
    fn a_folder_is_no_secret_and_a_pipe_is_one_that_looking_does_not_take() {
        let folder = tempfile::tempdir().unwrap();
        let (no_secret, reference) = secrets(from_file(folder.path().to_owned()));
        assert_eq!(no_secret.presence(&reference), Presence::Missing);
        let (read, write) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&write, b"canary").unwrap();
        drop(write);
        let (substituted, reference) = secrets(from_file(format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&read)).into()));
        assert_eq!(substituted.presence(&reference), Presence::Present);
        assert_eq!(substituted.open(&reference).unwrap().expose(), "canary");
        let fifo = folder.path().join("관");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        // Opened, it would wait for a writer for ever.
        assert_eq!(secrets(from_file(fifo)).0.presence(&reference), Presence::Present);
    }

    #[test]
    fn a_missing_file_is_missing() {
        let (secrets, reference) = secrets(from_file("/nonexistent/pw".into()));
        assert_eq!(secrets.presence(&reference), Presence::Missing);
        assert!(secrets.open(&reference).unwrap_err().to_string().contains("/nonexistent/pw"));
    }
}
