//! The blocks of data that follow a custom-format archive's table of contents.
//!
//! Source: PostgreSQL `pg_backup_custom.c`: `_StartData`, `_CustomWriteFunc`, `_StartLOs`, `_StartLO`, `_readBlockHeader`. A
//! block is its type, the number of its entry and chunks with their lengths before them up to a length of 0; a block of
//! large objects holds the OID before each one's chunks and ends with the OID 0. This module does not keep any data.

use std::ops::Range;

use crate::archive::contents::{Contents, Data};
use crate::archive::cursor::{Widths, number};
use crate::archive::damaged;
use crate::archive::model::Fingerprint;
use crate::archive::rows::Rows;
use crate::stream::StreamError;

/// Block types: `BLK_DATA`, `BLK_BLOBS`.
pub(super) const BLOCK_DATA: u8 = 1;
pub(super) const BLOCK_OBJECTS: u8 = 3;

/// What comes next after the table of contents.
#[derive(Clone, Copy)]
enum Next {
    BlockType,
    BlockEntry,
    Length,
    ObjectOid,
    ObjectLength,
}

/// The blocks of data.
pub(super) struct Blocks {
    contents: Contents,
    widths: Widths,
    position: u64,
    next: Next,
    /// Where the block began, and its type.
    block: (u64, u8),
    entry: i64,
    data: Data,
    rows: Rows,
    /// How much of a chunk is still to come, in bytes.
    left: u64,
    /// The first bytes of a number that is not whole yet.
    part: [u8; 9],
    parts: usize,
    /// The length of the table of contents in bytes, and how much came behind the blocks, where it may stand once more.
    table: u64,
    behind: u64,
}

impl Blocks {
    /// Behind a table of contents that lies at these bytes.
    pub(super) fn new(contents: Contents, widths: Widths, table: Range<u64>) -> Self {
        Self {
            contents,
            widths,
            position: table.end,
            next: Next::BlockType,
            block: (0, 0),
            entry: 0,
            data: Data::Opaque,
            rows: Rows::default(),
            left: 0,
            part: [0; 9],
            parts: 0,
            table: table.end - table.start,
            behind: 0,
        }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.content(&bytes[..length]).map_err(|error| self.at(&error))?;
                bytes = self.passed(bytes, length);
                self.left -= length as u64;
            } else if matches!(self.next, Next::BlockType) && self.contents.complete() {
                bytes = self.once_more(bytes)?;
            } else if let Next::BlockType = self.next {
                self.block_type(bytes[0])?;
                bytes = self.passed(bytes, 1);
            } else if let Some(number) = self.number(&mut bytes)? {
                self.take(number).map_err(|error| self.at(&error))?;
            }
        }
        Ok(())
    }

    /// What follows the last block can only be the table of contents once more, which begins with a number above 0, so with its sign: 0.
    fn once_more<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], StreamError> {
        let begun = self.behind > 0 || bytes.first() == Some(&0);
        if !begun || self.behind + bytes.len() as u64 > self.table {
            return Err(self.followed());
        }
        self.behind += bytes.len() as u64;
        Ok(self.passed(bytes, bytes.len()))
    }

    fn followed(&self) -> StreamError {
        damaged(format_args!("something follows its end at byte {}", self.position - self.behind))
    }

    fn passed<'a>(&mut self, bytes: &'a [u8], length: usize) -> &'a [u8] {
        self.position += length as u64;
        &bytes[length..]
    }

    /// A number, which is nearly always whole.
    fn number(&mut self, bytes: &mut &[u8]) -> Result<Option<i64>, StreamError> {
        let width = 1 + self.widths.int;
        if self.parts == 0 && bytes.len() >= width {
            let found = number(&bytes[..width])?;
            *bytes = self.passed(bytes, width);
            return Ok(Some(found));
        }
        let more = (width - self.parts).min(bytes.len());
        self.part[self.parts..self.parts + more].copy_from_slice(&bytes[..more]);
        self.parts += more;
        *bytes = self.passed(bytes, more);
        if self.parts < width {
            return Ok(None);
        }
        self.parts = 0;
        number(&self.part[..width]).map(Some)
    }

    fn block_type(&mut self, found: u8) -> Result<(), StreamError> {
        let here = self.position;
        if !matches!(found, BLOCK_DATA | BLOCK_OBJECTS) {
            return Err(damaged(format_args!("at byte {here} a block of data should begin; its type is {found}, which there is not")));
        }
        (self.block, self.next) = ((here, found), Next::BlockEntry);
        Ok(())
    }

    fn take(&mut self, number: i64) -> Result<(), StreamError> {
        match self.next {
            Next::BlockType => {}
            Next::BlockEntry => self.begin(number)?,
            Next::Length | Next::ObjectLength => self.length(number)?,
            Next::ObjectOid => self.object(number)?,
        }
        Ok(())
    }

    fn begin(&mut self, entry: i64) -> Result<(), StreamError> {
        self.entry = entry;
        self.data = self.contents.begin(entry, self.block.0)?;
        self.next = match (self.block.1, self.data) {
            (BLOCK_OBJECTS, Data::Objects) => Next::ObjectOid,
            (BLOCK_DATA, Data::Rows | Data::Opaque) => Next::Length,
            _ => return Err(damaged("its block is not of the type that its entry asks for")),
        };
        Ok(())
    }

    fn length(&mut self, length: i64) -> Result<(), StreamError> {
        self.left = u64::try_from(length).map_err(|_| damaged(format_args!("a chunk of {length} bytes")))?;
        if length > 0 {
            return Ok(());
        }
        if let Next::ObjectLength = self.next {
            self.contents.objects.end();
            self.next = Next::ObjectOid;
            return Ok(());
        }
        self.next = Next::BlockType;
        if self.data == Data::Opaque {
            self.contents.passed_over(self.entry);
        } else {
            let found = std::mem::take(&mut self.rows).finish()?;
            self.contents.rows(self.entry, found);
        }
        Ok(())
    }

    /// An OID is written as a signed number of 32 bits.
    fn object(&mut self, oid: i64) -> Result<(), StreamError> {
        let oid = i32::try_from(oid).map(i32::cast_unsigned).or_else(|_| u32::try_from(oid));
        let oid = oid.map_err(|_| damaged("a large object's OID is larger than any"))?;
        if oid == 0 {
            self.next = Next::BlockType;
        } else {
            self.contents.objects.begin(oid);
            self.next = Next::ObjectLength;
        }
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        match self.data {
            Data::Rows => self.rows.feed(bytes)?,
            Data::Objects => self.contents.objects.feed(bytes),
            Data::Opaque => {}
        }
        Ok(())
    }

    /// Says where damage was noticed.
    fn at(&self, error: &StreamError) -> StreamError {
        let StreamError::Corrupt { detail, .. } = error else { return error.clone() };
        damaged(format_args!("{detail} ({}, near byte {})", self.contents.describe(self.entry), self.position))
    }

    pub(super) fn finish(self) -> Result<Fingerprint, StreamError> {
        if self.behind > 0 && self.behind != self.table {
            return Err(self.followed());
        }
        if matches!(self.next, Next::BlockType) {
            return self.contents.finish();
        }
        let inside = self.contents.describe(self.entry);
        Err(damaged(format_args!("it ends after {} bytes inside the data of {inside}", self.position)))
    }
}
