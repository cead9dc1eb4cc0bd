//! The proof: what was restored is fingerprinted as the dump was, and the two are compared by name.
//!
//! The dump's fingerprint was taken from the stream as it flowed, and that stream is the snapshot, so nothing that has
//! changed in the source since can excuse a difference. This file restores nothing; what can not be compared is told.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use super::load::Load;
use super::scratch::{database_id, locale};
use super::verify_restore::Prove;
use super::{Cx, StepError};
use crate::archive::{Comparison, Difference, Fingerprint, Gap, Incomparable, compare, given_up, of_database};
use crate::diagnostic::Class;
use crate::ids::StepId;
use crate::postgres::fingerprint::{Counts, Early, Live, SLICE, Seen, counts_of, see};
use crate::postgres::restored::{TableRows, row_counts_beyond};
use crate::postgres::{ConnInfo, Installed, PgError, TempDatabase};
use crate::store::manifest::{Proof, TableCount};

/// How many differences a message names.
const NAMED: usize = 20;

/// That there is nothing to compare with.
pub(super) const UNKNOWN: &str = "the dump was not fingerprinted, so there is nothing to compare with";

/// What came of a comparison.
pub(super) struct Judged {
    /// What was found.
    pub(super) proof: Proof,
    /// Why a comparison that found nothing does not show that all that was dumped is there; `None` if it does.
    pub(super) short: Option<String>,
}

/// What may differ between a dump and what was restored of it, because that was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Leeway {
    /// Things that were not dumped may be there too.
    pub(super) more: bool,
    /// Everything belongs to whoever restored it.
    pub(super) owners: bool,
    /// Nobody was given rights.
    pub(super) privileges: bool,
}

/// A restored database that is to be looked at.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) info: &'a ConnInfo,
    pub(super) major: u16,
    pub(super) jobs: NonZeroUsize,
    /// Its extensions with their versions.
    pub(super) extensions: &'a [String],
}

/// What was found in it.
pub(super) struct Looked {
    /// The rows of every table.
    pub(super) tables: Vec<TableCount>,
    /// Everything that the dump has, if that was asked for.
    found: Option<Fingerprint>,
    /// The rows of the dump's tables under the names that it has, if only these were asked for.
    counted: Counts,
}

/// Reads a restored database once, and as much of it as will be compared: what the full proof reads is not counted again.
pub(super) fn look(how: Prove, dumped: Option<&Fingerprint>, place: &Place<'_>, cx: &Cx<'_>) -> Result<Looked, StepError> {
    let seen = match dumped.filter(|_| how == Prove::Full) {
        Some(dumped) => Some(whole(dumped, place, cx.runtime.early(cx.step).as_deref(), cx)?),
        None => None,
    };
    let known = seen.as_ref().map(|seen| seen.rows.as_slice()).unwrap_or_default();
    let counted = row_counts_beyond(known, place.info, cx.runtime.handle(), place.jobs)?;
    let by_name = match dumped.filter(|_| how == Prove::Counts) {
        Some(dumped) => counts_of(&live(place, cx)?, dumped, &counted)?,
        None => Counts::new(),
    };
    let tables = counted
        .into_iter()
        .map(|TableRows { schema, table, rows, materialized }| TableCount { schema, table, rows, materialized })
        .collect();
    Ok(Looked { tables, found: seen.map(|seen| seen.fingerprint), counted: by_name })
}

fn live<'a>(place: &Place<'a>, cx: &Cx<'a>) -> Result<Live<'a>, StepError> {
    let tools = Installed::here().for_server(place.major).map_err(PgError::from)?;
    Ok(Live { info: place.info, handle: cx.runtime.handle(), tools, jobs: place.jobs, slice: SLICE, cancel: cx.cancel, early: None })
}

fn whole(dumped: &Fingerprint, place: &Place<'_>, early: Option<&Early>, cx: &Cx<'_>) -> Result<Seen, StepError> {
    Ok(see(&Live { early, ..live(place, cx)? }, dumped)?)
}

/// How what was dumped is defined once more, in an empty database beside the restored one.
pub(super) struct Again<'a> {
    /// The step that keeps the staged archive.
    pub(super) step: &'a StepId,
    /// What is restored.
    pub(super) artifact: &'a StepId,
    /// The restored database.
    pub(super) place: Place<'a>,
    /// The options that it was restored with.
    pub(super) options: Vec<String>,
}

impl Again<'_> {
    /// The fingerprint of what the archive's statements make; `None` where no archive is kept, or the role may make no database.
    fn define(&self, dumped: &Fingerprint, cx: &Cx<'_>) -> Result<Option<Fingerprint>, StepError> {
        let Some(archive) = cx.runtime.archive(self.step) else { return Ok(None) };
        let origin = super::way_back::origin(self.artifact, cx)?;
        let (server, id) = (self.place.info, format!("{}_words", database_id(cx)));
        TempDatabase::clear(server, &id, cx.runtime.handle())?;
        let temp = match TempDatabase::create(server, &id, locale(&origin).as_ref(), cx.runtime.handle()).map_err(StepError::from) {
            Ok((temp, _)) => temp,
            Err(error) if error.class == Class::Denied => {
                cx.reports.note(format!("the definitions could not be made once more, to compare with: {error}"));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let info = temp.conninfo();
        Load::new(&origin, info.clone(), 1, cx)?.with(self.options.clone(), self.place.major)?.define(archive.path())?;
        let found = whole(dumped, &Place { info: &info, ..self.place }, None, cx)?.fingerprint;
        temp.remove()?;
        Ok(Some(found))
    }
}

/// Compares what was found with what was dumped. What may differ does not count, and is told.
pub(super) fn prove(dumped: &Fingerprint, looked: &Looked, leeway: Leeway, again: &Again<'_>, cx: &Cx<'_>) -> Result<Judged, StepError> {
    let versions = versions(dumped, &super::way_back::origin(again.artifact, cx)?.extensions, again.place.extensions);
    let Some(found) = &looked.found else { return Ok(counts(dumped, &looked.counted, versions)) };
    let mut comparison = compare(dumped, found);
    if comparison.reworded()
        && let Some(again) = again.define(dumped, cx)?
    {
        comparison.accept(&again, found);
    }
    comparison.incomparable.extend(versions);
    comparison.incomparable.extend(given_up(dumped, Some(found)));
    Ok(judged(dumped, comparison, leeway))
}

/// The same for a database that was not restored of the dump but dumped itself, so that both are in the same words.
pub(super) fn still(dumped: &Fingerprint, looked: &Looked) -> Judged {
    let Some(found) = &looked.found else { return counts(dumped, &looked.counted, Vec::new()) };
    judged(dumped, compare(dumped, found), Leeway::default())
}

fn judged(dumped: &Fingerprint, comparison: Comparison, leeway: Leeway) -> Judged {
    let Comparison { differences, incomparable } = comparison;
    let differences = differences.iter().filter(|difference| !leeway.covers(difference));
    let (stays, differences): (Vec<_>, Vec<_>) = differences.partition(|difference| leeway.more && is_more(difference));
    // What is restored over itself keeps its own.
    let of_database = of_database(dumped).filter(|_| !leeway.more);
    let left = incomparable.into_iter().chain(of_database).chain(leeway.left()).chain(stays.into_iter().map(staying));
    told(dumped, true, differences.iter().map(ToString::to_string).collect(), &left.collect::<Vec<_>>())
}

/// What is found and what is left, as it is kept and told.
fn told(dumped: &Fingerprint, whole: bool, differences: Vec<String>, left: &[Incomparable]) -> Judged {
    let short = left.iter().find_map(|left| left.gap().short()).map(str::to_owned);
    let incomparable = left.iter().map(ToString::to_string).collect();
    Judged { proof: Proof { whole, differences, incomparable, compared: dumped.summary() }, short }
}

/// Something more that is there. Of large objects only the sum is known, so where more are there than were dumped nothing is known of
/// the contents of those.
fn staying(more: &Difference) -> Incomparable {
    match more {
        Difference::LargeObjects { .. } => {
            let why = "which of them were dumped can not be told, so none is compared";
            Incomparable::new(more.to_string(), why).leaving(Gap::MixedObjects)
        }
        _ => Incomparable::new(more.to_string(), "it stays"),
    }
}

impl Leeway {
    /// Whether a difference is only one of owners or rights that were left out.
    fn covers(self, difference: &Difference) -> bool {
        match difference {
            Difference::Owner { .. } => self.owners,
            Difference::Absent { object } | Difference::Additional { object } | Difference::Definition { object } => {
                // Rights are worded by who owns what they are about; the schema `public` is dumped only if it has another owner than usual.
                let of_owner = object.kind == "ACL" || (object.kind == "SCHEMA" && object.name == "public");
                let of_rights = matches!(object.kind.as_str(), "ACL" | "ACL LANGUAGE" | "DEFAULT ACL");
                self.owners && of_owner || self.privileges && of_rights
            }
            _ => false,
        }
    }

    /// What is therefore not compared.
    fn left(self) -> impl Iterator<Item = Incomparable> {
        let rights = if self.privileges { "left out on purpose" } else { "they depend on owners" };
        let owners = self.owners.then(|| Incomparable::new("owners", "left out on purpose"));
        owners.into_iter().chain((self.owners || self.privileges).then(|| Incomparable::new("privileges", rights)))
    }
}

/// Whether a difference is only that something more is there.
fn is_more(difference: &Difference) -> bool {
    match difference {
        Difference::Additional { .. } | Difference::TableAdditional { .. } => true,
        Difference::LargeObjects { dumped, restored } => restored.count > dumped.count,
        _ => false,
    }
}

/// Only the number of rows of each table. What partitions took over from their root can not be told apart so.
fn counts(dumped: &Fingerprint, counted: &Counts, versions: Vec<Incomparable>) -> Judged {
    let (routed, own): (Vec<_>, Vec<_>) = dumped.tables.iter().partition(|table| table.with_partitions);
    let differences = own.into_iter().filter_map(|table| match counted.get(&(table.schema.clone(), table.name.clone())) {
        Some(rows) if *rows == table.rows => None,
        Some(rows) => Some(format!("table {}.{}: {} rows were dumped, {rows} are there", table.schema, table.name, table.rows)),
        None => Some(format!("table {}.{} is absent", table.schema, table.name)),
    });
    let rest = Incomparable::new("contents, definitions and sequences", "only rows were counted");
    let routed = routed.into_iter().map(|table| {
        Incomparable::new(format!("table {}.{}", table.schema, table.name), "its rows are loaded through the root of its partitions")
    });
    let left: Vec<Incomparable> = std::iter::once(rest).chain(given_up(dumped, None)).chain(versions).chain(routed).collect();
    told(dumped, false, differences.collect(), &left)
}

/// Extensions of another version than was dumped: an archive only asks for them by name, and gets what the server has.
fn versions(dumped: &Fingerprint, were: &[String], are: &[String]) -> Vec<Incomparable> {
    let needed: Vec<&str> = dumped.inventory.iter().filter(|entry| entry.kind == "EXTENSION").map(|entry| entry.name.as_str()).collect();
    if were.is_empty() && !needed.is_empty() {
        let why = "the dump, or the version of runner that made it, does not tell them";
        return vec![Incomparable::new(format!("the versions of extensions ({})", needed.join(", ")), why)];
    }
    let are: BTreeMap<&str, &str> = are.iter().filter_map(|extension| extension.rsplit_once(' ')).collect();
    let other = |(name, was): (&str, &str)| {
        let is = are.get(name).filter(|is| **is != was)?;
        Some(Incomparable::new(format!("extension {name}"), format!("{was} was dumped, {is} is here")))
    };
    were.iter().filter_map(|extension| extension.rsplit_once(' ')).filter_map(other).collect()
}

/// What is wrong, by name; `None` when everything compared is equal.
pub(super) fn differences_in_words(proof: &Proof) -> Option<String> {
    let named = proof.differences.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    match proof.differences.len() {
        0 => None,
        many if many > NAMED => Some(format!("the restored data is not what was dumped: {named}; and {} more", many - NAMED)),
        _ => Some(format!("the restored data is not what was dumped: {named}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_of_another_version_are_told() {
        let entry = r#"{"kind":"EXTENSION","name":"postgis","definition":"00000000000000000000000000000000"}"#;
        let facts =
            r#"{"form":"custom","version":"1.16","created":"","database":"","server_version":"","dump_version":"","encoding":"UTF8"}"#;
        let large = r#"{"count":0,"bytes":0,"digest":"00000000000000000000000000000000"}"#;
        let json =
            format!(r#"{{"facts":{facts},"inventory":[{entry}],"tables":[],"sequences":[],"large_objects":{large},"incomparable":[]}}"#);
        let dumped: Fingerprint = serde_json::from_str(&json).unwrap();
        let said = |were: &[&str], are: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            versions(&dumped, &owned(were), &owned(are)).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let here = ["plpgsql 1.0", "postgis 3.4"];
        assert_eq!(said(&["plpgsql 1.0", "postgis 3.1"], &here), ["extension postgis: 3.1 was dumped, 3.4 is here"]);
        assert!(said(&here, &here).is_empty());
        assert!(said(&[], &here)[0].starts_with("the versions of extensions (postgis): "), "{:?}", said(&[], &here));
    }
}
