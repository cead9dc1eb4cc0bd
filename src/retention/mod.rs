//! Retention: which restore points stay, which go, and why. A pure function of what the store lists, a policy, and the time.
//!
//! [`decide`] answers for every point; nothing here opens a store, reads a clock, or carries an answer out. Points leave in two
//! phases, a tombstone first and the deletion only in a later run, after a grace. What the rules do not keep may still be guarded:
//! the newest points that proved themselves, pins, locks, and what others depend on. Where in doubt, a point is kept; one whose content
//! was found wrong stands for no other, and is the last of its period to go.

mod calendar;
mod decide;
mod facts;
mod gaps;
mod join;
mod kept;
mod needs;
mod policy;
mod reason;
mod seen;
mod simulate;

pub use calendar::Rule;
pub use decide::{Decision, Verdict, decide};
pub use facts::{Catalog, Damage, Doubt, Pin, PointFacts};
pub use gaps::{Gap, gaps};
pub use join::join;
pub use policy::{Fault, Keep, KeepError, MaxDelete, Policy};
pub use reason::{Action, Halt, Phase, Reason};
pub use seen::{CatalogFacts, FailureSeen, PointSeen, RemainsSeen, Setting};
pub use simulate::{Day, Scenario, Simulation, SimulationError, Stretch, simulate};
