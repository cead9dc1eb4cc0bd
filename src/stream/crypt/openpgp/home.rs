//! A `gpg` home for one use, and secrets handed to `gpg` without a file.
//!
//! This module does not read keys; `gpg` does.

use std::io::{self, PipeReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::key_error;
use crate::stream::child::{Program, transient};
use crate::stream::owned::{IN_MEMORY, OwnedFolder};
use crate::stream::{Cancel, StreamError};

/// How long stopping the home's agent may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// A `gpg` home that is removed with everything in it, its agent included, when dropped.
pub(super) struct Home {
    folder: OwnedFolder,
}

impl Home {
    pub(super) fn new() -> Result<Self, StreamError> {
        // In memory: imported private keys never reach a disk where that can be had.
        let in_memory = OwnedFolder::create("gpg", Path::new(IN_MEMORY));
        let folder = in_memory.or_else(|_| OwnedFolder::create("gpg", &std::env::temp_dir()));
        let failed = |error| StreamError::io("making a folder for gpg's keys", &error);
        Ok(Self { folder: folder.map_err(failed)? })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `gpg` in this home, never asking anybody, its status among what it says.
    pub(super) fn gpg(&self) -> Program {
        let quiet = ["--batch", "--no-tty", "--no-options", "--no-auto-key-locate", "--display-charset", "utf-8"];
        self.program("gpg").args(quiet).args(["--status-fd", "2"])
    }

    fn program(&self, name: &str) -> Program {
        let speak = Program::new(name).env_remove("LC_ALL").env_remove("LANGUAGE").env("LC_MESSAGES", "C");
        let alone = speak.env_remove("GNUPGHOME").env_remove("GPG_AGENT_INFO").transience(transient::NEVER);
        alone.arg("--homedir").arg(self.path())
    }

    /// Imports keys, handed over on standard input.
    pub(super) fn import(&self, keys: Vec<u8>, cancel: &Cancel) -> Result<(), StreamError> {
        let imported = self.gpg().arg("--import").stdin(keys).run(cancel).map_err(missing);
        match imported {
            Ok(_) => Ok(()),
            Err(StreamError::Child { .. }) => Err(key_error("this is no OpenPGP key, or it is damaged")),
            Err(other) => Err(other),
        }
    }

    fn stop_agent(&self) -> Result<(), StreamError> {
        let stop = self.program("gpgconf").args(["--kill", "all"]).spawn(&self.path().join("farewell.log"));
        stop?.wait_for(FAREWELL).map(|_| ())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // An agent that can not be told ends by itself when its home is gone.
        let _gone = self.stop_agent();
    }
}

/// Says which package is missing when the program is.
pub(super) fn missing(error: StreamError) -> StreamError {
    match error {
        StreamError::Spawn { program, detail } => {
            let detail = format!("{detail}; install GnuPG (package gnupg on Debian and Ubuntu, gnupg2 on Fedora)");
            StreamError::Spawn { program, detail }
        }
        other => other,
    }
}

/// A passphrase waiting in a pipe that `gpg` opens by its place in /proc: neither a file nor an argument holds it.
pub(super) struct Handed {
    pipe: PipeReader,
}

impl Handed {
    pub(super) fn new(passphrase: &str) -> Result<Self, StreamError> {
        if passphrase.contains(['\n', '\r']) {
            return Err(key_error("a passphrase can not contain a line break"));
        }
        let failed = |error: io::Error| StreamError::io("handing the passphrase to gpg", &error);
        let (pipe, mut end) = io::pipe().map_err(failed)?;
        // Far less than the pipe holds (64 KiB), or the writing would wait for the reader.
        if passphrase.len() > 4096 {
            return Err(key_error("a passphrase can not be longer than 4096 bytes"));
        }
        end.write_all(passphrase.as_bytes()).map_err(failed)?;
        Ok(Self { pipe })
    }

    /// Tells the program where to read it.
    pub(super) fn to(&self, program: Program) -> Program {
        let place: PathBuf = format!("/proc/{}/fd/{}", std::process::id(), self.pipe.as_raw_fd()).into();
        program.args(["--pinentry-mode", "loopback", "--passphrase-file"]).arg(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_gpg_names_the_package_to_install() {
        let started = Program::new("gpg-that-is-not-here").run(&Cancel::new()).map_err(missing);
        let error = started.unwrap_err().to_string();
        assert!(error.contains("in PATH; install GnuPG (package gnupg"), "{error}");
    }

    #[test]
    fn a_passphrase_that_gpg_would_cut_is_refused() {
        for passphrase in ["two\nlines", &"x".repeat(5000)] {
            assert!(matches!(Handed::new(passphrase), Err(StreamError::Key { .. })));
        }
    }
}
