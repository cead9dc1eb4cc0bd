//! Runs a patch: all of it in one transaction, or nothing.
//!
//! The file's own `begin` and `commit` are what psql needs; here they only show that the file is whole. It may have been
//! edited, so whatever would end the transaction in the middle is refused. This module does not judge what a patch does.

use std::io::BufRead;
use std::time::Duration;

use tokio::runtime::Handle;

use super::split::Splitter;
use super::spool::failed;
use crate::postgres::client::Client;
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::tables::{TablesError, check, parsed};
use crate::stream::Cancel;

/// What a patch did to one table, with everything that triggers and foreign keys did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// The table with its schema, as SQL writes it.
    pub table: String,
    /// How many rows were inserted.
    pub inserted: u64,
    /// How many rows were updated.
    pub updated: u64,
    /// How many rows were deleted.
    pub deleted: u64,
}

/// What the server counted in this transaction so far.
const COUNTED: &str = "select pg_catalog.json_build_array(pg_catalog.quote_ident(schemaname) || '.' || pg_catalog.quote_ident(relname), \
    n_tup_ins, n_tup_upd, n_tup_del) from pg_catalog.pg_stat_xact_user_tables where n_tup_ins + n_tup_upd + n_tup_del > 0 order by schemaname, relname";

/// Words that begin statements which end, divide or leave the transaction.
const REFUSED: [&str; 10] = ["end", "abort", "rollback", "start", "savepoint", "release", "prepare", "copy", "call", "discard"];

/// Applies a patch in one transaction and answers what it did. If anything fails, nothing was changed (but for sequences, of which
/// values may have been taken, as ever).
///
/// A server that does not count (`track_counts = off`) answers no tables.
pub fn apply_patch(target: &ConnInfo, handle: &Handle, cancel: &Cancel, patch: &mut dyn BufRead) -> Result<Vec<Touched>, TablesError> {
    let mut client = Client::connect(target, handle)?;
    // The patch says how long each of its statements may take.
    client.limit_statements(Duration::ZERO)?;
    client.batch("begin")?;
    let done = run(&client, cancel, patch).and_then(|()| counted(&client)).and_then(|touched| {
        check(cancel, "applying a patch")?;
        client.batch("commit").map(|()| touched).map_err(TablesError::from)
    });
    if done.is_err() {
        // The error counts; the connection ends here anyway, and with it the transaction.
        let _ended = client.batch("rollback");
    }
    client.close();
    done
}

fn counted(client: &Client) -> Result<Vec<Touched>, TablesError> {
    let rows: Vec<(String, u64, u64, u64)> = parsed(client, COUNTED)?;
    let touched = |(table, inserted, updated, deleted)| Touched { table, inserted, updated, deleted };
    Ok(rows.into_iter().map(touched).collect())
}

/// How far a file is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    BeforeBegin,
    Inside,
    AfterCommit,
}

fn run(client: &Client, cancel: &Cancel, patch: &mut dyn BufRead) -> Result<(), TablesError> {
    let (mut splitter, mut place, mut line) = (Splitter::default(), Place::BeforeBegin, String::new());
    loop {
        line.clear();
        if patch.read_line(&mut line).map_err(failed("reading the patch"))? == 0 {
            break;
        }
        for statement in splitter.feed(&line) {
            check(cancel, "applying a patch")?;
            place = step(client, place, &statement.words, &statement.text)?;
        }
    }
    match place {
        Place::AfterCommit if splitter.at_end() => Ok(()),
        Place::AfterCommit => Err(refused("something that is no whole statement follows its commit")),
        _ => Err(refused("it ends before its commit, so it may have been cut short")),
    }
}

fn step(client: &Client, place: Place, words: &str, statement: &str) -> Result<Place, TablesError> {
    let first = words.split_whitespace().next().unwrap_or_default();
    match (place, words) {
        (_, "") => Ok(place),
        (Place::BeforeBegin, "begin") => Ok(Place::Inside),
        (Place::Inside, "commit") => Ok(Place::AfterCommit),
        (Place::AfterCommit, _) => Err(refused("a statement follows its commit")),
        _ if matches!(first, "begin" | "commit") || REFUSED.contains(&first) => {
            Err(refused(&format!("`{first}` can not stand in its one transaction")))
        }
        _ => client.batch(statement).map(|()| place).map_err(TablesError::from),
    }
}

fn refused(detail: &str) -> TablesError {
    TablesError::NotAPatch { detail: detail.to_owned() }
}
