//! The rooms of the crate and who may import whom, held as a table.

#![expect(clippy::unwrap_used, reason = "a test that can not read the sources fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Every room, the rooms it may import, and words that must not stand in it.
const ROOMS: &[(&str, &[&str], &[&str])] = &[
    // The vocabulary.
    ("diagnostic", &[], &["tokio", "clap"]),
    ("ids", &[], &["tokio", "clap"]),
    ("quantity", &[], &["tokio", "clap"]),
    ("words", &[], &["tokio", "clap"]),
    ("secret", &["ids"], &["tokio", "clap"]),
    ("template", &["ids", "words"], &["tokio", "clap", "std::env", "std::fs"]),
    ("event", &["diagnostic", "ids"], &["tokio", "clap"]),
    // Bytes, text, places.
    ("stream", &["secret"], &["clap"]),
    ("document", &["diagnostic", "template", "words"], &["tokio", "clap"]),
    ("archive", &["stream"], &["tokio", "clap", "std::fs"]),
    ("store", &["archive", "ids", "secret", "stream"], &["clap"]),
    ("postgres", &["archive", "secret", "stream"], &["clap"]),
    ("runtime", &["archive", "ids", "postgres", "secret", "store", "stream", "template"], &["clap"]),
    (
        "retention",
        &["ids", "quantity", "store", "words"],
        &["tokio", "clap", "std::env", "std::fs", "Timestamp::now", "Zoned::now", "Instant::now"],
    ),
    (
        "drift",
        &["archive", "quantity", "store", "words"],
        &["tokio", "clap", "std::env", "std::fs", "Timestamp::now", "Zoned::now", "Instant::now"],
    ),
    // What a pipeline is, and what becomes of it.
    (
        "step",
        &["archive", "diagnostic", "ids", "postgres", "quantity", "retention", "runtime", "secret", "store", "stream", "template", "words"],
        &["clap", "crate::event"],
    ),
    (
        "pipeline",
        &["diagnostic", "document", "ids", "postgres", "quantity", "secret", "step", "store", "stream", "template", "words"],
        &["tokio", "clap", "std::env", "std::fs", "Timestamp::now", "Instant::now"],
    ),
    (
        "plan",
        &["diagnostic", "ids", "pipeline", "postgres", "quantity", "retention", "secret", "step", "store", "stream", "template", "words"],
        &["tokio", "clap", "std::env", "std::fs", "Timestamp::now", "Instant::now"],
    ),
    (
        "observe",
        &["diagnostic", "ids", "pipeline", "plan", "postgres", "secret", "status", "step", "store", "stream"],
        &["clap", "fs::write", "File::create"],
    ),
    (
        "exec",
        &["archive", "diagnostic", "event", "ids", "pipeline", "plan", "quantity", "runtime", "step", "store", "stream"],
        &["clap", "serde_yaml"],
    ),
    (
        "status",
        &["ids", "pipeline", "quantity", "store", "words"],
        &["tokio", "clap", "std::env", "std::fs", "Timestamp::now", "Zoned::now", "Instant::now"],
    ),
    ("journal", &["event", "ids"], &["tokio", "clap"]),
    (
        "render",
        &[
            "archive",
            "diagnostic",
            "drift",
            "event",
            "ids",
            "journal",
            "plan",
            "postgres",
            "quantity",
            "retention",
            "secret",
            "status",
            "step",
            "store",
            "stream",
            "words",
        ],
        &["tokio", "clap", "std::fs", "std::env", "std::io"],
    ),
    (
        "cli",
        &[
            "archive",
            "diagnostic",
            "document",
            "drift",
            "event",
            "exec",
            "ids",
            "journal",
            "observe",
            "pipeline",
            "plan",
            "postgres",
            "quantity",
            "render",
            "retention",
            "runtime",
            "secret",
            "status",
            "step",
            "store",
            "stream",
            "template",
            "words",
        ],
        &[],
    ),
];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The room a file belongs to: the first part of its path below `src`.
fn room_of(path: &Path) -> String {
    let relative = path.strip_prefix(sources()).unwrap();
    relative.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The code of a file without its comments and without its unit tests, which may use anything.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let before_tests = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Rooms that code names as `crate::room`, grouped imports included.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let names = after.strip_prefix('{').map_or(after, |group| group.split('}').next().unwrap());
        let first = |name: &str| name.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned();
        if after.starts_with('{') {
            found.extend(names.split(',').map(first));
        } else {
            found.insert(first(names));
        }
    }
    found
}

#[test]
fn every_room_imports_only_what_the_table_allows() {
    let table: BTreeMap<&str, (&[&str], &[&str])> = ROOMS.iter().map(|(room, may, never)| (*room, (*may, *never))).collect();
    let mut all = Vec::new();
    files(&sources(), &mut all);
    let mut broken = Vec::new();
    for path in all.iter().filter(|path| !path.ends_with("src/lib.rs") && !path.ends_with("src/main.rs")) {
        let room = room_of(path);
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        let Some((may, never)) = table.get(room.as_str()) else {
            broken.push(format!("{}: the room `{room}` is not in the table", path.display()));
            continue;
        };
        let code = code(path);
        for import in imports(&code).iter().filter(|import| table.contains_key(import.as_str())) {
            if *import != room && !may.contains(&import.as_str()) {
                broken.push(format!("{}: `{room}` may not import `{import}`", path.display()));
            }
        }
        broken.extend(
            never.iter().filter(|word| code.contains(**word)).map(|word| format!("{}: `{room}` must never use {word}", path.display())),
        );
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_rooms_form_no_circle() {
    let table: BTreeMap<&str, &[&str]> = ROOMS.iter().map(|(room, may, _)| (*room, *may)).collect();
    let mut settled: BTreeSet<&str> = BTreeSet::new();
    while settled.len() < table.len() {
        let next = table.iter().find(|(room, may)| !settled.contains(**room) && may.iter().all(|other| settled.contains(other)));
        let (room, _) = next
            .unwrap_or_else(|| panic!("a circle among {:?}", table.keys().filter(|room| !settled.contains(**room)).collect::<Vec<_>>()));
        settled.insert(room);
    }
}

#[test]
fn the_library_has_no_stubs_and_no_panics() {
    let mut all = Vec::new();
    files(&sources(), &mut all);
    let words = ["todo!(", "unimplemented!(", "dbg!(", ".unwrap()", ".expect(", "panic!(", "process::exit", "#[allow("];
    let found: Vec<String> = all
        .iter()
        .filter(|path| path.file_stem().is_none_or(|stem| stem != "tests"))
        .flat_map(|path| {
            let code = code(path);
            words.iter().filter(|word| code.contains(**word)).map(|word| format!("{}: {word}", path.display())).collect::<Vec<_>>()
        })
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}
