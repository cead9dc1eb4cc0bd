//! Which files the arguments mean, and what is in them.

use std::path::{Path, PathBuf};

use super::exit::Exit;
use super::output::{Output, Problem};
use crate::diagnostic::Diagnostic;
use crate::document::{ReadError, Schema, read};
use crate::pipeline::schema::{Dialect, schema};
use crate::pipeline::{Loaded, Pipeline, load};
use crate::render::diagnostics;

/// The folder that names are looked up in, and that is meant when nothing is given.
const FOLDER: &str = "pipelines";

/// The files that paths, folders and names mean.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Problem> {
    if paths.is_empty() {
        return in_folder(Path::new(FOLDER));
    }
    let mut files = Vec::new();
    for path in paths {
        files.extend(if path.is_dir() { in_folder(path)? } else { vec![file(path)?] });
    }
    Ok(files)
}

/// One file by its path, or by the name of a pipeline.
pub(super) fn file(path: &Path) -> Result<PathBuf, Problem> {
    let named = |ending: &str| Path::new(FOLDER).join(format!("{}.{ending}", path.display()));
    let candidates = [path.to_owned(), named("yaml"), named("yml")];
    candidates.into_iter().find(|candidate| candidate.is_file()).ok_or_else(|| {
        Problem::new(Exit::NoFile, format!("there is no file {}", path.display()))
            .help(format!("give a path, or the name of a pipeline in {FOLDER}/"))
    })
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let unreadable = |error: std::io::Error| {
        Problem::new(Exit::NoFile, format!("reading the folder {}: {error}", folder.display())).help("give the path of a pipeline")
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Problem::new(Exit::NoFile, format!("there is no *.yaml in {}", folder.display())));
    }
    Ok(files)
}

/// The schema, compiled.
pub(super) fn compiled() -> Result<Schema, Problem> {
    Schema::compile(schema(Dialect::Draft2020)).map_err(|error| Problem::new(Exit::Internal, format!("the built-in schema: {error}")))
}

/// Loads one file.
pub(super) fn loaded(path: &Path, schema: &Schema) -> Result<Loaded, Problem> {
    match read(path) {
        Ok(source) => Ok(load(&source, schema, &|name| std::env::var(name).ok())),
        Err(ReadError::Content(diagnostic)) => Ok(Loaded { pipeline: None, diagnostics: vec![*diagnostic] }),
        Err(error) => Err(Problem::new(Exit::NoFile, error.to_string())),
    }
}

/// Loads files that must all be sound; tells of everything that is wrong with them.
pub(super) fn pipelines(paths: &[PathBuf]) -> Result<Vec<Pipeline>, Problem> {
    let schema = compiled()?;
    let (mut sound, mut wrong): (Vec<Pipeline>, Vec<Diagnostic>) = (Vec::new(), Vec::new());
    for path in find(paths)? {
        let loaded = loaded(&path, &schema)?;
        wrong.extend(loaded.diagnostics);
        sound.extend(loaded.pipeline);
    }
    if wrong.is_empty() {
        return Ok(sound);
    }
    Output::talk(&diagnostics::human(&wrong, Output::talk_paint().0));
    let errors = wrong.iter().filter(|diagnostic| diagnostic.is_error()).count();
    match errors {
        0 => Ok(sound),
        1 => Err(Problem::new(Exit::Invalid, "a pipeline is invalid: 1 error").help("runner validate shows the same")),
        _ => Err(Problem::new(Exit::Invalid, format!("a pipeline is invalid: {errors} errors")).help("runner validate shows the same")),
    }
}
