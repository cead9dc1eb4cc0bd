//! Gzip (RFC 1952), compressed in blocks on several threads and still one member that every gunzip reads.
//!
//! The way of `pigz`: each block is deflated by itself, primed with the 32 KiB before it and flushed to a byte boundary,
//! and the blocks' CRCs are combined. This module does not keep names or times in the header, so that equal input gives
//! equal output.

use std::collections::VecDeque;
use std::io::{self, BufRead as _};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use flate2::bufread::GzDecoder;
use flate2::{Compress, Crc, FlushCompress, Status};

use super::Compression;
use crate::stream::reader::{Reader, fill, unwrap_read};
use crate::stream::{CHUNK, Chunk, Pool, Pull, Stopper, Stream, StreamError, fused};

/// The input of one block in bytes: large enough that priming costs little, small enough that every thread gets some.
const BLOCK: usize = 2 * CHUNK;
/// How far back deflate can refer, in bytes.
const WINDOW: usize = 32 * 1024;
/// RFC 1952, 2.3: magic, deflate, no flags, no time, no extra flags, Unix.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

struct Job {
    input: Vec<u8>,
    before: Vec<u8>,
    last: bool,
    output: Vec<u8>,
    done: Sender<Result<Block, String>>,
}

struct Block {
    input: Vec<u8>,
    output: Vec<u8>,
    crc: Crc,
}

struct Gzip {
    input: Stream,
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    level: flate2::Compression,
    waiting: VecDeque<Receiver<Result<Block, String>>>,
    inputs: Pool,
    outputs: Pool,
    /// Input that came in the same chunk as the end of a block.
    rest: Option<(Chunk, usize)>,
    before: Vec<u8>,
    crc: Crc,
    head: Vec<u8>,
    all_given: bool,
    over: bool,
}

pub(super) fn compress(input: Stream, how: &Compression) -> io::Result<Stream> {
    let level = flate2::Compression::new(how.level.unsigned_abs());
    let mut gzip = Gzip {
        input,
        jobs: None,
        threads: Vec::new(),
        level,
        waiting: VecDeque::new(),
        inputs: Pool::new(BLOCK),
        outputs: Pool::new(BLOCK),
        rest: None,
        before: Vec::new(),
        crc: Crc::new(),
        head: HEADER.to_vec(),
        all_given: false,
        over: false,
    };
    if how.threads > 1 {
        let (jobs, take) = unbounded();
        gzip.jobs = Some(jobs);
        for _ in 0..how.threads {
            let take = take.clone();
            gzip.threads.push(std::thread::Builder::new().name("gzip".into()).spawn(move || work(&take, level))?);
        }
    }
    Ok(fused(gzip))
}

fn work(take: &Receiver<Job>, level: flate2::Compression) {
    for job in take {
        let done = job.done.clone();
        // Whoever waited for it may have been dropped.
        let _dropped = done.send(block(job, level));
    }
}

/// Deflates one block; every block but the last ends at a byte boundary.
///
/// The state is a new one: what a used one has left over changes its choices, and equal input shall give equal output.
fn block(mut job: Job, level: flate2::Compression) -> Result<Block, String> {
    let mut deflate = Compress::new(level, false);
    if !job.before.is_empty() {
        deflate.set_dictionary(&job.before).map_err(|error| error.to_string())?;
    }
    let flush = if job.last { FlushCompress::Finish } else { FlushCompress::Sync };
    loop {
        let taken = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let status = deflate.compress_vec(&job.input[taken..], &mut job.output, flush).map_err(|error| error.to_string())?;
        let taken = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let room = job.output.len() < job.output.capacity();
        match (job.last, status) {
            (true, Status::StreamEnd) => break,
            (false, _) if taken == job.input.len() && room => break,
            _ => job.output.reserve(job.output.capacity().max(64 * 1024) / 4),
        }
    }
    let mut crc = Crc::new();
    crc.update(&job.input);
    Ok(Block { input: job.input, output: job.output, crc })
}

impl Gzip {
    /// Gathers the input of the next block; what follows it decides whether it is the last.
    fn gather(&mut self) -> Result<Vec<u8>, StreamError> {
        let mut input = self.inputs.buffer();
        while input.len() < BLOCK {
            let Some((chunk, at)) = self.next_part()? else {
                self.all_given = true;
                break;
            };
            let amount = (chunk.len() - at).min(BLOCK - input.len());
            input.extend_from_slice(&chunk[at..at + amount]);
            self.rest = (at + amount < chunk.len()).then_some((chunk, at + amount));
        }
        Ok(input)
    }

    fn next_part(&mut self) -> Result<Option<(Chunk, usize)>, StreamError> {
        match self.rest.take() {
            Some(rest) => Ok(Some(rest)),
            None => Ok(self.input.pull()?.map(|chunk| (chunk, 0))),
        }
    }

    /// Gives one more block to the threads, or deflates it here.
    fn give(&mut self) -> Result<(), StreamError> {
        let input = self.gather()?;
        let next_before = input[input.len().saturating_sub(WINDOW)..].to_vec();
        let before = std::mem::replace(&mut self.before, next_before);
        let (done, result) = bounded(1);
        let job = Job { input, before, last: self.all_given, output: self.outputs.buffer(), done };
        if let Some(jobs) = &self.jobs {
            jobs.send(job).map_err(|_| StreamError::Vanished { stage: "gzip" })?;
        } else {
            let done = job.done.clone();
            // The receiver is at hand and has room for one.
            let _received = done.send(block(job, self.level));
        }
        self.waiting.push_back(result);
        Ok(())
    }

    /// The next block in order, with header and trailer where they belong.
    fn next_block(&mut self) -> Result<Option<Chunk>, StreamError> {
        let Some(result) = self.waiting.pop_front() else { return Ok(None) };
        let block = result.recv().map_err(|_| StreamError::Vanished { stage: "gzip" })?;
        let mut block = block.map_err(|detail| StreamError::corrupt("gzip", detail))?;
        self.crc.combine(&block.crc);
        drop(self.inputs.chunk(block.input));
        if !self.head.is_empty() {
            block.output.splice(..0, self.head.drain(..));
        }
        if self.all_given && self.waiting.is_empty() {
            // RFC 1952, 2.3.1: the length is taken modulo 2^32.
            block.output.extend_from_slice(&self.crc.sum().to_le_bytes());
            block.output.extend_from_slice(&self.crc.amount().to_le_bytes());
            self.over = true;
        }
        Ok(Some(self.outputs.chunk(block.output)))
    }
}

impl Pull for Gzip {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        if self.over {
            return Ok(None);
        }
        while !self.all_given && self.waiting.len() <= self.threads.len() {
            self.give()?;
        }
        self.next_block()
    }

    fn stopper(&self) -> Option<Stopper> {
        self.input.stopper()
    }
}

impl Drop for Gzip {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic was reported as a stage that vanished.
            let _panicked = thread.join();
        }
    }
}

struct Gunzip {
    member: Option<GzDecoder<Reader>>,
    pool: Pool,
}

pub(super) fn decompress(input: Stream) -> Stream {
    fused(Gunzip { member: Some(GzDecoder::new(Reader::new(input))), pool: Pool::new(CHUNK) })
}

impl Pull for Gunzip {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let broken = |error: io::Error| unwrap_read("gzip", &error);
        let Some(member) = &mut self.member else { return Ok(None) };
        let (chunk, over) = fill(member, &self.pool).map_err(broken)?;
        if over && let Some(member) = self.member.take() {
            let mut reader = member.into_inner();
            let more = !reader.fill_buf().map_err(broken)?.is_empty();
            self.member = more.then(|| GzDecoder::new(reader));
        }
        Ok(Some(chunk))
    }

    fn stopper(&self) -> Option<Stopper> {
        self.member.as_ref().and_then(|member| member.get_ref().stopper())
    }
}
