//! 한국어.

mod status;

use std::time::Duration as StdDuration;

use jiff::Timestamp;

use super::Labels;
use crate::ids::RefName;
use crate::plan::Action;
use crate::quantity::Duration;
use crate::retention::{Damage, Doubt, Halt, Phase, Reason, Rule};
use crate::status::Light;
use crate::store::manifest::Level;

pub(super) use status::{cause, concern, miss};

pub(super) const LABELS: Labels = Labels {
    lang: "ko",
    title: "백업 보고서",
    made: "작성",
    overview: "한눈에 보기",
    state: "상태",
    pipeline: "파이프라인",
    newest: "최신 복원 지점",
    level: "수준",
    proof: "마지막 검증",
    next: "다음 실행 예정",
    objectives: "목표",
    objective: "목표",
    wanted: "기준",
    found: "현재",
    verdict: "판정",
    met: "충족",
    missed: "미달",
    unknown: "알 수 없음",
    no_objectives: "이 파이프라인에는 선언된 목표가 없습니다.",
    concerns: "살펴볼 점",
    at_work: "지금 실행 중",
    zone: "시간대",
    points: "복원 지점",
    no_points: "아직 복원 지점이 없습니다.",
    never: "없음",
    kept: "보존",
    going: "삭제 예정",
    pinned: "고정",
    gap: "RPO보다 오래 복원 지점이 없던 구간",
    now: "지금",
    receding: "최근일수록 넓게, 오래될수록 촘촘하게 그렸습니다.",
    no_answer: "응답 없음",
    unread: "더 오래된 지점은 읽지 않아 무엇이 삭제될지 알 수 없습니다",
    trends: "추세",
    trend_hint: "한 칸이 복원 지점 하나이며, 왼쪽이 가장 오래된 것입니다.",
    too_few: "아직 그릴 것이 없습니다.",
    size: "크기",
    dumped: "덤프",
    stored: "저장",
    duration: "실행 시간",
    recovery: "측정된 복구 시간",
    recovery_limit: "RTO",
    never_measured: "아직 복구 시간을 측정하지 않았습니다. verify-restore 단계가 측정합니다.",
    last: "최근",
    least: "최소",
    most: "최대",
    failures: "최근 실패",
    no_failures: "기록된 실패가 없습니다.",
    when: "시각",
    host: "호스트",
    what: "내용",
    error: "오류",
    run_failed: "실행 실패",
    verification_failed: "검증 실패",
    manifest_unusable: "매니페스트를 쓸 수 없음",
    graph: "단계",
    graph_hint: "상자 하나가 노드 하나이고, 한 상자 안의 단계는 한 흐름으로 함께 실행됩니다. 다른 화살표에서 따라 나오는 화살표는 생략했습니다.",
    one_pass: "한 흐름",
    after_success: "성공을 기다림",
    after_end: "종료를 기다림",
    run: "실행",
    store: "저장소",
    took: "걸린 시간",
    fate: "보존 여부",
    newest_points: "최신 복원 지점 목록",
    others: "복원 지점을 만들지 않아 판정할 것이 없는 파이프라인:",
    top: "맨 위로",
};

pub(super) fn length(length: StdDuration) -> String {
    let tenths = (length.as_millis() + 50) / 100;
    if tenths < 100 {
        return format!("{}.{}초", tenths / 10, tenths % 10);
    }
    let seconds = length.as_secs() + u64::from(length.subsec_millis() >= 500);
    let two = |large: u64, unit: &str, small: u64, rest: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit} {small}{rest}"),
    };
    match seconds {
        0..60 => format!("{seconds}초"),
        60..3600 => two(seconds / 60, "분", seconds % 60, "초"),
        3600..86_400 => two(seconds / 3600, "시간", seconds % 3600 / 60, "분"),
        _ => two(seconds / 86_400, "일", seconds % 86_400 / 3600, "시간"),
    }
}

/// Exact, unlike a length that was measured.
pub(super) fn limit(limit: Duration) -> String {
    let seconds = limit.std().as_secs();
    let millis = u64::from(limit.std().subsec_millis());
    let parts = [
        (seconds / 86_400, "일"),
        (seconds % 86_400 / 3600, "시간"),
        (seconds % 3600 / 60, "분"),
        (seconds % 60, "초"),
        (millis, "밀리초"),
    ];
    let words: Vec<String> = parts.iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number}{unit}")).collect();
    if words.is_empty() { "0초".to_owned() } else { words.join(" ") }
}

pub(super) fn ago(age: &str) -> String {
    format!("{age} 전")
}

pub(super) fn ahead(time: &str) -> String {
    format!("{time} 후")
}

pub(super) fn at_most(what: &str) -> String {
    format!("{what} 이내")
}

pub(super) fn at_least(what: &str) -> String {
    format!("{what} 이상")
}

pub(super) fn every(what: &str) -> String {
    format!("{what}마다")
}

pub(super) fn in_stores(stores: usize) -> String {
    format!("저장소 {stores}곳")
}

pub(super) fn below_median(most: &str, typical: Option<&str>) -> String {
    match typical {
        Some(typical) => format!("중앙값 {typical}보다 {most}까지 작아도 됨"),
        None => format!("중앙값보다 {most}까지 작아도 됨"),
    }
}

pub(super) fn restore_points(points: usize) -> String {
    format!("복원 지점 {points}개")
}

pub(super) fn older(points: usize) -> String {
    format!("더 오래된 {points}개는 읽지 않음")
}

pub(super) fn tally(all: usize, [good, attention, bad]: [usize; 3]) -> String {
    format!("파이프라인 {all}개: 정상 {good}, 주의 {attention}, 미달 {bad}")
}

pub(super) const fn level(level: Option<Level>) -> &'static str {
    match level {
        None => "읽을 수 없음",
        Some(Level::Stored) => "저장됨",
        Some(Level::ReadBack) => "읽기 확인됨",
        Some(Level::Decoded) => "해독됨",
        Some(Level::Restored) => "복원됨",
        Some(Level::Proven) => "검증됨",
    }
}

pub(super) const fn light(light: Light) -> &'static str {
    match light {
        Light::Good => "정상",
        Light::Attention => "주의",
        Light::Bad => "목표 미달",
    }
}

pub(super) const fn action(action: Action) -> &'static str {
    match action {
        Action::Store => "저장",
        Action::Commit => "확정",
        Action::Copy => "복사",
        Action::Verify => "검증",
        Action::Restore => "복원",
        Action::Replace => "교체",
        Action::Ask => "확인",
        Action::Act => "실행",
        Action::Prune => "정리",
        Action::Tell => "알림",
        Action::Skip => "건너뜀",
    }
}

pub(super) fn objective(key: &str) -> &'static str {
    match key {
        "rpo" => "최신 복원 지점의 나이",
        "rto" => "측정된 복구 시간",
        "copies" => "사본",
        "verified_every" => "복원 검증 주기",
        "min_size" => "최신 덤프의 크기",
        _ => "최신 덤프의 감소",
    }
}

const fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::Last => "최신",
        Rule::Within => "기간",
        Rule::Hourly => "시간별",
        Rule::Daily => "일별",
        Rule::Weekly => "주별",
        Rule::Monthly => "월별",
        Rule::Yearly => "연별",
    }
}

pub(super) fn reason(reason: &Reason, minute: &dyn Fn(Timestamp) -> String) -> String {
    match reason {
        Reason::Slot { rule: by, number, of, period } if period.is_empty() => format!("{} {number}/{of}", rule(*by)),
        Reason::Slot { rule: by, number, of, period } => format!("{} {number}/{of}: {period}", rule(*by)),
        Reason::Uncounted { rule: by, period } if period.is_empty() => format!("{}, 세지 않음", rule(*by)),
        Reason::Uncounted { rule: by, period } => format!("{}, 세지 않음: {period}에 더 나은 지점이 없음", rule(*by)),
        Reason::Within { within } => format!("최신 지점에서 {} 이내", limit(*within)),
        Reason::Newest => "최신 지점".to_owned(),
        Reason::NewestSound => "문제가 알려지지 않은 최신 지점".to_owned(),
        Reason::NewestProven => "검증된 최신 지점".to_owned(),
        Reason::Verified { number, of } => format!("복원된 지점 {number}/{of}"),
        Reason::Pinned { until, why } => format!("{}까지 고정: {why}", minute(*until)),
        Reason::Locked { until } if *until == Timestamp::MAX => "끝나지 않는 오브젝트 잠금(법적 보존)".to_owned(),
        Reason::Locked { until } => format!("{}까지 오브젝트 잠금", minute(*until)),
        Reason::NeededBy { run } => format!("{run} 복원에 필요"),
        Reason::Unreadable => "매니페스트를 읽을 수 없음: 어떤 규칙에도 세지 않고, 삭제하지 않음".to_owned(),
        Reason::Doubted { doubt: Doubt::Receipts } => {
            "검증 기록을 읽을 수 없음(더 새로운 runner의 것일 수 있음): 수준을 알 수 없어 삭제하지 않음".to_owned()
        }
        Reason::Doubted { doubt: Doubt::Objects } => {
            "매니페스트에 이 이름의 저장소가 없음(저장소 이름이 바뀌었는지 확인하십시오): 삭제하지 않음".to_owned()
        }
        Reason::Damaged { damage: Damage::Here } => "검증에서 내용이 잘못된 것으로 확인되어 다른 지점을 대신하지 않음".to_owned(),
        Reason::Damaged { damage: Damage::Elsewhere } => {
            "다른 저장소의 사본이 검증에서 잘못된 것으로 확인되어 다른 지점을 대신하지 않음".to_owned()
        }
        Reason::Future { taken } => format!("미래({})에 만들어짐: 호스트의 시계를 확인하십시오", minute(*taken)),
        Reason::Unwanted => "보존 규칙에 해당하지 않음".to_owned(),
        Reason::Tombstoned { since } => format!("다시 필요: {}의 삭제 표시를 거둠", minute(*since)),
        Reason::Grace { until } => format!("{} 이후 삭제 가능", minute(*until)),
        Reason::GraceOver { since } => format!("{}에 삭제 표시, 유예 끝남", minute(*since)),
        Reason::Halted { by } => halt(by, minute),
    }
}

fn halt(halt: &Halt, minute: &dyn Fn(Timestamp) -> String) -> String {
    match halt {
        Halt::Stale { newest: Some(at), rpo } => {
            format!("최신 성공({})이 RPO {}보다 오래되어 아무것도 삭제하지 않음", minute(*at), limit(*rpo))
        }
        Halt::Stale { newest: None, rpo } => format!("RPO {} 안에 성공이 없어 아무것도 삭제하지 않음", limit(*rpo)),
        Halt::FailedRun => "그 뒤 실행이 실패하여 아무것도 삭제하지 않음".to_owned(),
        Halt::Unread { stores } => {
            let stores: Vec<&str> = stores.iter().map(RefName::as_str).collect();
            format!("{} 저장소를 읽을 수 없어, 더 새로운 검증이나 실패한 실행을 알 수 없으므로 아무것도 삭제하지 않음", stores.join(", "))
        }
        Halt::TooMany { phase, would, of, limit } => {
            let doing = if *phase == Phase::Tombstone { "삭제 표시" } else { "삭제" };
            let count = limit.count.map(|count| format!("{count}개"));
            let percent = limit.percent.map(|percent| format!("{percent}%"));
            let most = count.into_iter().chain(percent).collect::<Vec<_>>().join(", ");
            format!("max_delete: {of}개 중 {would}개가 {doing} 대상, 최대 {most}: 아무것도 삭제하지 않음")
        }
    }
}
