//! PostgreSQL: connection facts, tools by version, throw-away servers, tables and rows from one database into another.
//!
//! This module does not know steps or plans.

pub mod account;
pub mod backup_log;
mod certificate;
pub mod client;
pub mod conninfo;
mod create;
pub mod embedded;
pub mod error;
pub mod facts;
pub mod fingerprint;
pub mod globals;
pub mod interrupt;
pub mod inventory;
pub mod passfile;
pub mod patch;
pub mod quote;
pub mod restored;
pub mod scratch;
pub mod script;
pub mod spec;
pub mod tables;
pub mod target;
pub mod temp_database;
mod tls;
pub mod tools;
pub mod transfer;

pub use client::Client;
pub use conninfo::ConnInfo;
pub use embedded::EmbeddedServer;
pub use error::PgError;
pub use facts::Facts;
pub use interrupt::Interrupt;
pub use passfile::PassFile;
pub use scratch::{ScratchOptions, ScratchServer};
pub use spec::ConnectionSpec;
pub use temp_database::TempDatabase;
pub use tools::{Installed, ToolSet};
