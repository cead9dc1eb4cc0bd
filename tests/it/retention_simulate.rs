//! `runner retention simulate`: what it shows for known schedules, as text, JSON and a picture.

#![expect(clippy::unwrap_used, reason = "a test that can not read its own answer fails")]

use serde_json::Value;

use crate::cli_run::{Ran, run, run_in};

const NIGHTLY: &str = "examples/pipelines/nightly-s3.yaml";

/// The README's example: every night at 02:17 in Seoul, from New Year 2026.
fn nightly(rest: &[&str]) -> Ran {
    let fixed = ["retention", "simulate", NIGHTLY, "--from", "2026-01-01"];
    run(&[&fixed[..], rest].concat())
}

/// The times of the points kept in the end, newest first.
fn kept(simulation: &Value) -> Vec<String> {
    let points = simulation["points"].as_array().unwrap();
    let kept = points.iter().filter(|point| point["action"] == "keep");
    kept.map(|point| point["taken"].as_str().unwrap().to_owned()).collect()
}

/// A pipeline with a schedule, in a folder of its own.
fn scheduled(schedule: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(NIGHTLY)).unwrap();
    let lines: Vec<String> =
        text.lines().map(|line| if line.starts_with("schedule:") { schedule.to_owned() } else { line.to_owned() }).collect();
    std::fs::write(folder.path().join("주문.yaml"), lines.join("\n")).unwrap();
    folder
}

#[test]
fn people_see_a_calendar_the_holes_and_the_bytes_as_in_the_readme() {
    let ran = nightly(&["--days", "400", "--keep", "daily=30,weekly=12,monthly=12"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    insta::assert_snapshot!("thirty_days_twelve_weeks_twelve_months", ran.out);
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert!(readme.contains(ran.out.trim_end()), "the README shows something else");
}

#[test]
fn programs_see_every_point_with_its_reasons_and_every_day() {
    let ran = nightly(&["--days", "400", "--size", "1 GiB", "--keep", "daily=30,weekly=12,monthly=12", "--format", "json"]);
    let answer = ran.json();
    // By hand: 30 nights to 4 February 2027; seven Sundays before 6 January, to 22 November; ten ends of months that are none of these.
    let kept = kept(&answer);
    assert_eq!(kept.len(), 47);
    assert_eq!((kept[0].as_str(), kept[29].as_str()), ("2027-02-03T17:17:00Z", "2027-01-05T17:17:00Z"));
    assert_eq!(kept.last().unwrap(), "2026-03-30T17:17:00Z");
    assert_eq!(answer["points"][0]["reasons"][0], "daily 1 of 30: 2027-02-04");
    let holes: Vec<u64> =
        answer["rules"].as_array().unwrap().iter().map(|rule| rule["largest_hole_seconds"].as_u64().unwrap() / 86_400).collect();
    assert_eq!(holes, [1, 7, 31]);
    let days = answer["days"].as_array().unwrap();
    assert_eq!((days.len(), answer["runs"].as_u64()), (400, Some(400)));
    assert_eq!((&days[0]["date"], days[0]["bytes"].as_u64()), (&Value::from("2026-01-01"), Some(1 << 30)));
    // For the first thirty nights everything stays; from the thirty-first on, one goes a night, a day after it was marked.
    assert_eq!((days[29]["points"].as_u64(), days[30]["kept"].as_u64(), days[31]["points"].as_u64()), (Some(30), Some(30), Some(32)));
}

#[test]
fn the_picture_is_sound_xml_that_loads_nothing() {
    let folder = scheduled("schedule: { cron: \"0 */6 * * *\", timezone: Europe/Berlin }");
    let arguments = [
        "retention",
        "simulate",
        "주문.yaml",
        "--from",
        "2026-03-01",
        "--days",
        "60",
        "--keep",
        "last=2,within=3d,daily=14",
        "--format",
        "svg",
    ];
    let ran = run_in(folder.path(), &arguments);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let script = "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.stdin.buffer)";
    let parser = std::process::Command::new("python3").args(["-c", script]).stdin(std::process::Stdio::piped()).spawn();
    let mut parser = parser.unwrap_or_else(|error| panic!("python3 is missing ({error}): .ci/setup installs it"));
    std::io::Write::write_all(&mut parser.stdin.take().unwrap(), ran.out.as_bytes()).unwrap();
    assert!(parser.wait().unwrap().success(), "{}", ran.out);
    assert!(ran.out.contains("currentColor") && ran.out.contains("prefers-color-scheme"));
    let outside = ["href", "url(", "<script", "<image", "@import"];
    assert!(outside.iter().all(|word| !ran.out.contains(word)));
    // Every tick tells its time and its reasons.
    assert_eq!(ran.out.matches("<rect").count(), ran.out.matches("</title></rect>").count());
    assert!(
        ran.out.contains("<title>2026-04-29 18:00: last 1 of 2; within 3d of the newest; daily 1 of 14: 2026-04-29; newest point"),
        "{}",
        ran.out
    );
}

#[test]
fn clocks_that_change_leave_no_day_without_its_point() {
    // 02:30 is skipped in Berlin on 29 March 2026, and comes twice on 25 October.
    let folder = scheduled("schedule: { cron: \"30 2 * * *\", timezone: Europe/Berlin }");
    let simulate = |from: &str| {
        let arguments = ["retention", "simulate", "주문.yaml", "--from", from, "--days", "10", "--keep", "daily=10", "--format", "json"];
        run_in(folder.path(), &arguments).json()
    };
    assert_eq!(kept(&simulate("2026-03-25")).len(), 10);
    assert_eq!(kept(&simulate("2026-10-20")).len(), 10);
}

#[test]
fn an_hourly_schedule_runs_once_more_on_a_day_of_25_hours() {
    let folder = scheduled("schedule: { cron: \"0 * * * *\", timezone: America/New_York }");
    let fixed = ["retention", "simulate", "주문.yaml", "--from", "2026-10-10", "--days", "40", "--format", "json"];
    let answer = run_in(folder.path(), &[&fixed[..], &["--keep", "hourly=48,daily=14,weekly=8"]].concat()).json();
    assert_eq!(answer["runs"], 40 * 24 + 1);
    assert_eq!(answer["rules"][0]["largest_hole_seconds"], 3600);
    assert_eq!(answer["rules"][1]["largest_hole_seconds"], 25 * 3600);
}

#[test]
fn what_can_not_be_simulated_says_what_to_do() {
    for (arguments, said) in [
        (&["--keep", "dayly=3"][..], "did you mean `daily`?"),
        (&["--keep", "daily=0"], "no rule keeps anything"),
        (&["--keep", "daily=3", "--size", "big"], "\"big\" is not a size: write it like 512 MiB"),
        (&["--keep", "daily=3", "--days", "0"], "0 is not in 1..=3660"),
        (&[], "give rules: --keep daily=30"),
    ] {
        let ran = nightly(arguments);
        assert!(ran.code == 64 && ran.err.contains(said), "{arguments:?}: {} {}", ran.code, ran.err);
    }
    let ran = run(&["retention", "simulate", NIGHTLY, "--keep", "daily=3", "--from", "2026-02-30"]);
    assert!(ran.code == 64 && ran.err.contains("invalid value '2026-02-30' for '--from <DATE>'"), "{}", ran.err);
    let never = scheduled("schedule: { cron: \"0 0 29 2 *\", timezone: UTC }");
    let ran = run_in(never.path(), &["retention", "simulate", "주문.yaml", "--keep", "daily=3", "--from", "2026-01-01"]);
    assert!(ran.code == 64 && ran.err.contains("the schedule `0 0 29 2 *` does not run once in 400 days from 2026-01-01"), "{}", ran.err);
    let none = scheduled("");
    let ran = run_in(none.path(), &["retention", "simulate", "주문.yaml", "--keep", "daily=3", "--format", "json"]);
    assert_eq!((ran.code, ran.json()["error"]["code"].as_i64()), (65, Some(65)));
    assert!(ran.err.contains("has no schedule to simulate") && ran.err.contains("give it one"), "{}", ran.err);
    let busy = scheduled("schedule: { cron: \"* * * * *\", timezone: UTC }");
    let ran = run_in(busy.path(), &["retention", "simulate", "주문.yaml", "--keep", "daily=3"]);
    assert!(ran.code == 64 && ran.err.contains("simulate fewer days"), "{}", ran.err);
}
