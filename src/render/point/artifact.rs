//! One artifact of a restore point: what it is, where from, how large, what was done to it, what it holds and lacks.

use std::fmt::Write;

use super::json::throughput;
use super::{Looked, Shown, Tables, between, heading, tables};
use crate::quantity::{brief, bytes};
use crate::render::recover;
use crate::render::style::{BAD, Paint, WARN};
use crate::store::Stored;
use crate::store::manifest::{Applied, Artifact, Completeness, LeftOut, Origin};
use crate::words::count;

pub(super) fn human(shown: &Shown, artifact: &Artifact, paint: Paint) -> String {
    let mut out = String::new();
    let (origin, step) = (&artifact.origin, &artifact.step);
    let what = origin.database.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
    heading(&mut out, &format!("{step}: {}{what} ({})", origin.kind, origin.format), paint);
    for (label, text) in facts(artifact) {
        fact(&mut out, label, &text);
    }
    object(&mut out, "object", shown, &artifact.object, paint);
    if let Some(sidecar) = &artifact.fingerprint {
        object(&mut out, "fingerprint", shown, &sidecar.object, paint);
    }
    for key in artifact.stages.iter().filter_map(checksum_file) {
        fact(&mut out, "sha256sum -c", &format!("{key}{}", state(shown, key, paint)));
    }
    if let Some(spec) = shown.spec(artifact) {
        fact(&mut out, "by hand", &recover::command(artifact, spec));
    }
    if let Some((_, found)) = shown.tables.iter().flatten().find(|(step, _)| *step == artifact.step) {
        match found {
            Tables::Known(known, incomparable) => {
                tables(&mut out, known, paint);
                for left in incomparable {
                    let _ok = writeln!(out, "      {} {}: {}", paint.on(WARN, "not compared:"), left.what, left.why);
                }
            }
            Tables::NoneKept => fact(&mut out, "tables", "no fingerprint was kept, so nothing tells"),
            Tables::Closed(why) => fact(&mut out, "tables", &paint.on(WARN, why)),
        }
    }
    out
}

/// What the manifest says of it, line by line.
fn facts(artifact: &Artifact) -> Vec<(&'static str, String)> {
    let (origin, stored) = (&artifact.origin, artifact.object.bytes);
    let took = between(artifact.started, artifact.finished);
    let speed = throughput(artifact).map(|speed| format!(", {}/s", bytes(speed))).unwrap_or_default();
    let mut found = vec![
        ("from", from(origin)),
        ("tool", origin.tool.clone()),
        ("taken", format!("{} to {}, {}{speed}", artifact.started, artifact.finished, brief(took))),
        ("size", format!("{} dumped, {} stored{}", bytes(origin.bytes), bytes(stored), ratio(origin.bytes, stored))),
    ];
    found.extend(artifact.stages.iter().map(|stage| ("stage", words(stage))));
    if let Some(held) = &artifact.contents {
        let rows = format!("{} of {}", count(held.rows, "row"), bytes(held.bytes));
        let (sequences, large) = (count(held.sequences, "sequence"), count(held.large_objects, "large object"));
        found.push(("holds", format!("{}, {}, {rows}, {sequences}, {large}", count(held.objects, "object"), count(held.tables, "table"))));
        if held.incomparable > 0 {
            let nothing = format!("{} that its fingerprint says nothing about: `--tables` names them", count(held.incomparable, "thing"));
            found.push(("", nothing));
        }
        found.extend(held.in_tablespaces().map(|what| ("", format!("{what}: no restore of an archive takes them over"))));
        found.push(("content", held.digest.to_string()));
    }
    found.extend(artifact.completeness.iter().flat_map(completeness));
    found
}

fn from(origin: &Origin) -> String {
    let version = format!("PostgreSQL {}.{}", origin.server_version / 10_000, origin.server_version % 10_000);
    let system = origin.system_identifier.as_ref().map(|system| format!(", system {system}")).unwrap_or_default();
    let locale = origin.locale.as_ref().map(|locale| {
        let name = locale.locale.as_deref().unwrap_or(&locale.collate);
        format!(", {} {name}", locale.encoding)
    });
    format!("connection {}, {version}{system}{}", origin.connection, locale.unwrap_or_default())
}

/// How many times smaller it is stored, in tenths.
fn ratio(plain: u64, stored: u64) -> String {
    let Some(tenths) = (u128::from(plain) * 10 + u128::from(stored) / 2).checked_div(u128::from(stored)) else { return String::new() };
    if tenths > 10 { format!(", {}.{} times smaller", tenths / 10, tenths % 10) } else { String::new() }
}

fn words(stage: &Applied) -> String {
    match stage {
        Applied::Compress { codec, bytes: size } => format!("{}, {} after it", codec.name(), bytes(*size)),
        Applied::Checksum { algorithm, digest, .. } => format!("{} {digest}", algorithm.name()),
        Applied::Encrypt { scheme, recipients, .. } => {
            let to = if recipients.is_empty() { "with a passphrase".to_owned() } else { format!("to {}", recipients.join(", ")) };
            let scheme = serde_json::to_value(scheme).ok().and_then(|word| Some(word.as_str()?.to_owned())).unwrap_or_default();
            format!("{scheme} {to}")
        }
    }
}

fn checksum_file(stage: &Applied) -> Option<&str> {
    if let Applied::Checksum { sidecar, .. } = stage { sidecar.as_deref() } else { None }
}

fn completeness(found: &Completeness) -> Vec<(&'static str, String)> {
    let looked = match &found.unchecked {
        Some(why) => format!("nobody could tell: {why}"),
        None => format!("{} of the catalog looked for", count(found.objects, "object")),
    };
    std::iter::once(("complete", looked)).chain(found.left_out.iter().map(|group| ("left out", left_out(group)))).collect()
}

/// What was left out, in words: `2 of kind TABLE by filter: public.audit, public.tmp`.
pub(in crate::render) fn left_out(group: &LeftOut) -> String {
    let why = serde_json::to_value(group.why).ok().and_then(|word| Some(word.as_str()?.replace('-', " "))).unwrap_or_default();
    let more = group.count.saturating_sub(group.names.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} of kind {} by {why}: {}{more}", group.count, group.kind, group.names.join(", "))
}

fn object(out: &mut String, label: &str, shown: &Shown, object: &Stored, paint: Paint) {
    fact(out, label, &format!("{}, {}{}", object.key, bytes(object.bytes), state(shown, &object.key, paint)));
    fact(out, "", &format!("sha256 {}", object.sha256));
    if let Some(version) = &object.version {
        fact(out, "", &format!("version {version}"));
    }
}

/// What its store says of a key, if somebody asked.
fn state(shown: &Shown, key: &str, paint: Paint) -> String {
    let looked = shown.objects.iter().flatten().find(|looked| looked.key == key);
    looked.map_or_else(String::new, |looked| match Looked::trouble(looked) {
        None => ", is there".to_owned(),
        Some(trouble) => format!(", {}", paint.on(BAD, &trouble)),
    })
}

fn fact(out: &mut String, label: &str, text: &str) {
    let _ok = writeln!(out, "    {label:<12} {text}");
}
