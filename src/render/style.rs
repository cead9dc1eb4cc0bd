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

/// How many columns of a terminal a text takes: two for a Hangul syllable, none for a combining mark.
pub fn columns(text: &str) -> usize {
    if text.is_empty() {
        return 0;
    }
    let mut table = comfy_table::Table::new();
    table.add_row([text]);
    table.column_max_content_widths().first().copied().map_or(0, usize::from)
}

/// A text with spaces behind it up to so many columns; longer ones stay as they are.
pub fn padded(text: &str, width: usize) -> String {
    format!("{text}{:1$}", "", width.saturating_sub(columns(text)))
}

/// Whether colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// A text in a style, or bare.
    pub fn on(self, style: Style, text: &str) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_a_terminal() {
        for (text, wide) in [("", 0), ("abc", 3), ("주문", 4), ("e\u{301}", 1), ("日本x", 5)] {
            assert_eq!(columns(text), wide, "{text:?}");
        }
        assert_eq!(padded("주문", 6), "주문  ");
        assert_eq!(padded("주문-야간", 3), "주문-야간");
    }
}
