//! The few colours there are, and how a text looks without them.
//!
//! Whether colour is wanted is decided by the caller; a text must say everything without it.

use anstyle::{AnsiColor, Style};

/// Something good.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Something bad.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something to look at.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Something of less weight.
pub const DIM: Style = Style::new().dimmed();
/// A heading or a name.
pub const BOLD: Style = Style::new().bold();
/// An id.
pub const NAME: Style = AnsiColor::Cyan.on_default();

/// Whether colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// A text in a style, or bare.
    pub fn on(self, style: Style, text: &str) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}
