//! Percentages as people write them: `30%`, `12.5%`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{QuantityError, split_number};

/// A part of a whole, written like `30%`; from 0% to 100%, exact to a hundredth of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent {
    hundredths: u16,
}

impl Percent {
    /// So much of a number, rounded down.
    pub fn of(self, whole: u64) -> u64 {
        let part = u128::from(whole) * u128::from(self.hundredths) / 10_000;
        u64::try_from(part).unwrap_or(whole)
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A percentage, written like `30%`.",
            "pattern": r"^\s*(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)\s*%\s*$",
            "x-pattern-help": "write a percentage like 30% or 12.5%",
        })
    }
}

impl FromStr for Percent {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let number = split_number(text.trim()).filter(|(number, sign)| *sign == "%" && *number <= 100.0);
        let (number, _) = number.ok_or_else(|| QuantityError::Percent { text: text.to_owned() })?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 10000, and digits have no sign")]
        Ok(Self { hundredths: (number * 100.0).round() as u16 })
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.hundredths / 100, self.hundredths % 100);
        if rest == 0 {
            return f.pad(&format!("{whole}%"));
        }
        f.pad(&format!("{}%", format!("{whole}.{rest:02}").trim_end_matches('0')))
    }
}

impl TryFrom<String> for Percent {
    type Error = QuantityError;

    fn try_from(text: String) -> Result<Self, QuantityError> {
        text.parse()
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> Self {
        percent.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_read_as_people_write_them_and_read_back() {
        for (text, of_2000, back) in
            [("30%", 600, "30%"), (" 12.5 % ", 250, "12.5%"), ("0%", 0, "0%"), ("100%", 2000, "100%"), ("0.05%", 1, "0.05%")]
        {
            let percent: Percent = text.parse().unwrap();
            assert_eq!((percent.of(2000), percent.to_string().as_str()), (of_2000, back), "{text:?}");
        }
        for bad in ["", "30", "%", "-1%", "101%", "30%%", "30 percent"] {
            let said = bad.parse::<Percent>().unwrap_err().to_string();
            assert_eq!(said, format!("{bad:?} is not a percentage: write it like 30% or 12.5%"));
        }
    }
}
