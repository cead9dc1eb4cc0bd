//! Trends over restore points, oldest first: sizes, durations, measured recoveries. Each step is one point, or the highest of several
//! where there are very many. Paths lie on a field of 1000 by 100, which the page stretches.

use std::fmt::Write;

use serde::Serialize;

use super::moment::Clock;
use super::points::Known;
use crate::quantity::{Duration, bytes};

const WIDE: u64 = 1000;
const HIGH: u64 = 100;
/// More steps than this are not told apart.
const MOST: usize = 120;

/// The chart of a trend.
#[derive(Debug, Serialize)]
pub(super) struct Trend {
    pub(super) title: &'static str,
    pub(super) lines: Vec<Line>,
    /// A limit that is not to be exceeded.
    pub(super) limit: Option<Limit>,
    /// The date of the first and of the last point.
    pub(super) ends: Option<[String; 2]>,
    /// What to say where there is nothing to draw.
    pub(super) empty: &'static str,
}

/// A line of a chart, with what a reader wants to know of it in words.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) name: Option<&'static str>,
    /// How it is drawn.
    pub(super) class: &'static str,
    pub(super) path: String,
    /// Where a single value or the last one is marked.
    pub(super) dot: String,
    pub(super) last: String,
    pub(super) least: String,
    pub(super) most: String,
}

/// A limit.
#[derive(Debug, Serialize)]
pub(super) struct Limit {
    pub(super) y: u64,
    pub(super) name: &'static str,
    pub(super) words: String,
    pub(super) exceeded: bool,
}

/// A row of values with their words.
struct Series<'a> {
    name: Option<&'static str>,
    class: &'static str,
    values: Vec<Option<u64>>,
    say: &'a dyn Fn(u64) -> String,
}

/// The trends of points, which come newest first.
pub(super) fn trends(points: &[Known], rto: Option<Duration>, clock: &Clock) -> Vec<Trend> {
    let words = clock.language.labels();
    let length = |millis: u64| clock.language.length(std::time::Duration::from_millis(millis).into());
    let readable: Vec<&Known> = points.iter().rev().filter(|point| point.level.is_some()).collect();
    let values = |of: &dyn Fn(&Known) -> Option<u64>| readable.iter().map(|point| of(point)).collect::<Vec<_>>();
    let line = |name, class, values, say| Series { name, class, values, say };
    let chart = |title, series: Vec<Series<'_>>| draw(title, &series, None, &readable, clock);
    let dumped = line(Some(words.dumped), "line", values(&|point| Some(point.dumped)), &bytes as &dyn Fn(u64) -> String);
    let stored = line(Some(words.stored), "area", values(&|point| Some(point.stored)), &bytes);
    let took = line(None, "line", values(&|point| Some(millis(point.took?))), &length);
    let recovery = line(None, "line", values(&|point| Some(millis(point.recovery?.took))), &length);
    let recovered = Trend { empty: words.never_measured, ..draw(words.recovery, &[recovery], rto, &readable, clock) };
    let sizes = chart(words.size, vec![stored, dumped]);
    vec![sizes, chart(words.duration, vec![took]), recovered]
}

fn millis(length: std::time::Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

fn draw(title: &'static str, series: &[Series<'_>], limit: Option<Duration>, points: &[&Known], clock: &Clock) -> Trend {
    let words = clock.language.labels();
    let limit_millis = limit.map(|limit| millis(limit.std()));
    let top = series.iter().flat_map(|series| series.values.iter().flatten()).copied().chain(limit_millis).max().unwrap_or(0);
    let day = |point: &Known| clock.form(point.started, "%Y-%m-%d");
    let shown: Vec<usize> = (0..points.len()).filter(|index| series.iter().any(|series| series.values[*index].is_some())).collect();
    let ends = shown.first().zip(shown.last()).map(|(first, last)| [day(points[*first]), day(points[*last])]);
    let lines = series.iter().filter_map(|series| line(series, &shown, top)).collect();
    let limit = limit.map(|limit| {
        let (y, last) = (height(millis(limit.std()), top), shown.last().and_then(|index| series.first()?.values[*index]));
        Limit { y, name: words.recovery_limit, words: clock.language.limit(limit), exceeded: last > limit_millis }
    });
    Trend { title, lines, limit, ends, empty: words.too_few }
}

/// A line through the values of these points; `None` where there is none.
fn line(series: &Series<'_>, shown: &[usize], top: u64) -> Option<Line> {
    let all: Vec<u64> = shown.iter().filter_map(|index| series.values[*index]).collect();
    let (newest, least, highest) = (*all.last()?, *all.iter().min()?, *all.iter().max()?);
    let each = all.len().div_ceil(MOST).max(1);
    let steps: Vec<u64> = all.chunks(each).map(|chunk| chunk.iter().copied().max().unwrap_or(0)).collect();
    let mut path = String::new();
    let x = |step: usize| if steps.len() < 2 { WIDE / 2 } else { step as u64 * WIDE / (steps.len() as u64 - 1) };
    for (step, value) in steps.iter().enumerate() {
        let _ok = write!(path, "{}{} {}", if step == 0 { "M" } else { "L" }, x(step), height(*value, top));
    }
    let end = steps.len() - 1;
    let dot = format!("M{} {}h0", x(end), height(steps[end], top));
    if series.class == "area" {
        let _ok = write!(path, "L{} {HIGH}L{} {HIGH}Z", x(end), x(0));
    }
    let say = series.say;
    Some(Line { name: series.name, class: series.class, path, dot, last: say(newest), least: say(least), most: say(highest) })
}

/// How far from the top a value lies; the highest has a little room above it.
fn height(value: u64, top: u64) -> u64 {
    let room = HIGH * 95 / 100;
    let up = u128::from(value) * u128::from(room) / u128::from(top.max(1));
    HIGH - u64::try_from(up).unwrap_or(0).min(room)
}
