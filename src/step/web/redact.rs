//! Keeping secrets out of what servers and programs say back: who repeats what it was given must not make an error leak it.
//!
//! This module does not know which secrets there are; the caller hands them over.

use crate::words::cut;

/// Parts of a secret shorter than this are not looked for alone: they would blacken ordinary words.
const SHORTEST: usize = 6;

/// The most characters of an answer that an error repeats.
const EXCERPT: usize = 200;

/// One readable line of what a server said: secrets and their parts blackened, control characters gone, cut short.
///
/// A secret is looked for as a whole and in the parts a URL or header has, because servers repeat those alone.
pub(in crate::step) fn excerpt(text: &str, secrets: &[&str]) -> String {
    let line: String = blackened(text, secrets).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut(&line.split_whitespace().collect::<Vec<_>>().join(" "), EXCERPT)
}

/// A text without secrets and their parts.
pub(in crate::step) fn blackened(text: &str, secrets: &[&str]) -> String {
    let mut parts: Vec<&str> = secrets.iter().flat_map(|secret| parts(secret)).collect();
    // Longest first, so that a part does not break the whole that holds it.
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    let mut text = text.to_owned();
    for part in parts {
        text = text.replace(part, "[secret]");
    }
    text
}

fn parts(secret: &str) -> impl Iterator<Item = &str> {
    let separators = |c: char| c.is_whitespace() || "/?&=:@#,;\"'".contains(c);
    let pieces = secret.split(separators).filter(|piece| piece.len() >= SHORTEST);
    std::iter::once(secret).filter(|whole| !whole.is_empty()).chain(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wholes_and_parts_of_secrets_are_blackened() {
        let secrets = ["https://hooks.example/T0/canary123?key=canary456", "Bearer canary789", "pw"];
        let said = "no such hook canary123 (key=canary456)\r\n\x1b[31mBearer canary789\x1b[0m pw";
        let line = excerpt(said, &secrets);
        assert!(!line.contains("canary") && !line.contains("pw") && !line.contains('\x1b'), "{line}");
        assert!(line.starts_with("no such hook [secret] (key=[secret])"), "{line}");
    }

    #[test]
    fn a_long_answer_is_cut_after_it_is_blackened() {
        let line = excerpt(&format!("{}canary1", "x".repeat(196)), &["canary1"]);
        assert_eq!(line, format!("{}[sec…", "x".repeat(196)));
    }
}
