//! A dump that `runner` did not make: its file is read, and what was done to it is found out and undone, layer by layer.
//!
//! There is no manifest, so there is no digest to hold the bytes against. An archive in custom format that is not compressed inside is read as
//! it flows, so that one that is cut or malformed fails and the result can be compared with it; what is restored from any other dump is
//! `restored` at best. Nothing is restored here.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::way_back::{Keys, decrypted};
use super::{Cx, OpenSource, Opened, StepError};
use crate::archive::{self, Form, Written, confined, written};
use crate::diagnostic::Class;
use crate::ids::RefName;
use crate::runtime::Verification;
use crate::secret::SecretRef;
use crate::store::manifest::Origin;
use crate::stream::crypt::Scheme;
use crate::stream::detect::{Content, content, peek, shown};
use crate::stream::file::read_file;
use crate::stream::{Stream, archive_tar, codec, prefetch};

/// How many layers of compression and encryption are undone; nobody needs more, and a file can be made of more without end.
const LAYERS: usize = 4;

/// How many chunks may wait between the undoing and the load.
const DEPTH: usize = 8;

/// The size of a block of tar, which is that of the header before its first file.
const TAR_BLOCK: usize = 512;

/// A dump in a file, or a folder of `pg_dump --format=directory`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileBack {
    /// The file.
    pub path: PathBuf,
    /// How long it was when the plan was made; another length then is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The private key, where one is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<SecretRef>,
    /// The passphrase, where one is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SecretRef>,
}

/// What a look at the first bytes of a dump tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Its length in bytes; for a folder that of the tar it travels as is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What was done to it, outermost first: `gzip`, `age`. What is inside an encryption is seen only when it is opened.
    pub layers: Vec<String>,
    /// What it is inside: `custom`, `directory-tar`, `plain`; `None` while it is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// What it says of itself: `orders of PostgreSQL 16.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
}

impl FileFacts {
    /// What was found, for the reader: `gzip, then a custom-format archive (orders of PostgreSQL 16.3)`.
    pub fn words(&self) -> String {
        let inside = match self.format.as_deref() {
            Some("custom") => "a custom-format archive",
            Some("plain") => "a script",
            Some(_) => "an archive in tar or directory format",
            None => "what is inside shows when it is decrypted",
        };
        let layers = self.layers.iter().map(String::as_str).chain([inside]).collect::<Vec<_>>().join(", then ");
        format!("{layers}{}", self.says.as_ref().map(|says| format!(" ({says})")).unwrap_or_default())
    }
}

/// A stream whose layers were undone as far as that went.
struct Peeled {
    stream: Stream,
    layers: Vec<String>,
    /// Its form, unless a layer could not be undone.
    format: Option<&'static str>,
    written: Option<Written>,
}

/// Looks at a dump without any key: what is inside an encryption stays unknown.
///
/// # Errors
/// When it can not be read, or is no dump that is known here.
pub fn look(path: &Path) -> Result<FileFacts, StepError> {
    let bytes = if path.is_dir() { None } else { Some(opened_length(path)?) };
    let peeled = peeled(opened(path, None)?, path, |_, _| Ok(None))?;
    let says = peeled.written.as_ref().map(|written| format!("{} of PostgreSQL {}", written.database, written.server));
    Ok(FileFacts { bytes, layers: peeled.layers, format: peeled.format.map(str::to_owned), says: says.map(|says| says.trim().to_owned()) })
}

fn opened_length(path: &Path) -> Result<u64, StepError> {
    let found = std::fs::metadata(path).map_err(|error| {
        let class = if error.kind() == std::io::ErrorKind::PermissionDenied { Class::Denied } else { Class::Failed };
        StepError::new(class, format!("reading {}: {error}", path.display()))
    })?;
    Ok(found.len())
}

fn opened(path: &Path, expected: Option<u64>) -> Result<Stream, StepError> {
    if !path.is_dir() {
        return Ok(read_file(path, expected)?);
    }
    if path.join("toc.dat").is_file() {
        return Ok(archive_tar::archive(path)?);
    }
    let message = format!("{} is a folder, and none that pg_dump --format=directory made: it has no toc.dat", path.display());
    Err(StepError::new(Class::Failed, message).hint("give the dump itself"))
}

/// Undoes layer after layer; `decrypt` answers `None` where it is not to be undone.
fn peeled(stream: Stream, path: &Path, decrypt: impl Fn(Scheme, Stream) -> Result<Option<Stream>, StepError>) -> Result<Peeled, StepError> {
    let (mut stream, mut layers) = (stream, Vec::new());
    for _ in 0..=LAYERS {
        let (first, whole) = peek(stream)?;
        let ended = |format, stream, written| Ok(Peeled { stream, layers: layers.clone(), format, written });
        stream = match content(&first) {
            Content::Packed(codec) => {
                layers.push(codec.name().to_owned());
                codec::decompress(whole, codec)?
            }
            Content::Sealed(scheme) => {
                layers.push(if scheme == Scheme::Age { "age" } else { "gpg" }.to_owned());
                match decrypt(scheme, whole)? {
                    Some(stream) => stream,
                    None => return Ok(Peeled { stream: crate::stream::bytes::stream_of(Vec::new()), layers, format: None, written: None }),
                }
            }
            Content::Custom => return ended(Some("custom"), whole, written(&first)),
            // The two formats are one where they lie in a folder (pg_backup_directory.c), and only a folder can be read in any order.
            Content::Tar => return ended(Some("directory-tar"), whole, first.get(TAR_BLOCK..).and_then(written)),
            Content::Script => return ended(Some("plain"), whole, written_in_script(&first)),
            Content::Unfit { what, advice } => return Err(unfit(path, &layers, what).hint(advice)),
            Content::Unknown => {
                return Err(unfit(path, &layers, &format!("nothing known here: it begins with {}", shown(&first))).hint(HINT));
            }
        };
    }
    Err(unfit(path, &layers, "packed once more"))
}

const HINT: &str =
    "known are scripts and archives of pg_dump (custom, tar, directory), compressed with zstd, gzip or lz4, encrypted with age or gpg";

fn unfit(path: &Path, layers: &[String], what: &str) -> StepError {
    let behind = if layers.is_empty() { String::new() } else { format!("behind {} ", layers.join(", ")) };
    StepError::new(Class::Failed, format!("{}: {behind}this is {what}", path.display()))
}

/// What the heading of a script says: `-- Dumped from database version 16.3`.
fn written_in_script(first: &[u8]) -> Option<Written> {
    let text = String::from_utf8_lossy(first);
    let after = |words: &str| text.lines().find_map(|line| line.strip_prefix(words)).map(|rest| rest.trim().to_owned());
    let tool = after("-- Dumped by pg_dump version ")?;
    Some(Written { database: "a database".to_owned(), server: after("-- Dumped from database version ")?, tool, packed: false })
}

/// A version such as `16.3 (Debian 16.3-1)` as `server_version_num` has it; its minor does not matter here.
fn number(version: &str) -> u32 {
    let major: String = version.chars().take_while(char::is_ascii_digit).collect();
    major.parse::<u32>().unwrap_or_default().saturating_mul(10_000)
}

impl OpenSource for FileBack {
    fn open(&self, cx: &Cx<'_>) -> Result<Opened, StepError> {
        // It is restored without a manifest, and counted and told of all the same.
        let verification = Verification::starting(cx.step.clone(), Timestamp::now());
        cx.runtime.ledger(|ledger| ledger.verifications.insert(cx.step.clone(), verification));
        let keys = Keys { identity: self.identity.as_ref(), passphrase: self.passphrase.as_ref() };
        let found = peeled(opened(&self.path, self.bytes)?, &self.path, |scheme, input| {
            decrypted(scheme, input, keys, cx.runtime.secrets(), cx.cancel).map(|(stream, _)| Some(stream))
        })?;
        let format = found.format.unwrap_or_default();
        let origin = origin(format, found.written.as_ref())?;
        cx.reports.note_all((!found.layers.is_empty()).then(|| format!("found {}, then {format}", found.layers.join(", then "))));
        cx.runtime.ledger(|ledger| ledger.foreign.insert(cx.step.clone(), origin.clone()));
        let (stream, contents) = match (format, &found.written) {
            ("custom", Some(Written { packed: false, .. })) => {
                let (stream, contents) = archive::fingerprint(found.stream, Form::Custom);
                (stream, Some(contents))
            }
            ("plain", _) => (confined(found.stream), None),
            _ => (found.stream, None),
        };
        cx.reports.note_all(contents.is_none().then(|| unread(format).to_owned()));
        let stream = if found.layers.is_empty() { stream } else { prefetch(stream, DEPTH, "file") };
        Ok(Opened { stream, origin, contents, complete: None })
    }
}

/// Why the rows of a dump are not read as they flow.
fn unread(format: &str) -> &'static str {
    match format {
        "plain" => "nothing is compared: a script may do anything, and only a server knows what it will have done",
        "custom" => "nothing is compared: the archive is compressed inside, so its rows can not be read as they flow",
        _ => "nothing is compared: only archives in custom format that are not compressed inside are read as they flow",
    }
}

/// What a restore needs to know of a dump that has no manifest.
fn origin(format: &str, written: Option<&Written>) -> Result<Origin, StepError> {
    let connection = RefName::new("file").map_err(|error| StepError::new(Class::Internal, error.to_string()))?;
    Ok(Origin {
        kind: "dump".to_owned(),
        format: format.to_owned(),
        connection,
        database: None,
        // The tools must be those of pg_dump, which may be newer than the server that it dumped.
        server_version: written.map_or(0, |written| number(&written.server).max(number(&written.tool))),
        system_identifier: None,
        locale: None,
        roles: Vec::new(),
        tablespaces: Vec::new(),
        extensions: Vec::new(),
        schemas: Vec::new(),
        tool: written.map(|written| format!("pg_dump (PostgreSQL) {}", written.tool)).unwrap_or_default(),
        bytes: 0,
    })
}
