//! Which texts can be object keys. This module does not know what keys mean.

use super::StoreError;

/// The longest key in bytes, prefix included: the limit of S3
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>).
pub const KEY_LIMIT: usize = 1024;

/// The longest part of a key in a local store in bytes: `NAME_MAX` of the usual file systems.
pub const PART_LIMIT: usize = 255;

/// How the names of unfinished files end.
pub(super) const PARTIAL: &str = ".partial";

/// Refuses what can not be a key in every kind of store.
///
/// # Errors
/// [`StoreError::BadKey`] saying which rule the key breaks.
pub fn check(key: &str) -> Result<(), StoreError> {
    fault(key).map_or(Ok(()), |why| Err(StoreError::BadKey { key: key.to_owned(), why }))
}

/// Refuses what can not be a key in a local store: what [`check`] refuses, parts too long for a file name, and names of unfinished files.
///
/// # Errors
/// [`StoreError::BadKey`] saying which rule the key breaks.
pub fn check_local(key: &str) -> Result<(), StoreError> {
    check(key)?;
    let why = if key.split('/').any(|part| part.len() > PART_LIMIT) {
        "a part of it is longer than the 255 bytes of a file name"
    } else if key.split('/').any(is_partial) {
        "that is how unfinished files are named"
    } else {
        return Ok(());
    };
    Err(StoreError::BadKey { key: key.to_owned(), why })
}

/// Refuses what no key can begin with.
pub(super) fn check_prefix(prefix: &str) -> Result<(), StoreError> {
    // The last part may be unfinished or empty; a letter completes it, so that one set of rules serves both.
    check(&format!("{prefix}x")).map_err(|error| match error {
        StoreError::BadKey { why, .. } => StoreError::BadKey { key: prefix.to_owned(), why },
        other => other,
    })
}

/// Whether a file name is that of an unfinished file: `.name.<16 hex digits>.partial`.
pub(super) fn is_partial(name: &str) -> bool {
    let inner = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(PARTIAL));
    inner
        .and_then(|rest| rest.rsplit_once('.'))
        .is_some_and(|(_, random)| random.len() == 16 && random.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn fault(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        return Some("it is empty");
    }
    if key.len() > KEY_LIMIT {
        return Some("it is longer than 1024 bytes");
    }
    if key.starts_with('/') {
        return Some("it begins with a slash; keys are relative to the store");
    }
    if key.chars().any(|c| c.is_control() || c == '\\') {
        return Some("it holds a backslash or a control character");
    }
    key.split('/').find_map(|part| match part {
        "" => Some("it has an empty part"),
        "." | ".." => Some("it has a part `.` or `..`"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_any_script_are_taken() {
        for good in ["a", "주문/2026-11-20/덤프.zst", ".runner/p/x.json", "a..b/c d", "é/e\u{301}", "x/".repeat(511).trim_end_matches('/')]
        {
            assert!(check(good).is_ok(), "{good:?} must be taken");
        }
    }

    #[test]
    fn keys_that_lead_elsewhere_are_refused() {
        for bad in ["", "/a", "a/", "a//b", "./a", "a/../b", "..", "a\\b", "a\nb", "a\u{7f}", "a\u{85}b", "a\0", &"x".repeat(1025)] {
            assert!(check(bad).is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn a_local_part_fits_a_file_name() {
        assert!(check_local(&"가".repeat(85)).is_ok(), "255 bytes");
        assert!(check_local(&"가".repeat(86)).is_err(), "258 bytes");
        assert!(check_local("a/.x.0123456789abcdef.partial").is_err());
        assert!(check_local("a/.partial").is_ok());
    }

    #[test]
    fn prefixes_may_end_anywhere_but_not_lead_elsewhere() {
        for good in ["", "a", "a/", "주문/2"] {
            assert!(check_prefix(good).is_ok(), "{good:?} must be taken");
        }
        for bad in ["/", "../", "a//", "a/../b"] {
            assert!(check_prefix(bad).is_err(), "{bad:?} must be refused");
        }
    }
}
