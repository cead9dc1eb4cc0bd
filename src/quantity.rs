//! Durations, sizes and percentages as people write them: `90s`, `1h 30m`, `26h`; `512 MiB`, `1.26 GB`; `30%`.
//!
//! The types keep the exact value and print it in a form that reads back to itself. Calendar units (days and longer in a
//! time zone) are not here: a duration is a number of seconds, and a day is 24 hours.

mod percent;
mod size;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration as StdDuration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use percent::Percent;
pub use size::Size;

/// Why a text is not a duration, a size or a percentage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a duration.
    #[error("{text:?} is not a duration: write it like 90s, 15m, 1h 30m, 26h or 7d")]
    Duration {
        /// What was given.
        text: String,
    },
    /// Not a size.
    #[error("{text:?} is not a size: write it like 512 MiB, 48.3 MB or 10GB")]
    Size {
        /// What was given.
        text: String,
    },
    /// Not a percentage.
    #[error("{text:?} is not a percentage: write it like 30% or 12.5%")]
    Percent {
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

/// A time a person reads off at a glance: `0.4 s`, `43 s`, `2 m 05 s`, `3 h 20 m`, `3 d 04 h`.
///
/// Rounded to what is shown below an hour, and judged after rounding: 59.6 s are `1 m 00 s`. Above it, the rest is left out.
pub fn brief(duration: StdDuration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    if tenths < 100 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let seconds = duration.as_secs() + u64::from(duration.subsec_millis() >= 500);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A number of bytes a person reads off at a glance, in powers of 1000 as storage is billed: `912 B`, `48.3 MB`, `1.26 GB`.
///
/// Three digits, judged after rounding: 999 600 bytes are `1.00 MB`, not `1000 kB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let (count, mut scale, mut unit) = (u128::from(count), 1000_u128, 0);
    while rounded(count, scale) >= 1000 {
        (scale, unit) = (scale * 1000, unit + 1);
    }
    let (hundredths, tenths) = (rounded(count * 100, scale), rounded(count * 10, scale));
    let unit = UNITS[unit];
    match (hundredths, tenths) {
        (0..1000, _) => format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100),
        (_, 0..1000) => format!("{}.{} {unit}", tenths / 10, tenths % 10),
        _ => format!("{} {unit}", rounded(count, scale)),
    }
}

const fn rounded(count: u128, scale: u128) -> u128 {
    (count + scale / 2) / scale
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
    fn sizes_show_three_digits_and_never_a_thousand_of_a_unit() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (9_994, "9.99 kB"),
            (9_995, "10.0 kB"),
            (99_940, "99.9 kB"),
            (99_960, "100 kB"),
            (999_499, "999 kB"),
            (999_500, "1.00 MB"),
            (48_312_000, "48.3 MB"),
            (999_499_999, "999 MB"),
            (1_260_000_000, "1.26 GB"),
            (123_456_789_012, "123 GB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (count, words) in cases {
            assert_eq!(bytes(count), words, "{count}");
        }
    }

    #[test]
    fn brief_times_fit_their_scale_and_are_judged_after_rounding() {
        let cases = [
            (430, "0.4 s"),
            (9_949, "9.9 s"),
            (9_950, "10 s"),
            (43_000, "43 s"),
            (59_600, "1 m 00 s"),
            (125_000, "2 m 05 s"),
            (3_599_600, "1 h 00 m"),
            (12_000_000, "3 h 20 m"),
            (273_600_000, "3 d 04 h"),
        ];
        for (milliseconds, words) in cases {
            assert_eq!(brief(StdDuration::from_millis(milliseconds)), words, "{milliseconds}");
        }
    }

    proptest::proptest! {
        #[test]
        fn sizes_and_times_read_back_to_within_what_they_leave_out(count in proptest::num::u64::ANY, shift in 0_u32..64, millis in 0_u64..1 << 40) {
            let count = count >> shift;
            let shown = bytes(count);
            let (number, unit) = shown.split_once(' ').unwrap();
            let power = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].iter().position(|known| *known == unit).unwrap();
            let number: f64 = number.parse().unwrap();
            assert!(number < 1000.0, "{shown}");
            let back = number * 1000_f64.powi(i32::try_from(power).unwrap());
            #[expect(clippy::cast_precision_loss, reason = "half a percent is asked for")]
            let exact = count as f64;
            assert!((back - exact).abs() <= exact * 0.005, "{count} is shown as {shown}");

            let duration = StdDuration::from_millis(millis);
            let shown: Duration = brief(duration).parse().unwrap();
            assert!(shown.std().abs_diff(duration) <= (duration / 20).max(StdDuration::from_millis(50)), "{duration:?} is shown as {shown}");
        }
    }
}
