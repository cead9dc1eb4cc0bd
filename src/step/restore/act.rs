//! What a restore does around its stream: making the database, proving it, giving it its name, and clearing up.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::super::check::counted;
use super::super::load::{note, one_a_core};
use super::super::prove::{Again, Judged, Looked, Place, UNKNOWN, differences_in_words, look, prove};
use super::super::scratch::locale;
use super::super::way_back::{Keys, fingerprint};
use super::super::work::{RestorePart, RestoreWork};
use super::super::{Cx, PerformEffect, Prove, StepError};
use crate::archive::Fingerprint;
use crate::diagnostic::Class;
use crate::ids::NodeId;
use crate::postgres::target::{Target, derived};
use crate::postgres::{Client, ConnInfo, Facts};
use crate::runtime::{Landed, Ledger, NodeRecord};
use crate::store::manifest::Level;
use crate::words::count;

/// The place that this step restores into.
pub(super) fn target(cx: &Cx<'_>) -> Result<Arc<Target>, StepError> {
    let missing = || StepError::new(Class::Internal, format!("`{}` has no place to restore into", cx.step));
    cx.runtime.target(cx.step).ok_or_else(missing)
}

impl PerformEffect for RestoreWork {
    fn perform(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        match self.part {
            RestorePart::Hold => self.hold(cx).map(drop),
            RestorePart::Prepare => self.prepare(cx),
            RestorePart::Prove => self.prove(cx),
            RestorePart::Swap => self.swap(cx),
            RestorePart::Finish => self.finish(cx),
            RestorePart::Globals => self.globals(cx),
            RestorePart::Agree => self.agree(cx),
            RestorePart::Transfer => self.transfer(cx),
            RestorePart::Patch => self.patch(cx),
            RestorePart::Apply => self.apply(cx),
            RestorePart::Fill => self.fill(cx),
            RestorePart::After(index) => self.after(index, cx),
        }
    }
}

impl RestoreWork {
    /// Takes the place against other restores until the end, unless it is held already; what has the name must be what the plan was made from.
    pub(super) fn hold(&self, cx: &Cx<'_>) -> Result<Arc<Target>, StepError> {
        if let Some(held) = cx.runtime.target(cx.step).filter(|held| held.is_held()) {
            return Ok(held);
        }
        cx.runtime.remove_target(cx.step);
        let connection = cx.runtime.connection(&self.with.connection)?;
        let database = self.with.database.clone().unwrap_or_else(|| connection.info().database.clone());
        let target = Target::take(connection.info(), &database, cx.runtime.handle())?;
        self.still_as_planned(&target)?;
        if target.found().is_none() && (self.with.in_place() || self.with.by_scratch()) {
            return Err(absent(&target.conninfo().describe()));
        }
        let target = Arc::new(target);
        cx.runtime.keep_target(cx.step, Arc::clone(&target));
        Ok(target)
    }

    /// A plan may be old by now: somebody typed an answer, a lease was waited for.
    fn still_as_planned(&self, target: &Target) -> Result<(), StepError> {
        let Some(seen) = self.seen else { return Ok(()) };
        if seen.database != target.found() {
            return Err(stale(target, if target.found().is_some() { "another database has its name" } else { "it is gone" }));
        }
        if seen.oldest_table.is_some() && target.oldest_table()? != seen.oldest_table {
            return Err(stale(target, "its tables were made anew"));
        }
        Ok(())
    }

    /// Makes an empty database beside the final name.
    fn prepare(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let target = self.hold(cx)?;
        if self.with.replace.is_none() && target.is_there()? {
            return Err(StepError::new(Class::Failed, format!("database {:?} exists already, and is left alone", target.database()))
                .hint("restore into another name, or replace it: `replace` in YAML, --replace on the command line"));
        }
        cx.reports.note_all(target.create(self.origin.as_deref().and_then(locale).as_ref())?);
        Ok(())
    }

    /// Gathers statistics, counts, and compares with what was dumped.
    fn prove(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let target = target(cx)?;
        let info = if self.with.in_place() { target.conninfo() } else { target.restoring() };
        if self.with.analyze {
            analyze(&info, cx)?;
        }
        let jobs = NonZeroUsize::new(self.with.jobs.unwrap_or_else(one_a_core).into()).unwrap_or(NonZeroUsize::MIN);
        let facts = Facts::read(&info, cx.runtime.handle())?;
        let depth = self.with.depth();
        let dumped = self.dumped(depth.how, cx);
        let known = dumped.as_ref().ok().and_then(Option::as_deref);
        let place = Place { info: &info, major: facts.major(), jobs, extensions: &facts.extensions };
        let looked = look(depth.how, known, &place, cx)?;
        cx.reports.note(counted(&looked.tables));
        note(cx, &self.artifact, |verification| {
            verification.level = Level::Restored;
            verification.server_version = Some(facts.server_version_num);
            verification.database_bytes = Some(facts.database_bytes);
            verification.tables.clone_from(&looked.tables);
            verification.short.clone_from(&depth.short);
        });
        let again = Again { step: &self.artifact, artifact: &self.artifact, place, options: self.with.options() };
        dumped?.map_or(Ok(()), |dumped| self.compare(&dumped, &looked, &again, cx))
    }

    /// What was dumped, if it is to be compared and known.
    fn dumped(&self, how: Prove, cx: &Cx<'_>) -> Result<Option<Arc<Fingerprint>>, StepError> {
        if how == Prove::Off {
            return Ok(None);
        }
        let keys = Keys { identity: self.identity.as_ref(), passphrase: self.passphrase.as_ref() };
        let dumped = fingerprint(&self.artifact, keys, cx)?;
        let foreign = cx.runtime.ledger(|ledger| ledger.foreign.contains_key(&self.artifact));
        if dumped.is_none() && !foreign {
            cx.reports.note(UNKNOWN);
            note(cx, &self.artifact, |verification| verification.short = Some(UNKNOWN.to_owned()));
        }
        Ok(dumped)
    }

    fn compare(&self, dumped: &Fingerprint, looked: &Looked, again: &Again<'_>, cx: &Cx<'_>) -> Result<(), StepError> {
        let depth = self.with.depth();
        let Judged { proof, short } = prove(dumped, looked, depth.leeway(), again, cx)?;
        let difference = differences_in_words(&proof);
        cx.reports.note_all(proof.incomparable.iter().map(|left| format!("not compared: {left}")));
        let short = depth.short.or(short);
        note(cx, &self.artifact, |verification| {
            if proof.whole && difference.is_none() && short.is_none() {
                verification.level = Level::Proven;
            }
            verification.short = short;
            verification.proof = Some(proof);
        });
        let hint = if self.with.in_place() {
            "it was replaced already; if applications write to it meanwhile, that is the difference. The safety dump holds what was there before"
        } else {
            "nothing was replaced, and the half-made database is dropped; try an older restore point with --at"
        };
        difference.map_or(Ok(()), |difference| Err(StepError::new(Class::Verification, difference).hint(hint)))
    }

    /// Gives the database its name; from here on it is what applications see.
    fn swap(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        let target = target(cx)?;
        let kept = kept_name(target.database(), cx);
        // What an earlier attempt has done is done.
        if target.is_swapped() {
            return if target.found().is_some() { self.old(&target, &kept, cx) } else { Ok(()) };
        }
        if self.with.replace.is_none() && target.is_there()? {
            return Err(StepError::new(
                Class::Failed,
                format!("database {:?} was made by somebody meanwhile, and is left alone", target.database()),
            ));
        }
        // What goes is what the safety dump was made of.
        if self.with.replace.is_some() && !target.is_same()? {
            return Err(stale(&target, "somebody made, dropped or renamed it meanwhile"));
        }
        let ended = target.swap(&kept)?;
        let replaced = ended.is_some();
        let landed = Landed {
            database: target.database().to_owned(),
            place: target.conninfo().describe(),
            kept: replaced.then(|| kept.clone()),
            dropped: false,
        };
        cx.reports.note(format!("{} is there", landed.place));
        let ended = ended.filter(|ended| *ended > 0);
        cx.reports.note_all(ended.map(|ended| format!("{} of {} ended", count(ended, "session"), target.database())));
        cx.runtime.ledger(|ledger| ledger.landed = Some(landed));
        if replaced { self.old(&target, &kept, cx) } else { Ok(()) }
    }
}

impl RestoreWork {
    /// Runs a program once the database is there, or where others ran before it should have been.
    fn after(&self, index: usize, cx: &Cx<'_>) -> Result<(), StepError> {
        let done = |ledger: &mut Ledger| ledger.landed.is_some() || ledger.brought.as_ref().is_some_and(|brought| brought.done);
        let due = if self.with.before.is_empty() { cx.runtime.ledger(done) } else { has_begun(cx) };
        if !due {
            cx.reports.note("not needed: nothing was stopped, and no database was made or changed");
            return Ok(());
        }
        self.with.hooks(&self.with.after).nth(index).map_or(Ok(()), |command| command.perform(cx))
    }
}

/// The place is not what was looked at.
fn stale(target: &Target, why: &str) -> StepError {
    let message = format!("the plan is stale: {} is not what it was when the plan was made: {why}", target.conninfo().describe());
    StepError::new(Class::Stale, message).hint("nothing was replaced; plan again, and look at what is there now")
}

/// Whether a program that was to run before has run, well or not.
fn has_begun(cx: &Cx<'_>) -> bool {
    let prefix = NodeId::part(cx.step, "before-");
    let ran = |record: &NodeRecord| record.node.as_str().starts_with(prefix.as_str()) && (record.good || record.error.is_some());
    cx.runtime.ledger(|ledger| ledger.nodes.iter().any(ran))
}

/// What a replaced database is called afterwards: `<database>_before_<time of the run>`.
fn kept_name(database: &str, cx: &Cx<'_>) -> String {
    let time = cx.runtime.facts.run.as_str().split('-').next().unwrap_or_default().to_lowercase();
    derived(database, &format!("_before_{time}"))
}

pub(super) fn analyze(info: &ConnInfo, cx: &Cx<'_>) -> Result<(), StepError> {
    let mut client = Client::connect(info, cx.runtime.handle())?;
    client.limit_statements(std::time::Duration::ZERO)?;
    let done = client.batch("analyze");
    client.close();
    Ok(done?)
}

/// A database that must be there, and is not.
pub(super) fn absent(place: &str) -> StepError {
    let message = format!("{place} is not there, and nothing can be brought into it");
    StepError::new(Class::Failed, message).hint("restore the whole into a new database: leave out what says how it is brought in")
}

impl RestoreWork {
    /// Removes what was not finished, says so, and lets other restores in.
    fn finish(&self, cx: &Cx<'_>) -> Result<(), StepError> {
        cx.runtime.remove_scratch(&self.artifact);
        let Some(target) = cx.runtime.target(cx.step) else { return Ok(()) };
        let name = crate::postgres::target::restoring(target.database());
        let discarded = target.discard().map_err(|error| {
            let hint = format!("the unfinished database {name} is still there; the next restore removes it, or drop it");
            StepError::from(error).hint(hint)
        });
        drop(target);
        cx.runtime.remove_target(cx.step);
        if let Some(name) = discarded? {
            cx.reports.note(format!("dropped {name}, which was not finished; what was there before is untouched"));
        }
        Ok(())
    }
}
