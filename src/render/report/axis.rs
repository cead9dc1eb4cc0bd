//! An axis of time, in percent of its width: even over a short time; over a long one, the farther back the closer together.
//!
//! Old restore points lie weeks and months apart and new ones hours: on an even axis the new ones, which matter most, would be one blot.
//! Nothing here knows what is drawn on it.

use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};
use serde::Serialize;

use super::moment::Clock;

/// Room on either side, in percent.
const MARGIN: f64 = 1.5;

/// The least distance of two labels, in percent: their width on a telephone.
const APART: f64 = 19.0;

const DAY: f64 = 86_400.0;

/// An axis from a moment until now.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    now: Timestamp,
    /// In seconds.
    span: f64,
    /// In seconds: about so far back the axis is even. `None` where it is even as a whole.
    bend: Option<f64>,
}

/// A moment with its name.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Tick {
    pub(super) x: f64,
    pub(super) label: String,
}

impl Axis {
    /// The axis that has room for all of these; a day at least.
    pub(super) fn of(moments: &[Timestamp], now: Timestamp) -> Self {
        let oldest = moments.iter().min().copied().unwrap_or(now);
        let span = seconds(oldest, now).max(DAY);
        let bend = usual(moments).map(|usual| (usual * 7.0).max(DAY)).filter(|bend| span > bend * 6.0);
        Self { now, span, bend }
    }

    /// Whether it is not even.
    pub(super) const fn recedes(&self) -> bool {
        self.bend.is_some()
    }

    /// Where a moment is, in percent.
    pub(super) fn place(&self, at: Timestamp) -> f64 {
        let age = seconds(at, self.now).clamp(0.0, self.span);
        let back = match self.bend {
            None => age / self.span,
            Some(bend) => (age / bend).ln_1p() / (self.span / bend).ln_1p(),
        };
        rounded(MARGIN + (1.0 - back) * (100.0 - 2.0 * MARGIN))
    }

    /// Names of moments, oldest first, as many as can be read.
    pub(super) fn ticks(&self, clock: &Clock) -> Vec<Tick> {
        let now = self.now.to_zoned(clock.zone.clone());
        let mut ticks: Vec<Tick> = Vec::new();
        let mut free = 100.0 - MARGIN;
        for (at, label) in self.candidates(&now) {
            let x = self.place(at);
            if x <= free - APART && x >= APART / 2.0 - 1.0 {
                free = x;
                ticks.push(Tick { x, label });
            }
        }
        ticks.reverse();
        ticks
    }

    /// The moments that could have a name, newest first: midnights, and hours where it all is short.
    fn candidates(&self, now: &Zoned) -> Vec<(Timestamp, String)> {
        let year = now.year();
        let day = |days: i64| {
            let at = now.start_of_day().ok()?.checked_sub(days.days()).ok()?;
            let form = if at.year() == year { "%m-%d" } else { "%Y-%m" };
            Some((at.timestamp(), at.strftime(form).to_string()))
        };
        let hour = |hours: i64| {
            let at = now.start_of_day().ok()?.checked_add(24.hours()).ok()?.checked_sub(hours.hours()).ok()?;
            (at.timestamp() < self.now).then(|| (at.timestamp(), at.strftime("%H:%M").to_string()))
        };
        if self.span <= 2.0 * DAY {
            return (0..17).filter_map(|step| hour(step * 3)).collect();
        }
        let even: Vec<i64> = (0..400).collect();
        let receding = [1, 2, 4, 7, 14, 21, 30, 60, 90, 120, 180, 270, 365, 545, 730, 1095, 1825, 3650].to_vec();
        let days = if self.recedes() { receding } else { even };
        days.into_iter().filter_map(day).filter(|(at, _)| seconds(*at, self.now) <= self.span).collect()
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// The usual distance of the newest moments, in seconds: their median.
fn usual(moments: &[Timestamp]) -> Option<f64> {
    let mut newest = moments.to_vec();
    newest.sort_unstable();
    newest.dedup();
    let newest = &newest[newest.len().saturating_sub(21)..];
    let mut apart: Vec<SignedDuration> = newest.windows(2).map(|pair| pair[1].duration_since(pair[0])).collect();
    apart.sort_unstable();
    apart.get(apart.len() / 2).map(SignedDuration::as_secs_f64)
}

/// To a hundredth, as nobody sees more.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::super::words::Language;
    use super::*;

    fn ago(days: i64) -> Timestamp {
        "2026-11-28T03:00:00Z".parse::<Timestamp>().unwrap() - SignedDuration::from_hours(24 * days)
    }

    #[test]
    fn moments_stand_in_order_and_the_newest_have_room() {
        let days: Vec<i64> = (0..30).chain((35..90).step_by(7)).chain((100..700).step_by(30)).collect();
        let moments: Vec<Timestamp> = days.iter().map(|day| ago(*day)).collect();
        let axis = Axis::of(&moments, ago(0));
        assert!(axis.recedes());
        let places: Vec<f64> = moments.iter().map(|at| axis.place(*at)).collect();
        assert!(places.is_sorted_by(|one, other| one > other), "{places:?}");
        assert!(places[0] - places[6] > 10.0 && places[29] > 40.0, "{places:?}");
        assert!(places.iter().all(|place| (1.5..=98.5).contains(place)));
        let even = Axis::of(&moments[..20], ago(0));
        assert!(!even.recedes() && (even.place(ago(10)) - even.place(ago(9)) - even.place(ago(5)) + even.place(ago(4))).abs() < 0.02);
    }

    #[test]
    fn labels_never_touch_and_an_empty_axis_is_a_day() {
        let clock = Clock::of(ago(0), "Asia/Seoul", Language::English);
        for moments in [vec![], vec![ago(0)], vec![ago(3)], (0..40).map(ago).collect(), (0..900).step_by(3).map(ago).collect()] {
            let axis = Axis::of(&moments, ago(0));
            let ticks = axis.ticks(&clock);
            assert!(!ticks.is_empty() && ticks.windows(2).all(|pair| pair[1].x - pair[0].x >= APART), "{ticks:?}");
        }
        let ticks = Axis::of(&[ago(600)], ago(0)).ticks(&clock);
        assert!(ticks[0].label.starts_with("2025-"), "{ticks:?}");
    }
}
