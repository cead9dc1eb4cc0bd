//! What the stream tests share: data, streams with chosen chunk boundaries, and the standard tools as oracles.
#![cfg(test)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use runner::stream::bytes::collect;
use runner::stream::{Chunk, Pool, Pull, Stream, StreamError, fused};

/// Bytes that look like a dump: some repeat, some do not; the same for the same length.
pub(crate) fn dump(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(bytes + 64);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(format!("{}\t주문 {}\t2026-11-20\t{:016x}\n", state % 1000, state % 77, state).as_bytes());
    }
    out.truncate(bytes);
    out
}

struct Parts {
    bytes: Vec<u8>,
    at: usize,
    sizes: Vec<usize>,
    turn: usize,
}

impl Pull for Parts {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let size = self.sizes[self.turn % self.sizes.len()].max(1).min(self.bytes.len() - self.at);
        let part = self.bytes[self.at..self.at + size].to_vec();
        (self.at, self.turn) = (self.at + size, self.turn + 1);
        Ok((size > 0).then(|| Chunk::from(part)))
    }
}

/// These bytes in chunks of these sizes, taken in turn.
pub(crate) fn parts(bytes: &[u8], sizes: &[usize]) -> Stream {
    fused(Parts { bytes: bytes.to_vec(), at: 0, sizes: sizes.to_vec(), turn: 0 })
}

struct Endless {
    pool: Pool,
    block: Vec<u8>,
    left: u64,
}

impl Pull for Endless {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let amount = self.left.min(self.block.len() as u64);
        self.left -= amount;
        let mut buffer = self.pool.buffer();
        buffer.extend_from_slice(&self.block[..usize::try_from(amount).unwrap()]);
        Ok((amount > 0).then(|| self.pool.chunk(buffer)))
    }
}

/// A stream of this many bytes that is never in memory as a whole.
pub(crate) fn generated(bytes: u64) -> Stream {
    let block = dump(runner::stream::CHUNK);
    fused(Endless { pool: Pool::new(block.len()), block, left: bytes })
}

/// A stream that hands over some bytes and then fails.
pub(crate) fn broken_after(bytes: &[u8]) -> Stream {
    struct Broken(Option<Vec<u8>>);
    impl Pull for Broken {
        fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
            self.0.take().map(|bytes| Some(Chunk::from(bytes))).ok_or_else(|| StreamError::corrupt("test", "the source broke"))
        }
    }
    fused(Broken(Some(bytes.to_vec())))
}

/// Reads to the verified end.
pub(crate) fn read(stream: Stream) -> Result<Vec<u8>, StreamError> {
    collect(stream, 1 << 30)
}

/// Runs a standard tool over these bytes; what it wrote, or what it complained about.
pub(crate) fn tool(program: &str, args: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    tool_with(Command::new(program).args(args), input)
}

/// As [`tool`], for a command that needs more than arguments.
pub(crate) fn tool_with(command: &mut Command, input: &[u8]) -> Result<Vec<u8>, String> {
    let program = command.get_program().to_owned();
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("install {}: {error}", program.display()));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A tool that refuses its input closes it early.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    if output.status.success() { Ok(output.stdout) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Waits until something becomes true.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < until, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process with this id is there, a zombie included.
pub(crate) fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Whether a process with this id still runs. What an ended program leaves behind is reaped by init, when it likes.
pub(crate) fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Each way in which stored bytes may be damaged: cut at several places, a bit flipped at several places, something
/// appended. With each its name.
pub(crate) fn damages(whole: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut damaged = Vec::new();
    let end = whole.len();
    for cut in [0, 1, 5, end / 2, end - 5, end - 1] {
        damaged.push((format!("cut to {cut} of {end}"), whole[..cut].to_vec()));
    }
    for at in [0, 1, end / 4, end / 2, end - 9, end - 1] {
        let mut flipped = whole.to_vec();
        flipped[at] ^= 0x10;
        damaged.push((format!("bit flipped at {at} of {end}"), flipped));
    }
    damaged.push(("garbage appended".into(), [whole, b"garbage"].concat()));
    damaged
}
