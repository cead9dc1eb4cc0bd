//! `runner report`: what stores keep, told as a page or as Markdown; what can not be read is told too, and fails nothing.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::path::PathBuf;

use runner::store::manifest::Level;

use crate::apply_support::{Bench, everything, shop};
use crate::store_shelf::{Point, point};

/// A pipeline whose points are on the shelf, and a second one whose store is no folder.
const PIPELINE: &str = "version: 1
name: 주문-야간
description: 밤마다
schedule: { cron: \"17 2 * * *\", timezone: Asia/Seoul }
objectives: { rpo: 26h, verified_every: 7d }
connections:
  shop: { postgres: { host: 127.0.0.1, port: 1, user: nobody, database: shop } }
stores:
  vault: { local: { path: @/store } }
  broken: { local: { path: @/no-folder } }
steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: upload, uses: upload, with: { store: vault } }
  - { id: prune, uses: prune, with: { store: STORE, keep: { daily: 3 } } }
";

fn bench() -> Bench {
    let bench = Bench::new();
    bench.text(&PIPELINE.replace("STORE", "vault"));
    std::fs::create_dir(bench.path("store")).unwrap();
    bench
}

#[test]
fn report_tells_what_a_store_keeps_and_what_goes() {
    let bench = bench();
    for days in 0..6 {
        let mut point = point(days * 24 + 1);
        point.level = Some(if days == 0 { Level::Proven } else { Level::Restored });
        point.put(&bench.vault());
    }
    let out = bench.path("report.html");
    std::fs::write(&out, "old").unwrap();
    let ran = bench.run(&["report", "pipeline.yaml", "-o", "report.html"]);
    ran.is(0, &["report written to report.html"]);
    assert_eq!(ran.stdout, "");
    let page = std::fs::read_to_string(&out).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>\n<html lang=\"en\">") && page.ends_with("</html>\n"), "{}", &page[..200]);
    for word in ["주문-야간", "proven", "1 good, 0 worth a look, 0 missed", "kept 3", "due to go 3", "daily 1 of 3", "no rule keeps it"]
    {
        assert!(page.contains(word), "{word}: {page}");
    }
    let strays: Vec<PathBuf> = everything(out.parent().unwrap()).into_iter().filter(|path| path.ends_with(".tmp")).collect();
    assert_eq!(strays, Vec::<PathBuf>::new(), "nothing else is left beside it");

    // Nothing listens where it dumps: the run fails, and as after every failed run nothing goes.
    assert_ne!(bench.apply().code, 0);
    let page = bench.run(&["report", "pipeline.yaml"]).stdout;
    assert!(page.contains("kept 6") && page.contains("due to go 0"), "{page}");
    assert!(page.contains("no rule keeps it; a run has failed since: nothing is deleted"), "{page}");
}

#[test]
fn report_says_of_what_goes_the_same_as_a_plan() {
    let bench = bench();
    for days in 0..6 {
        Point { level: Some(Level::Proven), ..point(days * 24 + 1) }.put(&bench.vault());
    }
    let page = || bench.run(&["report", "pipeline.yaml"]).stdout;
    let plan = || bench.run(&["plan", "pipeline.yaml"]).stdout;
    assert!(page().contains("due to go 3") && plan().contains("3 to mark"), "{}", plan());
    // A store that cannot be read may know of anything, though nothing is stored or deleted there.
    bench.file("no-folder", "a file");
    let said = "broken can not be read, and may know of a newer proof or of a failed run: nothing is deleted";
    assert!(plan().contains(said), "{}", plan());
    assert!(page().contains("due to go 0") && page().contains(said), "{}", page());
    // It knows of a run that failed.
    std::fs::remove_file(bench.path("no-folder")).unwrap();
    let spec = crate::store_conformance::local_spec(&bench.path("no-folder"));
    let other = runner::store::local::LocalStore::open(&spec).unwrap();
    let word = crate::status_reading::word(&crate::store_shelf::run(0), "no route");
    runner::store::failed::add_failed(&other, &word).unwrap();
    let said = "a run has failed since: nothing is deleted";
    assert!(plan().contains(said), "{}", plan());
    assert!(page().contains("due to go 0") && page().contains(said), "{}", page());
}

#[test]
fn report_is_a_job_summary_in_markdown() {
    let bench = bench();
    Point { level: Some(Level::Proven), ..point(1) }.put(&bench.vault());
    let ran = bench.run(&["report", "pipeline.yaml", "--format", "markdown", "--lang", "ko"]);
    ran.is(0, &[]);
    assert!(ran.stdout.starts_with("## 백업 보고서\n") && ran.stdout.contains("✅ 정상 | **주문-야간** |"), "{}", ran.stdout);
}

#[test]
fn report_speaks_the_language_of_the_environment_unless_asked() {
    let mut bench = bench();
    let language = |bench: &Bench, args: &[&str]| {
        let ran = bench.run(&[&["report", "pipeline.yaml"], args].concat());
        ran.is(0, &[]);
        ran.stdout.split("lang=\"").nth(1).unwrap()[..2].to_owned()
    };
    bench.env("LANG", "ko_KR.UTF-8");
    assert_eq!(language(&bench, &[]), "en", "LC_ALL=C.UTF-8 goes before LANG");
    bench.env("LC_ALL", "ko_KR.UTF-8");
    assert_eq!((language(&bench, &[]).as_str(), language(&bench, &["--lang", "en"]).as_str()), ("ko", "en"));
    bench.env("LC_ALL", "");
    assert_eq!(language(&bench, &[]), "ko", "one that is empty is not set");
}

#[test]
fn report_tells_of_a_store_that_can_not_be_read_and_ends_well() {
    let bench = bench();
    bench.text(&PIPELINE.replace("STORE", "broken"));
    point(1).put(&bench.vault());
    bench.file("no-folder", "a file");
    let ran = bench.run(&["report", "pipeline.yaml", "--format", "markdown"]);
    ran.is(0, &[]);
    assert!(ran.stdout.contains("❌ Missed | **주문-야간**") && ran.stdout.contains("- broken did not answer: "), "{}", ran.stdout);
    let page = bench.run(&["report", "pipeline.yaml"]).stdout;
    assert!(page.contains("no answer") && page.contains("broken did not answer"), "{page}");
    // The good one is told all the same.
    assert!(page.contains("kept 1"), "{page}");

    bench.run(&["report", "pipeline.yaml", "-o", "no/such/report.html"]).is(1, &["writing no/such/report.html"]);
    bench.run(&["report", "nothing.yaml"]).is(66, &["there is no file nothing.yaml"]);
}

#[test]
fn report_tells_of_a_real_run_that_was_proven() {
    let (server, bench) = (shop(1), Bench::new());
    bench.pipeline(
        &server,
        "objectives: { rpo: 1h, rto: 1h, verified_every: 1d }
steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: compress, uses: compress, with: { level: 1 } }
  - { id: upload, uses: upload, with: { store: vault } }
  - { id: verify, uses: verify-restore }
",
    );
    bench.apply().is(0, &[]);
    let ran = bench.run(&["report", "pipeline.yaml", "--format", "markdown"]);
    ran.is(0, &[]);
    assert!(ran.stdout.contains("✅ Good | **orders** |"), "{}", ran.stdout);
    assert_eq!(ran.stdout.matches("| met |").count(), 3, "{}", ran.stdout);
    let page = bench.run(&["report", "pipeline.yaml"]).stdout;
    // The measured recovery is drawn, with its limit.
    assert!(page.contains("<b>Measured recovery</b>") && !page.contains("No recovery was measured"), "{page}");
    assert!(page.contains("class=\"limit\"") && page.contains("<use href=\"#proven\"/>"), "{page}");
}

#[test]
fn report_does_not_miss_restore_points_of_a_pipeline_that_makes_none() {
    let bench = bench();
    point(1).put(&bench.vault());
    bench.file("런북.yaml", "version: 1\nname: 런북\nsteps:\n  - { id: stop, uses: command, with: { argv: [\"true\"] } }\n");
    let markdown = |args: &[&str]| {
        let ran = bench.run(&[&["report", "--format", "markdown"], args].concat());
        ran.is(0, &[]);
        ran.stdout
    };
    let told = markdown(&["pipeline.yaml", "런북.yaml"]);
    assert!(told.contains("1 pipeline: 0 good, 0 worth a look, 1 missed"), "it was never proven: {told}");
    assert!(told.contains("\nNo restore points are made by these, so there is nothing to judge: 런북\n"), "{told}");
    assert!(markdown(&["런북.yaml", "--lang", "ko"]).ends_with("\n\n복원 지점을 만들지 않아 판정할 것이 없는 파이프라인: 런북\n"));
    let page = bench.run(&["report", "런북.yaml"]).stdout;
    assert!(page.contains("nothing to judge: 런북</p>") && !page.contains("<table"), "{page}");
}

#[test]
fn report_still_tells_of_a_run_that_failed_before_the_newest_point() {
    let bench = bench();
    assert_ne!(bench.apply().code, 0);
    let markdown = || bench.run(&["report", "pipeline.yaml", "--format", "markdown"]).stdout;
    let told = markdown();
    assert!(told.contains("| the run failed | ") && told.contains("- 1 run failed since"), "{told}");
    // A run that is later by the second, which made a point.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    point(0).put(&bench.vault());
    let told = markdown();
    assert!(told.contains("| the run failed | ") && !told.contains("failed since"), "{told}");
}
