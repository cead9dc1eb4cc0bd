//! Text of others inside Markdown. Nothing here knows what is being told.

/// A name of a database, an error, the words of a person inside Markdown: what means something there, or could name people, is made
/// plain, and all of it stays on one line.
pub(super) fn text(plain: &str) -> String {
    let mut out = String::with_capacity(plain.len());
    for (at, c) in plain.char_indices() {
        match c {
            // At the start of a line these begin a list.
            '+' | '-' if at == 0 => out.extend(['\\', c]),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '!' => out.extend(['\\', c]),
            '@' => out.push_str("&#64;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_names() {
        assert_eq!(text("- view a-b"), "\\- view a-b");
        assert_eq!(text("public.a_b|`x`\n@all <i>주문</i>"), "public.a\\_b\\|\\`x\\` &#64;all \\<i\\>주문\\</i\\>");
    }
}
