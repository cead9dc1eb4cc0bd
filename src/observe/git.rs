//! Which commit a pipeline's file stands at, asked of the installed `git`.
//!
//! Outside a repository, or without git, there is no answer, and that is no error.

use std::path::Path;

use crate::stream::Cancel;
use crate::stream::child::Program;

/// The commit's id, with `-dirty` behind it when the file differs from it or is not in it.
pub(super) fn commit(file: &Path) -> Option<String> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let ask = |arguments: &[&str]| {
        let program = Program::new("git").arg("-C").arg(folder).args(arguments).env("GIT_OPTIONAL_LOCKS", "0");
        program.run(&Cancel::new()).ok().map(|output| output.stdout.trim().to_owned())
    };
    let head = ask(&["rev-parse", "--verify", "HEAD"])?;
    let name = file.file_name()?.to_str()?;
    let changed = ask(&["status", "--porcelain", "--", name])?;
    Some(if changed.is_empty() { head } else { format!("{head}-dirty") })
}
