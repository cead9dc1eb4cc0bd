//! The custom format, front to back: header, table of contents, blocks of data.
//!
//! Source: PostgreSQL `pg_backup_custom.c`. In a pipe the table of contents comes first and knows no positions, and the
//! blocks follow one after the other. Written to a file, it has the table of contents once more, with positions, over the first one, or
//! behind the blocks where the file was opened to append (`pg_dump > FILE` of 16 and later). This module does not seek.

mod blocks;
pub(super) mod positions;

use self::blocks::Blocks;
use super::contents::Contents;
use super::cursor::{Cursor, Stop, Widths};
use super::header::{Header, header};
use super::model::Fingerprint;
use super::toc::item;
use super::{Form, Reader, damaged};
use crate::stream::StreamError;

/// The most of a header or one entry that is kept while the rest of it comes, in bytes.
const LONGEST_ENTRY: usize = 256 * 1024 * 1024;

/// Reads a custom-format archive as it comes.
#[derive(Default)]
pub(super) struct Custom {
    stage: Stage,
    /// What could not be read yet because more bytes are needed.
    kept: Vec<u8>,
    /// How many bytes of the archive were read.
    position: u64,
    /// Where its table of contents begins.
    contents_at: u64,
}

#[derive(Default)]
enum Stage {
    #[default]
    Header,
    Count(Header),
    Entries(Header, Box<Contents>, i64),
    Blocks(Box<Blocks>),
}

impl Reader for Custom {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        if let Stage::Blocks(blocks) = &mut self.stage {
            return blocks.feed(bytes);
        }
        self.kept.extend_from_slice(bytes);
        let kept = std::mem::take(&mut self.kept);
        let mut at = 0;
        loop {
            if let Stage::Blocks(blocks) = &mut self.stage {
                return blocks.feed(&kept[at..]);
            }
            match self.step(&kept[at..]) {
                Ok(read) => (at, self.position) = (at + read, self.position + read as u64),
                Err(Stop::Damaged(error)) => return Err(error),
                Err(Stop::Short) => break,
            }
        }
        self.kept = kept;
        self.kept.drain(..at);
        if self.kept.len() > LONGEST_ENTRY {
            return Err(damaged("an entry of its table of contents is longer than any that pg_dump writes"));
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Fingerprint, StreamError> {
        match self.stage {
            Stage::Header if self.position == 0 && self.kept.is_empty() => Err(damaged("it is empty: pg_dump wrote nothing")),
            Stage::Header | Stage::Count(_) => Err(damaged("it ends inside its header")),
            Stage::Entries(..) => Err(damaged("it ends inside its table of contents")),
            Stage::Blocks(blocks) => blocks.finish(),
        }
    }
}

impl Custom {
    /// Reads one item of what comes before the data; answers its length.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        let mut cursor = Cursor::new(bytes, Widths { int: 4, offset: 8 });
        match &mut self.stage {
            Stage::Header => self.stage = Stage::Count(header(&mut cursor, Form::Custom)?),
            Stage::Count(header) => {
                cursor.widths = header.widths;
                let count = cursor.int()?;
                if count < 0 {
                    return Err(damaged(format_args!("its table of contents has {count} entries")).into());
                }
                self.contents_at = self.position;
                let contents = Box::new(Contents::new(header.facts.clone()));
                self.stage = Stage::Entries(header.clone(), contents, count);
            }
            Stage::Entries(header, contents, left) if *left > 0 => {
                cursor.widths = header.widths;
                contents.declare(item(&mut cursor, header)?)?;
                *left -= 1;
            }
            stage => {
                if let Stage::Entries(header, contents, _) = std::mem::take(stage) {
                    *stage = Stage::Blocks(Box::new(Blocks::new(*contents, header.widths, self.contents_at..self.position)));
                }
            }
        }
        Ok(cursor.read())
    }
}
