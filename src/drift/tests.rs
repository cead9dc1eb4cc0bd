//! Each rule, just kept and just broken.

use serde_json::json;

use super::*;
use crate::archive::changes::{Extent, TableChange, TableFate};
use crate::archive::difference::Object;

/// A restore point with these numbers.
fn point(bytes: u64, rows: u64, large_objects: u64) -> Recalled {
    serde_json::from_value(json!({
        "pipeline": "주문", "run": "20261120T021700Z-4f3a9c", "committed": "2026-11-20T02:18:00Z", "level": "proven",
        "artifact": {
            "step": "upload", "store": "vault", "started": "2026-11-20T02:17:00Z", "finished": "2026-11-20T02:18:00Z",
            "object": { "key": "k", "bytes": bytes, "sha256": "0".repeat(64) },
            "origin": {
                "kind": "dump", "format": "custom", "connection": "db", "database": "주문", "server_version": 160_004,
                "system_identifier": null, "tool": "pg_dump", "bytes": bytes,
            },
            "stages": [],
            "contents": {
                "objects": 9, "tables": 1, "rows": rows, "bytes": 10, "sequences": 0, "large_objects": large_objects, "incomparable": 0,
                "digest": format!("{rows:032}"),
            },
            "completeness": { "objects": 9, "left_out": [ { "kind": "TABLE", "why": "filter", "count": 1, "names": ["물류.임시"] } ] },
        },
    }))
    .unwrap()
}

fn broken(from: &Recalled, to: &Recalled, changes: Option<Changes>) -> Vec<(Rule, String)> {
    Drift::between(from.clone(), to.clone(), changes).anomalies.into_iter().map(|anomaly| (anomaly.rule, anomaly.what)).collect()
}

#[test]
fn numbers_are_suspicious_only_beyond_their_threshold() {
    let from = point(1000, 100, 3);
    for (to, rule) in [
        (point(1000, 80, 3), None),
        (point(1000, 79, 3), Some((Rule::RowsFell, "100 rows → 79 in all tables"))),
        (point(700, 100, 3), None),
        (point(699, 100, 3), Some((Rule::SizeFell, "1.00 kB → 699 B"))),
        (point(3000, 100, 3), None),
        (point(3001, 100, 3), Some((Rule::SizeRose, "1.00 kB → 3.00 kB"))),
        (point(1000, 100, 4), None),
        (point(1000, 100, 2), Some((Rule::LargeObjectsFewer, "3 large objects → 2"))),
    ] {
        let expected: Vec<(Rule, String)> = rule.into_iter().map(|(rule, what)| (rule, what.to_owned())).collect();
        assert_eq!(broken(&from, &to, Some(Changes::default())), expected);
    }
    assert_eq!(broken(&point(0, 0, 0), &point(9, 9, 0), None), [], "nothing can grow from nothing too much");
}

#[test]
fn level_server_and_completeness_are_judged_from_the_manifests_alone() {
    let from = point(10, 10, 0);
    let mut to = from.clone();
    to.level = crate::store::manifest::Level::Stored;
    to.artifact.origin.server_version = 170_001;
    let completeness = to.artifact.completeness.as_mut().unwrap();
    completeness.left_out[0].count = 2;
    completeness.left_out[0].names = vec!["물류.임시".into(), "물류.주문".into()];
    completeness.unchecked = Some("the server is too old".into());
    let drift = Drift::between(from.clone(), to.clone(), None);
    let told: Vec<String> = drift.anomalies.iter().map(|anomaly| format!("{}: {}", anomaly.rule.name(), anomaly.what)).collect();
    assert_eq!(
        told,
        [
            "completeness-worse: 1 more of kind TABLE left out: `물류.주문`",
            "completeness-worse: nobody could tell whether the dump is complete: the server is too old",
            "level-lower: proven → stored",
            "server-changed: PostgreSQL 16.4 → 17.1",
        ]
    );
    assert_eq!(drift.unjudged, [Rule::TableGone, Rule::TableEmptied, Rule::TableShrunk, Rule::SchemaChanged]);
    assert_eq!(drift.same, None, "another major words definitions differently");
    assert_eq!(broken(&to, &from, None).len(), 1, "backwards only the server is another one");
    to.artifact.completeness = None;
    assert!(broken(&from, &to, None).iter().any(|(rule, what)| *rule == Rule::CompletenessWorse && what.starts_with("nobody looked")));
}

#[test]
fn tables_are_suspicious_when_they_shrink_empty_or_go() {
    let table = |name: &str, from: Option<u64>, to: Option<u64>, change| {
        let extent = |rows| Extent { rows, bytes: rows };
        TableChange {
            table: Object { kind: "TABLE".into(), schema: Some("물류".into()), name: name.into() },
            from: from.map(extent),
            to: to.map(extent),
            change,
        }
    };
    let changes = Changes {
        tables: vec![
            table("half", Some(10), Some(5), TableFate::Rows),
            table("fewer", Some(10), Some(4), TableFate::Rows),
            table("empty", Some(10), Some(0), TableFate::Rows),
            table("never", Some(0), Some(0), TableFate::Unchanged),
            table("gone", Some(1), None, TableFate::Removed),
            table("left", Some(1), None, TableFate::DataLeftOut),
            table("wider", Some(1), Some(1), TableFate::Columns),
        ],
        ..Changes::default()
    };
    let point = point(10, 10, 0);
    let told: Vec<String> =
        broken(&point, &point, Some(changes)).into_iter().map(|(rule, what)| format!("{}: {what}", rule.name())).collect();
    assert_eq!(
        told,
        [
            "table-gone: table 물류.gone is gone with its 1 row",
            "table-gone: table 물류.left is there, but its data (1 row) is no longer dumped",
            "table-emptied: table 물류.empty lost all of its 10 rows",
            "table-shrunk: table 물류.fewer has 4 of its 10 rows",
            "schema-changed: 1 table with other columns",
        ]
    );
}

#[test]
fn every_rule_has_one_name_everywhere() {
    for rule in Rule::ALL {
        assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
        assert!(!rule.words().is_empty());
    }
}
