//! What the system's errors mean for a store in a folder. This module does not retry anything.

use rustix::io::Errno;

use crate::store::{Refusal, StoreError};

/// A refusal in the system's words, with what to do about it.
pub(super) fn of(store: String, doing: impl Into<String>, error: &std::io::Error) -> StoreError {
    let (kind, advice) = judge(Errno::from_io_error(error));
    StoreError::Refused { store, doing: doing.into(), detail: format!("{error}{advice}"), kind }
}

fn judge(errno: Option<Errno>) -> (Refusal, &'static str) {
    match errno {
        Some(Errno::ACCESS | Errno::PERM) => (Refusal::Denied, ": give the user that runs this the right to write there"),
        Some(Errno::ROFS) => (Refusal::Denied, ": mount it for writing"),
        Some(Errno::NOSPC | Errno::DQUOT) => (Refusal::Full, ""),
        Some(Errno::NOTDIR | Errno::LOOP) => {
            (Refusal::Unreachable, ": a file or a symbolic link stands where a folder must be; links inside a store are not followed")
        }
        Some(Errno::NOENT | Errno::NODEV | Errno::NXIO | Errno::NOTCONN) => (Refusal::Unreachable, ": is it mounted?"),
        Some(Errno::STALE | Errno::TIMEDOUT | Errno::INTR | Errno::AGAIN | Errno::BUSY) => (Refusal::Transient, ""),
        Some(Errno::FBIG) => (Refusal::Other, ": the file system or a limit (ulimit -f) forbids files this large"),
        _ => (Refusal::Other, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_has_a_kind_and_advice() {
        for (errno, kind) in [
            (Errno::ACCESS, Refusal::Denied),
            (Errno::NOSPC, Refusal::Full),
            (Errno::DQUOT, Refusal::Full),
            (Errno::NOTDIR, Refusal::Unreachable),
            (Errno::STALE, Refusal::Transient),
            (Errno::IO, Refusal::Other),
        ] {
            assert_eq!(judge(Some(errno)).0, kind, "{errno:?}");
        }
    }
}
