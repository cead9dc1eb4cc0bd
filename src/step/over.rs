//! Over what is there: the script of `pg_restore --clean`, made one transaction that also drops partitioned tables.
//!
//! `pg_restore` drops each object by itself, and a server refuses that for what a partition has from its table: indexes,
//! constraints and triggers go with their parent. Such a drop may be refused here; what is then still there either goes with
//! its table, or makes the drop of the table fail, and that ends everything. Nothing is dropped by `cascade`, so nothing that
//! the archive does not hold is. This file runs no program, and reads no further than the drops.

use memchr::memmem;

use crate::postgres::quote::literal;
use crate::stream::{Chunk, Pull, Stopper, Stream, StreamError, fused};

/// How the first line of each object's part begins; the drops are before all of them.
const OBJECT: [&[u8]; 3] = [b"\n-- Name: ", b"\n-- Data for Name: ", b"\n-- TOC entry "];

/// The longest of them.
const LONGEST: usize = 19;

/// What a part of a partition is dropped by.
const PARTS: [(&str, &str); 3] =
    [("ALTER TABLE IF EXISTS ", " DROP CONSTRAINT IF EXISTS "), ("DROP INDEX IF EXISTS ", ""), ("DROP TRIGGER IF EXISTS ", " ON ")];

/// How a table is dropped, and with it, whatever they hold, its partitions.
const TABLES: [&str; 2] = ["DROP TABLE IF EXISTS ", "DROP FOREIGN TABLE IF EXISTS "];

/// What the refusal to drop partitions says that are not in the archive.
pub(super) const LOST: &str = "the dump does not hold these partitions of tables that would be dropped";

/// What keeps a statement between dollars apart from what is in it.
const TAG: &str = "$runner$";

/// The script as one transaction. Its `commit` is sent only after the program that wrote the script has ended well.
pub(super) fn over(script: Stream) -> Stream {
    fused(Over { script, at: At::Drops(Vec::new()) })
}

struct Over {
    script: Stream,
    at: At,
}

enum At {
    /// In the drops; they are kept until their end is there.
    Drops(Vec<u8>),
    /// Behind them: nothing is looked at any more.
    Objects,
    /// The transaction is closed.
    Closed,
}

impl Pull for Over {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        loop {
            let chunk = self.script.pull()?;
            match (&mut self.at, chunk) {
                (At::Drops(kept), Some(chunk)) => {
                    let from = kept.len().saturating_sub(LONGEST);
                    kept.extend_from_slice(&chunk);
                    if let Some(end) = end_of_drops(kept, from) {
                        let begun = begin(&kept[..end], &kept[end..]);
                        self.at = At::Objects;
                        return Ok(Some(begun.into()));
                    }
                }
                (At::Drops(kept), None) => {
                    let whole = [begin(kept, b"").as_slice(), b"\ncommit;\n"].concat();
                    self.at = At::Closed;
                    return Ok(Some(whole.into()));
                }
                (At::Objects, None) => {
                    self.at = At::Closed;
                    return Ok(Some(b"\ncommit;\n".to_vec().into()));
                }
                (At::Objects, some) => return Ok(some),
                (At::Closed, _) => return Ok(None),
            }
        }
    }

    fn stopper(&self) -> Option<Stopper> {
        self.script.stopper()
    }
}

fn end_of_drops(script: &[u8], from: usize) -> Option<usize> {
    OBJECT.iter().filter_map(|mark| memmem::find(&script[from..], mark)).min().map(|at| from + at)
}

fn begin(drops: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut script = b"begin;\n".to_vec();
    let statements = statements(drops);
    let dropped: Vec<&str> = statements.iter().filter_map(|statement| table_of(statement)).collect();
    let mut checked = dropped.is_empty();
    for statement in statements {
        if !checked && table_of(statement).is_some() {
            script.extend_from_slice(no_more_partitions(&dropped).as_bytes());
            checked = true;
        }
        match std::str::from_utf8(statement).ok().filter(|statement| is_of_part(statement)) {
            Some(drop) => script.extend_from_slice(lenient(drop).as_bytes()),
            None => script.extend_from_slice(statement),
        }
    }
    script.extend_from_slice(rest);
    script
}

/// The table that a statement drops, as SQL writes it.
fn table_of(statement: &[u8]) -> Option<&str> {
    let drop = std::str::from_utf8(statement).ok()?;
    TABLES.iter().find_map(|start| drop.strip_prefix(start)?.strip_suffix(";\n")).filter(|table| !table.contains(TAG))
}

/// A table takes its partitions with it, so those that the archive does not hold must be none. Where a table is not there, neither is
/// a partition of it.
fn no_more_partitions(tables: &[&str]) -> String {
    let listed = tables.iter().map(|table| literal(table)).collect::<Vec<_>>().join(", ");
    let held = format!("select pg_catalog.to_regclass(x) as held from pg_catalog.unnest(array[{listed}]) x");
    format!(
        "do {TAG} declare lost text; begin\n\
         select pg_catalog.string_agg(distinct t.relid::pg_catalog.text, ', ') into lost from ({held}) h, pg_catalog.pg_partition_tree(h.held) t \
         where t.relid not in (select held from ({held}) x where held is not null);\n\
         if lost is not null then raise exception '{LOST}: %', lost; end if; end {TAG};\n"
    )
}

/// Lines, but for those that a statement or a name in double quotes goes on over.
fn statements(drops: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut from, mut to) = (Vec::new(), 0, 0);
    for line in drops.split_inclusive(|byte| *byte == b'\n') {
        to += line.len();
        let statement = &drops[from..to];
        let quoted = memchr::memchr_iter(b'"', statement).count() % 2 == 1;
        if !quoted {
            found.push(statement);
            from = to;
        }
    }
    found.push(&drops[from..]);
    found
}

fn is_of_part(statement: &str) -> bool {
    let one = |(start, inside): &(&str, &str)| statement.starts_with(start) && statement.contains(inside);
    statement.ends_with(";\n") && !statement.contains(TAG) && PARTS.iter().any(one)
}

/// The drop, which may be refused because something stands above the object (a constraint: 42P16) or leans on it (2BP01).
fn lenient(drop: &str) -> String {
    format!("do {TAG} begin\n{drop}exception when invalid_table_definition or dependent_objects_still_exist then null; end {TAG};\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::bytes::{collect, stream_of};

    fn whole(script: &str) -> String {
        String::from_utf8(collect(over(stream_of(script)), usize::MAX).unwrap()).unwrap()
    }

    #[test]
    fn only_drops_of_parts_may_be_refused_and_the_transaction_is_closed_last() {
        let script = "--\n-- PostgreSQL database dump\n--\n\nSET x = 0;\nDROP INDEX IF EXISTS public.i;\nDROP VIEW IF EXISTS public.\"a\nDROP INDEX IF EXISTS b;\n\";\n\
            --\n-- Name: f(); Type: FUNCTION\n--\nDROP INDEX IF EXISTS public.j;\n";
        assert_eq!(
            whole(script),
            "begin;\n--\n-- PostgreSQL database dump\n--\n\nSET x = 0;\ndo $runner$ begin\nDROP INDEX IF EXISTS public.i;\n\
             exception when invalid_table_definition or dependent_objects_still_exist then null; end $runner$;\n\
             DROP VIEW IF EXISTS public.\"a\nDROP INDEX IF EXISTS b;\n\";\n\
             --\n-- Name: f(); Type: FUNCTION\n--\nDROP INDEX IF EXISTS public.j;\n\ncommit;\n"
        );
        assert_eq!(whole("SET x = 0;\n\"open"), "begin;\nSET x = 0;\n\"open\ncommit;\n");
    }

    #[test]
    fn a_script_that_is_cut_is_never_committed() {
        struct Cut(bool);
        impl Pull for Cut {
            fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(StreamError::Vanished { stage: "pg_restore" });
                }
                Ok(Some(b"DROP TABLE IF EXISTS a;\n\n-- Name: a; Type: TABLE\n".to_vec().into()))
            }
        }
        let mut stream = over(fused(Cut(false)));
        assert!(!stream.pull().unwrap().unwrap().ends_with(b"commit;\n"));
        assert!(stream.pull().is_err());
    }
}
