//! An embedded database: a throw-away server, filled from a file, for quickstarts and tests of pipelines.
//!
//! This module does not know what the seed is about.

use std::path::{Path, PathBuf};

use tokio::runtime::Handle;

use super::conninfo::ConnInfo;
use super::error::PgError;
use super::passfile::PassFile;
use super::scratch::{ScratchOptions, ScratchServer};
use super::spec::EmbeddedSpec;
use super::tools::Installed;
use crate::stream::child::Program;
use crate::stream::file::read_file;
use crate::stream::{Cancel, Stream, StreamError};

/// A running embedded database; gone when dropped.
pub struct EmbeddedServer {
    server: ScratchServer,
    database: String,
}

impl EmbeddedServer {
    /// Starts a server of the wanted major (the newest installed one if none is), creates the database and runs the seed.
    ///
    /// A relative seed is taken from the current folder; `\i` in it from the seed's own.
    pub fn start(
        spec: &EmbeddedSpec,
        installed: &Installed,
        options: &ScratchOptions,
        handle: &Handle,
        cancel: &Cancel,
    ) -> Result<Self, PgError> {
        // Opened first: a file that is not there need not wait for a server.
        let seed = spec.seed.as_deref().map(|path| open_seed(path).map(|text| (path, text))).transpose()?;
        let tools = spec.version.map_or_else(|| installed.newest_server(), |major| installed.server(major))?;
        let server = ScratchServer::start(tools, options, cancel)?;
        let embedded = Self { server, database: spec.database.clone() };
        embedded.server.create_database(&embedded.database, handle)?;
        if let Some((path, text)) = seed {
            embedded.run_seed(path, text, cancel)?;
        }
        Ok(embedded)
    }

    /// How to connect to the database.
    pub fn conninfo(&self) -> ConnInfo {
        self.server.conninfo(&self.database)
    }

    /// The server.
    pub fn server(&self) -> &ScratchServer {
        &self.server
    }

    /// Stops the server and removes it.
    pub fn stop(self) -> Result<(), PgError> {
        self.server.stop()
    }

    fn run_seed(&self, seed: &Path, text: Stream, cancel: &Cancel) -> Result<(), PgError> {
        let doing = || format!("seeding from {}", seed.display());
        let io = |error: std::io::Error| PgError::Seed { path: seed.to_owned(), line: None, message: error.to_string() };
        let passfile = PassFile::create(&self.conninfo()).map_err(|error| PgError::scratch(doing(), error))?;
        let folder = seed.canonicalize().map_err(io)?.parent().map_or_else(PathBuf::new, Path::to_owned);
        let psql = Program::new(self.server.tools().tool("psql")).cwd(folder);
        let psql =
            self.conninfo().equip(psql, &passfile).env("PGCLIENTENCODING", "UTF8").env("PGOPTIONS", "-c client_min_messages=warning");
        // Through standard input the file need only be readable here; psql still counts its lines.
        let psql = psql.args(["-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        match psql.sink(text, cancel) {
            Ok(_) => Ok(()),
            Err(StreamError::Child { stderr, .. }) if !stderr.is_empty() => {
                let (line, message) = blame(&stderr);
                Err(PgError::Seed { path: seed.to_owned(), line, message })
            }
            Err(error) => Err(PgError::program(doing(), error)),
        }
    }
}

fn open_seed(path: &Path) -> Result<Stream, PgError> {
    read_file(path, None).map_err(|error| PgError::program("seeding an embedded database", error))
}

/// Reads `psql:<stdin>:12: ERROR:  …` into the line and the rest, without the prefix of every line.
fn blame(stderr: &str) -> (Option<usize>, String) {
    let mut first = None;
    let lines = stderr.lines().map(|line| {
        let located = line.strip_prefix("psql:<stdin>:").and_then(|rest| rest.split_once(": "));
        let Some((number, rest)) = located else { return line };
        if rest.starts_with("ERROR") || rest.starts_with("error") {
            first = first.or(number.parse().ok());
        }
        rest
    });
    let message = lines.collect::<Vec<_>>().join("\n");
    (first, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psqls_complaint_gives_the_line_of_the_error() {
        let said = "psql:<stdin>:3: NOTICE:  무시\npsql:<stdin>:12: ERROR:  relation \"주문\" does not exist\nLINE 1: insert";
        let (line, message) = blame(said);
        assert_eq!(line, Some(12));
        assert!(
            message.starts_with("NOTICE") && message.contains("ERROR:  relation \"주문\"") && !message.contains("<stdin>"),
            "{message}"
        );
        assert_eq!(blame("psql: error: connection failed").0, None);
    }
}
