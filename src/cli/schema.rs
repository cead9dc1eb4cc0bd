//! `runner schema`: the schema of pipeline files, for editors and validators.

use super::args::{Draft, SchemaArgs};
use super::exit::Exit;
use super::output::{Output, Problem};
use crate::pipeline::schema::{Dialect, schema};

pub(super) fn run(args: &SchemaArgs) -> Result<Exit, Problem> {
    let dialect = match args.draft {
        Draft::Draft2020 => Dialect::Draft2020,
        Draft::Draft07 => Dialect::Draft07,
    };
    Output::json(&schema(dialect))?;
    Ok(Exit::Done)
}
