//! A file that grows by one record a run.
//!
//! This module does not rotate files.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::attempt::TRY_LIMIT;
use super::channel::{AppendFile, RecordFormat};
use super::error::NotifyError;
use super::facts::Facts;
use super::record::{Record, Text};
use crate::step::patience::within;
use crate::stream::Cancel;

impl AppendFile {
    /// Appends a record. A pipe that nobody reads, or a share that hangs, holds up neither the run nor whoever cancels it.
    pub(super) fn append(&self, text: &Text, facts: &Facts, cancel: &Cancel) -> Result<(), NotifyError> {
        let failed = |source| NotifyError::File { doing: "appending to", path: self.path.clone(), source };
        let (record, path) = (self.record(text, facts).map_err(failed)?, self.path.clone());
        let done = within(TRY_LIMIT, cancel, move || write(&path, &record)).map_err(NotifyError::Cancelled)?;
        let late = || Err(Error::new(ErrorKind::TimedOut, format!("it took nothing within {} s", TRY_LIMIT.as_secs())));
        done.unwrap_or_else(late).map_err(failed)
    }

    fn record(&self, text: &Text, facts: &Facts) -> Result<Vec<u8>, Error> {
        match self.format {
            RecordFormat::Json => {
                let mut line = serde_json::to_vec(&Record::new(text, facts))?;
                line.push(b'\n');
                Ok(line)
            }
            RecordFormat::Text => Ok(format!("{}\n{}\n\n", text.title, text.message).into_bytes()),
        }
    }
}

/// Adds a record in one write, so that two runs that append at once do not mix their lines. A new file is its owner's alone: errors may
/// tell more than everybody on the host should read.
fn write(path: &Path, record: &[u8]) -> Result<(), Error> {
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let written = file.write(record)?;
    if written < record.len() {
        return Err(Error::new(ErrorKind::WriteZero, format!("only {written} of {} bytes fit", record.len())));
    }
    match file.sync_data() {
        // What is no file on a disk, such as a pipe, has nothing to sync.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}
