//! The judgement and the turn, from facts made by hand.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::ids::RunId;
use crate::store::manifest::Level;

const MB: u64 = 1_000_000;

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn ago(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

fn run(hours: i64) -> RunId {
    RunId::starting(ago(hours), [7, 7, 7])
}

/// A proven point of so many hours ago.
fn point(hours: i64) -> PointFacts {
    PointFacts {
        run: run(hours),
        started: ago(hours),
        committed: Some(ago(hours)),
        dumped: 100 * MB,
        stored: 10 * MB,
        level: Some(Level::Proven),
        proven: Some(ago(hours)),
        recovery: Some(Recovery { took: Duration::from_mins(5), bytes: 100 * MB, objective: None }),
        damaged: false,
        complaint: None,
        holds: ["올림".parse().unwrap()].into(),
        parts: ["올림".parse().unwrap()].into(),
        leaving: None,
        gone_after: None,
        pinned: None,
    }
}

fn seen(points: Vec<PointFacts>) -> Seen {
    let dumped = points.iter().map(|point| (point.run.clone(), point.dumped)).collect();
    Seen { points, dumped, ..Seen::default() }
}

fn subject(objectives: serde_json::Value, stores: Vec<Result<Seen, String>>) -> Subject {
    let store = |(at, seen)| StoreFacts { store: format!("창고{at}").parse().unwrap(), place: "/backups".to_owned(), seen };
    Subject {
        pipeline: "주문-야간".parse().unwrap(),
        schedule: None,
        objectives: serde_json::from_value(objectives).unwrap(),
        stores: stores.into_iter().enumerate().map(store).collect(),
    }
}

fn judged(objectives: serde_json::Value, stores: Vec<Result<Seen, String>>) -> Status {
    judge(subject(objectives, stores), now())
}

fn names(status: &Status) -> Vec<&'static str> {
    status.missed.iter().map(Miss::objective).collect()
}

fn attempt(hours: i64) -> Attempt {
    Attempt {
        run: run(hours),
        started: ago(hours),
        ended: Some(ago(hours)),
        host: Some("db1".to_owned()),
        cause: Cause::Failed("dump: no route".to_owned()),
    }
}

fn lease(hours: i64, silent: Duration) -> LeaseFacts {
    LeaseFacts {
        store: "창고0".parse().unwrap(),
        pipeline: "주문-야간".parse().unwrap(),
        run: run(hours),
        host: "db1".to_owned(),
        since: ago(hours),
        renewed: now() - SignedDuration::try_from(silent).unwrap(),
        ttl: Duration::from_mins(1),
    }
}

#[test]
fn what_meets_every_objective_is_good_and_each_is_missed_alone() {
    let all =
        serde_json::json!({ "rpo": "26h", "rto": "10m", "copies": 2, "verified_every": "7d", "min_size": "90 MB", "max_shrink": "30%" });
    let week = || (1..9).map(|day| point(day * 24 - 20)).collect::<Vec<_>>();
    let with = |change: &dyn Fn(&mut PointFacts)| {
        let mut points = week();
        change(&mut points[0]);
        judged(all.clone(), vec![Ok(seen(points.clone())), Ok(seen(points))])
    };
    let good = with(&|_| {});
    assert_eq!((good.light, names(&good), good.copies), (Light::Good, vec![], 2), "{:?}", good.concerns);
    assert_eq!((good.typical_bytes, good.newest.as_ref().unwrap().stored), (Some(100 * MB), 20 * MB));
    let slow = Recovery { took: Duration::from_mins(11), bytes: 1, objective: None };
    assert_eq!(names(&with(&|point| point.recovery = Some(slow))), ["rto"]);
    assert_eq!(names(&with(&|point| point.dumped = 80 * MB)), ["min_size"]);
    assert_eq!(names(&with(&|point| point.dumped = 69 * MB)), ["min_size", "max_shrink"]);
    assert_eq!(names(&judged(all.clone(), vec![Ok(seen(week())), Ok(seen(week().split_off(1)))])), ["copies"]);
    assert_eq!(names(&judged(all.clone(), vec![Ok(seen(week())), Err("no route".to_owned())])), ["store", "copies"]);
    assert_eq!(names(&judged(all.clone(), vec![Ok(Seen::default())])), ["point"]);
    assert_eq!(names(&judged(all.clone(), vec![Err("no route".to_owned())])), ["store"], "whether there is one nobody can say");
    assert_eq!(names(&judged(all.clone(), vec![Err("no route".to_owned()), Ok(Seen::default())])), ["store", "point"]);
    let old = judged(serde_json::json!({ "rpo": "26h", "verified_every": "7d" }), vec![Ok(seen(vec![point(27), point(200)]))]);
    assert_eq!((names(&old), old.light), (vec!["rpo"], Light::Bad));
    let said = old.missed[0].to_string();
    assert_eq!(said, "the newest restore point is 1 d 03 h old; the RPO is 1d 2h");
}

#[test]
fn a_proof_is_wanted_of_the_newest_proven_point() {
    let unproven = |hours| PointFacts { level: Some(Level::Decoded), proven: None, ..point(hours) };
    let every = serde_json::json!({ "verified_every": "7d" });
    let status = judged(every.clone(), vec![Ok(seen(vec![unproven(1), point(24 * 8)]))]);
    assert!(matches!(status.missed[..], [Miss::VerifiedEvery { .. }]), "{:?}", status.missed);
    let looked = Seen { since: Some(ago(24 * 90)), ..seen(vec![unproven(1)]) };
    let status = judged(every.clone(), vec![Ok(looked)]);
    assert_eq!(status.missed[0].to_string(), "no restore point since 2026-08-22 was proven; there must be a proof every 7d");
    let status = judged(every.clone(), vec![Ok(seen(vec![unproven(1)]))]);
    assert_eq!(status.missed[0].to_string(), "no restore point was ever proven; there must be a proof every 7d");
    // An old point that was proven again today says nothing of the backups since.
    let again = PointFacts { proven: Some(ago(0)), ..point(24 * 30) };
    let status = judged(every, vec![Ok(seen(vec![point(24 * 8), again]))]);
    assert_eq!(names(&status), ["verified_every"]);
}

#[test]
fn a_point_that_can_not_be_used_is_none() {
    let broken = PointFacts { level: None, committed: None, complaint: Some(Complaint::Manifest("it was edited".to_owned())), ..point(1) };
    let rpo = serde_json::json!({ "rpo": "26h" });
    let status = judged(rpo.clone(), vec![Ok(seen(vec![broken.clone(), point(30)]))]);
    assert_eq!((names(&status), status.newest.as_ref().unwrap().run.clone()), (vec!["rpo"], run(30)));
    assert!(
        status.concerns[0].to_string().contains("can not be used: its manifest can not be used: it was edited"),
        "{:?}",
        status.concerns
    );
    assert_eq!(status.last_attempt, Some(ago(1)));
    assert_eq!(names(&judged(rpo.clone(), vec![Ok(seen(vec![broken.clone()]))])), ["point"]);
    // The other store has a good one of the same run.
    let status = judged(rpo, vec![Ok(seen(vec![broken])), Ok(seen(vec![point(1)]))]);
    assert_eq!((names(&status), status.newest.unwrap().run), (vec![], run(1)));
}

#[test]
fn a_point_that_is_known_to_be_damaged_meets_no_objective() {
    let wrong = |why: &str| Some(Complaint::Content(why.to_owned()));
    let damaged = |hours: i64| PointFacts {
        level: Some(Level::ReadBack),
        proven: None,
        damaged: true,
        complaint: wrong("rows differ"),
        ..point(hours)
    };
    let rpo = || serde_json::json!({ "rpo": "26h" });
    let status = judged(rpo(), vec![Ok(seen(vec![damaged(1), point(27)]))]);
    assert_eq!((names(&status), status.newest.as_ref().unwrap().run.clone(), status.damaged.len()), (vec!["rpo"], run(27), 1));
    let said = format!("the restore point {} can not be used: a verification found its content wrong: rows differ", run(1));
    assert_eq!(status.concerns[0].to_string(), said);
    assert_eq!(names(&judged(rpo(), vec![Ok(seen(vec![damaged(1)]))])), ["point"]);
    // What was dumped may be wrong, or one copy of it: another that was restored tells.
    let copy = |level| PointFacts { level: Some(level), proven: None, ..point(1) };
    for (level, missed) in [(Level::ReadBack, vec!["rpo"]), (Level::Restored, vec![])] {
        for stores in [[damaged(1), copy(level)], [copy(level), damaged(1)]] {
            let stores = stores.map(|newest| Ok(seen(vec![newest, point(27)])));
            assert_eq!(names(&judged(rpo(), stores.into())), missed, "{level}");
        }
    }
    // It is made once more at once, and then not every few minutes.
    let due = |points: Vec<PointFacts>| turn(&judged(rpo(), vec![Ok(seen(points))]), Means::default());
    assert!(due(vec![damaged(1), point(20)]).due);
    let twice = due(vec![damaged(1), damaged(2), point(20)]);
    assert_eq!(twice.why, format!("the last 2 points are damaged; tried again 13 h 00 m after the last, {}", run(1)));
    assert!(!twice.due && !due(vec![damaged(1), damaged(2)]).due);
    assert!(due(vec![damaged(14), damaged(15), point(20)]).due && !due(vec![damaged(1), point(2)]).due);
}

#[test]
fn a_run_that_failed_after_its_commit_is_told_apart() {
    let status =
        judged(serde_json::json!({}), vec![Ok(Seen { failed: vec![attempt(1), attempt(24), attempt(30)], ..seen(vec![point(24)]) })]);
    let said: Vec<String> = status.concerns.iter().map(ToString::to_string).collect();
    assert_eq!(status.failures.len(), 2);
    assert!(said[0].starts_with("1 run failed since the newest restore point; the last, "), "{said:?}");
    assert_eq!(said[1], format!("the run of the newest restore point, {} on db1, failed: dump: no route", run(24)));
}

#[test]
fn failures_since_the_newest_point_and_runs_without_a_sign_of_life_are_worth_a_look() {
    let none = || serde_json::json!({});
    let failed = |hours: &[i64]| Seen { failed: hours.iter().map(|hours| attempt(*hours)).collect(), ..seen(vec![point(24)]) };
    let dead = Attempt { ended: None, host: None, cause: Cause::Died, ..attempt(1) };
    let status = judged(none(), vec![Ok(Seen { failed: vec![dead], ..failed(&[]) }), Ok(failed(&[1, 2, 30]))]);
    assert_eq!((status.light, status.failures.len(), status.last_attempt), (Light::Attention, 2, Some(ago(1))));
    let said = status.concerns[0].to_string();
    assert!(said.starts_with("2 runs failed since") && said.ends_with(" on db1: dump: no route"), "{said}");
    let working = |lease: LeaseFacts| judged(serde_json::json!({ "rpo": "26h" }), vec![Ok(Seen { lease: Some(lease), ..failed(&[]) })]);
    let living = working(lease(1, Duration::from_secs(20)));
    assert_eq!((living.light, living.last_attempt), (Light::Good, Some(ago(1))));
    let stuck = working(lease(1, Duration::from_mins(40)));
    assert!(stuck.concerns[0].to_string().contains("has not renewed it for 40 m 00 s: it is stuck or dead"), "{:?}", stuck.concerns);
    let long = working(lease(27, Duration::from_secs(20)));
    assert!(long.concerns[0].to_string().contains("has been at work for 1 d 03 h, longer than the RPO"), "{:?}", long.concerns);
    let other = working(LeaseFacts { pipeline: "다른-팀".parse().unwrap(), ..lease(1, Duration::from_mins(40)) });
    assert!(other.concerns[0].to_string().contains(" of 다른-팀 on db1") && other.last_attempt == Some(ago(24)), "{:?}", other.concerns);
}

#[test]
fn what_no_objective_speaks_of_is_worth_a_look() {
    let mut points: Vec<PointFacts> = (1..6).map(point).collect();
    points[0].dumped = 40 * MB;
    let small = judged(serde_json::json!({}), vec![Ok(seen(points))]);
    assert!(small.concerns[0].to_string().contains("less than half"), "{:?}", small.concerns);
    let unmeasured = PointFacts { recovery: None, ..point(1) };
    let status = judged(serde_json::json!({ "rto": "1h" }), vec![Ok(seen(vec![unmeasured]))]);
    assert_eq!((status.light, names(&status)), (Light::Attention, vec![]));
    assert!(status.concerns[0].to_string().starts_with("the RTO is 1h, and no recovery"), "{:?}", status.concerns);
    let leaving = PointFacts { leaving: Some(ago(0)), ..point(1) };
    let status = judged(serde_json::json!({}), vec![Ok(seen(vec![leaving.clone()])), Ok(seen(vec![point(1)]))]);
    assert_eq!(status.light, Light::Good, "it stays in the other store");
    assert_eq!(judged(serde_json::json!({}), vec![Ok(seen(vec![leaving]))]).light, Light::Attention);
}

#[test]
fn a_point_from_a_clock_that_is_far_ahead_hides_nothing_and_is_told() {
    let all = serde_json::json!({ "rpo": "26h", "verified_every": "7d" });
    let with = |points: Vec<PointFacts>, failed: Vec<Attempt>| judged(all.clone(), vec![Ok(Seen { failed, ..seen(points) })]);
    let status = with(vec![point(-48), point(27)], vec![attempt(1)]);
    assert_eq!((names(&status), status.newest.as_ref().unwrap().run.clone()), (vec!["rpo"], run(27)));
    assert_eq!((status.failures.len(), status.last_attempt, turn(&status, Means::default()).due), (1, Some(ago(1)), true));
    let said = format!("the restore point {} is said to begin at 2026-11-22T12:00:00Z, which is yet to come", run(-48));
    assert!(status.concerns.iter().any(|concern| concern.to_string().starts_with(&said)), "{:?}", status.concerns);
    assert_eq!(names(&with(vec![point(-48)], Vec::new())), ["point"], "it alone is none");
    // Clocks may differ a little.
    let close = PointFacts { run: RunId::starting(now() + SignedDuration::from_mins(20), [7; 3]), ..point(0) };
    let status = with(vec![close.clone(), point(27)], Vec::new());
    assert_eq!((names(&status), status.newest.unwrap().run), (vec![], close.run));
}

#[test]
fn clocks_that_are_ahead_make_nothing_panic() {
    let far = LeaseFacts { renewed: Timestamp::MAX, since: Timestamp::MIN, ttl: Duration::MAX, ..lease(-48, Duration::ZERO) };
    let all = serde_json::json!({ "rpo": "26h", "verified_every": "7d" });
    let status = judged(all, vec![Ok(Seen { lease: Some(far), failed: vec![attempt(-400)], ..seen(vec![point(-48), point(1)]) })]);
    assert_eq!((names(&status), turn(&status, Means::default()).due), (vec![], false));
}

fn schedule(cron: &str, zone: &str) -> Schedule {
    serde_json::from_value(serde_json::json!({ "cron": cron, "timezone": zone })).unwrap()
}

/// The turn of a pipeline at a moment, with a point that began at another.
fn turn_at(cron: Option<(&str, &str)>, rpo: Option<&str>, began: &str, at: &str) -> Turn {
    let (began, at): (Timestamp, Timestamp) = (began.parse().unwrap(), at.parse().unwrap());
    let newest = PointFacts { run: RunId::starting(began, [1, 2, 3]), started: began, ..point(0) };
    let objectives = rpo.map_or_else(|| serde_json::json!({}), |rpo| serde_json::json!({ "rpo": rpo }));
    let schedule = cron.map(|(cron, zone)| schedule(cron, zone));
    turn(&judge(Subject { schedule, ..subject(objectives, vec![Ok(seen(vec![newest]))]) }, at), Means::default())
}

#[test]
fn it_is_a_pipelines_turn_when_its_time_has_passed_since_its_newest_point() {
    let nightly = Some(("17 2 * * *", "Asia/Seoul"));
    let not = turn_at(nightly, Some("26h"), "2026-11-19T17:17:05Z", "2026-11-20T12:00:00Z");
    assert_eq!((not.due, not.why.as_str()), (false, "the newest point is 20261119T171705Z-010203, the next time 2026-11-21 02:17 KST"));
    let due = turn_at(nightly, Some("26h"), "2026-11-19T17:17:05Z", "2026-11-20T17:17:00Z");
    assert!(due.due && due.why.starts_with("2026-11-21 02:17 KST has passed since"), "{due:?}");
    // A schedule rarer than the RPO runs at half of it, and not without end.
    assert!(!turn_at(nightly, Some("12h"), "2026-11-19T17:17:05Z", "2026-11-19T23:17:00Z").due);
    let early = turn_at(nightly, Some("12h"), "2026-11-19T17:17:05Z", "2026-11-19T23:18:00Z");
    assert!(early.due && early.why.contains("would be older than the RPO of 12h before the next time"), "{early:?}");
    assert!(!turn_at(None, Some("26h"), "2026-11-19T17:17:05Z", "2026-11-20T06:17:00Z").due);
    assert!(turn_at(None, Some("26h"), "2026-11-19T17:17:05Z", "2026-11-20T06:18:00Z").due);
    assert_eq!(turn_at(None, None, "2026-11-20T11:59:59Z", "2026-11-20T12:00:00Z").why, "it has neither a schedule nor an RPO");
}

#[test]
fn where_clocks_are_put_forward_or_back_no_time_is_lost_and_none_runs_without_end() {
    // In Berlin 02:30 does not exist on 2026-03-29; in New York 01:30 comes twice on 2026-11-01.
    for (zone, cron, day) in [("Europe/Berlin", "30 2 * * *", "2026-03-29"), ("America/New_York", "30 1 * * *", "2026-11-01")] {
        let midnight: Timestamp = format!("{day}T00:00:00[{zone}]").parse::<jiff::Zoned>().unwrap().timestamp();
        let mut newest = midnight - SignedDuration::from_hours(20);
        let mut runs = 0;
        for quarter in 0..4 * 24 {
            let at = midnight + SignedDuration::from_mins(15 * quarter);
            if turn_at(Some((cron, zone)), Some("26h"), &newest.to_string(), &at.to_string()).due {
                (newest, runs) = (at, runs + 1);
            }
        }
        assert!((1..=2).contains(&runs), "{zone}: {runs} runs");
        let due = due(&schedule(cron, zone), midnight + SignedDuration::from_hours(12)).unwrap();
        assert!(due.last.unwrap() > midnight && due.next.unwrap() > midnight + SignedDuration::from_hours(20), "{zone}: {due:?}");
    }
}

#[test]
fn nobody_is_overtaken_who_is_at_work_and_nobody_waits_for_the_dead_or_the_failed() {
    let with = |lease: Option<LeaseFacts>, failed: Vec<Attempt>| {
        let seen = Seen { failed, lease, ..seen(vec![point(24)]) };
        turn(
            &judge(Subject { schedule: Some(schedule("0 6 * * *", "UTC")), ..subject(serde_json::json!({}), vec![Ok(seen)]) }, now()),
            Means::default(),
        )
    };
    assert!(with(None, Vec::new()).due && with(None, vec![attempt(5)]).due);
    let working = with(Some(lease(5, Duration::from_secs(20))), Vec::new());
    assert_eq!((working.due, working.why), (false, format!("run {} is at work on db1", run(5))));
    assert!(with(Some(lease(5, Duration::from_mins(40))), Vec::new()).due, "it gives no sign of life");
    assert!(with(Some(lease(7, Duration::from_secs(20))), Vec::new()).due, "it began before the time that has passed");
    let empty = |store| turn(&judged(serde_json::json!({ "rpo": "26h" }), vec![store]), Means::default());
    assert_eq!(empty(Ok(Seen::default())).why, "there is no restore point");
    assert_eq!(empty(Err("no route".to_owned())).why, "no store that answers has a restore point");
}

#[test]
fn an_objective_is_due_that_a_run_can_mend_and_the_last_one_did_not_fail_to() {
    let (proves, copies) = (Means { proves: true, ..Means::default() }, Means { copies: true, ..Means::default() });
    let weekly = |objectives, stores| judge(Subject { schedule: Some(schedule("0 0 * * 0", "UTC")), ..subject(objectives, stores) }, now());
    let unproven = |hours| PointFacts { level: Some(Level::Stored), proven: None, ..point(hours) };
    let proof =
        |points: Vec<PointFacts>, failed| weekly(serde_json::json!({ "verified_every": "3d" }), vec![Ok(Seen { failed, ..seen(points) })]);
    let old = proof(vec![unproven(40), point(24 * 4)], Vec::new());
    assert!(!turn(&old, copies).due, "no run of it proves anything");
    let told = turn(&old, proves);
    assert_eq!(told.why, "the newest proof is 4 d 00 h old; there must be one every 3d, and the last run began 1 d 16 h ago");
    assert!(told.due);
    assert!(!turn(&proof(vec![unproven(1), point(24 * 4)], Vec::new()), proves).due, "a run that did not prove it has just been");
    assert!(!turn(&proof(vec![unproven(40), point(24 * 4)], vec![attempt(1)]), proves).due, "nor one that failed");

    let two =
        |far: Result<Seen, String>| weekly(serde_json::json!({ "copies": 2 }), vec![Ok(seen(vec![point(1), point(25), point(49)])), far]);
    let behind = two(Ok(seen(vec![point(25), point(49)])));
    assert_eq!(turn(&behind, copies).why, "the newest restore point lies in 1 of 2 stores, and a run can copy it");
    assert!(turn(&behind, copies).due && !turn(&behind, proves).due);
    assert!(!turn(&two(Ok(seen(vec![point(1), point(49)]))), copies).due, "it is met");
    assert!(!turn(&two(Ok(seen(vec![point(49)]))), copies).due, "the run after the first that failed did not help either");
    assert!(!turn(&two(Ok(seen(Vec::new()))), copies).due);
    assert!(!turn(&two(Err("no route".to_owned())), copies).due, "it would fail again");
}
