//! Memory stays small whatever the database's size: a table of hundreds of megabytes, watched while it passes.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::matrix_keys::{Keys, Lock};
use crate::matrix_rig::{Rig, by_socket, pipeline, step};
use crate::matrix_source::create;
use crate::servers::postgres::TestServer;
use crate::servers::seaweed::{ACCESS_KEY, S3Server, SECRET_KEY, spec};

/// What a run may take at most, in KiB.
const MOST: u64 = 128 * 1024;

#[test]
fn a_table_of_three_hundred_megabytes_passes_through_a_small_process() {
    let server = TestServer::start(16);
    create(&server, "큰 것", "");
    // Random bytes travel as hexadecimal text, twice their size; compressed, half of that is left, many parts of an upload.
    server.psql("큰 것", "create extension pgcrypto; create unlogged table 덩이 (id int, bytes bytea)");
    server.psql("큰 것", "insert into 덩이 select id, gen_random_bytes(1024) from generate_series(1, 150000) id");
    let s3_server = S3Server::seaweed();
    let rig = Rig::new().env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let keys = Keys::new(Lock::AgeKeys);
    let (verify, secrets) = keys.decrypt(Lock::AgeKeys);
    let steps = [
        step("dump", "dump", &json!({ "connection": "db" })),
        step("pack", "compress", &json!({ "codec": "zstd", "level": 3 })),
        step("digest", "checksum", &json!({})),
        step("lock", "encrypt", &keys.encrypt(Lock::AgeKeys).unwrap()),
        step("keep", "upload", &json!({ "store": "vault" })),
        step("drill", "verify-restore", &verify),
    ];
    let mut declared = pipeline("memory", &by_socket(&server, "큰 것"), &steps);
    declared["secrets"] = secrets;
    declared["stores"]["vault"] = json!({ "s3": serde_json::to_value(spec(&s3_server.endpoint())).unwrap() });
    let path = rig.pipeline(&declared);
    let mut command = rig.command();
    command.arg("apply").arg(&path).args(["--format", "json"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let (mut peak, began) = (0, Instant::now());
    let status = loop {
        // The high-water mark of the last look before the end: the kernel keeps it, so that looks may be far apart.
        peak = peak.max(high_water(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < Duration::from_secs(150), "it takes too long");
        std::thread::sleep(Duration::from_millis(20));
    };
    let answer: serde_json::Value = serde_json::from_reader(child.stdout.take().unwrap()).unwrap();
    assert!(status.success(), "{answer:#}");
    assert!(answer["runs"][0]["artifacts"][0]["origin"]["bytes"].as_u64().unwrap() > 300_000_000, "the stream was large: {answer:#}");
    assert!(peak > 1024 && peak <= MOST, "the process took {} MiB of {} at its peak", peak / 1024, MOST / 1024);
    assert!(answer["runs"][0]["artifacts"][0]["object"]["bytes"].as_u64().unwrap() > 100_000_000, "the upload was large: {answer:#}");
}

/// `VmHWM` of a process in KiB (proc(5)).
fn high_water(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()
}
