//! Runbooks: statements on a real server, health checks of a service that takes its time, real programs, and what is told
//! and left when one of them fails.

use std::time::{Duration, Instant};

use runner::event::What;
use rustix::process::Signal;

use crate::apply_support::{Bench, Ran, shop};
use crate::servers::http::{Answer, HttpSink};
use crate::servers::postgres::TestServer;

/// What no output may hold.
const CANARY: &str = "canary-9c1f7e55";

/// Every note of the last run.
fn notes(bench: &Bench) -> String {
    let notes = bench.journal().into_iter().filter_map(|event| match event.what {
        What::NodeEnded { notes, .. } => Some(notes),
        _ => None,
    });
    notes.flatten().collect::<Vec<_>>().join("\n")
}

/// Runs one `sql` step on the database `shop`.
fn sql(bench: &Bench, server: &TestServer, with: &str) -> Ran {
    bench.pipeline(server, &format!("steps:\n  - {{ id: fix, uses: sql, with: {{ connection: shop, {with} }} }}\n"));
    bench.apply()
}

fn rows(server: &TestServer, table: &str) -> String {
    server.psql("shop", &format!("select count(*) from {table}"))
}

#[test]
fn apply_runs_a_runbook_from_stopping_a_service_to_its_health() {
    let (bench, server) = (Bench::new(), shop(1));
    let service = HttpSink::start(vec![
        Answer::status(503).body("starting"),
        Answer::status(503).body("starting"),
        Answer::status(200).body("not yet"),
        Answer::status(200).body("주문 ready"),
    ]);
    bench.script(&bench.path("bin/service"), "echo \"$1\" >> @/service.log; echo \"service: $1\"");
    bench.file("fix.sql", "-- 고침\nupdate \"주문\" set 이름 = '가;나' where id = 1;\ninsert into lines values (101);\n");
    bench.pipeline(
        &server,
        &format!(
            "steps:
  - {{ id: stop, uses: command, needs: [], with: {{ argv: [\"@/bin/service\", stop] }} }}
  - {{ id: fix, uses: sql, with: {{ connection: shop, file: \"@/fix.sql\" }} }}
  - {{ id: ask, uses: sql, with: {{ connection: shop, query: \"select count(*) from lines\", equals: 101 }} }}
  - {{ id: true-too, uses: sql, with: {{ connection: shop, query: \"select 이름 = '가;나' from \\\"주문\\\" where id = 1\" }} }}
  - {{ id: start, uses: command, needs: [stop, true-too], when: always, with: {{ argv: [\"@/bin/service\", start] }} }}
  - {{ id: health, uses: http, with: {{ url: \"{}\", expect: {{ contains: ready }}, every: 50ms, for: 30s }} }}
",
            service.url("/health")
        ),
    );
    let ran = bench.apply();
    ran.is(0, &[]);
    assert_eq!(service.requests().len(), 4, "it is asked until it is healthy, and no more");
    assert_eq!(std::fs::read_to_string(bench.path("service.log")).unwrap(), "stop\nstart\n");
    assert_eq!(rows(&server, "lines").trim(), "101");
    let notes = notes(&bench);
    assert!(notes.contains("it wrote: service: stop") && notes.contains("2 statements") && notes.contains("answered 101"), "{notes}");
    assert!(notes.contains("answered 200 OK at request 4"), "{notes}");
    bench.is_clean();
}

#[test]
fn apply_keeps_secrets_of_the_environment_from_programs_that_were_not_given_them() {
    let mut bench = Bench::new();
    bench.env("DEPLOY_TOKEN", "canary-deploy-token");
    bench.env("DEPLOY_PLACE", "서울");
    bench.script(&bench.path("bin/look"), "env > \"@/env-$1\"");
    bench.text(
        "version: 1
name: orders
secrets: { token: { env: DEPLOY_TOKEN } }
steps:
  - { id: without, uses: command, needs: [], with: { argv: [\"@/bin/look\", without] } }
  - { id: given, uses: command, with: { argv: [\"@/bin/look\", given], env: { TOKEN: { secret: token } } } }
",
    );
    bench.apply().is(0, &[]);
    let seen = |name: &str| std::fs::read_to_string(bench.path(name)).unwrap();
    assert!(seen("env-without").contains("DEPLOY_PLACE=서울"), "{}", seen("env-without"));
    assert!(!seen("env-without").contains("canary-deploy-token"));
    assert!(seen("env-given").contains("TOKEN=canary-deploy-token") && !seen("env-given").contains("DEPLOY_TOKEN"));
}

#[test]
fn apply_names_the_line_of_a_statement_that_fails_and_leaves_nothing_of_the_script() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.file("bad.sql", "insert into lines values (500);\n\ninsert into lines\n  values (1);\n");
    let ran = sql(&bench, &server, "file: \"@/bad.sql\"");
    let place = format!("{}:3: ", bench.path("bad.sql").display());
    ran.is(10, &[&place, "duplicate key value", "Key (id)=(1) already exists.", "23505", "nothing was changed"]);
    assert_eq!(rows(&server, "lines").trim(), "100", "the first statement was rolled back");
    let ran = sql(&bench, &server, "statements: \"select 1;\\nselect\\n  nothing_here\\n  from lines\"");
    ran.is(10, &["line 3 of `statements`", "nothing_here", "42703"]);
    let ran = sql(
        &bench,
        &server,
        "transaction: false, statements: \"vacuum lines; insert into lines values (501); insert into lines values (1)\"",
    );
    ran.is(10, &["line 1 of `statements`", "2 statements before it stay done"]);
    assert_eq!(rows(&server, "lines").trim(), "101");
    // The plan sees a file that can not be run before anything is done.
    bench.file("psql.sql", "select 1;\n\\i other.sql\n");
    let ran = sql(&bench, &server, "file: \"@/psql.sql\"");
    ran.is(10, &["psql.sql:2: commands of psql"]);
}

#[test]
fn apply_tells_a_query_with_another_answer_as_a_failed_verification() {
    let (bench, server) = (Bench::new(), shop(1));
    server.psql("postgres", "create database \"물류\"");
    sql(&bench, &server, "query: \"select count(*) from lines\", equals: 7").is(11, &["select count(*) from lines = 7: found 100"]);
    sql(&bench, &server, "query: \"select null\"").is(11, &["found null"]);
    sql(&bench, &server, "query: \"select current_database()\", equals: 물류, database: 물류").is(0, &[]);
    sql(&bench, &server, "query: \"select 1 from no_such_table\"").is(10, &["no_such_table", "42P01"]);
    sql(&bench, &server, "query: \"insert into lines values (700) returning true\"").is(10, &[]);
    assert_eq!(rows(&server, "lines").trim(), "100", "a query can not write");
}

#[test]
fn apply_gives_up_a_service_that_never_gets_well_and_says_how_it_answered() {
    let bench = Bench::new();
    let answers = |status| HttpSink::start(vec![Answer::status(status).echo()]);
    let (broken, locked) = (answers(503), answers(401));
    let gone = answers(200).url("/health");
    let token = bench.file("token", CANARY);
    let asked = |url: &str, more: &str| {
        bench.text(&format!(
            "version: 1\nname: orders\nsecrets: {{ token: {{ file: {} }} }}\nsteps:\n  - id: health\n    uses: http\n    with: {{ url: \"{url}?key={CANARY}\", headers: {{ Authorization: {{ secret: token }} }}, {more} }}\n",
            token.display()
        ));
        bench.apply()
    };
    let begun = Instant::now();
    let patient = "for: 1s, every: 300ms, timeout: 2s";
    let all = [
        (asked(&broken.url("/health"), patient), 10, "503 Scripted"),
        (asked(&locked.url("/health"), "for: 0s"), 77, "401"),
        (asked(&gone, patient), 69, "Connection refused"),
        (asked(&broken.url("/health"), "for: 0s, expect: { status: [503], contains: 없음 }"), 10, "does not hold `없음`"),
    ];
    for (ran, code, words) in &all {
        ran.is(*code, &[words.trim_end_matches(" Scripted"), "not as expected"]);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!said.contains(CANARY), "{said}");
    }
    assert!((4..=6).contains(&broken.requests().len()), "asked {} times", broken.requests().len());
    assert_eq!(broken.requests()[0].header("authorization"), Some(CANARY));
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn apply_tells_what_a_program_said_before_it_failed_but_no_secret() {
    let bench = Bench::new();
    let token = bench.file("token", CANARY);
    bench.script(&bench.path("bin/deploy"), "echo \"key $KEY in $PWD\"; echo \"거절: $KEY\" >&2; exit ${1:-0}");
    let run = |argv: &str| {
        bench.text(&format!(
            "version: 1\nname: orders\nsecrets: {{ token: {{ file: {} }} }}\nsteps:\n  - {{ id: deploy, uses: command, with: {{ argv: {argv}, env: {{ KEY: {{ secret: token }} }}, cwd: @/home }} }}\n",
            token.display()
        ));
        bench.apply()
    };
    let failed = run("[\"@/bin/deploy\", \"3\"]");
    failed.is(10, &["exited with status 3", "거절: [secret]", "bin/deploy 3`"]);
    run("[\"@/bin/deploy\"]").is(0, &[]);
    assert!(notes(&bench).contains("it wrote: key [secret] in") && notes(&bench).contains("/home"), "{}", notes(&bench));
    run("[no-such-program-here]").is(69, &["no-such-program-here", "PATH"]);
    run("[\"@/bin/none\"]").is(69, &["bin/none"]);
    let everything = std::fs::read_to_string(bench.events()).unwrap() + &failed.stdout + &failed.stderr;
    assert!(!everything.contains(CANARY), "{everything}");
}

#[test]
fn apply_does_not_wait_for_a_service_that_a_command_left_running() {
    let bench = Bench::new();
    bench.script(&bench.path("bin/start"), "sleep 25 & echo $! > @/service.pid; echo started");
    bench.text("version: 1\nname: orders\nsteps:\n  - { id: start, uses: command, with: { argv: [\"@/bin/start\"] } }\n");
    let begun = Instant::now();
    bench.apply().is(0, &[]);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(notes(&bench).contains("it wrote: started"));
    let pid = std::fs::read_to_string(bench.path("service.pid")).unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).expect("the service lives on");
}

#[test]
fn apply_never_repeats_statements_that_a_limit_cut_off_half_way() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.pipeline(
        &server,
        "steps:\n  - { id: fix, uses: sql, timeout: 2s, retry: { attempts: 3, backoff: 100ms }, with: { connection: shop, transaction: false, \
         statements: \"update lines set id = -id where id = 7; select pg_sleep(60)\" } }\n",
    );
    bench.apply().is(10, &["longer than its timeout", "1 statement before it stay"]);
    assert_eq!(bench.story(), "run fix#1 fix=Failed Failed");
    assert_eq!(server.psql("shop", "select count(*) from lines where id = -7"), "1");
}

#[test]
fn apply_stopped_in_a_runbook_ends_the_program_and_the_statement_and_still_does_what_is_always_done() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.script(&bench.path("bin/hang"), "touch @/hanging; sleep 60");
    bench.script(&bench.path("bin/start"), "touch @/started");
    let always = "  - { id: start, uses: command, when: always, with: { argv: [\"@/bin/start\"] } }\n";
    let hanging = "  - { id: hang, uses: command, with: { argv: [\"@/bin/hang\"] } }\n".to_owned();
    let sleeping =
        "  - { id: nap, uses: sql, with: { connection: shop, statements: \"insert into lines values (900); select pg_sleep(60)\" } }\n"
            .to_owned();
    let is_asleep = || server.psql("postgres", "select count(*) from pg_stat_activity where query like 'select pg_sleep%'").trim() == "1";
    let hangs = || bench.path("hanging").exists();
    let cases: [(&str, &dyn Fn() -> bool); 2] = [(&hanging, &hangs), (&sleeping, &is_asleep)];
    for (step, there) in cases {
        let begun = Instant::now();
        bench.pipeline(&server, &format!("steps:\n{step}{always}"));
        let mut running = bench.start();
        running.wait_until(step, |_| there());
        running.signal(Signal::TERM);
        let ran = running.end();
        assert_eq!(ran.code, 143, "{}", ran.stderr);
        assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
        std::fs::remove_file(bench.path("started")).expect("what is always done was done");
        bench.is_clean();
    }
    let until = Instant::now() + Duration::from_secs(5);
    while is_asleep() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!is_asleep(), "the server still works for nobody");
    assert_eq!(rows(&server, "lines").trim(), "100", "the statement before it was rolled back");
}

#[test]
fn apply_of_a_backup_waits_for_the_commit_before_it_asks_and_acts() {
    let (bench, server) = (Bench::new(), shop(1));
    bench.script(&bench.path("bin/after"), "ls @/store/.runner/orders/*/*.manifest.json > @/seen");
    let steps = "
steps:
  - { id: before, uses: sql, needs: [], with: { connection: shop, query: \"select true\" } }
  - { id: dump, uses: dump, with: { connection: shop } }
  - { id: upload, uses: upload, with: { store: vault } }
  - { id: after, uses: command, with: { argv: [\"@/bin/after\"] } }
";
    bench.pipeline(&server, steps);
    bench.apply().is(0, &[]);
    assert_eq!(std::fs::read_to_string(bench.path("seen")).unwrap().lines().count(), 1, "there was a restore point");
}

#[test]
fn apply_of_a_plan_that_can_not_be_applied_runs_no_program() {
    let bench = Bench::new();
    bench.script(&bench.path("bin/start"), "touch @/started");
    bench.text(
        "version: 1
name: orders
connections: { shop: { postgres: { host: @/no-socket, user: nobody, database: shop } } }
steps:
  - { id: ask, uses: sql, needs: [], with: { connection: shop, query: \"select true\" } }
  - { id: start, uses: command, when: always, with: { argv: [\"@/bin/start\"] } }
  - { id: tell, uses: notify, when: always, with: { file: { path: @/told.ndjson } } }
",
    );
    assert_ne!(bench.apply().code, 0);
    assert!(bench.path("told.ndjson").exists(), "somebody is told");
    assert!(!bench.path("started").exists(), "nothing was stopped, so nothing is started");
}
