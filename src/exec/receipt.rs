//! The receipts of nodes: what is kept of each that has ended, so that another process can go on behind it.
//!
//! Written before the node's end is told, so that what was told to have ended never runs again. This file does not write them:
//! whoever keeps them does, behind [`Receipts`].

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::State;
use crate::ids::{NodeId, RunId};
use crate::runtime::{Added, NodeRecord};

/// The version of the form of a receipt.
pub const RECEIPT_VERSION: u32 = 1;

/// What is kept of a node that has ended so that others may run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Receipt {
    /// The form of this document: [`RECEIPT_VERSION`].
    pub version: u32,
    /// The run.
    pub run: RunId,
    /// The node.
    pub node: NodeId,
    /// How it ended.
    pub state: State,
    /// How long it took.
    pub took: Duration,
    /// When it ended.
    pub ended: Timestamp,
    /// What a failure said that is only a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it has added to the ledger.
    pub added: Added,
}

impl Receipt {
    /// The node's record in the ledger.
    pub(super) fn record(&self) -> NodeRecord {
        NodeRecord {
            node: self.node.clone(),
            good: self.state != State::Warned,
            warn_only: self.state == State::Warned,
            took: self.took,
            error: self.error.clone(),
            fault: None,
        }
    }
}

/// Where receipts are kept.
pub trait Receipts {
    /// Keeps one; it is on disk when this has answered.
    ///
    /// # Errors
    /// When it can not be written: then the run is stopped.
    fn keep(&mut self, receipt: &Receipt) -> std::io::Result<()>;
}

/// What earlier processes of the same run have done.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// The receipts of the nodes that are not run again, in the order of their ends.
    pub kept: Vec<Receipt>,
    /// How long those processes worked on it.
    pub worked: Duration,
}
