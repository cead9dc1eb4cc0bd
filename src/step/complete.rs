//! Whether a dump is complete: the archive's inventory against the catalog, in the dump's own snapshot.
//!
//! Every object of the catalog must be in the archive, or be left out by a filter or an option, or be hidden from the
//! role that dumps; what is missing without such a reason fails the stream before its end, so that nothing of it is ever
//! committed. This file does not read the catalog or the archive.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use super::Dump;
use super::dump::Section;
use crate::archive::{self, Fingerprint};
use crate::postgres::inventory::{Inventory, Object, Unseen};
use crate::store::manifest::{Completeness, LeftOut, Why};
use crate::stream::{Chunk, Pull, Stopper, Stream, StreamError, fused};
use crate::words::count;

/// What is said where it could not be told.
pub(super) const UNCHECKED: &str = "whether the dump is complete was not checked";

/// How many objects an error names.
const NAMED: usize = 20;

/// How many names of a group a line shows.
const SHOWN: usize = 10;

/// How many names a manifest keeps of all that was left out.
const KEPT: usize = 1000;

/// Where the answer appears once the stream reached its verified end.
#[derive(Debug, Clone, Default)]
pub struct Verdict(Arc<OnceLock<Completeness>>);

impl Verdict {
    /// The answer, or `None` as long as the stream has not ended well.
    pub fn get(&self) -> Option<Completeness> {
        self.0.get().cloned()
    }
}

/// Whether `pg_dump` failed, before it wrote anything, because of a snapshot or a connection that it would not need alone: a
/// balancer that led it to another server than us, a role that may have one connection only.
pub(super) fn needs_no_company(error: &StreamError) -> bool {
    const WORDS: [&str; 5] = ["snapshot", "too many connections", "too many clients", "connection slots are reserved", "max_client_conn"];
    matches!(error, StreamError::Child { bytes: 0, stderr, .. } if WORDS.iter().any(|words| stderr.contains(words)))
}

struct Checked {
    input: Stream,
    dump: Dump,
    expected: Result<Inventory, String>,
    contents: archive::Handle,
    verdict: Verdict,
}

/// Checks at the end of the stream that it held what it should; `expected` may tell why nobody knows what that is.
pub(super) fn checked(input: Stream, contents: archive::Handle, dump: &Dump, expected: Result<Inventory, String>) -> (Stream, Verdict) {
    let verdict = Verdict::default();
    let stream = Checked { input, dump: dump.clone(), expected, contents, verdict: verdict.clone() };
    (fused(stream), verdict)
}

impl Pull for Checked {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let chunk = self.input.pull()?;
        if chunk.is_none() {
            let vanished = || StreamError::Vanished { stage: "fingerprint" };
            let found = self.contents.get().ok_or_else(vanished)?;
            let answer = match &self.expected {
                Ok(inventory) => judged(&self.dump, inventory, &found)?,
                Err(why) => unchecked(&self.dump, why.clone()),
            };
            self.verdict.0.set(answer).map_err(|_| vanished())?;
        }
        Ok(chunk)
    }

    fn stopper(&self) -> Option<Stopper> {
        self.input.stopper()
    }
}

fn unchecked(dump: &Dump, why: String) -> Completeness {
    Completeness { unchecked: Some(why), objects: 0, left_out: unwanted(dump).collect() }
}

/// What an option leaves out that is no object of its own, each as one thing: nobody counts them.
fn unwanted(dump: &Dump) -> impl Iterator<Item = LeftOut> {
    let kinds = [
        (dump.no_privileges, "ACL", Why::NoPrivileges, "every GRANT and REVOKE"),
        (dump.is_without_owners(), "OWNER", Why::NoOwner, "who owns what"),
    ];
    let left =
        |(_, kind, why, name): (bool, &str, Why, &str)| LeftOut { kind: kind.to_owned(), why, count: 1, names: vec![name.to_owned()] };
    kinds.into_iter().filter(|(on, ..)| *on).map(left)
}

/// What the archive lacks, if there is a reason for all of it.
fn judged(dump: &Dump, expected: &Inventory, found: &Fingerprint) -> Result<Completeness, StreamError> {
    if found.facts.encoding != expected.encoding {
        let why = format!("the dump is in the encoding {} and the database in {}", found.facts.encoding, expected.encoding);
        return Ok(unchecked(dump, why));
    }
    let (mut missing, mut left_out) = (Vec::new(), BTreeMap::<(Why, String), Vec<String>>::new());
    for object in absent(expected, found) {
        match reason(dump, object) {
            None => missing.push(object),
            // The name of a table that is left out speaks for its parts.
            Some(Why::Filter) if object.part => {}
            Some(why) => left_out.entry((why, object.kind.clone())).or_default().push(object.readable_name()),
        }
    }
    let large_objects = expected.large_objects.saturating_sub(found.large_objects.count);
    let why = large_objects_reason(dump, expected.whole);
    if !missing.is_empty() || large_objects > 0 && why.is_none() {
        return Err(incomplete(&missing, large_objects * u64::from(why.is_none())));
    }
    let mut groups = bounded(left_out);
    if let Some(why) = why.filter(|_| large_objects > 0) {
        groups.push(LeftOut { kind: "LARGE OBJECT".to_owned(), why, count: large_objects, names: Vec::new() });
    }
    groups.extend(unwanted(dump));
    Ok(Completeness { unchecked: None, objects: expected.objects.len() as u64 + expected.large_objects, left_out: groups })
}

/// How an object is found again. A script's headings have spaces for line breaks and `-` for no schema (`sanitize_line`).
type Key = (String, Option<String>, String);

fn key(kind: &str, schema: Option<&str>, name: &str) -> Key {
    let on_one_line = |text: &str| text.replace(['\n', '\r'], " ");
    (kind.to_owned(), schema.filter(|schema| *schema != "-").map(on_one_line), on_one_line(name))
}

/// The objects that the archive does not have. Several may be called the same, such as operators: of those there is a reason
/// for, it is taken that they are the absent ones.
fn absent<'a>(expected: &'a Inventory, found: &Fingerprint) -> Vec<&'a Object> {
    let mut there: HashMap<Key, usize> = HashMap::new();
    for entry in &found.inventory {
        *there.entry(key(&entry.kind, entry.schema.as_deref(), &entry.name)).or_default() += 1;
    }
    let mut objects: Vec<&Object> = expected.objects.iter().collect();
    objects.sort_by_key(|object| !object.chosen);
    objects.retain(|object| {
        let (schema, name) = &object.archived;
        let one = there.get_mut(&key(&object.kind, schema.as_deref(), name)).filter(|left| **left > 0);
        one.map(|left| *left -= 1).is_none()
    });
    objects
}

/// Why an object may be absent.
fn reason(dump: &Dump, object: &Object) -> Option<Why> {
    let is_data = matches!(object.kind.as_str(), "TABLE DATA" | "SEQUENCE SET");
    if !object.chosen {
        return Some(Why::Filter);
    }
    if dump.schema_only && is_data {
        return Some(Why::SchemaOnly);
    }
    if dump.data_only && !is_data {
        return Some(Why::DataOnly);
    }
    if !dump.sections.is_empty() && sections(&object.kind).iter().any(|section| !dump.sections.contains(section)) {
        return Some(Why::Sections);
    }
    object.unseen.map(|unseen| match unseen {
        Unseen::NoSuperuser => Why::NoSuperuser,
        Unseen::Standby => Why::Standby,
    })
}

fn large_objects_reason(dump: &Dump, whole: bool) -> Option<Why> {
    match () {
        () if !whole => Some(Why::Filter),
        () if dump.schema_only => Some(Why::SchemaOnly),
        () if !dump.sections.is_empty() && !dump.sections.contains(&Section::Data) => Some(Why::Sections),
        () => None,
    }
}

/// The sections that an entry of this kind can be in: some definitions must wait for a key that they rest on.
fn sections(kind: &str) -> &'static [Section] {
    match kind {
        "TABLE DATA" | "SEQUENCE SET" => &[Section::Data],
        "FUNCTION" | "PROCEDURE" | "AGGREGATE" | "MATERIALIZED VIEW" => &[Section::PreData, Section::PostData],
        "INDEX"
        | "INDEX ATTACH"
        | "CONSTRAINT"
        | "FK CONSTRAINT"
        | "CHECK CONSTRAINT"
        | "TRIGGER"
        | "RULE"
        | "POLICY"
        | "ROW SECURITY"
        | "EVENT TRIGGER"
        | "PUBLICATION"
        | "PUBLICATION TABLE"
        | "PUBLICATION TABLES IN SCHEMA"
        | "SUBSCRIPTION"
        | "STATISTICS" => &[Section::PostData],
        _ => &[Section::PreData],
    }
}

fn incomplete(missing: &[&Object], large_objects: u64) -> StreamError {
    let mut missing: Vec<&&Object> = missing.iter().collect();
    missing.sort_by_key(|object| (object.part, object.kind.as_str(), object.readable_name()));
    let mut named: Vec<String> =
        missing.iter().take(NAMED).map(|object| format!("{} {}", object.kind.to_lowercase(), object.readable_name())).collect();
    named.extend((large_objects > 0).then(|| count(large_objects, "large object")));
    let more = missing.len().saturating_sub(NAMED);
    named.extend((more > 0).then(|| format!("{more} more")));
    let detail = format!(
        "the dump is not complete: the database has, and the dump lacks without any filter: {}. See whether the pg_dump that ran is \
         PostgreSQL's own and not a wrapper with options; if it is, tell the makers of runner",
        named.join(", ")
    );
    StreamError::Incomplete { detail }
}

/// Sorted groups with so many names that a manifest can keep them.
fn bounded(groups: BTreeMap<(Why, String), Vec<String>>) -> Vec<LeftOut> {
    let mut room = KEPT;
    let group = |((why, kind), mut names): ((Why, String), Vec<String>)| {
        let count = names.len() as u64;
        names.sort();
        names.truncate(room);
        room -= names.len();
        LeftOut { kind, why, count, names }
    };
    // What people look for first must not lose its names to the rest.
    let (tables, others): (Vec<_>, Vec<_>) = groups.into_iter().partition(|((_, kind), _)| kind == "TABLE");
    tables.into_iter().chain(others).map(group).collect()
}

/// What was left out, one line a reason and one more for its tables: `2 tables excluded by filter: public.audit, public.tmp`.
pub fn in_words(found: &Completeness) -> Vec<String> {
    let mut lines = Vec::new();
    for why in [Why::Filter, Why::SchemaOnly, Why::DataOnly, Why::Sections, Why::NoSuperuser, Why::Standby, Why::NoPrivileges, Why::NoOwner]
    {
        let groups: Vec<&LeftOut> = found.left_out.iter().filter(|group| group.why == why).collect();
        let (named, counted): (Vec<&LeftOut>, Vec<&LeftOut>) = groups
            .into_iter()
            .partition(|group| matches!(why, Why::NoSuperuser | Why::Standby) || why == Why::Filter && group.kind == "TABLE");
        lines.extend(named.iter().map(|group| line(&group.kind, group.count, &group.names, why)));
        if matches!(why, Why::NoPrivileges | Why::NoOwner) {
            lines.extend(counted.iter().map(|group| format!("{} {}", group.names.join(", "), because(why))));
        } else if !counted.is_empty() {
            let things: Vec<String> = counted.iter().map(|group| things(&group.kind, group.count)).collect();
            let also = if named.is_empty() { "" } else { "also " };
            lines.push(format!("{also}{} {}", things.join(", "), because(why)));
        }
    }
    lines
}

/// The tables that a filter leaves out: how many, and the names of the first.
pub fn excluded_tables(count: u64, names: &[String]) -> String {
    line("TABLE", count, names, Why::Filter)
}

fn line(kind: &str, count: u64, names: &[String], why: Why) -> String {
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let more = count.saturating_sub(names.len().min(SHOWN) as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} {}: {shown}{more}", things(kind, count), because(why))
}

const fn because(why: Why) -> &'static str {
    match why {
        Why::Filter => "excluded by filter",
        Why::SchemaOnly => "left out by schema_only",
        Why::DataOnly => "left out by data_only",
        Why::Sections => "left out by sections",
        Why::NoSuperuser => "not dumped because the role is no superuser",
        Why::Standby => "not dumped because the server is a standby",
        Why::NoPrivileges => "left out by no_privileges",
        Why::NoOwner => "left out by no_owner",
    }
}

/// So many objects of a kind.
fn things(kind: &str, number: u64) -> String {
    let word = kind.to_lowercase();
    let (stem, one, many) = match kind {
        "TABLE DATA" => return format!("the rows of {}", count(number, "table")),
        "SEQUENCE SET" => return format!("the values of {}", count(number, "sequence")),
        "ROW SECURITY" => return format!("the row security of {}", count(number, "table")),
        "STATISTICS" => ("extended statistics", "", ""),
        "PUBLICATION TABLES IN SCHEMA" => ("publication", " of a schema", "s of a schema"),
        "INDEX" => ("index", "", "es"),
        "OPERATOR CLASS" => ("operator class", "", "es"),
        _ => match word.strip_suffix('y') {
            Some(stem) => (stem, "y", "ies"),
            None => (word.as_str(), "", "s"),
        },
    };
    format!("{number} {stem}{}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::super::StepKind as _;
    use super::super::dump::Format;
    use super::*;

    fn group(kind: &str, why: Why, names: &[&str]) -> LeftOut {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        LeftOut { kind: kind.to_owned(), why, count: names.len() as u64, names }
    }

    #[test]
    fn tables_are_named_and_the_rest_is_counted() {
        let left_out = vec![
            group("TABLE", Why::Filter, &["public.audit", "public.임시"]),
            group("POLICY", Why::Filter, &["a", "b"]),
            group("SCHEMA", Why::Filter, &["a"]),
            group("INDEX", Why::DataOnly, &["a", "b"]),
            group("SUBSCRIPTION", Why::NoSuperuser, &["far"]),
        ];
        let dump = Dump { no_privileges: true, no_owner: true, format: Format::Plain, ..Dump::whole(&"shop".parse().unwrap()) };
        let left_out = left_out.into_iter().chain(unwanted(&dump)).collect();
        let found = Completeness { unchecked: None, objects: 9, left_out };
        assert_eq!(
            in_words(&found),
            [
                "2 tables excluded by filter: public.audit, public.임시",
                "also 2 policies, 1 schema excluded by filter",
                "2 indexes left out by data_only",
                "1 subscription not dumped because the role is no superuser: far",
                "every GRANT and REVOKE left out by no_privileges",
                "who owns what left out by no_owner",
            ]
        );
        let many: Vec<String> = (0..30).map(|n| format!("t{n}")).collect();
        assert!(excluded_tables(500, &many).ends_with("t8, t9 and 490 more"));
    }

    #[test]
    fn a_manifest_keeps_a_bounded_number_of_names_and_tables_first() {
        let names = |n: usize| (0..n).map(|n| format!("n{n:04}")).collect::<Vec<_>>();
        let kept = bounded(BTreeMap::from([((Why::Filter, "INDEX".into()), names(5000)), ((Why::Filter, "TABLE".into()), names(400))]));
        let sizes: Vec<(&str, u64, usize)> = kept.iter().map(|g| (g.kind.as_str(), g.count, g.names.len())).collect();
        assert_eq!(sizes, [("TABLE", 400, 400), ("INDEX", 5000, 600)]);
    }

    #[test]
    fn an_archive_has_its_owners_whatever_it_is_told() {
        let left = |format| {
            let dump = Dump { no_owner: true, format, ..Dump::whole(&"shop".parse().unwrap()) };
            (unchecked(&dump, "주문".to_owned()).left_out, dump.words())
        };
        for format in [Format::Custom, Format::Tar, Format::Directory] {
            let (left, words) = left(format);
            assert!(left.is_empty() && !words.contains("owners"), "{words}");
        }
        let (left, words) = left(Format::Plain);
        assert_eq!((left[0].why, words.as_str()), (Why::NoOwner, "pg_dump of shop, plain format, without owners"));
    }

    #[test]
    fn names_are_found_again_in_a_script() {
        assert_eq!(key("TABLE", Some("-"), "a\nb"), key("TABLE", None, "a b"));
    }
}
