//! What only S3 stores have: attributes, object lock, versions, checksum modes, bounded memory, servers that do not keep the protocol.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use runner::store::spec::{ChecksumMode, LockMode, ObjectLock, S3Spec, ServerSideEncryption, StoreSpec};
use runner::store::{ObjectStore, PutOptions, Refusal, StoreError};
use runner::stream::Cancel;

use crate::servers::faulty_s3::FaultyS3;
use crate::servers::seaweed::{ACCESS_KEY, BUCKET, Client, S3Server, SECRET_KEY, spec};
use crate::store_conformance::{MIB, Pattern, drain_pattern};

#[test]
fn a_server_that_ignores_create_only_is_found_out() {
    let (server, client) = (S3Server::rclone(), Client::new());
    let mut spec = spec(&server.endpoint());
    spec.checksums = ChecksumMode::WhenRequired;
    let store = client.store(&spec);
    let report = store.probe().unwrap();
    assert!(!report.create_only, "rclone overwrites");
    assert_eq!(store.list("").unwrap(), [], "the probe clears up");
}

#[test]
fn a_taken_key_is_refused_even_by_a_server_that_ignores_create_only() {
    let (server, client) = (S3Server::rclone(), Client::new());
    let mut spec = spec(&server.endpoint());
    spec.checksums = ChecksumMode::WhenRequired;
    let store = client.store(&spec);
    store.put_bytes("주문/a", b"first", &PutOptions::default()).unwrap();
    let error = store.put_bytes("주문/a", b"second", &PutOptions::default()).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    assert_eq!(store.get_bytes("주문/a", 100).unwrap(), b"first");
}

#[test]
fn requests_carry_checksums_unless_only_required_ones_are_wanted() {
    let (server, client) = (S3Server::seaweed(), Client::new());
    for (mode, carried) in [(ChecksumMode::WhenSupported, true), (ChecksumMode::WhenRequired, false)] {
        let proxy = FaultyS3::before(server.address, vec![]);
        let mut spec = spec(&proxy.endpoint());
        spec.checksums = mode;
        let store = client.store(&spec);
        for (key, size) in [("작은", 1000), ("큰", 20 * MIB)] {
            let stored = store.put(key, Pattern::stream(size), &PutOptions::default(), &Cancel::new(), &|_| {}).unwrap();
            assert_eq!(stored.bytes, size);
            assert_eq!(drain_pattern(store.get(key, &Cancel::new()).unwrap()).unwrap(), size);
            store.delete(key).unwrap();
        }
        let seen = proxy.seen("x-amz-checksum-crc64nvme:");
        // One whole object, three parts and a completion.
        assert_eq!(seen, if carried { 5 } else { 0 }, "{mode:?}");
        assert_eq!(proxy.seen("x-amz-trailer"), 0, "checksums go in headers");
    }
}

#[test]
fn attributes_arrive_on_small_and_large_objects() {
    let (server, client) = (S3Server::seaweed(), Client::new());
    let mut spec = spec(&server.endpoint());
    spec.tags = [("팀".to_owned(), "주문 & 결제".to_owned())].into();
    spec.storage_class = Some("STANDARD_IA".to_owned());
    let store = client.store(&spec);
    let raw = Client::raw(&server);
    let options = PutOptions {
        content_type: Some("application/zstd".to_owned()),
        metadata: vec![("pipeline".to_owned(), "주문-야간".to_owned()), ("host".to_owned(), "db1".to_owned())],
        ..PutOptions::default()
    };
    for (key, size) in [("작은", 10), ("큰", 20 * MIB)] {
        store.put(key, Pattern::stream(size), &options, &Cancel::new(), &|_| {}).unwrap();
        let full = format!("팀/백업/{key}");
        let head = client.runtime.block_on(raw.head_object().bucket(BUCKET).key(&full).send()).unwrap();
        assert_eq!(head.content_type(), Some("application/zstd"), "{key}");
        assert_eq!(head.storage_class().unwrap().as_str(), "STANDARD_IA", "{key}");
        let metadata = head.metadata().unwrap();
        assert_eq!(metadata["pipeline"], "%EC%A3%BC%EB%AC%B8-%EC%95%BC%EA%B0%84", "{key}");
        assert_eq!(metadata["host"], "db1", "{key}");
        let tags = client.runtime.block_on(raw.get_object_tagging().bucket(BUCKET).key(&full).send()).unwrap();
        let tags: Vec<_> = tags.tag_set().iter().map(|tag| (tag.key(), tag.value())).collect();
        assert_eq!(tags, [("팀", "주문 & 결제")], "{key}");
    }
}

#[test]
fn encryption_by_the_server_is_asked_for() {
    let (server, client) = (S3Server::seaweed(), Client::new());
    let key_id = Some("key-1".to_owned());
    for (key, encryption, header) in [
        ("a", ServerSideEncryption::Aes256, "x-amz-server-side-encryption: AES256"),
        ("b", ServerSideEncryption::Kms { key_id: None }, "x-amz-server-side-encryption: aws:kms"),
        ("c", ServerSideEncryption::Kms { key_id }, "x-amz-server-side-encryption-aws-kms-key-id: key-1"),
    ] {
        let proxy = FaultyS3::before(server.address, vec![]);
        let mut spec = spec(&proxy.endpoint());
        spec.server_side_encryption = Some(encryption);
        // Whether the server has a KMS is not the question here: the request must ask.
        drop(client.store(&spec).put_bytes(key, b"x", &PutOptions::default()));
        assert!(proxy.seen(header) > 0, "{header}");
    }
}

#[test]
fn a_locked_object_has_a_version_that_can_not_be_deleted() {
    let (server, client) = (S3Server::seaweed(), Client::new());
    let raw = Client::raw(&server);
    client.runtime.block_on(raw.create_bucket().bucket("locked").object_lock_enabled_for_bucket(true).send()).unwrap();
    let mut spec = spec(&server.endpoint());
    spec.bucket = "locked".to_owned();
    spec.object_lock = Some(ObjectLock { mode: LockMode::Compliance, days: 3 });
    spec.checksums = ChecksumMode::WhenRequired;
    let store = client.store(&spec);
    for (key, size) in [("작은", 10), ("큰", 20 * MIB)] {
        let stored = store.put(key, Pattern::stream(size), &PutOptions::default(), &Cancel::new(), &|_| {}).unwrap();
        let version = stored.version.expect("a bucket with lock keeps versions");
        let full = format!("팀/백업/{key}");
        let head = client.runtime.block_on(raw.head_object().bucket("locked").key(&full).send()).unwrap();
        assert_eq!(head.version_id(), Some(version.as_str()));
        assert_eq!(head.object_lock_mode().unwrap().as_str(), "COMPLIANCE");
        let days = (head.object_lock_retain_until_date().unwrap().secs() - jiff::Timestamp::now().as_second()) / 3600;
        assert!((70..=72).contains(&days), "kept for {days} h");
        let deleted = client.runtime.block_on(raw.delete_object().bucket("locked").key(&full).version_id(&version).send());
        assert!(deleted.is_err(), "a locked version must stay");
    }
    assert!(store.probe().unwrap().create_only, "a probe does not lock what it must delete");
    assert_eq!(store.list(".runner/").unwrap(), []);
}

#[test]
fn memory_stays_bounded_however_large_the_object() {
    let Some(endpoint) = inside() else {
        let server = S3Server::seaweed();
        return again("store_s3::memory_stays_bounded_however_large_the_object", &server, &[]);
    };
    let client = Client::new();
    let store = client.store(&spec(&endpoint));
    let put = |key: &str, size| drop(store.put(key, Pattern::stream(size), &PutOptions::default(), &Cancel::new(), &|_| {}).unwrap());
    put("warm", 64 * MIB);
    let before = peak_kib();
    put("large", 384 * MIB);
    let grown = peak_kib() - before;
    assert!(grown < 12 * 1024, "the peak grew by {grown} KiB");
    assert!(peak_kib() < 128 * 1024, "the peak is {} KiB", peak_kib());
}

#[test]
fn credentials_come_from_the_environment_or_a_profile() {
    let test = "store_s3::credentials_come_from_the_environment_or_a_profile";
    let Some(endpoint) = inside() else {
        let (server, folder) = (S3Server::seaweed(), tempfile::tempdir().unwrap());
        let profile = folder.path().join("credentials");
        let keys = format!("[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n");
        std::fs::write(&profile, keys).unwrap();
        again(test, &server, &[("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)]);
        again(test, &server, &[("AWS_SHARED_CREDENTIALS_FILE", profile.to_str().unwrap()), ("AWS_REGION", "eu-west-1")]);
        return;
    };
    let client = Client::new();
    let spec = S3Spec { region: None, ..spec(&endpoint) };
    let store = runner::store::open(&StoreSpec::S3(spec), client.runtime.handle()).unwrap();
    store.put_bytes("a", b"x", &PutOptions::default()).unwrap();
    store.delete("a").unwrap();
}

#[test]
fn missing_credentials_and_regions_are_said_with_what_to_do() {
    let Some(endpoint) = inside() else {
        let server = S3Server::seaweed();
        return again("store_s3::missing_credentials_and_regions_are_said_with_what_to_do", &server, &[]);
    };
    let client = Client::new();
    let store = runner::store::open(&StoreSpec::S3(spec(&endpoint)), client.runtime.handle()).unwrap();
    let error = store.reach().unwrap_err();
    assert!(matches!(error, StoreError::Refused { kind: Refusal::Denied, .. }), "{error}");
    assert!(error.to_string().contains("set AWS_ACCESS_KEY_ID"), "{error}");
    let spec = S3Spec { region: None, endpoint: None, ..spec(&endpoint) };
    let error = runner::store::open(&StoreSpec::S3(spec), client.runtime.handle()).unwrap().reach().unwrap_err();
    assert!(!error.transient() && error.to_string().contains("set `region`"), "{error}");
}

/// Set in a child that runs one test alone, with an environment made for it.
const INSIDE: &str = "RUNNER_TEST_INSIDE_ENDPOINT";

fn inside() -> Option<String> {
    std::env::var(INSIDE).ok()
}

/// Runs a test again in a process of its own, in which nothing else uses memory and the environment holds only this.
fn again(test: &str, server: &S3Server, env: &[(&str, &str)]) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env_clear().env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true");
    let status = child.env(INSIDE, server.endpoint()).envs(env.iter().copied()).status().unwrap();
    assert!(status.success(), "the test failed in its own process with {env:?}");
}

/// The most memory this process has had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Set in the child that writes until it is killed.
const WRITER: &str = "RUNNER_TEST_WRITER_ENDPOINT";

#[test]
fn a_killed_writer_leaves_nothing_under_the_key_and_is_swept() {
    if let Ok(endpoint) = std::env::var(WRITER) {
        // The child: an endless dump.
        let client = Client::new();
        let body = Pattern::stream(u64::MAX);
        drop(client.store(&spec(&endpoint)).put("a/덤프", body, &PutOptions::default(), &Cancel::new(), &|_| {}));
        return;
    }
    let (server, client) = (S3Server::seaweed(), Client::new());
    let (store, proxy) = (client.store(&spec(&server.endpoint())), FaultyS3::before(server.address, vec![]));
    let test = "store_s3::a_killed_writer_leaves_nothing_under_the_key_and_is_swept";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(WRITER, proxy.endpoint())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while proxy.seen("partNumber=3") == 0 {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "the writer did not write");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((store.list("").unwrap(), store.head("a/덤프").unwrap()), (vec![], None));
    assert_eq!(store.sweep("a/", Duration::from_hours(1)).unwrap(), Vec::<String>::new(), "it is young");
    assert_eq!(store.sweep("a/", Duration::ZERO).unwrap(), ["a/덤프"]);
    assert_eq!(store.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new());
    store.put_bytes("a/덤프", b"x", &PutOptions::default()).unwrap();
}
