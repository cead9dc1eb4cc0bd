//! An open connection: where the server is, and the password file for child processes.
//!
//! An embedded server lives as long as its connection. Nothing is dumped or restored here.

use std::path::Path;

use tokio::runtime::Handle;

use crate::postgres::{ConnInfo, ConnectionSpec, EmbeddedServer, Installed, PassFile, PgError, ScratchOptions};
use crate::secret::Secrets;
use crate::stream::Cancel;
use crate::stream::child::Program;

/// An open connection.
pub struct Connection {
    info: ConnInfo,
    passfile: PassFile,
    /// Keeps an embedded server alive.
    _embedded: Option<EmbeddedServer>,
}

impl Connection {
    /// Resolves a connection; an embedded one is started and seeded.
    pub(super) fn open(spec: &ConnectionSpec, secrets: &Secrets, parent: &Path, handle: &Handle, cancel: &Cancel) -> Result<Self, PgError> {
        let (info, embedded) = match spec {
            ConnectionSpec::Postgres(spec) => (ConnInfo::resolve(spec, secrets)?, None),
            ConnectionSpec::Embedded(spec) => {
                let options = ScratchOptions { parent: parent.to_owned(), ..ScratchOptions::default() };
                let embedded = EmbeddedServer::start(spec, Installed::here(), &options, handle, cancel)?;
                (embedded.conninfo(), Some(embedded))
            }
        };
        let passfile = PassFile::create(&info).map_err(|error| PgError::Scratch {
            doing: "writing the password file".to_owned(),
            detail: error.to_string(),
            log: String::new(),
        })?;
        Ok(Self { info, passfile, _embedded: embedded })
    }

    /// Where the server is.
    pub const fn info(&self) -> &ConnInfo {
        &self.info
    }

    /// A program that will talk to this server: the connection in its environment, the password in a file only it can read.
    pub fn program(&self, path: &Path) -> Program {
        self.info.equip(Program::new(path), &self.passfile)
    }

    /// The same for one server of this connection's, such as the one that knows a snapshot.
    pub fn program_at(&self, path: &Path, server: &ConnInfo) -> Program {
        server.equip(Program::new(path), &self.passfile)
    }
}
