//! The policy: what a pipeline says about how long its restore points stay.
//!
//! Doc comments here are what an editor shows while somebody writes YAML. This file decides about no point.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calendar::Rule;
use crate::quantity::Duration;
use crate::words::{did_you_mean, or, quoted};

/// How long restore points stay. Not closed against unknown keys itself: it is a part of a step's parameters, which are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// Which restore points stay. A point stays when any of the rules keeps it.
    pub keep: Keep,
    /// How many of the newest points that were restored without an error stay whatever the rules say; 1 unless given.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub min_verified: u32,
    /// The most that may go in one run. When more would go, nothing goes, and the run says so. No limit unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delete: Option<MaxDelete>,
    /// How long a point stays after it was marked for deletion; `runner undelete` takes the mark away until then. 24 hours unless given.
    #[serde(default = "day")]
    pub grace: Duration,
    /// How much the clocks of the hosts that share the store may differ: the grace and pins are longer by it, and points closer together
    /// than it count as equally new. 30 minutes unless given.
    #[serde(default = "half_hour")]
    pub clock_skew: Duration,
}

const fn one() -> u32 {
    1
}

const fn day() -> Duration {
    Duration::seconds(86_400)
}

const fn half_hour() -> Duration {
    Duration::seconds(1800)
}

/// Which restore points stay. Each rule counts alone; hours, days, weeks, months and years are those of the pipeline's time zone, and
/// only those that have a restore point are counted. Each is represented by its newest point.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// So many of the newest points; none for this reason unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
    /// The newest point of each of so many hours; none for this reason unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<u32>,
    /// The newest point of each of so many days; none for this reason unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily: Option<u32>,
    /// The newest point of each of so many weeks, which begin on Monday; none for this reason unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekly: Option<u32>,
    /// The newest point of each of so many months; none for this reason unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<u32>,
    /// The newest point of each of so many years; none for this reason unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yearly: Option<u32>,
    /// Every point not older than the newest one by more than this, such as `14d`, a day being 24 hours; none for this reason unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// The most that may go in one run: points marked for deletion among all that are not marked yet, and points deleted among all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaxDelete {
    /// So many points; no limit in number unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub count: Option<u32>,
    /// So many percent of the points; no limit in percent unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: Option<u8>,
}

/// What is wrong with a policy beyond what the schema can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The JSON pointer below the policy.
    pub pointer: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// Why a text such as `daily=30,weekly=12` is not a [`Keep`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// Not of the form.
    #[error("{} is not a rule: write rules like daily=30,weekly=12,within=14d", quoted(text))]
    Form {
        /// What was given.
        text: String,
    },
    /// A rule that there is not.
    #[error("there is no rule {}: use {}{}", quoted(name), or(&names()), near(name))]
    Rule {
        /// What was given.
        name: String,
    },
    /// A number, or a length of time, that is none.
    #[error("{} is not what {rule} takes: {expected}", quoted(text))]
    Value {
        /// The rule.
        rule: Rule,
        /// What was given.
        text: String,
        /// What it takes.
        expected: &'static str,
    },
    /// A rule said twice.
    #[error("{rule} is given twice")]
    Twice {
        /// The rule.
        rule: Rule,
    },
}

fn names() -> Vec<String> {
    Rule::ALL.iter().map(ToString::to_string).collect()
}

fn near(name: &str) -> String {
    let names = names();
    did_you_mean(name, names.iter().map(String::as_str)).map(|near| format!("; did you mean {}?", quoted(near))).unwrap_or_default()
}

impl Policy {
    /// A policy of these rules, all else as when nothing is given.
    pub const fn keeping(keep: Keep) -> Self {
        Self { keep, min_verified: one(), max_delete: None, grace: day(), clock_skew: half_hour() }
    }

    /// Until when a point stays that was marked for deletion at this moment.
    pub fn stays_until(&self, marked: jiff::Timestamp) -> jiff::Timestamp {
        super::kept::later(super::kept::later(marked, self.grace), self.clock_skew)
    }

    /// Whether a pin or lock until a moment still holds; longer by the clocks' difference, for the host that set it may be slower.
    pub fn holds(&self, until: jiff::Timestamp, now: jiff::Timestamp) -> bool {
        super::kept::later(until, self.clock_skew) > now
    }

    /// What is wrong with it beyond what the schema can say.
    pub fn faults(&self) -> Vec<Fault> {
        let fault = |pointer, message: &str, help: &str| Fault { pointer, message: message.to_owned(), help: help.to_owned() };
        let mut found = Vec::new();
        if self.keep.is_empty() {
            let message = "no rule keeps anything: all but the guarded points would be deleted";
            found.push(fault("/keep", message, "say what stays, such as { daily: 30, weekly: 12, monthly: 12 }"));
        }
        if self.max_delete.is_some_and(|most| most.count.is_none() && most.percent.is_none()) {
            found.push(fault("/max_delete", "a limit without a number limits nothing", "give count, percent, or both; or leave it out"));
        }
        if self.max_delete.is_some_and(|most| most.count == Some(0) || most.percent == Some(0)) {
            found.push(fault("/max_delete", "a limit of 0 means that nothing is ever deleted", "leave the whole step out instead"));
        }
        found
    }
}

impl Keep {
    /// Whether no rule keeps anything.
    pub fn is_empty(&self) -> bool {
        Rule::ALL.iter().all(|rule| self.most(*rule).unwrap_or(0) == 0) && self.within.is_none_or(|within| within == Duration::seconds(0))
    }

    /// How many points or periods a rule keeps; `None` for [`Rule::Within`], which does not count, and where nothing is given.
    pub const fn most(&self, rule: Rule) -> Option<u32> {
        match rule {
            Rule::Last => self.last,
            Rule::Hourly => self.hourly,
            Rule::Daily => self.daily,
            Rule::Weekly => self.weekly,
            Rule::Monthly => self.monthly,
            Rule::Yearly => self.yearly,
            Rule::Within => None,
        }
    }

    /// The rules that keep something, the one that reaches back least first.
    pub fn rules(&self) -> Vec<Rule> {
        let within = |rule| rule == Rule::Within && self.within.is_some_and(|within| within > Duration::seconds(0));
        Rule::ALL.into_iter().filter(|rule| self.most(*rule).unwrap_or(0) > 0 || within(*rule)).collect()
    }

    fn set(&mut self, rule: Rule, text: &str) -> Result<(), KeepError> {
        let wrong = |expected| KeepError::Value { rule, text: text.to_owned(), expected };
        let place = match rule {
            Rule::Last => &mut self.last,
            Rule::Hourly => &mut self.hourly,
            Rule::Daily => &mut self.daily,
            Rule::Weekly => &mut self.weekly,
            Rule::Monthly => &mut self.monthly,
            Rule::Yearly => &mut self.yearly,
            Rule::Within => {
                let within = text.parse().map_err(|_| wrong("a duration such as 14d"))?;
                return if self.within.replace(within).is_some() { Err(KeepError::Twice { rule }) } else { Ok(()) };
            }
        };
        let number = text.parse().map_err(|_| wrong("a whole number"))?;
        if place.replace(number).is_some() { Err(KeepError::Twice { rule }) } else { Ok(()) }
    }
}

/// The form of a command line: `daily=30,weekly=12,within=14d`.
impl FromStr for Keep {
    type Err = KeepError;

    fn from_str(text: &str) -> Result<Self, KeepError> {
        let mut keep = Self::default();
        for part in text.split(',').map(str::trim) {
            let (name, value) = part.split_once('=').ok_or_else(|| KeepError::Form { text: part.to_owned() })?;
            let name = name.trim();
            let rule = Rule::ALL.into_iter().find(|rule| rule.word() == name).ok_or_else(|| KeepError::Rule { name: name.to_owned() })?;
            keep.set(rule, value.trim())?;
        }
        Ok(keep)
    }
}

impl std::fmt::Display for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = |rule: &Rule| match self.most(*rule) {
            Some(most) => format!("{rule} {most}"),
            None => format!("{rule} {}", self.within.unwrap_or(Duration::seconds(0))),
        };
        f.pad(&self.rules().iter().map(word).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_from_a_command_line() {
        let keep: Keep = "daily=30, weekly=12,within=14d".parse().unwrap();
        assert_eq!((keep.daily, keep.weekly, keep.within), (Some(30), Some(12), Some(Duration::seconds(14 * 86_400))));
        assert_eq!(keep.to_string(), "within 14d, daily 30, weekly 12");
        for (text, said) in [
            ("", "`` is not a rule: write rules like daily=30,weekly=12,within=14d"),
            ("dayly=3", "there is no rule `dayly`: use last, within, hourly, daily, weekly, monthly or yearly; did you mean `daily`?"),
            ("daily=-1", "`-1` is not what daily takes: a whole number"),
            ("within=2 months", "`2 months` is not what within takes: a duration such as 14d"),
            ("daily=1,daily=2", "daily is given twice"),
        ] {
            assert_eq!(text.parse::<Keep>().unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn a_policy_that_keeps_nothing_or_limits_nothing_is_at_fault() {
        let pointers = |policy: &Policy| policy.faults().iter().map(|fault| fault.pointer).collect::<Vec<_>>();
        assert_eq!(pointers(&Policy::keeping(Keep::default())), ["/keep"]);
        assert_eq!(pointers(&Policy::keeping("daily=0,within=0s".parse().unwrap())), ["/keep"]);
        let sound = Policy::keeping("last=1".parse().unwrap());
        assert!(sound.faults().is_empty());
        assert_eq!(pointers(&Policy { max_delete: Some(MaxDelete::default()), ..sound.clone() }), ["/max_delete"]);
        let never = MaxDelete { count: Some(0), percent: None };
        assert_eq!(pointers(&Policy { max_delete: Some(never), ..sound }), ["/max_delete"]);
    }

    #[test]
    fn what_is_left_out_has_the_documented_value() {
        let policy: Policy = serde_json::from_str(r#"{"keep":{"daily":30}}"#).unwrap();
        assert_eq!(policy, Policy::keeping("daily=30".parse().unwrap()));
        assert_eq!((policy.min_verified, policy.grace.to_string(), policy.clock_skew.to_string()), (1, "1d".into(), "30m".into()));
        assert!(serde_json::from_str::<Policy>(r#"{"keep":{"dayly":30}}"#).is_err());
    }
}
