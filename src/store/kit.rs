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
pub const VERSION: u32 = 3;

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
    files(pipeline).iter().filter_map(|file| add(store, file).err()).map(told).collect()
}

/// Looks first: on every run but the first it is there, and not every store honours create-only.
fn add(store: &dyn ObjectStore, file: &KitFile) -> Result<(), StoreError> {
    match store.get_bytes(&file.key, LIMIT) {
        Ok(found) if found == file.text.as_bytes() => Ok(()),
        Ok(_) => Err(StoreError::Exists { store: store.describe(), key: file.key.clone() }),
        // What can not be read may still be written: some stores say "denied" where they mean "not there".
        Err(_) => publish_bytes(store, &file.key, file.text.as_bytes(), LIMIT, TEXT).map(drop),
    }
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
    lines.extend(origin.roles.iter().filter(|role| can_stand(role)).map(|role| line(&["role", role])));
    // Kits before the third pass over these lines; one that can not stand here fails the load, which names it.
    lines.extend(origin.schemas.iter().filter(|schema| can_stand(schema)).map(|schema| line(&["schema", schema])));
}

/// Whether a text is one word of a line as it is.
fn can_stand(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}

/// `None` where a word could not stand in a line: the restore then takes the server's own locale.
fn like(locale: &Locale) -> Option<String> {
    let provider = locale.provider.to_string();
    let words = ["locale", &locale.encoding, &locale.collate, &locale.ctype, &provider, locale.locale.as_deref().unwrap_or("-")];
    words.iter().all(|word| can_stand(word)).then(|| line(&words))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn artifact(step: &str, store: &str, key: &str) -> serde_json::Value {
        json!({
            "step": step, "store": store, "started": "2026-11-20T02:17:00Z", "finished": "2026-11-20T02:18:00Z",
            "object": { "key": key, "bytes": 5, "sha256": "0".repeat(64) },
            "origin": {
                "kind": "dump", "format": "plain", "connection": "db", "database": "a\tb\nc", "server_version": 170_011, "system_identifier": null,
                "locale": { "encoding": "UTF8", "collate": "", "ctype": "C", "provider": "c" },
                "roles": ["주인 'q'", "x\ty"], "schemas": ["판매 \"Q\"", "x\ny"], "tool": "pg_dump", "bytes": 9,
            },
            "stages": [
                { "stage": "compress", "codec": "zstd", "bytes": 7 },
                { "stage": "encrypt", "scheme": "age", "recipients": [], "bytes": 5 },
                { "stage": "checksum", "algorithm": "sha512", "digest": "ab", "bytes": 5, "sidecar": null },
            ],
        })
    }

    fn manifest(artifacts: &[serde_json::Value]) -> Manifest {
        serde_json::from_value(json!({
            "version": 1, "run": "20261120T021700Z-4f3a9c", "pipeline": "주문", "source_sha256": "", "git_commit": null, "runner": "0", "host": "h",
            "started": "2026-11-20T02:17:00Z", "committed": "2026-11-20T02:18:00Z", "level": "stored", "artifacts": artifacts, "timings": {},
        }))
        .unwrap()
    }

    #[test]
    fn a_recipe_tells_one_fact_a_line_and_what_is_elsewhere() {
        let manifest = manifest(&[artifact("keep", "vault", "월간 백업/it's \"x\".sql"), artifact("copy", "far", "y")]);
        let zeros = "0".repeat(64);
        let expected = [
            "runner-recipe\t1",
            "pipeline\t주문",
            "run\t20261120T021700Z-4f3a9c",
            &format!("artifact\tkeep\tdump\tplain\ta\u{fffd}b\u{fffd}c\t월간 백업/it's \"x\".sql\t5\t{zeros}\t17"),
            "plain\t9",
            "undo\tsha512\tab",
            "undo\tage\tpassphrase",
            "undo\tzstd",
            "role\t주인 'q'",
            "schema\t판매 \"Q\"",
            "elsewhere\tcopy\tfar\ty",
            "end\n",
        ];
        assert_eq!(recipe(&"vault".parse().unwrap(), &manifest).unwrap(), expected.join("\n"));
    }

    #[test]
    fn a_key_that_would_break_a_line_is_refused() {
        for key in ["a\tb", "a\nb", "../a"] {
            assert!(recipe(&"vault".parse().unwrap(), &manifest(&[artifact("keep", "vault", key)])).is_err(), "{key:?}");
        }
    }
}
