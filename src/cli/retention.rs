//! `runner retention simulate`: what a policy would keep of a schedule, before it deletes anything.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use jiff::Zoned;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::args::Format;
use super::exit::Exit;
use super::files;
use super::output::{Output, Problem};
use crate::pipeline::{Pipeline, Schedule};
use crate::quantity::Size;
use crate::render::retention::{self, Simulated};
use crate::retention::{Keep, Policy, Scenario, simulate};
use crate::step::Params;

/// `retention`
#[derive(Debug, ClapArgs)]
pub(super) struct RetentionArgs {
    #[command(subcommand)]
    command: RetentionCommand,
}

/// The commands below `retention`.
#[derive(Debug, Subcommand)]
enum RetentionCommand {
    /// Show which restore points would exist after so many days, how far apart, and what they take
    #[command(
        after_help = "Examples:\n  runner retention simulate orders --keep daily=30,weekly=12,monthly=12\n  runner retention simulate orders --days 800 --size 48GB --keep daily=7\n  runner retention simulate orders --keep within=14d --format svg > kept.svg\n\nEvery run succeeds and is proven, and prune runs at its end. No store is asked."
    )]
    Simulate(SimulateArgs),
}

/// `retention simulate`
#[derive(Debug, ClapArgs)]
struct SimulateArgs {
    /// A file, or the name of a pipeline in pipelines/, whose schedule and time zone are used
    #[arg(value_name = "PIPELINE")]
    path: std::path::PathBuf,
    /// How many days
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=3660))]
    days: u32,
    /// The first day; today unless given
    #[arg(long, value_name = "DATE")]
    from: Option<Date>,
    /// What each point takes in the store
    #[arg(long, default_value = "10GB")]
    size: Size,
    /// The rules: last, within, hourly, daily, weekly, monthly, yearly; those of the pipeline's own `prune` step unless given
    #[arg(long, value_name = "RULE=N,…")]
    keep: Option<Keep>,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "human")]
    format: Form,
}

/// The forms of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Human,
    /// One JSON document
    Json,
    /// A picture
    Svg,
}

impl RetentionArgs {
    /// The form of the answer.
    pub(super) const fn format(&self) -> Format {
        let RetentionCommand::Simulate(args) = &self.command;
        match args.format {
            Form::Json => Format::Json,
            Form::Human | Form::Svg => Format::Human,
        }
    }
}

pub(super) fn run(args: &RetentionArgs, output: &Output) -> Result<Exit, Problem> {
    let RetentionCommand::Simulate(args) = &args.command;
    for pipeline in files::pipelines(std::slice::from_ref(&args.path))? {
        one(&pipeline, args, output)?;
    }
    Ok(Exit::Done)
}

fn one(pipeline: &Pipeline, args: &SimulateArgs, output: &Output) -> Result<(), Problem> {
    let policy = policy(pipeline, args)?;
    let schedule = pipeline.schedule.as_ref().ok_or_else(|| {
        let problem = Problem::new(Exit::Invalid, format!("the pipeline {} has no schedule to simulate", pipeline.name));
        problem.help("give it one, such as schedule: { cron: \"17 2 * * *\", timezone: Asia/Seoul }")
    })?;
    let (cron, zone) = clock(schedule)?;
    let first = args.from.unwrap_or_else(|| Zoned::now().with_time_zone(zone.clone()).date());
    let scenario = Scenario { cron: &cron, zone: &zone, first, days: args.days, bytes: args.size.bytes() };
    let simulation = simulate(&policy, &scenario).map_err(|error| Problem::new(Exit::Usage, error.to_string()))?;
    let simulated = Simulated { pipeline: &pipeline.name, schedule: &schedule.cron, policy: &policy, scenario, simulation: &simulation };
    match args.format {
        Form::Json => Output::json(&retention::json(&simulated)),
        Form::Svg => Output::answer(&retention::svg(&simulated)),
        Form::Human => Output::answer(&retention::human(&simulated, output.paint())),
    }
}

/// The policy to try out: that of the pipeline's own `prune`, with other rules where some are given.
fn policy(pipeline: &Pipeline, args: &SimulateArgs) -> Result<Policy, Problem> {
    let own =
        pipeline.steps.iter().find_map(|step| if let Params::Prune(prune) = &step.params { Some(prune.policy.clone()) } else { None });
    let none = || {
        let problem =
            Problem::new(Exit::Usage, format!("the pipeline {} has no `prune` step whose rules could be tried out", pipeline.name));
        problem.help("give rules: --keep daily=30,weekly=12,monthly=12")
    };
    let policy = match (own, args.keep.clone()) {
        (Some(own), Some(keep)) => Policy { keep, ..own },
        (None, Some(keep)) => Policy::keeping(keep),
        (own, None) => own.ok_or_else(none)?,
    };
    match policy.faults().into_iter().next() {
        None => Ok(policy),
        Some(fault) => Err(Problem::new(Exit::Usage, fault.message).help("--keep daily=30,weekly=12,monthly=12")),
    }
}

/// The schedule's expression and time zone; both were checked when the pipeline was loaded.
fn clock(schedule: &Schedule) -> Result<(croner::Cron, TimeZone), Problem> {
    let invalid = |error: String| Problem::new(Exit::Invalid, error);
    let cron = schedule.cron.parse().map_err(|error: croner::errors::CronError| invalid(error.to_string()))?;
    Ok((cron, TimeZone::get(&schedule.timezone).map_err(|error| invalid(error.to_string()))?))
}
