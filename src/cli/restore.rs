//! `runner restore`: plans a restore, shows it, asks, and runs exactly it.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use super::args::RestoreArgs;
use super::exit::Exit;
use super::output::{Output, Problem};
use super::plan as planning;
use super::point::{Meant, folder, named};
use super::run::carry_out;
use crate::diagnostic::Severity;
use crate::ids::{RefName, StepId};
use crate::pipeline::{Chain, Pipeline};
use crate::plan::Plan;
use crate::postgres::spec::{ConnectionSpec, PostgresSpec};
use crate::secret::{SecretDecl, SecretRef};
use crate::step::{Fetch, How, Http, Params, Replace, Restore, Rows, RowsOf, Sql, Tables, TablesAs};

pub(super) fn run(args: &RestoreArgs, output: &Output) -> Result<Exit, Problem> {
    let pipeline = runbook(args)?;
    let plans = planning::observed(&[pipeline], false)?;
    let Some(plan) = plans.first() else { return Ok(Exit::Done) };
    carry_out(plan, &args.run, output, |plan| confirm(plan, args))
}

/// The restore as a pipeline: fetch, then restore.
fn runbook(args: &RestoreArgs) -> Result<Pipeline, Problem> {
    if let Some(file) = args.file.as_ref().filter(|file| !file.exists()) {
        return Err(Problem::new(Exit::NoFile, format!("there is no file {}", file.display())));
    }
    let mut meant = match &args.file {
        Some(file) => Meant::without_point(&args.point, file)?,
        None => Meant::by(&args.point)?,
    };
    let connection = target(&args.to, &mut meant.pipeline)?;
    if let Some(patch) = &args.apply_patch {
        return reviewed(patch, connection, args, meant);
    }
    let safety = safety(args, &mut meant)?;
    let replaced = safety.as_ref().filter(|_| args.replace);
    let replace = replaced.map(|safety| Replace {
        safety: safety.clone(),
        encrypt: meant.encryption(),
        how: if args.clean { How::InPlace } else { How::Swap },
        drop_old: args.drop_old,
    });
    let fetch = Fetch {
        from: meant.point.clone(),
        file: args.file.clone(),
        identity: meant.identity.clone(),
        passphrase: meant.passphrase.clone(),
    };
    let restore = Restore {
        connection,
        database: args.database.clone(),
        replace,
        tables: tables(args, safety, &meant),
        rows: rows(args),
        globals: args.globals,
        jobs: args.jobs,
        no_owner: args.no_owner,
        no_privileges: args.no_privileges,
        sections: args.section.clone(),
        schema_only: args.schema_only,
        data_only: args.data_only,
        analyze: !args.no_analyze,
        prove: args.prove,
        before: args.before.iter().map(|argv| argv.0.clone()).collect(),
        after: args.after.iter().map(|argv| argv.0.clone()).collect(),
    };
    let mut steps = vec![(named::<StepId>("fetch")?, Params::Fetch(fetch)), (named("restore")?, Params::Restore(restore))];
    if let Some(url) = &args.health {
        steps.push((named("health")?, Params::Http(health(url, args)?)));
    }
    for (_, params) in &steps {
        // What a pipeline's text is checked for; the arguments are in nobody's file.
        if let Some(problem) = params.facts().problems().into_iter().find(|problem| problem.severity == Severity::Error) {
            let told = Problem::new(Exit::Usage, problem.message);
            return Err(problem.help.iter().fold(told, Problem::help));
        }
    }
    meant.frame("restore", steps, vec![Chain { source: 0, filters: Vec::new(), sink: 1 }])
}

/// The question whether the service is well, asked until it is.
fn health(url: &str, args: &RestoreArgs) -> Result<Http, Problem> {
    let asked = serde_json::json!({ "url": url, "for": args.health_for, "every": "1s" });
    serde_json::from_value(asked).map_err(|error| Problem::new(Exit::Usage, format!("--health: {error}")))
}

/// The connection that is meant: one of the pipeline, or a URL.
pub(super) fn target(to: &str, pipeline: &mut Pipeline) -> Result<RefName, Problem> {
    if let Ok(name) = RefName::new(to) {
        if pipeline.connections.contains_key(&name) {
            return Ok(name);
        }
        let known: Vec<String> = pipeline.connections.keys().map(|name| format!("`{name}`")).collect();
        let problem = Problem::new(Exit::Usage, format!("there is no connection `{name}`"));
        return Err(match known.as_slice() {
            [] => problem.help("give a URL: postgresql://USER@HOST:PORT/DATABASE"),
            known => {
                problem.help(format!("the pipeline declares {}; or give a URL: postgresql://USER@HOST:PORT/DATABASE", known.join(", ")))
            }
        });
    }
    // A pipeline must not depend on what happens to be exported; who writes a URL by hand means it so.
    let password = std::env::var_os("PGPASSWORD").filter(|value| !value.is_empty()).map(|_| named::<RefName>("target-password"));
    let password = password.transpose()?.map(|secret| {
        pipeline.secrets.insert(secret.clone(), SecretDecl::in_variable("PGPASSWORD"));
        SecretRef { secret }
    });
    let spec = PostgresSpec { url: Some(to.to_owned()), password, ..PostgresSpec::default() };
    if let Some(wrong) = crate::postgres::conninfo::offline_problems(&spec).into_iter().next() {
        return Err(
            Problem::new(Exit::Usage, format!("--to: {wrong}")).help("the password comes from PGPASSWORD, never from the command line")
        );
    }
    let name: RefName = named("target")?;
    pipeline.connections.insert(name.clone(), ConnectionSpec::Postgres(spec));
    Ok(name)
}

/// A patch that was reviewed, as a pipeline: nothing is restored.
fn reviewed(patch: &Path, connection: RefName, args: &RestoreArgs, meant: Meant) -> Result<Pipeline, Problem> {
    if !patch.is_file() {
        return Err(Problem::new(Exit::NoFile, format!("there is no file {}", patch.display())));
    }
    let sql = Sql::patch(connection, args.database.clone(), patch.to_owned());
    let mut steps = vec![(named::<StepId>("apply")?, Params::Sql(sql))];
    if let Some(url) = &args.health {
        steps.push((named("health")?, Params::Http(health(url, args)?)));
    }
    meant.frame("patch", steps, Vec::new())
}

fn tables(args: &RestoreArgs, safety: Option<RefName>, meant: &Meant) -> Option<Tables> {
    let encrypt = meant.encryption().filter(|_| safety.is_some());
    (!args.tables.is_empty()).then(|| Tables { names: args.tables.clone(), mode: args.tables_as, safety, encrypt })
}

fn rows(args: &RestoreArgs) -> Option<Rows> {
    let rows = || Rows { of: args.rows.clone(), with_deletes: args.with_deletes, patch: args.patch.clone(), apply: args.apply };
    (!args.rows.is_empty()).then(rows)
}

/// Reads `TABLE: WHERE`; a colon inside double quotes belongs to the name.
pub(super) fn rows_of(text: &str) -> Result<RowsOf, String> {
    let mut quoted = false;
    let colon = text.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        *c == ':' && !quoted
    });
    let parts = colon.map(|(at, _)| (text[..at].trim(), text[at + 1..].trim()));
    match parts {
        Some((table, filter)) if !table.is_empty() && !filter.is_empty() => {
            Ok(RowsOf { table: table.to_owned(), filter: filter.to_owned() })
        }
        _ => Err("write TABLE: WHERE, such as \"orders: customer_id = 7\", or \"orders: true\" for all rows".to_owned()),
    }
}

/// Where the safety dump goes, if one is made: a store of the pipeline, or a folder.
fn safety(args: &RestoreArgs, meant: &mut Meant) -> Result<Option<RefName>, Problem> {
    let changes = args.replace || !args.tables.is_empty() && args.tables_as != TablesAs::Copy;
    Ok(Some(match &args.safety {
        Some(_) if !changes => {
            let problem = Problem::new(Exit::Usage, "--safety says where a safety dump goes, and none is made");
            return Err(problem.help("it goes with --replace, and with --tables … --as replace or merge"));
        }
        None if !changes => return Ok(None),
        None => {
            let none = || Problem::new(Exit::Usage, "where does the safety dump go?").help("name a folder: --safety ./safety");
            meant.point.as_ref().map(|point| point.store.clone()).ok_or_else(none)?
        }
        Some(word) => match RefName::new(word.clone()).ok().filter(|name| meant.pipeline.stores.contains_key(name)) {
            Some(name) => name,
            None if word.contains('/') => {
                let name: RefName = named("safety")?;
                meant.pipeline.stores.insert(name.clone(), folder(PathBuf::from(word)));
                name
            }
            None => return Err(Problem::new(Exit::Usage, format!("there is no store `{word}`")).help("a folder has a `/` in it: ./safety")),
        },
    }))
}

/// Asks, unless that was said to be needless; where nobody can be asked, nothing is done.
fn confirm(plan: &Plan, args: &RestoreArgs) -> Result<(), Problem> {
    // A patch that waits for its review changes nothing yet.
    if args.yes || !args.rows.is_empty() && !args.apply && !args.globals {
        return Ok(());
    }
    let refused =
        |why: &str| Problem::new(Exit::Usage, format!("nothing was done: {why}")).help("the plan is above; say --yes to carry it out");
    if !(std::io::stdin().is_terminal() && Output::watched()) {
        return Err(refused("nobody was asked"));
    }
    let database = plan.observed.targets.values().find_map(|reach| reach.facts()).map_or("yes", |facts| facts.database.as_str());
    let what = if plan.observed.targets.is_empty() { "a word" } else { "the name of the database" };
    Output::ask(&format!("Type {what} to go on ({database}): "));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && answer.trim() == database { Ok(()) } else { Err(refused("the answer was another one")) }
}
