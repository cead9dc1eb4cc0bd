//! Whether a place in a script is SQL or inside something quoted.
//!
//! A function's body or a comment may hold lines that look like the script's own. Source: PostgreSQL documentation 4.1,
//! lexical structure, as far as `pg_dump` writes it. This module does not tell statements apart.

use memchr::memchr;
use memchr::memmem::find;

/// What the next byte is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::archive) enum Quoting {
    /// Nothing: it is SQL.
    #[default]
    None,
    /// A string, in which a backslash may escape.
    String { escapes: bool },
    /// A quoted identifier.
    Identifier,
    /// A string between tags, such as `$_$`.
    Dollar(Vec<u8>),
    /// Comments in comments, so many deep.
    Comment(u32),
}

impl Quoting {
    /// Goes through one line, without its line break.
    pub(in crate::archive) fn line(&mut self, line: &[u8]) {
        let mut at = 0;
        while at < line.len() {
            match self.step(line, at) {
                Some(length) => at += length,
                None => return,
            }
        }
    }

    /// Steps over what begins here; `None` when the rest of the line is a comment.
    pub(in crate::archive) fn step(&mut self, line: &[u8], at: usize) -> Option<usize> {
        Some(match self {
            Self::None => return self.sql(line, at),
            Self::String { escapes } => match string(&line[at..], *escapes) {
                (length, true) => {
                    *self = Self::None;
                    length
                }
                (length, false) => length,
            },
            Self::Identifier => self.close(&line[at..], b"\""),
            Self::Dollar(tag) => {
                let tag = tag.clone();
                self.close(&line[at..], &tag)
            }
            Self::Comment(depth) => match (line[at], line.get(at + 1)) {
                (b'*', Some(b'/')) if *depth == 1 => {
                    *self = Self::None;
                    2
                }
                (b'*', Some(b'/')) => {
                    *depth -= 1;
                    2
                }
                (b'/', Some(b'*')) => {
                    *depth += 1;
                    2
                }
                _ => 1,
            },
        })
    }

    /// Steps over some SQL; nothing is left of a line behind `--`.
    fn sql(&mut self, line: &[u8], at: usize) -> Option<usize> {
        let before = at.checked_sub(1).map_or(b' ', |at| line[at]);
        match (line[at], line.get(at + 1)) {
            (b'-', Some(b'-')) => return None,
            (b'/', Some(b'*')) => {
                *self = Self::Comment(1);
                return Some(2);
            }
            (b'\'', _) => *self = Self::String { escapes: matches!(before, b'E' | b'e') && (at < 2 || !in_name(line[at - 2])) },
            (b'"', _) => *self = Self::Identifier,
            (b'$', _) if !in_name(before) => {
                let name = line[at + 1..].iter().take_while(|byte| in_name(**byte) && **byte != b'$').count();
                let digit = line.get(at + 1).is_some_and(u8::is_ascii_digit);
                if line.get(at + 1 + name) == Some(&b'$') && !digit {
                    *self = Self::Dollar(line[at..at + name + 2].to_vec());
                    return Some(name + 2);
                }
            }
            _ => {}
        }
        Some(1)
    }

    /// Steps to behind the end mark, or over everything.
    fn close(&mut self, rest: &[u8], mark: &[u8]) -> usize {
        let Some(found) = find(rest, mark) else { return rest.len() };
        *self = Self::None;
        found + mark.len()
    }
}

/// How far a string goes, and whether it ends there. A doubled quote ends one and begins the next, which is the same.
fn string(rest: &[u8], escapes: bool) -> (usize, bool) {
    let mut at = 0;
    while let Some(quote) = memchr(b'\'', &rest[at..]) {
        let backslashes = rest[at..at + quote].iter().rev().take_while(|byte| **byte == b'\\').count();
        at += quote + 1;
        if !escapes || backslashes % 2 == 0 {
            return (at, true);
        }
    }
    (rest.len(), false)
}

fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str]) -> Quoting {
        let mut quoting = Quoting::None;
        for line in lines {
            quoting.line(line.as_bytes());
        }
        quoting
    }

    #[test]
    fn what_is_quoted_is_quoted_until_its_own_end() {
        for closed in [
            &["select 'a''b', \"c'd\", $1, x$y$z -- it's"][..],
            &["AS $_$", "it's -- \" $x$ /* ", "$_$;"],
            &["/* a /* b", "*/ it's */ select 1"],
            &[r"IS E'a\'b'", "x"],
            &[r"IS 'a\'", "x"],
            &["COMMENT IS '한글", "--", "-- Name: x';"],
        ] {
            assert_eq!(after(closed), Quoting::None, "{closed:?}");
        }
        assert_eq!(after(&["AS $한$ it's $_$"]), Quoting::Dollar("$한$".into()));
        assert_eq!(after(&["IS 'one", "''two"]), Quoting::String { escapes: false });
        assert_eq!(after(&["/* a /* b */"]), Quoting::Comment(1));
    }
}
