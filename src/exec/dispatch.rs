//! The dispatcher: the one place that changes the state of a run, and the one voice that tells of it.
//!
//! It wakes when a worker ends or a tick passes: starts what is ready, looks at limits, passes on a request to stop. The ledger
//! is written before dependents start, so that whoever tells of the run sees all that came before.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use jiff::Timestamp;

use super::attempt::Attempt;
use super::backoff;
use super::board::{Board, Stand, Verdict};
use super::receipt::{Before, RECEIPT_VERSION, Receipt, Receipts};
use crate::diagnostic::{Class, Failure};
use crate::event::{Event, Outcome, State, Subscriber, What};
use crate::pipeline::{OnFailure, When};
use crate::plan::{Action, Node, Plan};
use crate::runtime::{NodeRecord, Runtime};
use crate::step::{StepError, fault};

/// How often limits and requests to stop are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Every how many ticks progress is told.
const PROGRESS: u32 = 5;

/// How a plan is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Nodes that may run at once.
    pub parallel: usize,
    /// Why the plan can not be applied: then nothing is done but what runs after failures, so that somebody hears of it.
    pub refused: Option<Failure>,
    /// What earlier processes of this run have done; `None` for a run that begins.
    pub before: Option<Before>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// Why, for the exit code: the first failure that was not only a consequence.
    pub failure: Option<Failure>,
    /// How long it took.
    pub took: Duration,
}

struct Done {
    node: usize,
    result: Result<(), StepError>,
}

/// Runs a plan to its end, telling the subscriber of every event and keeping a receipt of each node.
///
/// # Errors
/// Only the subscriber's own, and those of keeping receipts: a run whose journal can not be written is stopped, and what it started
/// is undone first.
pub fn run(
    plan: &Plan,
    runtime: &Runtime,
    options: Options,
    subscriber: &mut dyn Subscriber,
    receipts: &mut dyn Receipts,
) -> std::io::Result<Ended> {
    let (give, take) = unbounded();
    std::thread::scope(|scope| {
        let attempts = plan.nodes.iter().map(|_| None).collect();
        let began = plan.nodes.iter().map(|_| None).collect();
        let board = Board::new(plan).behind(options.before.as_ref().map_or(&[], |before| &before.kept));
        let mut dispatch = Dispatch {
            plan,
            runtime,
            options,
            subscriber,
            receipts,
            board,
            attempts,
            began,
            give,
            failure: None,
            broken: None,
            started: Instant::now(),
        };
        dispatch.recall();
        dispatch.tell_start();
        dispatch.refuse();
        dispatch.run(scope, &take);
        dispatch.end()
    })
}

struct Dispatch<'a, 's> {
    plan: &'a Plan,
    runtime: &'a Runtime,
    options: Options,
    subscriber: &'s mut dyn Subscriber,
    receipts: &'s mut dyn Receipts,
    board: Board<'a>,
    attempts: Vec<Option<Attempt>>,
    /// When each node's first attempt began.
    began: Vec<Option<Instant>>,
    give: Sender<Done>,
    failure: Option<Failure>,
    /// The subscriber's error, which stops the run.
    broken: Option<std::io::Error>,
    started: Instant,
}

impl<'a> Dispatch<'a, '_> {
    fn run<'scope>(&mut self, scope: &'scope std::thread::Scope<'scope, '_>, take: &Receiver<Done>)
    where
        'a: 'scope,
    {
        let mut ticks = 0_u32;
        while !self.board.is_done() {
            self.start_ready(scope);
            self.unstick();
            match take.recv_timeout(TICK) {
                Ok(done) => self.attempt_ended(done),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    ticks = ticks.wrapping_add(1);
                    self.tick(ticks.is_multiple_of(PROGRESS));
                }
            }
        }
    }

    /// Enters into the ledger what earlier processes of this run have done.
    fn recall(&self) {
        for receipt in self.options.before.iter().flat_map(|before| &before.kept) {
            self.runtime.ledger(|ledger| {
                ledger.add(receipt.added.clone());
                ledger.nodes.push(receipt.record());
            });
        }
    }

    /// Ends all that waits for success: the first node for the reason why nothing can be done, the rest because of it.
    fn refuse(&mut self) {
        let Some(refused) = self.options.refused.clone() else { return };
        self.failure = Some(refused.clone());
        let mut first = Some(refused);
        // Where nothing is done there is nothing to put right either: only the telling is left.
        let left_out = |node: &Node| node.when == When::Success || matches!(node.action, Action::Act | Action::Ask | Action::Prune);
        for index in (0..self.plan.nodes.len()).filter(|index| left_out(&self.plan.nodes[*index])).collect::<Vec<_>>() {
            if let Some(refused) = first.take() {
                self.node_ended(index, State::Failed, Some(refused));
            } else {
                let message = format!("the plan of {} can not be applied", self.plan.pipeline);
                self.node_ended(index, State::NotRun, Some(Failure { class: Class::Failed, message, hint: None }));
            }
        }
    }

    fn start_ready<'scope>(&mut self, scope: &'scope std::thread::Scope<'scope, '_>)
    where
        'a: 'scope,
    {
        let cancelled = self.stopping();
        if cancelled {
            self.drop_retries();
        }
        // Ending one node without running it may make others ready.
        loop {
            let ready = self.board.ready(cancelled);
            let mut ended_any = false;
            for (node, verdict) in ready {
                match verdict {
                    Verdict::Run if self.running() < self.options.parallel => self.start(node, 1, scope),
                    Verdict::Run => {}
                    Verdict::End(state, why) => {
                        ended_any = true;
                        self.node_ended(node, state, Some(Failure { class: Class::Failed, message: why, hint: None }));
                    }
                }
            }
            if !ended_any {
                break;
            }
        }
        for (node, number) in self.board.due(Instant::now()) {
            if self.running() < self.options.parallel {
                self.start(node, number, scope);
            }
        }
    }

    /// Ends what can never start: a plan in which nodes wait for each other is a defect, and must not hang.
    fn unstick(&mut self) {
        let moving = self.board.stands.iter().any(|stand| matches!(stand, Stand::Running | Stand::Retry(..)));
        if moving || self.board.is_done() {
            return;
        }
        for index in 0..self.plan.nodes.len() {
            if self.board.stands[index] == Stand::Waiting {
                let message = format!("`{}` waits for itself in this plan", self.plan.nodes[index].id);
                let failure = Failure { class: Class::Internal, message, hint: None };
                self.failure.get_or_insert_with(|| failure.clone());
                self.node_ended(index, State::Failed, Some(failure));
            }
        }
    }

    fn running(&self) -> usize {
        self.board.stands.iter().filter(|stand| **stand == Stand::Running).count()
    }

    fn start<'scope>(&mut self, index: usize, number: u32, scope: &'scope std::thread::Scope<'scope, '_>)
    where
        'a: 'scope,
    {
        let node = &self.plan.nodes[index];
        self.began[index].get_or_insert_with(Instant::now);
        self.board.stands[index] = Stand::Running;
        let words = node.steps.iter().map(|step| format!("{}: {}", step.uses, step.words)).collect();
        let attempts = node.retry.attempts;
        self.tell(What::NodeStarted { node: node.id.clone(), attempt: number, attempts, words, expected_bytes: node.expected_bytes });
        let attempt = Attempt::new(node, number);
        let (work, give) = (attempt.work(node, self.runtime), self.give.clone());
        self.attempts[index] = Some(attempt);
        // The dispatcher outlives the scope's workers, so a lost message can not happen.
        scope.spawn(move || drop(give.send(Done { node: index, result: work() })));
    }

    fn attempt_ended(&mut self, done: Done) {
        let node = &self.plan.nodes[done.node];
        let number = self.attempts[done.node].as_ref().map_or(1, |attempt| attempt.number);
        match done.result {
            Ok(()) => self.node_ended(done.node, State::Done, None),
            Err(error) if error.transient && number < node.retry.attempts && !self.stopping() => self.retry(done.node, number, &error),
            Err(error) => {
                let warn = node.on_failure == OnFailure::Warn;
                if !warn && self.failure.is_none() {
                    self.failure = Some(error.failure());
                }
                self.node_ended(done.node, if warn { State::Warned } else { State::Failed }, Some(error.failure()));
            }
        }
    }

    fn retry(&mut self, index: usize, number: u32, error: &StepError) {
        let node = &self.plan.nodes[index];
        let wait = backoff::wait(&node.retry, number, backoff::random());
        self.board.stands[index] = Stand::Retry(Instant::now() + wait, number + 1);
        self.tell(What::AttemptFailed { node: node.id.clone(), attempt: number, error: error.failure(), retry_in: wait });
    }

    /// Records and tells that a node has ended.
    fn node_ended(&mut self, index: usize, state: State, error: Option<Failure>) {
        let node = &self.plan.nodes[index];
        let took = self.began[index].map_or(Duration::ZERO, |began| began.elapsed());
        let attempt = self.attempts[index].take();
        let stages = attempt.as_ref().map(|attempt| attempt.counts(node)).unwrap_or_default();
        let notes = attempt.map(|attempt| attempt.reports.notes()).unwrap_or_default();
        self.board.stands[index] = Stand::Ended(state);
        let real = matches!(state, State::Failed | State::Warned);
        let record = NodeRecord {
            node: node.id.clone(),
            good: state.lets_others_run() && !real,
            warn_only: state == State::Warned,
            took,
            error: error.as_ref().filter(|_| real).map(|failure| failure.message.clone()),
            fault: error.as_ref().filter(|_| real).map(|failure| fault(failure.class)),
        };
        self.runtime.ledger(|ledger| ledger.nodes.push(record));
        // Before its end is told: what was told to have ended never runs again.
        self.keep(index, state, took, error.as_ref().filter(|_| real));
        self.tell(What::NodeEnded { node: node.id.clone(), state, took, stages, error, notes });
    }

    /// Keeps a receipt of a node that ended so that others may run.
    fn keep(&mut self, index: usize, state: State, took: Duration, error: Option<&Failure>) {
        if !state.lets_others_run() || self.options.refused.is_some() {
            return;
        }
        let node = &self.plan.nodes[index];
        let steps: Vec<_> = node.work.steps().into_iter().chain(node.steps.iter().map(|words| &words.id)).collect();
        let receipt = Receipt {
            version: RECEIPT_VERSION,
            run: self.runtime.facts.run.clone(),
            node: node.id.clone(),
            state,
            took,
            ended: Timestamp::now(),
            error: error.map(|error| error.message.clone()),
            added: self.runtime.ledger(|ledger| ledger.added_by(&steps)),
        };
        if let Err(error) = self.receipts.keep(&receipt) {
            self.stop(error);
        }
    }

    /// Looks at limits and requests to stop, and now and then tells of progress.
    fn tick(&mut self, progress: bool) {
        let stop = self.runtime.cancel.check().err();
        let abort = self.runtime.abort.check().err();
        let mut told = Vec::new();
        for (node, attempt) in self.plan.nodes.iter().zip(&mut self.attempts) {
            let Some(attempt) = attempt else { continue };
            attempt.limit(node);
            let reason = if node.when == When::Success { stop.as_ref().or(abort.as_ref()) } else { abort.as_ref() };
            if let Some(reason) = reason {
                attempt.cancel.cancel(stopped(reason), false);
            }
            let stages = attempt.counts(node);
            if progress && !stages.is_empty() {
                told.push(What::Progress { node: node.id.clone(), stages });
            }
        }
        for what in told {
            self.tell(what);
        }
    }

    /// Nothing is tried again once the run is to stop.
    fn drop_retries(&mut self) {
        for index in 0..self.board.stands.len() {
            if let Stand::Retry(..) = self.board.stands[index] {
                let error =
                    Failure { class: Class::Cancelled, message: "the run was stopped before the next attempt".to_owned(), hint: None };
                let warn = self.plan.nodes[index].on_failure == OnFailure::Warn;
                self.node_ended(index, if warn { State::Warned } else { State::Failed }, Some(error));
            }
        }
    }

    fn stopping(&self) -> bool {
        self.broken.is_some() || self.runtime.cancel.check().is_err()
    }

    fn tell_start(&mut self) {
        let facts = &self.runtime.facts;
        if let Some(before) = &self.options.before {
            let done = before.kept.iter().map(|receipt| receipt.node.clone()).collect();
            let (runner, host) = (facts.runner.clone(), facts.host.clone());
            return self.tell(What::RunResumed { runner, host, pid: std::process::id(), done });
        }
        self.tell(What::RunStarted {
            pipeline: facts.pipeline.clone(),
            source_sha256: facts.source_sha256.clone(),
            runner: facts.runner.clone(),
            host: facts.host.clone(),
            pid: std::process::id(),
            nodes: self.plan.nodes.iter().map(|node: &Node| node.id.clone()).collect(),
        });
    }

    fn tell(&mut self, what: What) {
        let event = Event { at: Timestamp::now(), run: self.runtime.facts.run.clone(), what };
        if let Err(error) = self.subscriber.notice(&event) {
            self.stop(error);
        }
    }

    /// Stops a run of which nothing can be kept any more.
    fn stop(&mut self, error: std::io::Error) {
        if self.broken.is_none() {
            self.runtime.cancel.cancel(format!("what the run does can not be kept: {error}"), false);
            self.broken = Some(error);
        }
    }

    fn end(mut self) -> std::io::Result<Ended> {
        let ended = |state| self.board.stands.contains(&Stand::Ended(state));
        let outcome = match self.runtime.cancel.check() {
            Err(_) => Outcome::Cancelled,
            Ok(()) if ended(State::Failed) => Outcome::Failed,
            Ok(()) if ended(State::Warned) => Outcome::Warned,
            Ok(()) => Outcome::Done,
        };
        let took = self.started.elapsed() + self.options.before.as_ref().map_or(Duration::ZERO, |before| before.worked);
        let left = self.left();
        let level = self.runtime.ledger(|ledger| ledger.level()).map(|level| level.to_string());
        self.tell(What::RunEnded { outcome, took, left, level });
        self.broken.map_or(Ok(Ended { outcome, failure: self.failure, took }), Err)
    }

    /// Objects that were stored and never committed, as far as is known.
    fn left(&self) -> Vec<String> {
        self.runtime.ledger(|ledger| {
            if ledger.committed.is_some() {
                return Vec::new();
            }
            let what = if ledger.unconfirmed {
                "stored, and its commit was not confirmed: `runner list` tells whether it is a restore point"
            } else {
                "stored but not committed, so it is no restore point"
            };
            ledger.artifacts.values().map(|artifact| format!("{} in {}: {what}", artifact.object.key, artifact.store)).collect()
        })
    }
}

/// The bare reason of a request to stop.
fn stopped(error: &crate::stream::StreamError) -> String {
    match error {
        crate::stream::StreamError::Cancelled { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}
