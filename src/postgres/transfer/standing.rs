//! Sequences set to where they stood, exactly and so that a rollback undoes it.
//!
//! `setval` alone outlives a rollback. `alter sequence … restart` gives a sequence new storage first, and that goes with the
//! transaction; it takes the owner. This module does not decide which sequences.

use super::ground::Counter;
use super::{Work, moved_on};
use crate::postgres::client::Client;
use crate::postgres::error::PgError;
use crate::postgres::quote::literal;
use crate::postgres::tables::shape::Sequence;

/// How many sequences one statement asks or sets.
const AT_ONCE: usize = 200;

/// Where a sequence stands: `last_value` and `is_called`.
type Standing = (String, String);

/// Where sequences stand, in their order.
pub(super) fn standing(client: &Client, sequences: &[Counter]) -> Result<Vec<Standing>, PgError> {
    let mut found = Vec::new();
    for some in sequences.chunks(AT_ONCE) {
        let one = |(at, sequence): (usize, &Counter)| format!("select {at} as at, last_value, is_called from {}", sequence.quoted);
        let all = some.iter().enumerate().map(one).collect::<Vec<_>>().join(" union all ");
        let text = |cell: Option<&Option<String>>| cell.cloned().flatten().unwrap_or_default();
        let rows = client.query(&format!("{all} order by at"))?;
        found.extend(rows.iter().map(|row| (text(row.get(1)), text(row.get(2)))));
    }
    Ok(found)
}

/// Sets the sequences that the role owns.
pub(super) fn set(work: &Work<'_>, sequences: &[Counter], standing: &[Standing]) -> Result<(), PgError> {
    let owned: Vec<_> = sequences.iter().zip(standing).filter(|(sequence, _)| sequence.owned).collect();
    for some in owned.chunks(AT_ONCE) {
        let one = |(sequence, (value, called)): &(&Counter, &Standing)| {
            let set = format!("select pg_catalog.setval({}, {value}, '{called}');", literal(&sequence.quoted));
            format!("alter sequence {} restart; {set}", sequence.quoted)
        };
        work.target.batch(&some.iter().map(one).collect::<String>())?;
    }
    Ok(())
}

/// The sequences that do not stand where they should, in words.
pub(super) fn differences(work: &Work<'_>, sequences: &[Counter], wanted: &[Standing]) -> Result<Vec<String>, PgError> {
    let found = standing(&work.target, sequences)?;
    let words = |(value, called): &Standing| format!("{value}{}", if called == "t" { "" } else { " (not yet given)" });
    let differ = sequences.iter().zip(wanted).zip(&found).filter(|((sequence, wanted), found)| sequence.owned && wanted != found);
    Ok(differ
        .map(|((sequence, wanted), found)| format!("sequence {} is at {}, not {}", sequence.quoted, words(found), words(wanted)))
        .collect())
}

/// Moves on the sequences of others, which can not be set back so that a rollback would undo it. To be done last of all.
pub(super) fn forward(work: &Work<'_>, sequences: &[Counter], standing: &[Standing]) -> Result<Vec<String>, PgError> {
    let mut notes = Vec::new();
    for (sequence, (value, called)) in sequences.iter().zip(standing).filter(|(sequence, _)| !sequence.owned) {
        let Counter { quoted, ascending, .. } = sequence;
        let moved = Sequence { quoted: quoted.clone(), column: String::new(), ascending: *ascending };
        let how = if moved_on(work, (value, called), &moved)? { "was moved on to" } else { "stands at or beyond" };
        notes.push(format!("sequence {quoted} {how} where it was in the restore point: only its owner can set it exactly"));
    }
    Ok(notes)
}
