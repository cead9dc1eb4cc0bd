//! The client and libpq's own psql go to the same place, in the same way, or fail for the same reason.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get is its failure")]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use runner::postgres::conninfo::{ConnInfo, Host, LIBPQ_VARIABLES, Password, Roots};
use runner::postgres::spec::SslMode;
use runner::postgres::{Client, PassFile, PgError};
use runner::secret::Secret;
use runner::stream::Cancel;
use runner::stream::child::Program;

use crate::servers::ports;
use crate::servers::postgres::{Certificates, MAJORS, Options, SUPERUSER, TestServer, bin, runtime};

/// With the two characters that a password file must escape.
const PASSWORD: &str = r"ca:na\ry-비밀";

fn tcp(server: &TestServer, user: &str, host: &str) -> ConnInfo {
    ConnInfo {
        hosts: vec![Host { host: host.to_owned(), address: None, port: server.port }],
        user: user.to_owned(),
        password: Some(password(PASSWORD)),
        ..server.conninfo("postgres")
    }
}

fn password(value: &str) -> Password {
    Password { value: Secret::new(value.to_owned()), origin: "secret `orders_password`".to_owned() }
}

fn with_roles(major: u16, tls: Option<Certificates>) -> TestServer {
    let hba = vec![
        "host all app 127.0.0.1/32 scram-sha-256",
        "hostssl all only_tls 127.0.0.1/32 scram-sha-256",
        "hostnossl all only_plain 127.0.0.1/32 scram-sha-256",
        if tls.is_some() { "hostssl all backup 127.0.0.1/32 cert" } else { "host all backup 127.0.0.1/32 reject" },
    ];
    let server = TestServer::start_with(major, &Options { hba, tls, ..Options::default() });
    for role in ["app", "only_tls", "only_plain", "backup"] {
        let literal = PASSWORD.replace('\\', "\\\\");
        server.psql("postgres", &format!("set password_encryption = 'scram-sha-256'; create role {role} login password E'{literal}'"));
    }
    server
}

const TLS_IN_USE: &str = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";

/// What a connection came to: `plain`, `tls`, or the kind of error.
fn outcome(info: &ConnInfo, handle: &tokio::runtime::Handle) -> String {
    match Client::connect(info, handle) {
        Ok(client) => if client.query_one_text(TLS_IN_USE).unwrap().as_deref() == Some("t") { "tls" } else { "plain" }.to_owned(),
        Err(PgError::Tls { .. }) => "tls error".to_owned(),
        Err(PgError::Denied { .. }) => "denied".to_owned(),
        Err(other) => format!("{other}"),
    }
}

/// The same asked of psql.
fn psql_outcome(info: &ConnInfo, major: u16) -> String {
    let passfile = PassFile::create(info).unwrap();
    let psql = info.equip(Program::new(bin(major).join("psql")), &passfile).args(["-X", "-A", "-t", "-w", "-c", TLS_IN_USE]);
    match psql.run(&Cancel::new()) {
        Ok(output) => if output.stdout.trim() == "t" { "tls" } else { "plain" }.to_owned(),
        Err(error) => format!("error {error}"),
    }
}

#[test]
fn every_sslmode_means_what_it_means_to_libpq() {
    use SslMode::{Allow, Disable, Prefer, Require, VerifyCa, VerifyFull};
    let runtime = runtime();
    for major in [14, 18] {
        let certificates = Certificates::make();
        let (ca, stranger) = (certificates.path("ca.crt"), certificates.path("stranger.crt"));
        let identity = (certificates.path("client.crt"), certificates.path("client.key"));
        std::fs::set_permissions(&identity.1, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let files = tempfile::tempdir().unwrap();
        let keep = |path: &PathBuf| {
            let kept = files.path().join(path.file_name().unwrap());
            std::fs::copy(path, &kept).unwrap();
            kept
        };
        let (ca, stranger, identity) = (keep(&ca), keep(&stranger), (keep(&identity.0), keep(&identity.1)));
        let server = with_roles(major, Some(certificates));
        let table = [
            ("app", "localhost", Disable, None, "plain"),
            ("app", "localhost", Allow, None, "plain"),
            ("app", "localhost", Prefer, None, "tls"),
            ("app", "localhost", Require, None, "tls"),
            ("app", "127.0.0.1", Require, None, "tls"),
            ("app", "localhost", Require, Some(&stranger), "tls error"),
            ("app", "127.0.0.1", Require, Some(&ca), "tls"),
            ("app", "127.0.0.1", VerifyCa, Some(&ca), "tls"),
            ("app", "localhost", VerifyCa, Some(&stranger), "tls error"),
            ("app", "localhost", VerifyFull, Some(&ca), "tls"),
            ("app", "127.0.0.1", VerifyFull, Some(&ca), "tls error"),
            ("app", "localhost", VerifyFull, Some(&stranger), "tls error"),
            ("only_tls", "localhost", Disable, None, "denied"),
            ("only_tls", "localhost", Allow, None, "tls"),
            ("only_tls", "localhost", Prefer, None, "tls"),
            ("only_plain", "localhost", Prefer, None, "plain"),
            ("only_plain", "localhost", Require, None, "denied"),
        ];
        for (role, host, sslmode, roots, expected) in table {
            let info = ConnInfo { sslmode, roots: roots.cloned().map(Roots::File), ..tcp(&server, role, host) };
            let case = format!("PostgreSQL {major}, {role}@{host}, {sslmode:?}, {roots:?}");
            assert_eq!(outcome(&info, runtime.handle()), expected, "{case}");
            let libpq = psql_outcome(&info, major);
            assert!(
                libpq == expected || libpq.starts_with("error") && matches!(expected, "denied" | "tls error"),
                "{case}: psql says {libpq}"
            );
        }
        let certified = ConnInfo {
            identity: Some(identity),
            sslmode: VerifyFull,
            roots: Some(Roots::File(ca)),
            password: None,
            ..tcp(&server, "backup", "localhost")
        };
        assert_eq!((outcome(&certified, runtime.handle()), psql_outcome(&certified, major)), ("tls".to_owned(), "tls".to_owned()));
        let without = ConnInfo { identity: None, ..certified };
        assert_eq!(outcome(&without, runtime.handle()), "denied");
    }
}

#[test]
fn a_servers_own_certificate_can_be_its_root_as_in_libpq() {
    let runtime = runtime();
    let certificates = Certificates::self_signed();
    let files = tempfile::tempdir().unwrap();
    let root = files.path().join("root.crt");
    std::fs::copy(certificates.path("server.crt"), &root).unwrap();
    let server = with_roles(17, Some(certificates));
    for (host, sslmode, expected) in [
        ("localhost", SslMode::VerifyFull, "tls"),
        ("127.0.0.1", SslMode::VerifyCa, "tls"),
        ("127.0.0.1", SslMode::VerifyFull, "tls error"),
    ] {
        let info = ConnInfo { sslmode, roots: Some(Roots::File(root.clone())), ..tcp(&server, "app", host) };
        assert_eq!(outcome(&info, runtime.handle()), expected, "{host} {sslmode:?}");
        let libpq = psql_outcome(&info, 17);
        assert!(libpq == expected || libpq.starts_with("error") && expected == "tls error", "{host} {sslmode:?}: psql says {libpq}");
    }
}

#[test]
fn a_server_without_tls_is_plain_or_an_error_as_asked() {
    let (runtime, server) = (runtime(), with_roles(16, None));
    let ask = |sslmode| Client::connect(&ConnInfo { sslmode, ..tcp(&server, "app", "127.0.0.1") }, runtime.handle());
    assert!(ask(SslMode::Prefer).is_ok() && ask(SslMode::Allow).is_ok());
    let error = ask(SslMode::Require).err().unwrap();
    assert!(matches!(&error, PgError::Tls { detail, .. } if detail.contains("does not support TLS")), "{error}");
    let missing =
        ConnInfo { sslmode: SslMode::VerifyCa, roots: Some(Roots::File("/없는/ca.crt".into())), ..tcp(&server, "app", "127.0.0.1") };
    let error = Client::connect(&missing, runtime.handle()).err().unwrap().to_string();
    assert!(error.contains("/없는/ca.crt"), "{error}");
}

#[test]
fn a_wrong_password_is_denied_and_names_role_and_secret_but_no_password() {
    let runtime = runtime();
    for major in MAJORS {
        let server = with_roles(major, None);
        let right = tcp(&server, "app", "127.0.0.1");
        Client::connect(&right, runtime.handle()).unwrap();
        let wrong = ConnInfo { password: Some(password("canary")), ..right.clone() };
        let error = Client::connect(&wrong, runtime.handle()).err().unwrap();
        let message = error.to_string();
        assert!(matches!(error, PgError::Denied { .. }) && !error.transient(), "{error}");
        assert!(message.contains("\"app\"") && message.contains("secret `orders_password`") && !message.contains("canary"), "{message}");
        let none = ConnInfo { password: None, ..right.clone() };
        let message = Client::connect(&none, runtime.handle()).err().unwrap().to_string();
        assert!(message.contains("without a password") && message.contains("password: { secret: name }"), "{message}");
        let unknown = ConnInfo { user: "nobody".into(), ..right };
        let error = Client::connect(&unknown, runtime.handle()).err().unwrap();
        assert!(matches!(&error, PgError::Denied { detail, .. } if detail.contains("pg_hba.conf")), "{error}");
    }
}

#[test]
fn a_server_that_is_down_full_or_without_the_database_says_so() {
    let (runtime, mut server) = (runtime(), TestServer::start(15));
    let none = Client::connect(&server.conninfo("없는 데이터베이스"), runtime.handle()).err().unwrap();
    assert!(matches!(&none, PgError::Query { state, message, .. } if state == "3D000" && message.contains("없는 데이터베이스")), "{none}");
    server.psql("postgres", "create role app login connection limit 1");
    let app = ConnInfo { user: "app".into(), ..server.conninfo("postgres") };
    let first = Client::connect(&app, runtime.handle()).unwrap();
    let second = Client::connect(&app, runtime.handle()).err().unwrap();
    assert!(matches!(second, PgError::Transient { .. }) && second.transient(), "{second}");
    let unsendable = first.batch("select '\0'").unwrap_err();
    assert!(!unsendable.transient() && !unsendable.to_string().contains("lost"), "{unsendable}");
    server.stop();
    let lost = first.batch("select 1").unwrap_err();
    assert!(lost.transient() && lost.to_string().contains("the connection was lost"), "{lost}");
    let down = Client::connect(&server.conninfo("postgres"), runtime.handle()).err().unwrap();
    assert!(matches!(down, PgError::Unreachable { .. }) && down.transient(), "{down}");
    let closed = ConnInfo { hosts: vec![Host { host: "127.0.0.1".into(), address: None, port: ports::one() }], ..app };
    let refused = Client::connect(&closed, runtime.handle()).err().unwrap().to_string();
    assert!(refused.contains("app@127.0.0.1:") && refused.contains("refused"), "{refused}");
}

#[test]
fn a_silent_server_is_given_up_after_the_connect_timeout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = Host { host: "127.0.0.1".into(), address: None, port: listener.local_addr().unwrap().port() };
    let info =
        ConnInfo { hosts: vec![host], connect_timeout: 1, sslmode: SslMode::Prefer, ..ConnInfo::local("/tmp".as_ref(), 1, "app", "db") };
    let begun = std::time::Instant::now();
    let error = Client::connect(&info, runtime().handle()).err().unwrap();
    assert!(matches!(&error, PgError::Unreachable { detail, .. } if detail.contains("no answer in 1 s")), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn of_several_servers_the_first_that_answers_and_fits_is_taken() {
    let (runtime, server) = (runtime(), TestServer::start(17));
    let dead = Host { host: "127.0.0.1".into(), address: None, port: ports::one() };
    let live = server.conninfo("postgres");
    let both = ConnInfo { hosts: vec![dead, live.hosts[0].clone()], session: "read-write".into(), ..live.clone() };
    let client = Client::connect(&both, runtime.handle()).unwrap();
    assert_eq!(client.info().hosts, live.hosts, "child programs are sent to the server that was reached");
    let standby = ConnInfo { session: "standby".into(), ..both.clone() };
    let error = Client::connect(&standby, runtime.handle()).err().unwrap().to_string();
    assert!(error.contains("the server is not standby"), "{error}");
    assert!(Client::connect(&ConnInfo { session: "prefer-standby".into(), ..both }, runtime.handle()).is_ok());
}

#[test]
fn statements_are_limited_and_their_errors_show_them() {
    let (runtime, server) = (runtime(), TestServer::start(14));
    let mut client = Client::connect(&server.conninfo("postgres"), runtime.handle()).unwrap();
    client.limit_statements(Duration::from_millis(200)).unwrap();
    let error = client.query("select pg_sleep(20)").unwrap_err();
    assert!(matches!(&error, PgError::Query { state, statement, .. } if state == "57014" && statement.contains("pg_sleep")), "{error}");
    assert_eq!(client.query("select 1, null, '한글'").unwrap(), [[Some("1".to_owned()), None, Some("한글".to_owned())]]);
}

#[test]
fn a_running_child_shows_its_password_nowhere() {
    let server = with_roles(18, None);
    let info = tcp(&server, "app", "127.0.0.1");
    let passfile = PassFile::create(&info).unwrap();
    let log = tempfile::tempdir().unwrap();
    let psql = info.equip(Program::new(bin(18).join("psql")), &passfile).args(["-X", "-w", "-c", "select pg_sleep(30)"]);
    let running = psql.spawn(&log.path().join("log")).unwrap();
    let at_work =
        || server.psql("postgres", "select count(*) from pg_stat_activity where usename = 'app' and application_name = 'runner'") == "1";
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !at_work() {
        assert!(std::time::Instant::now() < until, "psql did not connect: {:?}", std::fs::read_to_string(log.path().join("log")));
    }
    for place in ["cmdline", "environ"] {
        let seen = std::fs::read(format!("/proc/{}/{place}", running.pid())).unwrap();
        let seen = String::from_utf8_lossy(&seen);
        assert!(!seen.contains("na\\ry") && !seen.contains("비밀") && !seen.contains("PGPASSWORD"), "{place}: {seen}");
    }
}

/// Set where the next test runs itself with a caller's environment full of traps.
const TRAPPED: &str = "RUNNER_TEST_TRAPPED_SOCKET";

#[test]
fn nothing_in_the_callers_environment_turns_a_child_elsewhere() {
    if let Some(place) = std::env::var_os(TRAPPED) {
        let (folder, port) = place.to_str().unwrap().split_once('|').unwrap();
        let info = ConnInfo::local(folder.as_ref(), port.parse().unwrap(), SUPERUSER, "postgres");
        assert_eq!(psql_outcome(&info, 16), "plain");
        return;
    }
    let server = TestServer::start(16);
    let mut trapped = Command::new(std::env::current_exe().unwrap());
    trapped.args(["--exact", "postgres_client::nothing_in_the_callers_environment_turns_a_child_elsewhere"]);
    for variable in LIBPQ_VARIABLES {
        trapped.env(variable, "trap");
    }
    let output = trapped.env(TRAPPED, format!("{}|{}", server.socket_folder().display(), server.port)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
