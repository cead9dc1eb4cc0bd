//! Statements kept on disk until their turn comes.
//!
//! The head of a patch tells how many rows there are, and order follows foreign keys, so nothing can be written as it is
//! found. This module does not know what it keeps.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};

use crate::postgres::tables::TablesError;

/// Text in an unnamed temp file that goes with it.
pub(super) struct Spool {
    file: BufWriter<File>,
    /// How many rows the text is about.
    pub(super) rows: u64,
}

impl Spool {
    pub(super) fn new() -> Result<Self, TablesError> {
        let file = tempfile::tempfile().map_err(failed("making a temp file for the patch"))?;
        Ok(Self { file: BufWriter::new(file), rows: 0 })
    }

    /// Adds the text of one row.
    pub(super) fn push(&mut self, text: &str) -> Result<(), TablesError> {
        self.rows += 1;
        self.note(text)
    }

    /// Adds text that is no row.
    pub(super) fn note(&mut self, text: &str) -> Result<(), TablesError> {
        self.file.write_all(text.as_bytes()).map_err(failed("writing a temp file for the patch"))
    }

    /// Writes all of it somewhere.
    pub(super) fn pour(self, out: &mut dyn Write) -> Result<(), TablesError> {
        let mut file = self.file.into_inner().map_err(|error| failed("writing a temp file for the patch")(error.into_error()))?;
        file.rewind().map_err(failed("reading a temp file of the patch"))?;
        std::io::copy(&mut file, out).map(drop).map_err(failed("writing the patch"))
    }
}

/// Names what was being done with a file.
pub(super) fn failed(doing: &'static str) -> impl Fn(std::io::Error) -> TablesError {
    move |source| TablesError::File { doing, source }
}
