//! One attempt at one node: its thread, its request to stop, its counts, its limits.
//!
//! A panic in a worker is a failure that is told, never a silence.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::diagnostic::Class;
use crate::event::StageBytes;
use crate::plan::Node;
use crate::runtime::Runtime;
use crate::step::{Again, Cx, Reports, StepError, Work};
use crate::stream::Cancel;
use crate::stream::meter::Meter;

use super::flow::{self, Meters};

/// An attempt that runs.
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) cancel: Cancel,
    pub(super) reports: Arc<Reports>,
    meters: Meters,
    began: Instant,
    quiet_since: Instant,
}

impl Attempt {
    /// An attempt that begins now.
    pub(super) fn new(node: &Node, number: u32) -> Self {
        let meters = match &node.work {
            Work::Flow(flow) => Meters::of(flow),
            Work::Effect(_) => Meters::default(),
        };
        let now = Instant::now();
        Self { number, cancel: Cancel::new(), reports: Arc::default(), meters, began: now, quiet_since: now }
    }

    /// The work, to be done on a thread of its own.
    pub(super) fn work<'a>(&self, node: &'a Node, runtime: &'a Runtime) -> impl FnOnce() -> Result<(), StepError> + Send + use<'a> {
        let (cancel, reports, meters) = (self.cancel.clone(), Arc::clone(&self.reports), self.meters.clone());
        move || {
            let act = || perform(node, runtime, &cancel, &reports, &meters);
            catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| Err(panicked(&*panic)))
        }
    }

    /// Counts so far; empty for effects that move no bytes.
    pub(super) fn counts(&self, node: &Node) -> Vec<StageBytes> {
        match &node.work {
            Work::Flow(flow) => flow::counts(flow, &self.meters),
            Work::Effect(_) => {
                let stage = |(what, meter): (&str, Meter)| StageBytes { stage: what.to_owned(), bytes: meter.bytes() };
                self.reports.meters().into_iter().map(stage).collect()
            }
        }
    }

    /// Asks the attempt to stop when it has passed a limit.
    pub(super) fn limit(&mut self, node: &Node) {
        if let Some(timeout) = node.timeout
            && self.began.elapsed() > timeout.std()
        {
            self.cancel.cancel(format!("the attempt took longer than its timeout of {timeout}"), true);
        }
        if self.reports.is_quiet() {
            self.quiet_since = Instant::now();
        }
        let idle = match node.work {
            Work::Flow(_) => flow::idle(&self.meters, &self.reports),
            // What counts no bytes does not stand still.
            Work::Effect(_) => self.reports.meters().iter().map(|(_, meter)| meter.idle()).min().unwrap_or_default(),
        };
        if idle.min(self.quiet_since.elapsed()) > node.stall.std() {
            self.cancel.cancel(format!("no bytes moved for {}", node.stall), true);
        }
    }
}

fn perform(node: &Node, runtime: &Runtime, cancel: &Cancel, reports: &Reports, meters: &Meters) -> Result<(), StepError> {
    let cx = |step| Cx { runtime, cancel, step, expected_bytes: node.expected_bytes, reports };
    let result = match &node.work {
        Work::Flow(flow) => flow::run(flow, &cx(&flow.source.step), meters),
        Work::Effect(effect) => effect.part.performer().perform(&cx(&effect.step)),
    };
    result.map_err(|error| match cancel.check() {
        Ok(()) => error,
        Err(reason) => stopped(error, reason.into(), node.work.again()),
    })
}

/// What failed because it was stopped is told as stopped, for that reason, and not as broken.
///
/// A limit that was passed is a reason to try again; but of what may have taken effect already, only the step itself knows whether it may.
fn stopped(own: StepError, reason: StepError, again: Again) -> StepError {
    if again == Again::IfAsked && reason.transient && !own.transient {
        return StepError { class: Class::Failed, transient: false, hint: own.hint, ..reason };
    }
    reason
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> StepError {
    let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    let message = format!("a defect in runner stopped this node: {}", words.unwrap_or_else(|| "it panicked".to_owned()));
    StepError::new(Class::Internal, message).hint("please report it; nothing of this node was published")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::StreamError;

    #[test]
    fn a_limit_does_not_repeat_what_says_that_it_may_have_taken_effect() {
        let limit = || StepError::from(StreamError::Cancelled { reason: "took longer".to_owned(), transient: true });
        let own = |transient| {
            StepError { transient, ..StepError::new(Class::Failed, "stopped half-way") }.hint("2 statements before it stay done")
        };
        let once = stopped(own(false), limit(), Again::IfAsked);
        assert_eq!((once.transient, once.class, once.message.as_str()), (false, Class::Failed, "cancelled: took longer"));
        assert_eq!(once.hint.as_deref(), Some("2 statements before it stay done"));
        assert!(stopped(own(true), limit(), Again::IfAsked).transient, "a program that its author lets run again");
        assert!(stopped(own(false), limit(), Again::Freely).transient, "a dump");
        let asked = StepError::from(StreamError::Cancelled { reason: "SIGTERM".to_owned(), transient: false });
        assert_eq!(stopped(own(false), asked, Again::IfAsked).class, Class::Cancelled);
    }
}
