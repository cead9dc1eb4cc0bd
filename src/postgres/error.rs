//! What goes wrong with a PostgreSQL server, told so that the reader knows whom to ask.
//!
//! Whether trying again may help is decided here, where the server's answer is known. This module does not map to exit codes.

use std::error::Error as _;
use std::path::PathBuf;

use tokio_postgres::error::{ErrorPosition, SqlState};

use super::conninfo::{ConnInfo, ConnInfoError, Host};
use super::tools::PgToolError;
use crate::stream::StreamError;

/// How much of a statement an error repeats, in characters.
const STATEMENT_SHOWN: usize = 300;

/// Why talking to a server, or running one, failed.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// No server answers there.
    #[error("no PostgreSQL server answers at {server}: {detail}")]
    Unreachable {
        /// Where: `backup@db1:5432/orders`.
        server: String,
        /// What the system said.
        detail: String,
        /// Whether it may answer in a moment.
        transient: bool,
    },
    /// The server refuses this role, password or client.
    #[error("{server} refuses role {role:?} {}: {detail}", with_what(password.as_deref()))]
    Denied {
        /// Where.
        server: String,
        /// The role that was refused.
        role: String,
        /// Where the password came from (secret `name`), if one was given.
        password: Option<String>,
        /// What the server said.
        detail: String,
    },
    /// The server is starting, stopping or full.
    #[error("{server} can not answer now: {detail}")]
    Transient {
        /// Where.
        server: String,
        /// What the server said.
        detail: String,
    },
    /// The connection could not be secured as asked.
    #[error("the TLS connection to {server} failed: {detail}")]
    Tls {
        /// Where.
        server: String,
        /// What is wrong.
        detail: String,
    },
    /// The server refused a statement.
    #[error("{server}: {message} (SQLSTATE {state}){}", in_statement(statement))]
    Query {
        /// Where.
        server: String,
        /// The five-letter code (appendix A of PostgreSQL's documentation).
        state: String,
        /// The server's message with its detail and hint.
        message: String,
        /// The beginning of the statement; empty for the connection itself.
        statement: String,
        /// Where in the statement, in characters from 1, if the server knows.
        position: Option<usize>,
        /// Whether the server's code says that a new attempt may do.
        transient: bool,
    },
    /// The server runs but is not the kind that is wanted (`target_session_attrs`), or answers something unexpected.
    #[error("{server}: {detail}")]
    Unexpected {
        /// Where.
        server: String,
        /// What was expected and what came.
        detail: String,
    },
    /// Somebody else is at work there.
    #[error("{server}: {detail}")]
    Busy {
        /// Where.
        server: String,
        /// Who, and at what.
        detail: String,
    },
    /// The connection could not be worked out.
    #[error(transparent)]
    ConnInfo(#[from] ConnInfoError),
    /// No programs fit.
    #[error(transparent)]
    Tools(#[from] PgToolError),
    /// A program could not be run, failed, or was stopped.
    #[error("{doing}: {source}{}", log_tail(log))]
    Program {
        /// What was being done: `starting a scratch server`.
        doing: String,
        /// What happened.
        source: Box<StreamError>,
        /// The end of the server's log; empty if there is none.
        log: String,
    },
    /// A throw-away server can not be made here.
    #[error("{doing}: {detail}{}", log_tail(log))]
    Scratch {
        /// What was being done.
        doing: String,
        /// Why not, and what to do.
        detail: String,
        /// The end of the server's log; empty if there is none.
        log: String,
    },
    /// The seed file of an embedded server is not right.
    #[error("{}: {message}", seed_place(path, *line))]
    Seed {
        /// The file.
        path: PathBuf,
        /// The line, from 1, if psql named one.
        line: Option<usize>,
        /// What psql said.
        message: String,
    },
}

impl PgError {
    /// Whether trying again may help.
    pub fn transient(&self) -> bool {
        match self {
            Self::Unreachable { transient, .. } | Self::Query { transient, .. } => *transient,
            Self::Transient { .. } => true,
            Self::Program { source, .. } => source.transient(),
            _ => false,
        }
    }

    pub(super) fn scratch(doing: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::Scratch { doing: doing.into(), detail: detail.to_string(), log: String::new() }
    }

    pub(super) fn program(doing: impl Into<String>, source: StreamError) -> Self {
        Self::Program { doing: doing.into(), source: Box::new(source), log: String::new() }
    }
}

fn with_what(password: Option<&str>) -> String {
    password.map_or_else(|| "without a password".to_owned(), |origin| format!("with the password of {origin}"))
}

fn in_statement(statement: &str) -> String {
    if statement.is_empty() { String::new() } else { format!(" in: {statement}") }
}

fn log_tail(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!("; the server's log ends:\n{log}") }
}

fn seed_place(path: &std::path::Path, line: Option<usize>) -> String {
    line.map_or_else(|| path.display().to_string(), |line| format!("{}:{line}", path.display()))
}

/// One server in words: `backup@db1:5432/orders`.
pub(super) fn place(info: &ConnInfo, host: &Host) -> String {
    format!("{}@{host}/{}", info.user, info.database)
}

/// Judges a failed connection attempt.
pub(super) fn of_connecting(info: &ConnInfo, host: &Host, error: &tokio_postgres::Error) -> PgError {
    let server = place(info, host);
    if let Some(db) = error.as_db_error() {
        let refused = [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION, SqlState::INSUFFICIENT_PRIVILEGE];
        return if refused.contains(db.code()) { denied(info, server, said(db)) } else { of_answer(server, db, "") };
    }
    let detail = chain(error);
    match error.to_string().as_str() {
        "error performing TLS handshake" => PgError::Tls { server, detail },
        "invalid configuration" if detail.contains("password missing") => denied(info, server, NO_PASSWORD.to_owned()),
        "invalid configuration" | "authentication error" => denied(info, server, detail),
        _ if is_tls(error) => PgError::Tls { server, detail },
        _ => PgError::Unreachable { server, transient: !detail.contains("Name or service not known"), detail },
    }
}

const NO_PASSWORD: &str = "the server asks for one: write `password: { secret: name }` in the connection";

fn denied(info: &ConnInfo, server: String, detail: String) -> PgError {
    PgError::Denied { server, role: info.user.clone(), password: info.password.as_ref().map(|p| p.origin.clone()), detail }
}

/// Judges a statement that did not do.
pub(super) fn of_statement(server: &str, error: &tokio_postgres::Error, statement: &str) -> PgError {
    match error.as_db_error() {
        Some(db) => of_answer(server.to_owned(), db, statement),
        // A statement that can not even be sent, for example; the same happens to it next time.
        None if !is_lost(error) => PgError::Unexpected { server: server.to_owned(), detail: chain(error) },
        None => PgError::Transient { server: server.to_owned(), detail: format!("the connection was lost: {}", chain(error)) },
    }
}

fn of_answer(server: String, db: &tokio_postgres::error::DbError, statement: &str) -> PgError {
    let position = match db.position() {
        Some(ErrorPosition::Original(position)) => usize::try_from(*position).ok(),
        _ => None,
    };
    judged(server, db.code().code(), said(db), statement, position)
}

/// Judges what a server said of a statement, by its code.
pub(super) fn judged(server: String, state: &str, message: String, statement: &str, position: Option<usize>) -> PgError {
    // Appendix A: class 08 connection exception, 53300 too many connections, 57P01..03 shutdown, crash, cannot connect now.
    if state.starts_with("08") || matches!(state, "53300" | "57P01" | "57P02" | "57P03") {
        return PgError::Transient { server, detail: message };
    }
    let statement = statement.trim().chars().take(STATEMENT_SHOWN).collect();
    // 40001 serialization failure, 40P01 deadlock, 55P03 lock not available.
    let transient = matches!(state, "40001" | "40P01" | "55P03");
    PgError::Query { server, state: state.to_owned(), message, statement, position, transient }
}

fn said(db: &tokio_postgres::error::DbError) -> String {
    let more = [db.detail(), db.hint()].into_iter().flatten().map(|text| format!("; {text}"));
    std::iter::once(db.message().to_owned()).chain(more).collect()
}

/// The causes below the outermost error, which only says what was being done.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if parts.last() != Some(&text) {
            parts.push(text);
        }
        cause = error.source();
    }
    if parts.is_empty() { error.to_string() } else { parts.join(": ") }
}

/// Whether there is no connection any more. The client tells only its words.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    error.is_closed() || error.to_string().starts_with("error communicating with the server")
}

/// Whether TLS itself broke a connection that was already up: a server rejects a client's certificate only then.
fn is_tls(error: &tokio_postgres::Error) -> bool {
    let io = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    io.and_then(std::io::Error::get_ref).is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}
