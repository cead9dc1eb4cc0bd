//! 한국어: what is missed, what is worth a look, and why runs failed.

use super::{length, limit};
use crate::ids::PipelineName;
use crate::quantity::{Duration, bytes};
use crate::status::{Attempt, Cause, Complaint, Concern, Miss};

pub(in super::super) fn miss(miss: &Miss) -> String {
    let brief = |age: &Duration| length(age.std());
    match miss {
        Miss::NoPoint => "복원 지점이 없습니다".to_owned(),
        Miss::Rpo { age, rpo } => format!("최신 복원 지점이 {} 지났습니다. RPO는 {}입니다", brief(age), limit(*rpo)),
        Miss::NeverProven { every, since: None } => {
            format!("검증된 복원 지점이 한 번도 없었습니다. {}마다 하나는 있어야 합니다", limit(*every))
        }
        Miss::NeverProven { every, since: Some(since) } => {
            let day = since.strftime("%Y-%m-%d");
            format!("{day} 이후 검증된 복원 지점이 없습니다. {}마다 하나는 있어야 합니다", limit(*every))
        }
        Miss::VerifiedEvery { age, every, .. } => {
            format!("마지막 검증이 {} 전입니다. {}마다 한 번은 있어야 합니다", brief(age), limit(*every))
        }
        Miss::Rto { took, rto } => format!("측정된 복구에 {} 걸렸습니다. RTO는 {}입니다", brief(took), limit(*rto)),
        Miss::Copies { found, copies } => format!("최신 복원 지점이 저장소 {copies}곳 중 {found}곳에만 있습니다"),
        Miss::MinSize { bytes: found, least } => {
            format!("최신 덤프가 {}뿐입니다. 적어도 {}이어야 합니다", bytes(*found), bytes(*least))
        }
        Miss::MaxShrink { bytes: found, typical, most } => {
            format!("최신 덤프가 {}로, 이전 중앙값 {}보다 {most} 넘게 작습니다", bytes(*found), bytes(*typical))
        }
        Miss::Unreachable { store, why } => format!("저장소 {store}: 응답이 없습니다. {why}"),
    }
}

pub(in super::super) fn concern(concern: &Concern) -> String {
    let whose = |of: &Option<PipelineName>| of.as_ref().map(|of| format!("{of}의 ")).unwrap_or_default();
    let on = |last: &Attempt| last.host.as_ref().map(|host| format!("({host})")).unwrap_or_default();
    match concern {
        Concern::Failed { times, last } => {
            format!("최신 복원 지점 이후 {times}번 실패했습니다. 마지막은 {}{}: {}", last.run, on(last), cause(&last.cause))
        }
        Concern::EndedBadly { last } => {
            format!("최신 복원 지점을 만든 실행 {}{}: 실패했습니다. {}", last.run, on(last), cause(&last.cause))
        }
        Concern::Unusable { run, why: Some(why) } => format!("복원 지점 {run}: {}", complaint(why)),
        Concern::Unusable { run, why: None } => format!("복원 지점 {run}: 쓸 수 없습니다. 이유는 알 수 없습니다"),
        Concern::Complaint { run, why } => format!("최신 복원 지점 {run}: {}", complaint(why)),
        Concern::Leaving { run } => format!("최신 복원 지점 {run}: 삭제가 예정되어 있습니다"),
        Concern::Ahead { run, started } => format!(
            "복원 지점 {run}: 시작 시각이 {started}로 아직 오지 않은 때입니다. 어느 호스트의 시계가 크게 앞섰던 것으로, 그때까지는 최신으로 치지 않습니다"
        ),
        Concern::Unlike { bytes: found, typical } => format!(
            "최신 덤프가 {}로, 이전 중앙값 {}의 절반도 되지 않습니다. 얼마나 작아져도 되는지는 `objectives.max_shrink`로 정합니다",
            bytes(*found),
            bytes(*typical)
        ),
        Concern::Unmeasured { rto } => format!("RTO는 {}인데, 최근 복원 지점의 복구 시간을 측정하지 않았습니다", limit(*rto)),
        Concern::Stuck { lease, of, silent } => format!(
            "{}실행 {}({})이 저장소 {}의 잠금을 쥔 채 {} 동안 갱신하지 않았습니다. 멈췄거나 죽은 것이며, 다음 실행이 이어받습니다",
            whose(of),
            lease.run,
            lease.host,
            lease.store,
            length(silent.std())
        ),
        Concern::Long { lease, of, long } => {
            format!("{}실행 {}({})이 RPO보다 긴 {} 동안 진행 중입니다", whose(of), lease.run, lease.host, length(long.std()))
        }
        Concern::Trouble { store, what } => format!("저장소 {store}에 쓸 수 없는 기록이 있습니다. {what}"),
    }
}

fn complaint(complaint: &Complaint) -> String {
    match complaint {
        Complaint::Manifest(why) => format!("매니페스트를 쓸 수 없습니다. {why}"),
        Complaint::Content(why) => format!("검증에서 내용이 잘못된 것으로 확인되었습니다. {why}"),
        Complaint::Verification(why) => format!("최근 검증이 실패했습니다. {why}"),
    }
}

pub(in super::super) fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Failed(error) => error.clone(),
        Cause::Stopped(error) => format!("중단되었습니다. {error}"),
        Cause::Refused(error) => format!("시작하지 못했습니다. {error}"),
        Cause::Died => "커밋 전에 죽었고, 이후 실행이 무효로 했습니다".to_owned(),
        Cause::Unreadable => "실패했지만 이유를 읽을 수 없습니다".to_owned(),
    }
}
