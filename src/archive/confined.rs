//! A guard before a script that somebody else wrote: it must stay in the one database that it is meant to fill.
//!
//! A script of `pg_dump --create --clean` drops the very database it is of, and then connects to it; psql would do both. So what
//! reaches beyond the database (other databases, roles, tablespaces, commands of psql that go elsewhere) ends the stream before
//! psql gets that line. Rows between `COPY … FROM stdin;` and `\.` are not looked at. A script that is cut short fails too: psql takes
//! the end of its input for the end of the rows, and would be content with half a table. This is no defence against malice.

use memchr::memchr;

use super::plain::quoting::Quoting;
use crate::stream::{Chunk, Pull, Stopper, Stream, StreamError, fused};

/// The longest line outside of rows, in bytes: no statement may be longer (1 GiB, PostgreSQL's limit of a query).
const LONGEST_LINE: usize = 1 << 30;

/// Commands of psql that stay where they are.
const HARMLESS: &[&str] = &["restrict", "unrestrict", "encoding", "echo", "qecho", "warn", "set", "unset", "pset", "timing"];

/// The script, as long as it stays in its database.
pub fn confined(input: Stream) -> Stream {
    fused(Confined { input, quoting: Quoting::None, rows: false, kept: Vec::new(), line: 0, title: Title::None })
}

struct Confined {
    input: Stream,
    quoting: Quoting,
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
        // psql acts on a statement at its semicolon, which may come before the line's end.
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
            self.quoting.line(&self.kept);
            self.rows = was_sql && self.quoting == Quoting::None && begins_rows(&self.kept);
        }
        self.kept.clear();
        Ok(())
    }

    fn judge(&self) -> Result<(), StreamError> {
        if self.quoting != Quoting::None {
            return Ok(());
        }
        let line = self.kept.trim_ascii_start();
        let line = if self.line == 0 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        match line.strip_prefix(b"\\") {
            Some(command) => self.judge_command(command),
            None if reaches_out(line) => Err(self.refuse("reaches beyond the one database that is restored")),
            None => Ok(()),
        }
    }

    fn judge_command(&self, command: &[u8]) -> Result<(), StreamError> {
        let word: String = command.iter().take_while(|byte| byte.is_ascii_alphabetic()).map(|byte| char::from(*byte)).collect();
        let whole = word.len() < command.len();
        match word.as_str() {
            word if HARMLESS.contains(&word) || (!whole && HARMLESS.iter().any(|known| known.starts_with(word))) => Ok(()),
            "" if command.first() == Some(&b'.') => Ok(()),
            "connect" | "c" => Err(self.refuse("connects to another database")),
            _ => Err(self.refuse("is a command of psql that may go anywhere")),
        }
    }

    fn refuse(&self, why: &str) -> StreamError {
        let shown: String = String::from_utf8_lossy(&self.kept).chars().take(80).collect();
        let line = self.line.max(1);
        StreamError::Incomplete {
            detail: format!(
                "the line `{}` (about line {line}) {why}; it was not run. Make the dump without --create, or take that line out, or run the script with psql by hand",
                shown.trim().escape_debug()
            ),
        }
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

/// Whether rows follow this line.
fn begins_rows(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let lower = line.to_ascii_lowercase();
    lower.starts_with(b"copy ") && lower.ends_with(b";") && memchr::memmem::find(&lower, b" from stdin").is_some()
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
            ("grant connect, temporary on database orders to a;", "reaches beyond"),
            ("copy t from stdin;\n1\n\\.\ncreate tablespace x location '/';", "reaches beyond"),
        ] {
            let why = passes(script).unwrap_err();
            assert!(why.contains(line) && why.contains("was not run"), "{script}: {why}");
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
