//! Nobody depends on `runner` to get data back: what it stores opens with public tools, and the line it prints for that works.
#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::path::{Path, PathBuf};
use std::process::Command;

use runner::store::manifest::{Applied, Artifact};
use serde_json::{Value, json};

use crate::matrix_keys::{Keys, Lock, PASSPHRASE};
use crate::matrix_rig::{Rig, by_socket, pipeline, step};
use crate::matrix_source::{DATABASE, create, major, rows, server};
use crate::servers::postgres::{TestServer, bin};

/// One stream of a pipeline, each in another form: its name, the dump's format, the codec, the digest, and how it is encrypted.
type Branch = (&'static str, &'static str, &'static str, &'static str, Lock);

const BRANCHES: [Branch; 5] = [
    ("custom", "custom", "zstd", "sha256", Lock::AgeKeys),
    ("plain", "plain", "gzip", "sha512", Lock::PgpKeys),
    ("tar", "tar", "lz4", "sha256", Lock::Ssh),
    ("folder", "directory", "zstd", "sha256", Lock::PgpPassphrase),
    ("open", "custom", "none", "sha256", Lock::Open),
];

/// The keys of each branch, and of the globals at the end.
fn keys() -> Vec<Keys> {
    BRANCHES.iter().map(|(.., lock)| *lock).chain([Lock::AgeKeys]).map(Keys::new).collect()
}

/// Everything in one pipeline: the branches start at once, and so do the globals.
fn declared(source: &TestServer, keys: &[Keys]) -> Value {
    let mut steps = Vec::new();
    let globals = ("globals", "", "gzip", "sha256", Lock::AgeKeys);
    for ((name, format, codec, digest, lock), keys) in BRANCHES.into_iter().chain([globals]).zip(keys) {
        let mut first = match name {
            "globals" => step(name, "globals", &json!({ "connection": "db" })),
            _ => step(name, "dump", &json!({ "connection": "db", "format": format })),
        };
        first["needs"] = json!([]);
        steps.push(first);
        steps.push(step(&format!("{name}-pack"), "compress", &json!({ "codec": codec })));
        steps.push(step(&format!("{name}-digest"), "checksum", &json!({ "algorithm": digest })));
        steps.extend(keys.encrypt(lock).map(|with| step(&format!("{name}-lock"), "encrypt", &with)));
        steps.push(step(&format!("{name}-keep"), "upload", &json!({ "store": "vault" })));
    }
    let mut pipeline = pipeline("open", &by_socket(source, DATABASE), &steps);
    pipeline["secrets"] = json!({ "phrase": { "env": "PHRASE" } });
    pipeline
}

/// A shell as an operator has it: PostgreSQL's programs, the server, a gpg that needs no terminal.
pub(crate) fn shell(command: &str, server: &TestServer, keys: &Keys, folder: &Path) {
    let gpg = keys.path("gpg");
    std::fs::create_dir_all(&gpg).unwrap();
    crate::matrix_rig::open_to(&gpg, 0o700);
    std::fs::write(keys.path("phrase"), PASSPHRASE).unwrap();
    let settings = format!("batch\nno-tty\npinentry-mode loopback\npassphrase-file {}\n", keys.path("phrase").display());
    std::fs::write(gpg.join("gpg.conf"), settings).unwrap();
    let path = format!("{}:{}", bin(major(server)).display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-euc", command]).current_dir(folder).env("PATH", path).env("GNUPGHOME", &gpg);
    shell.env("PGHOST", server.socket_folder()).env("PGPORT", server.port.to_string()).env("PGUSER", "postgres");
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}\n{said}");
}

/// A database as text: everything that `pg_dump` sees, without the random key that newer ones put around it.
pub(crate) fn text(server: &TestServer, database: &str) -> String {
    let mut dump = Command::new(bin(major(server)).join("pg_dump"));
    dump.arg("-h").arg(server.socket_folder()).args(["-p", &server.port.to_string(), "-U", "postgres", "-w", database]);
    let output = dump.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // PostgreSQL words a list anew once it was loaded.
    let told = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict") && !line.contains("= ANY (");
    text.lines().filter(told).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_line_that_apply_prints_restores_everything_into_a_fresh_server() {
    let (source, keys) = (server(17), keys());
    let rig = Rig::new().env("PHRASE", PASSPHRASE);
    let ran = rig.apply(&rig.pipeline(&declared(&source, &keys))).ended(0);
    let answer = ran.json()["runs"][0].clone();
    let manifest = rig.manifest(&answer);
    assert_eq!(manifest.artifacts.len(), BRANCHES.len() + 1, "one manifest for all");
    let (expected, expected_rows) = (text(&source, DATABASE), rows(&source, DATABASE));
    assert!(expected.contains("큰 객체") && expected.contains("CREATE EXTENSION"), "the text has it all");
    let fresh = TestServer::start(17);
    let line = |artifact: &Artifact, keys: &Keys| {
        let lines = answer["restore_without_runner"].as_array().unwrap();
        let line = lines.iter().find(|line| line["key"] == artifact.object.key.as_str()).unwrap();
        line["command"].as_str().unwrap().replace("KEY_FILE", &keys.path("key").display().to_string())
    };
    let globals = manifest.artifacts.iter().position(|artifact| artifact.origin.kind == "globals").unwrap();
    shell(&line(&manifest.artifacts[globals], &keys[BRANCHES.len()]), &fresh, &keys[BRANCHES.len()], rig.path(".").as_path());
    assert_eq!(fresh.psql("postgres", "select count(*) from pg_roles where rolname in ('소유자', 'App Owner', 'reader', 'backup')"), "4");
    for ((name, ..), keys) in BRANCHES.iter().zip(&keys) {
        let artifact = manifest.artifacts.iter().find(|artifact| artifact.step.as_str() == format!("{name}-keep")).unwrap();
        shell(&line(artifact, keys), &fresh, keys, rig.path(".").as_path());
        assert_eq!(rows(&fresh, "restored"), expected_rows, "{name}");
        assert_eq!(text(&fresh, "restored"), expected, "{name}");
        fresh.psql("postgres", "drop database restored with (force)");
    }
}

#[test]
fn artifacts_and_their_sidecars_open_with_public_tools_alone() {
    let (source, keys) = (server(14), keys());
    let rig = Rig::new().env("PHRASE", PASSPHRASE);
    let ran = rig.apply(&rig.pipeline(&declared(&source, &keys))).ended(0);
    let manifest = rig.manifest(&ran.json()["runs"][0]);
    for ((name, format, codec, digest, lock), keys) in BRANCHES.iter().zip(&keys) {
        let artifact = manifest.artifacts.iter().find(|artifact| artifact.step.as_str() == format!("{name}-keep")).unwrap();
        let digested = decrypted(&rig, artifact, keys, *lock);
        check_sidecar(&rig, artifact, digest);
        let packed = artifact.stages.iter().find(|stage| matches!(stage, Applied::Compress { .. }));
        assert_eq!(packed.is_some(), *codec != "none");
        let plain =
            packed.map_or_else(|| std::fs::read(&digested).unwrap(), |stage| keys.undo(*lock, stage, std::fs::read(&digested).unwrap()));
        lists(&rig, name, format, &plain);
    }
}

/// The file that the sidecar is about: decrypted beside the object, under the object's name without the ending.
fn decrypted(rig: &Rig, artifact: &Artifact, keys: &Keys, lock: Lock) -> PathBuf {
    let object = rig.object(artifact);
    let Some(stage @ Applied::Encrypt { .. }) = artifact.stages.last() else { return object };
    let opened = object.with_extension("");
    std::fs::write(&opened, keys.undo(lock, stage, std::fs::read(&object).unwrap())).unwrap();
    opened
}

/// `sha256sum -c` in the folder of the sidecar.
fn check_sidecar(rig: &Rig, artifact: &Artifact, digest: &str) {
    let sidecar = artifact.stages.iter().find_map(|stage| match stage {
        Applied::Checksum { sidecar, .. } => sidecar.clone(),
        _ => None,
    });
    let sidecar = rig.path("store").join(sidecar.unwrap());
    let mut sum = Command::new(format!("{digest}sum"));
    sum.args(["--strict", "-c"]).arg(sidecar.file_name().unwrap()).current_dir(sidecar.parent().unwrap()).env("LC_ALL", "C.UTF-8");
    let output = sum.output().unwrap();
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains(": OK"), "{said}{complaint}");
}

/// The archive's own tool reads its table of contents.
fn lists(rig: &Rig, name: &str, format: &str, plain: &[u8]) {
    let file = rig.path(&format!("{name}.plain"));
    std::fs::write(&file, plain).unwrap();
    let listing = |program: PathBuf, arguments: &[&str], path: &Path| {
        let output = Command::new(program).args(arguments).arg(path).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    match format {
        "plain" => assert!(String::from_utf8_lossy(plain).contains("COPY \"매출\".\"고객\"")),
        "directory" => {
            let members = listing("tar".into(), &["-tf"], &file);
            assert!(members.lines().any(|member| member == "toc.dat"), "{members}");
            let folder = rig.path(&format!("{name}.folder"));
            std::fs::create_dir(&folder).unwrap();
            assert!(Command::new("tar").arg("-xf").arg(&file).arg("-C").arg(&folder).status().unwrap().success());
            assert!(listing(bin(14).join("pg_restore"), &["-l"], &folder).contains("TABLE DATA 매출 고객"));
        }
        _ => assert!(listing(bin(14).join("pg_restore"), &["-l"], &file).contains("TABLE DATA 매출 고객")),
    }
}

#[test]
fn a_database_in_another_encoding_comes_back_in_it() {
    let source = TestServer::start(16);
    create(&source, "옛 주문", "encoding 'EUC_KR' locale 'C'");
    source.psql("옛 주문", "create table 고객 (이름 text); insert into 고객 values ('홍길동'), ('성춘향')");
    let rig = Rig::new();
    let steps = [
        step("dump", "dump", &json!({ "connection": "db" })),
        step("keep", "upload", &json!({ "store": "vault" })),
        step(
            "drill",
            "verify-restore",
            &json!({ "checks": [
            { "sql": "select string_agg(이름, ',' order by 이름) from 고객", "equals": "성춘향,홍길동" },
            { "sql": "select octet_length(max(이름)) from 고객", "equals": 6 },
            { "sql": "show server_encoding", "equals": "EUC_KR" },
        ] }),
        ),
    ];
    let ran = rig.apply(&rig.pipeline(&pipeline("euckr", &by_socket(&source, "옛 주문"), &steps))).ended(0);
    let manifest = rig.manifest(&ran.json()["runs"][0]);
    assert_eq!(manifest.artifacts[0].origin.locale.as_ref().unwrap().encoding, "EUC_KR");
    let (fresh, keys) = (TestServer::start(16), Keys::new(Lock::Open));
    shell(ran.json()["runs"][0]["restore_without_runner"][0]["command"].as_str().unwrap(), &fresh, &keys, rig.path(".").as_path());
    assert_eq!(fresh.psql("restored", "select octet_length(max(이름)) || current_setting('server_encoding') from 고객"), "6EUC_KR");
}
