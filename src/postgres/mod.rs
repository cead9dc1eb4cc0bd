//! PostgreSQL: connection facts, tools by version, throw-away servers.
//!
//! This module does not know steps or plans.

pub mod spec;

pub use spec::ConnectionSpec;
