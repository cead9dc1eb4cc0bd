//! A run in clear words: the title and message of a notification that has no template of its own.
//!
//! They are written for somebody woken at night: what happened first, then the numbers, then where to look.
//! This module does not know channels and escapes nothing.

use std::time::Duration;

use super::facts::{Facts, Outcome};

/// The most characters of an error or a list entry that a message repeats; logs have the rest.
const EXCERPT: usize = 1500;

/// One line: `orders-nightly: restored — 1.2 GB in 43 s` or `orders-nightly: FAILED at upload: no space left`.
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
    let took = duration(facts.duration);
    match facts.level {
        Some(level) => format!("{level} — {} in {took}", size(facts.bytes_out)),
        None => format!("done in {took}"),
    }
}

fn circumstances(facts: &Facts) -> String {
    let at = facts.failed_step.as_ref().map(|step| format!(" at {step}")).unwrap_or_default();
    match facts.error.as_deref().and_then(|error| error.lines().next()) {
        Some(line) => format!("{at}: {}", cut(line, 120)),
        None => format!("{at} after {}", duration(facts.duration)),
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
    lines.extend(facts.artifacts.iter().map(|a| format!("Stored: {}: {} ({})", a.store, a.key, size(a.bytes))));
    lines.extend((facts.bytes_in > 0).then(|| format!("Size: {} dumped, {} stored", size(facts.bytes_in), size(facts.bytes_out))));
    lines.extend(facts.tables.map(|tables| format!("Restored: {}", count(usize::try_from(tables).unwrap_or(usize::MAX), "table"))));
    lines.extend(checks(facts));
    lines.extend(facts.warnings.iter().map(|warning| format!("Warning: {}", cut(warning, EXCERPT))));
    lines.join("\n")
}

fn ending(facts: &Facts) -> String {
    let how = match facts.outcome {
        Outcome::Success => "Finished",
        Outcome::Warning => "Finished with warnings",
        Outcome::Failure => "Failed",
        Outcome::Cancelled => "Cancelled",
    };
    let start = facts.started.strftime("%Y-%m-%d %H:%M:%S UTC");
    format!("{how} after {}: run {} on {}, started {start}", duration(facts.duration), facts.run, facts.host)
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

fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// A text cut to so many characters, with `…` where something is missing.
pub fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A number of bytes in decimal units, as storage is billed: `1.2 GB`, `43 kB`, `17 bytes`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return count(usize::try_from(bytes).unwrap_or(usize::MAX), "byte");
    }
    let (bytes, mut unit, mut scale) = (u128::from(bytes), 0, 1000_u128);
    // Judged after rounding: 999 600 bytes are 1.0 MB, not 1000 kB.
    while (bytes + scale / 2) / scale >= 1000 {
        unit += 1;
        scale *= 1000;
    }
    let tenths = (bytes * 10 + scale / 2) / scale;
    match tenths {
        0..1000 => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
        _ => format!("{} {}", (bytes + scale / 2) / scale, UNITS[unit]),
    }
}

/// A duration to two units: `0.4 s`, `43 s`, `3 min 7 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration < Duration::from_millis(9_950) {
        let tenths = (duration.as_millis() + 50) / 100;
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let seconds = if duration.subsec_millis() >= 500 { seconds + 1 } else { seconds };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => two(seconds, 60, "min", 1, "s"),
        3600..86_400 => two(seconds, 3600, "h", 60, "min"),
        _ => two(seconds, 86_400, "d", 3600, "h"),
    }
}

fn two(seconds: u64, large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    let rest = seconds % large / small;
    if rest == 0 {
        return format!("{} {large_unit}", seconds / large);
    }
    format!("{} {large_unit} {rest} {small_unit}", seconds / large)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn sizes_are_decimal_and_never_show_a_thousand_of_a_unit() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (99_940, "99.9 kB"),
            (99_960, "100 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (999_499_999, "999 MB"),
            (1_234_567_890, "1.2 GB"),
            (123_456_789_012, "123 GB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (bytes, words) in cases {
            assert_eq!(size(bytes), words, "{bytes}");
        }
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let cases = [(400, "0.4 s"), (9_949, "9.9 s"), (9_950, "10 s"), (43_000, "43 s"), (59_600, "1 min"), (187_000, "3 min 7 s")];
        for (milliseconds, words) in cases {
            assert_eq!(duration(Duration::from_millis(milliseconds)), words);
        }
        assert_eq!(duration(Duration::from_mins(125)), "2 h 5 min");
        assert_eq!(duration(Duration::from_hours(76)), "3 d 4 h");
    }

    #[test]
    fn titles_say_level_size_and_time_or_what_failed_where() {
        let titles: Vec<_> = sample::each_outcome().unwrap().iter().map(title).collect();
        assert_eq!(
            titles,
            [
                "orders-nightly: restored — 1.2 GB in 43 s",
                "orders-nightly: restored — 1.2 GB in 43 s, with 1 warning",
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
    }

    #[test]
    fn cutting_counts_characters_and_keeps_them_whole() {
        assert_eq!(cut("주문-야간", 2), "주문…");
        assert_eq!(cut("주문", 2), "주문");
    }
}
