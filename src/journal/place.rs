//! Whether the lock of a journal tells all: on a disk that only one machine has mounted, whoever writes it has its lock, in whatever
//! container and under whatever host name. Over a network that is not certain. This file locks nothing.

use std::ffi::c_long;
use std::path::Path;

/// File systems on a disk of one machine (`linux/magic.h`, statfs(2)).
const OF_ONE_MACHINE: [c_long; 6] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0xf2f5_2010, // f2fs
    0x2fc1_2fc1, // zfs
    0x794c_7630, // overlayfs, the root of a container
];

/// Whether a file lies on such a disk.
pub(super) fn is_of_one_machine(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| OF_ONE_MACHINE.contains(&found.f_type))
}
