//! The words that decisions come with, and the two phases in which a point goes.

#![expect(clippy::unwrap_used, reason = "a test that can not read its own times fails")]

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use runner::ids::{RefName, RunId};
use runner::quantity::Duration;
use runner::retention::{
    Action, Catalog, CatalogFacts, Damage, Doubt, Halt, MaxDelete, Pin, PointFacts, PointSeen, Policy, Setting, decide, join,
};
use runner::store::manifest::Level;

fn now() -> Timestamp {
    "2026-11-20T03:00:00Z".parse().unwrap()
}

/// A stored point so many days old.
fn aged(days: i64) -> PointFacts {
    let taken = now() - SignedDuration::from_hours(days * 24);
    PointFacts::new(RunId::starting(taken, [0; 3]), taken, 1, Some(Level::Stored))
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
        PointFacts { doubt: Some(Doubt::Objects), ..aged(11) },
        aged(6),
        PointFacts { tombstoned: Some(now() - SignedDuration::from_hours(23)), ..aged(7) },
        PointFacts { tombstoned: Some(now() - day * 2), ..aged(8) },
        PointFacts { damage: Some(Damage::Here), ..aged(12) },
        PointFacts { damage: Some(Damage::Elsewhere), tombstoned: Some(now() - day * 2), ..aged(13) },
        aged(9),
    ];
    insta::assert_snapshot!(said(&Catalog { points, ..Catalog::default() }, &policy("last=1,within=12h,daily=1")));
}

#[test]
fn a_damaged_point_stands_for_no_other_and_is_the_last_of_its_period_to_go() {
    let damaged = |days: i64| PointFacts { level: Some(Level::ReadBack), damage: Some(Damage::Here), ..aged(days) };
    let proven = |days: i64| PointFacts { level: Some(Level::Proven), ..aged(days) };
    let elsewhere = |days: i64| PointFacts { damage: Some(Damage::Elsewhere), ..aged(days) };
    // 2026-11-20 is a Friday: this week, the one before, and those of the days 12 to 18 and 19 to 25.
    let points =
        vec![damaged(0), proven(1), elsewhere(5), proven(6), damaged(12), proven(13), damaged(14), damaged(20), damaged(21), proven(30)];
    insta::assert_snapshot!(said(&Catalog { points: points.clone(), ..Catalog::default() }, &policy("weekly=4")));
    // It is no success either.
    let stale = Catalog { points, rpo: Some(Duration::seconds(3600)), ..Catalog::default() };
    let halts = decide(&stale, &policy("weekly=1"), now(), &TimeZone::UTC).halts;
    assert_eq!(halts, [Halt::Stale { newest: Some(aged(1).taken), rpo: Duration::seconds(3600) }]);
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

#[test]
fn stores_that_are_joined_keep_what_any_of_them_would_keep_for_its_proof() {
    let seen = |facts: PointFacts| PointSeen { facts, objects: Vec::new(), beside: Vec::new() };
    let store = |points: Vec<PointFacts>| CatalogFacts { points: points.into_iter().map(seen).collect(), ..CatalogFacts::default() };
    let leveled = |days: i64, level: Level| PointFacts { level: Some(level), ..aged(days) };
    let actions = |facts: &CatalogFacts| {
        let verdict = facts.verdict(&policy("last=1"), &Setting::default(), now());
        (verdict.decisions.iter().map(|decision| decision.action).collect::<Vec<_>>(), verdict.halts)
    };
    let (keep, go) = (Action::Keep, Action::Tombstone);
    // Of the second point, the copy is damaged here and proven there: here, the one before it stays too.
    let mut here = store(vec![aged(0), leveled(1, Level::ReadBack), leveled(2, Level::Proven), aged(3)]);
    let mut there = store(vec![aged(0), leveled(1, Level::Proven), aged(2), aged(3)]);
    assert_eq!((actions(&here).0, actions(&there).0), (vec![keep, go, keep, go], vec![keep, keep, go, go]));
    join(&mut [&mut here, &mut there], &[]);
    assert_eq!((actions(&here).0, actions(&there).0), (vec![keep, keep, keep, go], vec![keep, keep, go, go]));

    // A receipt that can not be read there may say anything of the point here.
    there.points[3].facts.doubt = Some(Doubt::Receipts);
    join(&mut [&mut here, &mut there], &[]);
    assert_eq!(actions(&here), (vec![keep; 4], Vec::new()));
    there.points[3].facts.doubt = None;
    here.points[3].facts.doubt = None;

    // What was found wrong there is not trusted here, unless it was proven here.
    there.points[0].facts.damage = Some(Damage::Here);
    there.points[2].facts.damage = Some(Damage::Here);
    join(&mut [&mut here, &mut there], &[]);
    assert_eq!([0, 2].map(|place| here.points[place].facts.damage), [Some(Damage::Elsewhere), None]);
    assert_eq!(there.points[0].facts.damage, Some(Damage::Here));
    for place in [0, 2] {
        (here.points[place].facts.damage, there.points[place].facts.damage) = (None, None);
    }

    // A pin that was set before the point was copied there holds there as well, and the longest counts.
    let pin = |days: i64| Some(Pin { until: now() + SignedDuration::from_hours(24 * days), reason: format!("{days}일") });
    (here.points[3].facts.pinned, there.points[2].facts.pinned) = (pin(2), pin(1));
    join(&mut [&mut here, &mut there], &[]);
    assert_eq!((actions(&here).0, actions(&there).0), (vec![keep; 4], vec![keep; 4]));
    here.points[2].facts.pinned = pin(3);
    join(&mut [&mut here, &mut there], &[]);
    assert_eq!([&here, &there].map(|store| store.points[2].facts.pinned.clone()), [pin(3), pin(3)]);
    for place in [2, 3] {
        (here.points[place].facts.pinned, there.points[place].facts.pinned) = (None, None);
    }

    // A failure counts while nothing newer is known of, wherever that is.
    let failed = |days: i64| CatalogFacts { last_run_failed: true, ..store(vec![aged(days)]) };
    join(&mut [&mut here, &mut failed(1)], &[]);
    assert_eq!(actions(&here).1, Vec::new());
    join(&mut [&mut here, &mut failed(0)], &[]);
    assert_eq!(actions(&here), (vec![keep; 4], vec![Halt::FailedRun]));

    let unread: Vec<RefName> = vec!["offsite".parse().unwrap()];
    join(&mut [&mut there], &unread);
    assert_eq!(actions(&there), (vec![keep; 4], vec![Halt::Unread { stores: unread }]));
}
