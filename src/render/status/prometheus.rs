//! How pipelines stand as metrics, in the text format 0.0.4 that Prometheus and the textfile collector of `node_exporter` read
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! What never was, or is not known, has no sample: a 0 would be a time in 1970.

use std::fmt::Write;

use jiff::Timestamp;

use crate::status::{Miss, PointFacts, Status};
use crate::store::manifest::Level;

/// What a metric says of a pipeline: each value with further labels, if it has any.
type Samples = Vec<(String, f64)>;

struct Metric {
    name: &'static str,
    help: &'static str,
    samples: fn(&Status) -> Samples,
}

/// Every metric of every pipeline.
pub fn prometheus(statuses: &[Status]) -> String {
    let mut out = String::new();
    for Metric { name, help, samples } in METRICS {
        let lines: Vec<String> = statuses.iter().flat_map(|status| lines(name, status, samples(status))).collect();
        if !lines.is_empty() {
            let _ok = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{}", lines.join("\n"));
        }
    }
    out
}

fn lines(name: &str, status: &Status, samples: Samples) -> Vec<String> {
    let pipeline = escaped(status.pipeline.as_str());
    samples.into_iter().map(|(labels, value)| format!("{name}{{pipeline=\"{pipeline}\"{labels}}} {value}")).collect()
}

/// A label's value between its quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A further label.
fn label(name: &str, value: &str) -> String {
    format!(",{name}=\"{}\"", escaped(value))
}

fn one(value: Option<f64>) -> Samples {
    value.map(|value| (String::new(), value)).into_iter().collect()
}

#[expect(clippy::cast_precision_loss, reason = "a metric is a float: sizes are exact up to 9 PB")]
fn whole(value: u64) -> f64 {
    value as f64
}

fn time(at: Option<Timestamp>) -> Samples {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in a float")]
    one(at.map(|at| at.as_second() as f64))
}

fn newest(status: &Status, of: fn(&PointFacts) -> Option<f64>) -> Samples {
    one(status.newest.as_ref().and_then(of))
}

fn duration(point: &PointFacts) -> Option<f64> {
    Some(point.committed?.duration_since(point.started).as_secs_f64().max(0.0))
}

const fn rank(level: Level) -> f64 {
    match level {
        Level::Stored => 1.0,
        Level::ReadBack => 2.0,
        Level::Decoded => 3.0,
        Level::Restored => 4.0,
        Level::Proven => 5.0,
    }
}

/// Whether each objective that there is is missed. Without a restore point those are that are about having one; of the others nobody can
/// say, and of none but the stores where no store answers.
fn objectives(status: &Status) -> Samples {
    let wanted = &status.objectives;
    let there = |name: &str| match name {
        _ if !status.is_known() => name == "store",
        "rpo" => wanted.rpo.is_some(),
        "rto" => wanted.rto.is_some() && status.recovery.is_some(),
        "copies" => wanted.copies.is_some(),
        "verified_every" => wanted.verified_every.is_some(),
        "min_size" => wanted.min_size.is_some() && status.newest.is_some(),
        "max_shrink" => wanted.max_shrink.is_some() && status.typical_bytes.is_some(),
        _ => true,
    };
    let none = |name: &str| status.newest.is_none() && matches!(name, "rpo" | "copies" | "verified_every");
    let missed = |name: &str| none(name) || status.missed.iter().any(|miss| miss.objective() == name);
    let sample = |name: &&str| (label("objective", name), f64::from(u8::from(missed(name))));
    Miss::OBJECTIVES.iter().filter(|name| there(name)).map(sample).collect()
}

fn stores(status: &Status) -> Samples {
    let sample = |store: &crate::status::StoreFacts| (label("store", store.store.as_str()), f64::from(u8::from(store.seen.is_ok())));
    status.stores.iter().map(sample).collect()
}

const METRICS: &[Metric] = &[
    Metric {
        name: "runner_backup_last_attempt_timestamp_seconds",
        help: "When the newest run began that left anything in a store.",
        samples: |status| time(status.last_attempt),
    },
    Metric {
        name: "runner_backup_last_success_timestamp_seconds",
        help: "When the newest restore point that can be used was committed.",
        samples: |status| time(status.newest.as_ref().and_then(|newest| newest.committed)),
    },
    Metric {
        name: "runner_backup_newest_data_timestamp_seconds",
        help: "When the run of the newest restore point began: no data in it is older. Its age is what the RPO is about.",
        samples: |status| time(status.newest.as_ref().map(|newest| newest.started)),
    },
    Metric {
        name: "runner_backup_last_proven_timestamp_seconds",
        help: "When the newest proven restore point was proven.",
        samples: |status| time(status.newest_proven.as_ref().and_then(|point| point.proven)),
    },
    Metric {
        name: "runner_backup_bytes",
        help: "Size of the newest restore point's dumps before compression.",
        samples: |status| newest(status, |point| Some(whole(point.dumped))),
    },
    Metric {
        name: "runner_backup_stored_bytes",
        help: "Size of the newest restore point's objects in all stores.",
        samples: |status| newest(status, |point| Some(whole(point.stored))),
    },
    Metric {
        name: "runner_backup_duration_seconds",
        help: "How long the run of the newest restore point took until its commit.",
        samples: |status| newest(status, duration),
    },
    Metric {
        name: "runner_backup_level",
        help: "What is known of the newest restore point: 1 stored, 2 read-back, 3 decoded, 4 restored, 5 proven.",
        samples: |status| newest(status, |point| point.level.map(rank)),
    },
    Metric {
        name: "runner_backup_restore_duration_seconds",
        help: "How long the newest measured recovery took.",
        samples: |status| one(status.recovery.map(|recovery| recovery.took.as_secs_f64())),
    },
    Metric {
        name: "runner_backup_copies",
        help: "In how many stores each part of the newest restore point lies: the least of them.",
        samples: |status| newest(status, |_| Some(0.0)).into_iter().map(|(labels, _)| (labels, whole(status.copies as u64))).collect(),
    },
    Metric {
        name: "runner_backup_failed_runs",
        help: "Runs that failed since the newest restore point, and the run of that point itself where it failed after its commit.",
        samples: |status| one(status.is_known().then(|| whole(status.failures.len() as u64))),
    },
    Metric {
        name: "runner_backup_rpo_seconds",
        help: "How old the newest restore point may get.",
        samples: |status| one(status.objectives.rpo.map(|rpo| rpo.std().as_secs_f64())),
    },
    Metric {
        name: "runner_backup_rto_seconds",
        help: "How long a recovery may take.",
        samples: |status| one(status.objectives.rto.map(|rto| rto.std().as_secs_f64())),
    },
    Metric {
        name: "runner_backup_objective_missed",
        help: "1 for an objective that is missed, 0 for one that is met, none for one of which nobody can say. point: there is one that can be used; store: every store answers.",
        samples: objectives,
    },
    Metric { name: "runner_backup_store_up", help: "1 for a store that answers, 0 for one that does not.", samples: stores },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(label("store", "a\"b\\c\n주문"), ",store=\"a\\\"b\\\\c\\n주문\"");
    }
}
