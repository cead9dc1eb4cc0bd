//! The recovery kit: what lies beside the restore points restores them where there is no `runner`.

use std::path::Path;
use std::process::Command;

use runner::store::kit;
use runner::stream::digest::Algorithm;
use serde_json::{Value, json};

use crate::matrix_keys::{Keys, Lock, PASSPHRASE, digest_by_tool};
use crate::matrix_rig::{Rig, by_socket, pipeline, step};
use crate::matrix_source::{DATABASE, create, rows, server};
use crate::restore_kit_rig::{Backup, MAJOR, Machine, NAME, with_keyring};
use crate::servers::postgres::{TestServer, tools_folder};
use crate::servers::seaweed::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY, spec};
use crate::tools_open_artifacts::{shell, text};

/// One dump of a restore point: its name, format, codec, digest, how it is encrypted, and how many connections restore it.
type Branch = (&'static str, &'static str, &'static str, &'static str, Lock, &'static str);

const BRANCHES: [Branch; 6] = [
    ("custom", "custom", "zstd", "sha256", Lock::AgeKeys, "1"),
    ("plain", "plain", "gzip", "sha512", Lock::PgpKeys, "1"),
    ("tar", "tar", "lz4", "blake3", Lock::Ssh, "1"),
    ("folder", "directory", "zstd", "sha256", Lock::PgpPassphrase, "2"),
    ("open", "custom", "none", "sha256", Lock::Open, "3"),
    ("globals", "", "gzip", "sha256", Lock::AgeKeys, ""),
];

fn declared(source: &TestServer, keys: &[Keys]) -> Value {
    let mut steps = Vec::new();
    for ((name, format, codec, digest, lock, _), keys) in BRANCHES.into_iter().zip(keys) {
        let mut first = match name {
            "globals" => step(name, "globals", &json!({ "connection": "db" })),
            _ => step(name, "dump", &json!({ "connection": "db", "format": format })),
        };
        first["needs"] = json!([]);
        steps.push(first);
        steps.push(step(&format!("{name}-digest"), "checksum", &json!({ "algorithm": digest })));
        steps.push(step(&format!("{name}-pack"), "compress", &json!({ "codec": codec })));
        steps.extend(keys.encrypt(lock).map(|with| step(&format!("{name}-lock"), "encrypt", &with)));
        steps.push(step(&format!("{name}-keep"), "upload", &json!({ "store": "vault" })));
    }
    let mut pipeline = pipeline("kit", &by_socket(source, DATABASE), &steps);
    pipeline["secrets"] = json!({ "phrase": { "env": "PHRASE" } });
    pipeline
}

#[test]
fn restore_kit_brings_back_every_form_where_there_is_no_runner() {
    let mut keys: Vec<Keys> = BRANCHES[1..].iter().map(|(.., lock, _)| Keys::new(*lock)).collect();
    keys.insert(0, Keys::new(Lock::AgeKeys));
    let (source, rig) = (server(MAJOR), Rig::new().env("PHRASE", PASSPHRASE));
    source.psql(
        "postgres",
        "alter role postgres password 'of the source'; alter role reader password 'of the source'; comment on role reader is E'it''s \"new\";\ntwo';
         alter role \"App Owner\" connection limit 3 password 'of the source'; comment on role \"App Owner\" is E'it''s \"old\";\ntwo';
         alter role \"App Owner\" set work_mem = '9MB'; grant reader to \"App Owner\"; create role 새로; grant 새로 to \"App Owner\"",
    );
    rig.apply(&rig.pipeline(&declared(&source, &keys))).ended(0);
    let (expected, expected_rows) = (text(&source, DATABASE), rows(&source, DATABASE));
    let (fresh, script) = (TestServer::start(MAJOR), rig.path("store/.runner/kit/kit-3/restore.sh"));
    let several = Machine::new(&fresh).run(&script, &["restore", "--to", "x"]).ended(64);
    assert!(several.stderr.contains("\n  custom-keep\n") && several.stderr.contains("choose one with --step"), "{}", several.stderr);

    // A role that is there stays as it is, with all that is its own.
    fresh.psql("postgres", "create role \"App Owner\" connection limit 7");
    // The globals are encrypted to another key than the dump: age tries all that the file holds.
    let identity = |at: usize| keys[at].path("key").display().to_string();
    let both = rig.path("both.key");
    std::fs::write(&both, [identity(0), identity(5)].map(|path| std::fs::read_to_string(path).unwrap()).concat()).unwrap();
    let machine = Machine::new(&fresh);
    let arguments = ["restore", "--step", "custom-keep", "--globals", "--to", "custom", "--identity", both.to_str().unwrap()];
    let ran = machine.run(&script, &arguments).ended(0);
    assert!(ran.stdout.starts_with("restored 2"), "{}", ran.stdout);
    assert_eq!(fresh.psql("postgres", "select count(*) from pg_roles where rolname in ('소유자', 'App Owner', 'reader', 'backup')"), "4");
    // Who restores, or works there, is not locked out by the password of another day.
    let passwords =
        "select string_agg(rolname, ',') from pg_authid where rolpassword is not null and rolname in ('postgres', 'reader', 'App Owner')";
    assert_eq!(fresh.psql("postgres", passwords), "reader");
    let about = "select rolconnlimit, shobj_description(oid, 'pg_authid'), rolconfig from pg_roles where rolname in ('App Owner', 'reader') order by 1";
    assert_eq!(fresh.psql("postgres", about), "-1|it's \"new\";\ntwo|\n7||");
    let member = "select pg_has_role('App Owner', '새로', 'member')";
    assert_eq!(fresh.psql("postgres", member), "t");
    for ((name, .., lock, jobs), (at, keys)) in BRANCHES[1..5].iter().zip(keys.iter().enumerate().skip(1)) {
        let machine = with_keyring(Machine::new(&fresh), keys, *lock);
        let (key, step) = (identity(at), format!("{name}-keep"));
        let mut arguments = vec!["restore", "--step", &step, "--to", name, "--jobs", jobs];
        if *lock == Lock::Ssh {
            arguments.extend(["--identity", &key]);
        }
        machine.run_under(if *name == "plain" { "bash" } else { "sh" }, &script, &arguments).ended(0);
    }
    for (name, ..) in &BRANCHES[..5] {
        assert_eq!(rows(&fresh, name), expected_rows, "{name}");
        assert_eq!(text(&fresh, name), expected, "{name}");
    }
    // Once more, from afar: the roles are there by now, and so is a database with a name that looks like something else.
    let (odd, afar) = ("postgres://x?a='b\\c' 복구", format!("rclone:{}", rig.path("store").display()));
    let place = ["restore", "--store", &afar, "--step", "custom-keep", "--globals", "--to", odd];
    let arguments = [&place[..], &["--jobs", "2", "--identity", both.to_str().unwrap()]].concat();
    Machine::new(&fresh).env("RCLONE_CONFIG", "/dev/null").run(&script, &arguments).ended(0);
    assert_eq!(rows(&fresh, odd), expected_rows);
}

#[test]
fn restore_kit_makes_the_schemas_of_chosen_tables() {
    let (source, name) = (TestServer::start(MAJOR), r#"판매 It's "A" $1"#);
    create(&source, "shop", "");
    source.psql(
        "shop",
        r#"create schema "판매 It's ""A"" $1"; create schema "Sales"; create table "Sales"."주문" as select 7 as n;
           create table "판매 It's ""A"" $1".고객 as select '홍길동' as 이름; create table 나머지 ()"#,
    );
    let tables = json!([r#""판매 It's ""A"" $1".고객"#, r#""Sales".*"#]);
    let content = r#"select 이름, n from "판매 It's ""A"" $1".고객, "Sales"."주문""#;
    for format in ["custom", "plain"] {
        let rig = Rig::new();
        let with = json!({ "connection": "db", "format": format, "tables": tables });
        let steps = [step("dump", "dump", &with), step("keep", "upload", &json!({ "store": "vault" }))];
        let ran = rig.apply(&rig.pipeline(&pipeline("chosen", &by_socket(&source, "shop"), &steps))).ended(0);
        let recipe = rig.path("store").join(ran.json()["runs"][0]["manifest"].as_str().unwrap().replace("manifest.json", "recipe.txt"));
        let recipe = std::fs::read_to_string(recipe).unwrap();
        assert!(recipe.contains(&format!("\nschema\t{name}\n")) && recipe.contains("\nschema\tSales\n"), "{recipe}");
        restored(&rig, &source, "chosen", format);
        assert_eq!(source.psql(format, content), "홍길동|7");
        // And by the one line that is printed.
        let line = ran.json()["runs"][0]["restore_without_runner"][0]["command"].as_str().unwrap().to_owned();
        shell(&line, &source, &Keys::new(Lock::Open), rig.path(".").as_path());
        assert_eq!(source.psql("restored", content), "홍길동|7");
        source.psql("postgres", "drop database restored");
    }
}

#[test]
fn restore_kit_takes_the_newest_point_or_the_one_that_is_asked_for() {
    let backup = Backup::prepared();
    let (first, _) = backup.apply();
    backup.server.psql("주문 DB", "insert into 주문 values (3, '성춘향')");
    // Run ids tell seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (second, ran) = backup.apply();
    assert!(!ran.stderr.contains("kit"), "it was there already: {}", ran.stderr);
    let (machine, key) = (Machine::new(&backup.server), backup.identity());
    // Written before a commit that never came: not a restore point, however new.
    let orphan = "99991231T235959Z-abcdef";
    let recipe = std::fs::read_to_string(backup.beside(&format!("{}/{second}.recipe.txt", month(&second)))).unwrap();
    std::fs::create_dir(backup.beside("9999-12")).unwrap();
    std::fs::write(backup.beside(&format!("9999-12/{orphan}.recipe.txt")), recipe.replace(&second, orphan)).unwrap();

    let listed = machine.run(&backup.script(), &["list"]).ended(0).stdout;
    let runs: Vec<&str> = listed.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(runs, [second.as_str(), first.as_str()], "{listed}");
    assert!(listed.contains("keep: dump of 주문 DB, custom, ") && listed.contains(&format!("월간 백업/it's {first}.dump")), "{listed}");
    let new = machine.run(&backup.script(), &["restore", "--to", "새 것", "--identity", &key]).ended(0);
    assert_eq!(new.stdout, format!("restored {second} into 새 것\n"));
    assert_eq!(backup.names("새 것"), "홍길동,tab\there,성춘향");
    let old = machine.run(&backup.script(), &["restore", "--at", &first, "--to", "old", "--identity", &key]).ended(0);
    assert_eq!(old.stdout, format!("restored {first} into old\n"));
    assert_eq!(backup.names("old"), "홍길동,tab\there");
    let refused = machine.run(&backup.script(), &["restore", "--at", orphan, "--to", "x", "--identity", &key]).ended(66);
    assert!(refused.stderr.contains("is no restore point") && !backup.has("x"), "{}", refused.stderr);
    let checked = machine.run(&backup.script(), &["check", "--at", &first]).ended(0);
    assert_eq!(checked.stdout, format!("OK 월간 백업/it's {first}.dump.zst.age\n"));
    // A point without a recipe is told, and never silently passed over for an older one.
    std::fs::remove_file(backup.beside(&format!("{}/{second}.recipe.txt", month(&second)))).unwrap();
    let told = machine.run(&backup.script(), &["restore", "--to", "x", "--identity", &key]).ended(66);
    assert!(told.stderr.contains(&format!("{second} has no recipe")), "{}", told.stderr);
    assert!(machine.run(&backup.script(), &["list"]).ended(0).stdout.contains("no recipe: only runner"));
}

#[test]
fn restore_kit_lets_age_ask_for_a_passphrase_on_the_terminal() {
    let (source, keys) = (TestServer::start(MAJOR), Keys::new(Lock::AgePassphrase));
    create(&source, "shop", "");
    source.psql("shop", "create table t as select 7 as n");
    let rig = Rig::new().env("PHRASE", PASSPHRASE);
    let steps = [
        step("dump", "dump", &json!({ "connection": "db", "format": "plain" })),
        step("lock", "encrypt", &keys.encrypt(Lock::AgePassphrase).unwrap()),
        step("keep", "upload", &json!({ "store": "vault" })),
    ];
    let mut declared = pipeline("asked", &by_socket(&source, "shop"), &steps);
    declared["secrets"] = json!({ "phrase": { "env": "PHRASE" } });
    rig.apply(&rig.pipeline(&declared)).ended(0);
    let machine = Machine::new(&source).env("PHRASE", PASSPHRASE).with("script").with("sleep");
    // As somebody does it who went to the folder first.
    let folder = rig.path("store/.runner/asked/kit-3");
    let typed = "cd \"$0\"; (sleep 1; printf '%s\\n' \"$PHRASE\"; while [ ! -e \"$1\" ]; do sleep 0.1; done) | SHELL=sh script -qec \"sh restore.sh restore --to back; code=\\$?; : >'$1'; exit \\$code\" /dev/null";
    let done = machine.path("done");
    machine.run(Path::new("-c"), &[typed, folder.to_str().unwrap(), done.to_str().unwrap()]).ended(0);
    assert_eq!(source.psql("back", "select n from t"), "7");
}

/// The folder of a run: `2026-11`.
pub(crate) fn month(run: &str) -> String {
    format!("{}-{}", &run[..4], &run[4..6])
}

#[test]
fn restore_kit_works_from_a_bucket_and_from_its_copy() {
    let s3 = S3Server::seaweed();
    let rig = Rig::new().env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let backup = Backup::into(rig, &json!({ "s3": serde_json::to_value(spec(&s3.endpoint())).unwrap() }));
    let (run, _) = backup.apply();
    let machine = [
        ("RCLONE_CONFIG", "/dev/null"),
        ("RCLONE_S3_PROVIDER", "SeaweedFS"),
        ("RCLONE_S3_ACCESS_KEY_ID", ACCESS_KEY),
        ("RCLONE_S3_SECRET_ACCESS_KEY", SECRET_KEY),
        ("RCLONE_S3_ENDPOINT", &s3.endpoint()),
    ]
    .into_iter()
    .fold(Machine::new(&backup.server), |machine, (name, value)| machine.env(name, value));
    let remote = format!(":s3:{BUCKET}/팀/백업");
    let copied = machine.run(Path::new("-c"), &["rclone copy \"$0\" copy", &remote]).ended(0);
    assert!(copied.stdout.is_empty());
    let (key, copy) = (backup.identity(), machine.path(&format!("copy/.runner/{NAME}/kit-3/restore.sh")));
    machine.run(&copy, &["restore", "--to", "from_copy", "--identity", &key]).ended(0);
    assert_eq!(backup.names("from_copy"), "홍길동,tab\there");
    // The script alone, and the bucket where it is.
    let (script, store) = (machine.path("restore.sh"), format!("rclone:{remote}"));
    std::fs::rename(&copy, &script).unwrap();
    let lost = machine.run(&script, &["list"]).ended(66);
    assert!(lost.stderr.contains("--store"), "{}", lost.stderr);
    assert!(machine.run(&script, &["list", "--store", &store]).ended(0).stdout.starts_with(&run));
    machine.run(&script, &["check", "--store", &store]).ended(0);
    let ran = machine.run(&script, &["restore", "--store", &store, "--to", "from_bucket", "--identity", &key]).ended(0);
    assert!(ran.stderr.contains("bytes in"), "it says what room it needs: {}", ran.stderr);
    assert_eq!(backup.names("from_bucket"), "홍길동,tab\there");
    by_aws(&backup, &s3, &script, &run);
}

/// Amazon's own tool, without a configuration file, and with an endpoint as its newer versions take it.
fn by_aws(backup: &Backup, s3: &S3Server, script: &Path, run: &str) {
    let machine = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY), ("AWS_DEFAULT_REGION", "ap-northeast-2")]
        .into_iter()
        .fold(Machine::new(&backup.server).env("AWS_ENDPOINT_URL", &s3.endpoint()), |machine, (name, value)| machine.env(name, value));
    let (key, store) = (backup.identity(), format!("s3://{BUCKET}/팀/백업/"));
    assert!(machine.run(script, &["list", "--store", &store]).ended(0).stdout.starts_with(run));
    machine.run(script, &["check", "--store", &store]).ended(0);
    machine.run(script, &["restore", "--store", &store, "--to", "from_amazon", "--identity", &key]).ended(0);
    assert_eq!(backup.names("from_amazon"), "홍길동,tab\there");
    let nothing = machine.run(script, &["list", "--store", &format!("s3://{BUCKET}/elsewhere")]);
    assert!(nothing.code != 0 && nothing.stdout.is_empty(), "{}", nothing.stderr);
}

#[test]
fn restore_kit_keeps_encoding_and_locale() {
    let source = TestServer::start(MAJOR);
    create(&source, "옛 주문", "encoding 'EUC_KR' locale 'C'");
    source.psql("옛 주문", "create table 고객 (이름 text); insert into 고객 values ('홍길동'), ('성춘향')");
    create(&source, "builtin", "locale_provider builtin builtin_locale 'C.UTF-8' locale 'C'");
    let rigs = [("euckr", "옛 주문"), ("built", "builtin")].map(|(name, database)| {
        let rig = Rig::new();
        let steps = [step("dump", "dump", &json!({ "connection": "db" })), step("keep", "upload", &json!({ "store": "vault" }))];
        let ran = rig.apply(&rig.pipeline(&pipeline(name, &by_socket(&source, database), &steps))).ended(0);
        restored(&rig, &source, name, name);
        assert_eq!(like(&source, name), like(&source, database));
        (rig, ran.json()["runs"][0]["manifest"].as_str().unwrap().replace("manifest.json", "recipe.txt"))
    });
    assert_eq!(source.psql("euckr", "select string_agg(이름, ',' order by 이름) from 고객"), "성춘향,홍길동");
    // A locale that this server does not have: the content comes back all the same, and that it sorts in another way is said.
    let (rig, recipe) = &rigs[0];
    let recipe = rig.path("store").join(recipe);
    let text = std::fs::read_to_string(&recipe).unwrap();
    std::fs::remove_file(&recipe).unwrap();
    std::fs::write(&recipe, text.replace("EUC_KR\tC\tC", "EUC_KR\tKorean_Korea.949\tKorean_Korea.949")).unwrap();
    let said = restored(rig, &source, "euckr", "elsewhere");
    assert!(said.contains("does not have the locale Korean_Korea.949") && said.contains("sorts in locale C"), "{said}");
    assert_eq!(like(&source, "elsewhere"), like(&source, "옛 주문"));
}

/// Restores the newest point into a database; answers what was said.
fn restored(rig: &Rig, server: &TestServer, pipeline: &str, to: &str) -> String {
    let script = rig.path(&format!("store/.runner/{pipeline}/kit-3/restore.sh"));
    Machine::new(server).run(&script, &["restore", "--to", to]).ended(0).stderr
}

/// Encoding, locale and provider of a database.
fn like(server: &TestServer, name: &str) -> String {
    let columns = "encoding, datcollate, datctype, datlocprovider, datlocale";
    server.psql("postgres", &format!("select {columns} from pg_database where datname = '{name}'"))
}

#[test]
fn restore_kit_says_the_same_for_the_same_pipeline_and_another_version_when_it_changes() {
    let [words, script] = kit::files(&NAME.parse().unwrap());
    assert_eq!([&words.key, &script.key], [&format!(".runner/{NAME}/kit-3/RESTORE.md"), &format!(".runner/{NAME}/kit-3/restore.sh")]);
    assert!(script.text.contains(&format!("pipeline='{NAME}'")) && words.text.contains(&format!("`.runner/{NAME}/kit-3/`")));
    for blank in ["@PIPELINE@", "@VERSION@", "@FOLDER@"] {
        assert!(!words.text.contains(blank) && !script.text.contains(blank), "{blank} is not filled in");
    }
    let digest = |text: &str| digest_by_tool(Algorithm::Sha256, text.as_bytes());
    // Kits of released versions lie in stores that nobody may change: new words need a new `kit::VERSION`.
    insta::assert_snapshot!(format!("kit {}\nRESTORE.md {}\nrestore.sh {}", kit::VERSION, digest(&words.text), digest(&script.text)));
}

#[test]
fn restore_kit_passes_shellcheck() {
    let [_, script] = kit::files(&NAME.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restore.sh");
    std::fs::write(&path, script.text).unwrap();
    for dialect in ["sh", "dash"] {
        let mut shellcheck = Command::new(tools_folder().join("py/bin/shellcheck"));
        let output = shellcheck.args(["--severity=style", "--shell", dialect]).arg(&path).output().expect("shellcheck: run .ci/setup");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
