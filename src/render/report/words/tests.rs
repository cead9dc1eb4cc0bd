//! What `status` judges, each kind of it in every language: a new kind does not compile here before it has its place.

use std::time::Duration as StdDuration;

use jiff::Timestamp;

use super::Language;
use crate::ids::RunId;
use crate::status::{Attempt, Cause, Complaint, Concern, LeaseFacts, Miss};

fn now() -> Timestamp {
    "2026-11-28T03:00:00Z".parse().unwrap()
}

fn run() -> RunId {
    "20261127T000000Z-0cafe0".parse().unwrap()
}

fn lease() -> LeaseFacts {
    LeaseFacts {
        store: "nas".parse().unwrap(),
        pipeline: "주문".parse().unwrap(),
        run: run(),
        host: "db1".to_owned(),
        since: now(),
        renewed: now(),
        ttl: StdDuration::from_mins(1),
    }
}

/// In the order of the words below.
const fn place(concern: &Concern) -> usize {
    match concern {
        Concern::Failed { .. } => 0,
        Concern::EndedBadly { .. } => 1,
        Concern::Unusable { why: Some(_), .. } => 2,
        Concern::Unusable { why: None, .. } => 3,
        Concern::Complaint { why: Complaint::Manifest(_), .. } => 4,
        Concern::Complaint { why: Complaint::Content(_), .. } => 5,
        Concern::Complaint { why: Complaint::Verification(_), .. } => 6,
        Concern::Leaving { .. } => 7,
        Concern::Ahead { .. } => 8,
        Concern::Unlike { .. } => 9,
        Concern::Unmeasured { .. } => 10,
        Concern::Stuck { .. } => 11,
        Concern::Long { .. } => 12,
        Concern::Trouble { .. } => 13,
    }
}

fn concerns() -> Vec<(Concern, &'static str, &'static str)> {
    let last =
        Attempt { run: run(), started: now(), ended: None, host: Some("db1".to_owned()), cause: Cause::Stopped("SIGTERM".to_owned()) };
    let edited = || Complaint::Manifest("it was edited".to_owned());
    let long = "1d 3h".parse().unwrap();
    vec![
        (
            Concern::Failed { times: 2, last: last.clone() },
            "2 runs failed since the newest restore point; the last, 20261127T000000Z-0cafe0 on db1: it was stopped: SIGTERM",
            "최신 복원 지점 이후 2번 실패했습니다. 마지막은 20261127T000000Z-0cafe0(db1): 중단되었습니다. SIGTERM",
        ),
        (
            Concern::EndedBadly { last },
            "the run of the newest restore point, 20261127T000000Z-0cafe0 on db1, failed: it was stopped: SIGTERM",
            "최신 복원 지점을 만든 실행 20261127T000000Z-0cafe0(db1): 실패했습니다. 중단되었습니다. SIGTERM",
        ),
        (
            Concern::Unusable { run: run(), why: Some(edited()) },
            "the restore point 20261127T000000Z-0cafe0 can not be used: its manifest can not be used: it was edited",
            "복원 지점 20261127T000000Z-0cafe0: 매니페스트를 쓸 수 없습니다. it was edited",
        ),
        (
            Concern::Unusable { run: run(), why: None },
            "the restore point 20261127T000000Z-0cafe0 can not be used: nobody knows why",
            "복원 지점 20261127T000000Z-0cafe0: 쓸 수 없습니다. 이유는 알 수 없습니다",
        ),
        (
            Concern::Complaint { run: run(), why: edited() },
            "the newest restore point, 20261127T000000Z-0cafe0: its manifest can not be used: it was edited",
            "최신 복원 지점 20261127T000000Z-0cafe0: 매니페스트를 쓸 수 없습니다. it was edited",
        ),
        (
            Concern::Complaint { run: run(), why: Complaint::Content("rows differ".to_owned()) },
            "the newest restore point, 20261127T000000Z-0cafe0: a verification found its content wrong: rows differ",
            "최신 복원 지점 20261127T000000Z-0cafe0: 검증에서 내용이 잘못된 것으로 확인되었습니다. rows differ",
        ),
        (
            Concern::Complaint { run: run(), why: Complaint::Verification("ERROR: 23505".to_owned()) },
            "the newest restore point, 20261127T000000Z-0cafe0: its newest verification failed: ERROR: 23505",
            "최신 복원 지점 20261127T000000Z-0cafe0: 최근 검증이 실패했습니다. ERROR: 23505",
        ),
        (
            Concern::Leaving { run: run() },
            "the newest restore point, 20261127T000000Z-0cafe0, is on the way out",
            "최신 복원 지점 20261127T000000Z-0cafe0: 삭제가 예정되어 있습니다",
        ),
        (
            Concern::Ahead { run: run(), started: "2026-11-27T00:00:00Z".parse().unwrap() },
            "the restore point 20261127T000000Z-0cafe0 is said to begin at 2026-11-27T00:00:00Z, which is yet to come: a host's clock was far \
             ahead, and until then the point does not count as the newest",
            "복원 지점 20261127T000000Z-0cafe0: 시작 시각이 2026-11-27T00:00:00Z로 아직 오지 않은 때입니다. 어느 호스트의 시계가 크게 앞섰던 것으로, \
             그때까지는 최신으로 치지 않습니다",
        ),
        (
            Concern::Unlike { bytes: 5_000_000, typical: 20_000_000 },
            "the newest dump has 5.00 MB, and the median before it 20.0 MB: less than half; `objectives.max_shrink` says how much is too much",
            "최신 덤프가 5.00 MB로, 이전 중앙값 20.0 MB의 절반도 되지 않습니다. 얼마나 작아져도 되는지는 `objectives.max_shrink`로 정합니다",
        ),
        (
            Concern::Unmeasured { rto: "1h".parse().unwrap() },
            "the RTO is 1h, and no recovery of the last points was measured",
            "RTO는 1시간인데, 최근 복원 지점의 복구 시간을 측정하지 않았습니다",
        ),
        (
            Concern::Stuck { lease: lease(), of: Some("주문".parse().unwrap()), silent: long },
            "run 20261127T000000Z-0cafe0 of 주문 on db1 holds the lease in nas and has not renewed it for 1 d 03 h: it is stuck or dead; the next run takes over",
            "주문의 실행 20261127T000000Z-0cafe0(db1)이 저장소 nas의 잠금을 쥔 채 1일 3시간 동안 갱신하지 않았습니다. 멈췄거나 죽은 것이며, 다음 실행이 이어받습니다",
        ),
        (
            Concern::Long { lease: lease(), of: None, long },
            "run 20261127T000000Z-0cafe0 on db1 has been at work for 1 d 03 h, longer than the RPO",
            "실행 20261127T000000Z-0cafe0(db1)이 RPO보다 긴 1일 3시간 동안 진행 중입니다",
        ),
        (
            Concern::Trouble { store: "nas".parse().unwrap(), what: "x.failed.json: EOF".to_owned() },
            "in nas: x.failed.json: EOF",
            "저장소 nas에 쓸 수 없는 기록이 있습니다. x.failed.json: EOF",
        ),
    ]
}

#[test]
fn every_concern_is_told_in_every_language() {
    let told = concerns();
    let places: Vec<usize> = told.iter().map(|(concern, ..)| place(concern)).collect();
    assert_eq!(places, (0..14).collect::<Vec<_>>());
    for (concern, english, korean) in &told {
        assert_eq!((Language::English.concern(concern).as_str(), concern.to_string().as_str()), (*english, *english));
        assert_eq!(Language::Korean.concern(concern), *korean);
    }
}

/// In the order of the words below.
const fn place_of_cause(cause: &Cause) -> usize {
    match cause {
        Cause::Failed(_) => 0,
        Cause::Stopped(_) => 1,
        Cause::Refused(_) => 2,
        Cause::Died => 3,
        Cause::Unreadable => 4,
    }
}

#[test]
fn every_cause_of_a_failure_is_told_in_every_language() {
    let error = || "db1: no route".to_owned();
    let told = [
        (Cause::Failed(error()), "db1: no route", "db1: no route"),
        (Cause::Stopped(error()), "it was stopped: db1: no route", "중단되었습니다. db1: no route"),
        (Cause::Refused(error()), "it could not start: db1: no route", "시작하지 못했습니다. db1: no route"),
        (Cause::Died, "it died before its commit, and a later run ruled it out", "커밋 전에 죽었고, 이후 실행이 무효로 했습니다"),
        (Cause::Unreadable, "it failed, and why can not be read", "실패했지만 이유를 읽을 수 없습니다"),
    ];
    let places: Vec<usize> = told.iter().map(|(cause, ..)| place_of_cause(cause)).collect();
    assert_eq!(places, (0..5).collect::<Vec<_>>());
    for (cause, english, korean) in &told {
        assert_eq!((Language::English.cause(cause).as_str(), Language::Korean.cause(cause).as_str()), (*english, *korean));
    }
}

/// In the order of the words below.
const fn place_of_miss(miss: &Miss) -> usize {
    match miss {
        Miss::NoPoint => 0,
        Miss::Rpo { .. } => 1,
        Miss::NeverProven { since: None, .. } => 2,
        Miss::NeverProven { .. } => 3,
        Miss::VerifiedEvery { .. } => 4,
        Miss::Rto { .. } => 5,
        Miss::Copies { .. } => 6,
        Miss::MinSize { .. } => 7,
        Miss::MaxShrink { .. } => 8,
        Miss::Unreachable { .. } => 9,
    }
}

#[test]
fn every_miss_is_told_in_every_language() {
    let (long, every, bytes) = ("1d 3h".parse().unwrap(), "7d".parse().unwrap(), 5_000_000);
    let told = [
        (Miss::NoPoint, "복원 지점이 없습니다"),
        (Miss::Rpo { age: long, rpo: "26h".parse().unwrap() }, "최신 복원 지점이 1일 3시간 지났습니다. RPO는 1일 2시간입니다"),
        (Miss::NeverProven { every, since: None }, "검증된 복원 지점이 한 번도 없었습니다. 7일마다 하나는 있어야 합니다"),
        (Miss::NeverProven { every, since: Some(now()) }, "2026-11-28 이후 검증된 복원 지점이 없습니다. 7일마다 하나는 있어야 합니다"),
        (Miss::VerifiedEvery { proven: now(), age: long, every }, "마지막 검증이 1일 3시간 전입니다. 7일마다 한 번은 있어야 합니다"),
        (Miss::Rto { took: long, rto: "1h".parse().unwrap() }, "측정된 복구에 1일 3시간 걸렸습니다. RTO는 1시간입니다"),
        (Miss::Copies { found: 1, copies: 2 }, "최신 복원 지점이 저장소 2곳 중 1곳에만 있습니다"),
        (Miss::MinSize { bytes, least: 2 * bytes }, "최신 덤프가 5.00 MB뿐입니다. 적어도 10.0 MB이어야 합니다"),
        (
            Miss::MaxShrink { bytes, typical: 4 * bytes, most: serde_json::from_value("30%".into()).unwrap() },
            "최신 덤프가 5.00 MB로, 이전 중앙값 20.0 MB보다 30% 넘게 작습니다",
        ),
        (
            Miss::Unreachable { store: "nas".parse().unwrap(), why: "403 AccessDenied".to_owned() },
            "저장소 nas: 응답이 없습니다. 403 AccessDenied",
        ),
    ];
    let places: Vec<usize> = told.iter().map(|(miss, _)| place_of_miss(miss)).collect();
    assert_eq!(places, (0..10).collect::<Vec<_>>());
    for (miss, korean) in &told {
        assert_eq!((Language::English.miss(miss), Language::Korean.miss(miss).as_str()), (miss.to_string(), *korean));
    }
}
