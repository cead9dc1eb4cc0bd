//! The calendar: which hour, day, week, month or year of a time zone a moment lies in.
//!
//! A repeated hour is two hours, told apart by their offset from UTC. This file does not count or choose points.

use jiff::Zoned;
use serde::{Deserialize, Serialize};

/// A rule of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// The newest points.
    Last,
    /// Every point of a length of time.
    Within,
    /// The newest point of each hour.
    Hourly,
    /// The newest point of each day.
    Daily,
    /// The newest point of each ISO 8601 week, which begins on Monday.
    Weekly,
    /// The newest point of each month.
    Monthly,
    /// The newest point of each year.
    Yearly,
}

/// What makes two moments lie in the same period of a rule: year, part of the year, hour, offset from UTC in seconds.
pub(super) type Period = (i16, i16, i8, i32);

impl Rule {
    /// Every rule, the one that usually reaches back least first.
    pub const ALL: [Self; 7] = [Self::Last, Self::Within, Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly];

    /// The key of the rule in a policy.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Within => "within",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }

    /// The period a moment lies in; `None` for the rules that know none.
    pub(super) fn period(self, at: &Zoned) -> Option<Period> {
        match self {
            Self::Last | Self::Within => None,
            // Clocks that go back pass the same hour twice, at different offsets.
            Self::Hourly => Some((at.year(), at.day_of_year(), at.hour(), at.offset().seconds())),
            Self::Daily => Some((at.year(), at.day_of_year(), 0, 0)),
            Self::Weekly => {
                let week = at.date().iso_week_date();
                Some((week.year(), i16::from(week.week()), 0, 0))
            }
            Self::Monthly => Some((at.year(), i16::from(at.month()), 0, 0)),
            Self::Yearly => Some((at.year(), 0, 0, 0)),
        }
    }

    /// The name of the period a moment lies in: `2026-11-01 01:00-04:00`, `2026-11-01`, `2026-W44`, `2026-11`, `2026`.
    pub(super) fn name(self, at: &Zoned) -> String {
        let form = match self {
            Self::Last | Self::Within | Self::Daily => "%Y-%m-%d",
            Self::Hourly => "%Y-%m-%d %H:00%:z",
            Self::Weekly => "%G-W%V",
            Self::Monthly => "%Y-%m",
            Self::Yearly => "%Y",
        };
        at.strftime(form).to_string()
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}
