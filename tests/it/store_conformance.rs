//! One suite for every kind of store, each on the real thing: a folder, and SeaweedFS over loopback.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use runner::store::local::LocalStore;
use runner::store::spec::LocalSpec;
use runner::store::{Expect, ObjectStore, PutOptions, StoreError};
use runner::stream::{Cancel, Chunk, Pull, Stream, StreamError};
use tempfile::TempDir;

use crate::servers::seaweed::{Client, S3Server, spec};

/// Bytes that differ from place to place, `size` of them, ending as told.
pub(crate) struct Pattern {
    pub(crate) at: u64,
    pub(crate) size: u64,
    pub(crate) end: Result<(), StreamError>,
}

impl Pattern {
    pub(crate) fn stream(size: u64) -> Stream {
        Box::new(Self { at: 0, size, end: Ok(()) })
    }

    pub(crate) fn failing(size: u64) -> Stream {
        let error = StreamError::corrupt("test", "the dump died");
        Box::new(Self { at: 0, size, end: Err(error) })
    }

    fn bytes(from: u64, until: u64) -> Vec<u8> {
        let words = (from / 8..until.div_ceil(8)).flat_map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        words.skip(usize::try_from(from % 8).unwrap()).take(usize::try_from(until - from).unwrap()).collect()
    }
}

impl Pull for Pattern {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let until = self.size.min(self.at + 100_003);
        if until == self.at {
            return self.end.clone().map(|()| None);
        }
        let bytes = Self::bytes(self.at, until);
        self.at = until;
        Ok(Some(bytes.into()))
    }
}

/// Reads a stream to its end and compares it with the pattern; answers its length.
pub(crate) fn drain_pattern(mut stream: Stream) -> Result<u64, StreamError> {
    let mut at = 0;
    while let Some(chunk) = stream.pull()? {
        assert!(!chunk.is_empty(), "a chunk is never empty");
        let until = at + chunk.len() as u64;
        assert!(*chunk == *Pattern::bytes(at, until), "the bytes from {at} differ");
        at = until;
    }
    assert!(stream.pull()?.is_none(), "an end stays an end");
    Ok(at)
}

pub(crate) const MIB: u64 = 1024 * 1024;

/// A store under test with what it needs to live.
pub(crate) struct Subject {
    pub(crate) store: Arc<dyn ObjectStore>,
    _alive: Alive,
}

enum Alive {
    Local { _folder: TempDir },
    Seaweed { _server: S3Server, _client: Client },
}

pub(crate) fn local_spec(path: &std::path::Path) -> LocalSpec {
    serde_json::from_value(serde_json::json!({ "path": path })).unwrap()
}

pub(crate) fn local() -> Subject {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(LocalStore::open(&local_spec(&folder.path().join("새 폴더/store"))).unwrap());
    Subject { store, _alive: Alive::Local { _folder: folder } }
}

pub(crate) fn seaweed() -> Subject {
    let (server, client) = (S3Server::seaweed(), Client::new());
    let store = Arc::new(client.store(&spec(&server.endpoint())));
    Subject { store, _alive: Alive::Seaweed { _server: server, _client: client } }
}

macro_rules! conformance {
    ($($test:ident),* $(,)?) => {
        mod on_a_folder {
            $(#[test] fn $test() { super::$test(&*super::local().store); })*
        }
        mod on_seaweed {
            $(#[test] fn $test() { super::$test(&*super::seaweed().store); })*
        }
    };
}

conformance![
    an_object_comes_back_as_it_was_put,
    an_object_of_many_parts_comes_back_as_it_was_put,
    an_empty_object_is_an_object,
    existing_objects_are_never_overwritten,
    of_sixteen_writers_exactly_one_wins,
    of_four_writers_in_parts_exactly_one_wins,
    a_stream_that_fails_leaves_nothing,
    a_cancelled_write_leaves_nothing,
    a_stream_that_panics_leaves_nothing,
    what_is_not_there_is_missing,
    deleting_twice_succeeds,
    a_listing_is_sorted_and_complete_over_pages,
    a_listing_takes_any_prefix,
    folders_are_those_right_below_a_prefix,
    keys_that_lead_elsewhere_are_refused,
    a_small_read_refuses_a_large_object,
    reach_and_probe_find_a_store_that_keeps_its_word,
    a_cancelled_read_ends_in_an_error,
    a_conditional_write_replaces_only_what_was_read,
    of_sixteen_conditional_writers_exactly_one_wins,
];

fn put(store: &dyn ObjectStore, key: &str, body: Stream) -> Result<runner::store::Stored, StoreError> {
    store.put(key, body, &PutOptions::default(), &Cancel::new(), &|_| {})
}

fn keys(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    store.list(prefix).unwrap().into_iter().map(|object| object.key).collect()
}

fn nothing_is_left(store: &dyn ObjectStore) {
    assert_eq!(keys(store, ""), Vec::<String>::new());
    assert_eq!(store.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new(), "unfinished writes were left");
}

fn an_object_comes_back_as_it_was_put(store: &dyn ObjectStore) {
    let key = "주문-야간/2026-11-20/덤프 1.zst";
    let options = PutOptions { metadata: vec![("pipeline".into(), "주문-야간".into())], ..PutOptions::default() };
    let stored = store.put_bytes(key, b"abc", &options).unwrap();
    assert_eq!((stored.key.as_str(), stored.bytes), (key, 3));
    assert_eq!(stored.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(store.get_bytes(key, 3).unwrap(), b"abc");
    let meta = store.head(key).unwrap().unwrap();
    assert_eq!((meta.key.as_str(), meta.bytes), (key, 3));
    let age = jiff::Timestamp::now().as_second() - meta.modified.as_second();
    assert!((-2..60).contains(&age), "modified {age} s ago");
    assert_eq!(store.list("주문-야간/").unwrap(), [meta]);
}

fn an_object_of_many_parts_comes_back_as_it_was_put(store: &dyn ObjectStore) {
    let size = 41 * MIB + 12_345;
    let sent = AtomicU64::new(0);
    let options = PutOptions { estimate: Some(1), ..PutOptions::default() };
    let count = |bytes| {
        sent.fetch_add(bytes, Ordering::SeqCst);
    };
    let stored = store.put("큰/덤프", Pattern::stream(size), &options, &Cancel::new(), &count).unwrap();
    assert_eq!(stored.bytes, size);
    assert_eq!(sent.load(Ordering::SeqCst), size, "every byte accepted is told once");
    assert_eq!(drain_pattern(store.get("큰/덤프", &Cancel::new()).unwrap()).unwrap(), size);
    assert_eq!(store.head("큰/덤프").unwrap().unwrap().bytes, size);
    assert_eq!(store.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new());
}

fn an_empty_object_is_an_object(store: &dyn ObjectStore) {
    let stored = store.put_bytes("빈", b"", &PutOptions::default()).unwrap();
    assert_eq!(stored.bytes, 0);
    assert_eq!(stored.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(store.get_bytes("빈", 0).unwrap(), b"");
    assert_eq!(keys(store, ""), ["빈"]);
}

fn existing_objects_are_never_overwritten(store: &dyn ObjectStore) {
    store.put_bytes("a/b", b"first", &PutOptions::default()).unwrap();
    for _ in 0..2 {
        let again = store.put_bytes("a/b", b"second", &PutOptions::default()).unwrap_err();
        assert!(matches!(&again, StoreError::Exists { key, .. } if key == "a/b"), "{again}");
        assert!(!again.transient());
    }
    let again = put(store, "a/b", Pattern::stream(20 * MIB)).unwrap_err();
    assert!(matches!(again, StoreError::Exists { .. }), "{again}");
    assert_eq!(store.get_bytes("a/b", 100).unwrap(), b"first");
    assert_eq!(store.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new());
}

/// Writers that all pass the look at the key before any of them publishes; answers who won.
fn race(store: &dyn ObjectStore, writers: usize, size: u64) -> Vec<usize> {
    struct Held(Stream, Option<Arc<Barrier>>);
    impl Pull for Held {
        fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
            if let Some(barrier) = self.1.take() {
                barrier.wait();
            }
            self.0.pull()
        }
    }
    let barrier = Arc::new(Barrier::new(writers));
    std::thread::scope(|scope| {
        let racers: Vec<_> = (0..writers)
            .map(|writer| {
                let body: Stream = Box::new(Held(Pattern::stream(size + writer as u64), Some(Arc::clone(&barrier))));
                scope.spawn(move || match put(store, "같은/키", body) {
                    Ok(stored) => Some((writer, stored)),
                    Err(StoreError::Exists { .. }) => None,
                    Err(error) => panic!("a loser is told that the key is taken, not: {error}"),
                })
            })
            .collect();
        let won: Vec<_> = racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect();
        for (writer, stored) in &won {
            assert_eq!(stored.bytes, size + *writer as u64);
            assert_eq!(drain_pattern(store.get("같은/키", &Cancel::new()).unwrap()).unwrap(), stored.bytes);
        }
        won.into_iter().map(|(writer, _)| writer).collect()
    })
}

fn of_sixteen_writers_exactly_one_wins(store: &dyn ObjectStore) {
    for _ in 0..3 {
        assert_eq!(race(store, 16, 70_000).len(), 1);
        store.delete("같은/키").unwrap();
        nothing_is_left(store);
    }
}

fn of_four_writers_in_parts_exactly_one_wins(store: &dyn ObjectStore) {
    assert_eq!(race(store, 4, 9 * MIB).len(), 1);
    store.delete("같은/키").unwrap();
    nothing_is_left(store);
}

fn a_stream_that_fails_leaves_nothing(store: &dyn ObjectStore) {
    for size in [0, 10, 30 * MIB] {
        let error = put(store, "죽은/덤프", Pattern::failing(size)).unwrap_err();
        assert!(matches!(&error, StoreError::Stream(StreamError::Corrupt { .. })), "after {size} bytes: {error}");
        nothing_is_left(store);
    }
}

fn a_cancelled_write_leaves_nothing(store: &dyn ObjectStore) {
    struct Stop(Stream, Cancel, u64);
    impl Pull for Stop {
        fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
            let chunk = self.0.pull()?;
            self.2 = self.2.saturating_sub(chunk.as_ref().map_or(0, |chunk| chunk.len() as u64));
            if self.2 == 0 {
                self.1.cancel("SIGTERM", false);
            }
            Ok(chunk)
        }
    }
    for after in [1, 30 * MIB] {
        let cancel = Cancel::new();
        let body = Box::new(Stop(Pattern::stream(60 * MIB), cancel.clone(), after));
        let error = store.put("멈춘/덤프", body, &PutOptions::default(), &cancel, &|_| {}).unwrap_err();
        assert_eq!(error.to_string(), "cancelled: SIGTERM");
        nothing_is_left(store);
    }
}

fn a_stream_that_panics_leaves_nothing(store: &dyn ObjectStore) {
    struct Broken(Stream);
    impl Pull for Broken {
        fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
            Ok(Some(self.0.pull()?.expect("a defect in a stage")))
        }
    }
    let body = Box::new(Broken(Pattern::stream(20 * MIB)));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| put(store, "a", body).map(drop)));
    assert!(caught.is_err());
    nothing_is_left(store);
}

fn what_is_not_there_is_missing(store: &dyn ObjectStore) {
    assert_eq!(store.head("없다/a").unwrap(), None);
    assert!(matches!(store.get("없다/a", &Cancel::new()).err(), Some(StoreError::Missing { key, .. }) if key == "없다/a"));
    assert!(matches!(store.get_bytes("없다", 10), Err(StoreError::Missing { .. })));
    assert_eq!(keys(store, "없다/"), Vec::<String>::new());
}

fn deleting_twice_succeeds(store: &dyn ObjectStore) {
    store.put_bytes("a/b/c", b"x", &PutOptions::default()).unwrap();
    store.put_bytes("a/d", b"x", &PutOptions::default()).unwrap();
    store.delete("a/b/c").unwrap();
    store.delete("a/b/c").unwrap();
    store.delete("z/never/there").unwrap();
    assert_eq!(keys(store, ""), ["a/d"]);
    store.put_bytes("a/b/c", b"y", &PutOptions::default()).unwrap();
    assert_eq!(store.get_bytes("a/b/c", 1).unwrap(), b"y");
}

fn a_listing_is_sorted_and_complete_over_pages(store: &dyn ObjectStore) {
    // Folder by folder, "n-1" would come behind all of "n/…"; by bytes it comes before.
    let mut all: Vec<String> = (0..1_030).map(|n| format!("목록/n/{:04}", n * 7 % 1_030)).collect();
    all.extend(["목록/n-1", "목록/n.x", "목록/n0", "목록/가", "목록/Z"].map(str::to_owned));
    std::thread::scope(|scope| {
        for some in all.chunks(all.len().div_ceil(8)) {
            scope.spawn(move || some.iter().for_each(|key| drop(store.put_bytes(key, b"x", &PutOptions::default()).unwrap())));
        }
    });
    all.sort_unstable();
    assert_eq!(keys(store, "목록/"), all);
    assert_eq!(keys(store, "목록/n/100"), (0..10).map(|n| format!("목록/n/100{n}")).collect::<Vec<_>>());
}

fn a_listing_takes_any_prefix(store: &dyn ObjectStore) {
    for key in ["a", "ab/c", "ab/d/e", "b"] {
        store.put_bytes(key, b"x", &PutOptions::default()).unwrap();
    }
    assert_eq!(keys(store, ""), ["a", "ab/c", "ab/d/e", "b"]);
    assert_eq!(keys(store, "a"), ["a", "ab/c", "ab/d/e"]);
    assert_eq!(keys(store, "ab/"), ["ab/c", "ab/d/e"]);
    assert_eq!(keys(store, "ab/d"), ["ab/d/e"]);
    assert_eq!(keys(store, "x/y"), Vec::<String>::new());
}

fn folders_are_those_right_below_a_prefix(store: &dyn ObjectStore) {
    assert_eq!(store.folders("주문/").unwrap(), Vec::<String>::new());
    for key in ["주문/2026-10/a/b", "주문/2026-11/a", "주문/kit/a", "주문/파일", "주문-야간/x/y", "위"] {
        store.put_bytes(key, b"x", &PutOptions::default()).unwrap();
    }
    assert_eq!(store.folders("주문/").unwrap(), ["2026-10", "2026-11", "kit"]);
    assert_eq!(store.folders("주문/2026-10/").unwrap(), ["a"]);
    assert!(store.folders("주문/2026-11/").unwrap().is_empty());
    let top = store.folders("").unwrap();
    assert!(top.contains(&"주문".to_owned()) && top.contains(&"주문-야간".to_owned()), "{top:?}");
}

fn keys_that_lead_elsewhere_are_refused(store: &dyn ObjectStore) {
    for bad in ["", "/a", "a/../../b", "a//b", "a\nb", "a/"] {
        let refused = |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::BadKey { .. })), "{bad:?}");
        refused(store.put_bytes(bad, b"x", &PutOptions::default()).map(drop));
        refused(store.get(bad, &Cancel::new()).map(drop));
        refused(store.head(bad).map(drop));
        refused(store.delete(bad));
    }
    assert!(matches!(store.list("../"), Err(StoreError::BadKey { .. })));
}

fn a_small_read_refuses_a_large_object(store: &dyn ObjectStore) {
    store.put_bytes("a", &[7; 1000], &PutOptions::default()).unwrap();
    assert_eq!(store.get_bytes("a", 1000).unwrap().len(), 1000);
    let error = store.get_bytes("a", 999).unwrap_err();
    assert!(error.to_string().contains("larger than the 999 bytes"), "{error}");
}

fn reach_and_probe_find_a_store_that_keeps_its_word(store: &dyn ObjectStore) {
    store.reach().unwrap();
    let report = store.probe().unwrap();
    assert!(report.create_only);
    assert!(report.took > Duration::ZERO);
    nothing_is_left(store);
}

fn a_cancelled_read_ends_in_an_error(store: &dyn ObjectStore) {
    put(store, "a", Pattern::stream(3 * MIB)).unwrap();
    let cancel = Cancel::new();
    let mut stream = store.get("a", &cancel).unwrap();
    stream.pull().unwrap().unwrap();
    cancel.cancel("SIGINT", false);
    assert_eq!(stream.pull().err().unwrap().to_string(), "cancelled: SIGINT");
}

fn a_conditional_write_replaces_only_what_was_read(store: &dyn ObjectStore) {
    let key = ".runner-leases/주문.json";
    assert!(matches!(store.get_tagged(key, 10), Err(StoreError::Missing { .. })));
    let first = store.put_if(key, b"first", &Expect::Absent).unwrap();
    assert_eq!(store.get_tagged(key, 10).unwrap(), (b"first".to_vec(), first.clone()));
    assert!(matches!(store.put_if(key, b"again", &Expect::Absent), Err(StoreError::Exists { .. })));
    let second = store.put_if(key, b"second", &Expect::Matches(&first)).unwrap();
    assert_eq!(store.get_tagged(key, 10).unwrap(), (b"second".to_vec(), second.clone()));
    let error = store.put_if(key, b"third", &Expect::Matches(&first)).unwrap_err();
    assert!(matches!(error, StoreError::Changed { .. }), "{error}");
    assert_eq!(store.get_bytes(key, 10).unwrap(), b"second");
    assert!(store.get_tagged(key, 5).unwrap_err().to_string().contains("larger than the 5 bytes"));
    store.delete(key).unwrap();
    assert!(matches!(store.put_if(key, b"fourth", &Expect::Matches(&second)), Err(StoreError::Changed { .. })));
    nothing_is_left(store);
}

fn of_sixteen_conditional_writers_exactly_one_wins(store: &dyn ObjectStore) {
    let key = "경주/lease.json";
    let mut tag = None;
    for round in 0..6 {
        let expect = tag.as_ref().map_or(Expect::Absent, Expect::Matches);
        let barrier = Barrier::new(16);
        let won: Vec<_> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..16)
                .map(|writer| {
                    let (barrier, expect) = (&barrier, expect.clone());
                    scope.spawn(move || {
                        barrier.wait();
                        match store.put_if(key, format!("round {round} of {writer}").as_bytes(), &expect) {
                            Ok(tag) => Some((writer, tag)),
                            Err(StoreError::Exists { .. } | StoreError::Changed { .. }) => None,
                            Err(error) => panic!("a loser is told that it lost, not: {error}"),
                        }
                    })
                })
                .collect();
            racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
        });
        let [(writer, won)] = won.as_slice() else { panic!("one winner, not {won:?}") };
        assert_eq!(store.get_tagged(key, 100).unwrap(), (format!("round {round} of {writer}").into_bytes(), won.clone()));
        tag = Some(won.clone());
    }
    store.delete(key).unwrap();
    nothing_is_left(store);
}
