//! A plan file is applied as it was reviewed, or not at all.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::path::Path;

use serde_json::{Value, json};

use crate::cli_run::{Ran, run_in};

/// Nothing listens where the database should be: a plan that still fits is refused for that, with 69.
const PIPELINE: &str = "version: 1
name: orders
schedule: { cron: \"17 2 * * *\" }
connections:
  shop: { postgres: { host: 127.0.0.1, port: 1, user: u, database: shop } }
stores:
  vault: { local: { path: store } }
steps:
  - { id: dump, uses: dump, timeout: 1h, with: { connection: shop } }
  - { id: upload, uses: upload, with: { store: vault } }
  - { id: tell, uses: notify, when: always, with: { file: { path: told } } }
";

fn apply(folder: &Path, plan: &Value) -> Ran {
    std::fs::write(folder.join("p.json"), plan.to_string()).unwrap();
    run_in(folder, &["apply", "p.json", "--state-dir", "state"])
}

#[test]
fn a_plan_file_that_somebody_edited_is_refused_and_what_differs_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("orders.yaml"), PIPELINE).unwrap();
    for offline in [false, true] {
        let mut args = vec!["plan", "orders.yaml", "-o", "reviewed.json"];
        args.extend(offline.then_some("--offline"));
        run_in(folder, &args);
        let plan: Value = serde_json::from_slice(&std::fs::read(folder.join("reviewed.json")).unwrap()).unwrap();
        assert_eq!(plan["observed"]["offline"], offline);
        let ran = apply(folder, &plan);
        assert_eq!(ran.code, 69, "as it was reviewed: {}", ran.err);
        let moved = [("/nodes/0/expected_bytes", json!(7)), ("/nodes/0/reason", json!("x")), ("/findings", json!([]))];
        let ran = apply(folder, &edited(&plan, &moved));
        assert_eq!(ran.code, 69, "sizes and words may move: {}", ran.err);
        for (pointer, value, named) in [
            ("/resources/stores/vault/local/path", json!("/elsewhere"), "resources.stores.vault.local.path"),
            ("/resources/connections/shop/postgres/host", json!("10.0.0.1"), "resources.connections.shop.postgres.host"),
            ("/nodes/0/timeout", json!("99h"), "nodes.dump.timeout"),
            ("/nodes/0/action", json!("skip"), "nodes.dump.action"),
            ("/nodes/0/on_failure", json!("warn"), "nodes.dump.on_failure"),
            ("/nodes/0/when", json!("failure"), "nodes.dump.when"),
            ("/edges", json!([]), "edges"),
            ("/concurrency", json!({ "lease": false }), "concurrency"),
        ] {
            let ran = apply(folder, &edited(&plan, &[(pointer, value)]));
            assert_eq!(ran.code, 13, "{pointer}: {}", ran.err);
            assert!(ran.err.contains("the plan is stale") && ran.err.contains(named), "{pointer}: {}", ran.err);
        }
    }
}

fn edited(plan: &Value, changes: &[(&str, Value)]) -> Value {
    let mut plan = plan.clone();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        plan.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert((*name).to_owned(), value.clone());
    }
    plan
}

#[test]
fn a_plan_file_that_is_no_plan_is_invalid() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.json"), b"{ \"version\": \"\xff\" }").unwrap();
    let ran = run_in(folder.path(), &["apply", "p.json"]);
    assert_eq!(ran.code, 65, "{}", ran.err);
}
