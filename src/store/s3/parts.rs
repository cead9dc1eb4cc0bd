//! How large the parts of an upload are, and cutting a stream into them. This module does not send anything.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};

use crate::store::StoreError;
use crate::store::whole::Tally;
use crate::stream::{Cancel, Chunk, Pool, Stream};

const MIB: u64 = 1024 * 1024;

/// The most parts an upload can have; this and the next three limits are S3's
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>).
pub(super) const PART_COUNT: u32 = 10_000;
/// The largest part in bytes.
const PART_MOST: u64 = 5 * 1024 * MIB;
/// The largest object in bytes.
pub(super) const OBJECT_MOST: u64 = 5 * 1024 * 1024 * MIB;
/// The smallest part used, in bytes (S3 allows 5 MiB): large enough that a request's round trip costs little.
pub(super) const PART_LEAST: u64 = 8 * MIB;

/// Parts of one size that an object as large as estimated fills; some servers (R2) take only parts of one size.
const EVEN_PARTS: u32 = 5_000;
/// After those, how many parts have one size before it doubles.
const STEP: u32 = 500;
/// Bytes on their way at once, as long as a part is not larger than that.
const IN_FLIGHT: u64 = 256 * MIB;

/// The size in bytes of the part of this number (from 1). The estimate fills half of the parts that there may be; an object that
/// grows beyond it gets parts that double every [`STEP`], so that 5 TiB fit even if nothing was estimated.
pub(super) fn part_size(number: u32, estimate: Option<u64>) -> u64 {
    let even = estimate.unwrap_or(0).min(OBJECT_MOST).div_ceil(u64::from(EVEN_PARTS)).max(PART_LEAST).next_multiple_of(MIB);
    let doublings = number.saturating_sub(EVEN_PARTS).div_ceil(STEP).min(16);
    (even << doublings).min(PART_MOST)
}

/// How many parts of this size may be on their way at once, so that memory stays bounded when parts are large.
pub(super) fn at_once(size: u64, wanted: u8) -> usize {
    let room = usize::try_from(IN_FLIGHT / size.max(1)).unwrap_or(usize::MAX);
    room.clamp(1, usize::from(wanted.max(1)))
}

/// One part of a stream, in a buffer that goes back to its pool when the request is done with it.
pub(super) struct Part {
    pub(super) number: u32,
    pub(super) bytes: Bytes,
    /// The stream's verified end is behind it.
    pub(super) last: bool,
}

struct Owned(Chunk);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A stream being cut into parts, and digested on the way.
pub(super) struct Parts {
    body: Stream,
    estimate: Option<u64>,
    pool: Pool,
    /// Bytes pulled that are not in a part yet, and where they begin in their chunk.
    rest: Option<(Chunk, usize)>,
    next: u32,
    tally: Tally,
    crc: Digest,
}

/// What is known of a stream after its end.
pub(super) struct Sent {
    pub(super) bytes: u64,
    pub(super) sha256: String,
    /// CRC-64/NVME of all bytes.
    pub(super) crc: u64,
}

impl Parts {
    pub(super) fn of(body: Stream, estimate: Option<u64>) -> Self {
        let pool = Pool::new(usize::try_from(part_size(1, estimate)).unwrap_or(usize::MAX));
        Self { body, estimate, pool, rest: None, next: 1, tally: Tally::new(), crc: Digest::new(CrcAlgorithm::Crc64Nvme) }
    }

    /// The next part. It is full unless it is the last; only an empty stream has an empty one.
    pub(super) fn next(&mut self, cancel: &Cancel) -> Result<Part, StoreError> {
        let number = self.next;
        self.next += 1;
        let size = usize::try_from(part_size(number, self.estimate)).unwrap_or(usize::MAX);
        let mut buffer = self.pool.buffer();
        buffer.reserve_exact(size);
        // One chunk is looked at ahead, so that it is known of a full part whether it is the last.
        while self.look(cancel)? && buffer.len() < size {
            self.take(&mut buffer, size);
        }
        let bytes = Bytes::from_owner(Owned(self.pool.chunk(buffer)));
        Ok(Part { number, bytes, last: self.rest.is_none() })
    }

    /// Whether there are more bytes.
    fn look(&mut self, cancel: &Cancel) -> Result<bool, StoreError> {
        if self.rest.is_none() {
            cancel.check()?;
            if let Some(chunk) = self.body.pull()? {
                self.tally.add(&chunk);
                self.crc.update(&chunk);
                self.rest = Some((chunk, 0));
            }
        }
        Ok(self.rest.is_some())
    }

    fn take(&mut self, buffer: &mut Vec<u8>, size: usize) {
        let Some((chunk, from)) = self.rest.take() else { return };
        let until = chunk.len().min(from + size - buffer.len());
        buffer.extend_from_slice(&chunk[from..until]);
        if until < chunk.len() {
            self.rest = Some((chunk, until));
        }
    }

    /// Bytes pulled so far.
    pub(super) fn bytes(&self) -> u64 {
        self.tally.bytes()
    }

    /// The digests, after the last part.
    pub(super) fn finish(self) -> Sent {
        Sent { bytes: self.tally.bytes(), crc: self.crc.finalize(), sha256: self.tally.sha256() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Pull, StreamError};

    fn capacity(estimate: Option<u64>) -> u64 {
        (1..=PART_COUNT).map(|number| part_size(number, estimate)).sum()
    }

    #[test]
    fn five_tebibytes_fit_whatever_was_estimated() {
        for estimate in [None, Some(0), Some(1), Some(100 * 1024 * MIB), Some(OBJECT_MOST), Some(u64::MAX)] {
            assert!(capacity(estimate) >= OBJECT_MOST, "{estimate:?}");
        }
    }

    #[test]
    fn parts_never_shrink_and_stay_within_the_limits() {
        for estimate in [None, Some(1024 * 1024 * MIB), Some(u64::MAX)] {
            let sizes: Vec<u64> = (1..=PART_COUNT).map(|number| part_size(number, estimate)).collect();
            assert!(sizes.is_sorted() && sizes[0] >= PART_LEAST && *sizes.last().unwrap() <= PART_MOST, "{estimate:?}");
        }
    }

    #[test]
    fn an_object_as_estimated_has_parts_of_one_small_size() {
        assert_eq!(part_size(1, None), PART_LEAST);
        assert_eq!(part_size(EVEN_PARTS, None), PART_LEAST);
        assert_eq!(part_size(EVEN_PARTS + 1, None), 2 * PART_LEAST);
        let terabyte = 1024 * 1024 * MIB;
        assert_eq!(part_size(1, Some(terabyte)), 210 * MIB);
        assert!(part_size(1, Some(terabyte)) * u64::from(EVEN_PARTS) >= terabyte);
    }

    #[test]
    fn large_parts_go_one_at_a_time() {
        assert_eq!(at_once(PART_LEAST, 3), 3);
        assert_eq!(at_once(100 * MIB, 3), 2);
        assert_eq!(at_once(PART_MOST, 16), 1);
        assert_eq!(at_once(PART_LEAST, 0), 1);
    }

    struct Count(u8, usize);

    impl Pull for Count {
        fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
            if self.0 == 0 {
                return Ok(None);
            }
            self.0 -= 1;
            Ok(Some(vec![self.0; self.1].into()))
        }
    }

    fn cut(chunks: u8, size: usize) -> (Vec<usize>, u64) {
        let mut parts = Parts::of(Box::new(Count(chunks, size)), None);
        let mut lengths = Vec::new();
        loop {
            let part = parts.next(&Cancel::new()).unwrap();
            lengths.push(part.bytes.len());
            if part.last {
                return (lengths, parts.finish().bytes);
            }
        }
    }

    #[test]
    fn a_stream_is_cut_into_full_parts_and_the_last_is_known() {
        let least = usize::try_from(PART_LEAST).unwrap();
        assert_eq!(cut(0, 1), (vec![0], 0));
        assert_eq!(cut(1, 5), (vec![5], 5));
        assert_eq!(cut(2, least / 2), (vec![least], PART_LEAST), "exactly one part is the last part");
        assert_eq!(cut(3, least - 1), (vec![least, least, least - 3], 3 * PART_LEAST - 3));
        assert_eq!(cut(1, 2 * least + 1), (vec![least, least, 1], 2 * PART_LEAST + 1), "a chunk may be larger than a part");
    }
}
