//! The plain format: a script for psql, in sections with headings.
//!
//! Rows stand between `COPY … FROM stdin;` and `\.`, but only in a section of table data and outside of quotes: a function's
//! body may look the same. A script that is cut does not have `pg_dump`'s last lines. This module does not read scripts
//! that other programs wrote.

pub(super) mod quoting;
mod section;

use std::io::Write;

use memchr::memchr;

use self::quoting::Quoting;
use self::section::{Section, heading};
use super::contents::Contents;
use super::cursor::words;
use super::model::{Facts, Fingerprint};
use super::rows::Rows;
use super::sql::{copied, identifier};
use super::toc::HEAP;
use super::{Form, Reader, damaged};
use crate::stream::StreamError;

/// The longest line outside of rows that is believed, in bytes.
const LONGEST_LINE: usize = 64 * 1024 * 1024;

/// Reads a script as it comes.
pub(super) struct Plain {
    contents: Contents,
    stage: Stage,
    quoting: Quoting,
    /// The line that is not whole yet.
    kept: Vec<u8>,
    /// The beginning of a statement that loads rows, up to a line break in one of its names.
    copy: Option<Vec<u8>>,
    /// Where everything but data is written.
    aside: Option<Box<dyn Write + Send>>,
    /// Whether the line before was `--` alone.
    ruled: bool,
    section: Option<Section>,
    /// The access method that the script has set last, if it is not the usual one.
    method: Option<String>,
    /// How many sections there were, which numbers them.
    sections: i64,
    rows: Option<Rows>,
    /// The key of `\restrict`, which must come again at the end.
    restricted: Option<Vec<u8>>,
}

/// Where in the script the next line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Before its title.
    Start,
    Body,
    /// Behind the line that says that it is complete.
    Complete,
    /// Behind the rule and the blank line that follow it.
    Over,
    /// Something else follows: psql's last command, without and with its blank line.
    Unrestricted,
    End,
}

impl Default for Plain {
    fn default() -> Self {
        let empty = String::new;
        let (version, created, database) = (empty(), empty(), empty());
        let facts =
            Facts { form: Form::Plain, version, created, database, server_version: empty(), dump_version: empty(), encoding: empty() };
        Self {
            contents: Contents::new(facts),
            stage: Stage::Start,
            quoting: Quoting::None,
            kept: Vec::new(),
            copy: None,
            aside: None,
            ruled: false,
            section: None,
            method: None,
            sections: 0,
            rows: None,
            restricted: None,
        }
    }
}

impl Reader for Plain {
    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            if let Some(rows) = &mut self.rows {
                bytes = &bytes[rows.feed_to_end(bytes)..];
                if rows.ended() {
                    self.rows_end()?;
                }
            } else if let Some(end) = memchr(b'\n', bytes) {
                let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
                if self.kept.is_empty() {
                    self.line(line)?;
                } else {
                    let mut whole = std::mem::take(&mut self.kept);
                    whole.extend_from_slice(line);
                    self.line(&whole)?;
                }
                bytes = rest;
            } else {
                self.kept.extend_from_slice(bytes);
                if self.kept.len() > LONGEST_LINE {
                    return Err(damaged("a line of it that is no row is longer than any that pg_dump writes"));
                }
                return Ok(());
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Fingerprint, StreamError> {
        let over = if self.restricted.is_some() { Stage::End } else { Stage::Over };
        if self.stage == Stage::Start && self.kept.is_empty() && !self.ruled {
            return Err(damaged("it is empty: pg_dump wrote nothing"));
        }
        if self.stage != over || !self.kept.is_empty() || self.copy.is_some() {
            return Err(damaged("the script is cut: pg_dump's last lines are missing"));
        }
        self.contents.finish()
    }
}

impl Plain {
    /// A reader that also writes everything but data elsewhere.
    pub(super) fn setting_aside(aside: Box<dyn Write + Send>) -> Self {
        Self { aside: Some(aside), ..Self::default() }
    }

    /// Ends what is set aside, with the lines that the script ends with.
    pub(super) fn flush(mut self) -> Result<(), StreamError> {
        self.aside.as_mut().map_or(Ok(()), |aside| aside.flush().map_err(|error| unwritten(&error)))
    }

    fn set_aside(&mut self, line: &[u8]) -> Result<(), StreamError> {
        let Some(aside) = &mut self.aside else { return Ok(()) };
        let data = |section: &Section| ["TABLE DATA", "BLOBS", "MATERIALIZED VIEW DATA"].iter().any(|kind| section.is(kind));
        if self.rows.is_some() || self.copy.is_some() || self.section.as_ref().is_some_and(data) {
            return Ok(());
        }
        aside.write_all(line).and_then(|()| aside.write_all(b"\n")).map_err(|error| unwritten(&error))
    }

    fn line(&mut self, line: &[u8]) -> Result<(), StreamError> {
        self.read(line)?;
        self.set_aside(line)
    }

    fn read(&mut self, line: &[u8]) -> Result<(), StreamError> {
        let ruled = self.ruled;
        // With --verbose, more about an entry stands above its name.
        let about = ruled && (line.starts_with(b"-- TOC entry ") || line.starts_with(b"-- Dependencies: "));
        self.ruled = line == b"--" || about;
        match self.stage {
            Stage::Start => self.title(line),
            Stage::Body => self.body(line, ruled),
            _ => self.ending(line, ruled),
        }
    }

    fn title(&mut self, line: &[u8]) -> Result<(), StreamError> {
        match line {
            b"--" => Ok(()),
            b"-- PostgreSQL database dump" => {
                self.stage = Stage::Body;
                Ok(())
            }
            _ => Err(damaged("this is no script of pg_dump: it does not begin with its title")),
        }
    }

    fn body(&mut self, line: &[u8], ruled: bool) -> Result<(), StreamError> {
        if self.quoting != Quoting::None {
            self.quoting.line(line);
            self.text(line);
            return Ok(());
        }
        if let Some(mut begun) = self.copy.take() {
            begun.push(b'\n');
            begun.extend_from_slice(line);
            return self.rows_begin(&begun);
        }
        if ruled && line == b"-- PostgreSQL database dump complete" {
            self.stage = Stage::Complete;
            return self.section_end();
        }
        if ruled && let Some(mut next) = heading(line) {
            self.section_end()?;
            next.stored_by(self.method.as_ref());
            self.section = Some(next);
            return Ok(());
        }
        if let Some(method) = line.strip_prefix(b"SET default_table_access_method = ") {
            self.method = identifier(&words(method)).map(|(name, _)| name).filter(|name| name != HEAP);
        }
        if line.starts_with(b"COPY ") && self.section.as_ref().is_some_and(|section| section.is("TABLE DATA")) {
            return self.rows_begin(line);
        }
        match &self.section {
            None => self.preamble(line),
            Some(section) if section.is("BLOBS") => self.object(line)?,
            Some(_) => {}
        }
        self.quoting.line(line);
        self.text(line);
        Ok(())
    }

    fn text(&mut self, line: &[u8]) {
        if let Some(section) = &mut self.section {
            section.line(line);
        }
    }

    /// The lines before the first section.
    fn preamble(&mut self, line: &[u8]) {
        let facts = self.contents.facts();
        if let Some(version) = line.strip_prefix(b"-- Dumped from database version ") {
            facts.server_version = words(version);
        } else if let Some(version) = line.strip_prefix(b"-- Dumped by pg_dump version ") {
            facts.dump_version = words(version);
        } else if let Some(encoding) = line.strip_prefix(b"SET client_encoding = '") {
            words(encoding).split('\'').next().unwrap_or_default().clone_into(&mut facts.encoding);
        } else if let Some(key) = line.strip_prefix(b"\\restrict ") {
            self.restricted = Some(key.to_vec());
        }
    }

    /// The statement that loads rows; a name in double quotes may go on over lines.
    fn rows_begin(&mut self, statement: &[u8]) -> Result<(), StreamError> {
        if memchr::memchr_iter(b'"', statement).count() % 2 == 1 && statement.len() < LONGEST_LINE {
            self.copy = Some(statement.to_vec());
            return Ok(());
        }
        let statement = words(statement);
        if copied(&statement).is_none() {
            return Err(damaged(format_args!("rows are loaded by a statement that pg_dump does not write: {statement}")));
        }
        self.sections += 1;
        if let Some(section) = self.section.take() {
            self.contents.declare(section.item(self.sections, Some(statement), true))?;
            self.contents.begin(self.sections, 0)?;
        }
        self.rows = Some(Rows::default());
        Ok(())
    }

    fn rows_end(&mut self) -> Result<(), StreamError> {
        if let Some(rows) = self.rows.take() {
            self.contents.rows(self.sections, rows.finish()?);
        }
        Ok(())
    }

    /// A line of a large object's content, as `pg_backup_null.c` writes it.
    fn object(&mut self, line: &[u8]) -> Result<(), StreamError> {
        let quoted = || words(line).split('\'').nth(1).map(str::to_owned).unwrap_or_default();
        if line.starts_with(b"SELECT pg_catalog.lo_open('") {
            let oid = quoted().parse().map_err(|_| damaged("a large object is opened that has no number"))?;
            self.contents.objects.begin(oid);
        } else if line.starts_with(b"SELECT pg_catalog.lowrite(0, '") {
            let content = bytes(quoted().as_bytes()).ok_or_else(|| damaged("the content of a large object is no hexadecimal text"))?;
            self.contents.objects.feed(&content);
        } else if line.starts_with(b"SELECT pg_catalog.lo_close(") {
            self.contents.objects.end();
        }
        Ok(())
    }

    fn section_end(&mut self) -> Result<(), StreamError> {
        let Some(section) = self.section.take() else { return Ok(()) };
        self.sections += 1;
        let rowless = section.is("TABLE DATA");
        let data = rowless || section.is("BLOBS");
        self.contents.declare(section.item(self.sections, None, data))?;
        if data {
            self.contents.begin(self.sections, 0)?;
        }
        if rowless {
            self.contents.passed_over(self.sections);
        }
        Ok(())
    }

    /// The lines behind the last section, each of which must come: a cut may be anywhere.
    fn ending(&mut self, line: &[u8], ruled: bool) -> Result<(), StreamError> {
        let restricted = self.restricted.as_deref();
        let unrestrict = line.strip_prefix(b"\\unrestrict ");
        self.stage = match self.stage {
            Stage::Complete if line == b"--" => Stage::Complete,
            Stage::Complete if line.is_empty() && ruled => Stage::Over,
            Stage::Over if unrestrict.is_some() && unrestrict == restricted => Stage::Unrestricted,
            Stage::Unrestricted if line.is_empty() => Stage::End,
            _ => return Err(damaged(format_args!("something follows the end of the script: {}", words(line)))),
        };
        Ok(())
    }
}

fn unwritten(error: &std::io::Error) -> StreamError {
    StreamError::io("setting the definitions of a script aside", error)
}

/// `\x` and pairs of hexadecimal digits.
fn bytes(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_prefix(b"\\x").filter(|digits| digits.len() % 2 == 0)?;
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    digits.chunks_exact(2).map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?)).collect()
}
