//! A restore point as JSON: the manifest and the receipts as they are, and what follows from them.

use serde_json::{Value, json};

use super::{Looked, Shown, Tables, between, kit_command, kit_places};
use crate::archive::TableDigest;
use crate::render::recover;
use crate::store::manifest::{Artifact, Manifest};

/// A restore point as JSON.
pub fn json(shown: &Shown) -> Value {
    let point = &shown.point;
    let tables = |(step, found): &(crate::ids::StepId, Tables)| match found {
        Tables::Known(known, left) => {
            json!({ "step": step, "tables": known.iter().map(table).collect::<Vec<_>>(), "incomparable": left })
        }
        Tables::NoneKept => json!({ "step": step, "tables": null, "why": "no fingerprint was kept" }),
        Tables::Closed(why) => json!({ "step": step, "tables": null, "why": why }),
    };
    json!({
        "version": 1,
        "pipeline": shown.pipeline,
        "store": shown.store,
        "run": point.summary.run,
        "started": point.summary.run.started(),
        "level": point.level(),
        "manifest_key": point.summary.key,
        "manifest": point.manifest.as_ref().ok(),
        "artifacts": point.manifest.as_ref().map(|manifest| artifacts(shown, manifest)).unwrap_or_default(),
        "receipts": point.receipts,
        "complaint": point.complaint(),
        "damages": shown.damages(),
        "objects": shown.objects.as_ref().map(|objects| objects.iter().map(looked).collect::<Vec<_>>()),
        "tables": shown.tables.as_ref().map(|all| all.iter().map(tables).collect::<Vec<_>>()),
        "kit": kit(shown),
    })
}

/// What is worked out of each artifact that the manifest names.
fn artifacts(shown: &Shown, manifest: &Manifest) -> Vec<Value> {
    let one = |artifact: &Artifact| {
        json!({
            "step": artifact.step,
            "key": artifact.object.key,
            "bytes": artifact.object.bytes,
            "plain_bytes": artifact.origin.bytes,
            "seconds": between(artifact.started, artifact.finished).as_secs_f64(),
            "plain_bytes_per_second": throughput(artifact),
            "restore_without_runner": shown.spec(artifact).map(|spec| recover::command(artifact, spec)),
        })
    };
    manifest.artifacts.iter().map(one).collect()
}

/// Plain bytes a second from the first byte to the store's confirmation; `None` where it took no time.
pub(super) fn throughput(artifact: &Artifact) -> Option<u64> {
    let millis = between(artifact.started, artifact.finished).as_millis();
    (u128::from(artifact.origin.bytes) * 1000).checked_div(millis).and_then(|speed| u64::try_from(speed).ok())
}

fn looked(object: &Looked) -> Value {
    json!({
        "key": object.key,
        "expected_bytes": object.expected,
        "found_bytes": object.found.as_ref().ok().and_then(|meta| Some(meta.as_ref()?.bytes)),
        "trouble": object.trouble(),
    })
}

fn table(table: &TableDigest) -> Value {
    json!({ "schema": table.schema, "name": table.name, "rows": table.rows, "bytes": table.bytes, "digest": table.digest })
}

fn kit(shown: &Shown) -> Option<Value> {
    let spec = shown.stores.get(&shown.store)?;
    let [read_me, script] = kit_places(shown, spec);
    Some(json!({ "read_me": read_me, "script": script, "command": kit_command(shown, spec, &script) }))
}
