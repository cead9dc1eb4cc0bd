//! The holes of a history: longer without a restore point than the RPO allows, where the rules would have kept one.
//!
//! Rules thin what is old on purpose, so that most of an old history is farther apart than any RPO. A hole is only where a point, had
//! there been one, would still be there. Nothing here judges a pipeline or changes a decision.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::facts::{Catalog, PointFacts};
use super::kept::{self, later};
use super::needs::Needs;
use super::policy::Policy;
use crate::ids::RunId;
use crate::store::manifest::Level;

/// How many places are looked at, the newest first: enough for a reader, and a bound where points lie farther apart than any RPO.
const MOST: usize = 200;

/// A hole in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The last point before it.
    pub from: Timestamp,
    /// The first point behind it, or the present.
    pub to: Timestamp,
}

/// The holes of a catalog, oldest first; none without an RPO. Without a policy nothing is thinned, and every hole counts.
pub fn gaps(catalog: &Catalog, policy: Option<&Policy>, now: Timestamp, zone: &TimeZone) -> Vec<Gap> {
    let Some(rpo) = catalog.rpo else { return Vec::new() };
    let mut taken: Vec<Timestamp> =
        catalog.points.iter().filter(|point| point.is_success() && point.taken <= now).map(|point| point.taken).collect();
    taken.sort_unstable();
    let ends = taken.iter().skip(1).copied().chain([now]);
    let mut wide: Vec<Gap> = taken.iter().zip(ends).map(|(from, to)| Gap { from: *from, to }).collect();
    wide.retain(|gap| later(gap.from, rpo) < gap.to);
    let wide = wide.split_off(wide.len().saturating_sub(MOST));
    let missed = |gap: &Gap| policy.is_none_or(|policy| would_stay(catalog, policy, later(gap.from, rpo), (now, zone)));
    wide.into_iter().filter(missed).collect()
}

/// Whether a point of this moment, had there been one, would be kept.
fn would_stay(catalog: &Catalog, policy: &Policy, at: Timestamp, (now, zone): (Timestamp, &TimeZone)) -> bool {
    let supposed = PointFacts::new(RunId::starting(at, [0xff; 3]), at, 0, Some(Level::Stored));
    let mut points: Vec<&PointFacts> = catalog.points.iter().chain([&supposed]).collect();
    points.sort_by_key(|point| std::cmp::Reverse((point.taken, &point.run)));
    let place = points.iter().position(|point| point.run == supposed.run);
    let kept = kept::reasons(&points, &Needs::of(&points), policy, now, zone);
    place.and_then(|place| kept.get(place)).is_some_and(|reasons| !reasons.is_empty())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::quantity::Duration;

    const NOW: &str = "2026-11-28T12:00:00Z";

    fn catalog(days_ago: impl IntoIterator<Item = i64>) -> Catalog {
        let now: Timestamp = NOW.parse().unwrap();
        let point = |days: i64| {
            let taken = now - SignedDuration::from_hours(24 * days + 10);
            serde_json::from_value(
                serde_json::json!({ "run": RunId::starting(taken, [0; 3]), "taken": taken, "bytes": 1, "level": "stored" }),
            )
            .unwrap()
        };
        Catalog { points: days_ago.into_iter().map(point).collect(), rpo: Some(Duration::seconds(26 * 3600)), last_run_failed: false }
    }

    fn days(catalog: &Catalog, keep: Option<&str>) -> Vec<(i64, i64)> {
        let now: Timestamp = NOW.parse().unwrap();
        let policy = keep.map(|keep| Policy::keeping(keep.parse().unwrap()));
        let ago = |at: Timestamp| now.duration_since(at).as_hours() / 24;
        gaps(catalog, policy.as_ref(), now, &TimeZone::UTC).iter().map(|gap| (ago(gap.from), ago(gap.to))).collect()
    }

    #[test]
    fn what_the_rules_thin_is_no_hole_and_what_they_would_have_kept_is_one() {
        // Fifteen days, of which one is missing, and then the Sundays, of which one is missing.
        let daily = (0..15).filter(|day| *day != 5);
        let thinned = catalog(daily.clone().chain([20, 27, 41, 48]));
        assert_eq!(days(&thinned, Some("daily=14,weekly=8")), [(41, 27), (6, 4)]);
        let all = days(&thinned, None);
        assert_eq!(all, [(48, 41), (41, 27), (27, 20), (20, 14), (6, 4)], "without rules nothing may be missing");
    }

    #[test]
    fn the_present_ends_the_last_hole_and_without_an_rpo_there_is_none() {
        assert_eq!(days(&catalog(3..9), Some("daily=14")), [(3, 0)]);
        assert!(days(&Catalog { rpo: None, ..catalog(3..9) }, None).is_empty());
        assert!(days(&catalog([]), None).is_empty());
    }
}
