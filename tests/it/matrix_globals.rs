//! Roles and tablespaces: with and without passwords, readable by nobody else, and in one restore point with the dump.
#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use runner::store::manifest::Applied;
use serde_json::{Value, json};

use crate::matrix_rig::{Rig, by_socket, pipeline, step};
use crate::matrix_source::{DATABASE, create};
use crate::servers::postgres::TestServer;

/// A server with roles, memberships, passwords and a tablespace.
fn source(major: u16) -> TestServer {
    let server = TestServer::start(major);
    let place = server.socket_folder().join("빠른 디스크");
    std::fs::create_dir(&place).unwrap();
    let owner = std::fs::metadata(server.socket_folder()).unwrap();
    std::os::unix::fs::chown(&place, Some(owner.uid()), Some(owner.gid())).unwrap();
    server.psql(
        "postgres",
        "create role \"소유자\" login password 'geheim'; create role \"Team A\"; grant \"Team A\" to \"소유자\" with admin option",
    );
    server.psql("postgres", "alter role \"소유자\" set work_mem = '8MB'; comment on role \"Team A\" is '팀'");
    server.psql("postgres", &format!("create tablespace \"빠름\" owner \"소유자\" location '{}'", place.display()));
    create(&server, DATABASE, "");
    server.psql(DATABASE, "create table 주문 (id int) tablespace \"빠름\"; alter table 주문 owner to \"소유자\"; insert into 주문 select generate_series(1, 9)");
    server
}

fn globals(server: &TestServer, with: &Value) -> String {
    let rig = Rig::new();
    let mut with = with.clone();
    with["connection"] = json!("db");
    let steps = [step("globals", "globals", &with), step("keep", "upload", &json!({ "store": "vault" }))];
    let ran = rig.apply(&rig.pipeline(&pipeline("globals", &by_socket(server, "postgres"), &steps))).ended(0);
    let manifest = rig.manifest(&ran.json()["runs"][0]);
    let origin = &manifest.artifacts[0].origin;
    assert_eq!((origin.kind.as_str(), origin.format.as_str(), &origin.database), ("globals", "globals-sql", &None));
    assert!(origin.tool.starts_with("pg_dumpall (PostgreSQL) "), "{}", origin.tool);
    std::fs::read_to_string(rig.object(&manifest.artifacts[0])).unwrap()
}

#[test]
fn roles_and_tablespaces_come_with_and_without_passwords_together_and_alone() {
    let server = source(16);
    let words =
        ["CREATE ROLE \"소유자\"", "SCRAM-SHA-256$", "GRANT \"Team A\" TO \"소유자\"", "SET work_mem", "CREATE TABLESPACE \"빠름\""];
    for (with, expected) in [
        (json!({}), [true, true, true, true, true]),
        (json!({ "passwords": false }), [true, false, true, true, true]),
        (json!({ "only": "roles" }), [true, true, true, true, false]),
        (json!({ "only": "roles", "passwords": false }), [true, false, true, true, false]),
        (json!({ "only": "tablespaces" }), [false, false, false, false, true]),
    ] {
        let text = globals(&server, &with);
        assert_eq!(words.map(|words| text.contains(words)), expected, "{with}: {text}");
        assert!(!text.contains("geheim"));
    }
}

#[test]
fn password_hashes_take_a_superuser_and_roles_without_them_do_not() {
    let server = source(15);
    server.psql("postgres", "create role plain login; grant pg_read_all_data to plain");
    let rig = Rig::new();
    let mut connection = by_socket(&server, "postgres");
    connection["postgres"]["user"] = json!("plain");
    let declared = |with: Value| {
        let steps = [step("globals", "globals", &with), step("keep", "upload", &json!({ "store": "vault" }))];
        rig.pipeline(&pipeline("globals", &connection, &steps))
    };
    let refused = rig.apply(&declared(json!({ "connection": "db" }))).ended(77);
    assert!(refused.stderr.contains("passwords: false"), "{}", refused.stderr);
    rig.apply(&declared(json!({ "connection": "db", "passwords": false }))).ended(0);
}

#[test]
fn one_restore_point_holds_the_dump_and_the_globals_and_only_the_dump_is_as_open_as_the_store() {
    let server = source(17);
    let rig = Rig::new();
    let mut globals = step("globals", "globals", &json!({ "connection": "db" }));
    globals["needs"] = json!([]);
    let steps = [
        step("dump", "dump", &json!({ "connection": "db", "format": "plain" })),
        step("dump-digest", "checksum", &json!({})),
        step("dump-keep", "upload", &json!({ "store": "vault", "key": "{{ run.id }}/주문.sql" })),
        globals,
        step("globals-digest", "checksum", &json!({ "algorithm": "sha512" })),
        step("globals-keep", "upload", &json!({ "store": "vault", "key": "{{ run.id }}/전역.sql" })),
    ];
    let mut declared = pipeline("both", &by_socket(&server, DATABASE), &steps);
    declared["stores"]["vault"]["local"]["file_mode"] = json!("0644");
    let ran = rig.apply(&rig.pipeline(&declared)).ended(0);
    let answer = &ran.json()["runs"][0];
    let manifest = rig.manifest(answer);
    let run = answer["run"].as_str().unwrap();
    let mode = |name: &str| std::fs::metadata(rig.path("store").join(run).join(name)).unwrap().permissions().mode() & 0o777;
    let names = ["주문.sql", "주문.sql.sha256", "전역.sql", "전역.sql.sha512"];
    assert_eq!(names.map(mode), [0o644, 0o644, 0o600, 0o600]);
    let kept: Vec<(&str, &str)> =
        manifest.artifacts.iter().map(|artifact| (artifact.step.as_str(), artifact.origin.kind.as_str())).collect();
    assert_eq!(kept, [("dump-keep", "dump"), ("globals-keep", "globals")]);
    let sidecars: Vec<Option<String>> = manifest
        .artifacts
        .iter()
        .map(|artifact| match &artifact.stages[0] {
            Applied::Checksum { sidecar, .. } => sidecar.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(sidecars, [Some(format!("{run}/주문.sql.sha256")), Some(format!("{run}/전역.sql.sha512"))]);
    assert_eq!(rig.files("store").iter().filter(|file| file.ends_with(".manifest.json")).count(), 1);
}

#[test]
fn a_database_with_tablespaces_is_verified_as_an_archive_and_as_a_script() {
    let server = source(14);
    for format in ["custom", "plain"] {
        let rig = Rig::new();
        let steps = [
            step("dump", "dump", &json!({ "connection": "db", "format": format })),
            step("keep", "upload", &json!({ "store": "vault" })),
            step("drill", "verify-restore", &json!({ "checks": [{ "row_count": { "table": "주문", "min": 9, "max": 9 } }] })),
        ];
        rig.apply(&rig.pipeline(&pipeline("spaces", &by_socket(&server, DATABASE), &steps))).ended(0);
    }
}

#[test]
fn globals_in_the_clear_are_refused_for_a_remote_store_before_anything_runs() {
    let rig = Rig::new();
    let connection = json!({ "postgres": { "host": "/nowhere", "user": "x", "database": "y" } });
    let declared = |encrypt: Option<Value>| {
        let mut steps = vec![step("globals", "globals", &json!({ "connection": "db" }))];
        steps.extend(encrypt);
        steps.push(step("keep", "upload", &json!({ "store": "vault" })));
        let mut pipeline = pipeline("remote", &connection, &steps);
        pipeline["stores"]["vault"] = json!({ "s3": { "bucket": "b", "region": "ap-northeast-2" } });
        rig.pipeline(&pipeline)
    };
    let path = declared(None);
    let refused = rig.run([Path::new("validate"), &path]).ended(65);
    assert!(format!("{}{}", refused.stdout, refused.stderr).contains("plaintext-upload"), "{}{}", refused.stdout, refused.stderr);
    rig.apply(&path).ended(65);
    let recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let sound = declared(Some(step("lock", "encrypt", &json!({ "age": { "recipients": [recipient] } }))));
    rig.run([Path::new("validate"), &sound]).ended(0);
}
