//! Which restore point the arguments mean: that of a pipeline, or a manifest by its place.
//!
//! What is found here is a frame for a plan: names, places and secrets. Nothing is read of the store yet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::args::PointArgs;
use super::exit::Exit;
use super::files;
use super::output::Problem;
use crate::ids::{PipelineName, RefName, RunId, StepId};
use crate::pipeline::{Chain, Concurrency, Objectives, Pipeline, SourceFacts, Step};
use crate::secret::{SecretDecl, SecretRef};
use crate::step::{Encrypt, Params, PointRef, VerifyRestore};
use crate::store::StoreSpec;
use crate::store::recall::At;
use crate::store::spec::{LocalSpec, S3Spec};

/// A restore point that is meant, and what a plan around it can use.
pub(super) struct Meant {
    /// The pipeline it comes from, where that is at hand; else an empty one with its name.
    pub(super) pipeline: Pipeline,
    /// None where a dump is meant that `runner` did not make.
    pub(super) point: Option<PointRef>,
    pub(super) identity: Option<SecretRef>,
    pub(super) passphrase: Option<SecretRef>,
}

impl Meant {
    /// Reads the arguments.
    pub(super) fn by(args: &PointArgs) -> Result<Self, Problem> {
        let none = || Problem::new(Exit::Usage, "which restore point? Name a pipeline or a manifest");
        let source = args.source.as_deref().ok_or_else(none)?;
        let meant = match manifest(source)? {
            Some(place) => by_manifest(place, source, args)?,
            None => by_pipeline(source, args)?,
        };
        meant.lent(args)
    }

    /// No restore point, but what a pipeline declares, if one is named.
    pub(super) fn without_point(args: &PointArgs, file: &Path) -> Result<Self, Problem> {
        let pipeline = match args.source.as_deref() {
            Some(source) => pipeline_at(source)?,
            None => empty(named("file")?, file.display().to_string()),
        };
        let mut meant = Self { pipeline, point: None, identity: None, passphrase: None };
        (meant.identity, meant.passphrase) = meant.keys();
        meant.lent(args)
    }

    /// The keys that the pipeline's own verification is lent.
    fn keys(&self) -> (Option<SecretRef>, Option<SecretRef>) {
        self.verification().map(|(_, verify)| (verify.identity.clone(), verify.passphrase.clone())).unwrap_or_default()
    }

    fn lent(mut self, args: &PointArgs) -> Result<Self, Problem> {
        let meant = &mut self;
        meant.identity = meant.lend("the-identity", args.identity.as_deref())?.or(meant.identity.take());
        meant.passphrase = meant.lend("the-passphrase", args.passphrase_file.as_deref())?.or(meant.passphrase.take());
        Ok(self)
    }

    /// A secret in a file, declared under a name that no pipeline uses.
    fn lend(&mut self, name: &str, file: Option<&Path>) -> Result<Option<SecretRef>, Problem> {
        let Some(file) = file else { return Ok(None) };
        if !file.is_file() {
            return Err(Problem::new(Exit::NoFile, format!("there is no file {}", file.display())));
        }
        let name: RefName = named(name)?;
        let declared = SecretDecl::in_file(file);
        self.pipeline.secrets.insert(name.clone(), declared);
        Ok(Some(SecretRef { secret: name }))
    }

    /// The restore point itself.
    ///
    /// # Errors
    /// When only a file is meant; whoever reads restore points asks for one.
    pub(super) fn the_point(&self) -> Result<&PointRef, Problem> {
        self.point.as_ref().ok_or_else(|| Problem::new(Exit::Usage, "name a pipeline or a manifest"))
    }

    /// The way the pipeline verifies, if it does.
    pub(super) fn verification(&self) -> Option<(&StepId, &VerifyRestore)> {
        self.pipeline
            .steps
            .iter()
            .find_map(|step| if let Params::VerifyRestore(verify) = &step.params { Some((&step.id, verify)) } else { None })
    }

    /// The way the pipeline encrypts, if it does.
    pub(super) fn encryption(&self) -> Option<Encrypt> {
        self.pipeline.steps.iter().find_map(|step| if let Params::Encrypt(encrypt) = &step.params { Some(encrypt.clone()) } else { None })
    }

    /// A pipeline of these steps, in which each needs the one before it, with all that the restore point's own declares.
    /// What it does not use is left out, so that a database that is down does not keep it from running.
    pub(super) fn frame(self, what: &str, steps: Vec<(StepId, Params)>, chains: Vec<Chain>) -> Result<Pipeline, Problem> {
        let room = crate::ids::NAME_LIMIT - what.len() - 1;
        let name = self.pipeline.name.as_str();
        let name: String = name.strip_suffix(&format!(".{what}")).unwrap_or(name).chars().take(room).collect();
        let mut before: Option<StepId> = None;
        let steps =
            steps.into_iter().map(|(id, params)| Step::plain(id.clone(), params, before.replace(id).into_iter().collect())).collect();
        // What it stores of its own is no business of the pipeline's group: a restore must not wait for a backup to end.
        // Nor does it wait for another restore because the pipeline's runs wait for each other: only --wait says so.
        let concurrency = Concurrency { group: None, wait: None, ..self.pipeline.concurrency.clone() };
        let name = named(&format!("{name}.{what}"))?;
        let of_globals = |source: &Step, _: &Step| matches!(source.params, Params::Globals(_));
        let of_globals: Vec<RefName> = kept(&self.pipeline, of_globals).cloned().collect();
        let mut made = Pipeline { name, schedule: None, concurrency, steps, chains, ..self.pipeline };
        // Where the globals of a restore point lie shows only when it is found.
        let globals = made.steps.iter().any(|step| matches!(&step.params, Params::Restore(restore) if restore.globals));
        let used = |of: fn(&Step) -> Vec<RefName>| made.steps.iter().flat_map(of).collect::<Vec<_>>();
        let connections = used(|step| step.params.facts().references().connections.into_iter().cloned().collect());
        let stores = used(|step| step.params.facts().references().stores.into_iter().cloned().collect());
        let secrets = used(|step| step.params.facts().references().secrets.into_iter().map(|reference| reference.secret.clone()).collect());
        made.connections.retain(|name, _| connections.contains(name));
        made.stores.retain(|name, _| stores.contains(name) || globals && of_globals.contains(name));
        let passwords: Vec<RefName> = made.connections.values().filter_map(|spec| Some(spec.password()?.secret.clone())).collect();
        made.secrets.retain(|name, _| secrets.contains(name) || passwords.contains(name));
        Ok(made)
    }
}

/// A name of our own making.
pub(super) fn named<T: TryFrom<String, Error: std::fmt::Display>>(text: &str) -> Result<T, Problem> {
    T::try_from(text.to_owned()).map_err(|error| Problem::new(Exit::Internal, error.to_string()))
}

/// The one pipeline that is meant.
fn pipeline_at(source: &Path) -> Result<Pipeline, Problem> {
    if let Some(run) = source.to_str().and_then(|text| text.parse::<RunId>().ok()).filter(|_| !source.exists()) {
        let problem = Problem::new(Exit::NoFile, format!("{run} is the id of a restore point, and there is no pipeline of that name"));
        return Err(problem.help(format!("name its pipeline: PIPELINE --at {run}; `runner list` shows which pipeline keeps it")));
    }
    let mut found = files::pipelines(&[source.to_owned()])?;
    match (found.pop(), found.is_empty()) {
        (Some(pipeline), true) => Ok(pipeline),
        _ => Err(Problem::new(Exit::Usage, format!("{} holds several pipelines; name one", source.display()))),
    }
}

/// The stores that get what chains of these sources and sinks make, in the order of the pipeline.
fn kept(pipeline: &Pipeline, wanted: impl Fn(&Step, &Step) -> bool) -> impl Iterator<Item = &RefName> {
    let ends = pipeline.chains.iter().map(|chain| (&pipeline.steps[chain.source], &pipeline.steps[chain.sink]));
    ends.filter(move |(source, sink)| wanted(source, sink)).filter_map(|(_, sink)| match &sink.params {
        Params::Upload(upload) => Some(&upload.store),
        _ => None,
    })
}

fn by_pipeline(source: &Path, args: &PointArgs) -> Result<Meant, Problem> {
    let pipeline = pipeline_at(source)?;
    let store = match &args.store {
        Some(store) if pipeline.stores.contains_key(store) => store.clone(),
        Some(store) => return Err(Problem::new(Exit::Usage, format!("{} declares no store `{store}`", pipeline.name))),
        None => {
            let none = || Problem::new(Exit::Usage, format!("{} stores nothing, so there is nothing to restore", pipeline.name));
            let meant = |source: &Step, sink: &Step| match &args.artifact {
                Some(step) => sink.id == *step,
                None => matches!(source.params, Params::Dump(_)),
            };
            let first = kept(&pipeline, meant).next().or_else(|| kept(&pipeline, |_, _| true).next()).cloned();
            first.ok_or_else(none)?
        }
    };
    let point = PointRef { store, pipeline: Some(pipeline.name.clone()), at: args.at.clone(), artifact: args.artifact.clone() };
    let mut meant = Meant { pipeline, point: Some(point), identity: None, passphrase: None };
    (meant.identity, meant.passphrase) = meant.keys();
    Ok(meant)
}

/// Where a manifest is: the root of its store, the pipeline and the run.
struct Place {
    store: StoreSpec,
    pipeline: PipelineName,
    run: RunId,
}

/// The place of a manifest, if the argument looks like one: `<root>/.runner/<pipeline>/<month>/<run>.manifest.json`.
fn manifest(source: &Path) -> Result<Option<Place>, Problem> {
    let Some(text) = source.to_str().filter(|text| text.ends_with(".manifest.json")) else { return Ok(None) };
    let unlike = || {
        let problem = Problem::new(Exit::Usage, format!("{text} is not where a manifest is kept"));
        problem.help("a manifest is kept as <store>/.runner/<pipeline>/<month>/<run>.manifest.json; copy the whole store, not one file")
    };
    let (root, rest) = match text.rsplit_once("/.runner/") {
        Some(found) => found,
        None => ("", text.strip_prefix(".runner/").ok_or_else(unlike)?),
    };
    let parts: Vec<&str> = rest.split('/').collect();
    let [pipeline, _, file] = parts.as_slice() else { return Err(unlike()) };
    let run = file.strip_suffix(".manifest.json").and_then(|run| run.parse().ok()).ok_or_else(unlike)?;
    let pipeline = PipelineName::new(*pipeline).map_err(|_| unlike())?;
    Ok(Some(Place { store: store_at(root, source)?, pipeline, run }))
}

fn store_at(root: &str, source: &Path) -> Result<StoreSpec, Problem> {
    let invalid = |error: serde_json::Error| Problem::new(Exit::Internal, error.to_string());
    if let Some(rest) = root.strip_prefix("s3://") {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        // The rest of what an S3 store needs comes from where the AWS tools take it too.
        let endpoint = std::env::var("AWS_ENDPOINT_URL_S3").or_else(|_| std::env::var("AWS_ENDPOINT_URL")).ok();
        let path_style = endpoint.is_some();
        let spec = serde_json::json!({ "bucket": bucket, "prefix": prefix, "endpoint": endpoint, "path_style": path_style });
        return Ok(StoreSpec::S3(serde_json::from_value::<S3Spec>(spec).map_err(invalid)?));
    }
    if !source.is_file() {
        return Err(Problem::new(Exit::NoFile, format!("there is no file {}", source.display())));
    }
    let path = if root.is_empty() && !source.is_absolute() {
        "."
    } else if root.is_empty() {
        "/"
    } else {
        root
    };
    Ok(folder(PathBuf::from(path)))
}

fn by_manifest(place: Place, source: &Path, args: &PointArgs) -> Result<Meant, Problem> {
    if args.at != At::Latest {
        return Err(Problem::new(Exit::Usage, "a manifest is one restore point; --at chooses among those of a pipeline"));
    }
    let store: RefName = args.store.clone().map_or_else(|| named("store"), Ok)?;
    let pipeline =
        Pipeline { stores: BTreeMap::from([(store.clone(), place.store)]), ..empty(place.pipeline.clone(), source.display().to_string()) };
    let point = PointRef { store, pipeline: Some(place.pipeline), at: At::Run(place.run), artifact: args.artifact.clone() };
    Ok(Meant { pipeline, point: Some(point), identity: None, passphrase: None })
}

/// A pipeline that declares nothing.
fn empty(name: PipelineName, path: String) -> Pipeline {
    Pipeline {
        name,
        description: None,
        schedule: None,
        objectives: Objectives::default(),
        concurrency: Concurrency::default(),
        vars: serde_json::Map::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        connections: BTreeMap::new(),
        stores: BTreeMap::new(),
        steps: Vec::new(),
        chains: Vec::new(),
        source: SourceFacts { path, sha256: String::new() },
    }
}

/// A folder as a store.
pub(super) fn folder(path: PathBuf) -> StoreSpec {
    StoreSpec::Local(LocalSpec::at(path))
}
