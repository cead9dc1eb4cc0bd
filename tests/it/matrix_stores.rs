//! The same pipeline into a folder and into a real S3 server: parts, keys in any script, sidecars, and a restore from the bucket.
#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::path::Path;

use runner::store::commit::{read_manifest, read_receipt};
use runner::store::manifest::{Level, Manifest};
use runner::store::s3::S3Store;
use runner::store::{ObjectStore as _, PutOptions};
use serde_json::{Value, json};

use crate::matrix_keys::{Keys, Lock, digest_by_tool};
use crate::matrix_rig::{Rig, by_socket, pipeline, step};
use crate::matrix_source::create;
use crate::servers::postgres::TestServer;
use crate::servers::seaweed::{ACCESS_KEY, BUCKET, Client, S3Server, SECRET_KEY, spec};

const ROWS: u64 = 500_000;

/// More than 24 MB that no compression makes small enough for one part.
fn source() -> TestServer {
    let server = TestServer::start(17);
    create(&server, "원장", "");
    server.psql(
        "원장",
        &format!("create table 장부 as select id, md5(id::text) || md5((id + 1)::text) as text from generate_series(1, {ROWS}) id"),
    );
    server
}

fn declared(server: &TestServer, keys: &Keys, store: &Value) -> Value {
    let (mut verify, secrets) = keys.decrypt(Lock::AgeKeys);
    verify["checks"] = json!([{ "row_count": { "table": "장부", "min": ROWS, "max": ROWS } }]);
    let steps = [
        step("dump", "dump", &json!({ "connection": "db" })),
        step("pack", "compress", &json!({ "codec": "lz4" })),
        step("lock", "encrypt", &keys.encrypt(Lock::AgeKeys).unwrap()),
        step("digest", "checksum", &json!({})),
        step("keep", "upload", &json!({ "store": "vault", "key": "{{ pipeline }}/월간 백업/{{ run.id }}.dump.lz4.age" })),
        step("drill", "verify-restore", &verify),
    ];
    let mut pipeline = pipeline("stored", &by_socket(server, "원장"), &steps);
    pipeline["secrets"] = secrets;
    pipeline["stores"]["vault"] = store.clone();
    pipeline
}

fn s3(server: &S3Server) -> Value {
    json!({ "s3": serde_json::to_value(spec(&server.endpoint())).unwrap() })
}

fn with_credentials() -> Rig {
    Rig::new().env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
}

/// The keys of everything in the store.
fn listed(store: &S3Store) -> Vec<String> {
    let mut keys: Vec<String> = store
        .list("")
        .unwrap()
        .into_iter()
        .map(|object| object.key)
        .filter(|key| key != "ready" && !key.starts_with(".runner-leases/"))
        .collect();
    keys.sort();
    keys
}

/// What a manifest must say, whatever keeps it; answers the object's key.
fn right(manifest: &Manifest, object: &[u8], run: &str) -> String {
    let artifact = &manifest.artifacts[0];
    assert_eq!(artifact.object.key, format!("stored/월간 백업/{run}.dump.lz4.age"));
    assert_eq!((artifact.object.bytes, artifact.origin.bytes > 24_000_000), (object.len() as u64, true));
    assert_eq!(artifact.object.sha256, digest_by_tool(runner::stream::digest::Algorithm::Sha256, object));
    artifact.object.key.clone()
}

#[test]
fn a_bucket_keeps_what_a_folder_keeps_and_is_restored_from() {
    let (server, s3_server, keys) = (source(), S3Server::seaweed(), Keys::new(Lock::AgeKeys));
    let local = Rig::new();
    let ran = local.apply(&local.pipeline(&declared(&server, &keys, &json!({ "local": { "path": "store" } })))).ended(0);
    let answer = &ran.json()["runs"][0];
    let manifest = local.manifest(answer);
    right(&manifest, &std::fs::read(local.object(&manifest.artifacts[0])).unwrap(), answer["run"].as_str().unwrap());
    assert_eq!(local.receipts(answer)[0].level, Level::Proven);

    let rig = with_credentials();
    let ran = rig.apply(&rig.pipeline(&declared(&server, &keys, &s3(&s3_server)))).ended(0);
    let answer = &ran.json()["runs"][0];
    assert_eq!(answer["level"], "proven");
    let (client, run) = (Client::new(), answer["run"].as_str().unwrap());
    let store = client.store(&spec(&s3_server.endpoint()));
    let manifest = read_manifest(&store.get_bytes(answer["manifest"].as_str().unwrap(), 1 << 20).unwrap()).unwrap();
    let key = right(&manifest, &store.get_bytes(&manifest.artifacts[0].object.key, 1 << 27).unwrap(), run);
    let keys = listed(&store);
    let receipt = keys.iter().find(|key| key.contains(".verified-drill-")).unwrap();
    assert_eq!(read_receipt(&store.get_bytes(receipt, 1 << 20).unwrap()).unwrap().level, Level::Proven);
    let mut expected = vec![answer["manifest"].as_str().unwrap().to_owned(), receipt.clone(), key.clone(), format!("{key}.sha256")];
    expected.push(expected[0].replace(".manifest.json", ".recipe.txt"));
    expected.push(manifest.artifacts[0].fingerprint.as_ref().unwrap().object.key.clone());
    expected.extend(runner::store::kit::files(&manifest.pipeline).map(|file| file.key));
    expected.sort();
    assert_eq!(keys, expected, "nothing else is in the bucket");
    let sidecar = String::from_utf8(store.get_bytes(&format!("{key}.sha256"), 1000).unwrap()).unwrap();
    assert_eq!(sidecar, format!("{}  {run}.dump.lz4.age\n", manifest.artifacts[0].object.sha256));
    as_amazon_shows_it(&client, &s3_server, &key, run);
    let line = answer["restore_without_runner"][0]["command"].as_str().unwrap();
    assert!(
        line.contains(&format!("aws s3 cp --endpoint-url {} 's3://{BUCKET}/팀/백업/{key}' - | age -d", s3_server.endpoint())),
        "{line}"
    );
    assert!(rig.scratch_left().is_empty());
}

/// The object in several parts and with its metadata, and no upload left open.
fn as_amazon_shows_it(client: &Client, server: &S3Server, key: &str, run: &str) {
    let raw = Client::raw(server);
    let head = client.runtime.block_on(raw.head_object().bucket(BUCKET).key(format!("팀/백업/{key}")).send()).unwrap();
    let parts: u32 = head.e_tag().unwrap().trim_matches('"').rsplit_once('-').expect("the tag of several parts").1.parse().unwrap();
    assert!(parts >= 3, "{parts} parts");
    let metadata = head.metadata().unwrap();
    let of = |name: &str| metadata.get(name).map(String::as_str);
    assert_eq!((of("runner-run"), of("runner-pipeline")), (Some(run), Some("stored")));
    let open = client.runtime.block_on(raw.list_multipart_uploads().bucket(BUCKET).send()).unwrap();
    assert!(open.uploads().is_empty(), "{:?}", open.uploads());
}

#[test]
fn a_probe_writes_reads_deletes_and_leaves_nothing() {
    let (server, s3_server, keys) = (TestServer::start(17), S3Server::seaweed(), Keys::new(Lock::AgeKeys));
    create(&server, "원장", "");
    let rig = with_credentials();
    let path = rig.pipeline(&declared(&server, &keys, &s3(&s3_server)));
    let store = Client::new();
    let store = store.store(&spec(&s3_server.endpoint()));
    store.put_bytes("theirs", b"x", &PutOptions::default()).unwrap();
    let plan = |arguments: &[&str]| {
        let all = ["plan".as_ref(), path.as_os_str(), "--format=json".as_ref()]
            .into_iter()
            .chain(arguments.iter().map(std::convert::AsRef::as_ref));
        rig.run(all).ended(0).json()["plans"][0]["observed"]["stores"]["vault"]["reached"].clone()
    };
    assert_eq!(plan(&[])["create_only"], Value::Null, "without --probe nothing is written");
    assert_eq!(plan(&["--probe"])["create_only"], true);
    assert_eq!(listed(&store), ["theirs"]);
    let wrong = rig.env("AWS_SECRET_ACCESS_KEY", "wrong");
    let ran = wrong.run([Path::new("plan"), &path, Path::new("--probe")]).ended(77);
    assert!(ran.stdout.contains("vault"), "{}", ran.stdout);
}
