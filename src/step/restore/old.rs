//! What a swap took the name from: kept, or dropped where that is asked for and the safety dump holds all of it.
//!
//! The safety dump is older than the swap, by as long as the load took. Nobody writes to what has lost its name, so only then can be
//! told whether something was written in between. This file renames nothing.

use std::num::NonZeroUsize;

use super::super::load::one_a_core;
use super::super::prove::{Judged, Place, differences_in_words, look, still};
use super::super::work::RestoreWork;
use super::super::{Cx, Prove, StepError};
use crate::postgres::Facts;
use crate::postgres::quote::identifier;
use crate::postgres::target::Target;

impl RestoreWork {
    /// Drops what had the name before, or says what it is called now.
    pub(super) fn old(&self, target: &Target, kept: &str, cx: &Cx<'_>) -> Result<(), StepError> {
        let drop = format!("drop database {}", identifier(kept));
        if !self.with.replace.as_ref().is_some_and(|replace| replace.drop_old) {
            cx.reports.note(format!("what was there before is kept as {kept}; when you are sure: {drop}"));
            return Ok(());
        }
        let there = |error: StepError| error.hint(format!("{} is replaced; what was there before is kept as {kept}", target.database()));
        if let Some(why) = self.beyond_safety(target, kept, cx).map_err(there)? {
            cx.reports.note(format!("{kept} is not dropped, because {why}; when you have what you need of it: {drop}"));
            return Ok(());
        }
        target.drop_database(kept).map_err(|error| there(error.into()))?;
        cx.runtime.ledger(|ledger| ledger.landed.iter_mut().for_each(|landed| landed.dropped = true));
        cx.reports.note("what was there before was dropped; the safety dump holds it");
        Ok(())
    }

    /// Why the safety dump does not hold all of what was there before; `None` if it does.
    fn beyond_safety(&self, target: &Target, kept: &str, cx: &Cx<'_>) -> Result<Option<String>, StepError> {
        let Some(dumped) = cx.runtime.ledger(|ledger| ledger.fingerprints.get(cx.step).cloned()) else {
            return Ok(Some("nothing is known of what the safety dump holds".to_owned()));
        };
        let info = target.conninfo().with_database(kept);
        let jobs = NonZeroUsize::new(self.with.jobs.unwrap_or_else(one_a_core).into()).unwrap_or(NonZeroUsize::MIN);
        let place = Place { info: &info, major: Facts::read(&info, cx.runtime.handle())?.major(), jobs, extensions: &[] };
        let Judged { proof, .. } = still(&dumped, &look(Prove::Full, Some(&dumped), &place, cx)?);
        let told = |difference| format!("it was written to after its safety dump had begun ({difference})");
        Ok(differences_in_words(&proof).map(|words| told(words.replace("the restored data is not what was dumped: ", ""))))
    }
}
