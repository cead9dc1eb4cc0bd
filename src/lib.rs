//! `runner`: declarative, reviewable PostgreSQL backups with proof of restore.

pub mod diagnostic;
pub mod document;
pub mod ids;
pub mod postgres;
pub mod render;
pub mod secret;
pub mod store;
pub mod stream;

/// The command line.
pub mod cli {
    /// Runs the program.
    pub fn main() -> std::process::ExitCode {
        std::process::ExitCode::SUCCESS
    }
}
