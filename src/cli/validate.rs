//! `runner validate`: everything that is wrong, at once.

use serde_json::json;

use super::args::{Format, ValidateArgs};
use super::exit::Exit;
use super::files;
use super::output::{Output, Problem};
use crate::diagnostic::Diagnostic;
use crate::render::diagnostics;

pub(super) fn run(args: &ValidateArgs, output: &Output) -> Result<Exit, Problem> {
    let paths = files::find(&args.paths)?;
    let (_, found) = files::loaded(&paths)?;
    let valid = !found.iter().any(Diagnostic::is_error);
    match args.format {
        Format::Json => Output::json(&json!({ "valid": valid, "files": paths.len(), "diagnostics": diagnostics::json(&found) }))?,
        Format::Github => Output::answer(&diagnostics::github(&found))?,
        Format::Human | Format::Markdown => {
            Output::answer(&output.diagnostics(&found))?;
            if found.is_empty() {
                let many = if paths.len() == 1 { "1 pipeline is".to_owned() } else { format!("{} pipelines are", paths.len()) };
                Output::answer(&format!("{many} valid\n"))?;
            }
        }
    }
    Ok(if valid { Exit::Done } else { Exit::Invalid })
}
