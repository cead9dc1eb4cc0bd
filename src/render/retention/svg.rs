//! The picture of a simulation: a lane of kept points for each rule, and the bytes in the store below, over the same days.
//!
//! It is drawn in `currentColor`, dark on light or light on dark as the reader's system is, and loads nothing. No text of a user
//! gets into it unescaped.

use std::fmt::Write;

use jiff::{Timestamp, Zoned};

use super::{Simulated, rules, spell};
use crate::quantity::bytes;
use crate::retention::{Action, Day, Rule};

const WIDTH: i128 = 960;
const LEFT: i128 = 92;
const RIGHT: i128 = 24;
const TOP: i128 = 64;
const LANE: i128 = 26;
const CHART: i128 = 140;
const GAP: i128 = 28;
const MOST_LABELS: usize = 14;

const STYLE: &str = ".retention-simulation{color:#1f2328;font:12px system-ui,sans-serif}\
@media(prefers-color-scheme:dark){.retention-simulation{color:#e6edf3}}";

/// A simulation as an SVG document.
pub fn svg(simulated: &Simulated<'_>) -> String {
    let picture = Picture::of(simulated);
    let mut out = String::new();
    let (title, subject) = (format!("Retention of {}", simulated.pipeline), simulated.subject());
    let _ok = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"retention-simulation\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" \
         fill=\"currentColor\">\n<title>{}</title>\n<desc>{}</desc>\n<style>{STYLE}</style>\n",
        picture.height(),
        escaped(&title),
        escaped(&format!("{subject}. {}", simulated.outcome())),
    );
    text(&mut out, (LEFT, 20), "font-size=\"15\" font-weight=\"600\"", &format!("{title}: {}", simulated.policy.keep));
    text(&mut out, (LEFT, 38), "opacity=\".7\"", &subject);
    text(&mut out, (LEFT, picture.height() - 8), "opacity=\".7\"", &simulated.outcome());
    picture.months(&mut out);
    picture.lanes(&mut out);
    picture.chart(&mut out);
    out.push_str("</svg>\n");
    out
}

/// Text for an element or an attribute of XML; what XML can not hold at all is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(' '),
            '\u{FFFE}' | '\u{FFFF}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

fn text(out: &mut String, (x, y): (i128, i128), attributes: &str, text: &str) {
    let _ok = writeln!(out, "<text x=\"{x}\" y=\"{y}\" {attributes}>{}</text>", escaped(text));
}

/// A part of so many pixels.
fn along(part: i128, whole: i128, pixels: i128) -> i128 {
    part * pixels / whole.max(1)
}

/// Where things are.
struct Picture<'a> {
    simulated: &'a Simulated<'a>,
    rules: Vec<Rule>,
    /// The beginnings of the days.
    days: Vec<(Timestamp, &'a Day)>,
}

impl<'a> Picture<'a> {
    fn of(simulated: &'a Simulated<'a>) -> Self {
        let start = |day: &Day| day.date.to_zoned(simulated.scenario.zone.clone()).as_ref().map(Zoned::timestamp).unwrap_or_default();
        let days = simulated.simulation.days.iter().map(|day| (start(day), day)).collect();
        Self { simulated, rules: simulated.policy.keep.rules(), days }
    }

    fn lanes_end(&self) -> i128 {
        TOP + LANE * self.rules.len() as i128
    }

    fn chart_end(&self) -> i128 {
        self.lanes_end() + GAP + CHART
    }

    fn height(&self) -> i128 {
        self.chart_end() + 48
    }

    fn x(&self, at: Timestamp) -> i128 {
        let first = self.days.first().map_or(at, |(start, _)| *start);
        let seconds = |until: Timestamp| i128::from(until.as_second() - first.as_second());
        LEFT + along(seconds(at), seconds(self.simulated.simulation.end), WIDTH - LEFT - RIGHT)
    }

    /// A line and a name at the beginning of a month, but of not more months than can be read.
    fn months(&self, out: &mut String) {
        let firsts: Vec<&(Timestamp, &Day)> = self.days.iter().filter(|(_, day)| day.date.day() == 1).collect();
        let step = firsts.len().div_ceil(MOST_LABELS).max(1);
        let (top, bottom) = (TOP - 10, self.chart_end());
        for (start, day) in firsts.into_iter().step_by(step) {
            let x = self.x(*start);
            let _ok = writeln!(out, "<path d=\"M{x} {top}V{bottom}\" stroke=\"currentColor\" opacity=\".15\"/>");
            text(out, (x, bottom + 16), "text-anchor=\"middle\"", &day.date.strftime("%Y-%m").to_string());
        }
    }

    /// A tick a kept point, in the lane of each rule that keeps it.
    fn lanes(&self, out: &mut String) {
        for (lane, rule) in self.rules.iter().enumerate() {
            let middle = TOP + LANE * lane as i128 + LANE / 2;
            text(out, (LEFT - 10, middle + 4), "text-anchor=\"end\"", rule.word());
            let end = WIDTH - RIGHT;
            let _ok = writeln!(out, "<path d=\"M{LEFT} {middle}H{end}\" stroke=\"currentColor\" opacity=\".25\"/>");
        }
        for (point, decision) in self.simulated.simulation.points.iter().filter(|(_, decision)| decision.action == Action::Keep) {
            let reasons: Vec<String> = decision.reasons.iter().map(ToString::to_string).collect();
            let at = point.taken.to_zoned(self.simulated.scenario.zone.clone()).strftime("%Y-%m-%d %H:%M");
            let title = escaped(&format!("{at}: {}", reasons.join("; ")));
            let x = self.x(point.taken);
            for lane in rules(decision).filter_map(|rule| self.rules.iter().position(|lane| *lane == rule)) {
                let y = TOP + LANE * lane as i128 + LANE / 2 - 8;
                let _ok = writeln!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"2\" height=\"16\"><title>{title}</title></rect>");
            }
        }
    }

    /// The bytes in the store at the end of each day.
    fn chart(&self, out: &mut String) {
        let (bottom, most) = (self.chart_end(), self.simulated.simulation.fullest().map_or(0, |day| day.bytes));
        let y = |size: u64| bottom - along(i128::from(size), i128::from(most), CHART);
        let mut path = format!("M{LEFT} {bottom}");
        for (start, day) in &self.days {
            let _ok = write!(path, "H{}V{}", self.x(*start), y(day.bytes));
        }
        let end = WIDTH - RIGHT;
        let _ok = writeln!(out, "<path d=\"{path}H{end}V{bottom}Z\" opacity=\".35\"/>");
        let _ok = writeln!(out, "<path d=\"M{LEFT} {bottom}H{end}\" stroke=\"currentColor\"/>");
        for size in [0, most / 2, most] {
            text(out, (LEFT - 10, y(size) + 4), "text-anchor=\"end\"", &bytes(size));
        }
        let hole = format!("largest hole {}", spell(self.simulated.simulation.largest_hole()));
        text(out, (end, self.lanes_end() + GAP - 8), "text-anchor=\"end\" opacity=\".7\"", &format!("stored bytes; {hole}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_user_can_not_end_an_element() {
        assert_eq!(escaped("<주문 & \"야간\">'\u{7}\n"), "&lt;주문 &amp; &quot;야간&quot;&gt;&#39; ");
    }
}
