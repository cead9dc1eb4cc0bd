//! Lowering a restore of tables, rows or data alone: a whole restore into a scratch server, its proof, a safety dump, the change, the finish.
//!
//! The database that is there is touched last of all and by one node, which says what it takes away. Nothing is looked at here.

use super::Action;
use super::Node;
use super::lower::{Lower, Lowered, WayBack, node, staged, steps_back};
use super::restoration::Parts;
use crate::ids::{NodeId, StepId};
use crate::pipeline::When;
use crate::postgres::tables::TableNow;
use crate::step::work::{RestorePart, RestoreScratch, RestoreWork};
use crate::step::{Edge, Effect, Fetch, Flow, Rows, Sink, Source, Stage, Tables, TablesAs, VerifyRestore, Work};
use crate::words::count;

impl Lower<'_> {
    /// The nodes of a restore of tables, rows or data alone.
    pub(super) fn partial(
        &self,
        parts: &Parts<'_>,
        back: WayBack,
        fetch: &Fetch,
        work: &dyn Fn(RestorePart) -> RestoreWork,
    ) -> Vec<Lowered> {
        let needs: Vec<StepId> =
            parts.first.needs.iter().chain(&parts.last.needs).filter(|need| **need != parts.first.id).cloned().collect();
        let globals = parts.restore.globals.then(|| parts.globals(work(RestorePart::Globals)));
        let load = parts.load_scratch(back);
        let prove = parts.prove_scratch(fetch);
        let mut before = vec![(prove.id.clone(), Edge::OnProduct)];
        let loaded = load.id.clone();
        // From the beginning: nobody waits hours for a place that another restore has.
        let hold = parts.restore.changes().then(|| parts.hold(work(RestorePart::Hold)));
        let mut nodes: Vec<Lowered> =
            hold.into_iter().map(|node| Lowered { node, after: Vec::new(), needs: Some(needs.clone()) }).collect();
        let after = nodes.iter().map(|hold| (hold.node.id.clone(), Edge::OnSuccess)).collect();
        nodes.push(Lowered { after, needs: Some(needs), node: load });
        nodes.push(Lowered::part(prove, vec![(loaded, Edge::OnProduct)]));
        if let Some(agree) = parts.agree(work) {
            let after = std::mem::replace(&mut before, vec![(agree.id.clone(), Edge::OnProduct)]);
            nodes.push(Lowered::part(agree, after));
        }
        // What stops applications stops them for the safety dump and the change, and only once it is known what there is to bring.
        for hook in parts.before() {
            let after = before.clone();
            before.push((hook.node.id.clone(), Edge::OnProduct));
            nodes.push(Lowered { after, needs: Some(Vec::new()), ..hook });
        }
        for mut lowered in self.safety(parts) {
            // Only once the restore point is proven is there anything to be safe from.
            lowered.needs = Some(Vec::new());
            lowered.after.extend(before.iter().cloned());
            before.push((lowered.node.id.clone(), Edge::OnProduct));
            nodes.push(lowered);
        }
        for node in globals.into_iter().chain(parts.changes(work)) {
            let after = before.clone();
            before.push((node.id.clone(), Edge::OnProduct));
            nodes.push(Lowered::part(node, after));
        }
        let words = if parts.restore.changes() { "the scratch server is removed, the lock ends" } else { "the scratch server is removed" };
        let mut finish = parts.effect("finish", Action::Verify, work(RestorePart::Finish), words);
        finish.when = When::Always;
        "always: nothing scratch may stay behind".clone_into(&mut finish.reason);
        let all = nodes.iter().map(|lowered| (lowered.node.id.clone(), Edge::Always)).collect();
        let changed = nodes.last().map(|lowered| lowered.node.id.clone());
        nodes.push(Lowered::part(finish, all));
        nodes.extend(changed.into_iter().flat_map(|changed| parts.after(&changed, work)));
        nodes
    }
}

impl Parts<'_> {
    /// The flow from the store into a scratch server. Its parts are the fetch's: the place is kept under that name.
    fn load_scratch(&self, back: WayBack) -> Node {
        let WayBack { read, stages, target, expected } = back;
        let stages = stages.into_iter().map(|undo| staged(self.first, Stage::Undo(undo)));
        let sink = Sink::Restore(RestoreScratch {
            artifact: self.first.id.clone(),
            server: None,
            jobs: self.restore.jobs,
            major: None,
            objective: None,
            compares: self.restore.prove.short().is_none(),
        });
        let flow = Flow { source: staged(self.first, Source::Fetch(read)), stages: stages.collect(), sink: staged(self.first, sink) };
        let mut made = node(NodeId::of(&self.first.id), self.last, Action::Verify, Work::Flow(Box::new(flow)));
        made.steps = steps_back(self.first, &made.work, "into a scratch server");
        if let Some(step) = made.steps.last_mut() {
            step.id = self.last.id.clone();
        }
        made.target = Some(target);
        made.expected_bytes = expected;
        made.reason = format!("restores {}", self.point_words());
        made
    }

    fn prove_scratch(&self, fetch: &Fetch) -> Node {
        let verify = VerifyRestore {
            identity: fetch.identity.clone(),
            passphrase: fetch.passphrase.clone(),
            jobs: self.restore.jobs,
            prove: self.restore.prove,
            ..VerifyRestore::default()
        };
        let words = verify.words_of_checks();
        let check = Work::Effect(staged(self.first, Effect::Check(Box::new(verify))));
        let mut made = node(NodeId::part(&self.last.id, "prove"), self.last, Action::Verify, check);
        made.steps = vec![self.words("prove", &words)];
        "a restore nobody looked at proves little".clone_into(&mut made.reason);
        made
    }

    /// The look at the tables that are to be changed.
    fn agree(&self, work: &dyn Fn(RestorePart) -> RestoreWork) -> Option<Node> {
        self.restore.tables.as_ref().filter(|tables| tables.mode != TablesAs::Copy)?;
        let mut made = self.effect("agree", Action::Verify, work(RestorePart::Agree), "the tables have the columns that they had");
        "what can not be brought is told before anything is dumped or stopped".clone_into(&mut made.reason);
        Some(made)
    }

    /// What is done with the scratch server's content.
    fn changes(&self, work: &dyn Fn(RestorePart) -> RestoreWork) -> Vec<Node> {
        let tables = self.restore.tables.iter().map(|tables| self.transfer(tables, work(RestorePart::Transfer)));
        let rows = self.restore.rows.iter().flat_map(|rows| {
            let apply = rows.apply.then(|| self.apply(rows, work(RestorePart::Apply)));
            std::iter::once(self.patch(rows, work(RestorePart::Patch))).chain(apply)
        });
        let data = self.restore.data_only.then(|| self.fill(work(RestorePart::Fill)));
        tables.chain(rows).chain(data).collect()
    }

    fn fill(&self, work: RestoreWork) -> Node {
        let replaces = self.restore.replace.is_some();
        let action = if replaces { Action::Replace } else { Action::Restore };
        let analyze = if self.restore.analyze { ", then gather statistics" } else { "" };
        let words = "all rows, sequence values and large objects, in one transaction, compared before it counts";
        let mut made = self.effect("fill", action, work, &format!("{words}{analyze}"));
        let now = self.facts.map(|facts| facts.tables.as_slice()).unwrap_or_default();
        if replaces && now.is_empty() {
            made.destroys.push(format!("all rows of the tables of {} that the restore point has too go", self.database()));
        } else if replaces {
            let names: Vec<String> = now.iter().filter(|table| table.rows != Some(0)).map(|table| table.given.clone()).collect();
            made.destroys = self.each(&names, "if the restore point has it, all rows go, and those of the restore point come");
        }
        made.destroys.extend(self.unsaved().filter(|_| replaces));
        "the restore point is proven".clone_into(&mut made.reason);
        made
    }

    fn transfer(&self, tables: &Tables, work: RestoreWork) -> Node {
        let (action, words) = match tables.mode {
            TablesAs::Copy => (Action::Restore, format!("copies of {} in a new schema {}", tables.names.join(", "), self.schema())),
            TablesAs::Merge => (Action::Act, format!("rows that are missing or differ, in one transaction{}", self.then_analyze())),
            TablesAs::Replace => (Action::Act, format!("exactly the restore point's rows, in one transaction{}", self.then_analyze())),
        };
        let mut made = self.effect("bring", action, work, &words);
        made.destroys = match tables.mode {
            TablesAs::Copy => Vec::new(),
            TablesAs::Merge => self.each(&tables.names, "rows that differ are set back, and missing ones inserted"),
            TablesAs::Replace => self.each(&tables.names, "all rows go, and those of the restore point come"),
        };
        made.destroys.extend(self.unsaved().filter(|_| tables.mode != TablesAs::Copy));
        "the restore point is proven".clone_into(&mut made.reason);
        made
    }

    const fn then_analyze(&self) -> &'static str {
        if self.restore.analyze { "; then gather statistics" } else { "" }
    }

    fn patch(&self, rows: &Rows, work: RestoreWork) -> Node {
        let file = rows.patch.as_ref().map_or_else(|| format!("{}-<run.id>.sql", self.database()), |path| path.display().to_string());
        let mut made = self.effect("patch", Action::Restore, work, &format!("the difference to {} as SQL in {file}", self.database()));
        "somebody should read it first".clone_into(&mut made.reason);
        made
    }

    fn apply(&self, rows: &Rows, work: RestoreWork) -> Node {
        let mut made = self.effect("apply", Action::Act, work, &format!("the patch, on {}, in one transaction", self.database()));
        let deletes = if rows.with_deletes { ", those that came since are deleted" } else { "" };
        let what = format!("are set back or inserted{deletes}");
        made.destroys = rows
            .of
            .iter()
            .map(|of| {
                let which = if of.filter.trim().eq_ignore_ascii_case("true") { String::new() } else { format!(" where {}", of.filter) };
                format!("{}: rows{which} {what}", self.named(&of.table))
            })
            .collect();
        "the patch is applied at once, as asked".clone_into(&mut made.reason);
        made
    }

    fn each(&self, names: &[String], what: &str) -> Vec<String> {
        names.iter().map(|name| format!("table {}: {what}", self.named(name))).collect()
    }

    /// A table as it is called there, with its rows.
    fn named(&self, given: &str) -> String {
        let found = self.facts.and_then(|facts| facts.tables.iter().find(|table| table.given == given));
        let Some(TableNow { table: Some(table), rows, about, .. }) = found else { return given.to_owned() };
        let about = if *about { "about " } else { "" };
        let rows = rows.map(|rows| format!(" ({about}{} now)", count(rows, "row"))).unwrap_or_default();
        format!("{table}{rows}")
    }

    /// Roles and tablespaces first.
    pub(super) fn globals(&self, work: RestoreWork) -> Node {
        let mut made =
            self.effect("globals", Action::Act, work, "roles and tablespaces that are missing; those that are there are left alone");
        "owners and rights need their roles".clone_into(&mut made.reason);
        made
    }
}
