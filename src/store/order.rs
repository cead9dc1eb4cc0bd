//! The order of what verifications found: that in which the store got it, whatever the clocks of the hosts say.
//!
//! The newest receipt that judged the content sets a level and answers a complaint, and several hosts verify one restore point, each with
//! its own clock. So a receipt that is added ends later than every one that lies there already, by a microsecond at least: damage that is
//! found now is never hidden behind an older success of a host whose clock is ahead. That a clock far ahead draws later receipts of
//! the same point along is the smaller evil. Of two that are added at one moment, neither is the later one. This module reads no receipt:
//! keys tell when one ended.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use super::manifest::{Receipt, month_prefix, receipt_key};
use super::mark::moment;
use super::{ObjectStore, StoreError};

/// The receipt as it is to be added: later than all that lie beside its point. `known` tells whether this very receipt is there.
pub(super) fn later_than_all<'r>(
    store: &dyn ObjectStore,
    receipt: &'r Receipt,
    known: &dyn Fn(&str) -> Result<bool, StoreError>,
) -> Result<Cow<'r, Receipt>, StoreError> {
    let beside = store.list(&format!("{}{}.verified-", month_prefix(&receipt.pipeline, &receipt.run), receipt.run))?;
    let own = receipt_key(&receipt.pipeline, &receipt.run, &receipt.step, receipt.finished);
    if beside.iter().any(|object| object.key == own) && known(&own)? {
        return Ok(Cow::Borrowed(receipt));
    }
    match beside.iter().filter_map(|object| after(&object.key)).max() {
        Some(finished) if finished > receipt.finished => Ok(Cow::Owned(Receipt { finished, ..receipt.clone() })),
        _ => Ok(Cow::Borrowed(receipt)),
    }
}

/// The first moment that is certainly later than the end of the receipt with this key. Keys tell it to the microsecond; those of
/// earlier versions to the second.
fn after(key: &str) -> Option<Timestamp> {
    let text = key.strip_suffix(".json")?.rsplit('-').next()?;
    let step = if text.contains('.') { SignedDuration::from_micros(1) } else { SignedDuration::from_secs(1) };
    moment(text)?.checked_add(step).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_when_their_receipts_have_certainly_ended() {
        let at = |text: &str| after(text).map(|at| at.to_string());
        let folder = ".runner/주문/2026-11/20261120T021700Z-4f3a9c.verified";
        assert_eq!(at(&format!("{folder}-검증@18-20261120T030000.999999Z.json")).as_deref(), Some("2026-11-20T03:00:01Z"));
        assert_eq!(at(&format!("{folder}-a-b.c-20261120T030000Z.json")).as_deref(), Some("2026-11-20T03:00:01Z"));
        assert_eq!((at(&format!("{folder}-a-later.json")), at(&format!("{folder}-a"))), (None, None));
    }
}
