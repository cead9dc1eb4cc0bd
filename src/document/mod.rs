//! From text to a checked tree with spans.
