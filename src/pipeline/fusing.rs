//! What fusing makes of the order: steps that could follow each other one by one, but not once a stream is one pass.
//!
//! A chain runs as one node, and what needs an upload waits for the commit of them all. A circle between these is
//! found here, as the planner would find it. This file does not fuse anything itself.

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::check::at;
use super::model::{Chain, Step, When};
use crate::diagnostic::Diagnostic;
use crate::document::Document;
use crate::ids::StepId;
use crate::step::{Kind, Params, Touch};

/// Finds circles among passes, and steps of a pass that ask for what only a whole pass can have.
pub(super) fn check(document: &Document, steps: &[Step], chains: &[Chain], out: &mut Vec<Diagnostic>) {
    let fused = Fused { document, steps, chains };
    let circles = fused.circles();
    if circles.is_empty() {
        for chain in chains {
            out.extend(members(chain).filter_map(|index| fused.timing(index)));
        }
    }
    out.extend(circles.iter().map(|circle| fused.explain(circle)));
    let streams = |step: &Step| matches!(step.params.kind(), Kind::Source(_) | Kind::Filter(_));
    let acts = |step: &Step| matches!(step.params.kind(), Kind::Effect(effect) if effect.touch() != Touch::Tells);
    // A runbook stores nothing on purpose.
    let recalls = steps.iter().any(|step| step.params.facts().point().is_some());
    let is_runbook = recalls || steps.iter().any(acts) && !steps.iter().any(streams);
    if chains.is_empty() && !is_runbook && !steps.iter().any(|step| matches!(step.params.kind(), Kind::Sink(_))) {
        let message = "this pipeline stores nothing: it has no `upload`";
        out.push(at(document, "stores-nothing", "/steps", message).warning().help("add a `dump` and an `upload`"));
    }
}

/// The steps of a chain, first to last.
fn members(chain: &Chain) -> impl Iterator<Item = usize> {
    std::iter::once(chain.source).chain(chain.filters.iter().copied()).chain([chain.sink])
}

struct Fused<'a> {
    document: &'a Document,
    steps: &'a [Step],
    chains: &'a [Chain],
}

/// What becomes one node, or a verification's several: a chain by its position, or a step by its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Pass(usize),
    Step(usize),
    Commit,
}

impl Fused<'_> {
    fn part(&self, step: usize) -> Part {
        let pass = self.chains.iter().position(|chain| members(chain).any(|member| member == step));
        pass.map_or(Part::Step(step), Part::Pass)
    }

    /// Whether a pass ends in an object of a store.
    fn stores(&self, pass: usize) -> bool {
        self.chains.get(pass).is_some_and(|chain| matches!(self.steps[chain.sink].params, Params::Upload(_)))
    }

    fn index(&self, id: &StepId) -> Option<usize> {
        self.steps.iter().position(|step| step.id == *id)
    }

    /// What a step waits for, as the planner links it.
    fn waits(&self, step: usize) -> Vec<(Part, Part)> {
        let own = self.part(step);
        let needs = self.steps[step].needs.iter().filter_map(|need| self.index(need)).map(|need| self.part(need));
        // Only what is stored has a commit to wait for.
        let seen = |part: Part| match (own, part) {
            (Part::Step(_), Part::Pass(pass)) if self.stores(pass) => Part::Commit,
            _ => part,
        };
        needs.filter(|part| *part != own).map(|part| (own, seen(part))).collect()
    }

    /// Circles of parts that wait for each other; plain circles of steps have been told before.
    fn circles(&self) -> Vec<Vec<Part>> {
        let mut graph: DiGraph<Part, ()> = DiGraph::new();
        let passes = (0..self.chains.len()).map(Part::Pass);
        let alone = (0..self.steps.len()).map(|step| self.part(step)).filter(|part| matches!(part, Part::Step(_)));
        let nodes: Vec<(Part, NodeIndex)> = passes.chain(alone).chain([Part::Commit]).map(|part| (part, graph.add_node(part))).collect();
        let node = |part: Part| nodes.iter().find(|(other, _)| *other == part).map(|(_, index)| *index);
        let commits = (0..self.chains.len()).filter(|chain| self.stores(*chain)).map(|chain| (Part::Commit, Part::Pass(chain)));
        for (from, to) in (0..self.steps.len()).flat_map(|step| self.waits(step)).chain(commits) {
            if let (Some(from), Some(to)) = (node(from), node(to)) {
                graph.update_edge(from, to, ());
            }
        }
        let circles = tarjan_scc(&graph).into_iter().filter(|circle| circle.len() > 1);
        circles.map(|circle| circle.into_iter().map(|node| graph[node]).collect()).collect()
    }

    /// The step of a pass that waits for something else in the circle, and the step it waits for.
    fn culprit(&self, circle: &[Part]) -> Option<(usize, usize)> {
        let inside = |step: usize| circle.contains(&self.part(step));
        let in_pass = (0..self.steps.len()).filter(|step| inside(*step) && matches!(self.part(*step), Part::Pass(_)));
        let mut waits = in_pass.flat_map(|step| {
            let needs = self.steps[step].needs.iter().filter_map(|need| self.index(need));
            needs.filter(|need| matches!(self.part(*need), Part::Step(_))).map(move |need| (step, need))
        });
        waits.find(|(_, need)| inside(*need))
    }

    fn explain(&self, circle: &[Part]) -> Diagnostic {
        let Some((step, need)) = self.culprit(circle) else {
            return at(self.document, "cycle-after-fusing", "/steps", "these steps wait for each other once streams are one pass");
        };
        let (waiting, before) = (&self.steps[step].id, &self.steps[need].id);
        let pass = self.chains.iter().find(|chain| members(chain).any(|member| member == step));
        let names: Vec<&str> = pass.into_iter().flat_map(members).map(|member| self.steps[member].id.as_str()).collect();
        let message = format!(
            "`{waiting}` waits for `{before}`, and `{before}` waits for the restore point, which `{waiting}` is a part of: \
             `{}` run as one pass, and the restore point is made when every pass has ended",
            names.join(" → ")
        );
        let range = self.document.span(&format!("/steps/{need}/id")).map(|span| span.value.clone()).unwrap_or_default();
        let diagnostic =
            at(self.document, "cycle-after-fusing", &format!("/steps/{step}/id"), message).label(range, "it would have to wait here");
        let uploads = self.chains.iter().map(|chain| &self.steps[chain.sink].id).collect::<Vec<_>>();
        let other = uploads.iter().find(|id| pass.is_none_or(|pass| self.steps[pass.sink].id != ***id));
        diagnostic.help(match (other, pass.is_some_and(|pass| pass.source == step)) {
            (Some(other), true) => {
                format!("let `{waiting}` need `{other}`, or nothing: `needs: []`; and put `{before}` behind every upload")
            }
            (None, true) => format!("put `{before}` behind the upload"),
            (_, false) => format!("take `{before}` out of the `needs` of `{waiting}`, and put it behind the upload"),
        })
    }

    /// A pass runs when what it waits for has succeeded; none of its steps can ask for anything else.
    fn timing(&self, index: usize) -> Option<Diagnostic> {
        let step = &self.steps[index];
        if step.when == When::Success {
            return None;
        }
        let message = format!("`{}` is part of a stream, which runs only when the steps before it succeeded", step.id);
        let help = match &step.params {
            Params::Upload(_) => "a backup of a failed run proves nothing; remove `when`",
            _ => "remove `when`; only `notify` and `verify-restore` have a use for it",
        };
        Some(at(self.document, "when-in-stream", &format!("/steps/{index}/when"), message).help(help))
    }
}
