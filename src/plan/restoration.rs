//! Lowering a restore: a safety dump of what is replaced, the making of a database, the load, the proof, the swap, the finish.
//!
//! What is destroyed is said in words on the node that does it. Nothing is looked at here: what there is was observed.

use jiff::Timestamp;

use super::lower::{Lower, Lowered, WayBack, node, staged, steps_back};
use super::{Action, COMMIT, Node, Reach, StepWords, Target};
use crate::ids::{NodeId, StepId};
use crate::pipeline::{Chain, Step, When, ancestors};
use crate::postgres::target::{TargetFacts, derived};
use crate::quantity::{brief, bytes};
use crate::step::restore::{Safety, schema_of};
use crate::step::work::{LoadTarget, PlacedUpload, RestorePart, RestoreWork, Seen};
use crate::step::{
    Checksum, CodecChoice, Compress, Dump, Edge, Effect, Fetch, FileBack, FileFacts, Filter, Flow, How, Params, Replace, Restore, Sink,
    Source, Stage, Staged, StepKind as _, Work, lacking_in_words,
};
use crate::store::manifest::{Completeness, LeftOut, Why};
use crate::store::recall::Recalled;
use crate::stream::digest::Algorithm;
use crate::template::Template;

impl Lower<'_> {
    /// The nodes of a `fetch` and its `restore`.
    pub(super) fn restoration(&self, chain: &Chain, restore: &Restore) -> Vec<Lowered> {
        let steps = &self.pipeline.steps;
        let (first, last) = (&steps[chain.source], &steps[chain.sink]);
        let Params::Fetch(fetch) = &first.params else { return Vec::new() };
        let facts = self.observed.targets.get(&last.id).and_then(Reach::facts);
        let back = fetch.from.as_ref().map(|point| self.recalled(first, point, (fetch.identity.as_ref(), fetch.passphrase.as_ref())));
        let recalled = back.as_ref().and_then(|back| back.read.recalled.clone());
        let origin = recalled.as_ref().map(|recalled| Box::new(recalled.artifact.origin.clone()));
        let globals = recalled.as_ref().filter(|_| restore.globals).and_then(|recalled| recalled.globals.clone().map(Box::new));
        let work = |part| RestoreWork {
            part,
            artifact: first.id.clone(),
            with: restore.clone(),
            origin: origin.clone(),
            identity: fetch.identity.clone(),
            passphrase: fetch.passphrase.clone(),
            globals: globals.clone(),
            seen: self.seen(last, facts),
        };
        let parts = Parts { first, last, restore, facts, recalled, now: self.now };
        if restore.by_scratch() {
            return back.map_or_else(Vec::new, |back| self.partial(&parts, back, fetch, &work));
        }
        // Where only the safety dump will hold what is replaced, nothing may be written behind it any more.
        let early = parts.drops_old() || restore.in_place();
        let (early, late) = if early { (parts.before(), Vec::new()) } else { (Vec::new(), parts.before()) };
        // The lock comes before the safety dump: of two restores the second is refused at once, and what is dumped is what is replaced.
        let hold = restore.replace.is_some().then(|| Lowered::from(parts.hold(work(RestorePart::Hold))));
        let mut nodes: Vec<Lowered> = hold.into_iter().collect();
        follow(&mut nodes, early);
        follow(&mut nodes, self.safety(&parts));
        let mut before: Vec<_> = nodes.last().map(|lowered| (lowered.node.id.clone(), Edge::OnSuccess)).into_iter().collect();
        if restore.globals {
            let globals = parts.globals(work(RestorePart::Globals));
            let after = std::mem::replace(&mut before, vec![(globals.id.clone(), Edge::OnProduct)]);
            nodes.push(Lowered { node: globals, after, needs: None });
        }
        let prepare =
            (!restore.in_place()).then(|| parts.effect("prepare", Action::Restore, work(RestorePart::Prepare), &parts.words_of_prepare()));
        let mut load = match back {
            Some(back) => parts.load(back),
            None => parts.load_file(self.file(first, fetch)),
        };
        load.reason = format!("restores {}", parts.point_words());
        let known = fetch.file.is_none();
        let prove = parts.effect("prove", Action::Verify, work(RestorePart::Prove), &parts.words_of_proof(known));
        let swap = (!restore.in_place()).then(|| parts.swap(work(RestorePart::Swap)));
        let end = if restore.in_place() { "the lock ends" } else { "an unfinished database is dropped, the lock ends" };
        let mut finish = parts.effect("finish", Action::Restore, work(RestorePart::Finish), end);
        finish.when = When::Always;
        "always: nothing half-made may stay behind".clone_into(&mut finish.reason);
        let always = prepare.iter().chain([&load, &prove]).chain(&swap).map(|node| (node.id.clone(), Edge::Always)).collect();
        let (loaded, proven) = (load.id.clone(), prove.id.clone());
        let needs: Vec<StepId> = first.needs.iter().chain(&last.needs).filter(|need| **need != first.id).cloned().collect();
        for lowered in &mut nodes {
            lowered.needs.get_or_insert_with(|| needs.clone());
        }
        if let Some(prepare) = prepare {
            let after = std::mem::replace(&mut before, vec![(prepare.id.clone(), Edge::OnProduct)]);
            nodes.push(Lowered { node: prepare, after, needs: Some(needs) });
        }
        nodes.push(Lowered::part(load, before));
        nodes.push(Lowered::part(prove, vec![(loaded, Edge::OnProduct)]));
        let swapped = swap.as_ref().map_or_else(|| proven.clone(), |swap| swap.id.clone());
        let stopped = late.last().map(|lowered| (lowered.node.id.clone(), Edge::OnProduct));
        nodes.extend(late.into_iter().enumerate().map(|(index, mut hook)| {
            hook.after.extend((index == 0).then(|| (proven.clone(), Edge::OnProduct)));
            Lowered { needs: Some(Vec::new()), ..hook }
        }));
        nodes.extend(swap.map(|swap| Lowered::part(swap, std::iter::once((proven, Edge::OnProduct)).chain(stopped).collect())));
        nodes.push(Lowered::part(finish, always));
        nodes.extend(parts.after(&swapped, work));
        nodes
    }

    /// What has the database's name, unless a step before the restore may change that.
    fn seen(&self, last: &Step, facts: Option<&TargetFacts>) -> Option<Seen> {
        let changes = |step: &Step| match &step.params {
            Params::Restore(_) | Params::Command(_) => true,
            Params::Sql(sql) => sql.query.is_none(),
            _ => false,
        };
        if ancestors(&self.pipeline.steps, last).iter().filter_map(|id| self.pipeline.step(id)).any(changes) {
            return None;
        }
        match &facts?.existing {
            None => Some(Seen { database: None, oldest_table: None }),
            Some(existing) => existing.oid.map(|oid| Seen { database: Some(oid), oldest_table: existing.oldest_table }),
        }
    }

    /// A dump in a file, as it was seen.
    fn file(&self, step: &Step, fetch: &Fetch) -> (FileBack, Option<String>) {
        let found = self.observed.files.get(&step.id).and_then(Reach::facts);
        let file = FileBack {
            path: fetch.file.clone().unwrap_or_default(),
            bytes: found.and_then(|found| found.bytes),
            identity: fetch.identity.clone(),
            passphrase: fetch.passphrase.clone(),
        };
        let size = |found: &FileFacts| found.bytes.map(|size| format!(" ({})", bytes(size))).unwrap_or_default();
        let words = found.map(|found| format!("{}{}: {}", file.path.display(), size(found), found.words()));
        (file, words)
    }

    /// A dump of what is replaced, and its commit: nothing is taken away before both are there.
    pub(super) fn safety(&self, parts: &Parts<'_>) -> Vec<Lowered> {
        // What can only be changed where it is there is dumped even if nobody looked whether it is.
        let (Some(safety), true) = (parts.restore.safety(), parts.existing().is_some() || !parts.makes()) else { return Vec::new() };
        let last = parts.last;
        let upload = safety_upload(safety);
        let mut node =
            node(NodeId::part(&last.id, "safety"), last, Action::Store, Work::Flow(Box::new(safety_flow(parts, upload.clone()))));
        node.target = Some(Target { store: upload.store.clone(), key: self.shown(&upload.key) });
        node.expected_bytes = parts.existing().map(|(bytes, _)| bytes);
        "what is replaced can be had back".clone_into(&mut node.reason);
        node.steps = safety_words(parts, safety);
        let after = vec![(node.id.clone(), Edge::OnSuccess)];
        let mut commit = self.commit(last, std::iter::once(&upload.store), vec![last.id.clone()]);
        commit.id = NodeId::implicit(COMMIT);
        "the safety dump is a restore point of its own".clone_into(&mut commit.reason);
        vec![node.into(), Lowered::part(commit, after)]
    }
}

/// Puts nodes behind those that are there.
fn follow(nodes: &mut Vec<Lowered>, mut more: Vec<Lowered>) {
    if let (Some(first), Some(before)) = (more.first_mut(), nodes.last()) {
        first.after.push((before.node.id.clone(), Edge::OnSuccess));
    }
    nodes.extend(more);
}

fn safety_upload(safety: Safety<'_>) -> PlacedUpload {
    let suffix = safety.encrypt.map_or("", |encrypt| encrypt.suffix());
    PlacedUpload {
        store: safety.store.clone(),
        key: Template(format!("{{{{ pipeline }}}}/{{{{ run.date }}}}/{{{{ run.id }}}}-before.dump.zst{suffix}")),
        secret: false,
        seal: safety.encrypt.cloned().into_iter().collect(),
    }
}

fn safety_flow(parts: &Parts<'_>, upload: PlacedUpload) -> Flow {
    let (last, restore) = (parts.last, parts.restore);
    let dump = Dump { database: restore.database.clone(), ..Dump::whole(&restore.connection) };
    let compress = Filter::Compress(Compress { codec: CodecChoice::Zstd, level: None, threads: None, long: false });
    let checksum = Filter::Checksum(Checksum { algorithm: Algorithm::Sha256, sidecar: true });
    let encrypt = upload.seal.iter().cloned().map(Filter::Encrypt);
    let stages = [compress, checksum].into_iter().chain(encrypt).map(|filter| staged(last, Stage::Apply(filter)));
    Flow { stages: stages.collect(), source: staged(last, Source::Dump(dump)), sink: staged(last, Sink::Upload(upload)) }
}

fn safety_words(parts: &Parts<'_>, safety: Safety<'_>) -> Vec<StepWords> {
    let encrypt = safety.encrypt.map(|_| parts.words("encrypt", "as asked"));
    let name = parts.facts.map_or("what is there", |facts| facts.database.as_str());
    [parts.words("dump", &format!("safety dump of {name}")), parts.words("compress", "zstd level 3"), parts.words("checksum", "sha256")]
        .into_iter()
        .chain(encrypt)
        .chain([parts.words("upload", &format!("to {}", safety.store))])
        .collect()
}

pub(super) struct Parts<'a> {
    pub(super) first: &'a Step,
    pub(super) last: &'a Step,
    pub(super) restore: &'a Restore,
    pub(super) facts: Option<&'a TargetFacts>,
    recalled: Option<Box<Recalled>>,
    now: Option<Timestamp>,
}

impl Parts<'_> {
    pub(super) fn words(&self, uses: &str, words: &str) -> StepWords {
        StepWords { id: self.last.id.clone(), uses: uses.to_owned(), words: words.to_owned() }
    }

    pub(super) fn effect(&self, part: &str, action: Action, work: RestoreWork, words: &str) -> Node {
        let effect = Work::Effect(Staged { step: self.last.id.clone(), part: Effect::Restore(Box::new(work)) });
        let mut made = node(NodeId::part(&self.last.id, part), self.last, action, effect);
        made.steps = vec![self.words(part, words)];
        made.reason = match part {
            "hold" => "two restores at once would be none".to_owned(),
            "prepare" => "it gets its name only when it is whole".to_owned(),
            "prove" => "a restore nobody looked at proves little".to_owned(),
            _ => String::new(),
        };
        made
    }

    /// Size and sessions of what has the name now, where it is to be replaced or changed: a restore that is refused takes nothing away.
    fn existing(&self) -> Option<(u64, u64)> {
        let touched = self.restore.replace.is_some() || self.restore.by_scratch();
        self.facts?.existing.as_ref().filter(|_| touched).map(|existing| (existing.bytes, existing.sessions))
    }

    /// Whether it makes a database, and does not only change one.
    const fn makes(&self) -> bool {
        !self.restore.by_scratch() && !matches!(&self.restore.replace, Some(Replace { how: How::InPlace, .. }))
    }

    /// The schema that copies go into.
    pub(super) fn schema(&self) -> String {
        self.recalled.as_ref().map_or_else(|| "restored_<restore point>".to_owned(), |recalled| schema_of(&recalled.run))
    }

    /// The restore point as it was asked for, and, where somebody found it: which, how old its data is, how good it is.
    pub(super) fn point_words(&self) -> String {
        let asked = self.first.params.facts().words();
        let Some(point) = &self.recalled else { return asked };
        let age = self.now.map(|now| now.duration_since(point.artifact.started).unsigned_abs());
        let age = age.map(|age| format!(" {} old,", brief(age))).unwrap_or_default();
        format!("{asked}: {},{age} {}", point.run, point.level)
    }

    pub(super) fn database(&self) -> String {
        let named = self.facts.map(|facts| facts.database.clone()).or_else(|| self.restore.database.clone());
        named.unwrap_or_else(|| format!("the database of {}", self.restore.connection))
    }

    /// The taking of the place.
    pub(super) fn hold(&self, work: RestoreWork) -> Node {
        self.effect(
            "hold",
            Action::Verify,
            work,
            &format!("{} is held against other restores, and must be what this plan saw", self.database()),
        )
    }

    fn words_of_prepare(&self) -> String {
        let building = self.facts.map(|facts| crate::postgres::target::restoring(&facts.database));
        format!("an empty database {} beside {}", building.unwrap_or_default(), self.database()).replace("  ", " ")
    }

    /// What the proof does; of a dump that this program did not make nobody knows what it held.
    fn words_of_proof(&self, known: bool) -> String {
        let analyze = if self.restore.analyze { "gather statistics, " } else { "" };
        let compare = if known { self.restore.depth().words(self.restore) } else { "count rows".to_owned() };
        format!("{analyze}{compare}")
    }

    /// Whether the safety dump is all that will be left of what is replaced.
    fn drops_old(&self) -> bool {
        self.existing().is_some() && self.restore.replace.as_ref().is_some_and(|replace| replace.drop_old)
    }

    /// The programs that run before anything is taken away, one after the other.
    pub(super) fn before(&self) -> Vec<Lowered> {
        let mut nodes: Vec<Lowered> = Vec::new();
        for (index, command) in self.restore.hooks(&self.restore.before).enumerate() {
            let words = command.words();
            let effect = Work::Effect(Staged { step: self.last.id.clone(), part: Effect::Command(command) });
            let made = self.hook(&format!("before-{}", index + 1), effect, &words, "applications must not write to what is taken away");
            let after = nodes.last().map(|lowered| (lowered.node.id.clone(), Edge::OnSuccess));
            let needs = if index == 0 { None } else { Some(Vec::new()) };
            nodes.push(Lowered { node: made, after: after.into_iter().collect(), needs });
        }
        nodes
    }

    /// The programs that run once the database has its name or its rows, and also where that came to nothing, if others ran before.
    pub(super) fn after(&self, swap: &NodeId, work: impl Fn(RestorePart) -> RestoreWork) -> Vec<Lowered> {
        let mut nodes: Vec<Lowered> = Vec::new();
        for (index, command) in self.restore.hooks(&self.restore.after).enumerate() {
            let effect = Effect::Restore(Box::new(work(RestorePart::After(index))));
            let effect = Work::Effect(Staged { step: self.last.id.clone(), part: effect });
            let reason = if self.restore.before.is_empty() { self.done_words() } else { "always: what was stopped is to be started again" };
            let mut made = self.hook(&format!("after-{}", index + 1), effect, &command.words(), reason);
            made.when = When::Always;
            let before = nodes.last().map_or(swap, |lowered| &lowered.node.id).clone();
            nodes.push(Lowered::part(made, vec![(before, Edge::Always)]));
        }
        nodes
    }

    const fn done_words(&self) -> &'static str {
        if self.restore.by_scratch() { "the database is changed" } else { "the database is there" }
    }

    /// A program is run once: nobody but its author knows what it does a second time.
    fn hook(&self, part: &str, work: Work, words: &str, reason: &str) -> Node {
        let mut made = node(NodeId::part(&self.last.id, part), self.last, Action::Act, work);
        made.steps = vec![self.words("command", words)];
        reason.clone_into(&mut made.reason);
        made.retry.attempts = 1;
        made
    }

    /// The flow from a file into the database.
    fn load_file(&self, (file, words): (FileBack, Option<String>)) -> Node {
        let mut made = self.loading(Source::File(file), Vec::new());
        if let (Some(step), Some(words)) = (made.steps.first_mut(), words) {
            step.words = words;
        }
        made
    }

    /// The flow from the store into the database.
    fn load(&self, back: WayBack) -> Node {
        let WayBack { read, stages, target, expected } = back;
        let stages = stages.into_iter().map(|undo| staged(self.first, Stage::Undo(undo))).collect();
        let mut made = self.loading(Source::Fetch(read), stages);
        made.target = Some(target);
        made.expected_bytes = expected;
        made
    }

    fn loading(&self, source: Source, stages: Vec<Staged<Stage>>) -> Node {
        let sink = Sink::Load(Box::new(LoadTarget { artifact: self.first.id.clone(), with: self.restore.clone() }));
        let flow = Flow { source: staged(self.first, source), stages, sink: staged(self.last, sink) };
        let mut made = node(NodeId::of(&self.first.id), self.last, Action::Restore, Work::Flow(Box::new(flow)));
        made.steps = steps_back(self.first, &made.work, "");
        if let Some(step) = made.steps.last_mut() {
            *step = self.words("restore", &self.last.params.facts().words());
        }
        if self.restore.in_place() {
            made.action = Action::Replace;
            let size = self.existing().map(|(size, _)| format!(" ({})", bytes(size))).unwrap_or_default();
            made.destroys
                .push(format!("all that the dump holds is dropped from {}{size} and made again, in one transaction", self.database()));
            made.destroys.extend(self.lacks());
            made.destroys.extend(self.unsaved());
        }
        made
    }

    /// What nothing keeps where rows go that were written behind the safety dump.
    pub(super) fn unsaved(&self) -> Option<String> {
        let stop = "stop what writes with `before` (--before)";
        let words = || format!("what is written to {} after its safety dump has begun may be lost: {stop}", self.database());
        (self.restore.safety().is_some() && self.restore.before.is_empty()).then(words)
    }

    /// What the restore point does not have, and the database therefore not any more.
    fn lacks(&self) -> Vec<String> {
        let database = self.database();
        let complete = self.recalled.as_ref().map(|recalled| recalled.artifact.completeness.as_ref());
        let known = complete.flatten().filter(|complete| complete.unchecked.is_none());
        let Some(known) = known else {
            let what = if complete.is_some() { "this restore point" } else { "this dump" };
            return vec![format!("nobody knows whether {what} is whole; what it lacks, {database} has no more")];
        };
        // What the dump does not hold stays where the rest is restored over it; what belongs to an object goes with it.
        let goes_with = |why: Why| matches!(why, Why::Sections | Why::Standby | Why::NoPrivileges | Why::NoOwner);
        let goes = |left: &&LeftOut| !self.restore.in_place() || goes_with(left.why);
        let left_out = known.left_out.iter().filter(goes).cloned().collect();
        let lines = lacking_in_words(&Completeness { left_out, ..known.clone() });
        lines.into_iter().map(|lacks| format!("{database} has no more what the restore point lacks: {lacks}")).collect()
    }

    fn swap(&self, work: RestoreWork) -> Node {
        let database = self.database();
        let Some((size, sessions)) = self.existing() else {
            let mut made = self.effect("swap", Action::Restore, work, &format!("it is named {database}"));
            // A plan that nobody looked for must not read as if nothing could be taken away.
            if let (Some(replace), None) = (&self.restore.replace, self.facts) {
                let fate = if replace.drop_old { "and dropped in the end" } else { "and kept as …_before_<time>" };
                made.action = Action::Replace;
                made.destroys.push(format!("if {database} is there, it is dumped to {} first, {fate}", replace.safety));
            }
            "only a whole database has the name".clone_into(&mut made.reason);
            return made;
        };
        let kept = derived(&database, "_before_<time>");
        let mut made = self.effect("swap", Action::Replace, work, &format!("{database} is swapped in one transaction"));
        let only = "what is written to it after its safety dump has begun is only there";
        made.destroys.push(format!("database {database} ({}) is renamed to {kept}; {only}", bytes(size)));
        made.destroys.extend(self.lacks());
        if sessions > 0 {
            made.destroys
                .push(format!("{} in {database}, now {sessions}, end", if sessions == 1 { "the session" } else { "the sessions" }));
        }
        if self.restore.replace.as_ref().is_some_and(|replace| replace.drop_old) {
            made.destroys.push(format!("{kept} is dropped if the safety dump holds all of it, and only that has it then"));
        }
        "only a whole database has the name".clone_into(&mut made.reason);
        made
    }
}
