//! A database of our own on a server that runs already.
//!
//! Created for one run, dropped with it, and never an existing one. This module does not fill it.

use tokio::runtime::Handle;

use super::client::Client;
use super::conninfo::ConnInfo;
use super::create::create_database;
use super::error::PgError;
use super::facts::DatabaseLocale;
use super::quote::{identifier, literal};

/// The longest name of a database in bytes (`NAMEDATALEN - 1`); the server would cut a longer one silently.
const NAME_LIMIT: usize = 63;

/// What such a database says of itself.
const COMMENT: &str = "Made by runner for one restore and dropped after it; if no runner is at work, it can be dropped.";

/// A temp database; dropped with everything in it when the value is. Not to be dropped in async code.
pub struct TempDatabase {
    server: ConnInfo,
    name: String,
    handle: Handle,
    dropped: bool,
}

impl TempDatabase {
    /// Creates `runner_<id>` on a server, connecting to the database that `server` names to do so. With `like`, in that
    /// encoding and locale; if the server does not have it, the words say what took its place.
    ///
    /// A database of that name is an error and is left alone.
    pub fn create(server: &ConnInfo, id: &str, like: Option<&DatabaseLocale>, handle: &Handle) -> Result<(Self, Option<String>), PgError> {
        let name = format!("runner_{id}");
        if name.len() > NAME_LIMIT {
            let detail = format!("a database name is at most {NAME_LIMIT} bytes long, {name:?} is longer");
            return Err(PgError::scratch("creating a temp database", detail));
        }
        let client = Client::connect(server, handle)?;
        let note = create_database(&client, &name, like, None)?;
        // From here on it is ours to drop. Of several servers the one that was reached.
        let temp = Self { server: client.info().clone(), name, handle: handle.clone(), dropped: false };
        client.batch(&format!("comment on database {} is {}", identifier(&temp.name), literal(COMMENT)))?;
        client.close();
        Ok((temp, note))
    }

    /// Drops the database that a dead process left under this id, which must be of nobody else. One that says of itself that it is
    /// something else is left alone.
    pub fn clear(server: &ConnInfo, id: &str, handle: &Handle) -> Result<(), PgError> {
        let name = format!("runner_{id}");
        let client = Client::connect(server, handle)?;
        let found = client.query_one_text(&format!(
            "select coalesce(pg_catalog.shobj_description(oid, 'pg_database'), '') from pg_catalog.pg_database where datname = {}",
            literal(&name)
        ))?;
        // A process that died right behind the making had no time for the comment.
        if found.is_some_and(|comment| comment.is_empty() || comment == COMMENT) {
            client.batch(&format!("drop database if exists {} with (force)", identifier(&name)))?;
        }
        client.close();
        Ok(())
    }

    /// How to connect to it.
    pub fn conninfo(&self) -> ConnInfo {
        self.server.with_database(&self.name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Drops it, whoever is connected to it.
    pub fn remove(mut self) -> Result<(), PgError> {
        self.drop_database()
    }

    fn drop_database(&mut self) -> Result<(), PgError> {
        if std::mem::replace(&mut self.dropped, true) {
            return Ok(());
        }
        let client = Client::connect(&self.server, &self.handle)?;
        // WITH (FORCE) ends sessions that a killed restore may have left (PostgreSQL 13 and later).
        let done = client.batch(&format!("drop database if exists {} with (force)", identifier(&self.name)));
        client.close();
        done
    }
}

impl Drop for TempDatabase {
    fn drop(&mut self) {
        // `remove` reports; here nobody is left to tell, and the database's comment says that it can go.
        let _told = self.drop_database();
    }
}
