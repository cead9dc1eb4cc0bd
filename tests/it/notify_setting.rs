//! What the notification tests share: facts of a run, and secrets with a canary in them.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use runner::ids::RefName;
use runner::secret::{SecretDecl, Secrets};
use runner::step::notify::{Facts, Notify, Outcome};
use runner::store::manifest::{CheckOutcome, Level};

/// The facts of a good run of a pipeline with a Hangul name.
pub(crate) fn good() -> Facts {
    let started = "2026-11-20T02:17:00Z".parse().unwrap();
    Facts {
        pipeline: "주문-야간".parse().unwrap(),
        run: "20261120T021700Z-4f3a9c".parse().unwrap(),
        outcome: Outcome::Success,
        level: Some(Level::Restored),
        started,
        finished: "2026-11-20T02:17:43Z".parse().unwrap(),
        duration: Duration::from_millis(43_210),
        bytes_in: 4_321_000_000,
        bytes_out: 1_234_567_890,
        artifacts: vec![runner::step::notify::ArtifactFact {
            step: "upload".parse().unwrap(),
            store: "offsite".parse().unwrap(),
            key: "주문-야간/a.dump.zst.age".to_owned(),
            bytes: 1_234_567_890,
        }],
        copies: Vec::new(),
        failed_step: None,
        error: None,
        warnings: Vec::new(),
        left_out: Vec::new(),
        tables: Some(42),
        recovery: Some(Duration::from_millis(12_340)),
        recovery_bytes_per_second: Some(350_000_000),
        rto: None,
        host: "db1.example".to_owned(),
        checks: vec![CheckOutcome { check: "row_count users >= 1".to_owned(), passed: true, found: "7".to_owned() }],
    }
}

/// The facts of a run that failed while it uploaded.
pub(crate) fn bad() -> Facts {
    Facts {
        outcome: Outcome::Failure,
        level: None,
        artifacts: Vec::new(),
        failed_step: Some("upload".parse().unwrap()),
        error: Some("offsite: no space <left> & \"quota\" 초과\nsecond line".to_owned()),
        tables: None,
        recovery: None,
        recovery_bytes_per_second: None,
        checks: Vec::new(),
        ..good()
    }
}

/// Secrets from values, each in a file of its own in the folder.
pub(crate) fn secrets(folder: &Path, values: &[(&str, &str)]) -> Secrets {
    let declared = values.iter().map(|(name, value)| {
        let path = folder.join(name);
        std::fs::write(&path, value).unwrap();
        (RefName::new(*name).unwrap(), SecretDecl { env: None, file: Some(path), credential: None, optional: false })
    });
    Secrets::new(declared.collect())
}

/// One secret that is declared and not there.
pub(crate) fn missing(name: &str, optional: bool) -> Secrets {
    let decl = SecretDecl { env: None, file: Some("/nonexistent/secret".into()), credential: None, optional };
    Secrets::new(BTreeMap::from([(RefName::new(name).unwrap(), decl)]))
}

/// A step from JSON, as a pipeline would give it; it must pass its own checks.
pub(crate) fn notify(parameters: serde_json::Value) -> Notify {
    let notify: Notify = serde_json::from_value(parameters).unwrap();
    assert_eq!(notify.problems(), []);
    notify
}
