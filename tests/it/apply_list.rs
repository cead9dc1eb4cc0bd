//! `runner list`: what a store keeps is shown as good as it is, and no better.

use crate::apply_support::{Bench, NAME, shop};

const STEPS: &str = "steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: compress, uses: compress, with: { level: 1 } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump.zst\" } }
";

#[test]
fn apply_leaves_points_that_list_shows_newest_first_with_the_level_each_has_earned() {
    let (server, bench) = (shop(1), Bench::new());
    bench.pipeline(&server, STEPS);
    assert!(bench.run(&["list", "pipeline.yaml"]).stdout.contains("0 restore points"), "an empty store is no error");
    bench.apply().is(0, &[]);
    // Run ids sort by the second in which a run started.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    bench.pipeline(&server, &format!("{STEPS}  - {{ id: verify, uses: verify-restore }}\n"));
    bench.apply().is(0, &[]);
    bench.pipeline(&server, &format!("{STEPS}  - {{ id: verify, uses: verify-restore, with: {{ min_tables: 99 }} }}\n"));
    bench.apply().is(11, &["at least 99 tables"]);

    let ran = bench.run(&["list", "pipeline.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let [title, failed, complaint, proven, stored] = &lines[..] else { panic!("{}", ran.stdout) };
    assert_eq!(*title, format!("{NAME} in vault: 3 restore points"));
    assert!(
        failed.contains("decoded") && complaint.contains("! its newest verification failed: check failed: at least 99 tables"),
        "{}",
        ran.stdout
    );
    assert!(proven.contains("proven") && stored.contains("stored") && stored.contains(" ago "), "{}", ran.stdout);

    let json: serde_json::Value =
        serde_json::from_str(&bench.run(&["list", "pipeline.yaml", "--format", "json", "--most", "1"]).stdout).unwrap();
    let listing = &json["listings"][0];
    assert_eq!((&listing["count"], listing["points"].as_array().unwrap().len()), (&3.into(), 1));
    assert_eq!((&listing["points"][0]["level"], &listing["points"][0]["receipts"][0]["step"]), (&"decoded".into(), &"verify".into()));

    // A manifest that somebody edited is told, and never passed for a restore point of any level.
    let newest = bench.path("store").join(listing["points"][0]["manifest"].as_str().unwrap());
    std::fs::write(&newest, "{}").unwrap();
    let ran = bench.run(&["list", "pipeline.yaml"]);
    assert!(ran.stdout.contains("unreadable") && ran.stdout.contains("its manifest can not be used"), "{}", ran.stdout);
}

#[test]
fn apply_leaves_points_that_list_finds_when_the_file_of_their_pipeline_is_gone() {
    let (server, bench) = (shop(1), Bench::new());
    bench.pipeline(&server, STEPS);
    bench.apply().is(0, &[]);
    let yaml = std::fs::read_to_string(bench.path("pipeline.yaml")).unwrap();
    let renamed = yaml.replace(&format!("name: {NAME}"), "name: 주문-야간");
    // A second store that nobody uploads to, and the same one under another name.
    let stores =
        format!("stores:\n  copies: {{ local: {{ path: {} }} }}\n  twice: {{ local: {{ path: {0} }} }}\n", bench.path("copy").display());
    bench.file("pipeline.yaml", &renamed.replace("stores:\n", &stores));
    bench.apply().is(0, &[]);

    let one = bench.run(&["list", "pipeline.yaml"]);
    assert!(one.stdout.starts_with("주문-야간 in vault: 1 restore point\n") && !one.stdout.contains(NAME), "{}", one.stdout);
    let all = bench.run(&["list", "pipeline.yaml", "--all"]);
    all.is(0, &[]);
    let stray = format!("{NAME} in vault: 1 restore point, and no pipeline of this name among the files\n");
    assert!(all.stdout.starts_with("주문-야간 in vault: 1 restore point\n") && all.stdout.contains(&stray), "{}", all.stdout);

    let copy = std::process::Command::new("cp").arg("-r").args([bench.path("store"), bench.path("copy")]).status();
    assert!(copy.unwrap().success());
    let all: serde_json::Value = serde_json::from_str(&bench.run(&["list", "pipeline.yaml", "--all", "--format", "json"]).stdout).unwrap();
    let told: Vec<(&str, &str, bool)> = all["listings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|listing| (listing["pipeline"].as_str().unwrap(), listing["store"].as_str().unwrap(), listing["declared"].as_bool().unwrap()))
        .collect();
    assert_eq!(told, [("주문-야간", "vault", true), (NAME, "copies", false), ("주문-야간", "copies", true), (NAME, "vault", false)]);
    let point = &all["listings"][0]["points"][0];
    assert!(point["bytes"].as_u64() > Some(0) && point["plain_bytes"].as_u64() > point["bytes"].as_u64(), "{point}");
    assert_eq!(all["listings"][0]["place"], bench.path("store").display().to_string());
}
