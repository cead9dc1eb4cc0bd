//! Tables that refer to each other: their foreign keys are checked once, at the end.
//!
//! A `COPY` fills one table, so while several are filled those keys can not hold. Within the transaction they are made
//! deferrable, and at its end what they were; others never see it. This module moves no rows.

use crate::postgres::client::Client;
use crate::postgres::error::PgError;
use crate::postgres::tables::links::{Group, Link};
use crate::postgres::tables::shape::Table;

/// What is to be made tight again.
pub(super) struct Knots {
    again: Vec<String>,
}

impl Knots {
    /// Lets the keys inside of groups of several tables wait.
    pub(super) fn loosen(target: &Client, groups: &[Group], links: &[Link], tables: &[Table]) -> Result<Self, PgError> {
        let mut again = Vec::new();
        let in_group = |group: &Group, oid: u32| group.tables.iter().any(|at| tables[*at].oid == oid);
        for group in groups.iter().filter(|group| group.tables.len() > 1) {
            let inside =
                links.iter().filter(|link| link.child != link.parent && in_group(group, link.child) && in_group(group, link.parent));
            for link in inside.filter(|link| !link.deferrable) {
                let alter = format!("alter table {} alter constraint {}", link.child_name, link.quoted);
                target.batch(&format!("{alter} deferrable"))?;
                again.push(format!("{alter} not deferrable;"));
            }
            target.batch("set constraints all deferred")?;
        }
        Ok(Self { again })
    }

    /// Checks everything that waits, and makes the keys what they were.
    pub(super) fn tighten(self, target: &Client) -> Result<(), PgError> {
        target.batch("set constraints all immediate")?;
        target.batch(&self.again.concat())
    }
}
