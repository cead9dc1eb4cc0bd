//! A value that fits no branch of a `oneOf` or `anyOf`: finds the branch that was meant and reports only its errors.
//!
//! Understands the unions that types make: a choice of words, one key of several (`{ postgres: … }` or `{ embedded: … }`),
//! a key that names the variant, a value of one of several types, and "or null". Does not word the inner errors.

use jsonschema::ValidationError;
use serde_json::{Map, Value};

use super::explain::Examiner;
use super::schema::{type_fits, types};
use super::{pointer, words};
use crate::diagnostic::Diagnostic;
use crate::words::did_you_mean;

/// One branch that is not "null".
struct Branch<'a> {
    schema: &'a Value,
    errors: &'a [ValidationError<'static>],
}

impl Branch<'_> {
    /// The words or values among which it chooses, if it does nothing else.
    fn options(&self) -> Option<Vec<Value>> {
        match (self.schema.get("const"), self.schema.get("enum")) {
            (Some(one), _) => Some(vec![one.clone()]),
            (None, Some(Value::Array(several))) => Some(several.clone()),
            _ => None,
        }
    }

    /// The single key that it requires.
    fn tag(&self) -> Option<&str> {
        match self.schema.get("required").and_then(Value::as_array).map(Vec::as_slice) {
            Some([Value::String(key)]) if self.constant(key).is_none() => Some(key),
            _ => None,
        }
    }

    fn constant(&self, key: &str) -> Option<&Value> {
        self.schema.get("properties")?.get(key)?.get("const")
    }
}

impl Examiner<'_> {
    pub(super) fn union(&self, error: &ValidationError<'_>, context: &[Vec<ValidationError<'static>>], out: &mut Vec<Diagnostic>) {
        let at = error.instance_path().as_str();
        let value = error.instance().as_ref();
        let listed = self.schema.root.pointer(error.schema_path().as_str()).and_then(Value::as_array);
        let branches: Vec<Branch<'_>> = listed
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(index, schema)| Branch { schema: self.schema.resolve(schema), errors: context.get(index).map_or(&[], Vec::as_slice) })
            .filter(|branch| types(branch.schema) != ["null"])
            .collect();
        let fitting: Vec<&Branch<'_>> = branches.iter().filter(|branch| type_fits(branch.schema, value)).collect();
        if let Some(options) = all_options(&branches) {
            return out.push(self.unknown_value(at, &options));
        }
        match (value, fitting.as_slice()) {
            (_, []) => out.push(self.no_type_fits(at, &branches)),
            (Value::Object(given), several) => self.object(at, given, several, out),
            (_, [one]) => self.follow(one, out),
            (_, several) => match all_options(several.iter().copied()) {
                Some(options) => out.push(self.unknown_value(at, &options)),
                None => self.nearest(several, out),
            },
        }
    }

    fn follow(&self, branch: &Branch<'_>, out: &mut Vec<Diagnostic>) {
        for error in branch.errors {
            self.explain(error, out);
        }
    }

    /// Without a better sign, the branch with the fewest complaints was meant.
    fn nearest(&self, branches: &[&Branch<'_>], out: &mut Vec<Diagnostic>) {
        let complaining = branches.iter().filter(|branch| !branch.errors.is_empty());
        if let Some(branch) = complaining.min_by_key(|branch| branch.errors.len()) {
            self.follow(branch, out);
        }
    }

    fn no_type_fits(&self, at: &str, branches: &[Branch<'_>]) -> Diagnostic {
        let mut expected: Vec<&str> = Vec::new();
        for kind in branches.iter().flat_map(|branch| types(branch.schema)) {
            if !expected.contains(&kind) {
                expected.push(kind);
            }
        }
        let diagnostic = self.wrong_type(at, &expected);
        let tags: Vec<&str> = branches.iter().filter_map(Branch::tag).collect();
        if tags.is_empty() { diagnostic } else { diagnostic.help(give(&tags)) }
    }

    fn object(&self, at: &str, given: &Map<String, Value>, branches: &[&Branch<'_>], out: &mut Vec<Diagnostic>) {
        let tags: Vec<&str> = branches.iter().filter_map(|branch| branch.tag()).collect();
        if tags.len() == branches.len() && distinct(&tags) {
            return self.tagged(at, given, branches, out);
        }
        match discriminator(branches) {
            Some(key) => self.discriminated(at, key, branches, out),
            None => self.nearest(branches, out),
        }
    }

    fn tagged(&self, at: &str, given: &Map<String, Value>, branches: &[&Branch<'_>], out: &mut Vec<Diagnostic>) {
        let tags: Vec<&str> = branches.iter().filter_map(|branch| branch.tag()).collect();
        let present: Vec<(&str, &Branch<'_>)> =
            tags.iter().copied().zip(branches.iter().copied()).filter(|(tag, _)| given.contains_key(*tag)).collect();
        match present.as_slice() {
            [] => out.push(self.no_tag(at, given, &tags)),
            [(_, one)] => self.follow(one, out),
            [(first, _), rest @ ..] => {
                let first_range = self.document.key_range(&pointer::child(at, first));
                for (other, _) in rest {
                    let message = format!("`{other}` can not be given together with `{first}`");
                    let diagnostic = self.document.key_error("one-of", &pointer::child(at, other), message);
                    out.push(diagnostic.label(first_range.clone(), format!("`{first}` is given here")).help(give(&tags)));
                }
            }
        }
    }

    fn no_tag(&self, at: &str, given: &Map<String, Value>, tags: &[&str]) -> Diagnostic {
        let misspelt = given.keys().find_map(|key| Some((key, did_you_mean(key, tags.iter().copied())?)));
        if let Some((key, tag)) = misspelt {
            let below = pointer::child(at, key);
            let message = format!("unknown key {} in {}", words::quoted(key), words::subject(at));
            return self.document.key_error("unknown-key", &below, message).help(format!("did you mean `{tag}`?"));
        }
        let message = format!("{} must have exactly one of {}", words::subject(at), words::listed(tags.iter().copied()));
        match given.keys().next() {
            Some(key) if given.len() == 1 => self.document.key_error("one-of", &pointer::child(at, key), message).help(give(tags)),
            _ => self.document.error("one-of", at, message),
        }
    }

    fn discriminated(&self, at: &str, key: &str, branches: &[&Branch<'_>], out: &mut Vec<Diagnostic>) {
        let below = pointer::child(at, key);
        let Some(value) = self.document.value.pointer(&below) else {
            return out.push(self.missing_key(at, key));
        };
        if let Some(branch) = branches.iter().find(|branch| branch.constant(key) == Some(value)) {
            return self.follow(branch, out);
        }
        let options: Vec<Value> = branches.iter().filter_map(|branch| branch.constant(key)).cloned().collect();
        out.push(self.unknown_value(&below, &options));
    }
}

fn give(tags: &[&str]) -> String {
    if let [one] = tags {
        return format!("write {{ {one}: … }}");
    }
    format!("give exactly one of {}", words::listed(tags.iter().copied()))
}

fn distinct(tags: &[&str]) -> bool {
    tags.iter().enumerate().all(|(index, tag)| !tags[..index].contains(tag))
}

fn all_options<'b, 'a: 'b>(branches: impl IntoIterator<Item = &'b Branch<'a>>) -> Option<Vec<Value>> {
    let mut options = Vec::new();
    for branch in branches {
        options.extend(branch.options()?);
    }
    Some(options)
}

/// The key that every branch requires with a constant of its own.
fn discriminator<'b>(branches: &[&'b Branch<'_>]) -> Option<&'b str> {
    let (first, rest) = branches.split_first()?;
    let keys = first.schema.get("properties")?.as_object()?.keys();
    keys.map(String::as_str).find(|key| first.constant(key).is_some() && rest.iter().all(|branch| branch.constant(key).is_some()))
}
