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

/// libpq's own (<https://www.postgresql.org/docs/current/libpq-envars.html>), but for those that hold a password or name the file of one.
const LIBPQ: [&str; 40] = [
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGREQUIREAUTH",
    "PGCHANNELBINDING",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSYSCONFDIR",
    "PGLOCALEDIR",
    "PGOPTIONS",
    "PGAPPNAME",
    "PGSSLMODE",
    "PGREQUIRESSL",
    "PGSSLNEGOTIATION",
    "PGSSLCOMPRESSION",
    "PGSSLCERTMODE",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGSSLROOTCERT",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLSNI",
    "PGREQUIREPEER",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMAXPROTOCOLVERSION",
    "PGGSSENCMODE",
    "PGGSSDELEGATION",
    "PGGSSLIB",
    "PGKRBSRVNAME",
    "PGCONNECT_TIMEOUT",
    "PGCLIENTENCODING",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
    "PGMINPROTOCOLVERSION",
    "PGMAXPROTOCOLVERSION",
    "PGDATESTYLE",
    "PGTZ",
    "PGGEQO",
];

/// Where Kerberos finds its tickets and keys, and git its repository and settings.
const PLACES: [&str; 11] = [
    "KRB5_CONFIG",
    "KRB5CCNAME",
    "KRB5_KTNAME",
    "KRB5_CLIENT_KTNAME",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_CEILING_DIRECTORIES",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
];

/// How the names of others begin: the locale, libfaketime. Nobody names a secret so; `PG` and `GIT_`, many do.
const PREFIXES: [&str; 2] = ["LC_", "FAKETIME"];

/// The variables of our environment that any program gets.
pub(super) fn inherited() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| passes(name))
}

fn passes(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let known = [NAMES.as_slice(), &LIBPQ, &PLACES].iter().any(|names| names.contains(&name));
    known || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_languages_pass_and_secrets_do_not() {
        for name in ["PATH", "LC_ALL", "LANG", "PGSSLMODE", "PGSERVICEFILE", "KRB5CCNAME", "GIT_DIR", "TMPDIR"] {
            assert!(passes(OsStr::new(name)), "{name}");
        }
        for name in ["AWS_SECRET_ACCESS_KEY", "ORDERS_PASSWORD", "PGPASSWORD", "PGPASSFILE", "SLACK_URL", "PATHS", ""] {
            assert!(!passes(OsStr::new(name)), "{name}");
        }
        // Names that teams give their own secrets.
        for name in ["PG_PASSWORD", "PGPASS", "PGCRYPTO_KEY", "PGBACKUP_TOKEN", "GIT_TOKEN", "GIT_ASKPASS", "KRB5_PASSWORD"] {
            assert!(!passes(OsStr::new(name)), "{name}");
        }
    }
}
