//! Invented facts, one set for each way a run can end, to try templates on before any run needs them.
//!
//! This module does not appear in any notification.

use std::time::Duration;

use jiff::Timestamp;

use super::facts::{ArtifactFact, CopyFact, Facts, Outcome};
use crate::ids::{IdError, PipelineName, RefName, RunId, StepId};
use crate::store::manifest::{CheckOutcome, Level};

/// Facts of a good run, a run with warnings, a failed run and a cancelled run.
pub(super) fn each_outcome() -> Result<[Facts; 4], IdError> {
    let (good, bad) = (good()?, bad()?);
    let warning = Facts { outcome: Outcome::Warning, warnings: vec!["step tell failed".to_owned()], ..good.clone() };
    let cancelled = Facts { outcome: Outcome::Cancelled, error: Some("cancelled: SIGTERM".to_owned()), ..bad.clone() };
    Ok([good, warning, bad, cancelled])
}

fn good() -> Result<Facts, IdError> {
    let artifact = ArtifactFact {
        step: StepId::new("upload")?,
        store: RefName::new("offsite")?,
        key: "orders-nightly/2026-11-20/20261120T021700Z-4f3a9c.dump.zst.age".to_owned(),
        bytes: 1_234_567_890,
    };
    let copy = CopyFact {
        step: StepId::new("far")?,
        store: RefName::new("glacier")?,
        run: RunId::starting(Timestamp::constant(1_795_141_020, 0), [0x4f, 0x3a, 0x9c]),
        bytes: 1_234_567_890,
    };
    let check = CheckOutcome { check: "select count(*) > 0 from users".to_owned(), passed: true, found: "true".to_owned() };
    Ok(Facts {
        outcome: Outcome::Success,
        level: Some(Level::Restored),
        bytes_in: 4_321_000_000,
        bytes_out: 1_234_567_890,
        artifacts: vec![artifact],
        copies: vec![copy],
        left_out: vec!["2 tables excluded by filter: public.audit, public.tmp".to_owned()],
        tables: Some(42),
        recovery: Some(Duration::from_secs(12)),
        recovery_bytes_per_second: Some(360_000_000),
        rto: Some(Duration::from_hours(1)),
        checks: vec![check],
        failed_step: None,
        error: None,
        ..bad()?
    })
}

fn bad() -> Result<Facts, IdError> {
    let started = Timestamp::constant(1_795_141_020, 0);
    let run = RunId::starting(started, [0x4f, 0x3a, 0x9c]);
    Ok(Facts {
        pipeline: PipelineName::new("orders-nightly")?,
        run,
        outcome: Outcome::Failure,
        level: None,
        started,
        finished: Timestamp::constant(1_795_141_063, 0),
        duration: Duration::from_secs(43),
        bytes_in: 0,
        bytes_out: 0,
        artifacts: Vec::new(),
        copies: Vec::new(),
        failed_step: Some(StepId::new("upload")?),
        error: Some("writing /backups/orders: No space left on device".to_owned()),
        warnings: Vec::new(),
        left_out: Vec::new(),
        tables: None,
        recovery: None,
        recovery_bytes_per_second: None,
        rto: None,
        host: "db1".to_owned(),
        checks: Vec::new(),
    })
}
