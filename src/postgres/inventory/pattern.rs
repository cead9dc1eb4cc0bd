//! The pattern language of `pg_dump`'s `--table` and `--schema`, as conditions that the server judges.
//!
//! Source: PostgreSQL `string_utils.c` `patternToSQLRegex` and `processSQLNamePattern`, `pg_dump.c`
//! `expand_table_name_patterns` and `expand_schema_name_patterns`. Each pattern becomes the very regular expression that
//! `pg_dump` would send, so both match the same names. This module does not connect anywhere.

use crate::postgres::quote;

/// What has a meaning in a regular expression.
const SPECIAL: &str = "|*+?()[]{}.^$\\";

/// A pattern's parts, each as an anchored regular expression. At most so many, of which the last takes in further points.
fn parts(pattern: &str, most: usize) -> Vec<String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.next_if_eq(&'"').is_some() => part.push('"'),
            '"' => quoted = !quoted,
            '*' if !quoted => part.push_str(".*"),
            '?' if !quoted => part.push('.'),
            '.' if !quoted && parts.len() + 1 < most => parts.push(std::mem::take(&mut part)),
            '$' => part.push_str("\\$"),
            c if quoted && SPECIAL.contains(c) => part.extend(['\\', c]),
            '[' if rest.peek() == Some(&']') => part.push_str("\\["),
            c if quoted => part.push(c),
            c => part.push(c.to_ascii_lowercase()),
        }
    }
    parts.push(part);
    parts.into_iter().map(|part| format!("^({part})$")).collect()
}

/// The names in a column that a part fits.
fn fits(column: &str, part: &str) -> String {
    if part == "^(.*)$" {
        return "true".to_owned();
    }
    format!("{column} operator(pg_catalog.~) {} collate pg_catalog.default", quote::literal(part))
}

/// The relations (`c` of `pg_class`, in `n` of `pg_namespace`) that a pattern chooses.
///
/// Without a schema it chooses those that are visible in the session's search path, which must be the role's own.
pub(super) fn relations(pattern: &str) -> String {
    let parts = parts(pattern, 3);
    let mut last_first = parts.iter().rev();
    let name = last_first.next().map(|part| fits("c.relname", part)).unwrap_or_default();
    // A name of three parts begins with the database, which pg_dump demands to be this one.
    let schema = last_first.next().map_or_else(|| "pg_catalog.pg_table_is_visible(c.oid)".to_owned(), |part| fits("n.nspname", part));
    format!("({name} and {schema})")
}

/// The schemas (`n` of `pg_namespace`) that a pattern chooses.
pub(super) fn schemas(pattern: &str) -> String {
    parts(pattern, 1).last().map(|part| format!("({})", fits("n.nspname", part))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_the_expressions_of_pg_dump() {
        let read = |pattern| parts(pattern, 3).join(" ");
        assert_eq!(read("Orders*"), "^(orders.*)$");
        assert_eq!(read(r#""Orders"*"#), "^(Orders.*)$");
        assert_eq!(read(r#""Sales"."주문_"?"#), "^(Sales)$ ^(주문_.)$");
        assert_eq!(read(r#""a.b"."c""d""#), r#"^(a\.b)$ ^(c"d)$"#);
        assert_eq!(read(r#"$x."$y""#), r"^(\$x)$ ^(\$y)$");
        assert_eq!(read("a|b[cd][]"), r"^(a|b[cd]\[])$");
        assert_eq!(read("d.s.t"), "^(d)$ ^(s)$ ^(t)$");
        assert_eq!(parts("a.b", 1), ["^(a.b)$"]);
    }

    #[test]
    fn only_a_name_without_a_schema_must_be_visible() {
        assert_eq!(relations("*.*"), "(true and true)");
        assert!(relations("orders").ends_with("and pg_catalog.pg_table_is_visible(c.oid))"));
        assert_eq!(schemas("It's"), r"(n.nspname operator(pg_catalog.~) '^(it''s)$' collate pg_catalog.default)");
    }
}
