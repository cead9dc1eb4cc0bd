//! A look at both ends of what a program wrote: a form that is known is recognised, and an exit with 0 alone is not believed.
//!
//! A wrapper script that forgets its last line, a program of another kind under the same name or a cut that nobody noticed
//! exit with 0 too. This module reads no form from inside: that a whole archive lists and restores is for a verification to show.

use super::{Chunk, Pull, Stopper, Stream, StreamError, fused};

/// How far from the end the last words may begin, in bytes.
const END: usize = 4096;

/// What the bytes of one form begin and end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// The program that writes it, for errors.
    pub program: &'static str,
    /// The form in words: `a custom archive`.
    pub name: &'static str,
    /// Its first bytes.
    pub head: &'static str,
    /// Words among its last 4 KiB; none when empty.
    pub tail: &'static str,
}

struct Expected {
    input: Stream,
    form: Form,
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// Passes a stream on and refuses its end, or its first bytes, when they are not those of the form.
///
/// # Errors
/// While pulled: [`StreamError::Io`] that names the program and what is missing.
pub fn expected(input: Stream, form: Form) -> Stream {
    fused(Expected { input, form, head: Vec::new(), tail: Vec::new() })
}

impl Form {
    fn refused(&self, detail: String) -> StreamError {
        StreamError::Io { doing: format!("checking what {} wrote", self.program), detail, transient: false, denied: false }
    }
}

impl Expected {
    fn look(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
        let wanted = self.form.head.as_bytes();
        let more = wanted.len().saturating_sub(self.head.len()).min(chunk.len());
        self.head.extend_from_slice(&chunk[..more]);
        if !wanted.starts_with(&self.head) {
            return Err(self.form.refused(format!("{} begins with {:?}, and this does not", self.form.name, self.form.head)));
        }
        if !self.form.tail.is_empty() {
            self.tail.extend_from_slice(&chunk[chunk.len().saturating_sub(END)..]);
            self.tail.drain(..self.tail.len().saturating_sub(END));
        }
        Ok(())
    }

    fn end(&self) -> Result<(), StreamError> {
        let Form { program, name, head, tail } = self.form;
        if self.head.is_empty() && !head.is_empty() {
            return Err(self.form.refused(format!("{program} exited with status 0 and wrote not one byte, so there is no dump")));
        }
        if self.head.len() < head.len() {
            return Err(self.form.refused(format!("{name} begins with {head:?}, and only {} bytes came", self.head.len())));
        }
        if !tail.is_empty() && !self.tail.windows(tail.len()).any(|words| words == tail.as_bytes()) {
            return Err(self.form.refused(format!("{name} ends with {tail:?}, and this does not: it was cut short")));
        }
        Ok(())
    }
}

impl Pull for Expected {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let chunk = self.input.pull()?;
        match &chunk {
            Some(chunk) => self.look(chunk)?,
            None => self.end()?,
        }
        Ok(chunk)
    }

    fn stopper(&self) -> Option<Stopper> {
        self.input.stopper()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::bytes::{collect_from, stream_of};

    const FORM: Form = Form { program: "tool", name: "a form", head: "PGDMP", tail: "-- complete" };

    fn read(text: &str) -> Result<Vec<u8>, StreamError> {
        let mut stream = expected(stream_of(text), FORM);
        collect_from(&mut *stream, 1 << 20)
    }

    #[test]
    fn both_ends_must_be_there() {
        let long = format!("PGDMP{}-- complete\n", "x".repeat(20_000));
        assert_eq!(read(&long).unwrap(), long.as_bytes());
        for (bad, words) in [
            ("", "not one byte"),
            ("PGD", "only 3 bytes came"),
            ("Welcome", "begins with \"PGDMP\""),
            (&long[..long.len() - 3], "it was cut short"),
            (&format!("{long}{}", "x".repeat(5000)), "it was cut short"),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.starts_with("checking what tool wrote") && error.contains(words), "{error}");
        }
    }
}
