//! The stream's end: the archive is loaded into the database that was made for it.

use super::super::load::{Load, note, one_a_core};
use super::super::recovery::in_words;
use super::super::work::LoadTarget;
use super::super::{AcceptSink, Cx, StepError, Upstream};
use super::act::target;
use crate::postgres::Facts;
use crate::store::manifest::Level;
use crate::stream::Stream;

impl AcceptSink for LoadTarget {
    fn accept(&self, input: Stream, upstream: &mut dyn Upstream, cx: &Cx<'_>, sent: &dyn Fn(u64)) -> Result<(), StepError> {
        let artifact = super::super::way_back::artifact(&self.artifact, cx)?;
        let target = target(cx)?;
        // An attempt that failed has left things in it.
        if !target.is_empty()? {
            target.discard()?;
            cx.reports.note_all(target.create(super::super::scratch::locale(&artifact.origin).as_ref())?);
        }
        let place = target.restoring();
        let server = Facts::read(&place, cx.runtime.handle())?.major();
        let jobs = self.with.jobs.unwrap_or_else(one_a_core);
        Load::new(&artifact.origin, place, jobs, cx)?.with(self.with.options(), server)?.load(input)?;
        upstream.settle()?;
        sent(artifact.origin.bytes);
        note(cx, &self.artifact, |verification| {
            verification.level = Level::Decoded;
            cx.reports.note(in_words(&verification.loaded(artifact.origin.bytes, None)));
        });
        Ok(())
    }
}
