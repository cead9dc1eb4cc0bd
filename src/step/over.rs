//! Over what is there: the script of `pg_restore --clean`, made one transaction that also drops partitioned tables.
//!
//! `pg_restore` drops each object by itself, and a server refuses that for what a partition has from its table: indexes,
//! constraints and triggers go with their parent. Such a drop may be refused here; what is then still there either goes with
//! its table, or makes the drop of the table fail, and that ends everything. Nothing is dropped by `cascade`, so nothing that
//! the archive does not hold is. `pg_restore` would put each batch of large objects into a transaction of its own, and its
//! commit would end the one around it, so it is told to write a single one; of that the `begin` and the `commit` are left out
//! here. This file runs no program, and between the drops and the end it looks at nothing.

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

/// How `pg_restore --single-transaction` begins and ends what it writes.
const BEGIN: &[u8] = b"BEGIN;\n";
const COMMIT: &[u8] = b"\nCOMMIT;\n";

/// How much of the end is kept until it is known to be the end; behind the `COMMIT` there are only comments and one `\unrestrict`.
const TAIL: usize = 1024;

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
    /// Behind them: the last bytes are kept.
    Objects(Vec<u8>),
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
                        self.at = At::Objects(begin(&kept[..end], &kept[end..]));
                    }
                }
                (At::Objects(kept), Some(chunk)) => {
                    kept.extend_from_slice(&chunk);
                    let rest = kept.split_off(kept.len().saturating_sub(TAIL));
                    let passed = std::mem::replace(kept, rest);
                    if !passed.is_empty() {
                        return Ok(Some(passed.into()));
                    }
                }
                (At::Drops(kept), None) => {
                    let whole = committed(begin(kept, b""));
                    self.at = At::Closed;
                    return Ok(Some(whole.into()));
                }
                (At::Objects(kept), None) => {
                    let last = committed(std::mem::take(kept));
                    self.at = At::Closed;
                    return Ok(Some(last.into()));
                }
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

/// The end of the script, with a `commit` of our own.
fn committed(mut end: Vec<u8>) -> Vec<u8> {
    if let Some(at) = memmem::rfind(&end, COMMIT) {
        end.drain(at + 1..at + COMMIT.len());
    }
    end.extend_from_slice(b"\ncommit;\n");
    end
}

fn begin(drops: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut script = b"begin;\n".to_vec();
    let statements: Vec<&[u8]> = statements(drops).into_iter().filter(|statement| *statement != BEGIN).collect();
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
        assert_eq!(whole("BEGIN;\nSET x = 0;\n\nCOMMIT;\n\n"), "begin;\nSET x = 0;\n\n\n\ncommit;\n");
        assert_eq!(whole("SET x = 0;\n\"open"), "begin;\nSET x = 0;\n\"open\ncommit;\n");
    }

    #[test]
    fn only_the_last_commit_is_left_out_however_the_script_is_cut_into_chunks() {
        struct Bytes(std::vec::IntoIter<u8>);
        impl Pull for Bytes {
            fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
                Ok(self.0.next().map(|byte| vec![byte].into()))
            }
        }
        let body = format!("\n-- Data for Name: a\n\n{}\nCOMMIT;\n\\.\n", "x\n".repeat(TAIL));
        let script = format!("BEGIN;\n\nSET x = 0;\n{body}\n\nCOMMIT;\n\n--\n-- complete\n--\n\n\\unrestrict x\n\n");
        let stream = over(fused(Bytes(script.into_bytes().into_iter())));
        let made = String::from_utf8(collect(stream, usize::MAX).unwrap()).unwrap();
        assert_eq!(made, format!("begin;\n\nSET x = 0;\n{body}\n\n\n--\n-- complete\n--\n\n\\unrestrict x\n\n\ncommit;\n"));
    }

    #[test]
    fn a_script_that_is_cut_is_never_committed() {
        struct Cut(bool);
        impl Pull for Cut {
            fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(StreamError::Vanished { stage: "pg_restore" });
                }
                Ok(Some(b"DROP TABLE IF EXISTS a;\n\n-- Name: a; Type: TABLE\n\nCOMMIT;\n".to_vec().into()))
            }
        }
        assert!(collect(over(fused(Cut(false))), usize::MAX).is_err());
    }
}
