//! Every sample in `tests/bad/syntax` gives exactly the problems that its header announces (`# expect: LINE:COLUMN code`).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use runner::diagnostic::Diagnostic;
use runner::document::{CODES, ReadError, read, recover};

use crate::document_given::{expanded, places, scope, shown};

fn problems(path: &Path) -> Vec<Diagnostic> {
    let source = match read(path) {
        Ok(source) => source,
        Err(ReadError::Content(found)) => return vec![*found],
        Err(error) => panic!("{error}"),
    };
    let (document, mut found) = recover(source);
    if let Some(mut document) = document {
        found.extend(expanded(&mut document, &scope()));
    }
    found
}

fn announced(path: &Path) -> BTreeSet<String> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = String::from_utf8_lossy(&bytes);
    text.lines().filter_map(|line| line.strip_prefix("# expect: ")).map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn every_bad_sample_gives_exactly_the_problems_it_announces() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad/syntax");
    let mut wrong = String::new();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (expected, found) = (announced(&path), problems(&path));
        let actual: BTreeSet<String> = places(&found).into_iter().collect();
        assert!(!expected.is_empty(), "{} announces nothing", path.display());
        if actual != expected {
            let _ = writeln!(wrong, "{}\nexpected {expected:?}\nfound    {actual:?}\n{}", path.display(), shown(&found));
        }
        assert!(found.iter().all(|d| CODES.iter().any(|(code, _)| *code == d.code)));
        seen += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(seen >= 20, "only {seen} samples were found");
}

/// The codes that stand in a file as the first argument of what makes a diagnostic.
fn codes_in(text: &str) -> BTreeSet<String> {
    let squeezed: String = text.split_whitespace().collect();
    let makers = ["report(\"", "error(\"", "::new(\""];
    let after = makers.iter().flat_map(|maker| squeezed.match_indices(maker).map(|(at, _)| &squeezed[at + maker.len()..]));
    after.filter_map(|rest| rest.split('"').next()).filter(|code| code.contains('-')).map(str::to_owned).collect()
}

#[test]
fn every_code_is_in_the_table_and_every_row_of_the_table_is_used() {
    let table: BTreeSet<String> = CODES.iter().map(|(code, _)| (*code).to_owned()).collect();
    assert_eq!(table.len(), CODES.len(), "a code has one row");
    let mut used = BTreeSet::new();
    let rooms = ["src/document", "src/template"].map(|room| Path::new(env!("CARGO_MANIFEST_DIR")).join(room));
    for entry in rooms.iter().flat_map(|room| std::fs::read_dir(room).unwrap()) {
        used.extend(codes_in(&std::fs::read_to_string(entry.unwrap().path()).unwrap()));
    }
    assert_eq!(used, table);
}
