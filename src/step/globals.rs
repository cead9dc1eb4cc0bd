//! `globals`: what belongs to the whole cluster (roles, memberships, tablespaces) by `pg_dumpall`, as a stream of SQL.
//!
//! With passwords in it, the text holds their hashes, so it is secret material everywhere. This file does not restore it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cx, OpenSource, Opened, References, StepError, StepKind, origin};
use crate::ids::RefName;
use crate::store::manifest::Origin;
use crate::stream::expected::{Form, expected};

/// Dumps roles and tablespaces with `pg_dumpall` and yields them as SQL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Globals {
    /// The connection to the server, as declared under `connections`.
    pub connection: RefName,
    /// Which of them.
    #[serde(default)]
    pub only: Only,
    /// Whether password hashes are part of it; reading them takes a superuser.
    #[serde(default = "yes")]
    pub passwords: bool,
}

fn yes() -> bool {
    true
}

/// Which global objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    /// Roles and tablespaces.
    #[default]
    All,
    /// Roles and their memberships.
    Roles,
    /// Tablespaces.
    Tablespaces,
}

impl StepKind for Globals {
    fn references(&self) -> References<'_> {
        References { connections: vec![&self.connection], ..References::default() }
    }

    fn words(&self) -> String {
        let what = match self.only {
            Only::All => "roles and tablespaces",
            Only::Roles => "roles",
            Only::Tablespaces => "tablespaces",
        };
        let passwords = if self.passwords { "with" } else { "without" };
        format!("pg_dumpall of {what} of {}, {passwords} password hashes", self.connection)
    }
}

impl Globals {
    /// The arguments of `pg_dumpall` behind the program's name.
    pub fn arguments(&self) -> Vec<String> {
        let only = match self.only {
            Only::All => "--globals-only",
            Only::Roles => "--roles-only",
            Only::Tablespaces => "--tablespaces-only",
        };
        let mut arguments = vec![only.to_owned(), "--no-password".to_owned()];
        if !self.passwords {
            arguments.push("--no-role-passwords".to_owned());
        }
        arguments
    }
}

/// How `pg_dumpall`'s text is recognised (`pg_dumpall.c`).
const FORM: Form = Form {
    program: "pg_dumpall",
    name: "a dump of globals",
    head: "--\n-- PostgreSQL database cluster dump\n",
    tail: "-- PostgreSQL database cluster dump complete\n",
};

impl OpenSource for Globals {
    fn open(&self, cx: &Cx<'_>) -> Result<Opened, StepError> {
        let connection = cx.runtime.connection_within(&self.connection, cx.cancel)?;
        let (origin, tools) = origin::of(&self.connection, connection.info(), cx, "pg_dumpall")?;
        let origin =
            Origin { kind: "globals".to_owned(), format: "globals-sql".to_owned(), database: None, extensions: Vec::new(), ..origin };
        let program = connection.program(&tools.tool("pg_dumpall")).args(self.arguments()).named("pg_dumpall");
        Ok(Opened { stream: expected(program.source(cx.cancel)?, FORM), origin, contents: None, complete: None })
    }
}
