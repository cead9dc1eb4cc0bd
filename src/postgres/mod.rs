//! PostgreSQL: connection facts, tools by version, throw-away servers.
//!
//! This module does not know steps or plans.

pub mod account;
pub mod client;
pub mod conninfo;
pub mod error;
pub mod passfile;
pub mod quote;
pub mod spec;
mod tls;
pub mod tools;

pub use client::Client;
pub use conninfo::ConnInfo;
pub use error::PgError;
pub use passfile::PassFile;
pub use spec::ConnectionSpec;
