//! One section of a script: what its heading says, and the text below it.
//!
//! Source: PostgreSQL `pg_backup_archiver.c` `_printTocEntry`. This module does not read rows.

use crate::archive::cursor::{Place, words};
use crate::archive::digest::{ContentDigest, Pieces};
use crate::archive::model::Entry;
use crate::archive::toc::{Item, KEPT};

/// Lines that are not of the object: psql's commands with their random keys, and what `--verbose` adds.
const PASSED_OVER: &[&[u8]] =
    &[b"\\restrict ", b"\\unrestrict ", b"\\connect ", b"-- TOC entry ", b"-- Dependencies: ", b"-- Completed on "];

/// A section while its text comes.
pub(super) struct Section {
    pub(super) entry: Entry,
    /// The text as far as it is kept, and its digest.
    text: Vec<u8>,
    digest: Pieces,
    /// Lines that belong to the next section if no others follow.
    held: Vec<u8>,
    /// The large objects it makes.
    made: Vec<String>,
}

/// `-- Name: orders; Type: TABLE; Schema: public; Owner: postgres`, or `-- Data for Name: …`.
pub(super) fn heading(line: &[u8]) -> Option<Section> {
    let line = words(line);
    let rest = line.strip_prefix("-- Name: ").or_else(|| line.strip_prefix("-- Data for Name: "))?;
    let (name, rest) = rest.rsplit_once("; Type: ")?;
    let (kind, rest) = rest.split_once("; Schema: ")?;
    let (schema, owner) = rest.rsplit_once("; Owner: ")?;
    let (owner, tablespace) = owner.split_once("; Tablespace: ").map_or((owner, None), |(owner, tablespace)| (owner, Some(tablespace)));
    // `-` stands for none, as of everything with --no-owner.
    let told = |text: &str| (text != "-" && !text.is_empty()).then(|| text.to_owned());
    let entry = Entry {
        kind: kind.to_owned(),
        schema: told(schema),
        name: name.to_owned(),
        owner: told(owner),
        definition: ContentDigest::default(),
        tablespace: tablespace.map(str::to_owned),
        access_method: None,
    };
    Some(Section { entry, text: Vec::new(), digest: Pieces::begin(b""), held: Vec::new(), made: Vec::new() })
}

impl Section {
    pub(super) fn is(&self, kind: &str) -> bool {
        self.entry.kind == kind
    }

    /// Notes how rows are stored, which the script sets before whatever has some.
    pub(super) fn stored_by(&mut self, method: Option<&String>) {
        if self.is("TABLE") || self.is("MATERIALIZED VIEW") {
            self.entry.access_method = method.cloned();
        }
    }

    /// Takes in a line of its text.
    pub(super) fn line(&mut self, line: &[u8]) {
        if let Some(rest) = line.strip_prefix(b"SELECT pg_catalog.lo_create('") {
            self.made.push(words(rest).split('\'').next().unwrap_or_default().to_owned());
        }
        if PASSED_OVER.iter().any(|words| line.starts_with(words)) {
            return;
        }
        // Settings stand before the heading of what they are for, and only where they change.
        let settings =
            line.is_empty() || line == b"--" || line.starts_with(b"SET default_") || line.starts_with(b"SET SESSION AUTHORIZATION");
        if settings && self.text.is_empty() {
            return;
        }
        self.held.extend_from_slice(line);
        self.held.push(b'\n');
        if settings {
            return;
        }
        self.digest.more(&self.held);
        if self.text.len() <= KEPT {
            self.text.extend_from_slice(&self.held);
        }
        self.held.clear();
    }

    /// The section as an entry of a table of contents.
    pub(super) fn item(mut self, id: i64, copy: Option<String>, data: bool) -> Item {
        self.entry.definition = self.digest.digest();
        let made = self.is("BLOB METADATA").then(|| self.made.join(" "));
        let text = if self.text.len() <= KEPT { words(&self.text) } else { String::new() };
        if text.contains("\nPARTITION BY ") {
            // What it says of its partitions is in its text.
            self.entry.access_method = None;
        }
        let definition = made.unwrap_or(text);
        Item {
            id,
            data,
            entry: self.entry,
            definition,
            copy: copy.unwrap_or_default(),
            relkind: 0,
            depends: Vec::new(),
            place: Place::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_tell_what_follows() {
        let read =
            |line: &str| heading(line.as_bytes()).map(|found| (found.entry.kind, found.entry.schema, found.entry.name, found.entry.owner));
        let tablespace = |line: &str| heading(line.as_bytes()).and_then(|found| found.entry.tablespace);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            read("-- Name: a; Type: b (c); Type: INDEX; Schema: 판매; Owner: me; Tablespace: fast"),
            Some(("INDEX".into(), some("판매"), "a; Type: b (c)".into(), some("me")))
        );
        assert_eq!(read("-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -"), Some(("BLOBS".into(), None, "BLOBS".into(), None)));
        assert_eq!(read("-- Name: a; Type: INDEX"), None);
        assert_eq!(tablespace("-- Name: 주문; Type: TABLE; Schema: 판매; Owner: me; Tablespace: 빠른 곳"), some("빠른 곳"));
        assert_eq!(tablespace("-- Name: 주문; Type: TABLE; Schema: 판매; Owner: me"), None);
    }
}
