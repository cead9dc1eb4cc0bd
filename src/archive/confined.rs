//! A guard before a script that somebody else wrote: it must stay in the one database that it is meant to fill.
//!
//! A script of `pg_dump --create --clean` drops the very database it is of, and then connects to it; psql would do both. So what
//! reaches beyond the database (other databases, roles, tablespaces, commands of psql that go elsewhere) ends the stream before
//! psql gets that line, wherever in it the statement begins. The same goes for a `COPY` through a file or a program of the server. Rows between `COPY … FROM stdin;` and `\.` are not looked at. A script that is cut short fails too: psql takes
//! the end of its input for the end of the rows, and would be content with half a table. This is no defence against malice.

use memchr::memchr;

use super::plain::quoting::Quoting;
use crate::stream::{Chunk, Pull, Stopper, Stream, StreamError, fused};

/// The longest line outside of rows, in bytes: no statement may be longer (1 GiB, PostgreSQL's limit of a query).
const LONGEST_LINE: usize = 1 << 30;

/// How much of a statement is looked at, in bytes: a list of columns may be long, the rest of a longer one is data.
const LONGEST_LOOK: usize = 256 * 1024;

/// Commands of psql that stay where they are.
const HARMLESS: &[&str] = &["restrict", "unrestrict", "encoding", "echo", "qecho", "warn", "set", "unset", "pset", "timing"];

/// The script, as long as it stays in its database.
pub fn confined(input: Stream) -> Stream {
    let (quoting, kept, statement) = (Quoting::None, Vec::new(), Vec::new());
    fused(Confined { input, quoting, statement, rows: false, kept, line: 0, title: Title::None })
}

struct Confined {
    input: Stream,
    quoting: Quoting,
    /// The statement so far, without what is quoted or a comment in it, in lower case.
    statement: Vec<u8>,
    /// Whether the next line is a row.
    rows: bool,
    /// The line that is not whole yet; of a row only as much as tells its end.
    kept: Vec<u8>,
    line: u64,
    /// How the title of a dump and its last line were seen; other scripts have neither.
    title: Title,
}

/// What a script has said of being a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Title {
    None,
    Begun,
    Complete,
}

impl Pull for Confined {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let chunk = self.input.pull()?;
        match &chunk {
            Some(chunk) => self.feed(chunk)?,
            None => self.end()?,
        }
        Ok(chunk)
    }

    fn stopper(&self) -> Option<Stopper> {
        self.input.stopper()
    }
}

impl Confined {
    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while let Some(end) = memchr(b'\n', bytes) {
            self.keep(&bytes[..end])?;
            self.whole_line()?;
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes)?;
        // What a line begins with is judged before psql gets more of it.
        if self.rows { Ok(()) } else { self.judge() }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        // Only `\.` matters among rows.
        let room = if self.rows { 4_usize.saturating_sub(self.kept.len()) } else { usize::MAX };
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.kept.len() > LONGEST_LINE {
            return Err(self.refuse("is longer than any statement can be"));
        }
        Ok(())
    }

    /// The script ends here: whether it can.
    fn end(&mut self) -> Result<(), StreamError> {
        self.whole_line()?;
        let line = self.line;
        let cut = |within: &str| Err(StreamError::corrupt("script", format_args!("it ends {within} (line {line}), so it was cut short")));
        match (self.rows, &self.quoting, self.title) {
            (true, ..) => cut("within the rows of a table"),
            (false, quoting, _) if *quoting != Quoting::None => cut("within something quoted"),
            (false, _, Title::Begun) => cut("without the line `-- PostgreSQL database dump complete`"),
            _ => Ok(()),
        }
    }

    fn whole_line(&mut self) -> Result<(), StreamError> {
        self.line += 1;
        if self.rows {
            self.rows = self.kept.trim_ascii_end() != b"\\.";
        } else {
            self.judge()?;
            let was_sql = self.quoting == Quoting::None;
            match self.kept.as_slice() {
                b"-- PostgreSQL database dump" if was_sql => self.title = Title::Begun,
                b"-- PostgreSQL database dump complete" if was_sql => self.title = Title::Complete,
                _ => {}
            }
            let line = std::mem::take(&mut self.kept);
            let judged = self.statements(&line);
            self.kept = line;
            self.rows = judged?;
        }
        self.kept.clear();
        Ok(())
    }

    /// Judges each statement of a whole line, and commands of psql within it; answers whether rows follow the line.
    fn statements(&mut self, line: &[u8]) -> Result<bool, StreamError> {
        let line = if self.line == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let (mut at, mut rows) = (0, false);
        // A command of psql takes the rest of its line.
        if self.quoting == Quoting::None && line.trim_ascii_start().starts_with(b"\\") {
            return Ok(false);
        }
        while at < line.len() {
            let was_sql = self.quoting == Quoting::None;
            let Some(length) = self.quoting.step(line, at) else { break };
            match (&self.quoting, line[at]) {
                _ if !was_sql => {}
                (Quoting::None, b';') => rows |= self.statement_ends(line)?,
                (Quoting::None, b'\\') => judge_command(&line[at + 1..]).map_err(|why| refused(line, self.line, why))?,
                (Quoting::None, byte) => self.note(byte.to_ascii_lowercase()),
                (Quoting::Comment(_), _) => self.note(b' '),
                (Quoting::Identifier, _) => self.note(b'"'),
                (Quoting::String { .. } | Quoting::Dollar(_), _) => self.note(b'\''),
            }
            at += length;
        }
        if !self.statement.is_empty() {
            self.note(b' ');
        }
        self.look(line)?;
        Ok(rows)
    }

    fn note(&mut self, byte: u8) {
        if self.statement.len() < LONGEST_LOOK {
            self.statement.push(byte);
        }
    }

    /// A statement ends: whether rows follow it.
    fn statement_ends(&mut self, line: &[u8]) -> Result<bool, StreamError> {
        self.look(line)?;
        let rows = begins_rows(&self.statement);
        self.statement.clear();
        Ok(rows)
    }

    fn look(&self, line: &[u8]) -> Result<(), StreamError> {
        let statement = self.statement.trim_ascii_start();
        if reaches_out(statement) {
            return Err(refused(line, self.line, "reaches beyond the one database that is restored"));
        }
        if copies_by_server(statement) {
            return Err(refused(line, self.line, "lets the server run a program, or read or write a file of its own"));
        }
        Ok(())
    }

    fn judge(&self) -> Result<(), StreamError> {
        if self.quoting != Quoting::None {
            return Ok(());
        }
        let line = self.kept.trim_ascii_start();
        let line = if self.line == 0 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        match line.strip_prefix(b"\\") {
            Some(command) => judge_command(command).map_err(|why| self.refuse(why)),
            None if self.statement.is_empty() && reaches_out(line) => Err(self.refuse("reaches beyond the one database that is restored")),
            None => Ok(()),
        }
    }

    fn refuse(&self, why: &str) -> StreamError {
        refused(&self.kept, self.line, why)
    }
}

/// Why a command of psql is not run, if it is not.
fn judge_command(command: &[u8]) -> Result<(), &'static str> {
    let word: String = command.iter().take_while(|byte| byte.is_ascii_alphabetic()).map(|byte| char::from(*byte)).collect();
    let whole = word.len() < command.len();
    match word.as_str() {
        word if HARMLESS.contains(&word) || (!whole && HARMLESS.iter().any(|known| known.starts_with(word))) => Ok(()),
        "" if command.first() == Some(&b'.') => Ok(()),
        "connect" | "c" => Err("connects to another database"),
        _ => Err("is a command of psql that may go anywhere"),
    }
}

fn refused(text: &[u8], line: u64, why: &str) -> StreamError {
    let shown: String = String::from_utf8_lossy(text).chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect();
    StreamError::Incomplete {
        detail: format!(
            "the line `{}` (about line {}) {why}; it was not run. Make the dump without --create, or take that line out, or run the script with psql by hand",
            shown.trim(),
            line.max(1)
        ),
    }
}

/// The first words of a line in lower case; what ends a word may be a quote or a semicolon.
fn words(line: &[u8]) -> Vec<String> {
    let separated = line.split(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'));
    separated.filter(|word| !word.is_empty()).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase()).collect()
}

/// Whether a statement that begins so changes what is not of this database.
fn reaches_out(line: &[u8]) -> bool {
    // Nearly every line of a dump begins otherwise.
    if !matches!(line.first().map(u8::to_ascii_lowercase), Some(b'a' | b'c' | b'd' | b'g' | b'r')) {
        return false;
    }
    let words = words(&line[..line.len().min(200)]);
    let word = |at: usize| words.get(at).map(String::as_str).unwrap_or_default();
    match (word(0), word(1), word(2)) {
        ("create" | "alter" | "drop", "user", "mapping") => false,
        ("create" | "alter" | "drop", "database" | "role" | "user" | "tablespace" | "group", _)
        | ("alter", "system", _)
        | ("comment", "on", "database" | "role" | "tablespace") => true,
        ("grant" | "revoke", ..) => words.windows(2).any(|pair| pair[0] == "on" && matches!(pair[1].as_str(), "database" | "tablespace")),
        _ => false,
    }
}

/// The words of a `copy`, in which a string is `'`; none of another statement.
fn copy(statement: &[u8]) -> Vec<String> {
    let statement = statement.trim_ascii_start();
    if !statement.starts_with(b"copy") {
        return Vec::new();
    }
    let spaced = String::from_utf8_lossy(statement).replace('\'', " ' ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    if words.first().is_some_and(|word| word == "copy") { words } else { Vec::new() }
}

/// Whether rows follow this statement.
fn begins_rows(statement: &[u8]) -> bool {
    copy(statement).windows(2).any(|pair| pair[0] == "from" && pair[1] == "stdin")
}

/// Whether a `copy` goes through a program or a file of the server: behind its TO or FROM stands PROGRAM, or a name in quotes.
fn copies_by_server(statement: &[u8]) -> bool {
    let words = copy(statement);
    let to_where = |at: usize| words.get(at).map(String::as_str).unwrap_or_default();
    let goes = |(at, word): (usize, &String)| {
        let quoted = to_where(at + 1) == "'" || matches!(to_where(at + 1), "e" | "u&") && to_where(at + 2) == "'";
        matches!(word.as_str(), "to" | "from") && (quoted || to_where(at + 1) == "program")
    };
    words.iter().enumerate().any(goes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::bytes::{collect, stream_of};

    fn passes(script: &str) -> Result<(), String> {
        let passed = collect(confined(stream_of(script)), usize::MAX).map_err(|error| error.to_string())?;
        assert_eq!(passed, script.as_bytes());
        Ok(())
    }

    #[test]
    fn a_script_that_stays_where_it_is_passes_unchanged() {
        for script in [
            "\\restrict abc\nset x = 1;\ncopy t from stdin;\n\\connect is a row\ndrop database x;\n\\.\nselect 1;\n\\unrestrict abc\n",
            "create function f() returns void language sql as $$\ndrop database orders;\n\\connect x\n$$;",
            "comment on table t is 'one\n\\connect x\n';\n/*\ncreate role a;\n*/",
            "create user mapping for a server b;\ncreate table \"database\" ();\ndrop table database_x;\n-- drop database x",
            "insert into t values ('한글');",
            "insert into t values ('a; create role b; copy t to program x');\ncreate table copy (\"from\" int);\n",
            "copy \"to\" (a, b)\n  from stdin with (null 'x');\ncreate role a;\n\\.\ncopy (select a from \"주문\") to stdout;\nselect 1;\n",
            "copy t from stdin; select 1;\ndrop database x;\n\\.\n",
            "",
        ] {
            assert_eq!(passes(script), Ok(()), "{script}");
        }
    }

    #[test]
    fn a_script_that_reaches_out_is_stopped_before_that_line() {
        for (script, line) in [
            ("select 1;\n\\connect orders\n", "connects to another database"),
            ("\\c orders", "connects to another database"),
            ("\\i /etc/passwd", "may go anywhere"),
            ("\\! rm -rf /", "may go anywhere"),
            ("set x = 1;\nDROP DATABASE IF EXISTS orders;", "reaches beyond"),
            ("create database orders", "reaches beyond"),
            ("  alter role a superuser;", "reaches beyond"),
            ("\u{feff}drop database orders;", "reaches beyond"),
            ("\u{feff}drop database orders;\n", "reaches beyond"),
            ("grant connect, temporary on database orders to a;", "reaches beyond"),
            ("copy t from stdin;\n1\n\\.\ncreate tablespace x location '/';", "reaches beyond"),
            ("create table a(i int); create role zzz;\n", "reaches beyond"),
            ("select ';'; /* ; */ Create\n  Role zzz;\n", "reaches beyond"),
            ("select 1 \\! id\n", "may go anywhere"),
            ("copy t to program 'id';\n", "run a program"),
            ("copy t (a,\n b)\nFROM PROGRAM $$id$$;\n", "run a program"),
            ("copy (select 1) to '/tmp/주문' csv;\n", "run a program"),
            ("copy t from E'/etc/passwd';\n", "run a program"),
        ] {
            let why = passes(script).unwrap_err();
            assert!(why.contains(line) && why.contains("was not run") && !why.contains("\\'"), "{script}: {why}");
        }
    }

    #[test]
    fn a_script_that_is_cut_short_does_not_end() {
        let whole = "--\n-- PostgreSQL database dump\n--\ncopy t from stdin;\n1\n\\.\nselect 'x\ny';\n--\n-- PostgreSQL database dump complete\n--\n";
        assert_eq!(passes(whole), Ok(()));
        for (cut, why) in
            [("1\n", "within the rows"), ("'x", "within something quoted"), ("\\.\n", "without the line"), ("y';\n", "without the line")]
        {
            let end = whole.find(cut).unwrap() + cut.len();
            let told = passes(&whole[..end]).unwrap_err();
            assert!(told.starts_with("script: ") && told.contains(why), "{cut}: {told}");
        }
    }

    #[test]
    fn a_line_is_judged_wherever_it_is_cut() {
        let script = b"select 1;\nDROP DATABASE orders;\nselect 2;\n";
        for cut in 0..script.len() {
            struct Two(Vec<Vec<u8>>);
            impl Pull for Two {
                fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
                    Ok(self.0.pop().map(Chunk::from))
                }
            }
            let parts = [&script[cut..], &script[..cut]].into_iter().filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect();
            let mut stream = confined(Box::new(Two(parts)));
            let mut passed = Vec::new();
            let error = loop {
                match stream.pull() {
                    Ok(Some(chunk)) => passed.extend_from_slice(&chunk),
                    Ok(None) => panic!("it passed"),
                    Err(error) => break error,
                }
            };
            assert!(error.to_string().contains("DROP DATABASE"), "{cut}: {error}");
            assert!(!String::from_utf8_lossy(&passed).contains("DATABASE "), "{cut}");
        }
    }
}
