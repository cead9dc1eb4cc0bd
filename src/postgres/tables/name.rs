//! Which table a user means: `orders`, `Sales.Orders`, `주문`, `"A.b".c`.
//!
//! A part in double quotes is taken exactly. A bare part is taken exactly too if that names a table (first the whole name,
//! then the table in a schema that may be folded), and in lower case otherwise: a name can be written as it is shown and as
//! SQL would fold it. This module never picks one of several.

use super::{TablesError, parsed};
use crate::postgres::client::Client;
use crate::postgres::quote::literal;

/// How near a name must be to be suggested.
const NEAR: f64 = 0.75;

/// How many names a message lists.
const SHOWN: usize = 10;

/// Why a name does not say which table.
#[derive(Debug, thiserror::Error)]
pub enum TableNameError {
    /// It is not a name.
    #[error("`{given}` is not the name of a table: {detail}")]
    Syntax {
        /// What was given.
        given: String,
        /// What is wrong.
        detail: &'static str,
    },
    /// No table is called so.
    #[error("the restore point has no table `{given}`{}", near_names(near))]
    Unknown {
        /// What was given.
        given: String,
        /// Names that may be meant, ready to be used.
        near: Vec<String>,
    },
    /// Several are.
    #[error("`{given}` may be one of {}: name it with its schema", candidates.join(", "))]
    Ambiguous {
        /// What was given.
        given: String,
        /// What it may be, ready to be used.
        candidates: Vec<String>,
    },
}

fn near_names(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!(": did you mean {}?", near.join(", ")) }
}

/// One part of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    text: String,
    quoted: bool,
}

impl Part {
    fn is(&self, name: &str) -> bool {
        self.text == name
    }

    fn folds_to(&self, name: &str) -> bool {
        self.is(name) || !self.quoted && self.text.to_lowercase() == name
    }
}

/// `(schema, table)` and the pair as SQL writes it.
type Known = (String, String, String);

/// Ordinary and partitioned tables of users.
const TABLES: &str = "select pg_catalog.json_build_array(n.nspname, c.relname, \
    pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)) \
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
    where c.relkind in ('r', 'p') and n.nspname !~ '^pg_(catalog|toast|temp)' and n.nspname <> 'information_schema' order by n.nspname, c.relname";

/// How the comment of a schema begins that holds copies of a restore point's tables.
pub(crate) const COPIES: &str = "Tables of a restore point, copied by runner";

/// The table that a user's name means in a live database. Copies of a restore point are not what anybody means.
pub(crate) fn resolve_live(client: &Client, given: &str) -> Result<(String, String), TablesError> {
    let copies = format!(
        "select pg_catalog.to_json(nspname) from pg_catalog.pg_namespace where pg_catalog.obj_description(oid, 'pg_namespace') like {}",
        literal(&format!("{COPIES}%"))
    );
    let (mut known, copies): (Vec<Known>, Vec<String>) = (parsed(client, TABLES)?, parsed(client, &copies)?);
    known.retain(|(schema, ..)| !copies.contains(schema));
    Ok(find(given, &known)?)
}

/// The tables that users' names mean, in their order, each as `(schema, table)`.
pub(crate) fn resolve(client: &Client, given: &[&str]) -> Result<Vec<(String, String)>, TablesError> {
    let known: Vec<Known> = parsed(client, TABLES)?;
    given.iter().map(|given| find(given, &known).map_err(TablesError::from)).collect()
}

fn find(given: &str, known: &[Known]) -> Result<(String, String), TableNameError> {
    let (schema, table) = split(given)?;
    let in_schema = |exact: bool, name: &str| schema.as_ref().is_none_or(|part| if exact { part.is(name) } else { part.folds_to(name) });
    let is_table = |exact: bool, name: &str| if exact { table.is(name) } else { table.folds_to(name) };
    let ways = [(true, true), (false, true), (false, false)];
    let mut found = ways.iter().map(|(s, t)| known.iter().filter(|k| in_schema(*s, &k.0) && is_table(*t, &k.1)).collect::<Vec<_>>());
    let found = found.find(|found| !found.is_empty()).unwrap_or_default();
    match found[..] {
        [one] => Ok((one.0.clone(), one.1.clone())),
        [] => Err(TableNameError::Unknown { given: given.to_owned(), near: near(&table.text, known) }),
        ref several => {
            let candidates = several.iter().take(SHOWN).map(|k| k.2.clone()).collect();
            Err(TableNameError::Ambiguous { given: given.to_owned(), candidates })
        }
    }
}

fn near(table: &str, known: &[Known]) -> Vec<String> {
    let score = |name: &str| strsim::jaro_winkler(&table.to_lowercase(), &name.to_lowercase());
    let mut scored: Vec<(f64, &Known)> = known.iter().map(|k| (score(&k.1), k)).filter(|(score, _)| *score > NEAR).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(SHOWN).map(|(_, k)| k.2.clone()).collect()
}

/// `table` or `schema.table`; a quote inside quotes is doubled.
fn split(given: &str) -> Result<(Option<Part>, Part), TableNameError> {
    let wrong = |detail| TableNameError::Syntax { given: given.to_owned(), detail };
    let (mut parts, mut rest) = (Vec::new(), given.trim());
    loop {
        let (part, after) = part(rest).ok_or_else(|| wrong("a part is empty, or a double quote is not closed"))?;
        parts.push(part);
        match after.strip_prefix('.') {
            Some(more) => rest = more,
            None if after.is_empty() => break,
            None => return Err(wrong("something follows a part in double quotes")),
        }
    }
    let table = parts.pop().ok_or_else(|| wrong("it is empty"))?;
    let schema = parts.pop();
    if parts.is_empty() { Ok((schema, table)) } else { Err(wrong("write TABLE or SCHEMA.TABLE; a name with a dot goes in double quotes")) }
}

fn part(text: &str) -> Option<(Part, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        return (end > 0).then(|| (Part { text: text[..end].to_owned(), quoted: false }, &text[end..]));
    };
    let mut name = String::new();
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(doubled) => (name, rest) = (name + "\"", doubled),
            None => return (!name.is_empty()).then_some((Part { text: name, quoted: true }, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Known> {
        let names = [
            ("public", "orders"),
            ("public", "Orders"),
            ("Sales", "Orders"),
            ("public", "주문"),
            ("A.b", "c"),
            ("old", "log"),
            ("new", "log"),
        ];
        names.iter().map(|(s, t)| ((*s).to_owned(), (*t).to_owned(), format!("{s}.{t}"))).collect()
    }

    fn meant(given: &str) -> String {
        find(given, &known()).map_or_else(|error| error.to_string(), |(schema, table)| format!("{schema}|{table}"))
    }

    #[test]
    fn a_name_is_taken_exactly_before_it_is_folded() {
        for (given, found) in [
            ("orders", "public|orders"),
            ("ORDERS", "public|orders"),
            ("public.Orders", "public|Orders"),
            ("Public.Orders", "public|Orders"),
            ("Public.ORDERS", "public|orders"),
            ("Sales.Orders", "Sales|Orders"),
            ("주문", "public|주문"),
            ("\"A.b\".c", "A.b|c"),
            (
                "public.\"ORDERS\"",
                "the restore point has no table `public.\"ORDERS\"`: did you mean public.orders, public.Orders, Sales.Orders?",
            ),
        ] {
            assert_eq!(meant(given), found, "{given}");
        }
    }

    #[test]
    fn what_names_no_table_or_several_is_said_with_what_is_there() {
        assert_eq!(meant("Orders"), "`Orders` may be one of public.Orders, Sales.Orders: name it with its schema");
        assert_eq!(meant("log"), "`log` may be one of old.log, new.log: name it with its schema");
        assert_eq!(meant("ordres"), "the restore point has no table `ordres`: did you mean public.orders, public.Orders, Sales.Orders?");
        assert_eq!(meant("zzz"), "the restore point has no table `zzz`");
        for bad in ["", "a.", ".a", "\"a", "\"a\"b", "a.b.c", "\"\""] {
            assert!(meant(bad).contains("is not the name of a table"), "{bad}");
        }
    }
}
