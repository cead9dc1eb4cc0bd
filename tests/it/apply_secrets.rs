//! Keys, passwords and damaged bytes: what is wrong is told by its name, never by its value, and nothing is called better than it is.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::process::Command;

use runner::store::manifest::Level;

use crate::apply_support::{Bench, MAJOR, NAME, files, fill, shop};
use crate::servers::faulty_s3::{Fault, FaultyS3, rule};
use crate::servers::postgres::{Options, TestServer};
use crate::servers::seaweed::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

/// A server that asks the role `백업` for this password on loopback, with a database `shop`.
pub(crate) fn guarded(password: &str, mib: u32) -> TestServer {
    let server = TestServer::start_with(MAJOR, &Options { hba: vec!["host all all 127.0.0.1/32 scram-sha-256"], ..Options::default() });
    fill(&server, mib);
    server.psql("postgres", &format!("create role \"백업\" superuser login password '{password}'"));
    server
}

pub(crate) fn head(server: &TestServer, secrets: &str, stores: &str) -> String {
    format!(
        "version: 1\nname: {NAME}\nsecrets:\n  db_password: {{ file: @/keys/db_password }}\n{secrets}connections:
  shop: {{ postgres: {{ host: 127.0.0.1, port: {}, user: 백업, database: shop, password: {{ secret: db_password }} }} }}
stores:\n  vault: {{ local: {{ path: @/store }} }}\n{stores}defaults: {{ retry: {{ attempts: 1 }} }}\n",
        server.port
    )
}

const DUMP: &str = "steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: upload, uses: upload, with: { store: vault } }
";

/// A new age identity and its recipient.
pub(crate) fn age_key() -> (String, String) {
    let output = Command::new("age-keygen").output().expect("age-keygen is needed: install the package age");
    let text = String::from_utf8(output.stdout).unwrap();
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
    (text.lines().last().unwrap().to_owned(), recipient)
}

/// Demands that nothing was dumped, and that nothing is left.
#[track_caller]
fn nothing_was_dumped(bench: &Bench) {
    assert!(!bench.path("dumped").exists(), "pg_dump was started");
    bench.left_nothing();
}

#[test]
fn apply_with_a_wrong_password_names_the_role_and_the_secret_and_not_the_value() {
    let server = guarded("right", 1);
    let bench = Bench::new();
    bench.program("pg_dump", "touch @/dumped; exec \"$REAL\" \"$@\"");
    bench.file("keys/db_password", "wrong-canary-1");
    bench.text(&format!("{}{DUMP}", head(&server, "", "")));
    for ran in [bench.apply(), bench.run(&["plan", "pipeline.yaml"])] {
        ran.is(77, &[]);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        for words in ["백업", "db_password", "password authentication failed"] {
            assert!(said.contains(words), "{words:?} is missing in:\n{said}");
        }
        assert!(!said.contains("canary"), "{said}");
    }
    nothing_was_dumped(&bench);
    // A password that changed after the plan was made: found out by the dump itself, told the same way.
    bench.file("keys/db_password", "right");
    bench.program(
        "pg_dump",
        "echo 'pg_dump: error: connection to server failed: FATAL:  password authentication failed for user \"백업\"' >&2; exit 1",
    );
    bench.apply().is(77, &["password authentication failed"]);
    bench.left_nothing();
    bench.program("pg_dump", "exec \"$REAL\" \"$@\"");
    bench.apply().is(0, &[]);
}

#[test]
fn apply_without_a_secret_or_a_recipient_dumps_nothing() {
    let server = guarded("right", 1);
    let bench = Bench::new();
    bench.program("pg_dump", "touch @/dumped; exec \"$REAL\" \"$@\"");
    bench.text(&format!("{}{DUMP}", head(&server, "", "")));
    bench.apply().is(77, &["secret db_password", "keys/db_password"]);
    nothing_was_dumped(&bench);
    // A secret that only the verification needs is missed before the dump too.
    bench.file("keys/db_password", "right\n");
    let encrypted = "steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: encrypt, uses: encrypt, with: { age: { recipients_file: @/keys/backup.pub } } }
  - { id: upload, uses: upload, with: { store: vault } }
  - { id: verify, uses: verify-restore, with: { identity: { secret: drill_key } } }
";
    bench.text(&format!("{}{encrypted}", head(&server, "  drill_key: { env: RUNNER_TEST_NOT_SET }\n", "")));
    let (_, recipient) = age_key();
    bench.file("keys/backup.pub", &recipient);
    bench.apply().is(77, &["secret drill_key", "RUNNER_TEST_NOT_SET is not set, or is empty"]);
    nothing_was_dumped(&bench);
    let yaml = head(&server, "  drill_key: { file: @/keys/drill }\n", "");
    bench.text(&format!("{yaml}{encrypted}"));
    bench.file("keys/drill", "AGE-SECRET-KEY-1CANARY");
    for (recipients, words) in [(None, "keys/backup.pub"), (Some("# nobody yet\n"), "no recipient"), (Some("age1typo\n"), "backup.pub:1: ")]
    {
        std::fs::remove_file(bench.path("keys/backup.pub")).unwrap_or_default();
        if let Some(text) = recipients {
            bench.file("keys/backup.pub", text);
        }
        let ran = bench.apply();
        ran.is(77, &["step encrypt", words]);
        assert!(files(&bench.state()).is_empty(), "nothing ran");
        nothing_was_dumped(&bench);
    }
}

#[test]
fn apply_that_can_not_even_start_is_told_to_those_who_are_told_of_failures() {
    let server = guarded("right", 1);
    let bench = Bench::new();
    bench.program("pg_dump", "touch @/dumped; exec \"$REAL\" \"$@\"");
    let tell = "  - { id: tell, uses: notify, when: always, with: { file: { path: @/told } } }
  - { id: cheer, uses: notify, with: { file: { path: @/cheered } } }\n";
    bench.text(&format!("{}{DUMP}{tell}", head(&server, "", "")));
    bench.apply().is(77, &["secret db_password"]);
    nothing_was_dumped(&bench);
    let told = std::fs::read_to_string(bench.path("told")).unwrap();
    assert!(told.contains("\"outcome\":\"failure\"") && told.contains("secret db_password"), "{told}");
    assert!(!bench.path("cheered").exists(), "what waits for success does not run");
    let journal = bench.story();
    assert!(journal.contains("dump=Failed") && journal.contains("tell=Done"), "the run that could not be is in the journal: {journal}");
}

#[test]
fn apply_with_the_wrong_key_stays_stored_and_its_receipt_says_why() {
    let server = shop(1);
    let ((_, recipient), (other, _)) = (age_key(), age_key());
    let table = [
        ("age: { recipients: [RECIPIENT] }", "identity: { secret: key }", other.as_str(), "age"),
        ("age: { recipients: [RECIPIENT] }", "identity: { secret: key }", "not a key: canary", "age"),
        ("openpgp: { passphrase: { secret: right } }", "passphrase: { secret: key }", "wrong canary", "gpg"),
    ];
    for (encrypt, unlock, key, layer) in table {
        let bench = Bench::new();
        let yaml = format!(
            "defaults: {{ retry: {{ attempts: 3, backoff: 100ms }} }}\nsecrets:\n  key: {{ file: @/keys/key }}\n  right: {{ file: @/keys/right }}
steps:
  - {{ id: dump, uses: dump, with: {{ connection: shop }} }}
  - {{ id: encrypt, uses: encrypt, with: {{ {} }} }}
  - {{ id: upload, uses: upload, with: {{ store: vault }} }}
  - {{ id: verify, uses: verify-restore, with: {{ {unlock} }} }}
",
            encrypt.replace("RECIPIENT", &recipient)
        );
        bench.pipeline(&server, &yaml);
        bench.file("keys/key", key);
        bench.file("keys/right", "right");
        bench.apply().is(11, &[&format!("{layer}:"), "verify"]);
        stays_stored(&bench, layer);
        assert!(!bench.story().contains("again"), "a wrong key is not tried again: {}", bench.story());
        for path in files(&bench.path("store")) {
            assert!(!String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains("canary"), "{}", path.display());
        }
    }
}

/// The restore point is there, at no more than `stored`, and its receipt names the layer that noticed.
#[track_caller]
fn stays_stored(bench: &Bench, layer: &str) {
    let receipt = bench.receipt();
    assert_eq!(receipt.level, Level::Stored, "{receipt:?}");
    assert!(receipt.failure.as_ref().is_some_and(|why| why.contains(layer)), "{layer:?} is not in {:?}", receipt.failure);
    assert!(bench.story().contains("verify=Failed verify:check=NotRun"), "{}", bench.story());
    bench.is_clean();
}

#[test]
fn apply_finds_one_bit_that_changed_in_the_store() {
    // Larger than what is read ahead while the scratch server is made.
    let server = shop(8);
    let (identity, recipient) = age_key();
    let encrypt = format!("  - {{ id: encrypt, uses: encrypt, with: {{ age: {{ recipients: [{recipient}] }} }} }}\n");
    let compress = "  - { id: compress, uses: compress, with: { codec: zstd, level: 1 } }\n".to_owned();
    // The scratch server is made after the object is opened and before it is read: that is when its bytes change in place.
    let flip = "printf X | dd of=\"$f\" bs=1 seek=$(($(stat -c %s \"$f\") - 2000)) conv=notrunc 2>/dev/null";
    let table = [
        (String::new(), "", flip, ["sha256:"; 2]),
        (compress.clone(), "", flip, ["zst", "sha256:"]),
        (encrypt, "identity: { secret: key }", flip, ["age:", "sha256:"]),
        (compress, "", "truncate -s -1 \"$f\"", ["local store:"; 2]),
    ];
    for (filters, unlock, damage, layers) in table {
        let bench = Bench::new();
        bench.program("initdb", &format!("for f in @/store/{NAME}/*/*; do {damage}; done; exec \"$REAL\" \"$@\""));
        bench.file("keys/key", &identity);
        let secrets = if unlock.is_empty() { "" } else { "secrets:\n  key: { file: @/keys/key }\n" };
        bench.pipeline(&server, &format!("defaults: {{ retry: {{ attempts: 1 }} }}\n{secrets}steps:\n  - {{ id: dump, uses: dump, with: {{ connection: shop }} }}\n{filters}  - {{ id: upload, uses: upload, with: {{ store: vault }} }}\n  - {{ id: verify, uses: verify-restore, with: {{ {unlock} }} }}\n"));
        // The programs that do the damage run as another account.
        let yaml = std::fs::read_to_string(bench.path("pipeline.yaml")).unwrap();
        let place = format!("path: {}", bench.path("store").display());
        bench.text(&yaml.replace(&place, &format!("{place}, file_mode: \"0666\", folder_mode: \"0777\"")));
        let ran = bench.apply();
        ran.is(11, &[]);
        let layer = layers.into_iter().find(|layer| ran.stderr.contains(layer));
        stays_stored(&bench, layer.unwrap_or_else(|| panic!("none of {layers:?} is named:\n{}", ran.stderr)));
    }
}

#[test]
fn apply_finds_one_bit_that_changed_on_the_way_from_s3() {
    let (server, weed) = (shop(1), S3Server::seaweed());
    let proxy = FaultyS3::before(weed.address, vec![rule("GET", ".dump.age", u32::MAX, Fault::Damage)]);
    let (identity, recipient) = age_key();
    let mut bench = Bench::new();
    bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    bench.file("keys/key", &identity);
    let endpoint = proxy.endpoint();
    bench.pipeline(
        &server,
        &format!(
            "  cloud: {{ s3: {{ bucket: {BUCKET}, endpoint: \"{endpoint}\", path_style: true, region: ap-northeast-2 }} }}
secrets:
  key: {{ file: @/keys/key }}
defaults: {{ retry: {{ attempts: 1 }} }}
steps:
  - {{ id: dump, uses: dump, with: {{ connection: shop }} }}
  - {{ id: encrypt, uses: encrypt, with: {{ age: {{ recipients: [{recipient}] }} }} }}
  - {{ id: upload, uses: upload, with: {{ store: cloud }} }}
  - {{ id: verify, uses: verify-restore, with: {{ identity: {{ secret: key }} }} }}
"
        ),
    );
    let ran = bench.apply();
    ran.is(11, &["verify"]);
    assert!(ran.stderr.contains("age:") || ran.stderr.contains("S3"), "no layer is named:\n{}", ran.stderr);
    assert!(ran.stdout.contains("level          stored") && !ran.stdout.contains("level          restored"), "{}", ran.stdout);
    assert!(proxy.seen("GET /") > 0);
    bench.is_clean();
}
