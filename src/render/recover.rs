//! How to restore an artifact with nothing but standard tools: the promise that nobody depends on `runner` to get data back.
//!
//! The command is made from what the manifest recorded. It is words for people; nothing here runs it.

use crate::postgres::quote;
use crate::store::StoreSpec;
use crate::store::manifest::{Applied, Artifact, Origin};
use crate::stream::codec::Codec;
use crate::stream::crypt::Scheme;

/// A line for a POSIX shell that restores an artifact into a new database `restored`, on the server that `PGHOST` and the like name.
///
/// `KEY_FILE` stands for the private key. Roles must be there first: that is what the line of a `globals` artifact is for.
pub fn command(artifact: &Artifact, store: &StoreSpec) -> String {
    let bytes: Vec<String> = std::iter::once(read(artifact, store)).chain(artifact.stages.iter().rev().filter_map(undo)).collect();
    let (bytes, new) = (bytes.join(" | "), format!("{}{}", new_database(&artifact.origin), schemas(&artifact.origin)));
    // Where a database was placed on its own server says nothing about this one.
    let pg_restore = "pg_restore --exit-on-error --no-tablespaces -d restored";
    match artifact.origin.format.as_str() {
        "globals-sql" => format!("{bytes} | psql -X -d postgres"),
        "plain" => format!("{new} && {bytes} | psql -X -q -v ON_ERROR_STOP=1 -d restored"),
        "directory-tar" => {
            format!("{new} && mkdir restored.dump && {bytes} | tar -x -C restored.dump && {pg_restore} restored.dump")
        }
        _ => format!("{new} && {bytes} | {pg_restore}"),
    }
}

/// An empty database in the encoding and locale of the one that was dumped; one that is there already is left alone.
fn new_database(origin: &Origin) -> String {
    let like = origin.locale.as_ref().map(|locale| {
        let major = origin.server_version / 10_000;
        let provider = match (locale.provider, &locale.locale) {
            ('i', Some(name)) => format!(" --locale-provider=icu --icu-locale={}", quoted(name)),
            ('b', Some(name)) => format!(" --locale-provider=builtin --builtin-locale={}", quoted(name)),
            // Said only where it can be: the template's provider may be another one.
            _ if major >= 15 => " --locale-provider=libc".to_owned(),
            _ => String::new(),
        };
        let (encoding, collate, ctype) = (quoted(&locale.encoding), quoted(&locale.collate), quoted(&locale.ctype));
        format!(" -E {encoding} --lc-collate={collate} --lc-ctype={ctype}{provider}")
    });
    format!("createdb -T template0{} restored", like.unwrap_or_default())
}

/// The making of the schemas that chosen tables lie in, which their dump does not make.
fn schemas(origin: &Origin) -> String {
    let create = |schema: &String| format!("create schema if not exists {}", quote::identifier(schema));
    let create: Vec<String> = origin.schemas.iter().map(create).collect();
    if create.is_empty() { String::new() } else { format!(" && psql -X -q -d restored -c {}", quoted(&create.join("; "))) }
}

fn read(artifact: &Artifact, store: &StoreSpec) -> String {
    let place = quoted(&place(store, &artifact.object.key));
    match store {
        StoreSpec::Local(_) => format!("cat {place}"),
        StoreSpec::S3(spec) => {
            let endpoint = spec.endpoint.as_ref().map(|url| format!(" --endpoint-url {}", quoted(url))).unwrap_or_default();
            format!("aws s3 cp{endpoint} {place} -")
        }
    }
}

/// Where an object is, as other programs name it: a path, or `s3://BUCKET/PREFIX/KEY`.
pub fn place(store: &StoreSpec, key: &str) -> String {
    match store {
        StoreSpec::Local(spec) => spec.path.join(key).display().to_string(),
        StoreSpec::S3(spec) => format!("s3://{}/{}", spec.bucket, [&spec.prefix, key].join("/").trim_start_matches('/')),
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
