//! The one engine that computes placeholders: strict, bounded in steps and in size, with a closed set of statements,
//! filters and tests. Does not know what its names stand for, nor where a template stands.

use minijinja::functions::Function;
use minijinja::value::{FunctionArgs, FunctionResult, Serde, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, filters, tests};
use serde_json::Value as Json;

use super::bounded::{Capped, FUEL, SIZE, join, plain, replace, too_large};
use super::fault::{Fault, from_engine};
use super::names::Names;
use super::syntax::{is_template, only_placeholder, refused_statements, unclosed};
use crate::words::listed;

/// How a value stands in a text; `None` leaves it to the engine.
pub type Show = fn(&Value) -> Option<String>;

/// Computes templates.
///
/// A template sees the names it is given and nothing else: no file, no clock, no environment, no secret. Values are put
/// in as they are and never rendered again.
pub struct Engine {
    environment: Environment<'static>,
    filters: Vec<&'static str>,
    globals: Vec<&'static str>,
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine {
    /// The engine as every template has it.
    pub fn new() -> Self {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_debug(true);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(format);
        if let Ok(syntax) = minijinja::syntax::SyntaxConfig::builder().keep_trailing_newline(true).build() {
            environment.set_syntax(syntax);
        }
        add_tests(&mut environment);
        Self { environment, filters: Vec::new(), globals: Vec::new() }
            .filter("default", filters::default)
            .filter("first", filters::first)
            .filter("int", filters::int)
            .filter("join", join)
            .filter("last", filters::last)
            .filter("length", filters::length)
            .filter("lower", filters::lower)
            .filter("replace", replace)
            .filter("round", filters::round)
            .filter("trim", filters::trim)
            .filter("upper", filters::upper)
    }

    /// With a further filter.
    #[must_use]
    pub fn filter<F, Rv, Args>(mut self, name: &'static str, filter: F) -> Self
    where
        F: Function<Rv, Args>,
        Rv: FunctionResult,
        Args: for<'a> FunctionArgs<'a>,
    {
        self.environment.add_filter(name, filter);
        self.filters.push(name);
        self
    }

    /// With a function, to be called as `{{ name(…) }}`. It must not give more than the limits of the engine allow.
    #[must_use]
    pub fn function<F, Rv, Args>(mut self, name: &'static str, function: F) -> Self
    where
        F: Function<Rv, Args>,
        Rv: FunctionResult,
        Args: for<'a> FunctionArgs<'a>,
    {
        self.environment.add_function(name, function);
        self.globals.push(name);
        self
    }

    /// With other words for values that are put into text, such as escaped ones.
    #[must_use]
    pub fn showing(mut self, show: Show) -> Self {
        self.environment.set_formatter(move |out, state, value| match show(value) {
            Some(text) => Ok(out.write_str(&text)?),
            None => format(out, state, value),
        });
        self
    }

    /// The text of a template; one without placeholders stays as it is. Faults are never an empty list.
    pub fn text(&self, text: &str, names: &Names) -> Result<String, Vec<Fault>> {
        if !is_template(text) {
            return Ok(text.to_owned());
        }
        let template = self.compile(text, names)?;
        let mut out = Capped(Vec::new());
        let written = template.render_captured_to(Value::from(Serde(names.values())), &mut out);
        written.map_err(|error| vec![self.fault(&error)])?;
        Ok(String::from_utf8_lossy(&out.0).into_owned())
    }

    /// The value of a template: one that is a single placeholder and nothing else keeps the type of what it names.
    /// Faults are never an empty list.
    pub fn value(&self, text: &str, names: &Names) -> Result<Json, Vec<Fault>> {
        let Some((start, expression)) = only_placeholder(text) else { return self.text(text, names).map(Json::from) };
        self.compile(text, names)?;
        self.expression(expression, names).map_err(|fault| vec![fault.moved(start)])
    }

    /// Reads a template and looks for all its names.
    fn compile<'t>(&'t self, text: &'t str, names: &Names) -> Result<minijinja::Template<'t, 't>, Vec<Fault>> {
        if text.len() > SIZE {
            return Err(vec![Fault::failed(too_large(), None)]);
        }
        let refused = refused_statements(text);
        if !refused.is_empty() {
            return Err(refused);
        }
        let template =
            self.environment.template_from_str(text).map_err(|error| vec![unclosed(text).unwrap_or_else(|| self.fault(&error))])?;
        let mut used = template.undeclared_variables(true);
        used.retain(|name| !self.globals.contains(&name.as_str()));
        let undefined = names.undefined(text, used);
        if undefined.is_empty() { Ok(template) } else { Err(undefined) }
    }

    fn expression(&self, expression: &str, names: &Names) -> Result<Json, Fault> {
        if let Some(value) = names.value(expression) {
            return Ok(value.clone());
        }
        let compiled = self.environment.compile_expression(expression).map_err(|error| self.fault(&error))?;
        let value = compiled.eval(Value::from(Serde(names.values()))).map_err(|error| self.fault(&error))?;
        let scalar = matches!(value.kind(), ValueKind::Bool | ValueKind::Number | ValueKind::String);
        let json = if scalar { serde_json::to_value(&value).ok() } else { None };
        let refusal = || Fault::failed("this gives neither text nor a number nor a truth value", None);
        json.filter(|json| !json.is_null()).ok_or_else(refusal)
    }

    fn fault(&self, error: &Error) -> Fault {
        let fault = from_engine(error);
        match error.kind() {
            ErrorKind::UnknownFilter => {
                let mut filters = self.filters.clone();
                filters.sort_unstable();
                fault.help(format!("the filters are {}", listed(filters)))
            }
            ErrorKind::UnknownTest => fault.help(format!("the tests are {}", listed(TESTS))),
            _ => fault,
        }
    }
}

const TESTS: [&str; 7] = ["defined", "endingwith", "even", "none", "number", "odd", "startingwith"];

fn add_tests(environment: &mut Environment<'_>) {
    environment.add_test("defined", tests::is_defined);
    environment.add_test("endingwith", tests::is_endingwith);
    environment.add_test("even", tests::is_even);
    environment.add_test("none", tests::is_none);
    environment.add_test("number", tests::is_number);
    environment.add_test("odd", tests::is_odd);
    environment.add_test("startingwith", tests::is_startingwith);
}

/// A value in a text must have a form that a reader would expect; a list or an absent value has none.
fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Bool => Ok(out.write_str(&plain(value))?),
        ValueKind::Number | ValueKind::String => minijinja::escape_formatter(out, state, value),
        ValueKind::Undefined => Err(ErrorKind::UndefinedError.into()),
        ValueKind::None => Err(Error::new(ErrorKind::InvalidOperation, "the value is empty and can not be put into text")),
        kind => Err(Error::new(ErrorKind::InvalidOperation, format!("a {kind} can not be put into text; use `| join(\",\")`"))),
    }
}
