//! Durations and sizes as people write them: `90s`, `1h 30m`, `26h`; `512 MiB`, `1.26 GB`.
//!
//! The types keep the exact value and print it in a form that reads back to itself. Calendar units (days and longer in a
//! time zone) are not here: a duration is a number of seconds, and a day is 24 hours.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration as StdDuration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Why a text is not a duration or a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a duration.
    #[error("{text:?} is not a duration: write it like 90s, 15m, 1h 30m, 26h or 7d")]
    Duration {
        /// What was given.
        text: String,
    },
}

/// A length of time, written like `90s`, `15m`, `1h 30m` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(StdDuration);

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A length of time, written like `90s`, `15m`, `1h 30m` or `7d`.",
            "pattern": r"^\s*([0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d|w)\s*)+$",
            "x-pattern-help": "write a duration like 90s, 15m, 1h 30m, 26h or 7d",
        })
    }
}

impl Duration {
    /// From whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(StdDuration::from_secs(seconds))
    }

    /// As the standard library's type.
    pub const fn std(self) -> StdDuration {
        self.0
    }
}

impl From<StdDuration> for Duration {
    fn from(value: StdDuration) -> Self {
        Self(value)
    }
}

const UNITS: [(&str, u64); 6] = [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl FromStr for Duration {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let fault = || QuantityError::Duration { text: text.to_owned() };
        let mut rest = text.trim();
        let mut total = StdDuration::ZERO;
        if rest.is_empty() {
            return Err(fault());
        }
        while !rest.is_empty() {
            let (number, after) = split_number(rest).ok_or_else(fault)?;
            let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (_, millis) = UNITS.iter().find(|(unit, _)| *unit == &after[..letters]).ok_or_else(fault)?;
            let part = StdDuration::from_millis(*millis).checked_mul_f64(number).ok_or_else(fault)?;
            total = total.checked_add(part).ok_or_else(fault)?;
            rest = after[letters..].trim_start();
        }
        Ok(Self(total))
    }
}

fn split_number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    Some((number, text[end..].trim_start()))
}

trait CheckedMul: Sized {
    fn checked_mul_f64(self, factor: f64) -> Option<Self>;
}

impl CheckedMul for StdDuration {
    fn checked_mul_f64(self, factor: f64) -> Option<Self> {
        Self::try_from_secs_f64(self.as_secs_f64() * factor).ok()
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.pad("0s");
        }
        let mut words = Vec::new();
        for (unit, size) in UNITS.iter().filter(|(unit, _)| *unit != "w") {
            if millis >= *size {
                words.push(format!("{}{unit}", millis / size));
                millis %= size;
            }
        }
        f.pad(&words.join(" "))
    }
}

impl TryFrom<String> for Duration {
    type Error = QuantityError;
    fn try_from(text: String) -> Result<Self, QuantityError> {
        text.parse()
    }
}

impl From<Duration> for String {
    fn from(value: Duration) -> Self {
        value.to_string()
    }
}

/// A time a person reads off at a glance: `0.4 s`, `43 s`, `2 m 05 s`, `3 h 20 m`.
pub fn brief(duration: StdDuration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A number of bytes a person reads off at a glance, in powers of 1000: `912 B`, `48.3 MB`, `1.26 GB`.
pub fn bytes(count: u64) -> String {
    const STEPS: [(&str, u64); 5] =
        [("PB", 1_000_000_000_000_000), ("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)];
    let Some((unit, size)) = STEPS.iter().find(|(_, size)| count >= *size) else {
        return format!("{count} B");
    };
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = count as f64 / *size as f64;
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_what_they_print() {
        for (text, seconds, shown) in
            [("90s", 90, "1m 30s"), ("1h30m", 5400, "1h 30m"), ("26h", 93_600, "1d 2h"), ("1w", 604_800, "7d"), (" 1.5 h ", 5400, "1h 30m")]
        {
            let duration: Duration = text.parse().unwrap();
            assert_eq!((duration.std().as_secs(), duration.to_string().as_str()), (seconds, shown));
            assert_eq!(shown.parse::<Duration>().unwrap(), duration);
        }
        for bad in ["", "5", "5 minutes ago", "-1s", "1h-", "s", "1..2s", "99999999999999999999w"] {
            assert!(bad.parse::<Duration>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_show_three_digits() {
        assert_eq!(
            [0, 999, 1000, 48_312_000, 1_260_000_000, 999_000_000_000].map(bytes),
            ["0 B", "999 B", "1.00 kB", "48.3 MB", "1.26 GB", "999 GB"]
        );
    }

    #[test]
    fn brief_times_fit_their_scale() {
        let show = |ms: u64| brief(StdDuration::from_millis(ms));
        assert_eq!([430, 43_000, 125_000, 12_000_000].map(show), ["0.4 s", "43 s", "2 m 05 s", "3 h 20 m"]);
    }
}
