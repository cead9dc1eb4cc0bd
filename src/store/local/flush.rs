//! Syncing a large file while it is still being written, so that the sync at its end finds little left to do.
//!
//! A dump's last bytes would otherwise wait for the disk to take all of them, while it stood idle before. The sync at the
//! end still decides; an error met here is kept for it, because the system reports it only once. This module does not write.

use std::fs::File;
use std::io;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};

/// After how many bytes the disk is set to work.
const STRIDE: u64 = 16 << 20;

/// Syncs a file now and then on a thread of its own.
pub(super) struct Flusher {
    file: File,
    unsynced: u64,
    thread: Option<(Sender<()>, JoinHandle<io::Result<()>>)>,
}

impl Flusher {
    /// A flusher of this file; a thread is started only if the file grows large.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Ok(Self { file: file.try_clone()?, unsynced: 0, thread: None })
    }

    /// Takes note of bytes written.
    pub(super) fn wrote(&mut self, bytes: u64) -> io::Result<()> {
        self.unsynced += bytes;
        if self.unsynced < STRIDE {
            return Ok(());
        }
        self.unsynced = 0;
        if self.thread.is_none() {
            let (wake, woken) = bounded::<()>(1);
            let file = self.file.try_clone()?;
            let sync = move || woken.iter().try_for_each(|()| file.sync_data());
            self.thread = Some((wake, std::thread::Builder::new().name("flush".to_owned()).spawn(sync)?));
        }
        if let Some((wake, _)) = &self.thread {
            // One sync is waiting already when the channel is full, and it will cover these bytes too.
            let _covered = wake.try_send(());
        }
        Ok(())
    }

    /// Syncs what is left; only then are all bytes on the disk.
    pub(super) fn finish(self) -> io::Result<()> {
        if let Some((wake, thread)) = self.thread {
            drop(wake);
            thread.join().map_err(|_| io::Error::other("the thread that syncs the file died"))??;
        }
        self.file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_large_file_is_synced_beside_its_writing_and_an_error_of_it_is_told() {
        let mut file = tempfile::tempfile().unwrap();
        let mut flusher = Flusher::of(&file).unwrap();
        let block = vec![7; 1 << 20];
        for _ in 0..40 {
            file.write_all(&block).unwrap();
            flusher.wrote(block.len() as u64).unwrap();
        }
        assert!(flusher.thread.is_some(), "40 MiB are large");
        flusher.finish().unwrap();

        // A pipe can not be synced: the error must come out at the end.
        let (_reader, writer) = std::io::pipe().unwrap();
        let mut flusher = Flusher::of(&File::from(std::os::fd::OwnedFd::from(writer))).unwrap();
        flusher.wrote(STRIDE).unwrap();
        assert!(flusher.finish().is_err());
    }
}
