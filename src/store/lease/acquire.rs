//! Getting a lease: taking one that is free, waiting for one that is held, taking over one whose holder shows no life.
//! This module does not keep it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Held, Holder, LeaseError, Record, State, TTL_LEAST, Terms, Unsettled, lease_key, read};
use crate::store::{Expect, ObjectStore, StoreError, Tag};
use crate::stream::Cancel;

/// How often a failure that may pass is passed over.
const AGAIN: u32 = 3;

/// How long an observer waits beyond a holder's time to live, as a part of it: clocks may run a little faster or slower than others.
const MARGIN: u32 = 4;

/// Gets the lease. `tell` is called with words for people when there is something to wait for, and when a lease is taken over.
///
/// A lease whose tag does not change for its time to live and a quarter is taken over, on this host's monotonic clock; one whose holder is a
/// process of this host that is dead, at once. A holder that shows life is waited for as long as the terms say.
///
/// # Errors
/// [`LeaseError::Taken`] naming the holder, [`LeaseError::Unfit`] when the store ignores the conditions of a write, and the others.
pub fn acquire(store: &Arc<dyn ObjectStore>, terms: &Terms, me: &Holder, cancel: &Cancel, tell: &dyn Fn(&str)) -> Result<Held, LeaseError> {
    let ttl = terms.ttl.max(TTL_LEAST);
    let mut watch = Watch { began: Instant::now(), seen: None, alive: false, told: false };
    let mut failures = 0;
    loop {
        cancel.check()?;
        let found = match read(&**store, &terms.group) {
            Err(LeaseError::Store(error)) if error.transient() && failures < AGAIN => {
                failures += 1;
                std::thread::sleep(pause(ttl));
                continue;
            }
            other => other?,
        };
        let began = Instant::now();
        let (record, expect) = match &found {
            None => (Record::first(me, ttl), Expect::Absent),
            // The answer to an earlier request of ours was lost.
            Some((record, tag)) if record.is_held_by(me) => return Held::begin(store, &terms.group, record.clone(), tag.clone(), began),
            Some((record, tag)) => match watch.judge(record, tag, terms) {
                Judged::Free => (record.clone().next(me, ttl), Expect::Matches(tag)),
                Judged::Dead(why) => {
                    tell(&format!("{}: taking over the lease `{}` of {}: {why}", store.describe(), terms.group, record.holder));
                    (record.clone().next(me, ttl), Expect::Matches(tag))
                }
                Judged::Wait => {
                    if !std::mem::replace(&mut watch.told, true) {
                        tell(&format!("{}: the lease `{}` is held by {}; waiting", store.describe(), terms.group, record.holder));
                    }
                    std::thread::sleep(pause(record.ttl()));
                    continue;
                }
                Judged::Taken => {
                    let (group, holder) = (terms.group.clone(), Box::new(record.holder.clone()));
                    return Err(LeaseError::Taken { store: store.describe(), group, holder });
                }
            },
        };
        let record = with_own_entry(record, me);
        match store.put_if(&lease_key(&terms.group), &record.bytes(&**store)?, &expect) {
            Ok(tag) => return Held::begin(store, &terms.group, record, tag, began),
            Err(StoreError::Exists { .. } | StoreError::Changed { .. }) => {}
            Err(error) if error.transient() && failures < AGAIN => failures += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// The holder's keys are noted in an entry of its own; that of a run that goes on after a crash is there already.
fn with_own_entry(mut record: Record, me: &Holder) -> Record {
    if !record.runs.iter().any(|entry| entry.is_of(me)) {
        record.runs.push(Unsettled::of(&me.pipeline, &me.run));
    }
    record
}

/// What an observer has seen of a lease, by its own clock.
struct Watch {
    began: Instant,
    /// The tag, and since when it is the same.
    seen: Option<(Tag, Instant)>,
    /// The tag has changed while somebody held it.
    alive: bool,
    told: bool,
}

enum Judged {
    Free,
    Dead(&'static str),
    Wait,
    Taken,
}

impl Watch {
    fn judge(&mut self, record: &Record, tag: &Tag, terms: &Terms) -> Judged {
        if record.state == State::Free {
            return Judged::Free;
        }
        if record.holder.process.as_ref().is_some_and(|process| process.is_dead(record.holder.pid)) {
            return Judged::Dead("its process is dead");
        }
        let since = match &self.seen {
            Some((seen, since)) if seen == tag => *since,
            other => {
                self.alive |= other.is_some();
                let now = Instant::now();
                self.seen = Some((tag.clone(), now));
                now
            }
        };
        if since.elapsed() > record.ttl() + record.ttl() / MARGIN {
            return Judged::Dead("it was not renewed for longer than it holds");
        }
        self.alive |= terms.at_once && record.holder.process.as_ref().is_some_and(|process| process.is_alive(record.holder.pid));
        // Who shows no life yet may be dead: only waiting tells.
        if self.alive && self.began.elapsed() >= terms.wait { Judged::Taken } else { Judged::Wait }
    }
}

/// How long until the next look.
fn pause(ttl: Duration) -> Duration {
    (ttl / 20).clamp(Duration::from_millis(50), Duration::from_secs(2))
}
