//! Names of things: pipelines, steps, nodes and runs, each its own type so that one can not stand in for another.
//!
//! A name is text a person chose, in any script (`주문-야간` is a good pipeline name); it is short, has no separators
//! of paths or of YAML in it, and so is safe in an object key, a file name and a log line.
//! This module does not know what the names refer to.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The longest name, in characters: 63 leaves room for prefixes inside the 255 bytes of a file name even in Hangul.
pub const NAME_LIMIT: usize = 63;

/// Why a text is not a name or not a run id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty, too long, or holds a character that names can not hold.
    #[error("{text:?} is not a name: use 1 to {NAME_LIMIT} letters, digits, `-`, `_` or `.`, starting with a letter, digit or `_`")]
    Name {
        /// What was given.
        text: String,
    },
    /// The text does not have the form of a run id.
    #[error("{text:?} is not a run id: it looks like 20261120T021700Z-4f3a9c")]
    Run {
        /// What was given.
        text: String,
    },
}

fn check_name(text: &str) -> Result<(), IdError> {
    let starts = text.chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_');
    let inner = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if starts && inner && text.chars().count() <= NAME_LIMIT {
        return Ok(());
    }
    Err(IdError::Name { text: text.to_owned() })
}

/// A name, or one with `@` and a major version of PostgreSQL behind it, which only the planner gives: nobody can write it in a
/// pipeline, whose schema takes names.
fn check_step(text: &str) -> Result<(), IdError> {
    match text.rsplit_once('@') {
        Some((name, major)) if matches!(major.len(), 2..=3) && major.bytes().all(|byte| byte.is_ascii_digit()) => check_name(name),
        _ => check_name(text),
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": r"^[\p{L}\p{N}_][\p{L}\p{N}_.-]{0,62}$",
                    "x-pattern-help": "use 1 to 63 letters, digits, `-`, `_` or `.`, starting with a letter, digit or `_`",
                })
            }
        }

        impl $name {
            /// Reads a name, refusing text that is not one.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(
    /// The name of a pipeline: the first part of the keys of its restore points.
    PipelineName,
    check_name
);
name_type!(
    /// The id of a step, unique in its pipeline.
    StepId,
    check_step
);
name_type!(
    /// The name of a connection, a store or a secret, as declared at the top of a pipeline.
    RefName,
    check_name
);

impl StepId {
    /// The id of a part that no step of a file made; the planner puts the right one in its place.
    pub fn nameless() -> Self {
        Self("_".to_owned())
    }

    /// The id of this step's work on a server of another major version: `verify@17`.
    #[must_use]
    pub fn on_major(&self, major: u16) -> Self {
        Self(format!("{self}@{major}"))
    }

    /// The other major version that this id is about, if it is about one.
    pub fn other_major(&self) -> Option<u16> {
        self.0.rsplit_once('@').and_then(|(_, major)| major.parse().ok())
    }
}

/// The id of a node of a plan: the id of the first step fused into it, with `:part` behind it where one step
/// was lowered to several nodes (`verify:checks`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(String);

impl NodeId {
    /// The node that begins with this step.
    pub fn of(step: &StepId) -> Self {
        Self(step.as_str().to_owned())
    }

    /// One part of a step that was lowered to several nodes.
    pub fn part(step: &StepId, part: &str) -> Self {
        Self(format!("{step}:{part}"))
    }

    /// A node that the planner adds itself, such as the commit.
    pub fn implicit(name: &str) -> Self {
        Self(format!(":{name}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The id of a run and of the restore point it commits: the UTC start in basic ISO 8601 form and six random hex digits
/// (`20261120T021700Z-4f3a9c`), so that ids sort by time and two hosts starting in the same second still differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

/// How far the clocks of hosts may be apart, as for the retention unless its policy says otherwise.
const AHEAD: SignedDuration = SignedDuration::from_mins(30);

impl RunId {
    /// A new id for a run starting now. `entropy` is random; the caller draws it, so that this stays pure.
    pub fn starting(now: Timestamp, entropy: [u8; 3]) -> Self {
        let [a, b, c] = entropy;
        Self(format!("{}-{a:02x}{b:02x}{c:02x}", now.strftime("%Y%m%dT%H%M%SZ")))
    }

    /// When the run started, to the second.
    ///
    /// # Panics
    /// Never: the form was checked when the id was made.
    pub fn started(&self) -> Timestamp {
        parse_started(&self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Whether its clock was further ahead than clocks may differ: it begins after a moment by more than half an hour.
    pub fn is_ahead(&self, of: Timestamp) -> bool {
        self.started().duration_since(of) > AHEAD
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn parse_started(text: &str) -> Option<Timestamp> {
    let (time, random) = text.split_once('-')?;
    let hex = random.len() == 6 && random.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if time.len() != 16 || !hex {
        return None;
    }
    let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", time).ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

impl TryFrom<String> for RunId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        match parse_started(&text) {
            Some(_) => Ok(Self(text)),
            None => Err(IdError::Run { text }),
        }
    }
}

impl FromStr for RunId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.to_owned().try_into()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_hangul_and_refuse_separators() {
        assert!(PipelineName::new("주문-야간").is_ok());
        for bad in ["", "a/b", "a b", "-a", "..", "a:b", "{{x}}", &"x".repeat(64)] {
            assert!(StepId::new(bad).is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn the_work_of_a_step_on_another_major_has_an_id_that_no_step_can_have() {
        let step: StepId = "검증".parse().unwrap();
        let other = step.on_major(17);
        assert_eq!((other.as_str(), other.other_major(), step.other_major()), ("검증@17", Some(17), None));
        assert_eq!(other.as_str().parse::<StepId>().unwrap(), other);
        for bad in ["@17", "verify@", "verify@x", "verify@17@18", "verify@7"] {
            assert!(StepId::new(bad).is_err(), "{bad:?} must be refused");
        }
        assert!(PipelineName::new("a@17").is_err() && RefName::new("a@17").is_err());
    }

    #[test]
    fn run_ids_round_trip_and_sort_by_time() {
        let early = RunId::starting("2026-11-20T02:17:00.9Z".parse().unwrap(), [0xff, 0, 1]);
        let late = RunId::starting("2026-11-20T02:17:01Z".parse().unwrap(), [0, 0, 0]);
        assert_eq!(early.as_str(), "20261120T021700Z-ff0001");
        assert!(early < late);
        assert_eq!(early.as_str().parse::<RunId>().unwrap(), early);
        assert_eq!(early.started().to_string(), "2026-11-20T02:17:00Z");
        for bad in ["20261120T021700Z", "20261320T021700Z-ff0001", "20261120T021700Z-FF0001", "x"] {
            assert!(bad.parse::<RunId>().is_err(), "{bad:?} must be refused");
        }
    }
}
