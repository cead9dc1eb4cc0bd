//! The small words that messages are made of: quoted names, lists of them, counts, texts cut to size, near words.
//!
//! Every room says these the same way, so that a reader learns them once. This module does not know what is being told.

use std::fmt::Display;

/// Text of a user inside a message: in backticks, on one line, and not longer than a reader wants.
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    let one_line = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    let shown: String = cut(text, SHOWN).chars().map(one_line).collect();
    format!("`{shown}`")
}

/// The names a list of suggestions shows, each quoted; very long lists are cut.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 30;
    let mut names: Vec<String> = names.into_iter().map(quoted).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more > 0 {
        names.truncate(SHOWN);
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// `a`, `a or b`, `a, b or c`.
pub fn or(words: &[String]) -> String {
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

/// A number of things: `1 table`, `3 tables`. Only for words that take an `s`.
pub fn count<N: Copy + Display + PartialEq + From<u8>>(number: N, thing: &str) -> String {
    if number == N::from(1) { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// A text cut to so many characters, with `…` where something is missing.
pub fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The candidate nearest to a misspelt word, if one is near enough to be meant.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |c: &str| strsim::jaro_winkler(&word.to_lowercase(), &c.to_lowercase());
    candidates
        .into_iter()
        .map(|candidate| (near(candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        assert_eq!(did_you_mean("need", ["needs", "uses", "with"]), Some("needs"));
        assert_eq!(did_you_mean("zzz", ["needs", "uses", "with"]), None);
    }

    #[test]
    fn alternatives_read_as_a_sentence() {
        assert_eq!(or(&["a".into(), "b".into(), "c".into()]), "a, b or c");
        assert_eq!(or(&["a".into()]), "a");
    }

    #[test]
    fn quoted_text_stays_on_one_line_and_long_lists_are_cut() {
        assert_eq!(quoted("한\n글"), "`한\\n글`");
        assert_eq!(quoted(&"주".repeat(99)).chars().count(), 83);
        let names: Vec<String> = (0..34).map(|n| format!("n{n}")).collect();
        assert!(listed(names.iter().map(String::as_str)).ends_with("`n29`, 4 more"));
    }

    #[test]
    fn one_thing_takes_no_s() {
        assert_eq!([count(0_u64, "table"), count(1, "table"), count(2, "table")], ["0 tables", "1 table", "2 tables"]);
    }

    #[test]
    fn cutting_counts_characters_and_keeps_them_whole() {
        assert_eq!(cut("주문-야간", 2), "주문…");
        assert_eq!(cut("주문", 2), "주문");
    }
}
