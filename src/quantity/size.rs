//! Sizes as people write them: `512 MiB`, `1.26 GB`. For people, [`super::bytes`] prints them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{QuantityError, split_number};

/// A number of bytes, written like `512 MiB`, `10GB` or `48.3 MB`; `k`, `M` and `G` alone are powers of 1000, as storage is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(u64);

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A number of bytes, written like `512 MiB`, `48.3 MB` or `10GB`.",
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*([kKmMgGtTpP]([iI]?[bB])?|[bB])\s*$",
            "x-pattern-help": "write a size like 512 MiB, 48.3 MB or 10GB",
        })
    }
}

impl Size {
    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let fault = || QuantityError::Size { text: text.to_owned() };
        let (number, unit) = split_number(text.trim()).ok_or_else(fault)?;
        let factor = factor(unit.trim()).ok_or_else(fault)?;
        #[expect(clippy::cast_precision_loss, reason = "a factor of at most 2^50 is exact")]
        let bytes = (number * factor as f64).round();
        #[expect(clippy::cast_precision_loss, reason = "a limit of about the largest number of bytes will do")]
        let fits = bytes.is_finite() && bytes < i64::MAX as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "just found to fit, and digits have no sign")]
        fits.then_some(Self(bytes as u64)).ok_or_else(fault)
    }
}

/// Exact, in the largest unit that leaves no rest, so that it reads back to itself.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
        let (mut number, mut unit) = (self.0, 0);
        while number != 0 && number.is_multiple_of(1000) && unit + 1 < UNITS.len() {
            (number, unit) = (number / 1000, unit + 1);
        }
        f.pad(&format!("{number} {}", UNITS[unit]))
    }
}

impl TryFrom<String> for Size {
    type Error = QuantityError;

    fn try_from(text: String) -> Result<Self, QuantityError> {
        text.parse()
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

/// What a unit stands for, in any case of its letters.
fn factor(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    let (power, base): (u32, u64) = match unit.as_str() {
        "" | "b" => (0, 1),
        "k" | "kb" => (1, 1000),
        "m" | "mb" => (2, 1000),
        "g" | "gb" => (3, 1000),
        "t" | "tb" => (4, 1000),
        "p" | "pb" => (5, 1000),
        "kib" => (1, 1024),
        "mib" => (2, 1024),
        "gib" => (3, 1024),
        "tib" => (4, 1024),
        "pib" => (5, 1024),
        _ => return None,
    };
    Some(base.pow(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in
            [("0", 0), ("912 B", 912), ("10GB", 10_000_000_000), (" 1.5 kB ", 1500), ("512 MiB", 536_870_912), ("2g", 2_000_000_000)]
        {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes, "{text:?}");
            assert_eq!(size.to_string().parse(), Ok(size), "{text:?}");
        }
        for bad in ["", "GB", "-1 GB", "1 XB", "1 GB 2", "99999999 PB", "1..2 GB"] {
            let said = bad.parse::<Size>().unwrap_err().to_string();
            assert_eq!(said, format!("{bad:?} is not a size: write it like 512 MiB, 48.3 MB or 10GB"));
        }
    }
}
