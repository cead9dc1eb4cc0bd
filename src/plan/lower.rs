//! Lowering: steps become nodes. A chain is fused into one flow; a composite falls into its parts; a commit is added.
//!
//! This file decides what each node is. The order between nodes is the neighbour's.

use jiff::Timestamp;

use super::{Action, Node, Observed, Reach, StepWords, Target, majors};
use crate::ids::{NodeId, RefName, StepId};
use crate::pipeline::{Chain, OnFailure, Pipeline, Step, When};
use crate::secret::{Presence, SecretRef};
use crate::step::work::{Commit, Finish, PlacedUpload, ReadBack, Recording, RestoreScratch};
use crate::step::{
    Checksum, CodecChoice, Edge, Effect, Encrypt, Filter, Flow, Kind, Landing, Params, PointRef, Sink, Source, Stage, Staged, Touch, Undo,
    VerifyRestore, Work, checksum_word, excluded_tables,
};
use crate::store::manifest::Applied;
use crate::stream::crypt::Scheme;
use crate::template::{Bindings, RunWords, Template};

/// The name of the node that commits.
pub const COMMIT: &str = "commit";

/// A node, and what it waits for beside or instead of what its steps need.
pub(super) struct Lowered {
    pub(super) node: Node,
    /// The nodes it waits for itself.
    pub(super) after: Vec<(NodeId, Edge)>,
    /// The steps it waits for; what the steps in it need when not given.
    pub(super) needs: Option<Vec<StepId>>,
}

impl From<Node> for Lowered {
    fn from(node: Node) -> Self {
        Self { node, after: Vec::new(), needs: None }
    }
}

impl Lowered {
    /// A further part of a step: it waits for the parts before it, and what they waited for has been waited for.
    pub(super) fn part(node: Node, after: Vec<(NodeId, Edge)>) -> Self {
        Self { node, after, needs: Some(Vec::new()) }
    }
}

/// What runs of a pipeline are for, in the words of the backup log.
pub fn purpose(pipeline: &Pipeline) -> &'static str {
    let any = |of: fn(&Params) -> bool| pipeline.steps.iter().any(|step| of(&step.params));
    match () {
        () if any(|params| matches!(params, Params::Dump(_))) => "dump",
        () if any(|params| matches!(params, Params::Globals(_))) => "globals",
        () if any(|params| matches!(params, Params::Restore(_))) => "restore",
        () if any(|params| matches!(params, Params::VerifyRestore(_))) => "verify",
        () => "run",
    }
}

/// The nodes of a pipeline, in the order of its file.
pub(super) fn nodes(pipeline: &Pipeline, observed: &Observed, now: Option<Timestamp>) -> Vec<Lowered> {
    let lower = Lower { pipeline, observed, now };
    let last_sink = pipeline.chains.iter().filter(|chain| lower.stores(chain)).map(|chain| chain.sink).max();
    let mut nodes = Vec::new();
    for (index, step) in pipeline.steps.iter().enumerate() {
        match step.params.kind() {
            Kind::Source(_) | Kind::Filter(_) => {}
            Kind::Sink(landing) => {
                for chain in pipeline.chains.iter().filter(|chain| chain.sink == index) {
                    match &landing {
                        Landing::Upload(_) => nodes.extend(lower.flow(chain).map(Lowered::from)),
                        Landing::Restore(restore) => nodes.extend(lower.restoration(chain, restore)),
                    }
                }
            }
            Kind::Effect(Effect::Copy(work)) => nodes.push(lower.copying(step, &work.with)),
            Kind::Effect(Effect::Prune(work)) => nodes.push(lower.pruning(step, &work.with)),
            Kind::Effect(Effect::Record(record)) => {
                let record = Recording { kind: purpose(pipeline).to_owned(), ..record };
                nodes.push(lower.effect(step, Effect::Record(record)).into());
            }
            Kind::Effect(effect) => nodes.push(lower.effect(step, effect).into()),
            Kind::Composite(verify) => nodes.extend(lower.verification(step, &verify)),
        }
        if last_sink == Some(index) {
            let uploads: Vec<_> = pipeline.chains.iter().filter_map(|chain| lower.placed(chain)).collect();
            let artifacts = pipeline.chains.iter().filter(|chain| lower.stores(chain)).map(|chain| pipeline.steps[chain.sink].id.clone());
            let after = nodes
                .iter()
                .filter(|lowered| lowered.node.action == Action::Store)
                .map(|lowered| (lowered.node.id.clone(), Edge::OnSuccess));
            let after = after.collect();
            nodes.push(Lowered::part(lower.commit(step, uploads.iter().map(|upload| &upload.store), artifacts.collect()), after));
        }
    }
    nodes
}

/// What the pipeline lends to its templates.
pub(super) fn bindings(pipeline: &Pipeline) -> Bindings {
    Bindings { pipeline: pipeline.name.clone(), vars: pipeline.vars.clone(), env: pipeline.env.clone() }
}

pub(super) struct Lower<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) observed: &'a Observed,
    /// The time of the plan; unknown offline.
    pub(super) now: Option<Timestamp>,
}

fn words(step: &Step) -> StepWords {
    StepWords { id: step.id.clone(), uses: step.params.uses().to_owned(), words: step.params.facts().words() }
}

pub(super) fn staged<T>(step: &Step, part: T) -> Staged<T> {
    Staged { step: step.id.clone(), part }
}

/// A node of this step, with the step's own policy.
pub(super) fn node(id: NodeId, step: &Step, action: Action, work: Work) -> Node {
    Node {
        id,
        action,
        reason: String::new(),
        steps: vec![words(step)],
        target: None,
        destroys: Vec::new(),
        expected_bytes: None,
        left_out: None,
        when: step.when,
        timeout: step.timeout,
        stall: step.stall,
        retry: step.retry,
        on_failure: step.on_failure,
        work,
    }
}

impl Lower<'_> {
    /// Whether a chain ends in an object of a store.
    pub(super) fn stores(&self, chain: &Chain) -> bool {
        matches!(self.pipeline.steps[chain.sink].params, Params::Upload(_))
    }

    /// Fuses a chain: one pass from its source through its filters into its sink.
    fn flow(&self, chain: &Chain) -> Option<Node> {
        let steps = &self.pipeline.steps;
        let (first, last) = (&steps[chain.source], &steps[chain.sink]);
        let Kind::Source(source) = first.params.kind() else { return None };
        let upload = self.placed(chain)?;
        let stages = chain.filters.iter().filter_map(|index| match steps[*index].params.kind() {
            Kind::Filter(filter) => Some(staged(&steps[*index], Stage::Apply(filter))),
            _ => None,
        });
        let target = Target { store: upload.store.clone(), key: self.shown(&upload.key) };
        let flow = Flow { stages: stages.collect(), source: staged(first, source), sink: staged(last, Sink::Upload(upload)) };
        let mut node = node(NodeId::of(&first.id), last, Action::Store, Work::Flow(Box::new(flow)));
        node.steps = std::iter::once(chain.source)
            .chain(chain.filters.iter().copied())
            .chain([chain.sink])
            .map(|index| words(&steps[index]))
            .collect();
        "every run stores a new object".clone_into(&mut node.reason);
        node.target = Some(target);
        node.expected_bytes = self.expected(first);
        node.left_out = self.observed.left_out.get(&first.id).map(|tables| excluded_tables(tables.count, &tables.names));
        node.timeout = strictest(chain, steps);
        Some(node)
    }

    /// The upload of a chain with its key settled, and whether its bytes are secret material.
    fn placed(&self, chain: &Chain) -> Option<PlacedUpload> {
        let steps = &self.pipeline.steps;
        let Params::Upload(upload) = &steps[chain.sink].params else { return None };
        let globals = matches!(steps[chain.source].params.kind(), Kind::Source(Source::Globals(_)));
        let key = upload.key.clone().unwrap_or_else(|| default_key(chain, steps));
        let seal = chain.filters.iter().filter_map(|index| match &steps[*index].params {
            Params::Encrypt(encrypt) => Some(encrypt.clone()),
            _ => None,
        });
        Some(PlacedUpload { store: upload.store.clone(), key, secret: globals, seal: seal.collect() })
    }

    /// A key as a plan shows it.
    pub(super) fn shown(&self, key: &Template) -> String {
        key.render(&bindings(self.pipeline), &RunWords::blank()).unwrap_or_else(|_| key.0.clone())
    }

    fn expected(&self, source: &Step) -> Option<u64> {
        let Params::Dump(dump) = &source.params else { return None };
        self.observed.connections.get(&dump.connection)?.facts()?.database_bytes
    }

    fn effect(&self, step: &Step, effect: Effect) -> Node {
        let missing = step.params.facts().references().secrets.into_iter().find(|reference| {
            self.pipeline.secrets.get(&reference.secret).is_some_and(|declared| declared.optional)
                && self.observed.secrets.get(&reference.secret) == Some(&Presence::Missing)
        });
        let acting = match effect.touch() {
            Touch::Tells => Action::Tell,
            Touch::Asks => Action::Ask,
            Touch::Changes => Action::Act,
        };
        let (action, reason) = match (missing, step.when) {
            (Some(reference), _) => (Action::Skip, format!("secret `{}` is optional and missing", reference.secret)),
            (None, When::Success) if step.needs.is_empty() => (acting, "the pipeline asks for it".to_owned()),
            (None, When::Success) => (acting, "the steps before it succeeded".to_owned()),
            (None, When::Always) => (acting, "always, however the steps before it end".to_owned()),
            (None, When::Failure) => (acting, "only if a step before it fails".to_owned()),
        };
        let mut node = node(NodeId::of(&step.id), step, action, Work::Effect(staged(step, effect)));
        node.reason = reason;
        // What the patch says of itself is what its reviewer has read.
        node.destroys.extend(self.observed.patches.get(&step.id).into_iter().flat_map(|patch| patch.header.tables.iter().cloned()));
        node
    }

    /// The commit: one manifest in every store that keeps an artifact, after all of them are there.
    pub(super) fn commit<'s>(&self, last: &Step, kept_in: impl Iterator<Item = &'s RefName>, artifacts: Vec<StepId>) -> Node {
        let mut stores: Vec<RefName> = Vec::new();
        for store in kept_in {
            if !stores.contains(store) {
                stores.push(store.clone());
            }
        }
        let target = stores.first().map(|store| Target {
            store: store.clone(),
            key: format!(".runner/{}/<run.month>/<run.id>.manifest.json", self.pipeline.name),
        });
        let many = crate::words::count(artifacts.len(), "artifact");
        let effect = Effect::Commit(Commit { stores, artifacts });
        let mut node = node(NodeId::implicit(COMMIT), last, Action::Commit, Work::Effect(staged(last, effect)));
        node.steps = vec![StepWords {
            id: last.id.clone(),
            uses: COMMIT.to_owned(),
            words: format!("manifest of {many}, written last, never overwritten"),
        }];
        "without it there is no restore point".clone_into(&mut node.reason);
        node.target = target;
        node.when = When::Success;
        node.on_failure = OnFailure::Fail;
        node
    }

    /// `verify-restore`: a trial on the dump's own major, and then one after the other on others.
    fn verification(&self, step: &Step, verify: &VerifyRestore) -> Vec<Lowered> {
        let mut nodes = self.trial(step, verify, None);
        let own: Vec<(NodeId, Edge)> = nodes.iter().map(|lowered| (lowered.node.id.clone(), Edge::OnSuccess)).collect();
        for major in majors::others(self.pipeline, self.observed, step, verify) {
            // One scratch server at a time; what fails on one major says nothing of the next.
            let turn = nodes.iter().skip(own.len()).map(|lowered| (lowered.node.id.clone(), Edge::After));
            let after = own.iter().cloned().chain(turn).collect();
            let mut trial = self.trial(step, verify, Some(major));
            if let Some(restore) = trial.first_mut() {
                (restore.after, restore.needs) = (after, Some(Vec::new()));
            }
            nodes.extend(trial);
        }
        nodes
    }

    /// One trial: the way back as a flow, the checks, and a finish that runs whatever happened.
    fn trial(&self, step: &Step, verify: &VerifyRestore, other: Option<u16>) -> Vec<Lowered> {
        let Some(back) = self.way_back(step, verify) else { return Vec::new() };
        let named = step;
        let step = &Step { id: other.map_or_else(|| step.id.clone(), |major| step.id.on_major(major)), ..step.clone() };
        let WayBack { read, stages, target, expected } = back;
        let (artifact, store) = (read.artifact.clone(), read.store.clone());
        let sink = Sink::Restore(RestoreScratch {
            artifact: artifact.clone(),
            server: verify.server.clone().filter(|_| other.is_none()),
            jobs: verify.jobs,
            major: other,
            objective: self.pipeline.objectives.rto.filter(|_| other.is_none()),
            compares: verify.prove.short().is_none(),
        });
        let stages = stages.into_iter().map(|undo| staged(step, Stage::Undo(undo)));
        let flow = Flow { source: staged(step, Source::Fetch(read)), stages: stages.collect(), sink: staged(step, sink) };
        let part = |name: &str, words: String| StepWords { id: named.id.clone(), uses: name.to_owned(), words };
        let on = other.map(|major| format!(", on PostgreSQL {major}")).unwrap_or_default();
        let place = other.map_or_else(|| verify.words_of_place(), |major| format!("into a scratch server of PostgreSQL {major}"));

        let mut restore = node(NodeId::of(&step.id), step, Action::Verify, Work::Flow(Box::new(flow)));
        restore.reason = match &verify.from {
            Some(point) => format!("tries out {}{on}", point.words()),
            None => format!("tries out what `{artifact}` stored{on}"),
        };
        restore.steps = steps_back(named, &restore.work, &place);
        restore.target = Some(target);
        restore.expected_bytes = expected;

        let mut check = node(
            NodeId::part(&step.id, "check"),
            step,
            Action::Verify,
            Work::Effect(staged(step, Effect::Check(Box::new(verify.clone())))),
        );
        "a restore nobody looked at proves little".clone_into(&mut check.reason);
        check.steps = vec![part("check", verify.words_of_checks())];

        let finish = Effect::Finish(Finish { artifact, store });
        let mut finish = node(NodeId::part(&step.id, "finish"), step, Action::Verify, Work::Effect(staged(step, finish)));
        "always: nothing scratch may stay behind".clone_into(&mut finish.reason);
        finish.steps = vec![part("finish", "receipt beside the manifest, scratch removed".to_owned())];
        finish.when = When::Always;
        let checked = Lowered::part(check, vec![(restore.id.clone(), Edge::OnProduct)]);
        let finished = Lowered::part(finish, vec![(restore.id.clone(), Edge::Always), (checked.node.id.clone(), Edge::Always)]);
        vec![restore.into(), checked, finished]
    }

    /// What a verification reads back and how it is undone: by the record of an earlier run, or by the steps of this one.
    fn way_back(&self, step: &Step, verify: &VerifyRestore) -> Option<WayBack> {
        let keys = (verify.identity.as_ref(), verify.passphrase.as_ref());
        if let Some(point) = &verify.from {
            return Some(self.recalled(step, point, keys));
        }
        let artifact = crate::pipeline::artifact_of(&self.pipeline.steps, step, verify).ok()?;
        let chain = self.pipeline.chain_into(&artifact)?;
        let upload = self.placed(chain)?;
        Some(WayBack {
            target: Target { store: upload.store.clone(), key: self.shown(&upload.key) },
            stages: undo(&artifact, applied_by(chain, &self.pipeline.steps), keys),
            expected: self.expected(&self.pipeline.steps[chain.source]),
            read: ReadBack { artifact, store: upload.store, recalled: None },
        })
    }

    /// The way back from a restore point of an earlier run; a plan that nobody looked for it shows no stages.
    pub(super) fn recalled(&self, step: &Step, point: &PointRef, keys: Lent<'_>) -> WayBack {
        let found = self.observed.points.get(&step.id).and_then(Reach::facts);
        let key = found.map_or_else(|| "<chosen when somebody looks>".to_owned(), |found| found.artifact.object.key.clone());
        let stages = found.map(|found| found.artifact.stages.iter().map(word_of_stage).collect()).unwrap_or_default();
        WayBack {
            target: Target { store: point.store.clone(), key },
            stages: undo(&step.id, stages, keys),
            expected: found.map(|found| found.artifact.origin.bytes),
            read: ReadBack { artifact: step.id.clone(), store: point.store.clone(), recalled: found.cloned() },
        }
    }
}

/// The keys that a step was lent: an identity and a passphrase.
pub(super) type Lent<'a> = (Option<&'a SecretRef>, Option<&'a SecretRef>);

/// What is read back, and how.
pub(super) struct WayBack {
    pub(super) read: ReadBack,
    pub(super) stages: Vec<Undo>,
    pub(super) target: Target,
    pub(super) expected: Option<u64>,
}

/// The shortest timeout of the steps in a chain: the node is the unit that is timed.
fn strictest(chain: &Chain, steps: &[Step]) -> Option<crate::quantity::Duration> {
    std::iter::once(chain.source).chain(chain.filters.iter().copied()).chain([chain.sink]).filter_map(|index| steps[index].timeout).min()
}

/// The steps of a verification's flow, for the reader.
pub(super) fn steps_back(step: &Step, work: &Work, place: &str) -> Vec<StepWords> {
    let Work::Flow(flow) = work else { return Vec::new() };
    let part = |uses: &str, words: String| StepWords { id: step.id.clone(), uses: uses.to_owned(), words };
    let undone = flow.stages.iter().filter_map(|stage| match &stage.part {
        Stage::Undo(undo) => Some(part(verb(&undo.what), undo.what.clone())),
        Stage::Apply(_) => None,
    });
    let read = match &flow.source.part {
        Source::File(file) => file.path.display().to_string(),
        _ => "read back from the store".to_owned(),
    };
    std::iter::once(part("fetch", read)).chain(undone).chain([part("restore", place.to_owned())]).collect()
}

/// What undoing a stage is called.
fn verb(what: &str) -> &'static str {
    match what {
        "age" | "gpg" => "decrypt",
        "zst" | "gz" | "lz4" => "unpack",
        _ => "check",
    }
}

/// What a stage did, and whether it takes a key to undo it.
type Done = (String, bool);

/// What the filters of a chain will do, first to last.
fn applied_by(chain: &Chain, steps: &[Step]) -> Vec<Done> {
    let filters = chain.filters.iter().filter_map(|index| match steps[*index].params.kind() {
        Kind::Filter(Filter::Compress(compress)) if compress.codec == CodecChoice::None => None,
        Kind::Filter(filter) => Some(filter),
        _ => None,
    });
    let done = filters.map(|filter| match &filter {
        Filter::Compress(compress) => (compress.codec.suffix().trim_start_matches('.').to_owned(), false),
        Filter::Checksum(Checksum { algorithm, .. }) => (checksum_word(*algorithm).to_owned(), false),
        Filter::Encrypt(Encrypt::Age(_)) => ("age".to_owned(), true),
        Filter::Encrypt(Encrypt::OpenPgp(_)) => ("gpg".to_owned(), true),
    });
    done.collect()
}

/// What a stage of an earlier run did.
fn word_of_stage(stage: &Applied) -> Done {
    match stage {
        Applied::Compress { codec, .. } => (codec.extension().to_owned(), false),
        Applied::Checksum { algorithm, .. } => (checksum_word(*algorithm).to_owned(), false),
        Applied::Encrypt { scheme: Scheme::Age, .. } => ("age".to_owned(), true),
        Applied::Encrypt { scheme: Scheme::OpenPgp, .. } => ("gpg".to_owned(), true),
    }
}

/// The undoing of what was done, last to first.
fn undo(artifact: &StepId, done: Vec<Done>, (identity, passphrase): Lent<'_>) -> Vec<Undo> {
    let lent = |reference: Option<&SecretRef>, keyed: bool| reference.filter(|_| keyed).cloned();
    let undone = done.into_iter().enumerate().rev().map(|(stage, (what, keyed))| Undo {
        artifact: artifact.clone(),
        stage,
        what,
        identity: lent(identity, keyed),
        passphrase: lent(passphrase, keyed),
    });
    undone.collect()
}

/// `{{ pipeline }}/{{ run.date }}/{{ run.id }}-<source>` and the endings of what was done to the bytes.
fn default_key(chain: &Chain, steps: &[Step]) -> Template {
    let source = &steps[chain.source];
    let form = match &source.params {
        Params::Dump(dump) => dump.format.suffix(),
        _ => ".sql",
    };
    let endings = chain.filters.iter().map(|index| match &steps[*index].params {
        Params::Compress(compress) => compress.codec.suffix(),
        Params::Encrypt(encrypt) => encrypt.suffix(),
        _ => "",
    });
    let endings: String = endings.collect();
    Template(format!("{{{{ pipeline }}}}/{{{{ run.date }}}}/{{{{ run.id }}}}-{}{form}{endings}", source.id))
}
