//! The arguments, with help that shows how each command is used.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};
use serde::de::DeserializeOwned;

use super::catalog::CatalogArgs;
use super::diff::{DiffArgs, rules};
use super::log::LogArgs;
use super::mark::{PinArgs, UnmarkArgs};
use super::prune::PruneArgs;
use super::report::ReportArgs;
use super::resume::ResumeArgs;
use super::retention::RetentionArgs;
use super::runs::{LogsArgs, RunsArgs};
use super::show::ShowArgs;
use super::status::StatusArgs;
use crate::ids::{RefName, StepId};
use crate::quantity::Duration;
use crate::step::{Prove, RowsOf, Section, TablesAs};
use crate::store::recall::At;
use crate::{document, pipeline};

/// Declarative PostgreSQL backups: reviewed as a plan, run in one pass, proven by a restore.
#[derive(Debug, Parser)]
#[command(
    name = "runner",
    version,
    about,
    after_help = "Examples:
  runner validate               what is wrong with pipelines/*.yaml
  runner plan orders            what a run of pipelines/orders.yaml would do
  runner apply orders           run it
  runner status                 whether every objective is met
  runner list orders            the restore points there are
  runner diff orders            what the latest changed
  runner restore orders --to …  make a database of one

Exit codes:
   0  done, or nothing to do        64  wrong use of the program
   1  anything else                 65  a pipeline is invalid
   2  plan has changes, and         66  no such file
      --detailed-exitcode asked     69  a server, tool or store is not there
  10  a step failed                 70  a defect of runner
  11  a verification failed         75  it may work later
  12  only warnings                 77  a secret or a permission is missing
  13  the plan is stale        130/143  stopped by SIGINT or SIGTERM
  14  somebody else is at work      20  status: an objective is missed"
)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check pipelines and show everything that is wrong with them
    #[command(
        after_help = "Examples:\n  runner validate                     every *.yaml in pipelines/\n  runner validate orders              pipelines/orders.yaml\n  runner validate a/ b/c.yaml         folders and files\n  runner validate --format github     annotations in a pull request"
    )]
    Validate(ValidateArgs),
    /// Show what apply would do, and why
    #[command(
        after_help = "Examples:\n  runner plan orders                        pipelines/orders.yaml\n  runner plan --offline --format markdown   all of pipelines/, for reviewers\n  runner plan orders -o orders.plan.json    to apply exactly this later\n  runner plan orders --detailed-exitcode    2 if there is something to do"
    )]
    Plan(PlanArgs),
    /// Run pipelines, or a plan made by `plan -o`
    #[command(
        after_help = "Examples:\n  runner apply orders                pipelines/orders.yaml\n  runner apply orders.plan.json      exactly the plan that was reviewed\n  runner apply orders --format json --events events.ndjson\n  runner apply orders --resume       go on with a run that never ended\n  runner apply --due                 those whose turn it is, from any timer\n\nA plan file is stale (13) when its pipeline, servers or secrets have changed."
    )]
    Apply(ApplyArgs),
    /// Restore a restore point into a database, proven before it gets its name
    #[command(after_help = "Examples:
  runner restore orders --to drill --database orders_copy
  runner restore orders --at 2026-11-20T02:17+09:00 --to drill
  runner restore orders --to postgresql://admin@db2/orders
  runner restore orders --to orders --replace    what is there is dumped first
  runner restore /backups/.runner/orders/2026-11/….manifest.json \\
    --to postgresql:///orders --identity key.txt
  runner restore orders --to orders --tables orders,lines --as replace
  runner restore orders --to orders --rows \"orders: customer_id = 7\"
  runner restore orders --to orders --apply-patch orders-….sql
  runner restore orders --to fresh --data-only    into tables that are there
  runner restore --file orders.sql.gz --to postgresql://admin@db2/orders
  runner restore orders --to orders --replace --health http://localhost/health \\
    --before '[\"systemctl\",\"stop\",\"orders\"]' \\
    --after '[\"systemctl\",\"start\",\"orders\"]'

Shows what it will do first, each line that takes something away with `!`, and
asks. --before runs just before the swap, which takes a moment; with --drop-old,
--tables and --rows before the safety dump and the change.")]
    Restore(Box<RestoreArgs>),
    /// Prove a restore point that there is: restore it into a scratch server and compare
    #[command(after_help = "Examples:
  runner verify orders                     the latest
  runner verify orders --at 20261120T021700Z-4f3a9c
  runner verify /backups/.runner/orders/2026-11/….manifest.json \\
    --identity key.txt

Writes a receipt beside the manifest. Exit code 11: it is not what was dumped.")]
    Verify(Box<VerifyArgs>),
    /// Show how pipelines stand against their objectives, asked of the stores alone
    #[command(
        after_help = "Examples:\n  runner status                        every pipeline in pipelines/\n  runner status orders --format markdown >> \"$GITHUB_STEP_SUMMARY\"\n  runner status --textfile /var/lib/node_exporter/runner.prom\n\nAny machine can ask that can read the stores. Exit code 20: an objective is\nmissed, or a store does not answer."
    )]
    Status(StatusArgs),
    /// List restore points: when, how large, how good, where
    #[command(
        after_help = "Examples:\n  runner list orders-nightly\n  runner list                            every pipeline in pipelines/\n  runner list orders-nightly --most 100 --format json\n  runner list --all                      also of pipelines whose file is gone"
    )]
    List(ListArgs),
    /// Show everything known about one restore point
    #[command(
        after_help = "Examples:\n  runner show orders                       the latest\n  runner show orders --at 20261120T021700Z-4f3a9c --tables\n  runner show /backups/.runner/orders/2026-11/….manifest.json --format json\n\nExit code 11: something of it is not what was stored. 77: --tables needs a key."
    )]
    Show(Box<ShowArgs>),
    /// Compare two restore points: objects, rows and bytes a table, and what is suspicious
    #[command(
        after_help = "Examples:\n  runner diff orders                     the latest with the one before\n  runner diff orders 2026-11-01T00:00Z latest\n  runner diff orders 20261119T021700Z-0d1e2f latest --format markdown\n  runner diff orders --fail-on-anomaly   11 when something is suspicious\n  runner diff /a/.runner/…/….manifest.json /b/.runner/…/….manifest.json\n\nSee --help for what is suspicious."
    )]
    Diff(Box<DiffArgs>),
    /// Try out how long restore points would stay
    #[command(
        after_help = "Examples:\n  runner retention simulate orders-nightly --keep daily=30,weekly=12,monthly=12\n  runner retention simulate orders-nightly --help"
    )]
    Retention(RetentionArgs),
    /// Go on with a run that crashed or failed: what is done stays done
    #[command(after_help = "Examples:
  runner resume latest                     the newest run that never ended
  runner resume 20261120T021700Z-4f3a9c    also one that failed
  runner resume latest --again tell-crm    that node may be done again

Same run, same plan. Nodes that ended have left a receipt and are not run
again, once the stores are seen to have what they stored; what a dead attempt
left half done is removed first. A sql, http or command step that may have
taken effect is done again only if --again names it. A restore is not gone on
with.

Exit codes: 13 what the run had done is not there any more, or another run has
ruled it out; 14 it is at work; 64 it has ended, or must be asked for; 65 its
plan or a receipt was changed; 66 no such run.")]
    Resume(ResumeArgs),
    /// Tell how pipelines stand against their objectives, as one page that needs nothing but itself
    #[command(
        after_help = "Examples:\n  runner report -o report.html            every pipeline in pipelines/\n  runner report orders --lang ko -o report.html\n  runner report --format markdown >> \"$GITHUB_STEP_SUMMARY\"\n\nA missed objective or a store that does not answer is told in the report and\nfails nothing: it ends with 0. `runner status` is for gates."
    )]
    Report(ReportArgs),
    /// List the runs that left a journal on this host: when, how they ended, how long they took
    #[command(
        after_help = "Examples:\n  runner runs                      of every pipeline, newest first\n  runner runs orders               with restores and verifications of its points\n  runner runs --format json\n\nA run without an end is `unfinished`, with its process at work or gone."
    )]
    Runs(RunsArgs),
    /// Tell again what a run did, from its journal
    #[command(
        after_help = "Examples:\n  runner logs latest\n  runner logs 20261120T021700Z-4f3a9c\n  runner logs 20261120T0217 verify     the beginning of an id; one step\n  runner logs latest --format json"
    )]
    Logs(LogsArgs),
    /// Keep the table `backup_log` of a database, for those who ask with SQL
    #[command(
        after_help = "Examples:\n  runner log sync orders --to logs\n  runner log sync --help\n\nA `record` step writes each run there as it happens."
    )]
    Log(LogArgs),
    /// Try what pipelines need, and tell what is ready and what to mend
    #[command(
        after_help = "Examples:\n  runner doctor                    every pipeline in pipelines/\n  runner doctor orders             pipelines/orders.yaml\n  runner doctor --format json\n\nConnects to servers, and writes, reads back and deletes a small object in each\nstore. Warnings do not fail; what would make a run fail does."
    )]
    Doctor(DoctorArgs),
    /// Let restore points go that the pipeline's `prune` step does not keep: marked first, deleted after the grace
    #[command(
        after_help = "Examples:\n  runner prune orders            shows every deletion with its reason, and asks\n  runner prune orders --yes      for scripts\n  runner prune orders --store offsite\n\nNothing goes after a failed run, while the newest success is older than the RPO,\nor when more would go than `max_delete`. `runner undelete` takes a mark back."
    )]
    Prune(PruneArgs),
    /// Take back that a restore point was marked for deletion, until a prune marks it again
    #[command(
        after_help = "Examples:\n  runner undelete orders 20261120T021700Z-4f3a9c\n\nWhat no rule keeps the next prune marks again: `runner pin` keeps it."
    )]
    Undelete(UnmarkArgs),
    /// Keep a restore point until a date, whatever the rules say
    #[command(after_help = "Examples:\n  runner pin orders 20261120T021700Z-4f3a9c --until 2027-12-31 --reason audit")]
    Pin(PinArgs),
    /// Take the pins of a restore point back
    #[command(after_help = "Examples:\n  runner unpin orders 20261120T021700Z-4f3a9c")]
    Unpin(UnmarkArgs),
    /// Check what stores keep against their manifests, and heal one from another
    #[command(after_help = "Examples:\n  runner catalog check orders\n  runner catalog heal orders --from offsite --to vault")]
    Catalog(CatalogArgs),
    /// Print a pipeline's graph for Graphviz or Mermaid
    #[command(after_help = "Examples:\n  runner graph orders | dot -Tsvg > orders.svg\n  runner graph orders --format mermaid")]
    Graph(GraphArgs),
    /// Print the JSON Schema of pipeline files, for editors
    #[command(
        after_help = "Examples:\n  runner schema > schemas/pipeline.schema.json\n  runner schema --draft 07 > schemas/pipeline.draft-07.schema.json"
    )]
    Schema(SchemaArgs),
    /// Print completions for a shell
    #[command(
        after_help = "Examples:\n  runner completions bash > /etc/bash_completion.d/runner\n  runner completions zsh > \"${fpath[1]}/_runner\"\n  runner completions fish > ~/.config/fish/completions/runner.fish"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// The forms of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Human,
    /// One JSON document
    Json,
    /// For a pull request or a CI job summary
    Markdown,
    /// GitHub's annotations
    Github,
}

/// Reads one of the forms that a command has.
pub(super) fn one_of(forms: &'static [Format]) -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(forms.iter().filter_map(ValueEnum::to_possible_value)).try_map(|word| Format::from_str(&word, true))
}

const PROVE: &[&str] = &["full", "counts", "off"];
const TABLES_AS: &[&str] = &["copy", "merge", "replace"];
const SECTIONS: &[&str] = &["pre-data", "data", "post-data"];

/// Reads one of the words that a pipeline takes too.
fn word<T: DeserializeOwned + Clone + Send + Sync + 'static>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(words).try_map(|word| serde_json::from_value::<T>(serde_json::Value::String(word)))
}

/// A program and its arguments.
#[derive(Debug, Clone)]
pub(super) struct Argv(pub(super) Vec<String>);

/// Reads a program and its arguments as JSON, so that no shell and no rule of quoting stands between.
fn argv(text: &str) -> Result<Argv, String> {
    let list: Vec<String> =
        serde_json::from_str(text).map_err(|_| r#"write a JSON array of texts: '["systemctl","stop","orders"]'"#.to_owned())?;
    if list.is_empty() { Err("there is no program in it".to_owned()) } else { Ok(Argv(list)) }
}

/// `validate`
#[derive(Debug, ClapArgs)]
pub(super) struct ValidateArgs {
    /// Files, folders (the *.yaml and *.yml in them, not below), or names of pipelines in pipelines/; all of it unless given
    #[arg(value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// The form of the answer
    #[arg(long, value_parser = one_of(&[Format::Human, Format::Json, Format::Github]), default_value = "human")]
    pub(super) format: Format,
}

/// `plan`
#[derive(Debug, ClapArgs)]
pub(super) struct PlanArgs {
    /// Files, folders, or names of pipelines in pipelines/; all of it unless given
    #[arg(value_name = "PIPELINE")]
    pub(super) paths: Vec<PathBuf>,
    /// Look at nothing but the files: no network, no secrets, no clock
    #[arg(long, conflicts_with = "probe")]
    pub(super) offline: bool,
    /// Also write, read back and delete a small object in each store
    #[arg(long)]
    pub(super) probe: bool,
    /// The form of the answer
    #[arg(long, value_parser = one_of(&[Format::Human, Format::Json, Format::Markdown]), default_value = "human")]
    pub(super) format: Format,
    /// Exit with 2 when there is something to do
    #[arg(long)]
    pub(super) detailed_exitcode: bool,
    /// Write the plan of one pipeline to a file that `apply` takes
    #[arg(short, long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

/// `apply`
#[derive(Debug, ClapArgs)]
pub(super) struct ApplyArgs {
    /// Files or names of pipelines, or one plan file
    #[arg(value_name = "PIPELINE", required_unless_present = "due")]
    pub(super) paths: Vec<PathBuf>,
    /// Go on with the pipeline's newest run on this host if that never ended and the pipeline is the same; else start a new one
    #[arg(long)]
    pub(super) resume: bool,
    /// Only those whose turn it is by schedule and objectives; all of pipelines/ unless some are given
    #[arg(long)]
    pub(super) due: bool,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

/// What every command that runs a plan takes.
#[derive(Debug, ClapArgs)]
pub(super) struct RunArgs {
    /// The form of the answer
    #[arg(long, value_parser = one_of(&[Format::Human, Format::Json]), default_value = "human")]
    pub(super) format: Format,
    /// Also write every event to a file, one JSON document a line
    #[arg(long, value_name = "FILE")]
    pub(super) events: Option<PathBuf>,
    /// Nodes that may run at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) parallel: u16,
    /// Where journals are kept
    #[arg(long, value_name = "FOLDER", env = "RUNNER_STATE_DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// How long to wait for another run that writes to the same store, as `10m`; else exit with 14
    #[arg(long, value_name = "DURATION")]
    pub(super) wait: Option<Duration>,
}

/// Which restore point is meant, and what opens it.
#[derive(Debug, ClapArgs)]
pub(super) struct PointArgs {
    /// The pipeline that made it (a file, or a name in pipelines/), or its manifest: a path, or `s3://BUCKET/KEY`
    #[arg(value_name = "PIPELINE|MANIFEST")]
    pub(super) source: Option<PathBuf>,
    /// Which: latest, an id, or a time with its zone (the newest whose data is no younger)
    #[arg(long, value_name = "latest|ID|TIME", default_value = "latest")]
    pub(super) at: At,
    /// The store to read from; the first that the pipeline uploads to unless given
    #[arg(long, value_name = "STORE")]
    pub(super) store: Option<RefName>,
    /// The step whose artifact is meant, where a run stores several dumps
    #[arg(long, value_name = "STEP")]
    pub(super) artifact: Option<StepId>,
    /// A file with the private key; the pipeline's own verify-restore says where one is unless given
    #[arg(long, value_name = "FILE")]
    pub(super) identity: Option<PathBuf>,
    /// A file with the passphrase
    #[arg(long, value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
}

/// `verify`
#[derive(Debug, ClapArgs)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    pub(super) point: PointArgs,
    /// Tables restored at once; one a core unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) jobs: Option<u16>,
    /// How what is restored is compared with what was dumped
    #[arg(long, value_parser = word::<Prove>(PROVE))]
    pub(super) prove: Option<Prove>,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

/// `restore`
#[derive(Debug, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    pub(super) point: PointArgs,
    /// A dump that runner did not make, instead of a restore point: .sql, .dump, .tar, a folder; compressed or encrypted, whatever its name
    #[arg(long, value_name = "FILE", conflicts_with_all = ["at", "store", "artifact", "tables", "rows", "globals", "apply_patch"])]
    pub(super) file: Option<PathBuf>,
    /// Where to: a connection of the pipeline, or postgresql://USER@HOST:PORT/DATABASE (its password from PGPASSWORD)
    #[arg(long, value_name = "CONNECTION|URL")]
    pub(super) to: String,
    /// The database to make; that of the connection unless given
    #[arg(long, value_name = "NAME")]
    pub(super) database: Option<String>,
    /// Replace the database if it exists: it is dumped to the safety store first, and kept under another name
    #[arg(long)]
    pub(super) replace: bool,
    /// With --replace: over what is there, in one transaction, for a role that may not create databases
    #[arg(long, requires = "replace", conflicts_with_all = ["drop_old", "schema_only", "section"])]
    pub(super) clean: bool,
    /// Implied by --clean, and taken for those who are used to `pg_restore`: what is not there is no error to drop
    #[arg(long, requires = "clean")]
    pub(super) if_exists: bool,
    /// Where the safety dump goes: a store of the pipeline, or a folder; the store that is restored from unless given
    #[arg(long, value_name = "STORE|FOLDER")]
    pub(super) safety: Option<String>,
    /// Drop the replaced database in the end, if the safety dump holds all of it: what is written meanwhile keeps it
    #[arg(long, requires = "replace")]
    pub(super) drop_old: bool,
    /// Only these tables, into the database that is there
    #[arg(long, value_name = "TABLE,…", value_delimiter = ',', conflicts_with_all = ["replace", "clean", "drop_old", "rows", "with_deletes", "patch", "apply", "apply_patch", "schema_only", "section", "no_owner", "no_privileges"])]
    pub(super) tables: Vec<String>,
    /// What becomes of the rows that are there; copy puts new tables into a new schema
    #[arg(long = "as", value_name = "MODE", requires = "tables", value_parser = word::<TablesAs>(TABLES_AS), default_value = "copy")]
    pub(super) tables_as: TablesAs,
    /// Only these rows, as a patch to review; may be given several times: `orders: customer_id = 7`
    #[arg(long, value_name = "TABLE: WHERE", value_parser = super::restore::rows_of, conflicts_with_all = ["replace", "clean", "drop_old", "tables_as", "apply_patch", "schema_only", "section", "no_owner", "no_privileges"])]
    pub(super) rows: Vec<RowsOf>,
    /// Also delete rows that match and are not in the restore point
    #[arg(long, requires = "rows")]
    pub(super) with_deletes: bool,
    /// The file for the patch, which must not exist; DATABASE-RUN.sql unless given
    #[arg(long, value_name = "FILE", requires = "rows")]
    pub(super) patch: Option<PathBuf>,
    /// Apply the patch at once
    #[arg(long, requires = "rows")]
    pub(super) apply: bool,
    /// Apply a patch that was written before and reviewed; nothing is restored
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "replace", "clean", "drop_old", "safety", "tables_as", "with_deletes", "patch", "apply", "globals", "no_owner", "no_privileges", "section",
        "schema_only", "before", "after",
    ])]
    pub(super) apply_patch: Option<PathBuf>,
    /// Make the roles and tablespaces of the same restore point first; those that are there are left alone
    #[arg(long)]
    pub(super) globals: bool,
    /// Tables restored at once; one a core unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) jobs: Option<u16>,
    /// Give everything to the role that restores
    #[arg(long)]
    pub(super) no_owner: bool,
    /// Leave out who may do what (GRANT and REVOKE)
    #[arg(long)]
    pub(super) no_privileges: bool,
    /// Only this section of the archive; may be given several times
    #[arg(long, value_name = "SECTION", value_parser = word::<Section>(SECTIONS))]
    pub(super) section: Vec<Section>,
    /// Definitions without data
    #[arg(long)]
    pub(super) schema_only: bool,
    /// Data without definitions, into the tables that are there: all rows, sequence values and large objects; not empty only with --replace
    #[arg(long, conflicts_with_all = ["clean", "drop_old", "file", "tables", "rows", "apply_patch", "schema_only", "section", "no_owner", "no_privileges"])]
    pub(super) data_only: bool,
    /// Do not gather statistics at the end
    #[arg(long)]
    pub(super) no_analyze: bool,
    /// How what is restored is compared with what was dumped, before the database gets its name
    #[arg(long, value_parser = word::<Prove>(PROVE), default_value = "full")]
    pub(super) prove: Prove,
    /// A program that runs just before the database gets its name or its rows, as a JSON array; may be given several times
    #[arg(long, value_name = "ARGV_JSON", value_parser = argv)]
    pub(super) before: Vec<Argv>,
    /// A program that runs once the database is there, and in any case where one of --before has run
    #[arg(long, value_name = "ARGV_JSON", value_parser = argv)]
    pub(super) after: Vec<Argv>,
    /// A page that must answer 200 in the end
    #[arg(long, value_name = "URL")]
    pub(super) health: Option<String>,
    /// How long the page is asked again
    #[arg(long, value_name = "DURATION", default_value = "2m", requires = "health")]
    pub(super) health_for: Duration,
    /// Do it without asking
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

/// `list`
#[derive(Debug, ClapArgs)]
pub(super) struct ListArgs {
    /// Files, folders, or names of pipelines in pipelines/; all of it unless given
    #[arg(value_name = "PIPELINE")]
    pub(super) paths: Vec<PathBuf>,
    /// Also whatever else is in the stores of these pipelines: of pipelines whose file is gone, in stores nobody uploads to
    #[arg(long)]
    pub(super) all: bool,
    /// How many restore points of each pipeline are read and shown, newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) most: u16,
    /// The form of the answer
    #[arg(long, value_parser = one_of(&[Format::Human, Format::Json]), default_value = "human")]
    pub(super) format: Format,
}

/// `doctor`
#[derive(Debug, ClapArgs)]
pub(super) struct DoctorArgs {
    /// Files, folders, or names of pipelines in pipelines/; all of it unless given
    #[arg(value_name = "PIPELINE")]
    pub(super) paths: Vec<PathBuf>,
    /// The form of the answer
    #[arg(long, value_parser = one_of(&[Format::Human, Format::Json]), default_value = "human")]
    pub(super) format: Format,
}

/// `graph`
#[derive(Debug, ClapArgs)]
pub(super) struct GraphArgs {
    /// A file, or the name of a pipeline in pipelines/
    #[arg(value_name = "PIPELINE")]
    pub(super) path: PathBuf,
    /// The language of the graph
    #[arg(long, value_enum, default_value = "dot")]
    pub(super) format: GraphFormat,
}

/// The languages of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum GraphFormat {
    /// Graphviz
    Dot,
    /// Mermaid, which GitHub draws
    Mermaid,
}

/// `schema`
#[derive(Debug, ClapArgs)]
pub(super) struct SchemaArgs {
    /// The draft of JSON Schema
    #[arg(long, value_enum, default_value = "2020-12")]
    pub(super) draft: Draft,
}

/// The drafts of JSON Schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Draft {
    /// The current one
    #[value(name = "2020-12")]
    Draft2020,
    /// For older editors
    #[value(name = "07")]
    Draft07,
}

/// The program's arguments, with the tables of codes in the help of `validate`.
pub(super) fn command() -> clap::Command {
    let more = |command: clap::Command, more: String| {
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        command.after_long_help(format!("{examples}\n\n{more}"))
    };
    Args::command()
        .mut_subcommand("validate", |validate| more(validate, format!("The codes of problems:\n{}", codes())))
        .mut_subcommand("diff", |diff| more(diff, rules()))
}

/// The table of codes, for a terminal of 80 columns.
fn codes() -> String {
    let rows = document::CODES.iter().chain(pipeline::CODES);
    let width = rows.clone().map(|(code, _)| code.len()).max().unwrap_or(0) + 4;
    let row = |(code, meaning): &(&str, &str)| {
        let mut lines = vec![format!("  {code:<0$}", width - 2)];
        for word in meaning.split(' ') {
            match lines.last_mut() {
                Some(line) if line.len() + 1 + word.len() <= 78 => *line = format!("{line} {word}"),
                _ => lines.push(format!("{:width$} {word}", "")),
            }
        }
        lines.join("\n")
    };
    rows.map(row).collect::<Vec<_>>().join("\n")
}

/// Whether arguments that could not be read ask for JSON: then the complaint is JSON too.
pub(super) fn asks_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let words: Vec<OsString> = arguments.collect();
    words.iter().any(|word| word == "--format=json") || words.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
}

impl Command {
    /// The form of the command's answer.
    pub(super) const fn format(&self) -> Format {
        match self {
            Self::Validate(args) => args.format,
            Self::Plan(args) => args.format,
            Self::Apply(args) => args.run.format,
            Self::Restore(args) => args.run.format,
            Self::Verify(args) => args.run.format,
            Self::Status(args) => args.format(),
            Self::List(args) => args.format,
            Self::Show(args) => args.format,
            Self::Diff(args) => args.format,
            Self::Retention(args) => args.format(),
            Self::Resume(args) => args.with.format,
            Self::Runs(args) => args.format,
            Self::Logs(args) => args.format,
            Self::Log(args) => args.format(),
            Self::Doctor(args) => args.format,
            Self::Prune(args) => args.run.format,
            Self::Undelete(args) | Self::Unpin(args) => args.point.format.format(),
            Self::Pin(args) => args.point.format.format(),
            Self::Catalog(args) => args.format(),
            Self::Report(_) | Self::Graph(_) | Self::Schema(_) | Self::Completions { .. } => Format::Human,
        }
    }
}
