//! The tar format, and the directory format travelling as a tar: files that come in any order.
//!
//! The table of contents may come last, so every file is digested by its name, and what belongs to what is settled at the
//! end. Source: PostgreSQL `pg_backup_tar.c`, `pg_backup_directory.c`. This module does not write files.

mod member;

use std::collections::BTreeMap;

use self::member::{BLOCK, Member, member};
use super::contents::{Contents, Data};
use super::cursor::{Cursor, Stop, Widths, words};
use super::header::header;
use super::model::Fingerprint;
use super::objects::Objects;
use super::rows::{Counted, Rows};
use super::toc::item;
use super::{Form, Reader, damaged};
use crate::stream::StreamError;

/// The most that a table of contents or a list of large objects may be, in bytes.
const LONGEST_LIST: usize = 512 * 1024 * 1024;

/// The zeros that end a tar, in bytes (POSIX.1-2017, pax: two blocks of 512).
const END: u64 = 1024;

/// Reads a tar as it comes.
pub(super) struct Tarred {
    form: Form,
    /// A header that is not whole yet.
    head: Vec<u8>,
    content: Content,
    /// How much of a file is still to come, and then how many zeros that fill its last block.
    left: u64,
    fill: u64,
    /// The zeros of the end, as far as they have come.
    zeros: u64,
    toc: Option<Vec<u8>>,
    tables: BTreeMap<String, Result<Counted, StreamError>>,
    objects: Objects,
    /// The large objects that lists name, and the lists.
    listed: Vec<u32>,
    lists: Vec<String>,
    seen: bool,
}

/// What a file is.
enum Content {
    None,
    Toc(Vec<u8>),
    Rows(String, Box<Rows>, Result<(), StreamError>),
    Object,
    List(String, Vec<u8>),
    /// `restore.sql`, which repeats what the table of contents says.
    Script,
}

impl Tarred {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            head: Vec::new(),
            content: Content::None,
            left: 0,
            fill: 0,
            zeros: 0,
            toc: None,
            tables: BTreeMap::new(),
            objects: Objects::default(),
            listed: Vec::new(),
            lists: Vec::new(),
            seen: false,
        }
    }
}

impl Reader for Tarred {
    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let waiting = [self.left, self.fill].into_iter().find(|length| *length > 0);
            let wanted = waiting.map_or(BLOCK - self.head.len(), |length| usize::try_from(length).unwrap_or(usize::MAX));
            let (now, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if self.left > 0 {
                self.left -= now.len() as u64;
                self.take(now)?;
                if self.left == 0 {
                    self.end()?;
                }
            } else if self.fill > 0 {
                self.fill -= now.len() as u64;
            } else {
                self.head.extend_from_slice(now);
                if self.head.len() == BLOCK {
                    self.block()?;
                }
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Fingerprint, StreamError> {
        if !self.seen && self.head.is_empty() && self.zeros == 0 {
            return Err(damaged("it is empty: pg_dump wrote nothing"));
        }
        if self.zeros < END || !self.head.is_empty() {
            return Err(damaged("the tar is cut: its end is missing"));
        }
        let toc = self.toc.take().ok_or_else(|| damaged("the tar holds no toc.dat, the table of contents"))?;
        let contents = self.contents(&toc)?;
        self.settle(contents)
    }
}

impl Tarred {
    /// A header, or a part of the end.
    fn block(&mut self) -> Result<(), StreamError> {
        let head = std::mem::take(&mut self.head);
        if head.iter().all(|byte| *byte == 0) {
            self.zeros += BLOCK as u64;
            return Ok(());
        }
        if self.zeros > 0 {
            return Err(damaged("something follows the end of the tar"));
        }
        self.seen = true;
        let Member { name, bytes } = member(&head)?;
        self.content = self.content_of(name)?;
        (self.left, self.fill) = (bytes, bytes.next_multiple_of(BLOCK as u64) - bytes);
        if bytes == 0 { self.end() } else { Ok(()) }
    }

    fn content_of(&mut self, name: String) -> Result<Content, StreamError> {
        let number = |text: &str| (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten();
        Ok(match name.strip_suffix(".dat") {
            Some("toc") if self.toc.is_none() => Content::Toc(Vec::new()),
            Some(stem) if let Some(oid) = stem.strip_prefix("blob_").and_then(number) => {
                self.objects.begin(oid);
                Content::Object
            }
            Some(stem) if number(stem).is_some() && !self.tables.contains_key(&name) => Content::Rows(name, Box::default(), Ok(())),
            None if name == "restore.sql" && self.form == Form::Tar => Content::Script,
            None if name.strip_suffix(".toc").is_some_and(|stem| stem.starts_with("blobs")) && !self.lists.contains(&name) => {
                Content::List(name, Vec::new())
            }
            _ => return Err(damaged(format_args!("the file {name:?} in it comes twice or is none that pg_dump writes"))),
        })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        match &mut self.content {
            Content::Toc(kept) | Content::List(_, kept) => {
                if kept.len() + bytes.len() > LONGEST_LIST {
                    return Err(damaged("a table of contents in it is longer than any that pg_dump writes"));
                }
                kept.extend_from_slice(bytes);
            }
            // Data that is no rows has no end mark; whether it should, the table of contents tells later.
            Content::Rows(_, rows, sound) if sound.is_ok() => *sound = rows.feed(bytes),
            Content::Object => self.objects.feed(bytes),
            Content::Rows(..) | Content::Script | Content::None => {}
        }
        Ok(())
    }

    /// A file is whole.
    fn end(&mut self) -> Result<(), StreamError> {
        match std::mem::replace(&mut self.content, Content::None) {
            Content::Toc(kept) => self.toc = Some(kept),
            Content::Rows(name, rows, sound) => {
                self.tables.insert(name, sound.and_then(|()| rows.finish()));
            }
            Content::Object => self.objects.end(),
            Content::List(name, kept) => {
                self.listed.extend(listed(&kept)?);
                self.lists.push(name);
            }
            Content::Script | Content::None => {}
        }
        Ok(())
    }

    fn contents(&mut self, toc: &[u8]) -> Result<Contents, StreamError> {
        let whole = |stop| match stop {
            Stop::Damaged(error) => error,
            Stop::Short => damaged("its table of contents is cut"),
        };
        let mut cursor = Cursor::new(toc, Widths { int: 4, offset: 8 });
        let header = header(&mut cursor, self.form).map_err(whole)?;
        let count = cursor.int().map_err(whole)?;
        let mut contents = Contents::new(header.facts.clone());
        contents.objects = std::mem::take(&mut self.objects);
        for _ in 0..count {
            contents.declare(item(&mut cursor, &header).map_err(whole)?)?;
        }
        if cursor.read() != toc.len() {
            return Err(damaged("something follows its table of contents"));
        }
        Ok(contents)
    }

    /// Gives every entry its file.
    fn settle(&mut self, mut contents: Contents) -> Result<Fingerprint, StreamError> {
        for (id, name) in contents.files() {
            let what = contents.describe(id);
            let missing = || damaged(format_args!("the file {name} with the data of {what} is missing"));
            match contents.begin(id, 0)? {
                Data::Objects => {
                    // The tar format names a file that is not there; the list is called after the entry, before 17 after none.
                    let names = [name.clone(), format!("blobs_{id}.toc"), "blobs.toc".to_owned()];
                    let at = self.lists.iter().position(|list| names.contains(list)).ok_or_else(missing)?;
                    self.lists.swap_remove(at);
                }
                Data::Rows => {
                    let found = self.tables.remove(&name).ok_or_else(missing)?;
                    contents.rows(id, found.map_err(|error| damaged(format_args!("{what}: {}", detail(&error))))?);
                }
                Data::Opaque => {
                    self.tables.remove(&name).ok_or_else(missing)?.ok();
                    contents.passed_over(id);
                }
            }
        }
        let stray = self.tables.keys().chain(&self.lists).next();
        if let Some(name) = stray {
            return Err(damaged(format_args!("the file {name} in it belongs to no entry of its table of contents")));
        }
        contents.objects.check_listed(&mut self.listed)?;
        contents.finish()
    }
}

fn detail(error: &StreamError) -> String {
    match error {
        StreamError::Corrupt { detail, .. } => detail.clone(),
        other => other.to_string(),
    }
}

/// `16401 blob_16401.dat`, a line for each large object.
fn listed(list: &[u8]) -> Result<Vec<u32>, StreamError> {
    let line = |line: &str| {
        let (oid, file) = line.split_once(' ')?;
        let oid: u32 = oid.parse().ok()?;
        (file == format!("blob_{oid}.dat")).then_some(oid)
    };
    let text = words(list);
    let oids: Option<Vec<u32>> = text.lines().map(line).collect();
    oids.ok_or_else(|| damaged("its list of large objects has a line that pg_dump does not write"))
}
