//! A script of SQL, told apart into its statements as `psql` does, each with the line it begins on.
//!
//! Source: PostgreSQL's `psqlscan.l` (quoting, comments, parentheses, and the bodies of functions between `BEGIN ATOMIC` and
//! `END`) with `standard_conforming_strings` on. This module runs nothing and knows no grammar beyond that.

use memchr::memmem::find;

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// The statement, without the semicolon.
    pub text: &'a str,
    /// Whether it begins or ends a transaction.
    pub bounds_transaction: bool,
}

/// Why a script can not be run here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: &'static str,
}

impl Statement<'_> {
    /// The line of the script on which this character of the statement stands, counted from 1 as the server does.
    pub fn line_of(&self, character: usize) -> usize {
        self.line + self.text.chars().take(character.saturating_sub(1)).filter(|c| *c == '\n').count()
    }
}

/// The statements of a script, empty ones left out.
pub fn statements(script: &str) -> Result<Vec<Statement<'_>>, ScriptError> {
    let mut scan = Scan { script, at: 0, line: 1, open: None };
    let mut found = Vec::new();
    while let Some(statement) = scan.statement()? {
        found.push(statement);
    }
    Ok(found)
}

struct Scan<'a> {
    script: &'a str,
    at: usize,
    line: usize,
    open: Option<Open>,
}

/// A statement that has begun.
struct Open {
    start: usize,
    line: usize,
    /// Its first words, in lower case: enough to tell a function that is created.
    first: Vec<String>,
    last: String,
    parentheses: u32,
    begins: u32,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.script.as_bytes()[self.at..]
    }

    fn statement(&mut self) -> Result<Option<Statement<'a>>, ScriptError> {
        while let Some(byte) = self.rest().first().copied() {
            if byte == b';' && self.open.as_ref().is_none_or(|open| open.parentheses == 0 && open.begins == 0) {
                let ended = self.ended();
                self.at += 1;
                match ended {
                    Some(statement) => return Ok(Some(statement)),
                    None => continue,
                }
            }
            self.token(byte)?;
        }
        Ok(self.ended())
    }

    /// Steps over one token, or one part of the space between them.
    fn token(&mut self, byte: u8) -> Result<(), ScriptError> {
        let next = self.rest().get(1).copied();
        match (byte, next) {
            (b'-', Some(b'-')) => {
                let end = memchr::memchr(b'\n', self.rest()).unwrap_or(self.rest().len());
                self.step(end);
            }
            (b'/', Some(b'*')) => self.comment()?,
            (byte, _) if byte.is_ascii_whitespace() => self.step(1),
            (b'\\', _) => return Err(self.error("commands of psql (\\…) are not SQL and not known here")),
            _ => {
                self.begun();
                self.part(byte)?;
            }
        }
        Ok(())
    }

    fn part(&mut self, byte: u8) -> Result<(), ScriptError> {
        match byte {
            b'\'' => self.string(false),
            b'"' => self.closed_by(1, b"\"", "a quoted name does not end"),
            b'$' => {
                if let Some(tag) = dollar(self.rest()) {
                    let tag = tag.to_vec();
                    return self.closed_by(tag.len(), &tag, "a string between dollars does not end");
                }
                // A parameter: its digits are no word of their own.
                let length = 1 + self.rest()[1..].iter().take_while(|byte| in_word(**byte)).count();
                self.step(length);
                Ok(())
            }
            byte if in_word(byte) => self.word(),
            _ => {
                if let Some(open) = &mut self.open {
                    match byte {
                        b'(' => open.parentheses += 1,
                        b')' => open.parentheses = open.parentheses.saturating_sub(1),
                        _ => {}
                    }
                }
                self.step(1);
                Ok(())
            }
        }
    }

    fn word(&mut self) -> Result<(), ScriptError> {
        let length = self.rest().iter().take_while(|byte| in_word(**byte)).count();
        let word = self.script[self.at..self.at + length].to_lowercase();
        self.step(length);
        if word == "e" && self.rest().first() == Some(&b'\'') {
            return self.string(true);
        }
        let line = self.line;
        let Some(open) = &mut self.open else { return Ok(()) };
        open.note(word);
        let copies = open.first.first().is_some_and(|first| first == "copy");
        if copies && matches!(open.last.as_str(), "stdin" | "stdout") {
            return Err(ScriptError {
                line,
                message: "COPY from or to the client has no data here; use `insert`, or a file of the server",
            });
        }
        Ok(())
    }

    fn string(&mut self, escapes: bool) -> Result<(), ScriptError> {
        let line = self.line;
        let mut length = 1;
        loop {
            let rest = &self.rest()[length..];
            let Some(at) = rest.iter().position(|byte| *byte == b'\'' || escapes && *byte == b'\\') else {
                return Err(ScriptError { line, message: "a string does not end" });
            };
            // A doubled quote ends one string and begins the next, which is the same.
            if rest[at] == b'\'' {
                self.step(length + at + 1);
                return Ok(());
            }
            length = (length + at + 2).min(self.rest().len());
        }
    }

    fn closed_by(&mut self, opening: usize, mark: &[u8], message: &'static str) -> Result<(), ScriptError> {
        match find(&self.rest()[opening..], mark) {
            Some(found) => {
                self.step(opening + found + mark.len());
                Ok(())
            }
            None => Err(self.error(message)),
        }
    }

    /// Comments nest.
    fn comment(&mut self) -> Result<(), ScriptError> {
        let line = self.line;
        let mut depth = 0_u32;
        loop {
            match self.rest() {
                [b'/', b'*', ..] => depth += 1,
                [b'*', b'/', ..] => depth -= 1,
                [] => return Err(ScriptError { line, message: "a comment does not end" }),
                _ => {
                    self.step(1);
                    continue;
                }
            }
            self.step(2);
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn step(&mut self, bytes: usize) {
        self.line += memchr::memchr_iter(b'\n', &self.rest()[..bytes]).count();
        self.at += bytes;
    }

    fn begun(&mut self) {
        let (start, line) = (self.at, self.line);
        self.open.get_or_insert_with(|| Open { start, line, first: Vec::new(), last: String::new(), parentheses: 0, begins: 0 });
    }

    fn ended(&mut self) -> Option<Statement<'a>> {
        let open = self.open.take()?;
        let text = self.script[open.start..self.at].trim_end();
        let first: Vec<&str> = open.first.iter().map(String::as_str).collect();
        let bounds_transaction = match first.as_slice() {
            ["rollback", rest @ ..] => !rest.contains(&"to"),
            ["prepare", "transaction", ..] | ["begin" | "start" | "commit" | "end" | "abort", ..] => true,
            _ => false,
        };
        Some(Statement { line: open.line, text, bounds_transaction })
    }

    fn error(&self, message: &'static str) -> ScriptError {
        ScriptError { line: self.line, message }
    }
}

impl Open {
    /// Notes a word, and whether it begins or ends a block in the body of a function.
    fn note(&mut self, word: String) {
        if self.creates_routine() {
            match word.as_str() {
                "begin" => self.begins += 1,
                "case" if self.begins > 0 => self.begins += 1,
                "end" => self.begins = self.begins.saturating_sub(1),
                _ => {}
            }
        }
        if self.first.len() < 4 {
            self.first.push(word.clone());
        }
        self.last = word;
    }

    fn creates_routine(&self) -> bool {
        let words: Vec<&str> = self.first.iter().map(String::as_str).filter(|word| !matches!(*word, "or" | "replace")).collect();
        matches!(words.as_slice(), ["create", "function" | "procedure", ..])
    }
}

/// The tag that opens a string between dollars, such as `$_$`.
fn dollar(rest: &[u8]) -> Option<&[u8]> {
    let name = rest[1..].iter().take_while(|byte| in_word(**byte) && **byte != b'$').count();
    let is_tag = rest.get(1 + name) == Some(&b'$') && !rest[1].is_ascii_digit();
    is_tag.then(|| &rest[..name + 2])
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(script: &str) -> Vec<(usize, &str)> {
        statements(script).unwrap().iter().map(|statement| (statement.line, statement.text)).collect()
    }

    #[test]
    fn statements_end_at_semicolons_that_are_not_quoted() {
        let script =
            "-- fix; it\nupdate \"주문;\" set 이름 = 'a;''b' -- ; c\n where id = 1;;\n\n/* ; /* ; */ ; */ select $1$, E'\\';' ; select 2";
        assert_eq!(
            split(script),
            [(2, "update \"주문;\" set 이름 = 'a;''b' -- ; c\n where id = 1"), (5, "select $1$, E'\\';'"), (5, "select 2"),]
        );
        assert_eq!(split(" \n -- nothing\n/* at all */ ;; "), []);
        assert_eq!(split("do $한$ begin; perform 1; end $한$; create rule r as on insert to t do (select 1; select 2);").len(), 2);
    }

    #[test]
    fn the_body_of_a_standard_function_is_one_statement() {
        let script = "create or replace function f() returns int language sql begin atomic select 1; select case when true then 1 end; end; select f()";
        assert_eq!(split(script).len(), 2);
        assert_eq!(split("create table begin_x (id int); begin; end").len(), 3);
    }

    #[test]
    fn what_can_not_be_run_is_named_by_its_line() {
        let said = |script: &str| statements(script).unwrap_err().to_string();
        assert_eq!(said("select 1;\n\\i other.sql"), "line 2: commands of psql (\\…) are not SQL and not known here");
        assert_eq!(said("select 1;\n\nselect 'x\n;"), "line 3: a string does not end");
        assert!(said("copy t from stdin;\n1\n\\.").starts_with("line 1: COPY"));
        assert_eq!(said("\n/* /* */"), "line 2: a comment does not end");
        assert_eq!(said("select E'\\"), "line 1: a string does not end");
    }

    #[test]
    fn transactions_are_seen_and_savepoints_let_be() {
        let bounds = |script: &str| statements(script).unwrap()[0].bounds_transaction;
        for yes in ["BEGIN", "start transaction", "Commit;", "rollback", "end", "abort", "prepare transaction 'x'"] {
            assert!(bounds(yes), "{yes}");
        }
        for no in ["rollback to savepoint a", "savepoint a", "prepare x as select 1", "select 1"] {
            assert!(!bounds(no), "{no}");
        }
    }

    #[test]
    fn a_place_in_a_statement_is_a_line_of_the_script() {
        let script = "\nselect\n  1,\n  가나, x";
        let statement = &statements(script).unwrap()[0];
        assert_eq!([statement.line_of(1), statement.line_of(9), statement.line_of(15)], [2, 3, 4]);
    }
}
