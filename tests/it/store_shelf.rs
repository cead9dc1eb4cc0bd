//! Restore points to list, prune, check and heal, made without a database: small objects that are what their manifests say. No test is here.

#![expect(clippy::unwrap_used, reason = "what a test can not be set up without fails it")]

use jiff::{SignedDuration, Timestamp};
use runner::ids::{PipelineName, RunId};
use runner::store::commit::{add_receipt, commit};
use runner::store::kit::{add_kit, add_recipe};
use runner::store::manifest::{Fault, Level, Manifest, Receipt};
use runner::store::{ObjectStore, PutOptions};
use runner::stream::digest::{Algorithm, Digester, sidecar_line};

pub(crate) use crate::apply_support::keys;

/// The pipeline whose points are kept.
pub(crate) const PIPELINE: &str = "주문-야간";

pub(crate) fn pipeline() -> PipelineName {
    PIPELINE.parse().unwrap()
}

/// A moment so many hours ago, to the second.
pub(crate) fn ago(hours: i64) -> Timestamp {
    Timestamp::from_second((Timestamp::now() - SignedDuration::from_hours(hours)).as_second()).unwrap()
}

pub(crate) fn run(hours: i64) -> RunId {
    RunId::starting(ago(hours), [1, 2, u8::try_from(hours.rem_euclid(256)).unwrap()])
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut digester = Digester::new(Algorithm::Sha256);
    digester.update(bytes);
    digester.hex()
}

/// What a point is made of.
#[derive(Clone)]
pub(crate) struct Point {
    pub(crate) pipeline: PipelineName,
    pub(crate) run: RunId,
    pub(crate) key: String,
    pub(crate) level: Option<Level>,
}

/// A point of so many hours ago.
pub(crate) fn point(hours: i64) -> Point {
    let run = run(hours);
    Point { pipeline: pipeline(), key: format!("{PIPELINE}/{run}.dump"), run, level: None }
}

impl Point {
    pub(crate) fn content(&self) -> Vec<u8> {
        format!("덤프 {}\n", self.key).repeat(50).into_bytes()
    }

    pub(crate) fn sidecar(&self) -> String {
        format!("{}.sha256", self.key)
    }

    pub(crate) fn manifest(&self) -> Manifest {
        let (content, at) = (self.content(), self.run.started());
        let json = serde_json::json!({
            "version": 1, "run": self.run, "pipeline": self.pipeline, "source_sha256": "", "git_commit": null, "runner": "0.1.0",
            "host": "db1", "started": at, "committed": at, "level": "stored", "timings": {},
            "artifacts": [{
                "step": "upload", "store": "vault", "started": at, "finished": at,
                "object": { "key": self.key, "bytes": content.len(), "sha256": sha256(&content) },
                "origin": { "kind": "dump", "format": "custom", "connection": "orders", "database": "주문", "server_version": 150_018,
                            "system_identifier": null, "tool": "pg_dump (PostgreSQL) 15.18", "bytes": content.len() },
                "stages": [
                    { "stage": "checksum", "algorithm": "sha256", "digest": sha256(&content), "bytes": content.len(), "sidecar": self.sidecar() },
                ],
            }],
        });
        serde_json::from_value(json).unwrap()
    }

    /// Puts it on a shelf, as a run does: the objects, the recipe, the manifest, the receipt.
    pub(crate) fn put(&self, store: &dyn ObjectStore) {
        self.put_as(store, &self.manifest());
    }

    /// Puts it on a shelf with this manifest.
    pub(crate) fn put_as(&self, store: &dyn ObjectStore, manifest: &Manifest) {
        let content = self.content();
        let name = self.key.rsplit('/').next().unwrap();
        if store.head(&self.key).unwrap().is_none() {
            store.put_bytes(&self.key, &content, &PutOptions::default()).unwrap();
            store.put_bytes(&self.sidecar(), sidecar_line(&sha256(&content), name).as_bytes(), &PutOptions::default()).unwrap();
        }
        add_recipe(store, &"vault".parse().unwrap(), manifest).unwrap();
        commit(store, manifest).unwrap();
        assert_eq!(add_kit(store, &self.pipeline), Vec::<String>::new());
        if let Some(level) = self.level {
            self.receive(store, level, None);
        }
    }

    pub(crate) fn receive(&self, store: &dyn ObjectStore, level: Level, failure: Option<&str>) {
        add_receipt(store, &Receipt { finished: self.run.started(), ..self.receipt(level, failure) }).unwrap();
    }

    /// A verification of just now that finds its content wrong.
    pub(crate) fn condemn(&self, store: &dyn ObjectStore) {
        add_receipt(store, &Receipt { fault: Some(Fault::Content), ..self.receipt(Level::ReadBack, Some("rows differ")) }).unwrap();
    }

    pub(crate) fn receipt(&self, level: Level, failure: Option<&str>) -> Receipt {
        let json = serde_json::json!({
            "version": 1, "run": self.run, "pipeline": self.pipeline, "step": "verify", "key": self.key, "level": level, "failure": failure,
            "started": self.run.started(), "finished": Timestamp::now(), "server_version": null, "restore_took": null,
            "database_bytes": null, "tables": [], "checks": [],
        });
        serde_json::from_value(json).unwrap()
    }
}

/// The keys of a store that have to do with a run.
pub(crate) fn of(store: &dyn ObjectStore, run: &RunId) -> Vec<String> {
    keys(store).into_iter().filter(|key| key.contains(run.as_str())).collect()
}
