//! Why a notification was not delivered.
//!
//! Errors name the channel and the host, never a URL's path, a header or a key. This module does not decide exit codes.

use std::path::PathBuf;

use crate::diagnostic::Class;
use crate::secret::SecretError;
use crate::stream::StreamError;

/// Why a notification was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// A secret that the channel needs could not be opened.
    #[error("{channel}: {source}")]
    Secret {
        /// The channel, such as `slack`.
        channel: &'static str,
        /// Why not.
        source: SecretError,
    },
    /// Something in the parameters, or in the value of a secret, can not be used.
    #[error("{channel}: {field} {problem}")]
    Setup {
        /// The channel.
        channel: &'static str,
        /// The parameter.
        field: String,
        /// What is wrong with it; never the value of a secret.
        problem: String,
    },
    /// The server could not be talked to.
    #[error("{channel}: {host}: {detail}{}", after(*tries))]
    Unreachable {
        /// The channel.
        channel: &'static str,
        /// The server's host and port.
        host: String,
        /// What the system said.
        detail: String,
        /// How many times it was tried.
        tries: u32,
        /// Whether trying again later may help; a bad certificate does not go away.
        retryable: bool,
    },
    /// The server is busy or broken, and stayed so.
    #[error("{channel}: {host} answered {said}{}", after(*tries))]
    Busy {
        /// The channel.
        channel: &'static str,
        /// The server's host and port.
        host: String,
        /// The status and an excerpt of the answer.
        said: String,
        /// How many times it was tried.
        tries: u32,
    },
    /// The server does not want this notification.
    #[error("{channel}: {host} refused it: {said}")]
    Refused {
        /// The channel.
        channel: &'static str,
        /// The server's host and port.
        host: String,
        /// The status and an excerpt of the answer.
        said: String,
        /// Whether the key, user or password was refused.
        denied: bool,
    },
    /// A file could not be read or appended to.
    #[error("{doing} {path}: {source}")]
    File {
        /// `appending to` or `reading`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody asked to stop before it was delivered.
    #[error(transparent)]
    Cancelled(StreamError),
}

impl NotifyError {
    /// What kind of end this is.
    pub fn class(&self) -> Class {
        match self {
            Self::Secret { .. } | Self::Refused { denied: true, .. } => Class::Denied,
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => Class::Denied,
            Self::Unreachable { .. } => Class::Unreachable,
            Self::Busy { .. } => Class::Transient,
            Self::Cancelled(_) => Class::Cancelled,
            Self::Setup { .. } | Self::Refused { .. } | Self::File { .. } => Class::Failed,
        }
    }

    /// Whether trying again later may help.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unreachable { retryable, .. } => *retryable,
            Self::Busy { .. } => true,
            Self::Cancelled(reason) => reason.transient(),
            _ => false,
        }
    }
}

fn after(tries: u32) -> String {
    if tries > 1 { format!(" (tried {tries} times)") } else { String::new() }
}
