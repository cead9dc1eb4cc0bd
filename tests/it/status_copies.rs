//! In how many stores a restore point lies, as the judgement counts it: each part by itself, and only points that a store really keeps.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use std::collections::BTreeSet;

use jiff::Timestamp;
use runner::ids::{RunId, StepId};
use runner::pipeline::Objectives;
use runner::status::{Miss, PointFacts, Seen, Status, StoreFacts, Subject, judge};
use runner::store::manifest::Level;

const NOW: &str = "2026-11-20T03:00:00Z";

fn steps(ids: &[&str]) -> BTreeSet<StepId> {
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

fn point(minute: i8, holds: &[&str], parts: &[&str]) -> PointFacts {
    let started: Timestamp = format!("2026-11-20T02:{minute:02}:00Z").parse().unwrap();
    PointFacts {
        run: RunId::starting(started, [1, 2, 3]),
        started,
        committed: Some(started),
        dumped: 10,
        stored: 5,
        level: Some(Level::Stored),
        proven: None,
        recovery: None,
        damaged: false,
        complaint: None,
        holds: steps(holds),
        parts: steps(parts),
        leaving: None,
        gone_after: None,
        pinned: None,
    }
}

fn store(name: &str, points: Vec<PointFacts>) -> StoreFacts {
    StoreFacts { store: name.parse().unwrap(), place: format!("/{name}"), seen: Ok(Seen { points, ..Seen::default() }) }
}

fn judged(copies: u8, stores: Vec<StoreFacts>) -> Status {
    let objectives = Objectives { copies: Some(copies), ..Objectives::default() };
    judge(Subject { pipeline: "주문".parse().unwrap(), schedule: None, objectives, stores }, NOW.parse().unwrap())
}

#[test]
fn a_copy_counts_and_one_that_is_behind_does_not() {
    let (old, new) = (|| point(10, &["upload"], &["upload"]), || point(20, &["upload"], &["upload"]));
    let both = judged(2, vec![store("가까이", vec![new(), old()]), store("멀리", vec![new()])]);
    assert_eq!((both.copies, both.missed), (2, vec![]));
    let behind = judged(2, vec![store("가까이", vec![new(), old()]), store("멀리", vec![old()])]);
    assert_eq!(
        (behind.copies, behind.missed),
        (1, vec![Miss::Copies { found: 1, copies: 2 }]),
        "the newest point counts, not an older one"
    );
}

#[test]
fn the_part_that_lies_in_the_fewest_stores_says_how_many_copies_there_are() {
    let parts = ["upload", "roles"];
    let whole = || point(20, &parts, &parts);
    let half = || point(20, &["upload"], &parts);
    assert_eq!(judged(2, vec![store("가까이", vec![whole()]), store("멀리", vec![half()])]).copies, 1);
    assert_eq!(judged(2, vec![store("가까이", vec![whole()]), store("멀리", vec![whole()])]).copies, 2);
    let down = StoreFacts { store: "멀리".parse().unwrap(), place: String::new(), seen: Err("down".to_owned()) };
    let judged = judged(2, vec![store("가까이", vec![whole()]), down]);
    assert_eq!(judged.copies, 1, "a store that does not answer vouches for nothing");
    assert!(judged.missed.iter().any(|miss| matches!(miss, Miss::Copies { found: 1, copies: 2 })), "{:?}", judged.missed);
}
