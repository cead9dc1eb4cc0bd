//! Lowering: steps become nodes. A chain is fused into one flow; a composite falls into its parts; a commit is added.
//!
//! This file decides what each node is. The order between nodes is the neighbour's.

use super::{Action, Node, Observed, StepWords, Target};
use crate::ids::{NodeId, StepId};
use crate::pipeline::{Chain, OnFailure, Pipeline, Step, When};
use crate::secret::Presence;
use crate::step::work::{Commit, Fetch, Finish, PlacedUpload, RestoreScratch};
use crate::step::{
    Checksum, CodecChoice, Effect, Encrypt, Filter, Flow, Kind, Params, Sink, Source, Stage, Staged, Undo, VerifyRestore, Work,
    checksum_word, excluded_tables,
};
use crate::template::{Bindings, RunWords, Template};

/// The name of the node that commits.
pub const COMMIT: &str = "commit";

/// The nodes of a pipeline, in the order of its file.
pub(super) fn nodes(pipeline: &Pipeline, observed: &Observed) -> Vec<Node> {
    let lower = Lower { pipeline, observed };
    let last_sink = pipeline.chains.iter().map(|chain| chain.sink).max();
    let mut nodes = Vec::new();
    for (index, step) in pipeline.steps.iter().enumerate() {
        match step.params.kind() {
            Kind::Source(_) | Kind::Filter(_) => {}
            Kind::Sink(_) => nodes.extend(pipeline.chains.iter().filter(|chain| chain.sink == index).filter_map(|chain| lower.flow(chain))),
            Kind::Effect(effect) => nodes.push(lower.effect(step, effect)),
            Kind::Composite(verify) => nodes.extend(lower.verification(step, &verify)),
        }
        if last_sink == Some(index) {
            nodes.push(lower.commit(step));
        }
    }
    nodes
}

/// What the pipeline lends to its templates.
pub(super) fn bindings(pipeline: &Pipeline) -> Bindings {
    Bindings { pipeline: pipeline.name.clone(), vars: pipeline.vars.clone(), env: pipeline.env.clone() }
}

struct Lower<'a> {
    pipeline: &'a Pipeline,
    observed: &'a Observed,
}

fn words(step: &Step) -> StepWords {
    StepWords { id: step.id.clone(), uses: step.params.uses().to_owned(), words: step.params.facts().words() }
}

fn staged<T>(step: &Step, part: T) -> Staged<T> {
    Staged { step: step.id.clone(), part }
}

/// A node of this step, with the step's own policy.
fn node(id: NodeId, step: &Step, action: Action, work: Work) -> Node {
    Node {
        id,
        action,
        reason: String::new(),
        steps: vec![words(step)],
        target: None,
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
        Some(PlacedUpload { store: upload.store.clone(), key, secret: globals })
    }

    /// A key as a plan shows it.
    fn shown(&self, key: &Template) -> String {
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
        let (action, reason) = match (missing, step.when) {
            (Some(reference), _) => (Action::Skip, format!("secret `{}` is optional and missing", reference.secret)),
            (None, When::Success) => (Action::Tell, "the steps before it succeeded".to_owned()),
            (None, When::Always) => (Action::Tell, "always, however the steps before it end".to_owned()),
            (None, When::Failure) => (Action::Tell, "only if a step before it fails".to_owned()),
        };
        let mut node = node(NodeId::of(&step.id), step, action, Work::Effect(staged(step, effect)));
        node.reason = reason;
        node
    }

    /// The commit: one manifest in every store that keeps an artifact, after all of them are there.
    fn commit(&self, last: &Step) -> Node {
        let steps = &self.pipeline.steps;
        let mut stores = Vec::new();
        for upload in self.pipeline.chains.iter().filter_map(|chain| self.placed(chain)) {
            if !stores.contains(&upload.store) {
                stores.push(upload.store);
            }
        }
        let artifacts: Vec<StepId> = self.pipeline.chains.iter().map(|chain| steps[chain.sink].id.clone()).collect();
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

    /// `verify-restore`: the way back as a flow, the checks, and a finish that runs whatever happened.
    fn verification(&self, step: &Step, verify: &VerifyRestore) -> Vec<Node> {
        let Ok(artifact) = crate::pipeline::artifact_of(&self.pipeline.steps, step, verify) else { return Vec::new() };
        let Some((chain, upload)) = self.pipeline.chain_into(&artifact).and_then(|chain| Some((chain, self.placed(chain)?))) else {
            return Vec::new();
        };
        let target = Target { store: upload.store.clone(), key: self.shown(&upload.key) };
        let fetch = Source::Fetch(Fetch { artifact: artifact.clone(), store: upload.store.clone() });
        let sink = Sink::Restore(RestoreScratch { artifact: artifact.clone(), server: verify.server.clone(), jobs: verify.jobs });
        let stages = undo(chain, &self.pipeline.steps, verify, &artifact).into_iter().map(|undo| staged(step, Stage::Undo(undo)));
        let flow = Flow { source: staged(step, fetch), stages: stages.collect(), sink: staged(step, sink) };
        let part = |name: &str, words: String| StepWords { id: step.id.clone(), uses: name.to_owned(), words };

        let mut restore = node(NodeId::of(&step.id), step, Action::Verify, Work::Flow(Box::new(flow)));
        restore.reason = format!("tries out what `{artifact}` stored");
        restore.steps = way_back(step, &restore.work, &verify.words_of_place());
        restore.target = Some(target);
        restore.expected_bytes = self.expected(&self.pipeline.steps[chain.source]);

        let mut check =
            node(NodeId::part(&step.id, "check"), step, Action::Verify, Work::Effect(staged(step, Effect::Check(verify.clone()))));
        "a restore nobody looked at proves little".clone_into(&mut check.reason);
        check.steps = vec![part("check", verify.words_of_checks())];

        let finish = Effect::Finish(Finish { artifact, store: upload.store });
        let mut finish = node(NodeId::part(&step.id, "finish"), step, Action::Verify, Work::Effect(staged(step, finish)));
        "always: nothing scratch may stay behind".clone_into(&mut finish.reason);
        finish.steps = vec![part("finish", "receipt beside the manifest, scratch removed".to_owned())];
        finish.when = When::Always;
        vec![restore, check, finish]
    }
}

/// The shortest timeout of the steps in a chain: the node is the unit that is timed.
fn strictest(chain: &Chain, steps: &[Step]) -> Option<crate::quantity::Duration> {
    std::iter::once(chain.source).chain(chain.filters.iter().copied()).chain([chain.sink]).filter_map(|index| steps[index].timeout).min()
}

/// The steps of a verification's flow, for the reader.
fn way_back(step: &Step, work: &Work, place: &str) -> Vec<StepWords> {
    let Work::Flow(flow) = work else { return Vec::new() };
    let part = |uses: &str, words: String| StepWords { id: step.id.clone(), uses: uses.to_owned(), words };
    let undone = flow.stages.iter().filter_map(|stage| match &stage.part {
        Stage::Undo(undo) => Some(part(verb(&undo.what), undo.what.clone())),
        Stage::Apply(_) => None,
    });
    std::iter::once(part("fetch", "read back from the store".to_owned())).chain(undone).chain([part("restore", place.to_owned())]).collect()
}

/// What undoing a stage is called.
fn verb(what: &str) -> &'static str {
    match what {
        "age" | "gpg" => "decrypt",
        "zst" | "gz" | "lz4" => "unpack",
        _ => "check",
    }
}

/// The stages of a chain, undone last to first.
fn undo(chain: &Chain, steps: &[Step], verify: &VerifyRestore, artifact: &StepId) -> Vec<Undo> {
    let applied = chain.filters.iter().filter_map(|index| match steps[*index].params.kind() {
        Kind::Filter(Filter::Compress(compress)) if compress.codec == CodecChoice::None => None,
        Kind::Filter(filter) => Some(filter),
        _ => None,
    });
    let undone = applied.enumerate().map(|(stage, filter)| {
        let (what, keys) = match &filter {
            Filter::Compress(compress) => (compress.codec.suffix().trim_start_matches('.').to_owned(), false),
            Filter::Checksum(Checksum { algorithm, .. }) => (checksum_word(*algorithm).to_owned(), false),
            Filter::Encrypt(Encrypt::Age(_)) => ("age".to_owned(), true),
            Filter::Encrypt(Encrypt::OpenPgp(_)) => ("gpg".to_owned(), true),
        };
        let key = |reference: &Option<crate::secret::SecretRef>| reference.clone().filter(|_| keys);
        Undo { artifact: artifact.clone(), stage, what, identity: key(&verify.identity), passphrase: key(&verify.passphrase) }
    });
    let mut undone: Vec<Undo> = undone.collect();
    undone.reverse();
    undone
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
