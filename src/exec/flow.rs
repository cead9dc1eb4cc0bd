//! One pass: a source, its filters and a sink become one chain of streams, each measured, heavy ones on threads of their own.
//!
//! The sink alone drives the chain by pulling. What each part learned is asked only after the verified end.

use std::time::Duration;

use crate::archive;
use crate::step::{AfterFilter, Cx, Flow, Opened, Reports, Settled, Stage, StepError, Upstream, Verdict};
use crate::store::manifest::{Applied, Origin};
use crate::stream::Stream;
use crate::stream::meter::{Meter, metered};
use crate::stream::prefetch;

/// How many chunks may wait between two threads.
const DEPTH: usize = 8;

/// The counts of a flow: after the source, after each stage, and what the sink has sent on.
#[derive(Clone, Default)]
pub(super) struct Meters {
    pub(super) source: Meter,
    pub(super) stages: Vec<Meter>,
    pub(super) sink: Meter,
}

impl Meters {
    /// Fresh meters for a flow.
    pub(super) fn of(flow: &Flow) -> Self {
        Self { stages: flow.stages.iter().map(|_| Meter::new()).collect(), ..Self::default() }
    }
}

/// What came before the sink, asked after the end.
struct Before<'a> {
    source: Option<(Origin, Option<archive::Handle>, Option<Verdict>)>,
    afters: Vec<AfterFilter>,
    meters: &'a Meters,
}

impl Upstream for Before<'_> {
    fn settle(&mut self) -> Result<Settled, StepError> {
        let gone = || StepError::new(crate::diagnostic::Class::Failed, "the stream was settled twice");
        let (origin, contents, complete) = self.source.take().ok_or_else(gone)?;
        let counted = std::mem::take(&mut self.afters).into_iter().zip(&self.meters.stages);
        let applied: Result<Vec<Option<Applied>>, StepError> = counted.map(|(after, meter)| after(meter.bytes())).collect();
        // A fetched artifact brings its origin's own count along.
        let bytes = if origin.bytes == 0 { self.meters.source.bytes() } else { origin.bytes };
        let (contents, completeness) = (contents.and_then(|handle| handle.get()), complete.and_then(|verdict| verdict.get()));
        Ok(Settled { origin: Origin { bytes, ..origin }, stages: applied?.into_iter().flatten().collect(), contents, completeness })
    }
}

/// Runs a flow to its end.
pub(super) fn run(flow: &Flow, base: &Cx<'_>, meters: &Meters) -> Result<(), StepError> {
    let source = &flow.source;
    through(flow, base, meters).map_err(|error| source.part.opener().explain(error, &Cx { step: &source.step, ..*base }))
}

fn through(flow: &Flow, base: &Cx<'_>, meters: &Meters) -> Result<(), StepError> {
    let cx = |step| Cx { step, ..*base };
    let Opened { stream, origin, contents, complete } = flow.source.part.opener().open(&cx(&flow.source.step))?;
    let mut stream: Stream = metered(stream, &meters.source);
    let mut afters = Vec::new();
    for (staged, meter) in flow.stages.iter().zip(&meters.stages) {
        let filter = staged.part.filter();
        let (wrapped, after) = filter.apply(stream, &cx(&staged.step))?;
        stream = metered(wrapped, meter);
        if filter.is_heavy() {
            stream = prefetch(stream, DEPTH, "filter");
        }
        afters.push(after);
    }
    let mut before = Before { source: Some((origin, contents, complete)), afters, meters };
    let sink = &flow.sink;
    sink.part.acceptor().accept(stream, &mut before, &cx(&sink.step), &|bytes| meters.sink.add(bytes))
}

/// The words for a flow's counts, source first.
pub(super) fn counts(flow: &Flow, meters: &Meters) -> Vec<crate::event::StageBytes> {
    let named = |stage: &str, meter: &Meter| crate::event::StageBytes { stage: stage.to_owned(), bytes: meter.bytes() };
    let stages = flow.stages.iter().zip(&meters.stages).map(|(staged, meter)| match &staged.part {
        Stage::Undo(undo) => named(&undo.what, meter),
        Stage::Apply(_) => named(staged.step.as_str(), meter),
    });
    std::iter::once(named(flow.source.step.as_str(), &meters.source)).chain(stages).chain([named("sent", &meters.sink)]).collect()
}

/// How long nothing has moved anywhere in a flow; nothing while it works on purpose without moving bytes, or has none left to move: a
/// store may take minutes to complete an object whose every byte it has.
pub(super) fn idle(meters: &Meters, reports: &Reports) -> Duration {
    let last = meters.stages.last().unwrap_or(&meters.source);
    if reports.is_quiet() || last.has_ended() && meters.sink.bytes() >= last.bytes() {
        return Duration::ZERO;
    }
    let all = [&meters.source, &meters.sink].into_iter().chain(&meters.stages);
    all.map(Meter::idle).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::bytes::stream_of;

    #[test]
    fn a_store_that_has_every_byte_may_take_its_time_and_one_that_lacks_some_may_not() {
        let meters = Meters { stages: vec![Meter::new()], ..Meters::default() };
        let mut stream = metered(stream_of("12345"), &meters.stages[0]);
        let is_idle = || {
            std::thread::sleep(Duration::from_millis(20));
            idle(&meters, &Reports::default()) >= Duration::from_millis(20)
        };
        stream.pull().unwrap();
        meters.sink.add(5);
        assert!(is_idle(), "more may come");
        assert!(stream.pull().unwrap().is_none() && !is_idle(), "every byte was sent");
        let unsent = Meters { sink: Meter::new(), ..meters.clone() };
        unsent.sink.add(4);
        std::thread::sleep(Duration::from_millis(20));
        assert!(idle(&unsent, &Reports::default()) >= Duration::from_millis(20), "one byte is still on its way");
    }
}
