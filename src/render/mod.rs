//! Words and JSON: what people and programs read.
//!
//! Pure functions from values to text; nothing here decides, prints or asks the terminal anything.

mod back;
pub mod catalog;
pub mod diagnostics;
pub mod doctor;
pub mod drift;
pub mod event;
pub mod graph;
mod markdown;
pub mod plan;
pub mod point;
pub mod points;
pub mod recover;
pub mod report;
pub mod retention;
pub mod runs;
pub mod status;
pub mod style;
pub mod summary;
