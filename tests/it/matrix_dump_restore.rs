//! The main job as a table: every major, format, codec, digest and way to encrypt, each proven by a restore from the store.
//!
//! What the binary says of a backup is not believed: the rows are asked of the source, the stages are undone by public tools.
#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use runner::store::manifest::{Applied, Artifact, Level, Receipt};
use serde_json::{Value, json};

use crate::matrix_keys::{Keys, Lock, PASSPHRASE, sha256sum};
use crate::matrix_rig::{Rig, by_socket, pipeline, step};
use crate::matrix_source::{DATABASE, PASSWORD, rows, server};
use crate::servers::postgres::{MAJORS, TestServer};

/// One way to back up and restore.
#[derive(Debug, Clone, Copy)]
struct Row {
    major: u16,
    format: &'static str,
    /// Connections of the dump, and of the restore.
    jobs: (Option<u16>, Option<u16>),
    codec: &'static str,
    digest: &'static str,
    /// Whether the digest is that of the stored bytes, rather than of those before encryption.
    digest_last: bool,
    lock: Lock,
}

const fn row(major: u16, format: &'static str, jobs: (Option<u16>, Option<u16>), codec: &'static str) -> Row {
    Row { major, format, jobs, codec, digest: "sha256", digest_last: false, lock: Lock::Open }
}

impl Row {
    const fn digest(self, digest: &'static str) -> Self {
        Self { digest, ..self }
    }

    const fn of_stored_bytes(self) -> Self {
        Self { digest_last: true, ..self }
    }

    const fn locked(self, lock: Lock) -> Self {
        Self { lock, ..self }
    }
}

const ROWS: [Row; 13] = [
    row(14, "custom", (None, None), "zstd").locked(Lock::AgeKeys),
    row(14, "plain", (None, None), "gzip").digest("sha512").locked(Lock::PgpKeys),
    row(15, "tar", (None, Some(2)), "lz4").digest("blake3").locked(Lock::AgePassphrase),
    row(15, "directory", (Some(2), Some(2)), "none").of_stored_bytes().locked(Lock::Ssh),
    row(15, "custom", (None, Some(4)), "zstd").digest("sha512").of_stored_bytes(),
    row(16, "custom", (None, Some(1)), "gzip").digest("blake3"),
    row(16, "directory", (None, None), "zstd").digest("sha512").of_stored_bytes().locked(Lock::PgpPassphrase),
    row(17, "plain", (None, None), "lz4").locked(Lock::AgeKeys),
    row(17, "tar", (None, None), "none").digest("sha512").locked(Lock::PgpKeys),
    row(17, "custom", (None, Some(2)), "zstd").digest("blake3").of_stored_bytes().locked(Lock::AgePassphrase),
    row(18, "directory", (Some(4), Some(4)), "gzip"),
    row(18, "tar", (None, Some(1)), "zstd").of_stored_bytes().locked(Lock::Ssh),
    row(18, "plain", (None, None), "none").digest("blake3").locked(Lock::PgpPassphrase),
];

#[test]
fn the_table_has_each_major_and_each_value_at_least_twice() {
    let at_least_twice = |what: &str, has: &dyn Fn(&Row) -> bool| assert!(ROWS.iter().filter(|row| has(row)).count() >= 2, "{what}");
    for major in MAJORS {
        at_least_twice(&major.to_string(), &|row| row.major == major);
    }
    for format in ["custom", "plain", "tar", "directory"] {
        at_least_twice(format, &|row| row.format == format);
    }
    for codec in ["zstd", "gzip", "lz4", "none"] {
        at_least_twice(codec, &|row| row.codec == codec);
    }
    for digest in ["sha256", "sha512", "blake3"] {
        at_least_twice(digest, &|row| row.digest == digest);
        assert!(ROWS.iter().any(|row| row.digest == digest && row.digest_last), "{digest} of the stored bytes");
    }
    for lock in [Lock::AgeKeys, Lock::AgePassphrase, Lock::Ssh, Lock::PgpKeys, Lock::PgpPassphrase, Lock::Open] {
        at_least_twice(&format!("{lock:?}"), &|row| row.lock == lock);
    }
    at_least_twice("parallel dumps", &|row| row.jobs.0.is_some());
}

#[test]
fn postgresql_14_is_dumped_and_restored() {
    prove_major(14);
}

#[test]
fn postgresql_15_is_dumped_and_restored() {
    prove_major(15);
}

#[test]
fn postgresql_16_is_dumped_and_restored() {
    prove_major(16);
}

#[test]
fn postgresql_17_is_dumped_and_restored() {
    prove_major(17);
}

#[test]
fn postgresql_18_is_dumped_and_restored() {
    prove_major(18);
}

fn prove_major(major: u16) {
    let server = server(major);
    for (index, row) in ROWS.iter().enumerate().filter(|(_, row)| row.major == major) {
        // Half of them over TCP with a password, half over the socket.
        prove(&server, row, index.is_multiple_of(2));
    }
}

fn prove(server: &TestServer, row: &Row, by_password: bool) {
    let (rig, keys) = (Rig::new().env("PHRASE", PASSPHRASE).env("DB_PASSWORD", PASSWORD), Keys::new(row.lock));
    let ran = rig.apply(&rig.pipeline(&declared(server, row, &keys, by_password))).ended(0);
    let answer = &ran.json()["runs"][0];
    assert_eq!(answer["level"], "proven", "{row:?}");
    let manifest = rig.manifest(answer);
    assert_eq!(manifest.level, Level::Stored, "the manifest is the commit; receipts raise it");
    let [artifact] = manifest.artifacts.as_slice() else { panic!("{row:?}: {manifest:?}") };
    assert_eq!(serde_json::to_value(artifact).unwrap(), answer["artifacts"][0]);
    let receipts = rig.receipts(answer);
    let [receipt] = receipts.as_slice() else { panic!("{row:?}: {receipts:?}") };
    same_rows(server, receipt);
    same_origin(server, row, artifact);
    right_stages(&rig, row, &keys, artifact);
    assert_eq!(rig.scratch_left(), Vec::<std::path::PathBuf>::new(), "{row:?} left something on scratch disk");
}

fn declared(server: &TestServer, row: &Row, keys: &Keys, by_password: bool) -> Value {
    let mut connection = by_socket(server, DATABASE);
    let (mut verify, mut secrets) = keys.decrypt(row.lock);
    if by_password {
        let fields = json!({ "host": "127.0.0.1", "port": server.port, "user": "backup", "database": DATABASE });
        connection = json!({ "postgres": fields });
        connection["postgres"]["password"] = json!({ "secret": "db_password" });
        secrets["db_password"] = json!({ "env": "DB_PASSWORD" });
    }
    let mut dump = json!({ "connection": "db", "format": row.format });
    row.jobs.0.iter().for_each(|jobs| dump["jobs"] = json!(jobs));
    row.jobs.1.iter().for_each(|jobs| verify["jobs"] = json!(jobs));
    verify["min_tables"] = json!(10);
    verify["checks"] = json!([
        { "sql": "select count(*) = 500 from \"매출\".\"고객\" where \"Mixed Case\" = upper(\"이름\") and attributes ? '등급'" },
        { "sql": "select encode(lo_get(424242), 'hex')", "equals": "00ff5c0a" },
        { "row_count": { "table": "매출.빈 표", "max": 0 } },
        { "row_count": { "table": "Leads", "min": 33, "max": 33 } },
        { "sql": "select sum(octet_length(lo_get(content))) from files", "equals": 24028 },
        { "sql": "select last_value from \"매출\".\"번호표\"", "equals": 10 },
    ]);
    let digest = step("digest", "checksum", &json!({ "algorithm": row.digest }));
    let lock = keys.encrypt(row.lock).map(|with| step("lock", "encrypt", &with));
    let mut steps = vec![step("dump", "dump", &dump), step("pack", "compress", &json!({ "codec": row.codec }))];
    if row.digest_last {
        steps.extend(lock.into_iter().chain([digest]));
    } else {
        steps.extend([digest].into_iter().chain(lock));
    }
    steps.push(step("keep", "upload", &json!({ "store": "vault" })));
    steps.push(step("drill", "verify-restore", &verify));
    let mut pipeline = pipeline("matrix", &connection, &steps);
    pipeline["secrets"] = secrets;
    pipeline
}

fn same_rows(server: &TestServer, receipt: &Receipt) {
    assert_eq!((receipt.level, &receipt.failure), (Level::Proven, &None));
    let counted: Vec<_> = receipt.tables.iter().map(|count| (count.schema.clone(), count.table.clone(), count.rows)).collect();
    let mut expected = rows(server, DATABASE);
    expected.sort();
    assert!(expected.len() > 12, "the source has tables");
    assert_eq!(counted, expected);
    assert!(receipt.checks.len() == 7 && receipt.checks.iter().all(|check| check.passed), "{:?}", receipt.checks);
    let version = server.psql("postgres", "show server_version_num");
    assert_eq!(receipt.server_version.map(|v| v.to_string()), Some(version));
}

fn same_origin(server: &TestServer, row: &Row, artifact: &Artifact) {
    let origin = &artifact.origin;
    let format = if row.format == "directory" { "directory-tar" } else { row.format };
    assert_eq!((origin.kind.as_str(), origin.format.as_str(), origin.database.as_deref()), ("dump", format, Some(DATABASE)));
    assert_eq!(origin.server_version.to_string(), server.psql("postgres", "show server_version_num"));
    let identifier = server.psql("postgres", "select system_identifier from pg_control_system()");
    assert_eq!(origin.system_identifier, Some(identifier));
    assert!(origin.tool.starts_with(&format!("pg_dump (PostgreSQL) {}.", row.major)), "{}", origin.tool);
    let roles = server.psql("postgres", "select rolname from pg_roles where rolname !~ '^pg_' order by 1");
    assert_eq!(origin.roles, roles.lines().collect::<Vec<_>>());
    let locale = origin.locale.as_ref().unwrap();
    assert_eq!((locale.encoding.as_str(), locale.collate.as_str(), locale.ctype.as_str()), ("UTF8", "C.UTF-8", "C.UTF-8"));
}

/// From the stored bytes back to the dump, each stage undone by a public tool and its recorded size and digest compared.
fn right_stages(rig: &Rig, row: &Row, keys: &Keys, artifact: &Artifact) {
    let object = rig.object(artifact);
    assert_eq!(artifact.object.sha256, sha256sum(&object));
    let mut bytes = std::fs::read(&object).unwrap();
    assert_eq!(artifact.object.bytes, bytes.len() as u64);
    for stage in artifact.stages.iter().rev() {
        if let Applied::Compress { bytes: recorded, .. } | Applied::Encrypt { bytes: recorded, .. } = stage {
            assert_eq!(*recorded, bytes.len() as u64, "{row:?} {stage:?}");
        }
        bytes = keys.undo(row.lock, stage, bytes);
    }
    assert_eq!(artifact.origin.bytes, bytes.len() as u64, "{row:?}");
    let kinds: Vec<String> = artifact.stages.iter().map(|stage| kind(stage).to_owned()).collect();
    let (packed, locked) = ((row.codec != "none").then_some("compress"), (row.lock != Lock::Open).then_some("encrypt"));
    let tail = if row.digest_last { [locked, Some("checksum")] } else { [Some("checksum"), locked] };
    assert_eq!(kinds, packed.into_iter().chain(tail.into_iter().flatten()).collect::<Vec<_>>(), "{row:?}");
}

fn kind(stage: &Applied) -> &'static str {
    match stage {
        Applied::Compress { .. } => "compress",
        Applied::Checksum { .. } => "checksum",
        Applied::Encrypt { .. } => "encrypt",
    }
}
