//! Scratch servers, embedded and temp databases: they start, hold what they should, and leave nothing behind.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get is its failure")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use runner::postgres::facts::DatabaseLocale;
use runner::postgres::scratch::sweep_stale;
use runner::postgres::spec::EmbeddedSpec;
use runner::postgres::{Client, EmbeddedServer, Facts, PgError, ScratchOptions, ScratchServer, TempDatabase};
use runner::stream::Cancel;

use crate::servers::postgres::{MAJORS, TestServer, installed, runtime, tools};

fn parent() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("rt").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

fn options(parent: &Path) -> ScratchOptions {
    ScratchOptions { parent: parent.to_owned(), ..ScratchOptions::default() }
}

/// Whether a process lives; one that only waits to be reaped does not.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_major_starts_answers_and_leaves_nothing() {
    let (runtime, parent) = (runtime(), parent());
    for major in MAJORS {
        let server = ScratchServer::start(&tools(major), &options(parent.path()), &Cancel::new()).unwrap();
        let info = server.create_database("주문 \"야간\"", runtime.handle()).unwrap();
        let client = Client::connect(&info, runtime.handle()).unwrap();
        let version = client.query_one_text("show server_version_num").unwrap().unwrap();
        assert_eq!(version[..2], major.to_string());
        let settings = "select string_agg(setting, ',' order by name) from pg_settings where name in ('fsync', 'wal_level', 'autovacuum', 'listen_addresses', 'server_encoding')";
        assert_eq!(client.query_one_text(settings).unwrap().unwrap(), "off,off,,UTF8,minimal");
        assert_eq!(
            client.query_one_text("select upper('é') || initcap('가')").unwrap().unwrap(),
            "É가",
            "{major} knows letters beyond ASCII"
        );
        drop(client);
        let pid = server.pid();
        server.stop().unwrap();
        assert_eq!(entries(parent.path()), Vec::<PathBuf>::new(), "{major} left something");
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}

#[test]
fn a_dropped_server_is_gone_while_sessions_are_open() {
    let (runtime, parent) = (runtime(), parent());
    let server = ScratchServer::start(&tools(17), &options(parent.path()), &Cancel::new()).unwrap();
    let client = Client::connect(&server.conninfo("postgres"), runtime.handle()).unwrap();
    client.batch("begin; create table t as select generate_series(1, 100000)").unwrap();
    let pid = server.pid();
    drop(server);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(entries(parent.path()), Vec::<PathBuf>::new());
    assert!(matches!(client.batch("select 1"), Err(PgError::Transient { .. })));
}

#[test]
fn a_server_that_can_not_start_says_why_and_leaves_nothing() {
    let parent = parent();
    let cancel = Cancel::new();
    cancel.cancel("SIGTERM", false);
    let cancelled = ScratchServer::start(&tools(16), &options(parent.path()), &cancel).err().unwrap();
    assert!(cancelled.to_string().contains("cancelled: SIGTERM"), "{cancelled}");
    let late = Cancel::new();
    let cancelled = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300)); // initdb is at work then
            late.cancel("SIGINT", false);
        });
        ScratchServer::start(&tools(16), &options(parent.path()), &late).err().unwrap()
    });
    assert!(cancelled.to_string().contains("cancelled: SIGINT"), "{cancelled}");
    assert_eq!(entries(parent.path()), Vec::<PathBuf>::new(), "a cancelled initdb leaves nothing");
    let huge = ScratchOptions { needs_bytes: Some(u64::MAX), ..options(parent.path()) };
    let full = ScratchServer::start(&tools(16), &huge, &Cancel::new()).err().unwrap().to_string();
    assert!(full.contains("MiB are free"), "{full}");
    let deep = parent.path().join("길".repeat(25));
    std::fs::create_dir(&deep).unwrap();
    let long = ScratchServer::start(&tools(16), &options(&deep), &Cancel::new()).err().unwrap().to_string();
    assert!(long.contains("too long for a unix socket") && long.contains("TMPDIR"), "{long}");
    assert_eq!(entries(&deep), Vec::<PathBuf>::new());
    assert_eq!(entries(parent.path()), [deep]);
}

/// The victim of the next test, which starts itself once more with this variable to have something to kill.
const VICTIM: &str = "RUNNER_TEST_VICTIMS_FOLDER";

fn hold_a_scratch_server_until_killed(parent: &Path) {
    let server = ScratchServer::start(&tools(16), &options(parent), &Cancel::new()).unwrap();
    std::fs::write(parent.join("ready"), server.pid().to_string()).unwrap();
    std::thread::sleep(Duration::from_mins(2));
}

#[test]
fn a_killed_runners_server_is_swept_and_a_living_ones_is_not() {
    if let Some(parent) = std::env::var_os(VICTIM) {
        return hold_a_scratch_server_until_killed(Path::new(&parent));
    }
    let parent = parent();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "postgres_scratch::a_killed_runners_server_is_swept_and_a_living_ones_is_not"])
        .env(VICTIM, parent.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = parent.path().join("ready");
    let until = Instant::now() + Duration::from_mins(1);
    while !ready.exists() {
        assert!(Instant::now() < until, "the victim did not start its server");
        std::thread::sleep(Duration::from_millis(20));
    }
    let ours = ScratchServer::start(&tools(14), &options(parent.path()), &Cancel::new()).unwrap();
    let orphan = std::fs::read_to_string(&ready).unwrap();
    assert_eq!(sweep_stale(parent.path()), Vec::<PathBuf>::new(), "both owners live");
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(runs(&orphan), "a server outlives a killed owner: that is what sweeping is for");
    assert_eq!(sweep_stale(parent.path()).len(), 1);
    assert!(!runs(&orphan));
    assert!(ours.folder().exists() && Path::new(&format!("/proc/{}", ours.pid())).exists());
    std::fs::remove_file(ready).unwrap();
    drop(ours);
    assert_eq!(entries(parent.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_database_keeps_the_encoding_of_its_source_and_missing_locales_are_told() {
    let (runtime, parent) = (runtime(), parent());
    for major in MAJORS {
        let server = ScratchServer::start(&tools(major), &options(parent.path()), &Cancel::new()).unwrap();
        let latin = DatabaseLocale { encoding: "LATIN1".into(), ..DatabaseLocale::plain() };
        let (info, note) = server.create_database_like("latin", &latin, runtime.handle()).unwrap();
        assert_eq!(note, None);
        let client = Client::connect(&info, runtime.handle()).unwrap();
        assert_eq!(client.query_one_text("show server_encoding").unwrap().unwrap(), "LATIN1");
        let foreign = DatabaseLocale { collate: "xx_XX.utf8".into(), ctype: "xx_XX.utf8".into(), ..DatabaseLocale::plain() };
        let (info, note) = server.create_database_like("foreign", &foreign, runtime.handle()).unwrap();
        assert!(note.as_deref().is_some_and(|note| note.contains("xx_XX.utf8")), "{major}: {note:?}");
        Client::connect(&info, runtime.handle()).unwrap();
        let facts = |database: &str| Facts::read(&server.conninfo(database), runtime.handle()).unwrap();
        let source = facts("postgres").locale;
        let (_, note) = server.create_database_like("twin", &source, runtime.handle()).unwrap();
        assert_eq!((note, facts("twin").locale), (None, source), "{major}");
        let again = server.create_database("latin", runtime.handle()).unwrap_err();
        assert!(matches!(&again, PgError::Query { state, .. } if state == "42P04"), "{again}");
    }
}

#[test]
fn the_quickstarts_seed_loads_on_every_major() {
    let (runtime, parent) = (runtime(), parent());
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/seed.sql");
    for major in MAJORS {
        let spec = EmbeddedSpec { seed: Some(seed.clone()), version: Some(major), database: "shop".into() };
        let server = EmbeddedServer::start(&spec, &installed(), &options(parent.path()), runtime.handle(), &Cancel::new()).unwrap();
        let client = Client::connect(&server.conninfo(), runtime.handle()).unwrap();
        let count = |sql: &str| client.query_one_text(sql).unwrap().unwrap().parse::<u64>().unwrap();
        assert!(count("select count(*) from sales.orders") >= 10_000);
        assert!(count("select count(*) from pg_largeobject_metadata") > 0);
        assert_eq!(
            count("select count(*) from sales.order_items i left join sales.orders o using (order_id, ordered_at) where o is null"),
            0
        );
        server.stop().unwrap();
    }
}

#[test]
fn a_broken_seed_names_its_file_and_line() {
    let (runtime, parent) = (runtime(), parent());
    let seed = parent.path().join("씨앗.sql");
    std::fs::write(
        &seed,
        "create table 주문 (번호 int);\n\ninsert into 주문 values (1);\ninsert into 없음 values (1);\ncreate table never ();\n",
    )
    .unwrap();
    let spec = EmbeddedSpec { seed: Some(seed.clone()), version: Some(15), database: "app".into() };
    let error =
        EmbeddedServer::start(&spec, &installed(), &options(parent.path()), runtime.handle(), &Cancel::new()).err().unwrap().to_string();
    assert!(error.starts_with(&format!("{}:4: ERROR:", seed.display())) && error.contains("없음"), "{error}");
    let missing = EmbeddedSpec { seed: Some("/없음/seed.sql".into()), ..spec };
    let error = EmbeddedServer::start(&missing, &installed(), &options(parent.path()), runtime.handle(), &Cancel::new()).err().unwrap();
    assert!(error.to_string().contains("/없음/seed.sql"), "{error}");
    assert_eq!(entries(parent.path()), [seed]);
}

#[test]
fn a_temp_database_is_dropped_with_its_sessions_and_never_an_existing_one() {
    let runtime = runtime();
    let server = TestServer::start(16);
    let databases = || server.psql("postgres", "select string_agg(datname, ',' order by datname) from pg_database where not datistemplate");
    let (temp, note) = TempDatabase::create(&server.conninfo("postgres"), "20261120T021700Z-4f3a9c", None, runtime.handle()).unwrap();
    assert_eq!(note, None);
    assert_eq!(databases(), "postgres,runner_20261120T021700Z-4f3a9c");
    let session = Client::connect(&temp.conninfo(), runtime.handle()).unwrap();
    session.batch("create table t ()").unwrap();
    let taken = TempDatabase::create(&server.conninfo("postgres"), "20261120T021700Z-4f3a9c", None, runtime.handle()).err().unwrap();
    assert!(taken.to_string().contains("already exists"), "{taken}");
    assert_eq!(session.query_one_text("select count(*) from t").unwrap().unwrap(), "0", "the refused one must not drop it");
    drop(temp);
    assert_eq!(databases(), "postgres");
}
