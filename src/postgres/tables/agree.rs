//! Whether the tables of a restore point and the live ones agree on their form, asked before anything depends on it.
//!
//! What is decided later under a lock, such as who refers to whom, is not looked at here.

use super::{Sides, TablesError, open, pair};

/// Refuses tables that one side lacks or that have other columns; with `keyed`, also those whose rows can not be matched.
///
/// # Errors
/// [`TablesError`], naming the table and what to do.
pub fn agree(sides: &Sides<'_>, names: &[&str], keyed: bool) -> Result<(), TablesError> {
    let (scratch, target) = (open(sides.scratch, sides.handle)?, open(sides.target, sides.handle)?);
    let there = pair::of_scratch(&scratch, names)?;
    let here = pair::of_target(&target, &there)?;
    if keyed {
        pair::need_keys(&there, &here, |table| format!("use `--tables {} --as copy`", table.quoted))?;
    }
    scratch.close();
    target.close();
    Ok(())
}
