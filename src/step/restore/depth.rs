//! How much of a restore can be compared with what was dumped, and why not more: one answer, for the words of the plan and for the act.
//!
//! Nothing is compared here.

use super::super::Prove;
use super::super::prove::Leeway;
use super::Restore;

/// What a comparison may make, and drop again, on the server that is restored to.
const AGAIN: &str = "; definitions that the server words differently are made once more in a temporary database beside it";

/// What of a restore is compared with what was dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// How far the comparison goes.
    pub how: Prove,
    /// Why it can not earn the highest level; `None` where it can.
    pub short: Option<String>,
    leeway: Leeway,
}

impl Restore {
    /// What can be compared of what was asked for.
    pub fn depth(&self) -> Depth {
        let leeway = Leeway { more: self.in_place(), owners: self.no_owner, privileges: self.no_privileges };
        if let Some(part) = self.part_only() {
            return Depth {
                how: Prove::Off,
                short: Some(format!("{part}, as asked, so nothing was compared with what was dumped")),
                leeway,
            };
        }
        let left = left_out(leeway).filter(|_| self.prove == Prove::Full).map(|left| format!("{left} were left out, as asked"));
        Depth { how: self.prove, short: left.or_else(|| self.prove.short().map(str::to_owned)), leeway }
    }

    /// What is restored, where that is not both definitions and data.
    fn part_only(&self) -> Option<String> {
        let sections = || self.sections.iter().map(|section| section.word()).collect::<Vec<_>>().join(" and ");
        match (self.schema_only, self.sections.as_slice()) {
            (true, _) => Some("definitions only".to_owned()),
            (false, []) => None,
            (false, _) => Some(format!("only {} of the archive", sections())),
        }
    }
}

impl Depth {
    /// What may differ because it was asked for.
    pub(in super::super) const fn leeway(&self) -> Leeway {
        self.leeway
    }

    /// What is compared, for a plan.
    pub fn words(&self, restore: &Restore) -> String {
        match (self.how, restore.part_only(), left_out(self.leeway)) {
            (_, Some(part), _) => format!("count rows; {part}, so nothing can be compared with what was dumped"),
            (Prove::Full, None, Some(left)) => format!("compare everything but {left} with what was dumped{AGAIN}"),
            (Prove::Full, None, None) => format!("compare everything with what was dumped{AGAIN}"),
            (Prove::Counts, None, _) => "compare the rows of each table with what was dumped".to_owned(),
            (Prove::Off, None, _) => "count rows".to_owned(),
        }
    }
}

/// What is not restored as it was, in words.
const fn left_out(leeway: Leeway) -> Option<&'static str> {
    match (leeway.owners, leeway.privileges) {
        (true, true) => Some("owners and privileges"),
        // Who grants what is worded by who owns it.
        (true, false) => Some("owners and what depends on them"),
        (false, true) => Some("privileges"),
        (false, false) => None,
    }
}
