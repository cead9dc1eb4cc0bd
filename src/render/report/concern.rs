//! What is worth a look, told in a report's language. What that is was judged by `status`, which says it in English; here a judged
//! sentence is recognised and said again.
//!
//! A sentence that is not recognised is passed on as it is: nothing judged is ever left out, and nothing is judged here.

use super::words::Language;
use crate::ids::RunId;
use crate::quantity::Duration;
use crate::status::{Attempt, LeaseFacts, Status};

/// Something worth a look.
#[derive(Debug, Clone, Copy)]
pub(super) enum Concern<'a> {
    /// Runs have failed since the newest point.
    Failed { times: usize, newest: &'a Attempt },
    /// The newest point is not what it should be.
    Complaint { run: &'a RunId, why: &'a str },
    /// The newest point is on the way out.
    Leaving { run: &'a RunId },
    /// Somebody holds a lease and shows no sign of life.
    Stuck { lease: &'a LeaseFacts, silent: Duration },
    /// Somebody has been at work for longer than the RPO.
    Long { lease: &'a LeaseFacts, long: Duration },
}

/// The concerns of a status, in a language.
pub(super) fn concerns(status: &Status, language: Language) -> Vec<String> {
    let known = possible(status);
    let said = |judged: &String| {
        let meant = known.iter().find(|concern| Language::English.concern(concern) == *judged);
        meant.map_or_else(|| judged.clone(), |concern| language.concern(concern))
    };
    status.concerns.iter().map(said).collect()
}

/// Everything that could be worth a look.
fn possible(status: &Status) -> Vec<Concern<'_>> {
    let since = |at| Duration::from(std::time::Duration::try_from(status.at.duration_since(at)).unwrap_or_default());
    let failed = status.failures.first().map(|newest| Concern::Failed { times: status.failures.len(), newest });
    let newest = status.newest.as_ref();
    let complaint = newest.and_then(|point| Some(Concern::Complaint { run: &point.run, why: point.complaint.as_deref()? }));
    let leaving = newest.map(|point| Concern::Leaving { run: &point.run });
    let leases = status
        .at_work
        .iter()
        .flat_map(|lease| [Concern::Stuck { lease, silent: since(lease.renewed) }, Concern::Long { lease, long: since(lease.since) }]);
    failed.into_iter().chain(complaint).chain(leaving).chain(leases).collect()
}
