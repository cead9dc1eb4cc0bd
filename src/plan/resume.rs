//! Going on with a run that crashed or failed: which nodes need not run again, and whether going on is right at all.
//!
//! Pure, of the plan, of what receipts and journal tell, and of what was asked. A node stays done only if all it built on stays done, and
//! works that share a place of the dead process end together or are all done again. What may have changed something outside the stores is
//! never done twice unasked. Nothing is looked at here.

use std::collections::BTreeSet;

use super::{Node, Plan};
use crate::ids::NodeId;
use crate::step::{Again, Edge};

/// What is known of the run so far.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// The nodes that have ended so that others may run: those with a receipt.
    pub ended: BTreeSet<NodeId>,
    /// The nodes of which an attempt began, whatever came of it.
    pub begun: BTreeSet<NodeId>,
    /// The nodes that somebody says may be done again.
    pub again: BTreeSet<String>,
}

/// Why a run is not gone on with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotResumed {
    /// It restores into a database that stays.
    #[error("`{node}` restores into a database that stays, and that is not gone on with in the middle")]
    Restores {
        /// The node.
        node: NodeId,
    },
    /// What ran after a failure may have undone what ran before it.
    #[error("`{node}` has acted already, after something before it had not ended: it may have undone what the steps before it did")]
    Acted {
        /// The node.
        node: NodeId,
    },
    /// Nobody knows whether it took effect.
    #[error("`{node}` had begun and has not ended well: whether it has changed something is not known")]
    Unknown {
        /// The node.
        node: NodeId,
    },
    /// It was said that a node may be done again that needs no such word.
    #[error("`{node}` is no step of this run that could only be done again if asked")]
    Unasked {
        /// What was given.
        node: String,
    },
}

impl NotResumed {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::Restores { .. } => "look how far it came (`runner logs`) and restore again. A database that was being made is called \
                                      …_restoring, and the next restore removes it; a swap, and tables or rows that are brought in, are one \
                                      transaction each: done whole or not at all"
                .to_owned(),
            Self::Acted { .. } => "start a new run: `runner apply`".to_owned(),
            Self::Unknown { node } => {
                format!("look whether it did; if it may be done again: --again {node}; if not, start a new run: `runner apply`")
            }
            Self::Unasked { .. } => "leave out --again, or name the node as `runner logs` does".to_owned(),
        }
    }
}

/// The nodes that are not run again.
///
/// # Errors
/// [`NotResumed`], for the first node in the plan's order that stands in the way.
pub fn resume(plan: &Plan, past: &Past) -> Result<BTreeSet<NodeId>, NotResumed> {
    let kept = kept(plan, &past.ended);
    let mut unknown: BTreeSet<&str> = BTreeSet::new();
    for node in plan.nodes.iter().filter(|node| !kept.contains(&node.id)) {
        match node.work.again() {
            Again::Never => return Err(NotResumed::Restores { node: node.id.clone() }),
            Again::IfAsked if past.ended.contains(&node.id) => return Err(NotResumed::Acted { node: node.id.clone() }),
            // A step with attempts of its own was written to be done again.
            Again::IfAsked if past.begun.contains(&node.id) && node.retry.attempts == 1 => {
                unknown.insert(node.id.as_str());
            }
            Again::IfAsked | Again::Freely => {}
        }
    }
    if let Some(node) = past.again.iter().find(|asked| !unknown.contains(asked.as_str())) {
        return Err(NotResumed::Unasked { node: node.clone() });
    }
    match plan.nodes.iter().find(|node| unknown.contains(node.id.as_str()) && !past.again.contains(node.id.as_str())) {
        Some(node) => Err(NotResumed::Unknown { node: node.id.clone() }),
        None => Ok(kept),
    }
}

/// Of the nodes that have ended, those that need not run again.
fn kept(plan: &Plan, ended: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let mut kept: BTreeSet<NodeId> = plan.nodes.iter().map(|node| &node.id).filter(|id| ended.contains(*id)).cloned().collect();
    loop {
        let lost: Vec<NodeId> =
            plan.nodes.iter().filter(|node| kept.contains(&node.id) && !stays(plan, node, &kept)).map(|node| node.id.clone()).collect();
        if lost.is_empty() {
            return kept;
        }
        kept.retain(|id| !lost.contains(id));
    }
}

/// Whether all that a node built on, and all that shares its place, is done.
fn stays(plan: &Plan, node: &Node, kept: &BTreeSet<NodeId>) -> bool {
    let built_on = plan.edges.iter().filter(|link| link.to == node.id && link.edge != Edge::After);
    let place = node.work.place();
    let beside = plan.nodes.iter().filter(|other| place.is_some() && other.work.place() == place);
    built_on.map(|link| &link.from).chain(beside.map(|other| &other.id)).all(|id| kept.contains(id))
}
