//! What of a node's work outlives the process that does it, and whether it may be begun once more by another.
//!
//! A resumed run is decided on from these answers, so that whoever decides knows no kind. This file decides nothing about a run.

use super::work::PlacedUpload;
use super::{Effect, Sink, Touch, Work};
use crate::ids::StepId;

/// Whether work that was begun, and of which nobody knows how far it came, may be begun again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It does no harm: it starts from nothing, or finds what is done already.
    Freely,
    /// It may have changed something outside the stores: only whoever looked there can say.
    IfAsked,
    /// It works in a database that stays, by parts that belong together.
    Never,
}

impl Work {
    /// The steps under which it keeps what it does in the ledger.
    pub fn steps(&self) -> Vec<&StepId> {
        match self {
            Self::Flow(flow) => {
                let stages = flow.stages.iter().map(|stage| &stage.step);
                std::iter::once(&flow.source.step).chain(stages).chain([&flow.sink.step]).collect()
            }
            Self::Effect(effect) => vec![&effect.step],
        }
    }

    /// The step in whose name it works in a place that ends with the process: a scratch server, a lock. Works of one place end together,
    /// or are all done again. `None` where what it makes outlives the process.
    pub fn place(&self) -> Option<&StepId> {
        match self {
            Self::Flow(flow) => match &flow.sink.part {
                Sink::Upload(_) => None,
                Sink::Restore(_) => Some(&flow.sink.step),
                Sink::Load(load) => Some(&load.artifact),
            },
            Self::Effect(effect) => match &effect.part {
                Effect::Check(_) | Effect::Finish(_) => Some(&effect.step),
                Effect::Restore(work) => Some(&work.artifact),
                _ => None,
            },
        }
    }

    /// Whether it may be begun again.
    pub fn again(&self) -> Again {
        match self {
            Self::Flow(flow) if matches!(flow.sink.part, Sink::Load(_)) => Again::Never,
            Self::Flow(_) => Again::Freely,
            Self::Effect(effect) => match &effect.part {
                Effect::Restore(_) => Again::Never,
                // They look at each restore point once more, and finish what was begun.
                Effect::Prune(_) | Effect::Copy(_) => Again::Freely,
                other if other.touch() == Touch::Changes => Again::IfAsked,
                _ => Again::Freely,
            },
        }
    }

    /// The object that it stores.
    pub fn object(&self) -> Option<&PlacedUpload> {
        let Self::Flow(flow) = self else { return None };
        if let Sink::Upload(upload) = &flow.sink.part { Some(upload) } else { None }
    }
}
