//! PostgreSQL: connection facts, tools by version, throw-away servers.
//!
//! This module does not know steps or plans.

pub mod account;
pub mod conninfo;
pub mod passfile;
pub mod spec;
pub mod tools;

pub use conninfo::ConnInfo;
pub use passfile::PassFile;
pub use spec::ConnectionSpec;
