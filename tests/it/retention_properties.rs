//! What must hold for every catalog and every policy: no guard is broken, deciding again changes nothing, and order does not matter.
//!
//! The guards are stated here anew, from the catalog alone, so that a mistake in the code is not repeated in its test.

#![expect(clippy::unwrap_used, reason = "a test that can not make its catalog fails")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use runner::ids::RunId;
use runner::quantity::Duration;
use runner::retention::{Action, Catalog, Damage, Doubt, Halt, Keep, MaxDelete, Pin, PointFacts, Policy, Reason, Verdict, decide};
use runner::store::manifest::Level;

const HOUR: i64 = 3600;
const ZONES: [&str; 4] = ["Asia/Seoul", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"];

/// The end of October: every zone with summer time leaves or enters it within the weeks before.
fn now() -> Timestamp {
    "2026-11-03T09:30:00Z".parse().unwrap()
}

fn hours(count: u64) -> Duration {
    Duration::seconds(count * 3600)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at + SignedDuration::try_from(by.std()).unwrap()
}

/// A moment around now, to the minute: mostly before it, by up to so many days.
fn around(days: i64) -> impl Strategy<Value = Timestamp> {
    let minutes = days * 24 * 60;
    prop_oneof![19 => -minutes..=0, 1 => 0..=240_i64].prop_map(|minutes| now() + SignedDuration::from_mins(minutes))
}

prop_compose! {
    fn point()(
        taken in prop_oneof![3 => around(40), 1 => around(800)],
        entropy in any::<[u8; 3]>(),
        level in select(vec![None, Some(Level::Stored), Some(Level::Stored), Some(Level::Decoded), Some(Level::Restored), Some(Level::Proven)]),
        elsewhere in weighted(0.2, select(vec![Level::Restored, Level::Proven])),
        doubt in weighted(0.1, select(vec![Doubt::Receipts, Doubt::Objects])),
        damage in weighted(0.25, select(vec![Damage::Here, Damage::Here, Damage::Elsewhere])),
        pinned in weighted(0.1, around(3)),
        locked_until in weighted(0.1, around(3)),
        tombstoned in weighted(0.4, around(3)),
    ) -> PointFacts {
        let pinned = pinned.map(|until| Pin { until, reason: "감사".to_owned() });
        PointFacts { run: RunId::starting(taken, entropy), taken, bytes: 1, level, elsewhere, doubt, damage, pinned, locked_until, tombstoned, depends_on: Vec::new() }
    }
}

prop_compose! {
    fn catalog()(
        mut points in vec(point(), 0..60),
        needs in vec((any::<Index>(), any::<Index>()), 0..12),
        rpo in weighted(0.3, (1..200_u64).prop_map(hours)),
        last_run_failed in weighted(0.1, Just(())),
    ) -> Catalog {
        let mut seen = BTreeSet::new();
        points.retain(|point| seen.insert(point.run.clone()));
        let runs: Vec<RunId> = points.iter().map(|point| point.run.clone()).collect();
        for (from, to) in needs.iter().filter(|_| !runs.is_empty()) {
            points[from.index(runs.len())].depends_on.push(to.get(&runs).clone());
        }
        Catalog { points, rpo, last_run_failed: last_run_failed.is_some() }
    }
}

prop_compose! {
    fn keep()(
        last in of(0..5_u32), hourly in of(0..8_u32), daily in of(0..10_u32), weekly in of(0..5_u32), monthly in of(0..5_u32),
        yearly in of(0..3_u32), within in of((0..200_u64).prop_map(hours)),
    ) -> Keep {
        Keep { last, hourly, daily, weekly, monthly, yearly, within }
    }
}

prop_compose! {
    fn policy()(
        keep in keep(),
        min_verified in 0..4_u32,
        max_delete in weighted(0.3, (of(1..30_u32), of(1..100_u8)).prop_map(|(count, percent)| MaxDelete { count, percent })),
        grace in (0..60_u64).prop_map(hours),
        clock_skew in (0..60_u64).prop_map(|minutes| Duration::seconds(minutes * 60)),
    ) -> Policy {
        Policy { min_verified, max_delete, grace, clock_skew, ..Policy::keeping(keep) }
    }
}

fn zone() -> impl Strategy<Value = TimeZone> {
    select(ZONES.to_vec()).prop_map(|name| TimeZone::get(name).unwrap())
}

/// The points of these actions.
fn runs(verdict: &Verdict, actions: &[Action]) -> BTreeSet<RunId> {
    verdict.decisions.iter().filter(|decision| actions.contains(&decision.action)).map(|decision| decision.run.clone()).collect()
}

fn going(verdict: &Verdict) -> BTreeSet<RunId> {
    runs(verdict, &[Action::Tombstone, Action::Delete])
}

fn usable<'a>(catalog: &'a Catalog, policy: &Policy) -> Vec<&'a PointFacts> {
    let latest = later(now(), policy.clock_skew);
    let mut found: Vec<&PointFacts> = catalog.points.iter().filter(|point| point.level.is_some() && point.taken <= latest).collect();
    found.sort_by(|a, b| (b.taken, &b.run).cmp(&(a.taken, &a.run)));
    found
}

/// Whether nothing is known that speaks against a point.
fn is_sound(point: &PointFacts) -> bool {
    point.doubt.is_none() && point.damage.is_none()
}

/// The rules that count, each with how many it keeps and the form of the name of its periods.
fn counting(policy: &Policy) -> [(u32, &'static str); 6] {
    let keep = &policy.keep;
    let rules = [
        (keep.last, ""),
        (keep.hourly, "%F %H %z"),
        (keep.daily, "%F"),
        (keep.weekly, "%G %V"),
        (keep.monthly, "%Y-%m"),
        (keep.yearly, "%Y"),
    ];
    rules.map(|(most, form)| (most.unwrap_or(0), form))
}

fn period(point: &PointFacts, form: &str, zone: &TimeZone) -> String {
    if form.is_empty() { point.run.to_string() } else { point.taken.to_zoned(zone.clone()).strftime(form).to_string() }
}

/// What no policy may let go, stated from the catalog alone.
fn guarded(catalog: &Catalog, policy: &Policy) -> BTreeMap<RunId, &'static str> {
    let usable = usable(catalog, policy);
    // By clocks that differ, points close together are equally new.
    let newest_of = |points: Vec<&PointFacts>, why| {
        let newest = points.iter().map(|point| point.taken).max();
        let as_new = points.into_iter().filter(move |point| Some(later(point.taken, policy.clock_skew)) >= newest);
        as_new.map(move |point| (point.run.clone(), why)).collect::<Vec<_>>()
    };
    // What is in doubt or damaged stands for nothing.
    let sure = || usable.iter().copied().filter(|point| is_sound(point));
    let mut found: BTreeMap<RunId, &'static str> = newest_of(usable.clone(), "the newest").into_iter().collect();
    found.extend(newest_of(sure().collect(), "the newest that is sound"));
    // By what this store knows, and by what all know together.
    for level in [(|point: &PointFacts| point.level) as fn(&PointFacts) -> Option<Level>, |point| point.level.max(point.elsewhere)] {
        let proven = sure().filter(|point| level(point) == Some(Level::Proven)).collect();
        let verified = sure().filter(|point| matches!(level(point), Some(Level::Restored | Level::Proven)));
        found.extend(verified.take(policy.min_verified as usize).map(|point| (point.run.clone(), "min_verified")));
        found.extend(newest_of(proven, "the newest proven"));
    }
    let holds = |until: Timestamp| later(until, policy.clock_skew) > now();
    for point in &catalog.points {
        let why = match point {
            PointFacts { level: None, .. } => "unreadable",
            PointFacts { doubt: Some(_), .. } => "in doubt",
            PointFacts { taken, .. } if *taken > now() => "taken in the future",
            PointFacts { pinned: Some(pin), .. } if holds(pin.until) => "pinned",
            PointFacts { locked_until: Some(until), .. } if holds(*until) => "locked",
            _ => continue,
        };
        found.insert(point.run.clone(), why);
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_point_is_decided_once_with_a_reason(catalog in catalog(), policy in policy(), zone in zone()) {
        let verdict = decide(&catalog, &policy, now(), &zone);
        let decided: Vec<&RunId> = verdict.decisions.iter().map(|decision| &decision.run).collect();
        let unique: BTreeSet<&RunId> = decided.iter().copied().collect();
        prop_assert_eq!(decided.len(), catalog.points.len());
        prop_assert_eq!(unique, catalog.points.iter().map(|point| &point.run).collect::<BTreeSet<_>>());
        for decision in &verdict.decisions {
            prop_assert!(decision.reasons.iter().all(|reason| !reason.to_string().is_empty()) && !decision.reasons.is_empty());
        }
    }

    #[test]
    fn no_guarded_point_ever_goes(catalog in catalog(), policy in policy(), zone in zone()) {
        let verdict = decide(&catalog, &policy, now(), &zone);
        for (run, why) in guarded(&catalog, &policy) {
            let action = verdict.action(&run);
            prop_assert!(matches!(action, Some(Action::Keep | Action::Undelete)), "{run} is {why}, and the decision is {action:?}");
        }
    }

    #[test]
    fn nothing_goes_that_another_point_needs(catalog in catalog(), policy in policy(), zone in zone()) {
        let verdict = decide(&catalog, &policy, now(), &zone);
        let kept = runs(&verdict, &[Action::Keep, Action::Undelete]);
        let deleted = runs(&verdict, &[Action::Delete]);
        let place = |run: &RunId| verdict.decisions.iter().position(|decision| decision.run == *run).unwrap();
        let is_halted = !verdict.halts.is_empty();
        let is_circular = catalog.points.iter().any(|point| point.depends_on.iter().any(|needed| reaches(&catalog, needed, &point.run)));
        for point in &catalog.points {
            for needed in point.depends_on.iter().filter(|run| **run != point.run) {
                // Under a halt a point may be kept only because nothing goes; what it needs then waits as well.
                prop_assert!(!kept.contains(&point.run) || kept.contains(needed) || is_halted, "{} is kept and needs {needed}", point.run);
                prop_assert!(deleted.contains(&point.run) || !deleted.contains(needed), "{} stays and needs {needed}", point.run);
                prop_assert!(is_circular || place(&point.run) < place(needed), "{} needs {needed}, and goes later", point.run);
            }
        }
    }

    #[test]
    fn nothing_goes_after_a_failed_run(catalog in catalog(), policy in policy(), zone in zone()) {
        let verdict = decide(&Catalog { last_run_failed: true, ..catalog }, &policy, now(), &zone);
        prop_assert_eq!(going(&verdict), BTreeSet::new());
    }

    #[test]
    fn nothing_goes_when_the_newest_success_is_older_than_the_rpo(catalog in catalog(), policy in policy(), zone in zone(), rpo in 1..200_u64) {
        let catalog = Catalog { rpo: Some(hours(rpo)), ..catalog };
        let fresh = usable(&catalog, &policy).iter().find(|point| point.damage.is_none()).is_some_and(|newest| later(newest.taken, hours(rpo)) >= now());
        let verdict = decide(&catalog, &policy, now(), &zone);
        prop_assert!(fresh || going(&verdict).is_empty(), "{:?}", going(&verdict));
    }

    #[test]
    fn more_than_the_limit_never_goes_and_is_said(catalog in catalog(), policy in policy(), zone in zone(), count in 1..6_u32, percent in 1..40_u8) {
        let catalog = Catalog { rpo: None, last_run_failed: false, ..catalog };
        let (limit, none) = (MaxDelete { count: Some(count), percent: Some(percent) }, Policy { max_delete: None, ..policy });
        let free = decide(&catalog, &none, now(), &zone);
        let limited = decide(&catalog, &Policy { max_delete: Some(limit), ..none }, now(), &zone);
        let live = free.decisions.len() - free.count(Action::Wait) - free.count(Action::Delete);
        let over = |would: usize, of: usize| would > count as usize || would * 100 > usize::from(percent) * of;
        let exceeded = over(free.count(Action::Tombstone), live) || over(free.count(Action::Delete), free.decisions.len());
        let expected = if exceeded { BTreeSet::new() } else { going(&free) };
        prop_assert_eq!(going(&limited), expected, "all or nothing");
        prop_assert_eq!(limited.halts.iter().any(|halt| matches!(halt, Halt::TooMany { .. })), exceeded);
    }

    #[test]
    fn a_deletion_comes_a_grace_after_its_tombstone_by_the_slower_clock(catalog in catalog(), policy in policy(), zone in zone(), slow in 0..10_i64, fast in 0..10_i64) {
        // The tombstones were written by a clock that was slow, and are judged by one that is fast.
        let policy = Policy { clock_skew: Duration::seconds(20 * 60), ..policy };
        let verdict = decide(&catalog, &policy, now(), &zone);
        for point in catalog.points.iter().filter(|point| verdict.action(&point.run) == Some(Action::Delete)) {
            let written = point.tombstoned.expect("only what has a tombstone is deleted") + SignedDuration::from_mins(slow);
            let really = now() - SignedDuration::from_mins(fast);
            prop_assert!(really >= later(written, policy.grace), "{} was marked {written} and deleted {really}", point.run);
        }
    }

    #[test]
    fn deciding_again_changes_nothing_more(catalog in catalog(), policy in policy(), zone in zone()) {
        let after = catalog.after(&decide(&catalog, &policy, now(), &zone), now());
        let again = decide(&after, &policy, now(), &zone);
        prop_assert_eq!(after.after(&again, now()), after, "{:?}", again);
    }

    #[test]
    fn a_crash_in_the_middle_leads_to_the_same_end(catalog in catalog(), policy in policy(), zone in zone(), done in any::<u64>()) {
        let verdict = decide(&catalog, &policy, now(), &zone);
        let undisturbed = catalog.after(&verdict, now());
        let mut part = verdict.clone();
        let mut place = 0;
        part.decisions.retain(|_| { place += 1; done >> (place % 64) & 1 == 1 });
        let crashed = catalog.after(&part, now());
        prop_assert_eq!(crashed.after(&decide(&crashed, &policy, now(), &zone), now()), undisturbed);
    }

    #[test]
    fn rules_that_keep_more_never_let_more_go(catalog in catalog(), policy in policy(), more in policy(), zone in zone()) {
        let keep = Keep {
            last: policy.keep.last.max(more.keep.last),
            hourly: policy.keep.hourly.max(more.keep.hourly),
            daily: policy.keep.daily.max(more.keep.daily),
            weekly: policy.keep.weekly.max(more.keep.weekly),
            monthly: policy.keep.monthly.max(more.keep.monthly),
            yearly: policy.keep.yearly.max(more.keep.yearly),
            within: policy.keep.within.max(more.keep.within),
        };
        let min_verified = policy.min_verified.max(more.min_verified);
        let grace = policy.grace.max(more.grace);
        // max_delete is apart: it lets nothing go where too much would, and so less under the rules that keep less.
        let policy = Policy { max_delete: None, ..policy };
        let larger = Policy { keep, min_verified, grace, ..policy.clone() };
        let (less, all) = (decide(&catalog, &larger, now(), &zone), decide(&catalog, &policy, now(), &zone));
        prop_assert!(going(&less).is_subset(&going(&all)));
        prop_assert!(runs(&less, &[Action::Delete]).is_subset(&runs(&all, &[Action::Delete])));
    }

    #[test]
    fn a_smaller_limit_never_lets_more_go(catalog in catalog(), policy in policy(), zone in zone(), count in 1..6_u32, more in 0..6_u32) {
        let limited = |count| Policy { max_delete: Some(MaxDelete { count: Some(count), percent: None }), ..policy.clone() };
        let (less, all) = (decide(&catalog, &limited(count), now(), &zone), decide(&catalog, &limited(count + more), now(), &zone));
        prop_assert!(going(&less).is_subset(&going(&all)));
    }

    #[test]
    fn points_that_a_list_leaves_out_let_no_other_point_go(catalog in catalog(), policy in policy(), zone in zone(), shown in any::<u64>()) {
        // Without limits in percent, which are of what is shown, and without chains, whose ends may be what is left out.
        let mut catalog = catalog;
        catalog.points.iter_mut().for_each(|point| point.depends_on.clear());
        let policy = Policy { max_delete: None, ..policy };
        let part = Catalog { points: catalog.points.iter().enumerate().filter(|(place, _)| shown >> (place % 64) & 1 == 1).map(|(_, point)| point.clone()).collect(), ..catalog.clone() };
        let (part, whole) = (decide(&part, &policy, now(), &zone), decide(&catalog, &policy, now(), &zone));
        prop_assert!(going(&part).is_subset(&going(&whole)));
        prop_assert!(runs(&part, &[Action::Delete]).is_subset(&runs(&whole, &[Action::Delete])));
    }

    #[test]
    fn the_order_of_the_list_does_not_matter((catalog, shuffled) in catalog().prop_flat_map(|catalog| {
        let points = Just(catalog.points.clone()).prop_shuffle();
        (Just(catalog), points)
    }), policy in policy(), zone in zone()) {
        let listed_otherwise = Catalog { points: shuffled, ..catalog.clone() };
        prop_assert_eq!(decide(&catalog, &policy, now(), &zone), decide(&listed_otherwise, &policy, now(), &zone));
    }

    #[test]
    fn every_rule_keeps_the_newest_sound_point_of_each_period(catalog in catalog(), policy in policy(), zone in zone()) {
        let going = going(&decide(&catalog, &policy, now(), &zone));
        for (most, form) in counting(&policy) {
            let mut seen = BTreeSet::new();
            for point in usable(&catalog, &policy).into_iter().filter(|point| is_sound(point)) {
                let period = period(point, form, &zone);
                let wanted = seen.len() < most as usize && seen.insert(period.clone());
                prop_assert!(!wanted || !going.contains(&point.run), "{} is the newest of {period}", point.run);
            }
        }
    }

    #[test]
    fn a_damaged_point_stays_while_its_period_has_no_better_one(catalog in catalog(), policy in policy(), zone in zone()) {
        let going = going(&decide(&catalog, &policy, now(), &zone));
        for (most, form) in counting(&policy) {
            // Down to the last period that counts.
            let (mut counted, mut seen) = (BTreeSet::new(), BTreeSet::new());
            let usable = usable(&catalog, &policy);
            let sound: BTreeSet<String> = usable.iter().filter(|point| is_sound(point)).map(|point| period(point, form, &zone)).collect();
            // Of one that is damaged only elsewhere, the copy here may be good.
            let better = |point: &&&PointFacts| point.doubt.is_none() && point.damage != Some(Damage::Here);
            let better: BTreeSet<String> = usable.iter().filter(better).map(|point| period(point, form, &zone)).collect();
            for point in usable.into_iter().filter(|point| point.doubt.is_none()) {
                let period = period(point, form, &zone);
                if sound.contains(&period) {
                    counted.insert(period);
                } else if counted.len() < most as usize && !better.contains(&period) && seen.insert(period.clone()) {
                    prop_assert!(!going.contains(&point.run), "{} is the best of {period}", point.run);
                }
            }
        }
    }

    #[test]
    fn damaged_points_change_nothing_for_those_that_are_sound(catalog in catalog(), policy in policy(), zone in zone()) {
        // Without chains, for what is damaged may need others, and without limits, which are of what is there.
        let mut catalog = Catalog { rpo: None, ..catalog };
        catalog.points.iter_mut().for_each(|point| point.depends_on.clear());
        let policy = Policy { max_delete: None, ..policy };
        let alone = Catalog { points: catalog.points.iter().filter(|point| point.damage.is_none()).cloned().collect(), ..catalog.clone() };
        let of_alone = |verdict: &Verdict, actions: &[Action]| -> BTreeSet<RunId> {
            runs(verdict, actions).into_iter().filter(|run| alone.points.iter().any(|point| point.run == *run)).collect()
        };
        let (with, without) = (decide(&catalog, &policy, now(), &zone), decide(&alone, &policy, now(), &zone));
        for actions in [[Action::Tombstone, Action::Delete], [Action::Keep, Action::Undelete]] {
            prop_assert_eq!(of_alone(&with, &actions), of_alone(&without, &actions));
        }
    }

    #[test]
    fn what_goes_is_wanted_by_nothing(catalog in catalog(), policy in policy(), zone in zone()) {
        let verdict = decide(&catalog, &policy, now(), &zone);
        for decision in verdict.decisions.iter().filter(|decision| matches!(decision.action, Action::Tombstone | Action::Delete)) {
            prop_assert!(decision.reasons.contains(&Reason::Unwanted) && verdict.halts.is_empty(), "{decision:?}");
        }
    }
}

/// Whether a point needs another, however far down.
fn reaches(catalog: &Catalog, from: &RunId, to: &RunId) -> bool {
    let (mut open, mut seen) = (vec![from.clone()], BTreeSet::new());
    while let Some(run) = open.pop() {
        if run == *to {
            return true;
        }
        if seen.insert(run.clone()) {
            open.extend(catalog.points.iter().filter(|point| point.run == run).flat_map(|point| point.depends_on.clone()));
        }
    }
    false
}

#[test]
fn the_catalogs_above_let_points_go_wait_and_come_back_often_enough_to_mean_something() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut counts = BTreeMap::new();
    for _ in 0..500 {
        let (catalog, policy) = (catalog(), policy()).new_tree(&mut runner).unwrap().current();
        let verdict = decide(&catalog, &policy, now(), &TimeZone::UTC);
        for decision in &verdict.decisions {
            *counts.entry(decision.action.to_string()).or_insert(0) += 1;
        }
    }
    let enough =
        ["keep", "undelete", "tombstone", "wait", "delete"].iter().all(|action| counts.get(*action).is_some_and(|count| *count > 300));
    assert!(enough, "{counts:?}");
}

#[test]
fn ten_thousand_points_in_one_chain_are_decided_in_seconds() {
    let mut points: Vec<PointFacts> = Vec::new();
    for number in 0..10_000_i64 {
        let taken = now() - SignedDuration::from_secs(number * HOUR);
        let depends_on = points.last().map(|point: &PointFacts| point.run.clone()).into_iter().collect();
        points.push(PointFacts { depends_on, ..PointFacts::new(RunId::starting(taken, [0; 3]), taken, 1, Some(Level::Stored)) });
    }
    let started = std::time::Instant::now();
    let verdict = decide(&Catalog { points, ..Catalog::default() }, &Policy::keeping("last=3".parse().unwrap()), now(), &TimeZone::UTC);
    // Each needs the one that is newer: the oldest is needed by none, and the three newest need only each other.
    assert_eq!((verdict.count(Action::Keep), verdict.count(Action::Tombstone)), (3, 9997));
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}
