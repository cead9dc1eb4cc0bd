//! A database that was restored is dumped in its turn, and its dump has the same fingerprint: with everything a database can hold.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::path::Path;
use std::process::Command;

use runner::archive::Fingerprint;
use runner::ids::PipelineName;
use runner::store::ObjectStore as _;
use runner::store::commit::{points, read_manifest};
use runner::store::manifest::Artifact;
use runner::stream::bytes::{collect, stream_of};
use runner::stream::codec::{Codec, decompress};

use crate::apply_support::Bench;
use crate::archive_seed::{DATABASE, differ, seeded};
use crate::servers::postgres::{TestServer, bin};

const STEPS: &str = "steps:
  - { id: dump, uses: dump, with: { connection: it, format: FORMAT } }
  - { id: compress, uses: compress, with: { level: 1 } }
  - { id: upload, uses: upload, with: { store: vault } }
";

fn pipeline(bench: &Bench, server: &TestServer, name: &str, database: &str, format: &str) {
    let (host, port) = (server.socket_folder().display(), server.port);
    let steps = STEPS.replace("FORMAT", format);
    bench.text(&format!(
        "version: 1\nname: {name}\nconnections:\n  it: {{ postgres: {{ host: {host}, port: {port}, user: postgres, database: \"{database}\" }} }}\nstores:\n  vault: {{ local: {{ path: @/store }} }}\n{steps}"
    ));
}

fn artifact(bench: &Bench, pipeline: &str) -> Artifact {
    let name: PipelineName = pipeline.parse().unwrap();
    let newest = points(&bench.vault(), &name).unwrap().pop().unwrap();
    read_manifest(&bench.vault().get_bytes(&newest.key, 1 << 20).unwrap()).unwrap().artifacts.pop().unwrap()
}

/// The whole fingerprint that lies beside an artifact.
fn whole(bench: &Bench, artifact: &Artifact) -> Fingerprint {
    let stored = artifact.fingerprint.as_ref().unwrap();
    let bytes = bench.vault().get_bytes(&stored.object.key, 1 << 24).unwrap();
    let json = collect(decompress(stream_of(bytes), Codec::Zstd).unwrap(), 1 << 28).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// Dumps, restores, dumps what was restored, and compares.
fn comes_back_as_it_was(major: u16, format: &str) {
    let (server, mut bench) = (seeded(major), Bench::new());
    // Where a parent got a column later, pg_dump makes the child with its columns in another order; `heir` inherits too.
    server.psql(DATABASE, "drop table child");
    bench.env("RUNNER_PG_BINDIR", bin(major).to_str().unwrap());
    pipeline(&bench, &server, "first", DATABASE, format);
    bench.apply().is(0, &[]);
    let ran = bench.run(&["restore", "pipeline.yaml", "--to", "it", "--database", "복원 \"둘\"", "--yes"]);
    ran.is(0, &[]);
    assert!(ran.stdout.contains("proven"), "{major} {format}: {}", ran.stdout);
    pipeline(&bench, &server, "second", "복원 \\\"둘\\\"", format);
    bench.apply().is(0, &[]);
    let [first, second] = ["first", "second"].map(|name| artifact(&bench, name));
    let (before, after) = (first.contents.clone().unwrap(), second.contents.clone().unwrap());
    assert!(before.objects > 130 && before.large_objects == 3, "{before:?}");
    let [one, other] = [&first, &second].map(|artifact| whole(&bench, artifact));
    let differs = |a: &Fingerprint, b: &Fingerprint| {
        format!("{:#?}", a.inventory.iter().filter(|entry| !b.inventory.contains(entry)).collect::<Vec<_>>())
    };
    let names = format!("{}\n{}\n{}", differs(&one, &other), differs(&other, &one), differ(&one, &other));
    assert_eq!(before, after, "{major} {format}: {names}");
    assert_eq!(second.origin.database.as_deref(), Some("복원 \"둘\""));
    bench.is_clean();
}

#[test]
fn restore_gives_a_database_whose_own_dump_has_the_same_fingerprint() {
    comes_back_as_it_was(14, "custom");
    comes_back_as_it_was(16, "directory");
    comes_back_as_it_was(18, "plain");
    comes_back_as_it_was(18, "custom");
}

#[test]
fn restore_of_the_quickstart_needs_its_restore_point_and_not_its_source() {
    let (server, bench) = (TestServer::start(16), Bench::new());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = |part: &str| std::os::unix::fs::symlink(root.join(part), bench.path(part)).unwrap();
    place("examples");
    place("pipelines");
    std::fs::create_dir_all(bench.path("target/quickstart")).unwrap();
    let key = bench.path("target/quickstart/age.key");
    let made = Command::new("age-keygen").arg("-o").arg(&key).output().expect("age is needed: install the package age");
    let recipient = String::from_utf8(made.stderr).unwrap().trim().rsplit(' ').next().unwrap().to_owned();
    std::fs::write(key.with_extension("pub"), recipient + "\n").unwrap();
    bench.run(&["apply", "quickstart"]).is(0, &[]);
    // Whoever starts a server now is told on: the embedded one must not be needed any more.
    bench.program("postgres", "echo started >> @/started; exec \"$REAL\" \"$@\"");
    bench.program("initdb", "echo made >> @/started; exec \"$REAL\" \"$@\"");
    let to = format!("postgresql:///복원?host={}&port={}&user=postgres", server.socket_folder().display(), server.port);
    let ran = bench.run(&["restore", "quickstart", "--to", &to, "--yes"]);
    ran.is(0, &[]);
    assert!(ran.stdout.contains("proven") && ran.stdout.contains(" rows"), "{}", ran.stdout);
    assert!(!bench.path("started").exists(), "{}", std::fs::read_to_string(bench.path("started")).unwrap());
    let first = quickstart_contents(&bench);
    pipeline(&bench, &server, "again", "복원", "custom");
    bench.apply().is(0, &[]);
    assert_eq!(first, artifact(&bench, "again").contents.unwrap().digest.to_string());
}

/// The digest in the manifest of the quickstart's only run.
fn quickstart_contents(bench: &Bench) -> String {
    let yaml = std::fs::read_to_string(bench.path("pipelines/quickstart.yaml")).unwrap();
    let store = yaml.lines().find_map(|line| line.split("path: ").nth(1)).unwrap().trim_end_matches([' ', '}']).trim().to_owned();
    let all = crate::apply_support::files(&bench.path(&store));
    let manifest = all.iter().find(|path| path.to_string_lossy().ends_with(".manifest.json")).unwrap();
    let manifest = read_manifest(&std::fs::read(manifest).unwrap()).unwrap();
    manifest.artifacts[0].contents.as_ref().unwrap().digest.to_string()
}
