//! What was found out about the world before planning: plain facts, nothing live.
//!
//! `observe` fills it; offline it stays empty, and every part then reads as unknown. Nothing here looks at anything itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Class;
use crate::ids::{RefName, StepId};
use crate::postgres::patch::Header;
use crate::postgres::target::TargetFacts;
use crate::retention::CatalogFacts;
use crate::secret::Presence;
use crate::step::FileFacts;
use crate::store::missed::Missed;
use crate::store::recall::Recalled;

/// What was found out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Whether nobody looked.
    pub offline: bool,
    /// The git commit the pipeline's file stands at, `-dirty` behind it when the file differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// The databases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub connections: BTreeMap<RefName, Reach<ConnectionFacts>>,
    /// The stores.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stores: BTreeMap<RefName, Reach<StoreFacts>>,
    /// The secrets; unknown offline.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<RefName, Presence>,
    /// The restore points of earlier runs that steps work on, by step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub points: BTreeMap<StepId, Reach<Box<Recalled>>>,
    /// What the stores keep of this pipeline, where a step deletes from one; joined, so that each knows what the others know.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub catalogs: BTreeMap<RefName, Reach<CatalogFacts>>,
    /// What the stores that steps copy to have missed, by step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missed: BTreeMap<StepId, Reach<Missed>>,
    /// The dumps that steps read and this program did not make, by step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<StepId, Reach<FileFacts>>,
    /// The patches that steps apply, by step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub patches: BTreeMap<StepId, PatchFacts>,
    /// The places that steps restore into, by step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub targets: BTreeMap<StepId, Reach<TargetFacts>>,
    /// Majors of scratch servers that verifications will start, of which no server programs are installed here, and why not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing_servers: BTreeMap<u16, String>,
    /// Free bytes where scratch servers and staged dumps live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch_free: Option<u64>,
    /// What the filters of dumps leave out, by step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<StepId, LeftOutTables>,
    /// What else was noticed, such as a recipients file that can not be read: subject and message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<Trouble>,
}

/// A patch that is applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchFacts {
    /// What it says of itself.
    pub header: Header,
    /// The database that it is applied to, where the connection tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
}

/// The tables that a dump's filters leave out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutTables {
    /// How many.
    pub count: u64,
    /// The first of them, as `schema.table`, sorted.
    pub names: Vec<String>,
}

/// Something noticed about a step's own files or programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What it is about.
    pub subject: String,
    /// What was noticed.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// What kind of failure it would be.
    pub class: Class,
}

/// A thing that could be reached, with its facts, or why it could not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach<T> {
    /// It answered.
    Reached(T),
    /// It did not.
    Failed {
        /// What it or the system said.
        message: String,
        /// What kind of failure it is.
        class: Class,
    },
}

impl<T> Reach<T> {
    /// The facts, if it answered.
    pub const fn facts(&self) -> Option<&T> {
        match self {
            Self::Reached(facts) => Some(facts),
            Self::Failed { .. } => None,
        }
    }
}

/// A database and the tools for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionFacts {
    /// Where it is, without secrets: `backup@db1:5432/orders`, or `embedded PostgreSQL 15`.
    pub place: String,
    /// The server's `server_version_num`; for an embedded one, that of the tools that will start it.
    pub server_version: u32,
    /// The cluster's system identifier, when the role may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_identifier: Option<String>,
    /// The database's size on disk, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_bytes: Option<u64>,
    /// How many tables it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<u64>,
    /// Whether the role is a superuser.
    pub superuser: bool,
    /// Tables and sequences the role can not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    /// Tables of which row-level security hides rows from the role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filtered: Vec<String>,
    /// What else stands in the way of a complete dump, each with what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// The client tools chosen for it, or why there are none.
    pub tools: ToolFacts,
    /// Whether a scratch server of this major can be started, or why not; `None` when it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_scratch: Option<String>,
}

/// The tools chosen for a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolFacts {
    /// The folder and the version, such as `pg_dump (PostgreSQL) 15.18`.
    Found {
        /// The folder.
        folder: String,
        /// What `pg_dump --version` says.
        version: String,
    },
    /// Why there is no tool that can dump it.
    Missing(String),
}

impl Default for ToolFacts {
    fn default() -> Self {
        Self::Missing("nobody looked".to_owned())
    }
}

/// A store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreFacts {
    /// Where it is: `s3://bucket/prefix`.
    pub place: String,
    /// Free bytes, where it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// Whether a write, a read and a delete were tried (`--probe`) and the store refused to overwrite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_only: Option<bool>,
}
