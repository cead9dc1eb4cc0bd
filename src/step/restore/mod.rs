//! `restore`: makes a database of what a `fetch` reads, and gives it its name only when it is whole and proven.
//!
//! The planner lowers it to a safety dump of what is there (when that is to be replaced), the making of a database beside it, the load,
//! the proof, the swap, and a finish that removes what was not finished. Tables and rows come by way of a scratch server instead.
//! This file holds the parameters and does none of it.

mod act;
mod bring;
mod depth;
mod globals;
mod leaving;
mod load;
mod old;
mod part;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;

use super::{Command, Encrypt, Problem, Prove, References, Section, StepKind, Trouble};
use crate::diagnostic::Class;
use crate::ids::RefName;

pub use bring::schema_of;
pub use depth::Depth;
pub use leaving::{ONLY_WHOLE, refused_of_script};
pub use part::{Rows, RowsOf, Safety, Tables, TablesAs};

/// Restores what a `fetch` reads into a new database; an existing one is refused unless `replace` says what becomes of it. With
/// `tables`, `rows` or `data_only`, only those are brought into the database that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of pg_restore under its own name")]
pub struct Restore {
    /// The connection to the server, as declared under `connections`; its database need not exist.
    pub connection: RefName,
    /// The database to make; the connection's unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Replaces the database if it exists, after a safety dump of it; an existing one is refused unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace: Option<Replace>,
    /// Only these tables, into the database that is there. Left out with `replace` and `rows`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Tables>,
    /// Only these rows, as a patch for the database that is there. Left out with `replace` and `tables`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Rows>,
    /// Whether the roles and tablespaces of the same restore point are made first; those that are there are left alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub globals: bool,
    /// Tables restored at once; one a core unless given. Plain and tar dumps restore one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub jobs: Option<u16>,
    /// Give everything to the role that restores. Refused of a plain dump, which runs whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_owner: bool,
    /// Leave out who may do what (GRANT and REVOKE). Refused of a plain dump.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_privileges: bool,
    /// Only these sections of the archive; all unless given. Refused of a plain dump.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<Section>,
    /// Definitions without data. Refused of a plain dump.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub schema_only: bool,
    /// Data without definitions: all rows, sequence values and large objects, into the tables that are there, as migrations made them. By
    /// way of a scratch server, in one transaction that is compared before it counts. They must be empty unless `replace` is given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub data_only: bool,
    /// Whether statistics are gathered at the end (`ANALYZE`), so that the first queries are not planned blindly.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub analyze: bool,
    /// How what was restored is compared with what was dumped, before the database gets its name: `full` unless given.
    #[serde(default)]
    pub prove: Prove,
    /// Programs that run just before the database gets its name, each a list of program and arguments: what stops the applications. With
    /// `drop_old`, `tables` and `rows` they run before the safety dump and the change. One that fails leaves everything as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(min = 1)))]
    pub before: Vec<Vec<String>>,
    /// Programs that run once the database has its name or its rows: what starts the applications. Where programs of `before` have run, these run
    /// whatever happened since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(min = 1)))]
    pub after: Vec<Vec<String>>,
}

/// What becomes of a database that is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// The store that gets a dump of it first.
    pub safety: RefName,
    /// How that dump is encrypted; it is not unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypt: Option<Encrypt>,
    /// How it is replaced: `swap` unless given.
    #[serde(default, skip_serializing_if = "How::is_swap")]
    pub how: How,
    /// Whether the replaced database is dropped in the end, if the safety dump holds all of it; it is kept as `<database>_before_<time>`
    /// unless given, and where something was written to it after the safety dump had begun.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drop_old: bool,
}

/// How a database is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// A new database is made beside it and takes its name once it is whole and proven.
    #[default]
    Swap,
    /// What the dump holds is dropped and made again in one transaction, for a role that may not create databases. What the
    /// dump does not hold stays.
    InPlace,
}

impl How {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    const fn is_swap(&self) -> bool {
        matches!(self, Self::Swap)
    }
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_yes(value: &bool) -> bool {
    *value
}

impl StepKind for Restore {
    fn references(&self) -> References<'_> {
        let stores = self.replace.iter().map(|replace| &replace.safety);
        let stores = stores.chain(self.tables.iter().filter_map(|tables| tables.safety.as_ref()));
        References {
            connections: vec![&self.connection],
            stores: stores.collect(),
            secrets: self.encryptions().flat_map(|(_, encrypt)| encrypt.references().secrets).collect(),
        }
    }

    fn words(&self) -> String {
        let place =
            self.database.as_ref().map_or_else(|| format!("on {}", self.connection), |name| format!("{name} on {}", self.connection));
        let how = match (self.words_of_part(), &self.replace) {
            (Some(part), _) => return format!("{part}, {place}"),
            (None, Some(_)) if self.in_place() => "over what is there, in one transaction",
            (None, Some(_)) => "in place of what is there",
            (None, None) => "into a new database",
        };
        format!("{how}, {place}{}", self.words_of_parts())
    }

    fn makes_database(&self) -> bool {
        true
    }

    fn problems(&self) -> Vec<Problem> {
        let nothing = (self.schema_only && self.data_only).then(|| {
            let message = "`schema_only` and `data_only` together leave nothing to restore";
            Problem::error("nothing-to-restore", "/data_only", message).help("keep one of the two")
        });
        let unfilled = (!self.sections.is_empty() && !self.sections.contains(&Section::PreData) && !self.by_scratch()).then(|| {
            let message = "without `pre-data` this needs tables to fill, and a new database has none";
            Problem::error("nothing-to-restore", "/sections", message).help("add `pre-data` (--section pre-data)")
        });
        let encrypted = self.encryptions().flat_map(|(pointer, encrypt)| {
            let at = move |problem: Problem| Problem { pointer: format!("{pointer}{}", problem.pointer), ..problem };
            encrypt.problems().into_iter().map(at)
        });
        let hooks = [("before", &self.before), ("after", &self.after)].map(|(field, commands)| self.problems_of(field, commands));
        nothing.or(unfilled).into_iter().chain(encrypted).chain(self.mismatches()).chain(hooks.into_iter().flatten()).collect()
    }

    fn troubles(&self) -> Vec<Trouble> {
        let taken = self.rows.iter().filter_map(|rows| rows.patch.as_ref()).filter(|path| path.exists());
        let taken = taken.map(|path| Trouble { class: Class::Failed, message: bring::taken(path), help: Some(bring::TAKEN.to_owned()) });
        taken.chain(self.hooks(&self.before).chain(self.hooks(&self.after)).flat_map(|command| command.troubles())).collect()
    }
}

impl Restore {
    /// How safety dumps are encrypted, and where that is said.
    fn encryptions(&self) -> impl Iterator<Item = (&'static str, &Encrypt)> {
        let replaced = self.replace.iter().filter_map(|replace| Some(("/replace/encrypt", replace.encrypt.as_ref()?)));
        replaced.chain(self.tables.iter().filter_map(|tables| Some(("/tables/encrypt", tables.encrypt.as_ref()?))))
    }

    /// Programs around the swap, as commands.
    pub fn hooks<'a>(&self, of: &'a [Vec<String>]) -> impl Iterator<Item = Command> + use<'a> {
        of.iter().map(|argv| Command { argv: argv.clone(), env: BTreeMap::new(), cwd: None })
    }

    fn problems_of(&self, field: &str, of: &[Vec<String>]) -> Vec<Problem> {
        let named = |(index, command): (usize, Command)| {
            let place = format!("/{field}/{index}");
            let moved = move |problem: Problem| Problem { pointer: problem.pointer.replacen("/argv", &place, 1), ..problem };
            command.problems().into_iter().map(moved).collect::<Vec<_>>()
        };
        self.hooks(of).enumerate().flat_map(named).collect()
    }

    fn words_of_parts(&self) -> String {
        let parts = [
            (self.schema_only, "definitions only"),
            (self.no_owner, "without owners"),
            (self.no_privileges, "without privileges"),
            (!self.sections.is_empty(), "some sections"),
        ];
        parts.iter().filter(|(on, _)| *on).map(|(_, words)| format!(", {words}")).collect::<Vec<_>>().concat()
    }
}
