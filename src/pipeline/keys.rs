//! Where uploads put their objects: keys that two of them share, that every run shares or some may, or that no store takes.
//!
//! Keys are tried with the words of made-up runs; nothing is looked up in a store.

use std::collections::BTreeMap;

use super::check::at;
use super::model::{Head, Step};
use crate::diagnostic::Diagnostic;
use crate::document::Document;
use crate::ids::RefName;
use crate::step::Params;
use crate::store::{self, StoreSpec};
use crate::template::{Bindings, RunWords, Template};

/// The folder of a store that manifests are kept in.
const RESERVED: &str = ".runner/";

/// Checks the keys that uploads name themselves; each step comes with its place in the file. The keys of the others hold the run's id and
/// the source's.
pub(super) fn check(document: &Document, head: &Head, env: &BTreeMap<String, String>, steps: &[(usize, Step)], out: &mut Vec<Diagnostic>) {
    let bindings = Bindings { pipeline: head.name.clone(), vars: head.vars.clone(), env: env.clone() };
    let mut seen: Vec<(&StoreSpec, String, usize, &Step)> = Vec::new();
    for (index, step) in steps {
        let Some((store, key)) = named(step) else { continue };
        // A template that does not render has been told already.
        let (one, other) = (run("1"), run("2"));
        let twin = RunWords { id: other.id.clone(), ..one.clone() };
        let rendered = [&one, &other, &twin].map(|words| key.render(&bindings, words));
        let [Ok(key_of_one), Ok(key_of_other), Ok(key_of_twin)] = rendered else { continue };
        let Some(spec) = head.stores.get(store) else { continue };
        let pointer = format!("/steps/{index}/with/key");
        if let Some(why) = refusal(&key_of_one, spec) {
            out.push(at(document, "bad-key", &pointer, format!("`{}` can not be the key of an object: {why}", key.0)));
        } else if key_of_one == key_of_other {
            let message = format!("the key `{}` is the same in every run, and an object is never overwritten", key.0);
            out.push(at(document, "fixed-key", &pointer, message).help("put `{{ run.id }}` into it"));
        } else if key_of_one == key_of_twin {
            let message =
                format!("the key `{}` does not hold the run's id: runs may meet in it, and an object is never overwritten", key.0);
            let help = "put `{{ run.id }}` into it; only by that is what a killed run left known as its own, and removed by the next one";
            out.push(at(document, "key-without-run-id", &pointer, message).warning().help(help));
        }
        if let Some((_, _, earlier, first)) = seen.iter().find(|(other, key, ..)| *other == spec && *key == key_of_one) {
            let message = format!("`{}` and `{}` store under the same key", first.id, step.id);
            let range = document.span(&format!("/steps/{earlier}/with/key")).map(|span| span.value.clone()).unwrap_or_default();
            let diagnostic = at(document, "same-key", &pointer, message).label(range, "the same key");
            out.push(diagnostic.help("give each a word of its own, or leave `key` out: the usual key names the source"));
        }
        seen.push((spec, key_of_one, *index, step));
    }
}

fn named(step: &Step) -> Option<(&RefName, &Template)> {
    let Params::Upload(upload) = &step.params else { return None };
    Some((&upload.store, upload.key.as_ref()?))
}

/// The words of a made-up run, each as long as a real one.
fn run(digit: &str) -> RunWords {
    let of = |pattern: &str| pattern.replace('0', digit);
    RunWords {
        id: of("00000000T000000Z-000000"),
        date: of("0000-00-00"),
        time: of("00-00-00"),
        month: of("0000-00"),
        started: of("0000-00-00T00:00:00+00:00"),
    }
}

/// Why a store refuses a key.
fn refusal(key: &str, spec: &StoreSpec) -> Option<String> {
    if key.starts_with(RESERVED) {
        return Some(format!("`{RESERVED}` is where manifests are kept"));
    }
    let whole = match spec {
        StoreSpec::S3(s3) if !s3.prefix.is_empty() => format!("{}/{key}", s3.prefix),
        _ => key.to_owned(),
    };
    let checked = match spec {
        StoreSpec::Local(_) => store::key::check_local(&whole),
        StoreSpec::S3(_) => store::key::check(key).and_then(|()| store::key::check(&whole)),
    };
    match checked.err()? {
        store::StoreError::BadKey { why, .. } => Some(why.to_owned()),
        other => Some(other.to_string()),
    }
}
