//! Which bytes go where: the streams through the steps, and everything that can be wrong with them.
//!
//! Data flows along `needs`: a filter or a sink takes the one step among them that yields a stream. Each stream has one
//! consumer and ends in a sink; an artifact that leaves the machine should be encrypted. This file fuses nothing; the plan does.

use std::collections::BTreeMap;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::check::at;
use super::model::{Chain, Head, Step};
use crate::diagnostic::Diagnostic;
use crate::document::Document;
use crate::ids::StepId;
use crate::postgres::ConnectionSpec;
use crate::postgres::spec::EmbeddedSpec;
use crate::step::{CodecChoice, Filter, Kind, Landing, Params, Source, VerifyRestore};
use crate::store::StoreSpec;

/// The streams of steps whose references resolve; problems are added to `out`.
pub(super) fn chains(document: &Document, head: &Head, steps: &[Step], out: &mut Vec<Diagnostic>) -> Vec<Chain> {
    let before = out.iter().filter(|d| d.is_error()).count();
    let mut flow = Dataflow { document, head, steps, out };
    flow.cycles();
    let inputs = flow.inputs();
    flow.consumers(&inputs);
    let chains = flow.follow(&inputs);
    if flow.out.iter().filter(|d| d.is_error()).count() > before {
        return Vec::new();
    }
    for chain in &chains {
        flow.stages(chain);
        flow.exposure(chain);
        flow.way_back(chain);
    }
    flow.verifications(&chains);
    chains
}

/// The sinks among the ancestors of a step that it could mean: those it needs itself, else the only one there is.
pub fn artifact_of(steps: &[Step], step: &Step, verify: &VerifyRestore) -> Result<StepId, Vec<StepId>> {
    if let Some(of) = &verify.of {
        return Ok(of.clone());
    }
    let is_sink =
        |id: &&StepId| steps.iter().any(|other| other.id == **id && matches!(other.params.kind(), Kind::Sink(Landing::Upload(_))));
    let direct: Vec<StepId> = step.needs.iter().filter(is_sink).cloned().collect();
    let candidates = if direct.is_empty() { ancestors(steps, step).into_iter().filter(|id| is_sink(&id)).collect() } else { direct };
    match candidates.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(candidates),
    }
}

/// Every step that a step waits for, directly or not, in the order of the file.
pub fn ancestors(steps: &[Step], step: &Step) -> Vec<StepId> {
    let mut found: Vec<&StepId> = Vec::new();
    let mut open: Vec<&StepId> = step.needs.iter().collect();
    while let Some(id) = open.pop() {
        if found.contains(&id) {
            continue;
        }
        found.push(id);
        open.extend(steps.iter().find(|other| other.id == *id).map(|other| &other.needs).into_iter().flatten());
    }
    steps.iter().map(|other| &other.id).filter(|id| found.contains(id)).cloned().collect()
}

struct Dataflow<'a> {
    document: &'a Document,
    head: &'a Head,
    steps: &'a [Step],
    out: &'a mut Vec<Diagnostic>,
}

impl Dataflow<'_> {
    fn error(&mut self, code: &'static str, index: usize, field: &str, message: String) -> &mut Diagnostic {
        let diagnostic = at(self.document, code, &format!("/steps/{index}{field}"), message);
        self.out.push(diagnostic);
        let last = self.out.len() - 1;
        &mut self.out[last]
    }

    fn index(&self, id: &StepId) -> Option<usize> {
        self.steps.iter().position(|step| step.id == *id)
    }

    fn yields_stream(&self, index: usize) -> bool {
        matches!(self.steps[index].params.kind(), Kind::Source(_) | Kind::Filter(_))
    }

    fn id_range(&self, index: usize) -> std::ops::Range<usize> {
        self.document.span(&format!("/steps/{index}/id")).map(|span| span.value.clone()).unwrap_or_default()
    }

    /// Steps that wait for each other; the circle is named.
    fn cycles(&mut self) {
        let mut graph: DiGraph<usize, ()> = DiGraph::new();
        let nodes: Vec<NodeIndex> = (0..self.steps.len()).map(|index| graph.add_node(index)).collect();
        for (index, step) in self.steps.iter().enumerate() {
            for need in step.needs.iter().filter_map(|need| self.index(need)) {
                graph.add_edge(nodes[index], nodes[need], ());
            }
        }
        for circle in tarjan_scc(&graph) {
            let own = circle.len() == 1 && graph.contains_edge(circle[0], circle[0]);
            if circle.len() > 1 || own {
                let names = self.walk(&circle.iter().map(|node| graph[*node]).collect::<Vec<_>>());
                let first = circle.iter().map(|node| graph[*node]).min().unwrap_or_default();
                self.error("cycle", first, "/needs", format!("these steps wait for each other: {names}")).help =
                    Some("remove one of these `needs`".to_owned());
            }
        }
    }

    /// One way round a circle, `a → b → a`, from its first step along `needs`.
    fn walk(&self, circle: &[usize]) -> String {
        let Some(start) = circle.iter().min().copied() else { return String::new() };
        let mut path = vec![start];
        let mut here = start;
        loop {
            let next = self.steps[here].needs.iter().filter_map(|need| self.index(need)).find(|next| circle.contains(next));
            let Some(next) = next else { break };
            let seen = path.contains(&next);
            path.push(next);
            here = next;
            if seen {
                break;
            }
        }
        path.iter().map(|index| format!("`{}`", self.steps[*index].id)).collect::<Vec<_>>().join(" needs ")
    }

    /// For each filter and sink, the step whose stream it takes.
    fn inputs(&mut self) -> BTreeMap<usize, usize> {
        let mut inputs = BTreeMap::new();
        for index in 0..self.steps.len() {
            if !matches!(self.steps[index].params.kind(), Kind::Filter(_) | Kind::Sink(_)) {
                continue;
            }
            let streams: Vec<usize> =
                self.steps[index].needs.iter().filter_map(|need| self.index(need)).filter(|need| self.yields_stream(*need)).collect();
            match streams.as_slice() {
                [one] => drop(inputs.insert(index, *one)),
                [] => self.no_stream(index),
                [first, second, ..] => self.two_streams(index, *first, *second),
            }
        }
        inputs
    }

    fn no_stream(&mut self, index: usize) {
        let step = &self.steps[index];
        let message = format!("`{}` ({}) gets no stream: none of the steps it needs yields one", step.id, step.params.uses());
        let needs: Vec<String> = step.needs.iter().map(|need| format!("`{need}`")).collect();
        let help = if needs.is_empty() {
            "put it behind a `dump`".to_owned()
        } else {
            format!("it needs {}; add the step that yields the bytes to `needs`", needs.join(", "))
        };
        self.error("no-stream", index, "/uses", message).help = Some(help);
    }

    fn two_streams(&mut self, index: usize, first: usize, second: usize) {
        let (first_range, second_range) = (self.id_range(first), self.id_range(second));
        let message =
            format!("`{}` gets two streams, from `{}` and from `{}`", self.steps[index].id, self.steps[first].id, self.steps[second].id);
        let diagnostic = self.error("two-streams", index, "/needs", message);
        let labelled = diagnostic.clone().label(first_range, "one").label(second_range, "the other").help("keep one of them in `needs`");
        *diagnostic = labelled;
    }

    /// Each stream has exactly one consumer.
    fn consumers(&mut self, inputs: &BTreeMap<usize, usize>) {
        for index in (0..self.steps.len()).filter(|index| self.yields_stream(*index)).collect::<Vec<_>>() {
            let takers: Vec<usize> = inputs.iter().filter(|(_, source)| **source == index).map(|(taker, _)| *taker).collect();
            match takers.as_slice() {
                [_] => {}
                // One that has two streams has been told already.
                [] if self.is_needed_by_taker(index) => {}
                [] => {
                    let message = format!("the stream of `{}` goes nowhere: no filter or sink takes it", self.steps[index].id);
                    self.error("no-sink", index, "/id", message).help = Some("put an `upload` behind it".to_owned());
                }
                [first, second, ..] => self.two_consumers(index, *first, *second),
            }
        }
    }

    fn is_needed_by_taker(&self, index: usize) -> bool {
        let takes = |step: &&Step| matches!(step.params.kind(), Kind::Filter(_) | Kind::Sink(_));
        self.steps.iter().filter(takes).any(|step| step.needs.contains(&self.steps[index].id))
    }

    fn two_consumers(&mut self, index: usize, first: usize, second: usize) {
        let (own, first_range) = (self.id_range(index), self.id_range(first));
        let message =
            format!("`{}` and `{}` both take the stream of `{}`", self.steps[first].id, self.steps[second].id, self.steps[index].id);
        let diagnostic = self.error("two-consumers", second, "/id", message);
        let labelled = diagnostic.clone().label(own, "the stream").label(first_range, "its first consumer");
        *diagnostic = labelled.help("a stream passes once: chain them, or dump twice");
    }

    /// Follows each stream from its sink back to its source.
    fn follow(&self, inputs: &BTreeMap<usize, usize>) -> Vec<Chain> {
        let sinks = (0..self.steps.len()).filter(|index| matches!(self.steps[*index].params.kind(), Kind::Sink(_)));
        sinks.filter_map(|sink| self.back_from(sink, inputs)).collect()
    }

    fn back_from(&self, sink: usize, inputs: &BTreeMap<usize, usize>) -> Option<Chain> {
        let mut filters = Vec::new();
        let mut here = *inputs.get(&sink)?;
        while matches!(self.steps[here].params.kind(), Kind::Filter(_)) {
            if filters.contains(&here) {
                return None;
            }
            filters.push(here);
            here = *inputs.get(&here)?;
        }
        filters.reverse();
        Some(Chain { source: here, filters, sink })
    }

    /// Stages whose order makes no sense: compressing what is compressed or encrypted already.
    fn stages(&mut self, chain: &Chain) {
        let mut compressed: Option<usize> = None;
        let mut encrypted: Option<usize> = None;
        for index in chain.filters.iter().copied() {
            match self.steps[index].params.kind() {
                Kind::Filter(Filter::Compress(compress)) if compress.codec != CodecChoice::None => {
                    if let Some(earlier) = compressed {
                        self.again("already-compressed", index, earlier, "compresses what is compressed already");
                    } else if let Some(earlier) = encrypted {
                        self.again("compress-after-encrypt", index, earlier, "compresses what is encrypted: it only costs time");
                    }
                    compressed = Some(index);
                }
                Kind::Filter(Filter::Encrypt(_)) => {
                    if let Some(earlier) = encrypted {
                        self.again("already-encrypted", index, earlier, "encrypts what is encrypted already");
                    }
                    encrypted = Some(index);
                }
                _ => {}
            }
        }
    }

    fn again(&mut self, code: &'static str, index: usize, earlier: usize, what: &str) {
        let range = self.id_range(earlier);
        let message = format!("`{}` {what}", self.steps[index].id);
        let diagnostic = self.error(code, index, "/uses", message);
        let labelled = diagnostic.clone().label(range, "done here").help("remove one of the two, or put `compress` before `encrypt`");
        *diagnostic = labelled;
    }

    /// Plaintext that leaves the machine, and secret material that does.
    fn exposure(&mut self, chain: &Chain) {
        let encrypted = chain.filters.iter().any(|index| matches!(self.steps[*index].params.kind(), Kind::Filter(Filter::Encrypt(_))));
        let Params::Upload(upload) = &self.steps[chain.sink].params else { return };
        let remote = matches!(self.head.stores.get(&upload.store), Some(StoreSpec::S3(_)));
        if encrypted || !remote {
            return;
        }
        let (store, globals) = (upload.store.clone(), matches!(self.steps[chain.source].params.kind(), Kind::Source(Source::Globals(_))));
        let message = if globals {
            format!("roles and password hashes would leave this machine unencrypted, to the remote store `{store}`")
        } else {
            format!("`{}` stores plaintext in the remote store `{store}`", self.steps[chain.sink].id)
        };
        let diagnostic = self.error("plaintext-upload", chain.sink, "/with/store", message);
        diagnostic.help = Some("put an `encrypt` step before it".to_owned());
        if !globals {
            *diagnostic = diagnostic.clone().warning();
        }
    }

    /// What a `fetch` reads goes into a `restore`, untouched, and nothing else does.
    fn way_back(&mut self, chain: &Chain) {
        let fetched = matches!(self.steps[chain.source].params, Params::Fetch(_));
        let restored = matches!(self.steps[chain.sink].params, Params::Restore(_));
        let (source, sink) = (&self.steps[chain.source], &self.steps[chain.sink]);
        let (index, message, help) = match (fetched, restored, chain.filters.first()) {
            (false, true, _) => {
                let message =
                    format!("`{}` restores what `{}` yields, and a `restore` takes only what a `fetch` reads", sink.id, source.id);
                (chain.sink, message, "put a `fetch` before it")
            }
            (true, false, _) => {
                let message = format!("what `{}` reads goes into `{}`, and it can only be restored", source.id, sink.id);
                (chain.sink, message, "put a `restore` behind the `fetch`")
            }
            (true, true, Some(filter)) => {
                let message = format!(
                    "`{}` stands between `{}`, which undoes all that was done, and `{}`",
                    self.steps[*filter].id, source.id, sink.id
                );
                (*filter, message, "remove it: the manifest knows what is to be undone")
            }
            (true, true, None) => {
                self.file_alone(chain);
                self.one_manifest(chain);
                return;
            }
            (false, false, _) => return,
        };
        self.error("not-a-way-back", index, "/uses", message).help = Some(help.to_owned());
    }

    /// A dump in a file has no manifest: nothing tells which server it needs, and no globals are beside it.
    fn file_alone(&mut self, chain: &Chain) {
        let (Params::Fetch(fetch), Params::Restore(restore)) = (&self.steps[chain.source].params, &self.steps[chain.sink].params) else {
            return;
        };
        let asked = [
            ("tables", restore.tables.is_some()),
            ("rows", restore.rows.is_some()),
            ("data_only", restore.data_only),
            ("globals", restore.globals),
        ];
        let Some((field, _)) = asked.into_iter().find(|(_, asked)| *asked && fetch.file.is_some()) else { return };
        let message = format!("`{field}` takes a restore point, and `{}` reads a file", self.steps[chain.source].id);
        let help = "restore the file into a database of its own first, or `fetch` with `from`";
        self.error("not-a-way-back", chain.sink, &format!("/with/{field}"), message).help = Some(help.to_owned());
    }

    /// A run makes one restore point: either of what it dumps, or of what it is about to replace.
    fn one_manifest(&mut self, chain: &Chain) {
        let replaces = matches!(&self.steps[chain.sink].params, Params::Restore(restore) if restore.safety().is_some());
        let other = (0..self.steps.len()).find(|index| match &self.steps[*index].params {
            Params::Upload(_) => true,
            Params::Restore(restore) => *index < chain.sink && restore.safety().is_some(),
            _ => false,
        });
        if let (true, Some(other)) = (replaces, other) {
            let (message, range) = (
                format!("`{}` makes a safety dump, and a run makes only one restore point", self.steps[chain.sink].id),
                self.id_range(other),
            );
            let tables = matches!(&self.steps[chain.sink].params, Params::Restore(restore) if restore.tables.is_some());
            let place = if tables { "/with/tables" } else { "/with/replace" };
            let diagnostic = self.error("not-a-way-back", chain.sink, place, message);
            *diagnostic = diagnostic.clone().label(range, "this makes one too").help("put it into a pipeline of its own");
        }
    }

    fn verifications(&mut self, chains: &[Chain]) {
        for (index, step) in self.steps.iter().enumerate() {
            if let Params::VerifyRestore(verify) = &step.params
                && verify.from.is_none()
            {
                match artifact_of(self.steps, step, verify) {
                    Ok(artifact) => self.verification(index, verify, &artifact, chains),
                    Err(candidates) => self.unclear_artifact(index, &candidates),
                }
            }
        }
    }

    fn unclear_artifact(&mut self, index: usize, candidates: &[StepId]) {
        let id = &self.steps[index].id;
        let (message, help) = if candidates.is_empty() {
            (format!("`{id}` has nothing to verify: no `upload` comes before it"), "put it behind an `upload`".to_owned())
        } else {
            let names: Vec<String> = candidates.iter().map(|id| format!("`{id}`")).collect();
            (format!("`{id}` could verify any of {}", names.join(", ")), format!("say which: `of: {}`", candidates[0]))
        };
        self.error("unclear-artifact", index, "/uses", message).help = Some(help);
    }

    fn verification(&mut self, index: usize, verify: &VerifyRestore, artifact: &StepId, chains: &[Chain]) {
        if self.index(artifact).is_none() {
            return;
        }
        let Some(chain) = chains.iter().find(|chain| self.steps[chain.sink].id == *artifact) else {
            let message = format!("`{artifact}` is not an `upload` step");
            self.error("unclear-artifact", index, "/with/of", message).help = Some("name the step that stores the object".to_owned());
            return;
        };
        if !ancestors(self.steps, &self.steps[index]).contains(artifact) {
            let message = format!("`{}` does not wait for `{artifact}`, which it verifies", self.steps[index].id);
            self.error("unclear-artifact", index, "/with/of", message).help = Some(format!("add `{artifact}` to its `needs`"));
        }
        if matches!(self.steps[chain.source].params.kind(), Kind::Source(Source::Globals(_))) {
            let message = format!("`{artifact}` stores roles and tablespaces, which a scratch server can not prove");
            self.error("unclear-artifact", index, "/uses", message).help = Some("verify the `dump`'s upload".to_owned());
        }
        self.keys(index, verify, chain);
        self.older_majors(index, verify, chain);
    }

    /// A dump can not go back to an older major; an embedded server says its own before anybody looks.
    fn older_majors(&mut self, index: usize, verify: &VerifyRestore, chain: &Chain) {
        let Params::Dump(dump) = &self.steps[chain.source].params else { return };
        let Some(ConnectionSpec::Embedded(EmbeddedSpec { version: Some(own), .. })) = self.head.connections.get(&dump.connection) else {
            return;
        };
        for major in verify.also_majors.iter().filter(|major| *major < own) {
            let message = format!("a dump of PostgreSQL {own} can not be restored on {major}, which is older");
            self.error("older-major", index, "/with/also_majors", message).help = Some(format!("remove {major}"));
        }
    }

    /// The key that undoes each encryption must be lent to the verification.
    fn keys(&mut self, index: usize, verify: &VerifyRestore, chain: &Chain) {
        for filter in chain.filters.iter().copied() {
            let Params::Encrypt(encrypt) = &self.steps[filter].params else { continue };
            let with_passphrase = encrypt.has_passphrase();
            let (missing, field) =
                if with_passphrase { (verify.passphrase.is_none(), "passphrase") } else { (verify.identity.is_none(), "identity") };
            if missing {
                let range = self.id_range(filter);
                let message =
                    format!("`{}` can not decrypt what `{}` encrypts: it has no `{field}`", self.steps[index].id, self.steps[filter].id);
                let diagnostic = self.error("no-key", index, "/uses", message);
                let labelled = diagnostic.clone().label(range, "encrypted here");
                *diagnostic = labelled.help(format!("add `{field}: {{ secret: … }}`, the key kept for restore drills"));
            }
        }
    }
}
