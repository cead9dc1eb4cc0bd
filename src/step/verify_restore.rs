//! `verify-restore`: proves that what the store keeps can be restored, by restoring it.
//!
//! The planner lowers it to a stream (fetch, undo every stage, restore into a scratch server), the checks, and a
//! finish that writes the receipt and removes the server whatever happened. This file holds the parameters and does none of it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PointRef, Problem, References, StepKind};
use crate::ids::{RefName, StepId};
use crate::secret::SecretRef;

/// Restores the stored artifact into a throw-away server and checks what comes out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyRestore {
    /// The `upload` step whose object is verified; the one this step needs when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<StepId>,
    /// A restore point of an earlier run to verify instead, such as one that another host made; what this run stores unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PointRef>,
    /// The private key that decrypts; needed unless a passphrase does. An age identity file's text, an OpenSSH private key, or an OpenPGP secret key.
    /// The key of any recipient does: in a key drill, give the escrowed identity, so that it too is known to open the backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<SecretRef>,
    /// The passphrase that decrypts, or that opens the OpenPGP secret key; none unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SecretRef>,
    /// A connection whose server takes a temporary database; a scratch server is started here unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<RefName>,
    /// Tables restored at once; one a core unless given. Plain and tar dumps restore one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub jobs: Option<u16>,
    /// How what was restored is compared with what was dumped: `full` unless given.
    #[serde(default)]
    pub prove: Prove,
    /// The least number of tables that must have been restored; not looked at unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_tables: Option<u64>,
    /// What must hold in the restored database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// Other major versions of PostgreSQL on which the same is tried afterwards, one after the other, each in a scratch server here:
    /// is the next upgrade possible? Only newer ones than the dump's can be; its own is left out.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(range(min = 14, max = 99)))]
    pub also_majors: BTreeSet<u16>,
}

/// How what was restored is compared with what was dumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Prove {
    /// Every row of every table, every definition, sequence and large object: only this earns `proven`.
    #[default]
    Full,
    /// The number of rows of every table.
    Counts,
    /// Not at all.
    Off,
}

impl Prove {
    /// Why it can not earn the highest level; `None` where it can.
    pub const fn short(self) -> Option<&'static str> {
        match self {
            Self::Full => None,
            Self::Counts => Some("only rows were counted, as asked"),
            Self::Off => Some("nothing was compared, as asked"),
        }
    }
}

/// Something that must hold in the restored database: exactly one of `sql` and `row_count`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// A query of one row and one column; it must answer true, or `equals`. Left out with `row_count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// What the query must answer, compared as text; true unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Expected>,
    /// Bounds on the rows of one table. Left out with `sql`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_count: Option<RowCount>,
}

/// An expected answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Expected {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A text, or any other value written as PostgreSQL prints it.
    Text(String),
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(true) => f.write_str("t"),
            Self::Bool(false) => f.write_str("f"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Bounds on the rows of one table, both included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RowCount {
    /// The table, `orders` or `Sales.Orders`, in its own case; without a schema it may be in any.
    pub table: String,
    /// The least number of rows; no bound unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
    /// The greatest number of rows; no bound unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}

impl StepKind for VerifyRestore {
    fn references(&self) -> References<'_> {
        References {
            connections: self.server.iter().collect(),
            stores: self.from.iter().map(|point| &point.store).collect(),
            secrets: self.identity.iter().chain(&self.passphrase).collect(),
        }
    }

    fn words(&self) -> String {
        let majors: Vec<String> = self.also_majors.iter().map(ToString::to_string).collect();
        let also = if majors.is_empty() { String::new() } else { format!(", also on PostgreSQL {}", majors.join(", ")) };
        format!("{}, {}{also}", self.words_of_place(), self.words_of_checks())
    }

    fn problems(&self) -> Vec<Problem> {
        let both = (self.of.is_some() && self.from.is_some()).then(|| {
            let message = "`of` names an artifact of this run and `from` one of an earlier run";
            Problem::error("one-of", "/of", message).help("keep one of the two")
        });
        let checks = self.checks.iter().enumerate().filter_map(|(index, check)| check.problem(&format!("/checks/{index}")));
        both.into_iter().chain(checks).collect()
    }

    fn point(&self) -> Option<&PointRef> {
        self.from.as_ref()
    }
}

impl VerifyRestore {
    /// Where it restores to, for the reader.
    pub fn words_of_place(&self) -> String {
        self.server.as_ref().map_or_else(|| "into a scratch server".to_owned(), |name| format!("into a temporary database on {name}"))
    }

    /// What it checks, for the reader.
    pub fn words_of_checks(&self) -> String {
        let proof = match self.prove {
            Prove::Full => "compare everything with what was dumped",
            Prove::Counts => "compare the rows of each table with what was dumped",
            Prove::Off => "count rows",
        };
        match self.checks.len() + usize::from(self.min_tables.is_some()) {
            0 => proof.to_owned(),
            1 => format!("{proof}, 1 check"),
            many => format!("{proof}, {many} checks"),
        }
    }
}

impl Check {
    fn problem(&self, pointer: &str) -> Option<Problem> {
        match (&self.sql, &self.row_count, &self.equals) {
            (Some(_), None, _) | (None, Some(RowCount { min: Some(_), .. } | RowCount { max: Some(_), .. }), None) => None,
            (None, Some(_), None) => Some(
                Problem::error(
                    "check-without-bound",
                    format!("{pointer}/row_count"),
                    "this check can not fail: it has neither `min` nor `max`",
                )
                .help("give `min: 1`"),
            ),
            (None, Some(_), Some(_)) => Some(
                Problem::error("equals-without-sql", format!("{pointer}/equals"), "`equals` belongs to `sql`").help("use `min` and `max`"),
            ),
            _ => {
                Some(Problem::error("one-of", pointer, "a check is exactly one of `sql` and `row_count`").help("split it into two checks"))
            }
        }
    }
}
