//! Reading a document's file: its size, its encoding, and where that goes wrong. Does not look at the YAML.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, MARK, SourceText};

/// The largest file that is read, in bytes. A pipeline has a few kilobytes; anything near this is another kind of file.
pub const SIZE_LIMIT: usize = 4 << 20;

/// Why a file could not be read as text.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system did not give its bytes.
    #[error("reading {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are there, but are not a text that could be a document.
    #[error("{}", .0.message)]
    Content(Box<Diagnostic>),
}

/// Reads a file that must be UTF-8.
pub fn read(path: &Path) -> Result<Arc<SourceText>, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(io)?;
    let mut limited = std::io::Read::take(file, SIZE_LIMIT as u64 + 1);
    std::io::Read::read_to_end(&mut limited, &mut bytes).map_err(io)?;
    decode(path, bytes).map_err(ReadError::Content)
}

fn decode(path: &Path, bytes: Vec<u8>) -> Result<Arc<SourceText>, Box<Diagnostic>> {
    if bytes.len() > SIZE_LIMIT {
        let source = Arc::new(SourceText { path: path.to_owned(), text: String::new(), marked: false });
        let message = format!("the file is larger than {} MiB, so it is no document of ours", SIZE_LIMIT >> 20);
        return Err(Box::new(Diagnostic::error("too-large", &source, 0..0, message)));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Arc::new(without_mark(path, text))),
        Err(error) => Err(Box::new(not_utf8(path, &error))),
    }
}

/// A byte order mark is no character of the text: it would move the first line's columns by one.
fn without_mark(path: &Path, mut text: String) -> SourceText {
    let marked = text.starts_with(MARK);
    if marked {
        text.drain(..MARK.len_utf8());
    }
    SourceText { path: path.to_owned(), text, marked }
}

/// The place is exact although the text shown is a repaired one: what stands before the bad byte is the same in both.
fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> Diagnostic {
    let at = error.utf8_error().valid_up_to();
    let bytes = error.as_bytes();
    let text = String::from_utf8_lossy(bytes).into_owned();
    let source = Arc::new(SourceText { path: path.to_owned(), text, marked: false });
    let (message, help) = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => ("the file is UTF-16, not UTF-8".to_owned(), "save it as UTF-8"),
        _ => (format!("byte 0x{:02x} is not UTF-8 text", bytes.get(at).copied().unwrap_or_default()), "save the file as UTF-8"),
    };
    Diagnostic::error("not-utf8", &source, at..at + '\u{fffd}'.len_utf8(), message).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Place;

    fn content(bytes: &[u8]) -> Diagnostic {
        *decode(Path::new("p.yaml"), bytes.to_vec()).unwrap_err()
    }

    #[test]
    fn a_byte_that_is_not_utf8_is_shown_at_its_line_and_column() {
        let found = content(&[&b"name: "[..], "주문".as_bytes(), b"\nb: caf\xe9\n"].concat());
        assert_eq!((found.code, found.place()), ("not-utf8", Place { line: 2, column: 7 }));
        assert_eq!(&found.source.text[found.range.clone()], "\u{fffd}");
    }

    #[test]
    fn a_byte_order_mark_is_no_column() {
        assert_eq!(decode(Path::new("p.yaml"), "\u{feff}a: 1\n".into()).unwrap().text, "a: 1\n");
    }

    #[test]
    fn utf16_is_named() {
        assert_eq!(content(b"\xff\xfea\0").message, "the file is UTF-16, not UTF-8");
    }

    #[test]
    fn a_huge_file_is_not_read_to_its_end() {
        assert_eq!(content(&vec![b' '; SIZE_LIMIT + 1]).code, "too-large");
    }

    #[test]
    fn a_missing_file_is_an_io_error_that_names_it() {
        let error = read(Path::new("/nonexistent/주문.yaml")).unwrap_err();
        assert!(matches!(&error, ReadError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound));
        assert!(error.to_string().contains("/nonexistent/주문.yaml"));
    }
}
