//! The one map from what happened to exit codes.

use std::process::ExitCode;

use crate::diagnostic::Class;
use crate::event::Outcome;

/// How the program ends. The numbers are a public promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Anything without a code of its own.
    Other,
    /// The plan has changes, and `--detailed-exitcode` asked.
    Changes,
    /// A step failed.
    StepFailed,
    /// Data is not what it should be.
    Verification,
    /// Done, but a step whose failure is a warning failed.
    Warned,
    /// The plan no longer fits the world.
    Stale,
    /// Somebody else is at work on the same thing.
    Locked,
    /// An objective is missed.
    Missed,
    /// The program was used wrongly.
    Usage,
    /// A pipeline is invalid.
    Invalid,
    /// A file is not there.
    NoFile,
    /// A server, a tool or a store is not there.
    Unreachable,
    /// A defect of this program.
    Internal,
    /// It may work later.
    Transient,
    /// A secret is missing or permission is refused.
    Denied,
    /// Stopped by this signal.
    Signal(u8),
}

impl Exit {
    /// The code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Other => 1,
            Self::Changes => 2,
            Self::StepFailed => 10,
            Self::Verification => 11,
            Self::Warned => 12,
            Self::Stale => 13,
            Self::Locked => 14,
            Self::Missed => 20,
            Self::Usage => 64,
            Self::Invalid => 65,
            Self::NoFile => 66,
            Self::Unreachable => 69,
            Self::Internal => 70,
            Self::Transient => 75,
            Self::Denied => 77,
            Self::Signal(signal) => 128 + signal,
        }
    }

    /// The end that a class of failure means.
    pub const fn of_class(class: Class) -> Self {
        match class {
            Class::Failed => Self::StepFailed,
            Class::Verification | Class::Key => Self::Verification,
            Class::Unreachable => Self::Unreachable,
            Class::Denied => Self::Denied,
            Class::Locked => Self::Locked,
            Class::Stale => Self::Stale,
            Class::Transient => Self::Transient,
            Class::Internal => Self::Internal,
            Class::Cancelled => Self::Signal(2),
        }
    }

    /// The end that a failure with a file means.
    pub fn of_io(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Self::NoFile,
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => Self::Denied,
            _ => Self::Other,
        }
    }

    /// The end that a run's outcome means, its first failure at hand.
    pub const fn of_run(outcome: Outcome, class: Option<Class>, signal: u8) -> Self {
        match (outcome, class) {
            (Outcome::Done, _) => Self::Done,
            (Outcome::Warned, _) => Self::Warned,
            (Outcome::Cancelled, _) => Self::Signal(signal),
            (Outcome::Failed, Some(class)) => Self::of_class(class),
            (Outcome::Failed, None) => Self::StepFailed,
        }
    }

    /// Of several ends, the one to tell: a signal above all, for it left things undone; else the first that is not good, failures before
    /// warnings.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let rank = |exit: Self| match exit {
            Self::Done => 0,
            Self::Changes => 1,
            Self::Warned => 2,
            Self::Signal(_) => 4,
            _ => 3,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_ends_a_signal_is_told_and_else_the_first_failure() {
        let worst = |ends: &[Exit]| ends.iter().fold(Exit::Done, |exit, end| exit.worse(*end));
        assert_eq!(worst(&[Exit::StepFailed, Exit::Signal(2), Exit::Done]), Exit::Signal(2));
        assert_eq!(worst(&[Exit::Warned, Exit::Locked, Exit::StepFailed]), Exit::Locked);
        assert_eq!(worst(&[Exit::Done, Exit::Warned]), Exit::Warned);
    }
}
