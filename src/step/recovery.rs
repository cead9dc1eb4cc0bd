//! How fast a restore was, in words, and whether that is fast enough.
//!
//! An objective that is missed fails nothing: the data is good, the plan for the day it is needed is not. Nothing is measured here.

use crate::quantity::{self, brief, bytes};
use crate::store::manifest::Recovery;

/// For the reader of a node: `restored in 12 s, 105 MB/s; RTO 1h: met`.
pub fn in_words(recovery: &Recovery) -> String {
    let speed = format!("restored in {}, {}/s", brief(recovery.took), bytes(recovery.bytes_per_second()));
    match (recovery.objective, recovery.missed_by()) {
        (None, _) => speed,
        (Some(objective), None) => format!("{speed}; RTO {}: met", quantity::Duration::from(objective)),
        (Some(objective), Some(late)) => format!("{speed}; RTO {}: missed by {}", quantity::Duration::from(objective), brief(late)),
    }
}

/// The warning of a recovery that takes too long.
pub fn warning(recovery: &Recovery) -> Option<String> {
    let late = recovery.missed_by()?;
    let objective = quantity::Duration::from(recovery.objective.unwrap_or_default());
    Some(format!(
        "the measured recovery time is longer than the objective: {}, and the RTO is {objective} (missed by {})",
        brief(recovery.took),
        brief(late)
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn recovery(took: u64, objective: Option<u64>) -> Recovery {
        Recovery { took: Duration::from_secs(took), bytes: 1_260_000_000, objective: objective.map(Duration::from_secs) }
    }

    #[test]
    fn a_restore_is_told_with_its_speed_and_held_against_its_objective() {
        assert_eq!(in_words(&recovery(12, None)), "restored in 12 s, 105 MB/s");
        assert_eq!(in_words(&recovery(12, Some(3600))), "restored in 12 s, 105 MB/s; RTO 1h: met");
        assert_eq!(
            in_words(&recovery(3600, Some(3600))),
            "restored in 1 h 00 m, 350 kB/s; RTO 1h: met",
            "as long as it may take is in time"
        );
        assert_eq!(in_words(&recovery(3665, Some(3600))), "restored in 1 h 01 m, 344 kB/s; RTO 1h: missed by 1 m 05 s");
    }

    #[test]
    fn only_a_missed_objective_is_a_warning() {
        assert_eq!(warning(&recovery(12, None)), None);
        assert_eq!(warning(&recovery(12, Some(12))), None);
        let late = warning(&recovery(90, Some(60))).unwrap();
        assert_eq!(late, "the measured recovery time is longer than the objective: 1 m 30 s, and the RTO is 1m (missed by 30 s)");
    }

    #[test]
    fn nothing_restored_in_no_time_has_a_speed_too() {
        assert_eq!(in_words(&Recovery { took: Duration::ZERO, bytes: 0, objective: None }), "restored in 0.0 s, 0 B/s");
    }
}
