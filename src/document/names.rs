//! The names that placeholders of a document can use, and what its author is told of names that can not be there.
//! Does not render anything.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Document;
use crate::template::{Names, RunWords};

const NO_SECRETS: &str = "secrets are never put into text; a field that takes one is given { secret: name }";

/// What is said of names that do not exist, by their first part.
const REMARKS: [(&str, &str); 5] = [
    ("secrets", NO_SECRETS),
    ("secret", NO_SECRETS),
    ("run", "`run` is known only while a run goes on; fields that can use it say so"),
    ("vars", "values under `vars` can use `env` and `pipeline`, but not each other"),
    ("env", "name the variable in the list `env` and set it"),
];

/// The names that placeholders can use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    /// `vars.*`: values given from outside, such as on the command line. They are literal (a placeholder in them is text)
    /// and win over those that the document declares under `vars`.
    pub vars: Map<String, Value>,
    /// `env.*`: the variables that the document's `env` list allows, and that are set.
    pub env: BTreeMap<String, String>,
    /// `pipeline`: the pipeline's name.
    pub pipeline: String,
}

impl Scope {
    /// The names that the values under `vars` see: not each other.
    pub(super) fn names_for_vars(&self) -> Names {
        Names::of(json!({ "env": self.env, "pipeline": self.pipeline })).remarks(&REMARKS)
    }

    /// The names that every other text of this document sees.
    pub(super) fn names(&self, document: &Document) -> Names {
        let mut vars = document.value.get("vars").and_then(Value::as_object).cloned().unwrap_or_default();
        vars.extend(self.vars.clone());
        Names::of_pipeline(&self.pipeline, &vars, &self.env).remarks(&REMARKS)
    }

    /// The names that a text sees which is rendered when a run starts.
    pub(super) fn names_for_run(&self, document: &Document) -> Names {
        self.names(document).with_run(&RunWords::sample())
    }
}
