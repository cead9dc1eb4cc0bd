//! What a program inherits of our own environment: what it needs to run as its user expects, and none of the secrets that this
//! program was given in variables. This file sets nothing.

use std::ffi::{OsStr, OsString};

/// Variables that tell a program where it is, for whom it works and in which language.
const NAMES: [&str; 18] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "TZDIR",
    "LANG",
    "LANGUAGE",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GNUPGHOME",
    "XDG_RUNTIME_DIR",
    "CREDENTIALS_DIRECTORY",
];

/// How the names of others begin: the locale, Kerberos, libfaketime, git's own, PostgreSQL's own.
const PREFIXES: [&str; 5] = ["LC_", "KRB5", "FAKETIME", "GIT_", "PG"];

/// What begins so and is a secret all the same.
const NEVER: [&str; 2] = ["PGPASSWORD", "PGPASSFILE"];

/// The variables of our environment that any program gets.
pub(super) fn inherited() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| passes(name))
}

fn passes(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !NEVER.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_languages_pass_and_secrets_do_not() {
        for name in ["PATH", "LC_ALL", "LANG", "PGSSLMODE", "KRB5CCNAME", "TMPDIR"] {
            assert!(passes(OsStr::new(name)), "{name}");
        }
        for name in ["AWS_SECRET_ACCESS_KEY", "ORDERS_PASSWORD", "PGPASSWORD", "PGPASSFILE", "SLACK_URL", "PATHS", ""] {
            assert!(!passes(OsStr::new(name)), "{name}");
        }
    }
}
