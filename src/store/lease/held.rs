//! A lease that is held: renewed, asked, noted in, and let go of. This module starts no thread: whoever holds the lease renews it in time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::{Holder, LeaseError, Record, State, Unsettled, lease_key, read};
use crate::ids::{PipelineName, RefName, RunId};
use crate::store::{Expect, ObjectStore, StoreError, Tag};

/// How often a write that met our own earlier one, whose answer was lost, is tried again.
const AGAIN: u32 = 4;

/// A lease that this process holds, as far as it knows.
pub struct Held {
    store: Arc<dyn ObjectStore>,
    group: PipelineName,
    committed: AtomicBool,
    together: OnceLock<Together>,
    now: Mutex<Now>,
}

/// What a lease knows of the run that holds it.
struct Together {
    /// The stores that the run holds leases of, this one among them.
    stores: BTreeMap<RefName, Arc<dyn ObjectStore>>,
    /// Whether it commits to any.
    commits: bool,
}

struct Now {
    record: Record,
    tag: Tag,
    /// When the last request began that the store granted: from then on the time to live counts.
    since: Instant,
    /// Why it is held no more.
    lost: Option<String>,
}

impl Held {
    /// A lease just taken. The store is tried out: one that ignores the conditions of a write grants a lease to everybody.
    pub(super) fn begin(
        store: &Arc<dyn ObjectStore>,
        group: &PipelineName,
        record: Record,
        tag: Tag,
        since: Instant,
    ) -> Result<Self, LeaseError> {
        let first = tag.clone();
        let now = Mutex::new(Now { record, tag, since, lost: None });
        let (committed, together) = (AtomicBool::new(false), OnceLock::new());
        let held = Self { store: Arc::clone(store), group: group.clone(), committed, together, now };
        held.confirm()?;
        held.try_store(&first)?;
        Ok(held)
    }

    /// Two writes whose conditions do not hold; they would change nothing but a count.
    fn try_store(&self, earlier: &Tag) -> Result<(), LeaseError> {
        let now = self.lock();
        let trial = Record { beat: now.record.beat + 1, ..now.record.clone() }.bytes(&*self.store)?;
        let key = lease_key(&self.group);
        for (expect, words) in [(Expect::Absent, "If-None-Match"), (Expect::Matches(earlier), "If-Match")] {
            match self.store.put_if(&key, &trial, &expect) {
                Err(StoreError::Exists { .. } | StoreError::Changed { .. }) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => {
                    let detail = format!("it replaced an object against the condition of the write ({words} is ignored)");
                    return Err(LeaseError::Unfit { store: self.store.describe(), detail });
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store it is kept in.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Lets it know the stores that the same run holds leases of, and notes which of them the run commits to, before it writes anything:
    /// what one of them has, decides what becomes of the run in the others.
    ///
    /// # Errors
    /// As [`Held::confirm`].
    pub fn among(&self, stores: &BTreeMap<RefName, Arc<dyn ObjectStore>>, commits_to: &BTreeSet<RefName>) -> Result<(), StoreError> {
        // A run takes its leases once.
        let _first = self.together.set(Together { stores: stores.clone(), commits: !commits_to.is_empty() });
        let words: BTreeMap<RefName, String> =
            stores.iter().filter(|(name, _)| commits_to.contains(*name)).map(|(name, store)| (name.clone(), store.describe())).collect();
        if words.len() < 2 {
            return Ok(());
        }
        self.change(&|record| {
            let Record { holder, runs, .. } = record;
            if let Some(own) = runs.iter_mut().find(|entry| entry.is_of(holder)) {
                own.stores.clone_from(&words);
            }
        })
    }

    /// The stores of an entry, by their names; `None` where the run that holds this lease does not have all of them.
    pub(super) fn stores_of(&self, entry: &Unsettled) -> Option<BTreeMap<RefName, Arc<dyn ObjectStore>>> {
        let all = self.together.get().map(|together| &together.stores);
        let found = |(name, words): (&RefName, &String)| {
            let store = all?.get(name).filter(|store| store.describe() == *words)?;
            Some((name.clone(), Arc::clone(store)))
        };
        entry.stores.iter().map(found).collect()
    }

    /// The names of this store in the pipeline of the run that holds its lease.
    pub(super) fn names(&self) -> impl Iterator<Item = &RefName> {
        let all = self.together.get().into_iter().flat_map(|together| &together.stores);
        all.filter(|(_, store)| Arc::ptr_eq(store, &self.store)).map(|(name, _)| name)
    }

    /// Whether a later run of the same pipeline may have stores that the one that holds this lease lacks: it commits nothing itself.
    pub(super) fn has_few_stores(&self) -> bool {
        self.together.get().is_none_or(|together| !together.commits)
    }

    /// The group it is the lease of.
    pub const fn group(&self) -> &PipelineName {
        &self.group
    }

    /// The fencing token.
    pub fn token(&self) -> u64 {
        self.lock().record.token
    }

    /// How long it holds without being renewed.
    pub fn ttl(&self) -> Duration {
        self.lock().record.ttl()
    }

    /// Why it is held no more, if that is known.
    pub fn lost(&self) -> Option<String> {
        self.lock().lost.clone()
    }

    /// Whether it may be believed without asking the store: it is not lost, and was renewed in time.
    ///
    /// # Errors
    /// [`StoreError::Lost`].
    pub fn check(&self) -> Result<(), StoreError> {
        let now = self.lock();
        match &now.lost {
            Some(why) => Err(self.is_lost(why)),
            None if now.since.elapsed() > now.record.ttl() => {
                Err(self.is_lost(&format!("it could not be renewed for {} s", now.record.ttl().as_secs_f32())))
            }
            None => Ok(()),
        }
    }

    /// Renews it, and so asks the store whether it is still held with the same token.
    ///
    /// # Errors
    /// [`StoreError::Lost`] when another holder took over, and whatever the store says.
    pub fn confirm(&self) -> Result<(), StoreError> {
        self.change(&|_| {})
    }

    /// Notes a key before it is written, so that whoever comes after a killed run knows what it may have left.
    ///
    /// # Errors
    /// As [`Held::confirm`].
    pub fn note(&self, key: &str) -> Result<(), StoreError> {
        self.change(&|record| {
            let holder = &record.holder;
            let own = record.runs.iter_mut().find(|entry| entry.is_of(holder));
            if let Some(own) = own.filter(|own| !own.keys.iter().any(|noted| noted == key)) {
                own.keys.push(key.to_owned());
            }
        })
    }

    /// Notes the keys of a restore point before any of them is copied here. From then on nobody removes what is whole of it, whatever run
    /// left it: what an earlier one meant to store itself here under the same id is taken over.
    ///
    /// # Errors
    /// As [`Held::confirm`].
    pub fn note_copy(&self, pipeline: &PipelineName, run: &RunId, keys: &[String]) -> Result<(), StoreError> {
        self.change(&|record| {
            let holder = &record.holder;
            let ours = |entry: &Unsettled| entry.is_about(pipeline, run) && !entry.is_of(holder);
            let mut all: Vec<String> = record.runs.iter().filter(|entry| ours(entry)).flat_map(|entry| entry.keys.clone()).collect();
            all.extend(keys.iter().cloned());
            all.sort_unstable();
            all.dedup();
            record.runs.retain(|entry| entry.is_of(&record.holder) || !entry.is_about(pipeline, run));
            let copied_by = Some(record.holder.run.clone());
            record.runs.push(Unsettled { keys: all, copied_by, ..Unsettled::of(pipeline, run) });
        })
    }

    /// The copy is committed, or nothing is left of it; the store hears of it with the next renewal.
    pub fn copy_is_settled(&self, pipeline: &PipelineName, run: &RunId) {
        self.lock().record.runs.retain(|entry| entry.copied_by.is_none() || !entry.is_about(pipeline, run));
    }

    /// Forgets a key under which nothing of this run is; the store hears of it with the next renewal.
    pub fn forget(&self, key: &str) {
        let Record { holder, runs, .. } = &mut self.lock().record;
        if let Some(own) = runs.iter_mut().find(|entry| entry.is_of(holder)) {
            own.keys.retain(|noted| noted != key);
        }
    }

    /// Who holds it.
    pub fn holder(&self) -> Holder {
        self.lock().record.holder.clone()
    }

    /// The run's restore point is in this store: what it wrote is needed.
    pub(super) fn committed(&self) {
        self.committed.store(true, Ordering::SeqCst);
    }

    /// Holds it no more, for this reason.
    pub fn give_up(&self, why: &str) {
        self.lock().lost.get_or_insert_with(|| why.to_owned());
    }

    /// What runs before this one may have left.
    pub(super) fn unsettled(&self) -> Vec<Unsettled> {
        let Record { holder, runs, .. } = &self.lock().record;
        runs.iter().filter(|entry| !entry.is_of(holder)).cloned().collect()
    }

    /// What this run may have left.
    pub(super) fn own(&self) -> Option<Unsettled> {
        let Record { holder, runs, .. } = &self.lock().record;
        runs.iter().find(|entry| entry.is_of(holder)).cloned()
    }

    /// Replaces what runs before this one may have left.
    pub(super) fn settled(&self, left: &[Unsettled]) -> Result<(), StoreError> {
        self.change(&|record| {
            let Record { holder, runs, .. } = record;
            runs.retain(|entry| entry.is_of(holder));
            runs.splice(0..0, left.iter().cloned());
        })
    }

    /// Lets go of it; the next one may take it at once. What this run left without a commit stays noted.
    ///
    /// # Errors
    /// As [`Held::confirm`]. A lease that could not be let go of ends by itself.
    pub fn release(&self) -> Result<(), StoreError> {
        let committed = self.committed.load(Ordering::SeqCst);
        self.change(&|record| {
            record.state = State::Free;
            let holder = record.holder.clone();
            record.runs.retain(|entry| !(entry.is_of(&holder) && (committed || entry.keys.is_empty())));
        })
    }

    /// Changes the record by compare-and-swap.
    fn change(&self, change: &dyn Fn(&mut Record)) -> Result<(), StoreError> {
        let mut now = self.lock();
        if let Some(why) = &now.lost {
            return Err(self.is_lost(why));
        }
        let mut next = now.record.clone();
        change(&mut next);
        for _ in 0..AGAIN {
            next.beat += 1;
            let began = Instant::now();
            match self.store.put_if(&lease_key(&self.group), &next.bytes(&*self.store)?, &Expect::Matches(&now.tag)) {
                Ok(tag) => {
                    let lost = (next.state == State::Free).then(|| "it was let go of".to_owned());
                    *now = Now { record: next, tag, since: began, lost };
                    return Ok(());
                }
                Err(StoreError::Changed { .. }) => now.tag = self.found(&mut now, &mut next)?,
                Err(error) => return Err(error),
            }
        }
        Err(self.is_lost("it changes each time it is renewed; does another process use the same run id?"))
    }

    /// The tag of a record that is not the one last written but still ours: an answer was lost on its way. Else the lease is lost.
    fn found(&self, now: &mut Now, next: &mut Record) -> Result<Tag, StoreError> {
        let why = match read(&*self.store, &self.group) {
            Ok(Some((found, tag))) if found.token == now.record.token && found.is_held_by(&now.record.holder) => {
                next.beat = next.beat.max(found.beat);
                return Ok(tag);
            }
            Ok(Some((found, _))) => format!("{} took it over with token {}", found.holder, found.token),
            Ok(None) => "somebody removed it".to_owned(),
            Err(LeaseError::Store(error)) => return Err(error),
            Err(error) => error.to_string(),
        };
        let lost = self.is_lost(&why);
        now.lost = Some(why);
        Err(lost)
    }

    fn is_lost(&self, why: &str) -> StoreError {
        StoreError::Lost { store: self.store.describe(), detail: format!("`{}`: {why}", self.group) }
    }
}
