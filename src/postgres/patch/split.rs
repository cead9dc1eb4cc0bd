//! Where statements of an SQL file end.
//!
//! Source: PostgreSQL documentation 4.1 "Lexical Structure": quotes, dollar quotes, comments. This module does not read SQL
//! beyond that, and not psql's own commands, which the server then refuses.

/// How much of the beginning of a statement is kept as words, in bytes.
const WORDS: usize = 60;

/// A statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// All of it, with comments that stand before it.
    pub(super) text: String,
    /// Its first words in lower case, without comments.
    pub(super) words: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Nothing,
    /// A string constant, with backslash escapes or without.
    Text(bool),
    Name,
    /// A dollar-quoted constant, by its whole tag.
    Dollar(String),
    /// A comment that nests, by depth.
    Comment(u32),
}

/// Cuts text that comes line by line into statements.
#[derive(Default)]
pub(super) struct Splitter {
    inside: Inside,
    text: String,
    words: String,
}

impl Splitter {
    /// The statements that end in this line.
    pub(super) fn feed(&mut self, line: &str) -> Vec<Statement> {
        let (mut found, mut rest) = (Vec::new(), line);
        while let Some(c) = rest.chars().next() {
            let taken = match &self.inside {
                Inside::Nothing if rest.starts_with("--") => rest.len(),
                Inside::Nothing => self.plain(c, rest),
                Inside::Text(escapes) => text_part(c, *escapes, rest, &mut self.inside),
                Inside::Name => self.name(c),
                Inside::Dollar(tag) if rest.starts_with(tag.as_str()) => {
                    let length = tag.len();
                    self.inside = Inside::Nothing;
                    length
                }
                Inside::Dollar(_) => c.len_utf8(),
                Inside::Comment(depth) => comment_part(c, *depth, rest, &mut self.inside),
            };
            self.text.push_str(&rest[..taken]);
            rest = &rest[taken..];
            if c == ';' && self.inside == Inside::Nothing && taken == 1 && self.ended() {
                found.push(self.take());
            }
        }
        found
    }

    /// Whether nothing but blanks and comments is left over.
    pub(super) fn at_end(&self) -> bool {
        self.inside == Inside::Nothing && self.words.trim().is_empty()
    }

    fn ended(&self) -> bool {
        self.text.ends_with(';')
    }

    fn take(&mut self) -> Statement {
        let words = std::mem::take(&mut self.words);
        Statement { text: std::mem::take(&mut self.text), words: words.trim().trim_end_matches(';').trim().to_owned() }
    }

    fn name(&mut self, c: char) -> usize {
        if c == '"' {
            self.inside = Inside::Nothing;
        }
        c.len_utf8()
    }

    /// Outside of anything: what begins here?
    fn plain(&mut self, c: char, rest: &str) -> usize {
        let before = self.text.chars().next_back();
        let in_word = before.is_some_and(|b| b.is_alphanumeric() || b == '_' || b == '$');
        if rest.starts_with("/*") {
            self.inside = Inside::Comment(1);
            return 2;
        }
        if c == '$'
            && !in_word
            && let Some(tag) = dollar_tag(rest)
        {
            self.inside = Inside::Dollar(tag.to_owned());
            return tag.len();
        }
        match c {
            '\'' => self.inside = Inside::Text(is_escape_prefix(&self.text)),
            '"' => self.inside = Inside::Name,
            _ => {}
        }
        if self.words.len() < WORDS {
            self.words.extend(c.to_lowercase());
        }
        c.len_utf8()
    }
}

/// `$$` or `$tag$` at the beginning of this text.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 2;
    let tag = &text[1..end - 1];
    let fits = tag.chars().all(|c| c.is_alphanumeric() || c == '_') && !tag.starts_with(|c: char| c.is_ascii_digit());
    fits.then(|| &text[..end])
}

/// Whether the text ends with the `E` of an escape string.
fn is_escape_prefix(text: &str) -> bool {
    let mut before = text.chars().rev();
    matches!(before.next(), Some('e' | 'E')) && before.next().is_none_or(|b| !(b.is_alphanumeric() || b == '_' || b == '$'))
}

fn text_part(c: char, escapes: bool, rest: &str, inside: &mut Inside) -> usize {
    if c == '\\' && escapes {
        return 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
    }
    // A doubled quote ends a constant and begins the next one, which comes to the same but for escapes.
    if c == '\'' && rest[1..].starts_with('\'') {
        return 2;
    }
    if c == '\'' {
        *inside = Inside::Nothing;
    }
    c.len_utf8()
}

fn comment_part(c: char, depth: u32, rest: &str, inside: &mut Inside) -> usize {
    let depth = if rest.starts_with("/*") {
        depth + 1
    } else if rest.starts_with("*/") {
        depth - 1
    } else {
        return c.len_utf8();
    };
    *inside = if depth == 0 { Inside::Nothing } else { Inside::Comment(depth) };
    2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> (Vec<String>, bool) {
        let mut splitter = Splitter::default();
        let found = text.split_inclusive('\n').flat_map(|line| splitter.feed(line)).map(|statement| statement.text.trim().to_owned());
        let found = found.collect();
        (found, splitter.at_end())
    }

    #[test]
    fn semicolons_inside_of_anything_end_nothing() {
        for whole in [
            "select 'a;b', \"c;d\", E'e\\';f', $$g;h$$, $t$i;$$;j$t$;",
            "select 'it''s; so';",
            "select 'back\\'; ",
            "/* a; /* b; */ c; */ select 1;",
            "-- it's one; or two\nselect 1;",
            "do $runner$ begin\n  delete from t where a = '$';\nend $runner$;",
            "select a$b$c, E'\n;\n';",
            "select '한글;', \"주문;\";",
        ] {
            assert_eq!(split(whole).0, [whole.trim()], "{whole}");
        }
        assert_eq!(split("begin; commit;\n-- end\n"), (vec!["begin;".to_owned(), "commit;".to_owned()], true));
        assert!(!split("begin; select 'x").1 && !split("select 1").1);
    }

    #[test]
    fn the_first_words_are_found_behind_comments() {
        let words = |text: &str| Splitter::default().feed(text).remove(0).words;
        assert_eq!(words("/* x */ COMMIT ;"), "commit");
        assert_eq!(words("Begin Transaction;"), "begin transaction");
        assert_eq!(words(";"), "");
    }
}
