//! How to restore an artifact with nothing but standard tools: the promise that nobody depends on `runner` to get data back.
//!
//! The command is made from what the manifest recorded. It is words for people; nothing here runs it.

use crate::store::StoreSpec;
use crate::store::manifest::{Applied, Artifact};
use crate::stream::codec::Codec;
use crate::stream::crypt::Scheme;

/// One shell pipeline that restores an artifact into the database `restored`.
pub fn command(artifact: &Artifact, store: &StoreSpec) -> String {
    let mut parts = vec![read(artifact, store)];
    for stage in artifact.stages.iter().rev() {
        parts.extend(undo(stage));
    }
    parts.push(load(&artifact.origin.format).to_owned());
    parts.join(" | ")
}

fn read(artifact: &Artifact, store: &StoreSpec) -> String {
    match store {
        StoreSpec::Local(spec) => format!("cat {}", quoted(&spec.path.join(&artifact.object.key).display().to_string())),
        StoreSpec::S3(spec) => {
            let place = format!(
                "s3://{}/{}",
                spec.bucket,
                [&spec.prefix, &artifact.object.key].map(String::as_str).join("/").trim_start_matches('/')
            );
            let endpoint = spec.endpoint.as_ref().map(|url| format!(" --endpoint-url {}", quoted(url))).unwrap_or_default();
            format!("aws s3 cp{endpoint} {} -", quoted(&place))
        }
    }
}

fn undo(stage: &Applied) -> Option<String> {
    Some(match stage {
        Applied::Compress { codec: Codec::Zstd, .. } => "zstd -d".to_owned(),
        Applied::Compress { codec: Codec::Gzip, .. } => "gunzip".to_owned(),
        Applied::Compress { codec: Codec::Lz4, .. } => "lz4 -d".to_owned(),
        Applied::Encrypt { scheme: Scheme::Age, recipients, .. } if recipients.is_empty() => "age -d".to_owned(),
        Applied::Encrypt { scheme: Scheme::Age, .. } => "age -d -i KEY_FILE".to_owned(),
        Applied::Encrypt { scheme: Scheme::OpenPgp, .. } => "gpg -d".to_owned(),
        Applied::Checksum { .. } => return None,
    })
}

fn load(format: &str) -> &'static str {
    match format {
        "plain" => "psql -v ON_ERROR_STOP=1 -d restored",
        "globals-sql" => "psql -d postgres",
        "directory-tar" => "tar -x -C DIRECTORY && pg_restore --exit-on-error -d restored DIRECTORY",
        _ => "pg_restore --exit-on-error -d restored",
    }
}

/// A word as a POSIX shell takes it.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | ':' | '=' | '@' | '+');
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("/b/주문/x.dump"), "/b/주문/x.dump");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}
