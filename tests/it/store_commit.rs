//! Committing restore points and reading them back, in a real folder.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use runner::ids::{PipelineName, RefName, RunId};
use runner::store::commit::{ManifestError, add_receipt, commit, last_failure, level, points, read_manifest, receipts};
use runner::store::local::LocalStore;
use runner::store::manifest::{Fault, Level, Manifest, Receipt, manifest_key, month_prefix};
use runner::store::sealed::seal;
use runner::store::{ObjectStore, PutOptions, StoreError};
use tempfile::TempDir;

use crate::store_conformance::local_spec;

const SHA: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn store() -> (TempDir, LocalStore) {
    let folder = TempDir::new().unwrap();
    let store = LocalStore::open(&local_spec(folder.path())).unwrap();
    (folder, store)
}

fn pipeline() -> PipelineName {
    PipelineName::new("주문-야간").unwrap()
}

fn run(at: &str) -> RunId {
    RunId::starting(at.parse().unwrap(), [1, 2, 3])
}

fn manifest(at: &str) -> Manifest {
    let json = serde_json::json!({
        "version": 1, "run": run(at), "pipeline": pipeline(), "source_sha256": SHA, "git_commit": null, "runner": "0.1.0",
        "host": "db1", "started": at, "committed": at, "level": "stored", "timings": {},
        "artifacts": [{
            "step": "upload", "store": "offsite", "started": at, "finished": at,
            "object": { "key": "주문/덤프.zst.age", "bytes": 70, "sha256": SHA },
            "origin": { "kind": "dump", "format": "custom", "connection": "orders", "database": "주문", "server_version": 150_018,
                        "system_identifier": null, "tool": "pg_dump (PostgreSQL) 15.18", "bytes": 100 },
            "stages": [
                { "stage": "compress", "codec": "zstd", "bytes": 50 },
                { "stage": "checksum", "algorithm": "sha256", "digest": SHA, "bytes": 50, "sidecar": "주문/덤프.sha256" },
                { "stage": "encrypt", "scheme": "age", "recipients": [], "bytes": 70 },
            ],
        }],
    });
    serde_json::from_value(json).unwrap()
}

fn receipt(at: &str, finished: &str, level: Level, failure: Option<&str>) -> Receipt {
    let json = serde_json::json!({
        "version": 1, "run": run(at), "pipeline": pipeline(), "step": "verify", "key": "주문/덤프.zst.age", "level": level, "failure": failure,
        "started": finished, "finished": finished, "server_version": null, "restore_took": null, "database_bytes": null, "tables": [], "checks": [],
    });
    serde_json::from_value(json).unwrap()
}

const AT: &str = "2026-11-20T02:17:00Z";

#[test]
fn a_manifest_comes_back_as_it_was_committed() {
    let (folder, store) = store();
    let manifest = manifest(AT);
    let stored = commit(&store, &manifest).unwrap();
    assert_eq!(stored.key, ".runner/주문-야간/2026-11/20261120T021700Z-010203.manifest.json");
    let text = std::fs::read_to_string(folder.path().join(&stored.key)).unwrap();
    assert!(text.starts_with("{\n  \"version\": 1,\n") && text.ends_with("}\n"), "{text}");
    assert_eq!(read_manifest(text.as_bytes()).unwrap(), manifest);
}

#[test]
fn a_commit_is_never_overwritten_and_a_retry_finds_its_own() {
    let (_folder, store) = store();
    let first = manifest(AT);
    let stored = commit(&store, &first).unwrap();
    assert_eq!(commit(&store, &first).unwrap(), stored);
    let mut other = first.clone();
    other.host = "db2".to_owned();
    assert!(matches!(commit(&store, &other), Err(StoreError::Exists { .. })));
    assert_eq!(read_manifest(&store.get_bytes(&stored.key, 100_000).unwrap()).unwrap(), first);
}

type Spoil = fn(&mut Manifest);

#[test]
fn a_manifest_that_contradicts_itself_is_neither_committed_nor_read() {
    let (_folder, store) = store();
    let faults: [(&str, Spoil); 7] = [
        ("70 bytes left the last stage and 71 were stored", |m| m.artifacts[0].object.bytes = 71),
        ("50 bytes were digested where 49 passed", |m| {
            m.artifacts[0].stages[0] = runner::store::manifest::Applied::Compress { codec: runner::stream::codec::Codec::Zstd, bytes: 49 };
        }),
        ("is not a SHA-256", |m| m.artifacts[0].object.sha256 = "ABC".to_owned()),
        ("can not be an object key", |m| m.artifacts[0].object.key = "../덤프".to_owned()),
        ("twice", |m| m.artifacts.push(m.artifacts[0].clone())),
        ("nothing to restore", |m| m.artifacts.clear()),
        ("only receipts raise it", |m| m.level = Level::Proven),
    ];
    for (words, spoil) in faults {
        let mut spoiled = manifest(AT);
        spoil(&mut spoiled);
        let error = commit(&store, &spoiled).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("committing"), "{error}");
        let error = read_manifest(&seal(&spoiled).unwrap()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(store.list("").unwrap(), []);
}

#[test]
fn later_versions_are_refused_and_later_fields_are_not() {
    let mut value = serde_json::to_value(manifest(AT)).unwrap();
    value["a_later_field"] = serde_json::json!({ "x": 1 });
    value["artifacts"][0]["later"] = true.into();
    assert_eq!(read_manifest(&seal(&value).unwrap()).unwrap(), manifest(AT));
    value["version"] = 2.into();
    value["artifacts"] = "of another form".into();
    let error = read_manifest(value.to_string().as_bytes()).unwrap_err();
    assert_eq!(error, ManifestError::Version { found: 2 });
    assert!(error.to_string().contains("use a `runner` at least as new"));
}

#[test]
fn a_manifest_or_receipt_edited_by_hand_is_noticed() {
    let (folder, store) = store();
    let stored = commit(&store, &manifest(AT)).unwrap();
    let text = std::fs::read_to_string(folder.path().join(&stored.key)).unwrap();
    for (from, to) in [("\"db1\"", "\"db2\""), ("\"bytes\": 100", "\"bytes\": 101"), ("\"digest\": \"", "\"digest\": \"0")] {
        let edited = text.replacen(from, to, 1);
        assert!(edited != text, "{from}");
        // The digest of a stage is checked by what it digests; the manifest's own is the last.
        assert!(matches!(read_manifest(edited.as_bytes()), Err(ManifestError::Edited { .. })), "{from}");
    }
    add_receipt(&store, &receipt(AT, "2026-11-20T03:00:00Z", Level::Restored, None)).unwrap();
    let key = store.list("").unwrap().into_iter().find(|object| object.key.contains("verified")).unwrap().key;
    let text = std::fs::read_to_string(folder.path().join(&key)).unwrap();
    std::fs::write(folder.path().join(&key), text.replace("\"restored\"", "\"proven\"")).unwrap();
    let found = receipts(&store, &pipeline(), &run(AT)).unwrap();
    assert!(found.read.is_empty() && matches!(found.unreadable[0].1, ManifestError::Edited { .. }), "{found:?}");
}

#[test]
fn malformed_manifests_are_refused_with_the_place() {
    let mut value = serde_json::to_value(manifest(AT)).unwrap();
    value["artifacts"][0]["object"]["bytes"] = "many".into();
    match read_manifest(value.to_string().as_bytes()).unwrap_err() {
        ManifestError::Malformed { pointer, .. } => assert_eq!(pointer, "artifacts[0].object.bytes"),
        other => panic!("{other:?}"),
    }
    let whole = serde_json::to_vec(&manifest(AT)).unwrap();
    for bad in [&b""[..], b"{}", b"\xff", &whole[..whole.len() - 1], &[&whole[..], b"{}"].concat(), &"[".repeat(100_000).into_bytes()] {
        assert!(
            matches!(read_manifest(bad), Err(ManifestError::Malformed { .. })),
            "{:?}",
            String::from_utf8_lossy(&bad[..bad.len().min(20)])
        );
    }
    let huge = vec![b' '; 16 * 1024 * 1024 + 1];
    assert!(matches!(read_manifest(&huge), Err(ManifestError::TooLarge { .. })));
}

#[test]
fn restore_points_are_listed_newest_first_and_strangers_are_passed_over() {
    let (_folder, store) = store();
    let times = ["2026-11-20T02:17:00Z", "2025-12-31T23:59:59Z", "2026-11-21T02:17:00Z"];
    for at in times {
        commit(&store, &manifest(at)).unwrap();
    }
    add_receipt(&store, &receipt(times[0], "2026-11-22T00:00:00Z", Level::Restored, None)).unwrap();
    let moved = format!(".runner/주문-야간/2020-01/{}.manifest.json", run(times[0]));
    for stranger in [moved.as_str(), ".runner/주문-야간/2026-11/notes.txt", ".runner/주문-야간2/2026-11/x.manifest.json"] {
        store.put_bytes(stranger, b"x", &PutOptions::default()).unwrap();
    }
    let found = points(&store, &pipeline()).unwrap();
    let runs: Vec<RunId> = found.iter().map(|point| point.run.clone()).collect();
    assert_eq!(runs, [run(times[2]), run(times[0]), run(times[1])]);
    assert_eq!(found[1].key, manifest_key(&pipeline(), &run(times[0])));
    assert_eq!(points(&store, &PipelineName::new("다른").unwrap()).unwrap(), []);
}

#[test]
fn receipts_raise_the_level_and_a_failure_stays_visible() {
    let (_folder, store) = store();
    let manifest = manifest(AT);
    commit(&store, &manifest).unwrap();
    assert_eq!(level(&manifest, &[]), Level::Stored);
    add_receipt(&store, &receipt(AT, "2026-11-20T03:00:00Z", Level::Restored, None)).unwrap();
    add_receipt(&store, &receipt(AT, "2026-12-01T03:00:00Z", Level::ReadBack, Some("zstd: checksum differs"))).unwrap();
    let found = receipts(&store, &pipeline(), &manifest.run).unwrap();
    assert_eq!((found.read.len(), found.unreadable.len()), (2, 0));
    assert!(found.read.is_sorted_by_key(|receipt| receipt.finished));
    assert_eq!(level(&manifest, &found.read), Level::Restored);
    assert_eq!(last_failure(&found.read).unwrap().failure.as_deref(), Some("zstd: checksum differs"));
    assert_eq!(last_failure(&found.read[..1]), None);
    let other = receipt("2026-11-21T02:17:00Z", "2026-11-21T03:00:00Z", Level::Proven, None);
    assert_eq!(level(&manifest, &[other]), Level::Stored, "a receipt about another restore point");

    let mut two = manifest.clone();
    let mut second = two.artifacts[0].clone();
    second.object.key = "주문/둘.zst.age".to_owned();
    second.store = RefName::new("other").unwrap();
    two.artifacts.push(second.clone());
    assert_eq!(
        level(&two, &found.read),
        Level::Restored,
        "receipts lie where what they are about lies, so this dump is for another store to judge"
    );
    second.store = two.artifacts[0].store.clone();
    two.artifacts[1] = second.clone();
    assert_eq!(level(&two, &found.read), Level::Stored, "a second dump that nobody verified holds the whole point down");
    second.origin.kind = "globals".to_owned();
    two.artifacts[1] = second;
    assert_eq!(level(&two, &found.read), Level::Restored, "globals can not be tried out alone");
}

#[test]
fn damage_takes_a_level_back_and_what_says_nothing_of_the_content_does_not() {
    let manifest = manifest(AT);
    let found = |hour: u32, level: Level, failure: Option<Fault>| {
        let made = receipt(AT, &format!("2026-11-20T{hour:02}:00:00Z"), level, failure.map(|_| "why"));
        Receipt { fault: failure, ..made }
    };
    let proven = found(3, Level::Proven, None);
    let damaged = found(4, Level::Stored, Some(Fault::Content));
    let (locked, stopped) = (found(5, Level::Stored, Some(Fault::Key)), found(6, Level::ReadBack, Some(Fault::Elsewhere)));
    let told = |receipts: &[&Receipt]| {
        let receipts: Vec<Receipt> = receipts.iter().copied().cloned().collect();
        (level(&manifest, &receipts), last_failure(&receipts).and_then(|receipt| receipt.fault))
    };
    assert_eq!(told(&[&proven, &damaged]), (Level::Stored, Some(Fault::Content)));
    assert_eq!(told(&[&damaged, &proven]), (Level::Stored, Some(Fault::Content)), "the order is that of time");
    assert_eq!(told(&[&proven, &locked]), (Level::Proven, None), "a key that was mistyped");
    assert_eq!(told(&[&proven, &stopped]), (Level::Proven, Some(Fault::Elsewhere)));
    // What says nothing hides nothing.
    assert_eq!(told(&[&proven, &damaged, &locked, &stopped]), (Level::ReadBack, Some(Fault::Content)));
    let healed = found(7, Level::Proven, None);
    assert_eq!(told(&[&proven, &damaged, &locked, &stopped, &healed]), (Level::Proven, None));
}

#[test]
fn two_hosts_may_verify_a_point_in_the_same_second_and_older_keys_are_read() {
    let (_folder, store) = store();
    let manifest = manifest(AT);
    commit(&store, &manifest).unwrap();
    for at in ["2026-11-20T03:00:00.123456Z", "2026-11-20T03:00:00.123457Z"] {
        add_receipt(&store, &receipt(AT, at, Level::Restored, None)).unwrap();
    }
    // As versions before named it.
    let old = receipt(AT, "2026-11-20T03:00:00.5Z", Level::Proven, None);
    let key = format!("{}{}.verified-verify-20261120T030000Z.json", month_prefix(&pipeline(), &manifest.run), manifest.run);
    store.put_bytes(&key, &seal(&old).unwrap(), &PutOptions::default()).unwrap();
    let found = receipts(&store, &pipeline(), &manifest.run).unwrap();
    assert_eq!((found.read.len(), found.unreadable.len(), level(&manifest, &found.read)), (3, 0, Level::Proven));
}

#[test]
fn damage_that_is_found_now_is_not_hidden_by_an_older_success_of_a_clock_that_is_ahead() {
    let (_folder, store) = store();
    let manifest = manifest(AT);
    commit(&store, &manifest).unwrap();
    let ahead = receipt(AT, "2026-11-20T03:10:00.000001Z", Level::Proven, None);
    let behind = Receipt { fault: Some(Fault::Content), ..receipt(AT, "2026-11-20T03:00:00Z", Level::ReadBack, Some("rows differ")) };
    add_receipt(&store, &ahead).unwrap();
    add_receipt(&store, &ahead).unwrap();
    add_receipt(&store, &behind).unwrap();
    let found = receipts(&store, &pipeline(), &manifest.run).unwrap().read;
    assert_eq!(found.len(), 2, "the same receipt once more is no other one");
    assert_eq!(found[1].finished, "2026-11-20T03:10:00.000002Z".parse().unwrap());
    assert_eq!(level(&manifest, &found), Level::ReadBack);
    assert_eq!(last_failure(&found).and_then(|found| found.failure.as_deref()), Some("rows differ"));
    // A third host of the slow kind finds it well again, and two steps of one moment do not collide.
    for _ in 0..2 {
        add_receipt(&store, &receipt(AT, "2026-11-20T03:01:00Z", Level::Proven, None)).unwrap();
    }
    let found = receipts(&store, &pipeline(), &manifest.run).unwrap().read;
    assert_eq!((found.len(), level(&manifest, &found), last_failure(&found)), (4, Level::Proven, None));
}

#[test]
fn receipts_that_can_not_be_read_are_shown_and_raise_nothing() {
    let (_folder, store) = store();
    let manifest = manifest(AT);
    let stored = add_receipt(&store, &receipt(AT, "2026-11-20T03:00:00Z", Level::Decoded, None)).unwrap();
    let later = stored.key.replace("T030000.000000Z", "T040000Z");
    store.put_bytes(&later, b"{\"version\": 9, \"level\": \"proven\"}", &PutOptions::default()).unwrap();
    let foreign = seal(&receipt("2026-11-21T02:17:00Z", AT, Level::Proven, None)).unwrap();
    store.put_bytes(&stored.key.replace("T030000.000000Z", "T050000Z"), &foreign, &PutOptions::default()).unwrap();
    let found = receipts(&store, &pipeline(), &manifest.run).unwrap();
    assert_eq!(level(&manifest, &found.read), Level::Decoded);
    assert_eq!(found.unreadable[0], (later, ManifestError::Version { found: 9 }));
    assert!(matches!(&found.unreadable[1].1, ManifestError::Inconsistent { detail } if detail.contains("is about")));
}
