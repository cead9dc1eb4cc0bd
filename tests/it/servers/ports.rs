//! Ports for the servers of tests.
//!
//! Taken from below the range that the kernel hands out itself, so that no outgoing connection of another test gets one between the
//! moment it is chosen and the moment its server listens; each test process begins at a place of its own. Nothing is started here.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 10_000;
/// The kernel's own range begins at 32768 (`net.ipv4.ip_local_port_range`).
const COUNT: u32 = 22_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Ports nobody listens on now, each handed out once by this process.
pub(crate) fn free(count: usize) -> Vec<u16> {
    std::iter::repeat_with(candidate).filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).take(count).collect()
}

/// A port nobody listens on now.
pub(crate) fn one() -> u16 {
    free(1)[0]
}

fn candidate() -> u16 {
    // A stride that has nothing in common with the range spreads neighbouring processes over all of it.
    let start = std::process::id().wrapping_mul(101) % COUNT;
    let at = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
    u16::try_from(FIRST + at).unwrap_or(u16::MAX)
}
