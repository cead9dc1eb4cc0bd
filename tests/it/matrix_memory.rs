//! Memory stays small whatever the database's size: a table of hundreds of megabytes, watched while it passes.
#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::matrix_keys::{Keys, Lock};
use crate::matrix_rig::{Rig, by_socket, pipeline, step};
use crate::matrix_source::create;
use crate::servers::postgres::TestServer;

/// What a run may take at most, in KiB.
const MOST: u64 = 128 * 1024;

#[test]
fn a_table_of_three_hundred_megabytes_passes_through_a_small_process() {
    let server = TestServer::start(16);
    create(&server, "큰 것", "");
    // Random text of 1 kB a row, kept as it is: what the stream carries does not shrink.
    server.psql("큰 것", "create unlogged table 덩이 (id int, text text); alter table 덩이 alter text set storage external");
    server.psql("큰 것", "insert into 덩이 select id, repeat(md5(id::text), 96) from generate_series(1, 100000) id");
    let (rig, keys) = (Rig::new(), Keys::new(Lock::AgeKeys));
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
    assert!(peak > 1024 && peak <= MOST, "the process took {} MiB of {} MiB at its peak", peak / 1024, MOST / 1024);
    println!("peak {} MiB in {:.1} s", peak / 1024, began.elapsed().as_secs_f64());
}

/// `VmHWM` of a process in KiB (proc(5)).
fn high_water(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()
}
