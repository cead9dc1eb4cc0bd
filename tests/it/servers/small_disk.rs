//! A file system of a few megabytes, so that a disk that is full is really full.

#![expect(clippy::unwrap_used, reason = "a test server that does not start fails its test")]

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Set in the process that was started again inside a mount namespace of its own.
const INSIDE: &str = "RUNNER_TEST_INSIDE_NAMESPACE";

/// A mounted file system of limited size; dropped, it is unmounted.
pub(crate) struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one, and runs the test on it. Who may not mount runs the test again in a user namespace, where everybody may.
    pub(crate) fn run(test: &str, body: impl FnOnce(&Path)) {
        let folder = TempDir::new().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder.path()).status();
        if mounted.is_ok_and(|status| status.success()) {
            let disk = SmallDisk { folder };
            body(disk.folder.path());
        } else {
            assert!(std::env::var_os(INSIDE).is_none(), "a tmpfs can be mounted neither as this user nor in a user namespace: run as root");
            let mut again = Command::new("unshare");
            again.args(["--map-root-user", "--mount"]).arg(std::env::current_exe().unwrap());
            let again = again.args(["--exact", test, "--nocapture"]).env(INSIDE, "1").status().expect("unshare (Debian: util-linux)");
            assert!(again.success(), "the test failed inside a user namespace (or none can be made: run as root)");
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg(self.folder.path()).status();
    }
}
