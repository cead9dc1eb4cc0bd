//! The stream's end: the archive is loaded into the database that was made for it.

use std::time::Instant;

use super::super::load::{Load, note, one_a_core};
use super::super::work::LoadTarget;
use super::super::{AcceptSink, Cx, StepError, Upstream};
use super::act::target;
use crate::postgres::Facts;
use crate::store::manifest::Level;
use crate::stream::Stream;

impl AcceptSink for LoadTarget {
    fn accept(&self, input: Stream, upstream: &mut dyn Upstream, cx: &Cx<'_>, sent: &dyn Fn(u64)) -> Result<(), StepError> {
        let began = Instant::now();
        let origin = super::super::way_back::origin(&self.artifact, cx)?;
        let target = target(cx)?;
        // An attempt that failed has left things in it.
        if !target.is_empty()? {
            target.discard()?;
            cx.reports.note_all(target.create(super::super::scratch::locale(&origin).as_ref())?);
        }
        let place = target.restoring();
        let server = Facts::read(&place, cx.runtime.handle())?.major();
        let jobs = self.with.jobs.unwrap_or_else(one_a_core);
        Load::new(&origin, place, jobs, cx)?.with(self.with.options(), server)?.load(input)?;
        sent(upstream.settle()?.origin.bytes);
        note(cx, &self.artifact, |verification| {
            verification.level = Level::Decoded;
            verification.restore_took = Some(began.elapsed());
        });
        Ok(())
    }
}
