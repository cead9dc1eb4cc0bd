//! The validated model of a pipeline: typed, total, and free of loose ends.
//!
//! [`load`](load::load) is the only way to get one, and it answers with every problem at once or with a [`Pipeline`] in which each
//! reference resolves, each stream has its source and its one sink, and no step waits for itself. Secrets stay references.
//! This module reads no clock, no environment and no live thing.

mod check;
mod codes;
mod copies;
mod dataflow;
mod fusing;
mod keys;
pub mod load;
mod model;
pub mod schema;

pub use codes::CODES;
pub use copies::{copies_own, fewest, reached, source_of};
pub use dataflow::{ancestors, artifact_of};
pub use load::{Loaded, duplicate_names, load};
pub use model::{Chain, Concurrency, Defaults, Objectives, OnFailure, Pipeline, Retry, Schedule, SourceFacts, Step, When};
