//! What only local stores have: modes, links, full disks, writers that are killed.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use runner::store::local::LocalStore;
use runner::store::spec::StoreSpec;
use runner::store::{ObjectStore, PutOptions, Refusal, StoreError};
use runner::stream::{Cancel, Stream};

use crate::servers::small_disk::SmallDisk;
use crate::store_conformance::{MIB, Pattern, local_spec};

fn open(path: &Path) -> LocalStore {
    LocalStore::open(&local_spec(path)).unwrap()
}

fn put(store: &dyn ObjectStore, key: &str, body: Stream) -> Result<runner::store::Stored, StoreError> {
    store.put(key, body, &PutOptions::default(), &Cancel::new(), &|_| {})
}

fn mode(path: PathBuf) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Every file below, so that nothing hides behind a listing.
fn files(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::Refused { kind, .. } => *kind,
        other => panic!("not a refusal: {other:?}"),
    }
}

#[test]
fn modes_are_as_configured_whatever_the_umask_and_secrets_stay_private() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = local_spec(&folder.path().join("store"));
    let default = LocalStore::open(&spec).unwrap();
    default.put_bytes("a/기본", b"x", &PutOptions::default()).unwrap();
    assert_eq!((mode(folder.path().join("store")), mode(folder.path().join("store/a"))), (0o750, 0o750));
    assert_eq!(mode(folder.path().join("store/a/기본")), 0o600);
    (spec.file_mode, spec.folder_mode) = ("0666".to_owned(), "0777".to_owned());
    let open = LocalStore::open(&spec).unwrap();
    open.put_bytes("b/open", b"x", &PutOptions::default()).unwrap();
    open.put_bytes("b/globals", b"x", &PutOptions { secret: true, ..PutOptions::default() }).unwrap();
    assert_eq!(mode(folder.path().join("store/b")), 0o777);
    assert_eq!(mode(folder.path().join("store/b/open")), 0o666);
    assert_eq!(mode(folder.path().join("store/b/globals")), 0o600);
}

#[test]
fn modes_that_are_not_octal_or_lock_the_owner_out_are_refused() {
    let mut spec = local_spec(Path::new("/tmp/x"));
    for bad in ["0999", "rw", "01777", "0066"] {
        spec.file_mode = bad.to_owned();
        let error = LocalStore::open(&spec).unwrap_err();
        assert!(error.to_string().contains(bad) && error.to_string().contains("\"0600\""), "{error}");
    }
}

#[test]
fn opening_and_reaching_a_store_write_nothing() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), crate::servers::seaweed::Client::new());
    let path = folder.path().join("not/yet");
    let store = runner::store::open(&StoreSpec::Local(local_spec(&path)), runtime.runtime.handle()).unwrap();
    store.reach().unwrap();
    assert!(store.free_bytes().unwrap().unwrap() > 0);
    assert_eq!(store.list("").unwrap(), []);
    assert_eq!(store.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new());
    assert!(!folder.path().join("not").exists());
    assert_eq!(store.describe(), path.display().to_string());
}

#[test]
fn a_file_where_the_store_should_be_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), b"x").unwrap();
    for path in ["file", "file/below"] {
        let store = open(&folder.path().join(path));
        for error in [store.reach().unwrap_err(), store.put_bytes("a", b"x", &PutOptions::default()).unwrap_err()] {
            assert_eq!(refusal(&error), Refusal::Unreachable, "{error}");
        }
    }
}

#[test]
fn links_inside_a_store_are_not_followed() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(outside.path().join("secret"), b"canary").unwrap();
    symlink(outside.path(), folder.path().join("out")).unwrap();
    symlink(outside.path().join("secret"), folder.path().join("link")).unwrap();
    let store = open(folder.path());
    let error = store.put_bytes("out/a", b"x", &PutOptions::default()).unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");
    assert!(store.get("out/secret", &Cancel::new()).is_err() && store.get("link", &Cancel::new()).is_err());
    assert!(store.delete("out/secret").is_err());
    assert!(matches!(store.put_bytes("link", b"x", &PutOptions::default()), Err(StoreError::Exists { .. })));
    assert_eq!(store.list("").unwrap(), []);
    assert_eq!(files(outside.path()), [outside.path().join("secret")]);
    assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"canary");
}

#[test]
fn a_store_may_itself_be_reached_through_a_link() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(disk.path(), folder.path().join("store")).unwrap();
    let store = open(&folder.path().join("store"));
    store.put_bytes("a/b", b"x", &PutOptions::default()).unwrap();
    assert_eq!(std::fs::read(disk.path().join("a/b")).unwrap(), b"x");
}

#[test]
fn a_full_disk_is_said_with_its_free_space_and_leaves_nothing() {
    SmallDisk::run("store_local::a_full_disk_is_said_with_its_free_space_and_leaves_nothing", |disk| {
        let store = open(disk);
        store.put_bytes("a/before", b"x", &PutOptions::default()).unwrap();
        let error = put(&store, "a/덤프", Pattern::stream(30 * MIB)).unwrap_err();
        assert_eq!(refusal(&error), Refusal::Full, "{error}");
        let text = error.to_string();
        assert!(text.contains("No space left") && text.contains("bytes free") && text.contains("덤프"), "{text}");
        assert_eq!(files(disk), [disk.join("a/before")]);
        // The room is there again.
        put(&store, "a/small", Pattern::stream(2 * MIB)).unwrap();
    });
}

#[test]
fn writers_and_removers_of_one_folder_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let store = &store;
    // Each deletes what it wrote, so that the folder is emptied, removed and made again all the time.
    std::thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || {
                for n in 0..400 {
                    let key = format!("a/b/c/{writer}-{n}");
                    store.put_bytes(&key, b"x", &PutOptions::default()).unwrap();
                    assert_eq!(store.get_bytes(&key, 1).unwrap(), b"x");
                    store.delete(&key).unwrap();
                }
            });
        }
    });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the root is empty again");
}

#[test]
fn emptied_folders_go_but_the_root_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.put_bytes("a/b/c", b"x", &PutOptions::default()).unwrap();
    store.put_bytes("a/d", b"x", &PutOptions::default()).unwrap();
    store.delete("a/b/c").unwrap();
    assert!(!folder.path().join("a/b").exists() && folder.path().join("a").exists());
    store.delete("a/d").unwrap();
    assert!(!folder.path().join("a").exists() && folder.path().exists());
}

/// Set in the child that writes until it is killed.
const WRITER: &str = "RUNNER_TEST_WRITER_FOLDER";

#[test]
fn a_killed_writer_leaves_nothing_under_the_key_and_is_swept() {
    if let Some(path) = std::env::var_os(WRITER) {
        // The child: an endless dump.
        drop(put(&open(Path::new(&path)), "a/덤프", Pattern::stream(u64::MAX)));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let test = "store_local::a_killed_writer_leaves_nothing_under_the_key_and_is_swept";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(WRITER, folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while files(folder.path()).iter().all(|path| std::fs::metadata(path).map_or(0, |meta| meta.size()) < MIB) {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "the writer did not write");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(store.list("").unwrap(), [], "nothing shows while it is written");
    assert_eq!(store.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new(), "a living writer is left alone");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((store.list("").unwrap(), store.head("a/덤프").unwrap()), (vec![], None));
    assert_eq!(files(folder.path()).len(), 1);
    assert_eq!(store.sweep("", Duration::from_hours(1)).unwrap(), Vec::<String>::new(), "it is young");
    let swept = store.sweep("a/", Duration::ZERO).unwrap();
    assert!(swept.len() == 1 && swept[0].starts_with("a/.덤프.") && swept[0].ends_with(".partial"), "{swept:?}");
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
    put(&store, "a/덤프", Pattern::stream(10)).unwrap();
}
