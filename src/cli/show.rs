//! `runner show`: everything known about one restore point.

use clap::Args as ClapArgs;
use jiff::Timestamp;

use super::args::{Format, PointArgs, one_of};
use super::exit::Exit;
use super::output::{Output, Problem};
use super::plan as planning;
use super::point::Meant;
use crate::diagnostic::Class;
use crate::ids::{PipelineName, RefName};
use crate::render::point::{self as render, Looked, Shown, Tables};
use crate::secret::Secrets;
use crate::step::{Keys, PointRef, StepError, read_fingerprint};
use crate::store::manifest::{Applied, Artifact};
use crate::store::{self, ObjectStore, StoreError, catalog};
use crate::stream::Cancel;

/// `show`
#[derive(Debug, ClapArgs)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    point: PointArgs,
    /// Also the rows and bytes of each table, from the fingerprint beside the dump; needs the key when that is encrypted
    #[arg(long)]
    tables: bool,
    /// Do not ask the stores whether the objects are there with the right size
    #[arg(long)]
    no_objects: bool,
    /// The form of the answer
    #[arg(long, value_parser = one_of(&[Format::Human, Format::Json]), default_value = "human")]
    pub(super) format: Format,
}

pub(super) fn run(args: &ShowArgs, output: &Output) -> Result<Exit, Problem> {
    let meant = Meant::by(&args.point)?;
    let tokio = planning::tokio_runtime()?;
    let view = View::of(&meant, tokio.handle())?;
    let (shown, needs) = view.shown(args)?;
    match args.format {
        Format::Json => Output::json(&render::json(&shown))?,
        _ => Output::answer(&render::human(&shown, Timestamp::now(), output.paint()))?,
    }
    let damages = shown.damages();
    if let Some(first) = damages.first() {
        let more = if damages.len() > 1 { format!(", and {} more", damages.len() - 1) } else { String::new() };
        Output::told(&Problem::new(Exit::Verification, format!("not all of it is what was stored: {first}{more}")));
        return Ok(Exit::Verification);
    }
    Ok(needs.map_or(Exit::Done, |error| {
        let problem = of_step(error);
        Output::told(&problem);
        problem.exit
    }))
}

/// What a failure of a step's part means for a command.
pub(super) fn of_step(error: StepError) -> Problem {
    let problem = Problem::new(Exit::of_class(error.class), error.message);
    error.hint.into_iter().fold(problem, Problem::help)
}

/// A fingerprint that a command looked for.
pub(super) enum Opened<T> {
    /// Here it is.
    Whole(T),
    /// None was kept.
    NoneKept,
    /// It is there, and can not be used: it is encrypted and the key is not here, or it is not what was stored.
    Closed(StepError),
}

/// What opens things, for commands that only read.
pub(super) struct View<'a> {
    pub(super) meant: &'a Meant,
    pub(super) point: &'a PointRef,
    pub(super) handle: &'a tokio::runtime::Handle,
}

impl<'a> View<'a> {
    pub(super) fn of(meant: &'a Meant, handle: &'a tokio::runtime::Handle) -> Result<Self, Problem> {
        Ok(Self { meant, point: meant.the_point()?, handle })
    }

    /// The pipeline that made the restore point.
    pub(super) fn maker(&self) -> &'a PipelineName {
        self.point.pipeline.as_ref().unwrap_or(&self.meant.pipeline.name)
    }

    /// The store that is meant.
    pub(super) fn store(&self) -> Result<std::sync::Arc<dyn ObjectStore>, Problem> {
        self.open(&self.point.store).map_err(|error| of_step(error.into()))
    }

    fn open(&self, name: &RefName) -> Result<std::sync::Arc<dyn ObjectStore>, StoreError> {
        let stores = &self.meant.pipeline.stores;
        // A manifest that is read by its place knows no names: then what it names lies where it lies itself.
        let spec = stores.get(name).or_else(|| stores.get(&self.point.store));
        let missing = || StoreError::Missing { store: name.to_string(), key: ".runner".to_owned() };
        store::open(spec.ok_or_else(missing)?, self.handle)
    }

    fn shown(&self, args: &ShowArgs) -> Result<(Shown, Option<StepError>), Problem> {
        let store = self.store()?;
        let (pipeline, at) = (self.maker(), &self.point.at);
        let point = catalog::find(&*store, pipeline, at).map_err(|error| of_step(error.into()))?;
        let (mut tables, mut needs) = (Vec::new(), None);
        let artifacts = point.manifest.as_ref().map_or(&[][..], |manifest| &manifest.artifacts);
        let wanted = |artifact: &&Artifact| {
            let step = self.point.artifact.as_ref();
            step.map_or(artifact.origin.kind == "dump", |step| artifact.step == *step)
        };
        for artifact in artifacts.iter().filter(|_| args.tables).filter(wanted) {
            let found = match self.fingerprint(artifact)? {
                Opened::Whole(whole) => Tables::Known(whole.tables, whole.incomparable),
                Opened::NoneKept => Tables::NoneKept,
                Opened::Closed(error) => {
                    let why = told(&error);
                    needs = Some(error);
                    Tables::Closed(why)
                }
            };
            tables.push((artifact.step.clone(), found));
        }
        let objects = (!args.no_objects).then(|| artifacts.iter().flat_map(|artifact| self.look(artifact)).collect());
        let shown = Shown {
            pipeline: pipeline.clone(),
            store: self.point.store.clone(),
            stores: self.meant.pipeline.stores.clone(),
            objects,
            tables: args.tables.then_some(tables),
            point,
        };
        Ok((shown, needs))
    }

    /// Asks for each object of an artifact.
    fn look(&self, artifact: &Artifact) -> Vec<Looked> {
        let store = self.open(&artifact.store).map_err(|error| error.to_string());
        let ask = |key: &str| store.as_ref().map_err(String::clone)?.head(key).map_err(|error| error.to_string());
        let objects = render::objects(artifact).into_iter();
        objects.map(|(key, expected)| Looked { key: key.to_owned(), expected, found: ask(key) }).collect()
    }

    /// The whole fingerprint of an artifact.
    pub(super) fn fingerprint(&self, artifact: &Artifact) -> Result<Opened<crate::archive::Fingerprint>, Problem> {
        let secrets = Secrets::new(self.meant.pipeline.secrets.clone());
        let keys = Keys { identity: self.meant.identity.as_ref(), passphrase: self.meant.passphrase.as_ref() };
        if let Some(error) = locked(artifact, keys, &secrets) {
            return Ok(Opened::Closed(error));
        }
        let store = self.open(&artifact.store).map_err(|error| of_step(error.into()))?;
        match read_fingerprint(artifact, &*store, keys, &secrets, &Cancel::new()) {
            Ok(Some(whole)) => Ok(Opened::Whole(whole)),
            Ok(None) => Ok(Opened::NoneKept),
            Err(error) if matches!(error.class, Class::Denied | Class::Key | Class::Verification) => Ok(Opened::Closed(error)),
            Err(error) => Err(of_step(error)),
        }
    }
}

/// Why a fingerprint that is encrypted can not be opened here; `None` when nothing stands against trying.
fn locked(artifact: &Artifact, keys: Keys<'_>, secrets: &Secrets) -> Option<StepError> {
    let stages = &artifact.fingerprint.as_ref()?.stages;
    if !stages.iter().any(|stage| matches!(stage, Applied::Encrypt { .. })) {
        return None;
    }
    let mut why = "the fingerprint is encrypted, and no key was lent".to_owned();
    for reference in [keys.identity, keys.passphrase].into_iter().flatten() {
        match secrets.open(reference) {
            Ok(_) => return None,
            Err(error) => why = format!("the fingerprint is encrypted: {error}"),
        }
    }
    Some(StepError::new(Class::Denied, why).hint("lend the key: --identity FILE, or --passphrase-file FILE"))
}

/// A failure and what to do, in a line.
pub(super) fn told(error: &StepError) -> String {
    let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{}{hint}", error.message)
}
