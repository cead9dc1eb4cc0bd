//! The numbers and texts of an archive's header and table of contents, as they lie in bytes.
//!
//! Source: PostgreSQL `pg_backup_archiver.c`: `ReadInt`, `ReadStr`, `ReadOffset`. This module does not know what they mean.

use super::damaged;
use crate::stream::StreamError;

/// The longest text that is believed, in bytes. Names and statements are far shorter; a longer one is a damaged length.
const LONGEST: usize = 64 * 1024 * 1024;

/// Why something could not be read.
#[derive(Debug)]
pub(super) enum Stop {
    /// More bytes are needed.
    Short,
    /// No further bytes can make it right.
    Damaged(StreamError),
}

impl From<StreamError> for Stop {
    fn from(error: StreamError) -> Self {
        Self::Damaged(error)
    }
}

/// How wide numbers are, as the header says, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    /// Of an integer, without its sign.
    pub(super) int: usize,
    /// Of an offset, without its state.
    pub(super) offset: usize,
}

/// A place in bytes that are read front to back.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    pub(super) widths: Widths,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], widths: Widths) -> Self {
        Self { bytes, at: 0, widths }
    }

    /// How many bytes were read.
    pub(super) fn read(&self) -> usize {
        self.at
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..length)).ok_or(Stop::Short)?;
        self.at += length;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Stop> {
        Ok(self.take(1)?[0])
    }

    /// A sign byte and the magnitude, least significant byte first.
    pub(super) fn int(&mut self) -> Result<i64, Stop> {
        let taken = self.take(1 + self.widths.int)?;
        Ok(number(taken)?)
    }

    /// A length and as many bytes; a negative length stands for no text at all.
    pub(super) fn text(&mut self) -> Result<Option<&'a [u8]>, Stop> {
        let length = self.int()?;
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        if length > LONGEST {
            return Err(damaged(format_args!("its table of contents has a text of {length} bytes, which no dump has")).into());
        }
        self.take(length).map(Some)
    }

    /// A text that must be there and be one of digits.
    pub(super) fn digits(&mut self, what: &str) -> Result<u32, Stop> {
        let text = self.text()?.and_then(|text| std::str::from_utf8(text).ok());
        let number = text.and_then(|text| text.parse().ok());
        number.ok_or_else(|| damaged(format_args!("{what} in its table of contents is {text:?} and not a number")).into())
    }

    /// A state and a position in the archive, which is known only if the archive was written to a file and not to a pipe.
    pub(super) fn offset(&mut self) -> Result<Place, Stop> {
        let state = self.byte()?;
        let position = magnitude(self.take(self.widths.offset)?);
        match state {
            1 => Ok(Place::Unknown),
            2 => Ok(Place::At(position)),
            3 => Ok(Place::NoData),
            other => Err(damaged(format_args!("a data position in its table of contents has the state {other}")).into()),
        }
    }
}

/// Where the data of an entry lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Unknown,
    /// At this byte of the archive.
    At(u64),
    /// In a file of this name.
    File(String),
    NoData,
}

/// A sign byte (0 or 1) and a magnitude.
pub(super) fn number(bytes: &[u8]) -> Result<i64, StreamError> {
    let value = i64::try_from(magnitude(&bytes[1..]));
    match (bytes[0], value) {
        (0, Ok(value)) => Ok(value),
        (1, Ok(value)) if value > 0 => Ok(-value),
        _ => Err(damaged("a number in it has neither sign nor a size that fits")),
    }
}

/// The value of bytes, least significant first. Eight at the most are ever asked for.
fn magnitude(bytes: &[u8]) -> u64 {
    match *bytes {
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]).into(),
        _ => bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)),
    }
}

/// Text as UTF-8. An archive of another encoding keeps its ASCII, and every other byte shows as `\xNN`.
pub fn words(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let shown = bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte).to_string() } else { format!("\\x{byte:02X}") });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_width_the_header_says() {
        let widths = Widths { int: 4, offset: 8 };
        let mut cursor = Cursor::new(&[0, 5, 1, 0, 0, 1, 1, 0, 0, 0, 2, 9, 0, 0, 0, 0, 0, 0, 1], widths);
        assert_eq!((cursor.int().unwrap(), cursor.int().unwrap()), (261, -1));
        assert_eq!((cursor.offset().unwrap(), cursor.read()), (Place::At((1 << 56) + 9), 19));
        assert!(matches!(cursor.byte(), Err(Stop::Short)));
        assert_eq!(Cursor::new(&[0, 1, 2], Widths { int: 2, offset: 2 }).int().unwrap(), 513);
    }

    #[test]
    fn texts_may_be_absent_short_or_absurd() {
        let widths = Widths { int: 1, offset: 1 };
        assert_eq!(Cursor::new(&[1, 1], widths).text().unwrap(), None);
        assert_eq!(Cursor::new(&[0, 2, b'o', b'k'], widths).text().unwrap(), Some(&b"ok"[..]));
        assert!(matches!(Cursor::new(&[0, 3, b'o', b'k'], widths).text(), Err(Stop::Short)));
        let absurd = Cursor::new(&[0, 0, 0, 0, 5], Widths { int: 4, offset: 8 }).text().unwrap_err();
        assert!(matches!(absurd, Stop::Damaged(_)));
        assert!(matches!(Cursor::new(&[7, 1], widths).int(), Err(Stop::Damaged(_))));
    }

    #[test]
    fn names_in_another_encoding_keep_apart() {
        assert_eq!(words("주문".as_bytes()), "주문");
        assert_eq!(words(b"t_\xc1\xd6"), r"t_\xC1\xD6");
    }
}
