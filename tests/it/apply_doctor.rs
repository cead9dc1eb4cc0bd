//! `runner doctor` on real servers, stores and keys: what it finds ready, what it warns of, what it fails for; and the drill
//! with the escrowed key that it asks for.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use serde_json::{Value, json};

use crate::apply_support::{Bench, Ran, files, shop};
use crate::matrix_keys::{Keys, Lock};
use crate::servers::postgres::TestServer;

/// A backup that is encrypted and verified, and everything else a careful reader asks for.
fn complete(bench: &Bench, server: &TestServer, encrypt: &Value, identity: &str) {
    bench.pipeline(
        server,
        &format!(
            "  far: {{ local: {{ path: @/far }} }}
schedule: {{ cron: \"17 2 * * *\" }}
objectives: {{ rpo: 26h, rto: 1h }}
secrets: {{ drill: {{ file: {identity} }} }}
steps:
  - {{ id: dump, uses: dump, with: {{ connection: shop }} }}
  - {{ id: encrypt, uses: encrypt, with: {encrypt} }}
  - {{ id: upload, uses: upload, with: {{ store: vault }} }}
  - {{ id: globals, uses: globals, needs: [], with: {{ connection: shop }} }}
  - {{ id: lock, uses: encrypt, with: {encrypt} }}
  - {{ id: keep, uses: upload, with: {{ store: vault }} }}
  - {{ id: drill, uses: verify-restore, needs: [upload], with: {{ identity: {{ secret: drill }} }} }}
  - {{ id: mirror, uses: copy, needs: [keep], with: {{ to: far }} }}
  - {{ id: tell, uses: notify, when: always, with: {{ stdout: {{}} }} }}
"
        ),
    );
}

/// The words behind `standing` and `subject`, one line each.
fn lines(ran: &Ran, standing: &str) -> String {
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    let lines = answer["pipelines"][0]["lines"].as_array().unwrap().clone();
    let told = lines.iter().filter(|line| line["standing"] == standing);
    let words = |line: &Value| format!("{}: {}", line["subject"].as_str().unwrap(), line["message"].as_str().unwrap());
    told.map(words).collect::<Vec<_>>().join("\n")
}

#[test]
fn apply_doctor_finds_a_complete_pipeline_ready_and_leaves_nothing_behind() {
    let (bench, server, keys) = (Bench::new(), shop(1), Keys::new(Lock::AgeKeys));
    complete(&bench, &server, &keys.encrypt(Lock::AgeKeys).unwrap(), keys.path("key").to_str().unwrap());
    let ran = bench.run(&["doctor", "pipeline.yaml"]);
    ran.is(0, &[]);
    assert!(ran.stdout.starts_with("orders: ready\n"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("warn ") && !ran.stdout.contains("info "), "{}", ran.stdout);
    let ran = bench.run(&["doctor", "pipeline.yaml", "--format", "json"]);
    let good = lines(&ran, "ok");
    for words in [
        "answers, PostgreSQL 16.",
        "can read everything: 2 tables",
        "pg_dump 16.",
        "a scratch server of PostgreSQL 16 can be started here",
        "wrote, read back, refused to overwrite, deleted",
        "scratch disk: ",
        "secret drill: it is there",
        "step encrypt: 2 recipients",
        "step lock: 2 recipients",
    ] {
        assert!(good.contains(words), "{words:?} is missing in\n{good}");
    }
    assert_eq!(files(&bench.path("store")), Vec::<std::path::PathBuf>::new(), "the probe was taken away");
    bench.is_clean();
}

#[test]
fn apply_doctor_warns_of_one_key_and_of_what_is_missed_only_on_the_day_of_a_restore() {
    let (bench, server) = (Bench::new(), shop(1));
    let (age, pgp) = (Keys::new(Lock::Ssh), Keys::new(Lock::PgpKeys));
    bench.file("phrase", "correct horse");
    let passphrase = json!({ "age": { "passphrase": { "secret": "phrase" } } });
    let ways = [
        (age.encrypt(Lock::Ssh).unwrap(), "only one recipient: one lost key, and every backup is gone"),
        (pgp.encrypt(Lock::PgpKeys).unwrap(), "only one recipient: one lost key, and every backup is gone"),
        (passphrase, "one passphrase opens every backup"),
    ];
    for (encrypt, words) in &ways {
        let secrets = if words.contains("passphrase") { "secrets: { phrase: { file: @/phrase } }\n" } else { "" };
        bench.pipeline(
            &server,
            &format!(
                "{secrets}steps:\n  - {{ id: dump, uses: dump, with: {{ connection: shop }} }}\n  - {{ id: encrypt, uses: encrypt, with: {encrypt} }}\n  - {{ id: upload, uses: upload, with: {{ store: vault }} }}\n"
            ),
        );
        let ran = bench.run(&["doctor", "pipeline.yaml", "--format", "json"]);
        ran.is(0, &[]);
        let warned = lines(&ran, "warn");
        assert!(warned.contains(&format!("step encrypt: {words}")), "{warned}");
        assert!(warned.contains("step upload: what it stores is never restored"), "{warned}");
        let known = lines(&ran, "info");
        for words in [
            "stores: every backup lies in one store only",
            "connection shop: its roles",
            "schedule: ",
            "no RPO",
            "no RTO",
            "nobody is told",
        ] {
            assert!(known.contains(words), "{words:?} is missing in\n{known}");
        }
    }
    let ran = bench.run(&["doctor", "pipeline.yaml"]);
    assert!(ran.stdout.starts_with("orders: ready, 2 warnings\n") && ran.stdout.contains("→ keep it in two places"), "{}", ran.stdout);
}

#[test]
fn apply_doctor_fails_for_what_would_make_a_run_fail() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.file("recipients", "age1typo\n");
    let encrypt = json!({ "age": { "recipients_file": bench.path("recipients") } });
    complete(&bench, &server, &encrypt, "/nonexistent/key");
    drop(server);
    let ran = bench.run(&["doctor", "pipeline.yaml", "--format", "json"]);
    let failed = lines(&ran, "fail");
    for words in ["connection shop: no PostgreSQL server answers", "secret drill: /nonexistent/key", "step encrypt: "] {
        assert!(failed.contains(words), "{words:?} is missing in\n{failed}");
    }
    let planned = bench.run(&["plan", "pipeline.yaml"]);
    assert_eq!(ran.code, planned.code, "as a plan ends");
    assert!(matches!(ran.code, 69 | 77), "{}", ran.code);
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(answer["pipelines"][0]["ready"], false);
    let ran = bench.run(&["doctor", "pipeline.yaml"]);
    assert!(ran.stdout.starts_with("orders: not ready: "), "{}", ran.stdout);
    bench.run(&["doctor", "no-such-pipeline"]).is(66, &["no-such-pipeline"]);
}

#[test]
fn apply_drills_with_the_escrowed_key_and_with_no_stranger_s() {
    let (bench, server, keys) = (Bench::new(), shop(1), Keys::new(Lock::AgeKeys));
    let encrypt = keys.encrypt(Lock::AgeKeys).unwrap();
    for name in ["key", "other"] {
        complete(&bench, &server, &encrypt, keys.path(name).to_str().unwrap());
        let ran = bench.apply();
        ran.is(0, &[]);
        assert!(ran.stdout.contains("proven"), "the {name} opens it\n{}", ran.stdout);
    }
    let stranger = Keys::new(Lock::AgeKeys);
    complete(&bench, &server, &encrypt, stranger.path("key").to_str().unwrap());
    let ran = bench.apply();
    ran.is(11, &["age"]);
    assert!(!ran.stdout.contains("proven"), "{}", ran.stdout);
}
