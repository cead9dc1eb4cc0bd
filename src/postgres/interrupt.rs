//! Ending a session from outside, for whoever must not wait for its answer.
//!
//! The server is asked over a second connection, so that it works with every way to connect. This module does not decide
//! when.

use tokio::runtime::Handle;

use super::client::Client;
use super::conninfo::ConnInfo;
use super::error::PgError;

/// What it takes to end one session.
#[derive(Clone)]
pub struct Interrupt {
    info: ConnInfo,
    handle: Handle,
    session: String,
}

impl Interrupt {
    /// For this client's session; its role may always end its own.
    pub fn of(client: &Client, handle: &Handle) -> Result<Self, PgError> {
        let session = client.query_one_text("select pg_catalog.pg_backend_pid()")?.unwrap_or_default();
        Ok(Self { info: client.info().clone(), handle: handle.clone(), session })
    }

    /// Ends the session, on a thread of its own: what it was doing is rolled back, and its client is told.
    pub fn fire(&self) {
        let me = self.clone();
        // Where no thread can be had, the statement's own limit is left.
        let _unheard = std::thread::Builder::new().name("interrupt".into()).spawn(move || {
            if let Ok(client) = Client::connect(&me.info, &me.handle) {
                // A session that has ended by itself is what was wanted.
                let _gone = client.batch(&format!("select pg_catalog.pg_terminate_backend({})", me.session));
                client.close();
            }
        });
    }
}
