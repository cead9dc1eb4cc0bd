//! The rules that make a change suspicious, each in words, with its threshold. This file judges nothing.

use serde::{Deserialize, Serialize};

/// The share of its rows in percent that a table may lose.
pub const TABLE_LOSES: u64 = 50;
/// The share of all rows in percent that may go.
pub const ROWS_FALL: u64 = 20;
/// The share of the dump's size in percent that may go.
pub const SIZE_FALLS: u64 = 30;
/// By how much of its size in percent a dump may grow.
pub const SIZE_RISES: u64 = 200;

/// A rule that makes a change suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A table is gone.
    TableGone,
    /// A table has no rows any more.
    TableEmptied,
    /// A table lost more than [`TABLE_LOSES`] percent of its rows.
    TableShrunk,
    /// All tables together lost more than [`ROWS_FALL`] percent of their rows.
    RowsFell,
    /// The dump is more than [`SIZE_FALLS`] percent smaller.
    SizeFell,
    /// The dump is more than [`SIZE_RISES`] percent larger.
    SizeRose,
    /// There are fewer large objects.
    LargeObjectsFewer,
    /// The dump lacks more of its database.
    CompletenessWorse,
    /// Less is known about the restore point.
    LevelLower,
    /// Objects were added, removed or redefined, or a table has other columns.
    SchemaChanged,
    /// Another version of the server was dumped.
    ServerChanged,
}

impl Rule {
    /// Every rule, the gravest first.
    pub const ALL: [Self; 11] = [
        Self::TableGone,
        Self::TableEmptied,
        Self::TableShrunk,
        Self::RowsFell,
        Self::SizeFell,
        Self::SizeRose,
        Self::LargeObjectsFewer,
        Self::CompletenessWorse,
        Self::LevelLower,
        Self::SchemaChanged,
        Self::ServerChanged,
    ];

    /// Its name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TableGone => "table-gone",
            Self::TableEmptied => "table-emptied",
            Self::TableShrunk => "table-shrunk",
            Self::RowsFell => "rows-fell",
            Self::SizeFell => "size-fell",
            Self::SizeRose => "size-rose",
            Self::LargeObjectsFewer => "large-objects-fewer",
            Self::CompletenessWorse => "completeness-worse",
            Self::LevelLower => "level-lower",
            Self::SchemaChanged => "schema-changed",
            Self::ServerChanged => "server-changed",
        }
    }

    /// What is suspicious, in words.
    pub fn words(self) -> String {
        match self {
            Self::TableGone => "a table is gone, or its rows are no longer dumped".to_owned(),
            Self::TableEmptied => "a table that had rows has none".to_owned(),
            Self::TableShrunk => format!("a table lost more than {TABLE_LOSES} % of its rows"),
            Self::RowsFell => format!("all tables together lost more than {ROWS_FALL} % of their rows"),
            Self::SizeFell => format!("the dump is more than {SIZE_FALLS} % smaller before compression"),
            Self::SizeRose => format!("the dump is more than {SIZE_RISES} % larger before compression"),
            Self::LargeObjectsFewer => "there are fewer large objects".to_owned(),
            Self::CompletenessWorse => "the dump leaves out more of its database".to_owned(),
            Self::LevelLower => "the restore point has a lower level".to_owned(),
            Self::SchemaChanged => "definitions were added, removed or changed".to_owned(),
            Self::ServerChanged => "another version of the server was dumped".to_owned(),
        }
    }

    /// Whether only the whole fingerprints can tell.
    pub(super) const fn needs_fingerprint(self) -> bool {
        matches!(self, Self::TableGone | Self::TableEmptied | Self::TableShrunk | Self::SchemaChanged)
    }
}
