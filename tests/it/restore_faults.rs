//! Everything that can be wrong with what a store keeps, for `verify` and for `restore`: each is noticed by a layer that is named,
//! nothing is ever called proven, and nothing half-made is left.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apply_support::{Bench, Ran, files, shop};
use crate::servers::postgres::TestServer;

const HEAD: &str = "steps:
  - { id: dump, uses: dump, with: { connection: shop } }
";

const TAIL: &str = "  - { id: upload, uses: upload, with: { store: vault, key: \"{{ run.id }}.dump\" } }
";

/// The stages of a pipeline that compresses, digests and encrypts to this key of age.
fn sealed(bench: &Bench) -> String {
    let made = Command::new("age-keygen").arg("-o").arg(bench.path("keys/key")).output().expect("age is needed: install the package age");
    let recipient = String::from_utf8(made.stderr).unwrap().trim().rsplit(' ').next().unwrap().to_owned();
    format!(
        "{HEAD}  - {{ id: compress, uses: compress, with: {{ level: 1 }} }}
  - {{ id: checksum, uses: checksum }}
  - {{ id: encrypt, uses: encrypt, with: {{ age: {{ recipients: [{recipient}] }} }} }}
{TAIL}"
    )
}

/// A store with two restore points, and a copy of it to begin every fault with.
struct Rig {
    server: TestServer,
    bench: Bench,
    key: String,
}

/// The parts of one restore point.
struct Point {
    object: PathBuf,
    manifest: PathBuf,
    fingerprint: PathBuf,
}

impl Rig {
    fn new(steps: impl FnOnce(&Bench) -> String) -> Self {
        let (server, bench) = (shop(1), Bench::new());
        let steps = steps(&bench);
        bench.pipeline(&server, &steps);
        bench.apply().is(0, &[]);
        // As long as before, to the byte.
        server.psql(
            "shop",
            "update lines set id = -1 where id = 1; update lines set id = 1 where id = 2; update lines set id = 2 where id = -1",
        );
        // A run of its own second, so that the order of the two is known.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        bench.apply().is(0, &[]);
        let key = bench.path("keys/key").display().to_string();
        let rig = Self { server, bench, key };
        // Both are proven before anything happens to them.
        for point in rig.bench.points() {
            let lent: &[&str] = if Path::new(&rig.key).is_file() { &["--identity", &rig.key] } else { &[] };
            let ran = rig.bench.run(&[&["verify", "pipeline.yaml", "--at", point.run.as_str()][..], lent].concat());
            assert!(ran.code == 0 && ran.stdout.contains("proven"), "{}\n{}", ran.stdout, ran.stderr);
        }
        assert_eq!(rig.levels(), ["proven", "proven"]);
        copy(&rig.bench.path("store"), &rig.bench.path("pristine"));
        rig
    }

    /// The store as it was.
    fn mend(&self) {
        std::fs::remove_dir_all(self.bench.path("store")).unwrap();
        copy(&self.bench.path("pristine"), &self.bench.path("store"));
    }

    /// The older restore point and the newer one.
    fn points(&self) -> [Point; 2] {
        let all = files(&self.bench.path("store"));
        let ending = |ending: &str| -> Vec<PathBuf> {
            let mut found: Vec<PathBuf> = all.iter().filter(|path| path.to_string_lossy().contains(ending)).cloned().collect();
            found.sort();
            found
        };
        let objects: Vec<PathBuf> = ending(".dump").into_iter().filter(|path| path.extension().is_some_and(|e| e == "dump")).collect();
        let (manifests, prints) = (ending(".manifest.json"), ending("fingerprint"));
        let point = |at: usize| Point { object: objects[at].clone(), manifest: manifests[at].clone(), fingerprint: prints[at].clone() };
        assert_eq!((objects.len(), manifests.len(), prints.len()), (2, 2, 2), "{all:?}");
        [point(0), point(1)]
    }

    fn verify(&self, key: &str) -> Ran {
        self.bench.run(&["verify", "pipeline.yaml", "--identity", key])
    }

    fn restore(&self, key: &str, more: &[&str]) -> Ran {
        self.bench.run(&[&["restore", "pipeline.yaml", "--to", "shop", "--yes", "--identity", key][..], more].concat())
    }

    /// The same where what is there is to be replaced: it stays as it is.
    #[track_caller]
    fn replaces_nothing(&self, fault: &str, key: &str) {
        let before = self.server.psql("shop", "select md5(string_agg(t::text, '|' order by id)) from lines t");
        let safety = format!("{}/", self.bench.path("safety").display());
        let ran = self.restore(key, &["--replace", "--drop-old", "--safety", &safety]);
        assert!(ran.code == 11 && !finds_proven(&ran.stdout), "{fault}:\n{}\n{}", ran.stdout, ran.stderr);
        assert_eq!(self.server.psql("shop", "select md5(string_agg(t::text, '|' order by id)) from lines t"), before, "{fault}");
    }

    /// The levels in the listing, the newest point's first.
    fn levels(&self) -> Vec<String> {
        let listed = self.bench.run(&["list", "pipeline.yaml", "--format", "json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
        let points = listed["listings"][0]["points"].as_array().unwrap();
        points.iter().map(|point| point["level"].as_str().unwrap_or("unreadable").to_owned()).collect()
    }

    fn databases(&self) -> String {
        let names = "select string_agg(datname, ' ' order by datname) from pg_database where not datistemplate and datname <> 'postgres'";
        self.server.psql("postgres", names)
    }

    /// Demands that a fault is noticed by one of these layers whoever reads the newest point, that it takes the level of that point back
    /// to this and of no other, and that nothing is left of the attempts.
    #[track_caller]
    fn is_noticed(&self, fault: &str, key: &str, layers: &[&str], left: &str) {
        for how in ["verify", "restore"] {
            let ran = if how == "verify" { self.verify(key) } else { self.restore(key, &["--database", "copy"]) };
            assert_eq!(ran.code, 11, "{fault}, {how}:\n{}\n{}", ran.stdout, ran.stderr);
            let told = told(&ran);
            assert!(layers.iter().any(|layer| told.contains(layer)), "{fault}, {how}: none of {layers:?} is named in\n{told}");
            assert!(told.contains("help: "), "{fault}, {how}: nothing says what to do\n{told}");
            assert!(!finds_proven(&ran.stdout), "{fault}, {how}:\n{}", ran.stdout);
        }
        assert_eq!(self.databases(), "shop", "{fault}");
        assert_eq!(self.levels().first().map(String::as_str), Some(left), "{fault}");
        let listed = self.bench.run(&["list", "pipeline.yaml"]).stdout;
        assert_eq!(listed.contains('!'), left != "proven", "{fault}:\n{listed}");
        self.bench.is_clean();
        self.mend();
    }
}

/// What a run says of its failure, and not what its plan says.
fn told(ran: &Ran) -> String {
    let is_failure = |line: &&str| line.contains('✗') || line.trim_start().starts_with("error");
    let told = |text: &str| text.lines().skip_while(|line| !is_failure(line)).collect::<Vec<_>>().join("\n");
    told(&ran.stderr)
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(done.success());
}

/// Changes a file in place, write-protected or not.
fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    how(&mut bytes);
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn flip(bytes: &mut [u8], at: usize) {
    bytes[at] ^= 0x10;
}

fn swap(a: &Path, b: &Path) {
    let (first, second) = (std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
    assert_ne!(first, second);
    change(a, |bytes| *bytes = second);
    change(b, |bytes| *bytes = first);
}

/// Whether a run says that it has proven something; what the point was said to be before stands in the line `from`.
fn finds_proven(stdout: &str) -> bool {
    stdout.lines().any(|line| !line.trim_start().starts_with("from ") && line.contains("proven"))
}

#[test]
fn restore_and_verify_notice_whatever_is_wrong_with_a_sealed_object() {
    let rig = Rig::new(sealed);
    let key = rig.key.clone();
    for place in ["begin", "middle", "end"] {
        let [_, newest] = rig.points();
        change(&newest.object, |bytes| {
            let at = match place {
                "begin" => 0,
                "middle" => bytes.len() / 2,
                _ => bytes.len() - 1,
            };
            flip(bytes, at);
        });
        if place == "middle" {
            rig.replaces_nothing("a bit flipped", &key);
        }
        // What decrypts notices it first, and is not believed before the object itself was looked at.
        let object = newest.object.file_name().unwrap().to_str().unwrap();
        rig.is_noticed(&format!("a bit flipped at the {place}"), &key, &[&format!("{object} is not what was stored: sha256: ")], "stored");
    }
    for (fault, length) in [("cut to nothing", 0), ("cut in the middle", 60_000), ("cut at the end", usize::MAX)] {
        let [_, newest] = rig.points();
        change(&newest.object, |bytes| bytes.truncate(length.min(bytes.len() - 1)));
        rig.is_noticed(fault, &key, &[newest.object.file_name().unwrap().to_str().unwrap()], "stored");
    }
    let [_, newest] = rig.points();
    change(&newest.object, |bytes| bytes.push(0));
    rig.is_noticed("a byte more", &key, &[newest.object.file_name().unwrap().to_str().unwrap()], "stored");
    std::fs::remove_file(&newest.object).unwrap();
    rig.is_noticed("no object", &key, &[newest.object.file_name().unwrap().to_str().unwrap()], "stored");
    let other = rig.bench.path("keys/other");
    assert!(Command::new("age-keygen").arg("-o").arg(&other).output().unwrap().status.success());
    rig.is_noticed("a wrong key", other.to_str().unwrap(), &["age: none of the given identities is a recipient"], "proven");
    // Untouched, it is what it was.
    let ran = rig.verify(&key);
    assert!(ran.code == 0 && ran.stdout.contains("proven"), "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn restore_and_verify_notice_an_object_of_another_run_of_the_same_size() {
    let rig = Rig::new(|_| format!("{HEAD}{TAIL}"));
    let key = rig.bench.file("none", "AGE-SECRET-KEY-1").display().to_string();
    let [older, newest] = rig.points();
    assert_eq!(std::fs::metadata(&older.object).unwrap().len(), std::fs::metadata(&newest.object).unwrap().len(), "of the same size");
    swap(&older.object, &newest.object);
    rig.is_noticed("an object of another run", &key, &["is not what was stored: sha256: "], "stored");
    // Both swapped, a whole restore point under another's manifest.
    swap(&older.object, &newest.object);
    swap(&older.fingerprint, &newest.fingerprint);
    rig.is_noticed("object and fingerprint of another run", &key, &["is not what was stored: sha256: "], "stored");
    // A manifest under the name of another: it is whole, and not the one that is asked for.
    swap(&older.manifest, &newest.manifest);
    rig.is_noticed("the manifests of two runs swapped", &key, &["manifest"], "unreadable");
}

#[test]
fn restore_and_verify_notice_a_manifest_or_a_fingerprint_that_was_changed() {
    let rig = Rig::new(sealed);
    let key = rig.key.clone();
    let [older, newest] = rig.points();
    let object = newest.object.file_name().unwrap().to_str().unwrap();
    let edits = [
        ("rows counted otherwise", "\"rows\":", "\"rows\":1"),
        ("another object", object, "x.dump"),
        ("a stage left out", "\"compress\"", "\"checksum\""),
    ];
    for (fault, from, to) in edits {
        change(&newest.manifest, |bytes| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(text.contains(from), "{from} is not in {text}");
            *bytes = text.replacen(from, to, 1).into_bytes();
        });
        rig.is_noticed(fault, &key, &["manifest"], "unreadable");
    }
    change(&newest.manifest, |bytes| bytes.truncate(bytes.len() / 2));
    rig.is_noticed("half a manifest", &key, &["manifest"], "unreadable");
    for fault in ["flipped", "swapped", "cut", "missing"] {
        let path = &newest.fingerprint;
        match fault {
            "flipped" => change(path, |bytes| {
                let middle = bytes.len() / 2;
                flip(bytes, middle);
            }),
            "swapped" => swap(&older.fingerprint, path),
            "cut" => change(path, |bytes| bytes.truncate(bytes.len() / 2)),
            _ => std::fs::remove_file(path).unwrap(),
        }
        if fault == "swapped" {
            rig.replaces_nothing("a fingerprint swapped", &key);
        }
        // What was loaded is whole, and only what it would be compared with is not.
        rig.is_noticed(&format!("the fingerprint {fault}"), &key, &[path.file_name().unwrap().to_str().unwrap()], "restored");
    }
}
