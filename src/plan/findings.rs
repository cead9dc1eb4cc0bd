//! What somebody should look at before a plan runs: unreachable databases, missing secrets, old tools, too little room.
//!
//! Every external fact in `Observed` that would make the run fail becomes an error here, before a byte is dumped. This
//! file looks at nothing itself.

use super::basis::Basis;
use super::{Finding, Observed, Reach, majors, room};
use crate::diagnostic::{Class, Severity};
use crate::ids::RefName;
use crate::pipeline::{OnFailure, Pipeline, Step, source_of};
use crate::plan::{ConnectionFacts, ToolFacts};
use crate::postgres::target::TargetFacts;
use crate::secret::Presence;
use crate::step::{Params, Restore, TablesAs};
use crate::store::manifest::Origin;

/// How many tables a message names.
const NAMED: usize = 5;

/// All findings, errors first.
pub(super) fn all(pipeline: &Pipeline, observed: &Observed) -> Vec<Finding> {
    if observed.offline {
        return Vec::new();
    }
    let mut found = Vec::new();
    secrets(pipeline, observed, &mut found);
    connections(pipeline, observed, &mut found);
    stores(pipeline, observed, &mut found);
    points(observed, &mut found);
    files(observed, &mut found);
    patches(observed, &mut found);
    targets(pipeline, observed, &mut found);
    majors::findings(pipeline, observed, &mut found);
    room::findings(pipeline, observed, &mut found);
    for trouble in &observed.troubles {
        let finding = Finding::new(Severity::Error, trouble.class, trouble.subject.clone(), trouble.message.clone());
        found.push(Finding { help: trouble.help.clone(), ..finding });
    }
    found.sort_by_key(|finding| finding.severity);
    found
}

fn secrets(pipeline: &Pipeline, observed: &Observed, found: &mut Vec<Finding>) {
    for (name, _) in observed.secrets.iter().filter(|(_, presence)| **presence == Presence::Missing) {
        let Some(declared) = pipeline.secrets.get(name) else { continue };
        let place = match (&declared.env, &declared.file, &declared.credential) {
            (Some(variable), _, _) => format!("environment variable {variable} is not set, or is empty"),
            (_, Some(file), _) => format!("{} can not be read", file.display()),
            (_, _, credential) => format!("credential {} is not in $CREDENTIALS_DIRECTORY", credential.clone().unwrap_or_default()),
        };
        let subject = format!("secret {name}");
        found.push(if declared.optional {
            Finding::new(Severity::Warning, Class::Denied, subject, format!("{place}; it is optional, so what needs it is skipped"))
        } else {
            Finding::new(Severity::Error, Class::Denied, subject, place).help("provide it, or mark it `optional: true`")
        });
    }
}

fn connections(pipeline: &Pipeline, observed: &Observed, found: &mut Vec<Finding>) {
    for (name, reach) in &observed.connections {
        let subject = format!("connection {name}");
        match reach {
            // What a run is only recorded in needs neither tools nor rights to read, and must not keep a backup from being made.
            Reach::Failed { message, class } if only_recorded(pipeline, name) => {
                let message = format!("{message}; the run will not be recorded there");
                found.push(Finding::new(Severity::Warning, *class, subject, message));
            }
            Reach::Reached(_) if only_recorded(pipeline, name) => {}
            Reach::Failed { message, class } => found.push(Finding::new(Severity::Error, *class, subject, message.clone())),
            Reach::Reached(facts) => connection(pipeline, name, facts, found),
        }
    }
}

/// Whether a connection is only for steps that record the run and whose failure is a warning.
fn only_recorded(pipeline: &Pipeline, name: &RefName) -> bool {
    let mut using = pipeline.steps.iter().filter(|step| step.params.facts().references().connections.contains(&name)).peekable();
    using.peek().is_some() && using.all(|step| matches!(step.params, Params::Record(_)) && step.on_failure == OnFailure::Warn)
}

fn connection(pipeline: &Pipeline, name: &RefName, facts: &ConnectionFacts, found: &mut Vec<Finding>) {
    let subject = format!("connection {name}");
    let dumped = |step: &&Step| matches!(&step.params, Params::Dump(dump) if dump.connection == *name);
    if let ToolFacts::Missing(why) = &facts.tools {
        found.push(Finding::new(Severity::Error, Class::Unreachable, subject.clone(), why.clone()));
    }
    if let Some(why) = &facts.no_scratch
        && pipeline.steps.iter().any(|step| matches!(&step.params, Params::VerifyRestore(verify) if verify.server.is_none()))
        && pipeline.steps.iter().any(|step| dumped(&step))
    {
        found.push(Finding::new(Severity::Error, Class::Unreachable, subject.clone(), why.clone()));
    }
    let selective = pipeline.steps.iter().filter(dumped).all(|step| matches!(&step.params, Params::Dump(dump) if dump.is_selective()));
    let blocks = !selective && (!facts.unreadable.is_empty() || !facts.filtered.is_empty());
    for (index, hint) in facts.hints.iter().enumerate() {
        // The hints about what can not be read come first, one for each list that is not empty.
        let about_reading = index < usize::from(!facts.unreadable.is_empty()) + usize::from(!facts.filtered.is_empty());
        let severity = if blocks && about_reading { Severity::Error } else { Severity::Warning };
        found.push(Finding::new(severity, Class::Denied, subject.clone(), hint.clone()));
    }
    let hashes = |step: &&Step| matches!(&step.params, Params::Globals(globals) if globals.connection == *name && globals.passwords);
    if !facts.superuser && pipeline.steps.iter().any(|step| hashes(&step)) {
        let message = "reading password hashes takes a superuser";
        found
            .push(Finding::new(Severity::Error, Class::Denied, subject, message).help("set `passwords: false`, or connect as a superuser"));
    }
}

fn stores(pipeline: &Pipeline, observed: &Observed, found: &mut Vec<Finding>) {
    for (name, reach) in &observed.stores {
        let subject = format!("store {name}");
        match reach {
            // What is only copied to must not keep a backup from being made.
            Reach::Failed { message, class } if only_copied_to(pipeline, name) => {
                let message = format!("{message}; nothing will be copied to it");
                found.push(Finding::new(Severity::Warning, *class, subject, message).help("the next run copies what this one could not"));
            }
            Reach::Failed { .. } if only_for_other_globals(pipeline, observed, name) => {}
            Reach::Failed { message, class } => found.push(Finding::new(Severity::Error, *class, subject, message.clone())),
            Reach::Reached(facts) if facts.create_only == Some(false) => {
                let message = "it overwrote an existing object although told to create only; two runs could clobber each other";
                found
                    .push(Finding::new(Severity::Warning, Class::Failed, subject, message).help("use a server that honours If-None-Match"));
            }
            Reach::Reached(_) => {}
        }
    }
}

/// Whether a store only gets copies, and at most is pruned too.
fn only_copied_to(pipeline: &Pipeline, name: &RefName) -> bool {
    let copied =
        |step: &Step| matches!(&step.params, Params::CopyTo(copy) if copy.to == *name && source_of(&pipeline.steps, copy) != Some(name));
    let mut using = pipeline.steps.iter().filter(|step| step.params.facts().references().stores.contains(&name));
    pipeline.steps.iter().any(copied) && using.all(|step| copied(step) || matches!(step.params, Params::Prune(_)))
}

/// Whether a store is only there for the globals of a restore point, and those that are wanted lie in another.
fn only_for_other_globals(pipeline: &Pipeline, observed: &Observed, name: &RefName) -> bool {
    let wanted = |step: &Step| matches!(&step.params, Params::Restore(restore) if restore.globals);
    let used = |step: &Step| step.params.facts().references().stores.contains(&name);
    let mut recalled = observed.points.values().filter_map(Reach::facts);
    let kept_there = recalled.any(|point| point.globals.as_ref().is_some_and(|globals| globals.store == *name));
    pipeline.steps.iter().any(wanted) && !pipeline.steps.iter().any(used) && !kept_there
}

/// Restore points that steps name and that are not there, can not be used, or did not verify.
fn points(observed: &Observed, found: &mut Vec<Finding>) {
    for (step, reach) in &observed.points {
        let complaint = reach.facts().and_then(|point| Some((point, point.complaint.as_ref()?)));
        found.extend(complaint.map(|(point, why)| {
            let message = format!("the newest verification of restore point {} failed: {why}", point.run);
            let finding = Finding::new(Severity::Warning, Class::Verification, format!("step {step}"), message);
            finding.help("an older one may be whole: `runner list` shows them, --at takes one")
        }));
        let passed_over = reach.facts().and_then(|point| Some((point, point.passed_over.as_ref()?)));
        found.extend(passed_over.map(|(point, newer)| {
            let message = format!("{newer} comes from a clock far ahead: {} is taken for the latest restore point", point.run);
            Finding::new(Severity::Warning, Class::Verification, format!("step {step}"), message)
                .help(format!("--at {newer} takes that one"))
        }));
        if let Reach::Failed { message, class } = reach {
            found.push(
                Finding::new(Severity::Error, *class, format!("step {step}"), message.clone())
                    .help("`runner list` shows the restore points there are"),
            );
        }
    }
}

/// Patches that were made for another database than they are applied to.
fn patches(observed: &Observed, found: &mut Vec<Finding>) {
    for (step, facts) in &observed.patches {
        if let (Some(made_for), Some(into)) = (&facts.header.database, &facts.into)
            && made_for != into
        {
            let message = format!("the patch was made for database {made_for:?} and is applied to {into:?}");
            let finding = Finding::new(Severity::Warning, Class::Failed, format!("step {step}"), message);
            found.push(finding.help("it fails as a whole where the rows are not those that it names; make one for this database"));
        }
    }
}

/// Dumps in files that can not be read, or are none.
fn files(observed: &Observed, found: &mut Vec<Finding>) {
    for (step, reach) in &observed.files {
        if let Reach::Failed { message, class } = reach {
            found.push(Finding::new(Severity::Error, *class, format!("step {step}"), message.clone()));
        }
    }
}

/// Places to restore into that are taken, or that a restore can not be made in.
fn targets(pipeline: &Pipeline, observed: &Observed, found: &mut Vec<Finding>) {
    for step in &pipeline.steps {
        let Params::Restore(restore) = &step.params else { continue };
        let subject = format!("step {}", step.id);
        match observed.targets.get(&step.id) {
            Some(Reach::Failed { message, class }) => found.push(Finding::new(Severity::Error, *class, subject, message.clone())),
            Some(Reach::Reached(facts)) => {
                let basis = Basis::of(pipeline, step, observed);
                let about = target(restore, facts, &basis).into_iter().chain(basis.findings(restore));
                found.extend(about.map(|finding| Finding { subject: subject.clone(), ..finding }));
            }
            None => {}
        }
    }
}

pub(super) fn refuse(class: Class, message: String) -> Finding {
    Finding::new(Severity::Error, class, String::new(), message)
}

fn target(restore: &Restore, facts: &TargetFacts, basis: &Basis<'_>) -> Vec<Finding> {
    let origin = basis.origin();
    let into_what_is_there = restore.by_scratch() || restore.in_place();
    let mut found = if into_what_is_there { changed(restore, facts, origin) } else { made(restore, facts, origin) };
    if restore.globals {
        let message = format!("the role of {} is no superuser, and only such a one makes roles and tablespaces", restore.connection);
        found.extend((!facts.superuser).then(|| Finding::new(Severity::Warning, Class::Denied, String::new(), message)));
    }
    let major = |version: u32| version / 10_000;
    let newer = origin.filter(|origin| !restore.by_scratch() && major(origin.server_version) > major(facts.server_version));
    if let Some(origin) = newer {
        let message = format!("a dump of PostgreSQL {} may not restore on {}", major(origin.server_version), major(facts.server_version));
        found.push(Finding::new(Severity::Warning, Class::Failed, String::new(), message).help("restore on the same major or a newer one"));
    }
    if !restore.by_scratch() && !restore.globals {
        found.extend(origin.and_then(|origin| strangers(restore, facts, origin)));
    }
    if !restore.by_scratch() {
        found.extend(origin.and_then(|origin| ungiven(restore, facts, origin)));
    }
    found
}

/// What is wrong with a database that something is brought into.
fn changed(restore: &Restore, facts: &TargetFacts, origin: Option<&Origin>) -> Vec<Finding> {
    if facts.existing.is_none() {
        let message = format!("database {:?} is not there, and nothing can be brought into it", facts.database);
        return vec![refuse(Class::Failed, message).help("restore the whole into a new database of that name")];
    }
    let mut found = Vec::new();
    found.extend(facts.refused.iter().map(|why| refuse(Class::Failed, why.clone()).help("it stands after `where` in SQL")));
    if restore.data_only {
        found.extend(filled(restore, facts, origin));
    }
    // A copy goes beside what is there, whatever that is; but a name that nothing has may be misspelt.
    let copied = restore.tables.as_ref().is_some_and(|tables| tables.mode == TablesAs::Copy);
    for table in facts.tables.iter().filter(|table| table.table.is_none()) {
        let message = format!("{} has no table `{}`", facts.place, table.given);
        if copied {
            let message = format!("{message}: if that is misspelt, it will show only once the restore point is restored");
            found.push(Finding::new(Severity::Warning, Class::Failed, String::new(), message));
            continue;
        }
        let help = "if it is gone, bring it back beside what is there with `as: copy` (--as copy)";
        found.push(refuse(Class::Failed, message).help(help));
    }
    found
}

/// Whether it is the database that was dumped.
fn is_source(facts: &TargetFacts, origin: Option<&Origin>) -> bool {
    origin.is_some_and(|origin| {
        origin.database.as_ref() == Some(&facts.database)
            && origin.system_identifier.is_some()
            && origin.system_identifier == facts.system_identifier
    })
}

/// What is wrong with tables that are to be filled.
fn filled(restore: &Restore, facts: &TargetFacts, origin: Option<&Origin>) -> Option<Finding> {
    let replace = "say `replace` (--replace on the command line): what is there is dumped first, then those rows go";
    if restore.replace.is_some() {
        return None;
    }
    if is_source(facts, origin) {
        return Some(refuse(Class::Failed, format!("{} is the very database that was dumped", facts.place)).help(replace));
    }
    let taken: Vec<&str> =
        facts.tables.iter().filter(|table| table.rows.is_none_or(|rows| rows > 0)).filter_map(|table| table.table.as_deref()).collect();
    let named = taken.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = if taken.len() > NAMED { format!(" and {} more", taken.len() - NAMED) } else { String::new() };
    let message = format!("{} has rows already, in {named}{more}", facts.place);
    (!taken.is_empty()).then(|| refuse(Class::Failed, message).help(replace))
}

/// What is wrong with a place that a database is made in.
fn made(restore: &Restore, facts: &TargetFacts, origin: Option<&Origin>) -> Vec<Finding> {
    let mut found = Vec::new();
    let database = &facts.database;
    let is_source = is_source(facts, origin);
    let replace = "restore into another name, or say `replace` (--replace on the command line): what is there is dumped first, and kept";
    if restore.replace.is_none() && is_source {
        found.push(refuse(Class::Failed, format!("{} is the very database that was dumped", facts.place)).help(replace));
    } else if restore.replace.is_none() && facts.existing.is_some() {
        found.push(refuse(Class::Failed, format!("database {database:?} exists already at {}", facts.place)).help(replace));
    }
    if let Some(left) = facts.left.as_ref().filter(|left| !left.ours) {
        let message = format!("database {:?} is in the way, and no restore made it", left.name);
        found.push(refuse(Class::Failed, message).help("rename or drop it"));
    }
    if !facts.may_create {
        found.push(
            refuse(Class::Denied, format!("the role of {} may not create databases", restore.connection)).help(
                "alter role … createdb; where that can not be had, `replace: { how: in-place }` (--replace --clean) restores over what is there",
            ),
        );
    }
    found
}

/// Roles of the dumped cluster that the target lacks: whatever they own, or may do, can not be restored as it was.
fn strangers(restore: &Restore, facts: &TargetFacts, origin: &Origin) -> Option<Finding> {
    let missing: Vec<&str> = origin.roles.iter().filter(|role| !facts.roles.contains(role)).map(String::as_str).collect();
    if missing.is_empty() || facts.roles.is_empty() || restore.no_owner && restore.no_privileges {
        return None;
    }
    let message = format!("the server lacks {} of the dumped one: {}", crate::words::count(missing.len(), "role"), missing.join(", "));
    let finding = Finding::new(Severity::Warning, Class::Failed, String::new(), message);
    Some(finding.help(if origin.format == "plain" {
        "if they own anything in the dump, restore `globals` first (--globals)"
    } else {
        "if they own anything in the dump, restore `globals` first (--globals), or leave owners and privileges out: `no_owner`, `no_privileges`"
    }))
}

/// Roles of the dumped cluster that the restoring role can give nothing to: what they own ends the restore.
fn ungiven(restore: &Restore, facts: &TargetFacts, origin: &Origin) -> Option<Finding> {
    if facts.superuser || facts.may_be.is_empty() || restore.no_owner {
        return None;
    }
    let others = origin.roles.iter().filter(|role| facts.roles.contains(role) && !facts.may_be.contains(role));
    let others: Vec<&str> = others.map(String::as_str).collect();
    if others.is_empty() {
        return None;
    }
    let message = format!("the role of {} is no superuser, and can give nothing to {}", restore.connection, others.join(", "));
    let help = if origin.format == "plain" {
        "if they own anything in the dump, connect as a superuser"
    } else {
        "if they own anything in the dump, connect as a superuser, or give all to the role that restores: `no_owner` (--no-owner)"
    };
    Some(Finding::new(Severity::Warning, Class::Denied, String::new(), message).help(help))
}
