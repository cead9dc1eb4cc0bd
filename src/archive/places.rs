//! Where objects lie: the tablespaces of a dump, which no restore of an archive takes over.
//!
//! A tablespace is a folder of one server, and another one seldom has it. So the place of an object is told and no difference. This
//! module does not read archives.

use std::collections::{BTreeMap, HashMap};

use super::Form;
use super::difference::{Object, counted};
use super::model::{Fingerprint, Incomparable, Summary};

/// How many tablespaces are named.
const NAMED: usize = 10;

/// So many objects, and the tablespaces that they lie in: `the tablespaces of 3 objects (fast, slow)`; `None` where there are none.
fn in_tablespaces(found: &BTreeMap<String, u64>) -> Option<String> {
    let objects: u64 = found.values().sum();
    let named = found.keys().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = found.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let word = if found.len() == 1 { "tablespace" } else { "tablespaces" };
    (objects > 0).then(|| format!("the {word} of {} ({named}{more})", counted(objects, "object")))
}

impl Summary {
    /// How many objects lie in tablespaces, and in which: `the tablespaces of 3 objects (fast, slow)`; `None` where there are none.
    pub fn in_tablespaces(&self) -> Option<String> {
        in_tablespaces(&self.tablespaces)
    }
}

/// The tablespaces of a dump that what was restored of it does not lie in. Without what was restored, those that no restore of such a
/// dump takes over.
pub fn given_up(dumped: &Fingerprint, restored: Option<&Fingerprint>) -> Option<Incomparable> {
    let lost = match restored {
        Some(restored) => moved(dumped, restored),
        // A script names them itself, and they must be there.
        None if dumped.facts.form == Form::Plain => return None,
        None => dumped.tablespaces(),
    };
    let why = "everything is restored into the default tablespace of its database";
    in_tablespaces(&lost).map(|what| Incomparable::new(what, why))
}

/// Objects that lie in another tablespace than before.
pub(super) fn relocated(from: &Fingerprint, to: &Fingerprint) -> impl Iterator<Item = Incomparable> {
    let left = in_tablespaces(&moved(from, to)).map(|what| Incomparable::new(what, "they lie elsewhere now"));
    let entered = in_tablespaces(&moved(to, from)).map(|what| Incomparable::new(what, "they lay elsewhere before"));
    left.into_iter().chain(entered)
}

/// The tablespaces of objects that are on the other side too and not in the same one.
fn moved(from: &Fingerprint, to: &Fingerprint) -> BTreeMap<String, u64> {
    let there: HashMap<Object, Option<&String>> =
        to.inventory.iter().map(|entry| (Object::from(entry), entry.tablespace.as_ref())).collect();
    let mut found = BTreeMap::new();
    for entry in from.inventory.iter().filter(|entry| entry.tablespace.is_some()) {
        if there.get(&Object::from(entry)).is_some_and(|is| *is != entry.tablespace.as_ref()) {
            *found.entry(entry.tablespace.clone().unwrap_or_default()).or_default() += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tablespaces_are_named_with_what_lies_in_them() {
        let told = |found: &[(&str, u64)]| in_tablespaces(&found.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect());
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[("빠른 곳", 1)]).unwrap(), "the tablespace of 1 object (빠른 곳)");
        assert_eq!(told(&[("빠른 곳", 1), ("archive", 2)]).unwrap(), "the tablespaces of 3 objects (archive, 빠른 곳)");
    }
}
