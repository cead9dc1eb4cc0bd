//! The roles and tablespaces of a restore point, made before its database is: owners and grants need them.
//!
//! What is there is left alone. No password hash is ever told. Nothing else is restored here.

use super::super::way_back::{Keys, text};
use super::super::work::RestoreWork;
use super::super::{Cx, StepError};
use crate::diagnostic::Class;
use crate::postgres::globals::{self, GlobalsError};
use crate::words::count;

/// The longest text of globals in bytes: some hundred thousand roles.
const LIMIT: usize = 64 << 20;

/// How many names a note lists.
const NAMED: usize = 20;

impl RestoreWork {
    /// Makes what is missing.
    pub(super) fn globals(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let none = || StepError::new(Class::Failed, "the restore point has no globals");
        let artifact = self.globals.as_ref().ok_or_else(none)?;
        let keys = Keys { identity: self.identity.as_ref(), passphrase: self.passphrase.as_ref() };
        let script = String::from_utf8(text(artifact, keys, LIMIT, cx)?)
            .map_err(|_| StepError::new(Class::Verification, format!("{} is no text", artifact.object.key)))?;
        let connection = cx.runtime.connection(&self.with.connection)?;
        let done = globals::restore(connection.info(), cx.runtime.handle(), &script).map_err(|error| match error {
            GlobalsError::Postgres(error) => {
                StepError::from(error).hint("making roles and tablespaces takes a superuser, and folders that are there")
            }
            other => StepError::new(Class::Failed, other.to_string()),
        })?;
        cx.reports.note_all(list("made", &done.made));
        cx.reports.note_all(list("left alone, because it is there:", &done.left));
        if done.granted > 0 {
            cx.reports.note(format!("{} of roles and rights", count(done.granted, "grant")));
        }
        Ok(())
    }
}

fn list(what: &str, names: &[String]) -> Option<String> {
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > NAMED { format!(" and {} more", names.len() - NAMED) } else { String::new() };
    (!names.is_empty()).then(|| format!("{what} {shown}{more}"))
}
