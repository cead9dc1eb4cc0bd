//! A run in clear words: the title and message of a notification that has no template of its own.
//!
//! They are written for somebody woken at night: what happened first, then the numbers, then where to look.
//! This module does not know channels and escapes nothing.

use super::facts::{Facts, Outcome};
use crate::quantity::{Duration, brief, bytes};
use crate::words::{count, cut};

/// The most characters of an error or a list entry that a message repeats; logs have the rest.
const EXCERPT: usize = 1500;

/// One line: `orders-nightly: restored — 1.23 GB in 43 s` or `orders-nightly: FAILED at upload: no space left`.
pub fn title(facts: &Facts) -> String {
    let name = &facts.pipeline;
    match facts.outcome {
        Outcome::Success => format!("{name}: {}", achievement(facts)),
        Outcome::Warning => format!("{name}: {}, with {}", achievement(facts), count(facts.warnings.len().max(1), "warning")),
        Outcome::Failure => format!("{name}: FAILED{}", circumstances(facts)),
        Outcome::Cancelled => format!("{name}: CANCELLED{}", circumstances(facts)),
    }
}

fn achievement(facts: &Facts) -> String {
    let took = brief(facts.duration);
    match facts.level {
        Some(level) => format!("{level} — {} in {took}", bytes(facts.bytes_out)),
        None => format!("done in {took}"),
    }
}

fn circumstances(facts: &Facts) -> String {
    let at = facts.failed_step.as_ref().map(|step| format!(" at {step}")).unwrap_or_default();
    match facts.error.as_deref().and_then(|error| error.lines().next()) {
        Some(line) => format!("{at}: {}", cut(line, 120)),
        None => format!("{at} after {}", brief(facts.duration)),
    }
}

/// A few lines: the run, what is known about its restore point, sizes, and everything that went wrong.
pub fn message(facts: &Facts) -> String {
    let mut lines = vec![ending(facts)];
    lines.extend(facts.error.as_deref().map(|error| format!("Error: {}", cut(error, EXCERPT))));
    lines.push(match facts.level {
        Some(level) => format!("Restore point: {} (level: {level})", facts.run),
        None => "Restore point: none was committed by this run".to_owned(),
    });
    lines.extend(facts.artifacts.iter().map(|a| format!("Stored: {}: {} ({})", a.store, a.key, bytes(a.bytes))));
    lines.extend(facts.copies.iter().map(|copy| {
        let which = if copy.run == facts.run { String::new() } else { format!("{} ", copy.run) };
        format!("Copied: {which}to {} ({})", copy.store, bytes(copy.bytes))
    }));
    lines.extend((facts.bytes_in > 0).then(|| format!("Size: {} dumped, {} stored", bytes(facts.bytes_in), bytes(facts.bytes_out))));
    lines.extend(facts.left_out.iter().map(|left_out| format!("Left out: {}", cut(left_out, EXCERPT))));
    lines.extend(facts.tables.map(|tables| format!("Restored: {}", count(tables, "table"))));
    lines.extend(recovery(facts));
    lines.extend(checks(facts));
    lines.extend(facts.warnings.iter().map(|warning| format!("Warning: {}", cut(warning, EXCERPT))));
    lines.join("\n")
}

/// How long a restore took, and how long it may take.
fn recovery(facts: &Facts) -> Option<String> {
    let speed = facts.recovery_bytes_per_second.map(|rate| format!(", {}/s", bytes(rate))).unwrap_or_default();
    let objective = facts.rto.map(|rto| format!(" (RTO {})", Duration::from(rto))).unwrap_or_default();
    Some(format!("Recovery: measured at {}{speed}{objective}", brief(facts.recovery?)))
}

fn ending(facts: &Facts) -> String {
    let how = match facts.outcome {
        Outcome::Success => "Finished",
        Outcome::Warning => "Finished with warnings",
        Outcome::Failure => "Failed",
        Outcome::Cancelled => "Cancelled",
    };
    let start = facts.started.strftime("%Y-%m-%d %H:%M:%S UTC");
    format!("{how} after {}: run {} on {}, started {start}", brief(facts.duration), facts.run, facts.host)
}

fn checks(facts: &Facts) -> Vec<String> {
    let failed: Vec<_> = facts.checks.iter().filter(|check| !check.passed).collect();
    if facts.checks.is_empty() {
        return Vec::new();
    }
    let passed = facts.checks.len() - failed.len();
    let mut lines = vec![format!("Checks: {passed} of {} passed", facts.checks.len())];
    lines.extend(failed.iter().map(|c| format!("Check FAILED: {}: found {}", cut(&c.check, EXCERPT), cut(&c.found, EXCERPT))));
    lines
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn titles_say_level_size_and_time_or_what_failed_where() {
        let titles: Vec<_> = sample::each_outcome().unwrap().iter().map(title).collect();
        assert_eq!(
            titles,
            [
                "orders-nightly: restored — 1.23 GB in 43 s",
                "orders-nightly: restored — 1.23 GB in 43 s, with 1 warning",
                "orders-nightly: FAILED at upload: writing /backups/orders: No space left on device",
                "orders-nightly: CANCELLED at upload: cancelled: SIGTERM",
            ]
        );
    }

    #[test]
    fn the_message_of_a_failure_names_the_error_and_that_there_is_no_restore_point() {
        let [good, _, bad, _] = sample::each_outcome().unwrap();
        let words = message(&bad);
        assert!(words.contains("Error: writing /backups/orders: No space left on device"), "{words}");
        assert!(words.contains("none was committed"), "{words}");
        let words = message(&good);
        assert!(words.contains("Checks: 1 of 1 passed") && words.contains("Restored: 42 tables"), "{words}");
        assert!(words.contains("\nRecovery: measured at 12 s, 360 MB/s (RTO 1h)\n"), "{words}");
        assert!(words.contains("\nLeft out: 2 tables excluded by filter: public.audit, public.tmp\n"), "{words}");
    }
}
