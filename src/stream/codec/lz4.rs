//! The LZ4 frame format.
//!
//! Source: <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>. This module does not read legacy frames'
//! dictionaries.

use std::io::BufRead as _;

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use crate::stream::reader::{Reader, Spill, Written, fill, unwrap_read};
use crate::stream::{CHUNK, Chunk, Pool, Pull, Stopper, Stream, StreamError, fused};

pub(super) fn compress(input: Stream) -> Stream {
    let spill = Spill::default();
    let info = FrameInfo::new().block_size(BlockSize::Max256KB).block_mode(BlockMode::Independent).content_checksum(true);
    let encoder = FrameEncoder::with_frame_info(info, spill.clone());
    fused(Written {
        layer: "lz4",
        input,
        writer: Some(encoder),
        finish: |encoder| Ok(encoder.finish().map(drop)?),
        spill,
        pool: Pool::new(CHUNK),
    })
}

struct Decompress {
    frame: Option<FrameDecoder<Reader>>,
    pool: Pool,
}

pub(super) fn decompress(input: Stream) -> Stream {
    fused(Decompress { frame: Some(FrameDecoder::new(Reader::new(input))), pool: Pool::new(CHUNK) })
}

impl Decompress {
    /// Goes on with the frame that follows, if any; the decoder may only be asked to begin one where there is one.
    fn next_frame(&mut self) -> Result<(), StreamError> {
        let Some(frame) = self.frame.take() else { return Ok(()) };
        let mut reader = frame.into_inner();
        if reader.ended() {
            // The decoder takes an end where a block should begin for the end of the frame.
            return Err(StreamError::corrupt("lz4", "the data ends in the middle of a frame"));
        }
        let more = !reader.fill_buf().map_err(|error| unwrap_read("lz4", &error))?.is_empty();
        self.frame = more.then(|| FrameDecoder::new(reader));
        Ok(())
    }
}

impl Pull for Decompress {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let Some(frame) = &mut self.frame else { return Ok(None) };
        let (chunk, over) = fill(frame, &self.pool).map_err(|error| unwrap_read("lz4", &error))?;
        if over {
            self.next_frame()?;
        }
        Ok(Some(chunk))
    }

    fn stopper(&self) -> Option<Stopper> {
        self.frame.as_ref().and_then(|frame| frame.get_ref().stopper())
    }
}
