//! How a pipeline stands as JSON: a form of its own, so that what programs read does not change when types here do. Times are in UTC,
//! lengths of time in seconds, sizes in bytes; what is not known is null.

use std::time::Duration as StdDuration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{advice, light};
use crate::ids::PipelineName;
use crate::quantity::{Duration, Size};
use crate::status::{Attempt, LeaseFacts, Miss, PointFacts, Status, StoreFacts};

/// Several pipelines, and those that make no restore points.
pub fn json(statuses: &[Status], others: &[PipelineName]) -> Value {
    json!({ "version": 1, "statuses": statuses.iter().map(one).collect::<Vec<_>>(), "without_points": others })
}

fn one(status: &Status) -> Value {
    let now = status.at;
    json!({
        "pipeline": status.pipeline,
        "at": now,
        "light": light(status.light).1.to_lowercase(),
        "missed": status.missed.iter().map(|miss| missed(miss, &status.pipeline)).collect::<Vec<_>>(),
        "concerns": status.concerns,
        "objectives": objectives(status),
        "newest": status.newest.as_ref().map(|point| of_point(point, now)),
        "newest_proven": status.newest_proven.as_ref().map(|point| of_point(point, now)),
        "unproven_since": status.unproven_since,
        "recovery": status.recovery.map(|recovery| json!({ "took_seconds": recovery.took.as_secs_f64(), "bytes": recovery.bytes })),
        "copies": status.copies,
        "typical_bytes": status.typical_bytes,
        "last_attempt": status.last_attempt,
        "failures": status.failures.iter().map(failure).collect::<Vec<_>>(),
        "at_work": status.at_work.iter().map(|lease| at_work(lease, now)).collect::<Vec<_>>(),
        "last_due": status.due.and_then(|due| due.last),
        "next_due": status.due.and_then(|due| due.next),
        "stores": status.stores.iter().map(store).collect::<Vec<_>>(),
    })
}

fn seconds(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| duration.std().as_secs_f64())
}

fn objectives(status: &Status) -> Value {
    let wanted = &status.objectives;
    json!({
        "rpo_seconds": seconds(wanted.rpo),
        "rto_seconds": seconds(wanted.rto),
        "copies": wanted.copies,
        "verified_every_seconds": seconds(wanted.verified_every),
        "min_size": wanted.min_size.map(Size::bytes),
        "max_shrink": wanted.max_shrink,
    })
}

fn missed(miss: &Miss, pipeline: &PipelineName) -> Value {
    json!({ "objective": miss.objective(), "message": miss.to_string(), "help": advice(miss, pipeline) })
}

fn of_point(point: &PointFacts, now: Timestamp) -> Value {
    let age = StdDuration::try_from(now.duration_since(point.started)).unwrap_or_default();
    json!({
        "run": point.run,
        "started": point.started,
        "committed": point.committed,
        "age_seconds": age.as_secs(),
        "level": point.level,
        "proven": point.proven,
        "dumped_bytes": point.dumped,
        "stored_bytes": point.stored,
        "complaint": point.complaint,
        "leaving": point.leaving,
        "gone_after": point.gone_after,
        "pinned": point.pinned,
    })
}

fn failure(failed: &Attempt) -> Value {
    json!({ "run": failed.run, "started": failed.started, "ended": failed.ended, "host": failed.host, "error": failed.cause })
}

fn at_work(lease: &LeaseFacts, now: Timestamp) -> Value {
    json!({
        "store": lease.store,
        "pipeline": lease.pipeline,
        "run": lease.run,
        "host": lease.host,
        "since": lease.since,
        "renewed": lease.renewed,
        "ttl_seconds": lease.ttl.as_secs_f64(),
        "stuck": lease.is_stuck(now),
    })
}

fn store(store: &StoreFacts) -> Value {
    let seen = store.seen.as_ref();
    json!({
        "store": store.store,
        "place": store.place,
        "error": seen.err(),
        "newest": seen.ok().and_then(|seen| seen.points.first()).map(|point| &point.run),
        "troubles": seen.map(|seen| seen.troubles.clone()).unwrap_or_default(),
    })
}
