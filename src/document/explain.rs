//! One complaint of the validator → our words, at the characters concerned. Does not decide what is wrong.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use super::{Document, Schema, pointer, trap, words};
use crate::diagnostic::Diagnostic;
use crate::words::did_you_mean;

/// What the explanations are drawn from.
pub(super) struct Examiner<'a> {
    pub(super) document: &'a Document,
    pub(super) schema: &'a Schema,
}

impl Examiner<'_> {
    /// Adds what one error means; a union is followed into the branch that was meant.
    pub(super) fn explain(&self, error: &ValidationError<'_>, out: &mut Vec<Diagnostic>) {
        let at = error.instance_path().as_str();
        match error.kind() {
            Kind::AdditionalProperties { unexpected } => out.extend(unexpected.iter().map(|key| self.unknown_key(at, key))),
            Kind::UnevaluatedProperties { unexpected } => self.unevaluated(at, unexpected, out),
            Kind::FalseSchema => out.extend(self.refused(at)),
            Kind::Required { property } => out.push(self.missing_key(at, property.as_str().unwrap_or_default())),
            Kind::Type { kind } => out.push(self.wrong_type(at, &type_names(kind))),
            Kind::Enum { options } => out.push(self.unknown_value(at, options.as_array().map_or(&[], Vec::as_slice))),
            Kind::Constant { expected_value } => out.push(self.unknown_value(at, std::slice::from_ref(expected_value))),
            Kind::Pattern { pattern } => out.push(self.bad_pattern(at, error, pattern)),
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } | Kind::OneOfMultipleValid { context } => {
                self.union(error, context, out);
            }
            Kind::PropertyNames { error: inner } => out.push(self.bad_key(at, inner)),
            Kind::UniqueItems => out.push(self.repeated_item(at)),
            other => out.push(self.limit(at, other)),
        }
    }

    fn value(&self, at: &str) -> &Value {
        self.document.value.pointer(at).unwrap_or(&Value::Null)
    }

    pub(super) fn unknown_key(&self, at: &str, key: &str) -> Diagnostic {
        let below = pointer::child(at, key);
        let place = if at.is_empty() { String::new() } else { format!(" in {}", words::subject(at)) };
        let diagnostic = self.document.key_error("unknown-key", &below, format!("unknown key {}{place}", words::quoted(key))).at(below);
        let known = self.known_keys(at);
        let absent: Vec<&str> = known.iter().copied().filter(|name| self.value(at).get(name).is_none()).collect();
        match did_you_mean(key, absent.iter().copied()) {
            Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
            None if known.is_empty() => diagnostic.help("this mapping takes no keys"),
            None => diagnostic.help(format!("the keys here are {}", words::listed(known))),
        }
    }

    /// When a branch of the place's schema fails, the validator calls all keys of that branch unevaluated; only those that
    /// no branch knows are a mistake of their own.
    fn unevaluated(&self, at: &str, unexpected: &[String], out: &mut Vec<Diagnostic>) {
        let known = self.known_keys(at);
        let unknown = unexpected.iter().filter(|key| !known.contains(&key.as_str()));
        out.extend(unknown.map(|key| self.unknown_key(at, key)));
    }

    /// The keys that any part of the schema gives the mapping at a pointer, in the schema's order.
    fn known_keys(&self, at: &str) -> Vec<&str> {
        let mut keys: Vec<&str> = Vec::new();
        for schema in self.schema.at(&self.document.value, at) {
            let own = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            for (key, _) in own.filter(|(_, value)| **value != Value::Bool(false)) {
                if !keys.contains(&key.as_str()) {
                    keys.push(key);
                }
            }
        }
        keys
    }

    /// A place whose schema is `false`: the key above it must not be there.
    fn refused(&self, at: &str) -> Option<Diagnostic> {
        let (above, key) = pointer::split(at)?;
        Some(self.unknown_key(above, &key))
    }

    pub(super) fn missing_key(&self, at: &str, key: &str) -> Diagnostic {
        let message = format!("`{key}` is missing in {}", words::subject(at));
        self.document.error("missing-key", at, message)
    }

    pub(super) fn wrong_type(&self, at: &str, expected: &[&str]) -> Diagnostic {
        let value = self.value(at);
        if let Some(form) = self.schema.secret_form(&self.document.value, at).filter(|_| !value.is_null()) {
            return self.literal_secret(at, form);
        }
        let plain = self.document.plain(at);
        let without_null = || expected.iter().filter(|kind| **kind != "null" || expected.len() == 1);
        let wanted: Vec<String> = without_null().map(|kind| words::expected(kind).to_owned()).collect();
        let message = format!("{} must be {}, but {}", words::subject(at), words::or(&wanted), words::found(value, plain, expected));
        let diagnostic = self.document.error("wrong-type", at, message);
        let form = plain.filter(|_| expected == ["string"]).and_then(|plain| self.form_against(at, plain));
        match form.or_else(|| trap::cure(value, plain, expected)) {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }

    pub(super) fn unknown_value(&self, at: &str, options: &[Value]) -> Diagnostic {
        let value = self.value(at);
        let kinds = kinds_of(options);
        if !kinds.iter().any(|kind| *kind == kind_of(value)) {
            return self.wrong_value_type(at, options, &kinds);
        }
        let names: Vec<&str> = options.iter().filter_map(Value::as_str).collect();
        let message = format!("{} can not be {}", words::subject(at), words::written(value));
        let diagnostic = self.document.error("unknown-value", at, message);
        match value.as_str().and_then(|word| did_you_mean(word, names.iter().copied())) {
            Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
            None => diagnostic.help(one_of_these(options)),
        }
    }

    fn wrong_value_type(&self, at: &str, options: &[Value], kinds: &[&str]) -> Diagnostic {
        let diagnostic = self.wrong_type(at, kinds);
        let value = self.value(at);
        let written = value.as_str().or_else(|| self.document.plain(at));
        let spelling = |option: &Value| option.as_str().map_or_else(|| option.to_string(), str::to_owned);
        let is_option = |option: &Value| written.is_some_and(|written| spelling(option) == written);
        if options.iter().any(is_option) { diagnostic } else { diagnostic.help(one_of_these(options)) }
    }

    /// A secret in the text. Neither it nor its type is repeated, and `conceal` hides it in the excerpt.
    fn literal_secret(&self, at: &str, form: &str) -> Diagnostic {
        let (subject, key) = (words::subject(at), pointer::split(at).map(|(_, key)| key).unwrap_or_default());
        let (message, help) = if form == "declaration" {
            let message = format!("{subject} must say where the secret comes from, not hold it");
            (message, format!("write `{key}: {{ env: VARIABLE }}`, `{{ file: PATH }}` or `{{ credential: NAME }}`"))
        } else {
            let message = format!("{subject} must be a reference to a secret, not the secret itself");
            let declare = "and under `secrets` say where it comes from: `name: { env: VARIABLE }`";
            (message, format!("write `{key}: {{ secret: name }}`, {declare}"))
        };
        self.document.error("literal-secret", at, message).help(format!("{help}; if this was ever committed, change the secret"))
    }

    /// The place above, when a text that can not be a name stands where a secret is named: it is likely the secret.
    fn unlikely_name<'p>(&self, at: &'p str) -> Option<&'p str> {
        let (above, key) = pointer::split(at)?;
        let is_reference = self.schema.secret_form(&self.document.value, above) == Some("reference");
        (is_reference && key == "secret").then_some(above)
    }

    fn bad_pattern(&self, at: &str, error: &ValidationError<'_>, pattern: &str) -> Diagnostic {
        if let Some(above) = self.unlikely_name(at) {
            let found = self.literal_secret(above, "reference");
            return Diagnostic { range: self.document.value_range(at), pointer: at.to_owned(), ..found };
        }
        let message = format!("{} does not have the right form for {}", words::written(self.value(at)), words::subject(at));
        let diagnostic = self.document.error("bad-pattern", at, message);
        diagnostic.help(self.form(at, error).unwrap_or_else(|| format!("it must match the pattern {pattern}")))
    }

    /// What the schema says about the form of a place, if quotes alone would not give these characters that form.
    fn form_against(&self, at: &str, plain: &str) -> Option<String> {
        let text = Value::from(plain);
        let misfit = |schema: &&serde_json::Map<String, Value>| {
            let pattern = schema.get("pattern").map(|pattern| serde_json::json!({ "pattern": pattern }));
            pattern.is_some_and(|rule| !jsonschema::is_valid(&rule, &text))
        };
        let schemas = self.schema.at(&self.document.value, at);
        let help = schemas.iter().copied().find(misfit)?.get("x-pattern-help")?.as_str()?;
        Some(help.to_owned())
    }

    /// What the schema says about a form in words: `x-pattern-help` of any schema of the place, else a description.
    fn form(&self, at: &str, error: &ValidationError<'_>) -> Option<String> {
        let own = pointer::split(error.schema_path().as_str()).and_then(|(above, _)| self.schema.root.pointer(above));
        let around = self.schema.at(&self.document.value, at);
        let help = own.and_then(|own| own.get("x-pattern-help")).or_else(|| around.iter().find_map(|s| s.get("x-pattern-help")));
        let description = || own.and_then(|own| own.get("description")).or_else(|| around.iter().find_map(|s| s.get("description")));
        let text = help.or_else(description)?.as_str()?;
        let paragraph = text.split("\n\n").next().unwrap_or(text);
        Some(paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn bad_key(&self, at: &str, inner: &ValidationError<'_>) -> Diagnostic {
        let instance = inner.instance();
        let key = instance.as_str().unwrap_or_default();
        let below = pointer::child(at, key);
        let message = format!("{} does not have the right form for a key of {}", words::quoted(key), words::subject(at));
        let diagnostic = self.document.key_error("bad-pattern", &below, message);
        match self.form(at, inner) {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }

    fn repeated_item(&self, at: &str) -> Diagnostic {
        let items = self.value(at).as_array().map_or(&[][..], Vec::as_slice);
        let repeated = items.iter().enumerate().find_map(|(index, item)| Some((items[..index].iter().position(|i| i == item)?, index)));
        let (first, second) = repeated.unwrap_or_default();
        let message = format!("{} gives the same item twice", words::subject(at));
        let first = self.document.value_range(&format!("{at}/{first}"));
        self.document.error("repeated-item", &format!("{at}/{second}"), message).label(first, "first given here")
    }

    /// What is said when nothing better is known.
    pub(super) fn refusal(&self, error: &ValidationError<'_>) -> Diagnostic {
        self.not_allowed(error.instance_path().as_str(), error.kind())
    }

    fn not_allowed(&self, at: &str, kind: &Kind) -> Diagnostic {
        let message = format!("{} is not what this place takes (schema rule `{}`)", words::subject(at), kind.keyword());
        self.document.error("not-allowed", at, message)
    }

    fn limit(&self, at: &str, kind: &Kind) -> Diagnostic {
        let subject = words::subject(at);
        let rule = match kind {
            Kind::Minimum { limit } => format!("must be at least {limit}"),
            Kind::Maximum { limit } => format!("must be at most {limit}"),
            Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
            Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
            Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
            Kind::MinLength { limit: 1 } | Kind::MinItems { limit: 1 } | Kind::MinProperties { limit: 1 } => "must not be empty".to_owned(),
            Kind::MinLength { limit } => format!("must have at least {limit} characters"),
            Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
            Kind::MinItems { limit } => format!("must have at least {limit} items"),
            Kind::MaxItems { limit } => format!("must have at most {limit} items"),
            Kind::MinProperties { limit } => format!("must have at least {limit} keys"),
            Kind::MaxProperties { limit } => format!("must have at most {limit} keys"),
            other => return self.not_allowed(at, other),
        };
        let found = match self.value(at) {
            Value::Number(number) => format!(", not {number}"),
            _ => String::new(),
        };
        self.document.error("out-of-range", at, format!("{subject} {rule}{found}"))
    }
}

fn one_of_these(options: &[Value]) -> String {
    let written: Vec<String> = options.iter().map(words::written).collect();
    if written.len() == 1 { format!("write {}", words::or(&written)) } else { format!("write one of {}", words::or(&written)) }
}

fn type_names(kind: &TypeKind) -> Vec<&'static str> {
    match kind {
        TypeKind::Single(one) => vec![one.as_str()],
        TypeKind::Multiple(several) => several.iter().map(jsonschema::JsonType::as_str).collect(),
    }
}

/// The schema type of a value.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn kinds_of(values: &[Value]) -> Vec<&'static str> {
    let mut kinds: Vec<&str> = values.iter().map(kind_of).collect();
    kinds.dedup();
    kinds
}
