//! A file that grows by one record a run.
//!
//! This module does not rotate files.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Write as _};

use super::channel::{AppendFile, RecordFormat};
use super::error::NotifyError;
use super::facts::Facts;
use super::record::{Record, Text};

impl AppendFile {
    /// Appends a record in one write, so that two runs that append at once do not mix their lines.
    pub(super) fn append(&self, text: &Text, facts: &Facts) -> Result<(), NotifyError> {
        let failed = |source| NotifyError::File { doing: "appending to", path: self.path.clone(), source };
        let record = self.record(text, facts).map_err(failed)?;
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).map_err(failed)?;
        match file.write(&record) {
            Ok(written) if written == record.len() => file.sync_data().map_err(failed),
            Ok(written) => Err(failed(Error::new(ErrorKind::WriteZero, format!("only {written} of {} bytes fit", record.len())))),
            Err(error) => Err(failed(error)),
        }
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
