//! The buckets of the rules at the edges of the calendar, checked by hand: changed clocks, leap days, ISO weeks, time zones.

#![expect(clippy::unwrap_used, reason = "a test that can not read its own times fails")]

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use runner::ids::RunId;
use runner::retention::{Catalog, PointFacts, Policy, Reason, Rule, decide};
use runner::store::manifest::Level;

fn point(taken: &str) -> PointFacts {
    let taken: Timestamp = taken.parse().unwrap();
    PointFacts::new(RunId::starting(taken, [0; 3]), taken, 1, Some(Level::Stored))
}

/// For each of these times: the period that a rule which keeps many keeps it for, or `-`.
fn periods(rule: &str, zone: &str, times: &[&str]) -> Vec<String> {
    let catalog = Catalog { points: times.iter().map(|time| point(time)).collect(), ..Catalog::default() };
    let now = catalog.points.iter().map(|point| point.taken).max().unwrap();
    let verdict = decide(&catalog, &Policy::keeping(format!("{rule}=99").parse().unwrap()), now, &TimeZone::get(zone).unwrap());
    let period = |point: &PointFacts| {
        let decision = verdict.decisions.iter().find(|decision| decision.run == point.run).unwrap();
        let slot = decision.reasons.iter().find_map(|reason| match reason {
            Reason::Slot { period, .. } => Some(period.clone()),
            _ => None,
        });
        slot.unwrap_or_else(|| "-".to_owned())
    };
    catalog.points.iter().map(period).collect()
}

#[test]
fn a_repeated_hour_is_two_hours_and_a_skipped_one_is_none() {
    // New York, 1 November 2026: 01:00 to 02:00 at -04:00, then again at -05:00.
    let autumn =
        ["2026-11-01T04:59Z", "2026-11-01T05:00Z", "2026-11-01T05:59Z", "2026-11-01T06:00Z", "2026-11-01T06:59Z", "2026-11-01T07:00Z"];
    let named = ["2026-11-01 00:00-04:00", "-", "2026-11-01 01:00-04:00", "-", "2026-11-01 01:00-05:00", "2026-11-01 02:00-05:00"];
    assert_eq!(periods("hourly", "America/New_York", &autumn), named);
    // New York, 8 March 2026: 02:00 is 03:00.
    let named = ["2026-03-08 01:00-05:00", "2026-03-08 03:00-04:00"];
    assert_eq!(periods("hourly", "America/New_York", &["2026-03-08T06:59Z", "2026-03-08T07:00Z"]), named);
    // Berlin, 25 October 2026: 02:00 to 03:00 at +02:00, then again at +01:00.
    let autumn = ["2026-10-25T00:30Z", "2026-10-25T01:30Z", "2026-10-25T02:30Z"];
    let named = ["2026-10-25 02:00+02:00", "2026-10-25 02:00+01:00", "2026-10-25 03:00+01:00"];
    assert_eq!(periods("hourly", "Europe/Berlin", &autumn), named);
    // Seoul has no summer time: the same moments are three plain hours.
    let named = ["2026-10-25 09:00+09:00", "2026-10-25 10:00+09:00", "2026-10-25 11:00+09:00"];
    assert_eq!(periods("hourly", "Asia/Seoul", &autumn), named);
    // Lord Howe Island, 5 April 2026: half an hour, 01:30 to 02:00, comes twice.
    let autumn = ["2026-04-04T14:45Z", "2026-04-04T15:15Z", "2026-04-04T15:45Z"];
    let named = ["2026-04-05 01:00+11:00", "2026-04-05 01:00+10:30", "2026-04-05 02:00+10:30"];
    assert_eq!(periods("hourly", "Australia/Lord_Howe", &autumn), named);
}

#[test]
fn days_of_23_and_25_hours_are_one_day() {
    // Berlin, 29 March 2026, has 23 hours: 23:00Z to 22:00Z.
    let spring = ["2026-03-28T22:59Z", "2026-03-28T23:00Z", "2026-03-29T21:59Z", "2026-03-29T22:00Z"];
    assert_eq!(periods("daily", "Europe/Berlin", &spring), ["2026-03-28", "-", "2026-03-29", "2026-03-30"]);
    // Berlin, 25 October 2026, has 25 hours: 22:00Z to 23:00Z.
    let autumn = ["2026-10-24T21:59Z", "2026-10-24T22:00Z", "2026-10-25T22:59Z", "2026-10-25T23:00Z"];
    assert_eq!(periods("daily", "Europe/Berlin", &autumn), ["2026-10-24", "-", "2026-10-25", "2026-10-26"]);
    // New York, 1 November 2026, has 25 hours: 04:00Z to 05:00Z.
    let autumn = ["2026-11-01T03:59Z", "2026-11-01T04:00Z", "2026-11-02T04:59Z", "2026-11-02T05:00Z"];
    assert_eq!(periods("daily", "America/New_York", &autumn), ["2026-10-31", "-", "2026-11-01", "2026-11-02"]);
    // Seoul begins its days at 15:00Z.
    assert_eq!(periods("daily", "Asia/Seoul", &["2026-11-01T14:59Z", "2026-11-01T15:00Z"]), ["2026-11-01", "2026-11-02"]);
}

#[test]
fn leap_days_are_days_of_february_where_there_is_one() {
    let leap = ["2028-02-28T12:00Z", "2028-02-29T12:00Z", "2028-03-01T12:00Z"];
    for zone in ["Asia/Seoul", "Europe/Berlin", "America/New_York"] {
        assert_eq!(periods("daily", zone, &leap), ["2028-02-28", "2028-02-29", "2028-03-01"], "{zone}");
        assert_eq!(periods("monthly", zone, &leap), ["-", "2028-02", "2028-03"], "{zone}");
        assert_eq!(periods("weekly", zone, &leap), ["-", "-", "2028-W09"], "{zone}");
    }
    // 14:59Z on 29 February is the last minute of the leap day, and of the month, in Seoul; in New York it is morning.
    let edge = ["2028-02-29T14:59Z", "2028-02-29T15:00Z"];
    assert_eq!(periods("monthly", "Asia/Seoul", &edge), ["2028-02", "2028-03"]);
    assert_eq!(periods("monthly", "America/New_York", &edge), ["-", "2028-02"]);
    // 2100 is no leap year; 2028 has a 366th day, which is not of 2029.
    assert_eq!(periods("daily", "Asia/Seoul", &["2100-02-28T14:59Z", "2100-02-28T15:00Z"]), ["2100-02-28", "2100-03-01"]);
    assert_eq!(periods("yearly", "Europe/Berlin", &["2028-12-30T12:00Z", "2028-12-31T12:00Z", "2029-01-01T12:00Z"]), ["-", "2028", "2029"]);
}

#[test]
fn weeks_begin_on_monday_and_belong_to_the_year_of_their_thursday() {
    // 2026 has 53 weeks; its last one ends on Sunday, 3 January 2027.
    let seoul = ["2026-12-27T14:59Z", "2026-12-27T15:00Z", "2027-01-03T14:59Z", "2027-01-03T15:00Z"];
    assert_eq!(periods("weekly", "Asia/Seoul", &seoul), ["2026-W52", "-", "2026-W53", "2027-W01"]);
    // Berlin's Monday of the week in which the clocks go forward begins at 23:00Z, the next one at 22:00Z.
    let berlin = ["2026-03-22T22:59Z", "2026-03-22T23:00Z", "2026-03-29T21:59Z", "2026-03-29T22:00Z"];
    assert_eq!(periods("weekly", "Europe/Berlin", &berlin), ["2026-W12", "-", "2026-W13", "2026-W14"]);
    let new_york = ["2026-11-02T04:59Z", "2026-11-02T05:00Z"];
    assert_eq!(periods("weekly", "America/New_York", &new_york), ["2026-W44", "2026-W45"]);
}

#[test]
fn the_year_turns_with_the_time_zone() {
    let times = ["2026-12-31T14:59Z", "2026-12-31T15:00Z", "2026-12-31T23:00Z", "2027-01-01T05:00Z"];
    assert_eq!(periods("yearly", "Asia/Seoul", &times), ["2026", "-", "-", "2027"]);
    assert_eq!(periods("yearly", "Europe/Berlin", &times), ["-", "2026", "-", "2027"]);
    assert_eq!(periods("yearly", "America/New_York", &times), ["-", "-", "2026", "2027"]);
}

#[test]
fn only_days_that_have_a_point_are_counted() {
    let times = ["2026-01-05T12:00Z", "2026-01-20T12:00Z", "2026-03-01T12:00Z", "2026-03-02T12:00Z"];
    let catalog = Catalog { points: times.iter().map(|time| point(time)).collect(), ..Catalog::default() };
    let verdict = decide(&catalog, &Policy::keeping("daily=3".parse().unwrap()), "2026-03-02T12:00Z".parse().unwrap(), &TimeZone::UTC);
    let said: Vec<String> = verdict.decisions.iter().map(|decision| decision.reasons[0].to_string()).collect();
    assert_eq!(said, ["daily 1 of 3: 2026-03-02", "daily 2 of 3: 2026-03-01", "daily 3 of 3: 2026-01-20", "no rule keeps it"]);
}

/// Moments at which some clock or calendar does something unusual.
const EDGES: [&str; 9] = [
    "2026-03-08T07:00Z",
    "2026-11-01T06:00Z",
    "2026-03-29T01:00Z",
    "2026-10-25T01:00Z",
    "2028-02-29T12:00Z",
    "2100-03-01T00:00Z",
    "2026-12-31T15:00Z",
    "2027-01-03T15:00Z",
    "2028-12-31T23:00Z",
];

/// The period of a moment as a number, from its offset to UTC alone: days are counted since 1970-01-01, a Thursday, and the calendar is
/// that of the Roman year which begins in March, whose leap day is its last.
fn period_of(rule: Rule, taken: Timestamp, zone: &TimeZone) -> (i64, i64) {
    let offset = i64::from(zone.to_offset(taken).seconds());
    let local = taken.as_second() + offset;
    let day = local.div_euclid(86_400);
    let march = day + 719_468;
    let (era, in_era) = (march.div_euclid(146_097), march.rem_euclid(146_097));
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let months = (era * 400 + year) * 12 + month + 2;
    match rule {
        Rule::Hourly => (local.div_euclid(3600), offset),
        Rule::Weekly => ((day + 3).div_euclid(7), 0),
        Rule::Monthly => (months, 0),
        Rule::Yearly => (months.div_euclid(12), 0),
        _ => (day, 0),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_rule_keeps_the_newest_of_its_periods_where_clocks_change_and_days_are_added(
        edge in select(EDGES.to_vec()),
        rule in select(vec![Rule::Hourly, Rule::Daily, Rule::Weekly, Rule::Monthly, Rule::Yearly]),
        zone in select(vec!["Asia/Seoul", "Europe/Berlin", "America/New_York"]),
        most in 1..12_u32,
        minutes in prop_oneof![vec(-200..200_i64, 1..40), vec(-6000..6000_i64, 1..40)],
    ) {
        let (edge, zone): (Timestamp, _) = (edge.parse().unwrap(), TimeZone::get(zone).unwrap());
        let minutes: BTreeSet<i64> = minutes.into_iter().collect();
        let times: Vec<Timestamp> = minutes.into_iter().rev().map(|minute| edge + jiff::SignedDuration::from_mins(minute)).collect();
        let catalog = Catalog { points: times.iter().map(|time| point(&time.to_string())).collect(), ..Catalog::default() };
        let verdict = decide(&catalog, &Policy::keeping(format!("{rule}={most}").parse().unwrap()), times[0], &zone);
        let (mut periods, mut expected) = (BTreeSet::new(), Vec::new());
        for time in &times {
            if periods.len() < most as usize && periods.insert(period_of(rule, *time, &zone)) {
                expected.push(RunId::starting(*time, [0; 3]));
            }
        }
        let kept = verdict.decisions.iter().filter(|decision| decision.reasons.iter().any(|reason| matches!(reason, Reason::Slot { .. })));
        prop_assert_eq!(kept.map(|decision| decision.run.clone()).collect::<Vec<_>>(), expected);
    }
}
