//! The few statements of an archive whose words matter.
//!
//! They are `pg_dump`'s own, always written the same way. This module does not read SQL in general.

/// What a `COPY … FROM stdin` loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copied {
    /// Schema and table.
    pub(super) target: (String, String),
    pub(super) columns: Vec<String>,
}

/// `COPY public."주문" (id, "Name") FROM stdin;`, as `pg_dump.c` `dumpTableData` writes it.
pub(super) fn copied(statement: &str) -> Option<Copied> {
    let (schema, rest) = identifier(statement.strip_prefix("COPY ")?)?;
    let (table, rest) = identifier(rest.strip_prefix('.')?)?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let (columns, rest) = match rest.strip_prefix('(') {
        Some(rest) => list(rest)?,
        None => (Vec::new(), rest),
    };
    (rest.trim() == "FROM stdin;").then_some(Copied { target: (schema, table), columns })
}

fn list(mut rest: &str) -> Option<(Vec<String>, &str)> {
    let mut names = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(')') {
            return Some((names, after));
        }
        let (name, after) = identifier(rest.strip_prefix(", ").unwrap_or(rest))?;
        names.push(name);
        rest = after;
    }
}

/// An identifier, quoted or not, and what follows it.
pub(super) fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '.', ',', ')', '(', ';', '"']).filter(|end| *end > 0)?;
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let (mut name, mut rest) = (String::new(), quoted);
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(doubled) => (name, rest) = (name + "\"", doubled),
            None => return Some((name, rest)),
        }
    }
}

/// `SELECT pg_catalog.setval('public.orders_id_seq', 42, true);`, as `pg_dump.c` `dumpSequenceData` writes it.
pub(super) fn setval(statement: &str) -> Option<(i64, bool)> {
    let inside = statement.trim().strip_prefix("SELECT pg_catalog.setval(")?.strip_suffix(");")?;
    let mut parts = inside.rsplitn(3, ", ");
    let called = parts.next()?.parse().ok()?;
    let value = parts.next()?.parse().ok()?;
    parts.next().map(|_name| (value, called))
}

/// The value of `SET client_encoding = 'UTF8';`.
pub(super) fn assigned(statement: &str) -> Option<&str> {
    statement.split('\'').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_statements_name_their_table_and_columns() {
        let read = |text: &str| copied(text).map(|found| (found.target.0, found.target.1, found.columns.join("|")));
        let given = |schema: &str, table: &str, columns: &str| Some((schema.to_owned(), table.to_owned(), columns.to_owned()));
        assert_eq!(read("COPY public.orders (id, note) FROM stdin;\n"), given("public", "orders", "id|note"));
        let odd = r#"COPY "판매 ""특가""."."a.b (c)" ("주문, 번호", "x""y)", z) FROM stdin;"#;
        assert_eq!(read(odd), given("판매 \"특가\".", "a.b (c)", "주문, 번호|x\"y)|z"));
        assert_eq!(read("COPY public.nothing  FROM stdin;\n"), given("public", "nothing", ""));
        for bad in ["COPY public.orders (id, note", "COPY orders (id) FROM stdin;", "INSERT INTO x", "COPY a.b (c) FROM 'file';", ""] {
            assert_eq!(copied(bad), None, "{bad}");
        }
    }

    #[test]
    fn sequences_tell_their_value_whatever_their_name() {
        assert_eq!(setval("SELECT pg_catalog.setval('public.\"a, 1, true);\"', -42, false);\n"), Some((-42, false)));
        assert_eq!(setval("SELECT pg_catalog.setval('public.s', 9223372036854775807, true);"), Some((i64::MAX, true)));
        assert_eq!(setval("SELECT pg_catalog.setval('public.s', 1);"), None);
    }
}
