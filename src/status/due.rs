//! What a schedule says at a moment: when it was due last, when it is due next.

use croner::Cron;
use jiff::Timestamp;
use serde::Serialize;

use crate::pipeline::Schedule;

/// What a schedule says at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Due {
    /// The last time at or before the moment.
    pub last: Option<Timestamp>,
    /// The first time after it.
    pub next: Option<Timestamp>,
}

/// What a schedule says now; `None` for a schedule that validation would not let through.
pub fn due(schedule: &Schedule, now: Timestamp) -> Option<Due> {
    let (cron, local) = (schedule.cron.parse::<Cron>().ok()?, now.in_tz(&schedule.timezone).ok()?);
    let last = cron.find_previous_occurrence(&local, true).ok().map(|at| at.timestamp());
    let next = cron.find_next_occurrence(&local, false).ok().map(|at| at.timestamp());
    Some(Due { last, next })
}
