//! Canaries in every kind of secret: whatever a run says, writes, sends or starts, none is seen where it does not belong.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::apply_secrets::{age_key, guarded, head};
use crate::apply_support::{Bench, files};
use crate::servers::http::{Answer, Certificates, HttpSink};
use crate::servers::postgres::TestServer;
use crate::servers::seaweed::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use crate::servers::smtp::{SmtpOptions, SmtpSink};

/// The planted values, each in a file of its own name below `keys`.
struct Canaries(Vec<(&'static str, String)>);

impl Canaries {
    /// The names of planted values in a text, also as they look in URLs, JSON and base64.
    fn found_in(&self, text: &[u8]) -> Vec<&'static str> {
        let holds = |value: &str| text.windows(value.len()).any(|window| window == value.as_bytes());
        // A key of many lines is found by any of its long ones.
        let parts =
            |value: &str| value.lines().filter(|line| line.len() > 15 && !line.contains("-----")).map(str::to_owned).collect::<Vec<_>>();
        self.0.iter().filter(|(_, value)| parts(value).iter().any(|part| holds(part))).map(|(name, _)| *name).collect()
    }

    /// Demands that no file below a folder holds one.
    fn are_not_below(&self, folder: &Path, but: &[&str]) {
        for path in files(folder) {
            let name = path.display().to_string();
            if !but.iter().any(|allowed| name.contains(allowed)) {
                let found = self.found_in(&std::fs::read(&path).unwrap_or_default());
                assert_eq!(found, Vec::<&str>::new(), "in {name}");
            }
        }
    }

    fn are_not_said(&self, what: &str, text: &str) {
        assert_eq!(self.found_in(text.as_bytes()), Vec::<&str>::new(), "in {what}:\n{text}");
    }
}

/// Looks at the command line and the environment of a run's processes for as long as it lives.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(Vec<u8>, usize)>,
}

impl Watch {
    fn over(bench: &Bench) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, mark) = (Arc::clone(&stop), format!("TMPDIR={}", bench.path("tmp").display()).into_bytes());
        let thread = std::thread::spawn(move || {
            let (mut seen, mut processes) = (Vec::new(), std::collections::BTreeSet::new());
            while !stopped.load(Ordering::SeqCst) {
                for path in std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()) {
                    let Ok(environment) = std::fs::read(path.join("environ")) else { continue };
                    if environment.windows(mark.len()).any(|window| window == mark) {
                        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
                        if processes.insert((path, line.clone(), environment.len())) {
                            seen.extend(line.into_iter().chain(*b"\n").chain(environment).chain(*b"\n"));
                        }
                    }
                }
                std::thread::sleep(Duration::from_millis(3));
            }
            (seen, processes.len())
        });
        Self { stop, thread }
    }

    fn end(self) -> (Vec<u8>, usize) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

/// A private OpenPGP key with this passphrase, and its public half.
fn openpgp_key(passphrase: &str) -> (String, String) {
    let home = tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700)).tempdir().unwrap();
    let gpg = |args: &[&str]| {
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", home.path())
            .args(["--batch", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", passphrase])
            .args(args);
        let output = gpg.output().expect("gpg is needed: install the package gnupg");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    gpg(&["--quick-gen-key", "백업 <backup@example.org>", "future-default", "default"]);
    let pair = (gpg(&["--armor", "--export-secret-keys"]), gpg(&["--armor", "--export"]));
    let _ended = Command::new("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "all"]).status();
    pair
}

/// Four dumps, each encrypted in another way, and every channel that has a secret.
fn secretive(server: &TestServer, canaries: &Canaries, urls: &[(&str, String)]) -> String {
    let declared = canaries.0.iter().filter(|(name, _)| !matches!(*name, "db_password" | "s3_secret"));
    let secrets = declared.fold(String::new(), |mut text, (name, _)| {
        writeln!(text, "  {name}: {{ file: @/keys/{name} }}").unwrap();
        text
    });
    let url = |wanted: &str| &urls.iter().find(|(name, _)| *name == wanted).unwrap().1;
    let s3 = format!(
        "  cloud: {{ s3: {{ bucket: {BUCKET}, prefix: 비밀, endpoint: \"{}\", path_style: true, region: ap-northeast-2 }} }}\n",
        url("s3")
    );
    let mut text = head(server, &secrets, &s3) + "steps:\n";
    let ways = [
        ("a", "vault", "age: { recipients_file: @/age.pub }", "identity: { secret: age_identity }"),
        ("b", "cloud", "age: { passphrase: { secret: age_passphrase } }", "passphrase: { secret: age_passphrase }"),
        ("c", "vault", "openpgp: { passphrase: { secret: pgp_passphrase } }", "passphrase: { secret: pgp_passphrase }"),
        (
            "d",
            "cloud",
            "openpgp: { recipients_files: [@/pgp.pub] }",
            "identity: { secret: pgp_key }, passphrase: { secret: pgp_key_passphrase }",
        ),
    ];
    for (id, store, encrypt, unlock) in ways {
        let source = if id == "c" { "globals" } else { "dump" };
        writeln!(text, "  - {{ id: {id}, uses: {source}, needs: [], with: {{ connection: shop }} }}\n  - {{ id: {id}-enc, uses: encrypt, with: {{ {encrypt} }} }}\n  - {{ id: {id}-up, uses: upload, with: {{ store: {store} }} }}").unwrap();
        if source == "dump" {
            writeln!(text, "  - {{ id: {id}-verify, uses: verify-restore, with: {{ {unlock} }} }}").unwrap();
        }
    }
    let channels = [
        "slack: { url: { secret: slack_url } }".to_owned(),
        format!(
            "webhook: {{ url: \"{}\", headers: {{ Authorization: {{ secret: webhook_header }} }}, hmac: {{ secret: webhook_hmac }} }}",
            url("webhook")
        ),
        format!("pagerduty: {{ routing_key: {{ secret: pagerduty_key }}, endpoint: \"{}\" }}", url("pagerduty")),
        format!(
            "smtp: {{ host: localhost, port: {}, ca_file: @/ca.pem, user: backup, password: {{ secret: smtp_password }}, from: b@example.org, to: [o@example.org] }}",
            url("smtp")
        ),
        "file: { path: @/told.ndjson }".to_owned(),
        "stdout: {}".to_owned(),
    ];
    for (index, channel) in channels.iter().enumerate() {
        writeln!(text, "  - {{ id: tell-{index}, uses: notify, when: always, with: {{ {channel} }} }}").unwrap();
    }
    text
}

/// Everything that a pipeline with every kind of secret talks to.
struct Setting {
    bench: Bench,
    canaries: Canaries,
    /// Refuses all, and answers with what it was asked.
    refusing: HttpSink,
    taking: HttpSink,
    mail: SmtpSink,
    _mails: tempfile::TempDir,
    _server: TestServer,
    _weed: S3Server,
}

fn value(name: &str) -> String {
    format!("canary-{name}-{}", std::process::id())
}

impl Setting {
    fn new() -> Self {
        let ((identity, recipient), (pgp_key, pgp_public)) = (age_key(), openpgp_key("canary-pgp-key-passphrase"));
        let (refusing, taking) = (HttpSink::start(vec![Answer::status(403).echo()]), HttpSink::start(vec![Answer::status(202).body("{}")]));
        let canaries = Canaries(vec![
            ("db_password", value("db-password")),
            ("age_identity", identity),
            ("age_passphrase", value("age-passphrase")),
            ("pgp_passphrase", value("pgp-passphrase")),
            ("pgp_key", pgp_key),
            ("pgp_key_passphrase", "canary-pgp-key-passphrase".to_owned()),
            ("slack_url", refusing.url(&format!("/services/{}", value("slack-url")))),
            ("webhook_header", value("webhook-header")),
            ("webhook_hmac", value("webhook-hmac")),
            ("pagerduty_key", value("pagerduty-key")),
            ("smtp_password", value("smtp-password")),
            ("s3_secret", SECRET_KEY.to_owned()),
        ]);
        let (server, weed, mut bench) = (guarded(&canaries.0[0].1, 1), S3Server::seaweed(), Bench::new());
        for (name, value) in &canaries.0 {
            bench.file(&format!("keys/{name}"), value);
        }
        bench.file("keys/aws", &format!("[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"));
        bench.env("AWS_SHARED_CREDENTIALS_FILE", bench.path("keys/aws").to_str().unwrap());
        bench.env("AWS_CONFIG_FILE", "/dev/null");
        // What is nobody's business but this program's own, such as the credentials of a store.
        bench.env("AWS_SESSION_TOKEN_OF_SOMEBODY", &value("environment"));
        bench.file("age.pub", &recipient);
        bench.file("pgp.pub", &pgp_public);
        let (certificates, mails) = (Certificates::make(&bench.path("home")), tempfile::tempdir().unwrap());
        std::fs::copy(&certificates.authority, bench.path("ca.pem")).unwrap();
        let login = Some(("backup", canaries.0[10].1.as_str()));
        let mail = SmtpSink::start(mails.path(), &SmtpOptions { tls: Some(("starttls", &certificates)), login, replies: vec![] });
        let urls = [
            ("s3", weed.endpoint()),
            ("webhook", refusing.url("/hook")),
            ("pagerduty", taking.url("/v2/enqueue")),
            ("smtp", mail.port.to_string()),
        ];
        bench.text(&secretive(&server, &canaries, &urls));
        // What a look every few milliseconds could miss is written down by the programs themselves.
        std::fs::create_dir(bench.path("seen")).unwrap();
        // Also for the account that scratch servers run as.
        std::fs::set_permissions(bench.path("seen"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        for name in ["pg_dump", "pg_dumpall", "pg_restore", "psql", "initdb", "postgres"] {
            let note = "(tr '\\0' ' ' < /proc/$$/cmdline; env) > @/seen/$$-$(basename \"$0\")";
            bench.program(name, &format!("{note}\nexec \"$REAL\" \"$@\""));
        }
        Self { bench, canaries, refusing, taking, mail, _mails: mails, _server: server, _weed: weed }
    }

    /// Demands that nothing but the keys themselves holds a canary: states, events, plan files, the store, scratch space, what was told.
    fn holds_none(&self, canaries: &Canaries) {
        canaries.are_not_below(self.bench.path("keys").parent().unwrap(), &["/keys/", "/home/"]);
    }

    fn bodies(&self) -> Vec<u8> {
        self.refusing.requests().into_iter().flat_map(|request| request.body).collect()
    }

    /// A run that works, but for the webhooks that are refused, which are warnings.
    fn succeeds(&self) {
        let (bench, canaries) = (&self.bench, &self.canaries);
        let good = bench.apply();
        canaries.are_not_said("stdout", &good.stdout);
        canaries.are_not_said("stderr", &good.stderr);
        good.is(12, &["slack", "403"]);
        let story = bench.story();
        let done = ["a-verify:check", "b-verify:check", "d-verify:check", "tell-2", "tell-3", "tell-4", "tell-5"];
        assert!(done.iter().all(|node| story.contains(&format!("{node}=Done"))), "{story}\n{}", good.stderr);
        // They did arrive where they belong, so a search that finds nothing elsewhere means something.
        let asked: Vec<u8> = self.refusing.requests().iter().flat_map(|request| format!("{request:?}").into_bytes()).collect();
        assert!(canaries.found_in(&asked).contains(&"webhook_header"), "the search finds what is there");
        assert_eq!(canaries.found_in(&self.bodies()), Vec::<&str>::new(), "in the bodies of notifications");
        let paged: Vec<u8> = self.taking.requests().into_iter().flat_map(|request| request.body).collect();
        assert_eq!(canaries.found_in(&paged), ["pagerduty_key"], "its protocol has it in the body, and nothing else belongs there");
        let mails = self.mail.mails();
        assert_eq!(mails.len(), 1);
        canaries.are_not_said("the mail", &mails[0].to_string());
        assert!(bench.state().exists() && bench.events().exists());
        self.holds_none(canaries);
    }

    /// A run that fails because these secrets have other values, which are no keys and no addresses at all.
    fn fails(&self, names: &[&'static str], code: i32) {
        let (bench, wrong) = (&self.bench, Canaries(names.iter().map(|name| (*name, value(&format!("wrong-{name}")))).collect()));
        for (name, value) in &wrong.0 {
            bench.file(&format!("keys/{name}"), value);
        }
        let ran = bench.apply();
        ran.is(code, &[]);
        for canaries in [&self.canaries, &wrong] {
            canaries.are_not_said("stdout of a failed run", &ran.stdout);
            canaries.are_not_said("stderr of a failed run", &ran.stderr);
            self.holds_none(canaries);
            assert_eq!(canaries.found_in(&self.bodies()), Vec::<&str>::new(), "in the bodies of notifications");
        }
        for (name, value) in self.canaries.0.iter().filter(|(name, _)| names.contains(name)) {
            bench.file(&format!("keys/{name}"), value);
        }
    }
}

#[test]
fn apply_shows_no_secret_anywhere() {
    let setting = Setting::new();
    let (bench, canaries) = (&setting.bench, &setting.canaries);
    let watch = Watch::over(bench);
    setting.succeeds();
    setting.fails(&["db_password"], 77);
    setting.fails(&["age_identity", "age_passphrase", "pgp_key", "slack_url", "webhook_header", "smtp_password"], 11);
    // What is kept of a failed run was among what was searched.
    let kept: Vec<String> = files(&bench.state()).iter().map(|path| path.display().to_string()).collect();
    assert!(
        kept.iter().any(|path| path.ends_with("/plan.json")) && kept.iter().any(|path| path.ends_with("/:commit.receipt.json")),
        "{kept:?}"
    );
    assert!(bench.story().contains("tell-0=Warned") && bench.story().contains("tell-3=Warned"), "{}", bench.story());
    for format in ["human", "json", "markdown"] {
        let ran = bench.run(&["plan", "pipeline.yaml", "--format", format, "-o", bench.path("a.plan.json").to_str().unwrap()]);
        ran.is(0, &[]);
        canaries.are_not_said(format, &format!("{}{}", ran.stdout, ran.stderr));
    }
    canaries.are_not_said("graph", &bench.run(&["graph", "pipeline.yaml"]).stdout);
    let (seen, processes) = watch.end();
    assert!(processes > 30, "only {processes} processes were seen");
    assert!(seen.windows(9).any(|window| window == b"pg_dumpal"), "the watch sees children");
    assert_eq!(canaries.found_in(&seen), Vec::<&str>::new(), "in a command line or an environment");
    assert!(files(&bench.path("seen")).len() > 10);
    Canaries(vec![("environment", value("environment"))]).are_not_below(&bench.path("seen"), &[]);
    setting.holds_none(canaries);
    bench.is_clean();
}
