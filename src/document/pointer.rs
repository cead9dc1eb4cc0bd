//! JSON pointers as RFC 6901 writes them. Does not resolve them.

use std::borrow::Cow;

/// The pointer of a child: the token is escaped (`~` as `~0`, `/` as `~1`).
pub fn child(parent: &str, token: &str) -> String {
    format!("{parent}/{}", escape(token))
}

fn escape(token: &str) -> Cow<'_, str> {
    if token.contains(['~', '/']) { token.replace('~', "~0").replace('/', "~1").into() } else { token.into() }
}

/// The tokens of a pointer, unescaped, from the root down.
pub fn tokens(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}

/// The pointer above, and the last token; `None` for the root.
pub(super) fn split(pointer: &str) -> Option<(&str, String)> {
    let cut = pointer.rfind('/')?;
    Some((&pointer[..cut], tokens(&pointer[cut..]).next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_keys_are_escaped_and_come_back() {
        let pointer = child(&child("", "a/b"), "~1");
        assert_eq!(pointer, "/a~1b/~01");
        assert_eq!(tokens(&pointer).collect::<Vec<_>>(), ["a/b", "~1"]);
        assert_eq!(split(&pointer), Some(("/a~1b", "~1".to_owned())));
        assert_eq!(split(""), None);
    }
}
