//! What the head of a patch says of itself: for which database it was made, and what it will do.
//!
//! It may have been edited, so nothing is decided by it: it is told, and a mismatch is warned of.

use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// How the first line goes on behind the restore point.
pub(super) const BACK_INTO: &str = ", back into database ";

/// How a line of a table begins.
const TABLE: &str = "--   ";

/// How many lines a head has at most.
const LINES: usize = 10_000;

/// The head of a patch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The database that it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// What it will do to each table, in its own words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
}

/// Reads the head of a patch; of a file that has none, nothing is known.
///
/// # Errors
/// What the system says.
pub fn header(path: &Path) -> std::io::Result<Header> {
    let mut found = Header::default();
    for line in BufReader::new(std::fs::File::open(path)?).lines().take(LINES) {
        let line = line?;
        if !line.starts_with("--") {
            break;
        }
        if let Some((_, database)) = line.rsplit_once(BACK_INTO).filter(|_| found.database.is_none()) {
            found.database = database.strip_suffix('.').map(str::to_owned);
        }
        found.tables.extend(line.strip_prefix(TABLE).map(|words| words.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    Ok(found)
}
