//! The leases of a run on the command line: which it takes, how long it waits, and why it could not have one.

use std::sync::Arc;

use super::exit::Exit;
use super::output::{Output, Problem};
use super::run::{host, new_run};
use super::signals;
use crate::diagnostic::{Class, Failure};
use crate::ids::{PipelineName, RunId};
use crate::pipeline::Pipeline;
use crate::plan::Plan;
use crate::quantity::Duration;
use crate::runtime::{Leases, Runtime, TakeError};
use crate::step::StepError;
use crate::store::ObjectStore;
use crate::store::lease::{self, Holder, LeaseError, TTL, Terms};
use crate::stream::Cancel;

/// The help for a store that can not keep a lease.
const UNFIT: &str = "use a store that honours If-Match and If-None-Match; or write `concurrency: { lease: false }`, and see to it yourself \
                     that no two hosts run this pipeline at once";

/// Takes the lease of each store that the plan writes to.
pub(super) fn take(plan: &Plan, runtime: &Runtime, wait: Option<Duration>) -> Result<Leases, Failure> {
    let concurrency = &plan.concurrency;
    let names = plan.writes_to();
    if !concurrency.lease {
        if !names.is_empty() || plan.copies() {
            Output::talk("this run holds no lease: the pipeline says `lease: false`");
        }
        return Ok(Leases::none());
    }
    let terms = Terms {
        group: group(plan),
        ttl: concurrency.ttl.map_or(TTL, Duration::std),
        wait: wait.or(concurrency.wait).map(Duration::std).unwrap_or_default(),
        // Who waits replaces what another has just restored, by a plan made before that.
        at_once: plan.restores(),
    };
    runtime.lease_by(terms.clone());
    if names.is_empty() {
        return Ok(Leases::none());
    }
    let leases = runtime.take_leases(&names, &plan.commits_to(), &terms, &|words| Output::talk(words)).map_err(failure)?;
    leases.notes().iter().for_each(|note| Output::talk(note));
    Ok(leases)
}

fn group(plan: &Plan) -> PipelineName {
    plan.concurrency.group.clone().unwrap_or_else(|| plan.pipeline.clone())
}

/// Who has, or had last, the lease that a run had in a store, if that is another run and can be told.
pub(super) fn taker(plan: &Plan, store: &dyn ObjectStore, run: &RunId) -> Option<Holder> {
    let (record, _) = lease::read(store, &group(plan)).ok()??;
    Some(record.holder).filter(|holder| holder.run != *run)
}

/// Takes the lease of one store for a command that is no run; none where the pipeline goes without.
pub(super) fn take_one(pipeline: &Pipeline, store: &Arc<dyn ObjectStore>, cancel: &Cancel) -> Result<Leases, Problem> {
    let concurrency = &pipeline.concurrency;
    if !concurrency.lease {
        return Ok(Leases::none());
    }
    let terms = Terms {
        group: concurrency.group.clone().unwrap_or_else(|| pipeline.name.clone()),
        ttl: concurrency.ttl.map_or(TTL, Duration::std),
        wait: concurrency.wait.map(Duration::std).unwrap_or_default(),
        at_once: false,
    };
    let me = Holder::here(pipeline.name.clone(), new_run()?, host());
    let leases = Leases::take(store, &terms, &me, cancel, &|words| Output::talk(words));
    let leases = leases.map_err(|error| problem(&failure(error.into())))?;
    leases.notes().iter().for_each(|note| Output::talk(note));
    Ok(leases)
}

fn failure(error: TakeError) -> Failure {
    let message = error.to_string();
    let told = |class, hint: &str| Failure { class, message: message.clone(), hint: Some(hint.to_owned()) };
    match error {
        TakeError::Open(error) => StepError::from(error).failure(),
        TakeError::Lease(LeaseError::Taken { .. }) => told(Class::Locked, "wait for it with --wait 10m, or try again when it has ended"),
        TakeError::Lease(LeaseError::Unreadable { .. }) => {
            told(Class::Locked, "if no run is at work on this store, delete that object; the next run makes it anew")
        }
        TakeError::Lease(LeaseError::Unfit { .. }) => told(Class::Failed, UNFIT),
        TakeError::Lease(LeaseError::Store(error)) => StepError::from(error).failure(),
        TakeError::Lease(LeaseError::Stopped(error)) => StepError::from(error).failure(),
    }
}

/// The problem that a failure is, when nothing was run because of it.
pub(super) fn problem(failure: &Failure) -> Problem {
    let exit = match failure.class {
        Class::Cancelled => Exit::Signal(signals::number()),
        class => Exit::of_class(class),
    };
    let problem = Problem::new(exit, failure.message.clone());
    failure.hint.iter().fold(problem, Problem::help)
}
