//! What the schema can not say: names that must resolve, things declared and never used, schedules that must parse.
//!
//! Works on drafts, so that a mistake in one step does not hide those in another. Data flow is the neighbour's.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde_json::Value;

use super::load::Draft;
use super::model::{Head, Schedule, When};
use crate::diagnostic::{Diagnostic, Severity};
use crate::document::Document;
use crate::ids::StepId;
use crate::postgres::ConnectionSpec;
use crate::postgres::conninfo::{ConnInfoError, offline_problems};
use crate::secret::SecretRef;
use crate::step::{Params, Problem, References};
use crate::store::StoreSpec;
use crate::words::did_you_mean;

/// Runs every check.
pub(super) fn all(document: &Document, head: Option<&Head>, drafts: &[Draft], out: &mut Vec<Diagnostic>) {
    let mut check = Check { document, out, used: BTreeSet::new() };
    check.step_ids(drafts);
    for draft in drafts {
        check.step(draft);
    }
    if let Some(head) = head {
        check.head(head);
    }
    // A part that could not be read may name anything that its text says.
    let unread = drafts.iter().any(|draft| draft.params.is_none()).then_some("/steps");
    check.unused(unread.into_iter().chain(head.is_none().then_some("/connections")));
}

struct Check<'a> {
    document: &'a Document,
    out: &'a mut Vec<Diagnostic>,
    /// Pointers of declarations that something names.
    used: BTreeSet<String>,
}

/// A key as one part of a JSON pointer (RFC 6901).
pub(super) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A diagnostic at a pointer, or at the nearest place above it that stands in the text.
pub(super) fn at(document: &Document, code: &'static str, pointer: &str, message: impl Into<String>) -> Diagnostic {
    let mut place = pointer;
    loop {
        if let Some(span) = document.span(place) {
            return Diagnostic::error(code, &document.source, span.value.clone(), message).at(pointer);
        }
        place = place.rfind('/').map_or("", |end| &place[..end]);
        if place.is_empty() {
            return Diagnostic::error(code, &document.source, 0..0, message).at(pointer);
        }
    }
}

impl Check<'_> {
    fn step_ids(&mut self, drafts: &[Draft]) {
        let mut first: BTreeMap<&StepId, usize> = BTreeMap::new();
        for draft in drafts {
            let Some(head) = &draft.head else { continue };
            let Some(earlier) = first.insert(&head.id, draft.index) else { continue };
            let message = format!("two steps have the id `{}`", head.id);
            let mut diagnostic =
                at(self.document, "duplicate-step", &format!("/steps/{}/id", draft.index), message).help("give each step its own id");
            if let Some(span) = self.document.span(&format!("/steps/{earlier}/id")) {
                diagnostic = diagnostic.label(span.value.clone(), "the first one");
            }
            self.out.push(diagnostic);
        }
        let names: Vec<String> = first.keys().map(ToString::to_string).collect();
        for draft in drafts {
            self.needs(draft, &names);
            self.verified(draft, &names);
        }
    }

    /// The step that a verification names.
    fn verified(&mut self, draft: &Draft, names: &[String]) {
        let Some(Params::VerifyRestore(verify)) = &draft.params else { return };
        let Some(of) = verify.of.as_ref().filter(|of| !names.iter().any(|name| name == of.as_str())) else { return };
        let pointer = format!("/steps/{}/with/of", draft.index);
        self.unresolved("unknown-step", &pointer, &format!("there is no step `{of}`"), of.as_str(), names);
    }

    fn needs(&mut self, draft: &Draft, names: &[String]) {
        let Some(needs) = draft.head.as_ref().and_then(|head| head.needs.as_ref()) else { return };
        for (position, need) in needs.iter().enumerate() {
            if !names.iter().any(|name| name == need.as_str()) {
                let pointer = format!("/steps/{}/needs/{position}", draft.index);
                self.unresolved("unknown-step", &pointer, &format!("there is no step `{need}`"), need.as_str(), names);
            }
        }
    }

    fn unresolved(&mut self, code: &'static str, pointer: &str, message: &str, word: &str, names: &[String]) {
        let help = match did_you_mean(word, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "none is declared".to_owned(),
            None => format!("there are: {}", names.join(", ")),
        };
        self.out.push(at(self.document, code, pointer, message).help(help));
    }

    fn step(&mut self, draft: &Draft) {
        let Some(params) = &draft.params else { return };
        let base = format!("/steps/{}/with", draft.index);
        self.references(&base, &params.facts().references());
        for problem in params.facts().problems() {
            self.problem(&base, problem);
        }
        let after_failures = draft.head.as_ref().is_some_and(|head| head.when != When::Success);
        if after_failures && matches!(params, Params::Prune(_)) {
            let pointer = format!("/steps/{}/when", draft.index);
            let message = "nothing is deleted after a failure";
            self.out.push(at(self.document, "bad-retention", &pointer, message).help("leave `when` out"));
        }
    }

    /// Gives a step's own problem its place in the text.
    fn problem(&mut self, base: &str, problem: Problem) {
        let mut diagnostic = at(self.document, problem.code, &format!("{base}{}", problem.pointer), problem.message);
        diagnostic.severity = problem.severity;
        diagnostic.help = problem.help;
        self.out.push(diagnostic);
    }

    fn references(&mut self, base: &str, references: &References<'_>) {
        for name in &references.connections {
            self.declared("connections", "connection", name.as_str(), base);
        }
        for name in &references.stores {
            self.declared("stores", "store", name.as_str(), base);
        }
        for reference in &references.secrets {
            self.secret(reference, base);
        }
    }

    fn secret(&mut self, reference: &SecretRef, base: &str) {
        self.declared("secrets", "secret", reference.secret.as_str(), base);
    }

    /// Notes that a declaration is used, or that it is not there.
    fn declared(&mut self, section: &'static str, one: &'static str, name: &str, base: &str) {
        let declared = self.document.value.get(section).and_then(Value::as_object);
        if declared.is_some_and(|declared| declared.contains_key(name)) {
            self.used.insert(format!("/{section}/{}", escaped(name)));
            return;
        }
        let names: Vec<String> = declared.map(|declared| declared.keys().cloned().collect()).unwrap_or_default();
        let pointer = self.find(base, name);
        // The one that was meant is not unused too.
        self.used.extend(did_you_mean(name, names.iter().map(String::as_str)).map(|near| format!("/{section}/{}", escaped(near))));
        let code = match section {
            "connections" => "unknown-connection",
            "stores" => "unknown-store",
            _ => "unknown-secret",
        };
        self.unresolved(code, &pointer, &format!("no {one} `{name}` is declared under `{section}`"), name, &names);
    }

    /// The pointer, at or below a place, of the text that says this name.
    fn find(&self, base: &str, name: &str) -> String {
        let found = self.document.value.pointer(base).and_then(|value| path_of(value, name));
        format!("{base}{}", found.unwrap_or_default())
    }

    fn head(&mut self, head: &Head) {
        for (name, connection) in &head.connections {
            self.connection(name.as_str(), connection);
        }
        for (name, secret) in &head.secrets {
            let given = [secret.env.is_some(), secret.file.is_some(), secret.credential.is_some()];
            if given.iter().filter(|given| **given).count() != 1 {
                let message = format!("secret `{name}` needs exactly one place: `env`, `file` or `credential`");
                self.out.push(at(self.document, "one-of", &format!("/secrets/{}", escaped(name.as_str())), message));
            }
        }
        for (name, store) in &head.stores {
            self.store(name.as_str(), store);
        }
        if let Some(schedule) = &head.schedule {
            self.schedule(schedule);
        }
    }

    fn connection(&mut self, name: &str, connection: &ConnectionSpec) {
        let base = format!("/connections/{}", escaped(name));
        let ConnectionSpec::Postgres(spec) = connection else { return };
        if let Some(password) = &spec.password {
            self.secret(password, &base);
        }
        let password_in_url = ConnInfoError::PasswordInUrl.to_string();
        for message in offline_problems(spec) {
            let (code, field) = if message == password_in_url { ("literal-secret", "/url") } else { ("bad-connection", "") };
            self.out.push(at(self.document, code, &format!("{base}/postgres{field}"), message));
        }
    }

    fn store(&mut self, name: &str, store: &StoreSpec) {
        if let StoreSpec::S3(spec) = store
            && (spec.prefix.starts_with('/') || spec.prefix.ends_with('/'))
        {
            let pointer = format!("/stores/{}/s3/prefix", escaped(name));
            self.out
                .push(at(self.document, "bad-prefix", &pointer, "a prefix has no slash at either end").help("write it like `team/orders`"));
        }
    }

    fn schedule(&mut self, schedule: &Schedule) {
        let epoch = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
        let wrong = match croner::Cron::from_str(&schedule.cron) {
            Err(error) => Some(format!("`{}` is not a cron expression: {}", schedule.cron, error.to_string().trim_end_matches('.'))),
            Ok(cron) => cron.find_next_occurrence(&epoch, false).err().map(|_| format!("`{}` is a time that never comes", schedule.cron)),
        };
        self.out.extend(wrong.map(|message| {
            at(self.document, "bad-cron", "/schedule/cron", message)
                .help("five fields: minute hour day-of-month month day-of-week, such as \"17 2 * * *\"")
        }));
        if jiff::tz::TimeZone::get(&schedule.timezone).is_err() {
            let zones: Vec<String> = jiff::tz::db().available().map(|zone| zone.to_string()).collect();
            let help = did_you_mean(&schedule.timezone, zones.iter().map(String::as_str))
                .map_or_else(|| "use an IANA name such as Asia/Seoul".to_owned(), |near| format!("did you mean `{near}`?"));
            let message = format!("there is no time zone `{}`", schedule.timezone);
            self.out.push(at(self.document, "bad-timezone", "/schedule/timezone", message).help(help));
        }
    }

    /// Warns of what is declared and named by nothing, neither by what was understood nor in the text of these places.
    fn unused(&mut self, unread: impl Iterator<Item = &'static str>) {
        let unread: Vec<&Value> = unread.filter_map(|place| self.document.value.pointer(place)).collect();
        for (section, one) in [("connections", "connection"), ("stores", "store"), ("secrets", "secret")] {
            let Some(declared) = self.document.value.get(section).and_then(Value::as_object) else { continue };
            for name in declared.keys() {
                let pointer = format!("/{section}/{}", escaped(name));
                if self.used.contains(&pointer) || unread.iter().any(|place| path_of(place, name).is_some()) {
                    continue;
                }
                let mut diagnostic = at(self.document, "unused", &pointer, format!("{one} `{name}` is declared and never used"));
                if let Some(key) = self.document.span(&pointer).and_then(|span| span.key.clone()) {
                    diagnostic.range = key;
                }
                diagnostic.severity = Severity::Warning;
                self.out.push(diagnostic.help("remove it, or use it"));
            }
        }
    }
}

fn path_of(value: &Value, name: &str) -> Option<String> {
    match value {
        Value::String(text) if text == name => Some(String::new()),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| Some(format!("/{index}{}", path_of(item, name)?))),
        Value::Object(map) => map.iter().find_map(|(key, item)| Some(format!("/{}{}", escaped(key), path_of(item, name)?))),
        _ => None,
    }
}
