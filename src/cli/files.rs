//! Which files the arguments mean, and what is in them.

use std::path::{Path, PathBuf};

use super::exit::Exit;
use super::output::{Output, Problem};
use crate::diagnostic::Diagnostic;
use crate::document::{ReadError, Schema, read};
use crate::ids::RefName;
use crate::pipeline::schema::{Dialect, schema};
use crate::pipeline::{Loaded, Pipeline, duplicate_names, load, source_of};
use crate::step::Params;
use crate::words::did_you_mean;

/// The folder that names are looked up in, and that is meant when nothing is given.
const FOLDER: &str = "pipelines";

/// The files that paths, folders and names mean, each once.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Problem> {
    if paths.is_empty() {
        return in_folder(Path::new(FOLDER));
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        let found = if path.is_dir() { in_folder(path)? } else { vec![file(path)?] };
        for file in found {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// One file by its path, or by the name of a pipeline.
pub(super) fn file(path: &Path) -> Result<PathBuf, Problem> {
    let named = |ending: &str| Path::new(FOLDER).join(format!("{}.{ending}", path.display()));
    let candidates = [path.to_owned(), named("yaml"), named("yml")];
    candidates.into_iter().find(|candidate| candidate.is_file()).ok_or_else(|| {
        Problem::new(Exit::NoFile, format!("there is no file {}", path.display())).help(match near(path) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("give a path, or the name of a pipeline in {FOLDER}/"),
        })
    })
}

/// The file that was likely meant: one beside the path, or a pipeline of nearly that name.
fn near(path: &Path) -> Option<String> {
    let is_name = path.components().count() == 1 && path.extension().is_none();
    let folder = if is_name { Path::new(FOLDER) } else { path.parent().unwrap_or(Path::new("")) };
    let readable = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let there: Vec<String> = yaml_in(readable).ok()?.iter().filter_map(|file| Some(file.file_name()?.to_str()?.to_owned())).collect();
    let wanted = path.file_name()?.to_str()?;
    let wanted = if path.extension().is_none() { format!("{wanted}.yaml") } else { wanted.to_owned() };
    let found = did_you_mean(&wanted, there.iter().map(String::as_str))?;
    Some(if is_name { found.rsplit_once('.').map_or(found, |(name, _)| name).to_owned() } else { folder.join(found).display().to_string() })
}

/// The pipelines in a folder, but not in folders below it: those hold what a team does not run, such as samples.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let files = yaml_in(folder).map_err(|error| {
        let exit = Exit::of_io(&error);
        Problem::new(exit, format!("reading the folder {}: {error}", folder.display())).help("give the path of a pipeline")
    })?;
    if files.is_empty() {
        let problem = Problem::new(Exit::NoFile, format!("there is no *.yaml in {}", folder.display()));
        return Err(problem.help("folders below it are not searched; name each folder"));
    }
    Ok(files)
}

/// The `*.yaml` and `*.yml` of a folder, in the order of their names.
fn yaml_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The schema, compiled.
fn compiled() -> Result<Schema, Problem> {
    Schema::compile(schema(Dialect::Draft2020)).map_err(|error| Problem::new(Exit::Internal, format!("the built-in schema: {error}")))
}

/// Loads files, with what is wrong with each and with them together.
pub(super) fn loaded(paths: &[PathBuf]) -> Result<(Vec<Pipeline>, Vec<Diagnostic>), Problem> {
    let schema = compiled()?;
    let files: Vec<Loaded> = paths.iter().map(|path| one(path, &schema)).collect::<Result<_, _>>()?;
    let mut found = duplicate_names(&files);
    let mut sound = Vec::new();
    for file in files {
        found.extend(file.diagnostics);
        sound.extend(file.pipeline);
    }
    Ok((sound, found))
}

fn one(path: &Path, schema: &Schema) -> Result<Loaded, Problem> {
    match read(path) {
        Ok(source) => Ok(load(&source, schema, &|name| std::env::var(name).ok())),
        Err(ReadError::Content(diagnostic)) => Ok(Loaded::refused(*diagnostic)),
        Err(ReadError::Io { path, source }) => Err(unread(&path, &source)),
    }
}

/// A file that is there and gave no text.
pub(super) fn unread(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(Exit::of_io(error), format!("reading {}: {error}", path.display()))
}

/// Loads files that must all be sound; tells of everything that is wrong with them.
pub(super) fn pipelines(paths: &[PathBuf]) -> Result<Vec<Pipeline>, Problem> {
    let (sound, wrong) = loaded(&find(paths)?)?;
    if wrong.is_empty() {
        return Ok(sound);
    }
    Output::talk_diagnostics(&wrong);
    let errors = wrong.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let message = match errors {
        0 => return Ok(sound),
        1 => "a pipeline is invalid: 1 error".to_owned(),
        _ => format!("a pipeline is invalid: {errors} errors"),
    };
    Err(Problem::new(Exit::Invalid, message).help("runner validate shows the same").because(wrong))
}

/// The stores that keep a pipeline's restore points, each once: those it uploads to, copies to or from, and prunes; or the one that is named.
pub(super) fn stores(pipeline: &Pipeline, only: Option<&RefName>) -> Result<Vec<RefName>, Problem> {
    if let Some(only) = only {
        let undeclared = || Problem::new(Exit::Usage, format!("{} declares no store `{only}`", pipeline.name));
        return if pipeline.stores.contains_key(only) { Ok(vec![only.clone()]) } else { Err(undeclared()) };
    }
    let named = pipeline.steps.iter().flat_map(|step| match &step.params {
        Params::Upload(upload) => vec![&upload.store],
        Params::Prune(prune) => prune.all(),
        Params::CopyTo(copy) if copy.pipeline.as_ref().is_none_or(|name| *name == pipeline.name) => {
            source_of(&pipeline.steps, copy).into_iter().chain([&copy.to]).collect()
        }
        _ => Vec::new(),
    });
    let mut all: Vec<RefName> = Vec::new();
    for name in named {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_may_not_be_read_is_refused_and_not_missing() {
        let exit = |kind| unread(Path::new("p.yaml"), &std::io::Error::from(kind)).exit;
        assert_eq!(exit(std::io::ErrorKind::PermissionDenied), Exit::Denied);
        assert_eq!(exit(std::io::ErrorKind::NotFound), Exit::NoFile);
    }
}
