//! `runner restore`: plans a restore, shows it, asks, and runs exactly it.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use super::args::RestoreArgs;
use super::exit::Exit;
use super::output::{Output, Problem};
use super::plan as planning;
use super::point::{Meant, folder, named};
use super::run::carry_out;
use crate::ids::{RefName, StepId};
use crate::pipeline::{Chain, Pipeline};
use crate::plan::Plan;
use crate::postgres::spec::{ConnectionSpec, PostgresSpec};
use crate::step::{Fetch, Params, Replace, Restore};

pub(super) fn run(args: &RestoreArgs, output: &Output) -> Result<Exit, Problem> {
    let pipeline = runbook(args)?;
    let plans = planning::observed(&[pipeline], false)?;
    let Some(plan) = plans.first() else { return Ok(Exit::Done) };
    carry_out(plan, &args.run, output, |plan| confirm(plan, args))
}

/// The restore as a pipeline: fetch, then restore.
fn runbook(args: &RestoreArgs) -> Result<Pipeline, Problem> {
    let mut meant = Meant::by(&args.point)?;
    let connection = target(&args.to, &mut meant.pipeline)?;
    let replace = if args.replace { Some(replace(args, &mut meant)?) } else { None };
    let fetch = Fetch { from: meant.point.clone(), identity: meant.identity.clone(), passphrase: meant.passphrase.clone() };
    let restore = Restore {
        connection,
        database: args.database.clone(),
        replace,
        jobs: args.jobs,
        no_owner: args.no_owner,
        no_privileges: args.no_privileges,
        sections: args.section.clone(),
        schema_only: args.schema_only,
        data_only: false,
        analyze: !args.no_analyze,
        prove: args.prove,
    };
    let steps = vec![(named::<StepId>("fetch")?, Params::Fetch(fetch)), (named("restore")?, Params::Restore(restore))];
    meant.frame("restore", steps, vec![Chain { source: 0, filters: Vec::new(), sink: 1 }])
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
    let spec = PostgresSpec { url: Some(to.to_owned()), ..PostgresSpec::default() };
    if let Some(wrong) = crate::postgres::conninfo::offline_problems(&spec).into_iter().next() {
        return Err(Problem::new(Exit::Usage, format!("--to: {wrong}"))
            .help("passwords come from PGPASSFILE or PGPASSWORD, never from the command line"));
    }
    let name: RefName = named("target")?;
    pipeline.connections.insert(name.clone(), ConnectionSpec::Postgres(spec));
    Ok(name)
}

/// The safety dump: into a store of the pipeline, encrypted as the pipeline encrypts, or into a folder.
fn replace(args: &RestoreArgs, meant: &mut Meant) -> Result<Replace, Problem> {
    let safety = match &args.safety {
        None => meant.point.store.clone(),
        Some(word) => match RefName::new(word.clone()).ok().filter(|name| meant.pipeline.stores.contains_key(name)) {
            Some(name) => name,
            None if word.contains('/') => {
                let name: RefName = named("safety")?;
                meant.pipeline.stores.insert(name.clone(), folder(PathBuf::from(word)));
                name
            }
            None => return Err(Problem::new(Exit::Usage, format!("there is no store `{word}`")).help("a folder has a `/` in it: ./safety")),
        },
    };
    Ok(Replace { safety, encrypt: meant.encryption(), drop_old: args.drop_old })
}

/// Asks, unless that was said to be needless; where nobody can be asked, nothing is done.
fn confirm(plan: &Plan, args: &RestoreArgs) -> Result<(), Problem> {
    if args.yes {
        return Ok(());
    }
    let refused =
        |why: &str| Problem::new(Exit::Usage, format!("nothing was done: {why}")).help("the plan is above; say --yes to carry it out");
    if !(std::io::stdin().is_terminal() && Output::watched()) {
        return Err(refused("nobody was asked"));
    }
    let database = plan.observed.targets.values().find_map(|reach| reach.facts()).map_or("yes", |facts| facts.database.as_str());
    Output::ask(&format!("Type the name of the database to go on ({database}): "));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && answer.trim() == database { Ok(()) } else { Err(refused("the answer was another one")) }
}
