//! Making empty databases in the encoding and locale of another one.
//!
//! This module decides neither names nor servers.

use super::client::Client;
use super::error::PgError;
use super::facts::DatabaseLocale;
use super::quote::{identifier, literal};

/// What the majors say of a locale or provider they do not have: invalid parameter, wrong object type, not supported,
/// undefined object (appendix A).
const NO_SUCH_LOCALE: [&str; 4] = ["22023", "42809", "0A000", "42704"];

/// Creates an empty database. Where the server does not have the locale, `C` takes its place, and the answer says so in
/// words: the content restores all the same, only sorting differs.
pub(super) fn create_database(
    client: &Client,
    name: &str,
    like: Option<&DatabaseLocale>,
    tablespace: Option<&str>,
) -> Result<Option<String>, PgError> {
    let tablespace = tablespace.map(|name| format!(" tablespace {}", identifier(name))).unwrap_or_default();
    let plain = format!("create database {} template template0{tablespace}", identifier(name));
    let Some(like) = like else { return client.batch(&plain).map(|()| None) };
    let version = client.query_one_text("show server_version_num")?.and_then(|text| text.parse().ok()).unwrap_or(0);
    match client.batch(&format!("{plain}{}", options(like, version))) {
        Ok(()) => Ok(None),
        Err(PgError::Query { state, message, .. }) if NO_SUCH_LOCALE.contains(&state.as_str()) => {
            let instead = DatabaseLocale { encoding: like.encoding.clone(), ..DatabaseLocale::plain() };
            client.batch(&format!("{plain}{}", options(&instead, version)))?;
            Ok(Some(format!("locale {} is not available on this server, so {name:?} sorts in locale C ({message})", like.words())))
        }
        Err(error) => Err(error),
    }
}

fn options(like: &DatabaseLocale, version: u32) -> String {
    let (encoding, collate, ctype) = (literal(&like.encoding), literal(&like.collate), literal(&like.ctype));
    let provider = match (like.provider, &like.locale) {
        ('i', Some(locale)) => format!(" locale_provider icu icu_locale {}", literal(locale)),
        ('b', Some(locale)) => format!(" locale_provider builtin builtin_locale {}", literal(locale)),
        // Said only where it can be: the template's provider may be another one.
        _ if version >= 150_000 => " locale_provider libc".to_owned(),
        _ => String::new(),
    };
    format!(" encoding {encoding} lc_collate {collate} lc_ctype {ctype}{provider}")
}
