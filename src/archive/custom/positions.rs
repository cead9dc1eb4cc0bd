//! Positions for an archive that came through a pipe. Its table of contents says of no entry where its data lies, so `pg_restore` reads
//! the file from the front for each of them, every connection for itself; whoever has written it to a file can say it afterwards.
//!
//! Source: PostgreSQL `pg_backup_custom.c`: `_StartData`, `_PrintTocData`, `_PrepParallelRestore`, and `WriteOffset` of
//! `pg_backup_archiver.c`. `pg_restore` holds each position against what lies there. This module changes no stream, and what it can not
//! read it leaves as it is: an archive without positions is as good.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::LONGEST_ENTRY;
use super::blocks::{BLOCK_DATA, BLOCK_OBJECTS};
use crate::archive::cursor::{Cursor, Place, Stop, Widths};
use crate::archive::header::{Header, header};
use crate::archive::toc::item;
use crate::archive::{Form, damaged};
use crate::stream::{Chunk, Pull, Stopper, Stream, StreamError, fused};

/// The state of an offset that is set: `K_OFFSET_POS_SET`.
const SET: u8 = 2;

/// Bytes that belong at a position of the archive.
pub type Correction = (u64, Vec<u8>);

/// The bytes that are to be written over others, each at its place, once the stream has reached its verified end.
#[derive(Debug, Clone, Default)]
pub struct Positions(Arc<OnceLock<Vec<Correction>>>);

impl Positions {
    /// Position in the archive and what belongs there; nothing before the end, or if the archive has its positions or none can be told.
    pub fn corrections(&self) -> &[Correction] {
        self.0.get().map_or(&[], Vec::as_slice)
    }
}

/// Passes a custom-format archive on unchanged and looks where its data lies.
pub fn placing(archive: Stream) -> (Stream, Positions) {
    let positions = Positions::default();
    (fused(Placing { archive, walk: Some(Walk::default()), positions: positions.clone() }), positions)
}

struct Placing {
    archive: Stream,
    walk: Option<Walk>,
    positions: Positions,
}

impl Pull for Placing {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let chunk = self.archive.pull()?;
        self.walk = match (self.walk.take(), &chunk) {
            (Some(mut walk), Some(chunk)) => walk.feed(chunk).ok().map(|()| walk),
            (Some(walk), None) => {
                // There is one end.
                let _first = self.positions.0.set(walk.corrections());
                None
            }
            (None, _) => None,
        };
        Ok(chunk)
    }

    fn stopper(&self) -> Option<Stopper> {
        self.archive.stopper()
    }
}

#[derive(Default)]
struct Walk {
    stage: Stage,
    /// What could not be read yet because more bytes are needed.
    kept: Vec<u8>,
    /// How many bytes of the archive were read.
    position: u64,
    /// How many more are passed over.
    left: u64,
    /// Where the positions of entries belong, by entry, and the width of one in bytes.
    wanted: BTreeMap<i64, (u64, usize)>,
    /// Where their data begins, by entry.
    found: BTreeMap<i64, u64>,
}

#[derive(Default)]
enum Stage {
    #[default]
    Header,
    Count(Header),
    Entries(Header, i64),
    Blocks(Widths, Next),
}

#[derive(Clone, Copy)]
enum Next {
    Block,
    /// The entry of a block that began here and is of this type.
    Entry(u64, u8),
    /// The length of a chunk of rows.
    Chunk,
    Oid,
    /// The length of a chunk of a large object.
    Piece,
}

impl Walk {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        if self.kept.is_empty() {
            let read = self.read(bytes)?;
            self.kept.extend_from_slice(&bytes[read..]);
        } else {
            self.kept.extend_from_slice(bytes);
            let kept = std::mem::take(&mut self.kept);
            let read = self.read(&kept)?;
            self.kept = kept;
            self.kept.drain(..read);
        }
        if self.kept.len() > LONGEST_ENTRY { Err(damaged("an entry is too long")) } else { Ok(()) }
    }

    /// Reads what is whole; answers how much that was.
    fn read(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        let mut at = 0;
        while at < bytes.len() {
            let passed = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
            let read = if passed > 0 {
                self.left -= passed as u64;
                passed
            } else {
                match self.step(&bytes[at..]) {
                    Ok(read) => read,
                    Err(Stop::Short) => break,
                    Err(Stop::Damaged(error)) => return Err(error),
                }
            };
            at += read;
            self.position += read as u64;
        }
        Ok(at)
    }

    fn step(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        let mut cursor = Cursor::new(bytes, Widths { int: 4, offset: 8 });
        match &mut self.stage {
            Stage::Header => self.stage = Stage::Count(header(&mut cursor, Form::Custom)?),
            Stage::Count(header) => {
                cursor.widths = header.widths;
                let count = cursor.int()?;
                self.stage = Stage::Entries(header.clone(), count);
            }
            Stage::Entries(header, left) if *left > 0 => {
                cursor.widths = header.widths;
                let item = item(&mut cursor, header)?;
                if item.place == Place::Unknown {
                    let width = header.widths.offset;
                    self.wanted.insert(item.id, (self.position + (cursor.read() - 1 - width) as u64, width));
                }
                *left -= 1;
            }
            Stage::Entries(header, _) => self.stage = Stage::Blocks(header.widths, Next::Block),
            Stage::Blocks(widths, next) => {
                cursor.widths = *widths;
                let (after, left) = block(*next, &mut cursor, self.position, &mut self.found)?;
                (*next, self.left) = (after, left);
            }
        }
        Ok(cursor.read())
    }

    /// What is to be written over the table of contents; nothing if the archive ends inside a block.
    fn corrections(self) -> Vec<Correction> {
        let whole = matches!(self.stage, Stage::Blocks(_, Next::Block)) && self.kept.is_empty();
        let placed = |(entry, (at, width)): (&i64, &(u64, usize))| {
            let position = self.found.get(entry)?.to_le_bytes();
            // A position that does not fit can not be told.
            let (low, high) = position.split_at(*width);
            high.iter().all(|byte| *byte == 0).then(|| (*at, [&[SET], low].concat()))
        };
        if whole { self.wanted.iter().filter_map(placed).collect() } else { Vec::new() }
    }
}

/// Reads the next number of a block; answers what comes next and how many bytes are passed over before that.
fn block(next: Next, cursor: &mut Cursor<'_>, position: u64, found: &mut BTreeMap<i64, u64>) -> Result<(Next, u64), Stop> {
    let length = |number: i64| u64::try_from(number).map_err(|_| damaged("a chunk has a negative length"));
    Ok(match next {
        Next::Block => match cursor.byte()? {
            kind @ (BLOCK_DATA | BLOCK_OBJECTS) => (Next::Entry(position, kind), 0),
            // Behind the blocks only the table of contents may stand once more.
            _ => (Next::Block, u64::MAX),
        },
        Next::Entry(began, kind) => {
            found.insert(cursor.int()?, began);
            (if kind == BLOCK_DATA { Next::Chunk } else { Next::Oid }, 0)
        }
        Next::Oid if cursor.int()? == 0 => (Next::Block, 0),
        Next::Oid => (Next::Piece, 0),
        Next::Chunk | Next::Piece => match (length(cursor.int()?)?, next) {
            (0, Next::Piece) => (Next::Oid, 0),
            (0, _) => (Next::Block, 0),
            (more, _) => (next, more),
        },
    })
}
