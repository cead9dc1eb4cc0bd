//! `runner show`: all that is known of a restore point, and what can not be known without a key or is not what was stored.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::path::PathBuf;

use serde_json::Value;

use crate::apply_secrets::age_key;
use crate::apply_support::{Bench, NAME, files, shop};
use crate::servers::postgres::TestServer;

/// Steps that encrypt to a key which the verification knows.
pub(crate) const SEALED: &str = "secrets:
  drill: { file: @/keys/drill }
steps:
  - { id: dump, uses: dump, with: { connection: shop, exclude_tables: [\"public.lines\"] } }
  - { id: compress, uses: compress, with: { level: 1 } }
  - { id: checksum, uses: checksum }
  - { id: encrypt, uses: encrypt, with: { age: { recipients_file: @/keys/public } } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump.zst.age\" } }
  - { id: verify, uses: verify-restore, with: { identity: { secret: drill }, checks: [ { row_count: { table: \"주문\", min: 1 } } ] } }
";

/// A server and a place with a key pair, whose pipeline encrypts to it.
pub(crate) fn sealed() -> (TestServer, Bench) {
    let (server, bench) = (shop(1), Bench::new());
    let (key, public) = age_key();
    bench.file("keys/drill", &key);
    bench.file("keys/public", &public);
    bench.pipeline(&server, SEALED);
    (server, bench)
}

/// What differs from run to run and from machine to machine.
pub(crate) fn redacted(bench: &Bench, check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    let folder = bench.path("").display().to_string();
    for (pattern, word) in [
        (folder.trim_end_matches('/'), "[bench]"),
        (r"\d{8}T\d{6}Z-[0-9a-f]{6}", "[run]"),
        (r"\d{4}-\d{2}-\d{2}T[0-9:.]+Z", "[time]"),
        (r"\b[0-9a-f]{64}\b", "[sha256]"),
        (r"\b[0-9a-f]{32}\b", "[digest]"),
        (r"\bage1[0-9a-z]{58}\b", "[age]"),
        (r"/\d{4}-\d{2}/", "/[month]/"),
        (r"(\d+ m )?\d+(\.\d+)? s\b", "[took]"),
        (r"(?m)^(  started      .*), .* ago$", "$1, [age] ago"),
        (r"[0-9.]+ [kM]?B/s", "[speed]"),
        (r"system \d+", "system [id]"),
        (r"runner [0-9.]+ on \S+", "runner [version] on [host]"),
        (r", commit \S+", ""),
        (r"\d+(\.\d+)? (kB|MB|B) stored, [0-9.]+ times smaller", "[stored]"),
        (r"\.(age|json), \d+(\.\d+)? (kB|B|MB)", ".$1, [size]"),
        (r"zstd, [0-9.]+ (kB|MB) after it", "zstd, [size] after it"),
        (r"a database of [0-9.]+ MB", "a database of [size]"),
        (r"\d+(\.\d+)? [kM]B dumped", "[size] dumped"),
        (r"(PostgreSQL\)?) \d+\.\d+", "$1 [version]"),
        (r"(?m)^(\| |  )stored .*$", "${1}stored [sizes]"),
    ] {
        settings.add_filter(pattern, word);
    }
    settings.bind(check);
}

fn json(bench: &Bench, args: &[&str], code: i32) -> Value {
    let ran = bench.run(&[args, &["--format", "json"]].concat());
    assert_eq!(ran.code, code, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// The one file of the store whose name ends so.
pub(crate) fn stored(bench: &Bench, ending: &str) -> PathBuf {
    let found: Vec<PathBuf> = files(&bench.path("store")).into_iter().filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    let [one] = &found[..] else { panic!("one *{ending}, not {found:?}") };
    one.clone()
}

/// Flips a bit in the middle of a file.
pub(crate) fn damage(path: &PathBuf) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn apply_leaves_a_point_of_which_show_tells_everything() {
    let (_server, bench) = sealed();
    bench.apply().is(0, &[]);
    let ran = bench.run(&["show", "pipeline.yaml", "--tables"]);
    ran.is(0, &[]);
    redacted(&bench, || insta::assert_snapshot!("everything_of_a_point", ran.stdout));

    let shown = json(&bench, &["show", "pipeline.yaml", "--tables"], 0);
    assert_eq!((&shown["pipeline"], &shown["level"], &shown["damages"]), (&NAME.into(), &"proven".into(), &Value::Array(Vec::new())));
    assert_eq!(shown["manifest"]["artifacts"][0]["completeness"]["left_out"][0]["names"][0], "public.lines");
    let objects = shown["objects"].as_array().unwrap();
    assert!(objects.len() == 3 && objects.iter().all(|object| object["trouble"].is_null()), "{objects:?}");
    assert_eq!(shown["tables"][0]["tables"][0]["name"], "주문");
    assert_eq!(shown["receipts"][0]["checks"][0]["passed"], true);
    assert!(shown["artifacts"][0]["restore_without_runner"].as_str().unwrap().contains("age -d -i KEY_FILE"));

    // The same point by the place of its manifest, from a machine that knows nothing of the pipeline.
    let manifest = stored(&bench, ".manifest.json");
    let manifest = manifest.to_str().unwrap();
    let by_place = json(&bench, &["show", manifest, "--tables", "--identity", bench.path("keys/drill").to_str().unwrap()], 0);
    assert_eq!((&by_place["tables"], &by_place["objects"]), (&shown["tables"], &shown["objects"]));
}

#[test]
fn apply_leaves_a_point_that_show_tells_without_a_key_but_for_its_tables() {
    let (_server, bench) = sealed();
    bench.apply().is(0, &[]);
    std::fs::remove_file(bench.path("keys/drill")).unwrap();
    let ran = bench.run(&["show", "pipeline.yaml"]);
    ran.is(0, &[]);
    assert!(ran.stdout.contains("1024 rows") && ran.stdout.contains("proven"), "{}", ran.stdout);
    let manifest = stored(&bench, ".manifest.json");
    for source in ["pipeline.yaml", manifest.to_str().unwrap()] {
        let ran = bench.run(&["show", source, "--tables"]);
        ran.is(77, &["--identity FILE"]);
        assert!(ran.stdout.contains("1024 rows") && ran.stdout.contains("lend the key"), "the rest is told: {}", ran.stdout);
    }
    bench.file("keys/other", &age_key().0);
    bench.run(&["show", "pipeline.yaml", "--tables", "--identity", bench.path("keys/other").to_str().unwrap()]).is(11, &["age"]);
}

#[test]
fn apply_leaves_a_point_whose_damages_show_names() {
    let (_server, bench) = sealed();
    bench.apply().is(0, &[]);
    damage(&stored(&bench, ".fingerprint.json.zst.age"));
    bench.run(&["show", "pipeline.yaml"]).is(0, &[]);
    bench.run(&["show", "pipeline.yaml", "--tables"]).is(11, &["sha256"]);

    let object = stored(&bench, ".dump.zst.age");
    let bytes = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    let ran = bench.run(&["show", "pipeline.yaml"]);
    ran.is(11, &[".dump.zst.age is not there"]);
    assert!(ran.stdout.contains("is not there") && ran.stdout.contains("proven"), "{}", ran.stdout);
    bench.run(&["show", "pipeline.yaml", "--no-objects"]).is(0, &[]);
    std::fs::write(&object, &bytes[1..]).unwrap();
    bench.run(&["show", "pipeline.yaml"]).is(11, &[&format!("has {} bytes; {} were stored", bytes.len() - 1, bytes.len())]);
    std::fs::write(&object, &bytes).unwrap();

    let receipt = files(&bench.path("store")).into_iter().find(|path| path.to_string_lossy().contains(".verified-")).unwrap();
    let text = std::fs::read_to_string(&receipt).unwrap();
    std::fs::remove_file(&receipt).unwrap();
    std::fs::write(&receipt, text.replace("\"proven\"", "\"restored\"")).unwrap();
    let ran = bench.run(&["show", "pipeline.yaml"]);
    ran.is(11, &["a receipt can not be used", "it was edited"]);
    assert!(ran.stdout.contains("stored\n"), "an edited receipt raises no level: {}", ran.stdout);

    let manifest = stored(&bench, ".manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::remove_file(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("shop", "shoq")).unwrap();
    let shown = json(&bench, &["show", "pipeline.yaml"], 11);
    assert!(shown["manifest"].is_null() && shown["level"].is_null(), "{shown}");
    assert!(shown["damages"][0].as_str().unwrap().contains("it was edited"), "{shown}");
}
