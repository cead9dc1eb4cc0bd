//! The report as a value: the same to the byte every time, hostile text harmless, small with very many pipelines, and in Korean all of it.

use std::time::Duration;

use runner::render::report::{Language, Report, html, markdown};
use runner::status::{Attempt, Complaint, LeaseFacts, Light, Seen, StoreFacts};

use crate::report_demo::{self as demo, failed, now, store, subject};

/// A small pipeline of this name and description.
fn small(name: &str, description: &str) -> String {
    format!(
        "version: 1
name: {name}
description: {description:?}
schedule: {{ cron: \"17 2 * * *\", timezone: Asia/Seoul }}
objectives: {{ rpo: 26h, rto: 1h, verified_every: 7d }}
connections: {{ db: {{ postgres: {{ host: db1, user: backup, database: orders }} }} }}
stores:
  vault: {{ local: {{ path: /backups }} }}
steps:
  - {{ id: dump, uses: dump, with: {{ connection: db }} }}
  - {{ id: upload, uses: upload, with: {{ store: vault }} }}
  - {{ id: prune, uses: prune, with: {{ store: vault, keep: {{ daily: 30, weekly: 12, monthly: 12 }} }} }}
"
    )
}

fn report(subjects: Vec<runner::render::report::Subject>, language: Language) -> Report {
    Report { subjects, others: Vec::new(), at: now(), runner: "0.1.0".to_owned(), language }
}

fn seen(failed: Vec<Attempt>) -> StoreFacts {
    store("vault", "/backups", Ok(Seen { failed, ..Seen::default() }))
}

#[test]
fn report_is_the_same_to_the_byte_and_loads_nothing() {
    for language in [Language::English, Language::Korean] {
        let report = demo::report(language);
        let page = html(&report).unwrap();
        assert_eq!(page, html(&report).unwrap());
        assert_eq!(markdown(&report), markdown(&report));
        for word in ["<script", "http://", "https://", "@import", "url(h", " onload", "src=", "javascript:"] {
            assert!(!page.contains(word), "{word} is in the page");
        }
        assert!(
            page.contains("Content-Security-Policy") && page.contains("default-src &#x27;none&#x27;")
                || page.contains("default-src 'none'")
        );
    }
}

#[test]
fn report_in_markdown_is_a_job_summary() {
    insta::assert_snapshot!("english", markdown(&demo::report(Language::English)));
    insta::assert_snapshot!("korean", markdown(&demo::report(Language::Korean)));
}

#[test]
fn report_tells_the_light_of_each_pipeline_the_worst_first() {
    let report = demo::report(Language::English);
    let lights: Vec<Light> = report.subjects.iter().map(|subject| subject.status.light).collect();
    assert_eq!(lights, [Light::Good, Light::Attention, Light::Bad]);
    let page = html(&report).unwrap();
    let place = |word: &str| page.find(word).unwrap_or_else(|| panic!("{word} is missing"));
    assert!(place("<h2 id=\"p1-h\">billing") < place("<h2 id=\"p2-h\">고객-매시간"));
    assert!(place("<h2 id=\"p2-h\">고객-매시간") < place("<h2 id=\"p3-h\">orders-nightly"));
    for word in [
        "1 good, 1 worth a look, 1 missed",
        "403 AccessDenied",
        "No space left on device",
        "password authentication failed",
        "class=\"gap\"",
        "no answer",
        "one pass",
    ] {
        place(word);
    }
}

#[test]
fn report_makes_hostile_text_harmless() {
    let evil = "<script>alert('x')</script> \"한글\" & </svg><img src=x onerror=alert(1)> {{ page }}";
    // A description is a template itself.
    let yaml = small("주문", evil.trim_end_matches(" {{ page }}"));
    let page = html(&report(vec![subject(&yaml, vec![seen(vec![failed(3, evil, evil)])])], Language::Korean)).unwrap();
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("alert('x')"));
    // As the description, and twice as the host and as the error, which are told as a concern too.
    assert_eq!(page.matches("&lt;script&gt;alert(").count(), 5);
    assert!(page.contains("&quot;한글&quot; &amp; &lt;&#x2f;svg&gt;&lt;img src=x onerror=alert(1)&gt; {{ page }}"));
    let text = markdown(&report(vec![subject(&yaml, vec![seen(vec![failed(3, "a|b\r\nc", evil)])])], Language::English));
    assert!(!text.replace("\\<", "").contains('<') && text.contains("\\<script\\>") && text.contains("a\\|b  c"), "{text}");
}

#[test]
fn report_says_what_there_is_when_there_is_nothing() {
    let empty = subject(&small("빈-파이프라인", "아직 없음"), vec![seen(Vec::new())]);
    let nowhere = subject(
        &small("nowhere", "x").replace("objectives: { rpo: 26h, rto: 1h, verified_every: 7d }\n", ""),
        vec![store("vault", "s3://x", Err("403 AccessDenied".to_owned()))],
    );
    let mut sized = empty.clone();
    sized.status.objectives =
        serde_json::from_value(serde_json::json!({ "rpo": "26h", "rto": "1h", "min_size": "1 kB", "max_shrink": "30%" })).unwrap();
    let verdicts = |subject: &runner::render::report::Subject| {
        let told = markdown(&report(vec![subject.clone()], Language::English));
        let rows =
            told.lines().filter(|line| line.contains("(`")).map(|line| line.split(" | ").last().unwrap().trim_end_matches(" |").to_owned());
        rows.collect::<Vec<_>>()
    };
    // Of a size nobody can say anything where there is no point, and of nothing where no store answers.
    assert_eq!(verdicts(&sized), ["**missed**", "not known", "not known", "not known"]);
    let mut silent = sized.clone();
    silent.status.stores[0].seen = Err("403 AccessDenied".to_owned());
    assert_eq!(verdicts(&silent), ["not known"; 4]);
    let page = html(&report(vec![empty.clone(), nowhere.clone()], Language::English)).unwrap();
    for word in [
        "No restore point yet.",
        "No recovery was measured yet",
        "No failure is on record.",
        "This pipeline declares no objectives.",
        "no answer",
    ] {
        assert!(page.contains(word), "{word}");
    }
    let page = html(&report(vec![empty, nowhere], Language::Korean)).unwrap();
    for word in [
        "아직 복원 지점이 없습니다.",
        "아직 복구 시간을 측정하지 않았습니다.",
        "기록된 실패가 없습니다.",
        "선언된 목표가 없습니다.",
        "응답 없음",
    ] {
        assert!(page.contains(word), "{word}");
    }
    assert!(html(&report(Vec::new(), Language::English)).unwrap().contains("0 pipelines"));
}

#[test]
fn report_says_every_concern_in_korean() {
    let mut demo = demo::report(Language::Korean).subjects.remove(1);
    // Everything that `status` can be concerned about, at once.
    let runner::status::Status { mut stores, mut objectives, pipeline, .. } = demo.status.clone();
    objectives.rto = Some(runner::quantity::Duration::seconds(60));
    let lease = LeaseFacts {
        store: "nas".parse().unwrap(),
        pipeline: pipeline.clone(),
        run: "20261127T000000Z-0cafe0".parse().unwrap(),
        host: "백업-2".to_owned(),
        since: now() - jiff::SignedDuration::from_hours(27),
        renewed: now() - jiff::SignedDuration::from_hours(2),
        ttl: Duration::from_mins(1),
    };
    for (store, stuck) in stores.iter_mut().zip([true, false]) {
        let (name, seen) = (store.store.clone(), store.seen.as_mut().unwrap());
        seen.points.iter_mut().for_each(|point| point.recovery = None);
        (seen.points[0].level, seen.points[0].complaint) = (None, Some(Complaint::Manifest("EOF".to_owned())));
        let newest = &mut seen.points[1];
        (newest.complaint, newest.dumped) = (Some(Complaint::Verification("ERROR: 23505".to_owned())), 5);
        (newest.leaving, newest.gone_after) = (Some(now()), Some(now()));
        seen.lease = Some(LeaseFacts { store: name, renewed: if stuck { lease.renewed } else { now() }, ..lease.clone() });
        seen.troubles = vec!["20261127T000000Z-0cafe0.failed.json: EOF".to_owned()];
    }
    let subject = runner::status::Subject { pipeline, schedule: None, objectives, stores };
    demo.status = runner::status::judge(subject, now());
    let kinds: std::collections::BTreeSet<_> =
        demo.status.concerns.iter().map(std::mem::discriminant).map(|kind| format!("{kind:?}")).collect();
    assert_eq!(kinds.len(), 9, "{:?}", demo.status.concerns);
    let page = html(&report(vec![demo.clone()], Language::Korean)).unwrap();
    let said: Vec<&str> =
        page.split("<ul class=\"matters attention\">").nth(1).unwrap().split("</ul>").next().unwrap().split("</li>").collect();
    for (concern, korean) in demo.status.concerns.iter().zip(&said) {
        assert!(!page.contains(&concern.to_string()), "told in English: {concern}");
        assert!(korean.chars().any(|c| ('가'..='힣').contains(&c)), "{korean}");
    }
    // Whoever gives no sign of life is not at work.
    assert!(page.contains("지금 실행 중</b> 20261127T000000Z-0cafe0 · 백업-2 · offsite · 1일 3시간 전</span>"));
    // In English, what `status` says is what is said.
    let page = html(&report(vec![demo.clone()], Language::English)).unwrap();
    for concern in &demo.status.concerns {
        assert!(page.contains(&concern.to_string().replace('/', "&#x2f;")), "{concern}");
    }
}

#[test]
fn report_in_korean_tells_no_step_in_english() {
    let page = |language| html(&report(vec![subject(&small("주문", "밤마다"), vec![seen(Vec::new())])], language)).unwrap();
    let prune = "keep daily 30, weekly 12, monthly 12 in vault";
    let (english, korean) = (page(Language::English), page(Language::Korean));
    assert!(english.contains(prune) && !korean.contains(prune), "{korean}");
    let graph = korean.split("<g class=\"node").skip(1).map(|node| node.split("</g>").next().unwrap()).collect::<String>();
    for name in ["dump", "upload", "prune"] {
        assert!(graph.contains(&format!("<tspan class=\"uses\">{name}</tspan>")), "{name}: {graph}");
    }
    for english in ["keep ", "pg_dump", " in ", " to "] {
        assert!(!graph.contains(english), "{english:?}: {graph}");
    }
}

#[test]
fn report_of_two_hundred_pipelines_is_below_five_megabytes() {
    let one = demo::report(Language::Korean).subjects;
    let many: Vec<_> = (0..200).map(|number| one[number % one.len()].clone()).collect();
    let (begun, page) = (std::time::Instant::now(), html(&report(many, Language::Korean)).unwrap());
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    assert_eq!(page.matches("class=\"card pipeline\"").count(), 200);
    let alone = html(&report(vec![one[0].clone()], Language::Korean)).unwrap();
    assert!(alone.len() < 150_000, "{} bytes", alone.len());
}
