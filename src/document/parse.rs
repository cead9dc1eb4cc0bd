//! Text → document. Does not know schemas or placeholders.

use std::sync::Arc;

use super::{Document, compose, lower};
use crate::diagnostic::{Diagnostic, SourceText};

/// Reads a text as one YAML document, or says everything that is wrong with it.
pub fn parse(source: Arc<SourceText>) -> Result<Document, Vec<Diagnostic>> {
    match recover(source) {
        (Some(document), diagnostics) if diagnostics.is_empty() => Ok(document),
        (_, diagnostics) => Err(diagnostics),
    }
}

/// Like [`parse`], but gives a document also when mistakes such as a duplicate key leave one that can be read on, so that
/// a schema's complaints come with those about the syntax. Values that stand in for unreadable ones are known to
/// [`check`](super::check()), which is silent about them.
pub fn recover(source: Arc<SourceText>) -> (Option<Document>, Vec<Diagnostic>) {
    let (tree, mut diagnostics) = compose::compose(&source);
    let Some(tree) = tree.filter(|_| !diagnostics.iter().any(|d| d.code == "empty-file")) else {
        return (None, diagnostics);
    };
    let (document, more) = lower::lower(source, &tree);
    diagnostics.extend(more);
    diagnostics.sort_by_key(|d| d.range.start);
    (Some(document), diagnostics)
}
