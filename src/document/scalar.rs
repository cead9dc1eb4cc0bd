//! What a scalar without quotes means: the core schema of YAML 1.2 (<https://yaml.org/spec/1.2.2/#1032-tag-resolution>).
//!
//! Also what the readers of YAML 1.1 (many libraries) make of the same characters, where that differs.
//! Does not know what a place expects.

use serde_json::{Number, Value};

/// The meaning of a plain scalar.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    /// Null, a truth value or a number.
    Value(Value),
    /// Nothing special: text.
    Text,
    /// A number that JSON and our types can not hold, and why.
    Unfit(&'static str),
}

/// Resolves a plain scalar.
pub(super) fn resolve(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Meaning::Value(Value::Null),
        "true" | "True" | "TRUE" => Meaning::Value(true.into()),
        "false" | "False" | "FALSE" => Meaning::Value(false.into()),
        ".nan" | ".NaN" | ".NAN" => Meaning::Unfit("is not a number"),
        _ if matches!(unsigned(text), ".inf" | ".Inf" | ".INF") => Meaning::Unfit("is infinite"),
        _ => number(text),
    }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

fn number(text: &str) -> Meaning {
    let digits = unsigned(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Meaning::Text;
    }
    if let Some(value) = radix(text, "0o", 8).or_else(|| radix(text, "0x", 16)) {
        return value;
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return integer(text);
    }
    if is_float(digits) { float(text) } else { Meaning::Text }
}

/// Octal and hexadecimal; the specification gives them no sign.
fn radix(text: &str, prefix: &str, radix: u32) -> Option<Meaning> {
    let digits = text.strip_prefix(prefix)?;
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Some(Meaning::Text);
    }
    Some(u64::from_str_radix(digits, radix).map_or(Meaning::Unfit(TOO_LONG), |n| Meaning::Value(n.into())))
}

const TOO_LONG: &str = "has more digits than a number can hold exactly";

fn integer(text: &str) -> Meaning {
    let text = text.strip_prefix('+').unwrap_or(text);
    if let Ok(small) = text.parse::<i64>() {
        return Meaning::Value(small.into());
    }
    text.parse::<u64>().map_or(Meaning::Unfit(TOO_LONG), |large| Meaning::Value(large.into()))
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(digits: &str) -> bool {
    let (mantissa, exponent) = digits.split_once(['e', 'E']).map_or((digits, None), |(m, e)| (m, Some(e)));
    let whole = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => whole(fraction),
        Some((before, fraction)) => whole(before) && (fraction.is_empty() || whole(fraction)),
        None => whole(mantissa),
    };
    mantissa_fits && exponent.is_none_or(|e| whole(unsigned(e)))
}

fn float(text: &str) -> Meaning {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let significant = mantissa.chars().filter(char::is_ascii_digit).skip_while(|c| *c == '0').count();
    if significant > 17 {
        return Meaning::Unfit(TOO_LONG);
    }
    match text.parse::<f64>().ok().and_then(Number::from_f64) {
        Some(number) => Meaning::Value(Value::Number(number)),
        None => Meaning::Unfit("is too large for a number"),
    }
}

/// What a reader of YAML 1.1 takes a plain scalar for that is something else here (<https://yaml.org/type/>).
/// The answer is written the way it should have been. `y` and `n` are left out: hardly any reader follows that rule.
pub(super) fn older_meaning(text: &str) -> Option<String> {
    match text {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some("true".into()),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some("false".into()),
        _ => older_number(text),
    }
}

fn older_number(text: &str) -> Option<String> {
    let (sign, digits) = text.split_at(text.len() - unsigned(text).len());
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let signed = |n: u64| format!("{}{n}", sign.trim_start_matches('+'));
    if is_date(text) {
        return Some("a date".into());
    }
    let bare = digits.replace('_', "");
    if let Some(bits) = bare.strip_prefix("0b") {
        return u64::from_str_radix(bits, 2).ok().map(signed);
    }
    if bare.len() > 1 && bare.starts_with('0') && !bare.contains(['.', ':', 'x', 'o']) {
        return u64::from_str_radix(&bare, 8).ok().map(signed);
    }
    if digits.contains(':') {
        return sexagesimal(&bare).map(signed);
    }
    if digits.contains('_') && !matches!(number(&bare), Meaning::Text) {
        return Some(format!("{}{bare}", sign.trim_start_matches('+')));
    }
    None
}

/// `12:30` is 12 × 60 + 30 (<https://yaml.org/type/int.html>).
fn sexagesimal(text: &str) -> Option<u64> {
    let mut parts = text.split(':');
    let first = parts.next()?;
    if first.starts_with('0') {
        return None;
    }
    let mut total: u64 = first.parse().ok()?;
    for part in parts {
        let digit: u64 = part.parse().ok().filter(|n| *n < 60 && part.len() <= 2)?;
        total = total.checked_mul(60)?.checked_add(digit)?;
    }
    Some(total)
}

/// `2026-11-20`, with or without a time of day behind it.
fn is_date(text: &str) -> bool {
    let shape = |part: Option<&[u8]>| part.is_some_and(|p| p.iter().all(u8::is_ascii_digit));
    let bytes = text.as_bytes();
    bytes.len() >= 10
        && (bytes.get(4), bytes.get(7)) == (Some(&b'-'), Some(&b'-'))
        && shape(bytes.get(..4))
        && shape(bytes.get(5..7))
        && shape(bytes.get(8..10))
        && bytes.get(10).is_none_or(|b| matches!(b, b'T' | b't' | b' ') && bytes.get(11).is_some_and(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_core_schema_is_followed() {
        let value = |v: Value| Meaning::Value(v);
        for (text, meaning) in [
            ("~", value(Value::Null)),
            ("True", value(json!(true))),
            ("0644", value(json!(644))),
            ("+12", value(json!(12))),
            ("-0", value(json!(0))),
            ("0o644", value(json!(420))),
            ("0xfF", value(json!(255))),
            ("18446744073709551615", value(json!(u64::MAX))),
            ("1.50", value(json!(1.5))),
            ("1e3", value(json!(1000.0))),
            (".5", value(json!(0.5))),
            ("5.", value(json!(5.0))),
            ("18446744073709551616", Meaning::Unfit(TOO_LONG)),
            ("0.1234567890123456789", Meaning::Unfit(TOO_LONG)),
            ("1e999", Meaning::Unfit("is too large for a number")),
            ("-.inf", Meaning::Unfit("is infinite")),
        ] {
            assert_eq!(resolve(text), meaning, "{text}");
        }
        for text in ["no", "12:30", "1_000", "0b1", "1.2.3", "-", "+", ".", "1e", "0x", "0xg", "2026-11-20", "1h", "nan", "e3", "--1"] {
            assert_eq!(resolve(text), Meaning::Text, "{text}");
        }
    }

    #[test]
    fn what_older_readers_see_is_known() {
        for (text, meaning) in [
            ("no", "false"),
            ("On", "true"),
            ("12:30", "750"),
            ("1:00:00", "3600"),
            ("1_000", "1000"),
            ("-1_000", "-1000"),
            ("0644", "420"),
            ("0b101", "5"),
            ("2026-11-20", "a date"),
            ("2026-11-20 02:17:00", "a date"),
        ] {
            assert_eq!(older_meaning(text).as_deref(), Some(meaning), "{text}");
        }
        for text in ["north", "0", "0.5", "1.5", "02:30", "db:5432", "12:99", "0899", "10", "2026-1-1", "1_a", "", "주문"] {
            assert_eq!(older_meaning(text), None, "{text}");
        }
    }
}
