//! The recovery kit: what lies beside a pipeline's restore points so that they can be restored without `runner`.
//!
//! A *recipe* a restore point, which a POSIX shell can read, and once a pipeline `RESTORE.md` and `restore.sh`, which know how to
//! follow it. All are created once and never changed; what the kit's files say depends on the kit's version and the pipeline's name
//! alone, so a later run finds its own words there already. A recipe without a manifest is no restore point. This module does not
//! restore anything itself, and does not put secrets anywhere.

use super::commit::publish_bytes;
use super::manifest::{Applied, Artifact, Locale, Manifest, month_prefix};
use super::{ObjectStore, StoreError, Stored, key};
use crate::ids::{PipelineName, RefName, RunId};
use crate::stream::crypt::Scheme;

/// The version of the kit's files, which is part of their keys. Whoever changes a byte of `restore.sh` or `RESTORE.md` raises it.
pub const VERSION: u32 = 1;

/// The form of recipes, their first line. Kits refuse forms that they do not know.
pub const RECIPE_FORM: u32 = 1;

/// The most bytes a recipe or a file of the kit may have: some ten thousand artifacts.
const LIMIT: u64 = 16 * 1024 * 1024;

const TEXT: &str = "text/plain; charset=utf-8";

/// A file of the kit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KitFile {
    /// Its key.
    pub key: String,
    /// Its whole text.
    pub text: String,
}

/// The files of a pipeline's kit.
pub fn files(pipeline: &PipelineName) -> [KitFile; 2] {
    let folder = format!(".runner/{pipeline}/kit-{VERSION}");
    let filled =
        |text: &str| text.replace("@PIPELINE@", pipeline.as_str()).replace("@VERSION@", &VERSION.to_string()).replace("@FOLDER@", &folder);
    let file = |name: &str, text: &str| KitFile { key: format!("{folder}/{name}"), text: filled(text) };
    [file("RESTORE.md", include_str!("kit/RESTORE.md")), file("restore.sh", include_str!("kit/restore.sh"))]
}

/// Writes a pipeline's kit; what is there already is left alone. Answers what to tell the reader: nothing when the kit is there and right.
///
/// A restore point is as good without a kit, so nothing here is an error.
pub fn add_kit(store: &dyn ObjectStore, pipeline: &PipelineName) -> Vec<String> {
    files(pipeline).iter().filter_map(|file| publish_bytes(store, &file.key, file.text.as_bytes(), LIMIT, TEXT).err()).map(told).collect()
}

fn told(error: StoreError) -> String {
    match error {
        StoreError::Exists { store, key } => {
            format!(
                "WARNING: {store}: {key} is not what runner wrote: somebody changed the recovery kit; do not run it before you know who and why"
            )
        }
        other => format!("the recovery kit could not be written, the restore point is as good without it: {other}"),
    }
}

/// The key of a restore point's recipe.
pub fn recipe_key(pipeline: &PipelineName, run: &RunId) -> String {
    format!("{}{run}.recipe.txt", month_prefix(pipeline, run))
}

/// Writes how to restore what a run left in this store; a retry finds its own recipe and succeeds. Goes before the commit.
///
/// # Errors
/// [`StoreError::Exists`] when another recipe is there, [`StoreError::BadKey`] when an object's key can not stand in one,
/// and whatever the store says.
pub fn add_recipe(store: &dyn ObjectStore, name: &RefName, manifest: &Manifest) -> Result<Stored, StoreError> {
    let text = recipe(name, manifest)?;
    publish_bytes(store, &recipe_key(&manifest.pipeline, &manifest.run), text.as_bytes(), LIMIT, TEXT)
}

/// The recipe of a restore point for one of its stores: words separated by tabs, one fact a line, in the form that `RESTORE.md` tells.
///
/// # Errors
/// [`StoreError::BadKey`] when an object's key can not stand in a line.
pub fn recipe(store: &RefName, manifest: &Manifest) -> Result<String, StoreError> {
    let mut lines = vec![
        line(&["runner-recipe", &RECIPE_FORM.to_string()]),
        line(&["pipeline", manifest.pipeline.as_str()]),
        line(&["run", manifest.run.as_str()]),
    ];
    for artifact in &manifest.artifacts {
        key::check(&artifact.object.key)?;
        if artifact.store == *store {
            about(artifact, &mut lines);
        } else {
            lines.push(line(&["elsewhere", artifact.step.as_str(), artifact.store.as_str(), &artifact.object.key]));
        }
    }
    lines.push("end\n".to_owned());
    Ok(lines.concat())
}

fn about(artifact: &Artifact, lines: &mut Vec<String>) {
    let (origin, object) = (&artifact.origin, &artifact.object);
    lines.push(line(&[
        "artifact",
        artifact.step.as_str(),
        &origin.kind,
        &origin.format,
        // The shell takes several tabs in a row for one, so no word may be empty.
        &printable(origin.database.as_deref().unwrap_or("-")),
        &object.key,
        &object.bytes.to_string(),
        &object.sha256,
        &(origin.server_version / 10_000).to_string(),
    ]));
    lines.push(line(&["plain", &origin.bytes.to_string()]));
    lines.extend(origin.locale.as_ref().and_then(like));
    lines.extend(artifact.stages.iter().rev().flat_map(undo));
    // A role whose name can not stand in a line is not asked for; the restore itself will.
    lines.extend(origin.roles.iter().filter(|role| !role.contains(char::is_control)).map(|role| line(&["role", role])));
}

/// `None` where a word could not stand in a line: the restore then takes the server's own locale.
fn like(locale: &Locale) -> Option<String> {
    let provider = locale.provider.to_string();
    let words = ["locale", &locale.encoding, &locale.collate, &locale.ctype, &provider, locale.locale.as_deref().unwrap_or("-")];
    words.iter().all(|word| !word.is_empty() && !word.contains(char::is_control)).then(|| line(&words))
}

fn undo(stage: &Applied) -> Vec<String> {
    match stage {
        Applied::Compress { codec, .. } => vec![line(&["undo", codec.name()])],
        Applied::Checksum { algorithm, digest, .. } => vec![line(&["undo", algorithm.name(), digest])],
        Applied::Encrypt { scheme, recipients, .. } => {
            let tool = match scheme {
                Scheme::Age => "age",
                Scheme::OpenPgp => "gpg",
            };
            let with = if recipients.is_empty() { "passphrase" } else { "key" };
            let to = recipients.iter().map(|recipient| line(&["recipient", &printable(recipient)]));
            std::iter::once(line(&["undo", tool, with])).chain(to).collect()
        }
    }
}

fn line(words: &[&str]) -> String {
    format!("{}\n", words.join("\t"))
}

/// Text that is only shown: what would end a word or a line is replaced.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
