//! The overview: a line for each pipeline, those first that need somebody most. It judges nothing.

use serde::Serialize;

use super::moment::{Clock, Moment};
use super::timeline::{LevelWord, shape};
use super::{Report, Subject};
use crate::status::Light;

/// A light, as a shape and a word: colour is never all there is.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct LightWord {
    /// `good`, `attention` or `bad`.
    pub(super) class: &'static str,
    pub(super) word: &'static str,
}

/// A pipeline in a line.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) light: LightWord,
    pub(super) newest: Option<Moment>,
    pub(super) level: Option<LevelWord>,
    pub(super) proof: Option<Moment>,
    pub(super) next: Option<Moment>,
    /// The first thing that is missed or worth a look.
    pub(super) matter: Option<String>,
    /// How many more there are.
    pub(super) more: usize,
}

/// The light of a pipeline.
pub(super) fn light(light: Light, clock: &Clock) -> LightWord {
    let class = match light {
        Light::Good => "good",
        Light::Attention => "attention",
        Light::Bad => "bad",
    };
    LightWord { class, word: clock.language.light(light) }
}

/// The clock of a pipeline.
pub(super) fn clock(report: &Report, subject: &Subject) -> Clock {
    Clock::of(report.at, &subject.plan.timezone, report.language)
}

/// How many pipelines are good, worth a look, and bad.
pub(super) fn tally(report: &Report) -> String {
    let count = |light: Light| report.subjects.iter().filter(|subject| subject.status.light == light).count();
    report.language.tally(report.subjects.len(), [count(Light::Good), count(Light::Attention), count(Light::Bad)])
}

/// A pipeline in a line; `id` is where more of it stands.
pub(super) fn row(report: &Report, subject: &Subject, id: String) -> Row {
    let (status, clock) = (&subject.status, clock(report, subject));
    let matters = matters(subject, &clock);
    Row {
        id,
        name: status.pipeline.to_string(),
        light: light(status.light, &clock),
        newest: status.newest.as_ref().map(|newest| clock.zoned(newest.started)),
        level: status.newest.as_ref().map(|newest| LevelWord { shape: shape(newest.level), word: clock.language.level(newest.level) }),
        proof: status.newest_proven.as_ref().and_then(|point| point.proven).map(|at| clock.zoned(at)),
        next: status.due.and_then(|due| due.next).map(|at| clock.zoned(at)),
        more: matters.len().saturating_sub(1),
        matter: matters.into_iter().next(),
    }
}

/// What is missed, and what is worth a look.
pub(super) fn matters(subject: &Subject, clock: &Clock) -> Vec<String> {
    let missed = subject.status.missed.iter().map(|miss| clock.language.miss(miss));
    missed.chain(subject.status.concerns.iter().map(|concern| clock.language.concern(concern))).collect()
}
