//! `runner`: declarative, reviewable PostgreSQL backups with proof of restore.

pub mod archive;
pub mod cli;
pub mod diagnostic;
pub mod document;
pub mod event;
pub mod exec;
pub mod ids;
pub mod journal;
pub mod observe;
pub mod pipeline;
pub mod plan;
pub mod postgres;
pub mod quantity;
pub mod render;
pub mod runtime;
pub mod secret;
pub mod step;
pub mod store;
pub mod stream;
pub mod template;
