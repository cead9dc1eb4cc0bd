use std::collections::BTreeMap;

use super::*;
use crate::ids::RefName;
use crate::postgres::spec::PostgresSpec;
use crate::secret::{SecretDecl, SecretRef, Secrets};

fn around(variables: &[(&str, &str)]) -> Surroundings {
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Surroundings { variables, home: None, account: Some("me".to_owned()), socket_folders: Vec::new() }
}

fn url(text: &str) -> PostgresSpec {
    PostgresSpec { url: Some(text.to_owned()), ..PostgresSpec::default() }
}

fn resolve(spec: &PostgresSpec, variables: &[(&str, &str)]) -> Result<ConnInfo, ConnInfoError> {
    ConnInfo::resolve_in(spec, &Secrets::default(), &around(variables))
}

fn env(info: &ConnInfo, name: &str) -> Option<String> {
    info.env().into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
}

/// A connection as written, the environment, and where it leads.
type Case<'a> = (&'a PostgresSpec, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn connections_resolve_to_where_libpq_would_go() {
    let fields = PostgresSpec { host: Some("db1".into()), port: Some(6000), user: Some("backup".into()), ..PostgresSpec::default() };
    let field_over_url = PostgresSpec { host: Some("db1".into()), ..url("postgresql://u@db2:7000/orders?hostaddr=10.0.0.2") };
    let env = &[("PGHOST", "envhost"), ("PGPORT", "7777"), ("PGUSER", "envuser"), ("PGDATABASE", "envdb")][..];
    let table: [Case<'_>; 11] = [
        (&PostgresSpec::default(), &[], "me@/tmp:5432/me"),
        (&fields, &[], "backup@db1:6000/backup"),
        (&field_over_url, &[], "u@db1:7000/orders"),
        (&PostgresSpec::default(), env, "envuser@envhost:7777/envdb"),
        (&url("postgresql://db1/orders"), env, "envuser@db1:5432/orders"),
        (&url("postgresql:///orders?port=99"), env, "envuser@envhost:99/orders"),
        (&url("postgresql://a,b:2,[::1]:3/o"), &[], "me@a:5432,b:2,[::1]:3/o"),
        (&url("host=a,b port=9 dbname=x"), &[], "me@a:9,b:9/x"),
        (&url("postgresql:///db?host=/run/postgresql"), &[], "me@/run/postgresql:5432/db"),
        (&url("postgresql://h1,/db"), &[], "me@h1:5432,/tmp:5432/db"),
        (&url("hostaddr=10.0.0.1 user=주문자"), &[], "주문자@10.0.0.1:5432/주문자"),
    ];
    for (spec, variables, expected) in table {
        assert_eq!(resolve(spec, variables).unwrap().describe(), expected, "{spec:?}");
    }
    assert_eq!(resolve(&field_over_url, &[]).unwrap().hosts[0].address, None, "an address of another host must not stay");
}

#[test]
fn bad_connections_are_refused_offline_and_say_what_to_do() {
    let table = [
        (url("postgresql://u:canary@h/db"), "password: { secret: name }"),
        (url("postgresql://u@h/db?password=canary"), "password: { secret: name }"),
        (url("host=h password=canary"), "password: { secret: name }"),
        (url("postgresql://u:can/ary@h/db"), "the port is not a number"),
        (url("postgresql://h:0/db"), "the port is not a number"),
        (url("postgresql://h/db?sslmode=on"), "is not one of disable, allow"),
        (url("host=a,b port=1,2,3"), "different numbers of servers"),
        (url("postgresql://h/db?krbsrvname=x"), "`krbsrvname` is not supported"),
        (url("postgresql://h/db?target_session_attrs=master"), "is not one of any, read-write"),
        (url("postgresql://h/db?channel_binding=yes"), "is not one of disable, prefer"),
        (url("postgresql://h/db?connect_timeout=forever"), "seconds from 1 to 600"),
        (PostgresSpec { sslcert: Some("c".into()), ..PostgresSpec::default() }, "sslkey"),
        (PostgresSpec { sslrootcert: Some("system".into()), sslmode: Some(SslMode::Require), ..PostgresSpec::default() }, "verify-full"),
    ];
    for (spec, expected) in table {
        let problems = offline_problems(&spec).join("\n");
        assert!(problems.contains(expected) && !problems.contains("canary"), "{spec:?} gave {problems:?}");
        let message = resolve(&spec, &[]).unwrap_err().to_string();
        assert!(!message.contains("canary"), "{message}");
    }
    assert_eq!(offline_problems(&url("postgresql://u@h/db?sslmode=verify-full")), Vec::<String>::new());
}

#[test]
fn the_callers_password_variables_and_service_change_nothing() {
    let stray =
        &[("PGPASSWORD", "canary"), ("PGPASSFILE", "/x"), ("PGSERVICE", "elsewhere"), ("PGHOSTADDR", "10.9.9.9"), ("PGOPTIONS", "-c x=y")];
    let info = resolve(&url("postgresql://u@h/db"), stray).unwrap();
    assert!(info.password.is_none());
    assert_eq!(info.describe(), "u@h:5432/db");
    assert!(
        info.env().iter().all(|(name, value)| LIBPQ_VARIABLES.contains(&name.as_str()) && !value.contains("canary")),
        "{:?}",
        info.env()
    );
    assert_eq!((env(&info, "PGHOSTADDR"), env(&info, "PGOPTIONS")), (None, None));
}

#[test]
fn a_password_comes_from_its_secret_and_debug_hides_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pw");
    std::fs::write(&file, "canary\n").unwrap();
    let name = RefName::new("orders_password").unwrap();
    let declared = SecretDecl { env: None, file: Some(file), credential: None, optional: false };
    let secrets = Secrets::new(BTreeMap::from([(name.clone(), declared)]));
    let spec = PostgresSpec { password: Some(SecretRef { secret: name }), ..url("postgresql://u@h/db") };
    let info = ConnInfo::resolve_in(&spec, &secrets, &around(&[])).unwrap();
    let password = info.password.as_ref().unwrap();
    assert_eq!((password.value.expose(), password.origin.as_str()), ("canary", "secret `orders_password`"));
    assert!(!format!("{info:?} {:?} {}", info.env(), info.describe()).contains("canary"));
}

#[test]
fn a_service_fills_what_the_url_leaves_open() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".pg_service.conf"), "[주문]\nhost=db1\nport=6543\ndbname=orders\nuser=svc\npassword=from-service\n")
        .unwrap();
    let around = Surroundings { home: Some(home.path().to_owned()), ..around(&[("PGPORT", "1")]) };
    let spec = PostgresSpec { service: Some("주문".into()), ..url("postgresql://backup@/") };
    let info = ConnInfo::resolve_in(&spec, &Secrets::default(), &around).unwrap();
    assert_eq!(info.describe(), "backup@db1:6543/orders");
    assert_eq!(info.password.unwrap().origin, "the service file");
    let missing = PostgresSpec { service: Some("none".into()), ..PostgresSpec::default() };
    let message = ConnInfo::resolve_in(&missing, &Secrets::default(), &around).unwrap_err().to_string();
    assert!(message.contains("service `none` is not defined: looked in") && message.contains(".pg_service.conf"), "{message}");
}

#[test]
fn certificates_are_found_where_libpq_finds_them() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".postgresql")).unwrap();
    let strict = url("postgresql://h/db?sslmode=verify-ca");
    let around = Surroundings { home: Some(home.path().to_owned()), ..around(&[]) };
    let message = ConnInfo::resolve_in(&strict, &Secrets::default(), &around).unwrap_err().to_string();
    assert!(message.contains("sslrootcert"), "{message}");
    for file in ["root.crt", "postgresql.crt", "postgresql.key"] {
        std::fs::write(home.path().join(".postgresql").join(file), "").unwrap();
    }
    let info = ConnInfo::resolve_in(&strict, &Secrets::default(), &around).unwrap();
    assert!(env(&info, "PGSSLROOTCERT").unwrap().ends_with(".postgresql/root.crt"));
    assert!(env(&info, "PGSSLKEY").unwrap().ends_with(".postgresql/postgresql.key"));
    assert_eq!(env(&info, "PGSSLMODE").unwrap(), "verify-ca");
}

#[test]
fn the_urls_timeout_counts_where_the_pipeline_kept_the_default() {
    let with = |seconds| PostgresSpec { connect_timeout: seconds, ..url("postgresql://h/db?connect_timeout=3") };
    assert_eq!(resolve(&with(10), &[]).unwrap().connect_timeout, 3);
    assert_eq!(resolve(&with(20), &[]).unwrap().connect_timeout, 20);
}
