//! `runner`: declarative, reviewable PostgreSQL backups with proof of restore.
//!
//! This page is the architecture. Four ideas hold everything else:
//!
//! 1. **The plan is the program.** [`plan::plan`] is a pure function of a pipeline, of what was observed, and of the time. `runner plan`
//!    prints its result and `runner apply` executes the very same value; there is no dry run that could differ.
//! 2. **One pass.** A chain source → filters → sink is fused into one streaming node: no temp files, bounded memory, every core
//!    busy. The node is the unit that is retried.
//! 3. **End-of-file is a claim; completion verifies it.** A [`stream::Stream`] ends only after every process in it exited 0 and every
//!    count and tag agreed. The manifest, written last and never overwritten, is the commit. No manifest, no restore point.
//! 4. **Levels of truth.** A restore point has a [`store::manifest::Level`], and each is earned.
//!
//! # From text to bytes
//!
//! ```text
//! text ─document::recover→ Document{source, value, pointer→span} ─expand→ ─check(schema)→ all Diagnostics at once
//!      ─pipeline::load→ Pipeline (typed, total; secrets are references)
//!      ─observe→ Observed ─┐
//!      plan(&Pipeline, &Observed, now) ◄─┘ → Plan{nodes, edges, findings}            pure
//!         ├─ render::plan::{human, markdown}, JSON is the plan itself                pure
//!         └─ exec::run(&Plan, &Runtime, &mut dyn Subscriber) → Events → journal, progress; manifest last
//! ```
//!
//! # Rooms
//!
//! Modules form no circle; `tests/it/layers.rs` holds who may import whom.
//!
//! | room | owns | never |
//! |---|---|---|
//! | [`diagnostic`], [`ids`], [`quantity`], [`secret`], [`template`], [`event`], [`words`] | the vocabulary | knows steps or the command line |
//! | [`stream`] | bytes: checked ends, taps, codecs, child processes | knows steps or stores |
//! | [`archive`] | what a dump holds, read as it flows: inventory, row digests, comparison | knows servers |
//! | [`document`] | text, spans, expansion, schema errors | knows typed steps |
//! | [`store`] | local and S3 objects, manifests, receipts | knows plans, prints |
//! | [`postgres`] | connection facts, tool versions, throw-away servers | knows steps |
//! | [`runtime`] | the live things of one run, and its ledger | holds options |
//! | [`drift`] | how two restore points differ, and what of it is suspicious | opens anything, reads clocks |
//! | [`retention`] | which restore points stay, which go, and why | opens anything, reads clocks |
//! | [`status`] | how a pipeline stands against its objectives | opens anything, reads clocks |
//! | [`step`] | the kinds: parameters, docs, how each opens | schedules, retries |
//! | [`pipeline`] | the schema and the validated model | reads clock or environment |
//! | [`mod@plan`] | lowering, fusion, actions and reasons | opens anything |
//! | [`observe`] | looking before planning | judges or writes |
//! | [`exec`] | ready nodes, retry, limits, stopping | knows a kind, prints |
//! | [`journal`], [`render`] | events on disk; words and JSON | decide |
//! | [`cli`] | arguments, exit codes, the terminal | holds logic |
//!
//! A new kind of step is one file in `src/step/`, one row in `kinds!`, its test, and the regenerated schema.

pub mod archive;
pub mod cli;
pub mod diagnostic;
pub mod document;
pub mod drift;
pub mod event;
pub mod exec;
pub mod ids;
pub mod journal;
pub mod observe;
pub mod pipeline;
pub mod plan;
pub mod postgres;
pub mod quantity;
pub mod render;
pub mod retention;
pub mod runtime;
pub mod secret;
pub mod status;
pub mod step;
pub mod store;
pub mod stream;
pub mod template;
pub mod words;
