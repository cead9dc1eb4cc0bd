//! The leases of one run: taken before it starts, renewed by a thread while it goes on, let go of at its end.
//!
//! A store that is leased notes each key before it writes it, and writes no artifact once the lease is lost; the commit asks for the lease
//! itself. A lease that can not be renewed stops the run. This module does not decide which stores are written to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::leased::Leased;
use super::{OpenError, Runtime};
use crate::ids::RefName;
use crate::store::lease::{self, Held, Holder, LeaseError, Terms};
use crate::store::{ObjectStore, StoreError};
use crate::stream::Cancel;

/// Why a run could not get its leases.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// A store could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A lease could not be had.
    #[error(transparent)]
    Lease(#[from] LeaseError),
}

/// The leases of a run. Dropped, they are let go of.
pub struct Leases {
    held: Vec<Arc<Held>>,
    renewing: Option<(Sender<()>, JoinHandle<()>)>,
    /// What taking them brought about, in words.
    notes: Vec<String>,
}

impl Leases {
    /// Those of a run that writes nothing.
    pub const fn none() -> Self {
        Self { held: Vec::new(), renewing: None, notes: Vec::new() }
    }

    /// The lease of one store, for whoever is no run. It is renewed, and what runs that are over left there was removed.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn take(
        store: &Arc<dyn ObjectStore>,
        terms: &Terms,
        me: &Holder,
        cancel: &Cancel,
        tell: &dyn Fn(&str),
    ) -> Result<Self, LeaseError> {
        let held = Arc::new(lease::acquire(store, terms, me, cancel, tell)?);
        let mut leases = Self::none();
        leases.held.push(Arc::clone(&held));
        leases.renew(terms, cancel);
        leases.notes.extend(lease::settle(&held));
        Ok(leases)
    }

    /// Those that are held.
    pub fn held(&self) -> impl Iterator<Item = &Held> {
        self.held.iter().map(|held| &**held)
    }

    /// What runs before this one left and what became of it, in words.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Why the run holds a lease no more that it should hold.
    pub fn lost(&self) -> Option<String> {
        let mut lost = self.held.iter().filter_map(|held| Some((held, held.lost()?)));
        lost.next().map(|(held, why)| format!("{}: the lease `{}` is lost: {why}", held.store().describe(), held.group()))
    }

    /// Lets go of them. A run that lost one removes what it stored there, as it can never be committed. Answers what there is to say.
    pub fn end(mut self) -> Vec<String> {
        self.let_go()
    }

    fn let_go(&mut self) -> Vec<String> {
        if let Some((stop, thread)) = self.renewing.take() {
            drop(stop);
            let _told_already = thread.join();
        }
        self.held.drain(..).flat_map(|held| let_go_of(&held)).collect()
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.let_go();
    }
}

fn let_go_of(held: &Held) -> Vec<String> {
    if held.lost().is_some() {
        return lease::clear_away(held);
    }
    match held.release() {
        Ok(()) => Vec::new(),
        Err(StoreError::Lost { .. }) => lease::clear_away(held),
        Err(error) => vec![format!("the lease `{}` could not be let go of and ends by itself: {error}", held.group())],
    }
}

impl Runtime {
    /// Takes the lease of each of these stores, in the order of their places, so that two runs never wait for each other; then removes what
    /// dead runs left there, and finishes what they committed in part. `commits_to` are those of the stores that this run commits to. `tell`
    /// is called with words for people while there is something to wait for.
    ///
    /// # Errors
    /// [`TakeError`]; leases taken already are let go of.
    pub fn take_leases(
        &self,
        names: &BTreeSet<RefName>,
        commits_to: &BTreeSet<RefName>,
        terms: &Terms,
        tell: &dyn Fn(&str),
    ) -> Result<Leases, TakeError> {
        let me = Holder::here(self.facts.pipeline.clone(), self.facts.run.clone(), self.facts.host.clone());
        let stores = names.iter().map(|name| Ok((name.clone(), self.store(name)?))).collect::<Result<BTreeMap<_, _>, OpenError>>()?;
        let mut places: Vec<_> = stores.iter().map(|(name, store)| (store.describe(), name, store)).collect();
        places.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        let mut leases = Leases::none();
        for (_, name, store) in places {
            // One store under two names has one lease. Words do not tell: buckets of one name may be on different servers.
            let twin = names.iter().find(|other| self.lease(other).is_some() && self.same_store(other, name));
            if let Some(held) = twin.and_then(|twin| self.lease(twin)) {
                self.lease_store(name, &held)?;
                continue;
            }
            let held = Arc::new(lease::acquire(store, terms, &me, &self.cancel, tell)?);
            leases.held.push(Arc::clone(&held));
            leases.renew(terms, &self.cancel);
            self.lease_store(name, &held)?;
        }
        // What became of a run in one store is decided by all that it commits to.
        for held in &leases.held {
            held.among(&stores, commits_to).map_err(LeaseError::from)?;
            leases.notes.extend(lease::settle(held));
        }
        Ok(leases)
    }

    /// Says what is asked of leases that steps take themselves. Without it, they go without.
    pub fn lease_by(&self, terms: Terms) {
        // Only the first word counts; there is no second.
        let _first = self.terms.set(terms);
    }

    /// The lease of a store for one attempt of a step: the one that this run holds there from its start, else one of its own. A store that
    /// is down or taken then fails this attempt and not the run.
    ///
    /// # Errors
    /// [`TakeError`].
    pub fn step_lease(&self, name: &RefName, cancel: &Cancel, tell: &dyn Fn(&str)) -> Result<StepLease, TakeError> {
        let Some(terms) = self.terms.get() else { return Ok(StepLease { held: None, own: Leases::none() }) };
        let leased: Vec<RefName> = self.fences().into_keys().collect();
        if let Some(held) = leased.iter().find(|other| self.same_store(other, name)).and_then(|other| self.lease(other)) {
            return Ok(StepLease { held: Some(held), own: Leases::none() });
        }
        let me = Holder::here(self.facts.pipeline.clone(), self.facts.run.clone(), self.facts.host.clone());
        let own = Leases::take(&self.store(name)?, terms, &me, cancel, tell)?;
        Ok(StepLease { held: own.held.first().cloned(), own })
    }

    fn lease_store(&self, name: &RefName, held: &Arc<Held>) -> Result<(), OpenError> {
        let leased = Leased::new(self.store(name)?, Arc::clone(held));
        self.replace_store(name, Arc::new(leased));
        self.keep_lease(name, Arc::clone(held));
        Ok(())
    }
}

/// The lease of a store for one attempt of a step. Dropped, it is let go of if the attempt took it itself.
pub struct StepLease {
    held: Option<Arc<Held>>,
    own: Leases,
}

impl StepLease {
    /// The lease; `None` in a run without.
    pub fn held(&self) -> Option<&Arc<Held>> {
        self.held.as_ref()
    }

    /// Why it is held no more, if this attempt took it.
    pub fn lost(&self) -> Option<String> {
        self.own.lost()
    }

    /// Lets go of it, if this attempt took it. Answers what there is to say.
    pub fn end(self) -> Vec<String> {
        let Self { mut own, .. } = self;
        let mut notes = std::mem::take(&mut own.notes);
        notes.extend(own.end());
        notes
    }
}

impl Leases {
    /// Renews all that are held from now on; while more are waited for, too.
    fn renew(&mut self, terms: &Terms, cancel: &Cancel) {
        if let Some((stop, thread)) = self.renewing.take() {
            drop(stop);
            let _told_already = thread.join();
        }
        let (stop, stopped) = bounded::<()>(0);
        let (held, cancel, ttl) = (self.held.clone(), cancel.clone(), terms.ttl.max(lease::TTL_LEAST));
        let work = move || {
            let mut pause = ttl / 3;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                match renew_all(&held) {
                    Ok(Renewed::All) => pause = ttl / 3,
                    Ok(Renewed::Later) => pause = ttl / 10,
                    Err(why) => return cancel.cancel(why, false),
                }
            }
        };
        self.renewing = Some((stop, std::thread::spawn(work)));
    }
}

enum Renewed {
    All,
    /// A store failed for a reason that may pass, and there is time left.
    Later,
}

fn renew_all(held: &[Arc<Held>]) -> Result<Renewed, String> {
    let mut renewed = Renewed::All;
    for held in held {
        match held.confirm() {
            Ok(()) => {}
            Err(error @ StoreError::Lost { .. }) => return Err(error.to_string()),
            Err(error) => {
                if let Err(late) = held.check() {
                    held.give_up(&format!("it could not be renewed in time: {error}"));
                    return Err(format!("{late}: {error}"));
                }
                renewed = Renewed::Later;
            }
        }
    }
    Ok(renewed)
}
