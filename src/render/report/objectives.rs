//! The objectives of a pipeline as rows: what is wanted, what was found, and the verdict that `status` gave. It judges nothing itself.

use serde::Serialize;

use super::moment::Clock;
use crate::quantity::{Duration, bytes};
use crate::status::Status;

/// An objective.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// Its key in a pipeline.
    pub(super) key: &'static str,
    pub(super) name: &'static str,
    pub(super) wanted: String,
    pub(super) found: String,
    /// `met`, `missed` or `unknown`.
    pub(super) state: &'static str,
    pub(super) verdict: &'static str,
}

/// The objectives that a pipeline declares.
pub(super) fn rows(status: &Status, clock: &Clock) -> Vec<Row> {
    let asked =
        [rpo(status, clock), rto(status, clock), copies(status, clock), proof(status, clock), size(status, clock), shrink(status, clock)];
    let row = |(key, wanted, found): (&'static str, String, Option<String>)| {
        let words = clock.language.labels();
        // Without a restore point those are missed that are about having one; of the others nobody can say, and of none where no store answers.
        let none = status.newest.is_none() && status.is_known() && matches!(key, "rpo" | "copies" | "verified_every");
        let missed = none || status.missed.iter().any(|miss| miss.objective() == key);
        let (state, verdict) = match (missed, found.is_some()) {
            (true, _) => ("missed", words.missed),
            (false, true) => ("met", words.met),
            (false, false) => ("unknown", words.unknown),
        };
        let found = found.unwrap_or_else(|| words.never.to_owned());
        Row { key, name: clock.language.objective(key), wanted, found, state, verdict }
    };
    asked.into_iter().flatten().map(row).collect()
}

type Asked = Option<(&'static str, String, Option<String>)>;

fn rpo(status: &Status, clock: &Clock) -> Asked {
    let rpo = status.objectives.rpo?;
    let found = status.newest.as_ref().map(|newest| clock.language.length(clock.since(newest.started)));
    Some(("rpo", clock.language.at_most(&clock.language.limit(rpo)), found))
}

fn rto(status: &Status, clock: &Clock) -> Asked {
    let rto = status.objectives.rto?;
    let found = status.recovery.map(|recovery| clock.language.length(Duration::from(recovery.took)));
    Some(("rto", clock.language.at_most(&clock.language.limit(rto)), found))
}

fn copies(status: &Status, clock: &Clock) -> Asked {
    let copies = status.objectives.copies?;
    let found = status.newest.as_ref().map(|_| clock.language.in_stores(status.copies));
    Some(("copies", clock.language.at_least(&clock.language.in_stores(copies.into())), found))
}

fn proof(status: &Status, clock: &Clock) -> Asked {
    let every = status.objectives.verified_every?;
    let proven = status.newest_proven.as_ref().and_then(|point| point.proven);
    let found = proven.map(|at| clock.language.ago(clock.since(at)));
    Some(("verified_every", clock.language.every(&clock.language.limit(every)), found))
}

fn size(status: &Status, clock: &Clock) -> Asked {
    let least = status.objectives.min_size?;
    let found = status.newest.as_ref().map(|newest| bytes(newest.dumped));
    Some(("min_size", clock.language.at_least(&bytes(least.bytes())), found))
}

fn shrink(status: &Status, clock: &Clock) -> Asked {
    let most = status.objectives.max_shrink?;
    let wanted = clock.language.below_median(&most.to_string(), status.typical_bytes);
    let found = status.newest.as_ref().zip(status.typical_bytes).map(|(newest, typical)| change(newest.dumped, typical));
    Some(("max_shrink", wanted, found))
}

/// How much larger or smaller something is, in percent with a sign.
fn change(now: u64, before: u64) -> String {
    let tenths = |part: u64| u128::from(part) * 1000 / u128::from(before.max(1));
    let (sign, tenths) = if now >= before { ("+", tenths(now - before)) } else { ("−", tenths(before - now)) };
    format!("{sign}{}.{}%", tenths / 10, tenths % 10)
}
