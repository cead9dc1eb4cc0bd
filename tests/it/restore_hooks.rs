//! Restores with a service around them: when it is stopped and started, whether it is well, and runbooks that ask what was restored.

use crate::apply_support::{Bench, MAJOR, files, shop};
use crate::servers::http::{Answer, HttpSink};
use crate::servers::postgres::{TestServer, bin};

const STEPS: &str = "steps:
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: compress, uses: compress, with: { level: 1 } }
  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump.zst\" } }
";

/// A restore point of `shop`, and a program `service` that writes down what it is told and what databases there were.
fn backed_up() -> (TestServer, Bench) {
    let (server, bench) = (shop(1), Bench::new());
    bench.pipeline(&server, STEPS);
    bench.apply().is(0, &[]);
    let psql = format!(
        "'{}' -h '{}' -p {} -U postgres -X -A -t",
        bin(MAJOR).join("psql").display(),
        server.socket_folder().display(),
        server.port
    );
    let names = "select string_agg(datname, ' ' order by datname) from pg_database where datname like 'shop%'";
    bench.script(
        &bench.path("bin/service"),
        &format!(
            "echo \"$1: $({psql} -c \"{names}\" postgres)\" >> @/service.log
             [ \"$1\" = refuse ] && {{ echo 'it will not stop' >&2; exit 3; }}
             [ \"$1\" = write ] && {psql} -q -c 'insert into lines values (777)' shop
             true"
        ),
    );
    (server, bench)
}

fn argv(bench: &Bench, word: &str) -> String {
    serde_json::json!([bench.path("bin/service"), word]).to_string()
}

fn log(bench: &Bench) -> String {
    std::fs::read_to_string(bench.path("service.log")).unwrap_or_default()
}

#[test]
fn restore_stops_a_service_only_for_the_swap_and_waits_until_it_is_well() {
    let (server, bench) = backed_up();
    server.psql("shop", "delete from lines");
    let service = HttpSink::start(vec![Answer::status(503), Answer::status(200)]);
    let (stop, start, url) = (argv(&bench, "stop"), argv(&bench, "start"), service.url("/health"));
    let args = ["restore", "pipeline.yaml", "--to", "shop", "--replace", "--yes", "--before", &stop, "--after", &start, "--health", &url];
    let ran = bench.run(&args);
    ran.is(0, &["! restore:before-1", "service stop", "? health"]);
    let log = log(&bench);
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "stop: shop shop_restoring", "all the work but the swap was done by then");
    assert!(lines[1].starts_with("start: shop shop_before_") && lines.len() == 2, "{log}");
    assert_eq!(service.requests().len(), 2);
    assert_eq!(server.psql("shop", "select count(*) from lines"), "100");
    // What is never well fails, and says so; the database is there all the same.
    let ill = HttpSink::start(vec![Answer::status(500)]);
    let url = ill.url("/health");
    let args = ["restore", "pipeline.yaml", "--to", "shop", "--database", "shop2", "--yes", "--health", &url, "--health-for", "1s"];
    let ran = bench.run(&args);
    assert!(ran.code != 0 && ran.stderr.contains("500"), "{}\n{}", ran.code, ran.stderr);
    assert_eq!(server.psql("shop2", "select count(*) from lines"), "100");
}

#[test]
fn restore_stops_nothing_when_it_fails_before_the_swap_and_starts_again_what_it_stopped() {
    let (server, bench) = backed_up();
    let (stop, refuse, start) = (argv(&bench, "stop"), argv(&bench, "refuse"), argv(&bench, "start"));
    let base = ["restore", "pipeline.yaml", "--to", "shop", "--replace", "--yes", "--after", &start, "--before", &stop];
    // A later program that fails keeps the swap from happening, and what was stopped is started again.
    let ran = bench.run(&[&base[..], &["--before", &refuse]].concat());
    ran.is(10, &["it will not stop", "exited with status 3"]);
    let lines: Vec<String> = log(&bench).lines().map(|line| line.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["stop", "refuse", "start"]);
    let names = "select string_agg(datname, ' ' order by datname) from pg_database where datname like 'shop%'";
    assert_eq!(server.psql("postgres", names), "shop", "nothing was swapped and nothing half-made is left");
    std::fs::remove_file(bench.path("service.log")).unwrap();
    // A restore that fails on its way stops nothing, so it starts nothing.
    let object = files(&bench.path("store")).into_iter().find(|path| path.extension().is_some_and(|ending| ending == "zst")).unwrap();
    let mut bytes = std::fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, bytes).unwrap();
    let objects = files(&bench.path("store")).len();
    let ran = bench.run(&base);
    assert_eq!((ran.code, log(&bench).as_str()), (11, ""), "{}", ran.stderr);
    assert!(files(&bench.path("store")).len() > objects, "the safety dump was made, and stays");
    bench.run(&[&base[..6], &["--before", "systemctl stop x"]].concat()).is(64, &[r#"'["systemctl","stop","orders"]'"#]);
}

#[test]
fn restore_that_drops_what_it_replaces_stops_the_service_before_the_safety_dump() {
    let (server, bench) = backed_up();
    // The service writes its last row when it is stopped.
    let write = argv(&bench, "write");
    let ran = bench.run(&["restore", "pipeline.yaml", "--to", "shop", "--replace", "--drop-old", "--yes", "--before", &write]);
    ran.is(0, &["is dropped if the safety dump holds all of it", "what was there before was dropped"]);
    assert_eq!(log(&bench), "write: shop\n");
    let manifest =
        files(&bench.path("store/.runner/orders.restore")).into_iter().find(|path| path.to_string_lossy().ends_with(".manifest.json"));
    let manifest = manifest.unwrap();
    let to = format!("postgresql:///undo?host={}&port={}&user=postgres", server.socket_folder().display(), server.port);
    bench.run(&["restore", manifest.to_str().unwrap(), "--to", &to, "--yes"]).is(0, &[]);
    assert_eq!(server.psql("undo", "select count(*) from lines where id = 777"), "1", "the last row is in the safety dump");
    assert_eq!(server.psql("shop", "select count(*) from lines where id = 777"), "0");
}

#[test]
fn restore_of_tables_and_rows_stops_the_service_for_the_change_and_starts_it_again() {
    let (server, bench) = backed_up();
    server.psql("shop", "delete from lines where id > 10");
    let (write, start) = (argv(&bench, "write"), argv(&bench, "start"));
    let restore = |more: &[&str]| bench.run(&[&["restore", "pipeline.yaml", "--to", "shop", "--yes"], more].concat());
    let hooks = ["--before", &write, "--after", &start];
    let ran = restore(&[&["--tables", "lines", "--as", "replace"], &hooks[..]].concat());
    ran.is(0, &[]);
    let place = |node: &str| ran.stderr.find(&format!("restore:{node}")).unwrap_or_else(|| panic!("{node}:\n{}", ran.stderr));
    let order = ["prove", "before-1", "safety", "bring", "after-1"].map(place);
    assert!(order.is_sorted(), "{order:?}");
    assert_eq!(log(&bench), "write: shop\nstart: shop\n");
    // What the service wrote last is in the safety dump, and not in the table.
    assert_eq!(server.psql("shop", "select count(*), max(id) from lines"), "100|100");
    let safety = files(&bench.path("store/.runner/orders.restore"))
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with(".manifest.json"))
        .unwrap();
    let to = format!("postgresql:///undo?host={}&port={}&user=postgres", server.socket_folder().display(), server.port);
    bench.run(&["restore", safety.to_str().unwrap(), "--to", &to, "--yes"]).is(0, &[]);
    assert_eq!(server.psql("undo", "select count(*), max(id) from lines"), "11|777");

    // Rows that are applied at once, with nothing to stop but something to tell.
    std::fs::remove_file(bench.path("service.log")).unwrap();
    server.psql("shop", "delete from lines where id = 7");
    restore(&["--rows", "lines: id = 7", "--apply", "--patch", "a.sql", "--after", &start]).is(0, &[]);
    assert_eq!((log(&bench).as_str(), server.psql("shop", "select count(*) from lines").as_str()), ("start: shop\n", "100"));
    // A change that fails was stopped for all the same; one that never began was not.
    std::fs::remove_file(bench.path("service.log")).unwrap();
    server.psql(
        "shop",
        "create function no() returns trigger language plpgsql as $$ begin raise 'not today'; end $$;
        delete from lines where id = 7; create trigger no before insert on lines for each row execute function no()",
    );
    restore(&[&["--rows", "lines: id = 7", "--apply", "--patch", "b.sql"], &hooks[2..], &["--before", &argv(&bench, "stop")]].concat())
        .is(10, &["not today"]);
    assert_eq!(log(&bench).lines().map(|line| &line[..5]).collect::<Vec<_>>(), ["stop:", "start"]);
    // A patch that waits for its review has nothing to stop anything for.
    restore(&[&["--rows", "lines: id = 7"], &hooks[..2]].concat()).is(64, &["changes nothing", "--apply"]);
}

#[test]
fn apply_runs_a_recovery_whose_database_does_not_exist_when_it_is_planned() {
    let (server, bench) = backed_up();
    let service = HttpSink::start(vec![Answer::status(200).body("ready")]);
    let host = server.socket_folder().display();
    bench.text(&format!(
        "version: 1
name: recovery
connections:
  gone: {{ postgres: {{ host: {host}, port: {}, user: postgres, database: 복원 }} }}
stores:
  vault: {{ local: {{ path: @/store }} }}
steps:
  - {{ id: fetch, uses: fetch, with: {{ from: {{ store: vault, pipeline: orders }} }} }}
  - {{ id: restore, uses: restore, with: {{ connection: gone, after: [[\"@/bin/service\", start]] }} }}
  - {{ id: mend, uses: sql, with: {{ connection: gone, statements: \"insert into lines values (101)\" }} }}
  - {{ id: ask, uses: sql, with: {{ connection: gone, query: \"select count(*) from lines\", equals: 101 }} }}
  - {{ id: health, uses: http, with: {{ url: \"{}\", expect: {{ contains: ready }}, for: 5s }} }}
",
        server.port,
        service.url("/")
    ));
    let planned = bench.run(&["plan", "pipeline.yaml"]);
    planned.is(0, &[]);
    assert!(planned.stdout.contains("/복원, server 16.") && !planned.stdout.contains("error"), "{}", planned.stdout);
    bench.apply().is(0, &[]);
    assert_eq!(server.psql("복원", "select count(*) from lines"), "101");
    assert_eq!((log(&bench).lines().count(), service.requests().len()), (1, 1));
    // The same again would go over what is there now.
    bench.apply().is(10, &["exists already"]);
}
