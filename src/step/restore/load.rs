//! The stream's end: the archive is loaded into the database that was made for it.

use super::super::load::{Load, note, one_a_core};
use super::super::recovery::in_words;
use super::super::work::LoadTarget;
use super::super::{AcceptSink, Cx, StepError, Upstream};
use super::act::target;
use crate::diagnostic::Class;
use crate::postgres::Facts;
use crate::postgres::target::Target;
use crate::runtime::Landed;
use crate::store::manifest::Level;
use crate::stream::Stream;

impl AcceptSink for LoadTarget {
    fn accept(&self, input: Stream, upstream: &mut dyn Upstream, cx: &Cx<'_>, sent: &dyn Fn(u64)) -> Result<(), StepError> {
        let origin = super::super::way_back::origin(&self.artifact, cx)?;
        let target = target(cx)?;
        let in_place = self.with.in_place();
        // An attempt that failed has left things in it.
        if !in_place && !target.is_empty()? {
            target.discard()?;
            cx.reports.note_all(target.create(super::super::scratch::locale(&origin).as_ref())?);
        }
        let place = if in_place { target.conninfo() } else { target.restoring() };
        let server = Facts::read(&place, cx.runtime.handle())?.major();
        let jobs = self.with.jobs.unwrap_or_else(one_a_core);
        let load = Load::new(&origin, place, jobs, cx)?.with(self.with.options(), server)?;
        if in_place {
            load.over().load(&self.artifact, input).map_err(untouched)?;
        } else {
            load.load(&self.artifact, input)?;
        }
        let settled = upstream.settle()?;
        // What was read of a dump that has no manifest.
        if let Some(contents) = settled.contents {
            cx.runtime.ledger(|ledger| ledger.fingerprints.insert(self.artifact.clone(), contents));
        }
        let bytes = settled.origin.bytes;
        sent(bytes);
        if in_place {
            landed(&target, cx);
        }
        note(cx, &self.artifact, |verification| {
            verification.level = Level::Decoded;
            cx.reports.note(in_words(&verification.loaded(bytes, None)));
        });
        Ok(())
    }
}

/// What is there was replaced: from here on applications see it.
fn landed(target: &Target, cx: &Cx<'_>) {
    let landed = Landed { database: target.database().to_owned(), place: target.conninfo().describe(), kept: None, dropped: false };
    cx.runtime.ledger(|ledger| ledger.landed = Some(landed));
}

fn untouched(error: StepError) -> StepError {
    const KEPT: &str = "it was one transaction: what was there is as it was";
    // The server's words, which pg_restore and psql repeat.
    let leaned_on = error.message.contains("other objects depend on it") || error.message.contains(super::super::over::LOST);
    let (class, hint) = match error.class {
        // Nothing is wrong with the archive.
        Class::Verification if leaned_on => {
            let more = "What the dump does not hold is never dropped: drop what depends on it yourself, or move it away, and make it again";
            (Class::Failed, format!("{KEPT}. {more}"))
        }
        class => (class, KEPT.to_owned()),
    };
    let error = StepError { class, ..error };
    if error.hint.is_some() { error } else { error.hint(hint) }
}
