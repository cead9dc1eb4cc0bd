//! A bare connection that reads rows: one thread, one buffer, nothing in between.
//!
//! The async client hands every few kilobytes from one thread to another, which costs several times as much as digesting them.
//! This speaks as much of the protocol as reading takes, and only where the server wants neither password nor TLS: through a
//! unix socket. Source: PostgreSQL documentation, "Frontend/Backend Protocol", version 3.0. This module does not know what it
//! reads, and decides nothing about the transaction it is in.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::postgres::conninfo::ConnInfo;
use crate::postgres::error::{PgError, judged, place};

/// Bytes read at once: many of the 8 kB that the server sends.
const BUFFER: usize = 256 * 1024;

/// The version of the protocol: 3.0.
const PROTOCOL: u32 = 3 << 16;

/// How long a server may take to let a client in.
const WELCOME: Duration = Duration::from_secs(10);

/// The longest message that is kept: an error's.
const KEPT: usize = 64 * 1024;

/// A connection without a password over a unix socket.
pub(super) struct Wire {
    socket: BufReader<UnixStream>,
    server: String,
}

impl Wire {
    /// Connects, if this server can be reached so; anyone who can not be let in so is told why by the usual client.
    pub(super) fn open(info: &ConnInfo) -> Option<Self> {
        let [host] = info.hosts.as_slice() else { return None };
        let socket = UnixStream::connect(host.socket_folder()?.join(format!(".s.PGSQL.{}", host.port))).ok()?;
        let mut wire = Self { socket: BufReader::with_capacity(BUFFER, socket), server: place(info, host) };
        wire.start(info).ok()?.then_some(wire)
    }

    /// Whether the server lets us in without asking for anything.
    fn start(&mut self, info: &ConnInfo) -> io::Result<bool> {
        let mut words = vec![("user", info.user.as_str()), ("database", &info.database), ("application_name", "runner")];
        words.push(("client_encoding", "UTF8"));
        words.extend(info.options.iter().map(|options| ("options", options.as_str())));
        let mut message = PROTOCOL.to_be_bytes().to_vec();
        for text in words.into_iter().flat_map(|(name, value)| [name, value]).chain([""]) {
            message.extend(text.as_bytes());
            message.push(0);
        }
        self.send(None, &message)?;
        self.socket.get_ref().set_read_timeout(Some(WELCOME))?;
        loop {
            let (kind, length) = self.head()?;
            let body = self.body(length)?;
            match kind {
                // Anything but AuthenticationOk asks for something.
                b'R' if body.get(..4) != Some(&[0; 4]) => return Ok(false),
                b'E' => return Ok(false),
                b'Z' => break,
                _ => {}
            }
        }
        // From here on it may think as long as it takes.
        self.socket.get_ref().set_read_timeout(None)?;
        Ok(true)
    }

    /// Runs statements and throws their answers away.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), PgError> {
        self.run(sql, &mut |_| Ok(()))
    }

    /// Runs a `COPY … TO STDOUT` and hands over what it sends, in pieces of rows. After an error nothing more can be asked.
    pub(super) fn copy(&mut self, sql: &str, mut each: impl FnMut(&[u8]) -> Result<(), PgError>) -> Result<(), PgError> {
        self.run(sql, &mut each)
    }

    fn run(&mut self, sql: &str, each: &mut dyn FnMut(&[u8]) -> Result<(), PgError>) -> Result<(), PgError> {
        let query: Vec<u8> = sql.bytes().chain([0]).collect();
        self.send(Some(b'Q'), &query).map_err(|error| self.lost(&error))?;
        let mut refused = None;
        loop {
            let (kind, length) = self.head().map_err(|error| self.lost(&error))?;
            if kind == b'd' {
                self.data(length, each)?;
                continue;
            }
            let body = self.body(length).map_err(|error| self.lost(&error))?;
            match kind {
                b'E' => refused = Some(self.refusal(&body, sql)),
                b'Z' => return refused.map_or(Ok(()), Err),
                _ => {}
            }
        }
    }

    /// Hands over the data of one message as it lies in the buffer.
    fn data(&mut self, length: usize, each: &mut dyn FnMut(&[u8]) -> Result<(), PgError>) -> Result<(), PgError> {
        let mut left = length;
        while left > 0 {
            let there = match self.socket.fill_buf() {
                Ok([]) => return Err(self.lost(&io::ErrorKind::UnexpectedEof.into())),
                Ok(there) => &there[..there.len().min(left)],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.lost(&error)),
            };
            let took = there.len();
            each(there)?;
            self.socket.consume(took);
            left -= took;
        }
        Ok(())
    }

    fn send(&self, kind: Option<u8>, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 4).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let message: Vec<u8> = kind.into_iter().chain(length.to_be_bytes()).chain(body.iter().copied()).collect();
        self.socket.get_ref().write_all(&message)
    }

    /// The kind of the next message and the length of its body.
    fn head(&mut self) -> io::Result<(u8, usize)> {
        let mut head = [0; 5];
        self.socket.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length).checked_sub(4).and_then(|length| usize::try_from(length).ok());
        length.map(|length| (kind, length)).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The body of a message, of a very long one only the beginning.
    fn body(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut body = vec![0; length.min(KEPT)];
        self.socket.read_exact(&mut body)?;
        io::copy(&mut self.socket.by_ref().take((length - body.len()) as u64), &mut io::sink())?;
        Ok(body)
    }

    /// The fields of an error that matter: its code, its message, detail and hint.
    fn refusal(&self, body: &[u8], sql: &str) -> PgError {
        let field = |kind: u8| {
            let found = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(&[kind]));
            found.map(|text| String::from_utf8_lossy(text).into_owned())
        };
        let more = [field(b'D'), field(b'H')].into_iter().flatten().map(|text| format!("; {text}"));
        let message = field(b'M').into_iter().chain(more).collect();
        judged(self.server.clone(), &field(b'C').unwrap_or_default(), message, sql, None)
    }

    fn lost(&self, error: &io::Error) -> PgError {
        PgError::Transient { server: self.server.clone(), detail: format!("the connection was lost: {error}") }
    }
}
