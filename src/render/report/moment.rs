//! Moments as a page shows them: for people in a time zone, for programs in UTC. Nothing here reads a clock.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::words::Language;
use crate::quantity::Duration;

/// A moment on a page.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Moment {
    /// For programs.
    pub(super) iso: String,
    /// For people.
    pub(super) text: String,
    /// How far from now.
    pub(super) away: String,
}

/// Where and when a reader is.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    pub(super) now: Timestamp,
    pub(super) zone: TimeZone,
    pub(super) language: Language,
}

impl Clock {
    /// The clock of a time zone; UTC where it is not known here.
    pub(super) fn of(now: Timestamp, zone: &str, language: Language) -> Self {
        Self { now, zone: TimeZone::get(zone).unwrap_or(TimeZone::UTC), language }
    }

    /// The minute of a moment.
    pub(super) fn minute(&self, at: Timestamp) -> String {
        self.form(at, "%Y-%m-%d %H:%M")
    }

    pub(super) fn form(&self, at: Timestamp, form: &str) -> String {
        at.to_zoned(self.zone.clone()).strftime(form).to_string()
    }

    pub(super) fn moment(&self, at: Timestamp) -> Moment {
        Moment { iso: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), text: self.minute(at), away: self.away(at) }
    }

    /// A moment with its zone, for where moments of several zones stand together.
    pub(super) fn zoned(&self, at: Timestamp) -> Moment {
        Moment { text: self.form(at, "%Y-%m-%d %H:%M %Z"), ..self.moment(at) }
    }

    fn away(&self, at: Timestamp) -> String {
        if at > self.now { self.language.ahead(between(self.now, at)) } else { self.language.ago(between(at, self.now)) }
    }

    /// How long ago a moment is.
    pub(super) fn since(&self, at: Timestamp) -> Duration {
        between(at, self.now)
    }
}

/// From one moment to a later one.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    std::time::Duration::try_from(to.duration_since(from)).unwrap_or_default().into()
}
