//! One difference between what was dumped and what was restored, in plain words.
//!
//! This module does not find differences.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::model::{Entry, LargeObjects};

/// The kind of what fills a materialized view.
pub(super) const FILLING: &str = "MATERIALIZED VIEW DATA";

/// An object by its kind and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Object {
    /// The kind, as an archive has it: `INDEX`.
    pub kind: String,
    /// The schema, if it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The name.
    pub name: String,
}

impl From<&Entry> for Object {
    fn from(entry: &Entry) -> Self {
        Self { kind: entry.kind.clone(), schema: entry.schema.clone(), name: entry.name.clone() }
    }
}

impl Object {
    /// A table or a sequence.
    pub(super) fn of(kind: &str, schema: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), schema: Some(schema.to_owned()), name: name.to_owned() }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.kind.as_str() {
            "ACL" => "rights",
            "COMMENT" => "comment",
            "SECURITY LABEL" => "security label",
            "DEFAULT ACL" => return self.defaults(f),
            FILLING => return named(f, "filling of materialized view", self.schema.as_deref(), &self.name),
            kind => return named(f, &kind.to_lowercase(), self.schema.as_deref(), &self.name),
        };
        // The name begins with the kind of what it is about.
        let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
        let kind: Vec<&str> = self.name.split(' ').take_while(is_word).collect();
        let name = self.name.get(kind.iter().map(|word| word.len() + 1).sum()..).unwrap_or_default();
        if kind.is_empty() || name.is_empty() {
            return named(f, &format!("{word} of"), self.schema.as_deref(), &self.name);
        }
        named(f, &format!("{word} of {}", kind.join(" ").to_lowercase()), self.schema.as_deref(), name)
    }
}

fn named(f: &mut fmt::Formatter<'_>, kind: &str, schema: Option<&str>, name: &str) -> fmt::Result {
    match schema {
        Some(schema) => write!(f, "{kind} {schema}.{name}"),
        None => write!(f, "{kind} {name}"),
    }
}

impl Object {
    /// `default privileges for tables in schema sales`.
    fn defaults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.schema.as_ref().map(|schema| format!(" in schema {schema}")).unwrap_or_default();
        write!(f, "{}{place}", self.name.to_lowercase())
    }

    /// Whether it belongs to another object, and to no role of its own.
    pub(super) fn is_about_another(&self) -> bool {
        matches!(self.kind.as_str(), "ACL" | "COMMENT" | "SECURITY LABEL")
    }
}

/// How the restored side differs from the dumped one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "difference", rename_all = "kebab-case")]
pub enum Difference {
    /// An object was dumped and is not there.
    Absent {
        /// The object.
        object: Object,
    },
    /// An object is there and was not dumped.
    Additional {
        /// The object.
        object: Object,
    },
    /// An object is made by another statement.
    Definition {
        /// The object.
        object: Object,
    },
    /// An object has another owner.
    Owner {
        /// The object.
        object: Object,
        /// Its owner in the dump.
        dumped: Option<String>,
        /// Its owner now.
        restored: Option<String>,
    },
    /// A table whose rows were dumped is not there.
    TableMissing {
        /// The table.
        table: Object,
        /// The rows that were dumped of it.
        rows: u64,
    },
    /// A table has rows and was not dumped.
    TableAdditional {
        /// The table.
        table: Object,
        /// Its rows.
        rows: u64,
    },
    /// A table has other columns, so that its rows can not be compared.
    Columns {
        /// The table.
        table: Object,
        /// The columns that were dumped.
        dumped: Vec<String>,
        /// The columns it has now.
        restored: Vec<String>,
    },
    /// A table has more or fewer rows.
    Rows {
        /// The table.
        table: Object,
        /// Rows that were dumped.
        dumped: u64,
        /// Rows that are there.
        restored: u64,
    },
    /// A table has as many rows, but not the same.
    Values {
        /// The table.
        table: Object,
        /// How many rows it has on both sides.
        rows: u64,
    },
    /// A sequence stands elsewhere.
    Sequence {
        /// The sequence.
        sequence: Object,
        /// The value the dump sets, and whether it was given out already.
        dumped: (i64, bool),
        /// The same now.
        restored: (i64, bool),
    },
    /// The large objects are not the same.
    LargeObjects {
        /// Those that were dumped.
        dumped: LargeObjects,
        /// Those that are there.
        restored: LargeObjects,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { object } => write!(f, "{object} is absent"),
            Self::Additional { object } => write!(f, "{object} is there and was not dumped"),
            Self::Definition { object } => write!(f, "{object} is defined differently"),
            Self::Owner { object, dumped, restored } => {
                write!(f, "{object} belongs to {} instead of {}", owner(restored.as_deref()), owner(dumped.as_deref()))
            }
            Self::TableMissing { table, rows } => write!(f, "{table} is missing with its {}", counted(*rows, "row")),
            Self::TableAdditional { table, rows } => write!(f, "{table} has {} and was not dumped", counted(*rows, "row")),
            Self::Columns { table, dumped, restored } => {
                write!(f, "{table} has the columns ({}) instead of ({})", restored.join(", "), dumped.join(", "))
            }
            Self::Rows { table, dumped, restored } => {
                let (by, word) = (dumped.abs_diff(*restored), if dumped > restored { "missing" } else { "too many" });
                write!(f, "{table}: {} {word} ({dumped} dumped, {restored} restored)", counted(by, "row"))
            }
            Self::Values { table, rows: 1 } => write!(f, "{table}: its row does not hold what was dumped"),
            Self::Values { table, rows } => write!(f, "{table}: its {rows} rows do not hold what was dumped"),
            Self::Sequence { sequence, dumped, restored } => sequence_words(f, sequence, *dumped, *restored),
            Self::LargeObjects { dumped, restored } => large_objects(f, dumped, restored),
        }
    }
}

fn sequence_words(f: &mut fmt::Formatter<'_>, sequence: &Object, dumped: (i64, bool), restored: (i64, bool)) -> fmt::Result {
    let word = if restored < dumped { "behind" } else { "ahead" };
    let called = |(value, called): (i64, bool)| if called { value.to_string() } else { format!("{value}, not yet given out") };
    write!(f, "{sequence} is {word}: {} restored, {} dumped", called(restored), called(dumped))
}

fn large_objects(f: &mut fmt::Formatter<'_>, dumped: &LargeObjects, restored: &LargeObjects) -> fmt::Result {
    if (dumped.count, dumped.bytes) == (restored.count, restored.bytes) {
        return write!(f, "the {} do not hold what was dumped", counted(dumped.count, "large object"));
    }
    let of = |objects: &LargeObjects| format!("{} of {}", counted(objects.count, "large object"), counted(objects.bytes, "byte"));
    write!(f, "{} restored, {} dumped", of(restored), of(dumped))
}

fn owner(name: Option<&str>) -> &str {
    name.unwrap_or("nobody")
}

/// `1 row`, `2 rows`.
pub(super) fn counted(number: u64, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_another_object_is_told_with_that_object() {
        let told = |kind: &str, schema: Option<&str>, name: &str| {
            Object { kind: kind.to_owned(), schema: schema.map(str::to_owned), name: name.to_owned() }.to_string()
        };
        assert_eq!(told("ACL", Some("sales"), "TABLE 주문"), "rights of table sales.주문");
        assert_eq!(told("COMMENT", Some("sales"), "MATERIALIZED VIEW daily"), "comment of materialized view sales.daily");
        assert_eq!(told("COMMENT", None, "SCHEMA sales"), "comment of schema sales");
        assert_eq!(told("ACL", Some("public"), "orders"), "rights of public.orders");
        assert_eq!(told("DEFAULT ACL", Some("sales"), "DEFAULT PRIVILEGES FOR TABLES"), "default privileges for tables in schema sales");
        assert_eq!(told("FK CONSTRAINT", Some("sales"), "a b"), "fk constraint sales.a b");
    }
}
