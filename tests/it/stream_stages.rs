//! Threads, meters and digests in a chain: what they add, and that they leave nothing.
#![cfg(test)]

use std::time::{Duration, Instant};

use runner::stream::child::Program;
use runner::stream::codec::{Codec, Compression, compress};
use runner::stream::digest::{Algorithm, digested, sidecar_line};
use runner::stream::{Cancel, Chunk, Meter, Pull, StreamError, fused, metered, prefetch};

use crate::stream_tools::{broken_after, dump, eventually, generated, lives, parts, read, tool_with};

fn threads_named(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks.flatten().filter(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)).count()
}

#[test]
fn a_prefetched_stream_is_the_same_stream() {
    let whole = dump(3_000_000);
    assert!(read(prefetch(parts(&whole, &[70_000, 1]), 4, "same")).unwrap() == whole);
    let error = read(prefetch(broken_after(&whole), 1, "same")).unwrap_err();
    assert_eq!(error.to_string(), "test: the source broke");
}

#[test]
fn a_thread_that_panics_is_an_error_and_not_an_end() {
    struct Panicking(u32);
    impl Pull for Panicking {
        fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
            self.0 -= 1;
            assert!(self.0 > 0, "a planted panic");
            Ok(Some(Chunk::from(vec![1])))
        }
    }
    let mut stream = prefetch(fused(Panicking(3)), 8, "panicking");
    let mut chunks = 0;
    let error = loop {
        match stream.pull() {
            Ok(Some(_)) => chunks += 1,
            Ok(None) => panic!("taken for an end"),
            Err(error) => break error,
        }
    };
    assert_eq!((chunks, error), (2, StreamError::Vanished { stage: "panicking" }));
    assert!(stream.pull().is_err());
}

#[test]
fn dropping_a_half_read_chain_leaves_no_process_and_no_thread() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let source = Program::new("/bin/sh").args(["-c", "echo $$ > $FILE; exec cat /dev/zero"]).env("FILE", &file);
    let stream = prefetch(source.source(&Cancel::new()).unwrap(), 2, "drop-1");
    let how = Compression { threads: 2, ..Compression::new(Codec::Gzip) };
    let stream = prefetch(compress(stream, &how, &Cancel::new()).unwrap(), 2, "drop-2");
    let (mut stream, _digest) = digested(stream, Algorithm::Sha256);
    stream.pull().unwrap();
    let pid = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    assert!(lives(pid) && threads_named("drop-1") == 1 && threads_named("drop-2") == 1);
    drop(stream);
    assert!(!lives(pid), "the process is reaped when drop returns");
    assert_eq!((threads_named("drop-1"), threads_named("drop-2")), (0, 0));
    eventually("the end of the gzip threads, other tests' included", || threads_named("gzip") == 0);
}

#[test]
fn dropping_a_chain_over_a_source_that_hangs_does_not_hang() {
    let cancel = Cancel::new();
    let source = Program::new("sleep").arg("1000").source(&cancel).unwrap();
    let filtered = Program::new("cat").filter(prefetch(source, 1, "hang-1"), &cancel).unwrap();
    let stream = metered(prefetch(filtered, 1, "hang-2"), &Meter::new());
    std::thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    drop(stream);
    // It would sleep for a quarter of an hour.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    eventually("the threads' end", || threads_named("hang-1") + threads_named("hang-2") + threads_named("feed") == 0);
}

#[test]
fn a_chain_runs_as_long_as_its_slowest_stage_and_not_the_sum() {
    struct Slow(runner::stream::Stream);
    impl Pull for Slow {
        fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
            std::thread::sleep(Duration::from_millis(10));
            self.0.pull()
        }
    }
    let once = || {
        let begun = Instant::now();
        let stream = prefetch(fused(Slow(parts(&dump(40_000), &[1000]))), 2, "slow-1");
        read(fused(Slow(stream))).unwrap();
        begun.elapsed()
    };
    // A machine that is busy with other tests may sleep too long; the sum is never less than itself.
    let best = (0..5).map(|_| once()).min().unwrap();
    assert!(best < Duration::from_millis(700), "{best:?}, the sum is 820 ms");
}

#[test]
fn standard_tools_check_the_sidecar_of_any_name() {
    for (algorithm, program) in [(Algorithm::Sha256, "sha256sum"), (Algorithm::Sha512, "sha512sum")] {
        for name in ["백업.dump", "back\\slash", "new\nline", "car\rriage", " space "] {
            let (folder, whole) = (tempfile::tempdir().unwrap(), dump(300_000));
            std::fs::write(folder.path().join(name), &whole).unwrap();
            let (stream, handle) = digested(parts(&whole, &[9999]), algorithm);
            read(stream).unwrap();
            let line = sidecar_line(&handle.get().unwrap().hex, name);
            tool_with(std::process::Command::new(program).args(["--strict", "-c", "-"]).current_dir(&folder), line.as_bytes()).unwrap();
        }
    }
}

#[test]
fn memory_stays_bounded_however_long_the_stream_is() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let how = Compression { threads: 2, level: 1, ..Compression::new(Codec::Zstd) };
    let stream = compress(prefetch(generated(1 << 30), 4, "generated"), &how, &Cancel::new()).unwrap();
    let (mut stream, digest) = digested(prefetch(stream, 4, "compressed"), Algorithm::Blake3);
    let (before, mut most) = (resident(), 0);
    while stream.pull().unwrap().is_some() {
        most = most.max(resident());
    }
    assert!(digest.get().unwrap().bytes > 0);
    assert!(most - before < 96 * 1024, "{} KiB more than {before} KiB", most - before);
}
