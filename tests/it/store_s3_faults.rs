//! What an S3 store does when the server or the line to it fails: nothing half-written, nothing left, the right words.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::time::{Duration, Instant};

use runner::diagnostic::Class;
use runner::step::StepError;
use runner::store::s3::S3Store;
use runner::store::{ObjectStore, PutOptions, Refusal, StoreError, Stored};
use runner::stream::{Cancel, StreamError};

use crate::servers::faulty_s3::{Fault, FaultyS3, Rule, rule};
use crate::servers::seaweed::{ACCESS_KEY, Client, S3Server, SECRET_KEY, spec};
use crate::store_conformance::{MIB, Pattern, drain_pattern};

const PART: &str = "partNumber=2";
const COMPLETE: &str = "uploadId=";
const KEY: &str = "주문/덤프";
const ALWAYS: u32 = u32::MAX;

/// A server, a store that reaches it through faults, and one that reaches it directly.
struct Scene {
    faulty: S3Store,
    direct: S3Store,
    proxy: FaultyS3,
    _client: Client,
    _server: S3Server,
}

fn scene(rules: Vec<Rule>) -> Scene {
    let (server, client) = (S3Server::seaweed(), Client::new());
    let proxy = FaultyS3::before(server.address, rules);
    let (faulty, direct) = (client.store(&spec(&proxy.endpoint())), client.store(&spec(&server.endpoint())));
    Scene { faulty, direct, proxy, _client: client, _server: server }
}

impl Scene {
    fn put(&self, size: u64) -> Result<Stored, StoreError> {
        self.faulty.put(KEY, Pattern::stream(size), &PutOptions::default(), &Cancel::new(), &|_| {})
    }

    fn is_whole(&self, stored: &Stored, size: u64) {
        assert_eq!(stored.bytes, size);
        assert_eq!(drain_pattern(self.direct.get(KEY, &Cancel::new()).unwrap()).unwrap(), size);
        assert_eq!(self.direct.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new());
    }

    fn nothing_is_left(&self) {
        assert_eq!(self.direct.list("").unwrap(), []);
        assert_eq!(self.direct.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new(), "unfinished uploads were left");
    }
}

fn refusal(error: &StoreError) -> Refusal {
    match error.cause() {
        StoreError::Refused { kind, .. } => *kind,
        other => panic!("not a refusal: {other:?}"),
    }
}

#[test]
fn a_part_that_is_refused_for_a_while_is_sent_again() {
    let scene = scene(vec![rule("PUT", PART, 2, Fault::Answer(503, "SlowDown"))]);
    let stored = scene.put(20 * MIB).unwrap();
    scene.is_whole(&stored, 20 * MIB);
    assert_eq!(scene.proxy.seen(PART), 3);
}

#[test]
fn a_part_that_is_refused_for_good_aborts_the_upload() {
    let scene = scene(vec![rule("PUT", PART, ALWAYS, Fault::Answer(503, "SlowDown"))]);
    let error = scene.put(40 * MIB).unwrap_err();
    assert_eq!(refusal(&error), Refusal::Transient, "{error}");
    assert!(error.transient() && error.to_string().contains("SlowDown"), "{error}");
    scene.nothing_is_left();
}

#[test]
fn a_part_cut_on_its_way_is_sent_again() {
    let scene = scene(vec![rule("PUT", PART, 1, Fault::CutRequest(1_000_000))]);
    let stored = scene.put(20 * MIB).unwrap();
    scene.is_whole(&stored, 20 * MIB);
}

#[test]
fn a_part_damaged_on_its_way_is_refused_by_its_checksum() {
    let scene = scene(vec![rule("PUT", PART, ALWAYS, Fault::Damage)]);
    let error = scene.put(20 * MIB).unwrap_err();
    assert!(error.transient(), "{error}");
    scene.nothing_is_left();
}

#[test]
fn a_small_object_whose_answer_was_lost_is_known_again() {
    let scene = scene(vec![rule("PUT", "PutObject", 1, Fault::LoseAnswer)]);
    let stored = scene.put(1000).unwrap();
    scene.is_whole(&stored, 1000);
    assert_eq!(scene.proxy.seen("PutObject"), 2, "the second attempt met the first one's object");
}

#[test]
fn a_completion_whose_answer_was_lost_is_known_again() {
    let scene = scene(vec![rule("POST", COMPLETE, 1, Fault::LoseAnswer)]);
    let stored = scene.put(20 * MIB).unwrap();
    scene.is_whole(&stored, 20 * MIB);
}

#[test]
fn a_completion_whose_answers_are_all_lost_is_known_again() {
    let scene = scene(vec![rule("POST", COMPLETE, ALWAYS, Fault::LoseAnswer)]);
    let stored = scene.put(20 * MIB).unwrap();
    scene.is_whole(&stored, 20 * MIB);
}

#[test]
fn an_error_inside_a_200_is_an_error() {
    let scene = scene(vec![rule("POST", COMPLETE, ALWAYS, Fault::ErrorInside)]);
    let error = scene.put(20 * MIB).unwrap_err();
    assert_eq!(refusal(&error), Refusal::Transient, "{error}");
    assert!(error.to_string().contains("InternalError"), "{error}");
    scene.nothing_is_left();
}

#[test]
fn an_error_inside_a_200_is_tried_again() {
    let scene = scene(vec![rule("POST", COMPLETE, 1, Fault::ErrorInside)]);
    let stored = scene.put(20 * MIB).unwrap();
    scene.is_whole(&stored, 20 * MIB);
}

#[test]
fn a_completion_cut_before_the_server_acted_aborts_the_upload() {
    let scene = scene(vec![rule("POST", COMPLETE, ALWAYS, Fault::CutRequest(0))]);
    let error = scene.put(20 * MIB).unwrap_err();
    assert!(error.transient(), "{error}");
    scene.nothing_is_left();
}

#[test]
fn a_size_that_differs_after_completion_is_a_lie_and_the_object_goes() {
    // The first HEAD asks whether the key is taken, the second confirms, the third looks whose object it deletes.
    let scene = scene(vec![rule("HEAD", "", 2, Fault::Rewrite("content-length", "7"))]);
    let error = scene.put(20 * MIB).unwrap_err();
    assert!(matches!(error, StoreError::Lies { .. }), "{error}");
    assert!(error.to_string().contains("20971520 bytes were sent and the server has 7"), "{error}");
    scene.nothing_is_left();
}

#[test]
fn a_server_that_never_answers_can_be_left_at_once() {
    for rules in [vec![rule("HEAD", "", ALWAYS, Fault::Hang)], vec![rule("PUT", PART, ALWAYS, Fault::Hang)]] {
        let scene = scene(rules);
        let cancel = Cancel::new();
        let asked = cancel.clone();
        let waiting = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(2));
            asked.cancel("SIGINT", false);
        });
        let started = Instant::now();
        let error = scene.faulty.put(KEY, Pattern::stream(20 * MIB), &PutOptions::default(), &cancel, &|_| {}).unwrap_err();
        assert_eq!(error.to_string(), "cancelled: SIGINT");
        // A request that is not answered is given up after a minute.
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        waiting.join().unwrap();
        scene.nothing_is_left();
    }
}

#[test]
fn a_hanging_completion_can_be_cancelled_and_leaves_nothing() {
    let scene = scene(vec![rule("POST", COMPLETE, ALWAYS, Fault::Hang)]);
    let cancel = Cancel::new();
    let asked = cancel.clone();
    let waiting = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(3));
        asked.cancel("SIGINT", false);
    });
    let started = Instant::now();
    let error = scene.faulty.put(KEY, Pattern::stream(20 * MIB), &PutOptions::default(), &cancel, &|_| {}).unwrap_err();
    assert_eq!(error.to_string(), "cancelled: SIGINT");
    assert!(started.elapsed() < Duration::from_secs(30));
    waiting.join().unwrap();
    scene.nothing_is_left();
}

#[test]
fn a_lost_answer_and_a_cancel_take_the_object_back() {
    let scene = scene(vec![rule("PUT", "PutObject", 1, Fault::LoseAnswer), rule("PUT", "PutObject", ALWAYS, Fault::Hang)]);
    let cancel = Cancel::new();
    let asked = cancel.clone();
    let waiting = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(4));
        asked.cancel("SIGINT", false);
    });
    let error = scene.faulty.put(KEY, Pattern::stream(1000), &PutOptions::default(), &cancel, &|_| {}).unwrap_err();
    assert_eq!(error.to_string(), "cancelled: SIGINT");
    waiting.join().unwrap();
    scene.nothing_is_left();
}

#[test]
fn an_upload_that_can_not_be_aborted_is_named_and_swept_later() {
    let scene = scene(vec![
        rule("PUT", PART, ALWAYS, Fault::Answer(500, "InternalError")),
        rule("DELETE", "uploadId=", ALWAYS, Fault::Answer(403, "AccessDenied")),
    ]);
    let error = scene.put(20 * MIB).unwrap_err();
    assert!(
        matches!(&error, StoreError::Left { what, .. } if what.contains("unfinished upload") && what.contains("AccessDenied")),
        "{error}"
    );
    assert_eq!(refusal(&error), Refusal::Transient);
    assert_eq!(scene.direct.sweep("", Duration::from_hours(1)).unwrap(), Vec::<String>::new(), "it is young");
    assert_eq!(scene.direct.sweep("다른", Duration::ZERO).unwrap(), Vec::<String>::new(), "it lies elsewhere");
    assert_eq!(scene.direct.sweep("", Duration::ZERO).unwrap(), [KEY]);
    scene.nothing_is_left();
}

#[test]
fn a_body_that_breaks_off_is_taken_up_again() {
    let scene = scene(vec![
        rule("GET", "GetObject", 1, Fault::CutAnswer(3_000_000)),
        rule("GET", "GetObject", 1, Fault::CutAnswer(0)),
        rule("GET", "GetObject", 1, Fault::CutAnswer(5_000_000)),
    ]);
    scene.put(20 * MIB).unwrap();
    assert_eq!(drain_pattern(scene.faulty.get(KEY, &Cancel::new()).unwrap()).unwrap(), 20 * MIB);
    assert_eq!(scene.proxy.seen("GetObject"), 4);
}

#[test]
fn a_body_that_always_breaks_off_is_an_error() {
    let scene = scene(vec![rule("GET", "GetObject", ALWAYS, Fault::CutAnswer(70_000))]);
    scene.put(20 * MIB).unwrap();
    let error = drain_pattern(scene.faulty.get(KEY, &Cancel::new()).unwrap()).unwrap_err();
    assert!(error.transient() && error.to_string().contains("of 20971520 bytes"), "{error}");
}

#[test]
fn a_body_damaged_on_its_way_is_corrupt() {
    let scene = scene(vec![rule("GET", "GetObject", ALWAYS, Fault::Damage)]);
    scene.put(1000).unwrap();
    let mut stream = scene.faulty.get(KEY, &Cancel::new()).unwrap();
    let error = loop {
        match stream.pull() {
            Ok(chunk) => assert!(chunk.is_some(), "a damaged body reached its end"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StreamError::Corrupt { .. }), "{error}");
}

#[test]
fn an_object_replaced_while_it_is_read_is_not_mixed() {
    let scene = scene(vec![rule("GET", "GetObject", 1, Fault::CutAnswer(300_000))]);
    scene.put(20 * MIB).unwrap();
    let mut stream = scene.faulty.get(KEY, &Cancel::new()).unwrap();
    stream.pull().unwrap().unwrap();
    scene.direct.delete(KEY).unwrap();
    scene.direct.put(KEY, Pattern::stream(20 * MIB + 1), &PutOptions::default(), &Cancel::new(), &|_| {}).unwrap();
    let error = loop {
        match stream.pull() {
            Ok(chunk) => assert!(chunk.is_some(), "two objects became one"),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, StreamError::Corrupt { detail, .. } if detail.contains("replaced")), "{error}");
}

#[test]
fn wrong_credentials_are_denied_and_the_secret_is_not_said() {
    let (server, client) = (S3Server::seaweed(), Client::new());
    for (access, secret, code) in [("nobody", SECRET_KEY, "InvalidAccessKeyId"), (ACCESS_KEY, "canary-wrong", "SignatureDoesNotMatch")] {
        let store = client.store_as(&spec(&server.endpoint()), access, secret);
        let said =
            [store.reach().unwrap_err(), store.probe().unwrap_err(), store.put_bytes("a", b"x", &PutOptions::default()).unwrap_err()];
        for error in &said {
            assert_eq!(refusal(error), Refusal::Denied, "{error}");
            assert!(!error.transient() && !error.to_string().contains("canary"), "{error}");
        }
        assert!(said[0].to_string().contains(code) && said[0].to_string().contains("AWS_SECRET_ACCESS_KEY"), "{}", said[0]);
    }
}

#[test]
fn a_bucket_that_is_not_there_is_unreachable() {
    let (server, client) = (S3Server::seaweed(), Client::new());
    let mut spec = spec(&server.endpoint());
    spec.bucket = "elsewhere".to_owned();
    let store = client.store(&spec);
    for error in [store.reach().unwrap_err(), store.put_bytes("a", b"x", &PutOptions::default()).unwrap_err(), store.probe().unwrap_err()] {
        assert_eq!(refusal(&error), Refusal::Unreachable, "{error}");
        assert!(error.to_string().contains("create the bucket elsewhere"), "{error}");
    }
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    let client = Client::new();
    // Held and not listened on: nobody else gets the port while the test runs.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let gone = held.local_addr().unwrap();
    let store = client.store(&spec(&format!("http://{gone}")));
    let error = store.reach().unwrap_err();
    assert_eq!(refusal(&error), Refusal::Down, "{error}");
    assert!(error.transient() && error.to_string().contains("is `endpoint` right"), "{error}");
    assert_eq!(StepError::from(error).class, Class::Unreachable);
    let store = client.store(&spec("http://s3.nowhere.invalid"));
    assert_eq!(refusal(&store.reach().unwrap_err()), Refusal::Unreachable);
}

#[test]
fn a_server_that_goes_away_in_the_middle_fails_the_write() {
    let Scene { faulty, direct: _, proxy: _proxy, _client, _server: server } = scene(vec![]);
    let mut server = Some(server);
    let mut pulled = 0;
    let body = Hook(Pattern::stream(60 * MIB), move || {
        pulled += 1;
        if pulled == 300 {
            drop(server.take());
        }
    });
    let error = faulty.put(KEY, Box::new(body), &PutOptions::default(), &Cancel::new(), &|_| {}).unwrap_err();
    assert!(error.transient() || refusal(&error) == Refusal::Unreachable, "{error}");
    assert!(matches!(error, StoreError::Left { .. }), "the upload could not be aborted: {error}");
}

struct Hook<F>(runner::stream::Stream, F);

impl<F: FnMut() + Send> runner::stream::Pull for Hook<F> {
    fn pull(&mut self) -> Result<Option<runner::stream::Chunk>, StreamError> {
        (self.1)();
        self.0.pull()
    }
}
