//! Why a part of a node failed, classified where it is known: what kind of failure, and whether a new attempt may help.
//!
//! The command line maps the class to its exit code; nothing else looks into the message.

use crate::diagnostic::{Class, Failure};
use crate::postgres::PgError;
use crate::postgres::tables::TablesError;
use crate::runtime::OpenError;
use crate::secret::SecretError;
use crate::store::manifest::Fault;
use crate::store::recall::RecallError;
use crate::store::{Refusal, StoreError};
use crate::stream::StreamError;
use crate::template::TemplateError;

use super::notify::NotifyError;

/// Why a part of a node failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StepError {
    /// What kind of failure.
    pub class: Class,
    /// Whether a new attempt may help.
    pub transient: bool,
    /// What happened, naming object and operation.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl StepError {
    /// A failure that a new attempt would repeat.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, transient: false, message: message.into(), hint: None }
    }

    /// With what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, told as a failure of verification.
    #[must_use]
    pub fn verification(mut self) -> Self {
        if self.class == Class::Failed {
            self.class = Class::Verification;
        }
        self
    }

    /// As events tell it.
    pub fn failure(&self) -> Failure {
        Failure { class: self.class, message: self.message.clone(), hint: self.hint.clone() }
    }
}

impl From<StreamError> for StepError {
    fn from(error: StreamError) -> Self {
        let transient = error.transient();
        let class = match &error {
            StreamError::Corrupt { .. } => Class::Verification,
            StreamError::Key { .. } => Class::Key,
            StreamError::Spawn { .. } => Class::Unreachable,
            StreamError::Cancelled { transient: false, .. } => Class::Cancelled,
            StreamError::Io { denied: true, .. } => Class::Denied,
            // A thread of ours that went without a word.
            StreamError::Vanished { .. } => Class::Internal,
            StreamError::Child { stderr, .. } if refused(stderr) => Class::Denied,
            _ if transient => Class::Transient,
            _ => Class::Failed,
        };
        let waited = matches!(&error, StreamError::Child { stderr, .. } if stderr.contains("canceling statement due to statement timeout"));
        let hint =
            waited.then_some("another session holds a lock on a table (see pg_locks); try again later, or let `lock_timeout` be longer");
        Self { class, transient, message: error.to_string(), hint: hint.map(str::to_owned) }
    }
}

/// What a failure of this class says of what was being verified.
pub const fn fault(class: Class) -> Fault {
    match class {
        Class::Verification => Fault::Content,
        Class::Key => Fault::Key,
        _ => Fault::Elsewhere,
    }
}

/// Whether a PostgreSQL program was turned away: its words, in the C locale in which programs are run.
fn refused(stderr: &str) -> bool {
    ["password authentication failed", "permission denied", "no password supplied", "no pg_hba.conf entry"]
        .iter()
        .any(|words| stderr.contains(words))
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        let transient = error.transient();
        let (class, hint) = match error.cause() {
            StoreError::Stream(stream) => {
                let Self { class, hint, .. } = stream.clone().into();
                return Self { class, transient, message: error.to_string(), hint };
            }
            StoreError::Refused { kind: Refusal::Denied, .. } => {
                (Class::Denied, Some("check the credentials and rights of this host for the store"))
            }
            StoreError::Refused { kind: Refusal::Unreachable | Refusal::Down, .. } => (Class::Unreachable, None),
            StoreError::Refused { kind: Refusal::Transient, .. } => (Class::Transient, None),
            StoreError::Exists { .. } => (Class::Failed, Some("add {{ run.id }} to the key, so that each run has its own")),
            StoreError::Lost { .. } | StoreError::Changed { .. } => {
                (Class::Locked, Some("another run has the lease and goes on; `runner list` shows what it commits"))
            }
            StoreError::Missing { .. } | StoreError::Lies { .. } => (Class::Verification, None),
            // Among them a full store, whose words say already how to make room.
            _ => (Class::Failed, None),
        };
        Self { class, transient, message: error.to_string(), hint: hint.map(str::to_owned) }
    }
}

impl From<RecallError> for StepError {
    fn from(error: RecallError) -> Self {
        let class = match error {
            RecallError::Store(error) => return error.into(),
            RecallError::Manifest { .. } => Class::Verification,
            RecallError::Empty { .. } | RecallError::Absent { .. } | RecallError::Unclear { .. } | RecallError::Elsewhere { .. } => {
                Class::Failed
            }
        };
        Self::new(class, error.to_string()).hint("`runner list` shows the restore points there are")
    }
}

impl From<SecretError> for StepError {
    fn from(error: SecretError) -> Self {
        Self::new(Class::Denied, error.to_string())
    }
}

impl From<TemplateError> for StepError {
    fn from(error: TemplateError) -> Self {
        Self::new(Class::Failed, error.to_string())
    }
}

impl From<OpenError> for StepError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Undeclared(error) => Self::new(Class::Failed, error.to_string()),
            OpenError::Store(error) => error.into(),
            OpenError::Postgres(error) => error.into(),
        }
    }
}

impl From<NotifyError> for StepError {
    fn from(error: NotifyError) -> Self {
        Self { class: error.class(), transient: error.retryable(), message: error.to_string(), hint: None }
    }
}

impl From<PgError> for StepError {
    fn from(error: PgError) -> Self {
        let transient = error.transient();
        let class = match &error {
            PgError::Denied { .. } => Class::Denied,
            PgError::Program { source, .. } => Self::from((**source).clone()).class,
            PgError::Unreachable { .. } => Class::Unreachable,
            PgError::Busy { .. } => Class::Locked,
            _ if transient => Class::Transient,
            PgError::Tls { .. } | PgError::Tools(_) => Class::Unreachable,
            PgError::ConnInfo(_) => Class::Denied,
            _ => Class::Failed,
        };
        Self { class, transient, message: error.to_string(), hint: None }
    }
}

impl From<TablesError> for StepError {
    fn from(error: TablesError) -> Self {
        match error {
            TablesError::Postgres(error) => error.into(),
            TablesError::Unproven { .. } => Self::new(Class::Verification, error.to_string())
                .hint("a trigger that this role can not switch off may have changed rows: restore as the owner of the tables"),
            other => Self::new(Class::Failed, other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_went_without_a_word_is_a_defect() {
        assert_eq!(StepError::from(StreamError::Vanished { stage: "feeding" }).class, Class::Internal);
    }
}
