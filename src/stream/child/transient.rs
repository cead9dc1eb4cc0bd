//! Which words on standard error mean that the same may work in a moment.
//!
//! This module does not retry; it answers one question about one text.

/// A table of signs. A sign is a list of pieces which one line must hold in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transience {
    /// Signs of what passes by itself.
    pub passes: &'static [&'static [&'static str]],
    /// Signs of what stays; one of these anywhere outweighs all others.
    pub stays: &'static [&'static [&'static str]],
}

/// What libpq and the PostgreSQL server say (untranslated; run the tools with `LC_MESSAGES=C`).
///
/// Source: the messages in PostgreSQL's `fe-connect.c`, `fe-misc.c`, `postmaster.c`, `postgres.c` and `proc.c`, and in `pg_dump`'s
/// `parallel.c`.
pub const POSTGRES: Transience = Transience {
    passes: &[
        &["could not connect to server"],
        &["connection to server ", " failed: Connection refused"],
        &["connection to server ", " failed: Connection timed out"],
        &["connection to server ", " failed: server closed the connection unexpectedly"],
        &["the database system is starting up"],
        &["the database system is shutting down"],
        &["terminating connection due to administrator command"],
        &["terminating connection because of crash of another server process"],
        &["server closed the connection unexpectedly"],
        &["SSL SYSCALL error: "],
        &["could not receive data from server: Connection "],
        &["too many clients"],
        &["remaining connection slots are reserved"],
        &["Temporary failure in name resolution"],
        // pg_dump turns off every statement timeout but the one for its locks (`--lock-wait-timeout`): somebody else held one.
        &["canceling statement due to statement timeout"],
        &["canceling statement due to lock timeout"],
        &["could not obtain lock on relation"],
        &["deadlock detected"],
        &["canceling statement due to conflict with recovery"],
    ],
    stays: &[
        &["password authentication failed"],
        &["no password supplied"],
        &["authentication failed for user"],
        &["no pg_hba.conf entry"],
        &["role ", " does not exist"],
        &["database ", " does not exist"],
        &["permission denied"],
    ],
};

/// Nothing is known to pass.
pub const NEVER: Transience = Transience { passes: &[], stays: &[] };

impl Transience {
    /// Whether what a program said is known to pass.
    pub fn judge(&self, said: &str) -> bool {
        let any = |signs: &[&[&str]]| said.lines().any(|line| signs.iter().any(|sign| holds(line, sign)));
        any(self.passes) && !any(self.stays)
    }
}

fn holds(mut line: &str, pieces: &[&str]) -> bool {
    pieces.iter().all(|piece| {
        let found = line.split_once(piece);
        line = found.map_or("", |(_, after)| after);
        found.is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_passes_and_a_wrong_password_stays() {
        let refused = r#"pg_dump: error: connection to server at "db1" (10.0.0.1), port 5432 failed: Connection refused"#;
        let password =
            r#"pg_dump: error: connection to server at "db1", port 5432 failed: FATAL:  password authentication failed for user "백업""#;
        assert!(POSTGRES.judge(refused));
        assert!(!POSTGRES.judge(password));
        assert!(!POSTGRES.judge(&format!("{refused}\n{password}")));
        assert!(POSTGRES.judge("FATAL:  sorry, too many clients already"));
        assert!(POSTGRES.judge("pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout"));
        assert!(!POSTGRES.judge("Connection refused by peer, connection to server"));
        assert!(!NEVER.judge(refused));
    }
}
