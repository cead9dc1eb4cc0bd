//! The way back into a database that is thrown away afterwards: a server of its own, or a temporary database on one that runs.
//!
//! Nothing here touches a database that anybody else uses.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::load::{Load, Ready, major, note, on_major, one_a_core, stage};
use super::recovery::in_words;
use super::work::RestoreScratch;
use super::{AcceptSink, Cx, StepError, Upstream};
use crate::diagnostic::Class;
use crate::postgres::facts::DatabaseLocale;
use crate::postgres::fingerprint::{Early, Live, SLICE};
use crate::postgres::{Client, ConnInfo, Installed, PgError, ScratchOptions, ScratchServer, TempDatabase, quote};
use crate::quantity::Duration;
use crate::runtime::{Connection, Scratch};
use crate::store::manifest::{Level, Locale, Origin};
use crate::stream::digest::{Algorithm, Digester};
use crate::stream::{Cancel, Chunk, Pull, Stopper, Stream, StreamError, fused};

/// The database restored into, on a scratch server.
const DATABASE: &str = "restored";

impl AcceptSink for RestoreScratch {
    fn accept(&self, input: Stream, upstream: &mut dyn Upstream, cx: &Cx<'_>, sent: &dyn Fn(u64)) -> Result<(), StepError> {
        let artifact = super::way_back::artifact(&self.artifact, cx)?;
        let (scratch, archive) = self.at_once(&artifact.origin, input, cx)?;
        let load = Load::new(&artifact.origin, place(&scratch), self.jobs(), cx)?;
        let load = load.with(Vec::new(), self.major(&artifact.origin))?;
        let loaded = self.reading(&artifact.origin, &scratch, cx, || load.load_ready(archive));
        loaded.map_err(|error| StepError { message: on_major(cx.step, error.message), ..error })?;
        upstream.settle()?;
        sent(artifact.origin.bytes);
        note(cx, cx.step, |verification| {
            verification.level = verification.level.max(Level::Decoded);
            cx.reports.note(in_words(&verification.loaded(artifact.origin.bytes, self.objective.map(Duration::std))));
        });
        Ok(())
    }
}

/// Ends the reading beside a load however the load ends: a defect in it must not leave somebody who reads for ever.
struct Ends<'a>(&'a Cancel);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.cancel("everything is loaded", false);
    }
}

/// A stream that ends, with an error, once nobody has use for it.
struct Until {
    input: Stream,
    given_up: Arc<AtomicBool>,
}

impl Pull for Until {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(StreamError::Cancelled { reason: "there is no place to restore to".to_owned(), transient: false });
        }
        self.input.pull()
    }

    fn stopper(&self) -> Option<Stopper> {
        self.input.stopper()
    }
}

/// Where a verification restores to, for those who look at it afterwards.
pub(super) fn place(scratch: &Scratch) -> ConnInfo {
    match scratch {
        Scratch::Server(server, database) => server.conninfo(database),
        Scratch::Database(database, _) => database.conninfo(),
    }
}

impl RestoreScratch {
    fn jobs(&self) -> u16 {
        self.jobs.unwrap_or_else(one_a_core)
    }

    fn major(&self, origin: &Origin) -> u16 {
        self.major.unwrap_or_else(|| major(origin))
    }

    /// The place is made while the archive is staged. Without a place the staging ends too, and the place's error is told.
    fn at_once(&self, origin: &Origin, input: Stream, cx: &Cx<'_>) -> Result<(Arc<Scratch>, Ready), StepError> {
        let given_up = Arc::new(AtomicBool::new(false));
        let input = fused(Until { input, given_up: Arc::clone(&given_up) });
        std::thread::scope(|scope| {
            let place = scope.spawn(|| {
                // A script that flows waits for its server.
                let _quiet = cx.reports.quiet();
                self.scratch(origin, cx).inspect_err(|_| given_up.store(true, Ordering::Relaxed))
            });
            let archive = stage(origin, input, cx);
            let died = |_| StepError::new(Class::Internal, "a defect in runner stopped the making of a scratch server");
            Ok((place.join().map_err(died)??, archive?.kept(cx.step, cx)))
        })
    }

    /// Loads; while that lasts, what is loaded already is read for the comparison, if the server is ours alone.
    fn reading(
        &self,
        origin: &Origin,
        scratch: &Scratch,
        cx: &Cx<'_>,
        load: impl FnOnce() -> Result<(), StepError>,
    ) -> Result<(), StepError> {
        let Scratch::Server(server, _) = scratch else { return load() };
        if !self.compares {
            return load();
        }
        let (info, loaded, encoding) = (place(scratch), Cancel::new(), origin.locale.as_ref().map_or("UTF8", |locale| &locale.encoding));
        let stopped = loaded.clone();
        let _on_cancel = cx.cancel.on_cancel(move || stopped.cancel("the run is stopped", false));
        let live = Live {
            info: &info,
            handle: cx.runtime.handle(),
            tools: server.tools(),
            jobs: NonZeroUsize::MIN,
            slice: SLICE,
            cancel: &loaded,
            early: None,
        };
        let (done, early) = std::thread::scope(|scope| {
            let early = scope.spawn(|| Early::read(&live, encoding));
            let ends = Ends(&loaded);
            let done = load();
            drop(ends);
            (done, early.join())
        });
        // One that died has read nothing that counts.
        if let Ok(early) = early {
            cx.runtime.keep_early(cx.step, early);
        }
        done
    }

    /// A fresh place for this attempt; that of an earlier attempt is removed.
    fn scratch(&self, origin: &Origin, cx: &Cx<'_>) -> Result<Arc<Scratch>, StepError> {
        cx.runtime.remove_scratch(cx.step);
        let scratch = Arc::new(match &self.server {
            Some(name) => temporary(cx.runtime.connection_within(name, cx.cancel)?, origin, cx)?,
            None => server(self.major(origin), origin, cx)?,
        });
        cx.runtime.keep_scratch(cx.step, Arc::clone(&scratch));
        Ok(scratch)
    }
}

/// A temporary database on a server that runs already.
fn temporary(connection: Arc<Connection>, origin: &Origin, cx: &Cx<'_>) -> Result<Scratch, StepError> {
    let (locale, id) = (locale(origin), database_id(cx));
    // One that is there is of a process that died over this very step of this very run.
    TempDatabase::clear(connection.info(), &id, cx.runtime.handle())?;
    let (database, remark) = TempDatabase::create(connection.info(), &id, locale.as_ref(), cx.runtime.handle())?;
    cx.reports.note_all(remark);
    Ok(Scratch::Database(database, connection))
}

/// What a temporary database of this step is named after: other steps of the run may use the same server.
pub(super) fn database_id(cx: &Cx<'_>) -> String {
    let mut step = Digester::new(Algorithm::Sha256);
    step.update(cx.step.as_str().as_bytes());
    // The whole name of a step can be longer than that of a database.
    format!("{}_{}", cx.runtime.facts.run.as_str().replace('-', "_").to_lowercase(), &step.hex()[..8])
}

/// A scratch server of a major, with the origin's roles and a database of its encoding and locale.
fn server(major: u16, origin: &Origin, cx: &Cx<'_>) -> Result<Scratch, StepError> {
    let handle = cx.runtime.handle();
    let tools = Installed::here().server(major).map_err(PgError::from)?;
    let parent = cx.runtime.scratch_parent().to_owned();
    let options = ScratchOptions { parent, needs_bytes: Some(origin.bytes), ..ScratchOptions::default() };
    let superuser = options.superuser.clone();
    let server = ScratchServer::start(tools, &options, cx.cancel)?;
    let client = Client::connect(&server.conninfo("postgres"), handle)?;
    for role in origin.roles.iter().filter(|role| **role != superuser) {
        client.batch(&format!("create role {}", quote::identifier(role)))?;
    }
    tablespaces(origin, &client)?;
    client.close();
    match locale(origin) {
        None => drop(server.create_database(DATABASE, handle)?),
        Some(locale) => {
            let (_, remark) = server.create_database_like(DATABASE, &locale, handle)?;
            cx.reports.note_all(remark);
        }
    }
    Ok(Scratch::Server(server, DATABASE.to_owned()))
}

/// The tablespaces that a script names, inside the scratch server's own folder; archives are restored without any.
fn tablespaces(origin: &Origin, client: &Client) -> Result<(), StepError> {
    if origin.format == "plain" && !origin.tablespaces.is_empty() {
        client.batch("set allow_in_place_tablespaces = on")?;
        for name in &origin.tablespaces {
            client.batch(&format!("create tablespace {} location ''", quote::identifier(name)))?;
        }
    }
    Ok(())
}

/// The encoding and locale of the dumped database.
pub(super) fn locale(origin: &Origin) -> Option<DatabaseLocale> {
    let Locale { encoding, collate, ctype, provider, locale } = origin.locale.clone()?;
    Some(DatabaseLocale { encoding, collate, ctype, provider, locale })
}
