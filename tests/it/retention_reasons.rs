//! The words that decisions come with, and the two phases in which a point goes.

#![expect(clippy::unwrap_used, reason = "a test that can not read its own times fails")]

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use runner::ids::RunId;
use runner::quantity::Duration;
use runner::retention::{Action, Catalog, Doubt, MaxDelete, Pin, PointFacts, Policy, decide};
use runner::store::manifest::Level;

fn now() -> Timestamp {
    "2026-11-20T03:00:00Z".parse().unwrap()
}

/// A stored point so many days old.
fn aged(days: i64) -> PointFacts {
    let taken = now() - SignedDuration::from_hours(days * 24);
    PointFacts {
        run: RunId::starting(taken, [0; 3]),
        taken,
        bytes: 1,
        level: Some(Level::Stored),
        doubt: None,
        pinned: None,
        locked_until: None,
        tombstoned: None,
        depends_on: Vec::new(),
    }
}

fn policy(keep: &str) -> Policy {
    Policy::keeping(keep.parse().unwrap())
}

/// What becomes of each point and why, a line a point.
fn said(catalog: &Catalog, policy: &Policy) -> String {
    let verdict = decide(catalog, policy, now(), &TimeZone::get("Asia/Seoul").unwrap());
    let line = |reasons: Vec<String>, action: Action| format!("{action}: {}\n", reasons.join("; "));
    verdict.decisions.iter().map(|each| line(each.reasons.iter().map(ToString::to_string).collect(), each.action)).collect()
}

#[test]
fn every_reason_is_said_in_words() {
    let day = SignedDuration::from_hours(24);
    let pin = Pin { until: now() + day, reason: "감사 2026".to_owned() };
    let points = vec![
        PointFacts { taken: now() + day, ..aged(-1) },
        aged(0),
        PointFacts { level: Some(Level::Restored), ..aged(1) },
        PointFacts { level: Some(Level::Proven), depends_on: vec![aged(9).run], ..aged(2) },
        PointFacts { pinned: Some(pin), tombstoned: Some(now() - day), ..aged(3) },
        PointFacts { locked_until: Some(now() + day), ..aged(4) },
        PointFacts { level: None, ..aged(5) },
        PointFacts { doubt: Some(Doubt::Receipts), ..aged(10) },
        aged(6),
        PointFacts { tombstoned: Some(now() - SignedDuration::from_hours(23)), ..aged(7) },
        PointFacts { tombstoned: Some(now() - day * 2), ..aged(8) },
        aged(9),
    ];
    insta::assert_snapshot!(said(&Catalog { points, ..Catalog::default() }, &policy("last=1,within=12h,daily=1")));
}

#[test]
fn what_keeps_everything_is_said_at_every_point_that_would_go() {
    let marked = PointFacts { tombstoned: Some(now() - SignedDuration::from_hours(48)), ..aged(9) };
    let points = vec![aged(2), aged(3), aged(4), marked];
    let limited = Policy { max_delete: Some(MaxDelete { count: Some(1), percent: Some(10) }), ..policy("last=1") };
    let catalog = Catalog { points, rpo: Some("26h".parse().unwrap()), last_run_failed: true };
    insta::assert_snapshot!(said(&catalog, &limited));
    let verdict = decide(&catalog, &limited, now(), &TimeZone::UTC);
    assert_eq!(verdict.halts.len(), 4, "{:?}", verdict.halts);
}

#[test]
fn nothing_is_halted_where_nothing_would_go() {
    let catalog = Catalog { points: vec![aged(2)], rpo: Some("26h".parse().unwrap()), last_run_failed: true };
    assert!(decide(&catalog, &policy("last=1"), now(), &TimeZone::UTC).halts.is_empty());
}

#[test]
fn a_point_is_marked_then_waits_out_the_grace_and_the_clocks_then_goes() {
    let minutes = |minutes: i64| now() + SignedDuration::from_mins(minutes);
    let mut catalog = Catalog { points: vec![aged(0), aged(1)], ..Catalog::default() };
    let policy = policy("last=1");
    let act = |catalog: &Catalog, at: Timestamp| decide(catalog, &policy, at, &TimeZone::UTC).action(&aged(1).run);
    assert_eq!(act(&catalog, minutes(0)), Some(Action::Tombstone));
    catalog = catalog.after(&decide(&catalog, &policy, minutes(0), &TimeZone::UTC), minutes(0));
    let (grace, skew) = (24 * 60, 30);
    for (at, action) in
        [(0, Action::Wait), (-10, Action::Wait), (grace, Action::Wait), (grace + skew, Action::Wait), (grace + skew + 1, Action::Delete)]
    {
        assert_eq!(act(&catalog, minutes(at)), Some(action), "after {at} minutes");
    }
    let gone = catalog.after(&decide(&catalog, &policy, minutes(grace + skew + 1), &TimeZone::UTC), minutes(grace + skew + 1));
    assert_eq!(gone.points, [aged(0)]);
}

#[test]
fn a_host_whose_clock_is_far_ahead_does_not_crowd_out_the_real_points() {
    let future = |days: i64| PointFacts { level: Some(Level::Proven), ..aged(-days) };
    let points = vec![future(30), future(31), future(32), PointFacts { level: Some(Level::Proven), ..aged(1) }, aged(2), aged(3)];
    let catalog = Catalog { points, ..Catalog::default() };
    let verdict = decide(&catalog, &policy("last=2,within=1h"), now(), &TimeZone::UTC);
    let actions: Vec<Action> = verdict.decisions.iter().map(|decision| decision.action).collect();
    assert_eq!(actions, [Action::Keep, Action::Keep, Action::Keep, Action::Keep, Action::Keep, Action::Tombstone]);
    // And no point of the future counts as a fresh success.
    let stale = Catalog { rpo: Some(Duration::seconds(3600)), ..catalog };
    assert_eq!(decide(&stale, &policy("last=2"), now(), &TimeZone::UTC).count(Action::Tombstone), 0);
}

#[test]
fn where_backups_stop_time_alone_takes_nothing_away() {
    let catalog = Catalog { points: vec![aged(100), aged(101), aged(110)], ..Catalog::default() };
    let verdict = decide(&catalog, &policy("within=7d"), now(), &TimeZone::UTC);
    assert_eq!((verdict.count(Action::Keep), verdict.count(Action::Tombstone)), (2, 1));
}
