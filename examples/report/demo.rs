//! Three made-up pipelines with the history that their schedules and rules would have left: one is good, one is worth a look, one
//! misses what it promised. The same every time.

#![expect(clippy::unwrap_used, reason = "made-up pipelines that do not load are a mistake to be seen at once")]

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use runner::diagnostic::SourceText;
use runner::document::Schema;
use runner::ids::RunId;
use runner::observe;
use runner::pipeline::schema::{Dialect, schema};
use runner::pipeline::{Pipeline, load};
use runner::plan::plan;
use runner::render::report::{Language, Report, Shelf, Subject};
use runner::retention::{self, Catalog, decide, gaps};
use runner::status::{self, Attempt, Cause, Complaint, LeaseFacts, PointFacts, Seen, StoreFacts, judge};
use runner::step::Params;
use runner::store::manifest::{Level, Recovery};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

const ORDERS: &str = r#"
version: 1
name: orders-nightly
description: Nightly logical backup of orders, proven by a restore.
schedule: { cron: "17 2 * * *", timezone: Asia/Seoul }
objectives: { rpo: 26h, rto: 1h, verified_every: 7d, min_size: 10GB, max_shrink: 30% }
secrets: { drill_key: { file: /run/secrets/drill.key }, slack_url: { env: SLACK_WEBHOOK_URL, optional: true } }
connections: { orders: { postgres: { host: db1, user: backup, database: orders } } }
stores:
  offsite: { s3: { bucket: acme-backups, prefix: orders, region: ap-northeast-2 } }
steps:
  - { id: dump,     uses: dump,           with: { connection: orders } }
  - { id: compress, uses: compress,       with: { codec: zstd, level: 3 } }
  - { id: checksum, uses: checksum }
  - { id: encrypt,  uses: encrypt,        with: { age: { recipients_file: keys/backup.pub } } }
  - { id: upload,   uses: upload,         with: { store: offsite, key: "{{ run.date }}/{{ run.id }}.dump.zst.age" } }
  - { id: verify,   uses: verify-restore, with: { identity: { secret: drill_key } } }
  - { id: prune,    uses: prune,          with: { store: offsite, keep: { daily: 30, weekly: 12, monthly: 12 } } }
  - { id: tell,     uses: notify, when: always, with: { slack: { url: { secret: slack_url } } } }
"#;

/// Twelve steps, two stores, Hangul.
pub(crate) const CUSTOMERS: &str = r#"
version: 1
name: 고객-매시간
description: 고객 데이터베이스를 네 시간마다 두 저장소에 백업합니다.
schedule: { cron: "5 */4 * * *", timezone: Asia/Seoul }
objectives: { rpo: 6h, rto: 30m, verified_every: 2d }
connections: { 고객: { postgres: { host: db2, user: backup, database: 고객 } } }
stores:
  nas: { local: { path: /mnt/nas/고객 } }
  offsite: { s3: { bucket: acme-backups, prefix: customers, region: ap-northeast-2 } }
steps:
  - { id: 역할,      uses: globals,  needs: [], with: { connection: 고객 } }
  - { id: 역할-저장, uses: upload,   with: { store: nas, key: "{{ run.id }}.globals.sql" } }
  - { id: 덤프,      uses: dump,     needs: [], with: { connection: 고객, exclude_tables: ["로그.*"] } }
  - { id: 압축,      uses: compress, with: { codec: zstd, level: 9 } }
  - { id: 저장,      uses: upload,   with: { store: nas } }
  - { id: 원격-덤프, uses: dump,     needs: [], with: { connection: 고객, exclude_tables: ["로그.*"] } }
  - { id: 원격-압축, uses: compress, with: { codec: zstd, level: 9 } }
  - { id: 암호화,    uses: encrypt,  with: { age: { recipients_file: keys/backup.pub } } }
  - { id: 원격-저장, uses: upload,   with: { store: offsite } }
  - { id: 검증,      uses: verify-restore, needs: [저장], with: { of: 저장 } }
  - { id: 정리,      uses: prune,    needs: [검증, 역할-저장, 원격-저장], with: { stores: [nas, offsite], keep: { last: 12, daily: 14, weekly: 4 } } }
  - { id: 알림,      uses: notify,   when: always, with: { file: { path: /var/log/backups.ndjson } } }
"#;

const BILLING: &str = r#"
version: 1
name: billing
description: Invoices and payments.
schedule: { cron: "40 1 * * *", timezone: Asia/Seoul }
objectives: { rpo: 26h, rto: 15m, copies: 2, verified_every: 7d }
connections: { billing: { postgres: { host: db1, user: backup, database: billing } } }
stores:
  nas: { local: { path: /mnt/nas/billing } }
  offsite: { s3: { bucket: acme-billing, prefix: pg, region: ap-northeast-2 } }
steps:
  - { id: dump,     uses: dump,           with: { connection: billing } }
  - { id: compress, uses: compress }
  - { id: upload,   uses: upload,         with: { store: nas } }
  - { id: far-dump, uses: dump,           needs: [], with: { connection: billing } }
  - { id: far-zstd, uses: compress }
  - { id: far-age,  uses: encrypt,        with: { age: { recipients_file: keys/backup.pub } } }
  - { id: far,      uses: upload,         with: { store: offsite } }
  - { id: verify,   uses: verify-restore, needs: [upload], with: { of: upload } }
  - { id: prune,    uses: prune,          with: { store: nas, keep: { daily: 30, weekly: 8 } } }
"#;

/// The moment of the report.
pub(crate) fn now() -> Timestamp {
    "2026-11-28T03:00:00Z".parse().unwrap()
}

/// A pipeline from its text.
pub(crate) fn pipeline(text: &str) -> Pipeline {
    let schema = Schema::compile(schema(Dialect::Draft2020)).unwrap();
    let source = Arc::new(SourceText { path: "made-up.yaml".into(), text: text.to_owned(), marked: false });
    let loaded = load(&source, &schema, &|_| None);
    assert!(loaded.pipeline.is_some(), "{:?}", loaded.diagnostics);
    loaded.pipeline.unwrap()
}

/// When runs began, oldest first: every so many hours, the last so many hours ago.
fn runs(count: i32, apart: i32, last: SignedDuration) -> impl Iterator<Item = Timestamp> {
    (0..count).rev().map(move |back| now() - last - HOUR * (back * apart))
}

/// What a store keeps after these runs, with a prune behind each, all of it proven; newest first.
fn history(pipeline: &Pipeline, runs: impl Iterator<Item = Timestamp>, size: u64) -> Vec<PointFacts> {
    let mut kept = Catalog::default();
    for taken in runs {
        let run = RunId::starting(taken, [0x4f, 0x3a, u8::try_from(taken.as_second() / 3600 % 251).unwrap()]);
        let new = serde_json::json!({ "run": run, "taken": taken, "bytes": size, "level": "proven" });
        kept.points.push(serde_json::from_value(new).unwrap());
        let verdict = decide(&kept, policy(pipeline), taken, &zone());
        kept = kept.after(&verdict, taken);
    }
    kept.points.iter().rev().zip(0..).map(|(facts, age)| point(facts, size, age)).collect()
}

fn zone() -> TimeZone {
    TimeZone::get("Asia/Seoul").unwrap()
}

fn policy(pipeline: &Pipeline) -> &retention::Policy {
    let mut policies =
        pipeline.steps.iter().filter_map(|step| if let Params::Prune(prune) = &step.params { Some(&prune.policy) } else { None });
    policies.next_back().unwrap()
}

/// A point that is so many points old: they grew, with some noise that is the same every time.
fn point(facts: &retention::PointFacts, size: u64, age: u64) -> PointFacts {
    let noise = (((age + 3) * (age + 11) * 2_654_435_761) >> 9) % 31;
    let dumped = size - size / 400 * age.min(200) + size / 900 * noise;
    let took = Duration::from_millis(dumped / 40_000 + noise * 9000);
    let recovered = Duration::from_millis(dumped / 62_000 + noise * 7000);
    PointFacts {
        run: facts.run.clone(),
        started: facts.taken,
        committed: Some(facts.taken + SignedDuration::try_from(took).unwrap()),
        dumped,
        stored: dumped / 4 + size / 3000 * noise,
        level: Some(Level::Proven),
        proven: Some(facts.taken + SignedDuration::try_from(took + recovered).unwrap()),
        recovery: Some(Recovery { took: recovered, bytes: dumped, objective: None }),
        damaged: false,
        complaint: None,
        holds: ["upload".parse().unwrap()].into(),
        parts: ["upload".parse().unwrap()].into(),
        leaving: facts.tombstoned,
        gone_after: facts.tombstoned.map(|at| at + 24 * HOUR + MINUTE * 30),
        pinned: None,
    }
}

fn shelf(pipeline: &Pipeline, facts: &StoreFacts) -> Shelf {
    let points = facts.seen.as_ref().map(|seen| seen.points.clone()).unwrap_or_default();
    let of = |point: &PointFacts| retention::PointFacts {
        pinned: point.pinned.map(|until| retention::Pin { until, reason: "audit 2026".to_owned() }),
        tombstoned: point.leaving,
        ..retention::PointFacts::new(point.run.clone(), point.started, point.stored, point.level)
    };
    let failed = facts.seen.iter().flat_map(|seen| &seen.failed).map(|failed| &failed.run).max();
    let last_run_failed = failed > points.first().map(|newest| &newest.run);
    let catalog = Catalog { points: points.iter().map(of).collect(), rpo: pipeline.objectives.rpo, last_run_failed };
    let (policy, zone) = (policy(pipeline), zone());
    let (verdict, gaps) = (decide(&catalog, policy, now(), &zone), gaps(&catalog, Some(policy), now(), &zone));
    Shelf { store: facts.store.clone(), count: points.len(), verdict: Some(verdict), gaps }
}

/// A pipeline with what its stores say.
pub(crate) fn subject(text: &str, stores: Vec<StoreFacts>) -> Subject {
    let pipeline = pipeline(text);
    let shelves = stores.iter().map(|store| shelf(&pipeline, store)).collect();
    let (name, schedule, objectives) = (pipeline.name.clone(), pipeline.schedule.clone(), pipeline.objectives.clone());
    let status = judge(status::Subject { pipeline: name, schedule, objectives, stores }, now());
    Subject { status, plan: plan(&pipeline, &observe::offline(), None), shelves }
}

/// What a store says.
pub(crate) fn store(name: &str, place: &str, seen: Result<Seen, String>) -> StoreFacts {
    StoreFacts { store: name.parse().unwrap(), place: place.to_owned(), seen }
}

/// A run that failed so many hours ago.
pub(crate) fn failed(hours: i64, host: &str, error: &str) -> Attempt {
    let started = now() - HOUR * i32::try_from(hours).unwrap();
    let run = RunId::starting(started, [0xfa, 0x11, u8::try_from(hours % 256).unwrap()]);
    Attempt { run, started, ended: Some(started + MINUTE * 10), host: Some(host.to_owned()), cause: Cause::Failed(error.to_owned()) }
}

fn seen(points: Vec<PointFacts>, failed: Vec<Attempt>, lease: Option<LeaseFacts>) -> Seen {
    let dumped = points.iter().map(|point| (point.run.clone(), point.dumped)).collect();
    Seen { points, failed, lease, dumped, ..Seen::default() }
}

fn orders() -> Subject {
    let mut points = history(&pipeline(ORDERS), runs(420, 24, HOUR * 9 + MINUTE * 43), 48_300_000_000);
    points[40].pinned = Some(now() + HOUR * 24 * 200);
    let old = failed(
        29 * 24,
        "ci-runner-3",
        "pg_dump: error: query failed: server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally",
    );
    let seen = seen(points, vec![old], None);
    subject(ORDERS, vec![store("offsite", "s3://acme-backups/orders", Ok(seen))])
}

fn customers() -> Subject {
    let mut points = history(&pipeline(CUSTOMERS), runs(360, 4, HOUR * 3 + MINUTE * 55), 2_140_000_000);
    for (point, age) in points.iter_mut().zip(0..) {
        // Only one a day is restored.
        if age % 6 != 2 {
            (point.level, point.proven, point.recovery) = (Some(if age < 4 { Level::Decoded } else { Level::ReadBack }), None, None);
        }
    }
    let far = points.iter().map(|point| PointFacts { level: Some(Level::Stored), proven: None, recovery: None, ..point.clone() }).collect();
    let started = now() - MINUTE * 12;
    let lease = LeaseFacts {
        store: "nas".parse().unwrap(),
        pipeline: "고객-야간".parse().unwrap(),
        run: RunId::starting(started, [0x0c, 0xaf, 0xe0]),
        host: "백업-2".to_owned(),
        since: started,
        renewed: now() - SignedDuration::from_secs(10),
        ttl: Duration::from_mins(1),
    };
    let last = failed(1, "백업-2", "upload: /mnt/nas/고객: No space left on device (os error 28)");
    let near = seen(points, vec![last], Some(lease));
    let far = seen(far, Vec::new(), None);
    subject(CUSTOMERS, vec![store("nas", "/mnt/nas/고객", Ok(near)), store("offsite", "s3://acme-backups/customers", Ok(far))])
}

fn billing() -> Subject {
    let all = runs(150, 24, HOUR * 82 + MINUTE * 20);
    let some = all.filter(|taken| !(10..13).contains(&(now().duration_since(*taken).as_hours() / 24)));
    let mut points = history(&pipeline(BILLING), some, 9_700_000_000);
    for (point, age) in points.iter_mut().zip(0..) {
        if age < 9 {
            (point.level, point.proven, point.recovery) = (Some(Level::Stored), None, None);
        }
    }
    let differ = "row counts differ: billing.invoices has 1204133 rows, the dump held 1204391";
    points[0].complaint = Some(Complaint::Verification(differ.to_owned()));
    points[0].level = Some(Level::Decoded);
    let refused = "dump: could not connect to db1:5432: password authentication failed for user \"backup\"";
    let seen = Seen {
        points,
        failed: vec![failed(10, "ci-runner-1", refused), failed(34, "ci-runner-3", refused)],
        lease: None,
        ..Seen::default()
    };
    let silent = "s3://acme-billing/pg: 403 AccessDenied: the credentials may not list this bucket".to_owned();
    subject(BILLING, vec![store("nas", "/mnt/nas/billing", Ok(seen)), store("offsite", "s3://acme-billing/pg", Err(silent))])
}

/// The report.
pub(crate) fn report(language: Language) -> Report {
    Report { subjects: vec![orders(), customers(), billing()], others: Vec::new(), at: now(), runner: "0.1.0".to_owned(), language }
}
