//! Words and JSON for people, terminals and other programs. Does not decide anything and does no I/O: it makes strings.

pub mod diagnostics;
