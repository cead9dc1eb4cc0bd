//! Values as a reviewed SQL file shows them: exact in statements, short in comments.
//!
//! Source: PostgreSQL documentation 4.1.2 "Constants". This module does not know rows.

use crate::postgres::tables::shape::Column;

/// How much of a value a comment shows, in characters.
const SHOWN: usize = 60;

/// What dollar quotes are made of; no constant contains it, see [`text`].
pub(super) const TAG: &str = "$runner";

/// A constant for a column of this type, where SQL takes its type from the column.
pub(super) fn value(column: &Column, value: Option<&str>) -> String {
    let Some(value) = value else { return "null".to_owned() };
    match column.type_name.as_str() {
        "smallint" | "integer" | "bigint" => value.to_owned(),
        "boolean" => if value == "t" { "true" } else { "false" }.to_owned(),
        kind if kind.starts_with("numeric") && plain_number(value) => value.to_owned(),
        _ => text(value),
    }
}

/// A constant with its type, for places where SQL can not know it.
pub(super) fn typed(column: &Column, value: &str) -> String {
    format!("{}::{}", text(value), column.type_name)
}

/// A condition that holds exactly if a column has this value: `note is null`, `status = 'open'`.
///
/// A type whose `=` is missing or means something else is compared by its text.
pub(super) fn condition(column: &Column, old: Option<&str>) -> String {
    let name = &column.quoted;
    let Some(old) = old else { return format!("{name} is null") };
    match (column.comparable, is_exact(column)) {
        (true, true) => format!("{name} = {}", compared(column, old)),
        (true, false) => format!("{name} operator(pg_catalog.=) {}", compared(column, old)),
        (false, _) => format!("{name}::text = {}::text", typed(column, old)),
    }
}

/// Whether PostgreSQL has an `=` for exactly this type and its constants, which none of a user's in the search path takes the place of:
/// a patch runs as whoever applies it.
pub(super) fn is_exact(column: &Column) -> bool {
    let kind = column.type_name.as_str();
    let exact = ["smallint", "integer", "bigint", "boolean", "text", "uuid", "date", "bytea"];
    exact.contains(&kind) || kind.starts_with("timestamp") || kind.starts_with("time ")
}

/// A constant to compare a column with, which says its type only where SQL could take it for another.
pub(super) fn compared(column: &Column, given: &str) -> String {
    let constant = value(column, Some(given));
    if constant.ends_with('\'') && column.type_name != "text" { typed(column, given) } else { constant }
}

/// Digits with at most one point, which read back as the same `numeric` with the same scale.
fn plain_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        && digits.matches('.').count() < 2
}

/// A string constant on one line, whatever `standard_conforming_strings` says: what is not seen is escaped, and so is a
/// dollar sign that could end the dollar quotes around it.
pub(super) fn text(value: &str) -> String {
    let escape = value.chars().any(|c| c == '\\' || unseen(c)) || value.contains(TAG);
    let mut out = String::with_capacity(value.len() + 3);
    out.push_str(if escape { "E'" } else { "'" });
    for c in value.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str(r"\\"),
            '\n' => out.push_str(r"\n"),
            '\r' => out.push_str(r"\r"),
            '\t' => out.push_str(r"\t"),
            '$' if escape => out.push_str(r"\044"),
            c if unseen(c) => out.extend(format!("\\U{:08X}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// Control characters, and those that change the direction or place of what a reader sees after them.
fn unseen(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A value inside a comment: on one line, and cut.
pub(super) fn shown(value: Option<&str>) -> String {
    let Some(value) = value else { return "null".to_owned() };
    match value.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", text(&value[..at])),
        None if plain_number(value) => value.to_owned(),
        None => text(value),
    }
}

/// Any text inside a comment, which must not end it.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if unseen(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(type_name: &str, comparable: bool) -> Column {
        Column {
            name: "c".to_owned(),
            quoted: "c".to_owned(),
            type_name: type_name.to_owned(),
            generated: false,
            identity: String::new(),
            not_null: false,
            comparable,
            default: None,
            collation: None,
        }
    }

    #[test]
    fn constants_are_bare_only_where_that_is_exact() {
        for (kind, given, constant) in [
            ("integer", "-5", "-5"),
            ("boolean", "t", "true"),
            ("numeric(10,2)", "12.50", "12.50"),
            ("numeric", "NaN", "'NaN'"),
            ("double precision", "-0", "'-0'"),
            ("text", "it's 100%", "'it''s 100%'"),
            ("text", "두\n줄 \\", r"E'두\n줄 \\'"),
            ("text", "$runner$ end", r"E'\044runner\044 end'"),
            ("text", "\u{202e}evil", r"E'\U0000202Eevil'"),
        ] {
            assert_eq!(value(&column(kind, true), Some(given)), constant, "{kind}");
        }
    }

    #[test]
    fn conditions_hold_for_the_old_value_and_no_other() {
        assert_eq!(condition(&column("integer", true), None), "c is null");
        assert_eq!(condition(&column("bigint", true), Some("7")), "c = 7");
        assert_eq!(condition(&column("text", true), Some("x")), "c = 'x'");
        assert_eq!(condition(&column("date", true), Some("2026-01-02")), "c = '2026-01-02'::date");
        assert_eq!(condition(&column("character varying(9)", true), Some("x")), "c operator(pg_catalog.=) 'x'::character varying(9)");
        assert_eq!(condition(&column("numeric", true), Some("7")), "c operator(pg_catalog.=) 7");
        assert_eq!(condition(&column("json", false), Some("{}")), "c::text = '{}'::json::text");
    }

    #[test]
    fn comments_stay_on_their_line() {
        assert_eq!(shown(Some("a\nb")), r"E'a\nb'");
        assert_eq!(one_line("true -- x\nor drop\r"), r"true -- x\nor drop\r");
        assert_eq!(shown(Some(&"가".repeat(70))), format!("'{}'…", "가".repeat(60)));
    }
}
