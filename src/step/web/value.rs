//! A text of a pipeline that may be a secret: a URL, the value of a header, a variable.
//!
//! This module does not know what the value is for.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::secret::{Secret, SecretRef};

/// A text, or a secret where the text itself would give something away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TextOrSecret {
    /// The text.
    Text(String),
    /// The secret that holds the text.
    Secret(SecretRef),
}

impl TextOrSecret {
    /// The reference, when it is one.
    pub fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::Text(_) => None,
            Self::Secret(secret) => Some(secret),
        }
    }

    /// The value, its secret opened.
    pub(in crate::step) fn open<E>(&self, open: impl Fn(&SecretRef) -> Result<Secret, E>) -> Result<Secret, E> {
        match self {
            Self::Text(text) => Ok(Secret::new(text.clone())),
            Self::Secret(secret) => open(secret),
        }
    }
}

// By hand: the `anyOf` that would be derived makes validators say only that nothing fits.
impl JsonSchema for TextOrSecret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TextOrSecret".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<crate::ids::RefName>();
        json_schema!({
            "description": "A text, or `{ secret: name }` where the text itself would give something away.",
            "type": ["string", "object"],
            "properties": { "secret": name },
            "required": ["secret"],
            "additionalProperties": false,
        })
    }
}
